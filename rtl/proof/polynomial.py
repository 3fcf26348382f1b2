"""Exact polynomials over integer variables of known range, in a form that shows equality.

A variable is a signal at one sample (`Variable`). Besides variables a polynomial may hold tables,
functions of one variable known at each of its values: |x|^2 of quadratures that are cut, or a
versine. A normal form makes equal sums of products equal term for term:

- In one monomial, all that depends on one variable is one factor: a table or the variable itself.
- All monomials in one variable alone are one factor plus a constant.
- Monomials that differ only in their table of one variable are one monomial.
- A table has no common divisor, is zero at zero, and is no straight line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

# A function of one variable: its values at `Variable.values`.
Table = NDArray[np.int64]
# Numbers of factors, sorted: see `Space`.
Monomial = tuple[int, ...]
Terms = dict[Monomial, int]
Bounds = tuple[int, int]


@dataclass(frozen=True)
class Variable:
    """A signal at one sample, an integer in ``low..high``.

    ``sample``: its number, where 0 is lane 0 of the word that is entering; None for a static
    signal, a tap or a gain K in a register. ``delay``: how many clocks ago it came in.
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
class Polynomial:
    """The coefficient of each monomial, and bounds of the values.

    The monomial () has the constant; no coefficient is 0.
    """

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
        """The terms without the constant."""
        return frozenset((m, c) for m, c in self.terms.items() if m)


@dataclass
class Space:
    """The factors of one proof, and arithmetic with polynomials of them.

    A factor is a variable, or a table of it (its number in ``tables``); a monomial is the sorted
    numbers of its factors. ``lanes`` samples enter per clock.
    """

    lanes: int
    factors: list[tuple[Variable, int | None]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    _numbers: dict[tuple[Variable, int | None], int] = field(default_factory=dict)
    _table_numbers: dict[bytes, int] = field(default_factory=dict)
    _moved: dict[tuple[int, int, int, bool], int] = field(default_factory=dict)

    def constant(self, c: int) -> Polynomial:
        """The polynomial that is ``c``."""
        return Polynomial({(): c} if c else {}, c, c)

    def variable(self, variable: Variable) -> Polynomial:
        """The polynomial that is ``variable``; a constant where that has one value only."""
        if variable.low == variable.high:
            return self.constant(variable.low)
        return Polynomial({(self._factor(variable, None),): 1}, variable.low, variable.high)

    def table(self, variable: Variable, table: Table) -> Polynomial:
        """The function of ``variable`` that is ``table`` over `Variable.values`."""
        terms = self._normal(variable, table)
        return Polynomial(terms, int(table.min()), int(table.max()))

    def add(self, a: Polynomial, b: Polynomial, sign: int = 1) -> Polynomial:
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

    def sum(self, polynomials: Iterable[Polynomial]) -> Polynomial:
        """The sum of all of them."""
        total = self.constant(0)
        for polynomial in polynomials:
            total = self.add(total, polynomial)
        return total

    def scale(self, a: Polynomial, factor: int) -> Polynomial:
        """``factor`` times a."""
        if factor == 0:
            return self.constant(0)
        ends = sorted((a.low * factor, a.high * factor))
        return Polynomial({m: c * factor for m, c in a.terms.items()}, *ends)

    def mul(self, a: Polynomial, b: Polynomial) -> Polynomial:
        """a times b."""
        terms: Terms = {}
        for ma, ca in a.terms.items():
            for mb, cb in b.terms.items():
                for monomial, c in self._product(ma + mb).items():
                    terms[monomial] = terms.get(monomial, 0) + ca * cb * c
        terms = {m: c for m, c in terms.items() if c}
        ends = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
        return self._tidy(terms, (min(ends), max(ends)))

    def move(self, a: Polynomial, words: int, clocks: int, *, static: bool = False) -> Polynomial:
        """The polynomial of samples ``words`` words earlier and ``clocks`` clocks older.

        ``static``: only the static variables get older.
        """
        if words == clocks == 0:
            return a
        moved = (tuple(sorted(self._move(f, words, clocks, static) for f in m)) for m in a.terms)
        return Polynomial(dict(zip(moved, a.terms.values(), strict=True)), a.low, a.high)

    def variables(self, a: Polynomial) -> set[Variable]:
        """All variables that ``a`` depends on."""
        return {self.factors[f][0] for m in a.terms for f in m}

    def only_variable(self, a: Polynomial) -> Variable | None:
        """The one variable of ``a``; None where it has no variable or several."""
        variables = self.variables(a)
        return variables.pop() if len(variables) == 1 else None

    def evaluate(self, a: Polynomial, variable: Variable) -> Table:
        """All values of a polynomial in ``variable`` alone."""
        total = np.full(variable.high - variable.low + 1, a.constant, dtype=np.int64)
        for monomial, c in a.terms.items():
            for f in monomial:
                total += c * self._factor_table(f)
        return total

    def apply(self, a: Polynomial, function: Callable[[Table], Table]) -> Polynomial | None:
        """``function`` of a constant or of a polynomial in one variable; else None."""
        if a.is_constant:
            return self.constant(int(function(np.array([a.constant]))[0]))
        variable = self.only_variable(a)
        if variable is None:
            return None
        return self.table(variable, function(self.evaluate(a, variable)))

    def low_bits(self, a: Polynomial, bits: int, signed: bool) -> Polynomial | None:
        """The number that the ``bits`` low bits of ``a`` are.

        It is ``a`` less a multiple of ``2**bits``; None where the bounds leave open which one.
        """
        least = -1 << (bits - 1) if signed else 0
        for low, high in ((a.low, a.high), self.bounds(a)):
            turns = (low - least) >> bits
            if turns == (high - least) >> bits:
                bounded = replace(a, low=low, high=high)
                if turns == 0:
                    return bounded
                return self.add(bounded, self.constant(-turns << bits))
        return None

    def bounds(self, a: Polynomial) -> Bounds:
        """Tighter bounds, by Horner's scheme: each time the most frequent factor is taken out."""
        low, high = self._horner(a.terms)
        return max(low, a.low), min(high, a.high)

    def text(self, terms: Terms, limit: int = 4) -> str:
        """The first ``limit`` terms, for people."""
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

    def _move(self, factor: int, words: int, clocks: int, static: bool) -> int:
        key = factor, words, clocks, static
        if key not in self._moved:
            variable, table = self.factors[factor]
            if variable.sample is None:
                variable = replace(variable, delay=variable.delay + clocks)
            elif not static:
                sample = variable.sample - words * self.lanes
                variable = replace(variable, sample=sample, delay=variable.delay + clocks)
            self._moved[key] = self._factor(variable, table)
        return self._moved[key]

    def _normal(self, variable: Variable, table: Table) -> Terms:
        """A table as a constant and a multiple of the variable or of one normal table."""
        # Constants and straight lines first, so that equal functions have one form only.
        if len(table) == 1 or (table == table[0]).all():
            return {(): int(table[0])} if table[0] else {}
        slope = int(table[1] - table[0])
        if (np.diff(table) == slope).all():
            origin = int(table[0]) - slope * variable.low
            terms: Terms = {(self._factor(variable, None),): slope}
        else:
            origin = int(table[-variable.low if variable.low <= 0 <= variable.high else 0])
            rest = table - origin
            # The sign of the divisor makes the first value that is not 0 positive.
            divisor = int(np.gcd.reduce(rest)) * int(np.sign(rest[np.flatnonzero(rest)[0]]))
            rest //= divisor
            number = self._table_numbers.setdefault(rest.tobytes(), len(self.tables))
            if number == len(self.tables):
                self.tables.append(rest)
            terms = {(self._factor(variable, number),): divisor}
        return terms | ({(): origin} if origin else {})

    def _product(self, factors: Monomial) -> Terms:
        """A product of factors, those of one variable merged into one."""
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
            normal: Terms = {(group[0],): 1} if len(group) == 1 else self._normal(variable, table)
            result = {
                tuple(sorted(ma + mb)): ca * cb
                for ma, ca in result.items()
                for mb, cb in normal.items()
            }
        return result

    def _tidy(self, terms: Terms, bounds: Bounds) -> Polynomial:
        """Bring ``terms`` into normal form."""
        alone: dict[Variable, dict[int, Monomial]] = {}
        for monomial in terms:
            if len(monomial) == 1:
                factor = monomial[0]
                alone.setdefault(self.factors[factor][0], {})[factor] = monomial
        for variable, monomials in alone.items():
            if len(monomials) > 1:
                self._merge(terms, variable, (), monomials)
        self._merge_tables(terms)
        # The exact bounds of one monomial and perhaps a constant cost nothing.
        few = len(terms) - (() in terms) <= 1
        return Polynomial(terms, *(self._horner(terms) if few else bounds))

    def _merge_tables(self, terms: Terms) -> None:
        """Make one of monomials that differ in their factor of one variable, a table in one."""
        # Digits of one number that choose multiples come together here.
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
            monomials = {f: tuple(sorted((*rest, f))) for f in factors}
            # An earlier group may have merged some of them.
            monomials = {f: monomial for f, monomial in monomials.items() if monomial in terms}
            if len(monomials) > 1:
                self._merge(terms, variable, rest, monomials)

    def _merge(
        self, terms: Terms, variable: Variable, rest: Monomial, monomials: dict[int, Monomial]
    ) -> None:
        """Make one monomial of several, each ``rest`` times a factor (the key) of ``variable``."""
        table = np.zeros(len(variable.values), dtype=np.int64)
        for factor, monomial in monomials.items():
            table += terms.pop(monomial) * self._factor_table(factor)
        for factors, c in self._normal(variable, table).items():
            monomial = tuple(sorted(rest + factors))
            terms[monomial] = terms.get(monomial, 0) + c
            if not terms[monomial]:
                del terms[monomial]

    def _horner(self, terms: Terms) -> Bounds:
        """Bounds of f * inner + rest, where f is the factor that most monomials have."""
        low = high = 0
        # In a loop: a filter has hundreds of factors. Only as deep as a monomial is long it recurs.
        while True:
            counts = Counter(f for monomial in terms for f in monomial)
            if not counts:
                c = terms.get((), 0)
                return low + c, high + c
            factor, count = counts.most_common(1)[0]
            if count == 1:
                bounds = [self._monomial_bounds(m, c) for m, c in terms.items()]
                return low + sum(b[0] for b in bounds), high + sum(b[1] for b in bounds)
            inner: Terms = {}
            rest: Terms = {}
            for monomial, c in terms.items():
                if factor in monomial:
                    k = monomial.index(factor)
                    inner[monomial[:k] + monomial[k + 1 :]] = c
                else:
                    rest[monomial] = c
            product = _times(self._horner(inner), self._factor_bounds(factor))
            low, high, terms = low + product[0], high + product[1], rest

    def _monomial_bounds(self, monomial: Monomial, c: int) -> Bounds:
        bounds = (c, c)
        for f in monomial:
            bounds = _times(bounds, self._factor_bounds(f))
        return bounds


def _times(a: Bounds, b: Bounds) -> Bounds:
    ends = [x * y for x in a for y in b]
    return min(ends), max(ends)
