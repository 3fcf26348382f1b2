"""The evaluation against the theory of AWGN, and its rules of counting."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from helpers.awgn import AWGN, Plain, power_for
from scipy import stats

from dbp import config
from dbp.datapath import golden
from dbp.datapath.design import Design, Filter, Rotation, launch_power_uw
from dbp.errors import InputError
from dbp.evaluation import counting, groups, measures, plot
from dbp.evaluation.intervals import interval
from dbp.evaluation.receivers import FixedReceiver, FloatReceiver, Reference
from dbp.learning import least_squares
from dbp.learning.float_filters import FloatFilters
from dbp.link import modulation, transmission
from dbp.support.svg import to_svg

LIMITS = {"min_errors": 10**9, "max_bits": 200_000, "seed": 3}


@pytest.mark.parametrize(("name", "snr_db"), [("qpsk", 6.0), ("16qam", 13.0), ("64qam", 18.0)])
def test_awgn_agrees_with_theory(name, snr_db):
    settings = AWGN.model_copy(update={"modulation": name})
    (point,) = counting.evaluate([Plain()], settings, [power_for(settings, snr_db)], **LIMITS)
    theory = modulation.bit_error_ratio_awgn(name, 10 ** (snr_db / 10))
    assert point.errors > 400
    assert point.ber_low < theory < point.ber_high
    # The best gain leaves the error of the minimum mean square: 1 + SNR.
    assert point.snr_db == pytest.approx(10 * np.log10(1 + 10 ** (snr_db / 10)), abs=0.06)


@pytest.mark.parametrize(("bits", "ratio"), [(100, 0.03), (2000, 0.001), (2000, 0.2), (50, 0.5)])
def test_interval_covers_what_it_claims(bits, ratio):
    errors = np.arange(bits + 1)
    intervals = np.array([interval(k, bits) for k in errors])
    inside = (intervals[:, 0] <= ratio) & (ratio <= intervals[:, 1])
    coverage = stats.binom.pmf(errors, bits, ratio)[inside].sum()
    assert 0.95 <= coverage < 0.995


def test_no_errors_give_an_upper_bound():
    low, high = interval(0, 1000)
    assert low == 0 and (1 - high) ** 1000 == pytest.approx(0.025)
    (point,) = counting.evaluate([Plain()], AWGN, [power_for(AWGN, 30.0)], **LIMITS)
    assert point.errors == 0 == point.ber == point.ber_low < point.ber_high < 1e-4


def test_counting_stops_by_rule_and_does_not_depend_on_other_receivers():
    power = power_for(AWGN, 13.0)
    group_bits = 8192 * 4

    def evaluate(receivers, min_errors=10**9, max_bits=200_000, powers=(power,)):
        return counting.evaluate(
            receivers, AWGN, powers, min_errors=min_errors, max_bits=max_bits, seed=3
        )

    (whole,) = evaluate([Plain()])
    assert whole.bits == 6 * group_bits <= 200_000
    (one,) = evaluate([Plain()], max_bits=1000)
    assert one.bits == group_bits
    (enough,) = evaluate([Plain()], min_errors=one.errors + 1)
    assert enough.bits == 2 * group_bits
    worse = Plain("worse", lambda waveform: waveform + 0.3 * np.roll(waveform, 2, axis=-1))
    points = evaluate([worse, Plain()], min_errors=one.errors + 1, powers=(power - 2, power))
    assert points[3] == enough
    assert [p.design for p in points] == ["worse", "plain"] * 2
    assert points[2].bits == group_bits and points[2].errors > one.errors


@pytest.mark.parametrize(("block_symbols", "blocks"), [(1024, 8), (3000, 3), (16384, 1)])
def test_every_block_of_the_seed_is_heard_once_and_in_order(block_symbols, blocks):
    settings = AWGN.model_copy(update={"block_symbols": block_symbols})
    scenario = groups.Scenario(settings, 0.0, 7)
    assert scenario.group_blocks == blocks
    heard = []

    def listen(waveform):
        heard.append(waveform)
        return waveform

    chunks = -(-5 // scenario.chunk_groups)
    for chunk in range(chunks):
        receivers = [Plain("ear", listen)]
        groups.count(scenario, receivers, chunk, groups.identity(scenario, receivers))
    count = chunks * scenario.chunk_groups * blocks
    expected = transmission.simulate(settings, 0.0, count, seed=7, purpose="evaluate").waveform
    np.testing.assert_array_equal(np.concatenate(heard), expected)
    assert all(group.shape == (blocks, 2 * block_symbols) for group in heard)


def test_the_phase_is_constant_over_a_group():
    def turn_a_block(waveform):
        return waveform * np.exp(1j * np.where(np.arange(len(waveform)) == 0, 0.5, 0.0))[:, None]

    everything = Plain("all", lambda waveform: waveform * 3 * np.exp(2j))
    receivers = [Plain(), everything, Plain("one", turn_a_block)]
    plain, all_turned, one = counting.evaluate(receivers, AWGN, [power_for(AWGN, 16.0)], **LIMITS)
    assert all_turned.errors == plain.errors
    assert all_turned.snr_db == pytest.approx(plain.snr_db, abs=1e-4)
    assert one.snr_db < plain.snr_db - 1


def test_a_dead_receiver_is_counted():
    dead = Plain("dead", np.zeros_like)
    (point,) = counting.evaluate([dead], AWGN, [0.0], **LIMITS)
    assert point.ber == pytest.approx(0.5, abs=0.01) and point.snr_db == 0


def test_no_noise_has_the_snr_of_the_arithmetic():
    lossless = AWGN.model_copy(update={"attenuation_db_per_km": 0.0, "precision": "complex128"})
    (point,) = counting.evaluate([Reference("linear", lossless)], lossless, [0.0], **LIMITS)
    assert point.errors == 0 and 120 < point.snr_db < 157


def test_what_cannot_be_evaluated_is_refused():
    with pytest.raises(InputError, match="names must differ"):
        counting.evaluate([Plain(), Plain()], AWGN, [0.0], **LIMITS)
    gaussian = AWGN.model_copy(update={"modulation": "gaussian"})
    with pytest.raises(InputError, match="modulation"):
        counting.evaluate([Plain()], gaussian, [0.0], **LIMITS)


def precise(float_filters, uw_at_one_mw=1000):
    """The same receiver in 16-bit arithmetic: a Design that should hardly differ from floats."""
    loading = 0.1  # rms of a quadrature over full scale
    chain = []
    for taps in float_filters.taps:
        half = np.round(taps[: taps.size // 2 + 1] * 2**14)
        i, q = (tuple(map(int, part)) for part in (half.real, half.imag))
        chain.append(Filter(16, 14, 16, i, q))
    # |x|^2 = 1 is the code 2 loading^2 2^30; phi has 15 fractional bits, so that K in units of
    # 2^(15 + phase_shift - 30) / (2 loading^2) rad.
    rotations = []
    for (phase,) in float_filters.kerr_rad_per_mw:
        scale = 2.0 ** (15 + 26 - 30) / (2 * loading**2)
        gain = round(phase * scale * 2**8 / uw_at_one_mw)
        rotations.append(Rotation(16, 0, 16, (gain,), 8, 26, 16, 15, 1, 16))
    return Design("precise", 16, round(1000 * loading), tuple(chain), tuple(rotations))


def test_fixed_receiver_of_high_precision_equals_the_float_receiver():
    settings = config.Link(spans=2, block_symbols=512, steps_per_span=8)
    baseline = config.Baseline(rotation_offset_km=14.8)
    floats = least_squares.unlearned_filters(baseline, settings)
    received = transmission.simulate(settings, 3.0, 16, seed=1, purpose="evaluate")
    one = FloatReceiver("float", floats)(received.waveform, 3.0)
    fixed = FixedReceiver("fixed", precise(floats))(received.waveform, 3.0)
    without_kerr = FloatFilters(floats.taps, floats.kerr_rad_per_mw * 0)
    linear = FloatReceiver("linear", without_kerr)(received.waveform, 3.0)

    def error_db(other):
        gain = np.mean(np.abs(one)) / np.mean(np.abs(other))
        return 10 * np.log10(np.mean(np.abs(gain * other - one) ** 2) / np.mean(np.abs(one) ** 2))

    # The first-order rotation leaves phi^2 / 2 of phi, which is 0.06 rad at the mean power.
    assert error_db(linear) > -20 and error_db(fixed) < -38


def test_fixed_receiver_has_no_edges():
    # A waveform of constant modulus keeps its rms when it is turned round, so that the receiver's
    # output must turn round with it, exactly.
    phases = np.random.default_rng(1).uniform(0, 2 * np.pi, (2, 256))
    waveform = np.exp(1j * phases)
    settings = config.Link(spans=3)
    design = precise(least_squares.unlearned_filters(config.Baseline(), settings))
    assert design.delay == 36
    receive = FixedReceiver("design", design)
    out = receive(waveform, 0.0)
    assert np.unique(np.abs(out)).size > 100
    np.testing.assert_array_equal(receive(np.roll(waveform, 50, -1), 0.0), np.roll(out, 50, -1))
    np.testing.assert_array_equal(receive(waveform[::-1], 0.0), out[::-1])
    # Against the golden model on the second period of a repeated block.
    twice = golden.convert(np.tile(waveform[0], 2), design)
    i, q = golden.receive(design, twice, launch_power_uw(0.0))
    np.testing.assert_array_equal(np.roll((i + 1j * q)[256:], -36), out[0])
    # Blocks shorter than the receiver's memory wrap several times.
    short = receive(waveform[:, :32], 0.0)
    tiled = receive(np.tile(waveform[:, :32], 8), 0.0)
    np.testing.assert_array_equal(short, tiled[:, :32])


def test_float_receiver_undoes_the_linear_link():
    settings = config.Link(spans=8, nonlinearity_per_w_km=0.0, steps_per_span=1, block_symbols=512)
    baseline = config.Baseline(taps=61, out_of_band_gain=0.9, bandwidth=0.6)
    floats = FloatReceiver("floats", least_squares.unlearned_filters(baseline, settings))
    power = power_for(settings, 15.0)
    ours, ideal = counting.evaluate(
        [floats, Reference("linear", settings)], settings, [power], **LIMITS
    )
    assert ours.snr_db == pytest.approx(ideal.snr_db, abs=0.1)
    assert ideal.snr_db == pytest.approx(10 * np.log10(1 + 10**1.5), abs=0.1)


@pytest.mark.slow
def test_figures_are_drawn():
    plain = Plain("a & b")
    points = counting.evaluate(
        [plain], AWGN, [power_for(AWGN, snr) for snr in (10.0, 30.0)], **LIMITS
    )
    rows = [point.row() for point in points]
    assert list(rows[0])[:4] == ["design", "arithmetic", "launch_power_dbm", "bits"]
    assert json.dumps(rows)
    drawing = to_svg(plot.ber_and_snr(points))
    ElementTree.fromstring(drawing)
    assert "<!-- a &amp; b, float -->" in drawing
    assert drawing == to_svg(plot.ber_and_snr(points))


def test_effective_snr_is_that_of_the_best_gain():
    rng = np.random.default_rng(9)
    sent, noise = rng.normal(size=(2, 4, 50_000, 2)).view(np.complex128)[..., 0]
    received = (0.3 - 0.4j) * (sent + 0.1 * noise)
    # E|x - c y|^2 with the c that makes it least: |x|^2 |n|^2 / (|x|^2 + |n|^2).
    expected = 10 * np.log10(1.01 / 0.01)
    assert measures.effective_snr_db(sent, received) == pytest.approx(expected, abs=0.05)
