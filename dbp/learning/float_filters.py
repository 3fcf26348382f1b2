"""Dispersion-compensating FIR filters of a time-domain digital backpropagation, as floats."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from dbp import config
from dbp.datapath.limits import MAX_HALF_KERR, MAX_TAPS
from dbp.errors import InputError
from dbp.link import model
from dbp.support.files import read_npz, write_npz

MAX_FILTERS = 1001


@dataclass(frozen=True)
class FloatFilters:
    """A receiver filter in floating point: ``taps[0]``, rotation 0, ``taps[1]``, ..., ``taps[-1]``.

    ``taps[k]``: complex128, odd length, symmetric about the centre. ``kerr_rad_per_mw``: float64,
    shape ``(len(taps) - 1, half)``: half of a symmetric filter over the power, the outermost
    first, the centre last. Rotation k multiplies the samples of a signal of unit mean power by
    exp(j phi), ``phi[n] = launch_power_mw * sum_m kerr_rad_per_mw[k][m] * abs(x[n - m])**2``:
    negative where it undoes the Kerr effect of a fibre.
    """

    taps: tuple[NDArray[np.complex128], ...]
    kerr_rad_per_mw: NDArray[np.float64]

    def __post_init__(self) -> None:
        if not 1 <= len(self.taps) <= MAX_FILTERS:
            raise InputError(f"filters: {len(self.taps)} filters: must be 1..{MAX_FILTERS}")
        for k, taps in enumerate(self.taps):
            if taps.dtype != np.complex128 or taps.ndim != 1 or not np.isfinite(taps).all():
                raise InputError(f"filters: filter_{k}: must be finite complex128 in one dimension")
            if taps.size % 2 == 0 or taps.size > MAX_TAPS or (taps != taps[::-1]).any():
                raise InputError(
                    f"filters: filter_{k}: {taps.size} taps: must be an odd number up to "
                    f"{MAX_TAPS}, symmetric about the centre"
                )
        kerr = self.kerr_rad_per_mw
        rotations = len(self.taps) - 1
        if (
            kerr.dtype != np.float64
            or kerr.ndim != 2
            or kerr.shape[0] != rotations
            or not 1 <= kerr.shape[1] <= MAX_HALF_KERR
        ):
            raise InputError(
                f"filters: kerr_rad_per_mw: {kerr.dtype} of shape {kerr.shape}: must be float64 "
                f"of shape ({rotations}, 1..{MAX_HALF_KERR}), one rotation fewer than filters"
            )
        if not np.isfinite(kerr).all():
            raise InputError("filters: kerr_rad_per_mw: must be finite")

    def arrays(self) -> dict[str, NDArray]:
        """Arrays ``filter_0``, ``filter_1``, ... and ``kerr_rad_per_mw``."""
        return {
            **{f"filter_{k}": taps for k, taps in enumerate(self.taps)},
            "kerr_rad_per_mw": self.kerr_rad_per_mw,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray]) -> FloatFilters:
        """The inverse of `arrays`; `InputError` says what is wrong with them."""
        names = [f"filter_{k}" for k in range(len(arrays) - 1)]
        if sorted(arrays) != sorted([*names, "kerr_rad_per_mw"]):
            raise InputError(
                f"fields {sorted(arrays)[:8]}: must be filter_0, filter_1, ... and kerr_rad_per_mw"
            )
        return cls(tuple(arrays[name] for name in names), arrays["kerr_rad_per_mw"])

    @property
    def hash(self) -> str:
        """SHA-256 of all values, as 64 hexadecimal digits."""
        content = b"".join(taps.tobytes() + b";" for taps in self.taps)
        kerr = self.kerr_rad_per_mw
        return hashlib.sha256(content + repr(kerr.shape).encode() + kerr.tobytes()).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write ``float.npz``, the `arrays`."""
        write_npz(path, **self.arrays())

    @classmethod
    def load(cls, path: str | Path) -> FloatFilters:
        """Read what `save` wrote; `InputError` names the file and what is wrong with it."""
        arrays = read_npz(path)
        try:
            return cls.from_arrays(arrays)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None


def dispersion(link_: config.Link, length_km: float) -> float:
    """kappa of a length of fibre at 2 samples per symbol, in rad.

    The fibre multiplies the spectrum by ``exp(1j * kappa * w**2)``, w in radians per sample.
    """
    samples_per_ps = 2e-3 * link_.symbol_rate_gbd
    return model.span(link_).beta2_ps2_per_km / 2 * length_km * samples_per_ps**2


def least_squares(
    kappa: float, taps: int, bandwidth: float, out_of_band_gain: float
) -> NDArray[np.complex128]:
    """LS-CO: the FIR filter nearest to ``exp(-1j * kappa * w**2)`` with bounded gain elsewhere.

    Minimises the mean squared error over the band ``abs(w) < pi * bandwidth``, subject to the mean
    power gain, \\|H\\|^2, over the rest of the sampling band being at most ``out_of_band_gain``.
    Returns ``taps`` (odd) coefficients, symmetric about the centre. Sheikh et al., "Dispersion
    compensation FIR filter with improved robustness to coefficient quantization errors", JLT
    34(22), 2016: with Q the Gram matrix of the complex exponentials in the band, I - Q that outside
    and d the in-band transform of the wanted response, h = (Q + mu (I - Q))^-1 d. Both matrices
    have the same eigenvectors, so the multiplier mu costs one scalar root.
    """
    half = taps // 2
    wanted = _in_band_transform(kappa, np.pi * bandwidth, np.arange(-half, half + 1))
    lag = np.arange(taps)
    in_band, vectors = np.linalg.eigh(bandwidth * np.sinc(bandwidth * (lag[:, None] - lag)))
    in_band = np.clip(in_band, 0, 1)
    projected = vectors.T @ wanted

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


def receiver(filters: config.Filters, link_: config.Link, taps: int | None = None) -> FloatFilters:
    """The unlearned receiver filter of a link: `least_squares` filters and Kerr rotations.

    The receiver undoes the link backwards. Its rotations sit ``rotation_offset_km`` after each
    amplifier, so the first filter undoes the rest of the last span, the filters between undo a
    span each and the last one the offset of the first span. A filter of a part of a span has that
    part of ``filters.taps`` (or of ``taps``), rounded up to an odd number; over no distance it is
    the single tap 1.
    """
    taps = taps or filters.taps
    offset_km, span_km = filters.rotation_offset_km, link_.span_km

    def compensate(length_km: float) -> NDArray[np.complex128]:
        half = math.ceil(taps // 2 * length_km / span_km - 1e-9)
        if half == 0:
            return np.ones(1, np.complex128)
        kappa = dispersion(link_, length_km)
        return least_squares(kappa, 2 * half + 1, filters.bandwidth, filters.out_of_band_gain)

    between = (compensate(span_km),) * (link_.spans - 1)
    kerr = -1e-3 * model.kerr_rad_per_w(link_) * filters.kerr_scale
    return FloatFilters(
        (compensate(span_km - offset_km), *between, compensate(offset_km)),
        np.full((link_.spans, 1), kerr),
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
