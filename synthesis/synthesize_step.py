"""``dbp synth``: one step of a design, from its RTL to square micrometres and watts."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from tqdm import tqdm

from dbp.datapath.design import Design
from dbp.datapath.stimulus import Stimulus, StimulusSource
from dbp.errors import InputError, ToolError
from dbp.records.provenance import Stopwatch, provenance, read_metrics, write_metrics
from dbp.records.schemas import ClockFit, PlacedStep, SynthMetrics
from dbp.rtl import Target
from dbp.rtl.ports import Ports
from dbp.support import family, processes, sources
from dbp.support.files import write_bytes, write_text
from dbp.synthesis import netlist, stages
from dbp.synthesis.cells import kits, scaling, wire_load
from dbp.synthesis.cells.kits import Kit
from dbp.synthesis.equivalence.prove_mapping import PROOF
from dbp.synthesis.gates.step_bench import CLOCKS, Bench, samples_needed
from dbp.synthesis.layout import openroad, routed
from dbp.synthesis.layout.openroad import LayoutFiles, MappedStep
from dbp.synthesis.layout.picture import Placed
from dbp.synthesis.mapping import yosys_map
from dbp.synthesis.netlist import CLOCK
from dbp.synthesis.power import calculate
from dbp.synthesis.stages import (
    CLOCK_MHZ,
    NETLIST,
    SDF,
    VERILOG,
    Cells,
    Costed,
    Mapped,
    SimulatedStep,
)
from dbp.synthesis.timing import clock_tree
from dbp.synthesis.timing.opensta_timing import Timing

# Figures that are kept stay valid as long as this code and the tables of `wire_load.DATA` do.
SOURCES = ("dbp.synthesis", "dbp.rtl", "dbp.datapath", "dbp.support.yosys")
METRICS, ACTIVITY, WATTS = "metrics.json", "activity.csv.gz", "power.csv.gz"
KEPT = (*(f"{name}.gz" for name in (VERILOG, NETLIST, SDF)), ACTIVITY, WATTS)


@dataclass(frozen=True, eq=False)
class StepJob:
    """A step to be synthesised; all options have been checked, and the kit has been found.

    ``liberty``: the files of the kit; ``layout``: those of its layout, where the step is to be
    placed and routed as ``route`` says; ``clocks``: clock cycles that count, after a warm-up;
    ``config_hash``, ``fit_clock``: for the metrics, which do not depend on them. ``mapped_in``: see
    `synthesize`.
    """

    design: Design
    stimulus: Stimulus
    target: Target
    kit: Kit
    liberty: tuple[Path, ...]
    layout: openroad.KitFiles | None
    route: str
    clock_mhz: float
    clocks: int
    config_hash: str | None
    fit_clock: ClockFit | None
    mapped_in: Path | None

    def inputs_hash(self, versions: Mapping[str, str], ports: Ports, work: Path) -> str:
        """Hash everything that the figures depend on; ``versions``: see `stages.programs`."""
        values = [
            dict(versions),
            self.kit.dont_use,
            self.clock_mhz,
            self.clocks,
            self.design.hash,
            ports.to_json(),
            stimulus_hash(self.stimulus),
        ]
        return hash_of(values, [work / VERILOG, *self.liberty])


def synthesize(
    design: Design,
    stimulus: StimulusSource,
    kit: str,
    target: Target,
    *,
    clock_mhz: float = CLOCK_MHZ,
    clocks: int = CLOCKS,
    folder: str | Path | None = None,
    place_and_route: bool = False,
    route: str = "detailed",
    reuse: bool = False,
    progress: bool = True,
    config_hash: str | None = None,
    fit_clock: ClockFit | None = None,
    mapped_in: str | Path | None = None,
) -> SynthMetrics:
    """Map one step of a design to a kit, time it, simulate the gates, and cost the power.

    ``target``: its ``top`` is "step". ``stimulus`` is asked for the converter samples that the
    bench needs; the golden model turns them into the step's input. ``clocks``: clock cycles that
    count, after a warm-up. ``folder`` gets ``metrics.json`` (keys: ``docs/reference/files.md``),
    netlist, SDF, activity, power per instance, scripts and logs; without it only the metrics are
    returned. With ``place_and_route`` OpenROAD then lays out the netlist, with "global" or
    "detailed" routes as ``route`` says; the routed gates are simulated and costed again.
    With ``reuse`` the metrics in ``folder`` are returned if they are complete and their inputs are
    unchanged (`SynthMetrics.kept`), unless the step is to be placed and routed. ``progress``: show
    a bar on a terminal. ``fit_clock``: how the cuts were found, for the metrics. ``mapped_in``: a
    folder that an earlier call has filled: where its Verilog, kit and clock are the same, its
    netlist is taken and simulated with this step's own stimulus; otherwise it does not matter.

    `InputError` for an argument that does not fit, before the stimulus is asked for;
    `MissingError` without a tool or the kit; `ToolError` where a tool fails, with its intermediate
    files left in ``folder/work``, or where the gates differ from golden, after the metrics are
    written. It names a log or a netlist in ``folder``; without a folder no file is left to name,
    and it quotes the last lines of the log.
    """
    stopwatch = Stopwatch()
    stages.check_clock(clock_mhz)
    if type(clocks) is not int or clocks < 1:
        raise InputError(f"clocks = {clocks!r}: must be an integer of at least 1")
    check_target(design, target)
    found_kit, liberty = kits.find(kit)
    layout = openroad.find(kit, route) if place_and_route else None
    samples = stimulus(samples_needed(design, target.lanes, clocks))
    job = StepJob(
        design, samples, target, found_kit, tuple(liberty), layout, route, clock_mhz, clocks,
        config_hash, fit_clock, None if mapped_in is None else Path(mapped_in),
    )  # fmt: skip
    with _folder(folder) as place:
        work = place / "work"
        ports = stages.emit(design, target, work)
        metrics = kept_if_unchanged(
            kept(place) if reuse and not place_and_route else None,
            lambda: job.inputs_hash(stages.programs(), ports, work),
            lambda: _synthesized(job, ports, place, stopwatch, progress),
        )
        shutil.rmtree(work, ignore_errors=True)
    return metrics


def inputs_hash(
    design: Design, stimulus: Stimulus, kit: str, target: Target, clock_mhz: float, clocks: int
) -> str:
    """Return the ``inputs_hash`` of what `synthesize` would make of these arguments."""
    check_target(design, target)
    found_kit, liberty = kits.find(kit)
    job = StepJob(
        design,
        stimulus,
        target,
        found_kit,
        tuple(liberty),
        None,
        "detailed",
        clock_mhz,
        clocks,
        None,
        None,
        None,
    )
    with family.temporary_folder("dbp-hash-") as folder:
        ports = stages.emit(design, target, folder / "work")
        return job.inputs_hash(stages.programs(), ports, folder / "work")


def check_target(design: Design, target: Target) -> None:
    """Raise `InputError` where ``target`` is no step of ``design``."""
    target.check(design)
    if target.top != "step":
        raise InputError(f"top = {target.top!r}: must be step")


@contextmanager
def _folder(folder: str | Path | None) -> Iterator[Path]:
    """The folder itself, or a temporary one."""
    if folder is not None:
        yield Path(folder)
    else:
        with family.temporary_folder("dbp-synth-") as temporary:
            try:
                yield temporary
            except ToolError as error:
                raise type(error)(without_files(str(error), str(temporary))) from None


def without_files(message: str, folder: str) -> str:
    """The message of an error that names no file of ``folder``, which is removed next.

    The last lines of a log take the place of its name, unless they are quoted already.
    """
    named = re.search(rf"; (log|netlist): ({re.escape(folder)}.*)$", message)
    if named is None:
        return message
    rest, log = message[: named.start()], Path(named[2])
    if named[1] == "netlist" or not log.is_file():
        return rest
    lines = processes.last_lines(log)
    return rest if lines in rest else f"{rest}; its log ends: {lines}"


class HasInputsHash(Protocol):
    """Figures that say which inputs they were made of."""

    @property
    def inputs_hash(self) -> str:
        """See `hash_of`."""


Figures = TypeVar("Figures", bound=HasInputsHash)


def kept_if_unchanged(
    earlier: Figures | None, inputs_hash: Callable[[], str], make: Callable[[], Figures]
) -> Figures:
    """Return ``earlier`` if its inputs are unchanged, otherwise what ``make`` makes.

    The hash asks the tools for their versions, so it is not asked for where nothing is kept: who
    has both a bad file and no tool hears of the file first.
    """
    same = earlier is not None and earlier.inputs_hash == inputs_hash()
    return earlier if earlier is not None and same else make()


def kept(folder: Path) -> SynthMetrics | None:
    """The metrics of an earlier run, where they and the files that belong to them are complete."""
    try:
        metrics = read_metrics(folder / METRICS, SynthMetrics)
    except InputError:
        return None
    if metrics is None or metrics.gate_level_mismatches:
        return None
    complete = all((folder / name).is_file() for name in KEPT)
    return metrics.model_copy(update={"kept": True}) if complete else None


def hash_of(values: Any, files: Sequence[Path]) -> str:
    """SHA-256 of what a synthesis depends on: values, files, our own code, and its tables."""
    tables = [f for f in sorted(wire_load.DATA.iterdir()) if f.suffix in (".csv", ".lib")]
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (*files, *tables)]
    text = json.dumps([sources.hash_of(*SOURCES), values, hashes], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def stimulus_hash(stimulus: Stimulus) -> str:
    """SHA-256 of a stimulus, wherever it came from."""
    digest = hashlib.sha256(
        f"{stimulus.design_hash} {stimulus.config_hash} {stimulus.seed} "
        f"{stimulus.launch_power_uw}".encode()
    )
    for part in stimulus.samples:
        digest.update(np.ascontiguousarray(part, np.int64).tobytes())
    return digest.hexdigest()


def _synthesized(
    job: StepJob, ports: Ports, folder: Path, stopwatch: Stopwatch, progress: bool
) -> SynthMetrics:
    """Pass a job through all stages, and write files and metrics to ``folder``."""
    work = folder / "work"
    with tqdm(
        total=5, desc="Synthesis", disable=None if progress else True, leave=False
    ) as progress_bar:
        cells = Cells.read(job.kit, job.liberty)
        bench = Bench(job.design, job.stimulus, ports, job.clocks)
        # After the inputs: who has both a bad file and no tool should not install the tool first.
        versions = stages.programs()
        inputs_hash = job.inputs_hash(versions, ports, work)
        for name in (METRICS, PROOF):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / openroad.FOLDER, ignore_errors=True)
        progress_bar.update()
        mapped = _mapped_before(job, work, cells, versions)
        if mapped is None:
            mapped = stages.map_and_time(work, cells, ports.top, job.clock_mhz)
        progress_bar.update(2)
        simulated = stages.simulate_step(work, mapped, bench, job.clock_mhz)
        progress_bar.update()
        costed = stages.cost(mapped, simulated.gates, job.kit, job.clock_mhz)
        progress_bar.update()
    simulated.gates.activity.write(folder / ACTIVITY)
    costed.power.write(folder / WATTS)
    _keep_files(work, folder)
    made_of = provenance(
        design_hash=job.design.hash,
        config_hash=job.config_hash,
        seed=job.stimulus.seed,
        versions=versions,
        stopwatch=stopwatch,
    )
    metrics = _metrics(job, mapped, simulated, costed, {"inputs_hash": inputs_hash, **made_of})
    write_metrics(folder / METRICS, metrics)
    if simulated.mismatches:
        raise ToolError(
            f"the gates differ from the golden model in {simulated.mismatches} of "
            f"{simulated.samples} samples; netlist: {folder / NETLIST}.gz"
        )
    if job.layout is None:
        return metrics
    placed = _place_and_route(job, job.layout, folder, mapped, simulated, bench)
    update = {"place_and_route": placed, "wall_time_s": stopwatch.seconds}
    written = write_metrics(folder / METRICS, metrics.model_copy(update=update))
    # After the figures: hours of layout are not lost to a picture.
    place = folder / openroad.FOLDER
    drawn = Placed.read(place / f"{openroad.DEF}.gz", job.layout.lef)
    write_text(place / openroad.PICTURE, drawn.draw(mapped.netlist.module))
    return written


def _mapped_before(
    job: StepJob, work: Path, cells: Cells, versions: Mapping[str, str]
) -> Mapped | None:
    """Take netlist, delays and timing of another step, if it is the same Verilog; else None.

    The files lie in ``work`` then, as if they had been made there.
    """
    if job.mapped_in is None or (metrics := kept(job.mapped_in)) is None:
        return None
    verilog = gzip.decompress((job.mapped_in / f"{VERILOG}.gz").read_bytes())
    same = (metrics.pdk, metrics.clock_mhz, metrics.versions) == (
        *(job.kit.name, job.clock_mhz),
        dict(versions),
    )
    if not same or verilog != (work / VERILOG).read_bytes():
        return None
    for name in (NETLIST, SDF):
        kits.unpack(job.mapped_in / f"{name}.gz", work)
    timing = Timing(
        metrics.slack_ns,
        metrics.slack_without_wires_ns,
        tuple((row.instance, row.cell, row.arrival_ns) for row in metrics.critical_path),
        {},
    )
    return Mapped(netlist.read(work / NETLIST), timing, cells.library)


def _keep_files(work: Path, folder: Path) -> None:
    """Keep netlist, SDF and Verilog (packed), scripts and logs; the bulky rest goes."""
    for name in (VERILOG, NETLIST, SDF):
        write_bytes(folder / f"{name}.gz", gzip.compress((work / name).read_bytes(), 6, mtime=0))
    for file in sorted(work.iterdir()):
        if file.suffix in (".log", ".ys", ".tcl"):
            file.replace(folder / file.name)
    shutil.rmtree(work)


def _place_and_route(
    job: StepJob,
    layout: openroad.KitFiles,
    folder: Path,
    mapped: Mapped,
    simulated: SimulatedStep,
    bench: Bench,
) -> PlacedStep:
    """Lay the step out, then simulate and cost what came out.

    `ToolError` where the routed gates differ from golden: then there are no figures of the layout.
    """
    place, period_s = folder / openroad.FOLDER, 1e-6 / job.clock_mhz
    placed = openroad.run(
        place,
        MappedStep(
            job.kit,
            mapped.netlist,
            mapped.library,
            simulated.gates.activity,
            period_s,
            job.route,
        ),
        LayoutFiles(layout.lef, job.liberty, folder / f"{NETLIST}.gz", layout.rules),
    )
    figures = routed.cost(place, mapped.library, bench, period_s, placed.slack_ns)
    if figures.gate_level_mismatches:
        raise ToolError(
            f"the routed gates differ from the golden model in {figures.gate_level_mismatches} of "
            f"{figures.gate_level_samples} samples; netlist: {place / openroad.ROUTED}.gz"
        )
    return placed.model_copy(update={"routed": figures})


def _metrics(
    job: StepJob,
    mapped: Mapped,
    simulated: SimulatedStep,
    costed: Costed,
    made_of: dict[str, Any],
) -> SynthMetrics:
    """Build the metrics; ``made_of``: the inputs' hash and the provenance."""
    figures = {
        "pdk": job.kit.name,
        "step": job.target.step,
        "lanes": job.target.lanes,
        "filters": job.target.filters,
        "pipeline": asdict(job.target.pipeline),
        "clock_mhz": job.clock_mhz,
        "for_demonstration_only": job.kit.name == kits.SHIPPED,
        "recipe": yosys_map.recipe(mapped.library, job.kit.dont_use),
        **_cost_figures(job, mapped, costed),
        **_timing_figures(mapped.timing, job.clock_mhz),
        **_simulation_figures(job, simulated),
        **made_of,
    }
    # A step whose cuts were not fitted has no such key.
    if job.fit_clock is not None:
        figures["fit_clock"] = job.fit_clock
    if job.design.polarizations == 2:
        figures["polarizations"] = 2
    return SynthMetrics(**figures)


def _cost_figures(job: StepJob, mapped: Mapped, costed: Costed) -> dict[str, Any]:
    """Area and power, of the whole and of each group."""
    areas_um2, power, kit = mapped.cell_areas_um2, costed.power, job.kit.name
    tree, area_um2 = costed.clock_tree, float(areas_um2.sum())
    watts, settled = (clock_tree.with_tree(p.totals(), tree) for p in (power, costed.settled))
    groups = {}
    for k, name in enumerate(calculate.GROUPS):
        members = power.group == k
        groups[name] = {
            "cell_area_um2": float(areas_um2[members].sum()),
            "cells": int(members.sum()),
            # The tree is of the clock, as it is in a netlist that has one.
            "power_w": clock_tree.with_tree(power.totals(name), tree if name == "clock" else None),
        }
    library = mapped.library
    return {
        "cell_area_um2": area_um2,
        "cells": len(areas_um2),
        **clock_tree.as_metrics(power.totals(), tree),
        "groups": groups,
        "power_engine": "dbp",
        "power_without_glitches_w": settled,
        "glitch_share": 1 - settled.total / watts.total,
        "wire_load": library.default_wire_load,
        "wire_factor": costed.wire_factor,
        # Ideal inputs: samples come from registers like those of the step.
        "input_slew_ns": 0.0,
        "voltage_v": library.voltage_v,
        "scaled_28nm": scaling.of_one_kit(kit, library.voltage_v, watts.total, area_um2),
    }


def _timing_figures(timing: Timing, clock_mhz: float) -> dict[str, Any]:
    """Slack, the critical path, and the highest clock: every path has a whole period."""
    period_ns = 1e3 / clock_mhz
    return {
        "slack_ns": timing.slack_ns,
        "slack_without_wires_ns": timing.slack_without_wires_ns,
        "highest_clock_mhz": 1e3 / (period_ns - timing.slack_ns),
        "highest_clock_without_wires_mhz": 1e3 / (period_ns - timing.slack_without_wires_ns),
        "timing_met": timing.slack_ns >= 0,
        "critical_path": [
            {"instance": instance, "cell": cell, "arrival_ns": arrival_ns}
            for instance, cell, arrival_ns in timing.critical_path
        ],
    }


def _simulation_figures(job: StepJob, simulated: SimulatedStep) -> dict[str, Any]:
    """Activity, and the comparison with golden; the clock does not count in the mean of toggles."""
    gates = simulated.gates
    rates = [rate for net, rate in gates.activity.toggles_per_clock.items() if net != CLOCK]
    return {
        "activity": "simulated",
        "simulated_clocks": job.clocks,
        "simulation_period_ns": simulated.period_s * 1e9,
        "toggles_per_net_and_clock": float(np.mean(rates)),
        "nets_annotated_fraction": gates.annotated_fraction,
        "gate_level_samples": simulated.samples,
        "gate_level_mismatches": simulated.mismatches,
    }
