"""A blind receiver on recorded streams: which stream is which, and what is not there."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from helpers.waveforms import ROLL_OFF, drawn, noise, stream, turned

import dbp
from dbp.errors import InputError
from dbp.evaluation import blind, blind_on_waveform
from dbp.waveforms.recording import Recording

PERIOD, START, SYMBOLS = 4100, 1517, 6400
BOTH = np.stack([drawn(PERIOD, 11), drawn(PERIOD, 12)])
SHORT = dbp.Link(spans=1, span_km=1.0)


@dataclass(frozen=True)
class Nothing:
    name: str = "nothing"
    arithmetic: str = "float"
    key: str = "nothing"

    def __call__(self, waveform, launch_power_dbm):
        return waveform


def recorded(rows=(0, 1), snr_db=18.0, dgd=0.2, offset=0.01, linewidth=1e-5, late=(0.0, 0.0)):
    """A part of a sequence that repeats: mixed, with a delay between axes, on a turning carrier."""
    field = np.stack([np.tile(stream(BOTH[k], 2, 2 * late[k]), 3) for k in rows])
    frequency = np.fft.fftfreq(field.shape[-1]) * 2
    if len(rows) == 2:
        axes = np.exp(np.array([[-1j], [1j]]) * np.pi * frequency * dgd)
        field = turned(2) @ np.fft.ifft(axes * (turned(1) @ np.fft.fft(field)))
    field = field[:, 2 * START : 2 * (START + SYMBOLS)]
    field = field + np.stack([noise(field.shape[-1], snr_db - 3.01, 20 + k) for k in rows])
    time = np.arange(field.shape[-1]) / 2
    walk = np.cumsum(np.random.default_rng(3).normal(size=time.size)) * np.sqrt(np.pi * linewidth)
    field = 0.02 * field * np.exp(1j * (2 * np.pi * offset * time + walk))
    symbols = BOTH[list(rows)]
    if len(rows) == 1:
        field, symbols = field[0], symbols[0]
    return Recording(field, 2, 20e9, ROLL_OFF, 0.0, "16qam", symbols)


MIXED = recorded()


def point_of(recording):
    (point,) = dbp.evaluate_waveform(Nothing(), recording, link=SHORT, receiver="blind")
    return point


@pytest.fixture(scope="module")
def mixed():
    return point_of(MIXED)


def test_mixed_turning_streams_are_received_like_clean_ones(mixed):
    assert mixed.snr_db == pytest.approx(18.0, abs=0.5)
    assert mixed.carrier_offset_mhz == pytest.approx(0.01 * 20e3, abs=6)
    assert mixed.clock_offset_ppm == 0
    for delay in (mixed.delay_samples, mixed.delay_samples_y):
        assert delay % (2 * PERIOD) == pytest.approx(-2 * START % (2 * PERIOD), abs=3)
    assert min(mixed.coherence, mixed.coherence_y) == pytest.approx(1 / (1 + 10**-1.8), abs=3e-3)
    assert mixed.phase_rad is None and mixed.swapped is None
    assert "phase_rad" not in mixed.row()
    # Preamble, ends and what fills no block are not counted.
    assert 0.8 * 8 * (SYMBOLS - 1024 - 2 * 128) < mixed.bits < 8 * SYMBOLS


def test_which_stream_is_which_follows_the_symbols(mixed):
    rows = replace(MIXED, waveform=MIXED.waveform[::-1])
    sent = replace(MIXED, symbols=MIXED.symbols[::-1])
    for other in (point_of(rows), point_of(sent)):
        assert other.snr_db == pytest.approx(mixed.snr_db, abs=0.05)
    assert point_of(sent).delay_samples == mixed.delay_samples_y


def test_polarisations_of_other_delays_are_received(mixed):
    late = point_of(recorded(late=(0.0, 300.0)))
    assert late.snr_db == pytest.approx(mixed.snr_db, abs=0.1)
    assert late.delay_samples_y - late.delay_samples == pytest.approx(600, abs=3)


def test_one_polarisation_is_received_and_its_conjugate():
    one = recorded(rows=(0,))
    plain = point_of(one)
    assert plain.snr_db == pytest.approx(18.0, abs=0.5) and plain.coherence_y is None
    other = replace(one, waveform=one.waveform.conj(), symbols=one.symbols.conj())
    assert point_of(other).snr_db == pytest.approx(plain.snr_db, abs=0.05)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"symbols": np.stack([BOTH[0], drawn(PERIOD, 5)])}, r"symbols\[1\]: not found"),
        (
            {"symbols": np.stack([drawn(PERIOD, 6), drawn(PERIOD, 5)])},
            "^nothing: symbols: not",
        ),
        ({"symbols": BOTH.conj()}, r"symbols: conjugated: conj\(symbols\) fits"),
        ({"symbols": np.stack([BOTH[0], BOTH[1].conj()])}, "in one polarisation only"),
        ({"symbols": BOTH[:, :-100]}, r"symbols\[0\]: found at the start of the waveform, but not"),
        ({"waveform": MIXED.waveform[:, :4000]}, "2000 symbols: must be at least .* for a blind"),
        ({"modulation": "gaussian"}, "modulation qpsk, 16qam or 64qam: must be there for a blind"),
        ({"symbols": None}, "modulation qpsk, 16qam or 64qam: must be there for a blind"),
    ],
)
def test_what_is_not_there_is_one_line(changes, message):
    with pytest.raises(InputError, match=message) as caught:
        point_of(replace(MIXED, **changes))
    assert "\n" not in str(caught.value)


def test_a_dead_receiver_finds_nothing():
    def dead(waveform, launch_power_dbm):
        return np.zeros_like(waveform)

    with pytest.raises(InputError, match=r"symbols: not found .*coherence 0\.000"):
        blind_on_waveform.receive(dead, 0, MIXED.waveform, MIXED)
    with pytest.raises(InputError, match="receiver = 'nobody': must be 'genie' or 'blind'"):
        dbp.evaluate_waveform(Nothing(), MIXED, link=SHORT, receiver="nobody")


@pytest.mark.parametrize("size", [40, 700, PERIOD])
def test_the_start_of_a_stream_is_found_in_any_period(size):
    sent = drawn(size, 4, "qpsk")
    samples = np.repeat(np.roll(np.tile(sent, 1 + 4000 // size), -33)[None], 2, axis=-1)
    found = blind.locate(1j * samples, sent)
    assert found.is_found and found.index == 33 % size
    assert found.coherence == pytest.approx(1, abs=1e-4)
    assert not blind.locate(samples, drawn(PERIOD, 7, "qpsk")).is_found
