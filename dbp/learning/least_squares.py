"""Filters that no data have taught: least squares on the dispersion of each piece of fibre."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from dbp import config
from dbp.learning.float_filters import FloatFilters
from dbp.learning.layout import Layout
from dbp.link import closed_forms


def dispersion(link: config.Link, length_km: float) -> float:
    """kappa of a length of fibre at the link's samples per symbol, in rad.

    The fibre multiplies the spectrum by ``exp(1j * kappa * w**2)``, w in radians per sample.
    """
    samples_per_ps = 1e-3 * float(link.adc_rate) * link.symbol_rate_gbd
    return closed_forms.span(link).beta2_ps2_per_km / 2 * length_km * samples_per_ps**2


def least_squares(
    kappa: float, taps: int, bandwidth: float, out_of_band_gain: float
) -> NDArray[np.complex128]:
    """LS-CO: the FIR filter nearest to ``exp(-1j * kappa * w**2)`` with bounded gain elsewhere.

    Minimises the mean squared error over the band ``abs(w) < pi * bandwidth``, subject to the mean
    power gain, \\|H\\|^2, over the rest of the sampling band being at most ``out_of_band_gain``.
    Returns ``taps`` (odd) coefficients, symmetric about the centre. Sheikh et al., "Dispersion
    compensation FIR filter with improved robustness to coefficient quantization errors", JLT
    34(22), 2016: with Q the Gram matrix of the complex exponentials in the band, I - Q that outside
    and d the in-band transform of the target response, h = (Q + mu (I - Q))^-1 d. Both matrices
    have the same eigenvectors, so the multiplier mu costs one scalar root.
    """
    half = taps // 2
    target = _in_band_transform(kappa, np.pi * bandwidth, np.arange(-half, half + 1))
    lag = np.arange(taps)
    in_band, vectors = np.linalg.eigh(bandwidth * np.sinc(bandwidth * (lag[:, None] - lag)))
    in_band = np.clip(in_band, 0, 1)
    projected = vectors.T @ target

    def excess(log_mu: float) -> float:
        amplitude = projected / (in_band + math.exp(log_mu) * (1 - in_band))
        power = np.sum((1 - in_band) * np.abs(amplitude) ** 2) / (1 - bandwidth)
        return math.log(power / out_of_band_gain)

    # The smallest multiplier regularises: without it the filter's gain has no bound in floats.
    log_mu, highest = math.log(1e-12), math.log(1e12)
    if bandwidth < 1 and excess(log_mu) > 0:
        log_mu = optimize.brentq(excess, log_mu, highest)
    h = vectors @ (projected / (in_band + math.exp(log_mu) * (1 - in_band)))
    return (h + h[::-1]) / 2


def unlearned_filters(filters: config.Filters, link: config.Link) -> FloatFilters:
    """The unlearned receiver filter of a link: `least_squares` filters and Kerr rotations.

    The receiver undoes the link backwards, a filter for the fibre between each two rotations
    (`dbp.learning.layout`). The first and the last filter undo only a part of such a gap, and have
    that part of the taps, rounded up to an odd number; over no distance they are the single tap 1.
    """
    layout = Layout.of(filters, link)

    def compensate(length_km: float, gap_km: float, taps: int) -> NDArray[np.complex128]:
        half = math.ceil(taps // 2 * length_km / gap_km - 1e-9)
        if half == 0:
            return np.ones(1, np.complex128)
        kappa = dispersion(link, length_km)
        return least_squares(kappa, 2 * half + 1, filters.bandwidth, filters.out_of_band_gain)

    pieces = list(zip(layout.lengths_km, layout.gaps_km, layout.taps, strict=True))
    alike = {piece: compensate(*piece) for piece in dict.fromkeys(pieces)}
    kerr = -1e-3 * closed_forms.kerr_rad_per_w(link) * filters.kerr_scale
    return FloatFilters(
        tuple(alike[piece] for piece in pieces),
        kerr * np.array(layout.kerr_spans)[:, None],
        link.adc_rate,
    )


def _in_band_transform(kappa: float, edge: float, n: NDArray[np.integer]) -> NDArray[np.complex128]:
    """Integral of exp(-1j kappa w^2 + 1j w n) / (2 pi) over -edge..edge; real ``n``, same shape.

    Completing the square gives error functions of complex argument.
    """
    if abs(kappa) < 1e-12:
        return edge / np.pi * np.sinc(edge / np.pi * n) + 0j
    root = np.sqrt(1j * kappa)
    center = n / (2 * kappa)
    area = special.erf(root * (edge - center)) + special.erf(root * (edge + center))
    return np.exp(1j * n * center / 2) * area / (4 * np.sqrt(np.pi) * root)
