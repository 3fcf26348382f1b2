"""Read Liberty files into the model of `dbp.synthesis.cells.library`.

`read` takes one or several files (``.lib`` or ``.lib.gz``) as one library. A cell's text is parsed
when the cell is asked for: a netlist uses few of them, and an odd one that it does not use is no
obstacle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from dbp.errors import InputError
from dbp.synthesis.cells import liberty_syntax
from dbp.synthesis.cells.liberty_cells import bus_types, read_cell, supply_names
from dbp.synthesis.cells.liberty_syntax import Deferred, Group
from dbp.synthesis.cells.liberty_values import Common, Units, number, scale
from dbp.synthesis.cells.library import (
    Cell,
    Lazy,
    Library,
    OperatingConditions,
    WireLoad,
)

_Value = TypeVar("_Value")
# Of the attribute, and what is taken where the file has none: Liberty's own defaults, as far as it
# has any.
_UNITS = {
    "time_unit": "1ns",
    "capacitive_load_unit": "1pF",
    "voltage_unit": "1V",
    "leakage_power_unit": "1nW",
}


def read(*paths: str | Path) -> Library:
    """Read Liberty files as one library; `InputError` in one line where a file does not fit."""
    if not paths:
        raise InputError("liberty: no file given: at least one is needed")
    parts = []
    for path in paths:
        group = liberty_syntax.read(path)
        try:
            parts.append(_part(group, str(path)))
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
    return _whole(parts)


def parse(text: str) -> Library:
    """Read one library from text."""
    return _whole([_part(liberty_syntax.parse(text), "")])


@dataclass(frozen=True)
class _Part:
    """What one file holds; ``voltage_v`` is None where it states none."""

    path: str
    name: str
    voltage_v: float | None
    readers: Mapping[str, Callable[[], Cell]]
    wire_loads: Lazy[WireLoad]
    default_wire_load: str | None
    conditions: Lazy[OperatingConditions]
    notes: tuple[str, ...]
    pin_groups: Lazy[int | None]


def _whole(parts: list[_Part]) -> Library:
    readers: dict[str, Callable[[], Cell]] = {}
    voltage: float | None = None
    for part in parts:
        where = f"{part.path}: " if part.path else ""
        # A file with a wire load alone belongs to any corner.
        if part.readers and part.voltage_v is None:
            raise InputError(
                f"{where}no supply voltage: nom_voltage, or the voltage of the operating_conditions"
                " that default_operating_conditions names, is needed"
            )
        if part.readers and voltage is not None and part.voltage_v != voltage:
            raise InputError(f"{where}{part.voltage_v} V: must be {voltage} V as first")
        voltage = part.voltage_v if voltage is None else voltage
        for name, reader in part.readers.items():
            if name in readers:
                raise InputError(f"{where}cell {name}: is in an earlier file already")
            readers[name] = reader
    return Library(
        name="+".join(part.name for part in parts),
        voltage_v=0.0 if voltage is None else voltage,
        cells=Lazy(readers),
        wire_loads=_merge(part.wire_loads for part in parts),
        default_wire_load=next((p.default_wire_load for p in parts if p.default_wire_load), None),
        operating_conditions=_merge(part.conditions for part in parts),
        notes=tuple(note for part in parts for note in part.notes),
        pin_groups=_merge(part.pin_groups for part in parts),
    )


def _merge(maps: Iterable[Lazy[_Value]]) -> Lazy[_Value]:
    return Lazy({name: reader for part in maps for name, reader in part.readers.items()})


def _part(group: Group, path: str) -> _Part:
    get, notes = group.attributes.get, list[str]()
    units = _units(group, notes)
    conditions = Lazy(
        {
            _name(inner): partial(_conditions, inner, get("nom_voltage"), units)
            for inner in group.of_kind("operating_conditions")
        }
    )
    default = get("default_operating_conditions")
    if default is not None and default not in conditions:
        notes.append(f"default_operating_conditions {default}: no such operating_conditions")
    voltages = _voltages(group, default, units)
    voltage = _voltage(group, conditions, voltages, units)
    for inner in group.of_kind("power_supply"):
        rail = inner.attributes.get("default_power_rail")
        if rail is not None and rail not in voltages and voltage is not None:
            voltages = Lazy({**voltages.readers, rail: partial(float, voltage)})
    if (model := get("delay_model", "table_lookup")) != "table_lookup":
        notes.append(f"delay_model {model}: only tables are read, other slews are zero")
    common = _common(group, units, voltages)
    cells = {_name(part): part for part in group.deferred if part.kind == "cell"}
    return _Part(
        path,
        _name(group),
        voltage,
        {name: partial(_cell, cell, common, path) for name, cell in cells.items()},
        Lazy({_name(w): partial(_wire_load, w, units) for w in group.of_kind("wire_load")}),
        get("default_wire_load"),
        conditions,
        tuple(f"{path}: {note}" if path else note for note in notes),
        Lazy({name: partial(getattr, cell, "pin_groups") for name, cell in cells.items()}),
    )


def _cell(deferred: Deferred, common: Common, path: str) -> Cell:
    """Parse and read one cell; the error names the file and the cell."""
    try:
        return read_cell(deferred.parse(), common)
    except InputError as error:
        where = f"{path}: " if path else ""
        raise InputError(f"{where}cell {_name(deferred)}: {error}") from None


def _units(group: Group, notes: list[str]) -> Units:
    """Return the units; where the file lacks one, Liberty's default, and a note that says so."""
    load = group.complex_attributes.get("capacitive_load_unit", [()])[-1]
    stated = {key: group.attributes.get(key) for key in _UNITS}
    if load:
        stated["capacitive_load_unit"] = "".join(load)
    factors = {}
    for (key, default), unit in zip(_UNITS.items(), "sFVW", strict=True):
        text = stated[key]
        if text is None and group.deferred:
            notes.append(f"{key} is missing: {default} is taken")
        factors[key] = scale(text or default, unit, key)
    return Units(*(factors[key] for key in _UNITS))


def _conditions(group: Group, nominal: str | None, units: Units) -> OperatingConditions:
    get = group.attributes.get
    voltage = get("voltage", nominal)
    return OperatingConditions(
        _name(group),
        number(get("process", "1"), "process"),
        float("nan") if voltage is None else number(voltage, "voltage") * units.voltage,
        number(get("temperature", "25"), "temperature"),
    )


def _voltages(group: Group, default: str | None, units: Units) -> Lazy[float]:
    """Return the volts of the supplies that have names; default conditions rule."""
    pairs = supply_names(group, "voltage_map")
    for kind in ("power_supply", "operating_conditions"):
        for inner in group.of_kind(kind):
            if kind == "power_supply" or inner.arguments[:1] == (default,):
                pairs += supply_names(inner, "power_rail")
    return Lazy(
        {name: partial(_scaled, text, f"voltage of {name}", units.voltage) for name, text in pairs}
    )


def _scaled(text: str, what: str, factor: float) -> float:
    return number(text, what) * factor


def _voltage(
    group: Group,
    conditions: Lazy[OperatingConditions],
    voltages: Lazy[float],
    units: Units,
) -> float | None:
    """Return the library's own supply, None where the file does not say.

    It is that of the default conditions, else the nominal one, else that on which all conditions,
    or all named supplies but ground, agree.
    """
    get = group.attributes.get
    default, nominal = get("default_operating_conditions"), get("nom_voltage")
    if default is not None and default in conditions:
        stated = conditions[default].voltage_v
        if not math.isnan(stated):
            return stated
    if nominal is not None:
        return number(nominal, "nom_voltage") * units.voltage
    for candidates in ((c.voltage_v for c in conditions.readable()), voltages.readable()):
        found = {volts for volts in candidates if not math.isnan(volts) and volts != 0}
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def _common(group: Group, units: Units, voltages: Mapping[str, float]) -> Common:
    factors = {
        "default_input_pin_cap": units.capacitance,
        "default_output_pin_cap": units.capacitance,
        "default_inout_pin_cap": units.capacitance,
        "default_cell_leakage_power": units.leakage,
        "default_leakage_power_density": units.leakage,
    }
    stated = group.attributes
    style = stated.get("bus_naming_style", "%s[%d]").replace(" ", "")
    left, _, right = style.removeprefix("%s").partition("%d")
    of_timing, of_power = (
        {t.arguments[0]: t for t in group.of_kind(kind) if t.arguments}
        for kind in ("lu_table_template", "power_lut_template")
    )
    return Common(
        units=units,
        timing_templates={**of_power, **of_timing},
        power_templates={**of_timing, **of_power},
        voltages=voltages,
        defaults=Lazy(
            {
                key: partial(_scaled, stated[key], key, factor)
                for key, factor in factors.items()
                if key in stated
            }
        ),
        bus_types=bus_types(group),
        brackets=(left, right),
    )


def _name(group: Group | Deferred) -> str:
    if not group.arguments:
        raise InputError(f"a {group.kind} group without a name")
    return group.arguments[0]


def _wire_load(group: Group, units: Units) -> WireLoad:
    get = group.attributes.get
    lengths = sorted(
        (number(pair[0], "fanout_length"), number(pair[1], "fanout_length"))
        for pair in group.complex_attributes.get("fanout_length", [])
        if len(pair) >= 2
    )
    return WireLoad(
        _name(group),
        number(get("capacitance", "0"), "wire_load capacitance") * units.capacitance,
        number(get("slope", "0"), "wire_load slope"),
        tuple(lengths),
    )
