"""Watts of receivers of FFT filters and rotations: an estimate, held to its closed forms."""

import math

import pytest

from dbp.cli import _fft_receivers
from dbp.config import Link
from dbp.datapath import overlap_save
from dbp.errors import InputError
from dbp.synthesis import fft_receiver, linear_equalizer
from dbp.synthesis.stages import CLOCK_MHZ

LINK = Link()
FIBRE = fft_receiver.Fibre(LINK.dispersion_ps_per_nm_km * 3200, LINK.wavelength_nm, 22.0, 40.0)


def estimate(pieces, weights=(), kit="nangate45", lanes=96):
    return fft_receiver.estimate(FIBRE, pieces, weights, kit, lanes)


@pytest.mark.parametrize(
    ("kit", "power_w", "area_mm2"), [("nangate45", 2.37, 3.07), ("asap7", 0.455, 0.233)]
)
def test_one_filter_without_rotation_is_linear_compensation(kit, power_w, area_mm2):
    """The very figures of `linear_equalizer` for the link's equaliser, and those of its page."""
    found = estimate([1.0], kit=kit)
    costs = fft_receiver.operation_costs(kit)
    wanted = linear_equalizer.total(overlap_save.of_link(LINK), costs, 96, CLOCK_MHZ, kit)
    assert found.filters == (wanted,)
    assert (found.power_w, found.area_mm2) == (wanted.power_w, wanted.area_mm2)
    assert found.power_w == pytest.approx(power_w, rel=0.005)
    assert found.area_mm2 == pytest.approx(area_mm2, rel=0.005)
    assert _fft_receivers.estimate("linear", LINK, kit) == found


@pytest.mark.parametrize("pieces", [[1.0], 4 * [0.25], 32 * [1 / 32]])
def test_operations_per_sample_are_those_of_two_transforms(pieces):
    for each in estimate(pieces).filters:
        n, new = each.size, each.size - each.overlap
        radix_4, radix_2 = divmod(int(math.log2(n)), 2)
        counted = each.operations_per_sample
        assert counted["butterflies_4"] == pytest.approx(2 * radix_4 * n / 4 / new)
        assert counted["butterflies_2"] == pytest.approx(2 * radix_2 * n / 2 / new)
        assert counted["responses"] == pytest.approx(n / new)
        # Every word but the first of each butterfly, in each stage but the last: less by 1 and j.
        most = 2 * (radix_4 + radix_2 - 1) * n * 3 / 4 / new
        assert 0.5 * most < counted["fixed_twiddles"] + counted["changing_twiddles"] < most


def test_an_estimate_is_the_sum_of_its_parts():
    whole = estimate([0.25, 0.5, 0.25], [9, 17])
    ends, middle = estimate([0.25, 0.75]).filters[0], estimate([0.5, 0.5]).filters[0]
    filters_w = 2 * ends.power_w + middle.power_w
    assert whole.power_w == pytest.approx(filters_w + whole.rotations_w)
    assert whole.rotations_w == pytest.approx(
        estimate([0.5, 0.5], [9]).rotations_w + estimate([0.5, 0.5], [17]).rotations_w
    )
    assert whole.area_mm2 == pytest.approx(
        2 * ends.area_mm2 + middle.area_mm2 + whole.rotations_mm2
    )
    assert 0 < whole.leakage_w < 0.1 * whole.power_w


def test_each_filter_has_the_transform_of_least_power():
    (found,) = estimate([1.0]).filters
    costs = fft_receiver.operation_costs("nangate45")
    for size in (512, 2048, 4096):
        other = linear_equalizer.total(
            overlap_save.of_link(LINK, size), costs, 96, CLOCK_MHZ, "nangate45"
        )
        assert other.power_w > found.power_w


def test_more_weights_and_more_steps_take_more():
    rotations = [estimate([0.5, 0.5], [taps]).rotations_w for taps in (1, 9, 33, 129)]
    assert rotations == sorted(rotations)
    watts = [
        _fft_receivers.estimate(name, LINK, "nangate45").power_w
        for name in ("linear", "essfm2", "essfm4", "essfm8", "essfm32", "dbp2")
    ]
    assert watts == sorted(watts)


def test_steps_share_the_dispersion():
    assert _fft_receivers.steps("linear", LINK) == ([1.0], [])
    pieces, weights = _fft_receivers.steps("dbp2", LINK)
    assert (len(pieces), weights) == (64, 64 * [1])
    assert sum(pieces) == pytest.approx(1)
    pieces, weights = _fft_receivers.steps("essfm8", LINK)
    assert pieces == [1 / 16, *(7 * [1 / 8]), 1 / 16]
    # The weights of docs/results/few_steps.md.
    assert weights == 8 * [33]


def test_a_kit_without_operations_is_refused():
    with pytest.raises(InputError, match=r"kit = 'sky130hd': .* must be asap7 or nangate45"):
        estimate([1.0], kit="sky130hd")
