"""Learning of each layer by itself, from the fields that a simulation knows after every span.

Y.-W. Kao and H.-H. Chen, "Associated learning: decomposing end-to-end backpropagation based on
auto-encoders and target propagation", arXiv:1906.05560: every layer has a loss of its own, between
what it makes of its input and a target of its own, so that no gradient passes from layer to layer.
Their targets are made of the labels by learned auto-encoders; here physics has them: the field at
the place of every rotation, back-propagated by many small steps. A layer is then a small least
squares problem.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dbp import config
from dbp.learning.float_filters import FloatFilters
from dbp.learning.layout import Layout
from dbp.learning.least_squares import dispersion

Field = NDArray[np.complexfloating]
Vector = NDArray[np.float64]

# Small steps per span of the targets.
STEPS = 16
# Gauss-Newton iterations of a layer: the Kerr constants are not linear.
ITERATIONS = 3


def shifted(x: Field, distance: int) -> Field:
    """x[n - d] + x[n + d] along the samples, the last axis; x itself for d = 0."""
    return np.roll(x, distance, -1) + np.roll(x, -distance, -1) if distance else x


def over(x: Field, half: NDArray) -> Field:
    """A symmetric filter; ``half``: outermost tap first."""
    distances = range(len(half) - 1, -1, -1)
    return sum(h * shifted(x, d) for h, d in zip(half, distances, strict=True))


def rotated(x: Field, half_kerr: Vector) -> Field:
    """x exp(j phi), phi the filtered power."""
    return x * np.exp(1j * over(np.abs(x) ** 2, half_kerr))


def fit_layer(
    x: Field, target: Field, half_taps: NDArray, half_kerr: Vector, ridge: float = 0.0
) -> tuple[NDArray, Vector]:
    """The half taps and half Kerr constants with which a rotation and a filter make ``target``.

    Least squares over all samples, by Gauss-Newton iterations from those given. ``half_kerr`` may
    be empty: a filter alone, which is linear and found in one. ``ridge``: times the mean of the
    diagonal, added to it.
    """
    for _ in range(ITERATIONS if half_kerr.size else 1):
        turned = rotated(x, half_kerr) if half_kerr.size else x
        distances = range(len(half_taps) - 1, -1, -1)
        columns = []
        for d in distances:
            column = shifted(turned, d)
            columns += [column, 1j * column]
        for d in range(half_kerr.size - 1, -1, -1):
            columns.append(over(1j * shifted(np.abs(x) ** 2, d) * turned, half_taps))
        error = target - over(turned, half_taps)
        rows = np.stack([column.ravel() for column in columns])
        flat = np.concatenate((rows.real, rows.imag), 1)
        matrix = flat @ flat.T
        slope = flat @ np.concatenate((error.real.ravel(), error.imag.ravel()))
        scale = np.sqrt(np.diagonal(matrix)) + 1e-30
        matrix = matrix / np.outer(scale, scale) + (ridge + 1e-12) * np.eye(len(matrix))
        move = np.linalg.solve(matrix, slope / scale) / scale
        taps = move[: 2 * len(half_taps)]
        half_taps = half_taps + taps[::2] + 1j * taps[1::2]
        half_kerr = half_kerr + move[2 * len(half_taps) :]
    return half_taps, half_kerr


def fields(
    link: config.Link, layout: Layout, waveform: Field, kerr_rad_per_span: float
) -> list[Field]:
    """The field in front of every rotation, and at the transmitter, from what is received.

    Back-propagated by `STEPS` small steps a span. A rotation of the chain undoes the Kerr phase of
    its whole span at one place, so that of the fibre behind the place is still there in front of
    it. ``waveform``: of mean power 1; ``kerr_rad_per_span``: at this power, negative.
    """
    samples = waveform.shape[-1]
    omega = 2 * np.pi * np.fft.fftfreq(samples)
    decay = link.attenuation_db_per_km * np.log(10) / 10

    def share(near: float, far: float) -> float:
        """Of a span's Kerr phase, that between two distances from its amplifier."""
        whole = -np.expm1(-decay * link.span_km)
        return float((np.exp(-decay * near) - np.exp(-decay * far)) / whole)

    x, place, made = waveform, link.spans * link.span_km, []
    step = link.span_km / STEPS
    for number, length in enumerate(layout.lengths_km):
        end = place - length
        while place > end + 1e-9:
            start_of_span = link.span_km * np.floor((place - 1e-9) / link.span_km)
            to = max(end, start_of_span, place - step)
            x = np.fft.ifft(np.fft.fft(x) * np.exp(-1j * dispersion(link, place - to) * omega**2))
            part = share(to - start_of_span, place - start_of_span)
            x = x * np.exp(1j * kerr_rad_per_span * part * np.abs(x) ** 2)
            place = to
        if number == len(layout.lengths_km) - 1:
            made.append(x)
            continue
        inside = place - link.span_km * np.floor((place + 1e-9) / link.span_km)
        behind = share(inside, link.span_km)
        made.append(x * np.exp(-1j * kerr_rad_per_span * behind * np.abs(x) ** 2))
    return made


def learn(
    filters: FloatFilters,
    waveform: Field,
    targets: list[Field],
    launch_power_mw: float,
    ridge: float,
    own_input: bool,
) -> FloatFilters:
    """Filters of which each is learned by itself, from the first to the last.

    ``targets``: `fields`. ``own_input``: the input of a layer is what the layers before it, learned
    already, make of the waveform, in place of the target of the layer before it.
    """
    taps, kerr, x = [], filters.kerr_rad_per_mw.copy(), waveform
    for k, (old, target) in enumerate(zip(filters.taps, targets, strict=True)):
        own = kerr[k - 1] * launch_power_mw if k else np.zeros(0)
        half, own = fit_layer(x, target, old[: old.size // 2 + 1], own, ridge)
        taps.append(np.concatenate((half, half[-2::-1])))
        if k:
            kerr[k - 1] = own / launch_power_mw
        x = over(rotated(x, own) if k else x, half) if own_input else target
    return FloatFilters(tuple(taps), kerr, filters.samples_per_symbol)
