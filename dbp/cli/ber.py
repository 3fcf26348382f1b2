"""``dbp ber``: bit error ratio and effective SNR against launch power."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbp import config
from dbp.cli._ber_of_waveform import ber_of_waveform
from dbp.cli._requests import Request, resolve, resolve_reproduction
from dbp.cli.options import (
    DESIGN_HELP,
    Commands,
    Parser,
    add_command,
    add_out,
    add_seed,
    launch_powers_dbm,
    positive,
    swept_key,
    workers,
)
from dbp.comparison import paper
from dbp.errors import InputError
from dbp.evaluation import executors, slurm
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


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp ber``."""
    text = "bit error ratio and effective SNR against launch power"
    parser = add_command(commands, "ber", _run, text)
    parser.add_argument(
        "designs",
        nargs="*",
        metavar="DESIGN",
        help=DESIGN_HELP + ", or linear, dbp1, dbp50 (frequency-domain references)",
    )
    parser.add_argument(
        "--reproduce", choices=("paper",), help="the receivers of all its BER curves"
    )
    parser.add_argument(
        "--waveform", type=Path, metavar="FILE", help="count on this waveform (.npz, .mat, .h5)"
    )
    parser.add_argument(
        "--launch-power-dbm",
        type=launch_powers_dbm,
        metavar="RANGE",
        help="START:STOP:STEP or values with commas (default: CONFIG's)",
    )
    add_out(parser)
    parser.add_argument(
        "--config",
        metavar="CONFIG",
        help="the link of all (default: that of each design's run, or paper)",
    )
    parser.add_argument(
        "--arithmetic", choices=("fixed", "float", "both"), help="of designs (default: fixed)"
    )
    parser.add_argument(
        "--min-errors", type=positive, help="stop a point there (default: CONFIG's)"
    )
    parser.add_argument("--max-bits", type=positive, help="or there (default: CONFIG's)")
    parser.add_argument(
        "--sweep",
        type=swept_key,
        action="append",
        default=[],
        metavar="KEY=RANGE",
        help="other values of a key of [link]; may be repeated",
    )
    parser.add_argument("--resume", action="store_true", help="go on where RUN was interrupted")
    parser.add_argument(
        "--cluster",
        default="local",
        metavar="WHERE",
        help="local (default), slurm, or tcp://HOST:PORT (Dask)",
    )
    parser.add_argument(
        "--workers",
        type=workers,
        metavar="N",
        help="processes or Slurm jobs (default: one a core, one job)",
    )
    parser.add_argument(
        "--slurm",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"how jobs are asked for: {', '.join(slurm.KEYS)}; or a TOML file of them; may be "
        "repeated",
    )
    add_seed(parser)


def _run(options: argparse.Namespace) -> None:
    if options.reproduce and (options.designs or options.arithmetic or options.sweep):
        raise InputError(
            "--reproduce has receivers of its own: no DESIGN, no --arithmetic, no --sweep"
        )
    if options.reproduce and options.waveform:
        raise InputError("--reproduce has links of its own: no --waveform")
    if options.waveform:
        _check_for_waveform(options)
        arithmetic = options.arithmetic or "fixed"
        points = ber_of_waveform(
            options.designs, arithmetic, options.waveform, options.out, options.config
        )
        print_best(points, ())
        return
    sweep = dict(options.sweep)
    if len(sweep) < len(options.sweep):
        raise InputError("--sweep: each KEY once")
    request = Request(
        designs=options.designs,
        launch_powers_dbm=options.launch_power_dbm,
        config=options.config,
        arithmetic=options.arithmetic or "fixed",
        seed=options.seed,
        sweep=sweep,
        min_errors=options.min_errors,
        max_bits=options.max_bits,
    )
    if options.slurm and options.cluster != "slurm":
        raise InputError("--slurm: is for --cluster slurm")
    workplace = Workplace(
        options.out / DATABASE,
        options.cluster,
        options.workers,
        options.resume,
        slurm.settings(options.slurm),
    )
    command = reproduce if options.reproduce else ber
    command(request, options.out, workplace)


def _check_for_waveform(options: argparse.Namespace) -> None:
    """Refuse options that mean nothing for a waveform, which is counted as it is."""
    for name in (
        *("launch_power_dbm", "min_errors", "max_bits", "sweep", "resume", "workers"),
        *("cluster", "slurm", "seed"),
    ):
        if getattr(options, name) not in (None, False, [], "local"):
            raise InputError(
                f"--waveform is counted as it is, whole: no --{name.replace('_', '-')}"
            )


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
    powers = dict.fromkeys(f"{power_dbm:+g}" for power_dbm in plan.launch_powers_dbm)
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
            rows.append([*row, *("-" if n is None else f"{n:,}" for n in costs)])
    print(aligned(rows))
