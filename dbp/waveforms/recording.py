"""Waveform files: a waveform and all that a receiver must know of it, in ``.npz``, ``.mat``, HDF5.

``docs/reference/waveforms.md`` describes the fields for those who write such files elsewhere. The
bytes of a file are read by `dbp.support.untrusted_files`, in a child process.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from dbp.config import Modulation
from dbp.config.limits import (
    HELD_OUT,
    LAUNCH_POWERS_DBM,
    ROLL_OFFS,
    SAMPLES_PER_SYMBOL,
    SYMBOL_RATES_GBD,
)
from dbp.datapath.limits import MAX_RATE_NUMERATOR
from dbp.errors import InputError, shown
from dbp.link import modulation
from dbp.link.modulation import Waveform
from dbp.support import untrusted_files
from dbp.support.files import write_bytes, write_npz
from dbp.waveforms import zarr_recordings

MAX_SAMPLES = 1 << 24
MIN_SYMBOLS = 64
MODULATIONS = get_args(Modulation)

# How far a symbol may be from its level, as a share of the way to the edge of its decision.
_LEVEL_TOLERANCE = 0.05
_FIELDS = (
    *("waveform", "sample_rate_hz", "symbol_rate_baud", "roll_off", "launch_power_dbm"),
    *("modulation", "symbols", "bits"),
)


@dataclass(frozen=True)
class Recording:
    """A waveform as it was received, and the symbols that were sent.

    ``waveform``: complex, shape ``(samples,)``, any unit, ``samples_per_symbol`` of them a symbol,
    an integer or a ratio p/q with p of at most 16, dispersion not compensated. ``symbols``:
    complex, shape ``(n,)``, None if unknown: one period of symbols that were sent over and over, or
    at least all that the waveform holds; those of QAM are points of
    `dbp.link.modulation.constellation`. ``modulation``: None if unknown.

    With two polarisations both have the shape ``(2, ...)``, x and y; what arrives in each may be
    any mixture of those sent. ``launch_power_dbm`` is that of both together.

    ``link``: what the recording states of its link, by keys of ``[link]``.
    """

    waveform: Waveform
    samples_per_symbol: int | Fraction
    symbol_rate_baud: float
    roll_off: float
    launch_power_dbm: float
    modulation: str | None = None
    symbols: Waveform | None = None
    link: Mapping[str, Any] | None = None

    @property
    def polarizations(self) -> int:
        """1 or 2."""
        return self.waveform.ndim

    @cached_property
    def hash(self) -> str:
        """SHA-256 of all that it holds, whatever the kind of file that it was read from."""
        values = self.samples_per_symbol, self.symbol_rate_baud, self.roll_off
        stated = *map(float, values), float(self.launch_power_dbm), self.modulation, self.link
        digest = hashlib.sha256(repr(stated).encode())
        for array in (self.waveform, self.symbols):
            if array is not None:
                digest.update(f"{array.shape}".encode())
                digest.update(np.ascontiguousarray(array, "<c16").tobytes())
        return digest.hexdigest()

    def parts(self, held_out: float) -> tuple[Recording, Recording]:
        """Return a part to learn on, and behind it the share ``held_out``, which is kept from that.

        No sample is in both. Both have all of ``symbols``. `InputError` for a share that is none.
        """
        if isinstance(held_out, bool) or not isinstance(held_out, int | float):
            raise InputError(f"held_out = {shown(held_out)}: must be a number")
        low, high = HELD_OUT
        if not low <= held_out <= high:
            raise InputError(f"held_out = {held_out:g}: must be in {low:g}..{high:g}")
        samples = self.waveform.shape[-1]
        first = samples - round(held_out * samples)
        before, behind = self.waveform[..., :first], self.waveform[..., first:]
        return replace(self, waveform=before), replace(self, waveform=behind)


def read_recording(path: str | Path) -> Recording:
    """Read a waveform file; `InputError` names the field that does not fit and what would.

    Or a group of Zarr, in a folder or at a URL (`dbp.waveforms.zarr_recordings`).
    """
    if untrusted_files.is_store(path):
        fields, link = zarr_recordings.read(path)
    else:
        fields, link = untrusted_files.read(path, _FIELDS), {}
    try:
        return replace(_recording(fields), link=link or None)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def write_recording(path: str | Path, recording: Recording, **more: Any) -> None:
    """Write a waveform file atomically, of the kind that its suffix names, with ``more`` fields."""
    rate = recording.symbol_rate_baud
    fields = {
        "waveform": recording.waveform,
        "sample_rate_hz": rate * float(recording.samples_per_symbol),
        "symbol_rate_baud": rate,
        "roll_off": recording.roll_off,
        "launch_power_dbm": recording.launch_power_dbm,
        "modulation": recording.modulation,
        "symbols": recording.symbols,
        **more,
    }
    fields = {name: value for name, value in fields.items() if value is not None}
    path = Path(path)
    untrusted_files.check_suffix(path)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        write_npz(path, **fields)
        return
    content = io.BytesIO()
    if suffix == ".mat":
        from scipy import io as scipy_io

        # scipy's types allow names of files only, its documentation files, too.
        file: Any = content
        scipy_io.savemat(file, fields, do_compression=True, oned_as="column")
    else:
        import h5py

        with h5py.File(content, "w") as archive:
            for name, value in fields.items():
                # With a checksum, which the other kinds have by themselves.
                checked = {"compression": "gzip", "fletcher32": True} if np.ndim(value) else {}
                archive.create_dataset(name, data=value, **checked)
    write_bytes(path, content.getvalue())


def _recording(fields: untrusted_files.Fields) -> Recording:
    waveform = _complex_rows(fields, "waveform")
    low, high = (1e9 * gbd for gbd in SYMBOL_RATES_GBD)
    sample_rate_hz = _number(fields, "sample_rate_hz", low, high * SAMPLES_PER_SYMBOL)
    symbol_rate_baud = _number(fields, "symbol_rate_baud", low, high)
    ratio = sample_rate_hz / symbol_rate_baud
    roll_off = _number(fields, "roll_off", *ROLL_OFFS)
    samples_per_symbol = Fraction(ratio).limit_denominator(MAX_RATE_NUMERATOR - 1)
    fits = samples_per_symbol.denominator == 1 or samples_per_symbol.numerator <= MAX_RATE_NUMERATOR
    is_exact = abs(ratio - float(samples_per_symbol)) <= 1e-9 * ratio
    if not (fits and is_exact and 1 + roll_off <= samples_per_symbol <= SAMPLES_PER_SYMBOL):
        raise InputError(
            f"sample_rate_hz = {sample_rate_hz:g}: must be an integer up to {SAMPLES_PER_SYMBOL}, "
            f"or a ratio p/q with p of at most {MAX_RATE_NUMERATOR}, times symbol_rate_baud = "
            f"{symbol_rate_baud:g}, and at least 1 + roll_off = {1 + roll_off:g} times"
        )
    launch_power_dbm = _number(fields, "launch_power_dbm", *LAUNCH_POWERS_DBM)
    name = _modulation(fields)
    symbols = _symbols(fields, name, waveform.ndim)
    return Recording(
        waveform, samples_per_symbol, symbol_rate_baud, roll_off, launch_power_dbm, name, symbols
    )


def _number(fields: untrusted_files.Fields, name: str, low: float, high: float) -> float:
    allowed = f"must be one number in {low:g}..{high:g}"
    if name not in fields:
        raise InputError(f"{name}: missing: {allowed}")
    array = fields[name]
    if array.dtype.kind not in "iuf" or array.size != 1:
        raise InputError(f"{name}: {_kind(array)}: {allowed}")
    value = float(array.reshape(-1)[0])
    if not low <= value <= high:  # nor NaN
        raise InputError(f"{name} = {value:g}: {allowed}")
    return value


def _kind(array: np.ndarray) -> str:
    if array.dtype.kind == "U":
        return "a text"
    return f"{array.dtype} of shape {array.shape}"


def _complex_rows(fields: untrusted_files.Fields, name: str) -> NDArray[np.complex128]:
    """Return a field that is complex, finite, not all 0: a vector, or one for each polarisation.

    A row or a column gives the shape ``(n,)``; two rows or two columns give ``(2, n)``.
    """
    if name not in fields:
        raise InputError(f"{name}: missing: must be a complex vector")
    array = fields[name]
    is_vector = array.ndim > 0 and array.size == max(array.shape)
    if array.dtype.kind != "c" or not (is_vector or (array.ndim == 2 and 2 in array.shape)):
        hint = _how_to_be_complex(array)
        raise InputError(
            f"{name}: {_kind(array)}: must be a complex vector, or of shape (2, n) with two "
            f"polarisations{hint}"
        )
    if not 0 < array.size // (1 if is_vector else 2) <= MAX_SAMPLES:
        raise InputError(f"{name}: {array.size} elements: must be 1..{MAX_SAMPLES}")
    with np.errstate(over="ignore", invalid="ignore"):  # of wider types
        if is_vector:
            return _finite(name, array.reshape(-1).astype(np.complex128))
        both = (array if array.shape[0] == 2 else array.T).astype(np.complex128)
    return np.stack([_finite(f"{name}[{k}]", row) for k, row in enumerate(both)])


def _finite(name: str, vector: NDArray[np.complex128]) -> NDArray[np.complex128]:
    bad = np.flatnonzero(~np.isfinite(vector))
    if bad.size:
        raise InputError(f"{name}: element {bad[0]} of 0.. is {vector[bad[0]]}: must be finite")
    largest = max(abs(vector.real).max(), abs(vector.imag).max())
    if not 1e-100 <= largest <= 1e100:
        raise InputError(f"{name}: up to {largest:g}: the largest must be in 1e-100..1e100")
    return vector


def _how_to_be_complex(array: np.ndarray) -> str:
    """What to write in the place of what people have instead of a complex vector."""
    if array.ndim == 2 and 2 in array.shape and array.dtype.kind in "iuf":
        row, column = ("x[0]", "x[1]") if array.shape[0] == 2 else ("x[:, 0]", "x[:, 1]")
        return f": where it holds I and Q, write {row} + 1j * {column}"
    if array.ndim == 2 and 4 in array.shape and array.dtype.kind in "iuf":
        columns = [f"x[{k}]" if array.shape[0] == 4 else f"x[:, {k}]" for k in range(4)]
        of_x, of_y = (f"{i} + 1j * {q}" for i, q in (columns[:2], columns[2:]))
        return f": where it holds I and Q of both, write [{of_x}, {of_y}]"
    if array.dtype.kind in "iuf" and array.ndim and array.size == max(array.shape) > 2:
        return ": where I and Q take turns, write x[0::2] + 1j * x[1::2]"
    return ""


def _modulation(fields: untrusted_files.Fields) -> str | None:
    if "modulation" not in fields:
        return None
    text = fields["modulation"]
    name = str(text).lower().replace("-", "") if text.dtype.kind == "U" else ""
    if name not in MODULATIONS:
        actual = repr(str(text)[:40]) if text.dtype.kind == "U" else _kind(text)
        raise InputError(f"modulation = {actual}: must be one of {', '.join(MODULATIONS)}")
    return name


def _symbols(
    fields: untrusted_files.Fields, name: str | None, polarizations: int
) -> NDArray[np.complex128] | None:
    """Return the symbols sent, from symbols or bits, whichever the file has."""
    if "symbols" in fields and "bits" in fields:
        raise InputError("symbols, bits: must be one of them, or none")
    bits_per_symbol = modulation.bits_per_symbol(name or "")
    if "symbols" in fields:
        symbols = _complex_rows(fields, "symbols")
        if symbols.ndim != polarizations:
            raise InputError(
                f"waveform, symbols: of {polarizations} and {symbols.ndim} polarisations: must "
                "both be vectors, or both of shape (2, n)"
            )
        if symbols.ndim == 1:
            symbols = _on_points("symbols", symbols, name)
        else:
            rows = [_on_points(f"symbols[{k}]", row, name) for k, row in enumerate(symbols)]
            symbols = np.stack(rows)
    elif "bits" in fields:
        if not name or not bits_per_symbol:
            raise InputError("bits: must come with modulation qpsk, 16qam or 64qam")
        labels = _labels(fields["bits"], bits_per_symbol, polarizations)
        symbols = modulation.constellation(name)[labels]
    else:
        return None
    if not MIN_SYMBOLS <= symbols.shape[-1] <= MAX_SAMPLES:
        raise InputError(
            f"{'symbols' if 'symbols' in fields else 'bits'}: {symbols.shape[-1]} symbols: must be "
            f"{MIN_SYMBOLS}..{MAX_SAMPLES}"
        )
    return symbols


def _on_points(
    field: str, symbols: NDArray[np.complex128], name: str | None
) -> NDArray[np.complex128]:
    """Return symbols of any unit as points of their constellation, or with mean power 1."""
    if name and modulation.bits_per_symbol(name):
        return _on_constellation(field, symbols, name)
    symbols = symbols / np.abs(symbols).max()
    return symbols / np.sqrt(np.mean(np.abs(symbols) ** 2))


def _on_constellation(
    field: str, symbols: NDArray[np.complex128], name: str
) -> NDArray[np.complex128]:
    points = modulation.constellation(name)
    outermost = points.real.max()
    largest = max(abs(symbols.real).max(), abs(symbols.imag).max())
    scaled = symbols * (outermost / largest)
    nearest = points[modulation.decide(name, scaled)]
    spacing = 2 * outermost / (np.sqrt(points.size) - 1)
    error = nearest - scaled
    wrong = np.maximum(abs(error.real), abs(error.imag)) > _LEVEL_TOLERANCE * spacing / 2
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InputError(
            f"{field}: element {first} of 0.. is {symbols[first]:g}: must be points of {name}, a "
            f"square with sides along the axes and levels up to {largest:g}"
        )
    return nearest


def _labels(bits: np.ndarray, bits_per_symbol: int, polarizations: int) -> modulation.Labels:
    """Return labels from a vector, the first bit of a symbol first, or a row for each symbol.

    With two polarisations there are two of either, along the first axis.
    """
    if bits.dtype.kind not in "biuf" or not bits.size or not np.isin(bits, (0, 1)).all():
        raise InputError(f"bits: {_kind(bits)}: must be numbers 0 and 1")
    if polarizations == 2:
        if bits.ndim < 2 or len(bits) != 2:
            raise InputError(
                f"bits: of shape {bits.shape}: must be (2, n), or (2, symbols, {bits_per_symbol}), "
                "since waveform has two polarisations"
            )
        return np.stack([_labels(row, bits_per_symbol, 1) for row in bits])
    is_vector = bits.size == max(bits.shape, default=0)
    if not is_vector and (bits.ndim != 2 or bits.shape[1] != bits_per_symbol):
        raise InputError(
            f"bits: of shape {bits.shape}: must be a vector, or (symbols, {bits_per_symbol})"
        )
    if bits.size % bits_per_symbol:
        raise InputError(f"bits: {bits.size} of them: must be {bits_per_symbol} for each symbol")
    rows = bits.reshape(-1, bits_per_symbol).astype(np.uint8)
    return rows @ (1 << np.arange(bits_per_symbol)[::-1]).astype(np.uint8)
