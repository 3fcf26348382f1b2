"""Exact polynomials over integer variables of known range, in a form that shows equality.

A variable is a signal at one sample (`Variable`). Besides variables a polynomial may hold tables,
functions of one variable known at each of its values: \\|x\\|^2 of quadratures that are cut, or a
versine. Everything of one monomial that depends on one variable is one factor, a table or the
variable itself, and all monomials in one variable alone are one factor plus a constant; tables
have no common divisor, are zero at zero, and straight lines are no tables. So two polynomials
that come from the same sum of products have the same terms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.int64]
Monomial = tuple[int, ...]
Terms = dict[Monomial, int]
Bounds = tuple[int, int]


@dataclass(frozen=True)
class Variable:
    """A signal at a sample: ``sample`` counts from lane 0 of the word that is entering.

    ``delay``: clocks ago that it came in. A signal that is no stream, and stands still, has
    ``sample`` None.
    """

    name: str
    sample: int | None
    delay: int
    low: int
    high: int

    def __str__(self) -> str:
        index = "" if self.sample is None else f"[n{self.sample:+d}]"
        return self.name + index + (f"@{self.delay}" if self.delay else "")

    @property
    def values(self) -> Table:
        """All values that it can take."""
        return np.arange(self.low, self.high + 1, dtype=np.int64)


@dataclass(frozen=True)
class Value:
    """A polynomial (monomial to coefficient) and bounds of its values."""

    terms: Terms
    low: int
    high: int

    @property
    def is_constant(self) -> bool:
        return not any(self.terms)

    @property
    def constant(self) -> int:
        return self.terms.get((), 0)

    @property
    def key(self) -> frozenset[tuple[Monomial, int]]:
        """The terms but for the constant."""
        return frozenset((m, c) for m, c in self.terms.items() if m)


@dataclass
class Space:
    """The variables and tables of one proof; monomials are sorted numbers of its factors.

    ``lanes`` samples enter per clock.
    """

    lanes: int
    factors: list[tuple[Variable, int | None]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    _numbers: dict[tuple[Variable, int | None], int] = field(default_factory=dict)
    _table_numbers: dict[bytes, int] = field(default_factory=dict)
    _moved: dict[tuple[int, int, int, bool], int] = field(default_factory=dict)

    def constant(self, c: int) -> Value:
        return Value({(): c} if c else {}, c, c)

    def variable(self, variable: Variable) -> Value:
        if variable.low == variable.high:
            return self.constant(variable.low)
        return Value({(self._factor(variable, None),): 1}, variable.low, variable.high)

    def table(self, variable: Variable, table: Table) -> Value:
        """The function of ``variable`` that is ``table`` over `Variable.values`."""
        terms = self._normal(variable, table)
        return Value(terms, int(table.min()), int(table.max()))

    def add(self, a: Value, b: Value, sign: int = 1) -> Value:
        """a + b, or a - b with ``sign`` -1."""
        terms = dict(a.terms)
        for monomial, c in b.terms.items():
            total = terms.get(monomial, 0) + sign * c
            if total:
                terms[monomial] = total
            else:
                del terms[monomial]
        ends = (b.low, b.high) if sign == 1 else (-b.high, -b.low)
        return self._tidy(terms, (a.low + ends[0], a.high + ends[1]))

    def sum(self, values: Iterable[Value]) -> Value:
        total = self.constant(0)
        for value in values:
            total = self.add(total, value)
        return total

    def scale(self, a: Value, factor: int) -> Value:
        if factor == 0:
            return self.constant(0)
        ends = sorted((a.low * factor, a.high * factor))
        return Value({m: c * factor for m, c in a.terms.items()}, *ends)

    def mul(self, a: Value, b: Value) -> Value:
        terms: Terms = {}
        for ma, ca in a.terms.items():
            for mb, cb in b.terms.items():
                for monomial, c in self._product(ma + mb).items():
                    terms[monomial] = terms.get(monomial, 0) + ca * cb * c
        terms = {m: c for m, c in terms.items() if c}
        ends = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
        return self._tidy(terms, (min(ends), max(ends)))

    def move(self, a: Value, words: int, clocks: int, *, still: bool = False) -> Value:
        """The same, ``words`` words earlier in the stream and ``clocks`` clocks older.

        ``still``: only what stands still gets older.
        """
        if words == clocks == 0:
            return a
        moved = (tuple(sorted(self._move(f, words, clocks, still) for f in m)) for m in a.terms)
        return Value(dict(zip(moved, a.terms.values(), strict=True)), a.low, a.high)

    def variables(self, a: Value) -> set[Variable]:
        return {self.factors[f][0] for m in a.terms for f in m}

    def only_variable(self, a: Value) -> Variable | None:
        """The one variable of ``a``; None where there are none or several."""
        found = self.variables(a)
        return found.pop() if len(found) == 1 else None

    def evaluate(self, a: Value, variable: Variable) -> Table:
        """All values of a polynomial in ``variable`` alone."""
        total = np.full(variable.high - variable.low + 1, a.constant, dtype=np.int64)
        for monomial, c in a.terms.items():
            for f in monomial:
                total += c * self._factor_table(f)
        return total

    def apply(self, a: Value, function: Callable[[Table], Table]) -> Value | None:
        """``function`` of a constant or of a polynomial in one variable; else None."""
        if a.is_constant:
            return self.constant(int(function(np.array([a.constant]))[0]))
        variable = self.only_variable(a)
        return variable and self.table(variable, function(self.evaluate(a, variable)))

    def bounds(self, a: Value) -> Bounds:
        """Tighter bounds, by Horner's scheme: each time the factor of most monomials goes out."""
        low, high = self._horner(a.terms)
        return max(low, a.low), min(high, a.high)

    def text(self, terms: Terms, limit: int = 4) -> str:
        """The first few terms, for people."""
        rows = []
        for monomial, c in sorted(terms.items(), key=lambda item: (len(item[0]), item[0])):
            names = (
                str(variable) if table is None else f"f{table}({variable})"
                for variable, table in (self.factors[f] for f in monomial)
            )
            rows.append(" ".join((f"{c:+d}", *names)))
        more = f" and {len(rows) - limit} more" if len(rows) > limit else ""
        return " ".join(rows[:limit]) + more if rows else "0"

    def _factor(self, variable: Variable, table: int | None) -> int:
        key = variable, table
        if key not in self._numbers:
            self._numbers[key] = len(self.factors)
            self.factors.append(key)
        return self._numbers[key]

    def _factor_table(self, factor: int) -> Table:
        variable, table = self.factors[factor]
        return variable.values if table is None else self.tables[table]

    def _factor_bounds(self, factor: int) -> Bounds:
        variable, number = self.factors[factor]
        if number is None:
            return variable.low, variable.high
        table = self.tables[number]
        return int(table.min()), int(table.max())

    def _move(self, factor: int, words: int, clocks: int, still: bool) -> int:
        key = factor, words, clocks, still
        if key not in self._moved:
            variable, table = self.factors[factor]
            if variable.sample is None:
                variable = replace(variable, delay=variable.delay + clocks)
            elif not still:
                sample = variable.sample - words * self.lanes
                variable = replace(variable, sample=sample, delay=variable.delay + clocks)
            self._moved[key] = self._factor(variable, table)
        return self._moved[key]

    def _normal(self, variable: Variable, table: Table) -> Terms:
        """A constant, and a multiple of the variable or of one table."""
        if len(table) == 1 or (table == table[0]).all():
            return {(): int(table[0])} if table[0] else {}
        slope = int(table[1] - table[0])
        if (np.diff(table) == slope).all():
            origin = int(table[0]) - slope * variable.low
            terms = {(self._factor(variable, None),): slope}
        else:
            origin = int(table[-variable.low if variable.low <= 0 <= variable.high else 0])
            rest = table - origin
            divisor = int(np.gcd.reduce(rest)) * int(np.sign(rest[np.flatnonzero(rest)[0]]))
            rest //= divisor
            number = self._table_numbers.setdefault(rest.tobytes(), len(self.tables))
            if number == len(self.tables):
                self.tables.append(rest)
            terms = {(self._factor(variable, number),): divisor}
        return terms | ({(): origin} if origin else {})

    def _product(self, factors: Monomial) -> Terms:
        """A product of factors, with those of one variable made one."""
        groups: dict[Variable, list[int]] = {}
        for f in factors:
            groups.setdefault(self.factors[f][0], []).append(f)
        if len(groups) == len(factors):
            return {tuple(sorted(factors)): 1}
        result: Terms = {(): 1}
        for variable, group in groups.items():
            table = self._factor_table(group[0])
            for f in group[1:]:
                table = table * self._factor_table(f)
            normal = {(group[0],): 1} if len(group) == 1 else self._normal(variable, table)
            result = {
                tuple(sorted(ma + mb)): ca * cb
                for ma, ca in result.items()
                for mb, cb in normal.items()
            }
        return result

    def _tidy(self, terms: Terms, bounds: Bounds) -> Value:
        """Make one factor of all that depends on one variable alone."""
        alone: dict[Variable, list[int]] = {}
        for monomial in terms:
            if len(monomial) == 1:
                alone.setdefault(self.factors[monomial[0]][0], []).append(monomial[0])
        for variable, factors in alone.items():
            if len(factors) > 1:
                table = sum(terms.pop((f,)) * self._factor_table(f) for f in factors)
                for monomial, c in self._normal(variable, table).items():
                    terms[monomial] = terms.get(monomial, 0) + c
                if not terms.get((), 1):
                    del terms[()]
        self._join(terms)
        # Of one monomial and perhaps a constant the exact bounds cost nothing.
        few = len(terms) - (() in terms) <= 1
        return Value(terms, *(self._horner(terms) if few else bounds))

    def _join(self, terms: Terms) -> None:
        """Of monomials that differ in their factor of one variable make one, where tables are."""
        groups: dict[tuple[Variable, Monomial], list[int]] = {}
        for monomial in terms:
            if len(monomial) == 1:
                continue
            for k, f in enumerate(monomial):
                variable, table = self.factors[f]
                if table is not None:
                    rest = monomial[:k] + monomial[k + 1 :]
                    groups.setdefault((variable, rest), [self._factor(variable, None)]).append(f)
        for (variable, rest), factors in groups.items():
            there = {f: tuple(sorted((*rest, f))) for f in factors}
            there = {f: monomial for f, monomial in there.items() if monomial in terms}
            if len(there) > 1:
                table = sum(terms.pop(m) * self._factor_table(f) for f, m in there.items())
                for factor, c in self._normal(variable, table).items():
                    monomial = tuple(sorted(rest + factor))
                    terms[monomial] = terms.get(monomial, 0) + c
                    if not terms[monomial]:
                        del terms[monomial]

    def _horner(self, terms: Terms) -> Bounds:
        counts = Counter(f for monomial in terms for f in monomial)
        if not counts:
            c = terms.get((), 0)
            return c, c
        factor, count = counts.most_common(1)[0]
        if count == 1:
            lows, highs = zip(*(self._monomial_bounds(m, c) for m, c in terms.items()), strict=True)
            return sum(lows), sum(highs)
        inner, rest = {}, {}
        for monomial, c in terms.items():
            if factor in monomial:
                k = monomial.index(factor)
                inner[monomial[:k] + monomial[k + 1 :]] = c
            else:
                rest[monomial] = c
        product = _times(self._horner(inner), self._factor_bounds(factor))
        low, high = self._horner(rest)
        return product[0] + low, product[1] + high

    def _monomial_bounds(self, monomial: Monomial, c: int) -> Bounds:
        ends = (c, c)
        for f in monomial:
            ends = _times(ends, self._factor_bounds(f))
        return ends


def _times(a: Bounds, b: Bounds) -> Bounds:
    ends = [x * y for x in a for y in b]
    return min(ends), max(ends)
