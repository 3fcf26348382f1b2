"""Read Liberty files into the model of `dbp.synthesis.cells.library`.

`read` takes one or several files (``.lib`` or ``.lib.gz``) as one library.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dbp.errors import InputError
from dbp.synthesis.cells import expressions, liberty_syntax
from dbp.synthesis.cells.expressions import Expression
from dbp.synthesis.cells.liberty_syntax import Group
from dbp.synthesis.cells.library import (
    Cell,
    InternalPower,
    Leakage,
    Library,
    LookupTable,
    OperatingConditions,
    Pin,
    Sequential,
    TimingArc,
    WireLoad,
)

_Value = TypeVar("_Value")
_PREFIX = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15, "k": 1e3, "a": 1e-18}
_SLEW_AXES = ("input_net_transition", "input_transition_time")
_LOAD_AXES = ("total_output_net_capacitance", "equal_or_opposite_output_net_capacitance")


def read(*paths: str | Path) -> Library:
    """Read Liberty files as one library; `InputError` in one line where a file does not fit."""
    if not paths:
        raise InputError("liberty: no file given: at least one is needed")
    parts = []
    for path in paths:
        group = liberty_syntax.read(path)
        try:
            parts.append(_library(group))
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
    cells: dict[str, Cell] = {}
    for path, part in zip(paths, parts, strict=True):
        # A file with a wire load alone belongs to any corner.
        if part.cells and part.voltage_v != parts[0].voltage_v:
            raise InputError(f"{path}: {part.voltage_v} V: must be {parts[0].voltage_v} V as first")
        for cell in part.cells.values():
            if cell.name in cells:
                raise InputError(f"{path}: cell {cell.name}: is in an earlier file already")
            cells[cell.name] = cell
    return Library(
        name="+".join(part.name for part in parts),
        voltage_v=parts[0].voltage_v,
        cells=MappingProxyType(cells),
        wire_loads=_merge(part.wire_loads for part in parts),
        default_wire_load=next((p.default_wire_load for p in parts if p.default_wire_load), None),
        operating_conditions=_merge(part.operating_conditions for part in parts),
    )


def parse(text: str) -> Library:
    """Read one library from text."""
    return _library(liberty_syntax.parse(text))


def _merge(maps: Iterable[Mapping[str, _Value]]) -> Mapping[str, _Value]:
    return MappingProxyType({k: v for mapping in maps for k, v in mapping.items()})


@dataclass(frozen=True)
class _Units:
    """Factors to SI; energy of internal power is capacitance times voltage squared."""

    time: float
    capacitance: float
    energy: float
    leakage: float
    templates: Mapping[str, Group]


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise InputError(f"{what} = {text!r}: must be a number")
    return value


def _scale(text: str, unit: str, what: str) -> float:
    """Return 1e-11 for "10ps"."""
    match = re.fullmatch(rf"\s*([\d.]+(?:[eE][+-]?\d+)?)\s*([munpfka]?){unit}\s*", text, re.I)
    if match is None:
        raise InputError(f"{what} = {text!r}: must be a number and a unit of {unit}")
    return _number(match[1], what) * _PREFIX[match[2].lower()]


def _library(group: Group) -> Library:
    get = group.attributes.get
    load_unit = group.complex_attributes.get("capacitive_load_unit", [("1", "pf")])[-1]
    if len(load_unit) != 2:
        raise InputError(f"capacitive_load_unit = {load_unit}: must be a number and a unit")
    voltage = _scale(get("voltage_unit", "1V"), "V", "voltage_unit")
    capacitance = _scale("".join(load_unit), "F", "capacitive_load_unit")
    units = _Units(
        time=_scale(get("time_unit", "1ns"), "s", "time_unit"),
        capacitance=capacitance,
        energy=capacitance * voltage**2,
        leakage=_scale(get("leakage_power_unit", "1nW"), "W", "leakage_power_unit"),
        templates={
            t.arguments[0]: t
            for kind in ("lu_table_template", "power_lut_template")
            for t in group.of_kind(kind)
            if t.arguments
        },
    )
    conditions = {}
    for inner in group.of_kind("operating_conditions"):
        item = inner.attributes.get
        conditions[_name(inner)] = OperatingConditions(
            _name(inner),
            _number(item("process", "1"), "process"),
            _number(item("voltage", get("nom_voltage", "nan")), "voltage") * voltage,
            _number(item("temperature", "25"), "temperature"),
        )
    default = conditions.get(get("default_operating_conditions", ""))
    nominal = _number(get("nom_voltage", "nan"), "nom_voltage") * voltage
    cells = {}
    for inner in group.of_kind("cell"):
        try:
            cells[_name(inner)] = _cell(inner, units)
        except InputError as error:
            raise InputError(f"cell {_name(inner)}: {error}") from None
    return Library(
        name=_name(group),
        voltage_v=default.voltage_v if default else nominal,
        cells=MappingProxyType(cells),
        wire_loads=MappingProxyType(
            {_name(w): _wire_load(w, units) for w in group.of_kind("wire_load")}
        ),
        default_wire_load=get("default_wire_load"),
        operating_conditions=MappingProxyType(conditions),
    )


def _name(group: Group) -> str:
    if not group.arguments:
        raise InputError(f"a {group.kind} group without a name")
    return group.arguments[0]


def _wire_load(group: Group, units: _Units) -> WireLoad:
    get = group.attributes.get
    lengths = sorted(
        (_number(pair[0], "fanout_length"), _number(pair[1], "fanout_length"))
        for pair in group.complex_attributes.get("fanout_length", [])
        if len(pair) >= 2
    )
    return WireLoad(
        _name(group),
        _number(get("capacitance", "0"), "wire_load capacitance") * units.capacitance,
        _number(get("slope", "0"), "wire_load slope"),
        tuple(lengths),
    )


def _cell(group: Group, units: _Units) -> Cell:
    get = group.attributes.get
    leakages = tuple(
        Leakage(
            _expression(inner, "when"),
            inner.attributes.get("related_pg_pin"),
            _number(inner.attributes.get("value", "0"), "leakage_power value") * units.leakage,
        )
        for inner in group.of_kind("leakage_power")
    )
    pins = {pin.name: pin for inner in group.of_kind("pin") for pin in _pins(inner, units)}
    whole = get("cell_leakage_power")
    stateful = [g for g in group.groups if g.kind in ("ff", "latch", "statetable", "ff_bank")]
    simple = len(stateful) == 1 and stateful[0].kind in ("ff", "latch")
    return Cell(
        name=_name(group),
        area_um2=_number(get("area", "0"), "area"),
        leakage_w=None if whole is None else _number(whole, "cell_leakage_power") * units.leakage,
        leakages=leakages,
        pins=MappingProxyType(pins),
        sequential=_sequential(stateful[0]) if simple else None,
        has_state=bool(stateful),
        dont_use=get("dont_use") == "true",
        supplies=frozenset(name for inner in group.of_kind("pg_pin") for name in inner.arguments),
    )


def _expression(group: Group, key: str) -> Expression | None:
    text = group.attributes.get(key, "").strip()
    return expressions.parse(text) if text else None


def _sequential(group: Group) -> Sequential:
    data, clock = ("next_state", "clocked_on") if group.kind == "ff" else ("data_in", "enable")
    if len(group.arguments) != 2:
        raise InputError(f"{group.kind} {group.arguments}: must name two states")
    zero = expressions.parse("0")
    state, inverted_state = group.arguments
    first, second = (group.attributes.get(f"clear_preset_var{k}", "X").upper() for k in (1, 2))
    return Sequential(
        group.kind,
        state,
        inverted_state,
        next_state=_expression(group, data) or zero,
        clocked_on=_expression(group, clock) or zero,
        clear=_expression(group, "clear"),
        preset=_expression(group, "preset"),
        both_active=(first, second),
    )


def _pins(group: Group, units: _Units) -> Iterable[Pin]:
    get = group.attributes.get
    capacitances = []
    for key in ("rise_capacitance", "fall_capacitance"):
        text = get(key, get("capacitance", "0"))
        capacitance = _number(text, "capacitance")
        if capacitance < 0:
            pins = ", ".join(group.arguments)
            raise InputError(f"pin {pins}: capacitance = {text!r}: must be at least 0")
        capacitances.append(capacitance * units.capacitance)
    rise, fall = capacitances
    arcs = tuple(a for inner in group.of_kind("timing") for a in _arcs(inner, units))
    powers = tuple(p for g in group.of_kind("internal_power") for p in _powers(g, units))
    for name in group.arguments:
        yield Pin(
            name,
            get("direction", "input"),
            rise,
            fall,
            get("clock") == "true",
            _expression(group, "function"),
            arcs,
            powers,
        )


def _arcs(group: Group, units: _Units) -> Iterable[TimingArc]:
    get = group.attributes.get
    kind = get("timing_type", "combinational")
    if group.of_kind("cell_rise") or group.of_kind("cell_fall"):
        for related in get("related_pin", "").split():
            yield TimingArc(
                related,
                kind,
                get("timing_sense", "non_unate"),
                _table(group, "cell_rise", units, units.time),
                _table(group, "cell_fall", units, units.time),
                _table(group, "rise_transition", units, units.time),
                _table(group, "fall_transition", units, units.time),
            )


def _powers(group: Group, units: _Units) -> Iterable[InternalPower]:
    both = _table(group, "power", units, units.energy)
    rise = _table(group, "rise_power", units, units.energy) or both
    fall = _table(group, "fall_power", units, units.energy) or both
    when, supply = _expression(group, "when"), group.attributes.get("related_pg_pin")
    related_pins: list[str | None] = [*group.attributes.get("related_pin", "").split()]
    for related in related_pins or [None]:
        yield InternalPower(related, when, supply, rise, fall)


def _table(group: Group, kind: str, units: _Units, scale: float) -> LookupTable | None:
    for table in group.of_kind(kind):
        try:
            return _read_table(table, units, scale)
        except ValueError as error:
            raise InputError(f"{kind}: {error}") from None
    return None


def _read_table(group: Group, units: _Units, scale: float) -> LookupTable:
    template = units.templates.get(group.arguments[0]) if group.arguments else None
    rows = group.complex_attributes.get("values", [()])[-1]
    values = _numbers(" ".join(rows)) * scale
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
    if order == ["load", "slew"]:
        values = values.reshape(shape[::-1]).T
    if not np.isfinite(values).all():
        raise ValueError("a table with values that are no numbers")
    return LookupTable(axes["slew"], axes["load"], values.reshape(shape))


@lru_cache(maxsize=4096)
def _axis(text: str, scale: float) -> NDArray[np.float64]:
    """An index; most tables of a file share a few, which are kept once."""
    axis = _numbers(text) * scale
    if len(axis) == 0 or not np.all(np.diff(axis) > 0):
        raise ValueError("an index that does not rise strictly")
    axis.flags.writeable = False
    return axis


def _numbers(text: str) -> NDArray[np.float64]:
    return np.array(text.replace(",", " ").replace("\\", " ").split(), dtype=np.float64)
