"""The receiver's chain on circular blocks, compiled: forward, adjoint and tangents.

The chain, its adjoint and its tangents
---------------------------------------
A chain is filter 0, rotation 0, filter 1, ..., filter N. Indices n of samples are circular. Half
taps come outermost first; d(m) is the distance of tap m from the centre, and

    (x)_m[n] = x[n - d(m)] + x[n + d(m)],  for the centre tap, d = 0, just x[n].

*Forward.* A filter with complex half taps h, then a rotation with real half taps K:

    u[n] = sum_m h_m (x)_m[n]
    p[n] = |u[n]|^2
    phi[n] = sum_m K_m (p)_m[n]
    y[n] = r u[n],  r = exp(j phi[n]).

*Fake-quantised*, on the codes of `dbp.datapath.golden`, with the scales b (branch), e (phase) and o
(output), all powers of two, with Q = round and clip, and with middle and offset of a cut branch:

    u[n] = Q(sum_m h_m (x)_m[n])
    p[n] = i (i + middle) + q (q + middle) - offset,  i + j q = floor(b u[n])
    phi[n] = e Q(sum_m K_m (p)_m[n])
    y[n] = Q(o r u[n]),  r = 1 + j phi  or  (1 - e round(phi^2 / 2 e)) + j phi.

Below, the floating-point chain has b = e = o = 1. Derivatives count every rounding and saturation
as the identity (straight-through), so for them p = b^2 |u|^2 + const. The derivative of the factor,
r' = dr/dphi, is j exp(j phi), j, or j - phi, for the three forms of r; v = r' u is the slope of y.

*Two polarisations.* Neighbouring lanes are x and y of one block. Both pass the same filters, and p
above is the sum of both, so phi is common to both: where p, its tangent or f below is convolved
with K, it is first summed over the two.

*Tangents.* A small change t of a signal passes

    a filter:    t_u = sum_m h_m (t_x)_m
    a rotation:  t_phi = e sum_m K_m (2 b^2 Re(conj(u) t_u))_m,   t_y = o (r t_u + t_phi v)

and begins behind a filter whose tap changes with (x)_m for the real and j (x)_m for the imaginary
part of h_m, behind a rotation whose constant K_m changes with t_y = o e (p)_m v.

*Adjoint.* g_z = dL/dRe(z) + j dL/dIm(z) is the gradient of a real loss L by a signal z, so that
dL = sum_n Re(conj(g_z) dz). Transposing the tangents, and with symmetric taps, gives for

    a rotation:  f = o e Re(conj(g_y) v),        g_K_m = sum_n f (p)_m,
                 g_u = o conj(r) g_y + 2 b^2 (sum_m K_m (f)_m) u
    a filter:    g_x = sum_m conj(h_m) (g_u)_m,  g_h_m = sum_n g_u conj((x)_m).

How it is computed
------------------
`SIMD_BLOCKS` blocks at a time pass through the whole chain, so that the signal between filters
stays in the second-level cache. A plane holds the samples of these blocks, one sample of all of
them side by side; before and behind them it has as many more as the longest filter reaches, copied
from the other end ("wrapped"). A loop over a plane is then one over vectors of the processor,
whatever the shift between samples. The two samples of (x)_m share a product, and four taps share a
pass. Half taps of all filters are rows of one array, the centre taps last. A shorter filter has
fewer at the end of its row, and costs only those.

Every sum of `_convolve` and of the forward rotation has few enough terms that integers of
`dbp.learning.quantized_model` stay exact in any order; only the adjoint sums over samples are
reassociated. Arrays may be float32 or float64, all those of one call alike. Nothing is checked
here. All of it is one file, since numba's cache of machine code notices changes of the file of a
compiled function, not of files that it imports from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dbp.support.compiled import njit

# Blocks side by side in a plane: a vector of AVX-512 in float32, two of AVX2.
SIMD_BLOCKS = 16
# Samples over which a gradient is summed before the sum goes into a float64.
TILE = 64

# No fused multiply-adds ("contract"): which sums get one differs between the process that compiles
# and those that load what it compiled, and with it the numbers of a seed.
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
_compile: Decorator = njit(nogil=True, error_model="numpy")
_compile_sum: Decorator = njit(
    nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"}
)

# How a `dbp.datapath.design.Rotation` computes on codes: scales (b, e, o above) and limits.
FORMAT = (
    *("branch_scale", "branch_middle", "power_offset"),
    *("phase_low", "phase_high", "phase_unit", "taylor_order"),
    *("output_scale", "output_low", "output_high"),
)


class Arithmetic(NamedTuple):
    """The lengths of a chain, and its rounding where it is ``quantized``.

    ``limits``: lowest and highest code behind each filter, shape ``(filters, 2)``. ``formats``:
    records of `FORMAT`, shape ``(filters - 1,)``. Both of the type of the signals; without
    rounding only their shapes matter. ``halves``, ``kerr_halves``: how many half taps each filter
    has, and half constants each rotation; int64. ``polarizations``: 1, or 2 that are neighbouring
    blocks.
    """

    quantized: bool
    limits: NDArray
    formats: NDArray
    halves: NDArray
    kerr_halves: NDArray
    polarizations: int


class Kerr(NamedTuple):
    """The constants of one rotation: half of K, a record of `FORMAT`; and the padding of planes.

    ``both``: neighbours are the two polarisations of a block.
    """

    half: NDArray
    quantized: bool
    fmt: Any
    pad: int
    both: bool


class Point(NamedTuple):
    """The operating point of a rotation: planes of p, wrapped, and of r without padding."""

    power: NDArray
    cosine: NDArray
    sine: NDArray


class Slopes(NamedTuple):
    """The way the factor r depends on phi, and the scales o, e and b^2, by the signals' type.

    ``exact``: 1 where r is exp(j phi), 0 for a Taylor series; ``curved``: 0 for its first order.
    """

    exact: Any
    curved: Any
    output: Any
    phase: Any
    power: Any


class Linearized(NamedTuple):
    """The signal along the chain, for every chunk of `SIMD_BLOCKS` blocks.

    ``inputs``: planes that enter the filters, wrapped; ``outputs``: those that leave all filters
    but the last; ``powers``, ``cosines``, ``sines``: the `Point` of every rotation.
    """

    inputs: NDArray
    outputs: NDArray
    powers: NDArray
    cosines: NDArray
    sines: NDArray


def format_type(dtype: DTypeLike) -> np.dtype:
    """The record of `FORMAT` for signals of a type."""
    return np.dtype([(name, dtype) for name in FORMAT])


# A Python literal is a float64 to the compiler and would widen all that it meets.
HALF, ONE, TWO = (np.float32(x) for x in (0.5, 1, 2))
QUADRANTS_PER_RAD = np.float32(2 / np.pi)
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
    # A branch would keep the compiler from vectors: 0 and 1 choose by the quadrant.
    quadrant = np.floor(x * QUADRANTS_PER_RAD + HALF)
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
    """Copy blocks of a signal, shape ``(2, rows, blocks)``, from ``first`` on, to planes."""
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
    """Copy planes without padding to the blocks of a signal from ``first`` on."""
    _, rows, blocks = out.shape
    width = min(blocks - first, SIMD_BLOCKS)
    for part in range(2):
        for n in range(rows):
            for lane in range(width):
                out[part, n, first + lane] = planes[part, n * SIMD_BLOCKS + lane]


@_compile
def _add_four(left_i, left_q, right_i, right_q, h, y_i, y_q):
    """Add the products of four neighbouring half taps to ``y``.

    ``left`` begins at the outermost of them on the left, ``right`` at the innermost on the right.
    """
    # Four taps a pass: y is loaded and stored once, and the samples stay in registers.
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
def _add_two(left_i, left_q, right_i, right_q, h, y_i, y_q):
    """`_add_one` of two neighbouring half taps, one after the other."""
    a0, b0, a1, b1 = h[0, 0], h[0, 1], h[1, 0], h[1, 1]
    for m in range(y_i.size):
        i0, q0 = left_i[m] + right_i[m + SIMD_BLOCKS], left_q[m] + right_q[m + SIMD_BLOCKS]
        i1, q1 = left_i[m + SIMD_BLOCKS] + right_i[m], left_q[m + SIMD_BLOCKS] + right_q[m]
        y_i[m] = (y_i[m] + (a0 * i0 - b0 * q0)) + (a1 * i1 - b1 * q1)
        y_q[m] = (y_q[m] + (a0 * q0 + b0 * i0)) + (a1 * q1 + b1 * i1)


@_compile
def _add_three(left_i, left_q, right_i, right_q, h, y_i, y_q):
    """`_add_one` of three neighbouring half taps, one after the other."""
    a0, b0, a1, b1, a2, b2 = h[0, 0], h[0, 1], h[1, 0], h[1, 1], h[2, 0], h[2, 1]
    for m in range(y_i.size):
        i0, q0 = left_i[m] + right_i[m + 2 * SIMD_BLOCKS], left_q[m] + right_q[m + 2 * SIMD_BLOCKS]
        i1 = left_i[m + SIMD_BLOCKS] + right_i[m + SIMD_BLOCKS]
        q1 = left_q[m + SIMD_BLOCKS] + right_q[m + SIMD_BLOCKS]
        i2, q2 = left_i[m + 2 * SIMD_BLOCKS] + right_i[m], left_q[m + 2 * SIMD_BLOCKS] + right_q[m]
        y_i[m] = ((y_i[m] + (a0 * i0 - b0 * q0)) + (a1 * i1 - b1 * q1)) + (a2 * i2 - b2 * q2)
        y_q[m] = ((y_q[m] + (a0 * q0 + b0 * i0)) + (a1 * q1 + b1 * i1)) + (a2 * q2 + b2 * i2)


@_compile
def _convolve(x, half, pad, y):
    """u = sum_m h_m (x)_m: filter wrapped planes with complex half taps; ``y`` has no padding."""
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
            # All but the outermost in fours.
            group = (count - k) % 4 or 4
            left = start + (pad - count + 1 + k) * SIMD_BLOCKS
            right = start + (pad + count - k - group) * SIMD_BLOCKS
            window = x[0, left:], x[1, left:], x[0, right:], x[1, right:]
            if group == 4:
                _add_four(*window, h[k:], y_i, y_q)
            elif group == 3:
                _add_three(*window, h[k:], y_i, y_q)
            elif group == 2:
                _add_two(*window, h[k:], y_i, y_q)
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
    """g_h_m = sum_n g_u conj((x)_m): add it to ``total``, float64; ``g`` has padding.

    With g = a + j b and (x)_m = i + j q, the product is (a i + b q) + j (b i - a q).
    """
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
    sums[count - 1] *= 0.5  # the centre tap was given its sample twice
    total += sums


@_compile
def _convolve_real(p, half, pad, y):
    """sum_m K_m (p)_m: filter one wrapped plane with real half taps; ``y`` has no padding."""
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
    """g_K_m = sum_n f (p)_m: add it to ``total``, float64; ``g`` is f, without padding."""
    count = total.size
    for start in range(0, g.size, TILE * SIMD_BLOCKS):
        own = g[start : start + TILE * SIMD_BLOCKS]
        for k in range(count):
            left = p[start + (pad - count + 1 + k) * SIMD_BLOCKS :]
            right = p[start + (pad + count - 1 - k) * SIMD_BLOCKS :]
            # A tile in the type of the signals, which vectors add fast; tiles in float64.
            tile_sum = g.dtype.type(0)
            for m in range(own.size):
                tile_sum += own[m] * (left[m] + right[m])
            total[k] += tile_sum * (0.5 if k == count - 1 else 1.0)


@_compile
def _share(plane, both):
    """Give the two polarisations, which lie side by side in a plane, their sum, if there are."""
    if both:
        for m in range(0, plane.size, 2):
            total = plane[m] + plane[m + 1]
            plane[m], plane[m + 1] = total, total


@_compile
def _requantize(x, low, high):
    for m in range(x.size):
        x[m] = min(max(np.floor(x[m] + HALF), low), high)


@_compile
def _operating_point(kerr, u, point):
    """p, and r = cosine + j sine, of a rotation of the samples ``u``, into ``point``."""
    if kerr.quantized:
        _quantized_point(kerr, u, point)
    else:
        _float_point(kerr, u, point)


@_compile
def _float_point(kerr, u, point):
    """p = |u|^2, r = exp(j sum_m K_m (p)_m)."""
    u_i, u_q, cosine, sine = u[0], u[1], point.cosine, point.sine
    power = point.power[kerr.pad * SIMD_BLOCKS : kerr.pad * SIMD_BLOCKS + u_i.size]
    for m in range(u_i.size):
        power[m] = u_i[m] * u_i[m] + u_q[m] * u_q[m]
    _share(power, kerr.both)
    _wrap(point.power, kerr.pad, u_i.size // SIMD_BLOCKS)
    _convolve_real(point.power, kerr.half, kerr.pad, sine)
    for m in range(u_i.size):
        sine[m], cosine[m] = _sine_cosine(sine[m])


@_compile
def _quantized_point(kerr, u, point):
    """p of the cut branch, phi = e Q(sum_m K_m (p)_m), r = 1 + j phi or its second order."""
    fmt, u_i, u_q, cosine, sine = kerr.fmt, u[0], u[1], point.cosine, point.sine
    power = point.power[kerr.pad * SIMD_BLOCKS : kerr.pad * SIMD_BLOCKS + u_i.size]
    scale, middle, offset = fmt.branch_scale, fmt.branch_middle, fmt.power_offset
    for m in range(u_i.size):
        i, q = np.floor(u_i[m] * scale), np.floor(u_q[m] * scale)
        power[m] = (i * (i + middle) + q * (q + middle)) - offset
    _share(power, kerr.both)
    _wrap(point.power, kerr.pad, u_i.size // SIMD_BLOCKS)
    _convolve_real(point.power, kerr.half, kerr.pad, sine)
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
def _rotate(kerr, u, point, y):
    """y = r u, on codes y = Q(o r u); ``y`` comes wrapped."""
    cosine, sine, pad = point.cosine, point.sine, kerr.pad
    length = cosine.size
    u_i, u_q = u[0], u[1]
    own = slice(pad * SIMD_BLOCKS, pad * SIMD_BLOCKS + length)
    y_i, y_q = y[0, own], y[1, own]
    if kerr.quantized:
        fmt = kerr.fmt
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
def _slope(u_i, u_q, cosine, sine, slopes):
    """v = r' u, with r' = j exp(j phi) = -sine + j cosine, or j, or j - phi where sine is phi.

    One formula for the three, so that the loops around it have no branch.
    """
    real, imaginary = -slopes.curved * sine, ONE + slopes.exact * (cosine - ONE)
    return real * u_i - imaginary * u_q, real * u_q + imaginary * u_i


@_compile
def _slopes(kerr):
    """`Slopes` of a rotation; those of the exact one are all 1."""
    zero = kerr.half.dtype.type(0)
    one = zero + ONE
    fmt = kerr.fmt
    if not kerr.quantized:
        return Slopes(one, one, one, one, one)
    curved = zero if fmt.taylor_order == ONE else one
    power = fmt.branch_scale * fmt.branch_scale
    return Slopes(zero, curved, fmt.output_scale, fmt.phase_unit, power)


@_compile
def _rotation_adjoint(kerr, u, point, g, by_phase, out, total):
    """The adjoint of a rotation: the gradient ``g`` by its output to ``out`` by its input.

        f = o e Re(conj(g) v),   g_K_m = sum_n f (p)_m,
        out = o conj(r) g + 2 b^2 (sum_m K_m (f)_m) u

    ``g`` has no padding, ``out`` comes wrapped, g_K is added to ``total``. ``by_phase`` is a padded
    plane to work on, for f; ``point.power`` is used up: it then holds sum_m K_m (f)_m.
    """
    cosine, sine, pad = point.cosine, point.sine, kerr.pad
    length, slopes = cosine.size, _slopes(kerr)
    g_i, g_q, u_i, u_q = g[0], g[1], u[0], u[1]
    own = slice(pad * SIMD_BLOCKS, pad * SIMD_BLOCKS + length)
    inner = by_phase[own]
    scale = slopes.output * slopes.phase
    for m in range(length):
        v_i, v_q = _slope(u_i[m], u_q[m], cosine[m], sine[m], slopes)
        inner[m] = (g_i[m] * v_i + g_q[m] * v_q) * scale
    _kerr_gradient(point.power, inner, pad, total)
    _share(inner, kerr.both)
    _wrap(by_phase, pad, length // SIMD_BLOCKS)
    by_power = point.power[own]
    _convolve_real(by_phase, kerr.half, pad, by_power)
    out_i, out_q = out[0, own], out[1, own]
    output, twice = slopes.output, TWO * slopes.power
    for m in range(length):
        c, s, w = cosine[m] * output, sine[m] * output, twice * by_power[m]
        out_i[m] = c * g_i[m] + s * g_q[m] + w * u_i[m]
        out_q[m] = c * g_q[m] - s * g_i[m] + w * u_q[m]
    _wrap(out[0], pad, length // SIMD_BLOCKS)
    _wrap(out[1], pad, length // SIMD_BLOCKS)


@_compile
def _rotation_tangent(kerr, u, point, t, work, out):
    """The tangent of a rotation: a small change ``t`` of its input to ``out`` of its output.

        t_phi = e sum_m K_m (2 b^2 Re(conj(u) t))_m,   out = o (r t + t_phi v)

    ``t`` has no padding, ``out`` comes wrapped. ``work``: a padded plane and one without padding.
    """
    cosine, sine, pad = point.cosine, point.sine, kerr.pad
    length, slopes = cosine.size, _slopes(kerr)
    power, phase = work
    t_i, t_q, u_i, u_q = t[0], t[1], u[0], u[1]
    own = slice(pad * SIMD_BLOCKS, pad * SIMD_BLOCKS + length)
    inner = power[own]
    scale = TWO * slopes.power * slopes.phase
    if kerr.half.size == 1 and not kerr.both:  # nothing of other samples
        h = kerr.half[0]
        for m in range(length):
            phase[m] = h * (scale * (u_i[m] * t_i[m] + u_q[m] * t_q[m]))
    else:
        for m in range(length):
            inner[m] = scale * (u_i[m] * t_i[m] + u_q[m] * t_q[m])
        _share(inner, kerr.both)
        _wrap(power, pad, length // SIMD_BLOCKS)
        _convolve_real(power, kerr.half, pad, phase)
    out_i, out_q, output = out[0, own], out[1, own], slopes.output
    for m in range(length):
        v_i, v_q = _slope(u_i[m], u_q[m], cosine[m], sine[m], slopes)
        c, s = cosine[m], sine[m]
        out_i[m] = (c * t_i[m] - s * t_q[m] + phase[m] * v_i) * output
        out_q[m] = (c * t_q[m] + s * t_i[m] + phase[m] * v_q) * output
    _wrap(out[0], pad, length // SIMD_BLOCKS)
    _wrap(out[1], pad, length // SIMD_BLOCKS)


@_compile
def _load_wrapped(x, first, pad, out):
    _load(x, first, pad, out)
    _wrap(out[0], pad, x.shape[1])
    _wrap(out[1], pad, x.shape[1])


@_compile
def _filter(x, half_taps, pad, arithmetic, k, y):
    """Filter ``k``: u = sum_m h_m (x)_m, on codes rounded and clipped."""
    _convolve(x, _taps(half_taps, arithmetic, k), pad, y)
    if arithmetic.quantized:
        low, high = arithmetic.limits[k, 0], arithmetic.limits[k, 1]
        _requantize(y[0], low, high)
        _requantize(y[1], low, high)


@_compile
def _taps(half_taps, arithmetic, k):
    """The half taps of filter ``k``, without what is before them in its row."""
    return half_taps[k, half_taps.shape[1] - arithmetic.halves[k] :]


@_compile
def _constants(half_kerr, arithmetic, k):
    """The half constants of rotation ``k``, likewise."""
    return half_kerr[k, half_kerr.shape[1] - arithmetic.kerr_halves[k] :]


@_compile
def _padding(half_taps, half_kerr):
    """Samples by which the longest filter reaches beyond a block on either side."""
    return max(half_taps.shape[1], half_kerr.shape[1]) - 1


@_compile
def _new_point(rows, pad, dtype):
    length, padded = rows * SIMD_BLOCKS, (rows + 2 * pad) * SIMD_BLOCKS
    return Point(np.empty(padded, dtype), np.empty(length, dtype), np.empty(length, dtype))


@_compile
def forward(x, half_taps, half_kerr, arithmetic, kept):
    """A signal through the chain; same shape back.

    ``x``: shape ``(2, rows, blocks)``. ``half_taps``: ``(filters, half, 2)``, ``half_kerr``:
    ``(filters - 1, half)``, each with the outermost first; a block must have at least as many rows
    as a filter has taps. The outputs of all filters but the last are left in ``kept``, shape
    ``(chunks of SIMD_BLOCKS blocks, filters - 1, 2, rows * SIMD_BLOCKS)``, unless that is empty.
    """
    _, rows, blocks = x.shape
    filters, pad = half_taps.shape[0], _padding(half_taps, half_kerr)
    both = arithmetic.polarizations == 2
    signal = np.empty((2, (rows + 2 * pad) * SIMD_BLOCKS), x.dtype)
    filtered = np.empty((2, rows * SIMD_BLOCKS), x.dtype)
    point = _new_point(rows, pad, x.dtype)
    y = np.empty_like(x)
    for first in range(0, blocks, SIMD_BLOCKS):
        _load_wrapped(x, first, pad, signal)
        for k in range(filters - 1):
            own = _constants(half_kerr, arithmetic, k)
            kerr = Kerr(own, arithmetic.quantized, arithmetic.formats[k], pad, both)
            u = kept[first // SIMD_BLOCKS, k] if kept.size else filtered
            _filter(signal, half_taps, pad, arithmetic, k, u)
            _operating_point(kerr, u, point)
            _rotate(kerr, u, point, signal)
        _filter(signal, half_taps, pad, arithmetic, filters - 1, filtered)
        _store(filtered, first, y)
    return y


@_compile
def adjoint(x, gradient, half_taps, half_kerr, arithmetic, kept):
    """The gradients by signal, half taps and Kerr constants, from that by the chain's output.

    Arguments as `forward` has and leaves them. From the last filter to the first, each turns g_u
    behind it into g_h and into g_x before it, and each rotation g_y into g_K and g_u. Operating
    points are computed again from the kept u: to keep them, too, would take more time than that.
    Sums over all samples are float64.
    """
    _, rows, blocks = x.shape
    filters, pad = half_taps.shape[0], _padding(half_taps, half_kerr)
    both = arithmetic.polarizations == 2
    length, padded = rows * SIMD_BLOCKS, (rows + 2 * pad) * SIMD_BLOCKS
    signal, g = np.empty((2, padded), x.dtype), np.empty((2, padded), x.dtype)
    point, by_phase = _new_point(rows, pad, x.dtype), np.empty(padded, x.dtype)
    filtered = np.empty((2, length), x.dtype)
    by_signal = np.empty_like(x)
    by_taps, by_kerr = np.zeros(half_taps.shape), np.zeros(half_kerr.shape)
    # The taps are symmetric, so the adjoint of a filter is the filter with the conjugate taps.
    conjugate = half_taps.copy()
    conjugate[:, :, 1] *= -ONE
    for first in range(0, blocks, SIMD_BLOCKS):
        _load_wrapped(gradient, first, pad, g)
        for k in range(filters - 1, 0, -1):
            own = _constants(half_kerr, arithmetic, k - 1)
            kerr = Kerr(own, arithmetic.quantized, arithmetic.formats[k - 1], pad, both)
            u = kept[first // SIMD_BLOCKS, k - 1]
            _operating_point(kerr, u, point)
            _rotate(kerr, u, point, signal)
            _tap_gradient(signal, g, pad, _taps(by_taps, arithmetic, k))
            _convolve(g, _taps(conjugate, arithmetic, k), pad, filtered)
            by_own = _constants(by_kerr, arithmetic, k - 1)
            _rotation_adjoint(kerr, u, point, filtered, by_phase, g, by_own)
        _load_wrapped(x, first, pad, signal)
        _tap_gradient(signal, g, pad, _taps(by_taps, arithmetic, 0))
        _convolve(g, _taps(conjugate, arithmetic, 0), pad, filtered)
        _store(filtered, first, by_signal)
    return by_signal, by_taps, by_kerr


@_compile
def linearize(x, half_taps, half_kerr, arithmetic):
    """The signal all along the chain, `Linearized`, for `tap_tangents` and `kerr_tangents`."""
    _, rows, blocks = x.shape
    filters, chunks = half_taps.shape[0], -(-blocks // SIMD_BLOCKS)
    pad, both = _padding(half_taps, half_kerr), arithmetic.polarizations == 2
    length, padded = rows * SIMD_BLOCKS, (rows + 2 * pad) * SIMD_BLOCKS
    inputs = np.empty((chunks, filters, 2, padded), x.dtype)
    outputs = np.empty((chunks, filters - 1, 2, length), x.dtype)
    powers = np.empty((chunks, filters - 1, padded), x.dtype)
    cosines = np.empty((chunks, filters - 1, length), x.dtype)
    sines = np.empty((chunks, filters - 1, length), x.dtype)
    for n in range(chunks):
        _load_wrapped(x, n * SIMD_BLOCKS, pad, inputs[n, 0])
        for k in range(filters - 1):
            own = _constants(half_kerr, arithmetic, k)
            kerr = Kerr(own, arithmetic.quantized, arithmetic.formats[k], pad, both)
            u, point = outputs[n, k], Point(powers[n, k], cosines[n, k], sines[n, k])
            _filter(inputs[n, k], half_taps, pad, arithmetic, k, u)
            _operating_point(kerr, u, point)
            _rotate(kerr, u, point, inputs[n, k + 1])
    return Linearized(inputs, outputs, powers, cosines, sines)


@_compile
def _propagate(t, n, k, half_taps, half_kerr, arithmetic, chain, work):
    """A small change ``t`` behind filter ``k`` becomes that behind the last filter, in place."""
    signal, planes = work
    pad, both = _padding(half_taps, half_kerr), arithmetic.polarizations == 2
    for j in range(k, half_taps.shape[0] - 1):
        own = _constants(half_kerr, arithmetic, j)
        kerr = Kerr(own, arithmetic.quantized, arithmetic.formats[j], pad, both)
        point = Point(chain.powers[n, j], chain.cosines[n, j], chain.sines[n, j])
        _rotation_tangent(kerr, chain.outputs[n, j], point, t, planes, signal)
        _convolve(signal, _taps(half_taps, arithmetic, j + 1), pad, t)


@_compile
def _work(rows, pad, dtype):
    """Planes to work on: a wrapped signal; a padded plane and one without padding."""
    padded = (rows + 2 * pad) * SIMD_BLOCKS
    planes = np.empty(padded, dtype), np.empty(rows * SIMD_BLOCKS, dtype)
    return np.empty((2, padded), dtype), planes


@_compile
def tap_tangents(k, half_taps, half_kerr, arithmetic, chain, out):
    """The changes of the chain's output per change of the half taps of filter ``k``.

    Behind filter k they begin as (x)_m for the real and j (x)_m for the imaginary part of tap m.
    ``chain``: of `linearize`. ``out``: shape ``(2, rows, 2 * half, blocks)`` with the half taps
    that this filter has, in the order of its flattened half taps.
    """
    rows, blocks = out.shape[1], out.shape[3]
    half, pad = arithmetic.halves[k], _padding(half_taps, half_kerr)
    work = _work(rows, pad, out.dtype)
    t = np.empty((2, rows * SIMD_BLOCKS), out.dtype)
    for n in range(-(-blocks // SIMD_BLOCKS)):
        x = chain.inputs[n, k]
        for tap in range(half):
            left = (pad - half + 1 + tap) * SIMD_BLOCKS
            right = (pad + half - 1 - tap) * SIMD_BLOCKS
            weight = HALF if tap == half - 1 else ONE  # the centre's sample is summed twice
            for part in range(2):
                for m in range(t.shape[1]):
                    i = weight * (x[0, left + m] + x[0, right + m])
                    q = weight * (x[1, left + m] + x[1, right + m])
                    t[0, m] = i if part == 0 else -q
                    t[1, m] = q if part == 0 else i
                _propagate(t, n, k, half_taps, half_kerr, arithmetic, chain, work)
                _store(t, n * SIMD_BLOCKS, out[:, :, 2 * tap + part])


@_compile
def kerr_tangents(k, half_taps, half_kerr, arithmetic, chain, out):
    """The changes of the chain's output per change of the Kerr constants of rotation ``k``.

    Behind rotation k they begin as o e (p)_m v. See `tap_tangents`; ``out``: shape
    ``(2, rows, half, blocks)``.
    """
    _, rows, half, blocks = out.shape
    pad, both = _padding(half_taps, half_kerr), arithmetic.polarizations == 2
    work = _work(rows, pad, out.dtype)
    signal = work[0]
    t = np.empty((2, rows * SIMD_BLOCKS), out.dtype)
    own = _constants(half_kerr, arithmetic, k)
    slopes = _slopes(Kerr(own, arithmetic.quantized, arithmetic.formats[k], pad, both))
    for n in range(-(-blocks // SIMD_BLOCKS)):
        u, power = chain.outputs[n, k], chain.powers[n, k]
        c, s = chain.cosines[n, k], chain.sines[n, k]
        for tap in range(half):
            left = (pad - half + 1 + tap) * SIMD_BLOCKS
            right = (pad + half - 1 - tap) * SIMD_BLOCKS
            weight = slopes.output * slopes.phase * (HALF if tap == half - 1 else ONE)
            for m in range(c.size):
                v_i, v_q = _slope(u[0, m], u[1, m], c[m], s[m], slopes)
                phase = weight * (power[left + m] + power[right + m])
                signal[0, pad * SIMD_BLOCKS + m] = phase * v_i
                signal[1, pad * SIMD_BLOCKS + m] = phase * v_q
            _wrap(signal[0], pad, rows)
            _wrap(signal[1], pad, rows)
            _convolve(signal, _taps(half_taps, arithmetic, k + 1), pad, t)
            _propagate(t, n, k + 1, half_taps, half_kerr, arithmetic, chain, work)
            _store(t, n * SIMD_BLOCKS, out[:, :, tap])
