"""The golden model: what the hardware computes, bit for bit. This is the specification.

Samples are pairs of `int64` arrays, I and Q codes, of any shape with time along the last axis;
leading axes are independent streams. All filters are causal and start from zero history.
``docs/datapath.md`` states every width; `dbp.design.Design` has checked that none overflows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbp import fixed
from dbp.design import Design, Filter, Rotation
from dbp.fixed import Codes


class Samples(NamedTuple):
    """Complex samples as two integer arrays of equal shape, time along the last axis."""

    i: Codes
    q: Codes


def convert(waveform: NDArray[np.complexfloating], design: Design) -> Samples:
    """Gain control and analogue-to-digital conversion of a received waveform.

    ``waveform``: complex, any unit, shape ``(..., samples)``. Each stream is scaled so that the
    rms of its quadratures is ``adc_rms_permille`` thousandths of full scale, then quantised to
    ``signal_bits``; what lies beyond full scale clips.
    """
    waveform = np.asarray(waveform, dtype=np.complex128)
    if waveform.size == 0 or not np.isfinite(waveform).all() or not waveform.any(axis=-1).all():
        raise ValueError("a waveform to convert is empty, zero or not finite")
    rms = np.sqrt(np.mean(np.abs(waveform) ** 2, axis=-1, keepdims=True) / 2)
    scaled = waveform * (design.adc_rms_permille / 1000 / rms)
    return Samples(
        fixed.quantise(scaled.real, design.signal_bits),
        fixed.quantise(scaled.imag, design.signal_bits),
    )


def filter_samples(filter_: Filter, x: Samples) -> Samples:
    """y[n] = requantise(sum_k h[k] x[n - k]), the sum exact; same shape as ``x``."""
    sum_i, sum_q = np.zeros_like(x.i), np.zeros_like(x.q)
    pairs = zip(_folded(x.i, filter_.taps), _folded(x.q, filter_.taps), strict=True)
    half_taps = zip(filter_.half_taps_i, filter_.half_taps_q, strict=True)
    for (hi, hq), (pi, pq) in zip(half_taps, pairs, strict=True):
        sum_i += hi * pi - hq * pq
        sum_q += hi * pq + hq * pi
    return Samples(
        fixed.requantise(sum_i, filter_.shift, filter_.output_bits),
        fixed.requantise(sum_q, filter_.shift, filter_.output_bits),
    )


def rotate(rotation: Rotation, kerr: Sequence[int], input_bits: int, x: Samples) -> Samples:
    """y = requantise(x (1 + j phi)), to second order requantise(x (1 - phi^2 / 2 + j phi)).

    phi = requantise(sum_m K[m] (\\|x[n - m]\\|^2 - offset)), and x waits for the centre of that
    sum. ``kerr``: half of K, as `dbp.design.Rotation.kerr` gives it. Same shape as ``x``.
    """
    # The power of the history, zeros, counts as that of any other sample.
    padded = (_padded(part, rotation.kerr_taps) for part in x)
    power = fixed.squared_magnitude(*padded, input_bits, rotation.branch_bits)
    pairs = _folded(power - rotation.power_offset, rotation.kerr_taps, padded=True)
    total = sum(k * pair for k, pair in zip(kerr, pairs, strict=True))
    phi = fixed.requantise(total, rotation.phase_shift, rotation.phase_bits)
    length = x.i.shape[-1]
    i, q = (_padded(part, rotation.delay + 1)[..., :length] for part in x)
    fraction = rotation.phase_fraction_bits
    cosine = 1 << fraction
    if rotation.taylor_order == 2:
        cosine = cosine - fixed.round_shift(phi * phi, fraction + 1)
    shift, bits = rotation.output_shift(input_bits), rotation.output_bits
    return Samples(
        fixed.requantise(cosine * i - phi * q, shift, bits),
        fixed.requantise(cosine * q + phi * i, shift, bits),
    )


def _padded(x: Codes, taps: int) -> Codes:
    """The stream behind the zero history of a filter of ``taps`` taps."""
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(taps - 1, 0)])


def _folded(x: Codes, taps: int, *, padded: bool = False) -> Iterator[Codes]:
    """x[n - k] + x[n - taps + 1 + k] for each half tap k, the outermost first; the centre alone."""
    x = x if padded else _padded(x, taps)
    length = x.shape[-1] - taps + 1
    for k in range(taps // 2):
        # The padding has moved x[n - k] to n - k + taps - 1.
        yield x[..., taps - 1 - k :][..., :length] + x[..., k : k + length]
    yield x[..., taps // 2 :][..., :length]


def trace(design: Design, x: Samples, launch_power_uw: int) -> list[Samples]:
    """Every wire between blocks: the input, then what each filter and each rotation puts out.

    Entry ``2 k`` enters ``filters[k]``, entry ``2 k + 1`` enters ``rotations[k]``; the last entry
    is the output of the chain. ``launch_power_uw`` in microwatts sets the rotation constants.
    """
    low, high = fixed.code_range(design.signal_bits)
    for part in x:
        if part.size and (part.min() < low or part.max() > high):
            raise ValueError(f"samples outside {low}..{high} ({design.signal_bits} bits)")
    wires = [x]
    for k, filter_ in enumerate(design.filters):
        wires.append(filter_samples(filter_, wires[-1]))
        if k < len(design.rotations):
            rotation = design.rotations[k]
            kerr = rotation.kerr(launch_power_uw)
            wires.append(rotate(rotation, kerr, design.rotation_input_bits(k), wires[-1]))
    return wires


def receive(design: Design, x: Samples, launch_power_uw: int) -> Samples:
    """The whole receiver filter: the last wire of `trace`."""
    return trace(design, x, launch_power_uw)[-1]
