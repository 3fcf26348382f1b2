"""Learning on both polarisations: one model of the pair, equal to golden, and a learned design."""

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch
from helpers import learning
from helpers.designs import DESIGN, designs, examples
from hypothesis import given
from hypothesis import strategies as st

from dbp import config
from dbp.datapath import golden, shipped
from dbp.errors import InputError
from dbp.evaluation.groups import detect
from dbp.evaluation.measures import effective_snr_db
from dbp.evaluation.receivers import FixedReceiver, FloatReceiver, Reference
from dbp.learning import gauss_newton, training
from dbp.learning.export import export
from dbp.learning.float_filters import FloatFilters
from dbp.learning.float_model import Detector, Model, from_signal, to_signal
from dbp.learning.quantized_model import QuantizedModel
from dbp.support import threads

DUAL = replace(DESIGN, polarizations=2)


def chain(rng, kerr_taps=3):
    taps = [rng.normal(size=5) + 1j * rng.normal(size=5) for _ in range(3)]
    taps = tuple((t + t[::-1]) / 8 for t in taps)
    return FloatFilters(taps, -0.05 * rng.random((2, kerr_taps // 2 + 1)))


def waveform(rng, *shape):
    return rng.normal(scale=np.sqrt(0.5), size=(*shape, 2)).view(np.complex128)[..., 0]


def both(x):
    """Forward, in either form."""
    return (x.forward, x.plain)


@pytest.mark.parametrize(
    "name", ["example", "learned-c6-s9", "enhanced-c5-s9", "labptptm1-c6-s9", "labptptm2-c6-s9"]
)
def test_the_quantized_model_is_golden_in_every_sample(name):
    design = DUAL if name == "example" else replace(shipped.designs()[name], polarizations=2)
    rng = np.random.default_rng(1)
    low = -(1 << (design.signal_bits - 1))
    x = golden.Samples(*rng.integers(low, -low, (2, 2, 150)))
    model = QuantizedModel(design)
    expected = golden.receive(design, x, 1500)
    for form in both(model):
        model.forward = form
        for part, wanted in zip(model.stream(x, 1500), expected, strict=True):
            np.testing.assert_array_equal(part, wanted)


@pytest.mark.slow
@examples(10)
@given(designs(), st.integers(1, 200), st.integers(0, 5000), st.integers(0, 1 << 32))
def test_random_designs_are_golden_in_every_sample(design, length, power_uw, seed):
    design = replace(design, polarizations=2)
    low = -(1 << (design.signal_bits - 1))
    x = golden.Samples(*np.random.default_rng(seed).integers(low, -low, (2, 2, length)))
    model = QuantizedModel(design)
    expected = golden.receive(design, x, power_uw)
    for form in both(model):
        model.forward = form
        for part, wanted in zip(model.stream(x, power_uw), expected, strict=True):
            np.testing.assert_array_equal(part, wanted)


def test_the_float_model_is_the_float_receiver():
    rng = np.random.default_rng(2)
    filters, x = chain(rng), waveform(rng, 3, 2, 64)
    expected = FloatReceiver("f", filters)(x, 3.0)
    model = Model(filters, 2)
    for form in both(model):
        found = from_signal(form(to_signal(x), 10**0.3)).reshape(x.shape)
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("kerr_taps", [1, 3])
def test_fine_formats_do_what_the_filters_do_with_eight_ninths_of_the_total_power(kerr_taps):
    rng = np.random.default_rng(3)
    filters, x = chain(rng, kerr_taps), waveform(rng, 2, 2, 512)
    formats = config.Learned(coefficient_bits=15, signal_bits=14, taps=5, kerr_taps=kerr_taps)
    datapath = config.Datapath(
        branch_bits=12, kerr_bits=16, phase_bits=16, phase_fraction_bits=13, taylor_order=2
    )
    design = export(filters, formats, datapath, 2)
    assert (design.name, design.polarizations) == ("dual-c15-s14", 2)
    fixed, floats = FixedReceiver("f", design)(x, 1.0), FloatReceiver("f", filters)(x, 1.0)
    assert effective_snr_db(floats, fixed) > 50
    # The offset is a constant phase; the constants round trip.
    centred = export(filters, formats, datapath.model_copy(update={"centre_power": True}), 2)
    one = export(filters, formats, datapath.model_copy(update={"centre_power": True}))
    offset = centred.rotations[0].power_offset
    assert offset == pytest.approx(2 * one.rotations[0].power_offset, abs=1)
    back = QuantizedModel(design).floats()
    np.testing.assert_allclose(back.kerr_rad_per_mw, filters.kerr_rad_per_mw, rtol=1e-3)


@pytest.mark.parametrize("kerr_taps", [1, 3])
@pytest.mark.parametrize("quantized", [False, True])
def test_adjoint_and_tangents_are_those_of_torch_and_of_gauss_newton(quantized, kerr_taps):
    rng = np.random.default_rng(4)
    filters, power, detector = chain(rng, kerr_taps), 10.0, Detector(0.1, 64)
    wave = waveform(rng, 6, 2, 64)
    model, x = Model(filters, 2), to_signal(wave)
    if quantized:
        formats = config.Learned(signal_bits=12)
        with mock.patch("dbp.learning.quantized_model._fits_float32", return_value=False):
            model = QuantizedModel(export(filters, formats, config.Datapath(), 2), filters)
        x, power = model.convert(wave), 2000
    with torch.no_grad():
        sent = detector.symbols(model(x, power))
    sent = sent / sent.abs().square().mean().sqrt()
    sent += torch.from_numpy(0.3 * waveform(rng, 32, 12).astype(np.complex64))
    matrix, slope = gauss_newton.curvature_and_slope(model, power, x, sent, detector)
    with threads.pool(1) as pool:
        objective = gauss_newton.Objective(model, power, x, sent, detector, pool)
        compiled = objective.slope()
        assert objective.blocks == 6
        curvature = objective.curvature(np.arange(6))
        model.forward = model.plain
        plain = objective.slope()
    for found in (slope, compiled):
        np.testing.assert_allclose(found, plain, rtol=0, atol=2e-5 * np.abs(plain).max())
    np.testing.assert_allclose(curvature, matrix, rtol=0, atol=1e-4 * np.abs(matrix).max())


def test_a_pair_is_not_torn():
    model = Model(chain(np.random.default_rng(1)), 2)
    with pytest.raises(ValueError, match="3 columns: must be pairs"):
        model(torch.zeros(2, 64, 3), 1.0)


def test_learning_on_a_link_of_both_makes_a_design_of_both():
    single = learning.settings("2")
    link = config.link_with(single.link, {"dual_polarisation": True})
    settings = single.model_copy(update={"link": link})
    result = training.train(settings, progress=False)
    design = result.design
    assert (design.name, design.polarizations) == ("learned-dual-c6-s9", 2)
    assert result.snr_db_quantized == training.validated_snr_db(design, settings)
    # The integers, on data of their own, in the arithmetic of the chip.
    received = learning.received(link, settings)
    symbols = detect(link, FixedReceiver("d", design), received)
    found = np.mean([effective_snr_db(received.symbols[:, p], symbols[:, p]) for p in range(2)])
    assert found == pytest.approx(result.snr_db_quantized, abs=0.5)
    linear = detect(link, Reference("linear", link), received)
    assert found > effective_snr_db(received.symbols, linear) + 1
    unlearned, _floats = training.baseline(settings)
    assert unlearned.polarizations == 2 and unlearned.name.startswith("baseline-dual-")
    with pytest.raises(InputError, match="polarizations = 2: must be 1, as the link has"):
        training.validated_snr_db(design, single)


def test_learning_knows_nothing_of_what_mixes_both():
    single = learning.settings("2")
    mixing = {"dual_polarisation": True, "pmd_ps_per_root_km": 1.0, "polarisation_rotation": True}
    link = config.link_with(single.link, mixing)
    assert not link.impairments.unmixed().mixed_polarizations
    plain = config.link_with(single.link, {"dual_polarisation": True})
    assert link.impairments.unmixed() == plain.impairments
