"""Count the bits of multipliers and adders that a Design takes per sample, as the field does.

A multiplier of m by n bits counts m n, an adder as many bits as its result has. Every width is that
of the interval of the values, as in the generated hardware; the filters are folded and a complex
product takes four multipliers and two adders (the hardware makes do with three for wide taps). All
of it is for one complex sample through the whole chain, or with two polarisations for a pair of
samples, one of each: the power is that of both, and phi is computed once for both.

- Everything is reconfigurable: a tap or a K counts whatever its code, zero included. The exception
  is a filter of one real tap that is a power of two (z0 = 0 has one at the end): a shift, no cost.
- A square counts as a product, in a cut branch too, where c (c + 1) replaces it.
- Shifts, requantisers (rounding and saturation), registers and control count nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dbp.datapath import fixed
from dbp.datapath.design import Design, Filter, Rotation

# The smallest and the largest value of a wire.
Interval = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Cost:
    """Bits of multipliers (sum of width times width) and of adders (sum of widths) per sample."""

    multiplier_bits: int
    adder_bits: int


@dataclass(frozen=True, slots=True)
class Complexity:
    """`Cost` of the filters, of the phases phi (\\|x\\|^2 times K) and of the rotations by phi."""

    filters: Cost
    phases: Cost
    rotations: Cost

    @property
    def multiplier_bits(self) -> int:
        """Bits of all multipliers per complex sample."""
        return sum(part.multiplier_bits for part in (self.filters, self.phases, self.rotations))

    @property
    def adder_bits(self) -> int:
        """Bits of all adders per complex sample."""
        return sum(part.adder_bits for part in (self.filters, self.phases, self.rotations))


def complexity(design: Design) -> Complexity:
    """Multiplier and adder bits per complex sample, or pair of them, of the whole chain."""
    filters, phases, rotations = _Count(), _Count(), _Count()
    polarizations = range(design.polarizations)
    for k, filter_ in enumerate(design.filters):
        for _ in polarizations:
            _count_filter(filters, filter_, design.filter_input_bits(k))
    for k, rotation in enumerate(design.rotations):
        input_bits = design.rotation_input_bits(k)
        phi = _count_phase(phases, rotation, input_bits, design.polarizations)
        for _ in polarizations:
            _count_rotation(rotations, rotation, input_bits, phi)
    return Complexity(filters.cost, phases.cost, rotations.cost)


class _Count:
    """Adds up operations; each method returns the interval of its result."""

    def __init__(self) -> None:
        self.multiplier_bits = self.adder_bits = 0

    @property
    def cost(self) -> Cost:
        return Cost(self.multiplier_bits, self.adder_bits)

    def multiply(self, a: Interval, b: Interval) -> Interval:
        self.multiplier_bits += _bits(a) * _bits(b)
        return _product(a, b)

    def add(self, a: Interval, b: Interval) -> Interval:
        total = a[0] + b[0], a[1] + b[1]
        self.adder_bits += _bits(total)
        return total

    def subtract(self, a: Interval, b: Interval) -> Interval:
        return self.add(a, (-b[1], -b[0]))

    def tree(self, terms: Sequence[Interval]) -> Interval:
        """The sum, a pair at a time."""
        while len(terms) > 1:
            pairs = [terms[k : k + 2] for k in range(0, len(terms), 2)]
            terms = [self.add(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
        return terms[0]


def _bits(x: Interval) -> int:
    """Width of a wire, without a sign where nothing is negative."""
    low, high = x
    return high.bit_length() if low >= 0 else max((-1 - low).bit_length(), high.bit_length()) + 1


def _product(a: Interval, b: Interval) -> Interval:
    ends = [x * y for x in a for y in b]
    return min(ends), max(ends)


def _count_filter(count: _Count, filter_: Filter, input_bits: int) -> None:
    (i, q), half = (filter_.half_taps_i[0], filter_.half_taps_q[0]), len(filter_.half_taps_i)
    if half == 1 and q == 0 and i > 0 and i.bit_count() == 1:
        return
    x, tap = fixed.code_range(input_bits), fixed.code_range(filter_.coefficient_bits)
    for combine in (count.subtract, count.add):  # the real part, the imaginary part
        folded = [count.add(x, x) for _ in range(half - 1)] + [x]
        count.tree([combine(count.multiply(s, tap), count.multiply(s, tap)) for s in folded])


def _count_phase(
    count: _Count, rotation: Rotation, input_bits: int, polarizations: int
) -> Interval:
    branch = fixed.code_range(rotation.branch_width(input_bits))
    low, _ = fixed.code_range(input_bits)
    powers = []
    for _ in range(polarizations):
        for _ in range(2):
            count.multiply(branch, branch)
        power = 0, int(fixed.squared_magnitude(low, low, input_bits, rotation.branch_bits))
        count.adder_bits += _bits(power)
        powers.append(power)
    power = count.tree(powers)
    if offset := rotation.power_offset:
        power = count.subtract(power, (offset, offset))
    kerr = fixed.code_range(rotation.kerr_bits)
    folded = [count.add(power, power) for _ in rotation.kerr_gains[1:]] + [power]
    total = count.tree([count.multiply(p, kerr) for p in folded])
    low, high = fixed.requantize(total, rotation.phase_shift, rotation.phase_bits).tolist()
    return low, high


def _count_rotation(count: _Count, rotation: Rotation, input_bits: int, phi: Interval) -> None:
    x, one = fixed.code_range(input_bits), 1 << rotation.phase_fraction_bits
    scaled = _product(x, (one, one))
    if rotation.taylor_order == 2:
        largest = max(end * end for end in phi)
        versine = 0, int(fixed.round_shift(largest, rotation.phase_fraction_bits + 1))
        if versine[1]:
            count.multiply(phi, phi)
            # Narrower than a difference of two intervals: both of its terms hold x.
            scaled = _product(x, (one - versine[1], one))
            for _ in range(2):
                count.multiply(versine, x)
                count.adder_bits += _bits(scaled)
    for combine in (count.subtract, count.add):
        combine(scaled, count.multiply(phi, x))
