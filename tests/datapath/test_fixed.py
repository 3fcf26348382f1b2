"""The rounding and saturation rules, exhaustively at small widths, against exact rationals."""

import math
from fractions import Fraction

import numpy as np
import pytest

from dbp.datapath import fixed


@pytest.mark.parametrize("shift", range(6))
def test_round_shift_is_the_nearest_integer_with_ties_upwards(shift):
    x = np.arange(-200, 200)
    expected = [math.floor(Fraction(int(v), 1 << shift) + Fraction(1, 2)) for v in x]
    assert fixed.round_shift(x, shift).tolist() == expected


@pytest.mark.parametrize("bits", range(2, 7))
@pytest.mark.parametrize("shift", range(4))
def test_requantise_saturates_after_rounding(bits, shift):
    x = np.arange(-400, 400)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    got = fixed.requantize(x, shift, bits)
    expected = [
        min(max(math.floor(Fraction(int(v), 2**shift) + Fraction(1, 2)), low), high) for v in x
    ]
    assert got.tolist() == expected
    assert {low, high} <= set(got.tolist())


def test_cut_is_a_plain_floor_of_the_value():
    x = np.arange(-256, 256)
    assert fixed.truncate(x, 9, 5).tolist() == [math.floor(Fraction(int(v), 16)) for v in x]
    assert fixed.truncate(x, 9, 9).tolist() == x.tolist()
    assert fixed.truncate(x, 9, 12).tolist() == x.tolist()


def test_squared_magnitude_is_that_of_the_middles_but_for_a_constant():
    x, y = np.meshgrid(np.arange(-256, 256), np.arange(-256, 256))
    power = fixed.squared_magnitude(x, y, 9, 5)
    middles = [Fraction(2 * (v // 16) + 1, 2) ** 2 for v in range(-256, 256)]
    exact = [
        middles[a + 256] + middles[b + 256] - Fraction(1, 2)
        for a, b in zip(x[0], y[:, 0], strict=True)
    ]
    assert np.diag(power).tolist() == exact
    assert power.min() == 0 and power.max() == 480
    # A sample and its mirror images in both axes (a code c and -1 - c) have the same power.
    assert (
        (power == power[::-1]).all()
        and (power == power[:, ::-1]).all()
        and (power == power.T).all()
    )
    assert (fixed.squared_magnitude(x, y, 9, 9) == x * x + y * y).all()


def test_quantise_rounds_like_requantise_and_clips():
    x = np.arange(-80, 80) / 64
    assert fixed.quantize(x, 5).tolist() == fixed.requantize(np.arange(-80, 80), 2, 5).tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_quantise_refuses_what_is_no_number(bad):
    with pytest.raises(ValueError, match="NaN or infinity"):
        fixed.quantize([0.0, bad], 8)
