"""Joint least squares of a chain of filters: a start for learning that needs no data.

A filter too short for its span leaves an error; repeated in every span it ruins the receiver, but
filters that differ can compensate each other's errors. The effect of the whole chain on a linear
channel follows from the frequency responses alone, so all filters are designed in seconds: the
product of all responses must compensate the dispersion, the products up to each rotation nearly
so, and none may grow out of band. Joint filter optimisation for digital backpropagation: Haeger and
Pfister, "Wideband time-domain digital backpropagation via subband processing and deep learning",
ECOC 2018.

A short filter is an array of its own length; while they are designed all are rows of one array, and
what is outside of a short one stays zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

from dbp import config
from dbp.learning.float_filters import FloatFilters
from dbp.learning.float_model import half_taps
from dbp.learning.layout import Layout
from dbp.learning.least_squares import dispersion
from dbp.link.modulation import root_raised_cosine

# Frequencies between 0 and half the sampling rate, and at least so many for each half tap: between
# fewer of them a long filter would be free.
FREQUENCIES, FREQUENCIES_A_TAP = 64, 4
# Weights, relative to that of the error of the whole chain: the error at each rotation (nonlinear
# distortion that the rotation misses) and the out-of-band gain up to each rotation (noise of the
# link in |x|^2), both for the Kerr phase of a span, and the out-of-band gain between any two
# rotations (rounding noise). Those of the highest effective SNR of the nonlinear receiver among all
# that were tried.
ROTATION_WEIGHT = 2e-2
HEAD_WEIGHT = 2e-4
PAIR_WEIGHT = 6e-6
# Growth by more than this exponent of e is punished no further; it would overflow.
MAX_LOG_GAIN = 30.0


class StartObjective:
    """The weighted squared errors of a chain of filters of a link.

    ``lengths_km``: fibre that each filter undoes, in the order in which samples pass;
    ``kerr_spans``: Kerr phase of each rotation, over that of a span. Taps larger than
    ``largest_tap`` in either part are punished, to keep one coefficient scale for all. ``half``:
    half taps of the longest filter.
    """

    def __init__(
        self,
        link: config.Link,
        lengths_km: Sequence[float],
        kerr_spans: Sequence[float],
        largest_tap: float,
        half: int,
    ) -> None:
        frequencies = max(FREQUENCIES, FREQUENCIES_A_TAP * half)
        omega = (np.arange(frequencies) + 0.5) / frequencies * np.pi
        kappa = np.array([dispersion(link, length) for length in np.cumsum(lengths_km)])
        self._omega = torch.from_numpy(omega)
        self._target = torch.from_numpy(np.exp(-1j * kappa[:, None] * omega**2))
        # root_raised_cosine gives full circles: here the bins at odd multiples of half a bin.
        rate = float(link.adc_rate)
        pulse = root_raised_cosine(link.roll_off, rate, 4 * frequencies)[1 : 2 * frequencies : 2]
        self._in_band = torch.from_numpy(pulse**2 / np.sum(pulse**2))
        # A pulse of the widest roll-off fills the band: then its edge stands for what is outside.
        self._outside = torch.from_numpy(pulse**2 <= max(1e-9, np.min(pulse**2)))
        self._largest_tap = largest_tap
        # That of a span for the received signal itself.
        self._weights = torch.tensor([*kerr_spans, 1.0], dtype=torch.float64)
        count = len(lengths_km)
        self._later = torch.triu(torch.ones(count, count, dtype=torch.bool), 1)

    def __call__(self, taps: Tensor) -> Tensor:
        """``taps``: float64, shape ``(filters, half, 2)`` as `float_model.half_taps` has them."""
        half = taps.shape[1]
        distance = torch.arange(half - 1, -1, -1)
        basis = (
            torch.cos(distance[:, None] * self._omega)
            * torch.where(distance > 0, 2.0, 1.0)[:, None]
        )
        response = torch.complex(taps[..., 0] @ basis, taps[..., 1] @ basis)
        product = torch.cumprod(response, 0)
        # A constant phase is free: rotations do not see it and the receiver removes the last one.
        match = torch.sum(product * self._target.conj() * self._in_band, 1).abs()
        error = 1 + torch.sum(product.abs().square() * self._in_band, 1) - 2 * match
        gain = torch.cumsum(torch.log(response[:, self._outside].abs().square() + 1e-12), 0)
        pairs = (gain[None] - gain[:, None]).clamp(max=MAX_LOG_GAIN).exp().mean(2)
        head = gain.clamp(max=MAX_LOG_GAIN).exp().mean(1)
        return (
            error[-1]
            + ROTATION_WEIGHT * (self._weights[:-1] * error[:-1]).sum()
            + HEAD_WEIGHT * (self._weights * head).sum()
            + PAIR_WEIGHT * pairs[self._later].sum()
            + torch.relu(taps.abs() - self._largest_tap).square().sum()
        )


def design(
    filters: FloatFilters,
    link: config.Link,
    layout: Layout,
    kerr_taps: int,
    *,
    largest_tap: float,
    iterations: int,
    seed: int,
) -> FloatFilters:
    """Design filters of the lengths ``layout.taps``, starting from ``filters``.

    They are those of `dbp.learning.least_squares.unlearned_filters`. The filters over the power get
    ``kerr_taps``, new ones zero. L-BFGS for ``iterations``. The seed breaks the symmetry of equal
    filters.
    """
    start = half_taps(resized(filters, layout.taps, kerr_taps)).double().numpy()
    half = start.shape[1]
    objective = StartObjective(link, layout.lengths_km, layout.kerr_spans, largest_tap, half)
    lengths = np.array(layout.taps)[:, None] // 2 + 1
    own = np.arange(half)[::-1] < lengths
    start += np.random.default_rng(seed).normal(0, 3e-3, start.shape) * own[:, :, None]

    def value_and_slope(flat: np.ndarray) -> tuple[float, np.ndarray]:
        rows = np.zeros_like(start)
        rows[own] = flat.reshape(-1, 2)
        point = torch.from_numpy(rows).requires_grad_()
        # The logarithm keeps the steps useful over the orders of magnitude that the value falls.
        value = torch.log(objective(point))
        value.backward()
        assert point.grad is not None
        return value.item(), point.grad.numpy()[own].ravel()

    result = optimize.minimize(
        value_and_slope,
        start[own].ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": iterations, "maxfun": 2 * iterations, "maxcor": 30},
    )
    if np.isfinite(result.x).all():
        start[own] = result.x.reshape(-1, 2)
    rows = [row[inner] for row, inner in zip(start, own, strict=True)]
    return _from_halves(rows, filters, kerr_taps)


def resized(filters: FloatFilters, taps: Sequence[int], kerr_taps: int) -> FloatFilters:
    """The same filters with as many ``taps`` each and ``kerr_taps``: cut, or with zeros."""
    halves = half_taps(filters).double().numpy()
    rows = [_resize(row, n // 2 + 1) for row, n in zip(halves, taps, strict=True)]
    return _from_halves(rows, filters, kerr_taps)


def _from_halves(
    halves: Sequence[np.ndarray], filters: FloatFilters, kerr_taps: int
) -> FloatFilters:
    """``filters`` with other half taps: real and imaginary parts along the last axis."""
    rows = [np.ascontiguousarray(half).view(np.complex128)[..., 0] for half in halves]
    return FloatFilters(
        tuple(np.concatenate((half, half[-2::-1])) for half in rows),
        _resize(filters.kerr_rad_per_mw.T, kerr_taps // 2 + 1).T.copy(),
        filters.samples_per_symbol,
    )


def _resize(halves: np.ndarray, half: int) -> np.ndarray:
    """Drop outer taps, or put zeros outside; taps along the first axis, outermost first."""
    excess = halves.shape[0] - half
    outside = [(max(-excess, 0), 0)] + [(0, 0)] * (halves.ndim - 1)
    return np.pad(halves[max(excess, 0) :], outside)
