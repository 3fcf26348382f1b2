"""A whole receiver of many lanes, from syntheses of a few of its steps with few lanes.

Steps that have the same number of taps, and a rotation or none, differ in values and shifts only:
one stands for all of them. What a step costs is a part that does not depend on the lanes (taps and
their registers, histories) and a part for each lane: two widths of the kind with the most steps
tell the two apart, and further ones check that line. Kinds of fewer steps are synthesised in the
narrowest width, and grow with the lanes as that kind does. ``docs/power.md`` says how well this
predicts wider syntheses.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from dbp.datapath.design import Design
from dbp.errors import InputError
from dbp.rtl.blocks.hardwired import graph_sizes
from dbp.rtl.pipeline import HardwiredPipeline, Pipeline, parse
from dbp.synthesis import fit_clock
from dbp.synthesis.cells import kits
from dbp.synthesis.power import calculate
from dbp.synthesis.synthesize_step import CLOCK_MHZ, synthesize

K, T = TypeVar("K", bound=Hashable), TypeVar("T")
LANES = 96
WIDTHS = (8, 16)
# At this node no cut that there is brings the datapath to its clock (docs/power.md): registers are
# left as they are, since all that the kit is good for is ratios.
OUT_OF_REACH_NM = 130


@dataclass(frozen=True)
class Kind:
    """Steps that are alike: the one that stands for them, and how many they are."""

    step: int
    count: int


def kinds(design: Design, filters: str) -> list[Kind]:
    """The kinds of a design's steps, that of most steps first.

    The middle step stands for a kind; of ``hardwired`` filters the one with the median number of
    adders.
    """
    alike: dict[tuple[int, bool], list[int]] = {}
    for k, filter_ in enumerate(design.filters):
        alike.setdefault((filter_.taps, k < len(design.rotations)), []).append(k)
    found = []
    for steps in alike.values():
        if filters == "hardwired":
            steps = sorted(steps, key=lambda k: _adders(design, k))
        found.append(Kind(steps[len(steps) // 2], len(steps)))
    return sorted(found, key=lambda kind: -kind.count)


@functools.cache  # seconds for a design, and asked for in every kit
def _adders(design: Design, step: int) -> int:
    filter_, bits = design.filters[step], design.filter_input_bits(step)
    return graph_sizes(filter_, bits, HardwiredPipeline()).shared.adders


@dataclass(frozen=True)
class Fit:
    """``fixed + per_lane * lanes``."""

    fixed: float
    per_lane: float

    @classmethod
    def through(cls, figures: Mapping[int, float]) -> Fit:
        """The line through two figures, by lanes."""
        (narrow, first), (wide, second) = sorted(figures.items())
        per_lane = (second - first) / (wide - narrow)
        return cls(first - per_lane * narrow, per_lane)

    def __call__(self, lanes: int) -> float:
        return self.fixed + self.per_lane * lanes


@dataclass(frozen=True)
class Job:
    """One synthesis: ``folder`` is a run's, with ``design.json`` and ``stimulus.npz``."""

    folder: Path
    pdk: str
    filters: str
    step: int
    lanes: int
    clock_mhz: float = CLOCK_MHZ
    pipeline: Pipeline | None = None

    @property
    def place(self) -> Path:
        """Where all syntheses of the design in the kit are."""
        return self.folder / "lanes" / f"{self.pdk}-{self.filters}"

    def run(self) -> dict[str, Any]:
        """The metrics, of an earlier run where its inputs were the same."""
        return synthesize(
            self.folder,
            self.pdk,
            step=self.step,
            lanes=self.lanes,
            filters=self.filters,
            pipeline=self.pipeline,
            clock_mhz=self.clock_mhz,
            folder=self.place / f"step{self.step}-x{self.lanes}",
            reuse=True,
            progress=False,
        )


def jobs(
    folder: Path, design: Design, pdk: str, filters: str, widths: Sequence[int], clock_mhz: float
) -> list[Job]:
    """The syntheses that `estimate` needs of one design in one kit."""
    if len(widths) < 2 or list(widths) != sorted(set(widths)) or widths[0] < 1:
        raise InputError(f"lanes = {list(widths)}: must be two widths or more, from narrow to wide")
    first, *others = kinds(design, filters)
    wanted = [(first.step, lanes) for lanes in widths]
    wanted += [(kind.step, widths[0]) for kind in others]
    return [Job(folder, pdk, filters, step, lanes, clock_mhz) for step, lanes in wanted]


def run(all_jobs: Sequence[Job], workers: int) -> dict[Job, dict[str, Any]]:
    """Their metrics; ``workers`` processes, with a bar. After the first error none is begun."""
    # The longest first, so that no core waits for one in the end.
    order = sorted(all_jobs, key=lambda job: -job.lanes)
    tasks = {job: (f"{job.folder.name}, {job.pdk}, {job.lanes} lanes", job.run) for job in order}
    return _parallel(tasks, workers, "Synthesis")


def fit_clocks(jobs: Mapping[K, Sequence[Job]], workers: int) -> dict[K, list[Job]]:
    """The same jobs with the cuts that their clock needs: see `dbp.synthesis.fit_clock`.

    Each sequence is of one design in one kit, and gets one pipeline for all of its steps. What an
    earlier call has found, of the same inputs, is not made again.
    """
    tasks = {
        key: (f"{some[0].folder.name}, {some[0].pdk}", partial(_fitted, some))
        for key, some in jobs.items()
    }
    found = _parallel(tasks, workers, "Fitting the clock")
    return {key: [replace(job, pipeline=found[key]) for job in some] for key, some in jobs.items()}


def _fitted(jobs: Sequence[Job]) -> Pipeline:
    """Cuts are only added, so that what a later step needs an earlier one stands too."""
    pipeline = jobs[0].pipeline or Pipeline()
    if kits.KITS[jobs[0].pdk].node_nm >= OUT_OF_REACH_NM:
        return pipeline
    for job in {job.step: job for job in jobs}.values():
        trials = fit_clock.fit(
            job.folder,
            job.pdk,
            job.place / f"step{job.step}-fit",
            step=job.step,
            filters=job.filters,
            pipeline=pipeline,
            clock_mhz=job.clock_mhz,
            reuse=True,
            progress=False,
        )
        pipeline = parse(fit_clock.last_kept(trials).pipeline)
    return pipeline


def _parallel(
    tasks: Mapping[K, tuple[str, Callable[[], T]]], workers: int, title: str
) -> dict[K, T]:
    """What the tasks return, each with what the bar says of it, started in their order."""
    with (
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
        tqdm(total=len(tasks), desc=title, disable=None) as bar,
    ):
        running = {pool.submit(task): key for key, (_, task) in tasks.items()}
        found = {}
        try:
            for done in as_completed(running):
                key = running[done]
                found[key] = done.result()
                bar.set_postfix_str(tasks[key][0])
                bar.update()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found


def estimate(
    design: Design,
    filters: str,
    measured: Mapping[tuple[int, int], Mapping[str, Any]],
    widths: Sequence[int],
    lanes: int = LANES,
) -> dict[str, Any]:
    """What a receiver of ``lanes`` lanes costs: watts by kind, square millimetres, and more.

    ``measured``: the metrics of `synthesize`, by step and lanes. ``step_power_w`` and
    ``step_area_mm2`` are of the kind with the most steps, as the paper states them; ``fit_power_w``
    and ``fit_area_um2`` are that kind's `Fit`, through the first two of ``widths``, and
    ``fit_check`` is what it predicts over what was measured, in each of the others. The clock
    tree's estimate is in none of them.
    """
    first, *others = kinds(design, filters)
    main = {width: measured[first.step, width] for width in widths}
    narrow, wide = (main[width] for width in widths[:2])

    def whole(figure) -> tuple[Fit, float]:
        fit = Fit.through({widths[0]: figure(narrow), widths[1]: figure(wide)})
        growth = fit(lanes) / figure(narrow) if figure(narrow) else 0.0
        total = first.count * fit(lanes)
        for kind in others:
            total += kind.count * growth * figure(measured[kind.step, widths[0]])
        return fit, total

    fits = {kind: whole(lambda m, kind=kind: m["power_w"][kind]) for kind in calculate.KINDS}
    area_fit, area_um2 = whole(lambda m: m["cell_area_um2"])
    _, tree_w = whole(lambda m: m["clock_tree_estimate_w"]["total"])
    every = [*main.values(), *(measured[kind.step, widths[0]] for kind in others)]
    fit = fits["total"][0]
    return {
        "lanes": lanes,
        "step": first.step,
        "synthesized_lanes": list(widths[:2]),
        "step_power_w": fit(lanes),
        "step_area_mm2": 1e-6 * area_fit(lanes),
        "power_w": {kind: total for kind, (_, total) in fits.items()},
        "area_mm2": 1e-6 * area_um2,
        "clock_tree_estimate_w": tree_w,
        "fit_power_w": {"fixed": fit.fixed, "per_lane": fit.per_lane},
        "fit_area_um2": {"fixed": area_fit.fixed, "per_lane": area_fit.per_lane},
        "fit_check": {
            str(width): {
                "power": fit(width) / main[width]["power_w"]["total"],
                "area": area_fit(width) / main[width]["cell_area_um2"],
            }
            for width in widths[2:]
        },
        "slack_ns": min(m["slack_ns"] for m in every),
        "timing_met": all(m["timing_met"] for m in every),
        "glitch_share": statistics.mean(m["glitch_share"] for m in (narrow, wide)),
        "voltage_v": narrow["voltage_v"],
    }
