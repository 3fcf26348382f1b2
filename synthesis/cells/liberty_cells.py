"""Cells of Liberty files: pins, buses and bundles bit by bit, states, leakage, supplies."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from dbp.errors import InputError
from dbp.synthesis.cells import expressions
from dbp.synthesis.cells.expressions import Expression
from dbp.synthesis.cells.liberty_syntax import Group
from dbp.synthesis.cells.liberty_values import Common, is_true, number, table, whole_number
from dbp.synthesis.cells.library import (
    Cell,
    InternalPower,
    Lazy,
    Leakage,
    LookupTable,
    Pin,
    Sequential,
    TimingArc,
)

_STATES = ("ff", "latch", "statetable", "ff_bank", "latch_bank")
_REGISTERS = ("ff", "latch", "ff_bank", "latch_bank")
_CAPACITANCES = ("capacitance", "rise_capacitance", "fall_capacitance")
_RANGES = ("rise_capacitance_range", "fall_capacitance_range")
MAX_BITS = 1 << 16


def read_cell(group: Group, common: Common) -> Cell:
    """Read a ``cell`` group; `InputError` where it does not fit."""
    return _Reader(group, common).cell()


def bus_types(group: Group) -> Mapping[str, range]:
    """Return the bits of a vector, the first one first, by the name of its ``type`` group."""
    return Lazy({_name(inner): partial(_bus_type, inner) for inner in group.of_kind("type")})


def _bus_type(group: Group) -> range:
    get = group.attributes.get
    width = get("bit_width")
    if get("bit_from") is None and get("bit_to") is None and width is not None:
        last = whole_number(width, "bit_width") - 1
        first, last = (0, last) if get("downto", "").lower() == "false" else (last, 0)
    else:
        first, last = (whole_number(get(key, "0"), key) for key in ("bit_from", "bit_to"))
    if not 0 <= abs(last - first) < MAX_BITS:
        raise InputError(f"type {_name(group)}: must have at most {MAX_BITS} bits")
    return _range(first, last)


def names(arguments: Iterable[str]) -> list[str]:
    """Return the names of a list, which blanks or commas separate, also within quotes."""
    return [name for text in arguments for name in re.split(r"[\s,]+", text) if name]


def supply_names(group: Group, key: str) -> list[tuple[str, str]]:
    """Return the pairs of a complex attribute such as ``voltage_map (name, volts)``."""
    pairs = group.complex_attributes.get(key, [])
    return [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]


def _range(first: int, last: int) -> range:
    step = 1 if last >= first else -1
    return range(first, last + step, step)


@dataclass(frozen=True, slots=True)
class _Bit:
    """A pin's group, with what its bus or bundle states; ``place`` is None for a single pin.

    ``vector``: the bus or bundle; ``width``: how many bits it has, of which this is number
    ``place``.
    """

    name: str
    group: Group
    vector: str | None = None
    place: int | None = None
    width: int = 1


class _Reader:
    """Reads one cell. ``vectors``: the pins or states of each bus, bundle and bank, in order."""

    def __init__(self, group: Group, common: Common) -> None:
        self.group, self.common = group, common
        self.vectors: dict[str, tuple[str, ...]] = {}
        self.bus_types = bus_types(group)
        self.bits = {bit.name: bit for bit in self._bits()}
        self.buses = dict(self.vectors)
        self.pg_pins = [(n, pg) for pg in group.of_kind("pg_pin") for n in names(pg.arguments)]
        self.tables: dict[tuple[int, str], LookupTable | None] = {}
        self.notes: list[str] = []

    def cell(self) -> Cell:
        group = self.group
        get = group.attributes.get
        area = number(get("area", "0"), "area")
        states = tuple(
            state
            for inner in group.groups
            if inner.kind in _REGISTERS
            for state in self._states(inner)
        )
        pins = {name: self._pin(bit) for name, bit in self.bits.items()}
        self._note_unread(pins.values())
        stateful = sum(inner.kind in _STATES for inner in group.groups)
        return Cell(
            name=_name(group),
            area_um2=area,
            leakage_w=self._leakage_w(area),
            leakages=tuple(map(self._leakage, group.of_kind("leakage_power"))),
            pins=MappingProxyType(pins),
            sequential=states[0] if len(states) == stateful == 1 else None,
            has_state=stateful > 0 or _stores(group, pins.values()),
            dont_use=is_true(get("dont_use")),
            supplies=frozenset(name for name, _ in self.pg_pins),
            buses=MappingProxyType(self.buses),
            states=states,
            notes=tuple(dict.fromkeys(self.notes)),
        )

    def _note_unread(self, pins: Iterable[Pin]) -> None:
        """Note what the cell states in a form that is not read, and in no other."""
        stated = (
            self.group.of_kind("leakage_power") or "cell_leakage_power" in self.group.attributes
        )
        if self.group.of_kind("leakage_current") and not stated:
            self.notes.append(f"cell {_name(self.group)}: leakage_current is not read")
        if self.group.of_kind("dynamic_current") and not any(pin.internal_power for pin in pins):
            self.notes.append(f"cell {_name(self.group)}: dynamic_current is not read")

    # Leakage

    def _leakage(self, group: Group) -> Leakage:
        get = group.attributes.get
        power = number(get("value", "0"), "leakage_power value") * self.common.units.leakage
        supply = get("related_pg_pin", get("power_level"))
        return Leakage(self._expression(group, "when"), supply, power)

    def _leakage_w(self, area: float) -> float | None:
        """Return the leakage of the whole cell: its own, the library's default, that by area."""
        common, text = self.common, self.group.attributes.get("cell_leakage_power")
        own = None if text is None else number(text, "cell_leakage_power") * common.units.leakage
        if own is not None and own >= 0:
            return own
        default = common.defaults.get("default_cell_leakage_power")
        if default is None and "default_leakage_power_density" in common.defaults:
            default = common.defaults["default_leakage_power_density"] * area
        # Libraries carry defaults of 0 along, which say nothing about a cell that states leakage.
        return None if default == 0 and self.group.of_kind("leakage_power") else default

    # Pins

    def _bits(self) -> Iterator[_Bit]:
        """Yield every pin: single ones, and the bits of buses and bundles."""
        stated: dict[str, list[Group]] = {}
        for inner in self.group.of_kind("pin"):
            for name in self._expanded(names(inner.arguments)):
                stated.setdefault(name, []).append(inner)
        taken: set[str] = set()
        for inner in self.group.groups:
            if inner.kind == "pin":
                self._note_ranges(inner)
                for name in self._expanded(names(inner.arguments)):
                    if name not in taken:
                        taken.add(name)
                        yield _Bit(name, _merged(name, stated[name]))
            elif inner.kind in ("bus", "bundle"):
                for vector in names(inner.arguments):
                    yield from self._bits_of(vector, inner, stated, taken)

    def _bits_of(
        self, vector: str, group: Group, stated: Mapping[str, list[Group]], taken: set[str]
    ) -> Iterator[_Bit]:
        own: dict[str, list[Group]] = {}
        for inner in group.of_kind("pin"):
            for name in self._expanded(names(inner.arguments)):
                own.setdefault(name, []).append(inner)
        members = self._members(vector, group, own)
        self.vectors[vector] = members
        for name in own:
            if name not in members:
                raise InputError(f"{group.kind} {vector}: pin {name}: must be one of its bits")
        for place, name in enumerate(members):
            taken.add(name)
            parts = [group, *stated.get(name, ()), *own.get(name, ())]
            yield _Bit(name, _merged(name, parts), vector, place, len(members))

    def _members(self, vector: str, group: Group, own: Mapping[str, object]) -> tuple[str, ...]:
        if group.kind == "bundle":
            lists = group.complex_attributes.get("members", [])
            members = [name for values in lists for name in self._expanded(names(values))]
            return tuple(members or own)
        left, right = self.common.brackets
        kind = group.attributes.get("bus_type")
        if kind is None and own:
            return tuple(own)
        if kind is None:
            raise InputError(f"bus {vector}: bus_type is missing")
        for types in (self.bus_types, self.common.bus_types):
            if kind in types:
                return tuple(f"{vector}{left}{k}{right}" for k in types[kind])
        known = ", ".join((*self.bus_types, *self.common.bus_types)) or "none"
        raise InputError(f"bus {vector}: bus_type {kind}: no such type group (there are {known})")

    def _note_ranges(self, group: Group) -> None:
        """Keep what ``pin (A[3:0])`` declares as a bus."""
        for name in names(group.arguments):
            bits = tuple(self._expanded([name]))
            if len(bits) > 1:
                vector = name.replace("\\", "").rpartition(self.common.brackets[0])[0]
                self.vectors[vector] = self.vectors.get(vector, ()) + bits

    def _expanded(self, listed: Iterable[str]) -> Iterator[str]:
        """Yield names, those with a range of bits bit by bit: ``A[3:0]``."""
        left, right = map(re.escape, self.common.brackets)
        for name in listed:
            name = name.replace("\\", "")
            match = re.fullmatch(rf"(.*){left}(\d{{1,6}}):(\d{{1,6}}){right}", name)
            if match is None:
                yield name
                continue
            first, last = int(match[2]), int(match[3])
            if abs(first - last) >= MAX_BITS:
                raise InputError(f"pin {name}: must have at most {MAX_BITS} bits")
            for k in _range(first, last):
                yield f"{match[1]}{self.common.brackets[0]}{k}{self.common.brackets[1]}"

    def _pin(self, bit: _Bit) -> Pin:
        group = bit.group
        get = group.attributes.get
        direction = get("direction", "input").lower()
        try:
            rise, fall = self._capacitances(group, direction)
        except InputError as error:
            raise InputError(f"pin {bit.name}: {error}") from None
        supply, voltage = self._supply(group, direction)
        return Pin(
            bit.name,
            direction,
            rise,
            fall,
            is_true(get("clock")),
            self._expression(group, "function", bit),
            tuple(a for inner in group.of_kind("timing") for a in self._arcs(inner, bit)),
            tuple(p for g in group.of_kind("internal_power") for p in self._powers(g, bit)),
            supply,
            voltage,
        )

    def _capacitances(self, group: Group, direction: str) -> tuple[float, float]:
        """Return the farads of a rising and a falling edge.

        An edge has its own, else the pin's, else the upper end of its range, else that of the other
        edge, else the library's default for the direction.
        """
        stated: list[float | None] = []
        for key, span in zip(_CAPACITANCES[1:], _RANGES, strict=True):
            text = group.attributes.get(key, group.attributes.get("capacitance"))
            ends = names(group.complex_attributes.get(span, [()])[-1])
            text = ends[-1] if text is None and ends else text
            value = None if text is None else number(text, "capacitance")
            if value is not None and value < 0:
                raise InputError(f"capacitance = {text!r}: must be at least 0")
            stated.append(None if value is None else value * self.common.units.capacitance)
        rise, fall = stated
        rise, fall = fall if rise is None else rise, rise if fall is None else fall
        if rise is None or fall is None:
            rise = fall = self.common.defaults.get(f"default_{direction}_pin_cap", 0.0)
        return rise, fall

    def _supply(self, group: Group, direction: str) -> tuple[str | None, float | None]:
        """Return name and volts of the supply that drives a pin, None where the file does not say.

        The pin's ``related_power_pin``, else its signal level, else the cell's only power pin.
        """
        get = group.attributes.get
        level = "input_signal_level" if direction == "input" else "output_signal_level"
        for name in (get("related_power_pin"), get(level)):
            if name is not None and (found := self._voltage(name)) is not None:
                return found
        main = {
            found
            for name, pg in self.pg_pins
            if pg.attributes.get("pg_type") == "primary_power"
            and (found := self._voltage(name)) is not None
        }
        if not main:
            connected = supply_names(self.group, "rail_connection")
            main = {found for name, _ in connected if (found := self._voltage(name)) is not None}
        return main.pop() if len(main) == 1 else (None, None)

    def _voltage(self, name: str) -> tuple[str, float] | None:
        """Return a supply's name and volts, by its name or that of a pin that it feeds."""
        rails = [pg.attributes.get("voltage_name", pin) for pin, pg in self.pg_pins if pin == name]
        rails += [rail for pin, rail in supply_names(self.group, "rail_connection") if pin == name]
        for rail in (*rails, name):
            if rail in self.common.voltages:
                return rail, self.common.voltages[rail]
        return None

    # What depends on other pins

    def _arcs(self, group: Group, bit: _Bit) -> Iterator[TimingArc]:
        if not (group.of_kind("cell_rise") or group.of_kind("cell_fall")):
            return
        get, units = group.attributes.get, self.common.units
        tables = [
            self._table(group, kind, units.time)
            for kind in ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
        ]
        for related in self._related(group, bit):
            kind, sense = get("timing_type", "combinational"), get("timing_sense", "non_unate")
            yield TimingArc(related, kind, sense, *tables)

    def _powers(self, group: Group, bit: _Bit) -> Iterator[InternalPower]:
        energy = self.common.units.energy
        both = self._table(group, "power", energy)
        rise = self._table(group, "rise_power", energy) or both
        fall = self._table(group, "fall_power", energy) or both
        when, supply = self._expression(group, "when", bit), group.attributes.get("related_pg_pin")
        supply = group.attributes.get("power_level") if supply is None else supply
        related = list(self._related(group, bit))
        known: list[str | None] = [name for name in related if name in self.bits]
        for name in related:
            if name not in self.bits:
                where = f"cell {_name(self.group)}: pin {bit.name}: internal_power"
                self.notes.append(f"{where}: related_pin {name}: the cell has no such pin")
        for pin in known or [None]:
            yield InternalPower(pin, when, supply, rise, fall)

    def _related(self, group: Group, bit: _Bit) -> Iterator[str]:
        """Yield the related pins, those of buses bit by bit.

        ``related_pin`` relates the bits of two vectors of one width one by one, and all bits
        otherwise, as ``related_bus_pins`` does.
        """
        for key in ("related_pin", "related_bus_pins"):
            for name in names([group.attributes.get(key, "")]):
                bits = list(self.buses.get(name, ())) or list(self._expanded([name]))
                if key == "related_pin" and bit.place is not None and 1 < len(bits) == bit.width:
                    bits = [bits[bit.place]]
                yield from bits

    def _table(self, group: Group, kind: str, factor: float) -> LookupTable | None:
        """Return a table, once for all bits of a bus."""
        key = id(group), kind
        if key not in self.tables:
            self.tables[key] = table(group, kind, self.common, factor)
        return self.tables[key]

    def _expression(self, group: Group, key: str, bit: _Bit | None = None) -> Expression | None:
        """Return an expression; in that of a vector's bit, other vectors stand for their bit."""
        text = group.attributes.get(key, "").strip()
        if not text:
            return None
        expression = expressions.parse(text)
        if bit is None or bit.place is None:
            return expression
        bits = {}
        for name in expression.variables:
            if name in self.vectors and name not in self.bits:
                members = self.vectors[name]
                if len(members) != bit.width:
                    raise InputError(
                        f"pin {bit.name}: {key} {text!r}: {name} has {len(members)} bits, not "
                        f"{bit.width}"
                    )
                bits[name] = members[bit.place]
        return expression.renamed(bits)

    # States

    def _states(self, group: Group) -> Iterator[Sequential]:
        """Yield the state of a register, or each of a bank's."""
        arguments = names(group.arguments)
        width = 1
        if group.kind.endswith("_bank"):
            if len(arguments) < 2:
                raise InputError(f"{group.kind} {tuple(arguments)}: must name states and a width")
            width = whole_number(arguments.pop(), f"{group.kind} width")
            if not 1 <= width <= MAX_BITS:
                raise InputError(f"{group.kind} width = {width}: must be in 1..{MAX_BITS}")
        elif len(arguments) == 3:  # the first is an input, as OpenSTA takes it
            arguments = arguments[1:]
        if len(arguments) not in (1, 2):
            raise InputError(f"{group.kind} {tuple(arguments)}: must name two states")
        state, inverted = (*arguments, f"{arguments[0]}_inverted")[:2]
        if not group.kind.endswith("_bank"):
            yield self._state(group, _Bit(state, group), state, inverted)
            return
        left, right = self.common.brackets
        for name in (state, inverted):
            self.vectors[name] = tuple(f"{name}{left}{k}{right}" for k in reversed(range(width)))
        for place in range(width):
            own, other = (self.vectors[name][place] for name in (state, inverted))
            yield self._state(group, _Bit(own, group, state, place, width), own, other)

    def _state(self, group: Group, bit: _Bit, state: str, inverted: str) -> Sequential:
        kind = group.kind.removesuffix("_bank")
        data, clock = ("next_state", "clocked_on") if kind == "ff" else ("data_in", "enable")
        zero = expressions.parse("0")
        first, second = (group.attributes.get(f"clear_preset_var{k}", "X").upper() for k in (1, 2))
        return Sequential(
            kind,
            state,
            inverted,
            next_state=self._expression(group, data, bit) or zero,
            clocked_on=self._expression(group, clock, bit) or zero,
            clear=self._expression(group, "clear", bit),
            preset=self._expression(group, "preset", bit),
            both_active=(first, second),
        )


def _name(group: Group) -> str:
    if not group.arguments:
        raise InputError(f"a {group.kind} group without a name")
    return group.arguments[0]


def _merged(name: str, parts: list[Group]) -> Group:
    """Return one group for a pin from that of its bus and its own; the later ones rule."""
    if len(parts) == 1 and parts[0].kind == "pin":
        return parts[0]
    merged = Group("pin", (name,))
    for part in parts:
        stated = {**part.attributes, **part.complex_attributes}
        if any(key in stated for key in (*_CAPACITANCES, *_RANGES)):
            for key in (*_CAPACITANCES, *_RANGES):
                merged.attributes.pop(key, None)
                merged.complex_attributes.pop(key, None)
        merged.attributes |= part.attributes
        merged.complex_attributes |= part.complex_attributes
        merged.groups += [inner for inner in part.groups if inner.kind != "pin"]
    return merged


def _stores(group: Group, pins: Collection[Pin]) -> bool:
    """Say whether a cell that describes no state has one: a RAM, a clocked macro, a scan cell."""
    if group.of_kind("memory") or is_true(group.attributes.get("is_memory")):
        return True
    if any(inner.kind in _STATES for test in group.of_kind("test_cell") for inner in test.groups):
        return True
    clocked = any(pin.is_clock for pin in pins)
    outputs = [pin for pin in pins if pin.direction == "output"]
    return clocked and bool(outputs) and all(pin.function is None for pin in outputs)
