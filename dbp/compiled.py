"""The golden model's fast form, compiled: the same samples, some forty times faster.

A sample is one int32, I in its low half and Q in its high half, so that one `dbp.vectors.dot` with
the pair (h_i, -h_q) gives I of a product and with (h_q, h_i) gives Q. A piece of the stream stays
in the cache through all blocks. Every block computes only where its whole history is at hand, in
place: output n, of inputs n .. n + taps - 1, takes the place of the first of them. What is left is
shorter by the chain's memory, so each piece begins that much before its first output. Zeros before
the start of the stream are then the zero history of every block, since zeros pass all of them as
zeros.

`dbp.golden` is the specification and serves the designs that do not fit 32 bits.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit
from numba.extending import register_jitable

from dbp import fixed, golden
from dbp.design import Design, Filter, Rotation
from dbp.golden import Samples
from dbp.vectors import COUNT, add_halves, clamp, dot, load, splat, store

# Samples of a piece: 64 KiB, part of a second-level cache; the paper's chain begins 462 earlier.
PIECE = 1 << 14

_FILTER = [(name, np.int64) for name in ("half_taps", "shift", "output_bits")]
_ROTATION = [
    (name, np.int64)
    for name in (
        *("half_kerr", "cut", "power_offset", "phase_shift", "phase_bits"),
        *("phase_fraction_bits", "taylor_order", "output_shift", "output_bits"),
    )
]

_compile = njit(cache=True, nogil=True)


def receive(design: Design, x: Samples, launch_power_uw: int) -> Samples:
    """`dbp.golden.receive`, equal in every sample: the whole receiver filter.

    ``x``: codes of ``signal_bits``, of any shape with time along the last axis, from zero history.
    Same shape back. ``launch_power_uw`` in microwatts.
    """
    codes = np.stack(x, dtype=np.int64)
    low, high = fixed.code_range(design.signal_bits)
    inside = codes.size and low <= codes.min() and codes.max() <= high
    if not (inside and fits_32_bits(design)):
        return golden.receive(design, x, launch_power_uw)  # which refuses samples outside
    _receive(codes.reshape(2, -1, codes.shape[-1]), *_tables(design, launch_power_uw))
    return Samples(*codes)


@lru_cache
def fits_32_bits(design: Design) -> bool:
    """Whether no intermediate of `receive` overflows, whatever the samples and the launch power."""
    return all(
        _filter_fits(f, design.filter_input_bits(k)) for k, f in enumerate(design.filters)
    ) and all(
        _rotation_fits(r, design.rotation_input_bits(k)) for k, r in enumerate(design.rotations)
    )


def _filter_fits(filter_: Filter, input_bits: int) -> bool:
    # A half holds the sum of two samples, or the negative of a tap. A lane holds the sum of the
    # products, below 2^30 where the accumulator has 32 bits, and half of what is shifted out.
    return (
        input_bits <= 15
        and filter_.coefficient_bits <= 15
        and filter_.accumulator_bits(input_bits) <= 32
    )


def _rotation_fits(rotation: Rotation, input_bits: int) -> bool:
    # |x|^2 and the offset lie in 0 .. 2^(2 b - 1).
    largest_power = 1 << (2 * rotation.branch_width(input_bits) - 1)
    phase_sum = rotation.kerr_taps * largest_power << (rotation.kerr_bits - 1)
    # Halves hold the cosine, phi and its negative. The products by samples of 16 bits then stay
    # below 2^15 (2^15 + 2^14), and half of 2^28, the most that is shifted out, fits beside them.
    fraction, largest_phi = rotation.phase_fraction_bits, 1 << (rotation.phase_bits - 1)
    least_cosine = (1 << fraction) - int(fixed.round_shift(largest_phi**2, fraction + 1))
    return (
        phase_sum + (1 << rotation.phase_shift >> 1) < 1 << 31
        and fraction <= 14
        and rotation.phase_bits <= 15
        and least_cosine >= -(1 << 15)
    )


@lru_cache
def _tables(design: Design, launch_power_uw: int) -> tuple[np.ndarray, ...]:
    """What `_receive` computes with.

    Pairs of taps, for I and for Q, shape ``(filters, 2, half taps)``; records of `_FILTER`; K,
    shape ``(rotations, half of K)``; records of `_ROTATION`.
    """
    filters, rotations = design.filters, design.rotations
    taps = np.zeros((len(filters), 2, max(len(f.half_taps_i) for f in filters)), np.int32)
    for row, f in zip(taps, filters, strict=True):
        i, q = np.array(f.half_taps_i), np.array(f.half_taps_q)
        row[:, : i.size] = _pair(i, -q), _pair(q, i)
    most = max((len(r.kerr_gains) for r in rotations), default=0)
    kerr = np.zeros((len(rotations), most), np.int32)
    of_filters = [(len(f.half_taps_i), f.shift, f.output_bits) for f in filters]
    of_rotations = []
    for k, r in enumerate(rotations):
        half, bits = len(r.kerr_gains), design.rotation_input_bits(k)
        kerr[k, :half] = r.kerr(launch_power_uw)
        of_rotations.append(
            (
                *(half, bits - r.branch_width(bits), r.power_offset, r.phase_shift, r.phase_bits),
                *(r.phase_fraction_bits, r.taylor_order, r.output_shift(bits), r.output_bits),
            )
        )
    return taps, np.array(of_filters, _FILTER), kerr, np.array(of_rotations, _ROTATION)


@_compile
def _receive(streams, taps, filters, kerr, rotations):
    """All blocks in place on int64 codes, shape ``(2, streams, samples)``."""
    memory = 2 * (filters.half_taps.sum() - filters.size)
    memory += 2 * (rotations.half_kerr.sum() - rotations.size)
    samples = streams.shape[2]
    x = np.zeros(PIECE + memory + COUNT, np.int32)
    for stream in range(streams.shape[1]):
        # From behind, since the outputs of a piece take the place of what later ones begin with.
        for start in range((samples - 1) // PIECE * PIECE, -1, -PIECE):
            count = min(PIECE, samples - start) + memory
            for n in range(count):
                m = start - memory + n
                x[n] = _pair(streams[0, stream, m], streams[1, stream, m]) if m >= 0 else 0
            for k in range(filters.size):
                f = filters[k]
                count -= 2 * (f.half_taps - 1)
                _filter(x, count, taps[k, :, : f.half_taps], f)
                if k < rotations.size:
                    r = rotations[k]
                    count -= 2 * (r.half_kerr - 1)
                    _rotate(x, count, kerr[k, : r.half_kerr], r)
            for n in range(count):
                streams[0, stream, start + n] = np.int16(x[n] & 0xFFFF)
                streams[1, stream, start + n] = x[n] >> 16


@_compile
def _filter(x, count, taps, f):
    """The first ``count`` outputs at least."""
    last = 2 * (f.half_taps - 1)
    for n in range(0, count, COUNT):
        centre = load(x, n + last // 2)
        i, q = dot(centre, splat(taps[0, -1])), dot(centre, splat(taps[1, -1]))
        for k in range(last // 2):
            both = add_halves(load(x, n + k), load(x, n + last - k))
            i, q = i + dot(both, splat(taps[0, k])), q + dot(both, splat(taps[1, k]))
        store(x, n, _requantised_pair(i, q, f.shift, f.output_bits))


@_compile
def _rotate(x, count, kerr, r):
    """The first ``count`` outputs at least."""
    last = 2 * (r.half_kerr - 1)
    one = splat(1 << r.phase_fraction_bits)
    for n in range(0, count, COUNT):
        centre = load(x, n + last // 2)
        total = _power(centre, r) * kerr[-1]
        for k in range(last // 2):
            both = _power(load(x, n + k), r) + _power(load(x, n + last - k), r)
            total = total + both * kerr[k]
        phi = _requantise(total, r.phase_shift, r.phase_bits)
        cosine = one
        if r.taylor_order == 2:
            cosine = one - _round_shift(phi * phi, r.phase_fraction_bits + 1)
        i, q = dot(centre, _pair(cosine, splat(0) - phi)), dot(centre, _pair(phi, cosine))
        store(x, n, _requantised_pair(i, q, r.output_shift, r.output_bits))


@_compile
def _power(x, r):
    """\\|x\\|^2 of the cut quadratures, less the offset."""
    i, q = (x << 16) >> (16 + r.cut), x >> (16 + r.cut)
    middle = 1 if r.cut else 0
    return i * (i + middle) + q * (q + middle) - r.power_offset


@_compile
def _round_shift(x, shift):
    return (x + ((1 << shift) >> 1)) >> shift


@_compile
def _requantise(x, shift, bits):
    limit = 1 << (bits - 1)
    return clamp(_round_shift(x, shift), splat(-limit), splat(limit - 1))


@_compile
def _requantised_pair(i, q, shift, bits):
    return _pair(_requantise(i, shift, bits), _requantise(q, shift, bits))


@register_jitable
def _pair(i, q):
    """Low and high half, of numbers or vectors."""
    return (i & 0xFFFF) | (q << 16)
