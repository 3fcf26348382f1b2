"""Evaluate Yosys' bitwise cells: over truth tables, or over symbols for bits that are not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dbp.rtl.proof.netlist import Cell

_REDUCE = ["$reduce_and", "$reduce_or", "$reduce_xor", "$reduce_xnor", "$reduce_bool"]
_BITWISE = ["$and", "$or", "$xor", "$xnor", "$not", "$mux"]
_LOGICAL = ["$eq", "$ne", "$logic_not", "$logic_and", "$logic_or"]
LOGIC = frozenset((*_REDUCE, *_BITWISE, *_LOGICAL))
ARITHMETIC = frozenset(["$add", "$sub", "$mul", "$neg", "$pos"])

# A symbol is an integer, so that the proof of a requantiser, which evaluates every cell some dozen
# times, stays fast: 0 and 1 are constants, `open_bit` gives an unknown bit of a word and its
# complement, and `OPEN` stands for a bit of which nothing is known.
Symbol = int
ZERO: Symbol = 0
ONE: Symbol = 1
OPEN: Symbol = -1

TruthTable = NDArray[np.bool_]
B = TypeVar("B")


def open_bit(k: int) -> Symbol:
    """The symbol of bit ``k`` of the word under study. Its last bit is free for the complement."""
    return 2 + 2 * k


class Algebra(Protocol[B]):
    """And, exclusive or, complement and choice of bits; ``bit`` makes one of a constant."""

    def bit(self, value: int) -> B: ...
    def inverse(self, a: B) -> B: ...
    def both(self, a: B, b: B) -> B: ...
    def differ(self, a: B, b: B) -> B: ...
    def choose(self, s: B, a: B, b: B) -> B: ...


class Arrays:
    """Truth tables: boolean arrays of equal length; a constant has one entry."""

    def bit(self, value: int) -> TruthTable:
        return np.array([bool(value)])

    def inverse(self, a: TruthTable) -> TruthTable:
        return ~a

    def both(self, a: TruthTable, b: TruthTable) -> TruthTable:
        return a & b

    def differ(self, a: TruthTable, b: TruthTable) -> TruthTable:
        return a ^ b

    def choose(self, s: TruthTable, a: TruthTable, b: TruthTable) -> TruthTable:
        return np.where(s, b, a)


class Symbols:
    """Symbols: an operation gives `OPEN` where its result is neither known nor one of its bits."""

    def bit(self, value: int) -> Symbol:
        return value

    def inverse(self, a: Symbol) -> Symbol:
        return a if a == OPEN else a ^ 1

    def both(self, a: Symbol, b: Symbol) -> Symbol:
        if ZERO in (a, b):
            return ZERO
        if a in (ONE, b):
            return b
        if b == ONE:
            return a
        return ZERO if a != OPEN and self.inverse(a) == b else OPEN

    def differ(self, a: Symbol, b: Symbol) -> Symbol:
        if OPEN in (a, b):
            return OPEN
        # With a constant, or with the same bit, the last bits alone decide.
        if a in (ZERO, ONE) or b in (ZERO, ONE) or a >> 1 == b >> 1:
            return a ^ b
        return OPEN

    def choose(self, s: Symbol, a: Symbol, b: Symbol) -> Symbol:
        if s in (ZERO, ONE):
            return b if s else a
        return a if a == b else OPEN


def evaluate(cell: Cell, inputs: Mapping[str, Sequence[B]], by: Algebra[B]) -> list[B]:
    """Return the output bits of a `LOGIC` cell for the given input bits, as Yosys defines them."""
    width = len(cell.outputs["Y"])
    kind = cell.type

    def either(a: B, b: B) -> B:
        return by.inverse(by.both(by.inverse(a), by.inverse(b)))

    def extended(port: str, to: int) -> list[B]:
        bits = list(inputs[port])
        fill = bits[-1] if cell.parameters[f"{port}_SIGNED"] else by.bit(0)
        return (bits + [fill] * (to - len(bits)))[:to]

    def single(bit: B) -> list[B]:
        return [bit] + [by.bit(0)] * (width - 1)

    if kind == "$mux":
        pairs = zip(inputs["A"], inputs["B"], strict=True)
        return [by.choose(inputs["S"][0], a, b) for a, b in pairs]
    if kind == "$not":
        return [by.inverse(a) for a in extended("A", width)]
    if kind in _REDUCE:
        operators = {"$reduce_and": by.both, "$reduce_xor": by.differ, "$reduce_xnor": by.differ}
        bit = reduce(operators.get(kind, either), inputs["A"])
        return single(by.inverse(bit) if kind == "$reduce_xnor" else bit)
    if kind == "$logic_not":
        return single(by.inverse(reduce(either, inputs["A"])))
    if kind in ("$logic_and", "$logic_or"):
        a, b = (reduce(either, inputs[port]) for port in "AB")
        return single(by.both(a, b) if kind == "$logic_and" else either(a, b))
    if kind in ("$eq", "$ne"):
        wide = max(len(inputs["A"]), len(inputs["B"]))
        pairs = zip(extended("A", wide), extended("B", wide), strict=True)
        bit = reduce(either, (by.differ(a, b) for a, b in pairs))
        return single(bit if kind == "$ne" else by.inverse(bit))
    operator = {"$and": by.both, "$or": either, "$xor": by.differ, "$xnor": by.differ}[kind]
    pairs = zip(extended("A", width), extended("B", width), strict=True)
    bits = [operator(a, b) for a, b in pairs]
    return [by.inverse(bit) for bit in bits] if kind == "$xnor" else bits
