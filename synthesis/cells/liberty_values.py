"""Numbers, units and tables of Liberty files, in SI; and what a library says for all its cells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dbp.errors import InputError
from dbp.synthesis.cells.liberty_syntax import Group
from dbp.synthesis.cells.library import LookupTable

_PREFIX = {
    "": 1.0, "k": 1e3, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "n": 1e-9, "p": 1e-12,
    "f": 1e-15, "a": 1e-18,
}  # fmt: skip
_SLEW_AXES = ("input_net_transition", "input_transition_time")
_LOAD_AXES = ("total_output_net_capacitance", "equal_or_opposite_output_net_capacitance")
SCALAR = "scalar"


@dataclass(frozen=True)
class Units:
    """Factors to SI; energy of internal power is capacitance times voltage squared."""

    time: float
    capacitance: float
    voltage: float
    leakage: float

    @property
    def energy(self) -> float:
        return self.capacitance * self.voltage**2


@dataclass(frozen=True)
class Common:
    """What a library says for all its cells, in SI units.

    Templates of timing and power may have one name; either kind falls back on the other.
    ``voltages``: volts by name of a supply (``voltage_map``, ``power_rail``). ``defaults``: by the
    attribute's name, for pins without a capacitance and cells without leakage. ``bus_types``: the
    bits by name. ``brackets`` of a bit of a bus.
    """

    units: Units
    timing_templates: Mapping[str, Group]
    power_templates: Mapping[str, Group]
    voltages: Mapping[str, float]
    defaults: Mapping[str, float]
    bus_types: Mapping[str, range]
    brackets: tuple[str, str]


def number(text: str, what: str) -> float:
    """Return a finite number; ``what`` it is stands in the `InputError` for other texts."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise InputError(f"{what} = {text!r}: must be a number")
    return value


def whole_number(text: str, what: str) -> int:
    """Return an integer that may be written with a decimal point."""
    value = number(text, what)
    if value != int(value) or abs(value) > 1 << 20:
        raise InputError(f"{what} = {text!r}: must be a whole number")
    return int(value)


def scale(text: str, unit: str, what: str) -> float:
    """Return 1e-11 for "10ps"; a number that is missing counts as 1."""
    match = re.fullmatch(rf"\s*([\d.]+(?:[eE][+-]?\d+)?)?\s*([munpfkaµμ]?)\s*{unit}\s*", text, re.I)
    if match is None:
        raise InputError(f"{what} = {text!r}: must be a number and a unit of {unit}")
    factor = number(match[1] or "1", what) * _PREFIX[match[2].lower()]
    if factor <= 0:
        raise InputError(f"{what} = {text!r}: must be above 0")
    return factor


def is_true(text: str | None) -> bool:
    """Say whether an attribute is ``true``, in any case of letters."""
    return text is not None and text.strip().lower() in ("true", "1")


def table(group: Group, kind: str, common: Common, factor: float) -> LookupTable | None:
    """Return the first table of a kind in a group, its values times ``factor``, None without."""
    of_power = kind.endswith("power")
    for inner in group.of_kind(kind):
        try:
            templates = common.power_templates if of_power else common.timing_templates
            return _read_table(inner, common.units, templates, factor)
        except ValueError as error:
            raise InputError(f"{kind}: {error}") from None
    return None


def _read_table(
    group: Group, units: Units, templates: Mapping[str, Group], factor: float
) -> LookupTable:
    name = group.arguments[0] if group.arguments else SCALAR
    template = templates.get(name)
    values = _numbers(" ".join(group.complex_attributes.get("values", [()])[-1])) * factor
    axes = {"slew": np.zeros(1), "load": np.zeros(1)}
    order = []
    for k in (1, 2, 3):
        variable = template.attributes.get(f"variable_{k}") if template else None
        if template is None or variable is None:
            break
        key = f"index_{k}"
        index = group.complex_attributes.get(key) or template.complex_attributes.get(key) or [()]
        if variable in _SLEW_AXES:
            order.append("slew")
            axes["slew"] = _axis(" ".join(index[-1]), units.time)
        elif variable in _LOAD_AXES:
            order.append("load")
            axes["load"] = _axis(" ".join(index[-1]), units.capacitance)
        else:
            raise ValueError(f"a table over {variable}: must be over input slew and output load")
    if len(set(order)) != len(order):
        raise ValueError("a table twice over the same variable")
    shape = (len(axes["slew"]), len(axes["load"]))
    if values.size != shape[0] * shape[1]:
        if template is None and name.lower() != SCALAR:
            raise ValueError(f"the library has no table template {name}")
        raise ValueError(f"{values.size} values: must be {shape[0] * shape[1]} as the template is")
    if order == ["load", "slew"]:
        values = values.reshape(shape[::-1]).T
    if not np.isfinite(values).all():
        raise ValueError("a table with values that are no numbers")
    return LookupTable(axes["slew"], axes["load"], values.reshape(shape))


@lru_cache(maxsize=4096)
def _axis(text: str, factor: float) -> NDArray[np.float64]:
    """An index; most tables of a file share a few, which are kept once."""
    axis = _numbers(text) * factor
    if len(axis) == 0 or not np.all(np.diff(axis) > 0):
        raise ValueError("an index that does not rise strictly")
    axis.flags.writeable = False
    return axis


def _numbers(text: str) -> NDArray[np.float64]:
    return np.array(text.replace(",", " ").replace("\\", " ").split(), dtype=np.float64)
