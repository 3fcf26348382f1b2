"""Gate-level circuits cut at their registers, and two of them compared by ABC.

Cut, a register is an input (what it holds) and an output (what it takes up at the next clock edge).
Two circuits whose registers correspond do the same, once these hold the same, where all functions
are equal. How the correspondence was found needs no trust: a wrong one only makes them differ.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import util
from pathlib import Path
from typing import Any, NamedTuple

from dbp.errors import MissingError, ToolError
from dbp.support import processes
from dbp.synthesis.cells.expressions import Expression
from dbp.synthesis.cells.library import Cell, Library
from dbp.synthesis.gates.simulation import never
from dbp.synthesis.netlist import CLOCK, CONSTANTS, Instance, Netlist

IDENTITY, INVERSE = ("1 1",), ("0 1",)
# Of Yosys' gates: the pins, and the states of these for which the output is 1.
_GATES = {
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


class Register(NamedTuple):
    """``held``: the net of its state, ``taken``: that of the next one.

    ``names``: what the state is called, and whether under that name it is inverted.
    """

    held: str
    taken: str
    names: tuple[tuple[str, bool], ...]

    @property
    def label(self) -> str:
        """The shortest of its names."""
        return min((name for name, _ in self.names), key=len, default=self.held)


@dataclass
class Circuit:
    """Ports are named bit by bit; nets have names of their own. The clock is no input."""

    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    registers: list[Register] = field(default_factory=list)
    gates: list[tuple[tuple[str, ...], str, tuple[str, ...]]] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """``equal``: None where ABC did not finish. ``different``: an output where they differ."""

    equal: bool | None
    registers: int
    inverted: int
    unpaired: tuple[tuple[str, ...], tuple[str, ...]]
    different: str | None


def of_gates(module: Mapping[str, Any]) -> Circuit:
    """A module in Yosys' JSON whose cells are gates and flip-flops of the rising edge of clk."""
    circuit = Circuit()
    names: dict[int | str, list[str]] = {}
    public = {net: row for net, row in module["netnames"].items() if not net.startswith("$")}
    for net, row in public.items():
        for name, bit in zip(_bits(net, row), row["bits"], strict=True):
            names.setdefault(bit, []).append(name)

    def net(bit: int | str) -> str:
        if bit not in ("0", "1") and not isinstance(bit, int):
            raise ToolError(f"a gate reads {bit!r}")
        return f"c{bit}" if isinstance(bit, str) else f"n{bit}"

    for port, row in module["ports"].items():
        side = circuit.inputs if row["direction"] == "input" else circuit.outputs
        if port != CLOCK:
            side.update(zip(_bits(port, row), map(net, row["bits"]), strict=True))
    clock = module["ports"][CLOCK]["bits"]
    for name, cell in module["cells"].items():
        pins, kind = cell["connections"], cell["type"]
        if kind == _FLIP_FLOP and pins["C"] == clock:
            (held,), (taken,) = pins["Q"], pins["D"]
            known = tuple((name, False) for name in names.get(held, ()))
            circuit.registers.append(Register(net(held), net(taken), known))
        elif kind in _GATES:
            inputs, rows = _GATES[kind]
            (out,) = pins["Y"]
            circuit.gates.append((tuple(net(pins[p][0]) for p in inputs), net(out), rows))
        elif kind != "$scopeinfo":
            raise ToolError(f"{name}: a cell {kind} on the way to gates")
    return circuit


def _bits(name: str, row: Mapping[str, Any]) -> list[str]:
    if len(row["bits"]) == 1:
        return [name]
    return [f"{name}[{k + row.get('offset', 0)}]" for k in range(len(row["bits"]))]


def of_netlist(netlist: Netlist, library: Library) -> Circuit:
    """A mapped netlist; `ToolError` for cells that are no gate or flip-flop of the rising clk."""
    circuit = Circuit({b: b for b in netlist.inputs if b != CLOCK}, dict(netlist.outputs))
    aliases: dict[str, list[str]] = {}
    for port, net in netlist.outputs.items():
        aliases.setdefault(net, []).append(port)
    states: list[tuple[str, str, list[tuple[str, bool]]]] = []
    follows: dict[str, list[tuple[str, bool]]] = {}
    for instance in netlist.instances:
        cell = library.cells[instance.cell]
        if cell.sequential is not None:
            states.append(_flip_flop(circuit, instance, cell, follows))
            continue
        for pin in cell.outputs:
            if pin.name in instance.nets:
                if pin.function is None or cell.has_state:
                    raise ToolError(f"{instance.name}: {cell.name}/{pin.name} has no function")
                _gate(circuit, instance, pin.function, instance.nets[pin.name], follows)
    for held, taken, _ in states:
        # What the state is called: the nets that are the state, or its inverse, buffers behind it.
        found, todo = {held: False}, [held]
        while todo:
            net = todo.pop()
            for out, inverts in follows.get(net, ()):
                if out not in found:
                    found[out] = found[net] ^ inverts
                    todo.append(out)
        names = tuple(
            (name, s) for net, s in found.items() for name in (net, *aliases.get(net, ()))
        )
        circuit.registers.append(Register(held, taken, names))
    return circuit


def _gate(
    circuit: Circuit,
    instance: Instance,
    function: Expression,
    out: str,
    follows: dict[str, list[tuple[str, bool]]],
) -> None:
    inputs = tuple(_net(instance.nets[name]) for name in function.variables)
    rows = tuple(
        "".join(str(state >> j & 1) for j in range(len(inputs))) + (" 1" if inputs else "1")
        for state, value in enumerate(function.truth)
        if value
    )
    circuit.gates.append((inputs, out, rows))
    if rows in (IDENTITY, INVERSE):
        follows.setdefault(inputs[0], []).append((out, rows == INVERSE))


def _net(net: str) -> str:
    return f"c{CONSTANTS[net]}" if net in CONSTANTS else net


def _flip_flop(
    circuit: Circuit,
    instance: Instance,
    cell: Cell,
    follows: dict[str, list[tuple[str, bool]]],
) -> tuple[str, str, list[tuple[str, bool]]]:
    sequential = cell.sequential
    clock = sequential.clocked_on
    rising = clock.truth.tolist() == [False, True]
    plain = sequential.kind == "ff" and rising and instance.nets[clock.variables[0]] == CLOCK
    for control in (sequential.clear, sequential.preset):
        plain &= control is None or never(control, instance.nets)
    if not plain:
        raise ToolError(f"{instance.name}: {cell.name} is no flip-flop of the rising {CLOCK}")
    held, taken = f"{instance.name} state", f"{instance.name} next"
    _gate(circuit, instance, sequential.next_state, taken, {})
    for pin in cell.outputs:
        if pin.name in instance.nets:
            inverts = pin.function is not None and pin.function.text == sequential.inverted_state
            if not inverts and (pin.function is None or pin.function.text != sequential.state):
                raise ToolError(f"{instance.name}: {cell.name}/{pin.name} is not the state")
            out = instance.nets[pin.name]
            circuit.gates.append(((held,), out, INVERSE if inverts else IDENTITY))
            follows.setdefault(held, []).append((out, inverts))
    return held, taken, []


def compare(a: Circuit, b: Circuit, limit_s: float) -> Comparison:
    """Whether ``b`` does what ``a`` does; ABC has ``limit_s`` seconds for it.

    Each register of ``b`` goes with the one of ``a`` that has one of its names. Registers of ``a``
    that go with none may hold anything. `ToolError` where the ports differ or a register of ``b``
    has no counterpart.
    """
    if a.inputs.keys() != b.inputs.keys() or a.outputs.keys() != b.outputs.keys():
        raise ToolError(f"other ports: {sorted(a.inputs.keys() ^ b.inputs.keys())[:4]}")
    named = {name: register for register in a.registers for name, _ in register.names}
    pairs: list[tuple[Register, Register, bool]] = []
    lost = []
    for register in b.registers:
        found = [(named[name], s) for name, s in register.names if name in named]
        if found:
            pairs.append((found[0][0], register, found[0][1]))
        else:
            lost.append(register.label)
    paired = {id(register) for register, _, _ in pairs}
    free = [r for r in a.registers if id(r) not in paired]
    unpaired = tuple(r.label for r in free), tuple(lost)
    labels = [*a.outputs, *(f"next state of {r.label}" for r, _, _ in pairs)]
    equal, different = None, None
    if not lost:
        inputs = [*a.inputs]
        texts = (
            _blif(
                a,
                [a.inputs[p] for p in inputs],
                [(r.held, False) for r, _, _ in pairs],
                [r.held for r in free],
                [a.outputs[p] for p in a.outputs],
                [(r.taken, False) for r, _, _ in pairs],
            ),
            _blif(
                b,
                [b.inputs[p] for p in inputs],
                [(r.held, s) for _, r, s in pairs],
                [f"free {k}" for k in range(len(free))],
                [b.outputs[p] for p in a.outputs],
                [(r.taken, s) for _, r, s in pairs],
            ),
        )
        equal, k = _run_abc(texts, limit_s)
        different = None if k is None else labels[k]
    return Comparison(equal, len(pairs), sum(s for *_, s in pairs), unpaired, different)


def _blif(
    circuit: Circuit,
    inputs: Iterable[str],
    held: Iterable[tuple[str, bool]],
    free: Iterable[str],
    outputs: Iterable[str],
    taken: Iterable[tuple[str, bool]],
) -> str:
    """The text of BLIF, with inputs i0, i1, ... and outputs o0, o1, ... in the order given."""
    numbers: dict[str, str] = {"c0": "c0", "c1": "c1"}

    def net(name: str) -> str:
        return numbers.setdefault(name, f"n{len(numbers)}")

    gates = [".names c0", ".names c1\n1"]

    def gate(nets: Iterable[str], out: str, rows: Iterable[str]) -> None:
        gates.append("\n".join((" ".join((".names", *nets, out)), *rows)))

    entering = [(name, False) for name in inputs] + list(held) + [(name, False) for name in free]
    leaving = [(name, False) for name in outputs] + list(taken)
    for k, (name, inverted) in enumerate(entering):
        gate([f"i{k}"], net(name), INVERSE if inverted else IDENTITY)
    for sources, out, rows in circuit.gates:
        gate(map(net, sources), net(out), rows)
    for k, (name, inverted) in enumerate(leaving):
        gate([net(_net(name))], f"o{k}", INVERSE if inverted else IDENTITY)
    head = [
        ".model circuit",
        ".inputs " + " ".join(f"i{k}" for k in range(len(entering))),
        ".outputs " + " ".join(f"o{k}" for k in range(len(leaving))),
    ]
    return "\n".join([*head, *gates, ".end", ""])


def _run_abc(texts: Iterable[str], limit_s: float) -> tuple[bool | None, int | None]:
    """Whether two circuits are equal, None if undecided; and the number of one wrong output."""
    package = util.find_spec("pyosys")
    if package is None or package.origin is None:
        raise MissingError("Yosys is missing: install it with `pip install pyosys`")
    abc = Path(package.origin).parent / "yosys-abc"
    with tempfile.TemporaryDirectory(prefix="dbp-abc-") as folder:
        for name, text in zip("ab", texts, strict=True):
            (Path(folder) / f"{name}.blif").write_text(text, encoding="ascii")
        limit = max(1, int(limit_s))
        command = [str(abc), "-c", f"cec -T {limit} -v a.blif b.blif"]
        try:
            log = processes.run(command, Path(folder), "abc.log", limit_s + 30)
        except ToolError as error:
            if "took longer" in str(error):
                return None, None
            raise
    if "Networks are equivalent" in log:
        return True, None
    if "NOT EQUIVALENT" in log:
        found = re.search(r"^Output o(\d+):", log, re.MULTILINE)
        return False, int(found[1]) if found else None
    return None, None
