"""Write the figures of the shipped designs, `dbp/datapath/designs/figures.csv`, from runs.

    dbp ber DESIGN... --out BER
    dbp compare DESIGN... --pdk nangate45 --lanes 2 4 --out COMPARED
    python benchmarks/shipped_figures.py --ber BER... --compare COMPARED...

Bit errors of designs that no BER holds, and watts and square millimetres of those that no COMPARED
holds, stay as they are.
"""

import argparse
import csv
from dataclasses import asdict, replace
from pathlib import Path

from dbp.comparison.merit import FILE
from dbp.datapath import shipped
from dbp.datapath.shipped import Figures
from dbp.records.provenance import read_metrics
from dbp.records.schemas import BerMetrics, ComparisonMetrics, best_points

NAMES = (
    *("design_hash", "launch_power_dbm", "bits", "errors"),
    *("ber", "ber_low", "ber_high", "snr_db"),
)


def counted(run: Path) -> dict[str, Figures]:
    """Return the best point of each design of a run of ``dbp ber``, without watts."""
    metrics = read_metrics(run / "metrics.json", BerMetrics)
    assert metrics is not None, f"{run}: no metrics.json"
    return {
        point.design: Figures(
            **{name: getattr(point, name) for name in NAMES},
            receiver_power_w=None,
            receiver_area_mm2=None,
        )
        for point in best_points(metrics.points).values()
    }


def synthesized(run: Path) -> dict[str, tuple[float, float]]:
    """Return W and mm2 of the reconfigurable receivers in nangate45 of a run of ``dbp compare``."""
    metrics = read_metrics(run / f"{FILE}.json", ComparisonMetrics)
    assert metrics is not None, f"{run}: no {FILE}.json"
    return {
        row.design: (round(row.power_w.total, 1), round(row.area_mm2, 1))
        for row in metrics.rows
        if (row.pdk, row.filters) == ("nangate45", "reconfigurable")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ber", type=Path, nargs="*", default=[], metavar="RUN")
    parser.add_argument("--compare", type=Path, nargs="*", default=[], metavar="RUN")
    options = parser.parse_args()
    file = Path(shipped.__file__).parent / "designs" / "figures.csv"
    found = dict(shipped.figures()) if file.exists() else {}
    kept = {name: (old.receiver_power_w, old.receiver_area_mm2) for name, old in found.items()}
    for run in options.compare:
        kept |= synthesized(run)
    for run in options.ber:
        found |= counted(run)
    rows = []
    for name in shipped.designs():
        watts, area = kept.get(name, (None, None))
        figures = replace(found[name], receiver_power_w=watts, receiver_area_mm2=area)
        rows.append({"design": name, **asdict(figures)})
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
