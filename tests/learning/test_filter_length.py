"""Filters too short for the dispersion of a span: said before learning, with the number needed."""

import math

import pytest

import dbp
from dbp import cli, config
from dbp.config import Config
from dbp.learning import filter_length, training
from dbp.learning.filter_length import needed_taps, spread_samples

FAST = {"spans": 10, "span_km": 120.0, "symbol_rate_gbd": 80.0, "modulation": "64qam"}


def by_hand(ps_per_nm_km, km, gbd, roll_off, nm=1550.0):
    """D L times the width of the band in wavelength, times the sampling rate."""
    band_nm = nm**2 * 1e-18 * (1 + roll_off) * gbd * 1e9 / 299_792_458 * 1e9
    return ps_per_nm_km * km * band_nm * 1e-12 * 2 * gbd * 1e9


@pytest.mark.parametrize(
    ("link", "samples", "taps"),
    [
        (config.Link(), by_hand(17, 100, 20, 0.1), 13),
        (config.Link(**FAST), by_hand(17, 120, 80, 0.1), 231),
        (config.Link(dispersion_ps_per_nm_km=-17.0), by_hand(17, 100, 20, 0.1), 13),
        (config.Link(symbol_rate_gbd=40.0), 4 * by_hand(17, 100, 20, 0.1), 49),
        (config.Link(roll_off=1.0), by_hand(17, 100, 20, 1.0), 23),
        (config.Link(dispersion_ps_per_nm_km=0.0), 0.0, 1),
    ],
)
def test_a_filter_is_as_long_as_the_spread_of_group_delay(link, samples, taps):
    assert spread_samples(link) == pytest.approx(samples, rel=1e-6)
    assert needed_taps(link) == taps


def train_nothing(*_):
    raise AssertionError("learning began")


@pytest.fixture
def untrained(monkeypatch):
    monkeypatch.setattr(training, "_train", train_nothing)


def test_far_too_few_are_an_error_before_learning(untrained, tmp_path, capsys):
    path = tmp_path / "fast.toml"
    path.write_text(
        '[link]\nsymbol_rate_gbd = 80.0\nmodulation = "64qam"\nspans = 10\nspan_km = 120.0\n'
    )
    assert cli.main(["train", str(path), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "learned.taps = 15: too few" in line
    assert "230 samples" in line and "231 taps" in line and "7.82 km" in line
    assert not (tmp_path / "out" / "design.json").exists()
    with pytest.raises(dbp.InputError, match="a span needs 231 taps"):
        dbp.learn(config.Link(**FAST))


def test_a_little_too_few_are_said_and_learned(untrained, capsys):
    with pytest.raises(AssertionError, match="learning began"):
        dbp.learn(taps=11)
    assert capsys.readouterr().err.startswith("Note: learned.taps = 11: too few: over link.span_km")


def test_more_than_a_filter_can_have_is_said(untrained):
    with pytest.raises(dbp.InputError, match="at most 255"):
        dbp.learn(config.Link(**{**FAST, "span_km": 200.0}), taps=63)


@pytest.mark.parametrize("name", sorted(config.presets()))
def test_presets_have_enough(name, untrained, capsys):
    with pytest.raises(AssertionError, match="learning began"):
        training.train(config.load(name))
    assert capsys.readouterr().err == ""


def test_no_dispersion_needs_one_tap(capsys):
    link = config.Link(dispersion_ps_per_nm_km=0.0)
    filter_length.check_length(Config(link=link, learned=config.Learned(taps=1)))
    assert capsys.readouterr().err == ""
    assert math.isclose(spread_samples(link), 0)
