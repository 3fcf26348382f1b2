"""The one requantiser and its neighbours, for every input there is, against `fixed`."""

import itertools

import numpy as np
import pytest
from amaranth.hdl import Const, Module, Signal, signed
from amaranth.sim import Simulator
from helpers.hardware import pack, play, play_lane

from dbp.datapath import fixed, golden
from dbp.datapath.design import Filter, Rotation
from dbp.datapath.golden import Samples
from dbp.rtl.blocks import arithmetic
from dbp.rtl.blocks.arithmetic import Exact
from dbp.rtl.blocks.filter import FilterLane
from dbp.rtl.blocks.rotation import RotationLanes
from dbp.rtl.pipeline import FilterPipeline, RotationPipeline


def evaluate(bits, build, *columns, tight=False):
    """Outputs of a combinational circuit for all rows of input columns, in one simulation.

    ``build(m, *inputs)`` returns a list of `Exact`; the answer has a row per input row. Checks
    that no output leaves the interval that it claims, and if ``tight`` that it fills it.
    """
    m = Module()
    inputs = [Signal(signed(bits), name=f"x{k}") for k in range(len(columns))]
    outputs = build(m, *(Exact.signed(x, bits) for x in inputs))
    signals = []
    for k, out in enumerate(outputs):
        # As wide as the value itself, so that a value beyond its interval is seen.
        signals.append(Signal(out.value.shape(), name=f"y{k}"))
        m.d.comb += signals[-1].eq(out.value)
    rows = []

    async def bench(ctx):
        for row in zip(*columns, strict=True):
            for x, value in zip(inputs, row, strict=True):
                ctx.set(x, int(value))
            rows.append([ctx.get(signal) for signal in signals])

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    answer = np.array(rows)
    for out, column in zip(outputs, answer.T, strict=True):
        assert out.low <= column.min() and column.max() <= out.high
        assert out.shape.width <= len(out.value)
        if tight:
            assert (out.low, out.high) == (column.min(), column.max())
    return answer


def with_flag(result):
    """A value, and whether it was clipped: zero where the hardware knows that it never is."""
    value, clipped = result
    return [value, Exact(Const(0) if clipped is None else clipped[0], 0, 1)]


def every(bits):
    low, high = fixed.code_range(bits)
    return np.arange(low, high + 1)


def test_requantise_for_every_code_shift_and_width():
    codes = every(9)
    formats = list(itertools.product(range(12), range(2, 11)))
    got = evaluate(
        9,
        lambda m, x: [
            value
            for shift, bits in formats
            for value in with_flag(arithmetic.requantize(m, f"y_{shift}_{bits}", x, shift, bits))
        ],
        codes,
    )
    for (shift, bits), column, clipped in zip(formats, got.T[::2], got.T[1::2], strict=True):
        expected = fixed.requantize(codes, shift, bits)
        assert (column == expected).all(), (shift, bits)
        assert (clipped == (fixed.round_shift(codes, shift) != expected)).all(), (shift, bits)


def test_saturate_and_round_shift_for_every_code():
    codes = every(8)
    got = evaluate(
        8,
        lambda m, x: [
            *(arithmetic.saturate(m, f"s_{bits}", x, bits)[0] for bits in range(2, 10)),
            *(arithmetic.round_shift(m, f"r_{shift}", x, shift) for shift in range(10)),
        ],
        codes,
    )
    expected = [fixed.saturate(codes, bits) for bits in range(2, 10)]
    expected += [fixed.round_shift(codes, shift) for shift in range(10)]
    assert np.array_equal(got.T, expected)


def test_the_rounded_square_of_every_code_is_as_narrow_as_its_values():
    codes = every(6)
    shifts = range(12)
    got = evaluate(
        6,
        lambda m, x: [
            arithmetic.round_shift(m, f"r_{shift}", x.squared(), shift) for shift in shifts
        ],
        codes,
        tight=True,
    )
    assert np.array_equal(got.T, [fixed.round_shift(codes**2, shift) for shift in shifts])


@pytest.mark.parametrize("bits", [4, 5])
def test_cut_and_squared_magnitude_for_every_sample(bits):
    i, q = (part.ravel() for part in np.meshgrid(every(bits), every(bits)))
    widths = range(2, bits + 2)
    got = evaluate(
        bits,
        lambda m, x, y: [
            *(arithmetic.truncate(x, bits, width) for width in widths),
            *(
                arithmetic.squared_magnitude(m, "power", x, y, bits, width).total(m, "total")
                for width in widths
            ),
        ],
        i,
        q,
    )
    expected = [fixed.truncate(i, bits, width) for width in widths]
    expected += [fixed.squared_magnitude(i, q, bits, width) for width in widths]
    assert np.array_equal(got.T, expected)


@pytest.mark.parametrize(
    "rotation",
    [
        # Nothing cut, phi saturates, one bit less out.
        Rotation(4, 0, 3, (0,), 0, 2, 3, 3, 1, 3),
        # Cut branch, phi of more bits than needed, one bit more out.
        Rotation(2, 0, 3, (0,), 0, 0, 8, 4, 1, 5),
        # Large phi against one: the output saturates.
        Rotation(3, 0, 3, (0,), 0, 0, 5, 1, 1, 4),
        # A phase shift beyond the width: phi is always zero.
        Rotation(3, 0, 3, (0,), 0, 20, 4, 3, 1, 4),
        # Second order, phi of both signs and up to 1.9 radian: the cosine becomes negative.
        Rotation(4, 40, 3, (0,), 0, 3, 6, 4, 2, 4),
        # The same with a cut branch, more bits out, and a phi that saturates.
        Rotation(3, 12, 3, (0,), 0, 0, 5, 4, 2, 6),
        # Second order that never shows: phi^2 / 2 always rounds to nothing.
        Rotation(4, 9, 3, (0,), 0, 4, 3, 6, 2, 4),
        # An offset of all there can be: phi of one sign only.
        Rotation(3, 32, 3, (0,), 0, 1, 6, 4, 2, 4),
    ],
)
def test_rotation_for_every_sample_and_every_kerr(rotation):
    i, q = (part.ravel() for part in np.meshgrid(every(4), every(4)))
    x = Samples(i, q)
    for kerr in every(3):
        block = RotationLanes(rotation, 4, 1, RotationPipeline())
        y, _ = play(block, x, np.ones(len(i), np.bool_), ports=[("kerr", pack([kerr], 3))])
        expected = golden.rotate(rotation, [kerr], 4, x)
        assert (y.i == expected.i).all() and (y.q == expected.q).all()


@pytest.mark.parametrize("taps", [1, 3, 15, 25])
@pytest.mark.parametrize(("bits", "input_bits"), [(4, 4), (8, 3)])
def test_filter_sums_are_exact_at_the_corners(taps, bits, input_bits):
    """Extreme taps times extreme samples, nothing shifted out, 16 bits out: no wire overflows.

    Taps of 8 bits are multiplied three times.
    """
    half = (taps + 1) // 2
    for hi, hq in itertools.product(fixed.code_range(bits), repeat=2):
        filter_ = Filter(bits, 0, 16, (hi,) * half, (hq,) * half)
        block = FilterLane(filter_, input_bits, FilterPipeline())
        i, q = np.array(list(itertools.product(fixed.code_range(input_bits), repeat=2))).T
        factors = {"taps_i": (hi, bits), "taps_q": (hq, bits)}
        if bits == 8:
            factors = {"taps_i": (hi, 8), "tap_sums": (hi + hq, 9), "tap_differences": (hq - hi, 9)}
        windows = {
            "window_i": [pack([value] * taps, input_bits) for value in i],
            "window_q": [pack([value] * taps, input_bits) for value in q],
            **{name: [pack([h] * half, width)] * len(i) for name, (h, width) in factors.items()},
        }
        y = play_lane(block, windows)
        assert (y.i == taps * (hi * i - hq * q)).all()
        assert (y.q == taps * (hi * q + hq * i)).all()
