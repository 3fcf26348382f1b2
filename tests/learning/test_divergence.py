"""Learning that goes wrong: phases end with their best states, and no bad design comes out."""

import numpy as np
import pytest

import dbp
from dbp import cli, config
from dbp.errors import InputError
from dbp.evaluation.measures import effective_snr_db, matched_filter
from dbp.evaluation.receivers import Reference
from dbp.learning import gauss_newton, integer_rounding, linear_compensation, training
from dbp.learning.float_model import Detector
from dbp.learning.linear_compensation import snr_db
from dbp.link import transmission

TOML = """
[link]
spans = 3
span_km = 60.0
steps_per_span = 4
[learned]
taps = 9
rotation_offset_km = 12.0
[training]
launch_power_dbm = 2.0
symbols = 4096
validation_symbols = 4096
block_symbols = 128
curvature_symbols = 1024
start_iterations = 60
float_iterations = 1
signal_iterations = 1
tap_iterations = 2
"""
QUICK = config.parse(TOML)


@pytest.fixture(scope="module")
def learned():
    return training.train(QUICK)


def ruin(objective, *_):
    """An iteration after which nothing is received any more."""
    objective.parameters = np.zeros_like(objective.parameters)
    return 1.0, 1.0


def test_descents_that_ruin_all_end_where_they_began(learned, monkeypatch):
    monkeypatch.setattr(gauss_newton, "iterate", ruin)
    result = training.train(QUICK)
    assert [row.snr_db for row in result.history] == [0.0] * 4
    # The start itself, and its taps rounded one by one.
    assert result.snr_db_float > 15
    assert learned.snr_db_quantized >= result.snr_db_quantized > 15
    assert training.validated_snr_db(result.design, QUICK) == result.snr_db_quantized


def test_a_rounding_that_ruins_all_ends_with_the_best_design(learned, monkeypatch):
    monkeypatch.setattr(integer_rounding, "round_together", lambda taps, *_: np.zeros_like(taps))
    result = training.train(QUICK)
    assert result.snr_db_float == learned.snr_db_float
    assert result.snr_db_quantized > 15


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_derivatives_that_are_not_finite_are_met_where_they_arise(learned, bad, monkeypatch):
    compute = gauss_newton.curvature_and_slope

    def broken(*arguments):
        # No product: infinity times a zero is a warning of the test itself.
        return tuple(np.full_like(part, bad) for part in compute(*arguments))

    monkeypatch.setattr(gauss_newton, "curvature_and_slope", broken)
    result = training.train(QUICK)
    assert all(np.isfinite([row.loss, row.snr_db]).all() for row in result.history)
    assert result.snr_db_quantized > 15


def test_a_start_worse_than_no_start_is_left(monkeypatch):
    """Where the joint start went astray, learning begins at the filters of least squares."""
    design = training.joint_start.design

    def astray(*given, **more):
        filters = design(*given, **more)
        return training.FloatFilters(
            tuple(0.5 * np.ones_like(taps) for taps in filters.taps),
            filters.kerr_rad_per_mw,
        )

    monkeypatch.setattr(training.joint_start, "design", astray)
    assert training.train(QUICK).snr_db_float > 15


COARSE = "[learned]\ncoefficient_bits = 2\nsignal_bits = 3\n"


def test_a_result_worse_than_linear_compensation_is_an_error(tmp_path, capsys):
    path, out = tmp_path / "coarse.toml", tmp_path / "out"
    path.write_text(TOML.replace("[learned]\n", COARSE))
    assert cli.main(["train", str(path), "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dbp: error: learning reached ")
    assert "linear compensation alone" in line and "no design is exported" in line
    assert "learned.coefficient_bits = 2" in line and "learned.signal_bits = 3" in line
    assert not (out / "design.json").exists()
    settings = config.load(str(path))
    with pytest.raises(dbp.InputError, match=r"learning reached .* no design is exported"):
        dbp.learn(settings=settings)
    # Again, from the checkpoint of the first run: the same line.
    assert cli.main(["train", str(path), "--out", str(out)]) == 2
    assert capsys.readouterr().err.splitlines() == [line]


def test_filters_that_are_at_fault_are_told_from_rounding(monkeypatch):
    monkeypatch.setattr(linear_compensation, "loss", lambda *_: 1e-9)
    monkeypatch.setattr(linear_compensation, "rounding", lambda _: 0.0)
    with pytest.raises(InputError, match=r"compensation alone 90\.00 dB: .*learned.taps = 9"):
        training.train(QUICK)


def test_linear_compensation_is_that_of_the_reference_receiver():
    link = config.link_with(QUICK.link, {"block_symbols": 512})
    received = transmission.simulate(link, 2.0, 8, seed=1, purpose="validate")
    reference = Reference("linear", link)(received.waveform, 2.0)
    expected = effective_snr_db(received.symbols, matched_filter(reference, link.roll_off))
    mine = snr_db(linear_compensation.loss(link, received, Detector(link.roll_off, 1024)))
    assert mine == pytest.approx(expected, abs=0.02)


def test_rounding_noise_is_that_of_its_steps(learned):
    """By hand: 4 filters, the formats of the design."""
    noise = sum(
        f.taps * 2 * 2.0 ** (-2 * f.shift) / 12 + (2 / 12) / (2 * (0.25 * 256) ** 2)
        for f in learned.design.filters
    )
    assert linear_compensation.rounding(learned.design) == pytest.approx(min(noise, 1e-2))


def test_figures_of_a_loss():
    assert str(snr_db(1.0)) == "0.0" and snr_db(0.0) == 120 and snr_db(-1e-7) == 120
