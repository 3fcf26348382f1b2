"""Designs of two polarisations: one phase for both, in golden, its fast form and the file."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.designs import DESIGN, ROTATION, designs, examples
from hypothesis import given
from hypothesis import strategies as st

from dbp.datapath import _golden_kernels, golden, golden_fast, shipped
from dbp.datapath.complexity import complexity
from dbp.datapath.design import Design
from dbp.datapath.golden import Samples
from dbp.datapath.stimulus import Stimulus
from dbp.errors import InputError

DUAL = replace(DESIGN, polarizations=2)


def drawn(design, shape, seed=1):
    """Codes at the ends of their range often, of both polarisations."""
    rng = np.random.default_rng(seed)
    low, high = -(1 << (design.signal_bits - 1)), (1 << (design.signal_bits - 1)) - 1
    pool = np.array([low, high, 0, 1, -1, *rng.integers(low, high + 1, 5)])
    return Samples(rng.choice(pool, shape), rng.choice(pool, shape))


def assert_equal(a, b):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_rotation_by_hand():
    # Branches of 5 of 9 bits: 100 and -37 are cut to 6 and -3, whose c (c + 1) are 42 and 6; 255
    # and 17 of y to 15 and 1: 240 and 2. One K at 1 mW: -40; no offset.
    rotation = replace(ROTATION, power_offset=0, kerr_gains=(-2621,), kerr_shift=16)
    assert (rotation.branch_bits, rotation.kerr(1000)) == (5, (-40,))
    x = Samples(np.array([[100], [255]]), np.array([[-37], [17]]))
    total = -40 * (42 + 6 + 240 + 2)
    phi = (total + (1 << rotation.phase_shift >> 1)) >> rotation.phase_shift
    phi = max(min(phi, (1 << (rotation.phase_bits - 1)) - 1), -(1 << (rotation.phase_bits - 1)))
    assert phi
    one, shift = 1 << rotation.phase_fraction_bits, rotation.output_shift(9)
    low, high = -(1 << (rotation.output_bits - 1)), (1 << (rotation.output_bits - 1)) - 1
    if rotation.taylor_order == 2:
        one -= (phi * phi + one) >> (rotation.phase_fraction_bits + 1)
    turned = [
        (one * i - phi * q, one * q + phi * i)
        for i, q in zip(x.i[:, 0].tolist(), x.q[:, 0].tolist(), strict=True)
    ]
    expected = [
        tuple(max(min((v + (1 << shift >> 1)) >> shift, high), low) for v in both)
        for both in turned
    ]
    found = golden.rotate(rotation, rotation.kerr(1000), 9, x, polarizations=2)
    assert list(zip(found.i[:, 0].tolist(), found.q[:, 0].tolist(), strict=True)) == expected


@given(designs(), st.integers(1, 60), st.integers(0, 1 << 32))
@examples(15)
def test_alone_it_is_as_one_polarisation_and_both_may_be_exchanged(design, length, seed):
    dual = replace(design, polarizations=2)
    x = drawn(design, (2, length), seed)
    swapped = Samples(*(part[::-1] for part in x))
    both = golden.receive(dual, x, 1000)
    assert_equal(golden.receive(dual, swapped, 1000), (part[::-1] for part in both))
    alone = Samples(*(part * np.array([[1], [0]]) for part in x))
    received = golden.receive(dual, alone, 1000)
    of_one = golden.receive(design, Samples(x.i[0], x.q[0]), 1000)
    assert_equal((part[0] for part in received), of_one)


@given(designs(max_steps=2), st.lists(st.integers(1, 3), max_size=2), st.integers(0, 1 << 32))
@examples(15)
def test_the_fast_form_equals_golden(design, leading, seed):
    dual = replace(design, polarizations=2)
    x = drawn(dual, (*leading, 2, 90), seed)
    before = [part.copy() for part in x]
    assert_equal(golden_fast.receive(dual, x, 1000), golden.receive(dual, x, 1000))
    assert_equal(x, before)


@pytest.mark.parametrize("name", ["learned-c6-s9", "labptptm1-c6-s9", "labptptm2-c6-s9"])
def test_the_fast_form_over_several_pieces(name):
    design = replace(shipped.designs()[name], polarizations=2)
    assert golden_fast.fits_32_bits(design)
    x = drawn(design, (2, _golden_kernels.PIECE + 5))
    assert_equal(golden_fast.receive(design, x, 1000), golden.receive(design, x, 1000))


def test_a_sum_of_powers_that_no_longer_fits_is_left_to_golden():
    wide = replace(ROTATION, branch_bits=9, kerr_bits=14, kerr_gains=(-1,), phase_shift=12)
    design = replace(DESIGN, rotations=(wide,))
    assert golden_fast.fits_32_bits(design)
    assert not golden_fast.fits_32_bits(replace(design, polarizations=2))


@pytest.mark.parametrize("shape", [(5,), (1, 5), (3, 5), (2, 2, 0)])
def test_other_shapes_are_refused(shape):
    empty = 0 in shape
    x = Samples(*np.zeros((2, *shape), np.int64))
    if empty:
        assert golden_fast.receive(DUAL, x, 1000).i.shape == shape
        return
    for receive in (golden.receive, golden_fast.receive):
        with pytest.raises(ValueError, match="x and y"):
            receive(DUAL, x, 1000)
    with pytest.raises(ValueError, match="x and y"):
        golden.convert(np.ones(shape, complex), DUAL)


def test_both_have_one_gain_so_that_their_powers_can_be_added():
    rng = np.random.default_rng(1)
    waveform = rng.normal(size=(2, 4000)) + 1j * rng.normal(size=(2, 4000))
    codes = golden.convert(waveform * [[1.0], [0.5]], DUAL)
    power = [np.mean(i**2.0 + q**2.0) for i, q in zip(*codes, strict=True)]
    assert power[0] / power[1] == pytest.approx(4, rel=0.1)
    full_scale = 1 << (DUAL.signal_bits - 1)
    assert np.sqrt(np.mean(power) / 2) / full_scale == pytest.approx(0.25, rel=0.02)
    stream = golden.one_stream(waveform.reshape(2, 4, 1000).swapaxes(0, 1))
    np.testing.assert_array_equal(stream, waveform)
    np.testing.assert_array_equal(golden.as_blocks(stream, 4)[3, 1], waveform[1, 3000:])


def test_phi_is_clipped_once_for_both():
    x = drawn(DUAL, (2, 40))
    clips = golden.clips_retuned([golden.Tuning(0, DUAL, 10**6)], [x], [1])[0]
    assert clips["phi"].below[0].shape == (1, 40) and clips["phi"].below[0].any()
    assert clips["rotation"].below[0].shape == (2, 40)


def test_the_file_and_the_hash():
    assert '"version": 3' in DESIGN.to_json() and "polarizations" not in DESIGN.to_json()
    text = DUAL.to_json()
    assert '"version": 4' in text and '"polarizations": 2' in text
    again = Design.from_json(text)
    assert again == DUAL and again.hash == DUAL.hash != DESIGN.hash
    one = Design.from_json(text.replace('"polarizations": 2', '"polarizations": 1'))
    assert one == DESIGN and one.hash == DESIGN.hash
    assert "2 polarisations" in repr(DUAL)
    with pytest.raises(InputError, match=r"power_offset = 1025: must be at most 1024.*\|y\|\^2"):
        replace(DUAL, rotations=(replace(ROTATION, power_offset=1025),))


def test_a_stimulus_has_both(tmp_path):
    x = drawn(DUAL, (2, 30))
    Stimulus(x, 1000, DUAL.hash, "", 1).save(tmp_path / "s.npz")
    read = Stimulus.load(tmp_path / "s.npz", DUAL)
    assert_equal(read.samples, x)
    assert read.length == 30
    Stimulus(Samples(x.i[0], x.q[0]), 1000, DUAL.hash, "", 1).save(tmp_path / "s.npz")
    with pytest.raises(InputError, match=r"must be \(2, n\), x and y"):
        Stimulus.load(tmp_path / "s.npz", DUAL)


def test_the_cost_of_a_pair_of_samples_shares_phi():
    one, both = complexity(DESIGN), complexity(DUAL)
    assert both.filters.multiplier_bits == 2 * one.filters.multiplier_bits
    assert both.rotations.multiplier_bits == 2 * one.rotations.multiplier_bits
    # Two more squares of 5 bits; the sum is a bit wider, and so what is multiplied by each K.
    taps, bits = len(ROTATION.kerr_gains), ROTATION.kerr_bits
    assert both.phases.multiplier_bits == one.phases.multiplier_bits + 2 * 25 + taps * bits
