"""A receiver without a genie: each stage against what it is to find, and all against theory."""

import numpy as np
import pytest
from helpers.awgn import AWGN, Plain, power_for

import dbp
from dbp import config
from dbp.cli import _requests
from dbp.errors import InputError
from dbp.evaluation import blind, counting, groups
from dbp.evaluation.blind import acquisition, butterfly
from dbp.evaluation.blind.butterfly import Butterfly
from dbp.evaluation.measures import effective_snr_db
from dbp.evaluation.receivers import Reference
from dbp.link import modulation, transmission
from dbp.link.resampling import resized

SYMBOLS, ROLL_OFF = 6144, 0.1
COUNTED = slice(blind.PREAMBLE_SYMBOLS, SYMBOLS - blind.END_SYMBOLS)


def turn(generator):
    a, b = generator.normal(size=4).view(complex) / np.sqrt(2)
    size = np.sqrt(abs(a) ** 2 + abs(b) ** 2)
    return np.array([[a, b], [-b.conjugate(), a.conjugate()]]) / size


def draw(seed, polarizations=2, modulation_="16qam", symbols=SYMBOLS):
    generator = np.random.default_rng(seed)
    shape = polarizations, symbols
    labels = generator.integers(0, 2 ** modulation.bits_per_symbol(modulation_), shape)
    return modulation.constellation(modulation_)[labels], generator


def stream(
    sent, generator, snr_db=17.0, linewidth=1e-5, offset=0.01, delay=3.3, dgd=0.1, matrices=None
):
    """Two samples a symbol: mixed with a delay between axes, late, on a carrier, with noise."""
    symbols = sent.shape[-1]
    frequency = np.fft.fftfreq(2 * symbols) * 2
    pulse = 2 * modulation.root_raised_cosine(ROLL_OFF, 2, 2 * symbols)
    spectrum = np.tile(np.fft.fft(sent), 2) * pulse
    if len(sent) == 2:
        first, last = matrices or (turn(generator), turn(generator))
        axes = np.exp(np.array([[-1j], [1j]]) * np.pi * frequency * dgd)
        spectrum = last @ (axes * (first @ spectrum))
    field = np.fft.ifft(spectrum * np.exp(-2j * np.pi * frequency * delay))
    time = np.arange(2 * symbols) / 2
    walk = np.cumsum(generator.normal(size=2 * symbols)) * np.sqrt(np.pi * linewidth)
    noise = generator.normal(size=(*field.shape, 2)).view(complex)[..., 0]
    return field * np.exp(1j * (2 * np.pi * offset * time + walk)) + noise * 10 ** (-snr_db / 20)


def least_snr_db(sent, received):
    pairs = zip(sent[:, COUNTED], received[:, COUNTED], strict=True)
    return min(effective_snr_db(x, y) for x, y in pairs)


# All stages together.


@pytest.mark.parametrize("start", ["preamble", "blind"])
@pytest.mark.parametrize(("seed", "dgd"), [(2, 0.1), (3, 0.5)])
def test_a_mixed_late_and_turning_stream_is_received_like_a_clean_one(start, seed, dgd):
    sent, generator = draw(seed)
    received = blind.receive(stream(sent, generator, dgd=dgd), sent, "16qam", ROLL_OFF, 2.0, start)
    assert least_snr_db(sent, received.symbols) == pytest.approx(17.0, abs=0.35)
    assert received.frequency == pytest.approx(0.01, abs=3e-4)
    assert min(received.likeness) > 0.9


@pytest.mark.parametrize(("name", "snr_db"), [("qpsk", 10.0), ("64qam", 25.0)])
def test_other_constellations_are_received(name, snr_db):
    sent, generator = draw(4, modulation_=name)
    waveform = stream(sent, generator, snr_db, linewidth=1e-6)
    received = blind.receive(waveform, sent, name, ROLL_OFF)
    # Carrier recovery follows a part of the noise.
    assert snr_db - 0.6 < least_snr_db(sent, received.symbols) < snr_db + 0.5


def test_one_polarisation_and_other_samples_per_symbol_are_received():
    sent, generator = draw(5, polarizations=1)
    two = stream(sent, generator)
    waveform = np.fft.ifft(resized(np.fft.fft(two), SYMBOLS * 3 // 2))
    for start in ("preamble", "blind"):
        received = blind.receive(waveform, sent, "16qam", ROLL_OFF, 1.5, start)
        assert received.streams == (0,)
        assert least_snr_db(sent, received.symbols) == pytest.approx(17.0, abs=0.35)


def test_cycle_slips_are_undone_by_pilots():
    # A carrier that jumps by a quarter turn, twice: nothing blind can tell.
    sent, generator = draw(6)
    waveform = stream(sent, generator, dgd=0.0)
    waveform[:, SYMBOLS:] *= 1j
    waveform[:, SYMBOLS * 3 // 2 :] *= 1j
    received = blind.receive(waveform, sent, "16qam", ROLL_OFF)
    wrong = modulation.decide("16qam", received.symbols) != modulation.decide("16qam", sent)
    at_jumps = np.zeros(SYMBOLS, bool)
    for jump in (SYMBOLS // 2, SYMBOLS * 3 // 4):
        at_jumps[jump - 300 : jump + 300] = True
    counted = np.zeros(SYMBOLS, bool)
    counted[COUNTED] = True
    assert wrong[:, counted & ~at_jumps].mean() < 5e-3


def test_a_dead_receiver_gives_nothing():
    sent, _ = draw(1)
    received = blind.receive(np.zeros((2, 2 * SYMBOLS)), sent, "16qam", ROLL_OFF)
    assert received.symbols.shape == sent.shape and not received.symbols.any()


# Stages.


@pytest.mark.parametrize("offset", [-0.05, 0.0, 0.02])
def test_the_band_tells_the_frequency_and_the_preamble_tells_it_better(offset):
    sent, generator = draw(7)
    waveform = stream(sent, generator, offset=offset)
    coarse = acquisition.band_offset(np.fft.fft(waveform), ROLL_OFF, 2.0)
    assert coarse == pytest.approx(offset, abs=3e-3)
    prepared, _ = blind.prepare(waveform, coarse, ROLL_OFF, 2.0)
    frame = acquisition.find_preamble(prepared, sent[:, : blind.PREAMBLE_SYMBOLS], 2)
    assert coarse + frame.offset == pytest.approx(offset, abs=3e-4)


@pytest.mark.parametrize("dgd", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("delay", [0.1, -0.22])
def test_the_clock_is_found_whatever_polarisations_do(dgd, delay):
    # With half a symbol between axes at 45 degrees the sum of both polarisations shows none.
    sent, generator = draw(8)
    half = np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    waveform = stream(
        sent, generator, offset=0.0, linewidth=0.0, delay=delay, dgd=dgd, matrices=(half, half)
    )
    found = acquisition.clock(waveform, ROLL_OFF)
    assert found.drift == 0
    assert (found.delay - delay + 0.25) % 0.5 - 0.25 == pytest.approx(0.0, abs=0.01)


def test_a_clock_that_drifts_is_followed():
    sent, generator = draw(9, symbols=16384)
    ideal = stream(sent, generator, 60.0, 0.0, 0.0, delay=0.0)
    drift = 3e-5
    late = acquisition.on_clock(ideal, acquisition.Clock(0.1, drift))
    found = acquisition.clock(late, ROLL_OFF)
    assert found.drift == pytest.approx(-drift, rel=0.1)
    back = acquisition.on_clock(late, acquisition.Clock(-0.1 / (1 + drift), -drift / (1 + drift)))
    inside = slice(100, -200)
    error = np.mean(np.abs((back - ideal)[:, inside]) ** 2) / np.mean(np.abs(ideal) ** 2)
    assert 10 * np.log10(error) < -55


def test_the_line_of_the_fourth_power_is_at_the_carrier():
    sent, generator = draw(10)
    turning = sent * np.exp(2j * np.pi * 0.0123 * np.arange(SYMBOLS))
    noisy = turning + 0.1 * generator.normal(size=(*sent.shape, 2)).view(complex)[..., 0]
    assert acquisition.line_offset(noisy) == pytest.approx(0.0123, abs=1 / SYMBOLS / 4)


def test_the_preamble_is_found_with_its_channel():
    sent, generator = draw(11)
    matrix = turn(generator)
    received = np.roll(matrix @ sent, 1234, axis=-1)
    frame = acquisition.find_preamble(received, sent[:, : blind.PREAMBLE_SYMBOLS], 1)
    assert frame.start == 1234 and frame.likeness > 0.95
    turned = frame.channel * np.exp(-1j * np.angle(np.sum(frame.channel * matrix.conj())))
    np.testing.assert_allclose(turned, matrix, atol=0.1)


def test_streams_are_put_in_order_each_with_a_delay_of_its_own():
    sent, _ = draw(12)
    out = np.stack([np.roll(sent[1], 7), 1j * np.roll(sent[0], -3)])
    aligned, streams, likeness = blind.put_in_order(out, sent[:, : blind.PREAMBLE_SYMBOLS])
    assert streams == (1, 0) and min(likeness) > 0.99
    np.testing.assert_array_equal(aligned, [1j * sent[0], sent[1]])


def blindly_started(seed, orthogonal):
    """The likeness of both outputs after a blind start, where both see the same mixture."""
    sent, generator = draw(seed)
    half = np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    waveform = stream(sent, generator, 15.0, 0.0, 0.0, 0.0, 0.0, (half, np.eye(2)))
    prepared, _ = blind.prepare(waveform, 0.0, ROLL_OFF, 2.0)
    filters = Butterfly.started("16qam", np.eye(2, dtype=complex))
    if orthogonal:
        filters.start_blind(prepared)
    else:
        for _ in range(3):
            filters._adapt(prepared, SYMBOLS, 0, butterfly.BLIND_STEP)
    return butterfly.likeness(*filters.follow(prepared, step=0.0))


def test_a_blind_start_never_finds_one_polarisation_twice():
    seeds = range(20, 25)
    # Each output by itself may well do.
    assert max(blindly_started(seed, orthogonal=False) for seed in seeds) > 0.9
    assert max(blindly_started(seed, orthogonal=True) for seed in seeds) < 0.1


# On a link.

MIXED = {
    "dual_polarisation": True,
    "pmd_ps_per_root_km": 0.5,
    "pmd_section_km": 10.0,
    "polarisation_rotation": True,
    "polarisation_rotation_krad_per_s": 10.0,
    "transmitter_linewidth_khz": 50.0,
    "receiver_linewidth_khz": 50.0,
}


def test_a_blind_receiver_is_as_good_as_the_genie_on_a_link():
    settings = config.link_with(AWGN, {"block_symbols": 8192, **MIXED})
    power_dbm = power_for(settings, 15.0) + 3
    received = transmission.simulate(
        settings, power_dbm, 1, seed=3, purpose="evaluate", progress=False
    )
    equalized = Reference("linear", settings)(received.waveform, power_dbm)
    genie, blindly = (
        groups.measure_equalized(settings, received, equalized, detection)
        for detection in ("genie", "blind")
    )
    assert blindly.snr_db == pytest.approx(genie.snr_db, abs=0.15)
    share = 1 - (blind.PREAMBLE_SYMBOLS + blind.END_SYMBOLS) / 8192
    assert blindly.bits == round(share * genie.bits)


def test_bits_are_counted_behind_a_blind_receiver():
    settings = config.link_with(AWGN, {"block_symbols": 8192})
    limits = {"min_errors": 10**9, "max_bits": 1, "seed": 3, "progress": False}
    power_dbm = power_for(settings, 13.0)
    (point,) = counting.evaluate([Plain()], settings, [power_dbm], **limits, detection="blind")
    assert point.snr_db == pytest.approx(13.0, abs=0.3)
    assert point.ber == pytest.approx(modulation.bit_error_ratio_awgn("16qam", 10**1.3), rel=0.2)


def test_short_blocks_and_unknown_receivers_are_refused():
    with pytest.raises(InputError, match=r"link.block_symbols = 1024: must be at least 8192"):
        dbp.evaluate("linear", dbp.Link(), 0.0, receiver="blind")
    with pytest.raises(InputError, match=r"receiver = 'deaf': must be 'genie' or 'blind'"):
        dbp.evaluate("linear", dbp.Link(), 0.0, receiver="deaf")


def test_the_command_counts_blind_where_it_is_asked_to(tmp_path):
    file = tmp_path / "long.toml"
    file.write_text("[link]\nblock_symbols = 8192\n")
    request = _requests.Request(["linear"], config=str(file), receiver="blind")
    plan = _requests.resolve(request)
    scenario = plan.transmissions[0].scenario
    assert plan.detection == scenario.detection == "blind"
    other = groups.Scenario(scenario.link, scenario.launch_power_dbm, scenario.seed)
    assert other.key != scenario.key
    with pytest.raises(InputError, match="block_symbols"):
        _requests.resolve(_requests.Request(["linear"], receiver="blind"))
