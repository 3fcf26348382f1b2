import numpy as np
import pytest
import torch
from designs import designs
from hypothesis import given, settings
from hypothesis import strategies as st

from dbp import config, golden
from dbp.design import launch_power_uw
from dbp.errors import InputError
from dbp.filters import FloatFilters
from dbp.model import Detector, Model, from_frames, to_frames
from dbp.quantization import QuantizedModel, export


def samples(design, length, seed):
    """Random codes, a quarter of them at full scale, that reach every saturation."""
    rng = np.random.default_rng(seed)
    low, high = -(1 << (design.signal_bits - 1)), (1 << (design.signal_bits - 1)) - 1
    parts = rng.integers(low, high + 1, (2, length))
    extreme = rng.random((2, length)) < 0.25
    parts[extreme] = rng.choice([low, high], extreme.sum())
    return golden.Samples(*parts)


@settings(max_examples=100, deadline=None)
@given(designs(), st.integers(1, 300), st.integers(0, 5000), st.integers(0, 1 << 32))
def test_forward_is_golden_in_every_sample(design, length, power_uw, seed):
    x = samples(design, length, seed)
    expected = golden.receive(design, x, power_uw)
    received = QuantizedModel(design).stream(x, power_uw)
    assert np.array_equal(received.i, expected.i)
    assert np.array_equal(received.q, expected.q)


def random_filters(rng, taps, size=0.3):
    halves = [rng.uniform(-size, size, (n // 2 + 1, 2)).view(np.complex128)[:, 0] for n in taps]
    return FloatFilters(
        tuple(np.concatenate((h, h[-2::-1])) for h in halves),
        rng.uniform(-0.05, 0.01, len(taps) - 1),
    )


@settings(max_examples=40, deadline=None)
@given(designs(), st.integers(1, 5000), st.integers(0, 1 << 32))
def test_what_has_been_learned_is_exported_as_it_was_computed(design, power_uw, seed):
    model = QuantizedModel(design)
    assert model.design() == design
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        model.half_taps += torch.from_numpy(rng.normal(0, 2, model.half_taps.shape)) * model.steps
        model.kerr *= 1.1
    learned = model.design("learned")
    x = samples(learned, 100, seed)
    expected = golden.receive(learned, x, power_uw)
    received = model.stream(x, power_uw)
    assert np.array_equal(received.i, expected.i)
    assert np.array_equal(received.q, expected.q)
    assert QuantizedModel(learned).design("learned") == learned


@pytest.mark.parametrize("coefficient_bits", [3, 6, 9])
def test_export_rounds_every_tap_at_the_finest_scale_that_fits(coefficient_bits):
    chain = random_filters(np.random.default_rng(coefficient_bits), (1, 5, 15, 25))
    formats = config.Learned(coefficient_bits=coefficient_bits, signal_bits=8)
    design = export(chain, formats, config.Datapath())
    assert [f.taps for f in design.filters] == [1, 5, 15, 25]
    high = 2 ** (coefficient_bits - 1) - 1
    for taps, f in zip(chain.taps, design.filters, strict=True):
        half = taps[: f.delay + 1] * 2.0**f.shift
        for wanted, codes in ((half.real, f.half_taps_i), (half.imag, f.half_taps_q)):
            assert np.abs(wanted - codes).max() <= 0.5
        parts = np.concatenate((half.real, half.imag))
        assert np.floor(2 * np.abs(parts).max() + 0.5) > high


def test_rotations_follow_the_launch_power_without_saturation():
    chain = random_filters(np.random.default_rng(0), (3,) * 20)
    datapath = config.Datapath()
    design = export(chain, config.Learned(), datapath)
    shift = design.rotations[0].phase_shift - datapath.phase_fraction_bits
    # phi at unit mean power is K |b|^2, with the loading per quadrature in steps of the branch.
    power = 2 * (datapath.adc_rms_permille / 1000 * 2 ** (datapath.branch_bits - 1)) ** 2
    for power_dbm in (-10.0, 0.0, 6.0):
        power_uw = launch_power_uw(power_dbm)
        codes = np.array([r.kerr(power_uw) for r in design.rotations])
        step = power * 2.0 ** -(shift + 2 * datapath.phase_fraction_bits)
        expected = chain.kerr_rad_per_mw * power_uw / 1000
        assert np.abs(codes * step - expected).max() <= 0.51 * step
        assert np.abs(codes).max() <= 511
    assert np.abs(codes).max() > 250
    with pytest.raises(InputError, match="kerr_bits = 2"):
        export(
            FloatFilters(chain.taps, chain.kerr_rad_per_mw * 1e4),
            config.Learned(),
            config.Datapath(kerr_bits=2),
        )


def test_fine_formats_compute_what_real_numbers_do():
    """Scales of taps, rotations, loading and launch power, against complex arithmetic."""
    rng = np.random.default_rng(3)
    chain = random_filters(rng, (5, 9, 15))
    formats = config.Learned(coefficient_bits=16, signal_bits=16)
    datapath = config.Datapath(
        adc_rms_permille=100, branch_bits=16, kerr_bits=16, phase_bits=16, phase_fraction_bits=18
    )
    design = export(chain, formats, datapath)
    x = rng.normal(size=(1, 256, 2)).view(np.complex128)[..., 0]
    x /= np.sqrt(np.mean(np.abs(x) ** 2))
    expected = x[0]
    for k, taps in enumerate(chain.taps):
        if k:
            phase = chain.kerr_rad_per_mw[k - 1] * 10**0.3 * np.abs(expected) ** 2
            expected = expected * (1 + 1j * phase)
        shifts = np.arange(taps.size) - taps.size // 2
        expected = sum(h * np.roll(expected, n) for h, n in zip(taps, shifts, strict=True))
    model = QuantizedModel(design)
    codes = from_frames(model(model.frames(x), launch_power_uw(3.0)))[0]
    received = codes / 2**15 / (0.1 * np.sqrt(2))
    assert np.linalg.norm(received - expected) < 1e-3 * np.linalg.norm(expected)


def test_floats_are_what_export_takes():
    chain = random_filters(np.random.default_rng(4), (5, 5, 5))
    design = export(chain, config.Learned(), config.Datapath())
    back = QuantizedModel(design, chain).floats()
    for given_, taps in zip(chain.taps, back.taps, strict=True):
        np.testing.assert_allclose(taps, given_, atol=1e-7)
    assert export(back, config.Learned(), config.Datapath()) == design


def test_straight_through_gradients_are_those_of_floating_point():
    """At fine formats; so every gradient passes every rounding, with the right scale."""
    rng = np.random.default_rng(5)
    chain = random_filters(rng, (9, 9, 9))
    chain = FloatFilters(chain.taps, chain.kerr_rad_per_mw / 20)  # first order is as good as exp
    x = rng.normal(size=(2, 128, 2)).view(np.complex128)[..., 0]
    sent = torch.from_numpy(rng.normal(size=(64, 2, 2)).view(np.complex128)[..., 0])
    detector, power_mw = Detector(0.1, 128), 1.0

    def slopes(model, signal, power):
        loss = detector.loss(model(signal, power), sent.to(torch.complex64))
        taps, kerr = torch.autograd.grad(loss, (model.half_taps, model.kerr))
        return taps.double(), kerr.double() * model.kerr.detach()

    formats = config.Learned(coefficient_bits=12, signal_bits=12)
    datapath = config.Datapath(branch_bits=11, kerr_bits=14, phase_bits=14, phase_fraction_bits=14)
    model = QuantizedModel(export(chain, formats, datapath), chain)
    unit = x / np.sqrt(np.mean(np.abs(x) ** 2))
    expected = slopes(Model(chain), to_frames(unit), power_mw)
    for rounded in (False, True):
        model.rounded = rounded
        for got, wanted in zip(slopes(model, model.frames(x), 1000), expected, strict=True):
            assert torch.linalg.norm(got - wanted) < 0.05 * torch.linalg.norm(wanted)


def test_float32_is_used_only_where_it_is_exact():
    chain = random_filters(np.random.default_rng(6), (15, 15))
    narrow = export(chain, config.Learned(), config.Datapath())
    wide = export(chain, config.Learned(coefficient_bits=12, signal_bits=12), config.Datapath())
    assert QuantizedModel(narrow).half_taps.dtype == torch.float32
    assert QuantizedModel(wide).half_taps.dtype == torch.float64
