"""Gate-level circuits cut at their registers: combinational, and so comparable.

Cut, a register is an input (its state) and an output (its next state, which it takes over at the
next clock edge).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dbp.errors import ToolError
from dbp.synthesis.cells.expressions import Expression
from dbp.synthesis.cells.library import Cell, Library, Sequential
from dbp.synthesis.gates.simulation import never
from dbp.synthesis.mapping.polarity import COMPLEMENT
from dbp.synthesis.netlist import CLOCK, CONSTANTS, Instance, Netlist

# Rows of a truth table as BLIF writes them: the input states for which the output is 1.
Rows = tuple[str, ...]
IDENTITY: Rows = ("1 1",)
INVERSE: Rows = ("0 1",)

# Yosys' gates: their input pins, and the rows of Y.
_GATES: dict[str, tuple[str, Rows]] = {
    "$_BUF_": ("A", IDENTITY),
    "$_NOT_": ("A", INVERSE),
    "$_AND_": ("AB", ("11 1",)),
    "$_OR_": ("AB", ("1- 1", "-1 1")),
    "$_XOR_": ("AB", ("10 1", "01 1")),
    "$_NAND_": ("AB", ("0- 1", "-0 1")),
    "$_NOR_": ("AB", ("00 1",)),
    "$_XNOR_": ("AB", ("00 1", "11 1")),
    "$_ANDNOT_": ("AB", ("10 1",)),
    "$_ORNOT_": ("AB", ("1- 1", "-0 1")),
    "$_MUX_": ("ABS", ("1-0 1", "-11 1")),
}
_FLIP_FLOP = "$_DFF_P_"


class Signal(NamedTuple):
    """A net, or its inverse."""

    net: str
    inverted: bool = False


class Register(NamedTuple):
    """A register that was cut: the nets of its state and of its next state.

    ``names``: the names of nets that carry the state, or its inverse.
    """

    state: str
    next_state: str
    names: tuple[Signal, ...]

    @property
    def label(self) -> str:
        """The shortest of its names."""
        return min((name.net for name in self.names), key=len, default=self.state)


class Gate(NamedTuple):
    """A function of nets: ``output`` is 1 for the input states in ``rows``."""

    inputs: tuple[str, ...]
    output: str
    rows: Rows


@dataclass
class CutCircuit:
    """Gates between ports and registers.

    ``inputs`` and ``outputs`` have the net of each bit of the ports; the clock is no input.
    """

    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    registers: list[Register] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)


def constant_net(net: str) -> str:
    """The net of a gate for ``net`` of a netlist, in which constants have names of their own."""
    return f"c{CONSTANTS[net]}" if net in CONSTANTS else net


def cut_gates(module: Mapping[str, Any]) -> CutCircuit:
    """Cut a module in Yosys' JSON whose cells are gates and flip-flops of the rising clk."""
    circuit = CutCircuit()
    names: dict[int | str, list[str]] = {}
    for name, row in module["netnames"].items():
        # Registers are paired by the names that people gave: Yosys' own begin with $.
        if not name.startswith("$"):
            for bit_name, bit in zip(_bit_names(name, row), row["bits"], strict=True):
                names.setdefault(bit, []).append(bit_name)
    for port, row in module["ports"].items():
        side = circuit.inputs if row["direction"] == "input" else circuit.outputs
        if port != CLOCK:
            side.update(zip(_bit_names(port, row), map(_bit_net, row["bits"]), strict=True))
    clock = module["ports"][CLOCK]["bits"]
    for name, cell in module["cells"].items():
        pins, kind = cell["connections"], cell["type"]
        if kind == _FLIP_FLOP and pins["C"] == clock:
            (state,), (next_state,) = pins["Q"], pins["D"]
            signals = tuple(Signal(name) for name in names.get(state, ()))
            circuit.registers.append(Register(_bit_net(state), _bit_net(next_state), signals))
        elif kind in _GATES:
            inputs, rows = _GATES[kind]
            (out,) = pins["Y"]
            nets = tuple(_bit_net(pins[pin][0]) for pin in inputs)
            circuit.gates.append(Gate(nets, _bit_net(out), rows))
        elif kind != "$scopeinfo":
            raise ToolError(f"{name}: a cell {kind} on the way to gates")
    return circuit


def _bit_names(name: str, row: Mapping[str, Any]) -> list[str]:
    if len(row["bits"]) == 1:
        return [name]
    return [f"{name}[{k + row.get('offset', 0)}]" for k in range(len(row["bits"]))]


def _bit_net(bit: int | str) -> str:
    if bit not in ("0", "1") and not isinstance(bit, int):
        raise ToolError(f"a gate reads {bit!r}")
    return f"c{bit}" if isinstance(bit, str) else f"n{bit}"


def cut_netlist(netlist: Netlist, library: Library) -> CutCircuit:
    """Cut a mapped netlist; `ToolError` for cells but gates and flip-flops of the rising clk."""
    return _NetlistCutter(netlist, library).cut()


class _NetlistCutter:
    """Cuts one netlist.

    ``copies``: for a net those that buffers, inverters and flip-flops make of it.
    """

    def __init__(self, netlist: Netlist, library: Library) -> None:
        self.netlist, self.library = netlist, library
        inputs = {bit: bit for bit in netlist.inputs if bit != CLOCK}
        self.circuit = CutCircuit(inputs, dict(netlist.outputs))
        self.copies: dict[str, list[Signal]] = {}
        self._ports: dict[str, list[str]] = {}
        for port, net in netlist.outputs.items():
            self._ports.setdefault(net, []).append(port)

    def cut(self) -> CutCircuit:
        states: list[tuple[str, str]] = []
        for instance in self.netlist.instances:
            cell = self.library.cells[instance.cell]
            if cell.sequential is not None:
                states.append(self._cut_flip_flop(instance, cell, cell.sequential))
                continue
            for pin in cell.outputs:
                if pin.name in instance.nets:
                    if pin.function is None or cell.has_state:
                        raise ToolError(f"{instance.name}: {cell.name}/{pin.name} has no function")
                    gate = self._add_gate(instance, pin.function, instance.nets[pin.name])
                    if gate.rows in (IDENTITY, INVERSE):
                        self._add_copy(gate.inputs[0], gate.output, gate.rows == INVERSE)
        # Only now are all copies known.
        for state, next_state in states:
            self.circuit.registers.append(Register(state, next_state, self._names(state)))
        return self.circuit

    def _add_gate(self, instance: Instance, function: Expression, output: str) -> Gate:
        inputs = tuple(constant_net(instance.nets[name]) for name in function.variables)
        rows = tuple(
            "".join(str(state >> j & 1) for j in range(len(inputs))) + (" 1" if inputs else "1")
            for state, value in enumerate(function.truth)
            if value
        )
        gate = Gate(inputs, output, rows)
        self.circuit.gates.append(gate)
        return gate

    def _add_copy(self, net: str, copy: str, inverted: bool) -> None:
        self.copies.setdefault(net, []).append(Signal(copy, inverted))

    def _cut_flip_flop(
        self, instance: Instance, cell: Cell, sequential: Sequential
    ) -> tuple[str, str]:
        """Add the gates before and behind the state; return the nets of state and next state."""
        clock = sequential.clocked_on
        plain = (
            sequential.kind == "ff"
            and clock.truth.tolist() == [False, True]
            and instance.nets[clock.variables[0]] == CLOCK
        )
        for control in (sequential.clear, sequential.preset):
            plain &= control is None or never(control, instance.nets)
        if not plain:
            raise ToolError(f"{instance.name}: {cell.name} is no flip-flop of the rising {CLOCK}")
        state, next_state = f"{instance.name} state", f"{instance.name} next"
        self._add_gate(instance, sequential.next_state, next_state)
        for pin in cell.outputs:
            if pin.name not in instance.nets:
                continue
            text = None if pin.function is None else pin.function.text
            inverted = text is not None and text == sequential.inverted_state
            if not inverted and (text is None or text != sequential.state):
                raise ToolError(f"{instance.name}: {cell.name}/{pin.name} is not the state")
            output = instance.nets[pin.name]
            self.circuit.gates.append(Gate((state,), output, INVERSE if inverted else IDENTITY))
            self._add_copy(state, output, inverted)
        return state, next_state

    def _names(self, state: str) -> tuple[Signal, ...]:
        """The nets and output ports that carry a state or its inverse, behind buffers too."""
        carriers, todo = {state: False}, [state]
        while todo:
            net = todo.pop()
            for copy, inverts in self.copies.get(net, ()):
                if copy not in carriers:
                    carriers[copy] = carriers[net] ^ inverts
                    todo.append(copy)
        return tuple(
            Signal(name.removeprefix(COMPLEMENT), inverted ^ name.startswith(COMPLEMENT))
            for net, inverted in carriers.items()
            for name in (net, *self._ports.get(net, ()))
        )
