"""Learning at p/q samples per symbol: the same integers in all models, and a better receiver."""

import numpy as np
import pytest
import torch
from helpers.learning import settings

from dbp import config
from dbp.datapath import golden
from dbp.datapath.design import Design
from dbp.errors import InputError
from dbp.evaluation import groups
from dbp.evaluation.measures import align, effective_snr_db
from dbp.evaluation.receivers import FixedReceiver, FloatReceiver, Reference
from dbp.learning import filter_length, training
from dbp.learning.export import export
from dbp.learning.float_filters import FloatFilters
from dbp.learning.float_model import Detector, Model, from_signal, to_signal
from dbp.learning.joint_start import StartObjective
from dbp.learning.least_squares import dispersion, unlearned_filters
from dbp.learning.quantized_model import QuantizedModel
from dbp.link import transmission


def received(link):
    return transmission.simulate(link, 2.0, 4, seed=1, purpose="evaluate", progress=False)


@pytest.mark.parametrize(
    ("rate", "learned"),
    [
        *((rate, {}) for rate in ("2", "3/2", "5/4", "4/3", "9/8", "7/6", "3")),
        ("2", {"rotations_per_span": "2"}),
        ("2", {"rotations_per_span": "1/2"}),
        ("3/2", {"rotations_per_span": "2", "taps": [3, 9]}),
        ("5/4", {"rotations_per_span": "3/2", "taps": [9, 1, 5]}),
        ("4/3", {"rotations_per_span": "3", "rotation_offset_km": [0.0, 20.0, 60.0 - 1]}),
    ],
    ids=str,
)
def test_the_quantized_model_is_the_golden_model_at_every_ratio(rate, learned):
    of_rate = settings(rate, **learned)
    link = of_rate.link
    floats = unlearned_filters(of_rate.learned, link)
    design = export(floats, of_rate.learned, of_rate.datapath)
    assert str(design.samples_per_symbol) == rate
    assert Design.from_json(design.to_json()) == design
    sent = received(link)
    model = QuantizedModel(design, floats)
    model.rounded = True
    assert model.design().samples_per_symbol == link.adc_rate
    assert model.floats().samples_per_symbol == link.adc_rate
    # On circular blocks, as learning has them, against the stream that the hardware takes.
    with torch.no_grad():
        circular = from_signal(model(model.convert(sent.waveform), 1585))
    samples, delay = link.adc_samples, design.delay
    codes = (part.reshape(-1, samples) for part in golden.convert(sent.waveform.ravel(), design))
    for row, i, q in zip(circular, *codes, strict=True):
        twice = golden.receive(design, golden.Samples(np.tile(i, 2), np.tile(q, 2)), 1585)
        second = (twice.i + 1j * twice.q)[samples:]
        np.testing.assert_array_equal(row, np.roll(second, -delay))
    x = golden.Samples(*np.random.default_rng(1).integers(-256, 256, (2, 300)))
    streamed = model.stream(x, 1585)
    for ours, theirs in zip(streamed, golden.receive(design, x, 1585), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # Learning's loss is 1 / SNR as evaluation measures it.
    detector = Detector(link.roll_off, link.adc_samples, link.adc_rate)
    symbols = torch.from_numpy(sent.symbols.T.astype(np.complex64))
    expected = FixedReceiver("golden", design)(sent.waveform, 2.0)
    loss = detector.loss(to_signal(expected), symbols).item()
    detected = groups.detect(link, FixedReceiver("golden", design), sent)
    assert -10 * np.log10(loss) == pytest.approx(
        effective_snr_db(sent.symbols, align(sent.symbols, detected)), abs=1e-3
    )


@pytest.mark.parametrize("rate", ["3/2", "5/4"])
def test_the_float_model_is_the_float_receiver(rate):
    of_rate = settings(rate)
    floats = unlearned_filters(of_rate.learned, of_rate.link)
    sent = received(of_rate.link)
    model = Model(floats)
    with torch.no_grad():
        ours = from_signal(model(to_signal(sent.waveform), 10**0.2))
    theirs = FloatReceiver("floats", floats)(sent.waveform, 2.0)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert model.filters().samples_per_symbol == of_rate.link.adc_rate


def test_learning_at_three_halves_beats_linear_compensation_and_its_start(tmp_path):
    of_rate = settings("3/2")
    learned = training.train(of_rate, tmp_path / "checkpoint.npz")
    assert (
        str(learned.design.samples_per_symbol) == str(learned.filters.samples_per_symbol) == "3/2"
    )
    assert training.validated_snr_db(learned.design, of_rate) == learned.snr_db_quantized
    sent = received(of_rate.link)

    def snr_db(receiver):
        return effective_snr_db(sent.symbols, groups.detect(of_rate.link, receiver, sent))

    linear = snr_db(Reference("linear", of_rate.link))
    baseline = snr_db(FixedReceiver("baseline", training.baseline(of_rate)[0]))
    assert snr_db(FixedReceiver("learned", learned.design)) > max(linear, baseline) + 1
    # A finished run is read back from its checkpoint, with its ratio.
    again = training.train(of_rate, tmp_path / "checkpoint.npz")
    assert again.design == learned.design and again.filters.hash == learned.filters.hash


def test_dispersion_and_bands_are_in_samples_of_the_rate():
    two, less = (config.load("paper").link, settings("3/2").link)
    less = less.model_copy(update={"span_km": 100.0})
    assert dispersion(less, 100.0) == pytest.approx(dispersion(two, 100.0) * (3 / 4) ** 2)
    ratio = filter_length.spread_samples(less) / filter_length.spread_samples(two)
    assert ratio == pytest.approx(3 / 4)
    # Where a configuration gives no band, the same one of the signal is meant.
    assert settings("3/2").baseline.bandwidth == 0.7 == round(0.525 * 4 / 3, 6)
    assert settings("3/2").learned.bandwidth == 0.733333
    assert settings("3/2", bandwidth=0.6).learned.bandwidth == 0.6
    assert settings("2").learned.bandwidth == 0.55


def test_a_pulse_that_fills_the_band_has_no_gain_outside_of_it():
    link = config.Link(roll_off=0.5, adc_samples_per_symbol="3/2", spans=1)
    objective = StartObjective(link, [50.0, 50.0], [1.0], 0.98, half=3)
    assert torch.isfinite(objective(torch.full((2, 3, 2), 0.2, dtype=torch.float64)))


def test_filters_keep_their_ratio_in_files_and_in_their_hash(tmp_path):
    taps = (np.ones(3, np.complex128),) * 2
    two = FloatFilters(taps, -np.ones((1, 1)))
    less = FloatFilters(taps, -np.ones((1, 1)), settings("3/2").link.adc_rate)
    assert two.hash != less.hash and "samples_per_symbol" not in two.arrays()
    less.save(tmp_path / "float.npz")
    loaded = FloatFilters.load(tmp_path / "float.npz")
    assert loaded.samples_per_symbol == less.samples_per_symbol and loaded.hash == less.hash
    with pytest.raises(InputError, match="samples_per_symbol = '1': must be an integer or a text"):
        FloatFilters.from_arrays(less.arrays() | {"samples_per_symbol": np.array("1")})
