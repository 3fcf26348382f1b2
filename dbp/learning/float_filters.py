"""The filters and Kerr constants of a time-domain digital backpropagation, as floats."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dbp.datapath.limits import MAX_HALF_KERR, MAX_RATE_NUMERATOR, MAX_TAPS
from dbp.errors import InputError, shown
from dbp.support.files import read_npz, write_npz
from dbp.support.ratios import ratio

MAX_FILTERS = 1001


@dataclass(frozen=True)
class FloatFilters:
    """A receiver filter in floating point: filter 0, rotation 0, filter 1, ..., filter N.

    ``taps[k]``: complex128, odd length, symmetric about the centre. ``kerr_rad_per_mw``: float64,
    shape ``(len(taps) - 1, half)``: half of a symmetric filter over the power, the outermost
    first, the centre last. Rotation k multiplies the samples of a signal of unit mean power by
    exp(j phi), ``phi[n] = launch_power_mw * sum_m kerr_rad_per_mw[k][m] * abs(x[n - m])**2``:
    negative where it undoes the Kerr effect of a fibre. ``samples_per_symbol``: of the signal.
    """

    taps: tuple[NDArray[np.complex128], ...]
    kerr_rad_per_mw: NDArray[np.float64]
    samples_per_symbol: Fraction = Fraction(2)

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
        """Arrays ``filter_0``, ``filter_1``, ... and ``kerr_rad_per_mw``.

        Where there are not 2 samples per symbol, also the text ``samples_per_symbol``.
        """
        arrays: dict[str, NDArray] = {f"filter_{k}": taps for k, taps in enumerate(self.taps)}
        if self.samples_per_symbol != 2:
            arrays["samples_per_symbol"] = np.array(str(self.samples_per_symbol))
        return arrays | {"kerr_rad_per_mw": self.kerr_rad_per_mw}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray]) -> FloatFilters:
        """The inverse of `arrays`; `InputError` says what is wrong with them."""
        arrays = dict(arrays)
        text = str(arrays.pop("samples_per_symbol", "2"))
        try:
            rate = ratio(text, MAX_RATE_NUMERATOR)
        except ValueError as error:
            raise InputError(f"samples_per_symbol = {shown(text)}: {error}") from None
        names = [f"filter_{k}" for k in range(len(arrays) - 1)]
        if sorted(arrays) != sorted([*names, "kerr_rad_per_mw"]):
            raise InputError(
                f"fields {sorted(arrays)[:8]}: must be filter_0, filter_1, ... and kerr_rad_per_mw"
            )
        return cls(tuple(arrays[name] for name in names), arrays["kerr_rad_per_mw"], rate)

    @property
    def hash(self) -> str:
        """SHA-256 of all values, as 64 hexadecimal digits."""
        content = b"".join(taps.tobytes() + b";" for taps in self.taps)
        kerr = self.kerr_rad_per_mw
        content += repr(kerr.shape).encode() + kerr.tobytes()
        if self.samples_per_symbol != 2:
            content += str(self.samples_per_symbol).encode()
        return hashlib.sha256(content).hexdigest()

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
