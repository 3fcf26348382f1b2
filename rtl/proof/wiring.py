"""How steps and blocks are joined in the emitted Verilog: words, clocks and resets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dbp.rtl.proof.netlist import Bit, ProofError, WordNetlist

STREAM = ("valid", "i", "q")


def check_clocks(modules: Mapping[str, WordNetlist], top: WordNetlist) -> None:
    """Every instance below ``top`` must have the clock and the reset of ``top``."""
    seen, todo = {top}, [top]
    while todo:
        outer = todo.pop()
        for cell in outer.cells:
            if cell.type not in modules:
                continue
            inner = modules[cell.type]
            for port in ("clk", "rst"):
                given = cell.inputs.get(port)
                if port in inner.inputs and (given is None or given != outer.inputs.get(port)):
                    raise ProofError(f"{cell.name}: {port} is not {port} of {outer.name}")
            if inner not in seen:
                seen.add(inner)
                todo.append(inner)


def placed(
    modules: Mapping[str, WordNetlist], outer: WordNetlist, names: Sequence[str]
) -> tuple[list[WordNetlist], int]:
    """The modules of the instances ``names`` of ``outer``, which must pass words on in that order.

    The first takes what enters ``outer``, each other one what the one before puts out, and what
    the last puts out leaves ``outer``: bit for bit, with its valid. Also returned: over how many
    registers of ``outer`` itself the words pass, all alike.
    """
    cells = {cell.name: cell for cell in outer.cells}
    found, clocks = [], 0
    word = {port: outer.inputs[f"in_{port}"] for port in STREAM}
    for name in names:
        cell = cells.get(name)
        if cell is None or cell.type not in modules:
            raise ProofError(f"{outer.name}: no block {name}")
        clocks += _clocks_between(outer, word, {p: cell.inputs.get(f"in_{p}", ()) for p in STREAM})
        word = {port: cell.outputs.get(f"out_{port}", ()) for port in STREAM}
        found.append(modules[cell.type])
    clocks += _clocks_between(outer, word, {port: outer.outputs[f"out_{port}"] for port in STREAM})
    return found, clocks


def _clocks_between(
    outer: WordNetlist, word: Mapping[str, Sequence[Bit]], later: Mapping[str, Sequence[Bit]]
) -> int:
    """How many clocks later a word is than another, over plain registers; reset clears valid."""
    found = set()
    for port in STREAM:
        if len(word[port]) != len(later[port]):
            raise ProofError(f"{outer.name}: a word of {len(word[port])} bits is cut: {port}")
        for bit, end in zip(word[port], later[port], strict=True):
            clocks, at = 0, end
            while at != bit and outer.is_register(at) and clocks < len(outer.cells):
                register = outer.register(at)
                if register.enable is not None or register.reset != (None, 0)[port == "valid"]:
                    break
                clocks, at = clocks + 1, register.taken
            if at != bit:
                raise ProofError(
                    f"{outer.name}: {outer.describe(end)} is no later {outer.describe(bit)}"
                )
            found.add(clocks)
    if len(found) != 1:
        raise ProofError(f"{outer.name}: bits of one word {sorted(found)} clocks later")
    return found.pop()
