"""The paper's BER curves and ours: what is compared, the command, and what it leaves behind."""

import csv
import json
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from helpers.workers import in_threads

from dbp import cli, config
from dbp.comparison import paper
from dbp.learning import training
from dbp.link import modulation
from dbp.records.schemas import Point
from dbp.report import reproduction

CONFIG = """
[link]
spans = 2
block_symbols = 256
[baseline]
taps = 9
[evaluation]
launch_power_dbm = [2.0, 4.0]
max_bits = 1
"""


def test_the_eleven_curves_have_the_receivers_that_stand_for_them():
    curves = paper.ber_curves()
    lsco = {(f"lsco-paper-c{c}-s{s}", "fixed") for c in (8, 9) for s in (8, 9)}
    learned = {(f"learned-c{c}-s{s}", "fixed") for c in (5, 6) for s in (8, 9)}
    floats = {("linear", "float"), ("lsco-paper-c9-s9", "float"), ("learned-c6-s9", "float")}
    assert len(curves) == 11
    assert {(curve.receiver, curve.arithmetic) for curve in curves} == lsco | learned | floats
    best = {curve.title: min(curve.ber) for curve in curves}
    assert best["learned, 15 taps, 6/9"] == 3.4e-4
    assert best["LS-CO, 25 taps, float"] == 5.4e-4
    assert best["linear"] == 8.6e-3
    assert sum(len(curve.ber) for curve in curves) == 99
    assert all(len(curve.ber) == len(curve.launch_power_dbm) for curve in curves)


def point(power_dbm, ber, design="linear", arithmetic="float"):
    counts = {"bits": 10**6, "errors": round(ber * 10**6), "snr_db": 1.0, "design_hash": None}
    return Point(
        **counts, design=design, arithmetic=arithmetic, launch_power_dbm=power_dbm, ber=ber,
        ber_low=0.9 * ber, ber_high=1.1 * ber,
    )  # fmt: skip


def test_the_difference_is_between_the_two_optima():
    at_15_db, at_14_db = (
        float(modulation.bit_error_ratio_awgn("16qam", 10 ** (db / 10))) for db in (15, 14)
    )
    curve = paper.Curve(
        "linear", "linear", "linear", "float", (-1.0, 0.0, 1.0), (0.1, at_14_db, 0.2)
    )
    points = [point(-3, 0.02), point(-2, at_15_db), point(-1, 1e-9, "other")]
    (row,) = reproduction.compare([curve], [*points, point(0, 1e-9, arithmetic="fixed")])
    assert (row["paper_launch_power_dbm"], row["launch_power_dbm"]) == (0, -2)
    assert row["paper_snr_from_ber_db"] == pytest.approx(14, abs=1e-6)
    assert row["difference_db"] == pytest.approx(1, abs=1e-6)
    assert "+1.00" in reproduction.to_text([row])


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Designs of two spans under the names of the shipped ones."""
    (tmp_path / "small.toml").write_text(CONFIG)
    design, filters = training.baseline(config.load(str(tmp_path / "small.toml")))
    folder = tmp_path / "designs"
    for curve in paper.ber_curves():
        if curve.receiver != "linear":
            replace(design, name=curve.receiver).save(folder / f"{curve.receiver}.json")
        if curve.receiver != "linear" and curve.arithmetic == "float":
            filters.save(folder / f"{curve.receiver}.npz")
    monkeypatch.setattr("dbp.datapath.shipped.FOLDER", folder)
    in_threads(monkeypatch)
    return folder


def reproduce(tmp_path, *arguments):
    config_file, out = tmp_path / "small.toml", tmp_path / "out"
    given = ["--reproduce", "paper", "--config", str(config_file), "--out", str(out)]
    return cli.main(["ber", *given, *arguments])


@pytest.mark.slow
def test_the_command_leaves_table_points_and_drawing(shipped, tmp_path, capsys):
    assert reproduce(tmp_path) == 0
    printed = capsys.readouterr().out
    with (tmp_path / "out" / "reproduction.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    curves = paper.ber_curves()
    assert [row["curve"] for row in rows] == [curve.title for curve in curves]
    for row in rows:
        assert row["curve"] in printed
        assert f"{float(row['difference_db']):+.2f}" in printed
        assert float(row["ber_low"]) <= float(row["ber"]) <= float(row["ber_high"])
    points = json.loads((tmp_path / "out" / "metrics.json").read_text())["points"]
    assert len(points) == 22
    assert {p["launch_power_dbm"] for p in points} == {2, 4}
    for row in rows:
        assert float(row["ber"]) == min(
            p["ber"]
            for p in points
            if (p["design"], p["launch_power_dbm"])
            == (row["receiver"], float(row["launch_power_dbm"]))
            and (p["arithmetic"] == "fixed") == (row["curve"].split(", ")[-1][0].isdigit())
        )
    drawing = (tmp_path / "out" / "ber.svg").read_text()
    ElementTree.fromstring(drawing)
    assert all(f"<!-- {curve.title} -->" in drawing for curve in curves)
    with (tmp_path / "out" / "ber.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 22


@pytest.mark.slow
def test_powers_of_the_command_line_come_first(shipped, tmp_path):
    assert reproduce(tmp_path, "--launch-power-dbm", "1") == 0
    points = json.loads((tmp_path / "out" / "metrics.json").read_text())["points"]
    assert {p["launch_power_dbm"] for p in points} == {1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["linear"], "no DESIGN, no --arithmetic"),
        (["--arithmetic", "fixed"], "no DESIGN, no --arithmetic"),
        (["--config", "qpsk.toml"], "link.modulation = 'qpsk': must be that of the paper, '16qam'"),
    ],
)
def test_what_does_not_go_with_it_is_refused(
    arguments, message, shipped, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "qpsk.toml").write_text(CONFIG.replace("[link]", '[link]\nmodulation = "qpsk"'))
    assert reproduce(tmp_path, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_float_filters_that_did_not_come_are_named(shipped, tmp_path, capsys):
    (shipped / "learned-c6-s9.npz").unlink()
    assert reproduce(tmp_path) == 2
    assert "learned-c6-s9: no learned-c6-s9.npz beside it" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    shutil.rmtree(shipped)
    shipped.mkdir()
    assert reproduce(tmp_path) == 2
    assert "design 'lsco-paper-c9-s9': neither" in capsys.readouterr().err
