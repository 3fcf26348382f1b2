"""Ranges are what brute force finds; companions are delayed where their path is."""

import itertools

from amaranth.hdl import Fragment, Module, Signal
from hypothesis import given
from hypothesis import strategies as st

from dbp.datapath import fixed
from dbp.rtl.blocks.arithmetic import Companions, Exact, Interval, squared_magnitude_interval

INTERVALS = st.tuples(*2 * [st.integers(-9, 9)]).map(lambda ends: Interval(*sorted(ends)))


def integers(interval):
    return range(interval.low, interval.high + 1)


def hull(values):
    values = list(values)
    return Interval(min(values), max(values))


@given(INTERVALS, INTERVALS, st.integers(0, 3))
def test_intervals_hold_all_values_and_no_more(a, b, shift):
    pairs = list(itertools.product(integers(a), integers(b)))
    assert a + b == hull(x + y for x, y in pairs)
    assert a - b == hull(x - y for x, y in pairs)
    assert a * b == hull(x * y for x, y in pairs)
    assert a.squared() == hull(x * x for x in integers(a))
    assert a.times_successor() == hull(x * (x + 1) for x in integers(a))
    assert a.rounded(shift) == hull(int(fixed.round_shift(x, shift)) for x in integers(a))
    assert a.fits(3) == all(fixed.saturate(x, 3) == x for x in integers(a))


def test_squared_magnitudes_of_all_codes_lie_in_their_interval():
    for from_bits, to_bits in ((5, 5), (5, 3), (4, 8)):
        codes = integers(Interval.signed(from_bits))
        powers = [
            int(fixed.squared_magnitude(i, q, from_bits, to_bits)) for i in codes for q in codes
        ]
        assert squared_magnitude_interval(from_bits, to_bits) == hull(powers)


def test_companions_count_the_registers_that_they_pass():
    m, x = Module(), Exact.signed(Signal(4), 4)
    companions = Companions(m, {"i": x}, clocks=2)
    companions.cross("first", registered=False)
    assert companions["i"] is x and companions.clocks == 2
    companions.cross("second", registered=True)
    assert companions["i"].value.name == "i_second" and companions.clocks == 3
    assert companions["i"].interval == x.interval
    # Amaranth warns of a module that nobody uses.
    Fragment.get(m, None)
