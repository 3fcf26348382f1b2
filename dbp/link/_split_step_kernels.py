"""The split-step method in single precision on a CPU, compiled: a short block in each SIMD lane.

The transforms are Cooley's and Tukey's (Math. Comput. 19, 1965), decimated in frequency on the way
to the spectrum and in time on the way back: in place, the spectrum in the order of its reversed
digits, so that nothing is ever sorted. A step makes two passes over the data. One is the last stage
back, the Kerr rotation and the first stage forth. The other is all other stages forth, the linear
operator, and all other stages back, depth first, so that a part of a block stays in the first-level
cache meanwhile. This is three times as fast as library transforms with passes between them.

"Forth" is the transform to the spectrum, "back" its inverse. A transform back is one forth with the
parts of all numbers exchanged, for exchange(w x) is conj(w) exchange(x).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numba.extending import intrinsic, register_jitable
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray

from dbp.link import _simd
from dbp.link._simd import Array, Complex, Vector, cached_njit, emit, fused
from dbp.link.arithmetic import elementwise

# Radices that the last stage may have; all others are 4.
_LAST = (2, 3, 4, 5, 6)

# numba types a decorated function as one of no known arguments.
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
_compile: Decorator = cached_njit(nogil=True, error_model="numpy")
_intrinsic: Decorator = intrinsic


def _chebyshev(function: Callable[[NDArray], NDArray], degree: int) -> tuple[np.float32, ...]:
    """Coefficients of a polynomial in x^2 that interpolates on [-pi/2, pi/2], highest first."""
    fit = Chebyshev.interpolate(lambda u: function(np.sqrt(u)), degree, domain=[0, np.pi**2 / 4])
    return tuple(np.float32(c) for c in fit.convert(kind=Polynomial).coef[::-1])


# Rounded coefficients included, errors are below 3e-8: half a unit in the last place of 1.
_C5, _C4, _C3, _C2, _C1, _C0 = _chebyshev(lambda x: elementwise(math.cos, x), 5)
_S4, _S3, _S2, _S1, _S0 = _chebyshev(lambda x: elementwise(math.sin, x) / x, 4)
# pi in two parts, the first short enough for exact products with the number of half turns.
_PI_HIGH = np.float32(201 / 64)
_PI_LOW = np.float32(np.pi - 201 / 64)
_PER_PI = np.float32(1 / np.pi)
_HALF, _ONE, _MINUS_EIGHT = np.float32(0.5), np.float32(1), np.float32(-8)


@register_jitable
def _rotated_by(i, q, phase, rint):
    """Parts of ``x exp(1j phase)``, of numbers or vectors; neither call nor branch."""
    half_turns = rint(phase * _PER_PI)
    x = fused(-half_turns, _PI_LOW, fused(-half_turns, _PI_HIGH, phase))
    u = x * x
    cosine = fused(u, fused(u, fused(u, fused(u, fused(u, _C5, _C4), _C3), _C2), _C1), _C0)
    sine = fused(u, fused(u, fused(u, fused(u, _S4, _S3), _S2), _S1), _S0)
    # 0 after an even number of half turns, else a half.
    odd = half_turns * _HALF - rint(half_turns * _HALF)
    sign = odd * odd * _MINUS_EIGHT + _ONE
    cosine, sine = cosine * sign, sine * sign * x
    return fused(i, cosine, -(q * sine)), fused(i, sine, q * cosine)


@register_jitable
def _rotated(i, q, kerr_per_w, rint):
    """Parts of ``x exp(1j kerr_per_w |x|^2)``."""
    return _rotated_by(i, q, fused(i, i, q * q) * kerr_per_w, rint)


@_compile
def rotate(parts: NDArray[np.float32], kerr_per_w: np.float32) -> None:
    """``x exp(1j kerr_per_w |x|^2)`` in place; real and imaginary parts in turn, 1-D."""
    for k in range(parts.size // 2):  # LLVM makes no SIMD code of a range with a step
        i, q = _rotated(parts[2 * k], parts[2 * k + 1], kerr_per_w, np.rint)
        parts[2 * k], parts[2 * k + 1] = i, q


@_compile
def rotate_both(parts: NDArray[np.float32], kerr_per_w: np.float32) -> None:
    """``x exp(1j kerr_per_w (|x|^2 + |y|^2))`` and the same for y, in place.

    ``parts``: real and imaginary parts in turn, shape ``(blocks, 2, 2 * samples)``, x before y.
    """
    for block in range(len(parts)):
        x, y = parts[block]
        for k in range(x.size // 2):
            i, q, u, v = x[2 * k], x[2 * k + 1], y[2 * k], y[2 * k + 1]
            phase = fused(v, v, fused(u, u, fused(i, i, q * q))) * kerr_per_w
            x[2 * k], x[2 * k + 1] = _rotated_by(i, q, phase, np.rint)
            y[2 * k], y[2 * k + 1] = _rotated_by(u, v, phase, np.rint)


# Which product of `_unit` is rounded only with the sum, that of the sine or that of the cosine, in
# the real and in the imaginary part, by the turns. It decides last bits, no more: so the compiler
# chose in each place, while it was let, and so the numbers stay what they were.
_FORTH = {1 / 6: (False, False), 2 / 6: (True, True)}
_BACK = {1 / 6: (False, False), 2 / 6: (True, False)}
_BACK_AFTER_NOISE = {1 / 6: (True, False), 2 / 6: (True, False)}


def _dft(x: list[Complex], sine_fused: dict[float, tuple[bool, bool]] = _FORTH) -> list[Complex]:
    """Discrete Fourier transform of a few numbers, forth.

    An even number of them is split into sums and differences (decimation in frequency); an odd one,
    a prime here, is summed term by term, with sums and differences of x[k] and x[-k].
    """
    count = len(x)
    half = count // 2
    if count == 1:
        return x
    if count % 2 == 0:
        pairs = list(zip(x[:half], x[half:], strict=True))
        even = _dft([a + b for a, b in pairs], sine_fused)
        odd = _dft(
            [_unit(a - b, k / count, sine_fused) for k, (a, b) in enumerate(pairs)], sine_fused
        )
        return [y for pair in zip(even, odd, strict=True) for y in pair]
    pairs = [(x[k] + x[-k], x[k] - x[-k]) for k in range(1, half + 1)]
    y = [sum((s for s, _ in pairs[1:]), pairs[0][0]) + x[0]] * count
    for m in range(1, half + 1):
        angles = [2 * math.pi * k * m / count for k in range(1, half + 1)]
        turned = [d.times_minus_j() for _, d in pairs]
        cosines, sines = x[0], turned[0] * math.sin(angles[0])
        for (s, _), angle in zip(pairs, angles, strict=True):
            cosines = s.fused(math.cos(angle), cosines)
        for d, angle in zip(turned[1:], angles[1:], strict=True):
            sines = d.fused(math.sin(angle), sines)
        y[m], y[-m] = cosines + sines, cosines - sines
    return y


def _unit(x: Complex, turns: float, sine_fused: dict[float, tuple[bool, bool]]) -> Complex:
    """x exp(-2j pi turns)."""
    if turns == 0:
        return x
    if turns == 0.25:
        return x.times_minus_j()
    cosine, sine = math.cos(2 * math.pi * turns), math.sin(2 * math.pi * turns)
    turned = x.times_minus_j()
    by_sine, by_cosine = turned.fused(sine, x * cosine), x.fused(cosine, turned * sine)
    i, q = (by_sine if fused_ else by_cosine for fused_ in sine_fused[turns])
    return Complex(i.i, q.q)


def _factors(twiddles: Array, j) -> list[Complex]:
    return twiddles.scalars(twiddles.builder.mul(j, j.type(3)), 3)


def _twiddled(x: list[Complex], twiddles: Array, j) -> list[Complex]:
    return [x[0], *(a * w for a, w in zip(x[1:], _factors(twiddles, j), strict=True))]


def _exchanged(x: list[Complex]) -> list[Complex]:
    return [a.exchanged() for a in x]


@_intrinsic
def _forth(typing_context, x, row, quarter, twiddles, j):
    """Four numbers of a stage of radix 4, in place."""

    def operation(x: Array, row, quarter, twiddles: Array, j) -> None:
        x.store(row, quarter, _twiddled(_dft(x.vectors(row, quarter, 4)), twiddles, j))

    return emit(operation, x, row, quarter, twiddles, j)


@_intrinsic
def _back(typing_context, x, row, quarter, twiddles, j):
    """`_forth` undone, four times too large."""

    def operation(x: Array, row, quarter, twiddles: Array, j) -> None:
        joined = _twiddled(_exchanged(x.vectors(row, quarter, 4)), twiddles, j)
        x.store(row, quarter, _exchanged(_dft(joined)))

    return emit(operation, x, row, quarter, twiddles, j)


@_intrinsic
def _kerr(typing_context, x, row, quarter, twiddles, j, kerr_per_w):
    """`_back`, Kerr rotation, `_forth`."""

    def operation(x: Array, row, quarter, twiddles: Array, j, kerr_per_w: Vector) -> None:
        joined = _twiddled(_exchanged(x.vectors(row, quarter, 4)), twiddles, j)
        field = [Complex(*_rotated(a.q, a.i, kerr_per_w, Vector.rint)) for a in _dft(joined)]
        field = _dft(field)
        factors = _factors(twiddles, j)
        x.store(row, quarter, [field[0], *(w * a for w, a in zip(factors, field[1:], strict=True))])

    return emit(operation, x, row, quarter, twiddles, j, kerr_per_w)


def _inner_of(radix: int, adds: bool) -> Callable:
    @_intrinsic
    def inner(typing_context, x, row, linear, added):
        """The last stage forth, the linear operator, added noise, the same stage back."""

        def operation(x: Array, row, linear: Array, added: Array) -> None:
            spectrum = _dft(x.vectors(row, 1, radix))
            spectrum = [a * h for a, h in zip(spectrum, linear.scalars(row, radix), strict=True)]
            if adds:
                noise = added.vectors(row, 1, radix)
                spectrum = [a + n for a, n in zip(spectrum, noise, strict=True)]
            sine_fused = _BACK_AFTER_NOISE if adds else _BACK
            x.store(row, 1, _exchanged(_dft(_exchanged(spectrum), sine_fused)))

        return emit(operation, x, row, linear, added)

    return inner


_inner2, _inner3, _inner4, _inner5, _inner6 = (_inner_of(radix, False) for radix in _LAST)
(
    _inner_add2,
    _inner_add3,
    _inner_add4,
    _inner_add5,
    _inner_add6,
) = (_inner_of(radix, True) for radix in _LAST)


@_compile
def _through_spectrum(x, quarters, tables, twiddles, last, linear, added, adds):
    """All stages but the first: forth, linear operator, back."""
    size = 4 * last
    for start in range(0, len(x), size):
        for level in range(1, quarters.size):
            if start % (4 * quarters[level]) == 0:
                quarter, table = quarters[level], twiddles[tables[level] :]
                for j in range(quarter):
                    _forth(x, start + j, quarter, table, j)
        for row in range(start, start + size, last):
            if last == 2:
                _inner_add2(x, row, linear, added) if adds else _inner2(x, row, linear, added)
            elif last == 3:
                _inner_add3(x, row, linear, added) if adds else _inner3(x, row, linear, added)
            elif last == 4:
                _inner_add4(x, row, linear, added) if adds else _inner4(x, row, linear, added)
            elif last == 5:
                _inner_add5(x, row, linear, added) if adds else _inner5(x, row, linear, added)
            else:
                _inner_add6(x, row, linear, added) if adds else _inner6(x, row, linear, added)
        end = start + size
        for level in range(quarters.size - 1, 0, -1):
            if end % (4 * quarters[level]) == 0:
                quarter, table = quarters[level], twiddles[tables[level] :]
                for j in range(quarter):
                    _back(x, end - 4 * quarter + j, quarter, table, j)


@_compile
def _span(x, plan, linear, kerr_per_w, added):
    """Advance from the spectrum after an amplifier to behind the last Kerr rotation of its span."""
    quarters, tables, twiddles, last = plan
    _through_spectrum(x, quarters, tables, twiddles, last, linear[0], added, True)
    for step in range(kerr_per_w.size):
        if step:
            _through_spectrum(x, quarters, tables, twiddles, last, linear[step], added, False)
        for j in range(quarters[0]):
            _kerr(x, j, quarters[0], twiddles, j, kerr_per_w[step])


@_compile
def _end(x, plan, linear, added):
    """Advance from behind the last Kerr rotation of all to the field after the last amplifier."""
    quarters, tables, twiddles, last = plan
    _through_spectrum(x, quarters, tables, twiddles, last, linear, added, True)
    for j in range(quarters[0]):
        _back(x, j, quarters[0], twiddles, j)


@_compile
def _spread(added, spectrum, places, factors):
    """Put spectra into the SIMD lanes, each frequency to its place, times its factor."""
    for k in range(places.size):
        row, factor = places[k], factors[k]
        for lane in range(len(spectrum)):
            value = spectrum[lane, k]
            i, q = value.real, value.imag
            added[row, 0, lane] = fused(i, factor.real, -(q * factor.imag))
            added[row, 1, lane] = fused(i, factor.imag, q * factor.real)


def fits(samples: int) -> bool:
    """Tell whether there is a transform of this length: 4^k times 2, 3, 4, 5 or 6, k at least 1."""
    return samples >= 8 and _radices(samples)[-1] in _LAST


def _radices(samples: int) -> list[int]:
    radices = []
    while samples % 4 == 0 and samples > 4:
        radices.append(4)
        samples //= 4
    return [*radices, samples]


def _reversed_digits(radices: list[int]) -> NDArray[np.int64]:
    """The frequency at each place of a spectrum."""
    if not radices:
        return np.zeros(1, np.int64)
    inner = _reversed_digits(radices[1:])
    return np.concatenate([k + radices[0] * inner for k in range(radices[0])])


def _parts(x: NDArray) -> NDArray[np.float32]:
    """Real and imaginary parts in turn along the last axis."""
    return np.ascontiguousarray(x, np.complex64).view(np.float32)


class Propagation:
    """Equal spans of fibre, each with its amplifier, for blocks of ``samples`` samples.

    ``linear``: complex, shape ``(steps + 1, samples)``, what multiplies the spectrum before,
    between and after the Kerr rotations of a span; ``kerr_per_w``: shape ``(steps,)``;
    ``gain``: of the amplifier, in amplitude. ``samples`` must be one that `fits`.
    """

    def __init__(self, linear: NDArray, kerr_per_w: NDArray, gain: float) -> None:
        samples = linear.shape[1]
        *fours, last = _radices(samples)
        order = _reversed_digits([*fours, last])
        self._places = np.argsort(order)
        quarters = samples // 4 ** np.arange(1, len(fours) + 1)
        twiddles = [
            np.exp(-0.5j * np.pi * np.outer(np.arange(q), [1, 2, 3]) / q).ravel() for q in quarters
        ]
        tables = 2 * np.cumsum([0, *(t.size for t in twiddles[:-1])])
        self._plan = quarters, tables, _parts(np.concatenate(twiddles)), last
        # The transforms back do not divide by the number of samples: the operators do.
        start, between, end = linear[0] / samples, linear[1:-1] / samples, linear[-1] * gain
        self._start = start.astype(np.complex64)
        self._end = np.full(samples, 1 / samples, np.complex64)
        self._linear = _parts(np.stack([end * start, *between])[:, order])
        self._linear_end = _parts(end[order] / samples)
        self._kerr_per_w = kerr_per_w.astype(np.float32)

    def __call__(
        self,
        spectrum: NDArray[np.complexfloating],
        noise: Iterable[NDArray[np.complexfloating]],
    ) -> NDArray[np.complexfloating]:
        """Field behind the last amplifier in sqrt(W), shape ``(blocks, samples)``.

        ``spectrum``: that of the launched field, same shape, without normalisation. ``noise``: the
        spectrum that each amplifier adds, one after the other, of that shape and normalisation.
        """
        groups = [slice(k, k + _simd.SIMD_LANES) for k in range(0, len(spectrum), _simd.SIMD_LANES)]
        # The field is zero before the first span, whose added "noise" is the launched spectrum.
        fields, added = ([_simd.zeros(spectrum.shape[1]) for _ in groups] for _ in range(2))
        for of_amplifier in noise:
            for x, more, group in zip(fields, added, groups, strict=True):
                _spread(more, spectrum[group], self._places, self._start)
                _span(x, self._plan, self._linear, self._kerr_per_w, more)
            spectrum = of_amplifier
        for x, more, group in zip(fields, added, groups, strict=True):
            _spread(more, spectrum[group], self._places, self._end)
            _end(x, self._plan, self._linear_end, more)
        field = np.concatenate([x[:, 0] + 1j * x[:, 1] for x in fields], axis=1)
        return np.ascontiguousarray(field[:, : spectrum.shape[0]].T)
