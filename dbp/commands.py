"""What each command of the command line does: reads and writes the files of a run's folder."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import resources
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dbp import config, golden, metrics
from dbp.complexity import complexity
from dbp.config import Config
from dbp.design import Design, launch_power_uw
from dbp.errors import DbpError, InputError, MissingError
from dbp.files import write_csv, write_json, write_npz, write_text
from dbp.stimulus import Stimulus

if TYPE_CHECKING:
    from dbp.ber import Receiver
    from dbp.filters import FloatFilters

# torch and the hardware tools load slowly: each command imports its own, so that --help is quick.

CONSTELLATION_POINTS = 3000
# What comes with the package: NAME.json, and NAME.npz, its filters in floating point, for some.
DESIGNS = resources.files("dbp") / "designs"


def read_config(name_or_path: str, seed: int | None) -> Config:
    """The configuration of that name, with another seed if one is given."""
    loaded = config.load(name_or_path)
    return loaded if seed is None else loaded.model_copy(update={"seed": seed})


def shipped_designs() -> dict[str, Design]:
    """The designs that come with the package, by name."""
    files = sorted(DESIGNS.iterdir(), key=lambda file: file.name)
    return {
        file.name.removesuffix(".json"): Design.from_json(file.read_text(encoding="utf-8"))
        for file in files
        if file.name.endswith(".json")
    }


def find_design(name_or_path: str) -> tuple[Design, Path | None]:
    """A shipped design, or a ``design.json``, or that of a run's folder; and the folder, if any."""
    shipped = shipped_designs()
    path = Path(name_or_path)
    if name_or_path in shipped:
        return shipped[name_or_path], None
    if path.is_dir():
        path /= "design.json"
    if not path.is_file():
        raise InputError(
            f"design {name_or_path!r}: neither a design.json nor a run's folder nor a shipped "
            f"design ({', '.join(shipped) or 'none'})"
        )
    return Design.load(path), path.parent


def float_filters(name: str, folder: Path | None) -> FloatFilters:
    """The filters in floating point of a design that `find_design` has found under that name."""
    from dbp.filters import FloatFilters

    file = folder / "train" / "float.npz" if folder else DESIGNS / f"{name}.npz"
    if not file.is_file():
        missing = "train/float.npz" if folder else file.name
        raise InputError(f"{name}: no {missing} beside it: --arithmetic fixed only")
    with resources.as_file(file) as path:
        return FloatFilters.load(path)


def config_of(folder: Path | None) -> Config:
    """The configuration that a design's folder was made with; the paper's where it has none."""
    toml = folder / "config.toml" if folder else None
    return config.load(str(toml) if toml and toml.is_file() else "paper")


def train(settings: Config, out: Path, device: str = "cpu") -> None:
    """Learn a design and write it, its floats and its history into ``out``.

    A killed run goes on from ``out/train/checkpoint.npz``. ``device``: of torch, by its name.
    """
    from dbp import training

    chosen = training.find_device(device)
    stopwatch = metrics.Stopwatch()
    out.mkdir(parents=True, exist_ok=True)
    print(
        f"Learning {settings.learned.taps} taps with {settings.learned.coefficient_bits}-bit "
        f"coefficients and {settings.learned.signal_bits}-bit signals, seed {settings.seed}",
        flush=True,
    )
    checkpoint = out / "train" / "checkpoint.npz"
    result = training.train(settings, checkpoint, chosen)
    _place(result.design, settings, out)
    result.filters.save(out / "train" / "float.npz")
    result.write_history(out / "train" / "history.csv")
    written = metrics.write_metrics(
        out / "train" / "metrics.json",
        {**result.figures, "design": result.design.name},
        design_hash=result.design.hash,
        config_hash=settings.hash,
        seed=settings.seed,
        versions=metrics.package_versions("torch", "numpy", "numba"),
        stopwatch=stopwatch,
    )
    checkpoint.unlink(missing_ok=True)
    print(
        f"Effective SNR at {written['launch_power_dbm']:+g} dBm on unseen data: "
        f"baseline {written['snr_db_baseline']:.2f} dB, learned {written['snr_db_float']:.2f} dB "
        f"in float and {written['snr_db_quantized']:.2f} dB quantized; "
        f"{written['wall_time_s']:.0f} s -> {out / 'design.json'}",
        flush=True,
    )


def _place(design: Design, settings: Config, out: Path) -> None:
    """Put a design and its configuration into a run's folder.

    What later stages made there of another design or configuration is removed.
    """
    text = settings.to_toml()
    place, toml = out / "design.json", out / "config.toml"
    if place.is_file() or toml.is_file():
        same = place.is_file() and place.read_text(encoding="utf-8") == design.to_json()
        if not same or not toml.is_file() or toml.read_text(encoding="utf-8") != text:
            for stage in ("rtl", "sim", "proof", "synth"):
                shutil.rmtree(out / stage, ignore_errors=True)
    design.save(place)
    write_text(toml, text)


def baseline(settings: Config, out: Path) -> None:
    """Write the least-squares baseline of the configuration into a folder of its own."""
    from dbp import training

    design, filters = training.baseline(settings)
    _place(design, settings, out)
    filters.save(out / "train" / "float.npz")


def make_stimulus(folder: Path, design: Design, settings: Config) -> None:
    """Simulate the link and write its converter samples as ``stimulus.npz`` beside the design."""
    from dbp import link

    power_dbm = settings.training.launch_power_dbm
    blocks = -(-settings.hardware.stimulus_symbols // settings.link.block_symbols)
    received = link.simulate(
        settings.link, power_dbm, blocks, seed=settings.seed, purpose="stimulus"
    )
    count = 2 * settings.hardware.stimulus_symbols
    samples = golden.convert(received.waveform.reshape(-1)[:count], design)
    power_uw = launch_power_uw(power_dbm)
    stimulus = Stimulus(samples, power_uw, design.hash, settings.hash, settings.seed)
    stimulus.save(folder / "stimulus.npz")


def ensure_stimulus(folder: Path) -> None:
    """Make the stimulus of a run's design unless the right one is already there."""
    design, settings = Design.load(folder / "design.json"), config_of(folder)
    with contextlib.suppress(InputError):
        if Stimulus.load(folder / "stimulus.npz", design).config_hash == settings.hash:
            return
    print(f"Simulating the link for {folder / 'stimulus.npz'}", flush=True)
    make_stimulus(folder, design, settings)


def rtl(
    design: Design,
    folder: Path | None,
    out: Path,
    lanes: int | None,
    filters: str = "reconfigurable",
    top: str = "chain",
    step: int = 0,
    cuts: str | None = None,
) -> None:
    """Generate the Verilog of a design into ``out/rtl``, with the design and its configuration.

    ``folder`` is where the design comes from, None for a shipped one. For ``filters``, ``top`` and
    ``step`` see `dbp.rtl.emit`, for ``cuts`` `dbp.rtl.pipeline.parse`.
    """
    from dbp.rtl import check, emit, pipeline

    settings = config_of(folder)
    lanes = lanes or settings.hardware.lanes
    what = f"{len(design.filters)} filters" if top == "chain" else f"{top} {step}"
    print(f"Generating Verilog of {design.name}: {what}, {filters}, {lanes} lanes", flush=True)
    if (out / "design.json").is_file() and Design.load(out / "design.json").hash != design.hash:
        raise InputError(f"{out}: holds another design: choose another folder")
    check(design, lanes, filters, top, step)
    cut = pipeline.parse(cuts) if cuts else None
    _place(design, settings, out)
    written = emit(
        design,
        out / "rtl",
        lanes,
        filters=filters,
        top=top,
        step=step,
        pipeline=cut,
        config_hash=settings.hash,
        seed=settings.seed,
    )
    if graphs := written.get("adder_graphs"):
        before, after = (
            sum(row[kind]["adders"] for row in graphs) / len(graphs)
            for kind in ("unshared", "shared")
        )
        print(f"Adders of a filter lane, on average: {before:.1f}, shared {after:.1f}")
    print(
        f"Latency {written['latency_cycles']} clocks, {written['modules']} modules, "
        f"{written['wall_time_s']:.0f} s -> {out / 'rtl'}",
        flush=True,
    )


def sim(run: Path, simulator: str | None, waves: bool, code_coverage: bool = False) -> None:
    """Simulate a run's Verilog against the golden model, and say what that covered."""
    from dbp.sim import simulate

    ensure_stimulus(run)
    print(f"Simulating {run / 'rtl'} against the golden model", flush=True)
    written = simulate(
        run,
        simulator=simulator,
        waves=waves,
        code_coverage=code_coverage,
        config_hash=config_of(run).hash,
    )
    print(
        f"{written['simulator']}: {written['samples_compared']} samples compared, "
        f"{written['mismatches']} mismatches; {written['registers_read']} registers read; "
        f"{written['wall_time_s']:.0f} s -> {run / 'sim'}"
    )
    for what, counts in written["coverage"].items():
        count, *used = counts.items()
        words = ", ".join(f"{n} {how}" for how, n in used)
        print(f"covered: {count[1]} {what.replace('_', ' ')}: {words}", flush=True)


def prove(run: Path, pdk: str | None) -> None:
    """Prove a run's Verilog equal to the golden model; with ``pdk`` its netlist of that kit too."""
    from dbp.rtl.proof import prove

    config_hash = config_of(run).hash
    print(f"Proving {run / 'rtl'} equal to the golden model", flush=True)
    written = prove(run, config_hash=config_hash)
    rows = written["modules"]
    print(
        f"{len(rows)} modules proved: {sum(r['sums']['sums'] for r in rows)} sums of "
        f"{sum(r['sums']['monomials'] for r in rows)} products, and what becomes of "
        f"{sum(r['requantisers']['values'] for r in rows)} values; "
        f"{written['wall_time_s']:.0f} s -> {run / 'proof'}",
        flush=True,
    )
    if pdk is None:
        return
    from dbp.synthesis.equivalence import prove_netlist

    written = prove_netlist(run, pdk, config_hash=config_hash)
    words = "proved" if written["proved"] else f"NOT proved within {written['limit_s']:g} s"
    print(
        f"Netlist of {written['module']}: {words}, {written['registers']} registers paired; "
        f"{written['wall_time_s']:.0f} s -> {run / 'synth' / pdk}",
        flush=True,
    )


def synth(
    run: Path,
    pdk: str | None,
    step: int | None,
    lanes: int | None,
    filters: str = "reconfigurable",
    cuts: str | None = None,
) -> None:
    """Synthesise one step of a run's design: area, timing, simulated activity and power."""
    from dbp.rtl import pipeline
    from dbp.synthesis import synthesize

    settings = config_of(run)
    clock_mhz = settings.hardware.clock_mhz
    pdk, lanes = pdk or settings.hardware.pdk, lanes or settings.hardware.synthesis_lanes
    ensure_stimulus(run)
    print(f"Synthesising {run} for {pdk}, {lanes} lanes at {clock_mhz:g} MHz", flush=True)
    written = synthesize(
        run,
        pdk,
        step=step,
        lanes=lanes,
        filters=filters,
        pipeline=pipeline.parse(cuts) if cuts else None,
        clock_mhz=clock_mhz,
        config_hash=settings.hash,
    )
    print(
        f"Step {written['step']}: {written['cell_area_um2']:.0f} um2, "
        f"{1e3 * written['power_w']['total']:.2f} mW, slack {written['slack_ns']:+.3f} ns, "
        f"{written['gate_level_mismatches']} gate-level mismatches; "
        f"{written['wall_time_s']:.0f} s -> {run / 'synth' / pdk}",
        flush=True,
    )


def ber(
    names: Sequence[str],
    powers_dbm: Sequence[float] | None,
    out: Path,
    *,
    config_name: str | None,
    arithmetic: str,
    min_errors: int | None,
    max_bits: int | None,
    seed: int | None,
) -> None:
    """Evaluate designs and reference receivers over launch powers, by default the CONFIG's."""
    from dbp import references
    from dbp.ber import draw

    stopwatch = metrics.Stopwatch()
    found = {name: find_design(name) for name in names if name not in references.NAMES}
    folders = [folder for _, folder in found.values()]
    settings = config.load(config_name) if config_name else config_of(next(iter(folders), None))
    if seed is not None:
        settings = settings.model_copy(update={"seed": seed})
    kinds = ("fixed", "float") if arithmetic == "both" else (arithmetic,)
    wanted = [(name, kind) for name in names for kind in (kinds if name in found else ("float",))]
    receivers, points = _evaluate(wanted, found, settings, powers_dbm, out, min_errors, max_bits)
    write_text(out / "ber.svg", draw([point.model_dump() for point in points]))
    _save_constellations(receivers, points, settings, out)
    print(f"{stopwatch.seconds:.0f} s -> {out / 'ber.csv'}", flush=True)


def reproduce(
    powers_dbm: Sequence[float] | None,
    out: Path,
    *,
    config_name: str | None,
    min_errors: int | None,
    max_bits: int | None,
    seed: int | None,
) -> None:
    """Evaluate our receiver for every curve of the paper's BER and compare the two."""
    from dbp import published, reproduction

    stopwatch = metrics.Stopwatch()
    settings = read_config(config_name or "paper", seed)
    if settings.link.modulation != published.MODULATION:
        raise InputError(
            f"link.modulation = {settings.link.modulation!r}: must be that of the paper, "
            f"{published.MODULATION!r}"
        )
    curves = published.ber_curves()
    wanted = [(curve.receiver, curve.arithmetic) for curve in curves]
    found = {name: find_design(name) for name, _ in wanted if name != "linear"}
    _, points = _evaluate(wanted, found, settings, powers_dbm, out, min_errors, max_bits)
    write_text(out / "ber.svg", reproduction.draw(curves, points))
    rows = reproduction.compare(curves, points)
    write_csv(out / "reproduction.csv", rows)
    print(reproduction.to_text(rows))
    print(f"{stopwatch.seconds:.0f} s -> {out / 'reproduction.csv'}", flush=True)


def _evaluate(
    wanted: Sequence[tuple[str, str]],
    found: Mapping[str, tuple[Design, Path | None]],
    settings: Config,
    powers_dbm: Sequence[float] | None,
    out: Path,
    min_errors: int | None,
    max_bits: int | None,
) -> tuple[list[Receiver], list[metrics.Point]]:
    """Count the bit errors of receivers; writes ``metrics.json`` and ``ber.csv``.

    ``wanted``: name and arithmetic of each; the names in ``found`` are designs, the others
    reference receivers. What is None is the configuration's. Returns the receivers and all points.
    """
    from dbp import ber, references

    powers_dbm = powers_dbm or settings.evaluation.launch_power_dbm
    names = list(dict.fromkeys(name for name, _ in wanted))
    short = {name: found[name][0].name if name in found else name for name in names}
    # Designs of the same name are told apart as they were typed.
    labels = {
        name: name if list(short.values()).count(label) > 1 else label
        for name, label in short.items()
    }
    receivers: list[Receiver] = []
    for name, arithmetic in wanted:
        label = labels[name]
        if name not in found:
            receivers.append(references.Reference(label, settings.link))
        elif arithmetic == "fixed":
            receivers.append(ber.FixedReceiver(label, found[name][0]))
        else:
            filters = float_filters(name, found[name][1])
            receivers.append(ber.FloatReceiver(label, filters))

    stopwatch = metrics.Stopwatch()
    out.mkdir(parents=True, exist_ok=True)
    for name, arithmetic in wanted:
        for power in powers_dbm if arithmetic == "fixed" else ():
            if any(r.kerr_saturates(launch_power_uw(power)) for r in found[name][0].rotations):
                print(f"Note: {labels[name]}: K is at the end of its range at {power:+g} dBm")
    print(
        f"Counting bit errors of {', '.join(labels.values())} at "
        f"{', '.join(f'{power:+g}' for power in powers_dbm)} dBm",
        flush=True,
    )
    counted = ber.evaluate(
        receivers,
        settings.link,
        powers_dbm,
        min_errors=min_errors or settings.evaluation.min_errors,
        max_bits=max_bits or settings.evaluation.max_bits,
        seed=settings.seed,
    )
    designs = {labels[name]: design for name, (design, _) in found.items()}
    points = [{**point, **_of_design(point, designs.get(point["design"]))} for point in counted]
    hashes = [design.hash for design in designs.values()]
    metrics.write_metrics(
        out / "metrics.json",
        {"points": points},
        design_hash=hashes[0] if len(hashes) == 1 else None,
        config_hash=settings.hash,
        seed=settings.seed,
        versions=metrics.package_versions("torch", "numpy", "scipy"),
        stopwatch=stopwatch,
    )
    write_csv(out / "ber.csv", points)
    checked = [metrics.Point(**point) for point in points]
    _print_best(checked)
    return receivers, checked


def _of_design(point: Mapping[str, Any], design: Design | None) -> dict[str, Any]:
    """What a point tells of its design: hash and, in fixed point, the cost per complex sample."""
    cost = complexity(design) if design and point["arithmetic"] == "fixed" else None
    return {
        "design_hash": design.hash if design else None,
        "multiplier_bits": cost.multiplier_bits if cost else None,
        "adder_bits": cost.adder_bits if cost else None,
    }


def _print_best(points: Sequence[metrics.Point]) -> None:
    """A table of every receiver's best point."""
    from dbp.report import aligned, best_points

    rows = [["design", "arithmetic", "BER", "95 % interval", "SNR dB", "at dBm"]]
    rows[0] += ["multiplier bits", "adder bits"]
    for (label, kind), point in best_points(points).items():
        interval = f"{point.ber_low:.2e} .. {point.ber_high:.2e}"
        row = [label, kind, f"{point.ber:.2e}", interval, f"{point.snr_db:.2f}"]
        costs = (point.multiplier_bits, point.adder_bits)
        row += [f"{point.launch_power_dbm:+g}", *("-" if n is None else f"{n:,}" for n in costs)]
        rows.append(row)
    print(aligned(rows))


def _save_constellations(
    receivers: Sequence[Receiver],
    points: Sequence[metrics.Point],
    settings: Config,
    out: Path,
) -> None:
    """``constellation.npz``: symbols as received, and as each receiver leaves them.

    The first receiver's best launch power serves all.
    """
    from dbp.ber import GROUP_SYMBOLS, align, matched_filter
    from dbp.link import simulate
    from dbp.report import best_points

    first = receivers[0]
    power_dbm = best_points(points)[first.name, first.arithmetic].launch_power_dbm
    blocks = -(-GROUP_SYMBOLS // settings.link.block_symbols)
    received = simulate(
        settings.link, power_dbm, blocks, seed=settings.seed, purpose="evaluate", progress=False
    )
    clouds: dict[str, Any] = {}
    for receiver in receivers:
        # One arithmetic of each design is enough to see: the one named first.
        clouds.setdefault(receiver.name, receiver(received.waveform, power_dbm))
    # As it came, nothing of it stands at the symbols sent: shown at its own power.
    raw = matched_filter(received.waveform, settings.link.roll_off)
    symbols = {"received": raw / np.sqrt(np.mean(np.abs(raw) ** 2))}
    for name, waveform in clouds.items():
        equalised = matched_filter(waveform, settings.link.roll_off)
        symbols[name] = align(received.symbols, equalised)
    some = {name: x.reshape(-1)[:CONSTELLATION_POINTS] for name, x in symbols.items()}
    write_npz(
        out / "constellation.npz", **{name: x.astype(np.complex64) for name, x in some.items()}
    )


def report(runs: Sequence[Path]) -> None:
    """Write the page over runs into the first of them."""
    from dbp.report import write_report

    print(f"Report -> {write_report(runs)}", flush=True)


def run(settings: Config, out: Path, device: str = "cpu") -> None:
    """Learned design and baseline, both through every stage, and one report over both.

    A stage that lacks a tool or a kit is left out and named in the report; a stage that fails
    does not stop the others, but makes the whole run fail in the end.
    """
    if settings.link.modulation == "gaussian":
        raise InputError("link.modulation = 'gaussian': has no bits to count: use dbp train")
    folders = out / "learned", out / "baseline"
    train(settings, folders[0], device)
    baseline(settings, folders[1])
    ber(
        [*(str(folder) for folder in folders), "linear"],
        None,
        out,
        config_name=str(folders[0] / "config.toml"),
        arithmetic="both",
        min_errors=None,
        max_bits=None,
        seed=None,
    )
    jobs: dict[str, Job] = {}
    for folder in folders:
        ensure_stimulus(folder)
        jobs[f"{folder.name}/sim"] = (_emit_prove_simulate, (folder,))
        jobs[f"{folder.name}/synth/{settings.hardware.pdk}"] = (synth, (folder, None, None, None))
    missing, failed = _run_all(jobs)
    write_json(out / "absent.json", missing | failed)
    from dbp.report import summary, write_report

    page = write_report([out])
    print(summary(out))
    for name, reason in (missing | failed).items():
        print(f"absent: {name}: {reason}")
    print(f"Report -> {page}", flush=True)
    if failed:
        raise DbpError(f"failed: {', '.join(failed)}: see {page}")


Job = tuple[Callable[..., None], tuple[Any, ...]]


def _emit_prove_simulate(folder: Path) -> None:
    rtl(Design.load(folder / "design.json"), folder, folder, None)
    prove(folder, None)
    sim(folder, None, False)


def _run_all(jobs: dict[str, Job]) -> tuple[dict[str, str], dict[str, str]]:
    """Run jobs in processes, as many at a time as there are cores.

    Returns the reasons of those that lacked a tool or a kit, and of those that failed.
    """
    missing: dict[str, str] = {}
    failed: dict[str, str] = {}
    workers = min(len(jobs), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running = {name: pool.submit(job, *given) for name, (job, given) in jobs.items()}
        for name, job in running.items():
            try:
                job.result()
            except MissingError as error:
                missing[name] = str(error)
            except Exception as error:  # whatever ended one job, the others and the report go on
                failed[name] = f"{type(error).__name__}: {error}"
    return missing, failed
