"""Constellations, pulse and decisions against their definitions and the theory of AWGN."""

import itertools

import numpy as np
import pytest
from scipy import stats

from dbp.link import modulation

QAM = ["qpsk", "16qam", "64qam"]


@pytest.mark.parametrize("name", QAM)
def test_constellation_has_unit_mean_power_and_gray_labels(name):
    points = modulation.constellation(name)
    assert points.size == 2 ** modulation.bits_per_symbol(name) == len(set(points))
    assert np.mean(np.abs(points) ** 2) == pytest.approx(1, abs=1e-12)
    distance = np.abs(points[:, None] - points)
    nearest = distance[distance > 0].min()
    pairs = [p for p in itertools.combinations(range(points.size), 2)]
    neighbors = [(a, b) for a, b in pairs if distance[a, b] < 1.01 * nearest]
    side = int(np.sqrt(points.size))
    assert len(neighbors) == 2 * side * (side - 1)
    assert all((a ^ b).bit_count() == 1 for a, b in neighbors)


@pytest.mark.parametrize("name", QAM)
def test_decisions_are_the_nearest_points(name):
    generator = np.random.default_rng(1)
    received = generator.normal(size=(7, 400, 2)).view(np.complex128)[..., 0]
    points = modulation.constellation(name)
    nearest = np.abs(received[..., None] - points).argmin(-1)
    np.testing.assert_array_equal(modulation.decide(name, received), nearest)


def test_bit_errors_are_counted_one_by_one():
    a, b = np.random.default_rng(2).integers(0, 64, (2, 3, 50), dtype=np.uint8)
    expected = sum((int(x) ^ int(y)).bit_count() for x, y in zip(a.flat, b.flat, strict=True))
    assert modulation.bit_errors(a, b) == expected > 0


@pytest.mark.parametrize("name", QAM)
def test_drawn_symbols_are_equiprobable(name):
    symbols, labels = modulation.draw(name, 64000, np.random.default_rng(3))
    points = modulation.constellation(name)
    np.testing.assert_array_equal(symbols, points[labels])
    assert stats.chisquare(np.bincount(labels, minlength=points.size)).pvalue > 1e-3


def test_gaussian_symbols_are_circular_with_unit_mean_power():
    symbols, labels = modulation.draw("gaussian", 100_000, np.random.default_rng(4))
    assert not labels.any()
    assert np.mean(np.abs(symbols) ** 2) == pytest.approx(1, abs=0.02)
    assert abs(np.mean(symbols**2)) < 0.02
    assert stats.kstest(symbols.real * np.sqrt(2), "norm").pvalue > 1e-3


@pytest.mark.parametrize("name", QAM)
@pytest.mark.parametrize("snr_db", [3.0, 8.0, 14.0])
def test_theory_of_awgn_is_the_sum_over_all_decisions(name, snr_db):
    # Independent of the published closed form: probabilities of every pair of labels.
    points = modulation.constellation(name)
    levels = np.unique(points.real.round(12))
    edges = np.concatenate(([-np.inf], (levels[1:] + levels[:-1]) / 2, [np.inf]))
    sigma = np.sqrt(0.5 * 10 ** (-snr_db / 10))
    row = points[: levels.size]  # all labels of one I: Q runs over its levels
    rank = np.searchsorted(levels, row.imag.round(12))
    cumulated = stats.norm.cdf(edges[None, :], row.imag[:, None], sigma)
    decided = np.diff(cumulated, axis=1)[:, rank]
    label = np.arange(levels.size)
    wrong = np.bitwise_xor.outer(label, label)
    bits = sum((wrong >> k) & 1 for k in range(3))
    expected = (decided * bits).sum(1).mean() / (modulation.bits_per_symbol(name) / 2)
    theory = modulation.bit_error_ratio_awgn(name, 10 ** (snr_db / 10))
    assert theory == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", QAM)
@pytest.mark.parametrize("snr_db", [-20.0, 3.0, 18.0, 25.0])
def test_snr_of_a_bit_error_ratio_is_the_inverse_of_the_theory(name, snr_db):
    theory = float(modulation.bit_error_ratio_awgn(name, 10 ** (snr_db / 10)))
    assert 10 * np.log10(modulation.snr_awgn(name, theory)) == pytest.approx(snr_db, abs=1e-6)


def test_snr_of_the_bit_error_ratios_at_the_ends():
    assert modulation.snr_awgn("16qam", 0.0) == np.inf
    assert modulation.snr_awgn("16qam", 0.5) == 0 == modulation.snr_awgn("16qam", 0.6)


@pytest.mark.parametrize(("roll_off", "samples_per_symbol"), [(0.1, 2), (0.1, 6), (1.0, 8)])
def test_pulse_has_no_intersymbol_interference(roll_off, samples_per_symbol):
    response = modulation.root_raised_cosine(roll_off, samples_per_symbol, 64 * samples_per_symbol)
    pulse = np.fft.ifft(response**2).real[::samples_per_symbol] * samples_per_symbol
    np.testing.assert_allclose(pulse, np.eye(64)[0], atol=1e-12)
    frequency = np.abs(np.fft.fftfreq(response.size)) * samples_per_symbol
    assert (response[frequency >= (1 + roll_off) / 2] < 1e-12).all()
    assert response[np.isclose(frequency, 0.5)] == pytest.approx(np.sqrt(0.5))
