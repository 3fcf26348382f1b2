"""The bitwise cells of Yosys, over truth tables or over symbols; and the requantiser, proved.

A symbol is a bit of a word whose value is open: ``2 + 2 k`` stands for bit k, ``3 + 2 k`` for its
complement, 0 and 1 for themselves, and `OPEN` for what may be either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dbp.datapath import fixed
from dbp.rtl.proof.netlist import Cell

OPEN = -1
# Far above what a requantiser takes: about the square of its word length.
MAX_CASES = 20_000

_REDUCE = ["$reduce_and", "$reduce_or", "$reduce_xor", "$reduce_xnor", "$reduce_bool"]
_BITWISE = ["$and", "$or", "$xor", "$xnor", "$not", "$mux"]
_LOGICAL = ["$eq", "$ne", "$logic_not", "$logic_and", "$logic_or"]
LOGIC = frozenset((*_REDUCE, *_BITWISE, *_LOGICAL))


class Algebra(Protocol):
    """And, exclusive or, complement and choice of bits; ``bit`` makes one of a constant."""

    def bit(self, value: int) -> Any: ...
    def inverse(self, a: Any) -> Any: ...
    def both(self, a: Any, b: Any) -> Any: ...
    def differ(self, a: Any, b: Any) -> Any: ...
    def choose(self, s: Any, a: Any, b: Any) -> Any: ...


class Arrays:
    """Truth tables: boolean arrays of any shape."""

    def bit(self, value: int) -> NDArray[np.bool_]:
        return np.bool_(value)

    def inverse(self, a: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return ~a

    def both(self, a: NDArray[np.bool_], b: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return a & b

    def differ(self, a: NDArray[np.bool_], b: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return a ^ b

    def choose(self, s: Any, a: Any, b: Any) -> NDArray[np.bool_]:
        return np.where(s, b, a)


class Symbols:
    """Symbols: see the head of this file."""

    def bit(self, value: int) -> int:
        return value

    def inverse(self, a: int) -> int:
        return a if a == OPEN else a ^ 1

    def both(self, a: int, b: int) -> int:
        if a == 0 or b == 0:
            return 0
        if a == 1 or a == b:
            return b
        if b == 1:
            return a
        return 0 if a != OPEN and a ^ 1 == b else OPEN

    def differ(self, a: int, b: int) -> int:
        if OPEN in (a, b):
            return OPEN
        if a in (0, 1):
            return b ^ a
        if b in (0, 1):
            return a ^ b
        return a ^ b if a >> 1 == b >> 1 else OPEN

    def choose(self, s: int, a: int, b: int) -> int:
        if s in (0, 1):
            return b if s else a
        return a if a == b else OPEN


def evaluate(cell: Cell, inputs: Mapping[str, Sequence[Any]], by: Algebra) -> list[Any]:
    """The output bits of a `LOGIC` cell, by Yosys' definition of it, for the given input bits."""
    width = len(cell.outputs["Y"])
    kind = cell.type

    def either(a: Any, b: Any) -> Any:
        return by.inverse(by.both(by.inverse(a), by.inverse(b)))

    def extended(port: str, to: int) -> list[Any]:
        bits = list(inputs[port])
        fill = bits[-1] if cell.parameters[f"{port}_SIGNED"] else by.bit(0)
        return (bits + [fill] * (to - len(bits)))[:to]

    def alone(bit: Any) -> list[Any]:
        return [bit] + [by.bit(0)] * (width - 1)

    if kind == "$mux":
        pairs = zip(inputs["A"], inputs["B"], strict=True)
        return [by.choose(inputs["S"][0], a, b) for a, b in pairs]
    if kind == "$not":
        return [by.inverse(a) for a in extended("A", width)]
    if kind in ("$reduce_and", "$reduce_or", "$reduce_bool", "$reduce_xor", "$reduce_xnor"):
        operator = {"$reduce_and": by.both, "$reduce_xor": by.differ, "$reduce_xnor": by.differ}
        bit = reduce(operator.get(kind, either), inputs["A"])
        return alone(by.inverse(bit) if kind == "$reduce_xnor" else bit)
    if kind == "$logic_not":
        return alone(by.inverse(reduce(either, inputs["A"])))
    if kind in ("$logic_and", "$logic_or"):
        a, b = (reduce(either, inputs[port]) for port in "AB")
        return alone(by.both(a, b) if kind == "$logic_and" else either(a, b))
    if kind in ("$eq", "$ne"):
        wide = max(len(inputs["A"]), len(inputs["B"]))
        pairs = zip(extended("A", wide), extended("B", wide), strict=True)
        bit = reduce(either, (by.differ(a, b) for a, b in pairs))
        return alone(bit if kind == "$ne" else by.inverse(bit))
    operator = {"$and": by.both, "$or": either, "$xor": by.differ, "$xnor": by.differ}[kind]
    pairs = zip(extended("A", width), extended("B", width), strict=True)
    bits = [operator(a, b) for a, b in pairs]
    return [by.inverse(bit) for bit in bits] if kind == "$xnor" else bits


@dataclass(frozen=True)
class Requantizer:
    """`fixed.requantize` by ``shift`` to ``bits``, or with ``flag`` whether that clips."""

    shift: int
    bits: int
    flag: bool = False

    def __call__(self, total: int) -> int:
        return self.of_rounded(int(fixed.round_shift(total, self.shift)))

    def of_array(self, totals: NDArray[np.int64]) -> NDArray[np.int64]:
        rounded = fixed.round_shift(totals, self.shift)
        clipped = fixed.saturate(rounded, self.bits)
        return (clipped != rounded).astype(np.int64) if self.flag else clipped

    def of_rounded(self, rounded: int) -> int:
        clipped = int(fixed.saturate(rounded, self.bits))
        return int(clipped != rounded) if self.flag else clipped


@dataclass(frozen=True)
class Outcome:
    """``counterexample``: input, output and what it should be. Not proved where ``cases`` ended."""

    cases: int
    proved: bool
    counterexample: tuple[int, int, int] | None = None


def prove_requantizer(
    logic: Callable[[list[int]], list[int]],
    width: int,
    low: int,
    high: int,
    offset: int,
    wanted: Requantizer,
    signed: bool,
) -> Outcome:
    """Whether ``logic`` is ``wanted(v - offset)`` for every word v in ``low..high``.

    ``logic`` maps the symbols of a word of ``width`` bits (two's complement where ``low`` is
    negative, else unsigned) to output bits. The range is split into aligned blocks, in which the
    upper bits stand fixed and the lower ones are symbols, until in each block the output bits are
    those of the requantiser: in a few blocks for all the words at once, or down to a single word.
    """
    cases = 0
    half = (1 << wanted.shift) >> 1
    extra = half - offset
    limits = fixed.code_range(wanted.bits)

    def as_number(bits: Sequence[int]) -> int:
        number = sum(bit << k for k, bit in enumerate(bits))
        return number - (bits[-1] << len(bits)) if signed else number

    def expected(start: int, free: int, count: int) -> list[int] | None:
        """The output bits in a block, where one expression gives them all."""
        rounded = [(v + extra) >> wanted.shift for v in (start, start + (1 << free) - 1)]
        ends = [wanted.of_rounded(u) for u in rounded]
        fits = fixed.code_range(count) if signed else (0, (1 << count) - 1)
        if min(ends) < fits[0] or max(ends) > fits[1]:
            return None
        if ends[0] == ends[1]:
            # What lies between is the same, unless the block spans the whole range of the output.
            alike = len({u > limits[1] or (u < limits[0]) * -1 for u in rounded}) == 1
            return [ends[0] >> k & 1 for k in range(count)] if alike else None
        if extra or ends != rounded:
            return None
        moving = free - wanted.shift
        return [
            2 + 2 * (k + wanted.shift) if k < moving else ends[0] >> k & 1 for k in range(count)
        ]

    blocks = [(0, width)] if low >= 0 else [(0, width - 1), (-1 << (width - 1), width - 1)]
    while blocks:
        start, free = blocks.pop()
        if start > high or start + (1 << free) <= low:
            continue
        if low <= start and start + (1 << free) - 1 <= high:
            cases += 1
            if cases > MAX_CASES:
                return Outcome(cases, proved=False)
            word = [2 + 2 * k if k < free else start >> k & 1 for k in range(width)]
            got = logic(word)
            if free == 0:
                wrong = as_number(got), wanted(start - offset)
                if wrong[0] != wrong[1]:
                    return Outcome(cases, False, (start - offset, *wrong))
                continue
            out = expected(start, free, len(got))
            if out == got:
                continue
        blocks += [(start + (1 << (free - 1)), free - 1), (start, free - 1)]
    return Outcome(cases, proved=True)
