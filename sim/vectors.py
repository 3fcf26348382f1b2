"""The vectors of a simulation: the received waveform, corner cases, changes of taps and K."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dbp.datapath import fixed, golden
from dbp.datapath.design import MAX_LAUNCH_POWER_UW, Design, Filter, Rotation
from dbp.datapath.golden import Samples, Tuning
from dbp.datapath.stimulus import Stimulus
from dbp.rtl.ports import Ports

SEED = 1
CORNER_WORDS = 64
GAPPED_SAMPLES = 512
# Long enough that the pipeline is full of words with the old taps when they change, and refills
# with words that use the new ones.
RETUNED_WORDS = 40
EXTREME_SETS = 6


@dataclass(frozen=True)
class Vector:
    """One stream after a reset. ``valid``: one boolean per clock, a word where it is true.

    ``samples`` fill the valid words exactly. ``tunings``: the first is written before the stream
    and committed with its first clock. Each later one is committed with the first word that it is
    for or, with ``early_commits``, in the pause before that word. Without ``drain`` the next reset
    comes while words and a commit are under way. With ``clears`` the counters are cleared in the
    end.
    """

    name: str
    samples: Samples
    valid: NDArray[np.bool_]
    tunings: tuple[Tuning, ...]
    early_commits: bool = False
    drain: bool = True
    clears: bool = False


def make_vectors(
    ports: Ports, design: Design, stimulus: Stimulus, max_samples: int
) -> list[Vector]:
    """Return all vectors of a simulation of a top.

    The received ones begin with the first ``max_samples`` of the stimulus, in whole words, brought
    to the first block of the top by golden. In a top with hardwired taps only K changes.
    """
    source = _Source(ports, design, stimulus, max_samples)
    # All draw from one generator: the order of these calls is part of what the vectors hold.
    extremes = source.extreme_tunings()
    return [
        *source.received_vectors(),
        *source.corner_cases(),
        source.random_with_gaps(),
        source.cut_off_by_reset(),
        *source.retuned(extremes[1]),
        source.extreme_taps(extremes),
    ]


class _Source:
    """Makes vectors for a top, of samples as wide as the input of its first block."""

    def __init__(self, ports: Ports, design: Design, stimulus: Stimulus, max_samples: int) -> None:
        self.design, self.blocks, self.lanes = design, ports.blocks, ports.lanes
        self.latency_cycles = ports.latency_cycles
        self.is_hardwired = ports.filters == "hardwired"
        self.rng = np.random.default_rng(SEED)
        self.low, self.high = fixed.code_range(design.filter_input_bits(ports.blocks[0] // 2))
        power = stimulus.launch_power_uw
        self.own = Tuning(0, design, power)
        self.loud = Tuning(0, design, MAX_LAUNCH_POWER_UW)
        self.shape = (2,) if design.polarizations == 2 else ()
        head = Samples(*(part[..., :max_samples] for part in stimulus.samples))
        self.received = golden.trace_retuned([self.own], head, range(ports.blocks[0]))[-1]
        self.warm_up = golden.warm_up_words(design, ports.lanes, ports.blocks) * ports.lanes
        self.period = RETUNED_WORDS * ports.lanes
        self.corner = CORNER_WORDS * ports.lanes + self.warm_up

    def received_vectors(self) -> list[Vector]:
        part = self._part(GAPPED_SAMPLES + self.warm_up)
        return [
            self._vector("received", self.received, self.own),
            self._vector("received_with_gaps", part, self.own, gaps=True),
        ]

    def corner_cases(self) -> list[Vector]:
        response = sum(
            (self.design.rotations[b // 2].kerr_taps if b % 2 else self.design.filters[b // 2].taps)
            - 1
            for b in self.blocks
        )
        # Behind zeros that fill the histories, and long enough to pass every tap and every K.
        impulse = np.zeros(self.warm_up + response + 1)
        impulse[self.warm_up] = self.high
        alternating = np.where(np.arange(self.corner) % 2 == 0, self.high, self.low)
        largest, smallest = np.full(self.corner, self.high), np.full(self.corner, self.low)
        return [
            self._vector("impulse", self._both(impulse, impulse), self.own),
            self._vector(
                "alternating_full_scale", self._both(alternating, -1 - alternating), self.own
            ),
            self._vector("all_largest", self._both(largest, largest), self.loud, clears=True),
            self._vector("all_smallest", self._both(smallest, smallest), self.loud),
        ]

    def _both(self, i: NDArray, q: NDArray) -> Samples:
        """The samples; with two polarisations y has them inverted and exchanged, I for Q.

        So y has the power of x, and no lane of one can pass for that of the other.
        """
        if not self.shape:
            return _samples(i, q)
        return _samples(np.stack((i, -1 - q)), np.stack((q, -1 - i)))

    def random_with_gaps(self) -> Vector:
        samples = self._random(self.corner)
        return self._vector("random_full_scale_with_gaps", samples, self.loud, gaps=True)

    def cut_off_by_reset(self) -> Vector:
        under_way = self.latency_cycles * self.lanes
        part = self._part(self.warm_up + self.period + under_way)
        return self._vector("cut_off_by_reset", part, self.own, drain=False)

    def retuned(self, extreme: Tuning) -> list[Vector]:
        """K changes, then taps and K, then all is as it was."""
        starts = [self.warm_up + k * self.period for k in range(4)]
        changes = [
            self.own,
            self.loud._replace(start=starts[1]),
            extreme._replace(start=starts[2]),
            self.own._replace(start=starts[3]),
        ]
        part = self._part(self.warm_up + 4 * self.period)
        return [
            self._vector("retuned", part, *changes),
            self._vector("retuned_in_gaps", part, *changes, gaps=True, early_commits=True),
        ]

    def extreme_taps(self, extremes: list[Tuning]) -> Vector:
        samples = self._random(self.warm_up + (EXTREME_SETS + 1) * self.period)
        return self._vector("extreme_taps", samples, self.own, *extremes, clears=True)

    def extreme_tunings(self) -> list[Tuning]:
        """Sets of taps and K at the ends of their ranges.

        Every second set has all bits of the one before inverted, so that all bits are used.
        """
        tunings: list[Tuning] = []
        for k in range(1, EXTREME_SETS + 1):
            design = (
                _with_extremes(self.design, self.rng, is_hardwired=self.is_hardwired)
                if k % 2
                else _inverted(tunings[-1].design, is_hardwired=self.is_hardwired)
            )
            tunings.append(Tuning(self.warm_up + k * self.period, design, MAX_LAUNCH_POWER_UW))
        return tunings

    def _part(self, length: int) -> Samples:
        """The first received samples; the waveform again from its start where it is too short."""
        places = np.arange(length) % self.received.i.shape[-1]
        return Samples(*(part[..., places] for part in self.received))

    def _random(self, length: int) -> Samples:
        """Full scale of either sign, at random."""
        return _samples(*self.rng.choice([self.low, self.high], (2, *self.shape, length)))

    def _vector(
        self,
        name: str,
        samples: Samples,
        *tunings: Tuning,
        gaps: bool = False,
        early_commits: bool = False,
        drain: bool = True,
        clears: bool = False,
    ) -> Vector:
        # Zeros fill the last word.
        padding = [(0, 0)] * len(self.shape) + [(0, -samples.i.shape[-1] % self.lanes)]
        samples = Samples(*(np.pad(part, padding) for part in samples))
        valid = np.ones(samples.i.shape[-1] // self.lanes, np.bool_)
        if gaps:
            # Pauses of one clock and of several, before any word.
            pauses = self.rng.choice([0, 0, 1, 2, 5], len(valid))
            valid = np.insert(valid, np.repeat(np.arange(len(valid)), pauses), False)
        return Vector(name, samples, valid, tunings, early_commits, drain, clears)


def _samples(i: ArrayLike, q: ArrayLike) -> Samples:
    return Samples(np.asarray(i).astype(np.int64), np.asarray(q).astype(np.int64))


def _with_extremes(design: Design, rng: np.random.Generator, *, is_hardwired: bool) -> Design:
    """The design with taps (unless hardwired) and K at either end of their range, at random."""

    def change(codes: tuple[int, ...], bits: int) -> NDArray:
        return rng.choice(fixed.code_range(bits), len(codes))

    return _retuned(design, change, is_hardwired)


def _inverted(design: Design, *, is_hardwired: bool) -> Design:
    """The design with every bit of the taps (unless hardwired) and of K inverted."""
    return _retuned(design, lambda codes, _: ~np.array(codes), is_hardwired)


def _retuned(
    design: Design, change: Callable[[tuple[int, ...], int], NDArray], is_hardwired: bool
) -> Design:
    """The design with ``change(codes, bits)`` in place of each row of taps and of gains."""

    def changed(codes: tuple[int, ...], bits: int) -> tuple[int, ...]:
        return tuple(map(int, change(codes, bits)))

    def changed_filter(filter_: Filter) -> Filter:
        bits = filter_.coefficient_bits
        return replace(
            filter_,
            half_taps_i=changed(filter_.half_taps_i, bits),
            half_taps_q=changed(filter_.half_taps_q, bits),
        )

    def changed_rotation(rotation: Rotation) -> Rotation:
        # Gains beyond any register drive K to its ends.
        return replace(rotation, kerr_gains=changed(rotation.kerr_gains, 32))

    filters = design.filters if is_hardwired else tuple(map(changed_filter, design.filters))
    rotations = tuple(map(changed_rotation, design.rotations))
    return replace(design, filters=filters, rotations=rotations)
