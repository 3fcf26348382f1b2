"""Receivers at p/q samples per symbol: detection, references, and figures beside each other."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from helpers.awgn import AWGN, Plain, power_for
from helpers.designs import DESIGN

import dbp
from dbp import config
from dbp.cli._requests import Request, resolve
from dbp.comparison import merit
from dbp.errors import InputError
from dbp.evaluation import counting, groups, on_waveform
from dbp.evaluation.measures import effective_snr_db, matched_filter
from dbp.evaluation.receivers import FixedReceiver, FloatReceiver, Reference
from dbp.learning.least_squares import unlearned_filters
from dbp.link import modulation, transmission
from dbp.waveforms.recording import Recording, read_recording, write_recording
from dbp.waveforms.synchronization import resample, synchronize

ROLL_OFF = 0.05
RATES = [Fraction(2), Fraction(3, 2), Fraction(5, 4), Fraction(7, 6), Fraction(16, 15), Fraction(3)]
LINEAR = config.Link(
    spans=4, nonlinearity_per_w_km=0.0, noise_figure_db=-100.0, steps_per_span=1, block_symbols=240
)


def at(rate, link=LINEAR, **changes):
    return config.link_with(link, {"adc_samples_per_symbol": str(rate), **changes})


def stream(sent, rate, delay=0.0):
    """Pulses of symbols that repeat without end, later by a number of symbols."""
    frequency = np.fft.fftfreq(sent.size * 16, 1 / 16)
    pulse = modulation.root_raised_cosine(ROLL_OFF, 16, sent.size * 16)
    spectrum = np.tile(np.fft.fft(sent), 16) * pulse * np.exp(-2j * np.pi * frequency * delay)
    return resample(np.fft.ifft(spectrum), 16, rate)


@pytest.mark.parametrize("rate", RATES)
def test_the_matched_filter_gives_the_symbols_at_every_ratio(rate):
    # At 5/4 a block of odd length.
    sent = modulation.draw("16qam", 420, np.random.default_rng(1))[0]
    waveform = stream(sent, rate)
    assert waveform.size == 420 * rate
    symbols = matched_filter(waveform, ROLL_OFF, rate)
    sent = sent / np.sqrt(np.mean(np.abs(sent) ** 2))
    np.testing.assert_allclose(symbols, sent, atol=1e-12)


@pytest.mark.parametrize("rate", ["3/2", "5/4"])
def test_references_and_unlearned_filters_undo_the_linear_link(rate):
    link = at(rate)
    received = transmission.simulate(link, 0.0, 8, seed=1, purpose="evaluate", progress=False)
    filters = config.checked({"link": link.model_dump(), "baseline": {"taps": 41}}).baseline
    floats = FloatReceiver("floats", unlearned_filters(filters, link))
    assert floats.samples_per_symbol == link.adc_rate

    def snr_db(receiver):
        return effective_snr_db(received.symbols, groups.detect(link, receiver, received))

    assert snr_db(Reference("linear", link)) > 60
    assert snr_db(Reference("dbp1", link)) > 60
    assert snr_db(floats) > 20


def test_a_frequency_offset_is_found_at_three_halves():
    changes = {"spans": 1, "frequency_offset_mhz": 1000.0, "block_symbols": 1024}
    link = at("3/2", noise_figure_db=5.0, **changes)
    received = transmission.simulate(link, -10.0, 8, seed=1, purpose="evaluate", progress=False)
    symbols = groups.detect(link, Reference("linear", link), received)
    ideal = at("3/2", link, frequency_offset_mhz=0.0)
    beside = transmission.simulate(ideal, -10.0, 8, seed=1, purpose="evaluate", progress=False)
    expected = groups.detect(ideal, Reference("linear", ideal), beside)
    assert effective_snr_db(received.symbols, symbols) == pytest.approx(
        effective_snr_db(beside.symbols, expected), abs=0.3
    )


def test_receivers_of_several_rates_are_counted_beside_each_other():
    design = replace(DESIGN, samples_per_symbol="5/4")
    with pytest.raises(InputError, match=r"works at 5/4 samples per symbol: link\.adc_samples_per"):
        counting.check([FixedReceiver("d", design)], AWGN)
    receivers = [FixedReceiver("d", design), Plain(), FixedReceiver("two", DESIGN)]
    points = counting.evaluate(
        receivers, AWGN, [power_for(AWGN, 12.0)], min_errors=1, max_bits=1, seed=1
    )
    assert [point.design for point in points] == ["d", "plain", "two"]
    assert [point.model_extra["adc_samples_per_symbol"] for point in points] == ["5/4", "2", "2"]
    alone = counting.evaluate(
        receivers[1:], AWGN, [power_for(AWGN, 12.0)], min_errors=1, max_bits=1, seed=1
    )
    assert [point.ber for point in alone] == [point.ber for point in points[1:]]
    assert not alone[0].model_extra


def test_a_waveform_of_another_rate_is_refused_by_name():
    received = dbp.Link(spans=1).transmit(0.0, symbols=1024, progress=False)
    design = dbp.Design.of(replace(DESIGN, samples_per_symbol="3/2"))
    with pytest.raises(InputError, match=r"= 2: must be 3/2 for example: transmit over dbp\.Link"):
        design.receive(received)
    with pytest.raises(InputError, match="= 2: must be 3/2"):
        dbp.simulate("rtl", design, stimulus=received)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("delay", [0.0, 301.37])
def test_symbols_are_found_in_a_stream_of_any_ratio(rate, delay):
    sent = modulation.draw("16qam", 2520, np.random.default_rng(3))[0]
    found = synchronize(lambda x: x, stream(sent, rate, delay), sent, ROLL_OFF, rate)
    assert found.delay_symbols == pytest.approx(delay, abs=1e-3)
    rms = np.sqrt(np.mean(np.abs(sent) ** 2))
    assert found.gain == pytest.approx(1 / rms, abs=1e-3) and found.coherence > 0.9999
    assert effective_snr_db(sent[found.index], found.received) > 50


@pytest.mark.parametrize("rate", ["3/2", "5/4"])
def test_a_file_keeps_its_ratio_and_is_received_at_that_of_the_design(rate, tmp_path):
    sent = modulation.draw("16qam", 2400, np.random.default_rng(3))[0]
    waveform = stream(sent, Fraction(rate))
    given = Recording(waveform, Fraction(rate), 20e9, ROLL_OFF, 0.0, "16qam", sent)
    write_recording(tmp_path / "sent.npz", given)
    recording = read_recording(tmp_path / "sent.npz")
    assert recording.samples_per_symbol == Fraction(rate)
    np.testing.assert_allclose(on_waveform.stream(recording, Fraction(rate)), waveform, atol=1e-12)
    wider = on_waveform.stream(recording, Fraction(2))
    np.testing.assert_allclose(wider, stream(sent, Fraction(2)), atol=1e-12)
    write_recording(tmp_path / "odd.npz", replace(given, samples_per_symbol=1.23))
    with pytest.raises(InputError, match=r"sample_rate_hz = 2.46e\+10: must be an integer up to"):
        read_recording(tmp_path / "odd.npz")


def test_a_memory_in_symbols_follows_the_rate():
    assert on_waveform.memory_symbols(DESIGN) == -(-DESIGN.delay // 2)
    assert on_waveform.memory_symbols(replace(DESIGN, samples_per_symbol="5/4")) == -(
        -DESIGN.delay * 4 // 5
    )
    one, two = (on_waveform.memory_symbols_of_link(at(rate)) for rate in ("5/4", "2"))
    assert one == pytest.approx(two * 5 / 8, abs=1)


def test_one_clock_carries_the_same_bits_at_every_rate():
    from dbp.synthesis.whole_receiver import receiver_lanes

    lanes = {rate: receiver_lanes(Fraction(rate)) for rate in ("2", "3/2", "5/4")}
    assert lanes == {"2": 96, "3/2": 72, "5/4": 60}
    per_bit = {
        merit.energies(count, 1.0, config.Config(), Fraction(rate))["pj_per_bit"]
        for rate, count in lanes.items()
    }
    assert max(per_bit) == pytest.approx(min(per_bit)) == pytest.approx(12.5, rel=1e-3)


def test_lanes_take_the_symbol_rate_at_the_clock():
    from dbp.synthesis.whole_receiver import receiver_lanes

    # 134.4 samples of 28 GBd a clock of 416.7 MHz; of 25 GBd at 500 MHz 100, and no more.
    lanes = [receiver_lanes(Fraction(2), *at) for at in ((28.0,), (25.0, 500.0), (1e-9,))]
    assert lanes == [135, 100, 1]


@pytest.mark.parametrize("given", [None, "demo"])
def test_in_a_plan_each_design_keeps_its_rate_and_the_rest_of_the_link(given, tmp_path):
    names = []
    for name, rate in (("two", "2"), ("less", "3/2")):
        names.append(str(tmp_path / f"{name}.json"))
        replace(DESIGN, name=name, samples_per_symbol=rate).save(names[-1])
    request = Request(designs=[*names, "linear"], config=given)
    plan = resolve(request)
    assert plan.link_keys == ("adc_samples_per_symbol",)
    (told, two), (less_told, less) = plan.links
    assert told == {"adc_samples_per_symbol": "2"} and less_told == {
        "adc_samples_per_symbol": "3/2"
    }
    assert less == at("3/2", two)
    assert [candidate.links for candidate in plan.candidates] == [(0,), (1,), None]
    with pytest.raises(InputError, match="receiver two: works at 2 samples per symbol"):
        resolve(replace(request, sweep={"adc_samples_per_symbol": ("3/2", "5/4")}))
