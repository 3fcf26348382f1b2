"""Cell libraries: the part of Liberty that timing, simulation and power need.

Everything is frozen and in seconds, farads, joules, watts and volts; area alone is in square
micrometres. `dbp.synthesis.cells.liberty_reader` makes it from files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dbp.errors import InputError
from dbp.synthesis.cells.expressions import Expression

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False, slots=True)
class LookupTable:
    """A quantity over input slew and output load; an axis of one point means independence.

    ``values``: shape ``(len(slews_s), len(loads_f))``.
    """

    slews_s: NDArray[np.float64]
    loads_f: NDArray[np.float64]
    values: NDArray[np.float64]

    def __call__(self, slew_s: ArrayLike, load_f: ArrayLike) -> NDArray[np.float64]:
        """Bilinear interpolation, continued linearly beyond the corners; broadcasts."""
        i, u = _locate(self.slews_s, slew_s)
        j, v = _locate(self.loads_f, load_f)
        i1, j1 = np.minimum(i + 1, len(self.slews_s) - 1), np.minimum(j + 1, len(self.loads_f) - 1)
        z = self.values
        return (1 - u) * ((1 - v) * z[i, j] + v * z[i, j1]) + u * (
            (1 - v) * z[i1, j] + v * z[i1, j1]
        )


def _locate(axis: NDArray[np.float64], x: ArrayLike) -> tuple[NDArray[np.int64], NDArray]:
    """Segment of the axis, and the position of ``x`` in it (outside 0..1 beyond the ends)."""
    x = np.asarray(x, dtype=np.float64)
    if len(axis) == 1:
        return np.zeros(x.shape, dtype=np.int64), np.zeros(x.shape)
    k = np.clip(np.searchsorted(axis, x, side="right") - 1, 0, len(axis) - 2)
    return k, (x - axis[k]) / (axis[k + 1] - axis[k])


@dataclass(frozen=True, slots=True)
class TimingArc:
    """From ``related_pin`` to an edge of the output; a table is None where there is no such edge.

    ``timing_type`` and ``timing_sense`` in Liberty's words ("combinational", "rising_edge", ...).
    """

    related_pin: str
    timing_type: str
    timing_sense: str
    rise_delay: LookupTable | None
    fall_delay: LookupTable | None
    rise_slew: LookupTable | None
    fall_slew: LookupTable | None


@dataclass(frozen=True, slots=True)
class InternalPower:
    """Energy per edge of the pin, in joules.

    ``related_pin``, ``when`` and ``supply`` (``related_pg_pin``) are None where not stated.
    """

    related_pin: str | None
    when: Expression | None
    supply: str | None
    rise: LookupTable | None
    fall: LookupTable | None


@dataclass(frozen=True, slots=True)
class Leakage:
    """Leakage in watts while ``when`` holds, drawn from ``supply`` where that is stated."""

    when: Expression | None
    supply: str | None
    power_w: float


@dataclass(frozen=True, slots=True)
class Pin:
    """A signal pin; its capacitance depends on the edge, ``capacitance_f`` is the larger one.

    ``supply`` drives the pin with ``voltage_v``; None where the library does not say: then it is
    the library's own voltage.
    """

    name: str
    direction: str
    rise_capacitance_f: float
    fall_capacitance_f: float
    is_clock: bool
    function: Expression | None
    arcs: tuple[TimingArc, ...]
    internal_power: tuple[InternalPower, ...]
    supply: str | None = None
    voltage_v: float | None = None

    @property
    def capacitance_f(self) -> float:
        return max(self.rise_capacitance_f, self.fall_capacitance_f)


@dataclass(frozen=True, slots=True)
class Sequential:
    """An ``ff`` or ``latch`` group: ``state`` and ``inverted_state`` are its two outputs' names.

    ``next_state`` and ``clocked_on`` are a flip-flop's; for a latch they stand for ``data_in``
    and ``enable``. ``both_active``: the two states while clear and preset are both active.
    """

    kind: str
    state: str
    inverted_state: str
    next_state: Expression
    clocked_on: Expression
    clear: Expression | None
    preset: Expression | None
    both_active: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell. ``states``: all that it stores, bit by bit; none for combinational cells.

    ``sequential``: the state of a cell that stores one bit, else None. ``has_state`` is also true
    for cells whose state is described otherwise (clock gates) or not at all (RAM macros); they
    cannot be simulated. ``supplies``: the power and ground pins (``pg_pin``),
    which ``pins`` leaves out. ``buses``: the pins of each bus or bundle, which has none of its own,
    the first that the file names first. ``notes``: what the file says and cannot mean.
    """

    name: str
    area_um2: float
    leakage_w: float | None
    leakages: tuple[Leakage, ...]
    pins: Mapping[str, Pin]
    sequential: Sequential | None
    has_state: bool
    dont_use: bool
    supplies: frozenset[str]
    buses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    states: tuple[Sequential, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def outputs(self) -> list[Pin]:
        return [pin for pin in self.pins.values() if pin.direction == "output"]

    @property
    def is_buffer(self) -> bool:
        """Tell whether the cell has one input and one output, which has the input's value."""
        if self.has_state or len(self.pins) != 2 or len(self.inputs) != 1 or len(self.outputs) != 1:
            return False
        function = self.outputs[0].function
        return function is not None and function.truth.tolist() == [False, True]

    @property
    def clock_pins(self) -> set[str]:
        """The pins marked as clocks, or read by a register's clock or enable."""
        read = {name for state in self.states for name in state.clocked_on.variables}
        return {pin.name for pin in self.pins.values() if pin.is_clock or pin.name in read}

    @property
    def inputs(self) -> list[Pin]:
        return [pin for pin in self.pins.values() if pin.direction == "input"]


class Lazy(Mapping[str, Value]):
    """Parts of a file, cells as a rule, that are read when they are asked for, by name.

    What nobody asks for may be odd. ``readers``: what reads each.
    """

    def __init__(self, readers: Mapping[str, Callable[[], Value]]) -> None:
        self.readers = readers
        self._read: dict[str, Value] = {}

    def __getitem__(self, name: str) -> Value:
        """Return a part; `KeyError` for an unknown name, `InputError` where it does not fit."""
        if name not in self._read:
            self._read[name] = self.readers[name]()
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self.readers

    def __iter__(self) -> Iterator[str]:
        return iter(self.readers)

    def __len__(self) -> int:
        return len(self.readers)

    def readable(self) -> Iterator[Value]:
        """Yield the parts that can be read."""
        for name in self:
            try:
                yield self[name]
            except InputError:
                continue


@dataclass(frozen=True, slots=True)
class WireLoad:
    """Wire capacitance by fan-out: length by table and slope, times capacitance per length."""

    name: str
    capacitance_f_per_length: float
    slope: float
    lengths: tuple[tuple[float, float], ...]

    def capacitance_f(self, fanout: ArrayLike) -> NDArray[np.float64]:
        """Farads of a net with ``fanout`` loads; zero without loads."""
        n = np.asarray(fanout, dtype=np.float64)
        if not self.lengths:
            return n * self.slope * self.capacitance_f_per_length
        counts, lengths = np.array(self.lengths).T
        length = np.interp(n, counts, lengths) + np.maximum(n - counts[-1], 0) * self.slope
        return np.where(n > 0, length, 0) * self.capacitance_f_per_length


@dataclass(frozen=True, slots=True)
class OperatingConditions:
    """One named corner."""

    name: str
    process: float
    voltage_v: float
    temperature_c: float


@dataclass(frozen=True, slots=True)
class Library:
    """One cell library, from one file or several.

    A cell of ``cells`` is read when it is asked for; `InputError` where it does not fit.
    ``voltage_v``: the supply of pins that name none. ``notes``: what had to be assumed.
    ``pin_groups``: how many a cell's text has, as far as that is known without reading it.
    """

    name: str
    voltage_v: float
    cells: Mapping[str, Cell]
    wire_loads: Mapping[str, WireLoad]
    default_wire_load: str | None
    operating_conditions: Mapping[str, OperatingConditions]
    notes: tuple[str, ...] = ()
    pin_groups: Mapping[str, int | None] = field(default_factory=dict)

    def buffers(self) -> list[Cell]:
        """Return the cells that are buffers; those that cannot be one are not read for that."""
        # A buffer's two pins have two directions, and therefore a group each.
        names = [name for name in self.cells if self.pin_groups.get(name, 2) in (2, None)]
        return [cell for cell in self._readable(names) if cell.is_buffer]

    def readable_cells(self) -> Iterator[Cell]:
        """Yield the cells that can be read, for those who look for one and can take another."""
        return self._readable(self.cells)

    def _readable(self, names: Iterable[str]) -> Iterator[Cell]:
        return Lazy({name: partial(self.cells.__getitem__, name) for name in names}).readable()

    def wire_load(self, name: str | None) -> WireLoad | None:
        """Return the wire load of that name, None for None (no wires); `InputError` if unknown."""
        if name is None:
            return None
        if name not in self.wire_loads:
            known = ", ".join(sorted(self.wire_loads)) or "none here"
            raise InputError(f"wire load {name!r}: must be one of library {self.name}'s ({known})")
        return self.wire_loads[name]
