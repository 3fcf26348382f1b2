"""A whole receiver of many lanes, from syntheses of a few of its steps with few lanes.

Steps that have the same number of taps, and either all a rotation or none, differ in values and
shifts only: one stands for all of them. A step costs a part that does not depend on the lanes (taps
and their registers, histories) and a part for each lane: two widths of the kind with the most steps
tell the two apart, and further widths check that line. Kinds of fewer steps are synthesised in the
narrowest width, and grow with the lanes as that kind does. ``docs/results/hardware.md`` says how
well this predicts wider syntheses. Or every step that is different hardware is synthesised in the
narrowest width, so that each is known to meet the clock.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from dbp.datapath.design import Design, Rotation
from dbp.datapath.stimulus import Stimulus, StimulusSource
from dbp.errors import InputError
from dbp.records.schemas import SynthMetrics
from dbp.rtl import Target
from dbp.rtl.blocks.hardwired import graph_sizes
from dbp.rtl.pipeline import HardwiredPipeline, Pipeline, parse
from dbp.rtl.target import FilterKind
from dbp.support import worker_processes
from dbp.synthesis import fit_clock
from dbp.synthesis.cells import kits
from dbp.synthesis.gates.step_bench import samples_needed
from dbp.synthesis.power import calculate
from dbp.synthesis.stages import CLOCK_MHZ
from dbp.synthesis.synthesize_step import synthesize

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")
# The paper's receiver takes 48 symbols of 2 samples a clock.
PAPER_GBD = 20.0
RECEIVER_LANES = 96
# At this node no available cut brings the datapath to its clock (docs/results/hardware.md):
# registers are left as they are, since such a kit is only good for ratios.
OUT_OF_REACH_NM = 130
_USUAL = Pipeline()


@dataclass(frozen=True)
class StepKind:
    """Steps that are alike: the number of the one that stands for them, and how many they are."""

    step: int
    count: int


def kinds(design: Design, filters: str, every_step: bool = False) -> list[StepKind]:
    """Return the kinds of a design's steps, the one with the most steps first.

    Steps of a kind have filters of one length and formats of one width. The middle step stands for
    a kind; of ``hardwired`` filters the one with the median number of adders. Step 0 stands for
    others only where it is alone. With ``every_step`` only steps that are the same hardware are of
    one kind: each that differs is one of its own, and the step that stands for the most remains the
    first.
    """
    alike = _groups(range(len(design.filters)), partial(_widths, design))
    step_kinds = []
    for steps in sorted(alike, key=lambda steps: -len(steps)):
        if filters == "hardwired":
            steps = sorted(steps, key=lambda k: _adders(design, k))
        # Step 0 gets the converter's words, unlike all others.
        typical = [k for k in steps if k > 0] or steps
        middle = typical[len(typical) // 2]
        same = _groups(steps, partial(hardware, design, filters)) if every_step else [steps]
        kinds_of_same = [
            StepKind(middle if middle in each else each[0], len(each)) for each in same
        ]
        step_kinds += sorted(kinds_of_same, key=lambda kind: kind.step != middle)
    return step_kinds


def _groups(steps: Iterable[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for step in steps:
        groups.setdefault(key(step), []).append(step)
    return list(groups.values())


def _widths(design: Design, step: int) -> Hashable:
    """What decides the widths of a step's wires: the length of its filter, and its formats."""
    filter_, rotation = design.filters[step], None
    if step < len(design.rotations):
        rotation = _without_values(design.rotations[step])
    bits = filter_.coefficient_bits, design.filter_input_bits(step), filter_.output_bits
    return filter_.taps, bits, rotation


def _without_values(rotation: Rotation) -> Rotation:
    """The rotation without what is in registers."""
    return replace(rotation, kerr_gains=(0,) * len(rotation.kerr_gains), kerr_shift=0)


def hardware(design: Design, filters: str, step: int) -> Hashable:
    """Return what a step's hardware follows from: taps and K in registers are no part of it."""
    filter_, formats = design.filters[step], design.filter_input_bits(step)
    if filters != "hardwired":
        nothing = (0,) * len(filter_.half_taps_i)
        filter_ = replace(filter_, half_taps_i=nothing, half_taps_q=nothing)
    if step == len(design.rotations):
        return filter_, formats, None
    return filter_, formats, _without_values(design.rotations[step])


@functools.cache  # seconds for a design, and asked for in every kit
def _adders(design: Design, step: int) -> int:
    filter_, bits = design.filters[step], design.filter_input_bits(step)
    return graph_sizes(filter_, bits, HardwiredPipeline()).shared.adders


@dataclass(frozen=True)
class Line:
    """A figure by lanes: ``fixed + per_lane * lanes``."""

    fixed: float
    per_lane: float

    @classmethod
    def through(cls, figures: Mapping[int, float]) -> Line:
        """Return the line through two figures, by lanes."""
        (narrow, first), (wide, second) = sorted(figures.items())
        per_lane = (second - first) / (wide - narrow)
        return cls(first - per_lane * narrow, per_lane)

    def __call__(self, lanes: int) -> float:
        return self.fixed + self.per_lane * lanes


@dataclass(frozen=True, eq=False)
class StepSynthesis:
    """One synthesis of the plan: a step of a design in a kit.

    ``folder`` is that of the design; its syntheses lie below ``lanes``.
    """

    design: Design
    stimulus: StimulusSource
    kit: str
    target: Target
    folder: Path
    clock_mhz: float = CLOCK_MHZ

    @property
    def place(self) -> Path:
        """The folder of all syntheses of the design in the kit."""
        return self.folder / "lanes" / f"{self.kit}-{self.target.filters}"

    def run(self) -> SynthMetrics:
        """Return the metrics, those of an earlier run where its inputs were the same."""
        target = self.target
        return synthesize(
            self.design,
            self.stimulus,
            self.kit,
            target,
            clock_mhz=self.clock_mhz,
            folder=self.place / f"step{target.step}-x{target.lanes}",
            reuse=True,
            progress=False,
        )


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A source that was asked already: other processes get its stimulus, and simulate no link."""

    stimulus: Stimulus

    def __call__(self, samples: int) -> Stimulus:
        return self.stimulus


def plan(
    design: Design,
    stimulus: StimulusSource,
    kit: str,
    filters: FilterKind,
    widths: Sequence[int],
    folder: Path,
    clock_mhz: float = CLOCK_MHZ,
    every_step: bool = False,
    pipeline: Pipeline = _USUAL,
) -> list[StepSynthesis]:
    """Return the syntheses that `estimate` needs of one design in one kit: see `kinds`.

    ``pipeline``: the cuts of every step, to which `fit_clocks` may add.

    `InputError` for widths, or steps, that do not fit.
    """
    if len(widths) < 2 or list(widths) != sorted(set(widths)) or widths[0] < 1:
        raise InputError(f"lanes = {list(widths)}: must be two widths or more, from narrow to wide")
    first, *others = kinds(design, filters, every_step)
    steps = [(first.step, lanes) for lanes in widths]
    steps += [(kind.step, widths[0]) for kind in others]
    targets = [Target(lanes, filters, pipeline, "step", step) for step, lanes in steps]
    for target in targets:
        target.check(design)
    return [StepSynthesis(design, stimulus, kit, t, folder, clock_mhz) for t in targets]


def run(
    plans: Mapping[Key, Sequence[StepSynthesis]], workers: int
) -> dict[Key, dict[tuple[int, int], SynthMetrics]]:
    """Run the syntheses of all plans in ``workers`` processes, with a bar.

    Returns the metrics of each plan by step and lanes. After the first error none is begun.
    """
    # A source may simulate the link: once, before the processes begin, for the widest of its steps.
    syntheses = [each for plan in plans.values() for each in plan]
    needed: dict[StimulusSource, int] = {}
    for each in syntheses:
        samples = samples_needed(each.design, each.target.lanes)
        needed[each.stimulus] = max(samples, needed.get(each.stimulus, 0))
    loaded = {source: _Loaded(source(samples)) for source, samples in needed.items()}
    tasks = {}
    # The longest first, so that no core waits for one in the end.
    for each in sorted(syntheses, key=lambda each: -each.target.lanes):
        words = f"{each.folder.name}, {each.kit}, {each.target.lanes} lanes"
        tasks[each] = words, replace(each, stimulus=loaded[each.stimulus]).run
    results = _parallel(tasks, workers, "Synthesis")
    return {
        key: {(each.target.step, each.target.lanes): results[each] for each in plan}
        for key, plan in plans.items()
    }


def fit_clocks(
    plans: Mapping[Key, Sequence[StepSynthesis]], workers: int
) -> dict[Key, list[StepSynthesis]]:
    """Return the same plans with the cuts that their clock needs: see `dbp.synthesis.fit_clock`.

    Each plan is of one design in one kit, and gets one pipeline for all of its steps. A fit that an
    earlier call left, of the same inputs, is not repeated.
    """
    tasks = {}
    for key, syntheses in plans.items():
        # The fit needs no stimulus, and the sources of callers need not fit through a pipe.
        first, *_ = plain = [replace(each, stimulus=_no_stimulus) for each in syntheses]
        tasks[key] = f"{first.folder.name}, {first.kit}", partial(_fitted, plain)
    pipelines = _parallel(tasks, workers, "Fitting the clock")
    return {
        key: [
            replace(each, target=replace(each.target, pipeline=pipelines[key]))
            for each in syntheses
        ]
        for key, syntheses in plans.items()
    }


def _no_stimulus(samples: int) -> Stimulus:
    raise AssertionError("a fit without power needs no stimulus")


def _fitted(syntheses: Sequence[StepSynthesis]) -> Pipeline:
    """Fit one step after the other, each from the cuts of the one before: cuts are only added."""
    pipeline = syntheses[0].target.pipeline
    if kits.KITS[syntheses[0].kit].node_nm >= OUT_OF_REACH_NM:
        return pipeline
    for synthesis in {each.target.step: each for each in syntheses}.values():
        fit = fit_clock.fit(
            synthesis.design,
            synthesis.kit,
            replace(synthesis.target, pipeline=pipeline),
            synthesis.place / f"step{synthesis.target.step}-fit",
            clock_mhz=synthesis.clock_mhz,
            reuse=True,
            progress=False,
        )
        pipeline = parse(fit.last_kept.pipeline)
    return pipeline


def _parallel(
    tasks: Mapping[Key, tuple[str, Callable[[], Result]]], workers: int, title: str
) -> dict[Key, Result]:
    """Return the results of tasks, each with its words for the bar, started in their order."""
    with (
        worker_processes.pool(workers) as pool,
        tqdm(total=len(tasks), desc=title, disable=None) as bar,
    ):
        running = {pool.submit(task): key for key, (_, task) in tasks.items()}
        results = {}
        for done in as_completed(running):
            key = running[done]
            results[key] = done.result()
            bar.set_postfix_str(tasks[key][0])
            bar.update()
    return results


def receiver_lanes(
    samples_per_symbol: Fraction, symbol_rate_gbd: float = PAPER_GBD, clock_mhz: float = CLOCK_MHZ
) -> int:
    """Lanes that take a symbol rate at a clock: for the paper's 96 at 2 samples per symbol, 72 at
    3/2."""
    lanes = 1e3 * symbol_rate_gbd * float(samples_per_symbol) / clock_mhz
    # But for the last digits of a whole number.
    return max(1, math.ceil(lanes - 1e-9))


@dataclass(frozen=True)
class ReceiverEstimate:
    """The cost of a receiver of ``lanes`` lanes, all steps together, clock tree included.

    ``synthesised_steps``: how many different steps were synthesised, of which ``step`` is the one
    in two widths. ``step_power_w``, ``step_area_mm2``: one step of the kind with the most steps, as
    the paper states them. ``fit_power_w``, ``fit_area_um2``: the `Line` of that kind through the
    first two widths; ``fit_check``: what this line predicts over what was measured, ``power`` and
    ``area``, by further width. ``power_w``: by kind of power; ``clock_tree_estimate_w`` is part of
    it.
    """

    lanes: int
    step: int
    synthesised_lanes: tuple[int, int]
    synthesised_steps: int
    step_power_w: float
    step_area_mm2: float
    power_w: dict[str, float]
    area_mm2: float
    clock_tree_estimate_w: float
    fit_power_w: Line
    fit_area_um2: Line
    fit_check: dict[str, dict[str, float]]
    slack_ns: float
    timing_met: bool
    glitch_share: float
    voltage_v: float


def estimate(
    design: Design,
    filters: str,
    measured: Mapping[tuple[int, int], SynthMetrics],
    widths: Sequence[int],
    lanes: int | None = None,
    every_step: bool = False,
) -> ReceiverEstimate:
    """Estimate a receiver from the metrics of its plan, by step and lanes.

    ``lanes``: by default `receiver_lanes` of the paper's link, so that designs of different samples
    per symbol are compared at one symbol rate and clock.
    """
    lanes = receiver_lanes(design.samples_per_symbol) if lanes is None else lanes
    first, *others = kinds(design, filters, every_step)
    main = {width: measured[first.step, width] for width in widths}
    narrow, wide = (main[width] for width in widths[:2])
    others_measured = {kind: measured[kind.step, widths[0]] for kind in others}

    def whole(figure: Callable[[SynthMetrics], float]) -> tuple[Line, float]:
        line = Line.through({widths[0]: figure(narrow), widths[1]: figure(wide)})
        growth = line(lanes) / figure(narrow) if figure(narrow) else 0.0
        total = first.count * line(lanes)
        for kind, metrics in others_measured.items():
            total += kind.count * growth * figure(metrics)
        return line, total

    lines = {kind: whole(partial(_watts, kind)) for kind in calculate.KINDS}
    area_line, area_um2 = whole(lambda metrics: metrics.cell_area_um2)
    _, tree_w = whole(_tree_watts)
    every = [*main.values(), *others_measured.values()]
    power_line = lines["total"][0]
    return ReceiverEstimate(
        lanes=lanes,
        step=first.step,
        synthesised_lanes=(widths[0], widths[1]),
        synthesised_steps=1 + len(others),
        step_power_w=power_line(lanes),
        step_area_mm2=1e-6 * area_line(lanes),
        power_w={kind: total for kind, (_, total) in lines.items()},
        area_mm2=1e-6 * area_um2,
        clock_tree_estimate_w=tree_w,
        fit_power_w=power_line,
        fit_area_um2=area_line,
        fit_check={
            str(width): {
                "power": power_line(width) / main[width].power_w.total,
                "area": area_line(width) / main[width].cell_area_um2,
            }
            for width in widths[2:]
        },
        slack_ns=min(metrics.slack_ns for metrics in every),
        timing_met=all(metrics.timing_met for metrics in every),
        glitch_share=statistics.mean(metrics.glitch_share for metrics in (narrow, wide)),
        voltage_v=narrow.voltage_v,
    )


def _watts(kind: str, metrics: SynthMetrics) -> float:
    watts: float = getattr(metrics.power_w, kind)
    return watts


def _tree_watts(metrics: SynthMetrics) -> float:
    if metrics.clock_tree_estimate_w is None:
        raise InputError(f"pdk = {metrics.pdk}: has no buffer for a clock tree")
    return metrics.clock_tree_estimate_w.total
