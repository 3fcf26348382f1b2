"""``dbp synth``: one step of a design, from its RTL to square micrometres and watts."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dbp.datapath.design import Design
from dbp.datapath.stimulus import Stimulus
from dbp.errors import InputError, ToolError
from dbp.records.provenance import Stopwatch, package_versions, read_metrics, write_metrics
from dbp.records.schemas import SynthMetrics
from dbp.rtl import Target, emit_step
from dbp.rtl.pipeline import Pipeline
from dbp.support import processes
from dbp.support.files import write_bytes, write_json
from dbp.synthesis.cells import kits, liberty_reader, scaling
from dbp.synthesis.cells.kits import Kit
from dbp.synthesis.cells.library import Library
from dbp.synthesis.gates import simulation
from dbp.synthesis.gates.simulation import GateSimulation
from dbp.synthesis.gates.step_bench import CLOCKS, Bench
from dbp.synthesis.layout import openroad as layouts
from dbp.synthesis.mapping import yosys_map
from dbp.synthesis.netlist import CLOCK, Netlist
from dbp.synthesis.power import calculate
from dbp.synthesis.timing import clock_tree, opensta_timing
from dbp.synthesis.timing.opensta_timing import Timing

# Raise it with every change of this package, but for `dbp power`, that changes a figure: what was
# kept is then made anew.
VERSION = 4
CLOCK_MHZ = 416.7
MAX_CLOCK_MHZ = 10_000.0
MARGIN_S = 20e-12
VERILOG, NETLIST, SDF = "step.v", "netlist.v", "delays.sdf"
ACTIVITY, WATTS = "activity.csv.gz", "power.csv.gz"
KEPT = (*(f"{name}.gz" for name in (VERILOG, NETLIST, SDF)), ACTIVITY, WATTS)


def synthesize(
    run_dir: str | Path,
    pdk: str,
    *,
    step: int | None = None,
    lanes: int = 2,
    filters: str = "reconfigurable",
    pipeline: Pipeline | None = None,
    clock_mhz: float = CLOCK_MHZ,
    clocks: int = CLOCKS,
    folder: str | Path | None = None,
    place_and_route: bool = False,
    reuse: bool = False,
    progress: bool = True,
    config_hash: str | None = None,
    fit_clock: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Map one step of ``RUN/design.json`` to a kit, time it, simulate the gates, cost the power.

    ``step``: the middle one by default. ``filters`` and ``pipeline``: see `dbp.rtl.emit`.
    ``clocks``: clock cycles that count, after a warm-up. The stimulus is ``RUN/stimulus.npz``,
    brought to the step's input by the golden model. Writes ``metrics.json``, the netlist, SDF,
    activity, power per instance, scripts and logs to ``folder`` (``RUN/synth/PDK``) and returns the
    metrics (keys: ``docs/power.md``). With ``place_and_route`` OpenROAD goes on from there, and its
    figures are added. With ``reuse`` metrics that lie there already, with the files beside them,
    are returned, but for place and route, where their ``inputs_hash`` is that of Verilog, kit,
    stimulus, constraints and programs as they are now; they have one more key then, ``kept``.
    ``progress`` shows a bar on a terminal. ``fit_clock``: how the cuts were found
    (`dbp.synthesis.fit_clock`), to stand in the metrics.

    `InputError` for what does not fit; `MissingError` where a tool or the kit is not there;
    `ToolError` where a tool fails, its intermediate files left in ``folder/work``, or where the
    gates do not do what golden does, after the metrics are written.
    """
    stopwatch, run_dir = Stopwatch(), Path(run_dir)
    check_clock(clock_mhz)
    if type(clocks) is not int or clocks < 1:
        raise InputError(f"clocks = {clocks!r}: must be an integer of at least 1")
    kit, files = kits.find(pdk)
    lef = layouts.find(pdk) if place_and_route else []
    design = Design.load(run_dir / "design.json")
    stimulus = Stimulus.load(run_dir / "stimulus.npz", design)
    step = len(design.filters) // 2 if step is None else step
    folder = run_dir / "synth" / pdk if folder is None else Path(folder)
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)

    with tqdm(
        total=5, desc="Synthesis", disable=None if progress else True, leave=False
    ) as progress_bar:
        target = Target(lanes, filters, pipeline or Pipeline(), "step", step)
        ports = emit_step(design, work / VERILOG, target)

        def versions_and_hash() -> tuple[dict[str, str], str]:
            versions = programs()
            emitted = ports.to_json()
            known = [VERSION, versions, kit.dont_use, clock_mhz, clocks, design.hash, emitted]
            return versions, hash_of(known, [work / VERILOG, run_dir / "stimulus.npz", *files])

        # Before Liberty is read, which can take longer than all of the rest.
        kept = _kept(folder) if reuse and not lef else None
        if kept and kept.get("inputs_hash") == versions_and_hash()[1]:
            shutil.rmtree(work)
            return kept | {"kept": True}
        library = liberty_reader.read(*files)
        bench = Bench(design, stimulus, ports, clocks)
        # After the inputs: who has both a bad file and no tool should not install the tool first.
        versions, inputs_hash = versions_and_hash()
        (folder / "metrics.json").unlink(missing_ok=True)
        shutil.rmtree(folder / layouts.FOLDER, ignore_errors=True)
        progress_bar.update()
        mapped, timed = map_and_time(work, kit, files, library, ports.top, clock_mhz)
        progress_bar.update(2)
        words = bench.words(mapped.inputs)
        gates, simulated_s = simulate(
            work, mapped, timed, library, words, len(words) - clocks, clock_mhz
        )
        compared, mismatches = bench.compare(gates, tuple(mapped.outputs))
        progress_bar.update()
        period_s, wire_load = 1e-6 / clock_mhz, library.default_wire_load
        watts, settled = (
            calculate.calculate(mapped, library, activity, period_s, wire_load)
            for activity in (gates.activity, gates.settled)
        )
        progress_bar.update()

    gates.activity.write(folder / ACTIVITY)
    watts.write(folder / WATTS)
    _keep(work, folder)
    rates = [t for net, t in gates.activity.toggles_per_clock.items() if net != CLOCK]
    metrics = write_metrics(
        folder / "metrics.json",
        {
            "pdk": pdk,
            "step": step,
            "lanes": lanes,
            "filters": filters,
            "pipeline": asdict(pipeline or Pipeline()),
            "clock_mhz": clock_mhz,
            **(figures := _figures(mapped, library, watts)),
            "power_engine": "dbp",
            "power_without_glitches_w": settled.totals(),
            "glitch_share": 1 - settled.totals()["total"] / watts.totals()["total"],
            **clock_tree.as_metrics(clock_tree.estimate(mapped, library, period_s, pdk)),
            "wire_load": wire_load,
            "voltage_v": library.voltage_v,
            "for_demonstration_only": pdk == kits.SHIPPED,
            "scaled_28nm": scaling.of_one_kit(
                pdk, library.voltage_v, figures["power_w"]["total"], figures["cell_area_um2"]
            ),
            "recipe": yosys_map.recipe(library, kit.dont_use),
            "slack_ns": timed.slack_ns,
            "slack_without_wires_ns": timed.slack_without_wires_ns,
            # Every path has a whole period.
            "highest_clock_mhz": 1e3 / (1e3 / clock_mhz - timed.slack_ns),
            "highest_clock_without_wires_mhz": 1e3
            / (1e3 / clock_mhz - timed.slack_without_wires_ns),
            "timing_met": timed.slack_ns >= 0,
            "critical_path": [
                {"instance": name, "cell": cell, "arrival_ns": at}
                for name, cell, at in timed.critical_path
            ],
            "activity": "simulated",
            "simulated_clocks": clocks,
            "simulation_period_ns": simulated_s * 1e9,
            "toggles_per_net_and_clock": float(np.mean(rates)),
            "nets_annotated_fraction": gates.annotated_fraction,
            "gate_level_samples": compared,
            "gate_level_mismatches": mismatches,
            "inputs_hash": inputs_hash,
            **({} if fit_clock is None else {"fit_clock": fit_clock}),
        },
        design_hash=design.hash,
        config_hash=config_hash,
        seed=stimulus.seed,
        versions=versions,
        stopwatch=stopwatch,
    )
    if mismatches:
        raise ToolError(
            f"the gates differ from the golden model in {mismatches} of {compared} samples; "
            f"netlist: {folder / NETLIST}.gz"
        )
    if lef:
        metrics[layouts.FOLDER] = layouts.run(
            folder / layouts.FOLDER,
            kit,
            lef,
            files,
            folder / f"{NETLIST}.gz",
            mapped,
            library,
            gates.activity,
            period_s,
        )
        metrics["wall_time_s"] = stopwatch.seconds
        write_json(folder / "metrics.json", metrics)
    return metrics


def check_clock(clock_mhz: float) -> None:
    """`InputError` for a clock that is none."""
    if not 0 < clock_mhz <= MAX_CLOCK_MHZ:
        raise InputError(f"clock_mhz = {clock_mhz!r}: must be above 0 and at most {MAX_CLOCK_MHZ}")


def map_and_time(
    work: Path,
    kit: Kit,
    files: Sequence[Path],
    library: Library,
    top: str,
    clock_mhz: float,
    *,
    late_below_ns: float = 0.0,
) -> tuple[Netlist, Timing]:
    """Map the module ``top`` of ``work/step.v`` and time it; all files lie in ``work``.

    ``files``: the kit's Liberty files, which hold ``library``. For ``late_below_ns`` and what is
    written see `dbp.synthesis.timing.opensta_timing.analyse`.
    """
    libraries = [kits.unpack(file, work) for file in files]
    mapped = yosys_map.synthesize(work, libraries, VERILOG, top, library, kit.dont_use)
    timed = opensta_timing.analyse(
        work,
        libraries,
        NETLIST,
        top,
        [p for p, bits in mapped.ports.items() if bits[0] in mapped.inputs and p != CLOCK],
        [p for p, bits in mapped.ports.items() if bits[0] in mapped.outputs],
        1e3 / clock_mhz,
        library.default_wire_load,
        late_below_ns,
    )
    return mapped, timed


def simulate(
    work: Path,
    mapped: Netlist,
    timed: Timing,
    library: Library,
    words: NDArray[np.uint8],
    warm_up_clocks: int,
    clock_mhz: float,
) -> tuple[GateSimulation, float]:
    """Play words through what `map_and_time` left in ``work``; the simulated period in s.

    ``words``, ``warm_up_clocks``: see `dbp.synthesis.gates.simulation.simulate`.
    """
    # Where the clock is missed, activity is that of a clock which the gates can follow.
    period_s = 1e-6 / clock_mhz
    period_s = max(period_s, period_s - timed.slack_ns * 1e-9 + MARGIN_S)
    delays = opensta_timing.read_sdf(work / SDF)
    gates = simulation.simulate(mapped, library, delays, words, period_s, warm_up_clocks)
    return gates, period_s


def programs() -> dict[str, str]:
    """Versions of all that figures depend on; `MissingError` where OpenSTA is missing."""
    processes.require("sta")
    opensta = processes.version(["sta", "-version"])
    return package_versions("amaranth", "pyosys", "numba") | {"opensta": opensta}


def hash_of(values: Any, files: Sequence[Path]) -> str:
    """SHA-256 of what a synthesis depends on."""
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    text = json.dumps([values, hashes], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _kept(folder: Path) -> dict[str, Any] | None:
    """The metrics of an earlier run, where they and the files beside them are whole."""
    try:
        found = read_metrics(folder / "metrics.json", SynthMetrics)
    except InputError:
        return None
    whole = found is not None and all((folder / name).is_file() for name in KEPT)
    return found.model_dump() if whole and found.gate_level_mismatches == 0 else None


def _figures(mapped: Netlist, library: Library, watts: calculate.Power) -> dict[str, Any]:
    """Area, cells and power, of the whole and of each group."""
    area = np.array([library.cells[instance.cell].area_um2 for instance in mapped.instances])
    groups = {}
    for k, name in enumerate(calculate.GROUPS):
        chosen = watts.group == k
        groups[name] = {
            "cell_area_um2": float(area[chosen].sum()),
            "cells": int(chosen.sum()),
            "power_w": watts.totals(name),
        }
    return {
        "cell_area_um2": float(area.sum()),
        "cells": len(area),
        "power_w": watts.totals(),
        "groups": groups,
    }


def _keep(work: Path, folder: Path) -> None:
    """Keep netlist, SDF and Verilog (packed), scripts and logs; the bulky rest goes."""
    for name in (VERILOG, NETLIST, SDF):
        write_bytes(folder / f"{name}.gz", gzip.compress((work / name).read_bytes(), 6, mtime=0))
    for file in sorted(work.iterdir()):
        if file.suffix in (".log", ".ys", ".tcl"):
            file.replace(folder / file.name)
    shutil.rmtree(work)
