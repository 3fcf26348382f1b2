"""``dbp ber``: bit error ratio and effective SNR against launch power."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dbp import config
from dbp.cli._requests import Request, resolve, resolve_reproduction
from dbp.cli._waveforms import design_receiver, prefix_errors, print_synchronization
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
from dbp.runs import config_of, find_design, labels_of
from dbp.support.files import write_csv, write_npz, write_text
from dbp.support.svg import to_svg
from dbp.support.text import aligned
from dbp.waveforms.recording import Recording, read_recording

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
        "--config", metavar="CONFIG", help="the link (default: the design's, or paper)"
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
        ber_of_waveform(options.designs, arithmetic, options.waveform, options.out)
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
        *("launch_power_dbm", "config", "min_errors", "max_bits", "sweep", "resume", "workers"),
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
    with _kept(workplace):
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


@contextlib.contextmanager
def _kept(workplace: Workplace) -> Iterator[None]:
    """Say at the end of a run that failed or was interrupted how to go on with what is counted."""
    before = _state(workplace.database)
    try:
        yield
    except InputError:
        raise
    except BaseException:
        if _state(workplace.database) != before or workplace.resume:
            again = workplace.again or "the same command with --resume goes on"
            print(f"Kept in {workplace.database}: {again}", file=sys.stderr, flush=True)
        raise


def _state(database: Path) -> tuple[int, ...]:
    """What changes when groups are added: they stand in the second file until it is merged."""
    files = (database, database.with_name(database.name + "-wal"))
    return tuple(file.stat().st_mtime_ns for file in files if file.is_file())


def _common_link(plan: EvaluationPlan) -> dict[str, Any]:
    """The values that all links of a plan share."""
    flat = [config.flat_link(link) for _, link in plan.links]
    return {k: v for k, v in flat[0].items() if all(each[k] == v for each in flat)}


def ber_of_waveform(names: Sequence[str], arithmetic: str, file: Path, out: Path) -> None:
    """Count the bit errors of designs on a waveform file.

    Writes ``metrics.json``, ``ber.csv`` and ``constellation.npz`` as `ber` does.
    """
    from dbp.evaluation import on_waveform
    from dbp.evaluation.measures import align
    from dbp.evaluation.plan import CONSTELLATION_POINTS

    stopwatch = Stopwatch()
    if not names:
        raise InputError("dbp ber --waveform: must have DESIGN...")
    designs = {name: find_design(name) for name in names}
    kinds = ("fixed", "float") if arithmetic == "both" else (arithmetic,)
    labels = labels_of(designs)
    recording = _read_countable(file)
    receivers = {
        (name, kind): design_receiver(name, labels[name], designs[name], kind)
        for name in designs
        for kind in kinds
    }
    for name, (design, folder) in designs.items():
        for note in on_waveform.notes(labels[name], design, config_of(folder).link, recording):
            print(f"Note: {note}")
    with prefix_errors(file):
        waveform = on_waveform.stream(recording)
    points: list[Point] = []
    clouds: dict[str, NDArray[np.complex64]] = {}
    for (name, kind), receiver in receivers.items():
        design, label = designs[name][0], labels[name]
        with prefix_errors(f"{file}: {label}"):
            equalized = on_waveform.equalize(receiver, design, waveform, recording)
            points.append(on_waveform.point(receiver, design, recording, equalized))
        print_synchronization(f"{label}, {kind}", equalized.synchronization, recording)
        aligned = align(equalized.sent, equalized.received)
        clouds.setdefault(label, aligned[:CONSTELLATION_POINTS].astype(np.complex64))
    hashes = [design.hash for design, _ in designs.values()]
    metrics = BerMetrics(
        points=tuple(points),
        waveform=str(file),
        **provenance(
            design_hash=hashes[0] if len(hashes) == 1 else None,
            config_hash=None,
            seed=None,
            versions=package_versions("torch", "numpy", "scipy", "h5py"),
            stopwatch=stopwatch,
        ),
    )
    write_metrics(out / "metrics.json", metrics)
    Points(points).to_csv(out / "ber.csv")
    write_npz(out / "constellation.npz", **clouds)
    print_best(points, ())
    print(f"{stopwatch.seconds:.0f} s -> {out / 'ber.csv'}", flush=True)


def _read_countable(file: Path) -> Recording:
    recording = read_recording(file)
    if recording.symbols is None or recording.modulation is None:
        raise InputError(f"{file}: symbols or bits, and modulation: must be there to count errors")
    if recording.modulation == "gaussian":
        raise InputError(f"{file}: modulation = 'gaussian': has no bits to count")
    return recording


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
