"""The netlist as the power calculation sees it: loads, levels, slews, clock network, constants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from dbp.errors import InputError
from dbp.synthesis.activity.activity import Activity
from dbp.synthesis.cells.expressions import Expression, Probability
from dbp.synthesis.cells.library import Cell, Library, Pin, TimingArc
from dbp.synthesis.netlist import CONSTANTS, Instance, Netlist

GROUPS = ("sequential", "combinational", "clock")
Array = NDArray[np.float64]


def without_supplies(netlist: Netlist, library: Library) -> Netlist:
    """Return the netlist without its connections to supplies (``pg_pin``), which carry no signal.

    `InputError` where the library lacks a cell or a pin, or where an ``inout`` is not a supply.
    """
    instances = []
    supplies: set[str] = set()
    vectors = False
    for instance in netlist.instances:
        cell = library.cells.get(instance.cell)
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
        return replace(netlist, instances=tuple(instances)) if vectors else netlist
    used = set(replace(netlist, inputs=(), instances=tuple(instances)).nets)
    for port in netlist.inouts:
        if port in used:
            raise InputError(f"port {port}: an inout must lead to nothing but pg_pins of cells")
    inputs = tuple(net for net in netlist.inputs if net in used or net not in supplies)
    return replace(netlist, inputs=inputs, instances=tuple(instances))


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
    ``fall_load_f``: farads at each edge; ``load_f`` is the larger. ``levels``: rows of instances;
    each level is driven by the levels before it. ``constant``: which nets never change. `annotate`
    sets ``toggles`` per clock, ``probability`` of 1 and ``clock``, the nets of the clock network;
    `propagate_slews` sets ``rise_slew_s`` and ``fall_slew_s``.
    """

    def __init__(self, netlist: Netlist, library: Library, wire_load: str | None) -> None:
        self.netlist = netlist
        self.cells = [library.cells[instance.cell] for instance in netlist.instances]
        names = [*CONSTANTS, *netlist.nets]
        self.index = {name: k for k, name in enumerate(names)}
        self.rise_load_f, self.fall_load_f = self._loads(library, wire_load)
        self.load_f = np.maximum(self.rise_load_f, self.fall_load_f)
        self.rise_slew_s, self.fall_slew_s = np.zeros(len(names)), np.zeros(len(names))
        self.levels = self._levelize()
        self.constant = self._constants()

    def annotate(self, activity: Activity) -> None:
        """Set toggles per clock and static probability of every net that is not constant.

        A constant of either value has probability 0, as in OpenSTA.
        """
        toggles, probability = activity.toggles_per_clock, activity.static_probability
        changing = {n: k for n, k in self.index.items() if not self.constant[k]}
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
        """Return the farads on every net at its rising and falling edge: pins, wire by fan-out.

        An output of the module counts in the fan-out.
        """
        rise, fall, fanout = np.zeros((3, len(self.index)))
        for instance, cell in zip(self.netlist.instances, self.cells, strict=True):
            for name, net in instance.nets.items():
                pin, k = cell.pins[name], self.index[net]
                rise[k] += pin.rise_capacitance_f
                fall[k] += pin.fall_capacitance_f
                fanout[k] += pin.direction == "input"
        for net in self.netlist.outputs.values():
            fanout[self.index[net]] += 1
        wires = library.wire_load(wire_load)
        return np.array([rise, fall]) + (0 if wires is None else wires.capacitance_f(fanout))

    def _levelize(self) -> list[list[int]]:
        """Return the rows of the instances by level; registers are on the first level."""
        drivers: dict[str, int] = {}
        loads: dict[str, list[int]] = {}
        waiting = np.zeros(len(self.cells), dtype=np.int64)
        by_cell = {cell.name: _passing(cell) for cell in self.cells}
        passing = [by_cell[cell.name] for cell in self.cells]
        for row, (instance, cell) in enumerate(
            zip(self.netlist.instances, self.cells, strict=True)
        ):
            for name, net in instance.nets.items():
                if cell.pins[name].direction == "output":
                    if net in drivers or net in CONSTANTS:
                        raise InputError(f"net {net}: driven more than once")
                    drivers[net] = row
                elif name in passing[row]:
                    loads.setdefault(net, []).append(row)
        for net, rows in loads.items():
            if net in drivers:
                np.add.at(waiting, rows, 1)
        level = [row for row, count in enumerate(waiting) if count == 0]
        levels: list[list[int]] = []
        done = 0
        while level:
            done += len(level)
            levels.append(level)
            following = []
            for row in level:
                instance = self.netlist.instances[row]
                for name, net in instance.nets.items():
                    if self.cells[row].pins[name].direction == "output":
                        for other in loads.get(net, ()):
                            waiting[other] -= 1
                            if waiting[other] == 0:
                                following.append(other)
            level = following
        if done != len(self.cells):
            row = int(np.flatnonzero(waiting)[0])
            raise InputError(
                f"instance {self.netlist.instances[row].name}: in or behind a combinational loop"
            )
        return levels

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

    def _constants(self) -> NDArray[np.bool_]:
        """Say which nets are constant: tied, or functions of constant nets alone."""
        values = np.full(len(self.index), np.nan)
        for name, value in CONSTANTS.items():
            values[self.index[name]] = value
        for level in self.levels:
            for batch in self.batches_of(level):
                for pin in batch.cell.outputs:
                    if pin.name in batch.nets and pin.function and not batch.cell.has_state:
                        values[batch.nets[pin.name]] = _settled(pin.function, batch, values)
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
        if cell.sequential is not None:
            state, inverted = cell.sequential.state, cell.sequential.inverted_state
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
        to_register, clocked = np.zeros((2, len(self.index)), dtype=bool)
        gates: list[tuple[list[int], list[int]]] = []
        for level in self.levels:
            for row in level:
                cell, nets = self.cells[row], self.netlist.instances[row].nets
                for pin in cell.clock_pins & nets.keys():
                    to_register[self.index[nets[pin]]] = True
                gates.append(
                    (
                        [self.index[nets[pin]] for pin in _passing(cell) if pin in nets],
                        [self.index[nets[p.name]] for p in cell.outputs if p.name in nets],
                    )
                )
        for inputs, outputs in reversed(gates):
            if to_register[outputs].any():
                to_register[inputs] = True
        ports = [self.index[n] for n in self.netlist.inputs if to_register[self.index[n]]]
        most = max((self.toggles[k] for k in ports), default=0.0)
        clocked[[k for k in ports if self.toggles[k] >= most / 2]] = True
        for inputs, outputs in gates:
            if clocked[inputs].any():
                clocked[outputs] |= to_register[outputs]
        return clocked

    def propagate_slews(self) -> None:
        """Find the worst slew of every net, level by level; registers start at the clock edge."""
        for batch in (batch for level in self.levels for batch in self.batches_of(level)):
            for pin in batch.cell.outputs:
                if pin.name not in batch.nets:
                    continue
                nets = batch.nets[pin.name]
                for arc in pin.arcs:
                    if batch.cell.sequential and not arc.timing_type.endswith("_edge"):
                        continue
                    rise, fall = self.slews(batch, arc.related_pin)
                    for table, own, other, load, target in (
                        (arc.rise_slew, rise, fall, self.rise_load_f, self.rise_slew_s),
                        (arc.fall_slew, fall, rise, self.fall_load_f, self.fall_slew_s),
                    ):
                        if table is not None:
                            source = _source(arc, own, other)
                            slew = table(source, load[nets])
                            target[nets] = np.maximum(target[nets], slew)

    def slews(self, batch: Batch, pin: str | None) -> tuple[Array, Array]:
        """Return rise and fall slew at an input pin; zero on the ideal clock and without a net."""
        nets = batch.nets.get(pin) if pin is not None else None
        if nets is None:
            return np.zeros(len(batch.rows)), np.zeros(len(batch.rows))
        ideal = self.clock[nets]
        rise, fall = self.rise_slew_s[nets], self.fall_slew_s[nets]
        return np.where(ideal, 0, rise), np.where(ideal, 0, fall)

    def groups(self) -> NDArray[np.int64]:
        """Return the index into `GROUPS` of every instance; a clock cell drives only clock nets."""
        group = np.zeros(len(self.cells), dtype=np.int64)
        for row, (instance, cell) in enumerate(
            zip(self.netlist.instances, self.cells, strict=True)
        ):
            driven = [
                self.index[instance.nets[p.name]] for p in cell.outputs if p.name in instance.nets
            ]
            if driven and self.clock[driven].all():
                group[row] = GROUPS.index("clock")
            else:
                group[row] = GROUPS.index("sequential" if cell.has_state else "combinational")
        return group


def _passing(cell: Cell) -> set[str]:
    """Return the inputs from which a change passes to an output without waiting for a clock edge.

    A register has none, a clock gate its clock.
    """
    if cell.sequential is not None:
        return set()
    if not cell.has_state:
        return {pin.name for pin in cell.pins.values() if pin.direction != "output"}
    arcs = (arc for pin in cell.outputs for arc in pin.arcs)
    return {arc.related_pin for arc in arcs if arc.timing_type.startswith("combinational")}


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


def _source(arc: TimingArc, own: Array, opposite: Array) -> Array:
    """Return the slew of the input edge that causes an output edge, from those of both edges."""
    if arc.timing_sense == "positive_unate":
        return own
    return opposite if arc.timing_sense == "negative_unate" else np.maximum(own, opposite)
