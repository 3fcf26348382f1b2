"""Prove that logic requantises: for every word of a range, in a few cases.

`prove_requantizer` splits the range of a word v into aligned pieces, in which the upper bits are
constants and the lower ones symbols. For v in -30..30, which has half of the last digit added, a
shift of 2 and 3 bits at the output, with the limits -4 and 3::

    -30      -24       -16                0                16       24       30
      |-- -4 --|-- -4 ---|---- v >> 2 ----|---- v >> 2 ----|-- 3 ---|-- 3 ---|
       2 pieces   1 piece      1 piece          1 piece      1 piece 3 pieces

Near zero the gates give the shifted bits of v for all words of a piece at once, further out the
limit. Pieces that reach over an end of the range are split until they do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbp.datapath import fixed
from dbp.rtl.proof.cells import OPEN, Symbol, open_bit

# Far above what a requantiser takes: about the square of its word length.
MAX_CASES = 20_000


@dataclass(frozen=True)
class Requantizer:
    """`fixed.requantize` by ``shift`` to ``bits``, or with ``flag`` whether that clips."""

    shift: int
    bits: int
    flag: bool = False

    @property
    def half(self) -> int:
        """Half of the last digit that is kept: added before the shift, it rounds."""
        return (1 << self.shift) >> 1

    def __call__(self, total: int) -> int:
        return self.of_rounded(int(fixed.round_shift(total, self.shift)))

    def of_array(self, totals: NDArray[np.int64]) -> NDArray[np.int64]:
        rounded = fixed.round_shift(totals, self.shift)
        clipped = fixed.saturate(rounded, self.bits)
        return (clipped != rounded).astype(np.int64) if self.flag else clipped

    def of_rounded(self, rounded: int) -> int:
        clipped = int(fixed.saturate(rounded, self.bits))
        return int(clipped != rounded) if self.flag else clipped


class Counterexample(NamedTuple):
    """A sum for which the logic gives ``result`` in place of ``expected``."""

    total: int
    result: int
    expected: int


@dataclass(frozen=True)
class Outcome:
    """The result of `prove_requantizer`.

    It is undecided, neither proved nor with a counterexample, where all ``cases`` had been tried.
    """

    cases: int
    proved: bool
    counterexample: Counterexample | None = None


class Piece(NamedTuple):
    """The words ``start`` to ``start + 2**free_bits - 1``, which differ in their low bits only."""

    start: int
    free_bits: int

    @property
    def last(self) -> int:
        return self.start + (1 << self.free_bits) - 1

    def halves(self) -> list[Piece]:
        """The upper half, then the lower one."""
        free = self.free_bits - 1
        return [Piece(self.start + (1 << free), free), Piece(self.start, free)]

    def symbols(self, width: int) -> list[Symbol]:
        """The bits that all its words have in common, and symbols for the free ones."""
        return [open_bit(k) if k < self.free_bits else self.start >> k & 1 for k in range(width)]


class WordRange(NamedTuple):
    """The words ``low..high`` of ``width`` bits: two's complement where ``low`` is negative."""

    width: int
    low: int
    high: int

    def pieces(self) -> list[Piece]:
        """One or two pieces that hold all words of that width."""
        if self.low >= 0:
            return [Piece(0, self.width)]
        half = self.width - 1
        return [Piece(0, half), Piece(-1 << half, half)]


def prove_requantizer(
    logic: Callable[[list[Symbol]], list[Symbol]],
    words: WordRange,
    offset: int,
    requantizer: Requantizer,
    signed: bool,
) -> Outcome:
    """Prove that ``logic`` is ``requantizer(v - offset)`` for every word v of ``words``.

    ``logic`` maps the symbols of a word to its output bits, a number that is ``signed`` or not.
    Invariant: each word of the range is in exactly one piece, of those that wait or of those that
    are done; for all words of a piece that is done the logic gives what the requantiser gives.
    """
    cases = 0
    waiting = words.pieces()
    while waiting:
        piece = waiting.pop()
        if piece.start > words.high or piece.last < words.low:
            continue
        if words.low <= piece.start and piece.last <= words.high:
            cases += 1
            if cases > MAX_CASES:
                return Outcome(cases, proved=False)
            output = logic(piece.symbols(words.width))
            if piece.free_bits == 0:
                if OPEN in output:
                    return Outcome(cases, proved=False)
                total = piece.start - offset
                result, expected = _number(output, signed), requantizer(total)
                if result != expected:
                    return Outcome(cases, False, Counterexample(total, result, expected))
                continue
            if output == _output(piece, offset, requantizer, len(output), signed):
                continue
        waiting += piece.halves()
    return Outcome(cases, proved=True)


def _number(bits: Sequence[int], signed: bool) -> int:
    number = sum(bit << k for k, bit in enumerate(bits))
    return number - (bits[-1] << len(bits)) if signed else number


def _output(
    piece: Piece, offset: int, requantizer: Requantizer, count: int, signed: bool
) -> list[Symbol] | None:
    """The ``count`` output bits that one expression gives for all words of a piece.

    These are the bits of a constant or the shifted bits of the word; None where neither is sure.
    """
    # The logic must still add this before it shifts; 0 where half is in the word already.
    missing = requantizer.half - offset
    rounded = [(v + missing) >> requantizer.shift for v in (piece.start, piece.last)]
    ends = [requantizer.of_rounded(u) for u in rounded]
    low, high = fixed.code_range(count) if signed else (0, (1 << count) - 1)
    if min(ends) < low or max(ends) > high:
        return None
    if ends[0] == ends[1]:
        # Both ends on one side of the limits, or between them: then all words are. A flag that is 1
        # at both ends could else be 0 between.
        least, greatest = fixed.code_range(requantizer.bits)
        sides = {(u > greatest) - (u < least) for u in rounded}
        return [ends[0] >> k & 1 for k in range(count)] if len(sides) == 1 else None
    if missing or ends != rounded:
        return None
    moving = piece.free_bits - requantizer.shift
    return [
        open_bit(k + requantizer.shift) if k < moving else ends[0] >> k & 1 for k in range(count)
    ]
