"""Carrier recovery on known phases, against the theory of AWGN and of enhanced phase noise."""

import numpy as np
import pytest
from helpers.awgn import AWGN, Plain, power_for
from scipy import stats
from scipy.constants import speed_of_light

from dbp import config
from dbp.evaluation import carrier, counting, groups
from dbp.evaluation.measures import align, effective_snr_db, matched_filter
from dbp.evaluation.receivers import FixedReceiver, Reference
from dbp.link import closed_forms, front_end, modulation, transmission
from dbp.runs import find_design

LIMITS = {"min_errors": 10**9, "max_bits": 400_000, "seed": 3}


def phase_variance(snr, linewidth_khz, symbol_rate_gbd):
    """Of the phase error: noise over the window, the walk's smoothing, and the phases tried.

    The mean of a centred window of W steps of variance s^2 is s^2 (W^2 - 1) / (12 W) away.
    """
    window = carrier.WINDOW
    of_step = 2e-6 * np.pi * linewidth_khz / symbol_rate_gbd
    grid = (np.pi / 2 / carrier.TEST_PHASES) ** 2 / 12
    return 1 / (2 * snr * window) + of_step * (window**2 - 1) / (12 * window) + grid


def transmit(name, snr_db, linewidth_khz, blocks=8, symbols=1024, seed=1):
    """Sent, received and the phase in between."""
    generator = np.random.default_rng(seed)
    sent = modulation.draw(name, blocks * symbols, generator)[0].reshape(blocks, symbols)
    noise = generator.normal(scale=np.sqrt(0.5), size=(blocks, symbols, 2))
    owners = [transmission.block_generator(seed, "evaluate", block) for block in range(blocks)]
    phase = front_end.phase_walk(linewidth_khz, 20.0, symbols, owners, front_end._RECEIVER)
    noisy = sent + 10 ** (-snr_db / 20) * noise.view(np.complex128)[..., 0]
    return sent, noisy * np.exp(1j * phase), phase


@pytest.mark.parametrize(
    "name, snr_db, linewidth_khz",
    [("qpsk", 14, 0), ("qpsk", 14, 1000), ("16qam", 20, 0), ("16qam", 20, 500), ("64qam", 26, 100)],
)
def test_the_phase_is_found_as_well_as_theory_allows(name, snr_db, linewidth_khz):
    sent, received, phase = transmit(name, snr_db, linewidth_khz, blocks=32)
    found = carrier.blind_phase(received / np.sqrt(1 + 10 ** (-snr_db / 10)), name)
    found = found + carrier.quadrant(received, found, sent)
    error = np.angle(np.exp(1j * (found - phase)))
    # Some 500 independent windows.
    expected = phase_variance(10 ** (snr_db / 10), linewidth_khz, 20.0)
    assert np.mean(error**2) == pytest.approx(expected, rel=0.15)
    assert abs(np.mean(error)) < 4 * np.sqrt(expected / 500)


def bit_error_ratio(snr, variance):
    """16-QAM over AWGN with a Gaussian phase error: each level's decision, at each angle."""
    points, side = modulation.constellation("16qam"), 4
    levels = np.sort(np.unique(points.real.round(9)))
    edges = np.concatenate(([-np.inf], (levels[1:] + levels[:-1]) / 2, [np.inf]))
    gray = np.arange(side) ^ (np.arange(side) >> 1)
    scale = np.sqrt(1 / (2 * snr))
    nodes, weights = np.polynomial.hermite_e.hermegauss(31)
    total = 0.0
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        for label, point in enumerate(points * np.exp(1j * node * np.sqrt(variance))):
            for coordinate, own in ((point.real, label // side), (point.imag, label % side)):
                chance = np.diff(stats.norm.cdf((edges - coordinate) / scale))
                total += weight * chance @ np.bitwise_count(gray ^ own) / (16 * 4)
    return total


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"transmitter_linewidth_khz": 1e-3},
        {"transmitter_linewidth_khz": 1000.0},
        {"receiver_linewidth_khz": 1000.0, "frequency_offset_mhz": -700.0},
        {"transmitter_linewidth_khz": 1000.0, "receiver_linewidth_khz": 1000.0},
    ],
)
def test_errors_of_noisy_lasers_agree_with_theory(changes):
    snr = 10**1.4
    assert bit_error_ratio(snr, 0) == pytest.approx(
        float(modulation.bit_error_ratio_awgn("16qam", snr)), rel=1e-6
    )
    settings = config.link_with(AWGN, changes)
    (point,) = counting.evaluate([Plain()], settings, [power_for(AWGN, 14.0)], **LIMITS)
    linewidth_khz = sum(v for key, v in changes.items() if key.endswith("_khz"))
    theory = bit_error_ratio(snr, phase_variance(snr, linewidth_khz, 20.0))
    assert point.errors > 1000
    # Where decisions are wrong the search is a little worse than theory: some 6 % at 3 MHz.
    assert 0.96 * point.ber_low < theory < point.ber_high


@pytest.mark.slow
def test_recovery_without_laser_noise_costs_nothing():
    snr = 10**1.4
    recovered = config.link_with(AWGN, {"receiver_linewidth_khz": 1e-6})
    ideal, found = (
        counting.evaluate([Plain()], settings, [power_for(AWGN, 14.0)], **LIMITS)[0]
        for settings in (AWGN, recovered)
    )
    # The same noise, so that the ratio is known much better than either. What a window's noise
    # has in common turns the phase: the errors it costs are those of theory.
    theory = bit_error_ratio(snr, phase_variance(snr, 0, 20.0)) / bit_error_ratio(snr, 0)
    assert 1 < theory < 1.03
    assert found.errors / ideal.errors == pytest.approx(theory, abs=0.03)
    # The noise that has turned the phase is not seen as noise any more where decisions are right:
    # so much too good are effective SNRs at most.
    flattered_db = -10 * np.log10(1 - 1 / (2 * carrier.WINDOW))
    assert -0.01 < found.snr_db - ideal.snr_db < flattered_db < 0.034


def test_ideal_lasers_need_no_recovery():
    waveform = np.random.default_rng(1).normal(size=(2, 128, 2)).view(np.complex128)[..., 0]
    sent = np.ones((2, 64), complex)
    settings = config.link_with(AWGN, {"adc_bits": 6, "iq_gain_db": 1.0, "block_symbols": 64})
    expected = matched_filter(waveform, AWGN.roll_off)
    np.testing.assert_array_equal(carrier.symbols(waveform, sent, settings), expected)
    noisy = config.link_with(settings, {"receiver_linewidth_khz": 1.0})
    assert not np.array_equal(carrier.symbols(waveform, sent, noisy), expected)
    # Of a dead receiver nothing comes.
    assert not carrier.symbols(np.zeros_like(waveform), sent, noisy).any()


def test_pilots_undo_slips():
    sent, received, _ = transmit("16qam", 20, 10.0, blocks=2)
    slipped = received.copy()
    slipped[1, 300:] *= 1j
    phase = carrier.blind_phase(slipped, "16qam")
    quadrant = carrier.quadrant(slipped, phase, sent)
    out = slipped * np.exp(-1j * (phase + quadrant))
    wrong = modulation.decide("16qam", out) != modulation.decide("16qam", sent)
    assert not wrong[0].any()
    # Between two pilots, and at the wrap where the block slips back.
    place = np.flatnonzero(wrong[1])
    near = carrier.WINDOW // 2 + carrier.PILOT_SPACING
    assert ((np.abs(place - 300) <= near) | (np.minimum(place, 1024 - place) <= near)).all()


@pytest.mark.slow
@pytest.mark.parametrize("mhz", [-4300.0, -700.0, 20.0, 350.0, 2600.0])
@pytest.mark.parametrize("name", ["qpsk", "64qam"])
def test_the_offset_is_found_and_the_clock_with_it(name, mhz):
    settings = config.Link(
        spans=32,
        nonlinearity_per_w_km=0.0,
        steps_per_span=1,
        noise_figure_db=2.0,
        modulation=name,
    )
    settings = config.link_with(
        settings, {"frequency_offset_mhz": mhz, "receiver_linewidth_khz": 10.0}
    )
    reference = Reference("linear", settings)
    group = transmission.simulate(settings, 2.0, 8, seed=4, purpose="evaluate")
    spectrum = np.fft.fft(reference(group.waveform, 2.0))
    assert carrier.offset_bins(spectrum, settings) == -front_end.offset_bins(settings)
    snr_db = effective_snr_db(group.symbols, groups.detect(settings, reference, group))
    noise_w = 32 * closed_forms.ase_w_per_ghz(settings) * 20
    assert snr_db == pytest.approx(10 * np.log10(closed_forms.watts(2.0) / noise_w), abs=0.3)


def test_an_equaliser_that_distorts_the_shifted_band_does_not_mislead():
    settings = config.Link(nonlinearity_per_w_km=0.0, steps_per_span=1)
    settings = config.link_with(settings, {"frequency_offset_mhz": 1000.0})
    receiver = FixedReceiver("design", find_design("learned-c6-s9")[0])
    group = transmission.simulate(settings, 0.5, 8, seed=1, purpose="evaluate")
    spectrum = np.fft.fft(receiver(group.waveform, -30.0))
    assert carrier.offset_bins(spectrum, settings) == -front_end.offset_bins(settings) == -51


@pytest.mark.slow
@pytest.mark.parametrize("block_symbols", [64, 1000, 16384])
def test_blocks_of_any_length_find_their_offset(block_symbols):
    settings = AWGN.model_copy(update={"block_symbols": block_symbols})
    settings = config.link_with(settings, {"frequency_offset_mhz": 950.0})
    power_dbm = power_for(settings, 16.0)
    group = transmission.simulate(
        settings, power_dbm, 8192 // block_symbols + 1, seed=1, purpose="train"
    )
    found = groups.detect(settings, Plain(), group)
    error = align(group.symbols, found) - group.symbols
    assert np.mean(np.abs(error) ** 2) == pytest.approx(10**-1.6, rel=0.1)


@pytest.mark.slow
def test_dispersion_after_the_local_laser_enhances_its_phase_noise():
    settings = config.Link(
        nonlinearity_per_w_km=0.0,
        steps_per_span=1,
        noise_figure_db=-100.0,
        modulation="qpsk",
        block_symbols=4096,
    )
    linewidth_khz, rate_hz = 500.0, 20e9
    spread_s = (1550e-9) ** 2 / speed_of_light * 17e-6 * 3200e3 * rate_hz
    # Shieh and Ho, Opt. Express 16(20), 15718 (2008): pi c D L linewidth rate / (2 f^2) of the
    # power, against the phase at the middle of the band. Against the mean over the band, which
    # recovery follows, 2 pi linewidth times spread / 6 instead of spread / 4; of a bridge, less.
    enhanced = np.pi / 2 * spread_s * linewidth_khz * 1e3
    enhanced *= 2 / 3 * (1 - spread_s * rate_hz / 2 / 4096)

    def noise(key):
        noisy = config.link_with(settings, {key: linewidth_khz})
        reference = Reference("linear", noisy)
        group = transmission.simulate(noisy, 0.0, 8, seed=1, purpose="evaluate")
        symbols = align(group.symbols, groups.detect(noisy, reference, group))
        return np.mean(np.abs(symbols - group.symbols) ** 2)

    # Of the receiver's laser recovery has to follow no more than the mean of many symbols.
    plain = phase_variance(np.inf, linewidth_khz, 20.0)
    assert noise("transmitter_linewidth_khz") == pytest.approx(plain, rel=0.1)
    assert noise("receiver_linewidth_khz") == pytest.approx(enhanced, rel=0.1)
    assert plain < enhanced / 4
