"""The golden model: what the hardware computes, bit for bit. This is the specification.

Samples are pairs of `int64` arrays, I and Q codes, of any shape with time along the last axis;
leading axes are independent streams. All filters are causal and start from zero history.
``docs/datapath.md`` states every width; `dbp.design.Design` has checked that none overflows.
"""

from __future__ import annotations

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
    taps, length = filter_.taps, x.i.shape[-1]
    padding = [(0, 0)] * (x.i.ndim - 1) + [(taps - 1, 0)]
    xi, xq = np.pad(x.i, padding), np.pad(x.q, padding)
    sum_i, sum_q = np.zeros_like(x.i), np.zeros_like(x.q)
    for k, (hi, hq) in enumerate(zip(filter_.half_taps_i, filter_.half_taps_q, strict=True)):
        # Tap k reads x[n - k], which the padding has moved to n - k + taps - 1; mirror: n + k.
        pi, pq = xi[..., taps - 1 - k :][..., :length], xq[..., taps - 1 - k :][..., :length]
        if k != filter_.delay:
            pi, pq = pi + xi[..., k : k + length], pq + xq[..., k : k + length]
        sum_i += hi * pi - hq * pq
        sum_q += hi * pq + hq * pi
    return Samples(
        fixed.requantise(sum_i, filter_.shift, filter_.output_bits),
        fixed.requantise(sum_q, filter_.shift, filter_.output_bits),
    )


def rotate(rotation: Rotation, kerr: int, input_bits: int, x: Samples) -> Samples:
    """y = requantise((I - phi Q) + j (Q + phi I)) with phi = requantise(K \\|x\\|^2)."""
    power = fixed.squared_magnitude(x.i, x.q, input_bits, rotation.branch_bits)
    phi = fixed.requantise(kerr * power, rotation.phase_shift, rotation.phase_bits)
    one = 1 << rotation.phase_fraction_bits
    shift, bits = rotation.output_shift(input_bits), rotation.output_bits
    return Samples(
        fixed.requantise(one * x.i - phi * x.q, shift, bits),
        fixed.requantise(one * x.q + phi * x.i, shift, bits),
    )


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
