"""Read the words of an emitted block as exact polynomials in the samples that enter it.

A word of w bits is congruent to its polynomial modulo 2**w, always, since sums and products are.
Where a wider or a shifted word takes it up it must be equal to its polynomial, which the bounds of
that have to show.

An example, from Verilog to a proved requantiser: one lane with the taps 1, 2, 1 ::

    module three_taps(clk, in_valid, x, y);
      input clk, in_valid;
      input signed [3:0] x;
      output reg signed [2:0] y;
      reg signed [3:0] x_1, x_2;
      always @(posedge clk) if (in_valid) x_1 <= x;
      always @(posedge clk) if (in_valid) x_2 <= x_1;
      wire signed [5:0] outer = x + x_2;
      wire signed [5:0] total = outer + $signed({x_1, 1'h0}) + 6'sh2;
      wire clips = total[5] != total[4];
      always @(posedge clk) y <= clips ? {total[5], {2{~total[5]}}} : total[4:2];
    endmodule

Golden says the same with polynomials: a sum, shifted by 2 and clipped to 3 bits. Its result is a
new variable, y at sample 0, in the limits -4 and 3.

    >>> x, space = Variable("x", sample=0, delay=0, low=-8, high=7), Space(lanes=1)
    >>> x_0, x_1, x_2 = (space.variable(replace(x, sample=-k)) for k in range(3))
    >>> golden = GoldenPolynomials(space)
    >>> golden_sum = space.sum([x_0, space.scale(x_1, 2), x_2])
    >>> golden_y, _ = golden.requantize(golden_sum, "y", sample=0, shift=2, bits=3)
    >>> space.text(golden_y.terms), golden_y.low, golden_y.high
    ('+1 y[n+0]', -4, 3)

The netlist is read against that. `Origins` follows bits back through registers: bit 3 of x_2 is bit
3 of the sample that came in two words ago, with registers that advance with its own valid; the bits
of y come from a multiplexer, one clock ago.

    >>> words = Words(netlist, space, {"x": PackedInput(4, [x])}, golden)
    >>> words.origins.of_bit(netlist.nets["x_2"][3])
    Origin(source=Element(port='x', number=0), position=3, words=2, clocks=0, enabled_at=0)
    >>> mux, *way = words.origins.of_bit(netlist.outputs["y"][0])
    >>> mux.type, way
    ('$mux', [0, 0, 1, None])

`Words` makes polynomials of adders and of wires. 2 is half of the last digit that is kept: with it
the shift rounds. The bounds fit into 6 bits, so the word is that number and not only congruent.

    >>> total = words.read(netlist.nets["total"], signed=True)
    >>> space.text(total.terms), total.low, total.high
    ('+2 +1 x[n+0] +2 x[n-1] +1 x[n-2]', -30, 30)

The bits of y are neither a polynomial nor functions of one variable. `Recognizer` finds that they
are logic over one word, total, that this is the sum of golden but for a constant, and proves the
logic for all 61 words in 9 cases (`dbp.rtl.proof.requantizer` draws them). So y is what golden
calls y, one clock later.

    >>> y = words.read(netlist.outputs["y"], signed=True)
    >>> space.text(y.terms), words.recognizer.proved
    ('+1 y[n+0]@1', [Proved(words=61, cases=9)])
    >>> y == space.move(golden_y, words=0, clocks=1)
    True
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from dbp.rtl.proof.cells import ARITHMETIC, LOGIC
from dbp.rtl.proof.delays import Delays
from dbp.rtl.proof.netlist import Bit, Cell, ProofError, WordNetlist
from dbp.rtl.proof.origins import Element, Origin, Origins, PackedInput, Segment, Source, segments
from dbp.rtl.proof.polynomial import Polynomial, Space
from dbp.rtl.proof.recognizer import GoldenSums, Recognizer
from dbp.rtl.proof.truth_tables import TruthTables


class Words:
    """Reads words of ``netlist``, whose data enter at ``inputs``, as polynomials of ``space``.

    ``golden``: the requantised sums that the netlist may hold. `ProofError` where a word is neither
    a polynomial nor a function of one variable nor such a sum.
    """

    def __init__(
        self,
        netlist: WordNetlist,
        space: Space,
        inputs: Mapping[str, PackedInput],
        golden: GoldenSums,
    ) -> None:
        self.space, self.golden = space, golden
        self.origins = Origins(netlist, inputs)
        self.delays = Delays(self.origins, space)
        self.recognizer = Recognizer(self.delays, golden, self.of_source)
        self.tables = TruthTables(self.delays, self.recognizer, self.of_source)
        self._polynomials: dict[Source, Polynomial] = {}
        self._visited: set[Source] = set()

    def read(self, bits: Sequence[Bit], signed: bool, modulo: int | None = None) -> Polynomial:
        """The number that ``bits`` (low first) are; with ``modulo`` up to multiples of 2**modulo.

        `ProofError` where that is no known polynomial.
        """
        origins = self.origins.of_bits(bits)
        # Sign and zero extension add nothing to the number.
        while signed and len(origins) > 1 and origins[-1] == origins[-2]:
            origins = origins[:-1]
        while origins and origins[-1] == Origin(None, 0):
            origins, signed = origins[:-1], False
        # Bits above the modulo add multiples of it.
        parts = [s for s in segments(origins) if modulo is None or s.start < modulo]
        # Only the part with the highest bit has a sign.
        signs = [signed and part.start + len(part.origins) == len(origins) for part in parts]
        numbers = [
            self._part(part, bits, sign, None if modulo is None else modulo - part.start)
            for part, sign in zip(parts, signs, strict=True)
        ]
        if None in numbers and (tables := self.tables.of_bits(origins)) is not None:
            return self.tables.number(tables, signed)
        total = self.space.constant(0)
        for part, number, sign in zip(parts, numbers, signs, strict=True):
            if number is None:
                number = self.recognizer.recognize(part.origins, bits, sign)
            total = self.space.add(total, self.space.scale(number, 1 << part.start))
        return self._unchanged(total, bits) if self.golden.unchanged else total

    def flags(self, bit: Bit) -> list[Polynomial]:
        """Return the terms whose "or" is ``bit``: clips, or functions of one variable."""
        return self._flags(self.origins.of_bit(bit), [bit])

    def of_source(self, source: Source) -> Polynomial | None:
        """The polynomial of an input's element or of a cell that makes a word; else None.

        A word is made by arithmetic, by the complement of a word and by the choice between two.
        """
        if source not in self._polynomials:
            if source not in self._visited:
                self._read_below(source)
            polynomial = self._of_source(source)
            if polynomial is None:
                return None
            self._polynomials[source] = polynomial
        return self._polynomials[source]

    def _read_below(self, source: Source) -> None:
        """Read the words that arithmetic makes ``source`` from, the deepest first.

        So a chain of adders as long as a filter is read in a loop: each finds its operands known.
        """
        todo = [source]
        while todo:
            last = todo[-1]
            if last not in self._visited:
                self._visited.add(last)
                todo += [below for below in self._operands(last) if below not in self._visited]
                continue
            todo.pop()
            if last is not source:
                # What is wrong with it is said where it is needed.
                with suppress(ProofError):
                    self.of_source(last)

    def _operands(self, source: Source) -> list[Source]:
        """The sources of whole words, or of their lower bits, that arithmetic takes up."""
        if not isinstance(source, Cell) or source.type not in ARITHMETIC:
            return []
        with suppress(ProofError):
            words = [self.origins.of_bits(bits) for bits in source.inputs.values()]
            parts = [part for word in words for part in segments(word)]
            firsts = [part.origins[0] for part in parts]
            return [o.source for o in firsts if o.source is not None and o.position == 0]
        return []

    def _of_source(self, source: Source) -> Polynomial | None:
        if isinstance(source, Element):
            variables = self.origins.inputs[source.port].elements
            return self.space.variable(variables[source.number])
        if source.type in ARITHMETIC:
            with self.origins.evaluating(source):
                return self._arithmetic(source)
        if source.type == "$not":
            return self._complement(source)
        if source.type == "$mux":
            return self._choice(source)
        if source.type not in LOGIC:
            name = self.origins.netlist.name
            raise ProofError(f"{name}: a cell {source.type}, of which nothing is known")
        return None

    def _part(
        self, part: Segment, bits: Sequence[Bit], signed: bool, modulo: int | None
    ) -> Polynomial | None:
        """The number that adjacent bits of one source are.

        None where the source is no word, where its lowest bits are missing, or where its bounds
        leave open which multiple of a power of two the cut bits are.
        """
        first, count = part.origins[0], len(part.origins)
        if first.source is None:
            ones = sum(origin.position << k for k, origin in enumerate(part.origins))
            return self.space.constant(ones - (signed and part.origins[-1].position << count))
        if first.position or (polynomial := self.of_source(first.source)) is None:
            return None
        moved = self.delays.through_registers(polynomial, first, bits)
        if modulo is not None and count >= modulo:
            return moved
        return self.space.low_bits(moved, count, signed)

    def _unchanged(self, total: Polynomial, bits: Sequence[Bit]) -> Polynomial:
        """A sum that a requantiser leaves as it is, as the variable that golden makes of it."""
        entry = self.delays.at_entry(total, bits)
        for row in self.golden.matching(entry.total):
            if row.unchanged:
                self.delays.rely_on(entry)
                offset = self.space.constant(total.constant - row.total.constant)
                return self.space.add(self.space.move(row.result, 0, entry.delay), offset)
        return total

    def _arithmetic(self, cell: Cell) -> Polynomial:
        width = len(cell.outputs["Y"])
        # Verilog makes operands unsigned where one of them is: an emission never mixes them.
        signs = {cell.parameters[f"{port}_SIGNED"] for port in cell.inputs}
        if len(signs) != 1:
            raise self.origins.fail("operands signed and unsigned", cell.outputs["Y"])
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

    def _complement(self, cell: Cell) -> Polynomial | None:
        """-1 - x for a whole word x; None for other bits, which are logic."""
        bits, width = cell.inputs["A"], len(cell.outputs["Y"])
        origins = self.origins.of_bits(bits)
        first = origins[0]
        if first.source is None or first.position or len(segments(origins)) > 1:
            return None
        with self.origins.evaluating(cell):
            if self.of_source(first.source) is None:
                return None
        x = self.read(bits, bool(cell.parameters["A_SIGNED"]), modulo=width)
        return self.space.add(self.space.constant(-1), x, -1)

    def _choice(self, cell: Cell) -> Polynomial | None:
        """One of two words, chosen by a function s of one variable; None for other bits.

        As a polynomial it is a + s (b - a).
        """
        origins = {port: self.origins.of_bits(cell.inputs[port]) for port in "ABS"}
        select = self.tables.of_bits(origins["S"])
        if select is None:
            return None
        if self.tables.of_bits([*origins["A"], *origins["B"], *origins["S"]]) is not None:
            return None
        with self.origins.evaluating(cell):
            try:
                # As numbers, not modulo: the bounds of the choice are those of the two.
                a, b = (self.read(cell.inputs[port], signed=True) for port in "AB")
            except ProofError:
                return None
        s = self.tables.number(select, signed=False)
        choice = self.space.add(a, self.space.mul(s, self.space.add(b, a, -1)))
        low, high = min(a.low, b.low), max(a.high, b.high)
        return replace(choice, low=max(low, choice.low), high=min(high, choice.high))

    def _flags(self, origin: Origin, bits: Sequence[Bit]) -> list[Polynomial]:
        if (tables := self.tables.of_bits([origin])) is not None:
            return [self.tables.number(tables, signed=False)]
        cell = origin.source
        if isinstance(cell, Cell) and cell.type in ("$or", "$reduce_or", "$reduce_bool"):
            inputs = [o for port in cell.inputs.values() for o in self.origins.of_bits(port)]
            # Over one word this is part of one flag; over several, an "or" of their flags.
            if len({base for o in inputs for base in self.recognizer.bases([o], bits)}) > 1:
                flags = [flag for o in inputs for flag in self._flags(o, bits)]
                return [self.delays.through_registers(flag, origin, bits) for flag in flags]
        return [self.recognizer.recognize([origin], bits, False, flag=True)]
