"""Multiplier and adder bits against counts by hand."""

import dataclasses

import pytest

from dbp.datapath.complexity import Cost, complexity
from dbp.datapath.design import Design, Filter, Rotation

# The paper's step: 15 taps of 6 bits, signals of 9, a branch of 5, K of 10, phi of 8 bits.
FILTER = Filter(6, 6, 9, (1,) * 8, (0,) * 8)
ROTATION = Rotation(5, 0, 10, (-100,), 16, 8, 8, 9, 1, 9)
ONE = Filter(6, 4, 9, (16,), (0,))


def step(rotation, filter_=FILTER, last=ONE):
    return complexity(Design("step", 9, 250, (filter_, last), (rotation,)))


def test_the_step_of_the_paper():
    found = step(ROTATION)
    # Four multipliers for each of 7 folded taps and of the centre one.
    multipliers = 7 * 4 * 10 * 6 + 4 * 9 * 6
    # 7 pre-adds, the sums of two products, the tree. A product lies in -16320..16384 (at the centre
    # half of it), so a difference of two has 16 bits, but a sum, which may be 2^15, has 17.
    real = 7 * 10 + (7 * 16 + 15) + (4 * 17 + 2 * 18 + 19)
    imaginary = 7 * 10 + (7 * 17 + 16) + (3 * 18 + 17 + 19 + 18 + 19)
    assert found.filters == Cost(multipliers, real + imaginary)
    # Two squares of 5 bits, their sum of 9 bits without a sign times K.
    assert found.phases == Cost(2 * 5 * 5 + 9 * 10, 9)
    # phi times I and Q, each taken from or added to x 2^9 of 18 bits.
    assert found.rotations == Cost(2 * 8 * 9, 2 * 19)
    assert found.multiplier_bits == 1896 + 140 + 144
    assert found.adder_bits == 652 + 9 + 38


def test_a_filter_over_the_centred_power():
    found = step(dataclasses.replace(ROTATION, power_offset=100, kerr_gains=(1, 2, 3)))
    # 0..480 less 100 has 10 bits, the sum of two of them 11. Times K: +-389120 twice and +-194560
    # at the centre, whose sums have 21 bits.
    assert found.phases.multiplier_bits == 2 * 5 * 5 + 2 * 11 * 10 + 10 * 10
    assert found.phases.adder_bits == 9 + 10 + 2 * 11 + 21 + 21
    assert found.rotations == step(ROTATION).rotations


def test_the_second_order():
    found = step(dataclasses.replace(ROTATION, taylor_order=2))
    # phi^2 / 2^10 is at most 16, 5 bits; (2^9 - 16..0) x has the 18 bits of x 2^9.
    assert found.rotations == Cost(8 * 8 + 2 * 5 * 9 + 2 * 8 * 9, 2 * 18 + 2 * 19)
    # A phi so small that its square never shows.
    small = dataclasses.replace(ROTATION, phase_bits=4, taylor_order=2)
    assert step(small).rotations == step(dataclasses.replace(small, taylor_order=1)).rotations


@pytest.mark.parametrize(
    ("filter_", "multiplier_bits"),
    [
        (ONE, 0),
        (dataclasses.replace(ONE, half_taps_i=(-16,)), 4 * 9 * 6),
        (dataclasses.replace(ONE, half_taps_i=(24,)), 4 * 9 * 6),
        (dataclasses.replace(ONE, half_taps_q=(1,)), 4 * 9 * 6),
        (dataclasses.replace(ONE, half_taps_i=(0, 16), half_taps_q=(0, 0)), 4 * (9 + 10) * 6),
    ],
)
def test_one_tap_of_a_power_of_two_is_a_shift(filter_, multiplier_bits):
    assert step(ROTATION, filter_).filters.multiplier_bits == multiplier_bits
