"""What the commands that learn, build hardware and report do in a run's folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from dbp.config import Config
from dbp.datapath.design import Design
from dbp.errors import DbpError, InputError, MissingError
from dbp.evaluation.evaluate import Options as EvaluationOptions
from dbp.evaluation.evaluate import ber
from dbp.records import metrics
from dbp.runs import config_of, ensure_stimulus, place
from dbp.support.files import write_json

# torch and the hardware tools load slowly: each command imports its own, so that --help is quick.


def train(settings: Config, out: Path, device: str = "cpu") -> None:
    """Learn a design and write it, its floats and its history into ``out``.

    A killed run goes on from ``out/train/checkpoint.npz``. ``device``: of torch, by its name.
    """
    from dbp.learning import training

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
    place(result.design, settings, out)
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


def baseline(settings: Config, out: Path) -> None:
    """Write the least-squares baseline of the configuration into a folder of its own."""
    from dbp.learning import training

    design, filters = training.baseline(settings)
    place(design, settings, out)
    filters.save(out / "train" / "float.npz")


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
    place(design, settings, out)
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
    from dbp.rtl.proof.prove import prove

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
    from dbp.synthesis.equivalence.prove_mapping import prove_netlist

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
    fit: bool = False,
    place_and_route: bool = False,
) -> None:
    """Synthesise one step of a run's design: area, timing, simulated activity and power.

    ``fit``: first find the cuts, from ``cuts`` on (`dbp.synthesis.fit_clock`).
    """
    from dbp.report.page import aligned
    from dbp.rtl import check, pipeline
    from dbp.synthesis import fit_clock, synthesize
    from dbp.synthesis.cells import kits
    from dbp.synthesis.gates.step_bench import samples_needed
    from dbp.synthesis.layout import openroad as layouts

    settings = config_of(run)
    clock_mhz = settings.hardware.clock_mhz
    pdk, lanes = pdk or settings.hardware.pdk, lanes or settings.hardware.synthesis_lanes
    cut, design = pipeline.parse(cuts or ""), Design.load(run / "design.json")
    # Before the link is simulated, which takes minutes.
    check(design, lanes, filters, "step", len(design.filters) // 2 if step is None else step)
    kits.find(pdk)
    if place_and_route:
        layouts.find(pdk)
    ensure_stimulus(run, samples_needed(design, lanes))
    found = None
    if fit:
        print(f"Fitting {run} in {pdk} to {clock_mhz:g} MHz", flush=True)
        trials = fit_clock.fit(
            run,
            pdk,
            run / "synth" / pdk,
            step=step,
            filters=filters,
            pipeline=cut,
            clock_mhz=clock_mhz,
            take_out=True,
        )
        last, found = fit_clock.last_kept(trials), fit_clock.figures(trials)
        cut = pipeline.parse(last.pipeline)
        print(aligned(fit_clock.table(trials)))
        if last.slack_ns < 0:
            print(f"Nothing is left to cut before {last.latest}: the clock is missed")
        print(f"Cuts: {last.pipeline or 'the usual'}", flush=True)
    then = ", then placing and routing" if place_and_route else ""
    print(f"Synthesising {run} for {pdk}, {lanes} lanes at {clock_mhz:g} MHz{then}", flush=True)
    written = synthesize(
        run,
        pdk,
        step=step,
        lanes=lanes,
        filters=filters,
        pipeline=cut,
        clock_mhz=clock_mhz,
        place_and_route=place_and_route,
        # How the cuts were found is no input, and is to stand in the metrics.
        reuse=found is None,
        config_hash=settings.hash,
        fit_clock=found,
    )
    took = (
        "kept, its inputs are the same" if "kept" in written else f"{written['wall_time_s']:.0f} s"
    )
    print(
        f"Step {written['step']}: {written['cell_area_um2']:.0f} um2, "
        f"{1e3 * written['power_w']['total']:.2f} mW, slack {written['slack_ns']:+.3f} ns "
        f"({written['slack_without_wires_ns']:+.3f} without wires; up to "
        f"{written['highest_clock_mhz']:.0f} MHz), "
        f"{written['gate_level_mismatches']} gate-level mismatches; {took} "
        f"-> {run / 'synth' / pdk}",
        flush=True,
    )
    if placed := written.get("place_and_route"):
        print(
            f"Placed and routed by OpenROAD: {placed['area_um2']:.0f} um2, "
            f"{1e3 * placed['power_w']['total']:.2f} mW, slack {placed['slack_ns']:+.3f} ns, "
            f"wires of {placed['wire_length_um']:.0f} um, {placed['clock_buffers']} clock buffers",
            flush=True,
        )
    if scaled := written["scaled_28nm"]:
        low, central, high = (1e3 * scaled["power_w"][k] for k in ("low", "central", "high"))
        print(
            f"By published factors at {scaled['node_nm']} nm: {central:.2f} mW "
            f"({low:.2f} .. {high:.2f})",
            flush=True,
        )
    if written["for_demonstration_only"]:
        print(f"{pdk} is for demonstration: its figures are no evidence", flush=True)


def pdk(install: str | None) -> None:
    """List the kits and where each one is, or install one from its pinned commit."""
    from dbp.synthesis.cells import install as pdk_install
    from dbp.synthesis.cells import kits

    if install is not None:
        folder = pdk_install.install(install)
        licence = pdk_install.SOURCES[install].licence
        print(f"{install} (licence {licence}) -> {folder}", flush=True)
        return
    for kit in kits.KITS.values():
        try:
            _, files = kits.find(kit.name)
            where = str(files[0].parent)
        except MissingError:
            where = f"not here: dbp pdk install {kit.name}"
        print(f"{kit.name:12}{kit.node_nm:4} nm  {where}")


def power(
    netlist: Path,
    activity: Path,
    liberty: Sequence[Path],
    clock_mhz: float,
    out: Path,
    wire_load: str | None,
    engine: str,
) -> None:
    """Cost any mapped netlist in watts."""
    from dbp.synthesis.power.cost_netlist import cost_power

    written = cost_power(
        netlist, activity, liberty, clock_mhz, out, wire_load=wire_load, engine=engine
    )
    watts, tree = written["power_w"], written["clock_tree_estimate_w"]
    kinds = ", ".join(f"{kind} {1e3 * watts[kind]:.4g}" for kind in list(watts)[:-1])
    for clock, toggles in written["clock_toggles_per_clock"].items():
        if abs(toggles - 2) > 0.02:
            print(f"note: {clock} toggles {toggles:.3g} times a clock of {clock_mhz:g} MHz, not 2")
    print(
        f"{written['module']}: {1e3 * watts['total']:.4g} mW ({kinds}) by "
        f"{written['power_engine']}; clock tree, estimated, not included: "
        + (f"{1e3 * tree['total']:.4g} mW" if tree else "none")
        + f"; {written['wall_time_s']:.0f} s -> {out}",
        flush=True,
    )


def report(runs: Sequence[Path]) -> None:
    """Write the page over runs into the first of them."""
    from dbp.report.page import write_report

    print(f"Report -> {write_report(runs)}", flush=True)


def run(settings: Config, out: Path, device: str = "cpu") -> None:
    """Learned design and baseline, both through every stage, and one report over both.

    A stage that lacks a tool is left out and named in the report, as is a kit that is not there:
    the shipped one stands in for it. A stage that fails does not stop the others, but makes the
    whole run fail in the end.
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
        seed=None,
        swept=None,
        options=EvaluationOptions(),
    )
    jobs: dict[str, Job] = {}
    kit, instead = _kit_or_shipped(settings.hardware.pdk)
    for folder in folders:
        ensure_stimulus(folder)
        jobs[f"{folder.name}/sim"] = (_emit_prove_simulate, (folder,))
        jobs[f"{folder.name}/synth/{kit}"] = (synth, (folder, kit, None, None))
    missing, failed = _run_all(jobs)
    missing |= instead
    write_json(out / "absent.json", missing | failed)
    from dbp.report.page import summary, write_report

    page = write_report([out])
    print(summary(out))
    for name, reason in (missing | failed).items():
        print(f"absent: {name}: {reason}")
    print(f"Report -> {page}", flush=True)
    if failed:
        raise DbpError(f"failed: {', '.join(failed)}: see {page}")


def _kit_or_shipped(name: str) -> tuple[str, dict[str, str]]:
    """The configured kit, or the shipped one where it is missing, and then what to say of it."""
    from dbp.synthesis.cells import kits

    try:
        kits.find(name)
    except MissingError as error:
        reason = f"{error}; {kits.SHIPPED} stands in: for demonstration, no evidence"
        return kits.SHIPPED, {f"synth/{name}": reason}
    return name, {}


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
