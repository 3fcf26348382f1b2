"""Count bit errors group by group, until each receiver has enough errors or bits.

Outside the chip, in floating point and with the sent symbols as genie: matched filter, symbol
timing, and one complex gain (one constant phase rotation and one gain control) per group of at
least 8,192 symbols, since a genie rotation of shorter blocks would track phase noise and flatter
the result. The effective SNR is E|x|^2 / E|x - c y|^2 with the gain c that makes it largest, as in
the literature on digital backpropagation; decisions are taken on y without bias towards zero.

A receiver at a point counts whole groups in the order of the seed until it has enough errors or
bits: the shortest prefix that meets the rule. So its figures depend neither on what other
receivers are evaluated with it, nor on how many workers there are, nor on which is faster.

The groups of one receiver in one scenario, while it is counted (``docs/concepts/counting.md``)::

    chunk        0         1         2         3         4
    groups    0 1 2 3   4 5 6 7   8 9 . .   12 13 ..  . . . .
              |counted| |counted| | under | |counted| | not yet   |
              |--- prefix ------->|  way    |waiting| | submitted |

Measures of a chunk that comes back early wait until the groups before it are there; then the prefix
grows, group by group, until it meets the rule. What is counted beyond that is not used.
"""

from __future__ import annotations

import concurrent.futures
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict, TypeVar

from tqdm import tqdm

from dbp import config
from dbp.datapath.complexity import complexity
from dbp.datapath.design import Design
from dbp.errors import DbpError, InputError, shown
from dbp.evaluation import blind, groups
from dbp.evaluation.groups import Detection, Scenario
from dbp.evaluation.measures import Measures, summarize
from dbp.evaluation.points import Points
from dbp.evaluation.receivers import FixedReceiver, Receiver, link_of, rate_of
from dbp.evaluation.store import CountedGroup, Results
from dbp.link import modulation
from dbp.records.schemas import Point
from dbp.support import threads

# Between two looks at how many tasks run at a time, where none has ended.
LOOK_S = 5.0

# In these a design may have a link of its own: columns of its points where links differ.
_OWN_KEYS = ("adc_samples_per_symbol", "dual_polarisation")

# A scenario, and the receivers that are evaluated on its waveforms.
Transmission = tuple[Scenario, Sequence[Receiver]]


@dataclass(frozen=True)
class Rule:
    """Stop at ``min_errors`` errors, or before the group that would exceed ``max_bits`` bits.

    One group is always counted.
    """

    min_errors: int
    max_bits: int


@dataclass
class _Count:
    """The measures of one receiver in one scenario; those of the prefix are counted."""

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
        """Tell whether the group of that number may still have to be counted."""
        return not self.done and number >= len(self.prefix) and number not in self.waiting

    def add(self, measures: Mapping[int, Measures]) -> None:
        """Take the measures of groups in any order; count on as far as no group is missing."""
        self.waiting |= measures
        while not self.done and len(self.prefix) in self.waiting:
            group = self.waiting.pop(len(self.prefix))
            self.prefix.append(group)
            self.bits += group.bits
            self.errors += group.bit_errors
            progress = max(self.errors / self.rule.min_errors, self.bits / self.rule.max_bits)
            # Whether the next group, as large as this one, would be too much.
            full = self.bits + group.bits > self.rule.max_bits
            self.progress = 1.0 if full else min(progress, 1.0)

    @property
    def expected_groups(self) -> float:
        """The number of groups still to come, judged by the progress; infinite before the first."""
        if self.done:
            return 0.0
        return len(self.prefix) * (1 / self.progress - 1) if self.progress else math.inf


class _Work:
    """The chunks of one scenario, handed out in order."""

    def __init__(self, scenario: Scenario, receivers: Sequence[Receiver], rule: Rule) -> None:
        self.scenario, self.receivers = scenario, receivers
        self.identity = groups.identity(scenario, receivers)
        self.counts = [_Count(rule) for _ in receivers]
        self._submitted = 0  # chunks, all below this number

    @property
    def _undone(self) -> list[_Count]:
        return [count for count in self.counts if not count.done]

    @property
    def ahead(self) -> int:
        """Chunks submitted beyond the shortest prefix; some receiver must need more."""
        prefix = min(len(count.prefix) for count in self._undone)
        return self._submitted - prefix // self.scenario.chunk_groups

    @property
    def wants_chunk(self) -> bool:
        """Tell whether another chunk is likely to be used: those under way may well be enough."""
        if not self._undone:
            return False
        expected = max(count.expected_groups for count in self._undone)
        return self.ahead < max(1, expected / self.scenario.chunk_groups)

    def next_chunk(self) -> _Chunk:
        """Submit the next chunk of which a receiver lacks groups; some receiver must need more."""
        while True:
            number = self._submitted
            self._submitted += 1
            numbers = self.groups_of(number)
            lacking = [
                k for k, count in enumerate(self.counts) if any(count.lacks(n) for n in numbers)
            ]
            if lacking:
                return _Chunk(self, number, tuple(lacking))

    def groups_of(self, chunk: int) -> range:
        size = self.scenario.chunk_groups
        return range(chunk * size, (chunk + 1) * size)


@dataclass(frozen=True)
class _Chunk:
    """One task: the groups of a chunk, for the receivers that lack some of them."""

    work: _Work
    number: int
    lacking: tuple[int, ...]

    @property
    def receivers(self) -> list[Receiver]:
        return [self.work.receivers[k] for k in self.lacking]

    def add(self, measures: list[list[Measures]]) -> list[CountedGroup]:
        """Give the scenario's counts what the task returned; return it with its keys."""
        counted = []
        numbers = self.work.groups_of(self.number)
        for k, of_receiver in zip(self.lacking, measures, strict=True):
            numbered = dict(zip(numbers, of_receiver, strict=True))
            self.work.counts[k].add(numbered)
            scenario = self.work.identity["scenario"]
            receiver = groups.receiver_key(self.work.receivers[k])
            counted += [CountedGroup(scenario, receiver, n, m) for n, m in numbered.items()]
        return counted

    def latest(self) -> str:
        """Return the BER so far of the last receiver, for the progress bar."""
        receiver, count = self.receivers[-1], self.work.counts[self.lacking[-1]]
        return (
            f"{receiver.name} {self.work.scenario.launch_power_dbm:+g} dBm: "
            f"{count.errors / max(count.bits, 1):.2e}, {count.errors} errors"
        )


class Scheduler:
    """Decides which chunk is counted next, and when all receivers have met the rule.

    A scenario *wants a chunk* while more groups are expected of it than are under way, and is
    *done* when the prefixes of all its receivers meet the rule.
    """

    def __init__(
        self, transmissions: Sequence[Transmission], rule: Rule, results: Results | None = None
    ) -> None:
        self._works = [_Work(scenario, receivers, rule) for scenario, receivers in transmissions]
        self._results = results
        self._counts = [count for work in self._works for count in work.counts]
        if results is not None:
            for work in self._works:
                for receiver, count in zip(work.receivers, work.counts, strict=True):
                    key = groups.receiver_key(receiver)
                    count.add(results.load(work.identity["scenario"], key))

    @property
    def done(self) -> bool:
        return all(count.done for count in self._counts)

    @property
    def progress(self) -> float:
        """The sum over receivers and scenarios of 0 to 1."""
        return sum(count.progress for count in self._counts)

    @property
    def prefixes(self) -> list[list[list[Measures]]]:
        """For each scenario and each of its receivers the measures of the prefix."""
        return [[count.prefix for count in work.counts] for work in self._works]

    def next_chunk(self) -> _Chunk | None:
        """Submit a chunk of the scenario that is least ahead; None where none wants one."""
        wanting = [work for work in self._works if work.wants_chunk]
        return min(wanting, key=lambda work: work.ahead).next_chunk() if wanting else None

    def add(self, ended: Sequence[tuple[_Chunk, list[list[Measures]]]]) -> None:
        """Take what tasks returned; all of it is on disk, or none, when this returns."""
        counted = [group for chunk, measures in ended for group in chunk.add(measures)]
        if self._results is not None:
            self._results.add(counted)


def count(
    transmissions: Sequence[Transmission],
    rule: Rule,
    *,
    executor: concurrent.futures.Executor,
    at_a_time: Callable[[], int],
    results: Results | None = None,
    progress: bool = True,
) -> list[list[list[Measures]]]:
    """For each scenario and each of its receivers the measures of the prefix that meets the rule.

    ``executor`` does the work, ``at_a_time()`` tasks of it at once. Groups that ``results`` holds
    are not counted again, and all that are counted are added to it at once. Shows a bar with the
    latest BER and the time left.
    """
    scheduler = Scheduler(transmissions, rule, results)
    with tqdm(
        total=sum(len(receivers) for _, receivers in transmissions),
        desc="BER",
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
        disable=None if progress else True,
    ) as bar:
        bar.update(scheduler.progress)
        running: dict[concurrent.futures.Future[list[list[Measures]]], _Chunk] = {}
        try:
            while True:
                while len(running) < at_a_time() and (chunk := scheduler.next_chunk()):
                    work = chunk.work
                    task = executor.submit(
                        groups.count, work.scenario, chunk.receivers, chunk.number, work.identity
                    )
                    running[task] = chunk
                if scheduler.done:
                    break
                ended, _ = concurrent.futures.wait(
                    running, LOOK_S, concurrent.futures.FIRST_COMPLETED
                )
                if not ended:
                    continue
                chunks = [(running.pop(task), result_of(task)) for task in ended]
                scheduler.add(chunks)
                bar.set_postfix_str(chunks[-1][0].latest(), refresh=False)
                bar.update(scheduler.progress - bar.n)
        finally:
            for task in running:
                task.cancel()
    return scheduler.prefixes


_Result = TypeVar("_Result")


def result_of(task: concurrent.futures.Future[_Result]) -> _Result:
    """Return what a task of an executor returned; `DbpError` where its worker or cluster failed."""
    try:
        return task.result()
    except concurrent.futures.CancelledError:
        raise DbpError("the cluster has dropped its tasks: is its scheduler still there?") from None
    except (ImportError, AttributeError, TypeError, RuntimeError) as error:
        # A worker or a scheduler without our dbp raises these.
        if isinstance(error, DbpError):
            raise
        raise DbpError(
            f"a worker failed ({type(error).__name__}: {error}); all of a cluster must have the "
            "same version of dbp"
        ) from error
    except Exception as error:
        # Compared by name, since its package is not loaded where no cluster is used.
        if type(error).__name__ == "KilledWorker":
            raise DbpError(f"a task ended every worker that tried it: {error}") from None
        raise


def evaluate(
    receivers: Sequence[Receiver],
    link: config.Link,
    launch_powers_dbm: Sequence[float],
    *,
    min_errors: int,
    max_bits: int,
    seed: int,
    progress: bool = True,
    detection: Detection = "genie",
) -> Points:
    """Count the bit errors of receivers: one point per launch power and receiver, in threads.

    All receivers of a launch power get the same waveforms, each simulated once; those that work at
    other samples per symbol than ``link.adc_samples_per_symbol`` get theirs at these, and designs
    of two polarisations both. Shows a progress bar on a terminal.
    """
    on_link: dict[config.Link, list[Receiver]] = {}
    for receiver in receivers:
        on_link.setdefault(link_of(receiver, link), []).append(receiver)
    _check_names(receivers)
    for own, of_link in on_link.items():
        check(of_link, own, detection)
        groups.load_torch(own, of_link)
    transmissions = [
        (Scenario(own, float(power), seed, detection), of_link)
        for power in launch_powers_dbm
        for own, of_link in on_link.items()
    ]
    told = [key for key in _OWN_KEYS if len({config.flat_link(own)[key] for own in on_link}) > 1]
    cores = threads.cores()
    with threads.pool(cores) as pool:
        prefixes = count(
            transmissions,
            Rule(min_errors, max_bits),
            executor=pool,
            at_a_time=lambda: cores,
            progress=progress,
        )
    points = {
        (scenario.launch_power_dbm, receiver.name, receiver.arithmetic): point(
            receiver,
            scenario,
            prefix,
            design=_design_of(receiver),
            link_changes={key: config.flat_link(scenario.link)[key] for key in told},
        )
        for (scenario, of_link), of_scenario in zip(transmissions, prefixes, strict=True)
        for receiver, prefix in zip(of_link, of_scenario, strict=True)
    }
    return Points(
        points[float(power), receiver.name, receiver.arithmetic]
        for power in launch_powers_dbm
        for receiver in receivers
    )


def _design_of(receiver: Receiver) -> Design | None:
    return receiver.design if isinstance(receiver, FixedReceiver) else None


def _check_names(receivers: Sequence[Receiver]) -> None:
    names = [(receiver.name, receiver.arithmetic) for receiver in receivers]
    if len(set(names)) < len(names):
        raise InputError(f"designs {sorted(name for name, _ in names)}: names must differ")


def check(receivers: Sequence[Receiver], link: config.Link, detection: Detection = "genie") -> None:
    """Refuse with `InputError` what cannot be told apart or counted."""
    _check_names(receivers)
    if detection == "blind":
        blind.check(link)
    if not modulation.bits_per_symbol(link.modulation):
        raise InputError(f"link.modulation = {link.modulation!r}: has no bits to count")
    for receiver in receivers:
        if receiver.arithmetic not in ("float", "fixed"):
            raise InputError(
                f"receiver {receiver.name}: arithmetic = {shown(receiver.arithmetic)}: must be "
                "'float' or 'fixed'"
            )
        if (rate := rate_of(receiver, link)) != link.adc_rate:
            raise InputError(
                f"receiver {receiver.name}: works at {rate} samples per symbol: "
                f"link.adc_samples_per_symbol = {link.adc_samples_per_symbol} must be that"
            )
        both = link.impairments.dual_polarisation
        taken = getattr(receiver, "polarizations", link.impairments.polarizations)
        if taken != link.impairments.polarizations:
            raise InputError(
                f"receiver {receiver.name}: polarizations = {taken}: must be "
                f"{link.impairments.polarizations}, since link.impairments.dual_polarisation = "
                f"{str(both).lower()}"
            )


def point(
    receiver: Receiver,
    scenario: Scenario,
    prefix: Sequence[Measures],
    *,
    design: Design | None = None,
    link_changes: Mapping[str, Any] | None = None,
) -> Point:
    """Return the point of a receiver in a scenario, with the figures of the counted groups.

    ``design``: that of the receiver, if it has one; ``link_changes``: what a sweep has set.
    """
    return Point(
        **(link_changes or {}),
        design=receiver.name,
        arithmetic=receiver.arithmetic,
        launch_power_dbm=scenario.launch_power_dbm,
        **asdict(summarize(prefix)),
        **design_figures(design, receiver.arithmetic),
    )


class DesignFigures(TypedDict):
    """The part of a point that its design decides; bits per complex sample of fixed point only."""

    design_hash: str | None
    multiplier_bits: int | None
    adder_bits: int | None


def design_figures(design: Design | None, arithmetic: str) -> DesignFigures:
    """Return what the point of a design in that arithmetic states of it."""
    cost = complexity(design) if design and arithmetic == "fixed" else None
    return {
        "design_hash": design.hash if design else None,
        "multiplier_bits": cost.multiplier_bits if cost else None,
        "adder_bits": cost.adder_bits if cost else None,
    }
