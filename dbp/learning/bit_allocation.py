"""Bits for the taps of each filter and for each wire between filters, where bits have a price.

A bit less doubles the step of a rounding and makes its mean squared error four times as large. As
long as that raises the loss by less than the price of the bit, the bit goes: the bit allocation of
Shoham and Gersho (IEEE Trans. Acoust. Speech Signal Process. 36, 1445 (1988)), where each place
decides by itself, since its price is all that it shares with others.

What the steps of a filter cost is known before any tap is rounded: successive interference
cancellation (`dbp.learning.integer_rounding`) leaves each tap an error of step^2 / 12 in the mean,
which weighs what the Gauss-Newton matrix says of this tap when the taps that follow compensate it.
Filters differ in it, as their steps are powers of two. What a wire costs is found by passing the
data with some bits less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dbp.datapath.design import Design
from dbp.datapath.limits import MIN_BITS
from dbp.learning.integer_rounding import DAMPING

Vector = NDArray[np.float64]

# A wire loses so many bits while its cost is measured: then its rounding error is larger than that
# of all other wires, and still small.
BITS_TRIED = 3


def rounding_losses(matrix: NDArray[np.float64], steps: Vector) -> Vector:
    """Mean quadratic form of the error that rounding each tap leaves, all rounded together.

    Arguments as those of `dbp.learning.integer_rounding.round_together`; the sum of the result is
    the whole loss.
    """
    count = len(steps)
    inverse = np.linalg.inv(matrix + DAMPING * np.eye(count))
    losses, free = np.zeros(count), np.ones(count, dtype=bool)
    for _ in range(count):
        n = np.argmin(np.where(free, np.diagonal(inverse), np.inf))
        column, pivot = inverse[:, n].copy(), inverse[n, n]
        losses[n] = steps[n] ** 2 / 12 / pivot
        free[n] = False
        inverse -= np.outer(column, column / pivot)
    return losses


def superfluous_bits(loss: float, price: float, most: int) -> int:
    """How many bits of a place bring less than ``price`` each; at most ``most``.

    ``loss``: of its rounding with all bits.
    """
    bits = 0
    while bits < most and 3 * 4**bits * max(loss, 0.0) < price:
        bits += 1
    return bits


def with_fewer_tap_bits(design: Design, bits: Sequence[int]) -> Design:
    """Take ``bits[k]`` bits from the taps of ``filters[k]``: their codes become coarser."""
    filters = tuple(
        replace(
            filter_,
            coefficient_bits=filter_.coefficient_bits - less,
            shift=filter_.shift - less,
            half_taps_i=tuple(tap >> less for tap in filter_.half_taps_i),
            half_taps_q=tuple(tap >> less for tap in filter_.half_taps_q),
        )
        for filter_, less in zip(design.filters, bits, strict=True)
    )
    return replace(design, filters=filters)


def with_fewer_wire_bits(design: Design, bits: Sequence[int]) -> Design:
    """Take ``bits[k]`` bits from what leaves ``rotations[k]``; all gains stay as they are."""
    rotations = tuple(
        replace(rotation, output_bits=rotation.output_bits - less)
        for rotation, less in zip(design.rotations, bits, strict=True)
    )
    filters = tuple(
        replace(filter_, shift=filter_.shift - less)
        for filter_, less in zip(design.filters, (0, *bits), strict=True)
    )
    return replace(design, filters=filters, rotations=rotations)


def allocate_tap_bits(
    design: Design, losses: Sequence[float], price: float, *, after: Sequence[int]
) -> list[int]:
    """Bits that the taps of each filter can do without at a price each.

    ``losses``: of the rounding of each filter; ``after``: bits that the wire into it will lose,
    each of which takes one of its shift.
    """
    return [
        superfluous_bits(loss, price, min(f.coefficient_bits - MIN_BITS, f.shift - wire))
        for f, loss, wire in zip(design.filters, losses, after, strict=True)
    ]


def allocate_wire_bits(
    design: Design, loss_of: Callable[[Design], float], price: float
) -> list[int]:
    """Bits that the wire behind each rotation can do without at a price each.

    ``loss_of`` passes data through a design.
    """
    count, whole = len(design.rotations), loss_of(design)
    bits = []
    for k, rotation in enumerate(design.rotations):
        most = min(rotation.output_bits - MIN_BITS, design.filters[k + 1].shift)
        tried = min(BITS_TRIED, most)
        less = [tried if j == k else 0 for j in range(count)]
        grown = loss_of(with_fewer_wire_bits(design, less)) - whole
        loss = grown / (4**tried - 1) if tried else 0.0
        bits.append(superfluous_bits(loss, price, most))
    return bits
