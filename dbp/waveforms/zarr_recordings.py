"""Groups of Zarr as the public recordings LabPtPTm1 and LabPtPTm2 have them.

A group holds the arrays ``recv``, complex64, shape ``(samples, 2)``, and ``sent``, the symbols on a
grid of odd integers, shape ``(symbols, 2)``. Its attributes, or those of a group above it, are
``samplerate`` and ``baudrate`` in Hz, ``lpdbm``, ``modformat``, ``distance`` in m and ``spans``.
LabPtPTm2 has the dispersion of the whole link beside it, in s/m: ``cd`` of a group of the same path
below ``supdata``. Neither states the roll-off as a number.

https://github.com/remifan/LabPtPTm1, https://github.com/remifan/LabPtPTm2 (CC BY 4.0).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from dbp.errors import InputError
from dbp.support import untrusted_files

# Ours by theirs.
_FIELDS = {
    "recv": "waveform",
    "sent": "symbols",
    "samplerate": "sample_rate_hz",
    "baudrate": "symbol_rate_baud",
    "lpdbm": "launch_power_dbm",
    "modformat": "modulation",
    "rolloff": "roll_off",
}
_LINK = ("distance", "spans", "cd")
# A name such as DP16QAM_RRC0.2_28GBd_1ch; and what an article says of a link (Fan, Lu, Lau, J.
# Lightw. Technol. 39(22), 2021: LabPtPTm2).
_ROLL_OFF_OF_NAME = re.compile(r"RRC(\d*\.?\d+)")
_ROLL_OFFS = {"1125km_SSMF": 0.1}


def read(path: str | Path) -> tuple[untrusted_files.Fields, dict[str, Any]]:
    """Return the fields of a waveform file, and what a group states of its link.

    The latter by the keys of ``[link]`` in a configuration. `InputError` names what is missing.
    """
    found = untrusted_files.read(path, (*_FIELDS, *_LINK))
    try:
        return _fields(path, found), _link(found)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _fields(path: str | Path, found: untrusted_files.Fields) -> untrusted_files.Fields:
    for name in ("recv", "samplerate", "baudrate", "lpdbm"):
        if name not in found:
            kind = "an array of the group" if name == "recv" else "an attribute of it or above it"
            raise InputError(f"{name}: missing: must be {kind}")
    fields = {ours: found[theirs] for theirs, ours in _FIELDS.items() if theirs in found}
    if "roll_off" not in fields:
        fields["roll_off"] = np.array(_roll_off(path))
    return fields


def _roll_off(path: str | Path) -> float:
    groups = str(path).split("/")
    for name in reversed(groups):
        if said := _ROLL_OFF_OF_NAME.search(name):
            return float(said[1])
    known = [value for name, value in _ROLL_OFFS.items() if name in groups]
    if not known:
        raise InputError(
            "rolloff: missing: must be an attribute of the group or above it, or in the name of a "
            "group, such as RRC0.2"
        )
    return known[0]


def _link(found: untrusted_files.Fields) -> dict[str, Any]:
    """Return what is stated of the link, by the keys of ``[link]``."""
    numbers = {name: _number(name, found[name]) for name in _LINK if name in found}
    link: dict[str, Any] = {}
    if "spans" in numbers:
        link["spans"] = round(numbers["spans"])
        if "distance" in numbers:
            link["span_km"] = 1e-3 * numbers["distance"] / link["spans"]
    if "cd" in numbers and "distance" in numbers:
        # s/m over m is 1e6 ps/nm/km.
        link["dispersion_ps_per_nm_km"] = 1e6 * numbers["cd"] / numbers["distance"]
    return link


def _number(name: str, array: np.ndarray) -> float:
    if array.dtype.kind not in "iuf" or array.size != 1 or not 0 < array.reshape(-1)[0] < np.inf:
        raise InputError(f"{name}: must be one number above 0")
    return float(array.reshape(-1)[0])
