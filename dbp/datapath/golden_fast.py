"""The golden model's fast form, compiled: the same samples, some forty times faster.

`dbp.datapath._golden_kernels` computes with 32-bit integers. This module decides which designs fit
them, and makes the tables that the kernels read. `dbp.datapath.golden` is the specification and
serves the designs that do not fit.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from dbp.datapath import fixed, golden
from dbp.datapath._golden_kernels import FILTER, ROTATION, pair, receive_streams, work
from dbp.datapath.design import Design, Filter, Rotation
from dbp.datapath.golden import Samples


def receive(design: Design, x: Samples, launch_power_uw: int) -> Samples:
    """`dbp.datapath.golden.receive`, equal in every sample: the whole receiver filter.

    ``x``: codes of ``signal_bits``, of any shape with time along the last axis and, where there are
    two, the polarisations before it; from zero history. Same shape back. ``launch_power_uw`` in
    microwatts.
    """
    codes = np.ascontiguousarray(np.stack(x, dtype=np.int64))
    low, high = fixed.code_range(design.signal_bits)
    inside = codes.size and low <= codes.min() and codes.max() <= high
    both = design.polarizations == 2
    if not (inside and fits_32_bits(design)) or (both and codes.shape[1:][-2:-1] != (2,)):
        return golden.receive(design, x, launch_power_uw)  # which refuses what does not fit
    streams = codes.reshape(2, -1, design.polarizations, codes.shape[-1])
    receive_streams(
        streams, work(design.delay, design.polarizations), *_tables(design, launch_power_uw)
    )
    return Samples(*codes)


@lru_cache
def fits_32_bits(design: Design) -> bool:
    """Tell whether no intermediate of `receive` overflows, whatever samples and launch power."""
    return all(
        _filter_fits(f, design.filter_input_bits(k)) for k, f in enumerate(design.filters)
    ) and all(
        _rotation_fits(r, design.rotation_input_bits(k), design.polarizations)
        for k, r in enumerate(design.rotations)
    )


def _filter_fits(filter_: Filter, input_bits: int) -> bool:
    # A half holds the sum of two samples, or the negative of a tap. A lane holds the sum of the
    # products, below 2^30 where the accumulator has 32 bits, and half of what is shifted out.
    return (
        input_bits <= 15
        and filter_.coefficient_bits <= 15
        and filter_.accumulator_bits(input_bits) <= 32
    )


def _rotation_fits(rotation: Rotation, input_bits: int, polarizations: int) -> bool:
    # |x|^2 of each polarisation lies in 0 .. 2^(2 b - 1), the offset below the sum of both.
    largest_power = polarizations << (2 * rotation.branch_width(input_bits) - 1)
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
    """The tables of `dbp.datapath._golden_kernels.receive_streams`.

    Pairs of taps, for I and for Q, shape ``(filters, 2, half taps)``; a record of each filter; K,
    shape ``(rotations, half of K)``; a record of each rotation.
    """
    filters, rotations = design.filters, design.rotations
    taps = np.zeros((len(filters), 2, max(len(f.half_taps_i) for f in filters)), np.int32)
    for row, f in zip(taps, filters, strict=True):
        i, q = np.array(f.half_taps_i), np.array(f.half_taps_q)
        row[:, : i.size] = pair(i, -q), pair(q, i)
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
    return taps, np.array(of_filters, FILTER), kerr, np.array(of_rotations, ROTATION)
