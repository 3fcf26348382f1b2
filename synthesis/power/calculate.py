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
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dbp.errors import InputError
from dbp.support.files import write_bytes
from dbp.synthesis.activity.activity import Activity
from dbp.synthesis.cells.expressions import Expression
from dbp.synthesis.cells.library import Cell, InternalPower, Library, Pin, Table, TimingArc
from dbp.synthesis.netlist import CONSTANTS, Netlist

GROUPS = ("sequential", "combinational", "clock")
KINDS = ("switching", "internal", "leakage", "total")
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Power:
    """Watts of every instance, in the order of the netlist; ``group`` indexes `GROUPS`.

    ``clocks``: the inputs that count as clocks.
    """

    instances: tuple[str, ...]
    cells: tuple[str, ...]
    group: NDArray[np.int64]
    switching_w: Array
    internal_w: Array
    leakage_w: Array
    clocks: tuple[str, ...]

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
    netlist = link(netlist, library)
    design = _Design(netlist, library, wire_load)
    design.annotate(activity)
    design.propagate_slews()
    count = len(netlist.instances)
    internal, switching, leakage = np.zeros(count), np.zeros(count), np.zeros(count)
    energy = 0.5 * library.voltage_v**2
    # All instances of a cell at once: the levels matter to the slews only.
    for batch in design.batches_of(range(count)):
        try:
            of = design.probabilities(batch)
            for pin in batch.cell.pins.values():
                nets = batch.nets.get(pin.name)
                if pin.direction == "output":
                    # Also where it is open: what moves inside the cell does not know.
                    internal[batch.rows] += _output_energy(design, batch, pin, of)
                    if nets is not None:
                        toggles = design.toggles[nets]
                        switching[batch.rows] += energy * design.load_f[nets] * toggles
                elif nets is not None:
                    internal[batch.rows] += _input_energy(design, batch, pin, of)
            leakage[batch.rows] = _leakage(batch.cell, of)
        except KeyError as error:
            raise InputError(
                f"library {library.name}: cell {batch.cell.name}: a condition on {error}: no pin"
            ) from None
    return Power(
        tuple(i.name for i in netlist.instances),
        tuple(i.cell for i in netlist.instances),
        design.groups(),
        switching / clock_period_s,
        internal / clock_period_s,
        leakage,
        tuple(name for name in netlist.inputs if design.clock[design.index[name]]),
    )


def link(netlist: Netlist, library: Library) -> Netlist:
    """The netlist without its connections to supplies (``pg_pin``), which carry no signal.

    `InputError` where the library lacks a cell or a pin, or where an ``inout`` is no supply.
    """
    instances, supplies = [], set()
    for instance in netlist.instances:
        cell = library.cells.get(instance.cell)
        if cell is None:
            raise InputError(
                f"instance {instance.name}: cell {instance.cell}: not in the library {library.name}"
            )
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
        return netlist
    used = set(nets(replace(netlist, inputs=(), instances=tuple(instances))))
    for port in netlist.inouts:
        if port in used:
            raise InputError(f"port {port}: an inout must lead to nothing but pg_pins of cells")
    inputs = tuple(net for net in netlist.inputs if net in used or net not in supplies)
    return replace(netlist, inputs=inputs, instances=tuple(instances))


def nets(netlist: Netlist) -> list[str]:
    """All nets of a netlist but the constants."""
    names = dict.fromkeys(netlist.inputs)
    for instance in netlist.instances:
        names |= dict.fromkeys(instance.nets.values())
    names |= dict.fromkeys(netlist.outputs.values())
    return [name for name in names if name not in CONSTANTS]


@dataclass(frozen=True, eq=False)
class _Batch:
    """Instances of one cell that connect the same pins: rows and nets as arrays."""

    cell: Cell
    rows: NDArray[np.int64]
    nets: Mapping[str, NDArray[np.int64]]
    differences: dict[tuple[str, str], Array] = field(default_factory=dict)

    def difference(self, output: Pin, pin: str, of: Mapping[str, Array]) -> Array | None:
        """Probability that ``pin`` decides an output; None where its function does not read it."""
        if output.function is None or pin not in output.function.variables:
            return None
        key = output.name, pin
        if key not in self.differences:
            self.differences[key] = output.function.difference(pin, of)
        return self.differences[key]


class _Design:
    """The netlist as arrays over nets, and its instances in batches, drivers before loads."""

    def __init__(self, netlist: Netlist, library: Library, wire_load: str | None) -> None:
        self.netlist = netlist
        self.cells = [library.cells[instance.cell] for instance in netlist.instances]
        names = [*CONSTANTS, *nets(netlist)]
        self.index = {name: k for k, name in enumerate(names)}
        self.rise_load_f, self.fall_load_f = self._loads(library, wire_load)
        self.load_f = np.maximum(self.rise_load_f, self.fall_load_f)
        self.rise_slew_s, self.fall_slew_s = np.zeros(len(names)), np.zeros(len(names))
        self.levels = self._levelize()
        self.constant = self._constants()

    def annotate(self, activity: Activity) -> None:
        """Toggles per clock and static probability of every net; constants need none.

        A constant counts as 0 whichever it is, as OpenSTA has it.
        """
        toggles, probability = activity.toggles_per_clock, activity.static_probability
        free = {n: k for n, k in self.index.items() if not self.constant[k]}
        lacking = [name for name in free if name not in toggles]
        if lacking:
            where = f" in {activity.source}" if activity.source else ""
            raise InputError(
                f"activity: {len(lacking)} nets have none{where}, {lacking[0]} the first"
            )
        self.toggles, self.probability = np.zeros((2, len(self.index)))
        for name, k in free.items():
            self.toggles[k], self.probability[k] = toggles[name], probability[name]
        self.clock = self._clock_network()

    def _loads(self, library: Library, wire_load: str | None) -> Array:
        """Farads on every net at its rising and at its falling edge: pins, and wire by fan-out.

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
        """Rows of the instances, drivers before loads; registers are on the first level."""
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

    def batches_of(self, rows: Iterable[int]) -> Iterable[_Batch]:
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
            yield _Batch(cell, np.array(members), nets)

    def _constants(self) -> NDArray[np.bool_]:
        """Which nets are constant: tied, or functions of nothing but such."""
        values = np.full(len(self.index), np.nan)
        for name, value in CONSTANTS.items():
            values[self.index[name]] = value
        for level in self.levels:
            for batch in self.batches_of(level):
                for pin in batch.cell.outputs:
                    if pin.name in batch.nets and pin.function and not batch.cell.has_state:
                        values[batch.nets[pin.name]] = _settled(pin.function, batch, values)
        return ~np.isnan(values)

    def probabilities(self, batch: _Batch) -> dict[str, Array]:
        """Of being 1, by pin and state of the cell; inputs left open count as undecided."""
        cell, count = batch.cell, len(batch.rows)
        of = {pin: self.probability[nets] for pin, nets in batch.nets.items()}
        half = np.full(count, 0.5)
        for pin in cell.pins.values():
            if pin.direction != "output":
                of.setdefault(pin.name, half)
        if cell.sequential is not None:
            state, inverted = cell.sequential.state, cell.sequential.inverted_state
            known = half
            for pin in cell.outputs:
                if pin.name in of and pin.function and pin.function.text in (state, inverted):
                    value = of[pin.name]
                    known = value if pin.function.text == state else 1 - value
            of |= {state: known, inverted: 1 - known}
        for pin in cell.outputs:
            if pin.name not in of:
                of[pin.name] = pin.function.independent(of) if pin.function else half
        return of

    def _clock_network(self) -> NDArray[np.bool_]:
        """Nets on the way from a clock to a register: ideal, without slew.

        Clocks are those inputs with a way to a register's clock pin that toggle most.
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
        """Worst slew of every net, level by level; sequential outputs start at the clock edge."""
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

    def slews(self, batch: _Batch, pin: str | None) -> tuple[Array, Array]:
        """Rise and fall slew at an input pin; the clock is ideal."""
        nets = batch.nets.get(pin) if pin is not None else None
        if nets is None:
            return np.zeros((2, len(batch.rows)))
        ideal = self.clock[nets]
        return np.where(ideal, 0, self.rise_slew_s[nets]), np.where(
            ideal, 0, self.fall_slew_s[nets]
        )

    def groups(self) -> NDArray[np.int64]:
        """Index into `GROUPS` of every instance. Clock: cells that drive only the clock network."""
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
    """Inputs from which a change passes to an output: none of a register, the clock of its gate."""
    if cell.sequential is not None:
        return set()
    if not cell.has_state:
        return {pin.name for pin in cell.pins.values() if pin.direction != "output"}
    arcs = (arc for pin in cell.outputs for arc in pin.arcs)
    return {arc.related_pin for arc in arcs if arc.timing_type.startswith("combinational")}


def _settled(function: Expression, batch: _Batch, values: Array) -> Array:
    """The value of a function where constant nets alone decide it; NaN elsewhere."""
    count = len(batch.rows)
    known = [values[batch.nets[v]] if v in batch.nets else None for v in function.variables]
    if function.variables and all(k is None or np.isnan(k).all() for k in known):
        return np.full(count, np.nan)
    can = np.zeros((2, count), dtype=bool)
    for state, value in enumerate(function.truth):
        possible = np.ones(count, dtype=bool)
        for j, k in enumerate(known):
            if k is not None:
                possible &= np.isnan(k) | (k == (state >> j & 1))
        can[int(value)] |= possible
    return np.where(can.all(axis=0), np.nan, can[1].astype(float))


def _source(arc: TimingArc, own: Array, opposite: Array) -> Array:
    if arc.timing_sense == "positive_unate":
        return own
    return opposite if arc.timing_sense == "negative_unate" else np.maximum(own, opposite)


def _output_energy(design: _Design, batch: _Batch, pin: Pin, of: Mapping[str, Array]) -> Array:
    """Joules per clock at an output: its toggles, shared among the groups by activity.

    A group's share is the toggle rate of its related pin times the probability that the pin
    decides the output; groups of different supplies add up.
    """
    load, toggles = _load_and_toggles(design, batch, pin, of)
    shares: list[Array] = []
    sums: dict[str | None, Array] = {}
    for item in pin.internal_power:
        source = batch.nets.get(item.related_pin) if item.related_pin else None
        share = np.zeros(len(toggles))
        if source is not None:
            share += design.toggles[source] * _deciding(design, batch, pin, item, of)
        shares.append(share)
        sums[item.supply] = sums.get(item.supply, 0.0) + share
    energy = np.zeros(len(toggles))
    for item, share in zip(pin.internal_power, shares, strict=True):
        total = sums[item.supply]
        weight = np.divide(share, total, out=np.zeros_like(share), where=total > 0)
        rise, fall = design.slews(batch, item.related_pin)
        if not _follows(pin, item.related_pin):
            rise, fall = fall, rise
        energy += weight * toggles * _mean_edge(item, rise, fall, load)
    return energy


def _load_and_toggles(
    design: _Design, batch: _Batch, pin: Pin, of: Mapping[str, Array]
) -> tuple[Array, Array]:
    """Load and toggles per clock of an output. An open one has no load but its own.

    It toggles as often as each pin that its function reads times the probability that the pin
    decides it; a register's state as its first output that is connected and shows it, or never.
    """
    if pin.name in batch.nets:
        nets = batch.nets[pin.name]
        return design.load_f[nets], design.toggles[nets]
    cell, count = batch.cell, len(batch.rows)
    toggles = {name: design.toggles[nets] for name, nets in batch.nets.items()}
    if cell.sequential is not None:
        states = (cell.sequential.state, cell.sequential.inverted_state)
        alone = [(state,) for state in states]
        shown = (
            toggles[p.name]
            for p in cell.outputs
            if p.name in toggles and p.function and p.function.variables in alone
        )
        toggles |= dict.fromkeys(states, next(shown, np.zeros(count)))
    moves = np.zeros(count)
    for name in pin.function.variables if pin.function else ():
        if name in toggles:
            # Exact, unlike what is compared with OpenSTA: a sum shows every change.
            moves = moves + toggles[name] * pin.function.decides(name, of)
    own = max(pin.rise_capacitance_f, pin.fall_capacitance_f)
    return np.full(count, own), moves


def _deciding(
    design: _Design, batch: _Batch, pin: Pin, item: InternalPower, of: Mapping[str, Array]
) -> Array | float:
    decides = batch.difference(pin, item.related_pin, of)
    if decides is not None:
        return decides
    if item.when is not None:
        return item.when.independent(of)
    return np.where(design.clock[batch.nets[item.related_pin]], 1.0, 0.5)


def _follows(pin: Pin, related: str | None) -> bool:
    """Whether the output's edges follow the related pin's, by the first arc between them."""
    arc = next((arc for arc in pin.arcs if arc.related_pin == related), None)
    return arc is None or arc.timing_sense != "negative_unate"


def _input_energy(
    design: _Design, batch: _Batch, pin: Pin, of: Mapping[str, Array]
) -> Array | float:
    """Joules per clock at an input, by state.

    A condition that names an output counts as often as the pin decides this output.
    """
    nets, cell = batch.nets[pin.name], batch.cell
    rise, fall = design.slews(batch, pin.name)
    energy = 0.0
    for item in pin.internal_power:
        share: Array | float = 1.0
        if item.when is not None:
            named = (cell.pins[v] for v in item.when.variables if v in cell.pins)
            output = next((p for p in named if p.direction == "output"), None)
            decides = batch.difference(output, pin.name, of) if output is not None else None
            share = item.when.independent(of) if decides is None else decides
        energy = energy + share * design.toggles[nets] * _mean_edge(item, rise, fall, 0.0)
    return energy


def _mean_edge(item: InternalPower, rise: Array, fall: Array, load: Array | float) -> Array:
    return 0.5 * (_edge(item.rise, rise, load) + _edge(item.fall, fall, load))


def _edge(table: Table | None, slew: Array, load: Array | float) -> Array | float:
    return 0.0 if table is None else table(slew, load)


def _leakage(cell: Cell, of: Mapping[str, Array]) -> Array | float:
    """Watts: the mean over the states that the library describes, weighted by probability.

    What they leave to 1 goes to the leakage without a condition, or to that of the whole cell;
    where the library has neither, the stated states share it.
    """
    stated = [leak for leak in cell.leakages if leak.when is not None]
    if not stated:
        whole = sum(leak.power_w for leak in cell.leakages)
        return whole if cell.leakages else cell.leakage_w or 0.0
    # A condition on a combinational output is one on the inputs. Outputs of a register count as
    # independent, as in OpenSTA: with Q at p and QN at 1 - p, (1, 0) has p^2 and not p. The leakage
    # of the whole cell, as a rule the mean of its states, takes the share of the impossible pairs,
    # and half of that is each true state's: p^2 + (p - p^2) = p.
    functions = {p.name: p.function for p in cell.outputs if p.function and not cell.has_state}
    watts = 0.0
    for supply in {leak.supply for leak in stated}:
        own = [leak for leak in cell.leakages if leak.supply == supply]
        shares = [
            (leak.when.substitute(functions).probability(of), leak.power_w)
            for leak in own
            if leak.when is not None
        ]
        total = sum(share for share, _ in shares)
        weighted = sum(share * power for share, power in shares)
        other = next((leak.power_w for leak in own if leak.when is None), cell.leakage_w)
        if other is not None:
            watts = watts + weighted + np.maximum(1 - total, 0) * other
        else:
            mean = sum(power for _, power in shares) / len(shares)
            watts = watts + np.where(total > 0, weighted / np.where(total > 0, total, 1.0), mean)
    return watts
