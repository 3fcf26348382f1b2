"""Bits that pay for themselves: against closed forms, and against bits that all filters share."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.designs import DESIGN, designs, examples
from helpers.training import SMALL, changed, train_and_be_killed
from hypothesis import given
from hypothesis import strategies as st

from dbp.comparison import merit
from dbp.datapath import golden
from dbp.datapath.complexity import complexity
from dbp.datapath.limits import MIN_BITS
from dbp.learning import bit_allocation, training
from dbp.learning.bit_allocation import (
    allocate_tap_bits,
    allocate_wire_bits,
    rounding_losses,
    superfluous_bits,
    with_fewer_tap_bits,
    with_fewer_wire_bits,
)
from dbp.learning.integer_rounding import DAMPING, round_together
from dbp.learning.quantized_model import QuantizedModel


def test_taps_that_nothing_couples_cost_a_twelfth_of_their_squared_steps():
    weights, steps = np.array([1.0, 4.0, 0.3]), np.array([0.5, 0.25, 1.0])
    expected = (weights + DAMPING) * steps**2 / 12
    np.testing.assert_allclose(rounding_losses(np.diag(weights), steps), expected)


def test_the_losses_say_what_rounding_together_leaves():
    random = np.random.default_rng(1)
    slopes = random.normal(size=(12, 40)) * np.logspace(0, -1.5, 12)[:, None]
    mixed = np.linalg.qr(random.normal(size=(12, 12)))[0]
    matrix = mixed @ slopes @ slopes.T @ mixed.T / 12
    steps = 2.0 ** -random.integers(3, 7, 12)
    limits = np.full(12, -1e6), np.full(12, 1e6)
    left = []
    for _ in range(200):
        taps = random.uniform(-1, 1, 12)
        error = round_together(taps, matrix, steps, limits) - taps
        left.append(error @ matrix @ error)
    # Moves of one tap and of two, after the cancellation, leave a bit less.
    assert 0.5 < np.mean(left) / rounding_losses(matrix, steps).sum() < 1.05


@pytest.mark.parametrize(
    ("loss", "price", "most", "bits"),
    [
        (1.0, 3.0, 9, 0),
        (1.0, 3.1, 9, 1),
        (1.0, 12.1, 9, 2),
        (1.0, 48.1, 9, 3),
        (1.0, 48.1, 2, 2),
        (0.0, 1.0, 4, 4),
        (-1.0, 1.0, 4, 4),
        (1.0, 0.0, 9, 0),
    ],
)
def test_a_bit_goes_where_it_brings_less_than_its_price(loss, price, most, bits):
    assert superfluous_bits(loss, price, most) == bits


@examples(40)
@given(designs(min_steps=1), st.integers(0, 2**31))
def test_fewer_bits_keep_the_gains(design, seed):
    random = np.random.default_rng(seed)
    wires = [
        int(random.integers(0, min(r.output_bits - MIN_BITS, f.shift) + 1))
        for r, f in zip(design.rotations, design.filters[1:], strict=True)
    ]
    narrow = with_fewer_wire_bits(design, wires)
    assert narrow.output_bits == design.output_bits
    taps = [
        int(random.integers(0, min(f.coefficient_bits - MIN_BITS, f.shift) + 1))
        for f in narrow.filters
    ]
    coarse = with_fewer_tap_bits(narrow, taps)
    for k, (filter_, less, wire) in enumerate(zip(design.filters, taps, (0, *wires), strict=True)):
        assert coarse.filter_input_bits(k) == design.filter_input_bits(k) - wire
        assert coarse.filters[k].coefficient_bits == filter_.coefficient_bits - less
        np.testing.assert_array_equal(narrow.taps(k), design.taps(k))
        step = 2.0 ** (less + design.filter_input_bits(k) - filter_.shift - filter_.output_bits)
        lost = design.taps(k) - coarse.taps(k)
        for part in (lost.real, lost.imag):
            assert np.all((part >= 0) & (part < step))


def test_no_place_gives_more_bits_than_it_has():
    wide = replace(DESIGN.filters[1], shift=1)
    design = replace(DESIGN, filters=(DESIGN.filters[0], wide))
    # One bit of the shift is the wire's.
    assert allocate_tap_bits(design, [0.0, 0.0], 1.0, after=(0, 1)) == [4, 0]
    assert allocate_wire_bits(design, lambda tried: 1.0, 1.0) == [1]


def test_a_wire_loses_what_its_rounding_says():
    """Of a loss that is the mean squared error of uniform roundings."""

    def loss_of(design):
        return 1.0 + sum(0.25 ** (r.output_bits - DESIGN.signal_bits) for r in design.rotations)

    for price, bits in ((2.9, 0), (3.1, 1), (11.9, 1), (12.1, 2)):
        assert allocate_wire_bits(DESIGN, loss_of, price) == [bits]


@pytest.fixture(scope="module")
def equal():
    """Bits that all share."""
    return training.train(SMALL)


@pytest.fixture(scope="module")
def settings():
    """At prices, from seven bits for taps and ten for samples on."""
    many = SMALL.learned.model_copy(update={"coefficient_bits": 7, "signal_bits": 10})
    prices = {"coefficient_bit_price_mdb": 100.0, "signal_bit_price_mdb": 100.0}
    return changed(**prices).model_copy(update={"learned": many})


@pytest.fixture(scope="module")
def priced(settings):
    return training.train(settings)


def test_priced_bits_cost_fewer_multipliers_and_hardly_less_snr(equal, priced):
    assert priced.snr_db_float == equal.snr_db_float
    assert priced.snr_db_quantized > equal.snr_db_quantized - 0.2
    bits = [complexity(result.design).multiplier_bits for result in (priced, equal)]
    assert bits[0] < 0.92 * bits[1]
    assert len({filter_.coefficient_bits for filter_ in priced.design.filters}) > 1
    assert "-" in merit.formats(priced.design)


def test_a_higher_price_leaves_no_place_more_bits(priced, settings):
    high = settings.training.model_copy(
        update={"coefficient_bit_price_mdb": 400.0, "signal_bit_price_mdb": 400.0}
    )
    costly = training.train(settings.model_copy(update={"training": high})).design

    def bits(design):
        filters = [filter_.coefficient_bits for filter_ in design.filters]
        return np.array([*filters, *(rotation.output_bits for rotation in design.rotations)])

    assert np.all(bits(costly) <= bits(priced.design))
    assert bits(costly).sum() < bits(priced.design).sum() - 5
    # The words of the converter and of the receiver keep all their bits.
    assert (costly.signal_bits, costly.output_bits) == (10, 10)


def test_the_model_is_golden_with_bits_that_differ(priced):
    design = priced.design
    random = np.random.default_rng(1)
    codes = random.integers(-(1 << design.signal_bits - 2), 1 << design.signal_bits - 2, (2, 999))
    x = golden.Samples(*codes)
    for found, expected in zip(
        QuantizedModel(design).stream(x, 1600), golden.receive(design, x, 1600), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_a_killed_run_goes_on_with_the_same_bits(settings, priced, tmp_path, monkeypatch):
    checkpoint = tmp_path / "checkpoint.npz"
    train_and_be_killed(settings, checkpoint, 7, monkeypatch)
    again = training.train(settings, checkpoint)
    assert again.design == priced.design
    assert again.history == priced.history


def test_without_a_price_no_data_are_passed(monkeypatch):
    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(bit_allocation, "allocate_tap_bits", refuse)
    monkeypatch.setattr(bit_allocation, "allocate_wire_bits", refuse)
    training.train(changed(float_iterations=1, signal_iterations=0, tap_iterations=1))
