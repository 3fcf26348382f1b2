"""Filters shifted by constant phases: the same receiver as floats, a smaller error in few bits."""

import numpy as np
import pytest

from dbp import config
from dbp.datapath.design import Design
from dbp.learning import export, least_squares
from dbp.learning.constant_phases import with_constant_phases

LINK = config.Link()
OMEGA = np.linspace(0, 0.525 * np.pi, 200)


def response(taps):
    return np.exp(-1j * np.outer(OMEGA, np.arange(taps.size) - taps.size // 2)) @ taps


def rounded(design: Design):
    """Taps of all filters as fractions."""
    for filter_ in design.filters:
        half = (
            np.array(filter_.half_taps_i) + 1j * np.array(filter_.half_taps_q)
        ) / 2.0**filter_.shift
        yield np.concatenate((half, half[-2::-1]))


def error_db(floats, formats):
    """Of the product of all rounded responses, relative to that of the exact ones."""
    design = export.export(floats, formats, config.Datapath())
    exact, product = (
        np.prod([response(taps) for taps in chain], axis=0)
        for chain in (floats.taps, rounded(design))
    )
    return 10 * np.log10(np.mean(np.abs(product / exact - 1) ** 2))


@pytest.mark.parametrize("offset_km", [0.0, 14.8])
@pytest.mark.parametrize(("bits", "least_gain_db"), [(9, 20), (8, 20), (6, 10)])
def test_errors_of_rounding_make_up_for_each_other(offset_km, bits, least_gain_db):
    formats = config.Baseline(coefficient_bits=bits, rotation_offset_km=offset_km)
    plain = least_squares.unlearned_filters(formats, LINK)
    assert (
        error_db(with_constant_phases(plain, formats), formats)
        < error_db(plain, formats) - least_gain_db
    )


def test_only_constant_phases_are_added():
    formats = config.Baseline()
    plain = least_squares.unlearned_filters(formats, LINK)
    shifted = with_constant_phases(plain, formats)
    factors = [b / a for a, b in zip(plain.taps, shifted.taps, strict=True)]
    assert all(np.ptp(np.angle(factor)) < 1e-9 for factor in factors)
    np.testing.assert_allclose(np.abs(np.concatenate(factors)), 1, atol=1e-12)
    assert len({round(float(np.angle(factor[0])), 6) for factor in factors}) > 10
    np.testing.assert_array_equal(shifted.kerr_rad_per_mw, plain.kerr_rad_per_mw)
    # Rotations at the amplifiers: the last filter is the single tap 1.
    np.testing.assert_array_equal(shifted.taps[-1], [1])
