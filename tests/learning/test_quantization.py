from unittest import mock

import numpy as np
import pytest
import torch
from helpers.designs import designs, examples
from hypothesis import given
from hypothesis import strategies as st

from dbp import config
from dbp.datapath import fixed, golden
from dbp.datapath.design import launch_power_uw
from dbp.errors import InputError
from dbp.learning.export import export
from dbp.learning.float_filters import FloatFilters
from dbp.learning.float_model import Detector, Model, from_signal, to_signal
from dbp.learning.quantized_model import QuantizedModel


def samples(design, length, seed):
    """Random codes, a quarter of them at full scale, that reach every saturation."""
    rng = np.random.default_rng(seed)
    low, high = -(1 << (design.signal_bits - 1)), (1 << (design.signal_bits - 1)) - 1
    parts = rng.integers(low, high + 1, (2, length))
    extreme = rng.random((2, length)) < 0.25
    parts[extreme] = rng.choice([low, high], extreme.sum())
    return golden.Samples(*parts)


@pytest.mark.slow
@examples(24)
@given(designs(), st.integers(1, 300), st.integers(0, 5000), st.integers(0, 1 << 32))
def test_forward_is_golden_in_every_sample(design, length, power_uw, seed):
    x = samples(design, length, seed)
    expected = golden.receive(design, x, power_uw)
    model = QuantizedModel(design)
    for form in (model.forward, model.plain):
        model.forward = form
        received = model.stream(x, power_uw)
        assert np.array_equal(received.i, expected.i)
        assert np.array_equal(received.q, expected.q)


def check_derivatives(model, signal, power_uw, seed, tolerance):
    """Gradients of both forms, and the tangents, of a random sum of all received samples."""
    weights = torch.from_numpy(np.random.default_rng(seed).normal(size=signal.shape)).to(signal)

    def slopes(receive):
        product = (weights * receive(signal, power_uw)).sum()
        return torch.autograd.grad(product, (model.half_taps, model.kerr), materialize_grads=True)

    tangents = model.tangents(signal, power_uw)
    products = torch.cat([(weights[:, :, None] * t).sum((0, 1, 3)) for t in tangents]).numpy()
    compiled, plain = (model.parameters_of(*slopes(form)) for form in (model, model.plain))
    size = model.tap_parameters
    for part in (slice(size), slice(size, None)):
        bound = tolerance * np.linalg.norm(plain[part])
        assert np.linalg.norm(compiled[part] - plain[part]) <= bound
        assert np.linalg.norm(products[part] - plain[part]) <= bound


@pytest.mark.slow
@examples(10)
@given(designs(), st.integers(1, 2000), st.integers(1, 20), st.integers(0, 1 << 32))
def test_both_forms_have_the_same_derivatives(design, power_uw, blocks, seed):
    # In float64, since terms of random designs may cancel.
    with mock.patch("dbp.learning.quantized_model._fits_float32", return_value=False):
        model = QuantizedModel(design)
    x = np.stack(samples(design, 60 * blocks, seed)).reshape(2, 60, blocks)
    check_derivatives(model, torch.from_numpy(x).double(), power_uw, seed, 1e-8)


@pytest.mark.parametrize("taylor_order", [1, 2])
@pytest.mark.parametrize("half_kerr", [1, 3])
@pytest.mark.parametrize("taps", [(15,) * 6, (13, 7, 13, 7, 1, 5)], ids=["equal", "unequal"])
def test_both_forms_have_the_same_derivatives_in_float32(taps, taylor_order, half_kerr):
    rng = np.random.default_rng(10)
    chain = random_filters(rng, taps, half_kerr, size=0.15)
    datapath = config.Datapath(taylor_order=taylor_order, rotation_guard_bits=1, centre_power=True)
    model = QuantizedModel(export(chain, config.Learned(), datapath), chain)
    x = rng.normal(size=(20, 128, 2)).view(np.complex128)[..., 0]
    signal = model.convert(x)
    assert signal.dtype == torch.float32
    assert torch.equal(model(signal, 1000), model.plain(signal, 1000))
    check_derivatives(model, signal, 1000, 11, 1e-5)


def random_filters(rng, taps, half_kerr=1, size=0.3):
    halves = [rng.uniform(-size, size, (n // 2 + 1, 2)).view(np.complex128)[:, 0] for n in taps]
    return FloatFilters(
        tuple(np.concatenate((h, h[-2::-1])) for h in halves),
        rng.uniform(-0.05, 0.01, (len(taps) - 1, half_kerr)),
    )


@pytest.mark.slow
@examples(12)
@given(designs(), st.integers(1, 5000), st.integers(0, 1 << 32))
def test_what_has_been_learned_is_exported_as_it_was_computed(design, power_uw, seed):
    model = QuantizedModel(design)
    assert model.design() == design
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        model.half_taps += torch.from_numpy(rng.normal(0, 2, model.half_taps.shape)) * model.steps
        model.kerr *= 1.1
    learned = model.design("learned")
    assert [r.kerr_taps for r in learned.rotations] == [r.kerr_taps for r in design.rotations]
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


@pytest.mark.parametrize(
    ("taylor_order", "guard_bits", "half_kerr", "centre_power"),
    [(1, 0, 1, False), (2, 0, 1, False), (1, 2, 3, False), (2, 2, 3, True), (1, 0, 2, True)],
)
def test_fine_formats_compute_what_real_numbers_do(
    taylor_order, guard_bits, half_kerr, centre_power
):
    """Scales of taps, rotations, loading, offset and power, against complex arithmetic."""
    rng = np.random.default_rng(3)
    chain = random_filters(rng, (5, 9, 15), half_kerr)
    chain = FloatFilters(chain.taps, chain.kerr_rad_per_mw / (2 * half_kerr - 1))
    formats = config.Learned(coefficient_bits=16, signal_bits=16 - guard_bits)
    datapath = config.Datapath(
        adc_rms_permille=100,
        branch_bits=16,
        kerr_bits=16,
        phase_bits=16,
        phase_fraction_bits=15,
        taylor_order=taylor_order,
        rotation_guard_bits=guard_bits,
        centre_power=centre_power,
    )
    design = export(chain, formats, datapath)
    assert [f.output_bits for f in design.filters] == [16, 16, 16 - guard_bits]
    x = rng.normal(size=(1, 256, 2)).view(np.complex128)[..., 0]
    x /= np.sqrt(np.mean(np.abs(x) ** 2))
    expected = x[0]
    for k, taps in enumerate(chain.taps):
        if k:
            power = np.abs(expected) ** 2 - centre_power
            half = chain.kerr_rad_per_mw[k - 1] * 10**0.3
            kerr = np.concatenate((half, half[-2::-1]))
            phase = convolve(power, kerr)
            expected = expected * (1 + 1j * phase - (taylor_order - 1) * phase**2 / 2)
        expected = convolve(expected, taps)
    model = QuantizedModel(design, chain)
    for rounded in (True, False):
        model.rounded = rounded
        codes = from_signal(model(model.convert(x), launch_power_uw(3.0)))[0]
        received = codes / 2 ** (15 - guard_bits) / (0.1 * np.sqrt(2))
        assert np.linalg.norm(received - expected) < 1e-3 * 2**guard_bits * np.linalg.norm(expected)


def convolve(x, taps):
    shifts = np.arange(taps.size) - taps.size // 2
    return sum(h * np.roll(x, n) for h, n in zip(taps, shifts, strict=True))


def test_the_offset_is_the_mean_of_the_power_in_the_branch():
    chain = random_filters(np.random.default_rng(7), (1, 1))
    design = export(chain, config.Learned(), config.Datapath(centre_power=True))
    rng = np.random.default_rng(8)
    x = golden.convert(rng.normal(size=(100_000, 2)).view(np.complex128)[:, 0], design)
    power = fixed.squared_magnitude(*x, design.signal_bits, design.rotations[0].branch_bits)
    # The gain of a loading of a quarter, clipped at four sigma.
    assert design.rotations[0].power_offset == pytest.approx(power.mean(), abs=0.6)


def test_more_guard_bits_than_the_taps_leave_are_refused():
    chain = random_filters(np.random.default_rng(9), (3, 3), size=0.9)
    formats = config.Learned(coefficient_bits=3)
    with pytest.raises(InputError, match=r"rotation_guard_bits = 3: a tap of .* in 3 bits"):
        export(chain, formats, config.Datapath(rotation_guard_bits=3))


def test_floats_are_what_export_takes():
    chain = random_filters(np.random.default_rng(4), (5, 5, 5), half_kerr=2)
    datapath = config.Datapath(rotation_guard_bits=1, taylor_order=2, centre_power=True)
    design = export(chain, config.Learned(), datapath)
    back = QuantizedModel(design, chain).floats()
    for given_, taps in zip(chain.taps, back.taps, strict=True):
        np.testing.assert_allclose(taps, given_, atol=1e-7)
    assert export(back, config.Learned(), datapath) == design


@pytest.mark.slow
@pytest.mark.parametrize(
    ("taylor_order", "half_kerr", "scale", "guard_bits"),
    [(1, 1, 0.05, 0), (1, 2, 0.02, 2), (2, 2, 0.5, 1)],
)
def test_straight_through_gradients_are_those_of_floating_point(
    taylor_order, half_kerr, scale, guard_bits
):
    """At fine formats; so every gradient passes every rounding, with the right scale."""
    rng = np.random.default_rng(5)
    chain = random_filters(rng, (9, 9, 9), half_kerr)
    # So small a phase that the series is as good as exp.
    chain = FloatFilters(chain.taps, chain.kerr_rad_per_mw * scale)
    x = rng.normal(size=(2, 128, 2)).view(np.complex128)[..., 0]
    sent = torch.from_numpy(rng.normal(size=(64, 2, 2)).view(np.complex128)[..., 0])
    detector, power_mw = Detector(0.1, 128), 1.0

    def slopes(model, signal, power):
        loss = detector.loss(model(signal, power), sent.to(torch.complex64))
        taps, kerr = torch.autograd.grad(loss, (model.half_taps, model.kerr))
        return taps.double(), kerr.double() * model.kerr.detach()

    formats = config.Learned(coefficient_bits=12, signal_bits=12)
    datapath = config.Datapath(
        branch_bits=11,
        kerr_bits=14,
        phase_bits=14,
        phase_fraction_bits=14,
        taylor_order=taylor_order,
        rotation_guard_bits=guard_bits,
    )
    model = QuantizedModel(export(chain, formats, datapath), chain)
    unit = x / np.sqrt(np.mean(np.abs(x) ** 2))
    expected = slopes(Model(chain), to_signal(unit), power_mw)
    for rounded in (False, True):
        model.rounded = rounded
        for got, wanted in zip(slopes(model, model.convert(x), 1000), expected, strict=True):
            assert torch.linalg.norm(got - wanted) < 0.05 * torch.linalg.norm(wanted)


def test_float32_is_used_only_where_it_is_exact():
    chain = random_filters(np.random.default_rng(6), (15, 15))
    narrow = export(chain, config.Learned(), config.Datapath())
    wide = export(chain, config.Learned(coefficient_bits=12, signal_bits=12), config.Datapath())
    assert QuantizedModel(narrow).half_taps.dtype == torch.float32
    assert QuantizedModel(wide).half_taps.dtype == torch.float64
