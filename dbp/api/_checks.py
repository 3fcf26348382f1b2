"""Checks of what users hand in: each returns the value in its plain type or raises `InputError`."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dbp import config
from dbp.config.limits import LAUNCH_POWERS_DBM
from dbp.datapath.design import Design
from dbp.errors import InputError, shown

if TYPE_CHECKING:
    from dbp.link.transmission import Received

MAX_SEED = (1 << 63) - 1


def integer(name: str, value: Any, low: int, high: int = MAX_SEED) -> int:
    """Return an integer of Python or numpy within ``low..high``."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise InputError(f"{name} = {shown(value)}: must be an integer") from None
    if not low <= number <= high:
        raise InputError(f"{name} = {number}: must be in {low}..{high}")
    return number


def powers_dbm(name: str, values: Any) -> list[float]:
    """Return one launch power or several, each within -30..20 dBm."""
    low, high = LAUNCH_POWERS_DBM
    try:
        powers = [float(power) for power in np.atleast_1d(np.asarray(values, float))]
        fits = bool(powers) and all(low <= power <= high for power in powers)
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise InputError(f"{name} = {shown(values)}: must be within {low:g}..{high:g} dBm")
    return powers


def power_dbm(name: str, value: Any) -> float:
    """Return a launch power within -30..20 dBm."""
    powers = powers_dbm(name, value)
    if len(powers) > 1:
        raise InputError(f"{name} = {shown(value)}: must be one launch power")
    return powers[0]


def polarizations(name: str, design: Design, waveform: NDArray[np.complexfloating]) -> None:
    """Refuse blocks that are not ``(blocks, samples)``, or ``(blocks, 2, samples)`` for two."""
    wanted = design.polarizations
    if (waveform.ndim, waveform.shape[1:-1]) != ((2, ()) if wanted == 1 else (3, (2,))):
        shape = "(blocks, samples)" if wanted == 1 else "(blocks, 2, samples)"
        raise InputError(
            f"{name}: shape {waveform.shape}: must be {shape} for {design.name}, of polarizations "
            f"= {wanted}: transmit over "
            f'dbp.Link(impairments={{"dual_polarisation": {wanted == 2}}})'
        )


def rate(design: Design, received: Received) -> None:
    """Refuse a waveform of other samples per symbol than a design works at."""
    given, wanted = received.link.adc_samples_per_symbol, design.samples_per_symbol
    if received.link.adc_rate != wanted:
        raise InputError(
            f"received: link.adc_samples_per_symbol = {given}: must be {wanted} for {design.name}: "
            f'transmit over dbp.Link(adc_samples_per_symbol="{wanted}")'
        )


def waveform(name: str, value: Any, shape: str) -> NDArray[np.complexfloating]:
    """Return complex, finite samples, not all zero; ``shape`` says in the message what fits."""
    array = np.asarray(value)
    if not np.iscomplexobj(array) or array.ndim == 0 or array.size == 0:
        raise InputError(
            f"{name}: {array.dtype} of shape {array.shape}: must be complex, of shape {shape}"
        )
    if not np.isfinite(array).all() or not array.any():
        raise InputError(f"{name}: must be finite, and not all zero")
    return array


def link(value: Any) -> config.Link:
    """Return the plain, checked link of a link."""
    if not isinstance(value, config.Link):
        raise InputError(f"link = {shown(value)}: must be a dbp.Link")
    return config.link_with(value, {})
