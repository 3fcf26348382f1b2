"""Constant phases that make equal filters round differently, at no cost.

The unlearned filters of all spans are equal and round alike: over N spans the error of one grows
N-fold. But a constant phase of a filter is free, as rotations see \\|x\\|^2 only and the receiver
takes out the sum of all phases, and filters shifted by different phases round differently. Here
each phase is chosen so that its filter compensates the rounding errors of those before it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dbp import config
from dbp.learning.export import coefficient_shift
from dbp.learning.float_filters import FloatFilters

# Phases to choose from, over a quarter of a circle: beyond it I and Q only trade places.
PHASES = 64
# Frequencies between 0 and the edge of the band: many times the length of a filter.
FREQUENCIES = 256


def with_constant_phases(filters: FloatFilters, formats: config.Filters) -> FloatFilters:
    """The same filters, each shifted by the constant phase with which the chain rounds best.

    In the order of the chain each takes the phase at which the product of the rounded responses is
    nearest to that of the exact ones, in the mean square over the band of ``formats.bandwidth``. A
    single tap stays as it is: where it is a power of two, it costs no multiplier.
    """
    omega = np.pi * formats.bandwidth * (np.arange(FREQUENCIES) + 0.5) / FREQUENCIES
    phases = np.exp(0.5j * np.pi * np.arange(PHASES) / PHASES)
    exact = rounded = np.ones(FREQUENCIES, np.complex128)
    chain = []
    for taps in filters.taps:
        if taps.size == 1:
            chain.append(taps)
            continue
        half = phases[:, None] * taps[: taps.size // 2 + 1]
        responses = 2 * np.cos(np.outer(np.arange(taps.size // 2, -1, -1), omega))
        responses[-1] = 1
        exact_of_phase = exact * (half @ responses)
        nearest = np.stack([_nearest(row, formats.coefficient_bits) for row in half])
        rounded_of_phase = rounded * (nearest @ responses)
        errors = np.mean(np.abs(rounded_of_phase - exact_of_phase) ** 2, axis=1)
        best = int(np.argmin(errors))
        exact, rounded = exact_of_phase[best], rounded_of_phase[best]
        chain.append(np.concatenate((half[best], half[best, -2::-1])))
    return replace(filters, taps=tuple(chain))


def _nearest(half: NDArray[np.complex128], bits: int) -> NDArray[np.complex128]:
    """Half taps as `dbp.learning.export.export` rounds them."""
    scale = 2.0 ** coefficient_shift(max(np.abs(half.real).max(), np.abs(half.imag).max()), bits)
    return (np.floor(half.real * scale + 0.5) + 1j * np.floor(half.imag * scale + 0.5)) / scale
