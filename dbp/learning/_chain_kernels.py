"""The split-step chain on circular blocks, compiled: forward, adjoint and tangents, without torch.

A chain is filter 0, rotation 0, filter 1, ..., filter N. Its blocks pass `SIMD_BLOCKS` at a time through
all of it, so that what is between lies in the second-level cache: a plane holds the samples of
these blocks, one sample of all of them side by side, and in front of and behind it as many more as
the longest filter reaches, copied from its other end. A loop over a plane is then one over vectors
of the processor, whatever the shift between samples. The symmetric taps share their products.

Every sum of `_convolve` and of the forward rotation has few enough terms that integers of
`dbp.learning.quantized_model` stay exact in any order; only the adjoint sums over samples are
reassociated. Arrays may be float32 or float64, all those of one call alike. Nothing is checked
here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import DTypeLike, NDArray

SIMD_BLOCKS = 16
# Samples over which a gradient is summed before the sum goes into a float64.
TILE = 64

# No fused multiply-adds ("contract"): which sums get one differs between the process that compiles
# and those that load what it compiled, and with it the numbers of a seed.
_compile = njit(cache=True, nogil=True, error_model="numpy")
_compile_sum = njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"}
)

# How a rotation of `dbp.datapath.design.Rotation` computes on codes: factors, scales and limits.
FORMAT = (
    *("branch_scale", "branch_middle", "power_offset"),
    *("phase_low", "phase_high", "phase_unit", "taylor_order"),
    *("output_scale", "output_low", "output_high"),
)


class Arithmetic(NamedTuple):
    """How a chain rounds, where it is ``quantized``, and nothing but shapes otherwise.

    ``limits``: lowest and highest code behind each filter, shape ``(filters, 2)``. ``formats``:
    records of `FORMAT`, shape ``(filters - 1,)``. All of the type of the signals.
    """

    quantized: bool
    limits: NDArray
    formats: NDArray


def format_type(dtype: DTypeLike) -> np.dtype:
    """The record of `FORMAT` for signals of a type."""
    return np.dtype([(name, dtype) for name in FORMAT])


# A Python literal is a float64 to the compiler and would widen all that it meets.
HALF, ONE, TWO, QUARTER = (np.float32(x) for x in (0.5, 1, 2, 0.25))
TURN = np.float32(2 / np.pi)
# pi / 2 in three parts, the first two of so few bits that small multiples of them are exact.
PI_2_A, PI_2_B = np.float32(1.5703125), np.float32(4.837512969970703125e-4)
PI_2_C = np.float32(np.pi / 2 - 1.5703125 - 4.837512969970703125e-4)
# Minimax polynomials on -pi/4..pi/4 (S. Moshier, Cephes, sinf.c).
S3, S5, S7 = (np.float32(x) for x in (-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4))
C4, C6, C8 = (
    np.float32(x) for x in (4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5)
)


@_compile
def _sine_cosine(x):
    """sin and cos to the accuracy of float32, without branches."""
    quadrant = np.floor(x * TURN + HALF)
    r = ((x - quadrant * PI_2_A) - quadrant * PI_2_B) - quadrant * PI_2_C
    z = r * r
    sine = ((S7 * z + S5) * z + S3) * z * r + r
    cosine = ((C8 * z + C6) * z + C4) * z * z - HALF * z + ONE
    odd = quadrant - TWO * np.floor(quadrant * HALF)
    pair = np.floor(quadrant * HALF)
    sign = ONE - TWO * (pair - TWO * np.floor(pair * HALF))
    return sign * (sine + odd * (cosine - sine)), sign * (cosine - odd * (sine + cosine))


@_compile
def _wrap(x, reach, rows):
    """Continue a plane, shape ``(reach + rows + reach) * SIMD_BLOCKS``, circularly at both ends."""
    size, length = reach * SIMD_BLOCKS, rows * SIMD_BLOCKS
    for m in range(size):
        x[m] = x[m + length]
        x[m + size + length] = x[m + size]


@_compile
def _load(x, first, pad, out):
    """`SIMD_BLOCKS` blocks of a signal, shape ``(2, rows, blocks)``, from ``first`` on, to planes."""
    _, rows, blocks = x.shape
    width = min(blocks - first, SIMD_BLOCKS)
    for part in range(2):
        plane = out[part, pad * SIMD_BLOCKS : (pad + rows) * SIMD_BLOCKS]
        plane[:] = x.dtype.type(0)
        for n in range(rows):
            for lane in range(width):
                plane[n * SIMD_BLOCKS + lane] = x[part, n, first + lane]


@_compile
def _store(planes, first, out):
    """Planes without padding to the blocks of a signal from ``first`` on."""
    _, rows, blocks = out.shape
    width = min(blocks - first, SIMD_BLOCKS)
    for part in range(2):
        for n in range(rows):
            for lane in range(width):
                out[part, n, first + lane] = planes[part, n * SIMD_BLOCKS + lane]


@_compile
def _add_four(left_i, left_q, right_i, right_q, h, y_i, y_q):
    """Four neighbouring taps: ``left`` begins at the outermost of them, ``right`` at the last."""
    a0, b0, a1, b1 = h[0, 0], h[0, 1], h[1, 0], h[1, 1]
    a2, b2, a3, b3 = h[2, 0], h[2, 1], h[3, 0], h[3, 1]
    for m in range(y_i.size):
        i0, q0 = left_i[m] + right_i[m + 3 * SIMD_BLOCKS], left_q[m] + right_q[m + 3 * SIMD_BLOCKS]
        i1 = left_i[m + SIMD_BLOCKS] + right_i[m + 2 * SIMD_BLOCKS]
        q1 = left_q[m + SIMD_BLOCKS] + right_q[m + 2 * SIMD_BLOCKS]
        i2 = left_i[m + 2 * SIMD_BLOCKS] + right_i[m + SIMD_BLOCKS]
        q2 = left_q[m + 2 * SIMD_BLOCKS] + right_q[m + SIMD_BLOCKS]
        i3, q3 = left_i[m + 3 * SIMD_BLOCKS] + right_i[m], left_q[m + 3 * SIMD_BLOCKS] + right_q[m]
        y_i[m] += a0 * i0 - b0 * q0 + a1 * i1 - b1 * q1 + a2 * i2 - b2 * q2 + a3 * i3 - b3 * q3
        y_q[m] += a0 * q0 + b0 * i0 + a1 * q1 + b1 * i1 + a2 * q2 + b2 * i2 + a3 * q3 + b3 * i3


@_compile
def _add_one(left_i, left_q, right_i, right_q, h, y_i, y_q):
    a, b = h[0, 0], h[0, 1]
    for m in range(y_i.size):
        i, q = left_i[m] + right_i[m], left_q[m] + right_q[m]
        y_i[m] += a * i - b * q
        y_q[m] += a * q + b * i


@_compile
def _convolve(x, half, pad, y):
    """Filter wrapped planes with complex taps; ``half``: the outermost first; ``y``: no padding."""
    count, length = half.shape[0], y.shape[1]
    h = half.copy()
    h[count - 1] *= HALF  # the centre tap, too, is given a sum of two samples
    for start in range(0, length, TILE * SIMD_BLOCKS):
        stop = min(start + TILE * SIMD_BLOCKS, length)
        y_i, y_q = y[0, start:stop], y[1, start:stop]
        y_i[:] = half.dtype.type(0)
        y_q[:] = half.dtype.type(0)
        k = 0
        while k < count:
            group = 4 if (count - k) % 4 == 0 else 1
            left = start + (pad - count + 1 + k) * SIMD_BLOCKS
            right = start + (pad + count - k - group) * SIMD_BLOCKS
            window = x[0, left:], x[1, left:], x[0, right:], x[1, right:]
            if group == 4:
                _add_four(*window, h[k:], y_i, y_q)
            else:
                _add_one(*window, h[k:], y_i, y_q)
            k += group


@_compile_sum
def _sum_four(left_i, left_q, right_i, right_q, g_i, g_q, total):
    zero = g_i.dtype.type(0)
    a0 = b0 = a1 = b1 = a2 = b2 = a3 = b3 = zero
    for m in range(g_i.size):
        gi, gq = g_i[m], g_q[m]
        i0, q0 = left_i[m] + right_i[m + 3 * SIMD_BLOCKS], left_q[m] + right_q[m + 3 * SIMD_BLOCKS]
        i1 = left_i[m + SIMD_BLOCKS] + right_i[m + 2 * SIMD_BLOCKS]
        q1 = left_q[m + SIMD_BLOCKS] + right_q[m + 2 * SIMD_BLOCKS]
        i2 = left_i[m + 2 * SIMD_BLOCKS] + right_i[m + SIMD_BLOCKS]
        q2 = left_q[m + 2 * SIMD_BLOCKS] + right_q[m + SIMD_BLOCKS]
        i3, q3 = left_i[m + 3 * SIMD_BLOCKS] + right_i[m], left_q[m + 3 * SIMD_BLOCKS] + right_q[m]
        a0 += gi * i0 + gq * q0
        b0 += gq * i0 - gi * q0
        a1 += gi * i1 + gq * q1
        b1 += gq * i1 - gi * q1
        a2 += gi * i2 + gq * q2
        b2 += gq * i2 - gi * q2
        a3 += gi * i3 + gq * q3
        b3 += gq * i3 - gi * q3
    total[0, 0] += a0
    total[0, 1] += b0
    total[1, 0] += a1
    total[1, 1] += b1
    total[2, 0] += a2
    total[2, 1] += b2
    total[3, 0] += a3
    total[3, 1] += b3


@_compile_sum
def _sum_one(left_i, left_q, right_i, right_q, g_i, g_q, total):
    a = b = g_i.dtype.type(0)
    for m in range(g_i.size):
        i, q = left_i[m] + right_i[m], left_q[m] + right_q[m]
        a += g_i[m] * i + g_q[m] * q
        b += g_q[m] * i - g_i[m] * q
    total[0, 0] += a
    total[0, 1] += b


@_compile
def _tap_gradient(x, g, pad, total):
    """Add the gradient by the half taps of `_convolve` to ``total``, float64; ``g`` has padding."""
    count, length = total.shape[0], g.shape[1] - 2 * pad * SIMD_BLOCKS
    sums = np.zeros_like(total)
    for start in range(0, length, TILE * SIMD_BLOCKS):
        stop = min(start + TILE * SIMD_BLOCKS, length)
        inner = slice(pad * SIMD_BLOCKS + start, pad * SIMD_BLOCKS + stop)
        g_i, g_q = g[0, inner], g[1, inner]
        k = 0
        while k < count:
            group = 4 if (count - k) % 4 == 0 else 1
            left = start + (pad - count + 1 + k) * SIMD_BLOCKS
            right = start + (pad + count - k - group) * SIMD_BLOCKS
            window = x[0, left:], x[1, left:], x[0, right:], x[1, right:]
            if group == 4:
                _sum_four(*window, g_i, g_q, sums[k:])
            else:
                _sum_one(*window, g_i, g_q, sums[k:])
            k += group
    sums[count - 1] *= 0.5
    total += sums


@_compile
def _convolve_real(p, half, pad, y):
    """Filter one wrapped plane with real taps; ``half``: the outermost first; ``y``: no padding."""
    count, length = half.shape[0], y.size
    center, h = p[pad * SIMD_BLOCKS :], half[count - 1]
    for m in range(length):
        y[m] = h * center[m]
    for k in range(count - 1):
        left, right = (
            p[(pad - count + 1 + k) * SIMD_BLOCKS :],
            p[(pad + count - 1 - k) * SIMD_BLOCKS :],
        )
        h = half[k]
        for m in range(length):
            y[m] += h * (left[m] + right[m])


@_compile_sum
def _kerr_gradient(p, g, pad, total):
    """Add the gradient by the half taps of `_convolve_real` to ``total``, float64."""
    count = total.size
    for start in range(0, g.size, TILE * SIMD_BLOCKS):
        own = g[start : start + TILE * SIMD_BLOCKS]
        for k in range(count):
            left = p[start + (pad - count + 1 + k) * SIMD_BLOCKS :]
            right = p[start + (pad + count - 1 - k) * SIMD_BLOCKS :]
            tile_sum = g.dtype.type(0)
            for m in range(own.size):
                tile_sum += own[m] * (left[m] + right[m])
            total[k] += tile_sum * (0.5 if k == count - 1 else 1.0)


@_compile
def _requantize(x, low, high):
    for m in range(x.size):
        x[m] = min(max(np.floor(x[m] + HALF), low), high)


@_compile
def _operating_point(u, half_kerr, quantized, fmt, pad, power, cosine, sine):
    """What a rotation does to the samples ``u``: a factor cosine + j sine, and its ``power``.

    ``power`` comes wrapped; the other planes have no padding.
    """
    u_i, u_q = u[0], u[1]
    inner = power[pad * SIMD_BLOCKS : pad * SIMD_BLOCKS + u_i.size]
    if quantized:
        scale, middle, offset = fmt.branch_scale, fmt.branch_middle, fmt.power_offset
        for m in range(u_i.size):
            i, q = np.floor(u_i[m] * scale), np.floor(u_q[m] * scale)
            inner[m] = (i * (i + middle) + q * (q + middle)) - offset
    else:
        for m in range(u_i.size):
            inner[m] = u_i[m] * u_i[m] + u_q[m] * u_q[m]
    _wrap(power, pad, u_i.size // SIMD_BLOCKS)
    _convolve_real(power, half_kerr, pad, sine)
    if not quantized:
        for m in range(u_i.size):
            sine[m], cosine[m] = _sine_cosine(sine[m])
        return
    _requantize(sine, fmt.phase_low, fmt.phase_high)
    unit = fmt.phase_unit
    if fmt.taylor_order == ONE:
        for m in range(u_i.size):
            sine[m] *= unit
            cosine[m] = ONE
    else:
        for m in range(u_i.size):
            phase = sine[m]
            sine[m] = phase * unit
            cosine[m] = ONE - np.floor(phase * phase * (HALF * unit) + HALF) * unit


@_compile
def _turn(u, cosine, sine, quantized, fmt, pad, y):
    """The samples behind a rotation; ``y`` comes wrapped."""
    length = cosine.size
    u_i, u_q = u[0], u[1]
    own = slice(pad * SIMD_BLOCKS, pad * SIMD_BLOCKS + length)
    y_i, y_q = y[0, own], y[1, own]
    if quantized:
        scale, low, high = fmt.output_scale, fmt.output_low, fmt.output_high
        for m in range(length):
            i = (cosine[m] * u_i[m] - sine[m] * u_q[m]) * scale
            q = (cosine[m] * u_q[m] + sine[m] * u_i[m]) * scale
            y_i[m] = min(max(np.floor(i + HALF), low), high)
            y_q[m] = min(max(np.floor(q + HALF), low), high)
    else:
        for m in range(length):
            y_i[m] = cosine[m] * u_i[m] - sine[m] * u_q[m]
            y_q[m] = cosine[m] * u_q[m] + sine[m] * u_i[m]
    _wrap(y[0], pad, length // SIMD_BLOCKS)
    _wrap(y[1], pad, length // SIMD_BLOCKS)


@_compile
def _slope(u_i, u_q, cosine, sine, exact, curved):
    """The derivative of (cosine + j sine) u by the phase.

    That of the factor is j exp(j phi) where it is ``exact`` and j, to second order j - phi, for
    the Taylor series; ``curved`` is zero for the first order. Both are 0 or 1.
    """
    real, imaginary = -curved * sine, ONE + exact * (cosine - ONE)
    return real * u_i - imaginary * u_q, real * u_q + imaginary * u_i


@_compile
def _scales(quantized, fmt, zero):
    """exact and curved of `_slope`, then of output, phase and power: by their codes."""
    one = zero + ONE
    if not quantized:
        return one, one, one, one, one
    curved = zero if fmt.taylor_order == ONE else one
    return zero, curved, fmt.output_scale, fmt.phase_unit, fmt.branch_scale * fmt.branch_scale


@_compile
def _turn_back(g, u, half_kerr, quantized, fmt, pad, power, cosine, sine, by_phase, out, total):
    """The adjoint of a rotation: gradient ``g`` behind it to ``out`` before it, which is wrapped.

    ``by_phase`` is a plane to work on. The gradient by the Kerr constants is added to
    ``total``. Roundings and saturations count as the identity.
    """
    length = cosine.size
    exact, curved, output_scale, unit, power_scale = _scales(
        quantized, fmt, half_kerr.dtype.type(0)
    )
    g_i, g_q, u_i, u_q = g[0], g[1], u[0], u[1]
    inner = by_phase[pad * SIMD_BLOCKS : pad * SIMD_BLOCKS + length]
    scale = output_scale * unit
    for m in range(length):
        slope_i, slope_q = _slope(u_i[m], u_q[m], cosine[m], sine[m], exact, curved)
        inner[m] = (g_i[m] * slope_i + g_q[m] * slope_q) * scale
    _kerr_gradient(power, inner, pad, total)
    _wrap(by_phase, pad, length // SIMD_BLOCKS)
    by_power = power[pad * SIMD_BLOCKS : pad * SIMD_BLOCKS + length]
    _convolve_real(by_phase, half_kerr, pad, by_power)
    own = slice(pad * SIMD_BLOCKS, pad * SIMD_BLOCKS + length)
    out_i, out_q = out[0, own], out[1, own]
    twice = TWO * power_scale
    for m in range(length):
        c, s, w = cosine[m] * output_scale, sine[m] * output_scale, twice * by_power[m]
        out_i[m] = c * g_i[m] + s * g_q[m] + w * u_i[m]
        out_q[m] = c * g_q[m] - s * g_i[m] + w * u_q[m]
    _wrap(out[0], pad, length // SIMD_BLOCKS)
    _wrap(out[1], pad, length // SIMD_BLOCKS)


@_compile
def _turn_tangent(t, u, half_kerr, quantized, fmt, pad, cosine, sine, power, phase, out):
    """The linearised rotation: a small change ``t`` before it to ``out`` behind it, wrapped.

    ``power`` (padded) and ``phase`` are planes to work on.
    """
    length = cosine.size
    exact, curved, output_scale, unit, power_scale = _scales(
        quantized, fmt, half_kerr.dtype.type(0)
    )
    t_i, t_q, u_i, u_q = t[0], t[1], u[0], u[1]
    inner = power[pad * SIMD_BLOCKS : pad * SIMD_BLOCKS + length]
    scale = TWO * power_scale * unit
    for m in range(length):
        inner[m] = scale * (u_i[m] * t_i[m] + u_q[m] * t_q[m])
    _wrap(power, pad, length // SIMD_BLOCKS)
    _convolve_real(power, half_kerr, pad, phase)
    own = slice(pad * SIMD_BLOCKS, pad * SIMD_BLOCKS + length)
    out_i, out_q = out[0, own], out[1, own]
    for m in range(length):
        slope_i, slope_q = _slope(u_i[m], u_q[m], cosine[m], sine[m], exact, curved)
        c, s = cosine[m], sine[m]
        out_i[m] = (c * t_i[m] - s * t_q[m] + phase[m] * slope_i) * output_scale
        out_q[m] = (c * t_q[m] + s * t_i[m] + phase[m] * slope_q) * output_scale
    _wrap(out[0], pad, length // SIMD_BLOCKS)
    _wrap(out[1], pad, length // SIMD_BLOCKS)


@_compile
def _load_wrapped(x, first, pad, out):
    _load(x, first, pad, out)
    _wrap(out[0], pad, x.shape[1])
    _wrap(out[1], pad, x.shape[1])


@_compile
def _filter(x, half, pad, arithmetic, k, y):
    _convolve(x, half, pad, y)
    if arithmetic.quantized:
        low, high = arithmetic.limits[k, 0], arithmetic.limits[k, 1]
        _requantize(y[0], low, high)
        _requantize(y[1], low, high)


@_compile
def forward(x, half_taps, half_kerr, arithmetic, kept):
    """A signal through the chain; same shape back.

    ``x``: shape ``(2, rows, blocks)``. ``half_taps``: ``(filters, half, 2)``, ``half_kerr``:
    ``(filters - 1, half)``, each with the outermost first; rows must be as many as a filter has
    taps, at least. What leaves each filter but the last is left in ``kept``, shape ``(chunks of
    SIMD_BLOCKS blocks, filters - 1, 2, rows * SIMD_BLOCKS)``, unless that is empty.
    """
    _, rows, blocks = x.shape
    quantized, formats = arithmetic.quantized, arithmetic.formats
    filters = half_taps.shape[0]
    pad = max(half_taps.shape[1], half_kerr.shape[1]) - 1
    length, padded = rows * SIMD_BLOCKS, (rows + 2 * pad) * SIMD_BLOCKS
    signal, power = np.empty((2, padded), x.dtype), np.empty(padded, x.dtype)
    cosine, sine = np.empty(length, x.dtype), np.empty(length, x.dtype)
    filtered = np.empty((2, length), x.dtype)
    y = np.empty_like(x)
    for first in range(0, blocks, SIMD_BLOCKS):
        _load_wrapped(x, first, pad, signal)
        for k in range(filters - 1):
            u = kept[first // SIMD_BLOCKS, k] if kept.size else filtered
            _filter(signal, half_taps[k], pad, arithmetic, k, u)
            _operating_point(u, half_kerr[k], quantized, formats[k], pad, power, cosine, sine)
            _turn(u, cosine, sine, quantized, formats[k], pad, signal)
        _filter(signal, half_taps[-1], pad, arithmetic, filters - 1, filtered)
        _store(filtered, first, y)
    return y


@_compile
def adjoint(x, gradient, half_taps, half_kerr, arithmetic, kept):
    """The gradients by signal, half taps and Kerr constants, from that behind the chain.

    Arguments as `forward` has and leaves them. Sums over all samples are float64.
    """
    _, rows, blocks = x.shape
    quantized, formats = arithmetic.quantized, arithmetic.formats
    filters = half_taps.shape[0]
    pad = max(half_taps.shape[1], half_kerr.shape[1]) - 1
    length, padded = rows * SIMD_BLOCKS, (rows + 2 * pad) * SIMD_BLOCKS
    signal, g = np.empty((2, padded), x.dtype), np.empty((2, padded), x.dtype)
    power, by_phase = np.empty(padded, x.dtype), np.empty(padded, x.dtype)
    cosine, sine = np.empty(length, x.dtype), np.empty(length, x.dtype)
    filtered = np.empty((2, length), x.dtype)
    by_signal = np.empty_like(x)
    by_taps, by_kerr = np.zeros(half_taps.shape), np.zeros(half_kerr.shape)
    # The taps are symmetric, so the adjoint of a filter is that of the conjugate taps.
    conjugate = half_taps.copy()
    conjugate[:, :, 1] *= -ONE
    for first in range(0, blocks, SIMD_BLOCKS):
        _load_wrapped(gradient, first, pad, g)
        for k in range(filters - 1, 0, -1):
            u, fmt = kept[first // SIMD_BLOCKS, k - 1], formats[k - 1]
            _operating_point(u, half_kerr[k - 1], quantized, fmt, pad, power, cosine, sine)
            _turn(u, cosine, sine, quantized, fmt, pad, signal)
            _tap_gradient(signal, g, pad, by_taps[k])
            _convolve(g, conjugate[k], pad, filtered)
            _turn_back(
                *(filtered, u, half_kerr[k - 1], quantized, fmt, pad),
                *(power, cosine, sine, by_phase, g, by_kerr[k - 1]),
            )
        _load_wrapped(x, first, pad, signal)
        _tap_gradient(signal, g, pad, by_taps[0])
        _convolve(g, conjugate[0], pad, filtered)
        _store(filtered, first, by_signal)
    return by_signal, by_taps, by_kerr


@_compile
def linearize(x, half_taps, half_kerr, arithmetic):
    """The signal all along the chain, for `tap_tangents` and `kerr_tangents`.

    Planes of every chunk of `SIMD_BLOCKS` blocks: what enters the filters, wrapped, what leaves all but
    the last, and power (wrapped), cosine and sine of the rotations.
    """
    _, rows, blocks = x.shape
    quantized, formats = arithmetic.quantized, arithmetic.formats
    filters, chunks = half_taps.shape[0], -(-blocks // SIMD_BLOCKS)
    pad = max(half_taps.shape[1], half_kerr.shape[1]) - 1
    length, padded = rows * SIMD_BLOCKS, (rows + 2 * pad) * SIMD_BLOCKS
    inputs = np.empty((chunks, filters, 2, padded), x.dtype)
    outputs = np.empty((chunks, filters - 1, 2, length), x.dtype)
    powers = np.empty((chunks, filters - 1, padded), x.dtype)
    cosines = np.empty((chunks, filters - 1, length), x.dtype)
    sines = np.empty((chunks, filters - 1, length), x.dtype)
    for n in range(chunks):
        _load_wrapped(x, n * SIMD_BLOCKS, pad, inputs[n, 0])
        for k in range(filters - 1):
            u, c, s, fmt = outputs[n, k], cosines[n, k], sines[n, k], formats[k]
            _filter(inputs[n, k], half_taps[k], pad, arithmetic, k, u)
            _operating_point(u, half_kerr[k], quantized, fmt, pad, powers[n, k], c, s)
            _turn(u, c, s, quantized, fmt, pad, inputs[n, k + 1])
    return inputs, outputs, powers, cosines, sines


@_compile
def _propagate(t, n, k, half_taps, half_kerr, arithmetic, pad, chain, work):
    """A small change ``t`` behind filter ``k`` becomes that behind the last filter, in place."""
    quantized, formats = arithmetic.quantized, arithmetic.formats
    _, outputs, _, cosines, sines = chain
    signal, power, phase = work
    for j in range(k, half_taps.shape[0] - 1):
        _turn_tangent(
            *(t, outputs[n, j], half_kerr[j], quantized, formats[j], pad),
            *(cosines[n, j], sines[n, j], power, phase, signal),
        )
        _convolve(signal, half_taps[j + 1], pad, t)


@_compile
def _work(rows, pad, dtype):
    padded = (rows + 2 * pad) * SIMD_BLOCKS
    return (
        np.empty((2, padded), dtype),
        np.empty(padded, dtype),
        np.empty(rows * SIMD_BLOCKS, dtype),
    )


@_compile
def tap_tangents(k, half_taps, half_kerr, arithmetic, chain, out):
    """What leaves the chain per change of the half taps of filter ``k``, as `forward` has them.

    ``chain``: of `linearize`. ``out``: shape ``(2, rows, 2 * half, blocks)``, in the order of the
    flattened half taps.
    """
    rows, blocks = out.shape[1], out.shape[3]
    half = half_taps.shape[1]
    pad = max(half, half_kerr.shape[1]) - 1
    work = _work(rows, pad, out.dtype)
    t = np.empty((2, rows * SIMD_BLOCKS), out.dtype)
    for n in range(-(-blocks // SIMD_BLOCKS)):
        x = chain[0][n, k]
        for tap in range(half):
            left, right = (pad - half + 1 + tap) * SIMD_BLOCKS, (pad + half - 1 - tap) * SIMD_BLOCKS
            weight = HALF if tap == half - 1 else ONE
            for part in range(2):
                for m in range(t.shape[1]):
                    i = weight * (x[0, left + m] + x[0, right + m])
                    q = weight * (x[1, left + m] + x[1, right + m])
                    t[0, m] = i if part == 0 else -q
                    t[1, m] = q if part == 0 else i
                _propagate(t, n, k, half_taps, half_kerr, arithmetic, pad, chain, work)
                _store(t, n * SIMD_BLOCKS, out[:, :, 2 * tap + part])


@_compile
def kerr_tangents(k, half_taps, half_kerr, arithmetic, chain, out):
    """What leaves the chain per change of the Kerr constants of rotation ``k``; see `tap_tangents`.

    ``out``: shape ``(2, rows, half, blocks)``.
    """
    _, rows, half, blocks = out.shape
    pad = max(half_taps.shape[1], half) - 1
    work = _work(rows, pad, out.dtype)
    signal = work[0]
    t = np.empty((2, rows * SIMD_BLOCKS), out.dtype)
    quantized, fmt = arithmetic.quantized, arithmetic.formats[k]
    exact, curved, output_scale, unit, _ = _scales(quantized, fmt, half_kerr.dtype.type(0))
    for n in range(-(-blocks // SIMD_BLOCKS)):
        u, power, c, s = chain[1][n, k], chain[2][n, k], chain[3][n, k], chain[4][n, k]
        for tap in range(half):
            left, right = (pad - half + 1 + tap) * SIMD_BLOCKS, (pad + half - 1 - tap) * SIMD_BLOCKS
            weight = output_scale * unit * (HALF if tap == half - 1 else ONE)
            for m in range(c.size):
                i, q = _slope(u[0, m], u[1, m], c[m], s[m], exact, curved)
                phase = weight * (power[left + m] + power[right + m])
                signal[0, pad * SIMD_BLOCKS + m] = phase * i
                signal[1, pad * SIMD_BLOCKS + m] = phase * q
            _wrap(signal[0], pad, rows)
            _wrap(signal[1], pad, rows)
            _convolve(signal, half_taps[k + 1], pad, t)
            _propagate(t, n, k + 1, half_taps, half_kerr, arithmetic, pad, chain, work)
            _store(t, n * SIMD_BLOCKS, out[:, :, tap])
