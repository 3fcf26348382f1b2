"""Exact integers in hardware, and the one requantiser: `dbp.datapath.fixed` in Amaranth.

An `Exact` is an expression together with the interval of the integers that it can be. Sums,
differences and products carry the interval along, and `keep` gives each result a signal that is
just wide enough. So no wire of the datapath overflows, by construction, and none is too wide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, ValueLike, signed

from dbp.datapath import fixed


@dataclass(frozen=True)
class Interval:
    """The integers from ``low`` to ``high``: what a value can be, known without its hardware."""

    low: int
    high: int

    @classmethod
    def signed(cls, bits: int) -> Interval:
        """All codes of ``bits`` signed bits."""
        return cls(*fixed.code_range(bits))

    @property
    def shape(self) -> Shape:
        """The narrowest shape that holds the interval, unsigned where nothing is negative."""
        return Shape.cast(range(self.low, self.high + 1))

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Interval) -> Interval:
        return Interval(self.low - other.high, self.high - other.low)

    def __mul__(self, other: Interval) -> Interval:
        ends = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Interval(min(ends), max(ends))

    def __lshift__(self, bits: int) -> Interval:
        return Interval(self.low << bits, self.high << bits)

    def squared(self) -> Interval:
        """The squares: tighter than the products of two values."""
        ends = (self.low**2, self.high**2)
        return Interval(0 if self.low <= 0 <= self.high else min(ends), max(ends))

    def times_successor(self) -> Interval:
        """The products x (x + 1)."""
        ends = [end * (end + 1) for end in (self.low, self.high)]
        return Interval(0 if self.low <= 0 <= self.high else min(ends), max(ends))

    def rounded(self, shift: int) -> Interval:
        """The quotients by ``2**shift``, as `round_shift` makes them."""
        half = 1 << shift >> 1
        return Interval(self.low + half >> shift, self.high + half >> shift)

    def fits(self, bits: int) -> bool:
        """Tell whether `saturate` to ``bits`` signed bits changes nothing."""
        low, high = fixed.code_range(bits)
        return low <= self.low and self.high <= high

    def saturated(self, bits: int) -> Interval:
        """Return the interval after `saturate`."""
        low, high = fixed.code_range(bits)
        return Interval(max(low, self.low), min(high, self.high))


@dataclass(frozen=True, eq=False)
class Exact:
    """A value and the smallest and the largest integer that it can take."""

    value: Value
    low: int
    high: int

    @classmethod
    def within(cls, value: Value, interval: Interval) -> Exact:
        """A value that is always in ``interval``."""
        return cls(value, interval.low, interval.high)

    @classmethod
    def signed(cls, value: ValueLike, bits: int) -> Exact:
        """A two's-complement value of ``bits`` bits, any code of which may occur."""
        return cls.within(Value.cast(value), Interval.signed(bits))

    @classmethod
    def constant(cls, value: int) -> Exact:
        """A constant."""
        return cls(Const(value), value, value)

    @property
    def interval(self) -> Interval:
        """All that the value can be."""
        return Interval(self.low, self.high)

    @property
    def shape(self) -> Shape:
        """The narrowest shape that holds the interval, unsigned where nothing is negative."""
        return self.interval.shape

    def __add__(self, other: Exact) -> Exact:
        return Exact.within(self.value + other.value, self.interval + other.interval)

    def __sub__(self, other: Exact) -> Exact:
        return Exact.within(self.value - other.value, self.interval - other.interval)

    def __mul__(self, other: Exact) -> Exact:
        return Exact.within(self.value * other.value, self.interval * other.interval)

    def __lshift__(self, bits: int) -> Exact:
        return Exact.within(self.value << bits, self.interval << bits)

    def squared(self) -> Exact:
        """The square, whose interval is tighter than that of a product of two values."""
        return Exact.within(self.value * self.value, self.interval.squared())


class Digit(NamedTuple):
    """A signed digit of radix 4: is it 1 or -1, is it 2 or -2, is it negative; one bit each."""

    one: Value
    two: Value
    negative: Value


@dataclass(frozen=True, eq=False)
class Digits:
    """A factor in signed digits of radix 4, the lowest first: -2, -1, 0, 1 or 2.

    Booth's recoding in the form of MacSorley, Proc. IRE 49, 67 (1961). A zero is never negative,
    so that no digit of zero toggles where the sign of small numbers does.
    """

    factor: Exact
    digits: tuple[Digit, ...]

    @classmethod
    def of(cls, m: Module, name: str, factor: Exact, *, registered: bool) -> Digits:
        """Return the digits, in registers instead of the factor itself where ``registered``.

        Registered digits settle before the clock: the multiples that they select change once.
        """
        bits = factor.shape.width
        sign = factor.value[bits - 1] if factor.low < 0 else Const(0, 2)
        f = Cat(Const(0, 1), factor.value[:bits], sign)
        digits = []
        for k in range((len(f) - 1) // 2):
            below, low, top = f[2 * k], f[2 * k + 1], f[2 * k + 2]
            parts = {
                "one": low ^ below if k else low,
                "two": Mux(top, ~(low | below), low & below) if k else top & ~low,
                "negative": top & ~(low & below) if k else top,
            }
            signals = {part: Signal(name=f"{name}_{part}_{k}", reset_less=True) for part in parts}
            for part, bit in parts.items():
                if registered:
                    m.d.sync += signals[part].eq(bit)
                elif k or part == "two":
                    m.d.comb += signals[part].eq(bit)
                else:
                    # A bit of the factor: lint minds a second name for some bits of a word.
                    signals[part] = bit
            digits.append(Digit(**signals))
        return cls(factor, tuple(digits))


class Summand(NamedTuple):
    """An unsigned term ``low(n) << shift``: ``low`` makes its lowest ``n`` bits, if it has many."""

    low: Callable[[int], Value]
    shift: int

    @classmethod
    def of(cls, value: Value, shift: int = 0) -> Summand:
        """Return a term of bits that exist already."""
        return cls(lambda n: value[:n], shift)


@dataclass(frozen=True, eq=False)
class Terms:
    """A sum that has no hardware yet: unsigned summands, and one constant for what they leave out.

    Synthesis adds all words of a sum without carries in between (carry-save), with one carry chain
    at the end, so that one sum of many words is cheaper than several. A signed word is replaced by
    its distance from the smallest code, which has no sign to extend. Words are made together with
    the sum, no wider than it needs.
    """

    summands: tuple[Summand, ...]
    constant: int
    low: int
    high: int

    @classmethod
    def of(cls, m: Module, name: str, x: Exact) -> Terms:
        """Return a sum with one term."""
        if x.low >= 0:
            return cls((Summand.of(x.value),), 0, x.low, x.high)
        least = -1 << x.shape.width - 1
        summand = Summand(lambda n: _distance(m, name, x.value, x.shape.width, n), 0)
        return cls((summand,), least, x.low, x.high)

    @classmethod
    def product(
        cls, m: Module, name: str, x: Exact, digits: Digits, *, minus: bool = False
    ) -> Terms:
        """Return ``x`` times ``digits``, or ``minus`` that: two summands for each digit."""
        product = x.interval * digits.factor.interval
        if minus:
            product = Interval(0, 0) - product
        width = x.shape.width + (x.low >= 0)
        value = (Cat(x.value, Const(0, 1)) if x.low >= 0 else x.value)[:width].as_signed()

        def row(k: int, n: int) -> Value:
            one, two, negative = digits.digits[k]
            size, multiple = (
                Signal(signed(width + 1), name=f"{name}_{part}_{k}") for part in ("size", "row")
            )
            # -v = ~v + 1: a row to be negated is inverted, and its 1 is a summand too (below).
            signs = (size, ~size) if minus else (~size, size)
            m.d.comb += [
                size.eq(Mux(one, value, Mux(two, value << 1, 0))),
                multiple.eq(Mux(negative, *signs)),
            ]
            return _distance(m, f"{name}_row_{k}", multiple, width + 1, n)

        summands, constant = [], 0
        for k, (_, _, negative) in enumerate(digits.digits):
            summands.append(Summand(partial(row, k), 2 * k))
            summands.append(Summand.of(~negative if minus else negative, 2 * k))
            constant -= 1 << width + 2 * k
        return cls(tuple(summands), constant, product.low, product.high)

    @classmethod
    def times_successor(cls, m: Module, name: str, x: Exact) -> Terms:
        """Return x (x + 1).

        It is the same for x and -1 - x, so the bits of the one that is not negative are enough;
        each pair of them is multiplied once.
        """
        bits = len(x.value) - 1
        folded = Signal(bits, name=f"{name}_folded")
        m.d.comb += folded.eq(x.value[:bits] ^ x.value[-1].replicate(bits))
        summands = []
        for k in range(bits):
            # 2^k (2^k + 1), where bit k is set, and twice 2^k times the bits below it.
            if k:
                pairs = Signal(k, name=f"{name}_pairs_{k}")
                m.d.comb += pairs.eq(folded[:k] & folded[k].replicate(k))
                summands += [
                    Summand.of(folded[k], 2 * k),
                    Summand.of(folded[k], k),
                    Summand.of(pairs, k + 1),
                ]
            else:
                summands.append(Summand.of(folded[0], 1))
        product = x.interval.times_successor()
        return cls(tuple(summands), 0, product.low, product.high)

    def __add__(self, other: Terms) -> Terms:
        return Terms(
            self.summands + other.summands,
            self.constant + other.constant,
            self.low + other.low,
            self.high + other.high,
        )

    def __lshift__(self, bits: int) -> Terms:
        summands = tuple(Summand(summand.low, summand.shift + bits) for summand in self.summands)
        return Terms(summands, self.constant << bits, self.low << bits, self.high << bits)

    def plus(self, constant: int) -> Terms:
        """Return the sum plus ``constant``."""
        return self + Terms((), constant, constant, constant)

    def total(self, m: Module, name: str) -> Exact:
        """Make the sum, in its narrowest shape."""
        shape = Interval(self.low, self.high).shape
        width = shape.width
        summands = [(w.low(width - w.shift), w.shift) for w in self.summands if w.shift < width]
        if constant := self.constant % (1 << width):
            summands.append((Const(constant, width), 0))
        total, most = Const(0), 0
        for n, (summand, shift) in enumerate(summands):
            # Names cut every partial sum to the width that it needs.
            most += (
                summand.value if isinstance(summand, Const) else (1 << len(summand)) - 1
            ) << shift
            part = Signal(min(most.bit_length(), width), name=f"{name}_{n}")
            m.d.comb += part.eq(total + (summand << shift) if n else summand << shift)
            total = part
        signal = Signal(shape, name=name)
        m.d.comb += signal.eq(total)
        return Exact(signal, self.low, self.high)

    def cut(self, m: Module, name: str, *, registered: bool) -> Terms:
        """Make the sum and put it in a register, where ``registered``; else return it as it is."""
        if not registered:
            return self
        total = keep(m, name, self.total(m, f"{name}_sum"), registered=True)
        return Terms.of(m, name, total)


def _distance(m: Module, name: str, summand: Value, width: int, bits: int) -> Value:
    """Return how far a signed summand of ``width`` bits lies above its smallest code.

    Only the lowest ``bits`` bits of the distance are made.
    """
    distance = Signal(min(bits, width), name=f"{name}_distance")
    # Lint passes over signals called unused, if they are kept.
    top = Signal(width - len(distance), name=f"{name}_top_unused", attrs={"keep": 1})
    m.d.comb += Cat(distance, top).eq(summand + (1 << width - 1))
    return distance


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
    """Return ``x`` behind a register where ``registered``, else ``x`` itself."""
    return keep(m, name, x, registered=True) if registered else x


class Companions:
    """Values that travel beside a path of logic and must stay abreast of it.

    Wherever the path may have a register they `cross` that cut too. ``clocks`` counts the registers
    so far, so that two branches can be compared where they meet.
    """

    def __init__(self, m: Module, values: Mapping[str, Exact], clocks: int = 0) -> None:
        self._m, self._values, self.clocks = m, dict(values), clocks

    def __getitem__(self, name: str) -> Exact:
        return self._values[name]

    def cross(self, cut: str, *, registered: bool) -> None:
        """Delay each value by a register ``NAME_CUT`` where the path is ``registered`` there."""
        self.clocks += registered
        for name, x in self._values.items():
            self._values[name] = delay(self._m, f"{name}_{cut}", x, registered=registered)


def flag(*values: Value | None) -> Exact | None:
    """Return one bit that is set where any of ``values`` is; None where all are None."""
    bits = [value for value in values if value is not None]
    return Exact(Cat(*bits).any(), 0, 1) if bits else None


def adder_tree(m: Module, name: str, terms: Sequence[Exact], cuts: Sequence[bool]) -> Exact:
    """Add ``terms`` pair by pair; ``cuts``: for each level, whether registers follow it."""
    terms = list(terms)
    for level, registered in enumerate(cuts, start=1):
        pairs = [terms[k : k + 2] for k in range(0, len(terms), 2)]
        terms = [
            keep(m, f"{name}_{level}_{k}", sum(rest, first), registered=registered)
            for k, (first, *rest) in enumerate(pairs)
        ]
    (total,) = terms
    return total


def truncate(x: Exact, from_bits: int, to_bits: int) -> Exact:
    """Return the top ``to_bits`` of ``from_bits`` bits, a plain floor: `fixed.truncate`."""
    shift = max(from_bits - to_bits, 0)
    return Exact(x.value[shift:].as_signed(), x.low >> shift, x.high >> shift)


def squared_magnitude(
    m: Module, name: str, i: Exact, q: Exact, from_bits: int, to_bits: int
) -> Terms:
    """Return \\|x\\|^2 of quadratures cut to ``to_bits``: `fixed.squared_magnitude`."""
    parts = []
    for part, x in (
        (f"{name}_i", truncate(i, from_bits, to_bits)),
        (f"{name}_q", truncate(q, from_bits, to_bits)),
    ):
        if to_bits < from_bits:
            parts.append(Terms.times_successor(m, part, x))
        else:
            parts.append(Terms.of(m, part, x.squared()))
    return parts[0] + parts[1]


def squared_magnitude_interval(from_bits: int, to_bits: int) -> Interval:
    """Return all that `squared_magnitude` can be."""
    x = Interval.signed(min(from_bits, to_bits))
    part = x.times_successor() if to_bits < from_bits else x.squared()
    return part + part


def round_shift(m: Module, name: str, x: Exact | Terms, shift: int) -> Exact:
    """Divide ``x`` by ``2**shift``, ties towards plus infinity: `fixed.round_shift`."""
    half = 1 << shift >> 1
    if isinstance(x, Terms):
        total = x = x.plus(half).total(m, f"{name}_total")
    elif half:
        total = x + Exact.constant(half)
    if shift == 0:
        return x
    low, high = total.low >> shift, total.high >> shift
    if x.low < 0:
        # Signed even where nothing negative is left, since `saturate` looks at a sign bit.
        low, high = min(low, -1), max(high, 0)
    rounded = Exact(total.value[shift:], low, high)
    signal = Signal(rounded.shape, name=f"{name}_rounded")
    # Lint passes over signals called unused, if they are kept: the dropped bits are such. Rounding
    # may also narrow the range, so that some of the highest bits of x are not needed either.
    dropped, top = (
        Signal(max(width, 0), name=f"{name}_{end}_unused", attrs={"keep": 1})
        for end, width in (("dropped", shift), ("top", len(x.value) - shift - len(signal)))
    )
    m.d.comb += Cat(dropped, signal, top).eq(total.value)
    return Exact(signal, rounded.low, rounded.high)


def saturate(m: Module, name: str, x: Exact, bits: int) -> tuple[Exact, Value | None]:
    """Clip signed ``x`` to the range of ``bits`` signed bits: `fixed.saturate`.

    Returns the value and the bit that says whether it was clipped, None where it never is.
    """
    if x.interval.fits(bits):
        return x, None
    low, high = fixed.code_range(bits)
    # Beyond the range exactly where the bits from the new sign bit upwards are not all alike.
    upper = x.value[bits - 1 :]
    fits = Signal(name=f"{name}_fits")
    m.d.comb += fits.eq(upper.all() | ~upper.any())
    clipped = Mux(x.value[-1], Const(low, signed(bits)), Const(high, signed(bits)))
    value = Mux(fits, x.value[:bits].as_signed(), clipped)
    return Exact.within(value, x.interval.saturated(bits)), ~fits


def requantize(
    m: Module, name: str, x: Exact | Terms, shift: int, bits: int
) -> tuple[Exact, Value | None]:
    """Round and saturate, as the one requantiser does: `fixed.requantize`."""
    return saturate(m, name, round_shift(m, name, x, shift), bits)
