"""What is streamed through the top: the received waveform, corner cases, changes of taps and K."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dbp.datapath import fixed, golden
from dbp.datapath.design import MAX_LAUNCH_POWER_UW, Design, Filter, Rotation
from dbp.datapath.golden import Samples, Tuning
from dbp.datapath.stimulus import Stimulus

SEED = 1
CORNER_WORDS = 64
GAPPED_SAMPLES = 512
# Enough for the words under way when a change comes to be followed by as many behind it.
RETUNED_WORDS = 40


@dataclass(frozen=True)
class Vector:
    """One stream after a reset. ``valid``: one boolean per clock, a word where it is true.

    ``samples`` fill the valid words exactly. ``tunings``: what is written before the stream and
    committed with its first clock, then what is committed later, each beside the first word that
    it is for or, with ``early_commits``, in the pause before that word. Where it does not ``drain``
    the next reset comes while words and a commit are under way. With ``clears`` the counters are
    cleared in the end.
    """

    name: str
    samples: Samples
    valid: NDArray[np.bool_]
    tunings: tuple[Tuning, ...]
    early_commits: bool = False
    drain: bool = True
    clears: bool = False


def vectors(
    design: Design,
    stimulus: Stimulus,
    blocks: Sequence[int],
    lanes: int,
    max_samples: int,
    *,
    latency_cycles: int,
    hardwired: bool,
) -> list[Vector]:
    """All vectors of a simulation of ``blocks`` (numbered as in `golden.trace_retuned`).

    The received ones begin with the first ``max_samples`` of the stimulus, in whole words, brought
    to the first block by golden. With ``hardwired`` taps only K changes. ``latency_cycles``: so
    many words are under way at a time.
    """
    rng = np.random.default_rng(SEED)
    first = blocks[0] // 2
    bits = design.filter_input_bits(first)
    low, high = fixed.code_range(bits)
    power = stimulus.launch_power_uw
    head = Samples(stimulus.samples.i[:max_samples], stimulus.samples.q[:max_samples])
    received = golden.trace_retuned([Tuning(0, design, power)], head, range(blocks[0]))[-1]
    warm_up = golden.warm_up_words(design, lanes, blocks) * lanes
    corner = CORNER_WORDS * lanes + warm_up

    def pair(i: NDArray, q: NDArray) -> Samples:
        return Samples(i.astype(np.int64), q.astype(np.int64))

    def vector(
        name: str,
        x: Samples,
        *tunings: Tuning,
        gaps: bool = False,
        early_commits: bool = False,
        drain: bool = True,
        clears: bool = False,
    ) -> Vector:
        # Zeros fill the last word.
        padding = (0, -len(x.i) % lanes)
        x = Samples(np.pad(x.i, padding), np.pad(x.q, padding))
        valid = np.ones(len(x.i) // lanes, np.bool_)
        if gaps:
            # Pauses of one clock and of several, before any word.
            pauses = rng.choice([0, 0, 1, 2, 5], len(valid))
            valid = np.insert(valid, np.repeat(np.arange(len(valid)), pauses), False)
        return Vector(name, x, valid, tunings, early_commits, drain, clears)

    def part(length: int) -> Samples:
        """So many received samples; the waveform again from its start where it is too short."""
        return Samples(*(np.resize(x, length) for x in received))

    def random(length: int) -> Samples:
        return pair(*rng.choice([low, high], (2, length)))

    own, loud = Tuning(0, design, power), Tuning(0, design, MAX_LAUNCH_POWER_UW)
    response = sum(
        design.rotations[b // 2].kerr_taps - 1 if b % 2 else design.filters[b // 2].taps - 1
        for b in blocks
    )
    # Behind zeros that fill the histories, and long enough to pass every tap and every K.
    impulse = np.zeros(warm_up + response + 1, np.int64)
    impulse[warm_up] = high
    alternating = np.where(np.arange(corner) % 2 == 0, high, low)
    largest, smallest = np.full(corner, high), np.full(corner, low)
    period = RETUNED_WORDS * lanes
    shaken = []
    for k in range(1, 7):
        # Each second set has every bit of the one before inverted, so that all bits are used.
        extreme = (
            extreme_taps(design, rng, hardwired=hardwired)
            if k % 2
            else inverted_taps(shaken[-1].design, hardwired=hardwired)
        )
        shaken.append(Tuning(warm_up + k * period, extreme, MAX_LAUNCH_POWER_UW))
    changes = (own, replace_start(loud, warm_up + period), *shaken[1:2])
    changes += (replace_start(own, warm_up + 3 * period),)
    return [
        vector("received", received, own),
        vector("received_with_gaps", part(GAPPED_SAMPLES + warm_up), own, gaps=True),
        vector("impulse", pair(impulse, impulse), own),
        vector("alternating_full_scale", pair(alternating, -1 - alternating), own),
        vector("all_largest", pair(largest, largest), loud, clears=True),
        vector("all_smallest", pair(smallest, smallest), loud),
        vector("random_full_scale_with_gaps", random(corner), loud, gaps=True),
        vector("cut_off_by_reset", part(warm_up + period + latency_cycles * lanes), own,
               drain=False),
        vector("retuned", part(warm_up + 4 * period), *changes),
        vector("retuned_in_gaps", part(warm_up + 4 * period), *changes, gaps=True,
               early_commits=True),
        vector("extreme_taps", random(warm_up + 7 * period), own, *shaken, clears=True),
    ]  # fmt: skip


def replace_start(tuning: Tuning, start: int) -> Tuning:
    """The same taps and K from another sample on."""
    return tuning._replace(start=start)


def extreme_taps(design: Design, rng: np.random.Generator, *, hardwired: bool) -> Design:
    """The design with taps (unless hardwired) and K at either end of their range, at random."""
    return _retuned(
        design, lambda row, bits: rng.choice(fixed.code_range(bits), len(row)), hardwired
    )


def inverted_taps(design: Design, *, hardwired: bool) -> Design:
    """The design with every bit of the taps (unless hardwired) and of K inverted."""
    return _retuned(design, lambda row, _: ~np.array(row), hardwired)


def _retuned(
    design: Design, change: Callable[[tuple[int, ...], int], NDArray], hardwired: bool
) -> Design:
    """``change`` takes a row of codes and their bits."""

    def row(codes: tuple[int, ...], bits: int) -> tuple[int, ...]:
        return tuple(map(int, change(codes, bits)))

    def filter_(f: Filter) -> Filter:
        bits = f.coefficient_bits
        return replace(
            f, half_taps_i=row(f.half_taps_i, bits), half_taps_q=row(f.half_taps_q, bits)
        )

    def rotation(r: Rotation) -> Rotation:
        # Gains beyond any register drive K to its ends.
        return replace(r, kerr_gains=row(r.kerr_gains, 32))

    filters = design.filters if hardwired else tuple(map(filter_, design.filters))
    return replace(design, filters=filters, rotations=tuple(map(rotation, design.rotations)))
