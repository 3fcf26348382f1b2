"""Power of a mapped netlist from the Liberty tables and the activity of every net.

The method is OpenSTA's (``power/Power.cc``, read for its definitions): switching 1/2 C V^2 per
toggle of a driven net, internal energy by input slew and output load, leakage by state. Slews
propagate from ideal inputs and an ideal clock (zero slew) through the timing tables, the worst of
all arcs. Nets count as independent where a condition's probability is needed. ``docs/power.md``
states every rule and how near the result comes to OpenSTA 2.5.0.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dbp.errors import InputError
from dbp.files import write_bytes
from dbp.synthesis.activity import Activity
from dbp.synthesis.boolean import Expression
from dbp.synthesis.liberty import Cell, InternalPower, Library, Pin, Table, TimingArc
from dbp.synthesis.netlist import CONSTANTS, Netlist

GROUPS = ("sequential", "combinational", "clock")
KINDS = ("switching", "internal", "leakage", "total")
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Power:
    """Watts of every instance, in the order of the netlist; ``group`` indexes `GROUPS`."""

    instances: tuple[str, ...]
    cells: tuple[str, ...]
    group: NDArray[np.int64]
    switching_w: Array
    internal_w: Array
    leakage_w: Array

    @property
    def total_w(self) -> Array:
        return self.switching_w + self.internal_w + self.leakage_w

    def totals(self, group: str | None = None) -> dict[str, float]:
        """Watts of each of `KINDS`, summed over one group or over all instances."""
        chosen = slice(None) if group is None else self.group == GROUPS.index(group)
        return {kind: float(getattr(self, f"{kind}_w")[chosen].sum()) for kind in KINDS}

    def write(self, path: str | Path) -> None:
        """Write one row per instance to a ``.csv.gz``, atomically."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["instance", "cell", "group", *(f"{kind}_w" for kind in KINDS)])
        columns = [getattr(self, f"{kind}_w") for kind in KINDS]
        for k, (name, cell) in enumerate(zip(self.instances, self.cells, strict=True)):
            watts = (f"{column[k]:.6e}" for column in columns)
            rows.writerow([name, cell, GROUPS[self.group[k]], *watts])
        write_bytes(path, gzip.compress(text.getvalue().encode(), mtime=0))


def calculate(
    netlist: Netlist,
    library: Library,
    activity: Activity,
    clock_period_s: float,
    wire_load: str | None = None,
) -> Power:
    """Power of ``netlist`` at a clock period, with a wire load of the library or no wires.

    `InputError` where the library lacks a cell, a pin or the wire load, or the activity a net.
    """
    design = _Design(netlist, library, activity, wire_load)
    design.propagate_slews()
    count = len(netlist.instances)
    internal, switching, leakage = np.zeros(count), np.zeros(count), np.zeros(count)
    energy = 0.5 * library.voltage_v**2
    for batch in design.batches:
        for pin in batch.cell.pins.values():
            nets = batch.nets.get(pin.name)
            if nets is None:
                continue
            if pin.direction == "output":
                internal[batch.rows] += _output_energy(design, batch, pin)
                switching[batch.rows] += energy * design.load_f[nets] * design.toggles[nets]
            else:
                internal[batch.rows] += _input_energy(design, batch, pin)
        leakage[batch.rows] = _leakage(batch)
    return Power(
        tuple(i.name for i in netlist.instances),
        tuple(i.cell for i in netlist.instances),
        design.groups(),
        switching / clock_period_s,
        internal / clock_period_s,
        leakage,
    )


@dataclass(frozen=True, eq=False)
class _Batch:
    """Instances of one cell that connect the same pins, on one level: rows and nets as arrays."""

    cell: Cell
    rows: NDArray[np.int64]
    nets: Mapping[str, NDArray[np.int64]]
    probability: Mapping[str, Array]


class _Design:
    """The netlist as arrays over nets, and its instances in batches, drivers before loads."""

    def __init__(
        self, netlist: Netlist, library: Library, activity: Activity, wire_load: str | None
    ) -> None:
        self.netlist = netlist
        self.cells = [self._cell(library, instance) for instance in netlist.instances]
        names = dict.fromkeys(CONSTANTS) | dict.fromkeys(netlist.inputs)
        for instance in netlist.instances:
            names |= dict.fromkeys(instance.nets.values())
        names |= dict.fromkeys(netlist.outputs.values())
        self.index = {name: k for k, name in enumerate(names)}
        lacking = [n for n in names if n not in CONSTANTS and n not in activity.toggles_per_clock]
        if lacking:
            raise InputError(f"activity: {len(lacking)} nets have none, {lacking[0]} the first")
        self.toggles = np.array([activity.toggles_per_clock.get(n, 0.0) for n in names])
        self.probability = np.array(
            [CONSTANTS[n] if n in CONSTANTS else activity.static_probability[n] for n in names],
            dtype=np.float64,
        )
        self.load_f = self._loads(library, wire_load)
        self.rise_slew_s, self.fall_slew_s = np.zeros(len(names)), np.zeros(len(names))
        self.batches = self._levelise()

    @staticmethod
    def _cell(library: Library, instance) -> Cell:
        cell = library.cells.get(instance.cell)
        if cell is None:
            raise InputError(f"instance {instance.name}: cell {instance.cell}: not in the library")
        for pin in instance.nets:
            if pin not in cell.pins:
                raise InputError(f"instance {instance.name}: {instance.cell} has no pin {pin}")
        return cell

    def _loads(self, library: Library, wire_load: str | None) -> Array:
        """Farads on every net at its costlier edge: pins, and wire by fan-out.

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
        pins = np.maximum(rise, fall)
        return pins if wires is None else pins + wires.capacitance_f(fanout)

    def _levelise(self) -> list[_Batch]:
        drivers: dict[str, int] = {}
        loads: dict[str, list[int]] = {}
        waiting = np.zeros(len(self.cells), dtype=np.int64)
        for row, (instance, cell) in enumerate(
            zip(self.netlist.instances, self.cells, strict=True)
        ):
            for name, net in instance.nets.items():
                if cell.pins[name].direction == "output":
                    if net in drivers or net in CONSTANTS:
                        raise InputError(f"net {net}: driven more than once")
                    drivers[net] = row
                elif not cell.has_state:
                    loads.setdefault(net, []).append(row)
        for net, rows in loads.items():
            if net in drivers:
                np.add.at(waiting, rows, 1)
        level = [row for row, count in enumerate(waiting) if count == 0]
        batches: list[_Batch] = []
        done = 0
        while level:
            done += len(level)
            batches += self._batches(level)
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
        return batches

    def _batches(self, rows: Iterable[int]) -> Iterable[_Batch]:
        alike: dict[tuple, list[int]] = {}
        for row in rows:
            instance = self.netlist.instances[row]
            alike.setdefault((instance.cell, *instance.nets), []).append(row)
        for (_, *pins), members in alike.items():
            cell = self.cells[members[0]]
            nets = {
                pin: np.array([self.index[self.netlist.instances[r].nets[pin]] for r in members])
                for pin in pins
            }
            probability = {pin: self.probability[index] for pin, index in nets.items()}
            _complete(cell, probability, len(members))
            yield _Batch(cell, np.array(members), nets, probability)

    def propagate_slews(self) -> None:
        """Worst slew of every net, level by level; sequential outputs start at the clock edge."""
        for batch in self.batches:
            for pin in batch.cell.outputs:
                if pin.name not in batch.nets:
                    continue
                nets = batch.nets[pin.name]
                for arc in pin.arcs:
                    if batch.cell.has_state and not arc.timing_type.endswith("_edge"):
                        continue
                    rise, fall = self.slews(batch, arc.related_pin)
                    for table, own, other, target in (
                        (arc.rise_slew, rise, fall, self.rise_slew_s),
                        (arc.fall_slew, fall, rise, self.fall_slew_s),
                    ):
                        if table is not None:
                            source = _source(arc, own, other)
                            slew = table(source, self.load_f[nets])
                            target[nets] = np.maximum(target[nets], slew)

    def slews(self, batch: _Batch, pin: str | None) -> tuple[Array, Array]:
        """Rise and fall slew at an input pin; the clock is ideal."""
        nets = batch.nets.get(pin) if pin is not None else None
        if nets is None or batch.cell.pins[pin].is_clock:
            zero = np.zeros(len(batch.rows))
            return zero, zero
        return self.rise_slew_s[nets], self.fall_slew_s[nets]

    def groups(self) -> NDArray[np.int64]:
        """Index into `GROUPS` of every instance. Clock: what drives registers' clock pins."""
        clocks = {
            instance.nets[pin.name]
            for instance, cell in zip(self.netlist.instances, self.cells, strict=True)
            for pin in cell.pins.values()
            if pin.is_clock and pin.name in instance.nets
        }
        group = np.array([0 if cell.has_state else 1 for cell in self.cells], dtype=np.int64)
        for batch in reversed(self.batches):
            for row in batch.rows:
                instance, cell = self.netlist.instances[row], self.cells[row]
                nets = instance.nets
                if any(nets.get(pin.name) in clocks for pin in cell.outputs):
                    group[row] = 2
                    if not cell.has_state:
                        clocks |= {nets[pin.name] for pin in cell.inputs if pin.name in nets}
        return group


def _complete(cell: Cell, probability: dict[str, Array], count: int) -> None:
    """Add the probabilities of the states and of the pins left open, inputs as undecided."""
    for pin in cell.inputs:
        probability.setdefault(pin.name, np.full(count, 0.5))
    if cell.sequential is not None:
        state, inverted = cell.sequential.state, cell.sequential.inverted_state
        known = np.full(count, 0.5)
        for pin in cell.outputs:
            if pin.name in probability and pin.function and pin.function.text in (state, inverted):
                value = probability[pin.name]
                known = value if pin.function.text == state else 1 - value
        probability |= {state: known, inverted: 1 - known}
    for pin in cell.outputs:
        if pin.name not in probability:
            probability[pin.name] = (
                pin.function.probability(probability) if pin.function else np.full(count, 0.5)
            )


def _source(arc: TimingArc, own: Array, opposite: Array) -> Array:
    if arc.timing_sense == "positive_unate":
        return own
    return opposite if arc.timing_sense == "negative_unate" else np.maximum(own, opposite)


def _output_energy(design: _Design, batch: _Batch, pin: Pin) -> Array:
    """Joules per clock at an output: its toggles, shared among the groups by activity.

    A group's share is the toggle rate of its related pin times the probability that the pin
    decides the output; groups of different supplies add up.
    """
    nets = batch.nets[pin.name]
    load, toggles = design.load_f[nets], design.toggles[nets]
    shares: list[Array] = []
    sums: dict[str | None, Array] = {}
    for item in pin.internal_power:
        source = batch.nets.get(item.related_pin) if item.related_pin else None
        rate = design.toggles[source] if source is not None else np.zeros(len(nets))
        shares.append(rate * _deciding(batch, pin, item))
        sums[item.supply] = sums.get(item.supply, 0.0) + shares[-1]
    energy = np.zeros(len(nets))
    for item, share in zip(pin.internal_power, shares, strict=True):
        total = sums[item.supply]
        weight = np.divide(share, total, out=np.zeros_like(share), where=total > 0)
        rise, fall = design.slews(batch, item.related_pin)
        if not _follows(pin, item.related_pin):
            rise, fall = fall, rise
        energy += weight * toggles * _mean_edge(item, rise, fall, load)
    return energy


def _deciding(batch: _Batch, pin: Pin, item: InternalPower) -> Array | float:
    related, function = item.related_pin, pin.function
    if function is not None and related in function.variables:
        return function.sensitivity(related, batch.probability, item.when)
    if item.when is not None:
        return item.when.probability(batch.probability)
    return 1.0 if related in batch.cell.pins and batch.cell.pins[related].is_clock else 0.5


def _follows(pin: Pin, related: str | None) -> bool:
    """Whether the output's edges follow the related pin's, by the first arc between them."""
    arc = next((arc for arc in pin.arcs if arc.related_pin == related), None)
    return arc is None or arc.timing_sense != "negative_unate"


def _input_energy(design: _Design, batch: _Batch, pin: Pin) -> Array | float:
    """Joules per clock at an input, by state: what its toggles cost while the output rests."""
    nets = batch.nets[pin.name]
    rise, fall = design.slews(batch, pin.name)
    energy = 0.0
    for item in pin.internal_power:
        share = _state_probability(batch, item.when, resting=pin.name)
        energy = energy + share * design.toggles[nets] * _mean_edge(item, rise, fall, 0.0)
    return energy


def _mean_edge(item: InternalPower, rise: Array, fall: Array, load: Array | float) -> Array:
    return 0.5 * (_edge(item.rise, rise, load) + _edge(item.fall, fall, load))


def _edge(table: Table | None, slew: Array, load: Array | float) -> Array | float:
    return 0.0 if table is None else table(slew, load)


def _state_probability(
    batch: _Batch, when: Expression | None, resting: str | None = None
) -> Array | float:
    """Probability of a condition, also while the input ``resting`` takes either value.

    Outputs of combinational cells are replaced by their functions, so that this is exact for
    independent inputs. Outputs of registers count as independent, as in OpenSTA.
    """
    if when is None:
        return 1.0
    if not batch.cell.has_state:
        when = when.substitute({p.name: p.function for p in batch.cell.outputs if p.function})
    if resting is not None:
        return when.resting(resting, batch.probability)
    return when.probability(batch.probability)


def _leakage(batch: _Batch) -> Array | float:
    """Watts: the mean over the states that the library describes, weighted by probability."""
    cell = batch.cell
    stated = [leak for leak in cell.leakages if leak.when is not None]
    if not stated:
        whole = sum(leak.power_w for leak in cell.leakages)
        return whole if cell.leakages else cell.leakage_w or 0.0
    watts = 0.0
    for supply in {leak.supply for leak in stated}:
        shares = [
            (_state_probability(batch, leak.when), leak.power_w)
            for leak in stated
            if leak.supply == supply
        ]
        total = sum(share for share, _ in shares)
        weighted = sum(share * power for share, power in shares)
        mean = sum(power for _, power in shares) / len(shares)
        watts = watts + np.where(total > 0, weighted / np.where(total > 0, total, 1.0), mean)
    return watts
