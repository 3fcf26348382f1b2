"""Gate-level simulation of a mapped or routed netlist: Liberty functions, delays of the SDF.

Registers have no timing checks: whether the design meets its clock is a question for static timing.
Without a clock tree the clock is ideal. With one, every register launches at its own arrival of the
clock, counted from the earliest of all, and samples at that earliest arrival: the same bits as at
its own, as long as the slack is at least the skew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbp.errors import ToolError
from dbp.synthesis.activity.activity import Activity
from dbp.synthesis.cells.expressions import Expression
from dbp.synthesis.cells.library import Cell, Library, Pin, Sequential
from dbp.synthesis.gates import _event_simulator, clock_arrivals
from dbp.synthesis.gates._event_simulator import Functions, TimedGates
from dbp.synthesis.netlist import CLOCK, CONSTANTS, Instance, Netlist
from dbp.synthesis.timing.opensta_timing import PathDelays

TIME_UNIT_S = 1e-13
_BUFFER, _INVERTER = np.array([0, 1], np.uint8), np.array([1, 0], np.uint8)


@dataclass(frozen=True, eq=False)
class GateSimulation:
    """Outputs and activity of a simulated netlist.

    ``outputs``: shape ``(clocks, bits)``, the bits of ``netlist.outputs`` in order. ``settled``:
    the activity that a simulation without delays sees, hence one without glitches.
    ``annotated_fraction``: share of the nets driven by cells for which the SDF has a delay from
    every pin that the function reads; ``unannotated``: the outputs of the others, as
    "instance/pin". ``clock_skew_s``: between the earliest and the latest register.
    """

    outputs: NDArray[np.uint8]
    activity: Activity
    settled: Activity
    annotated_fraction: float
    unannotated: tuple[str, ...] = ()
    clock_skew_s: float = 0.0


def simulate(
    netlist: Netlist,
    library: Library,
    delays: PathDelays,
    stimulus: NDArray[np.uint8],
    period_s: float,
    first_counted: int,
) -> GateSimulation:
    """Apply one row of ``stimulus`` with every rising clock edge and count what toggles.

    A row holds a bit for each of ``netlist.inputs`` but the clock. Activity counts from edge
    ``first_counted`` on; ``outputs[k]`` are the values at the end of cycle k. Registers start with
    random bits (of a fixed seed), as nothing resets most of them. `ToolError` for a cell that
    cannot be simulated.
    """
    builder = _Builder(netlist, library, delays)
    nets = builder.nets
    inputs = np.array([nets[name] for name in netlist.inputs if name != CLOCK])
    outputs = np.array([builder.net(net) for net in netlist.outputs.values()])
    half = max(round(period_s / TIME_UNIT_S / 2), 1)
    counts = _event_simulator.run(
        builder.timed_gates(), inputs, outputs, stimulus, half, first_counted
    )
    clocks = len(stimulus) - first_counted
    # The clock and its tree toggle twice a cycle but have the same value at both ends, so that the
    # count at the ends of cycles misses them.
    settled = counts.settled.copy()
    of_clock = [nets[name] for name in builder.clock_nets]
    settled[of_clock] = counts.toggles[of_clock]
    rates, settled_rates = (
        {name: int(toggles[k]) / clocks for name, k in nets.items()}
        for toggles in (counts.toggles, settled)
    )
    shares = {name: int(counts.at_one[k]) / (2 * half * clocks) for name, k in nets.items()}
    return GateSimulation(
        outputs=counts.outputs,
        activity=Activity(rates, shares),
        settled=Activity(settled_rates, shares),
        annotated_fraction=1 - len(builder.unannotated) / max(builder.driven, 1),
        unannotated=tuple(builder.unannotated),
        clock_skew_s=builder.clock_skew_s,
    )


class _FunctionList:
    """The columns of `Functions` while they grow."""

    def __init__(self) -> None:
        self.first: list[int] = [0]
        self.nets: list[int] = []
        self.table: list[int] = []
        self.target: list[int] = []

    def add(self, nets: list[int], table: int, target: int) -> None:
        self.nets += nets
        self.first.append(len(self.nets))
        self.table.append(table)
        self.target.append(target)

    def functions(self) -> Functions:
        return Functions(
            *(
                np.array(column, dtype=np.int64)
                for column in (self.first, self.nets, self.table, self.target)
            )
        )


class _Builder:
    """Turn a netlist into `TimedGates`.

    A register of the simulator has no delay: it drives a net without a name, and one gate for each
    output pin of its cell, a buffer or an inverter with the delay of that pin, drives its net.
    ``driven`` counts the gates; ``unannotated``: the outputs whose delays the SDF lacks.
    """

    def __init__(self, netlist: Netlist, library: Library, delays: PathDelays) -> None:
        self.nets: dict[str, int] = {}
        self.driven = 0
        self.unannotated: list[str] = []
        self._count = len(CONSTANTS)
        self._paths = delays.paths
        self._gates, self._registers = _FunctionList(), _FunctionList()
        self._rise: list[int] = []
        self._fall: list[int] = []
        self._on_fall: list[bool] = []
        self._tables: list[NDArray[np.uint8]] = []
        self._table_at: dict[bytes, int] = {}
        self._table_end = 0
        self._ones = [CONSTANTS["1'b1"]]
        self._tied = tied(netlist, library)
        for name in netlist.inputs:
            self.net(name)
        self._arrivals = clock_arrivals.find(netlist, library, delays)
        self.clock_nets = tuple(self._arrivals)
        self._earliest_s, self.clock_skew_s = self._clock_skew(netlist, library)
        if CLOCK not in self.nets:
            raise ToolError(f"the netlist has no input {CLOCK}")
        for instance in netlist.instances:
            cell = library.cells.get(instance.cell)
            if cell is None or (cell.has_state and cell.sequential is None):
                raise ToolError(f"{instance.name}: cell {instance.cell} cannot be simulated")
            if cell.sequential is None:
                for pin in cell.outputs:
                    if pin.name in instance.nets:
                        self._combinational(instance, cell, pin)
            else:
                self._register(instance, cell, cell.sequential)

    def timed_gates(self) -> TimedGates:
        """The gates, after all instances have been added."""
        initial = np.zeros(self._count, dtype=np.uint8)
        initial[self._ones] = 1
        registers = self._registers.functions()
        random = np.random.default_rng(0).integers(0, 2, len(registers.target), dtype=np.uint8)
        initial[registers.target] = random
        return TimedGates(
            clock=self.nets[CLOCK],
            initial=initial,
            tables=np.concatenate([*self._tables, np.zeros(0, np.uint8)]),
            gates=self._gates.functions(),
            rise=np.array(self._rise, dtype=np.int64),
            fall=np.array(self._fall, dtype=np.int64),
            registers=registers,
            on_fall=np.array(self._on_fall, dtype=np.bool_),
        )

    def net(self, name: str) -> int:
        """Return the index of a net; the constants come first."""
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name not in self.nets:
            self.nets[name] = self._new_net()
        return self.nets[name]

    def _new_net(self) -> int:
        self._count += 1
        return self._count - 1

    def _table(self, truth: NDArray[Any]) -> int:
        """Return where a truth table begins; equal ones are kept once."""
        key = truth.astype(np.uint8).tobytes()
        if key not in self._table_at:
            self._table_at[key] = self._table_end
            self._tables.append(truth.astype(np.uint8))
            self._table_end += len(truth)
        return self._table_at[key]

    def _inputs(self, instance: Instance, function: Expression) -> list[int]:
        if len(function.variables) > _event_simulator.MAX_PINS:
            raise ToolError(f"{instance.name}: {instance.cell} has too many pins to be simulated")
        return [self.net(instance.nets.get(name, "1'b0")) for name in function.variables]

    def _clock_skew(self, netlist: Netlist, library: Library) -> tuple[float, float]:
        """Return when the clock reaches the first register, and how much later the last."""
        arrivals = []
        for instance in netlist.instances:
            cell = library.cells.get(instance.cell)
            if cell is None or cell.sequential is None:
                continue
            if (clock := self._clock_of(instance, cell.sequential)) is not None:
                arrivals.append(clock[0])
        return (min(arrivals), max(arrivals) - min(arrivals)) if arrivals else (0.0, 0.0)

    def _clock_of(self, instance: Instance, sequential: Sequential) -> tuple[float, bool] | None:
        """Return the arrival of a register's active edge, and whether it is the port's falling one.

        None where its clock pin is not reached by the clock through buffers and inverters.
        """
        clock = sequential.clocked_on
        if len(clock.variables) != 1:
            return None
        arrival = self._arrivals.get(instance.nets.get(clock.variables[0], ""))
        if arrival is None:
            return None
        rises = bool(clock.truth[1])
        return arrival.rise_s if rises else arrival.fall_s, rises == arrival.inverted

    def _gate(
        self,
        instance: Instance,
        output: str,
        pins: list[str],
        nets: list[int],
        truth: NDArray[Any],
        later_s: float = 0.0,
    ) -> None:
        """Add a gate; ``nets`` are those at ``pins``, ``truth`` its function of them.

        ``later_s`` is added to its delays.
        """
        paths = [self._paths.get((instance.name, pin, output)) for pin in pins]
        self.driven += 1
        # No path begins at a constant, nor at a pin that constants at the others mask.
        states = np.arange(len(truth))
        possible = np.ones(len(truth), bool)
        for k, net in enumerate(nets):
            if net < len(CONSTANTS):
                possible &= (states >> k & 1) == net
        if not all(
            path is not None
            or net < len(CONSTANTS)
            or not (truth != truth[states ^ 1 << k])[possible].any()
            for k, (path, net) in enumerate(zip(paths, nets, strict=True))
        ):
            self.unannotated.append(f"{instance.name}/{output}")
        for rise, fall in (path or (0.0, 0.0) for path in paths):
            self._rise.append(max(round((rise + later_s) / TIME_UNIT_S), 0))
            self._fall.append(max(round((fall + later_s) / TIME_UNIT_S), 0))
        self._gates.add(nets, self._table(truth), self.net(instance.nets[output]))

    def _combinational(self, instance: Instance, cell: Cell, pin: Pin) -> None:
        if pin.function is None:
            raise ToolError(f"{instance.name}: {cell.name}/{pin.name} has no function to simulate")
        variables = list(pin.function.variables)
        nets = self._inputs(instance, pin.function)
        if not variables and pin.function.truth[0]:
            self._ones.append(self.net(instance.nets[pin.name]))
        self._gate(instance, pin.name, variables, nets, pin.function.truth)

    def _register(self, instance: Instance, cell: Cell, sequential: Sequential) -> None:
        clock = sequential.clocked_on
        if sequential.kind != "ff" or len(clock.variables) != 1:
            raise ToolError(f"{instance.name}: {cell.name}: only flip-flops are simulated")
        timed = self._clock_of(instance, sequential)
        if timed is None:
            raise ToolError(f"{instance.name}: its clock pin is not tied to {CLOCK}")
        for control in (sequential.clear, sequential.preset):
            if control is not None and not never(control, instance.nets, self._tied):
                raise ToolError(f"{instance.name}: {cell.name}: asynchronous reset is in use")
        state, next_state = self._new_net(), sequential.next_state
        self._registers.add(
            self._inputs(instance, next_state), self._table(next_state.truth), state
        )
        self._on_fall.append(timed[1])
        tables = {sequential.state: _BUFFER, sequential.inverted_state: _INVERTER}
        for pin in cell.outputs:
            if pin.name in instance.nets:
                if pin.function is None or pin.function.text not in tables:
                    raise ToolError(f"{instance.name}: {cell.name}/{pin.name} is not the state")
                truth, later_s = tables[pin.function.text], timed[0] - self._earliest_s
                self._gate(instance, pin.name, [*clock.variables], [state], truth, later_s)


def never(
    control: Expression, nets: Mapping[str, str], tied: Mapping[str, int] = CONSTANTS
) -> bool:
    """Say whether what is tied at the pins keeps an asynchronous control from ever being true."""
    nets_read = [nets.get(name, "") for name in control.variables]
    if not tied.keys() >= set(nets_read):
        return False
    values = {name: tied[net] for name, net in zip(control.variables, nets_read, strict=True)}
    return control.probability(values) == 0


def tied(netlist: Netlist, library: Library) -> dict[str, int]:
    """Return the nets that never change, and their value: constants, tie cells, what buffers them.

    A layout ties pins by cells, where a mapped netlist has the constants themselves.
    """
    known, before = dict(CONSTANTS), 0
    gates = [
        (pin.function, instance.nets, instance.nets[pin.name])
        for instance in netlist.instances
        if (cell := library.cells.get(instance.cell)) is not None and not cell.has_state
        for pin in cell.outputs
        if pin.function is not None and pin.name in instance.nets
    ]
    while len(known) > before:
        before = len(known)
        for function, nets, output in gates:
            read = [nets.get(name, "") for name in function.variables]
            if output not in known and known.keys() >= set(read):
                values = {n: known[net] for n, net in zip(function.variables, read, strict=True)}
                known[output] = int(function.probability(values))
    return known
