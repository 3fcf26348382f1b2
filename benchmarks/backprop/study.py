"""Which way of back-propagating learns a quantized receiver best? One command runs the study.

    OMP_NUM_THREADS=1 python -m benchmarks.backprop.study --small --out FOLDER

Every run is one method, one setting and one seed, with the same budget of processor time, in a
process of its own; its result is a line of ``FOLDER/runs.jsonl`` as soon as it is there. The
command goes on where it was stopped. ``--slice 60`` stops it after so many seconds, in order to
share a machine. At the end, or by ``--report`` at any time, tables and a figure.

``--small``: 8 spans, 2 s a run. Settings are tried on seed 0, as many for each method; the best
by validation runs on the other seeds. ``--full --tried SMALL``: the paper's 32 spans, 30 s a run,
each method with the setting that was best in the small form whose folder is SMALL, and of each
question only the case that settings are tried in.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import resource
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.backprop import extras, report
from benchmarks.backprop.learners import Run, Setting
from benchmarks.backprop.methods import QUESTIONS, Question, Row
from benchmarks.backprop.task import SIZES, Size, Task, settings_of
from dbp.learning import code_ranges, digit_rounding, training
from dbp.learning.export import export
from dbp.learning.float_model import Model, to_signal
from dbp.learning.quantized_model import QuantizedModel

TRIAL_SEED, SEEDS = 0, (1, 2, 3)
# Validation between two of these shares of the processor time.
CHECK = 1.2
FIRST_CHECK_S = 0.02
Case = tuple[int, int, int]
Runs = dict[str, dict[str, Any]]


def key_of(question: str, row: str, case: Case, setting: Setting, seed: int) -> str:
    """What names a run in the file of results."""
    return json.dumps([question, row, case, dict(setting), seed], sort_keys=True)


class Clock:
    """Processor time of this process that a method has spent, but what is done while stopped."""

    def __init__(self, budget: float) -> None:
        self.budget, self._stopped, self._begin = budget, 0.0, time.process_time()
        self._since: float | None = None

    @property
    def spent(self) -> float:
        until = time.process_time() if self._since is None else self._since
        return until - self._begin - self._stopped

    @property
    def progress(self) -> float:
        return self.spent / self.budget

    def stop(self) -> None:
        self._since = time.process_time()

    def go_on(self) -> None:
        assert self._since is not None
        self._stopped += time.process_time() - self._since
        self._since = None


def begin(task: Task, case: Case, setting: Setting) -> Model | QuantizedModel:
    """The model that all methods of a case begin with; ``fill`` of a setting fills its codes."""
    tap_bits, signal_bits, _ = case
    if not signal_bits:
        return Model(task.start)
    # Taps that are not rounded have the formats of those of 6 bits.
    bits, filters = tap_bits or 6, task.learned
    if setting.get("fill"):
        filters = code_ranges.filled(filters, bits)
    return task.quantized(filters, bits, signal_bits)


def run_one(
    size: Size, folder: Path, question: str, row: Row, case: Case, setting: Setting, seed: int
) -> dict[str, Any]:
    """Run one method; what is written of it. The best state on validation data is judged."""
    torch.set_num_threads(1)
    limit = setting.get("largest_tap", training.LARGEST_TAP)
    task = Task(size, seed, folder, case[2] or None, limit)
    model = begin(task, case, setting)
    validation, _ = task.objective(model, task.validation), task.train
    # What is not rounded yet is no result.
    history = [] if case[0] else [(0.0, _db(validation.loss()))]
    best = history[0][1] if history else -math.inf
    best_at, rounded, steps = validation.parameters, None, 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    clock, due = Clock(size.seconds), FIRST_CHECK_S
    state = Run(task, model, seed, lambda: clock.progress)
    for _ in row.method(state, setting):
        steps += 1
        if clock.spent < due and clock.progress < 1:
            continue
        clock.stop()
        history.append((clock.spent, _db(validation.loss())))
        if history[-1][1] > best:
            best, best_at = history[-1][1], validation.parameters
        rounded = getattr(model, "rounded", None)
        due = clock.spent * CHECK + FIRST_CHECK_S
        clock.go_on()
        if clock.progress >= 1:
            break
    clock.stop()
    if rounded is not None:
        model.rounded = rounded
    if not history or clock.spent > history[-1][0]:
        history.append((clock.spent, _db(validation.loss())))
        if history[-1][1] > best:
            best, best_at = history[-1][1], validation.parameters
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    validation.parameters = best_at
    figures = {"snr_db": task.snr_db(model, task.fresh)}
    if isinstance(model, Model):
        figures |= _in_fixed_point(task, model)
    return {
        "question": question,
        "method": row.name,
        "case": case,
        "setting": dict(setting),
        "seed": seed,
        "validated_db": best,
        **figures,
        "seconds": clock.spent,
        "settled_s": settled(history),
        "steps": steps,
        "memory_mib": memory / 1024,
        "history": history,
    }


def _db(loss: float) -> float:
    return -10 * math.log10(max(loss, 1e-12))


def _in_fixed_point(task: Task, model: Model) -> dict[str, float]:
    """What float filters are worth once their taps are rounded together, once, on fresh data."""
    out = {}
    for bits in (6, 4):
        fixed = task.quantized(model.filters(), bits, 9)
        task.round_jointly(fixed)
        out[f"snr_db_{bits}_bits"] = task.snr_db(fixed, task.fresh)
    return out


def settled(history: list[tuple[float, float]], within_db: float = 0.05) -> float:
    """Seconds after which the best SNR so far is within some dB of its end."""
    best = np.maximum.accumulate([snr for _, snr in history])
    return float(history[int(np.argmax(best >= best[-1] - within_db))][0])


def warm_up(size: Size) -> None:
    """Load the compiled code once; the processes of the runs inherit it."""
    settings = settings_of(size, 0)
    filters = training.start_filters(settings, joint=False)
    x = np.random.default_rng(0).normal(size=(2, 64, 2)).view(np.complex128)[..., 0]
    fixed = QuantizedModel(export(filters, settings.learned, settings.datapath), filters)
    for model, signal, power in (
        (Model(filters), to_signal(x), 1.0),
        (fixed, fixed.convert(x), 1000),
    ):
        model(signal, power).sum().backward()
        for _ in model.tangents(signal, power):
            pass
    order = np.arange(2)
    lattice = digit_rounding.Lattice(
        np.eye(2), np.ones(2), np.ones(2), order - 9, order + 9, np.zeros(2)
    )
    digit_rounding.at_price(lattice, [order])


def chosen(question: Question, row: Row, done: Runs) -> Setting | None:
    """The setting that was best on the trial seed; None while one is missing."""
    if len(row.settings) == 1:
        return row.settings[0]
    case = question.cases[question.tuned]
    keys = [key_of(question.name, row.name, case, each, TRIAL_SEED) for each in row.settings]
    if any(key not in done for key in keys):
        return None
    return row.settings[int(np.argmax([done[key]["validated_db"] for key in keys]))]


def missing(
    done: Runs, tried: Runs | None = None
) -> Iterator[tuple[Question, Row, Case, Setting, int]]:
    """Runs that are still to be done and whose setting is known: those of one core in order.

    ``tried``: runs of another size that settings were tried in; one case of each question is run.
    """
    for question in QUESTIONS:
        tuned = question.cases[question.tuned]
        for row in question.rows:
            wanted = []
            if tried is None and len(row.settings) > 1:
                wanted += [(tuned, setting, TRIAL_SEED) for setting in row.settings]
            best = chosen(question, row, done if tried is None else tried)
            cases = question.cases if tried is None else [tuned]
            if best is not None:
                wanted += [(case, best, seed) for case in cases for seed in SEEDS]
            for case, setting, seed in wanted:
                if key_of(question.name, row.name, case, setting, seed) not in done:
                    yield question, row, case, setting, seed


def read(path: Path) -> Runs:
    """All runs that are done, by their keys; a last line that was cut is left out."""
    done = {}
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        done[entry.pop("key")] = entry
    return done


def write(path: Path, key: str, entry: dict[str, Any]) -> None:
    """Append one run as one line, in one write."""
    line = json.dumps({"key": key, **entry}) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def prepare(size: Size, folder: Path, jobs: int, seeds: Sequence[int]) -> None:
    """What all runs of a seed share: data, the joint start, filters learned in floating point."""
    limits = training.LARGEST_TAP, 0.4686
    units = [(size, folder, seed, limit) for seed in seeds for limit in limits]
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        pool.starmap(_prepare, units, chunksize=len(limits))


def _prepare(size: Size, folder: Path, seed: int, largest_tap: float) -> None:
    torch.set_num_threads(1)
    task = Task(size, seed, folder, largest_tap=largest_tap)
    if not task.prepared:
        _ = task.start, task.train, task.validation, task.fresh, task.learned


def work(
    size: Size, folder: Path, jobs: int, until: float, only: str | None, tried: Runs | None
) -> bool:
    """Do what is missing until a time; tell whether nothing is left."""
    path, running = folder / "runs.jsonl", {}
    # Forked: a run inherits the compiled code, and its peak of memory is its own.
    context = multiprocessing.get_context("fork")
    while True:
        done = read(path)
        for entry in missing(done, tried):
            question, row, case, setting, seed = entry
            key = key_of(question.name, row.name, case, setting, seed)
            if len(running) >= jobs or time.monotonic() > until:
                break
            if key in running or (only and only != question.name):
                continue
            arguments = size, folder, question.name, row, case, setting, seed
            parent, child = context.Pipe(False)
            process = context.Process(target=_send, args=(child, arguments))
            process.start()
            running[key] = process, parent
        if not running:
            return time.monotonic() <= until
        time.sleep(0.05)
        for key, (process, parent) in list(running.items()):
            if parent.poll() or not process.is_alive():
                entry = parent.recv() if parent.poll() else None
                process.join()
                del running[key]
                if entry is None:
                    raise RuntimeError(f"a run ended without a result: {key}")
                write(path, key, entry)
                print(f"{entry['snr_db']:7.2f} dB  {entry['settled_s']:6.2f} s  {key}", flush=True)


def _send(pipe: Any, arguments: tuple) -> None:
    pipe.send(run_one(*arguments))
    pipe.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    size = parser.add_mutually_exclusive_group(required=True)
    for name in SIZES:
        size.add_argument(f"--{name}", action="store_const", const=name, dest="size")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--tried", type=Path, help="of --full: folder of a finished --small")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--slice", type=float, default=math.inf, help="stop after so many seconds")
    parser.add_argument("--only", help="one question: float, taps, signals, few data or extras")
    parser.add_argument("--report", action="store_true", help="table and figures of what is there")
    options = parser.parse_args()
    if (options.size == "full") != (options.tried is not None):
        parser.error("--tried SMALL belongs to --full, which needs it")
    tried = read(options.tried / "runs.jsonl") if options.tried else None
    if tried is not None and (left := list(missing(tried))):
        parser.error(f"{options.tried}: {len(left)} runs or more of the small form are missing")
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    until, chosen_size = time.monotonic() + options.slice, SIZES[options.size]
    if not options.report:
        seeds = SEEDS if tried else (TRIAL_SEED, *SEEDS)
        prepare(chosen_size, options.out, options.jobs, seeds)
        warm_up(chosen_size)
        print(f"begins after {time.process_time():.1f} s", flush=True)
        finished = True
        if options.only != "extras":
            finished = work(chosen_size, options.out, options.jobs, until, options.only, tried)
        if finished and options.only in (None, "extras"):
            finished = extras.work(chosen_size, options.out, SEEDS, until)
        print("finished" if finished else "stopped: the same command goes on")
    others = extras.read(options.out / "extras.jsonl")
    report.write(read(options.out / "runs.jsonl"), others, options.out)


if __name__ == "__main__":
    main()
