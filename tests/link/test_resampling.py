"""The converter at p/q samples per symbol: closed forms of its samples, its noise and its power."""

from fractions import Fraction

import numpy as np
import pytest

from dbp import config
from dbp.evaluation.measures import effective_snr_db, matched_filter
from dbp.link import closed_forms, front_end, resampling, transmission

RATES = ["2", "3/2", "5/4", "9/8", "16/15", "3"]
# Nothing but noise: no fibre to speak of, which an amplifier follows.
BACK_TO_BACK = config.Link(
    spans=1, nonlinearity_per_w_km=0.0, dispersion_ps_per_nm_km=0.0, steps_per_span=1,
    block_symbols=480, roll_off=0.05,
)  # fmt: skip


def at(rate, roll_off=0.0, link=BACK_TO_BACK):
    changes = {"adc_samples_per_symbol": rate, "adc_filter_roll_off": roll_off}
    return config.link_with(link, changes)


def tone(cycles, samples):
    return np.exp(2j * np.pi * cycles * np.arange(samples) / samples)[None]


@pytest.mark.parametrize("bins", [5, 6, 9, 10, 24])
def test_a_band_limited_signal_is_the_same_at_every_rate(bins):
    rng = np.random.default_rng(bins)
    cycles = np.arange(-2, 3)
    amplitudes = rng.normal(size=(5, 2)).view(np.complex128)[:, 0]

    def samples(count):
        return (amplitudes[:, None] * np.concatenate([tone(c, count) for c in cycles])).sum(0)

    spectrum = np.fft.fft(samples(10))
    resized = np.fft.ifft(resampling.resized(spectrum, bins)) * (bins / 10)
    np.testing.assert_allclose(resized, samples(bins), atol=1e-12)


@pytest.mark.parametrize("rate, roll_off", [("3/2", 0.25), ("5/4", 0.15), ("3/2", 0.0)])
def test_a_tone_passes_is_weakened_at_the_edge_and_is_aliased_beyond_it(rate, roll_off):
    link = at(rate, roll_off)
    samples, half = link.adc_samples, link.adc_samples / 2
    edge = round(roll_off * half)

    def converted(cycles):
        return resampling.convert(tone(cycles, 2 * link.block_symbols), link)

    for cycles in (0, 7, -round(half - edge - 1)):
        np.testing.assert_allclose(converted(cycles), tone(cycles, samples), atol=1e-12)
    assert np.abs(converted(round(half + edge + 1))).max() < 1e-12
    if roll_off:
        beyond = round(half + edge / 2)
        seen, alias = converted(beyond), converted(beyond - samples)
        # The tone beyond half the rate stands at its alias, and their powers add up to 1.
        gain = np.abs(seen).mean()
        np.testing.assert_allclose(seen, gain * tone(beyond - samples, samples), atol=1e-12)
        assert gain**2 + np.abs(alias).mean() ** 2 == pytest.approx(1)


@pytest.mark.parametrize("rate, roll_off", [("2", 0.3), ("3/2", 0.25), ("5/4", 0.15), ("5/4", 0)])
def test_the_noise_bandwidth_is_the_rate_and_noise_stays_white(rate, roll_off):
    link = at(rate, roll_off)
    samples = resampling.kept_rate(link) * link.block_symbols
    power = resampling.anti_alias_response(link, samples) ** 2
    folded = resampling.folded(power, link.adc_samples)
    if roll_off:
        np.testing.assert_allclose(folded, 1, atol=1e-12)
    assert power.sum() == pytest.approx(link.adc_samples, abs=1)
    band_ghz = closed_forms.received_band_ghz(link)
    assert band_ghz == pytest.approx(float(Fraction(rate)) * link.symbol_rate_gbd)


@pytest.mark.parametrize("slot_ghz", [21.5, 26.0, 30.0, 34.0, 60.0])
def test_the_noise_bandwidth_within_a_slot_is_the_integral(slot_ghz):
    impairments = {"wdm_neighbours": 1, "wdm_spacing_ghz": slot_ghz, "samples_per_symbol": 8}
    link = config.link_with(at("3/2", 0.25), impairments)
    frequency = (np.arange(100_000) + 0.5) / 100_000 * slot_ghz / 2
    edge = np.clip((frequency - 0.75 * 15) / (0.5 * 15), 0, 1)
    integral = np.sum(np.cos(np.pi / 2 * edge) ** 2) * slot_ghz / 100_000
    assert closed_forms.received_band_ghz(link) == pytest.approx(integral, rel=1e-6)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("roll_off", [0.0, 0.01])
def test_back_to_back_the_snr_is_its_closed_form_at_every_rate(rate, roll_off):
    link = at(rate, roll_off)
    # Signal 15 dB above the noise in a symbol rate.
    power_dbm = 15 - 10 * np.log10(closed_forms.back_to_back_snr(link, 0.0))
    received = transmission.simulate(link, power_dbm, 16, seed=2, purpose="evaluate")
    assert received.waveform.shape == (16, link.adc_samples)
    assert np.mean(np.abs(received.waveform) ** 2) == pytest.approx(1, abs=0.04)
    symbols = matched_filter(received.waveform, link.roll_off, link.adc_rate)
    snr_db = effective_snr_db(received.symbols, symbols)
    # E|x|^2 / E|x - c y|^2 is 1 + E_s / N_0; 7,680 noises, 1.1 % of deviation.
    assert snr_db == pytest.approx(10 * np.log10(1 + 10**1.5), abs=0.2)
    # The filter takes nothing from the signal, and aliases fall beside it: the same symbols as at
    # 2 samples per symbol, noise and all.
    two = transmission.simulate(at("2"), power_dbm, 16, seed=2, purpose="evaluate")
    expected = matched_filter(two.waveform, link.roll_off) * np.sqrt(two.power_w)
    np.testing.assert_allclose(symbols * np.sqrt(received.power_w), expected, rtol=0, atol=2e-6)


def test_links_of_fewer_samples_share_the_fibre_with_those_of_two():
    assert [resampling.kept_rate(at(rate)) for rate in RATES] == [2, 2, 2, 2, 2, 3]
    assert resampling.kept_rate(at("3/2", 0.25)) == 2 < resampling.kept_rate(at("2", 0.25))
    assert front_end.without_receiver(at("5/4", 0.1)) == BACK_TO_BACK
    waveform = np.ones((1, 2 * BACK_TO_BACK.block_symbols), np.complex64)
    assert resampling.convert(waveform, BACK_TO_BACK) is waveform
