"""Any number of rotations per span: where they sit, how long filters are, and what is learned."""

import itertools
import math

import numpy as np
import pytest
from helpers.learning import settings
from scipy import integrate

import dbp
from dbp import config
from dbp.errors import InputError
from dbp.evaluation import groups
from dbp.evaluation.measures import effective_snr_db
from dbp.evaluation.receivers import FloatReceiver
from dbp.learning import training
from dbp.learning.export import export
from dbp.learning.float_filters import FloatFilters
from dbp.learning.layout import Layout
from dbp.learning.least_squares import unlearned_filters
from dbp.link import closed_forms, transmission

RATES = ["1", "2", "3", "1/2", "3/2", "1/4"]


def learned(rate, **keys):
    link = config.Link(spans=4)
    content = {"link": link.model_dump(), "learned": {"rotations_per_span": rate, **keys}}
    return config.checked(content).learned, link


@pytest.mark.parametrize("rate", RATES)
def test_every_kilometre_and_all_of_the_kerr_phase_are_undone_once(rate):
    filters, link = learned(rate)
    layout = Layout.of(filters, link)
    rotations = int(4 * filters.rotation_rate)
    assert len(layout.lengths_km) == len(layout.taps) == rotations + 1
    assert sum(layout.lengths_km) == pytest.approx(400)
    assert sum(layout.kerr_spans) == pytest.approx(4)
    chain = unlearned_filters(filters, link)
    expected = -1e-3 * 4 * closed_forms.kerr_rad_per_w(link)
    assert chain.kerr_rad_per_mw.sum() == pytest.approx(expected)
    # The receiver begins at the end of the link.
    period = config.period(filters, link)
    assert layout.lengths_km[0] == period.length_km - period.places_km[-1]
    assert layout.lengths_km[-1] == period.places_km[0]


def test_one_rotation_a_span_is_what_it_was():
    filters, link = learned("1")
    assert Layout.of(filters, link) == Layout(
        (100 - 14.8, 100.0, 100.0, 100.0, 14.8), (100.0,) * 5, (15,) * 5, (1.0,) * 4, (0,) * 4
    )


def test_two_rotations_a_span():
    filters, link = learned("2", rotation_offset_km=[8.0, 35.0])
    layout = Layout.of(filters, link)
    assert layout.lengths_km[:4] == (65.0, 27.0, 73.0, 27.0)
    # 3 taps for the edges, and 12 times the share of a span: 11.76 and 6.24.
    assert layout.taps == (13, 7, 13, 7, 13, 7, 13, 7, 13)
    # A piece of fibre ends half way to the next rotation, 21.5 km here, and 71.5 km.
    loss = 0.2 * math.log(10) / 10

    def phase(start, end):
        return integrate.quad(lambda z: math.exp(-loss * (z % 100)), start, end, points=[100])[0]

    whole = phase(0, 100)
    near = (phase(0, 21.5) + phase(71.5, 100)) / whole
    assert layout.kerr_spans[:2] == pytest.approx((1 - near, near))
    assert layout.kinds[:4] == (1, 0, 1, 0)


@pytest.mark.parametrize(("taps", "gap_km", "length"), [(15, 200, 27), (15, 100, 15), (1, 10, 1)])
def test_a_length_for_a_span_tells_that_of_any_gap(taps, gap_km, length):
    assert config._rotations.taps_for(gap_km, taps, 100.0) == length


@pytest.mark.parametrize("rate", ["1", "2", "3"])
def test_default_places_are_the_least_way_off(rate):
    """By brute force: no rotation moved by a kilometre makes the mean way shorter."""
    filters, link = learned(rate)
    places = config._rotations.default_places_km(filters.rotation_rate, link)
    z = np.linspace(0, 100, 4001)
    power = np.exp(-0.2 * np.log(10) / 10 * z)

    def way(of):
        return power @ np.abs(z[:, None] - np.array(of)).min(1)

    for k in range(len(places)):
        for move in (-1.0, 1.0):
            moved = [place + move * (n == k) for n, place in enumerate(places)]
            assert way(moved) > way(places)
    assert rate != "1" or places == (14.8,)


def test_rotations_that_a_length_or_a_key_does_not_fit_are_refused():
    filters = unlearned_filters(*learned("1"))
    with pytest.raises(InputError, match=r"rotations_per_span = 3: .* 4 rotations are whole"):
        dbp.quantize(filters, rotations_per_span=3)
    with pytest.raises(InputError, match=r"filters: 5 of 5/13/15 taps .* must be 9 of 7/13"):
        dbp.learn(config.Link(spans=4), filters=filters, rotations_per_span=2, taps=15)


def test_more_rotations_undo_more():
    """Filters of any length, no noise: what is left is what rotations miss."""
    link = config.Link(
        spans=4, span_km=60.0, steps_per_span=8, noise_figure_db=-50.0, block_symbols=256
    )
    sent = transmission.simulate(link, 6.0, 8, seed=1, purpose="evaluate", progress=False)
    snrs = []
    for rate in ("1/2", "1", "2"):
        keys = {"rotations_per_span": rate, "taps": 101, "bandwidth": 0.9, "out_of_band_gain": 1.0}
        of = config.checked({"link": link.model_dump(), "learned": keys}).learned
        receiver = FloatReceiver("ideal", unlearned_filters(of, link))
        snrs.append(effective_snr_db(sent.symbols, groups.detect(link, receiver, sent)))
    assert all(more > fewer + 3 for fewer, more in itertools.pairwise(snrs)), snrs


def test_each_kind_of_rotation_has_formats_of_its_own():
    of = settings("2", rotations_per_span="2", kerr_taps=1)
    design = export(unlearned_filters(of.learned, of.link), of.learned, of.datapath)
    far, near = design.rotations[0], design.rotations[1]
    assert design.rotations[2:4] == (far, near)
    # 0.32 and 0.68 of the phase of a span: a bit less of phi, and a shift finer by one bit.
    assert (far.phase_bits, near.phase_bits) == (7, 8)
    assert far.phase_shift == near.phase_shift + 1
    for rotation in (far, near):
        power_uw = 10 ** (of.datapath.max_launch_power_dbm / 10) * 1000
        assert not rotation.kerr_saturates(int(power_uw))
        assert abs(rotation.kerr(int(power_uw))[0]) >= 256
    every_second = settings("2", rotations_per_span="1/2")
    floats = unlearned_filters(every_second.learned, every_second.link)
    (first, *_) = export(floats, every_second.learned, every_second.datapath).rotations
    assert first.phase_bits == 9


def test_learning_two_rotations_a_span_beats_one(tmp_path):
    one, two = (settings("2", kerr_taps=1, rotations_per_span=rate, taps=9) for rate in "12")
    single = training.train(one)
    double = training.train(two, tmp_path / "checkpoint.npz")
    assert double.snr_db_float > single.snr_db_float + 0.3
    layout = Layout.of(two.learned, two.link)
    assert [filter_.taps for filter_ in double.design.filters] == list(layout.taps)
    assert training.validated_snr_db(double.design, two) == double.snr_db_quantized
    # A finished run is read back from its checkpoint.
    again = training.train(two, tmp_path / "checkpoint.npz")
    assert again.design == double.design and again.filters.hash == double.filters.hash
    # Filters say themselves how many there are and how long.
    filters = FloatFilters.from_arrays(double.filters.arrays())
    quantized = dbp.learn(settings=two, filters=filters, signal_iterations=0, tap_iterations=1)
    assert [f.taps for f in quantized.filters] == list(layout.taps)
