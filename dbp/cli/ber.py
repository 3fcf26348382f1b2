"""``dbp ber``: bit error ratio and effective SNR against launch power."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dbp import config
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
from dbp.config import Config
from dbp.config.sweep import links
from dbp.datapath.design import Design
from dbp.errors import InputError
from dbp.evaluation import executors
from dbp.evaluation.executors import Workplace
from dbp.evaluation.points import Points
from dbp.records.provenance import Stopwatch, package_versions, provenance, write_metrics
from dbp.records.schemas import BerMetrics, Point, best_points
from dbp.runs import config_of, find_design, float_filters, read_config
from dbp.support.files import write_csv, write_npz, write_text
from dbp.support.svg import to_svg
from dbp.support.text import aligned
from dbp.waveforms.recording import Recording, read_recording

if TYPE_CHECKING:
    from dbp.evaluation.plan import EvaluationPlan

# Modules that load torch or matplotlib are imported where they are needed: --help stays quick.

DATABASE = "results.sqlite"

FoundDesign = tuple[Design, Path | None]


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
    workplace = Workplace(options.out / DATABASE, options.cluster, options.workers, options.resume)
    command = reproduce if options.reproduce else ber
    command(request, options.out, workplace)


def _check_for_waveform(options: argparse.Namespace) -> None:
    """Refuse options that mean nothing for a waveform, which is counted as it is."""
    for name in (
        *("launch_power_dbm", "config", "min_errors", "max_bits", "sweep", "resume", "workers"),
        *("cluster", "seed"),
    ):
        if getattr(options, name) not in (None, False, [], "local"):
            raise InputError(
                f"--waveform is counted as it is, whole: no --{name.replace('_', '-')}"
            )


@dataclass(frozen=True)
class Request:
    """The wishes of a user for an evaluation; the configuration supplies what is None or empty.

    ``designs``: names, files or run folders, and names of reference receivers. ``config``: the name
    or file of a configuration; None: that of the first design's run folder, else the paper's.
    ``sweep``: values of keys of the link, over those of the configuration's ``[sweep]``; with
    ``sweep=None`` nothing is swept, not even what the configuration says.
    """

    designs: Sequence[str] = ()
    launch_powers_dbm: Sequence[float] | None = None
    config: str | None = None
    arithmetic: str = "fixed"
    seed: int | None = None
    sweep: Mapping[str, tuple[Any, ...]] | None = None
    min_errors: int | None = None
    max_bits: int | None = None


def resolve(request: Request) -> EvaluationPlan:
    """Return the plan of an evaluation: every setting from the first source that has it.

    Sources, in their order: the request, the ``[sweep]`` table, the other tables of the
    configuration. Reads configurations and designs, writes nothing.
    """
    from dbp.evaluation.receivers import REFERENCES

    settings = config.load(request.config) if request.config else None
    sweep_of_file = settings.sweep if settings else {}
    names = list(request.designs)
    names = names or list({**sweep_of_file, **(request.sweep or {})}.get("design", ()))
    if not names:
        raise InputError("dbp ber: must have DESIGN..., --reproduce or a [sweep] with design")
    designs = {name: find_design(name) for name in names if name not in REFERENCES}
    settings = settings or config_of(next((folder for _, folder in designs.values()), None))
    swept: Mapping[str, Any] = {}
    if request.sweep is not None:
        settings = config.with_sweep(settings, {**settings.sweep, **request.sweep})
        swept = settings.sweep
    if request.seed is not None:
        settings = settings.model_copy(update={"seed": request.seed})
    kinds = ("fixed", "float") if request.arithmetic == "both" else (request.arithmetic,)
    receivers = [
        (name, kind) for name in names for kind in (kinds if name in designs else ("float",))
    ]
    request = replace(
        request,
        launch_powers_dbm=request.launch_powers_dbm or swept.get("launch_power_dbm"),
    )
    return _plan(request, receivers, designs, settings, swept)


def resolve_reproduction(request: Request, curves: Sequence[paper.Curve]) -> EvaluationPlan:
    """Return the plan that has our receiver for every curve of the paper's BER."""
    settings = read_config(request.config or "paper", request.seed)
    if settings.link.modulation != paper.MODULATION:
        raise InputError(
            f"link.modulation = {settings.link.modulation!r}: must be that of the paper, "
            f"{paper.MODULATION!r}"
        )
    receivers = [(curve.receiver, curve.arithmetic) for curve in curves]
    designs = {name: find_design(name) for name, _ in receivers if name != "linear"}
    return _plan(request, receivers, designs, settings, {})


def _plan(
    request: Request,
    receivers: Sequence[tuple[str, str]],
    designs: Mapping[str, FoundDesign],
    settings: Config,
    swept: Mapping[str, Sequence[Any]],
) -> EvaluationPlan:
    """Return a plan for ``receivers``, names and arithmetics; no design: a reference."""
    from dbp.evaluation.counting import Rule
    from dbp.evaluation.plan import Candidate, EvaluationPlan

    evaluation = settings.evaluation
    swept_links = links(settings.link, swept)
    labels = labels_of([name for name, _ in receivers], designs)
    candidates = []
    for name, arithmetic in receivers:
        if name not in designs:
            candidates.append(Candidate(labels[name], arithmetic))
            continue
        design, folder = designs[name]
        filters = float_filters(name, folder) if arithmetic == "float" else None
        candidates.append(Candidate(labels[name], arithmetic, design, filters))
    return EvaluationPlan(
        candidates=tuple(candidates),
        links=tuple(swept_links),
        launch_powers_dbm=tuple(request.launch_powers_dbm or evaluation.launch_power_dbm),
        rule=Rule(
            request.min_errors or evaluation.min_errors, request.max_bits or evaluation.max_bits
        ),
        seed=settings.seed,
        config_hash=settings.hash,
    )


def labels_of(names: Sequence[str], designs: Mapping[str, FoundDesign]) -> dict[str, str]:
    """Return a short name for each; designs of one name keep the names that were typed."""
    short = {name: designs[name][0].name if name in designs else name for name in names}
    return {
        name: name if list(short.values()).count(label) > 1 else label
        for name, label in short.items()
    }


def ber(request: Request, out: Path, workplace: Workplace) -> Points:
    """Evaluate designs and reference receivers over launch powers and links.

    Writes ``metrics.json``, ``ber.csv``, ``ber.svg`` and ``constellation.npz`` into ``out`` and
    prints a table of the best points.
    """
    from dbp.evaluation.plan import constellations
    from dbp.evaluation.plot import ber_and_snr

    stopwatch = Stopwatch()
    executors.check(workplace.cluster)
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
    executors.check(workplace.cluster)
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
    try:
        points = run(plan, workplace)
    except KeyboardInterrupt:
        kept = f"Kept in {workplace.database}: the same command with --resume goes on"
        print(kept, file=sys.stderr)
        raise
    hashes = [design.hash for design in plan.designs.values()]
    metrics = BerMetrics(
        points=tuple(points),
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
    labels = labels_of(list(designs), designs)
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

    for link in dict.fromkeys(map(link_of, points)):
        best = best_points(point for point in points if link_of(point) == link)
        for (label, kind), point in best.items():
            interval = f"{point.ber_low:.2e} .. {point.ber_high:.2e}"
            row = [*map(str, link), label, kind, f"{point.ber:.2e}", interval]
            row += [f"{point.snr_db:.2f}", f"{point.launch_power_dbm:+g}"]
            costs = (point.multiplier_bits, point.adder_bits)
            rows.append([*row, *("-" if n is None else f"{n:,}" for n in costs)])
    print(aligned(rows))
