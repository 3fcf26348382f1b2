"""The fixed-point contract: one rounding rule, one saturation rule, one named exception.

A signal of ``bits`` bits is a two's-complement integer, its *code*, and stands for the fraction
``code / 2**(bits - 1)`` of full scale. All arithmetic here is exact on ``numpy.int64``; callers
keep every intermediate inside 63 bits, which `dbp.datapath.design.Design` checks once for all its
wires.

The rules in the vocabulary of the field: `requantize` rounds ties towards plus infinity
(``floor(x + 1/2)``) and saturates; `truncate` drops low bits (plain floor) and is used in one place
only, `squared_magnitude`. The hardware has the same rules in ``rtl/blocks/arithmetic.py`` (and, for
hardwired filters, in ``rtl/blocks/hardwired.py``); learning rounds floats by the same floor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Codes = NDArray[np.int64]


def code_range(bits: int) -> tuple[int, int]:
    """Smallest and largest code of a signed signal of ``bits`` bits."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def saturate(x: ArrayLike, bits: int) -> Codes:
    """Clip integers to the range of ``bits`` signed bits; any shape, same shape back."""
    low, high = code_range(bits)
    return np.clip(np.asarray(x, dtype=np.int64), low, high)


def round_shift(x: ArrayLike, shift: int) -> Codes:
    """``floor((x + 2**(shift - 1)) / 2**shift)``: divide by ``2**shift``, ties towards +infinity.

    ``shift = 0`` returns ``x``. Any shape, same shape back.
    """
    x = np.asarray(x, dtype=np.int64)
    return x if shift == 0 else (x + (1 << (shift - 1))) >> shift


def requantize(x: ArrayLike, shift: int, bits: int) -> Codes:
    """The one requantiser: `round_shift` by ``shift`` bits, then `saturate` to ``bits`` bits."""
    return saturate(round_shift(x, shift), bits)


def truncate(x: ArrayLike, from_bits: int, to_bits: int) -> Codes:
    """Keep the ``to_bits`` most significant of ``from_bits`` bits: a plain floor, no rounding.

    The one named exception to `requantize`: `squared_magnitude` alone uses it.
    ``to_bits >= from_bits`` returns ``x``, whose bits then are all kept.
    """
    return np.asarray(x, dtype=np.int64) >> max(from_bits - to_bits, 0)


def squared_magnitude(i: ArrayLike, q: ArrayLike, from_bits: int, to_bits: int) -> Codes:
    """\\|x\\|^2 of samples of ``from_bits`` bits, their quadratures first cut by `truncate`.

    ``to_bits`` are left of each quadrature. A truncated code c stands for the middle of the codes
    it came from, c + 1/2, so its square is c (c + 1) but for a constant that all samples share;
    where nothing is truncated it is c^2. (Squares
    of the floors themselves would lean by half a step towards one corner of the plane: that error
    repeats in every rotation and costs the paper's 9-bit baseline 1.7 dB.)
    """
    ci, cq = truncate(i, from_bits, to_bits), truncate(q, from_bits, to_bits)
    middle = int(to_bits < from_bits)
    return ci * (ci + middle) + cq * (cq + middle)


def quantize(x: ArrayLike, bits: int) -> Codes:
    """The analogue-to-digital converter: real ``x``, in units of full scale, to codes.

    Rounds ties towards +infinity and saturates, as `requantize` does. NaN and infinities are
    refused with `ValueError`.
    """
    x = np.asarray(x, dtype=np.float64)
    if not np.isfinite(x).all():
        raise ValueError("a signal to quantise holds NaN or infinity")
    low, high = code_range(bits)
    return np.clip(np.floor(x * float(1 << (bits - 1)) + 0.5), low, high).astype(np.int64)
