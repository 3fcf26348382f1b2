"""The link against closed forms: noise, powers, and the reproducibility of its random numbers."""

import numpy as np
import pytest

from dbp import config
from dbp.errors import InputError
from dbp.evaluation.measures import matched_filter
from dbp.evaluation.receivers import Reference
from dbp.link import closed_forms, transmission
from dbp.link.modulation import constellation

LINEAR = config.Link(nonlinearity_per_w_km=0.0, steps_per_span=1, block_symbols=512)


def noise_power(settings, power_dbm, blocks=16):
    """Mean power of noise on the symbols after matched filter, relative to the launch power."""
    received = transmission.simulate(settings, power_dbm, blocks, seed=1, purpose="evaluate")
    field = Reference("linear", settings)(received.waveform, power_dbm)
    root = np.sqrt(received.power_w / closed_forms.watts(power_dbm))
    symbols = matched_filter(field * root, settings.roll_off)
    return np.mean(np.abs(symbols - received.symbols) ** 2)


def theory(settings, power_dbm):
    noise_w = settings.spans * closed_forms.ase_w_per_ghz(settings) * settings.symbol_rate_gbd
    return noise_w / closed_forms.watts(power_dbm)


@pytest.mark.parametrize("dispersion", [0.0, 17.0])
@pytest.mark.parametrize("spans", [1, 32])
def test_noise_of_the_seeded_linear_link_equals_theory(spans, dispersion):
    settings = LINEAR.model_copy(update={"spans": spans, "dispersion_ps_per_nm_km": dispersion})
    ratio = noise_power(settings, -3.0) / theory(settings, -3.0)
    # The mean of 8,192 squares of complex Gaussians has a relative deviation of 1.1 %.
    assert ratio == pytest.approx(1, abs=4 / np.sqrt(16 * 512))


def test_amplifiers_that_repeat_their_noise_would_be_found(monkeypatch):
    # Without dispersion 32 equal realisations add up in amplitude: 32 times the noise power.
    settings = LINEAR.model_copy(update={"dispersion_ps_per_nm_km": 0.0})
    independent = transmission._Channel._amplifier_noise

    def repeated(self, generators):
        first = next(independent(self, generators))
        return (first for _ in range(settings.spans))

    monkeypatch.setattr(transmission._Channel, "_amplifier_noise", repeated)
    assert noise_power(settings, -3.0) / theory(settings, -3.0) == pytest.approx(32, rel=0.1)


def test_ase_power_of_one_amplifier_fills_the_simulated_band():
    channel = transmission._Channel(LINEAR, "cpu")
    generators = [transmission.block_generator(1, "train", block) for block in range(8)]
    samples = LINEAR.block_symbols * LINEAR.samples_per_symbol
    bandwidth_ghz = LINEAR.symbol_rate_gbd * LINEAR.samples_per_symbol
    noise = list(channel._amplifier_noise(generators))
    for spectrum in noise[:2]:
        field = np.fft.ifft(spectrum)
        power_w = np.mean(np.abs(field) ** 2)
        expected = closed_forms.ase_w_per_ghz(LINEAR) * bandwidth_ghz
        assert power_w == pytest.approx(expected, rel=4 / np.sqrt(8 * samples))
    correlation = np.vdot(noise[0], noise[1]) / np.vdot(noise[0], noise[0])
    assert len(noise) == LINEAR.spans and abs(correlation) < 4 / np.sqrt(8 * samples)


def test_without_noise_and_kerr_effect_the_symbols_come_back():
    quiet = LINEAR.model_copy(update={"noise_figure_db": -100.0, "precision": "complex128"})
    assert noise_power(quiet, 0.0, blocks=2) < 1e-11
    assert noise_power(quiet.model_copy(update={"precision": "complex64"}), 0.0, blocks=2) < 1e-9


def test_backpropagation_with_the_steps_of_the_link_undoes_it():
    quiet = config.Link(
        spans=4,
        noise_figure_db=-100.0,
        steps_per_span=50,
        block_symbols=256,
        precision="complex128",
    )
    received = transmission.simulate(quiet, 0.0, 2, seed=1, purpose="train")

    def error_db(name):
        symbols = matched_filter(Reference(name, quiet)(received.waveform, 0.0), quiet.roll_off)
        return 10 * np.log10(np.mean(np.abs(symbols - received.symbols) ** 2))

    # What is left is the Kerr effect outside the receiver's band.
    assert error_db("linear") > -15
    assert -40 < error_db("dbp1") < -30
    assert error_db("dbp50") < -55


def test_waveform_has_unit_power_and_its_field_that_of_the_link():
    settings = config.Link(spans=2, block_symbols=512)
    for power_dbm in (-10.0, 5.0):
        received = transmission.simulate(settings, power_dbm, 8, seed=1, purpose="train")
        assert received.waveform.shape == (8, 1024) and received.waveform.dtype == np.complex64
        assert np.mean(np.abs(received.waveform) ** 2) == pytest.approx(1, abs=0.03)
        noise_w = 2 * closed_forms.ase_w_per_ghz(settings) * 40
        assert received.power_w == pytest.approx(closed_forms.watts(power_dbm) + noise_w)


def test_labels_are_those_of_the_symbols():
    received = transmission.simulate(
        LINEAR.model_copy(update={"spans": 1}), 0.0, 2, seed=1, purpose="train"
    )
    points = constellation("16qam")[received.labels]
    np.testing.assert_array_equal(received.symbols, points.astype(np.complex64))


def test_a_block_is_the_same_whatever_is_simulated_with_it():
    settings = config.Link(spans=2, block_symbols=256, steps_per_span=4)
    together = transmission.simulate(settings, 1.0, 70, seed=5, purpose="train")
    for block in (0, 1, 69):
        alone = transmission.simulate(settings, 1.0, 1, seed=5, purpose="train", first_block=block)
        np.testing.assert_array_equal(alone.labels[0], together.labels[block])
        np.testing.assert_array_equal(alone.waveform[0], together.waveform[block])
        picked = together.blocks(slice(block, block + 1))
        np.testing.assert_array_equal(picked.waveform[0], together.waveform[block])


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("complex64", [-0.43332 - 0.05351j, -0.93106 + 0.60250j, -0.79974 + 0.03557j]),
        ("complex128", [-0.45526 - 0.01440j, -0.91386 + 0.58680j, -0.83215 - 0.01883j]),
    ],
)
def test_numbers_of_a_seed_stay(precision, expected):
    settings = config.Link(spans=2, block_symbols=64, steps_per_span=3, precision=precision)
    received = transmission.simulate(settings, 3.0, 2, seed=9, purpose="train", first_block=5)
    np.testing.assert_array_equal(received.labels[1, :4], [4, 1, 0, 13])
    np.testing.assert_allclose(received.waveform[1, :3], expected, atol=2e-5)


def test_seeds_purposes_and_blocks_differ_but_powers_share_their_data():
    settings = config.Link(spans=1, block_symbols=256, steps_per_span=1)

    def data(seed=1, purpose="train", first_block=0, power=0.0):
        received = transmission.simulate(
            settings, power, 1, seed=seed, purpose=purpose, first_block=first_block
        )
        return received.labels[0]

    runs = [data(), data(seed=2), data(purpose="evaluate"), data(purpose="stimulus")]
    runs += [data(purpose="validate"), data(first_block=1)]
    for k, a in enumerate(runs):
        for b in runs[:k]:
            # Independent labels of 16-QAM agree in 1 of 16 places.
            assert np.mean(a == b) < 0.2
    np.testing.assert_array_equal(data(power=3.0), runs[0])


def test_gaussian_symbols_pass_too():
    settings = LINEAR.model_copy(update={"modulation": "gaussian", "noise_figure_db": -100.0})
    assert noise_power(settings, 0.0, blocks=2) < 1e-9


def test_a_span_of_impossible_loss_is_refused():
    assert config.parse("[link]\nspan_km = 500.0").link.span_km == 500
    with pytest.raises(InputError, match="110 dB"):
        config.parse("[link]\nspan_km = 550.0")


def test_a_transmission_says_in_one_line_what_it_is():
    settings = config.Link(spans=1, block_symbols=256, steps_per_span=1)
    received = transmission.simulate(settings, 0.5, 2, seed=7, purpose="train")
    assert repr(received) == "Received(2 blocks of 256 symbols, 16qam, +0.5 dBm)"
    assert (received.link, received.seed) == (settings, 7)
    one = received.blocks(slice(1, 2))
    assert repr(one).startswith("Received(1 block of")
    assert (one.link, one.seed) == (settings, 7)
