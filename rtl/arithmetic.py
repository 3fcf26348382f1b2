"""Exact integers in hardware, and the one requantiser: what `dbp.fixed` states, in Amaranth.

An `Exact` is an expression together with the interval of the integers that it can take. Sums,
differences and products carry the interval along, and `keep` gives each result a signal that is
just wide enough. So no wire of the datapath overflows, by construction, and none is too wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, ValueLike, signed

from dbp import fixed


@dataclass(frozen=True, eq=False)
class Exact:
    """A value and the smallest and the largest integer that it can take."""

    value: Value
    low: int
    high: int

    @classmethod
    def signed(cls, value: ValueLike, bits: int) -> Exact:
        """A two's-complement value of ``bits`` bits, any code of which may occur."""
        return cls(Value.cast(value), *fixed.code_range(bits))

    @property
    def shape(self) -> Shape:
        """The narrowest shape that holds the interval, unsigned where nothing is negative."""
        return Shape.cast(range(self.low, self.high + 1))

    def __add__(self, other: Exact) -> Exact:
        return Exact(self.value + other.value, self.low + other.low, self.high + other.high)

    def __sub__(self, other: Exact) -> Exact:
        return Exact(self.value - other.value, self.low - other.high, self.high - other.low)

    def __mul__(self, other: Exact) -> Exact:
        ends = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Exact(self.value * other.value, min(ends), max(ends))

    def __lshift__(self, bits: int) -> Exact:
        return Exact(self.value << bits, self.low << bits, self.high << bits)

    def squared(self) -> Exact:
        """The square, whose interval is tighter than that of a product of two values."""
        ends = (self.low**2, self.high**2)
        return Exact(
            self.value * self.value, 0 if self.low <= 0 <= self.high else min(ends), max(ends)
        )

    def times_successor(self) -> Exact:
        """x (x + 1), which x and -1 - x share: one bit less to multiply than in a square."""
        sign = self.value[-1]
        folded = self.value[:-1] ^ sign.replicate(len(self.value) - 1)
        ends = [end * (end + 1) for end in (self.low, self.high)]
        return Exact(
            folded * folded + folded, 0 if self.low <= 0 <= self.high else min(ends), max(ends)
        )


def keep(m: Module, name: str, x: Exact, *, registered: bool) -> Exact:
    """Give ``x`` a named signal of its narrowest shape: a register without reset, or a wire."""
    signal = Signal(x.shape, name=name, reset_less=True)
    if registered:
        # The wire before the register has a name too, so that it is cut to the exact width.
        before = Signal(x.shape, name=f"{name}_next")
        m.d.comb += before.eq(x.value)
        m.d.sync += signal.eq(before)
    else:
        m.d.comb += signal.eq(x.value)
    return Exact(signal, x.low, x.high)


def delay(m: Module, name: str, x: Exact, *, registered: bool) -> Exact:
    """Hold ``x`` back by one clock where its companions are ``registered``, else pass it on."""
    return keep(m, name, x, registered=True) if registered else x


def flag(*values: Value | None) -> Exact | None:
    """One bit: is any of ``values`` set? None where there is none but None."""
    there = [value for value in values if value is not None]
    return Exact(Cat(*there).any(), 0, 1) if there else None


def adder_tree(m: Module, name: str, terms: Sequence[Exact], cuts: Sequence[bool]) -> Exact:
    """The sum of ``terms``, a pair at a time, with a register after each level that has a cut."""
    terms = list(terms)
    for level, cut in enumerate(cuts, start=1):
        pairs = [terms[k : k + 2] for k in range(0, len(terms), 2)]
        terms = [
            keep(m, f"{name}_{level}_{k}", sum(rest, first), registered=cut)
            for k, (first, *rest) in enumerate(pairs)
        ]
    (total,) = terms
    return total


def cut(x: Exact, from_bits: int, to_bits: int) -> Exact:
    """`dbp.fixed.cut`: the ``to_bits`` most significant of ``from_bits`` bits, a plain floor."""
    shift = max(from_bits - to_bits, 0)
    return Exact(x.value[shift:].as_signed(), x.low >> shift, x.high >> shift)


def squared_magnitude(i: Exact, q: Exact, from_bits: int, to_bits: int) -> Exact:
    """`dbp.fixed.squared_magnitude`: \\|x\\|^2 of quadratures cut to ``to_bits``."""
    ci, cq = cut(i, from_bits, to_bits), cut(q, from_bits, to_bits)
    if to_bits < from_bits:
        return ci.times_successor() + cq.times_successor()
    return ci.squared() + cq.squared()


def round_shift(m: Module, name: str, x: Exact, shift: int) -> Exact:
    """`dbp.fixed.round_shift`: divide ``x`` by ``2**shift``, ties towards plus infinity."""
    if shift == 0:
        return x
    half = 1 << (shift - 1)
    total = x + Exact(Const(half), half, half)
    low, high = total.low >> shift, total.high >> shift
    if x.low < 0:
        # Signed even where nothing negative is left, since `saturate` looks at a sign bit.
        low, high = min(low, -1), max(high, 0)
    rounded = Exact(total.value[shift:], low, high)
    signal = Signal(rounded.shape, name=f"{name}_rounded")
    # Lint passes over signals called unused; kept, since nothing but the name makes it harmless.
    # Rounding may also bring the sum back into a narrower range than that of x: then the top goes.
    dropped, top = (
        Signal(max(width, 0), name=f"{name}_{end}_unused", attrs={"keep": 1})
        for end, width in (("dropped", shift), ("top", len(x.value) - shift - len(signal)))
    )
    m.d.comb += Cat(dropped, signal, top).eq(total.value)
    return Exact(signal, rounded.low, rounded.high)


def saturate(m: Module, name: str, x: Exact, bits: int) -> tuple[Exact, Value | None]:
    """`dbp.fixed.saturate`: clip signed ``x`` to the range of ``bits`` signed bits.

    Returns the value and whether it was clipped; None for the latter where it never is.
    """
    low, high = fixed.code_range(bits)
    if low <= x.low and x.high <= high:
        return x, None
    # Beyond the range exactly where the bits from the new sign bit upwards are not all alike.
    upper = x.value[bits - 1 :]
    fits = Signal(name=f"{name}_fits")
    m.d.comb += fits.eq(upper.all() | ~upper.any())
    clipped = Mux(x.value[-1], Const(low, signed(bits)), Const(high, signed(bits)))
    value = Mux(fits, x.value[:bits].as_signed(), clipped)
    return Exact(value, max(low, x.low), min(high, x.high)), ~fits


def requantise(m: Module, name: str, x: Exact, shift: int, bits: int) -> tuple[Exact, Value | None]:
    """`dbp.fixed.requantise`: the one requantiser, `round_shift` and then `saturate`."""
    return saturate(m, name, round_shift(m, name, x, shift), bits)
