"""``dbp ber``: bit error ratio and effective SNR against launch power."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbp import config
from dbp.cli._requests import Request, resolve, resolve_reproduction
from dbp.comparison import paper
from dbp.evaluation import executors
from dbp.evaluation.executors import Workplace
from dbp.evaluation.points import Points
from dbp.records.provenance import Stopwatch, package_versions, provenance, write_metrics
from dbp.records.schemas import BerMetrics, Point, best_points
from dbp.support.files import write_csv, write_npz, write_text
from dbp.support.svg import to_svg
from dbp.support.text import aligned

if TYPE_CHECKING:
    from dbp.evaluation.plan import EvaluationPlan

# Modules that load torch or matplotlib are imported where they are needed: --help stays quick.

DATABASE = "results.sqlite"
# The key of the link that says how many samples per symbol a point's receiver takes.
RATE = "adc_samples_per_symbol"


def ber(request: Request, out: Path, workplace: Workplace) -> Points:
    """Evaluate designs and reference receivers over launch powers and links.

    Writes ``metrics.json``, ``ber.csv``, ``ber.svg`` and ``constellation.npz`` into ``out`` and
    prints a table of the best points.
    """
    from dbp.evaluation.plan import constellations
    from dbp.evaluation.plot import ber_and_snr

    stopwatch = Stopwatch()
    executors.check(workplace.cluster, workplace.slurm)
    plan = resolve(request)
    points = _count(plan, out, workplace)
    clouds = constellations(plan, points)
    write_text(out / "ber.svg", to_svg(ber_and_snr(points)))
    write_npz(out / "constellation.npz", **clouds)
    print_best(points, plan.link_keys)
    print(f"{stopwatch.seconds:.0f} s -> {out / 'ber.csv'}", flush=True)
    return points


def reproduce(request: Request, out: Path, workplace: Workplace) -> None:
    """Evaluate our receiver for every curve of the paper's BER and compare the two."""
    from dbp.report import reproduction

    stopwatch = Stopwatch()
    executors.check(workplace.cluster, workplace.slurm)
    curves = paper.ber_curves()
    points = _count(resolve_reproduction(request, curves), out, workplace)
    print_best(points, ())
    write_text(out / "ber.svg", to_svg(reproduction.beside_paper(curves, points)))
    rows = reproduction.compare(curves, points)
    write_csv(out / "reproduction.csv", rows)
    print(reproduction.to_text(rows))
    print(f"{stopwatch.seconds:.0f} s -> {out / 'reproduction.csv'}", flush=True)


def _count(plan: EvaluationPlan, out: Path, workplace: Workplace) -> Points:
    """Run a plan; writes ``metrics.json`` and ``ber.csv``."""
    from dbp.evaluation.plan import run

    stopwatch = Stopwatch()
    for note in plan.notes():
        print(f"Note: {note}")
    scenarios = [each.scenario for each in plan.transmissions]
    powers = dict.fromkeys(f"{each.launch_power_dbm:+g}" for each in scenarios)
    labels = dict.fromkeys(candidate.label for candidate in plan.candidates)
    link_count = len({link for _, link in plan.links})
    print(
        f"Counting bit errors of {', '.join(labels)} at {', '.join(powers)} dBm"
        + (f" of {link_count} links" if link_count > 1 else ""),
        flush=True,
    )
    points = run(plan, workplace)
    hashes = [design.hash for design in plan.designs.values()]
    metrics = BerMetrics(
        points=tuple(points),
        link=_common_link(plan),
        min_errors=plan.rule.min_errors,
        max_bits=plan.rule.max_bits,
        receiver=plan.detection,
        **provenance(
            design_hash=hashes[0] if len(hashes) == 1 else None,
            config_hash=plan.config_hash,
            seed=plan.seed,
            versions=package_versions("torch", "numpy", "scipy"),
            stopwatch=stopwatch,
        ),
    )
    write_metrics(out / "metrics.json", metrics)
    points.to_csv(out / "ber.csv")
    return points


def _common_link(plan: EvaluationPlan) -> dict[str, Any]:
    """The values that all links of a plan share."""
    flat = [config.flat_link(link) for _, link in plan.links]
    return {k: v for k, v in flat[0].items() if all(each[k] == v for each in flat)}


def print_best(points: Sequence[Point], link_keys: Sequence[str]) -> None:
    """Print a table of every receiver's best point, on each link."""
    header = [*link_keys, "design", "arithmetic", "BER", "95 % interval", "SNR dB", "at dBm"]
    rows = [[*header, "multiplier bits", "adder bits"]]

    def link_of(point: Point) -> tuple[Any, ...]:
        return tuple(getattr(point, key) for key in link_keys)

    best = best_points(points).values()
    for link in dict.fromkeys(map(link_of, points)):
        for point in (point for point in best if link_of(point) == link):
            interval = f"{point.ber_low:.2e} .. {point.ber_high:.2e}"
            row = [*map(str, link), point.design, point.arithmetic, f"{point.ber:.2e}", interval]
            row += [f"{point.snr_db:.2f}", f"{point.launch_power_dbm:+g}"]
            costs = (point.multiplier_bits, point.adder_bits)
            rate = (point.model_extra or {}).get(RATE, "2")
            scale = float(Fraction(rate)) / 2
            rows.append([*row, *("-" if n is None else f"{n * scale:,.0f}" for n in costs)])
    print(aligned(rows))
    if RATE in link_keys:
        print("Multiplier and adder bits are per half symbol.")
