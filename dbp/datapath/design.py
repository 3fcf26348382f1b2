"""The Design: everything the hardware computes with, as integers, frozen, versioned and hashed.

A Design is the one artefact that crosses from learning to hardware. It holds the formats, the
filter taps and the rotation constants of the receiver filter: ``filters[0]``, ``rotations[0]``,
``filters[1]``, ... ``rotations[-1]``, ``filters[-1]``, in the order in which samples pass them.
``docs/concepts/datapath.md`` draws the datapath; `dbp.datapath.golden` is its executable form.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbp.datapath import fixed
from dbp.datapath.limits import (
    MAX_BITS,
    MAX_HALF_KERR,
    MAX_HALF_TAPS,
    MAX_RATE_NUMERATOR,
    MIN_BITS,
)
from dbp.errors import InputError, shown
from dbp.support.files import read_text, write_text
from dbp.support.ratios import ratio

FORMAT = "dbp-design"
VERSION = 4
# Version 2 states no samples per symbol: they are 2. Version 3 states no polarisations: there is
# one, and designs of one are still written so.
VERSIONS = 2, 3, VERSION

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# Frequency-domain reference receivers; N: steps per span, or over the whole link.
REFERENCE = re.compile(r"linear|(dbp|essfm)([1-9][0-9]{0,3})")
REFERENCES = "linear, dbpN, essfmN"
REFERENCE_EXAMPLES = "linear", "dbp1", "dbp50", "essfm8"
MAX_LAUNCH_POWER_UW = 1_000_000


def is_reserved(name: str) -> bool:
    """Tell whether no design may have this name: that of the bare signal, or of a reference."""
    return name == "received" or REFERENCE.fullmatch(name) is not None


def launch_power_uw(launch_power_dbm: float) -> int:
    """The launch power in whole microwatts, from which a Design derives its rotation constants."""
    return round(1000 * 10 ** (launch_power_dbm / 10))


def _check_int(field: str, value: Any, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise InputError(f"design: {field} = {shown(value)}: must be an integer in {low}..{high}")


def _rate(value: Any) -> Fraction:
    """Samples per symbol, as a design has them or as its file states them."""
    try:
        return ratio(str(value) if type(value) is Fraction else value, MAX_RATE_NUMERATOR)
    except ValueError as error:
        raise InputError(f"design: samples_per_symbol = {shown(value)}: {error}") from None


def _check_written_rate(value: Any) -> None:
    """Refuse samples per symbol that are not spelt as we write them: a design has one text."""
    if not isinstance(value, str) or str(_rate(value)) != value:
        raise InputError(
            f"design: samples_per_symbol = {shown(value)}: must be a text in lowest terms, "
            'such as "2" or "3/2"'
        )


def _check_bits(field: str, value: Any) -> None:
    _check_int(field, value, MIN_BITS, MAX_BITS)


@dataclass(frozen=True, slots=True)
class Filter:
    """A symmetric complex FIR filter with ``2 * len(half_taps_i) - 1`` taps.

    ``half_taps_i[k] + 1j * half_taps_q[k]`` is the code of tap ``k`` and of its mirror image; the
    outermost tap comes first, the centre tap last. The exact sum of products is shifted right by
    ``shift`` with `dbp.datapath.fixed.requantize` and leaves with ``output_bits`` bits.
    """

    coefficient_bits: int
    shift: int
    output_bits: int
    half_taps_i: tuple[int, ...]
    half_taps_q: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_bits("coefficient_bits", self.coefficient_bits)
        _check_int("shift", self.shift, 0, 40)
        _check_bits("output_bits", self.output_bits)
        low, high = fixed.code_range(self.coefficient_bits)
        for name in ("half_taps_i", "half_taps_q"):
            half = getattr(self, name)
            if not isinstance(half, tuple) or not 1 <= len(half) <= MAX_HALF_TAPS:
                raise InputError(
                    f"design: {name} must be a list of 1..{MAX_HALF_TAPS} taps, outermost first"
                )
            for k, tap in enumerate(half):
                _check_int(f"{name}[{k}]", tap, low, high)
        if len(self.half_taps_i) != len(self.half_taps_q):
            raise InputError(
                f"design: half_taps_i has {len(self.half_taps_i)} taps and half_taps_q "
                f"{len(self.half_taps_q)}: must be equally many"
            )

    @property
    def taps(self) -> int:
        """Number of taps, always odd."""
        return 2 * len(self.half_taps_i) - 1

    @property
    def delay(self) -> int:
        """Group delay in samples: the index of the centre tap."""
        return len(self.half_taps_i) - 1

    def accumulator_bits(self, input_bits: int) -> int:
        """Signed bits that hold the exact complex sum of products: s + c + 1 + ceil(log2(taps))."""
        return input_bits + self.coefficient_bits + 1 + (self.taps - 1).bit_length()


@dataclass(frozen=True, slots=True)
class Rotation:
    """A nonlinear step: rotate each sample x by phi, in proportion to the power around it.

    The branch cuts I and Q to ``branch_bits`` and takes ``power_offset``, the same for all samples,
    from their \\|x\\|^2. The rotation constants K, a symmetric real FIR filter over that power
    (filtered or "enhanced" split-step: Li et al., Optics Express 19, 22 (2011); Secondini et al.,
    ECOC 2014), have ``kerr_bits`` signed bits and follow the launch power by the integer rule of
    `kerr`; ``kerr_gains`` holds half of them, the outermost first, the centre last. Their sum of
    products is requantised by ``phase_shift`` to the ``phase_bits`` of phi, whose unit is
    ``2**-phase_fraction_bits`` radian. With two polarisations the power is that of both, and both
    are rotated by the same phi. The rotation is exp(j phi) to ``taylor_order`` 1 or 2:
    1 + j phi or 1 - phi^2 / 2 + j phi.
    """

    branch_bits: int
    power_offset: int
    kerr_bits: int
    kerr_gains: tuple[int, ...]
    kerr_shift: int
    phase_shift: int
    phase_bits: int
    phase_fraction_bits: int
    taylor_order: int
    output_bits: int

    def __post_init__(self) -> None:
        _check_bits("branch_bits", self.branch_bits)
        _check_int("power_offset", self.power_offset, 0, (1 << 31) - 1)
        _check_bits("kerr_bits", self.kerr_bits)
        if not isinstance(self.kerr_gains, tuple) or not 1 <= len(self.kerr_gains) <= MAX_HALF_KERR:
            raise InputError(
                f"design: kerr_gains must be a list of 1..{MAX_HALF_KERR} gains, outermost first"
            )
        for k, gain in enumerate(self.kerr_gains):
            _check_int(f"kerr_gains[{k}]", gain, -(1 << 31), (1 << 31) - 1)
        _check_int("kerr_shift", self.kerr_shift, 0, 40)
        _check_int("phase_shift", self.phase_shift, 0, 40)
        _check_bits("phase_bits", self.phase_bits)
        _check_int("phase_fraction_bits", self.phase_fraction_bits, 0, 20)
        _check_int("taylor_order", self.taylor_order, 1, 2)
        _check_bits("output_bits", self.output_bits)

    @property
    def kerr_taps(self) -> int:
        """Number of rotation constants, always odd."""
        return 2 * len(self.kerr_gains) - 1

    @property
    def delay(self) -> int:
        """Group delay in samples: a sample waits until the power around it is known."""
        return len(self.kerr_gains) - 1

    def kerr_saturates(self, launch_power_uw: int) -> bool:
        """Whether the rule of `kerr` meets the end of ``kerr_bits`` at this launch power."""
        return self._exact_kerr(launch_power_uw) != self.kerr(launch_power_uw)

    def kerr(self, launch_power_uw: int) -> tuple[int, ...]:
        """K at a launch power, half of them, the outermost first.

        Each is requantise(kerr_gain * launch_power_uw, kerr_shift) to kerr_bits.
        """
        exact = self._exact_kerr(launch_power_uw)
        return tuple(int(fixed.saturate(k, self.kerr_bits)) for k in exact)

    def _exact_kerr(self, launch_power_uw: int) -> tuple[int, ...]:
        _check_int("launch_power_uw", launch_power_uw, 0, MAX_LAUNCH_POWER_UW)
        return tuple(
            int(fixed.round_shift(gain * launch_power_uw, self.kerr_shift))
            for gain in self.kerr_gains
        )

    def branch_width(self, input_bits: int) -> int:
        """Bits of each quadrature that enters \\|x\\|^2."""
        return min(self.branch_bits, input_bits)

    def output_shift(self, input_bits: int) -> int:
        """Shift of the last requantiser; full scale of input and output are the same."""
        return self.phase_fraction_bits + input_bits - self.output_bits


@dataclass(frozen=True, repr=False, eq=False)
class Design:
    """The whole receiver filter: ``len(filters) == len(rotations) + 1``.

    ``adc_rms_permille`` is the loading of the converter: the gain control holds the rms of each
    quadrature at that many thousandths of full scale, whatever the launch power.
    ``samples_per_symbol``, p/q with p of at most 16, are those of the converter, at which all of
    the chain works. ``polarizations``: 1, or 2, which pass the same filters and are rotated
    together, by the power of both. ``name`` is a label for people and no part of `hash`.
    """

    name: str
    signal_bits: int
    adc_rms_permille: int
    filters: tuple[Filter, ...]
    rotations: tuple[Rotation, ...]
    samples_per_symbol: Fraction = Fraction(2)
    polarizations: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise InputError(
                f"design: name = {shown(self.name)}: must be 1..100 letters, digits, '.', '_' and "
                "'-', a letter or digit first"
            )
        if is_reserved(self.name):
            raise InputError(
                f"design: name = {self.name!r}: received, {REFERENCES} are no designs' names"
            )
        _check_bits("signal_bits", self.signal_bits)
        _check_int("adc_rms_permille", self.adc_rms_permille, 1, 1000)
        object.__setattr__(self, "samples_per_symbol", _rate(self.samples_per_symbol))
        _check_int("polarizations", self.polarizations, 1, 2)
        if len(self.filters) != len(self.rotations) + 1:
            raise InputError(
                f"design: {len(self.filters)} filters and {len(self.rotations)} rotations: "
                "must be one filter more than rotations"
            )
        for k, filter_ in enumerate(self.filters):
            bits = filter_.accumulator_bits(self.filter_input_bits(k))
            if filter_.shift >= bits:
                raise InputError(
                    f"design: filters[{k}]: shift = {filter_.shift}: must be below the "
                    f"accumulator's {bits} bits"
                )
        for k, rotation in enumerate(self.rotations):
            input_bits = self.rotation_input_bits(k)
            largest = self.polarizations << (2 * rotation.branch_width(input_bits) - 1)
            if rotation.power_offset > largest:
                power = "|x|^2" if self.polarizations == 1 else "|x|^2 + |y|^2"
                raise InputError(
                    f"design: rotations[{k}]: power_offset = {rotation.power_offset}: must be at "
                    f"most {largest}, the largest {power}"
                )
            shift = rotation.output_shift(input_bits)
            if shift < 0:
                raise InputError(
                    f"design: rotations[{k}]: output_bits = {rotation.output_bits}: must be at "
                    f"most {rotation.output_bits + shift} (phase_fraction_bits + input bits)"
                )

    # A subclass may carry more, but a design is its own fields.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Design) and _fields(self) == _fields(other)

    def __hash__(self) -> int:
        return hash(tuple(_fields(self).values()))

    def __repr__(self) -> str:
        count, length = len(self.filters), max(filter_.taps for filter_ in self.filters)
        bits = max(filter_.coefficient_bits for filter_ in self.filters)
        filters = "1 filter" if count == 1 else f"{count} filters"
        rotations = "1 rotation" if count == 2 else f"{count - 1} rotations"
        rate = self.samples_per_symbol
        rates = "" if rate == 2 else f"{rate} samples per symbol, "
        both = "" if self.polarizations == 1 else "2 polarisations, "
        return (
            f"Design({self.name!r}: {filters} x {length} taps, {bits}/{self.signal_bits} bits, "
            f"{rotations}, {rates}{both}hash {self.hash[:6]})"
        )

    def taps(self, k: int) -> NDArray[np.complex128]:
        """All taps of ``filters[k]`` as numbers: the gain from input to output full scale."""
        filter_ = self.filters[k]
        half = np.array(filter_.half_taps_i) + 1j * np.array(filter_.half_taps_q)
        shift = filter_.shift + filter_.output_bits - self.filter_input_bits(k)
        return np.concatenate((half, half[-2::-1])) / 2.0**shift

    def filter_input_bits(self, k: int) -> int:
        """Signal bits that enter ``filters[k]``."""
        return self.signal_bits if k == 0 else self.rotations[k - 1].output_bits

    def rotation_input_bits(self, k: int) -> int:
        """Signal bits that enter ``rotations[k]``."""
        return self.filters[k].output_bits

    @property
    def output_bits(self) -> int:
        """Signal bits that leave the last filter."""
        return self.filters[-1].output_bits

    @property
    def delay(self) -> int:
        """Group delay of the whole chain in samples (the hardware adds its pipeline latency)."""
        return sum(filter_.delay for filter_ in self.filters) + sum(
            rotation.delay for rotation in self.rotations
        )

    @property
    def hash(self) -> str:
        """SHA-256 of all but the name, as 64 hexadecimal digits.

        Whatever its file, it is that of the oldest version that can hold the design: version 2
        for one polarisation at 2 samples per symbol.
        """
        content = _plain(self)
        del content["name"]
        if self.polarizations == 1 and self.samples_per_symbol == 2:
            del content["samples_per_symbol"]
            content["version"] = VERSIONS[0]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> str:
        """The text of ``design.json``: one line per filter and rotation."""
        lines = []
        for key, value in _plain(self).items():
            if isinstance(value, tuple):
                rows = ",\n".join("    " + json.dumps(row) for row in value)
                lines.append(f'  "{key}": [\n{rows}\n  ]')
            else:
                lines.append(f'  "{key}": {json.dumps(value)}')
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_json(cls, text: str) -> Design:
        """Read the text of a ``design.json``; refuse with `InputError` what does not fit."""
        try:
            content = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_object)
        except InputError:
            raise
        except (ValueError, RecursionError) as error:
            raise InputError(f"design: not a complete JSON text: {error}") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise InputError(f'design: the field "format" must be "{FORMAT}"')
        version = content.get("version")
        if version not in VERSIONS or type(version) is not int:
            newer = isinstance(version, int) and version > VERSION
            raise InputError(
                f"design: version = {shown(version)}: this dbp reads versions {VERSIONS[0]} to "
                f"{VERSION} only" + (", a newer dbp wrote it" if newer else "")
            )
        del content["format"], content["version"]
        # By field: the version that states it first, and what it is before.
        for key, since, before in (("samples_per_symbol", 3, "2"), ("polarizations", 4, 1)):
            if version < since:
                if key in content:
                    raise InputError(f"design: {key}: needs version {since}")
                content[key] = before
        if "samples_per_symbol" in content:
            _check_written_rate(content["samples_per_symbol"])
        for key, kind in (("filters", Filter), ("rotations", Rotation)):
            rows = content.get(key)
            if not isinstance(rows, list):
                raise InputError(f"design: {key}: must be a list")
            content[key] = tuple(_build(kind, row, f"{key}[{k}]") for k, row in enumerate(rows))
        return _build(cls, content, "design")

    @classmethod
    def load(cls, path: str | Path) -> Design:
        """Read a ``design.json``; `InputError` names the file and what is wrong with it."""
        text = read_text(path)
        try:
            return cls.from_json(text)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def save(self, path: str | Path) -> None:
        """Write ``design.json`` atomically."""
        write_text(path, self.to_json())


def _fields(design: Design) -> dict[str, Any]:
    return {field.name: getattr(design, field.name) for field in dataclasses.fields(Design)}


def _plain(design: Design) -> dict[str, Any]:
    rows = {
        name: tuple(dataclasses.asdict(row) for row in value) if isinstance(value, tuple) else value
        for name, value in _fields(design).items()
    }
    rate = str(rows.pop("samples_per_symbol"))
    head: dict[str, Any] = {"format": FORMAT, "version": VERSIONS[1], "samples_per_symbol": rate}
    if rows.pop("polarizations") == 2:
        head |= {"version": VERSION, "polarizations": 2}
    return {**head, **rows}


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # JSON leaves open which of two equal keys counts.
    fields = dict(pairs)
    if len(fields) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InputError(f"design: {shown(twice)}: stands twice in an object")
    return fields


def _build(kind: type, row: Any, where: str) -> Any:
    if not isinstance(row, dict):
        raise InputError(f"{where}: must be an object")
    allowed = [field.name for field in dataclasses.fields(kind)]
    if sorted(row) != sorted(allowed):
        wrong = sorted(set(row) ^ set(allowed))
        raise InputError(f"{where}: missing or unknown fields {shown(wrong)}: must be {allowed}")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}
    try:
        return kind(**values)
    except InputError as error:
        raise InputError(str(error).replace("design:", f"{where}:", 1)) from None
