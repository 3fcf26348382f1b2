"""The golden model's fast form against the golden model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.designs import designs, examples, retuned
from hypothesis import given
from hypothesis import strategies as st

import dbp
from dbp.datapath import _golden_kernels, fixed, golden, golden_fast
from dbp.datapath.design import Design, Filter, Rotation
from dbp.datapath.golden import Samples
from dbp.errors import InputError

SEEDS = st.integers(0, 2**32 - 1)
SHIPPED = sorted((Path(dbp.__file__).parent / "datapath" / "designs").glob("*.json"))
# Shorter than any memory, of about one vector, and of several pieces.
LENGTHS = st.integers(1, 70) | st.integers(1, 3).map(lambda k: k * _golden_kernels.PIECE + k - 2)


def drawn(rng, bits, shape):
    """Codes at the ends of their range often, so that every wire clips that can."""
    low, high = fixed.code_range(bits)
    pool = np.array([low, high, 0, 1, -1, *rng.integers(low, high + 1, 5)])
    return Samples(rng.choice(pool, shape), rng.choice(pool, shape))


def assert_equals_golden(design, x, launch_power_uw):
    before = [part.copy() for part in x]
    found = golden_fast.receive(design, x, launch_power_uw)
    for a, b in zip(found, golden.receive(design, x, launch_power_uw), strict=True):
        assert a.dtype == b.dtype == np.int64
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(x, before)


@pytest.mark.slow
@given(
    designs(min_steps=1, max_steps=2).filter(golden_fast.fits_32_bits),
    st.integers(0, 4000) | st.just(10**6),
    LENGTHS,
    SEEDS,
)
@examples(60)
def test_random_designs_of_32_bits(design, launch_power_uw, length, seed):
    x = drawn(np.random.default_rng(seed), design.signal_bits, length)
    assert_equals_golden(design, x, launch_power_uw)


@pytest.mark.slow
@given(designs(), st.integers(0, 4000), LENGTHS, SEEDS)
@examples(30)
def test_random_designs_of_any_width(design, launch_power_uw, length, seed):
    x = drawn(np.random.default_rng(seed), design.signal_bits, length)
    assert_equals_golden(design, x, launch_power_uw)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_designs_with_their_taps_and_others(path):
    design = Design.load(path)
    rng = np.random.default_rng(1)
    of_both = (2,) if design.polarizations == 2 else ()
    x = drawn(rng, design.signal_bits, (*of_both, 2 * _golden_kernels.PIECE + 5))
    shape = (*of_both, 5000)
    wave = golden.convert(rng.normal(size=shape) + 1j * rng.normal(size=shape), design)
    for tuned in (design, retuned(design, rng)):
        assert golden_fast.fits_32_bits(tuned)
        assert_equals_golden(tuned, x, 1000)
        assert_equals_golden(tuned, wave, 1000)


@given(designs(max_steps=2), st.lists(st.integers(0, 3), max_size=3), st.integers(0, 100), SEEDS)
@examples(30)
def test_streams_in_leading_axes_of_any_number(design, leading, length, seed):
    x = drawn(np.random.default_rng(seed), design.signal_bits, (length, *leading))
    # Time along the last axis of arrays that are not contiguous.
    assert_equals_golden(design, Samples(*(np.moveaxis(part, 0, -1) for part in x)), 1000)


def filtered(signal_bits, coefficient_bits, shift, half):
    """A design of one filter, all its taps at the lower end."""
    taps = (-(1 << (coefficient_bits - 1)),) * half
    return Design("f", signal_bits, 250, (Filter(coefficient_bits, shift, 12, taps, taps),), ())


def rotated(**changes):
    """A design whose rotation meets samples of 16 bits, up to both ends, and K at its lower end."""
    widen, narrow = Filter(9, 0, 16, (128,), (0,)), Filter(2, 0, 16, (1,), (0,))
    rotation = Rotation(
        branch_bits=9, power_offset=1 << 17, kerr_bits=14, kerr_gains=(-(1 << 31),), kerr_shift=0,
        phase_shift=15, phase_bits=8, phase_fraction_bits=6, taylor_order=2, output_bits=15,
    )  # fmt: skip
    return Design("r", 9, 250, (widen, narrow), (replace(rotation, **changes),))


# The last design that fits 32 bits and the first that does not.
LIMITS = {
    "sum of two samples": (filtered(15, 4, 6, 2), filtered(16, 4, 6, 2)),
    "negative of a tap": (filtered(9, 15, 12, 2), filtered(9, 16, 12, 2)),
    "sum of products": (filtered(15, 14, 31, 2), filtered(15, 15, 32, 2)),
    "sum of powers": (rotated(kerr_bits=14), rotated(kerr_bits=15)),
    "sums of powers": (
        rotated(kerr_bits=12, kerr_gains=(-(1 << 31),) * 4),
        rotated(kerr_bits=12, kerr_gains=(-(1 << 31),) * 5),
    ),
    "shift of the phase": (rotated(phase_shift=30), rotated(phase_shift=31)),
    "one": (rotated(phase_fraction_bits=14), rotated(phase_fraction_bits=15)),
    "negative of phi": (
        rotated(power_offset=0, phase_fraction_bits=14, phase_bits=15, phase_shift=0),
        rotated(power_offset=0, phase_fraction_bits=14, phase_bits=16, phase_shift=0),
    ),
    "cosine": (
        rotated(phase_fraction_bits=12, phase_bits=15, phase_shift=0),
        rotated(phase_fraction_bits=11, phase_bits=15, phase_shift=0),
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_at_the_limits_of_32_bits(name):
    within, beyond = LIMITS[name]
    assert golden_fast.fits_32_bits(within) and not golden_fast.fits_32_bits(beyond)
    for design in (within, beyond):
        low, high = fixed.code_range(design.signal_bits)
        i, q = np.meshgrid(*[[low, -1, 0, 1, high]] * 2)
        constant = Samples(*(np.repeat(part.ravel(), 20) for part in (i, q)))
        assert_equals_golden(design, constant, 1000)
        mixed = drawn(np.random.default_rng(1), design.signal_bits, 2000)
        assert_equals_golden(design, mixed, 1000)


def test_wrong_input_is_refused():
    design = Design.load(next(path for path in SHIPPED if path.stem == "learned-c6-s9"))
    few = np.zeros(40, np.int64)
    for bad in (-(1 << (design.signal_bits - 1)) - 1, 1 << (design.signal_bits - 1)):
        with pytest.raises(ValueError, match="samples outside"):
            golden_fast.receive(design, Samples(few, np.append(few[1:], bad)), 1000)
    with pytest.raises(ValueError, match="shape"):
        golden_fast.receive(design, Samples(few, few[1:]), 1000)
    with pytest.raises(TypeError):
        golden_fast.receive(design, Samples(few + 0.5, few), 1000)
    with pytest.raises(InputError, match="launch_power_uw"):
        golden_fast.receive(design, Samples(few, few), -1)
