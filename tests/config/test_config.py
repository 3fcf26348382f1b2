"""Configurations: presets load, and the rest is refused by key, value and what is allowed."""

import re
from fractions import Fraction

import pytest

from dbp import config
from dbp.errors import InputError
from dbp.link.closed_forms import ase_w_per_ghz


@pytest.mark.parametrize("name", ["paper", "demo"])
def test_presets_are_the_papers_link(name):
    link = config.load(name).link
    assert (link.spans, link.span_km, link.symbol_rate_gbd, link.roll_off) == (32, 100, 20, 0.1)
    assert (link.attenuation_db_per_km, link.dispersion_ps_per_nm_km) == (0.2, 17)
    assert (link.nonlinearity_per_w_km, link.noise_figure_db) == (1.3, 5)
    assert link.modulation == "16qam"


@pytest.mark.parametrize("name", ["labptptm1", "labptptm2"])
def test_links_of_public_recordings_have_filters_as_long_as_they_need(name):
    from dbp.learning.filter_length import needed_taps

    settings = config.load(name)
    link, km = settings.link, settings.link.spans * settings.link.span_km
    assert (km, link.symbol_rate_gbd) == {"labptptm1": (815, 28), "labptptm2": (1125, 36)}[name]
    assert link.impairments.dual_polarisation
    # What is stated of the dispersion, in s/m over the link.
    stated = {"labptptm1": 13.6, "labptptm2": 18.451}[name]
    assert 1e-3 * link.dispersion_ps_per_nm_km * km == pytest.approx(stated, rel=2e-3)
    # As the paper's: a few more than the spread.
    assert needed_taps(link) + 2 <= settings.learned.taps <= needed_taps(link) + 8


def test_isit2018_has_the_noise_of_the_authors_code():
    settings = config.load("isit2018")
    link = settings.link
    assert (link.spans, link.span_km, link.symbol_rate_gbd, link.roll_off) == (25, 80, 10.7, 0.1)
    assert link.modulation == "gaussian"
    # "sigma scaling" 2, n_sp = F / 2 / (1 - 1 / G), in W/Hz after all spans.
    gain, hertz = 10 ** (0.2 * 80 / 10), 299792458 / 1550e-9
    emission_factor = 10**0.5 / 2 / (1 - 1 / gain)
    n0 = 2 * 25 * (gain - 1) * 6.6260657e-34 * hertz * emission_factor
    assert 25 * ase_w_per_ghz(link) * 1e-9 == pytest.approx(n0, rel=1e-4)
    assert (settings.learned.taps, settings.learned.rotation_offset_km) == (9, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[link]\nspan_kmm = 80.0", "link.span_kmm: unknown key; the keys here are spans, span_km"),
        ("[lnk]\nspan_km = 80.0", "lnk: unknown key; the keys here are seed, link"),
        ("[link]\nspan_km = -3.0", "link.span_km = -3.0: .* greater than 0"),
        ("[link]\nspan_km = '80 km'", "link.span_km = '80 km': .* number"),
        ("[link]\nspan_km = nan", "link.span_km = nan: .* finite"),
        ("[link]\nmodulation = '8psk'", "link.modulation = '8psk': .*'16qam'"),
        ("[link]\nsamples_per_symbol = 7", "link.samples_per_symbol = 7: must be even"),
        ("[learned]\ntaps = 24", "learned.taps = 24: must be odd"),
        ("[learned]\nkerr_taps = 2", "learned.kerr_taps = 2: must be odd"),
        ("[datapath]\ntaylor_order = 3", "datapath.taylor_order = 3: .* less than or equal to 2"),
        ("[datapath]\ncentre_power = 1", "datapath.centre_power = 1: .* boolean"),
        (
            "[baseline]\nsignal_bits = 14\n[datapath]\nrotation_guard_bits = 3",
            "datapath.rotation_guard_bits = 3: with baseline.signal_bits = 14 at most 16",
        ),
        ("[learned]\ntaps = '15'", "learned.taps = '15': .* integer"),
        (
            "[training]\nblock_symbols = 510",
            "training.block_symbols = 510: Input should be a multiple of 4",
        ),
        ("[baseline]\nrotation_offset_km = 120.0", "must be at most link.span_km = 100.0"),
        ("[learned]\ntaps = [15, 14]", r"learned.taps = \[15, 14\]: must be odd"),
        ("[learned]\ntaps = []", r"learned.taps = \[\]: must be an integer in 1..255, or a list"),
        ("[learned]\ntaps = [15, 13]", "must be one number with learned.rotations_per_span = 1"),
        ("[learned]\nrotations_per_span = 0", 'integer or a text "p/q" .* above 0, with p of at'),
        ("[learned]\nrotations_per_span = '1/3'", "link.spans = 32: must be a multiple of 3 with"),
        ("[learned]\nrotations_per_span = 2\ntaps = [7]", r"taps = \[7\]: must be a list of 2"),
        (
            "[baseline]\nrotations_per_span = 2\nrotation_offset_km = 8.0",
            "baseline.rotation_offset_km = 8.0: must be a list of 2 numbers with",
        ),
        ("[learned]\nrotation_offset_km = [9.0, 9.0]", "or a list of such, ascending"),
        (
            "[learned]\nrotations_per_span = 2\nrotation_offset_km = [0.0, 100.0]",
            "the last must be less than a period behind the first",
        ),
        (
            "[learned]\nrotations_per_span = '1/2'\nrotation_offset_km = 200.5",
            "must be at most 200, the length of the 2 spans",
        ),
        (
            "[learned]\nrotations_per_span = '1/32'",
            "learned.taps = 15: 387 of them over the longest fibre .* must be at most 255",
        ),
        (
            "[link]\nspans = 600\n[learned]\nrotations_per_span = 2",
            "must be at most 1000 rotations in all, has 1200 with link.spans = 600",
        ),
        ("[evaluation]\nlaunch_power_dbm = []", "evaluation.launch_power_dbm = .* at least 1"),
        ("[hardware]\nlanes = 0", "hardware.lanes = 0: .* greater than or equal to 1"),
        ("[hardware]\npdk = '../etc'", "hardware.pdk = '../etc'"),
        ("[hardware]\npdk = 'nosuch'", "hardware.pdk = 'nosuch': .*nangate45"),
        ("[baseline]\nout_of_band_gain = 1e-20", "baseline.out_of_band_gain = 1e-20"),
        (
            "[training]\nsymbols = 16384",
            "training.curvature_symbols = 32768: must be at most training.symbols = 16384",
        ),
        (
            "[training]\ndigit_budget = 9\ndigit_price_mdb = 1.0",
            "training.digit_budget = 9: must be 0 where training.digit_price_mdb = 1 says",
        ),
        (
            "[training]\ndigit_budget = 9\nhalf_tap_price_mdb = 1.0",
            "training.digit_budget = 9: must be 0 where training.half_tap_price_mdb = 1 says",
        ),
        ("[training]\ntap_iterations = 0", "tap_iterations = 0: .* greater than or equal to 1"),
        ("[training]\nbatch_blocks = 8", "training.batch_blocks: unknown key"),
        ("[learned]\ntaps = 131\n[training]\nblock_symbols = 64", "at least the longest filter"),
        ("seed = -1", "seed = -1"),
        ("seed = " + "9" * 5000, "not TOML"),
        ("a = " + "[" * 100_000, "not TOML"),
        ("link = 3", "link = 3"),
        ("a = [", "not TOML"),
        ("[sweep]\nspan = [1]", "sweep: link.span: unknown key"),
        ("[sweep]\nspans = [1, 0]", "sweep: link.spans = 0"),
        ("[sweep]\nspans = []", "sweep.spans"),
        ("[sweep]\ndesign = [1]", "sweep.design"),
        ("[sweep]\nlaunch_power_dbm = [0.0, 40.0]", "sweep.launch_power_dbm"),
    ],
)
def test_what_does_not_fit_is_refused_by_key(text, message):
    with pytest.raises(InputError, match=message):
        config.parse(text)


def test_unknown_names_and_unreadable_files_are_refused(tmp_path):
    with pytest.raises(
        InputError, match="neither a file nor a preset; the presets are demo, dual-20gbd-c6-s9"
    ):
        config.load("papre")
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read"):
        config.load(str(tmp_path / "x.toml"))


def test_a_byte_order_mark_is_no_part_of_a_configuration(tmp_path):
    (tmp_path / "x.toml").write_bytes(b"\xef\xbb\xbfseed = 7\r\n")
    assert config.load(str(tmp_path / "x.toml")).seed == 7
    assert config.parse("\ufeffseed = 7").seed == 7


def test_the_baselines_bandwidth_follows_the_roll_off():
    def bandwidth(text):
        return config.parse(text).baseline.bandwidth

    # 1 / 2 and a quarter of the roll-off: that of the paper's link is the tuned one.
    assert config.Config().baseline.bandwidth == bandwidth("") == 0.525
    assert bandwidth("[link]\nroll_off = 1.0") == 0.75
    assert bandwidth("[link]\nroll_off = 1.0\n[baseline]\nbandwidth = 0.525") == 0.525
    wide = config.parse("[link]\nroll_off = 0.5")
    assert config.with_sweep(wide, {"span_km": [80.0]}).baseline.bandwidth == 0.625
    assert config.parse(wide.to_toml()) == wide
    # Nothing else changes: the hash of a configuration is what it was.
    assert config.load("paper").hash.startswith("138c84bac4f8b931")


def test_a_sweep_round_trips():
    text = '[sweep]\ndesign = ["linear"]\nspans = [1, 2]\nnoise_figure_db = [4.5]'
    loaded = config.parse(text)
    assert config.parse(loaded.to_toml()) == loaded
    assert loaded.hash != config.parse("").hash


def test_hash_covers_every_value_and_not_the_spelling():
    assert config.parse("").hash == config.parse("[link]\nspan_km = 100.0").hash
    assert config.parse("").hash != config.parse("[link]\nspan_km = 100.5").hash


@pytest.mark.parametrize("name", ["paper", "demo", "isit2018"])
def test_toml_round_trips(name):
    loaded = config.load(name)
    again = config.parse(loaded.to_toml())
    assert again == loaded
    assert again.hash == loaded.hash


@pytest.mark.parametrize(
    "text, words",
    [
        ("frequency_offset_mhz = 9500", "frequency_offset_mhz = 9500"),
        ("wdm_neighbours = 1\nwdm_spacing_ghz = 21", "wdm_spacing_ghz = 21"),
        ("wdm_neighbours = 3\nwdm_spacing_ghz = 25", "7 channels take 172 GHz"),
        ("wdm_neighbours = 11", "impairments.wdm_neighbours = 11"),
        ("adc_bit = 6", "impairments.adc_bit: unknown key"),
    ],
)
def test_impairments_must_fit_the_bands(text, words):
    with pytest.raises(InputError, match=re.escape(words)):
        config.parse(f"[link.impairments]\n{text}\n")


def test_a_link_changes_keys_of_its_own_and_of_its_impairments():
    changed = config.link_with(config.Link(), {"spans": 4, "adc_bits": 6})
    assert (changed.spans, changed.impairments.adc_bits) == (4, 6)
    with pytest.raises(InputError, match="adc_bit: unknown key"):
        config.link_with(config.Link(), {"adc_bit": 6})


def test_samples_per_symbol_are_a_ratio_in_lowest_terms_or_an_integer():
    def link(**keys):
        return config.checked({"link": keys}).link

    assert link(adc_samples_per_symbol="6/4").adc_samples_per_symbol == "3/2"
    assert link(adc_samples_per_symbol=3) == link(adc_samples_per_symbol="3")
    assert link(adc_samples_per_symbol="5/4").adc_samples == 1280
    assert link() == link(adc_samples_per_symbol=2)


@pytest.mark.parametrize(
    "keys, message",
    [
        *(
            ({"adc_samples_per_symbol": v}, "an integer or a text")
            for v in ("1", "17/16", "x", 1.5)
        ),
        ({"adc_samples_per_symbol": "5/3"}, "block_symbols = 1024: must be a multiple of 3"),
        (
            {"adc_samples_per_symbol": "16/15", "block_symbols": 960},
            r"must be at least \(1 \+ roll_",
        ),
        (
            {"adc_samples_per_symbol": "5/4", "adc_filter_roll_off": 0.2},
            "= 1.375, or the anti-alias filter takes a part of the signal",
        ),
        ({"adc_samples_per_symbol": 7}, "at most link.samples_per_symbol / .* = 6, or more is"),
        (
            {"adc_samples_per_symbol": "3/2", "impairments": {"frequency_offset_mhz": 4500.0}},
            "must be at most 4000 MHz, or the signal leaves 3/2 samples per symbol",
        ),
    ],
)
def test_a_converter_that_does_not_fit_its_link_is_refused(keys, message):
    with pytest.raises(InputError, match=message):
        config.checked({"link": keys})


def test_training_blocks_have_whole_samples():
    link = {"adc_samples_per_symbol": "4/3", "block_symbols": 1023 + 3}
    with pytest.raises(InputError, match=r"training\.block_symbols = 512: must be a multiple of 3"):
        config.checked({"link": link})


def test_places_that_are_not_given_follow_the_link_and_the_number_of_rotations():
    def places(text):
        return config.parse(text).learned.rotation_offset_km

    assert places("") == 14.8
    two = config.parse("[learned]\nrotations_per_span = 2")
    assert two.learned.rotation_offset_km == (8.6, 37.5)
    assert two.learned.rotations_per_span == "2" and two.baseline.rotation_offset_km == 0.0
    assert places("[link]\nspan_km = 60.0\n[learned]\nrotations_per_span = 2") == (7.6, 31.5)
    assert places("[link]\nattenuation_db_per_km = 0.0\n[learned]\nrotations_per_span = 2") == (
        25.0,
        75.0,
    )
    # Given or not, they come back from a file, and follow another link only where not given.
    assert config.parse(two.to_toml()) == two
    assert config.parse(two.to_toml()).hash == two.hash != config.Config().hash
    shorter = {"link": {"span_km": 60.0}}
    assert config.checked(two.given() | shorter).learned.rotation_offset_km == (7.6, 31.5)
    given = config.checked(two.given() | {"learned": {"rotation_offset_km": 9, "taps": [9]}})
    assert given.learned.rotation_offset_km == 9.0 and given.learned.taps == (9,)


def test_two_samples_per_symbol_keep_the_hash_of_a_configuration():
    # That of runs from before the converter's rate was a key.
    paper = "138c84bac4f8b931ff17a8f616279f9ac5744d53f897e8b64e11c26db4d15b48"
    assert config.load("paper").hash == paper
    assert config.checked({"link": {"adc_samples_per_symbol": "3/2"}}).hash != config.Config().hash
    assert config.parse(config.load("paper").to_toml()).hash == paper


def test_another_rate_fills_its_blocks():
    def block_symbols(rate):
        return config.for_design(config.Link(), Fraction(rate)).block_symbols

    assert [block_symbols(rate) for rate in ("3/2", "5/4")] == [1024, 1024]
    assert [block_symbols(rate) for rate in ("4/3", "7/5")] == [1080, 1080]
