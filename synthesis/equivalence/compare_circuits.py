"""Compare two circuits that are cut at their registers, by ABC.

Two circuits whose registers correspond do the same, once these hold the same, where all functions
are equal. How the correspondence was found needs no trust: a wrong one only makes them differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import NamedTuple

from dbp.errors import MissingError, ToolError
from dbp.support import family, processes
from dbp.support.files import write_text
from dbp.synthesis.equivalence.cut_circuit import (
    IDENTITY,
    INVERSE,
    CutCircuit,
    Register,
    Rows,
    Signal,
    constant_net,
)


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison of two circuits.

    ``equal``: None where ABC did not finish. ``registers``: pairs, and ``inverted``: those of them
    of which one holds the inverse. ``unpaired``: labels of the other registers, on either side.
    ``different``: an output or next state in which the circuits differ.
    """

    equal: bool | None
    registers: int
    inverted: int
    unpaired: tuple[tuple[str, ...], tuple[str, ...]]
    different: str | None


class _Pair(NamedTuple):
    """Registers of the two circuits that correspond; ``inverted``: one holds the inverse."""

    specified: Register
    mapped: Register
    inverted: bool


def compare(specified: CutCircuit, mapped: CutCircuit, limit_s: float) -> Comparison:
    """Find out whether ``mapped`` does what ``specified`` does; ABC has ``limit_s`` seconds.

    Each register of ``mapped`` is paired with the one of ``specified`` that has one of its names.
    Registers of ``specified`` that are in no pair may hold anything; where one of ``mapped`` is in
    none, nothing is compared. `ToolError` where the ports differ.
    """
    if (
        specified.inputs.keys() != mapped.inputs.keys()
        or specified.outputs.keys() != mapped.outputs.keys()
    ):
        others = sorted(specified.inputs.keys() ^ mapped.inputs.keys())
        raise ToolError(f"other ports: {others[:4]}")
    pairs, lost = _paired(specified, mapped)
    paired = {id(pair.specified) for pair in pairs}
    free = [r for r in specified.registers if id(r) not in paired]
    unpaired = tuple(r.label for r in free), tuple(lost)
    equal, different = None, None
    if not lost:
        equal, k = _run_abc(_texts(specified, mapped, pairs, free), limit_s)
        labels = [*specified.outputs, *(f"next state of {p.specified.label}" for p in pairs)]
        different = None if k is None else labels[k]
    return Comparison(equal, len(pairs), sum(p.inverted for p in pairs), unpaired, different)


def _paired(specified: CutCircuit, mapped: CutCircuit) -> tuple[list[_Pair], list[str]]:
    """Pair registers by name; also the labels of those of ``mapped`` without a counterpart."""
    named = {name.net: register for register in specified.registers for name in register.names}
    pairs: list[_Pair] = []
    lost: list[str] = []
    for register in mapped.registers:
        known = [name for name in register.names if name.net in named]
        if known:
            pairs.append(_Pair(named[known[0].net], register, known[0].inverted))
        else:
            lost.append(register.label)
    return pairs, lost


def _texts(
    specified: CutCircuit, mapped: CutCircuit, pairs: Sequence[_Pair], free: Sequence[Register]
) -> tuple[str, str]:
    """Both circuits in BLIF, with corresponding inputs and outputs in the same order."""
    inputs, outputs = list(specified.inputs), list(specified.outputs)
    return (
        _blif(
            specified,
            [Signal(specified.inputs[port]) for port in inputs]
            + [Signal(pair.specified.state) for pair in pairs]
            + [Signal(register.state) for register in free],
            [Signal(specified.outputs[port]) for port in outputs]
            + [Signal(pair.specified.next_state) for pair in pairs],
        ),
        _blif(
            mapped,
            [Signal(mapped.inputs[port]) for port in inputs]
            + [Signal(pair.mapped.state, pair.inverted) for pair in pairs]
            # ABC wants equal inputs on both sides: nothing reads these.
            + [Signal(f"free {k}") for k in range(len(free))],
            [Signal(mapped.outputs[port]) for port in outputs]
            + [Signal(pair.mapped.next_state, pair.inverted) for pair in pairs],
        ),
    )


def _blif(circuit: CutCircuit, entering: Sequence[Signal], leaving: Sequence[Signal]) -> str:
    """The text of BLIF, with inputs i0, i1, ... and outputs o0, o1, ... in the order given."""
    numbers: dict[str, str] = {"c0": "c0", "c1": "c1"}

    def number(net: str) -> str:
        return numbers.setdefault(net, f"n{len(numbers)}")

    gates = [".names c0", ".names c1\n1"]

    def add(nets: Iterable[str], output: str, rows: Rows) -> None:
        gates.append("\n".join((" ".join((".names", *nets, output)), *rows)))

    for k, signal in enumerate(entering):
        add([f"i{k}"], number(signal.net), INVERSE if signal.inverted else IDENTITY)
    for gate in circuit.gates:
        add(map(number, gate.inputs), number(gate.output), gate.rows)
    for k, signal in enumerate(leaving):
        net = number(constant_net(signal.net))
        add([net], f"o{k}", INVERSE if signal.inverted else IDENTITY)
    head = [
        ".model circuit",
        ".inputs " + " ".join(f"i{k}" for k in range(len(entering))),
        ".outputs " + " ".join(f"o{k}" for k in range(len(leaving))),
    ]
    return "\n".join([*head, *gates, ".end", ""])


def _run_abc(texts: Iterable[str], limit_s: float) -> tuple[bool | None, int | None]:
    """Tell whether two circuits are equal, None if undecided, and the number of a wrong output."""
    package = util.find_spec("pyosys")
    if package is None or package.origin is None:
        raise MissingError("Yosys is missing: install it with `pip install pyosys`")
    abc = Path(package.origin).parent / "yosys-abc"
    with family.temporary_folder("dbp-abc-") as folder:
        for name, text in zip("ab", texts, strict=True):
            write_text(folder / f"{name}.blif", text)
        # ABC ends by itself at its limit; where it does not, the process is ended a little later.
        limit = max(1, int(limit_s))
        command = [str(abc), "-c", f"cec -T {limit} -v a.blif b.blif"]
        try:
            log = processes.run(command, folder, "abc.log", limit_s + 30)
        except processes.TimedOutError:
            return None, None
    if "Networks are equivalent" in log:
        return True, None
    if "NOT EQUIVALENT" in log:
        output = re.search(r"^Output o(\d+):", log, re.MULTILINE)
        return False, int(output[1]) if output else None
    return None, None
