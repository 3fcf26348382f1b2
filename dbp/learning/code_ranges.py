"""Turns and gains that make every filter fill the codes of its taps, at no cost in floating point.

A filter's taps share a power of two as their scale (`dbp.learning.export`), at which the largest
part of them, real or imaginary, just fits. Where that is little more than half of the range, a bit
of every tap is lost: of 4 bits a fourth. But a chain does not say how large its filters are.

A *turn*, a constant phase of a filter, is free: rotations see \\|x\\|^2 only, and the receiver
takes out the sum of all phases. The one at which the largest part of the taps is smallest is taken.

A *gain* of a filter is free where the next one undoes it and the Kerr constants between them follow
the power, but the level of the signals between them changes, whose formats stay as they are. So the
product of all gains so far keeps within `LEVEL_DB`, and among such products the ones with the least
sum of squared steps, each relative to its filter, are found by dynamic programming.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dbp.learning.export import coefficient_shift
from dbp.learning.float_filters import FloatFilters

# Signals may be this much louder or softer than learned: a tenth of their rms.
LEVEL_DB = 1.0
# Levels in the range, and turns in a quarter of a circle: beyond it I and Q only trade places.
LEVELS, TURNS = 41, 64


def filled(filters: FloatFilters, bits: int, level_db: float = LEVEL_DB) -> FloatFilters:
    """The same filters, turned and scaled so that their taps fill codes of ``bits`` bits.

    Kerr constants follow the levels. What leaves the chain is the same but for a constant factor.
    """
    turns = np.exp(0.5j * np.pi * np.arange(TURNS) / TURNS)
    turned, largest = [], []
    for taps in filters.taps:
        each = turns[:, None] * taps
        size = np.maximum(np.abs(each.real), np.abs(each.imag)).max(1)
        best = int(np.argmin(size))
        turned.append(each[best])
        largest.append(float(size[best]))
    levels = _levels(largest, bits, level_db)
    gains = levels / np.concatenate(([1.0], levels[:-1]))
    kerr = filters.kerr_rad_per_mw / levels[:-1, None] ** 2
    scaled = tuple(gain * each for gain, each in zip(gains, turned, strict=True))
    return replace(filters, taps=scaled, kerr_rad_per_mw=kerr)


def _levels(largest: list[float], bits: int, level_db: float) -> NDArray[np.float64]:
    """The level behind every filter, relative to the learned one, with the finest steps."""
    choice = 10 ** (np.linspace(-level_db, level_db, LEVELS) / 20)
    cost, before = np.full(LEVELS, np.inf), []
    cost[LEVELS // 2] = 0.0  # what the converter makes has the level that it has
    for size in largest:
        gains = choice[None, :] / choice[:, None]
        shifts = np.vectorize(lambda gain, size=size: coefficient_shift(size * gain, bits))(gains)
        total = cost[:, None] + (2.0**-shifts / gains) ** 2
        before.append(np.argmin(total, axis=0))
        cost = np.min(total, axis=0)
    path = [int(np.argmin(cost))]
    for came_from in reversed(before[1:]):
        path.append(int(came_from[path[-1]]))
    return choice[path[::-1]]
