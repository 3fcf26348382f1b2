"""Check how steps and blocks are joined in the emitted Verilog: words, clocks and resets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dbp.rtl.proof.netlist import Bit, ProofError, WordNetlist

STREAM = ("valid", "i", "q")


def check_clocks(modules: Mapping[str, WordNetlist], top: WordNetlist) -> None:
    """Refuse an instance below ``top`` whose clock or reset is not that of ``top``."""
    seen, todo = {top}, [top]
    while todo:
        outer = todo.pop()
        for cell in outer.cells:
            if cell.type not in modules:
                continue
            inner = modules[cell.type]
            for port in ("clk", "rst"):
                joined = cell.inputs.get(port)
                if port in inner.inputs and (joined is None or joined != outer.inputs.get(port)):
                    raise ProofError(f"{cell.name}: {port} is not {port} of {outer.name}")
            if inner not in seen:
                seen.add(inner)
                todo.append(inner)


class Cascade(NamedTuple):
    """Instances that pass words on: their modules, and the clocks that words wait between them."""

    modules: list[WordNetlist]
    clocks: int


def cascade(
    modules: Mapping[str, WordNetlist], outer: WordNetlist, names: Sequence[str]
) -> Cascade:
    """Find the instances ``names`` of ``outer``, which must pass words on in that order.

    The first takes the words that enter ``outer``, each other one those of the instance before it,
    and those of the last leave ``outer``: bit for bit, with their valid. Between them may be plain
    registers of ``outer``, equally many for all bits of a word. `ProofError` for anything else.
    """
    cells = {cell.name: cell for cell in outer.cells}
    instances: list[WordNetlist] = []
    clocks = 0
    word = {port: outer.inputs[f"in_{port}"] for port in STREAM}
    for name in names:
        cell = cells.get(name)
        if cell is None or cell.type not in modules:
            raise ProofError(f"{outer.name}: no block {name}")
        clocks += _clocks_between(outer, word, {p: cell.inputs.get(f"in_{p}", ()) for p in STREAM})
        word = {port: cell.outputs.get(f"out_{port}", ()) for port in STREAM}
        instances.append(modules[cell.type])
    clocks += _clocks_between(outer, word, {port: outer.outputs[f"out_{port}"] for port in STREAM})
    return Cascade(instances, clocks)


def _clocks_between(
    outer: WordNetlist, word: Mapping[str, Sequence[Bit]], later: Mapping[str, Sequence[Bit]]
) -> int:
    """Return the clocks from a word to a later one, over plain registers; reset clears valid."""
    delays: set[int] = set()
    for port in STREAM:
        if len(word[port]) != len(later[port]):
            raise ProofError(f"{outer.name}: a word of {len(word[port])} bits is cut: {port}")
        # Reset must clear a valid on its way; data need no reset, and a reset would change them.
        reset = 0 if port == "valid" else None
        for bit, end in zip(word[port], later[port], strict=True):
            clocks, at = 0, end
            while at != bit and outer.is_register(at) and clocks < len(outer.cells):
                register = outer.register(at)
                if register.enable is not None or register.reset != reset:
                    break
                clocks, at = clocks + 1, register.data
            if at != bit:
                raise ProofError(
                    f"{outer.name}: {outer.describe(end)} is no later {outer.describe(bit)}"
                )
            delays.add(clocks)
    if len(delays) != 1:
        raise ProofError(f"{outer.name}: bits of one word {sorted(delays)} clocks later")
    return delays.pop()
