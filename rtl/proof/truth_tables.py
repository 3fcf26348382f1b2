"""Bits that are functions of one variable: their values at each value of the variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dbp.rtl.proof.cells import Arrays, TruthTable, evaluate
from dbp.rtl.proof.delays import Delays
from dbp.rtl.proof.netlist import Cell, ProofError
from dbp.rtl.proof.origins import Origin, Source
from dbp.rtl.proof.polynomial import Polynomial, Table, Variable
from dbp.rtl.proof.recognizer import PolynomialOf, Recognizer


class BitTable(NamedTuple):
    """A bit at each of `Variable.values`; a constant has no variable and one entry."""

    variable: Variable | None
    bits: TruthTable


class TruthTables:
    """Truth tables of bits, from the cells that make them; ``of_source``: see `Recognizer`."""

    def __init__(self, delays: Delays, recognizer: Recognizer, of_source: PolynomialOf) -> None:
        self.delays, self.recognizer, self.of_source = delays, recognizer, of_source
        self.origins, self.space = delays.origins, delays.space
        self._tables: dict[Source, list[BitTable | None]] = {}

    def of_bits(self, origins: Sequence[Origin]) -> list[BitTable] | None:
        """The bits as functions of one variable, all of the same; None where they are not that."""
        tables = []
        for origin in origins:
            table = self._of_bit(origin)
            if table is None:
                return None
            tables.append(table)
        return tables if len({t.variable for t in tables if t.variable is not None}) <= 1 else None

    def number(self, tables: Sequence[BitTable], signed: bool) -> Polynomial:
        """The number that the bits are, low first: a function of their variable."""
        values: Table = np.zeros(1, dtype=np.int64)
        for k, table in enumerate(tables):
            values = values + (table.bits.astype(np.int64) << k)
        if signed:
            values = values - (tables[-1].bits.astype(np.int64) << len(tables))
        variable = next((t.variable for t in tables if t.variable is not None), None)
        if variable is None:
            return self.space.constant(int(values[0]))
        return self.space.table(variable, np.broadcast_to(values, len(variable.values)))

    def _of_bit(self, origin: Origin) -> BitTable | None:
        if origin.source is None:
            return BitTable(None, np.array([bool(origin.position)]))
        if origin.source not in self._tables:
            self._tables[origin.source] = self._of_source(origin.source)
        table = self._tables[origin.source][origin.position]
        if table is None or table.variable is None:
            return table
        # Registers on the way make the variable an older one; the table stays.
        moved = self.delays.through_registers(self.space.variable(table.variable), origin, ())
        return BitTable(self.space.only_variable(moved), table.bits)

    def _of_source(self, source: Source) -> list[BitTable | None]:
        """All bits of a source; None for those that are no function of one variable."""
        unknown: list[BitTable | None] = [None] * self.origins.width(source)
        polynomial = self.of_source(source)
        if polynomial is not None:
            variable = self.space.only_variable(polynomial)
            if variable is not None:
                return self._bits(self.space.evaluate(polynomial, variable), variable, source)
            if polynomial.is_constant:
                return self._bits(np.array([polynomial.constant]), None, source)
        if isinstance(source, Cell):
            if polynomial is not None:
                return self._of_requantized(source, polynomial) or unknown
            with self.origins.evaluating(source):
                inputs = {
                    port: self.of_bits(self.origins.of_bits(bits))
                    for port, bits in source.inputs.items()
                }
            tables = {port: rows for port, rows in inputs.items() if rows is not None}
            if len(tables) < len(inputs):
                return self._of_requantized(source, None) or unknown
            variables = {t.variable for rows in tables.values() for t in rows}
            variables.discard(None)
            if len(variables) <= 1:
                variable = variables.pop() if variables else None
                bits = {port: [t.bits for t in rows] for port, rows in tables.items()}
                return [BitTable(variable, out) for out in evaluate(source, bits, Arrays())]
        return unknown

    def _bits(
        self, values: Table, variable: Variable | None, source: Source
    ) -> list[BitTable | None]:
        width = self.origins.width(source)
        return [BitTable(variable, (values >> k & 1).astype(bool)) for k in range(width)]

    def _of_requantized(
        self, cell: Cell, polynomial: Polynomial | None
    ) -> list[BitTable | None] | None:
        """The bits of a cell that are a requantised sum: functions of the variable for that sum.

        They are all bits of a saturator, a choice, or the upper ones of a sum that is only shifted;
        the bits below those have no table. None where no requantised sum is recognised.
        """
        width, bits = self.origins.width(cell), cell.outputs["Y"]
        # A saturator is a choice between the limits and the shifted bits. Without one, what is
        # requantised is a slice of a sum, and golden knows by how much it is shifted.
        shifts = {0} if cell.type == "$mux" else set()
        if polynomial is not None:
            total = self.delays.at_entry(polynomial, bits).total
            shifts = {row.requantizer.shift for row in self.recognizer.golden.matching(total)}
        for shift in shifts:
            upper = [Origin(cell, k) for k in range(shift, width)]
            try:
                requantized = self.recognizer.recognize(upper, bits, True)
            except ProofError:
                # Not this sum: whoever reads the bits says what is wrong with them.
                continue
            variable = self.space.only_variable(requantized)
            if variable is not None:
                tables = self._bits(variable.values, variable, cell)
                return [None] * shift + tables[: width - shift]
        return None
