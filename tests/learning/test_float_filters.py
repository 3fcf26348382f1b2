"""LS-CO filters against numerical integration, and the file that carries float filters."""

import numpy as np
import pytest
from scipy import integrate

from dbp import config
from dbp.errors import InputError
from dbp.learning import least_squares
from dbp.learning.float_filters import FloatFilters
from dbp.link import closed_forms

LINK = config.Link()
KAPPA = least_squares.dispersion(LINK, 100.0)


def response(taps, w):
    n = np.arange(taps.size) - taps.size // 2
    return np.exp(-1j * np.multiply.outer(w, n)) @ taps


def mean_square(function, low, high):
    """Mean of \\|function\\|^2 over low..high and -high..-low, by Simpson's rule."""
    w = np.linspace(low, high, 1001)
    square = np.abs(function(w)) ** 2 + np.abs(function(-w)) ** 2
    return integrate.simpson(square, x=w) / (2 * (high - low))


def in_band_error(taps, kappa, bandwidth):
    error = lambda w: response(taps, w) - np.exp(-1j * kappa * w**2)  # noqa: E731
    return mean_square(error, 0, np.pi * bandwidth)


def out_of_band_gain(taps, bandwidth):
    return mean_square(lambda w: response(taps, w), np.pi * bandwidth, np.pi)


def test_dispersion_is_that_of_the_fibre():
    # At the edge of the sampling band, 20 GHz: pi D lambda^2 L f^2 / c.
    phase = np.pi * 17e-6 * 1550e-9**2 * 100e3 * 20e9**2 / 299792458
    assert KAPPA * np.pi**2 == pytest.approx(-phase, rel=1e-6)


@pytest.mark.parametrize("kappa", [KAPPA, -KAPPA, KAPPA / 100, 1e-5, 0.0])
@pytest.mark.parametrize("edge", [0.5 * np.pi, np.pi])
def test_in_band_transform_is_its_integral(kappa, edge):
    n = np.arange(-20, 21)
    w = np.linspace(-edge, edge, 20001)
    integrand = np.exp(-1j * kappa * w**2 + 1j * np.multiply.outer(n, w)) / (2 * np.pi)
    expected = integrate.simpson(integrand, x=w)
    np.testing.assert_allclose(
        least_squares._in_band_transform(kappa, edge, n), expected, atol=1e-9
    )


@pytest.mark.parametrize(
    ("taps", "bandwidth", "gain"), [(25, 0.525, 0.3), (15, 0.6, 0.1), (5, 0.5, 0.5)]
)
def test_least_squares_filter_is_the_best_within_its_gain(taps, bandwidth, gain):
    h = least_squares.least_squares(KAPPA, taps, bandwidth, gain)
    np.testing.assert_array_equal(h, h[::-1])
    assert out_of_band_gain(h, bandwidth) == pytest.approx(gain, rel=1e-6)
    error = in_band_error(h, KAPPA, bandwidth)
    generator = np.random.default_rng(1)
    for size in (1e-1, 1e-3):
        for _ in range(50):
            other = h + size * generator.normal(size=(taps, 2)).view(np.complex128)[:, 0]
            # Scaled back to the bound: both mean squares are quadratic in the taps.
            other *= min(1, np.sqrt(gain / out_of_band_gain(other, bandwidth)))
            assert in_band_error(other, KAPPA, bandwidth) > error


def test_a_loose_bound_leaves_plain_least_squares():
    h = least_squares.least_squares(KAPPA, 7, 0.8, 10.0)
    assert out_of_band_gain(h, 0.8) < 10
    tight = least_squares.least_squares(KAPPA, 7, 0.8, 0.2)
    assert in_band_error(h, KAPPA, 0.8) < in_band_error(tight, KAPPA, 0.8)


def test_error_of_the_papers_baseline():
    # Without a bound 25 taps approximate a span almost perfectly; the bound costs in-band error.
    errors = [
        in_band_error(least_squares.least_squares(KAPPA, 25, 0.525, g), KAPPA, 0.525)
        for g in (0.1, 0.3, 0.5)
    ]
    assert errors[0] > 10 * errors[1] > 100 * errors[2]


def test_full_band_is_the_truncated_inverse_transform():
    h = least_squares.least_squares(KAPPA, 41, 1.0, 1.0)
    expected = least_squares._in_band_transform(KAPPA, np.pi, np.arange(-20, 21))
    np.testing.assert_allclose(h, expected, atol=1e-12)


def test_no_dispersion_needs_no_filter():
    np.testing.assert_allclose(least_squares.least_squares(0.0, 3, 1.0, 1.0), [0, 1, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("offset_km", "lengths"), [(0.0, (25, 25, 1)), (14.8, (23, 25, 5)), (100.0, (1, 25, 25))]
)
def test_receiver_undoes_every_kilometre_once(offset_km, lengths):
    baseline = config.Baseline(rotation_offset_km=offset_km, kerr_scale=0.9)
    receiver = least_squares.unlearned_filters(baseline, LINK)
    assert len(receiver.taps) == 33
    assert (receiver.taps[0].size, receiver.taps[1].size, receiver.taps[-1].size) == lengths
    # Along a frequency inside the band the phases of all filters add up to that of the link.
    total = np.prod([response(taps, np.array([0.3])) for taps in receiver.taps])
    expected = np.exp(-1j * KAPPA * 32 * 0.3**2)
    assert abs(np.angle(total / expected)) < 0.35
    effective_km = closed_forms.span(LINK).effective_length_km
    assert receiver.kerr_rad_per_mw.shape == (32, 1)
    np.testing.assert_allclose(receiver.kerr_rad_per_mw, -0.9 * 1.3e-3 * effective_km)
    longer = baseline.model_copy(update={"taps": 31})
    assert least_squares.unlearned_filters(longer, LINK).taps[1].size == 31


def test_filters_come_back_from_their_file(tmp_path):
    receiver = least_squares.unlearned_filters(config.Baseline(rotation_offset_km=14.8), LINK)
    receiver.save(tmp_path / "float.npz")
    loaded = FloatFilters.load(tmp_path / "float.npz")
    assert len(loaded.taps) == 33
    for a, b in zip(loaded.taps, receiver.taps, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(loaded.kerr_rad_per_mw, receiver.kerr_rad_per_mw)


ONE, KERR = np.ones(1, np.complex128), np.zeros((1, 1))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"filter_0": ONE, "kerr_rad_per_mw": KERR}, "one rotation fewer"),
        ({"filter_0": ONE, "filter_2": ONE, "kerr_rad_per_mw": KERR}, "fields"),
        ({"filter_0": ONE, "filter_1": ONE, "kerr_rad_per_mw": KERR[0]}, "1..64"),
        ({"filter_0": ONE, "filter_1": ONE, "kerr_rad_per_mw": np.zeros((1, 65))}, "1..64"),
        ({"filter_0": ONE, "filter_1": ONE}, "fields"),
        ({"filter_0": np.ones(2, complex), "filter_1": ONE, "kerr_rad_per_mw": KERR}, "odd"),
        ({"filter_0": np.arange(3) + 0j, "filter_1": ONE, "kerr_rad_per_mw": KERR}, "symmetric"),
        ({"filter_0": ONE * np.nan, "filter_1": ONE, "kerr_rad_per_mw": KERR}, "finite"),
        ({"filter_0": ONE.real, "filter_1": ONE, "kerr_rad_per_mw": KERR}, "complex128"),
        ({"filter_0": ONE, "filter_1": ONE, "kerr_rad_per_mw": KERR + np.inf}, "finite"),
        ({"filter_0": ONE, "filter_1": ONE, "kerr_rad_per_mw": np.array(["a"])}, "float64"),
        ({"filter_0": np.array([{}]), "filter_1": ONE, "kerr_rad_per_mw": KERR}, "readable"),
        ({}, "fields"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, arrays, words):
    path = tmp_path / "float.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=words) as caught:
        FloatFilters.load(path)
    assert str(path) in str(caught.value)


def test_a_truncated_or_missing_file_is_refused(tmp_path):
    path = tmp_path / "float.npz"
    FloatFilters((ONE, ONE), KERR).save(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match=r"cannot be read|readable"):
        FloatFilters.load(path)
    with pytest.raises(InputError, match=r"cannot be read|readable"):
        FloatFilters.load(tmp_path / "missing.npz")
