"""The netlist as the power calculation sees it: loads, levels, slews, clock network, constants."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from dbp.errors import InputError
from dbp.synthesis.activity.activity import Activity
from dbp.synthesis.cells.expressions import Expression, Probability
from dbp.synthesis.cells.library import Cell, Library, Pin, TimingArc
from dbp.synthesis.netlist import CONSTANTS, Instance, Netlist
from dbp.synthesis.netlist.spef import Wires
from dbp.synthesis.power._order import Driver, drivers, drives, loads, ordered

GROUPS = ("sequential", "combinational", "clock")
Array = NDArray[np.float64]
# How many names a note lists.
_NAMED = 5


def without_supplies(netlist: Netlist, library: Library) -> Netlist:
    """Return the netlist without its connections to supplies (``pg_pin``), which carry no signal.

    Cells that connect nothing and that the library lacks, as taps of a layout, are left out too.
    `InputError` where the library lacks a cell or a pin.
    """
    instances = []
    supplies: set[str] = set()
    vectors = False
    for instance in netlist.instances:
        cell = library.cells.get(instance.cell)
        if cell is None and not instance.nets and not instance.vectors:
            continue  # a tap or a filler of a layout: it has no function, and no power is stated
        if cell is None:
            raise InputError(
                f"instance {instance.name}: cell {instance.cell}: not in the library {library.name}"
            )
        if instance.vectors or not cell.buses.keys().isdisjoint(instance.nets):
            instance, vectors = _bit_by_bit(instance, cell), True
        if not instance.nets.keys() <= cell.pins.keys():
            for pin in instance.nets:
                if pin not in cell.pins and pin not in cell.supplies:
                    raise InputError(
                        f"instance {instance.name}: {cell.name} has no pin {pin} in the library "
                        f"{library.name}: must be one of {', '.join(cell.pins)}"
                    )
            supplies |= {net for pin, net in instance.nets.items() if pin not in cell.pins}
            signals = {pin: net for pin, net in instance.nets.items() if pin in cell.pins}
            instance = replace(instance, nets=signals)
        instances.append(instance)
    if not supplies and not netlist.inouts:
        same = not vectors and len(instances) == len(netlist.instances)
        return netlist if same else replace(netlist, instances=tuple(instances))
    used = set(replace(netlist, inputs=(), instances=tuple(instances)).nets)
    inputs = tuple(net for net in netlist.inputs if net in used or net not in supplies)
    inouts = tuple(net for net in netlist.inouts if net in used)
    return replace(netlist, inputs=inputs, inouts=inouts, instances=tuple(instances))


def _bit_by_bit(instance: Instance, cell: Cell) -> Instance:
    """Return the instance with every bus connected by its bits, the most significant first."""
    nets = {pin: net for pin, net in instance.nets.items() if pin not in cell.buses}
    wide = {pin: (net,) for pin, net in instance.nets.items() if pin in cell.buses}
    for pin, bits in {**wide, **instance.vectors}.items():
        names = cell.buses.get(pin, (pin,))
        if pin not in cell.buses and pin not in cell.pins:
            bits = bits[:1]  # the caller says that there is no such pin
        if len(bits) != len(names):
            raise InputError(
                f"instance {instance.name}: pin {pin} of {cell.name} takes "
                f"{len(names)} bit{'s' * (len(names) > 1)}, not {len(bits)}"
            )
        for name, net in zip(names, bits, strict=True):
            if name in nets:
                raise InputError(f"instance {instance.name}: pin {name} is connected twice")
            nets[name] = net
    return replace(instance, nets=nets, vectors={})


@dataclass(frozen=True, eq=False)
class Batch:
    """Instances of one cell that connect the same pins, so that arrays serve all of them.

    ``rows``: their places in the netlist. ``nets``: by pin, the index of each instance's net.
    """

    cell: Cell
    rows: NDArray[np.int64]
    nets: Mapping[str, NDArray[np.int64]]
    differences: dict[tuple[str, str], Probability] = field(default_factory=dict)

    def difference(
        self, output: Pin, pin: str, probability: Mapping[str, Probability]
    ) -> Probability | None:
        """Return the probability that ``pin`` decides an output, None if its function omits it."""
        if output.function is None or pin not in output.function.variables:
            return None
        key = output.name, pin
        if key not in self.differences:
            self.differences[key] = output.function.decides(pin, probability)
        return self.differences[key]


class PowerGraph:
    """The netlist as arrays over nets, and its instances in batches, drivers before loads.

    ``index``: the place of each net in the arrays, the constants first. ``rise_load_f``,
    ``fall_load_f``: farads at each edge; ``load_f`` is the larger. ``order``: what drives the nets,
    by level; ``driven``: by how many pins of cells each net is driven. ``constant``: which nets
    never change. `annotate` sets ``toggles`` per clock, ``probability`` of 1 and ``clock``, the
    nets of the clock network; `propagate_slews` sets ``rise_slew_s`` and ``fall_slew_s``.
    ``undriven``: the nets that nothing drives, not even a port.
    """

    def __init__(
        self,
        netlist: Netlist,
        library: Library,
        wire_load: str | None,
        wires: Wires | None = None,
        wire_factor: float = 1.0,
    ) -> None:
        self.netlist, self.wires, self.wire_factor = netlist, wires, wire_factor
        self.cells = [library.cells[instance.cell] for instance in netlist.instances]
        names = [*CONSTANTS, *netlist.nets]
        self.index = {name: k for k, name in enumerate(names)}
        self.rise_load_f, self.fall_load_f = self._loads(library, wire_load)
        self.load_f = np.maximum(self.rise_load_f, self.fall_load_f)
        self.rise_slew_s, self.fall_slew_s = np.zeros(len(names)), np.zeros(len(names))
        self.drivers = drivers(netlist, self.cells)
        of_drivers = np.array([self.index[driver.net] for driver in self.drivers], dtype=np.int64)
        self.driven = np.bincount(of_drivers, minlength=len(names))
        self.order = ordered(self.drivers)
        self.ports = [self.index[port] for port in (*netlist.inputs, *netlist.inouts)]
        known = {*CONSTANTS, *netlist.inputs, *netlist.inouts}
        self.undriven = [n for k, n in enumerate(names) if not self.driven[k] and n not in known]
        self._batches = [batch for level in self.order.levels for batch in self._drivers(level)]
        self.constant = self._constants()

    def annotate(self, activity: Activity) -> None:
        """Set toggles per clock and static probability of every net that is not constant.

        A constant of either value has probability 0, as in OpenSTA, and so has a net without a
        driver of which nothing is known.
        """
        toggles, probability = activity.toggles_per_clock, activity.static_probability
        still = {net for net in self.undriven if net not in toggles}
        changing = {n: k for n, k in self.index.items() if not self.constant[k] and n not in still}
        lacking = [name for name in changing if name not in toggles]
        if lacking:
            where = f" in {activity.source}" if activity.source else ""
            raise InputError(
                f"activity: {len(lacking)} nets have none{where}, {lacking[0]} the first"
            )
        self.toggles, self.probability = np.zeros((2, len(self.index)))
        for name, k in changing.items():
            self.toggles[k], self.probability[k] = toggles[name], probability[name]
        self.clock = self._clock_network()

    def _loads(self, library: Library, wire_load: str | None) -> Array:
        """Return the farads on every net at its rising and falling edge: pins and wires.

        Wires are the extracted ones, or those of the wire load by fan-out, in which an output or
        inout of the module counts.
        """
        rise, fall, fanout = np.zeros((3, len(self.index)))
        for instance, cell in zip(self.netlist.instances, self.cells, strict=True):
            for name, net in instance.nets.items():
                pin, k = cell.pins[name], self.index[net]
                rise[k] += pin.rise_capacitance_f
                fall[k] += pin.fall_capacitance_f
                fanout[k] += loads(pin)
        for net in (*self.netlist.outputs.values(), *self.netlist.inouts):
            fanout[self.index[net]] += 1
        if self.wires is not None:
            extracted = self._extracted(self.wires)
            if self.wires.pins_included:
                rise, fall = np.zeros((2, len(self.index)))
            return np.array([rise, fall]) + extracted
        load = library.wire_load(wire_load)
        farads = 0.0 if load is None else self.wire_factor * load.capacitance_f(fanout)
        return np.array([rise, fall]) + farads

    def _extracted(self, wires: Wires) -> Array:
        """Return the farads of the extracted wire of every net; 0 for a net that has none."""
        return np.array([wires.capacitance_f(name) for name in self.index])

    def batches_of(self, rows: Iterable[int]) -> Iterable[Batch]:
        """Yield the instances at ``rows`` in batches."""
        alike: dict[tuple[str, ...], list[int]] = {}
        for row in rows:
            instance = self.netlist.instances[row]
            alike.setdefault((instance.cell, *instance.nets), []).append(row)
        for (_, *pins), members in alike.items():
            cell = self.cells[members[0]]
            nets = {
                pin: np.array([self.index[self.netlist.instances[r].nets[pin]] for r in members])
                for pin in pins
            }
            yield Batch(cell, np.array(members), nets)

    def _drivers(self, level: Iterable[Driver]) -> Iterable[tuple[Batch, Pin, frozenset[str]]]:
        """Yield the drivers of a level in batches, each with its pin and the pins cut from it."""
        alike: dict[tuple[str, frozenset[str]], list[int]] = {}
        for driver in level:
            cut = self.order.cut.get((driver.row, driver.pin), frozenset())
            alike.setdefault((driver.pin, cut), []).append(driver.row)
        for (pin, cut), rows in alike.items():
            for batch in self.batches_of(rows):
                yield batch, batch.cell.pins[pin], cut

    def _constants(self) -> NDArray[np.bool_]:
        """Say which nets are constant: tied, or functions of constant nets alone.

        One with several drivers is constant where all of them have the same constant value.
        """
        values = np.full(len(self.index), np.nan)
        for name, value in CONSTANTS.items():
            values[self.index[name]] = value
        met = np.zeros(len(self.index), dtype=bool)
        met[self.ports] = True
        for batch, pin, _ in self._batches:
            nets = batch.nets[pin.name]
            settled = np.full(len(nets), np.nan)
            if pin.function is not None and not batch.cell.has_state:
                settled = _settled(pin.function, batch, values)
            alone = (self.driven[nets] == 1) & ~met[nets]
            values[nets[alone]] = settled[alone]
            for net, value in zip(nets[~alone], settled[~alone], strict=True):
                values[net] = value if not met[net] or values[net] == value else np.nan
                met[net] = True
        return ~np.isnan(values)

    def probabilities(self, batch: Batch) -> dict[str, Probability]:
        """Return the probability of 1 by pin and state of the cell; 0.5 where an input is open."""
        cell, count = batch.cell, len(batch.rows)
        of: dict[str, Probability] = {
            pin: self.probability[nets] for pin, nets in batch.nets.items()
        }
        half = np.full(count, 0.5)
        for pin in cell.pins.values():
            if pin.direction != "output":
                of.setdefault(pin.name, half)
        for stored in cell.states:
            state, inverted = stored.state, stored.inverted_state
            known: Probability = half
            for pin in cell.outputs:
                if pin.name in of and pin.function and pin.function.text in (state, inverted):
                    value = of[pin.name]
                    known = value if pin.function.text == state else 1 - value
            of |= {state: known, inverted: 1 - known}
        for pin in cell.outputs:
            if pin.name not in of:
                of[pin.name] = pin.function.probability(of) if pin.function else half
        return of

    def _clock_network(self) -> NDArray[np.bool_]:
        """Say which nets lie on the way from a clock to a register; they are ideal, without slew.

        Clocks are the inputs with a way to a register's clock pin that toggle at least half as
        often as the one that toggles most.
        """
        onward: dict[int, list[int]] = {}
        back: dict[int, list[int]] = {}
        for driver in self.drivers:
            net = self.index[driver.net]
            for _, name in driver.sources:
                onward.setdefault(self.index[name], []).append(net)
                back.setdefault(net, []).append(self.index[name])
        pins = (
            self.index[instance.nets[pin]]
            for instance, cell in zip(self.netlist.instances, self.cells, strict=True)
            for pin in cell.clock_pins & instance.nets.keys()
        )
        to_register = _reached(pins, back)
        ports = [k for k in self.ports if k in to_register]
        most = max((self.toggles[k] for k in ports), default=0.0)
        clocks = [k for k in ports if self.toggles[k] >= most / 2]
        clocked = np.zeros(len(self.index), dtype=bool)
        clocked[list(_reached(clocks, onward, to_register))] = True
        return clocked

    def propagate_slews(self, input_slew_s: float = 0.0) -> None:
        """Find the worst slew of every net, level by level; registers start at the clock edge.

        ``input_slew_s``: that of all input ports but the clocks. The clock network is ideal without
        extracted wires; with them it has its own slews, which are found first.
        """
        if self.wires is not None:
            self._pass_all()  # registers come before the clock's own cells
        for slews in (self.rise_slew_s, self.fall_slew_s):
            slews[~self.clock] = 0.0
            slews[[k for k in self.ports if not self.clock[k]]] = input_slew_s
        self._pass_all()

    def _pass_all(self) -> None:
        """Pass the slews through all cells once."""
        for batch, pin, cut in self._batches:
            arcs = pin.arcs
            if batch.cell.states:
                arcs = tuple(arc for arc in arcs if arc.timing_type.endswith("_edge"))
            # An output with no other arc has the slew of ideal inputs rather than none.
            if not cut.issuperset(arc.related_pin for arc in arcs):
                arcs = tuple(arc for arc in arcs if arc.related_pin not in cut)
            for arc in arcs:
                self._pass_slews(batch, pin, arc)

    def _pass_slews(self, batch: Batch, pin: Pin, arc: TimingArc) -> None:
        """Raise the slews of the nets at ``pin`` to those that an arc brings."""
        nets = batch.nets[pin.name]
        rise, fall = self.slews(batch, arc.related_pin)
        for table, rises, load, target in (
            (arc.rise_slew, True, self.rise_load_f, self.rise_slew_s),
            (arc.fall_slew, False, self.fall_load_f, self.fall_slew_s),
        ):
            if table is not None:
                slew = table(_source(arc, rise, fall, rises), load[nets])
                # At: several drivers of a net may be in one batch.
                np.maximum.at(target, nets, slew)

    def slews(self, batch: Batch, pin: str | None) -> tuple[Array, Array]:
        """Return rise and fall slew at an input pin; zero on an ideal clock and without a net."""
        nets = batch.nets.get(pin) if pin is not None else None
        if nets is None:
            return np.zeros(len(batch.rows)), np.zeros(len(batch.rows))
        ideal = self.clock[nets] if self.wires is None else np.zeros(len(nets), dtype=bool)
        rise, fall = self.rise_slew_s[nets], self.fall_slew_s[nets]
        return np.where(ideal, 0, rise), np.where(ideal, 0, fall)

    def loops_cut(self) -> tuple[str, ...]:
        """Return where the slews go no further around a loop, as "instance/pin -> output"."""
        return tuple(
            f"{self.netlist.instances[row].name}/{pin} -> {output}"
            for (row, output), pins in self.order.cut.items()
            for pin in sorted(pins)
        )

    def notes(self) -> tuple[str, ...]:
        """Return what was assumed of loops, of nets with several drivers and of those with none."""
        notes = []
        if cut := self.loops_cut():
            notes.append(
                f"combinational loops: for the slews alone they are cut at {_some(cut)}; all else "
                "counts every pin"
            )
        several = [n for n, k in self.index.items() if self.driven[k] > 1]
        if several:
            notes.append(
                f"nets with several drivers: {_some(several)}: the drivers share the switching "
                "power; each has its internal power at every toggle of the net, as in OpenSTA"
            )
        tied = [
            f"{instance.name}/{pin}"
            for instance, cell in zip(self.netlist.instances, self.cells, strict=True)
            for pin, net in instance.nets.items()
            if net in CONSTANTS and drives(cell.pins[pin])
        ]
        if tied:
            notes.append(f"outputs tied to a constant: {_some(tied)}: they count as still")
        if self.undriven:
            notes.append(
                f"nets that nothing drives: {_some(self.undriven)}: without an activity they "
                "count as still, at 0"
            )
        return tuple(notes)

    def groups(self) -> NDArray[np.int64]:
        """Return the index into `GROUPS` of every instance; a clock cell drives only clock nets.

        An open output counts as a clock net where clock nets alone decide it: the loads that
        balance a clock tree drive nothing.
        """
        group = np.zeros(len(self.cells), dtype=np.int64)
        for row, (instance, cell) in enumerate(
            zip(self.netlist.instances, self.cells, strict=True)
        ):
            on_clock = {pin for pin, net in instance.nets.items() if self.clock[self.index[net]]}
            driven = []
            for pin in filter(drives, cell.pins.values()):
                if pin.name in instance.nets:
                    driven.append(pin.name in on_clock)
                elif pin.function is not None and not cell.has_state:
                    driven.append(on_clock >= set(pin.function.variables) != set())
            if driven and all(driven):
                group[row] = GROUPS.index("clock")
            else:
                group[row] = GROUPS.index("sequential" if cell.has_state else "combinational")
        return group


def _some(names: Sequence[str]) -> str:
    """Return the first of the names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _reached(
    starts: Iterable[int], edges: Mapping[int, Sequence[int]], within: Container[int] | None = None
) -> set[int]:
    """Return the nets that edges lead to from ``starts``, these too, without leaving ``within``."""
    reached = set(starts)
    waiting = list(reached)
    while waiting:
        for net in edges.get(waiting.pop(), ()):
            if net not in reached and (within is None or net in within):
                reached.add(net)
                waiting.append(net)
    return reached


def _settled(function: Expression, batch: Batch, values: Array) -> Array:
    """Return a function's value where constant nets alone decide it, NaN elsewhere."""
    count = len(batch.rows)
    known = [values[batch.nets[v]] if v in batch.nets else None for v in function.variables]
    if function.variables and all(k is None or np.isnan(k).all() for k in known):
        return np.full(count, np.nan)
    # Whether the value can be 0, and whether it can be 1.
    can = np.zeros((2, count), dtype=bool)
    for state, value in enumerate(function.truth):
        possible = np.ones(count, dtype=bool)
        for j, k in enumerate(known):
            if k is not None:
                possible &= np.isnan(k) | (k == (state >> j & 1))
        can[int(value)] |= possible
    return np.where(can.all(axis=0), np.nan, can[1].astype(float))


def _source(arc: TimingArc, rise: Array, fall: Array, rises: bool) -> Array:
    """Return the slew of the input edge that causes an output edge, which ``rises`` or falls."""
    sense, kind = arc.timing_sense, arc.timing_type
    if kind in ("rising_edge", "falling_edge"):
        return rise if kind == "rising_edge" else fall
    if sense not in ("positive_unate", "negative_unate"):
        return np.maximum(rise, fall)
    # A tristate is switched on, or off, by one edge, wherever its output goes.
    causes_rise = sense == "positive_unate"
    if not kind.startswith("three_state"):
        causes_rise = causes_rise == rises
    return rise if causes_rise else fall
