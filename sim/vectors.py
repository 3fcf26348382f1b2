"""What is streamed through the chain: the received waveform, and corner cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dbp import fixed
from dbp.design import MAX_LAUNCH_POWER_UW, Design
from dbp.golden import Samples
from dbp.stimulus import Stimulus

SEED = 1
CORNER_WORDS = 64
GAPPED_SAMPLES = 512


@dataclass(frozen=True)
class Vector:
    """One stream from zero history. ``valid``: one boolean per clock, a word where it is true.

    ``samples`` fill the valid words exactly; ``launch_power_uw`` sets the rotation constants.
    """

    name: str
    samples: Samples
    valid: NDArray[np.bool_]
    launch_power_uw: int


def vectors(design: Design, stimulus: Stimulus, lanes: int, max_samples: int) -> list[Vector]:
    """All vectors of a simulation; the first ``max_samples`` of the stimulus, in whole words."""
    rng = np.random.default_rng(SEED)
    low, high = fixed.code_range(design.signal_bits)
    power = stimulus.launch_power_uw
    corner = CORNER_WORDS * lanes

    def pair(i: NDArray[np.int64], q: NDArray[np.int64]) -> Samples:
        return Samples(i.astype(np.int64), q.astype(np.int64))

    def vector(name: str, x: Samples, power_uw: int, *, gaps: bool = False) -> Vector:
        # Zeros fill the last word.
        padding = (0, -len(x.i) % lanes)
        x = Samples(np.pad(x.i, padding), np.pad(x.q, padding))
        valid = np.ones(len(x.i) // lanes, np.bool_)
        if gaps:
            # Pauses of one clock and of several, before any word.
            pauses = rng.choice([0, 0, 1, 2, 5], len(valid))
            valid = np.insert(valid, np.repeat(np.arange(len(valid)), pauses), False)
        return Vector(name, x, valid, power_uw)

    def head(length: int) -> Samples:
        return Samples(stimulus.samples.i[:length], stimulus.samples.q[:length])

    # Long enough for the response to pass every tap of every filter and of every K.
    response = sum(filter_.taps - 1 for filter_ in design.filters) + 1
    response += sum(rotation.kerr_taps - 1 for rotation in design.rotations)
    impulse = np.zeros(response, np.int64)
    impulse[0] = high
    alternating = np.where(np.arange(corner) % 2 == 0, high, low)
    extremes = rng.choice([low, high], (2, corner))
    largest, smallest = np.full(corner, high), np.full(corner, low)
    return [
        vector("received", head(max_samples), power),
        vector("received_with_gaps", head(GAPPED_SAMPLES), power, gaps=True),
        vector("impulse", pair(impulse, impulse), power),
        vector("alternating_full_scale", pair(alternating, -1 - alternating), power),
        vector("all_largest", pair(largest, largest), MAX_LAUNCH_POWER_UW),
        vector("all_smallest", pair(smallest, smallest), MAX_LAUNCH_POWER_UW),
        vector("random_full_scale_with_gaps", pair(*extremes), MAX_LAUNCH_POWER_UW, gaps=True),
    ]
