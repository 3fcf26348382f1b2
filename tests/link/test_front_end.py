"""Lasers, hybrid and converter against their closed forms."""

import numpy as np
import pytest
from helpers.awgn import AWGN
from scipy import stats

from dbp import config
from dbp.link import front_end, transmission

# Neither noise nor dispersion: what arrives is what the front end has made of the symbols.
QUIET = AWGN.model_copy(update={"noise_figure_db": -100.0, "precision": "complex128"})


def generators(blocks, seed=1):
    return [transmission.block_generator(seed, "evaluate", block) for block in range(blocks)]


def received(changes, settings=QUIET, blocks=2, **where):
    changed = config.link_with(settings, changes)
    return transmission.simulate(changed, 0.0, blocks, seed=1, purpose="evaluate", **where).waveform


def gaussian(samples, seed=1):
    """A waveform of mean power 1 as after long dispersion."""
    drawn = np.random.default_rng(seed).standard_normal((1, samples, 2))
    return (drawn / np.sqrt(2)).view(np.complex128)[..., 0]


def through(waveform, **impairments):
    return front_end.receive(waveform, config.link_with(QUIET, impairments), 0.0, generators(1))


@pytest.mark.parametrize("branch", [front_end._TRANSMITTER, front_end._RECEIVER])
def test_a_laser_walks_by_its_linewidth(branch):
    blocks, samples, rate_ghz = 2000, 256, 40.0
    phase = front_end.phase_walk(300.0, rate_ghz, samples, generators(blocks), branch)
    of_step = 2 * np.pi * 300e3 / 40e9
    for lag in (1, 16, 128):
        moved = np.roll(phase, -lag, axis=-1) - phase
        # Of a bridge; the wrap from the end to the start is a step like the others.
        expected = of_step * lag * (1 - lag / samples)
        # In 2000 blocks there are as many independent differences at least.
        assert np.mean(moved**2) == pytest.approx(expected, rel=4 * np.sqrt(2 / blocks))
        assert np.mean(moved[:, -1] ** 2) == pytest.approx(expected, rel=4 * np.sqrt(2 / blocks))
    # From anywhere, each block on its own.
    assert stats.kstest(phase[:, 0] / (2 * np.pi) % 1, "uniform").pvalue > 1e-3
    steps = np.diff(phase)
    assert abs(np.corrcoef(steps[:-1].ravel(), steps[1:].ravel())[0, 1]) < 4 / np.sqrt(steps.size)


def test_four_times_the_linewidth_is_twice_the_walk():
    one, four = (
        front_end.phase_walk(khz, 40.0, 64, generators(3), front_end._RECEIVER) for khz in (1, 4)
    )
    np.testing.assert_allclose(four - four[:, :1], 2 * (one - one[:, :1]), atol=1e-12)


def test_a_walk_does_not_depend_on_other_options_nor_data_on_it():
    ideal, turned = received({}), received({"receiver_linewidth_khz": 500.0})
    np.testing.assert_allclose(np.abs(turned), np.abs(ideal), rtol=1e-12)
    walk = turned / ideal
    assert np.ptp(np.unwrap(np.angle(walk))) > 0.1
    noisy = {"transmitter_linewidth_khz": 800.0}
    both = received(noisy | {"receiver_linewidth_khz": 500.0})
    np.testing.assert_allclose(both, received(noisy) * walk, atol=1e-12)
    louder = QUIET.model_copy(update={"noise_figure_db": 20.0})
    both = received({"receiver_linewidth_khz": 500.0}, louder)
    np.testing.assert_allclose(both, received({}, louder) * walk, atol=1e-12)


def test_transmitter_and_receiver_have_walks_of_their_own():
    branches = front_end._TRANSMITTER, front_end._RECEIVER
    steps = [np.diff(front_end.phase_walk(1.0, 40.0, 2048, generators(1), b))[0] for b in branches]
    assert abs(np.corrcoef(steps)[0, 1]) < 4 / np.sqrt(2048)


def test_the_transmitters_laser_turns_what_is_launched():
    samples = 128
    settings = config.link_with(QUIET, {"transmitter_linewidth_khz": 2000.0})
    field = gaussian(2 * samples).reshape(2, samples)
    launched = np.fft.ifft(front_end.launch(np.fft.fft(field), settings, generators(2)))
    walk = front_end.phase_walk(2000.0, 120.0, samples, generators(2), front_end._TRANSMITTER)
    np.testing.assert_allclose(launched, field * np.exp(1j * walk), atol=1e-12)
    single = front_end.launch(np.fft.fft(field).astype(np.complex64), settings, generators(2))
    assert single.dtype == np.complex64


@pytest.mark.parametrize("mhz, bins", [(350.0, 18), (-1000.0, -51), (9.0, 0), (12.0, 1)])
def test_an_offset_shifts_the_spectrum_by_the_nearest_bins(mhz, bins):
    settings = config.link_with(QUIET, {"frequency_offset_mhz": mhz})
    assert front_end.offset_bins(settings) == bins  # of 20 GBd / 1024
    ideal, shifted = (np.fft.fft(received(c)) for c in ({}, {"frequency_offset_mhz": mhz}))
    # A local laser above the signal moves it down, and has a phase of its own in each block.
    expected = np.roll(ideal, -bins, axis=-1)
    phase = np.sum(shifted * expected.conj(), axis=-1, keepdims=True)
    phase /= np.abs(phase)
    np.testing.assert_allclose(shifted, expected * phase, atol=1e-8)
    assert np.abs(phase[0] - phase[1]) > 1e-3


@pytest.mark.parametrize("gain_db, phase_deg", [(1.0, 0.0), (0.0, 5.0), (-2.0, 12.0), (0.5, -3.0)])
def test_the_image_is_that_of_the_imbalance(gain_db, phase_deg):
    tone = np.exp(2j * np.pi * 5 * np.arange(64) / 64)[None]
    spectrum = np.fft.fft(through(tone, iq_gain_db=gain_db, iq_phase_deg=phase_deg))[0]
    gain, cosine = 10 ** (gain_db / 20), np.cos(np.deg2rad(phase_deg))
    rejection = (1 + 2 * gain * cosine + gain**2) / (1 - 2 * gain * cosine + gain**2)
    powers = np.abs(spectrum) ** 2
    assert powers[5] / powers[-5] == pytest.approx(rejection)
    assert powers.sum() / 64**2 == pytest.approx(1)
    assert powers[5] + powers[-5] == pytest.approx(powers.sum())


def test_of_the_quadratures_q_is_wrong():
    x = np.array([[1.0, 1j, 0.6 - 0.8j]])
    out = through(x, iq_gain_db=2.0, iq_phase_deg=30.0)
    gain, turn = 10**0.1, np.deg2rad(30)
    scale = np.sqrt((1 + gain**2) / 2)
    np.testing.assert_allclose(out.real * scale, x.real, atol=1e-12)
    expected = gain * (x.imag * np.cos(turn) - x.real * np.sin(turn))
    np.testing.assert_allclose(out.imag * scale, expected, atol=1e-12)


@pytest.mark.parametrize("bits", [1, 3, 8, 16])
def test_a_full_scale_uniform_signal_has_6_db_a_bit(bits):
    x = np.random.default_rng(2).uniform(-1.7, 1.7, 200_000)
    error = front_end.quantize(x, bits, 1.7) - x
    assert np.mean(x**2) / np.mean(error**2) == pytest.approx(4**bits, rel=0.02)
    assert np.abs(error).max() <= 1.7 / 2**bits * (1 + 1e-9)
    assert np.unique(front_end.quantize(x, bits, 1.7)).size == min(2**bits, 65536 - 3) or bits == 16


@pytest.mark.parametrize("bits, full_scale", [(12, 1.5), (12, 2.5), (6, 4.0), (4, 2.5)])
def test_the_converter_rounds_and_clips_a_gaussian_signal(bits, full_scale):
    samples = 1 << 20
    x = gaussian(samples)
    error = through(x, adc_bits=bits, adc_full_scale_rms=full_scale) - x
    # In units of the rms of a quadrature: the granular part, evenly spread in a step, and the
    # overload, 2 int_r^inf (x - r)^2 p(x) dx.
    r = full_scale
    tail, density = stats.norm.sf(r), stats.norm.pdf(r)
    overload = 2 * ((1 + r**2) * tail - r * density)
    # What clips stands at the last level, half a step below full scale.
    step = 2 * r / 2**bits
    overload += 2 * step / 2 * 2 * (density - r * tail) + (step / 2) ** 2 * 2 * tail
    granular = step**2 / 12 * (1 - 2 * tail)
    measured = np.mean(np.abs(error) ** 2)
    assert measured == pytest.approx(overload + granular, rel=0.03)
    assert np.abs(error.real).max() > step / 2


def test_all_of_it_leaves_a_block_as_it_is_alone():
    everything = {
        "transmitter_linewidth_khz": 100.0,
        "receiver_linewidth_khz": 100.0,
        "frequency_offset_mhz": 200.0,
        "adc_bits": 6,
        "iq_gain_db": 0.5,
        "iq_phase_deg": 2.0,
    }
    settings = config.Link(spans=2, block_symbols=256, steps_per_span=4)
    together = received(everything, settings, blocks=70)
    for block in (0, 69):
        alone = received(everything, settings, blocks=1, first_block=block)
        np.testing.assert_array_equal(alone[0], together[block])
    assert together.dtype == np.complex64
    assert np.mean(np.abs(together) ** 2) == pytest.approx(1, abs=0.03)


def test_receivers_share_the_waveforms_of_their_fibre(cache_folder):
    def entries():
        return sum(1 for _ in cache_folder.rglob("*.npy"))

    ideal = received({})
    count = entries()
    for changes in (
        {"receiver_linewidth_khz": 100.0, "frequency_offset_mhz": 40.0},
        {"adc_bits": 5, "adc_full_scale_rms": 3.0},
        {"iq_gain_db": 1.0, "iq_phase_deg": 1.0},
    ):
        assert not np.array_equal(received(changes), ideal)
        assert entries() == count
    received({"transmitter_linewidth_khz": 1.0})
    assert entries() > count
    np.testing.assert_array_equal(received({}), ideal)


def test_both_polarisations_have_the_same_lasers():
    def received(**impairments):
        changes = {"spans": 1, "block_symbols": 256, "dual_polarisation": True} | impairments
        link_ = config.link_with(config.Link(), changes)
        return transmission.simulate(
            link_, 0.0, 2, seed=1, purpose="evaluate", progress=False
        ).waveform

    turned = received(receiver_linewidth_khz=1000.0) / received()
    assert turned.shape == (2, 2, 512)
    assert np.ptp(np.angle(turned[0, 0])) > 0.1
    assert np.allclose(turned[:, 0], turned[:, 1], atol=1e-4)
    assert not np.allclose(turned[0], turned[1], atol=1e-1)
