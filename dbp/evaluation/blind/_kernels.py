"""The adaptive filters of `dbp.evaluation.blind.butterfly`, symbol by symbol, compiled.

No functions of the C library and no sums in an order of the processor's: the same everywhere.
"""

from __future__ import annotations

import math

from numpy.typing import NDArray

from dbp.support.compiled import njit

_compile = njit(nogil=True, error_model="numpy")

# The rules by which an error is made of an output.
CONSTANT_MODULUS, RADIUS_DIRECTED, DIRECTED = range(3)


@_compile
def _level(x: float, levels: NDArray) -> float:
    """The nearest of the levels of a quadrature, which are evenly spaced and ascending."""
    index = math.floor((x - levels[0]) / (levels[1] - levels[0]) + 0.5)
    return levels[min(max(index, 0), levels.size - 1)]


@_compile
def adapt(x, taps, out, phasors, known, rule, step, memory, levels, radii) -> None:
    """Filter and adapt, symbol after symbol.

    ``x``: complex, shape ``(inputs, 2 * symbols + taps - 1)``, two samples a symbol, of which the
    first output's centre is at half of the taps. ``taps``: ``(outputs, inputs, taps)``, changed;
    outputs that are not to be adapted are not in it. ``out``: ``(outputs, symbols)``, written.
    ``phasors``: ``(outputs,)``, carrier phases so far as sums of y conj(d), changed. ``known``:
    ``(outputs, n)``, the first symbols; those after them are decided. ``step``: of the gradient.
    ``memory``: the share of the sum for the phase that stays from one symbol to the next.
    ``levels``: of a quadrature, ascending; ``radii``: squared, ascending; for the constant modulus
    one.
    """
    outputs, inputs, length = taps.shape
    for n in range(out.shape[1]):
        for i in range(outputs):
            y = 0j
            for j in range(inputs):
                for k in range(length):
                    y += taps[i, j, k] * x[j, 2 * n + k]
            out[i, n] = y
            power = y.real * y.real + y.imag * y.imag
            if rule == DIRECTED:
                size = math.sqrt(phasors[i].real ** 2 + phasors[i].imag ** 2)
                turn = phasors[i] / size if size > 0 else 1 + 0j
                if n < known.shape[1]:
                    decided = known[i, n]
                else:
                    z = y * turn.conjugate()
                    decided = complex(_level(z.real, levels), _level(z.imag, levels))
                error = decided * turn - y
                phasors[i] = memory * phasors[i] + y * decided.conjugate()
            else:
                nearest = radii[0]
                for r in radii:
                    if abs(power - r) < abs(power - nearest):
                        nearest = r
                error = y * (nearest - power)
            error *= step
            for j in range(inputs):
                for k in range(length):
                    taps[i, j, k] += error * x[j, 2 * n + k].conjugate()


@_compile
def interpolate(x, places, window, reach, oversampling, out) -> None:
    """Samples of a circular waveform at any places, in samples, by a windowed sinc.

    ``x``: shape ``(rows, samples)``; ``window``: its impulse response from 0 to ``reach`` samples,
    ``oversampling`` values a sample, between which it is interpolated linearly.
    """
    samples = x.shape[1]
    for n in range(places.size):
        base = math.floor(places[n])
        for row in range(x.shape[0]):
            out[row, n] = 0
        for m in range(base - reach + 1, base + reach + 1):
            at = abs(places[n] - m) * oversampling
            k = int(at)
            if k + 1 < window.size:
                weight = window[k] + (at - k) * (window[k + 1] - window[k])
                for row in range(x.shape[0]):
                    out[row, n] += weight * x[row, m % samples]
