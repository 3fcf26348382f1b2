"""State how near the watt model comes: the tables of docs/concepts/watt_model.md, in seconds.

python benchmarks/watt_accuracy.py
"""

from __future__ import annotations

import numpy as np

from dbp.datapath import shipped
from dbp.rtl.target import FILTER_KINDS
from dbp.synthesis import watt_model
from dbp.synthesis.watt_model import fit
from dbp.synthesis.watt_model.counts import count
from dbp.synthesis.watt_model.steps import synthesised

KITS = ("nangate45", "asap7")
# W and mm2 of whole receivers by `dbp compare`: docs/results/paper.md.
RECEIVERS = {
    ("learned-c6-s9", "nangate45", "reconfigurable"): (39.8, 54.6),
    ("learned-c5-s8", "nangate45", "reconfigurable"): (34.2, 47.5),
    ("enhanced-c5-s9", "nangate45", "reconfigurable"): (40.4, 57.6),
    ("lsco-paper-c9-s9", "nangate45", "reconfigurable"): (77.9, 97.9),
    ("lsco-tuned-c9-s9", "nangate45", "reconfigurable"): (81.4, 98.2),
    ("learned-c6-s9", "nangate45", "hardwired"): (15.8, 16.0),
    ("enhanced-c5-s9", "nangate45", "hardwired"): (23.9, 21.4),
    ("lsco-tuned-c9-s9", "nangate45", "hardwired"): (42.4, 37.6),
    ("learned-c6-s9", "asap7", "reconfigurable"): (7.9, 4.2),
    ("learned-c5-s8", "asap7", "reconfigurable"): (6.8, 3.6),
    ("lsco-paper-c9-s9", "asap7", "reconfigurable"): (15.9, 7.4),
}


def main() -> None:
    print("| kit | filters | steps fitted, held out | power: rms, worst | area: rms, worst |")
    print("| --- | --- | --- | --- | --- |")
    everything = []
    for kit in KITS:
        prices = fit.prices(kit)
        for filters in FILTER_KINDS:
            rows = [s for s in synthesised() if (s.kit, s.step.filters) == (kit, filters)]
            errors = []
            for each in (each for each in rows if each.held_out):
                cost = prices.cost(count(each.step, each.lanes))
                errors.append(
                    (cost.gates_mw / each.total_mw - 1, cost.area_um2 / each.total_um2 - 1)
                )
            everything += errors
            seen = len(rows) - len(errors)
            print(f"| {kit} | {filters} | {seen}, {len(errors)} | {_line(errors)} |")
    print(f"| all | | {len(synthesised()) - len(everything)}, {len(everything)} | ", end="")
    print(f"{_line(everything)} |\n")
    print("| receiver | kit | filters | W: synthesised, predicted | mm2: synthesised, predicted |")
    print("| --- | --- | --- | --- | --- |")
    designs = shipped.designs()
    for (name, kit, filters), (power_w, area_mm2) in RECEIVERS.items():
        found = watt_model.predict(designs[name], kit, filters)
        power = f"{power_w}, {found.power_w:.1f} ({100 * (found.power_w / power_w - 1):+.0f} %)"
        area = f"{area_mm2}, {found.area_mm2:.1f} ({100 * (found.area_mm2 / area_mm2 - 1):+.0f} %)"
        print(f"| `{name}` | {kit} | {filters} | {power} | {area} |")


def _line(errors: list[tuple[float, float]]) -> str:
    values = 100 * np.array(errors)
    rms, worst = np.sqrt(np.mean(values**2, axis=0)), np.abs(values).max(axis=0)
    return " | ".join(f"{r:.1f} %, {w:.1f} %" for r, w in zip(rms, worst, strict=True))


if __name__ == "__main__":
    main()
