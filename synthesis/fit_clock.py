"""``dbp synth --fit-clock``: fit the pipeline of a step to its clock.

Cuts are added where the step misses the clock, and taken out again where it still meets the clock
without them and that saves power. Registers keep their names through mapping. So timing says for
each bank of registers whether the logic before it is late, and every late stretch of logic gets a
cut in one trial.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tqdm import tqdm

from dbp.datapath.design import Design
from dbp.datapath.stimulus import Stimulus, StimulusSource
from dbp.errors import InputError, ToolError
from dbp.records.schemas import ClockFit, ClockTrial
from dbp.rtl import Target
from dbp.rtl.pipeline import Pipeline, parse, text
from dbp.rtl.ports import Ports
from dbp.support.files import read_text, write_json
from dbp.synthesis import stages
from dbp.synthesis.cells import kits
from dbp.synthesis.cells.kits import Kit
from dbp.synthesis.gates.step_bench import Bench, samples_needed
from dbp.synthesis.mapping.polarity import COMPLEMENT
from dbp.synthesis.pipeline_cuts import Cuts
from dbp.synthesis.stages import CLOCK_MHZ, Cells, Mapped
from dbp.synthesis.synthesize_step import (
    check_target,
    hash_of,
    kept_if_unchanged,
    stimulus_hash,
)
from dbp.synthesis.timing import clock_tree

# Slack to aim at, as a share of the clock period, where the kit's layouts take no more: more lanes
# load the taps more, and ABC is noisy.
MARGIN = 0.01
# Lanes of a trial. All are alike and mapped once: one would do for the slack, two tell the power.
FIT_LANES = 2
# Clocks of a trial that count for its power; ratios of power settle early.
CLOCKS = 300
RECORD = "fit_clock.json"


class TrialResult(NamedTuple):
    """A trial, and the slack of each bank of registers in which it is below the margin."""

    trial: ClockTrial
    late_ns: Mapping[str, float]


@dataclass(frozen=True)
class FitJob:
    """The step to fit; its target has the pipeline to start from.

    ``stimulus``: None where nothing is to be taken out, so that no power is needed.
    """

    design: Design
    target: Target
    kit: Kit
    liberty: tuple[Path, ...]
    clock_mhz: float
    stimulus: Stimulus | None


class FitRecord(BaseModel):
    """The contents of ``fit_clock.json``."""

    model_config = ConfigDict(frozen=True)

    inputs_hash: str
    trials: tuple[ClockTrial, ...] = Field(min_length=1)

    @property
    def fit(self) -> ClockFit:
        """The trials as the metrics state them."""
        return ClockFit(lanes=FIT_LANES, clocks=CLOCKS, trials=self.trials)


class Trials:
    """Tries pipelines of one step in one kit; files lie in ``work``."""

    def __init__(self, job: FitJob, work: Path) -> None:
        self.job, self.work = job, work
        self.period_ns = 1e3 / job.clock_mhz
        self.margin_ns = max(MARGIN * self.period_ns, job.kit.layout_margin_ns)

    @cached_property  # takes seconds, and a fit that is kept needs no library
    def cells(self) -> Cells:
        """The kit's cells."""
        return Cells.read(self.job.kit, self.job.liberty)

    def run(self, pipeline: Pipeline) -> TrialResult:
        """Map and time a pipeline; where it meets the clock, also simulate and cost the power."""
        ports = self._emit(pipeline)
        mapped = stages.map_and_time(
            self.work, self.cells, ports.top, self.job.clock_mhz, late_below_ns=self.margin_ns
        )
        timing, banks = mapped.timing, _banks(mapped)
        late_ns: dict[str, float] = {}
        for endpoint, slack_ns in timing.late_ns.items():
            bank = banks.get(endpoint, endpoint)
            late_ns[bank] = min(slack_ns, late_ns.get(bank, math.inf))
        latest = timing.critical_path[-1][0] if timing.critical_path else ""
        met = timing.slack_ns >= self.margin_ns
        trial = ClockTrial(
            pipeline=text(pipeline),
            slack_ns=timing.slack_ns,
            latest=banks.get(latest, latest),
            cell_area_um2=sum(mapped.cell_areas_um2.tolist()),
            power_w=self._power_w(ports, mapped) if met else None,
            kept=True,
        )
        return TrialResult(trial, late_ns)

    def inputs_hash(self) -> str:
        """Hash everything that the trials depend on; `MissingError` without OpenSTA."""
        job, pipeline = self.job, self.job.target.pipeline
        ports = self._emit(pipeline)
        values = [
            self.margin_ns,
            stages.programs(),
            job.kit.dont_use,
            job.clock_mhz,
            text(pipeline),
        ]
        if job.stimulus is not None:
            values += [CLOCKS, stimulus_hash(job.stimulus)]
        return hash_of([values, ports.to_json()], [self.work / stages.VERILOG, *job.liberty])

    def _emit(self, pipeline: Pipeline) -> Ports:
        target = replace(self.job.target, lanes=FIT_LANES, pipeline=pipeline)
        return stages.emit(self.job.design, target, self.work)

    def _power_w(self, ports: Ports, mapped: Mapped) -> float | None:
        if self.job.stimulus is None:
            return None
        bench = Bench(self.job.design, self.job.stimulus, ports, CLOCKS)
        simulated = stages.simulate_step(self.work, mapped, bench, self.job.clock_mhz)
        if simulated.mismatches:
            raise ToolError(f"the gates differ from the golden model; netlist: {self.work}")
        # With the clock tree: registers that are taken out spare its sinks too.
        costed = stages.cost(mapped, simulated.gates, self.job.kit, self.job.clock_mhz)
        return clock_tree.with_tree(costed.power.totals(), costed.clock_tree).total


def fit(
    design: Design,
    kit: str,
    target: Target,
    folder: Path,
    *,
    clock_mhz: float = CLOCK_MHZ,
    stimulus: StimulusSource | None = None,
    reuse: bool = False,
    progress: bool = True,
) -> ClockFit:
    """Add cuts to a step until it meets the clock, and return all trials in their order.

    The pipeline of `ClockFit.last_kept` is the answer. The first trial has that of ``target``
    (whose ``top`` is "step"; every trial has `FIT_LANES` lanes). It leaves a slack of `MARGIN`, or
    the `Kit.layout_margin_ns` that layout takes if that is more; where that cannot be, it has all
    cuts that late logic can have, and its slack says what is missing. With a ``stimulus``, where
    the clock is met, every cut is then taken out by itself, and stays out where the clock is still
    met and the power is lower. With ``reuse`` the trials are written to ``folder/fit_clock.json``,
    and read from there if their inputs are unchanged.

    Errors as from `dbp.synthesis.synthesize`.
    """
    stages.check_clock(clock_mhz)
    check_target(design, target)
    found_kit, liberty = kits.find(kit)
    samples = None if stimulus is None else stimulus(samples_needed(design, FIT_LANES, CLOCKS))
    job = FitJob(design, target, found_kit, tuple(liberty), clock_mhz, samples)
    file, trials = folder / RECORD, Trials(job, folder / "work")

    def make() -> FitRecord:
        # Before tools are looked for, as in `dbp.synthesis.synthesize`.
        _ = trials.cells
        inputs_hash = trials.inputs_hash()
        with tqdm(desc="Fitting the clock", disable=None if progress else True, leave=False) as bar:
            done = []
            for trial in _search(trials, Cuts(design, target)):
                done.append(trial)
                bar.update()
        record = FitRecord(inputs_hash=inputs_hash, trials=tuple(done))
        if reuse:
            write_json(file, record.model_dump(mode="json"))
        return record

    record = kept_if_unchanged(_kept(file) if reuse else None, trials.inputs_hash, make)
    shutil.rmtree(folder / "work")
    return record.fit


def table(fit: ClockFit) -> list[list[str]]:
    """Return a header and a line per trial, with what it changed."""
    lines = [["trial", "slack ns", "latest before", "um2", "mW", ""]]
    base = None
    for trial in fit.trials:
        changed = trial.pipeline if base is None else text(parse(trial.pipeline), base)
        lines.append(
            [
                changed or "the usual cuts",
                f"{trial.slack_ns:+.3f}",
                trial.latest,
                f"{trial.cell_area_um2:.0f}",
                "-" if trial.power_w is None else f"{1e3 * trial.power_w:.3f}",
                "" if trial.kept else "not kept",
            ]
        )
        base = parse(trial.pipeline) if trial.kept else base
    return lines


def _search(trials: Trials, cuts: Cuts) -> Iterator[ClockTrial]:
    """Put cuts in until nothing is late or can be cut, then take out those that cost power."""
    pipeline = trials.job.target.pipeline
    while True:
        best, late_ns = trials.run(pipeline)
        yield best
        finer = with_cuts(pipeline, cuts, late_ns, trials.period_ns)
        if finer == pipeline:
            break
        pipeline = finer
    if best.power_w is None:
        return
    for cut in cuts.names(pipeline):
        coarser = cuts.coarser(pipeline, cut)
        if coarser is None:  # gone with another cut
            continue
        trial, _ = trials.run(coarser)
        lower = trial.power_w is not None and trial.power_w < best.power_w
        yield trial.model_copy(update={"kept": lower})
        if lower:
            pipeline, best = coarser, trial


def with_cuts(
    pipeline: Pipeline, cuts: Cuts, late_ns: Mapping[str, float], period_ns: float
) -> Pipeline:
    """Add cuts to each late stretch of logic: one less than the periods it takes."""
    added: dict[tuple[str, ...], int] = {}
    for bank, slack_ns in late_ns.items():
        if stretch := cuts.late(pipeline, bank):
            periods = math.ceil((period_ns - slack_ns) / period_ns)
            added[stretch] = max(periods - 1, added.get(stretch, 1))
    for stretch, count in added.items():
        for cut in stretch[:count]:
            pipeline = cuts.finer(pipeline, cut) or pipeline
    return pipeline


def _banks(mapped: Mapped) -> dict[str, str]:
    """For each register of a netlist the name of the net behind it, without the bit."""
    banks = {}
    for instance in mapped.netlist.instances:
        cell = mapped.library.cells[instance.cell]
        if cell.has_state:
            outputs = [instance.nets.get(pin.name, "") for pin in cell.outputs]
            nets = [net.removeprefix(COMPLEMENT) for net in outputs]
            # Yosys begins the names that it makes up with an underscore.
            named = [net for net in nets if net and not net.startswith("_")]
            banks[instance.name] = (named or [instance.name])[0].partition("[")[0]
    return banks


def _kept(path: Path) -> FitRecord | None:
    """The record of an earlier fit, where it is whole."""
    try:
        record = FitRecord.model_validate_json(read_text(path))
        parse(record.fit.last_kept.pipeline)
    except (OSError, ValidationError, IndexError, InputError):
        return None
    return record
