"""Bit error ratio, effective SNR and their like of receivers over transmissions.

Outside the chip, in floating point and with the sent symbols as genie: matched filter, symbol
timing, and one complex gain (one constant phase rotation and one gain control) per group of at
least 8,192 symbols, since a genie rotation of shorter blocks would track phase noise and flatter
the result. The effective SNR is E|x|^2 / E|x - c y|^2 with the gain c that makes it largest, as in
the literature on digital backpropagation; decisions are taken on y without bias towards zero.

A receiver at a point counts whole groups in the order of the seed until it has enough errors or
bits: the shortest prefix that meets the rule. So its figures depend neither on what other
receivers are evaluated with it, nor on how many workers there are, nor on which is faster.
"""

from __future__ import annotations

import concurrent.futures
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from dbp import config
from dbp.errors import DbpError, InputError
from dbp.evaluation import groups as units
from dbp.evaluation.groups import Scenario
from dbp.evaluation.measures import Measures, summarize
from dbp.evaluation.receivers import Receiver
from dbp.evaluation.store import Results
from dbp.link import modulation
from dbp.support import threads

# Between two looks at how many tasks run at a time, where none has ended.
LOOK_S = 5.0


@dataclass(frozen=True)
class Rule:
    """Stop at so many errors, or before the group that would exceed so many bits.

    One group is always counted.
    """

    min_errors: int
    max_bits: int


@dataclass
class _Count:
    """The units of one receiver and scenario; those of the prefix are counted."""

    rule: Rule
    waiting: dict[int, Measures] = field(default_factory=dict)
    prefix: list[Measures] = field(default_factory=list)
    bits: int = 0
    errors: int = 0
    progress: float = 0.0

    @property
    def done(self) -> bool:
        return self.progress >= 1

    def lacks(self, number: int) -> bool:
        return not self.done and number >= len(self.prefix) and number not in self.waiting

    def add(self, more: dict[int, Measures]) -> None:
        """Take units in any order; count on as far as none is missing."""
        self.waiting |= more
        while not self.done and len(self.prefix) in self.waiting:
            unit = self.waiting.pop(len(self.prefix))
            self.prefix.append(unit)
            self.bits += unit.bits
            self.errors += unit.bit_errors
            progress = max(self.errors / self.rule.min_errors, self.bits / self.rule.max_bits)
            # Whether the next group, as large as this one, would be too much.
            full = self.bits + unit.bits > self.rule.max_bits
            self.progress = 1.0 if full else min(progress, 1.0)

    @property
    def expected(self) -> float:
        """How many more groups it will take, as far as one can tell."""
        if self.done:
            return 0.0
        return len(self.prefix) * (1 / self.progress - 1) if self.progress else math.inf


class _Work:
    """What is to be done for one scenario."""

    def __init__(self, scenario: Scenario, receivers: Sequence[Receiver], rule: Rule) -> None:
        self.scenario, self.receivers = scenario, receivers
        self.identity = units.identity(scenario)
        self.counts = [_Count(rule) for _ in receivers]
        self.submitted = 0  # chunks, all below this number

    def next(self) -> tuple[int, list[int]] | None:
        """The next chunk and the receivers that lack units of it; None where all have enough."""
        while not all(count.done for count in self.counts):
            groups = self._groups(self.submitted)
            lacking = [
                k for k, count in enumerate(self.counts) if any(count.lacks(g) for g in groups)
            ]
            if lacking:
                return self.submitted, lacking
            self.submitted += 1
        return None

    @property
    def ahead(self) -> float:
        """Chunks under way beyond the prefix; infinite where more would hardly be of use."""
        undone = [count for count in self.counts if not count.done]
        if not undone:
            return math.inf
        size = self.scenario.chunk_groups
        ahead = self.submitted - min(len(count.prefix) for count in undone) // size
        expected = max(count.expected for count in undone) / size
        return ahead if ahead < max(1, expected) else math.inf

    def _groups(self, chunk: int) -> range:
        size = self.scenario.chunk_groups
        return range(chunk * size, (chunk + 1) * size)

    def add(self, chunk: int, chosen: Sequence[int], found: list[list[Measures]]) -> Iterable[Any]:
        """Take the units of a chunk; returns them with their keys."""
        rows = []
        for k, of_receiver in zip(chosen, found, strict=True):
            numbered = dict(zip(self._groups(chunk), of_receiver, strict=True))
            self.counts[k].add(numbered)
            keys = self.identity["scenario"], self.receivers[k].key
            rows += [(*keys, number, unit) for number, unit in numbered.items()]
        return rows


def count(
    heard: Sequence[tuple[Scenario, Sequence[Receiver]]],
    rule: Rule,
    *,
    executor: concurrent.futures.Executor,
    at_a_time: Callable[[], int],
    results: Results | None = None,
    progress: bool = True,
) -> list[list[list[Measures]]]:
    """For each scenario and each of its receivers the units of the prefix that meets the rule.

    ``executor`` does the work, ``at_a_time()`` tasks of it at once. Units that ``results`` holds
    are not counted again, and all that are counted are added to it at once. Shows a bar with the
    latest BER and the time left.
    """
    works = [_Work(scenario, receivers, rule) for scenario, receivers in heard]
    for work in works if results is not None else ():
        for receiver, counter in zip(work.receivers, work.counts, strict=True):
            counter.add(results.load(work.identity["scenario"], receiver.key))
    counters = [counter for work in works for counter in work.counts]
    with tqdm(
        total=len(counters),
        desc="BER",
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
        disable=None if progress else True,
    ) as bar:
        bar.update(sum(counter.progress for counter in counters))
        running: dict[concurrent.futures.Future, tuple[_Work, int, list[int]]] = {}
        try:
            while True:
                while len(running) < at_a_time() and (job := _next(works)):
                    work, chunk, chosen = job
                    receivers = [work.receivers[k] for k in chosen]
                    task = executor.submit(
                        units.count, work.scenario, receivers, chunk, work.identity
                    )
                    running[task] = job
                if all(counter.done for counter in counters):
                    break
                ended, _ = concurrent.futures.wait(
                    running, LOOK_S, concurrent.futures.FIRST_COMPLETED
                )
                if not ended:
                    continue
                rows: list[Any] = []
                for task in ended:
                    work, chunk, chosen = running.pop(task)
                    rows += work.add(chunk, chosen, _result(task))
                if results is not None:
                    results.add(rows)
                best = work.counts[chosen[-1]]
                bar.set_postfix_str(
                    f"{work.receivers[chosen[-1]].name} {work.scenario.launch_power_dbm:+g} dBm: "
                    f"{best.errors / max(best.bits, 1):.2e}, {best.errors} errors",
                    refresh=False,
                )
                bar.update(sum(counter.progress for counter in counters) - bar.n)
        finally:
            for task in running:
                task.cancel()
    return [[counter.prefix for counter in work.counts] for work in works]


def _next(works: Sequence[_Work]) -> tuple[_Work, int, list[int]] | None:
    """A chunk of the scenario with the fewest under way."""
    for work in sorted(works, key=lambda work: work.ahead):
        if not math.isfinite(work.ahead):
            break
        if found := work.next():
            work.submitted += 1
            return work, *found
    return None


def _result(task: concurrent.futures.Future) -> list[list[Measures]]:
    try:
        return task.result()
    except concurrent.futures.CancelledError:
        raise DbpError("the cluster has dropped its tasks: is its scheduler still there?") from None
    except (ImportError, AttributeError, TypeError, RuntimeError) as error:
        # What a worker or a scheduler without our dbp raises.
        if isinstance(error, DbpError):
            raise
        raise DbpError(
            f"a worker failed ({type(error).__name__}: {error}); all of a cluster must have the "
            "same version of dbp"
        ) from error
    except Exception as error:
        # Of a package that is not loaded where no cluster is used.
        if type(error).__name__ == "KilledWorker":
            raise DbpError(f"a task ended every worker that tried it: {error}") from None
        raise


def evaluate(
    receivers: Sequence[Receiver],
    link_: config.Link,
    launch_powers_dbm: Sequence[float],
    *,
    min_errors: int,
    max_bits: int,
    seed: int,
) -> list[dict[str, Any]]:
    """One point per launch power and receiver, a dict as `point` gives it, in threads.

    All receivers of a launch power hear the same waveforms, each simulated once. Shows progress.
    """
    check(receivers, link_)
    heard = [(Scenario(link_, float(power), seed), receivers) for power in launch_powers_dbm]
    cores = threads.cores()
    with threads.pool(cores) as pool:
        counted = count(heard, Rule(min_errors, max_bits), executor=pool, at_a_time=lambda: cores)
    return [
        point(receiver, scenario, prefix)
        for (scenario, _), prefixes in zip(heard, counted, strict=True)
        for receiver, prefix in zip(receivers, prefixes, strict=True)
    ]


def check(receivers: Sequence[Receiver], link_: config.Link) -> None:
    """Refuse with `InputError` what cannot be told apart or counted."""
    names = [(receiver.name, receiver.arithmetic) for receiver in receivers]
    if len(set(names)) < len(names):
        raise InputError(f"designs {sorted(name for name, _ in names)}: names must differ")
    if not modulation.bits_per_symbol(link_.modulation):
        raise InputError(f"link.modulation = {link_.modulation!r}: has no bits to count")
    for receiver in receivers:
        if receiver.arithmetic == "fixed":
            config.require_one_polarization(link_, f"{receiver.name} in fixed point")


def point(receiver: Receiver, scenario: Scenario, prefix: Sequence[Measures]) -> dict[str, Any]:
    """Whose point it is, and where, and its figures as `measures.summarize` has them."""
    return {
        "design": receiver.name,
        "arithmetic": receiver.arithmetic,
        "launch_power_dbm": scenario.launch_power_dbm,
        **summarize(prefix),
    }
