"""Dispersion-compensating FIR filters of a time-domain digital backpropagation, as floats."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dbp.errors import InputError
from dbp.files import write_npz

MAX_TAPS = 255
MAX_FILTERS = 1001


@dataclass(frozen=True)
class FloatFilters:
    """A receiver filter in floating point: ``taps[0]``, rotation 0, ``taps[1]``, ..., ``taps[-1]``.

    ``taps[k]``: complex128, odd length, symmetric about the centre. ``kerr_rad_per_mw``: float64,
    shape ``(len(taps) - 1,)``; rotation k multiplies a sample x of a signal of unit mean power by
    ``exp(1j * kerr_rad_per_mw[k] * launch_power_mw * abs(x)**2)``: negative where it undoes the
    Kerr effect of a fibre.
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
        if kerr.dtype != np.float64 or kerr.shape != (len(self.taps) - 1,):
            raise InputError(
                f"filters: kerr_rad_per_mw: {kerr.dtype} of shape {kerr.shape}: must be float64 "
                f"of shape ({len(self.taps) - 1},), one rotation fewer than filters"
            )
        if not np.isfinite(kerr).all():
            raise InputError("filters: kerr_rad_per_mw: must be finite")

    def save(self, path: str | Path) -> None:
        """Write ``float.npz``: arrays ``filter_0``, ``filter_1``, ... and ``kerr_rad_per_mw``."""
        arrays = {f"filter_{k}": taps for k, taps in enumerate(self.taps)}
        write_npz(path, **arrays, kerr_rad_per_mw=self.kerr_rad_per_mw)

    @classmethod
    def load(cls, path: str | Path) -> FloatFilters:
        """Read what `save` wrote; `InputError` names the file and what is wrong with it."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
            raise InputError(f"{path}: not a readable file of filters: {error}") from None
        names = [f"filter_{k}" for k in range(len(arrays) - 1)]
        if sorted(arrays) != sorted([*names, "kerr_rad_per_mw"]):
            raise InputError(
                f"{path}: fields {sorted(arrays)[:8]}: must be filter_0, filter_1, ... and "
                "kerr_rad_per_mw"
            )
        try:
            return cls(tuple(arrays[name] for name in names), arrays["kerr_rad_per_mw"])
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
