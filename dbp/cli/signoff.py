"""``dbp signoff``: every step of a receiver, on all cores or a cluster."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from dbp.datapath.design import Design
from dbp.errors import InputError
from dbp.evaluation import executors, slurm
from dbp.evaluation.counting import LOOK_S, result_of
from dbp.evaluation.executors import AtATime
from dbp.records.provenance import Stopwatch, provenance, write_metrics
from dbp.records.schemas import SignedOffStep, SignoffMetrics, SynthMetrics
from dbp.runs import config_of, stimulus_source
from dbp.support.files import write_csv
from dbp.support.text import aligned

if TYPE_CHECKING:
    from dbp.rtl.target import Target
    from dbp.synthesis.signoff import Step

# The hardware side loads slowly: imported where it is needed, so that --help is quick.

FOLDER, TABLE = "signoff", "steps.csv"
# Memory that mapping and simulating a step take beside those of a worker, and for each lane; 8
# lanes of taps in registers were measured.
_BYTES, _BYTES_A_LANE = 400_000_000, 60_000_000


def signoff(
    run: Path,
    pdk: str | None,
    target: Target,
    *,
    cluster: str = "local",
    workers: int | None = None,
    wishes: slurm.Settings | None = None,
) -> SignoffMetrics:
    """Synthesise, time, simulate and cost every step of a run's design; write and print a table.

    ``target``: lanes, filters and pipeline of all steps. ``cluster``, ``workers``, ``wishes``: see
    `dbp.evaluation.executors.executor`. What an earlier call has left, of the same inputs, is not
    made again: a killed one goes on.
    """
    from dbp.synthesis import signoff as steps_of
    from dbp.synthesis.cells import kits
    from dbp.synthesis.gates.step_bench import samples_needed

    stopwatch = Stopwatch()
    executors.check(cluster, wishes)
    settings, design = config_of(run), Design.load(run / "design.json")
    kit = kits.find(pdk or settings.hardware.pdk)[0].name
    target.check(design)
    stimulus = stimulus_source(run)(samples_needed(design, target.lanes))
    steps = steps_of.plan(
        design,
        stimulus,
        kit,
        target.filters,
        target.pipeline,
        target.lanes,
        settings.hardware.clock_mhz,
        settings.hash,
    )
    netlists = sum(step.is_first for step in steps)
    print(
        f"Signing off {len(steps)} steps of {design.name}, {target.filters}, in {kit}: "
        f"{netlists} netlists of {target.lanes} lanes at {settings.hardware.clock_mhz:g} MHz",
        flush=True,
    )
    folder = run / FOLDER / f"{kit}-{target.filters}-x{target.lanes}"
    place = partial(
        executors.executor,
        cluster,
        points=len(steps),
        workers=workers,
        task_bytes=_BYTES + target.lanes * _BYTES_A_LANE,
        wishes=wishes,
        log_folder=run / FOLDER / "slurm",
    )
    measured = _Steps(steps, folder).run(place)
    metrics = _metrics(steps, steps_of.rows(steps, measured), stopwatch)
    write_csv(folder / TABLE, [row.row() for row in metrics.steps])
    write_metrics(folder / "metrics.json", metrics)
    _print(metrics, folder)
    return metrics


@contextmanager
def _kept(folder: Path) -> Iterator[None]:
    """Say at the end of a sign-off that failed or was interrupted how to go on."""
    try:
        yield
    except InputError:
        raise
    except BaseException:
        if any(folder.glob("step*/metrics.json")):
            print(f"Kept in {folder}: the same command goes on", file=sys.stderr, flush=True)
        raise


class _Steps:
    """The work on all steps: a step that shares a netlist waits for the one that has it mapped."""

    def __init__(self, steps: Sequence[Step], folder: Path) -> None:
        self._folder, self._total = folder, len(steps)
        self._ready = deque(step for step in steps if step.is_first)
        self._waiting: dict[int, list[Step]] = {}
        for step in steps:
            if not step.is_first:
                self._waiting.setdefault(step.like, []).append(step)
        self._measured: dict[int, SynthMetrics] = {}

    def run(
        self, place: Callable[[], AbstractContextManager[tuple[Executor, AtATime]]]
    ) -> Mapping[int, SynthMetrics]:
        """Return the metrics of every step by its number, with a bar meanwhile.

        ``place`` gives an executor and a function: how many steps run on it at once.
        """
        with (
            place() as (executor, at_a_time),
            # It speaks before the workers are ended, which may take too long.
            _kept(self._folder),
            tqdm(total=self._total, desc="Sign-off", unit="step", disable=None) as bar,
        ):
            self._work(executor, at_a_time, bar)
        return self._measured

    def _work(self, executor: Executor, at_a_time: AtATime, bar: tqdm) -> None:
        from dbp.synthesis import signoff as steps_of

        running: dict[Future[steps_of.Files], Step] = {}
        try:
            while self._ready or running:
                # Called every few seconds: it raises where no worker is left.
                count = at_a_time()
                while self._ready and len(running) < count:
                    step = self._ready.popleft()
                    running[self._submit(executor, step)] = step
                done, _ = wait(running, LOOK_S, FIRST_COMPLETED)
                for task in done:
                    step = running.pop(task)
                    metrics = self._end(step, result_of(task))
                    bar.set_postfix_str(f"step {step.number}: slack {metrics.slack_ns:+.3f} ns")
                    bar.update()
        finally:
            for task in running:
                task.cancel()

    def _place(self, number: int) -> Path:
        return self._folder / f"step{number:02d}"

    def _submit(self, executor: Executor, step: Step) -> Future[Mapping[str, bytes]]:
        from dbp.synthesis import signoff as steps_of
        from dbp.synthesis.synthesize_step import kept

        earlier = kept(self._place(step.number))
        first = {} if step.is_first else steps_of.read(self._place(step.like))
        hash_ = None if earlier is None else earlier.inputs_hash
        return executor.submit(steps_of.sign_off, step, hash_, first)

    def _end(self, step: Step, files: Mapping[str, bytes]) -> SynthMetrics:
        from dbp.synthesis import signoff as steps_of
        from dbp.synthesis.synthesize_step import kept

        place = self._place(step.number)
        metrics = steps_of.write(place, files) if files else kept(place)
        assert metrics is not None  # it was there when the step began
        self._measured[step.number] = metrics
        self._ready.extend(self._waiting.pop(step.number, ()))
        return metrics


def _metrics(
    steps: Sequence[Step], rows: Sequence[SignedOffStep], stopwatch: Stopwatch
) -> SignoffMetrics:
    from dbp.synthesis import signoff as steps_of
    from dbp.synthesis import stages
    from dbp.synthesis.cells import kits

    first, trees = steps[0], [row.clock_tree_estimate_w for row in rows]
    target = first.target
    missed = sorted((row for row in rows if not row.timing_met), key=lambda row: row.slack_ns)
    return SignoffMetrics(
        pdk=first.kit,
        filters=target.filters,
        lanes=target.lanes,
        clock_mhz=first.clock_mhz,
        pipeline=steps_of.cuts(target.pipeline),
        for_demonstration_only=first.kit == kits.SHIPPED,
        power_w=steps_of.total_power(rows),
        clock_tree_estimate_w=None if None in trees else sum(tree or 0.0 for tree in trees),
        cell_area_um2=sum(row.cell_area_um2 for row in rows),
        slack_ns=min(row.slack_ns for row in rows),
        timing_met=not missed,
        missed=tuple(row.step for row in missed),
        netlists=len({row.mapped_with for row in rows}),
        gate_level_samples=sum(row.gate_level_samples for row in rows),
        gate_level_mismatches=sum(row.gate_level_mismatches for row in rows),
        estimate=steps_of.estimated(first.design, target.filters, rows),
        steps=tuple(rows),
        **provenance(
            design_hash=first.design.hash,
            config_hash=first.config_hash,
            seed=first.stimulus.seed,
            versions=stages.programs(),
            stopwatch=stopwatch,
        ),
    )


def _print(metrics: SignoffMetrics, folder: Path) -> None:
    """Print a line for each step, the sum, and what misses the clock."""
    table = [["step", "um2", "mW", "slack ns", ""]]
    for row in metrics.steps:
        remark = "" if row.timing_met else "misses the clock"
        figures = (
            f"{row.cell_area_um2:.0f}",
            f"{1e3 * row.power_w.total:.2f}",
            f"{row.slack_ns:+.3f}",
        )
        table.append([str(row.step), *figures, remark])
    print(aligned(table))
    estimate, tree_w = metrics.estimate, metrics.clock_tree_estimate_w
    tree = "" if tree_w is None else f" ({1e3 * tree_w:.1f} of them clock trees, estimated)"
    print(
        f"All {len(metrics.steps)} steps: {metrics.cell_area_um2:.0f} um2, "
        f"{1e3 * metrics.power_w.total:.1f} mW{tree}: {estimate.area_ratio:.3f} and "
        f"{estimate.power_ratio:.3f} times what step {next(iter(estimate.steps))} says that stands "
        f"for most"
    )
    missed = (
        f"missing the clock: step {', '.join(map(str, metrics.missed))}"
        if metrics.missed
        else "all meet the clock"
    )
    print(f"Worst slack {metrics.slack_ns:+.3f} ns: {missed}")
    if metrics.for_demonstration_only:
        print(f"{metrics.pdk} is for demonstration: its figures are no evidence")
    print(f"{metrics.wall_time_s:.0f} s -> {folder / TABLE}", flush=True)
