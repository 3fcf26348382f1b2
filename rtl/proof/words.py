"""What the words of an emitted block are worth: exact polynomials in the samples that enter it.

Each word of the netlist is congruent to its polynomial modulo two to its width, always. Where a
wider or a shifted word takes it up, it must be equal to it, which its bounds then have to show.
Registers hold their bits back by one clock, or, where ``in_valid`` enables them, by one word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dbp.rtl.proof.cells import LOGIC, OPEN, Arrays, Requantizer, Symbols, evaluate
from dbp.rtl.proof.cells import prove_requantizer as prove
from dbp.rtl.proof.netlist import CONSTANTS, Bit, Cell, ProofError, WordNetlist
from dbp.rtl.proof.polynomial import Space, Value, Variable

ARITHMETIC = frozenset(["$add", "$sub", "$mul", "$neg", "$pos"])
# Far above any latency.
MAX_CLOCKS = 1000


class Origin(NamedTuple):
    """Where a bit comes from: bit ``index`` of ``source``, some words earlier and clocks older.

    ``enabled_at``: the delay that the source itself must have, since registers on the way advance
    with the valid of that age; None where there are none. ``source`` None: the constant ``index``.
    """

    source: Cell | tuple[str, int] | None
    index: int
    words: int = 0
    clocks: int = 0
    enabled_at: int | None = None


@dataclass(frozen=True)
class Quantity:
    """A requantised sum of the reference: ``value`` as a variable, ``total`` as a polynomial.

    ``unchanged``: the two are equal, always, since nothing is shifted out or clipped.
    """

    requantizer: Requantizer
    total: Value
    value: Value
    unchanged: bool = False


class Sums(Protocol):
    """The sums that golden requantises; ``unchanged``: are any of them `Quantity.unchanged`?"""

    unchanged: bool

    def known(self, total: Value) -> Sequence[Quantity]:
        """What becomes of a sum equal to ``total`` but for a constant."""

    def nearest(self, total: Value) -> str:
        """For people: the sum nearest to ``total``, and the difference."""


@dataclass(frozen=True)
class Proved:
    """One requantiser of the netlist that was proved: how many words it can meet, in cases."""

    words: int
    cases: int


class ExactValues:
    """Reads words of ``netlist``.

    ``elements``: for each data input the variables of its packed elements, the lowest first, and
    the bits of each. ``reference``: the requantised sums that the netlist may hold. `ProofError`
    where a word is none of a polynomial, a table and such a sum.
    """

    def __init__(
        self,
        netlist: WordNetlist,
        space: Space,
        elements: dict[str, tuple[int, Sequence[Variable]]],
        reference: Sums,
    ) -> None:
        self.netlist, self.space, self.reference = netlist, space, reference
        self.elements = elements
        self.proved: list[Proved] = []
        self.read_after: set[int] = set()
        self._origins: dict[Bit, Origin] = {}
        self._words: dict[Cell | tuple[str, int], Value] = {}
        self._bits: dict[Cell, list[tuple[Variable | None, NDArray[np.bool_]]] | None] = {}
        self._recognized: dict[tuple, Value] = {}
        self._open: set[Cell] = set()

    def fail(self, what: str, bits: Sequence[Bit]) -> ProofError:
        return ProofError(f"{self.netlist.name}: {self.netlist.describe(bits[-1])}: {what}")

    # Where bits come from.

    def valid_age(self, bit: Bit) -> int | None:
        """How many clocks old the ``in_valid`` is that ``bit`` carries; None for other bits.

        Reset must clear each register on the way.
        """
        age = 0
        while self.netlist.is_register(bit):
            register = self.netlist.register(bit)
            age += 1
            if register.enable is not None or register.reset != 0 or age > MAX_CLOCKS:
                return None
            bit = register.taken
        return age if (bit,) == self.netlist.inputs.get("in_valid") else None

    def origin(self, bit: Bit) -> Origin:
        """Trace a bit back through registers."""
        path = []
        while bit not in self._origins and self.netlist.is_register(bit):
            taken, enable, _ = self.netlist.register(bit)
            age = None
            if enable is not None and (age := self.valid_age(enable)) is None:
                raise self.fail(
                    f"advances with {self.netlist.describe(enable)}, which is no valid", [bit]
                )
            path.append((bit, age))
            bit = taken
            if len(path) > len(self.netlist.drivers):
                raise self.fail("a register that feeds itself", [bit])
        if bit not in self._origins:
            self._origins[bit] = self._source(bit)
        found = self._origins[bit]
        for register, age in reversed(path):
            if age is None:
                found = found._replace(clocks=found.clocks + 1)
            else:
                needed = age - found.clocks
                if found.source is not None and found.enabled_at not in (None, needed):
                    raise self.fail("histories that advance with different words", [register])
                found = found._replace(words=found.words + 1, enabled_at=needed)
            self._origins[register] = found
        return found

    def _source(self, bit: Bit) -> Origin:
        if bit in CONSTANTS:
            return Origin(None, CONSTANTS[bit])
        source, k = self.netlist.driver(bit)
        if isinstance(source, str):
            if source not in self.elements:
                raise self.fail(f"depends on {source}, which is no data", [bit])
            width, _ = self.elements[source]
            return Origin((source, k // width), k % width)
        return Origin(source, k)

    # What words are worth.

    def read(self, bits: Sequence[Bit], signed: bool, modulo: int | None = None) -> Value:
        """The number that ``bits`` (low first) are; with ``modulo`` up to multiples of 2**modulo.

        `ProofError` where that is no known polynomial.
        """
        return self._read([self.origin(bit) for bit in bits], bits, signed, modulo)

    def _read(
        self, origins: list[Origin], bits: Sequence[Bit], signed: bool, modulo: int | None
    ) -> Value:
        while signed and len(origins) > 1 and origins[-1] == origins[-2]:
            origins = origins[:-1]
        while origins and origins[-1] == Origin(None, 0):
            origins, signed = origins[:-1], False
        segments = _segments(origins)
        values = []
        for start, segment in segments:
            left = None if modulo is None else modulo - start
            if left is None or left > 0:
                top = signed and segment is segments[-1][1]
                values.append(self._segment(segment, bits, top, left))
        if None in values and (tables := self._tables(origins)) is not None:
            return self._from_tables(tables, signed)
        total = self.space.constant(0)
        for (start, segment), value in zip(segments, values, strict=False):
            if value is None:
                value = self._recognize(segment, bits, signed and segment is segments[-1][1])
            total = self.space.add(total, self.space.scale(value, 1 << start))
        return self._passed_on(total, bits) if self.reference.unchanged else total

    def _passed_on(self, total: Value, bits: Sequence[Bit]) -> Value:
        """A sum that a requantiser leaves as it is, as the variable that golden makes of it."""
        entered, clocks, read = self._entered(total, bits)
        for quantity in self.reference.known(entered):
            if quantity.unchanged:
                self._read_after(read)
                offset = self.space.constant(total.constant - quantity.total.constant)
                return self.space.add(self.space.move(quantity.value, 0, clocks), offset)
        return total

    def _entered(self, word: Value, bits: Sequence[Bit]) -> tuple[Value, int, int | None]:
        """The same as of the clock at which the samples came in, and how long ago that was.

        Also what stands still, if there is any: how long before or after that clock it was read.
        """
        clocks = self.delay(word, bits) or 0
        total = self.space.move(word, 0, -clocks)
        read = self.delay(total, bits, still=True)
        return self.space.move(total, 0, -(read or 0), still=True), clocks, read

    def _read_after(self, read: int | None) -> None:
        if read is not None:
            self.read_after.add(-read)

    def _segment(
        self, origins: list[Origin], bits: Sequence[Bit], signed: bool, modulo: int | None
    ) -> Value | None:
        """Adjacent bits of one source, if they are the low bits of a word that fits into them."""
        first, count = origins[0], len(origins)
        if first.source is None:
            ones = sum(origin.index << k for k, origin in enumerate(origins))
            return self.space.constant(ones - (signed and origins[-1].index << count))
        if first.index or (word := self.word(first.source)) is None:
            return None
        value = self._moved(word, first, bits)
        if modulo is not None and count >= modulo:
            return value
        return self._settled(value, count, signed)

    def _settled(self, value: Value, bits: int, signed: bool) -> Value | None:
        """The number that ``bits`` low bits of a word are; None where the bounds leave that open.

        That is its polynomial, or one that differs by a multiple of ``2**bits``.
        """
        least = -1 << (bits - 1) if signed else 0
        for low, high in ((value.low, value.high), self.space.bounds(value)):
            turns = (low - least) >> bits
            if turns == (high - least) >> bits:
                value = replace(value, low=low, high=high)
                return (
                    self.space.add(value, self.space.constant(-turns << bits)) if turns else value
                )
        return None

    def _moved(self, value: Value, origin: Origin, bits: Sequence[Bit]) -> Value:
        if origin.enabled_at is not None and self.delay(value, bits) not in (
            None,
            origin.enabled_at,
        ):
            raise self.fail("a history that advances with the valid of another word", bits)
        return self.space.move(value, origin.words, origin.clocks)

    def delay(self, value: Value, bits: Sequence[Bit], *, still: bool = False) -> int | None:
        """How many clocks ago all its samples came in; None where there are none.

        ``still``: instead of the samples, what stands still and is only read.
        """
        found = {v.delay for v in self.space.variables(value) if (v.sample is None) == still}
        if len(found) > 1:
            raise self.fail(
                f"joins what is {sorted(found)} clocks old: {self.space.text(value.terms)}", bits
            )
        return found.pop() if found else None

    def word(self, source: Cell | tuple[str, int]) -> Value | None:
        """The polynomial of an input's element or of an arithmetic cell; None for other cells."""
        if source not in self._words:
            whole = {"$not": self._complement, "$mux": self._choice}
            if isinstance(source, tuple):
                port, k = source
                self._words[source] = self.space.variable(self.elements[port][1][k])
            elif source.type in whole and (value := whole[source.type](source)) is not None:
                self._words[source] = value
            elif source.type not in ARITHMETIC:
                if source.type not in LOGIC:
                    raise ProofError(
                        f"{self.netlist.name}: a cell {source.type}, of which nothing is known"
                    )
                return None
            else:
                self._enter(source)
                self._words[source] = self._arithmetic(source)
                self._open.remove(source)
        return self._words[source]

    def _enter(self, cell: Cell) -> None:
        if cell in self._open:
            raise self.fail("feeds itself", cell.outputs["Y"])
        self._open.add(cell)

    def _complement(self, cell: Cell) -> Value | None:
        """-1 - x of a whole word x; None for other bits, which are logic."""
        bits, width = cell.inputs["A"], len(cell.outputs["Y"])
        origins = [self.origin(bit) for bit in bits]
        first = origins[0]
        if first.source is None or first.index or len(_segments(origins)) > 1:
            return None
        self._enter(cell)
        word = self.word(first.source)
        self._open.remove(cell)
        if word is None:
            return None
        x = self.read(bits, bool(cell.parameters["A_SIGNED"]), modulo=width)
        return self.space.add(self.space.constant(-1), x, -1)

    def _choice(self, cell: Cell) -> Value | None:
        """Of two words the one that a function of one variable chooses; None for other bits."""
        a, b, s = ([self.origin(bit) for bit in cell.inputs[port]] for port in "ABS")
        if (chosen := self._tables(s)) is None or self._tables(a + b + s) is not None:
            return None
        self._enter(cell)
        try:
            # As numbers, not modulo: the bounds of what is chosen are those of the two.
            a, b = (self.read(cell.inputs[port], signed=True) for port in "AB")
        except ProofError:
            return None
        finally:
            self._open.remove(cell)
        difference = self.space.add(b, a, -1)
        value = self.space.add(a, self.space.mul(self._from_tables(chosen, False), difference))
        low, high = min(a.low, b.low), max(a.high, b.high)
        return replace(value, low=max(low, value.low), high=min(high, value.high))

    def _arithmetic(self, cell: Cell) -> Value:
        width = len(cell.outputs["Y"])
        signs = {cell.parameters[f"{port}_SIGNED"] for port in cell.inputs}
        if len(signs) != 1:
            raise self.fail("operands signed and unsigned", cell.outputs["Y"])
        signed = bool(signs.pop())
        a, *rest = (
            self.read(cell.inputs[port], signed, modulo=width) for port in sorted(cell.inputs)
        )
        if cell.type == "$pos":
            return a
        if cell.type == "$neg":
            return self.space.scale(a, -1)
        (b,) = rest
        if cell.type == "$mul":
            return self.space.mul(a, b)
        return self.space.add(a, b, 1 if cell.type == "$add" else -1)

    # Functions of one variable: truth tables.

    def _tables(
        self, origins: list[Origin]
    ) -> list[tuple[Variable | None, NDArray[np.bool_]]] | None:
        """The bits as truth tables over one variable; None where they are not that."""
        found = []
        for origin in origins:
            bit = self._table(origin)
            if bit is None:
                return None
            found.append(bit)
        return found if len({v for v, _ in found if v is not None}) <= 1 else None

    def _table(self, origin: Origin) -> tuple[Variable | None, NDArray[np.bool_]] | None:
        if origin.source is None:
            return None, np.array([bool(origin.index)])
        if origin.source not in self._bits:
            self._bits[origin.source] = self._cell_tables(origin.source)
        rows = self._bits[origin.source]
        if rows is None or rows[origin.index] is None:
            return None
        variable, table = rows[origin.index]
        if variable is None:
            return None, table
        value = self._moved(self.space.variable(variable), origin, ())
        return self.space.only_variable(value), table

    def _cell_tables(
        self, source: Cell | tuple[str, int]
    ) -> list[tuple[Variable | None, NDArray[np.bool_]] | None] | None:
        word = self.word(source)
        if word is not None:
            variable = self.space.only_variable(word)
            if variable is None and not word.is_constant:
                return self._quantity_tables(source, word)
            if variable is None:
                table = np.array([word.constant])
            else:
                table = self.space.evaluate(word, variable)
            width = self._width(source)
            return [(variable, (table >> k & 1).astype(bool)) for k in range(width)]
        self._enter(source)
        inputs = {
            port: self._tables([self.origin(bit) for bit in bits])
            for port, bits in source.inputs.items()
        }
        self._open.remove(source)
        if None in inputs.values():
            return self._quantity_tables(source, None)
        variables = {v for rows in inputs.values() for v, _ in rows if v is not None}
        if len(variables) > 1:
            return None
        variable = variables.pop() if variables else None
        plain = {port: [table for _, table in rows] for port, rows in inputs.items()}
        return [(variable, table) for table in evaluate(source, plain, Arrays())]

    def _quantity_tables(
        self, source: Cell | tuple[str, int], word: Value | None
    ) -> list[tuple[Variable | None, NDArray[np.bool_]] | None] | None:
        """The bits that are a requantised sum, of a variable of its own; None for those below."""
        width = self._width(source)
        if word is None:
            starts = {0} if source.type == "$mux" else set()
        else:
            entered, _, _ = self._entered(word, source.outputs["Y"])
            starts = {q.requantizer.shift for q in self.reference.known(entered)}
        for start in starts:
            bits = [Origin(source, k) for k in range(start, width)]
            try:
                value = self._recognize(bits, source.outputs["Y"], True)
            except ProofError:
                continue
            variable = self.space.only_variable(value)
            if variable is None:
                continue
            return [
                None if k < start else (variable, (variable.values >> k - start & 1).astype(bool))
                for k in range(width)
            ]
        return None

    def _from_tables(
        self, rows: list[tuple[Variable | None, NDArray[np.bool_]]], signed: bool
    ) -> Value:
        table = sum(row.astype(np.int64) << k for k, (_, row) in enumerate(rows))
        if signed:
            table = table - (rows[-1][1].astype(np.int64) << len(rows))
        variable = next((v for v, _ in rows if v is not None), None)
        if variable is None:
            return self.space.constant(int(table[0]))
        full = np.broadcast_to(table, (variable.high - variable.low + 1,))
        return self.space.table(variable, full)

    # Requantisers: cones of logic over one word.

    def flags(self, bit: Bit) -> list[Value]:
        """What ``bit`` is the "or" of: whether requantisers clip, or functions of one variable."""
        return self._flags(self.origin(bit), [bit])

    def _flags(self, origin: Origin, bits: Sequence[Bit]) -> list[Value]:
        if (tables := self._tables([origin])) is not None:
            return [self._from_tables(tables, False)]
        cell = origin.source
        if isinstance(cell, Cell) and cell.type in ("$or", "$reduce_or", "$reduce_bool"):
            inputs = [self.origin(bit) for port in cell.inputs.values() for bit in port]
            bases = {base for source in inputs for base in self._bases([source], bits)}
            if len(bases) > 1:
                found = [value for source in inputs for value in self._flags(source, bits)]
                return [self._moved(value, origin, bits) for value in found]
        return [self._recognize([origin], bits, False, flag=True)]

    def _recognize(
        self, origins: list[Origin], bits: Sequence[Bit], signed: bool, *, flag: bool = False
    ) -> Value:
        """The quantity of the reference that these bits of a logic cell, or a slice, are."""
        first = origins[0]
        cached = (*((o.source, o.index) for o in origins), signed, flag)
        if cached not in self._recognized:
            plain = [Origin(o.source, o.index) for o in origins]
            self._recognized[cached] = self._quantity(plain, bits, signed, flag)
        return self._moved(self._recognized[cached], first, bits)

    def _quantity(
        self, origins: list[Origin], bits: Sequence[Bit], signed: bool, flag: bool
    ) -> Value:
        base, width = self._base(origins, bits)
        word = self._moved(self.word(base.source), base, bits)
        settled = (self._settled(word, width, signed) for signed in (True, False))
        numbers = [number for number in settled if number is not None]
        if not numbers:
            low, high = self.space.bounds(word)
            raise self.fail(
                f"overflow: {width} bits for {low}..{high}: {self.space.text(word.terms)}", bits
            )
        total, clocks, read = self._entered(word, bits)
        self._read_after(read)
        candidates = [q for q in self.reference.known(total) if q.requantizer.flag == flag]
        if not candidates:
            raise self.fail(f"requantises no sum of golden: {self.reference.nearest(total)}", bits)

        def logic(symbols: list[int]) -> list[int]:
            known: dict[Cell, list[int]] = {}
            return [self._symbol(origin, base, symbols, known) for origin in origins]

        failures = []
        for quantity in candidates:
            # Of the readings of the word, signed and unsigned, the one that is rounded rightly.
            wanted = quantity.requantizer
            half = (1 << wanted.shift) >> 1
            offsets = [number.constant - quantity.total.constant for number in numbers]
            k = min(range(len(numbers)), key=lambda k: abs(offsets[k] - half))
            low, high = self.space.bounds(numbers[k])
            outcome = prove(logic, width, low, high, offsets[k], wanted, signed)
            if outcome.proved:
                self.proved.append(Proved(high - low + 1, outcome.cases))
                return self.space.move(quantity.value, 0, clocks)
            if outcome.counterexample is None:
                failures.append(f"not proved in {outcome.cases} cases")
            else:
                total, got, expected = outcome.counterexample
                failures.append(f"a sum of {total} gives {got} instead of {expected}")
        raise self.fail(f"requantises wrongly: {failures[0]}", bits)

    def _base(self, origins: list[Origin], bits: Sequence[Bit]) -> tuple[Origin, int]:
        """The one word, moved by registers perhaps, that logic cells make these bits from."""
        found = self._bases(origins, bits)
        if len(found) != 1:
            names = sorted(
                self.netlist.describe(o.source.outputs["Y"][0])
                if isinstance(o.source, Cell)
                else f"{o.source[0]}[{o.source[1]}]"
                for o in found
            )
            raise self.fail(f"a function of {len(found)} words: {', '.join(names[:4])}", bits)
        return next(iter(found.items()))

    def _bases(self, origins: list[Origin], bits: Sequence[Bit]) -> dict[Origin, int]:
        """The words that logic cells make these bits from, and their widths."""
        found: dict[Origin, int] = {}
        seen, todo = set(), list(origins)
        while todo:
            origin = todo.pop()
            key = origin._replace(index=0)
            if origin.source is None or key in seen:
                continue
            seen.add(key)
            if self.word(origin.source) is not None:
                found[key] = self._width(origin.source)
            elif origin is not origins[0] and (origin.words or origin.clocks):
                raise self.fail("a register inside a requantiser", bits)
            else:
                for port in origin.source.inputs.values():
                    todo += [self.origin(bit) for bit in port]
        return found

    def _width(self, source: Cell | tuple[str, int]) -> int:
        if isinstance(source, tuple):
            return self.elements[source[0]][0]
        return len(source.outputs["Y"])

    def _symbol(
        self, origin: Origin, base: Origin, symbols: list[int], known: dict[Cell, list[int]]
    ) -> int:
        if origin.source is None:
            return origin.index
        if origin._replace(index=0) == base:
            return symbols[origin.index]
        if not isinstance(origin.source, Cell) or origin.source.type not in LOGIC:
            return OPEN
        if origin.source not in known:
            known[origin.source] = [OPEN] * len(origin.source.outputs["Y"])
            inputs = {
                port: [self._symbol(self.origin(bit), base, symbols, known) for bit in row]
                for port, row in origin.source.inputs.items()
            }
            known[origin.source] = evaluate(origin.source, inputs, Symbols())
        return known[origin.source][origin.index]


def _segments(origins: list[Origin]) -> list[tuple[int, list[Origin]]]:
    """Runs of adjacent bits of one source, each with the place of its lowest bit."""
    runs: list[tuple[int, list[Origin]]] = []
    for k, origin in enumerate(origins):
        before = runs[-1][1][-1] if runs else None
        step = 0 if origin.source is None else 1
        if before is not None and (
            before._replace(index=before.index + 1) == origin if step else before.source is None
        ):
            runs[-1][1].append(origin)
        else:
            runs.append((k, [origin]))
    return runs


def _fits(value: Value, bits: int, signed: bool) -> bool:
    low, high = (-1 << (bits - 1), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    return low <= value.low and value.high <= high
