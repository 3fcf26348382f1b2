"""Recognise in the netlist the sums that golden requantises, and prove how each is requantised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from dbp.rtl.proof.cells import LOGIC, OPEN, Symbol, Symbols, evaluate
from dbp.rtl.proof.delays import Delays
from dbp.rtl.proof.netlist import Bit, Cell
from dbp.rtl.proof.origins import Origin, Origins, Source
from dbp.rtl.proof.polynomial import Polynomial
from dbp.rtl.proof.requantizer import Outcome, Requantizer, WordRange, prove_requantizer

# The polynomial of an input's element or of a cell that makes a word; None for other cells.
PolynomialOf = Callable[[Source], Polynomial | None]


@dataclass(frozen=True)
class RequantizedSum:
    """A sum of golden, ``total``, and what its requantiser makes of it, ``result``: a variable.

    ``unchanged``: the two are always equal, since nothing is shifted out or clipped.
    """

    requantizer: Requantizer
    total: Polynomial
    result: Polynomial
    unchanged: bool = False


class GoldenSums(Protocol):
    """The sums that golden requantises; ``unchanged``: some are `RequantizedSum.unchanged`."""

    unchanged: bool

    def matching(self, total: Polynomial) -> Sequence[RequantizedSum]:
        """Return the sums whose total is ``total`` but for a constant."""

    def nearest(self, total: Polynomial) -> str:
        """Return, for people, the sum nearest to ``total``, and the difference."""


class Proved(NamedTuple):
    """One requantiser of the netlist that was proved: for how many words, in how many cases."""

    words: int
    cases: int


class Base(NamedTuple):
    """The word that logic starts from: where it comes from, its width, its polynomial."""

    origin: Origin
    width: int
    polynomial: Polynomial


class Recognizer:
    """Recognises cones of logic over one word as requantisers of ``golden``.

    ``of_source``: the polynomial of a source. ``proved``: the requantisers proved so far.
    """

    def __init__(self, delays: Delays, golden: GoldenSums, of_source: PolynomialOf) -> None:
        self.delays, self.golden, self.of_source = delays, golden, of_source
        self.origins, self.space = delays.origins, delays.space
        self.proved: list[Proved] = []
        self._recognized: dict[tuple[tuple[Origin, ...], bool, bool], Polynomial] = {}

    def recognize(
        self, origins: Sequence[Origin], bits: Sequence[Bit], signed: bool, *, flag: bool = False
    ) -> Polynomial:
        """The variable for the requantised sum that these bits of one source are.

        ``flag``: they are one bit, and say whether the requantiser clips. `ProofError` where they
        are no such sum or a wrong one; it names the word ``bits``.
        """
        # Registers behind the source delay the result and change nothing else of it.
        undelayed = tuple(Origin(o.source, o.position) for o in origins)
        key = undelayed, signed, flag
        if key not in self._recognized:
            self._recognized[key] = self._prove(undelayed, bits, signed, flag)
        return self.delays.through_registers(self._recognized[key], origins[0], bits)

    def bases(self, origins: Sequence[Origin], bits: Sequence[Bit]) -> dict[Origin, Base]:
        """The words that logic cells make these bits from, by their origin (of bit 0)."""
        bases: dict[Origin, Base] = {}
        seen: set[Origin] = set()
        todo = list(origins)
        while todo:
            origin = todo.pop()
            key = origin._replace(position=0)
            if origin.source is None or key in seen:
                continue
            seen.add(key)
            polynomial = self.of_source(origin.source)
            if polynomial is not None:
                bases[key] = Base(key, self.origins.width(origin.source), polynomial)
            # Inside, a register would join bits of different words.
            elif origin is not origins[0] and (origin.words or origin.clocks):
                raise self.origins.fail("a register inside a requantiser", bits)
            elif isinstance(origin.source, Cell):
                for port in origin.source.inputs.values():
                    todo += self.origins.of_bits(port)
        return bases

    def _prove(
        self, origins: Sequence[Origin], bits: Sequence[Bit], signed: bool, flag: bool
    ) -> Polynomial:
        """Find the sum of golden that the word below the logic is, and prove the logic."""
        base = self._base(origins, bits)
        word = self.delays.through_registers(base.polynomial, base.origin, bits)
        readings = self._readings(word, base.width, bits)
        entry = self.delays.at_entry(word, bits)
        self.delays.rely_on(entry)
        candidates = [s for s in self.golden.matching(entry.total) if s.requantizer.flag == flag]
        if not candidates:
            nearest = self.golden.nearest(entry.total)
            raise self.origins.fail(f"requantises no sum of golden: {nearest}", bits)
        logic = _Cone(self.origins, origins, base.origin)
        failures = []
        for candidate in candidates:
            requantizer, constant = candidate.requantizer, candidate.total.constant
            # The word holds the sum and a constant, half of the last digit if all is right. Where
            # it can be signed or unsigned, take the reading whose constant is nearest to that.
            reading = min(readings, key=lambda r: abs(r.constant - constant - requantizer.half))
            words = WordRange(base.width, *self.space.bounds(reading))
            offset = reading.constant - constant
            outcome = prove_requantizer(logic, words, offset, requantizer, signed)
            if outcome.proved:
                self.proved.append(Proved(words.high - words.low + 1, outcome.cases))
                return self.space.move(candidate.result, 0, entry.delay)
            failures.append(_failure(outcome))
        raise self.origins.fail(f"requantises wrongly: {failures[0]}", bits)

    def _readings(self, word: Polynomial, width: int, bits: Sequence[Bit]) -> list[Polynomial]:
        """The word as a signed number and as an unsigned one, those of the two that it can be."""
        numbers = [self.space.low_bits(word, width, signed) for signed in (True, False)]
        readings = [number for number in numbers if number is not None]
        if not readings:
            low, high = self.space.bounds(word)
            text = self.space.text(word.terms)
            raise self.origins.fail(f"overflow: {width} bits for {low}..{high}: {text}", bits)
        return readings

    def _base(self, origins: Sequence[Origin], bits: Sequence[Bit]) -> Base:
        """The one word that logic cells make these bits from."""
        bases = self.bases(origins, bits)
        if len(bases) != 1:
            names = ", ".join(sorted(self.origins.describe(origin) for origin in bases)[:4])
            raise self.origins.fail(f"a function of {len(bases)} words: {names}", bits)
        (base,) = bases.values()
        return base


class _Cone:
    """Logic cells from the word at ``base`` to ``outputs``, evaluated for symbols of the word."""

    def __init__(self, origins: Origins, outputs: Sequence[Origin], base: Origin) -> None:
        self.origins, self.outputs, self.base = origins, outputs, base
        self._inputs: dict[Cell, dict[str, list[Origin]]] = {}

    def __call__(self, word: list[Symbol]) -> list[Symbol]:
        known: dict[Cell, list[Symbol]] = {}
        return [self._symbol(origin, word, known) for origin in self.outputs]

    def _symbol(
        self, origin: Origin, word: list[Symbol], known: dict[Cell, list[Symbol]]
    ) -> Symbol:
        cell = origin.source
        if cell is None:
            return origin.position
        if origin._replace(position=0) == self.base:
            return word[origin.position]
        if not isinstance(cell, Cell) or cell.type not in LOGIC:
            return OPEN
        if cell not in known:
            # Until they are known, so that a loop of cells ends.
            known[cell] = [OPEN] * len(cell.outputs["Y"])
            inputs = {
                port: [self._symbol(o, word, known) for o in row]
                for port, row in self._inputs_of(cell).items()
            }
            known[cell] = evaluate(cell, inputs, Symbols())
        return known[cell][origin.position]

    def _inputs_of(self, cell: Cell) -> dict[str, list[Origin]]:
        if cell not in self._inputs:
            self._inputs[cell] = {p: self.origins.of_bits(row) for p, row in cell.inputs.items()}
        return self._inputs[cell]


def _failure(outcome: Outcome) -> str:
    if outcome.counterexample is None:
        return f"not proved in {outcome.cases} cases"
    total, result, expected = outcome.counterexample
    return f"a sum of {total} gives {result} instead of {expected}"
