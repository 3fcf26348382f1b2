"""The command line as people use it: help, ranges, and one clear line for every wrong input."""

import io
import json
import os
import re

import pytest
from helpers.designs import DESIGN

from dbp import cli, config


def run(*arguments, capsys):
    """Exit status and what was printed."""
    try:
        status = cli.main([str(a) for a in arguments])
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize(
    ("arguments", "powers"),
    [
        (["--launch-power-dbm", "-4:4:2"], (-4, -2, 0, 2, 4)),
        (["--launch-power-dbm=-4:-3:0.5"], (-4, -3.5, -3)),
        (["--launch-power-dbm", "-1.5"], (-1.5,)),
        (["--launch-power-dbm", "-1,0.5,2"], (-1, 0.5, 2)),
        (["--launch-power-dbm", "0:1:0.1"], tuple(round(0.1 * k, 6) for k in range(11))),
        (["--launch-power-dbm", "-1:2:2"], (-1, 1)),
    ],
)
def test_ranges_as_people_type_them(arguments, powers):
    options = cli._parser().parse_args(
        cli._join_ranges(["ber", "linear", *arguments, "--out", "x"])
    )
    assert options.launch_power_dbm == powers


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "papre", "--out", "RUN"], "the presets are demo, dual-20gbd-c6-s9"),
        (["train", "misspelt.toml", "--out", "RUN"], "link.spam_km: unknown key; the keys here"),
        (["train", "negative.toml", "--out", "RUN"], "link.span_km = -80.0: .* greater than 0"),
        (["train", "even.toml", "--out", "RUN"], "learned.taps = 14: must be odd"),
        (["rtl", "truncated.json", "--out", "RUN"], "truncated.json: design: not a complete JSON"),
        (["rtl", "newer.json", "--out", "RUN"], "version = 5: .* a newer dbp wrote it"),
        (["rtl", "none.json", "--out", "RUN"], "neither a design.json nor a run's folder"),
        (["rtl", "design.json", "--out", "RUN", "--lanes", "0"], "--lanes: '0': must be"),
        (["rtl", "design.json", "--out", "RUN", "--lanes", "four"], "--lanes: 'four'"),
        (["prove", "empty"], "RUN: 'empty': must be a folder that holds a design.json"),
        (["rtl", "design.json", "--out", "RUN", "--step", "7"], "step = 7: must be an integer in"),
        (["rtl", "design.json", "--out", "RUN", "--filter", "-1"], "--filter: '-1': must be"),
        (
            ["rtl", "design.json", "--out", "RUN", "--step", "0", "--filter", "0"],
            "not allowed with",
        ),
        (
            ["rtl", "design.json", "--out", "RUN", "--pipeline", "filter.after_tea=1"],
            "pipeline: 'filter.after_tea': must be one of filter.after_pre_add",
        ),
        (
            ["rtl", "design.json", "--out", "RUN", "--pipeline", "filter.adder_levels=0"],
            "pipeline: filter.adder_levels = '0': must be an integer in 1..1000",
        ),
        (["rtl", "design.json", "--out", "RUN", "--filters", "soft"], "--filters: invalid choice"),
        (["sim", "empty"], "RUN: 'empty': must be a folder that holds a design.json"),
        (["synth", "run", "--pdk", "../x"], "pdk"),
        (["synth", "run", "--pdk", "nosuch"], "pdk = 'nosuch': must be"),
        (["synth", "run", "--pdk", "nangate45"], "cells.lib: .*Liberty"),
        (["synth", "run", "--pdk", "nangate45", "--step", "7"], "step = 7: must be"),
        (["ber", "linear", "--launch-power-dbm", "3:1:1", "--out", "RUN"], "'3:1:1': must be"),
        (["ber", "linear", "--launch-power-dbm", "nan", "--out", "RUN"], "'nan': must be START"),
        (["ber", "linear", "--launch-power-dbm", "0:1:0", "--out", "RUN"], "'0:1:0': must be"),
        (["ber", "nosuch", "--launch-power-dbm", "0", "--out", "RUN"], "design 'nosuch'"),
        (
            ["ber", "design.json", "--launch-power-dbm=0", "--arithmetic", "float", "--out", "RUN"],
            "no train/float.npz",
        ),
        (["ber", "--out", "RUN"], "must have DESIGN"),
        (["ber", "--reproduce", "papre", "--out", "RUN"], "--reproduce: invalid choice: 'papre'"),
        (["report", "empty"], "no run"),
        (["train", "demo", "--out", "RUN", "--seed", "-1"], "--seed"),
        (["train", "demo", "--out", "RUN", "--device", "gpu"], "device = 'gpu': must be"),
        (["train", "demo", "--out", "RUN", "--device", "meta"], "device = 'meta': must be"),
        (["run", "demo", "--out", "RUN", "--device", "cuda:99"], "device = 'cuda:99': must be"),
        (["run", "demo", "--out", "RUN", "--device", "mps:7"], "device = 'mps:7': must be"),
        (["trian", "demo"], "invalid choice: 'trian'"),
    ],
)
def test_wrong_input_is_one_clear_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    kits = tmp_path / "kits"
    (kits / "nangate45").mkdir(parents=True)
    (kits / "nangate45" / "cells.lib").write_text("no Liberty here, only words\n")
    monkeypatch.setenv("DBP_PDK_ROOT", str(kits))
    (tmp_path / "empty").mkdir()
    (tmp_path / "misspelt.toml").write_text("[link]\nspam_km = 80.0\n")
    (tmp_path / "negative.toml").write_text("[link]\nspan_km = -80.0\n")
    (tmp_path / "even.toml").write_text("[learned]\ntaps = 14\n")
    text = DESIGN.to_json()
    (tmp_path / "design.json").write_text(text)
    (tmp_path / "truncated.json").write_text(text[: len(text) // 2])
    (tmp_path / "newer.json").write_text(json.dumps({**json.loads(text), "version": 5}))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "design.json").write_text(text)
    make_stimulus(tmp_path / "run")
    status, _, err = run(*arguments, capsys=capsys)
    assert status == 2
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    assert err.startswith("dbp") and ": error: " in err
    assert re.search(message, err), err
    assert not (tmp_path / "RUN").exists()


def make_stimulus(folder):
    import numpy as np

    from dbp.datapath.golden import Samples
    from dbp.datapath.stimulus import Stimulus

    codes = np.random.default_rng(1).integers(-256, 256, (2, 4096))
    Stimulus(Samples(*codes), 1000, DESIGN.hash, config.load("paper").hash, 1).save(
        folder / "stimulus.npz"
    )


def test_a_missing_tool_is_one_line_that_says_what_to_install(tmp_path, monkeypatch, capsys):
    DESIGN.save(tmp_path / "design.json")
    make_stimulus(tmp_path)
    assert run("rtl", tmp_path, "--out", tmp_path, "--lanes", 2, capsys=capsys)[0] == 0
    monkeypatch.setenv("PATH", os.devnull)
    status, _, err = run("sim", tmp_path, capsys=capsys)
    assert status == 1
    assert err.count("\n") == 1
    assert "iverilog" in err
    assert "install" in err


def test_a_missing_kit_is_one_line_that_says_where_it_is_looked_for(tmp_path, monkeypatch, capsys):
    DESIGN.save(tmp_path / "design.json")
    make_stimulus(tmp_path)
    monkeypatch.delenv("DBP_PDK_ROOT", raising=False)
    status, _, err = run("synth", tmp_path, "--pdk", "nangate45", capsys=capsys)
    assert status == 1
    assert err.count("\n") == 1
    assert "DBP_PDK_ROOT" in err


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path, capsys):
    DESIGN.save(tmp_path / "design.json")
    (tmp_path / "file").write_text("in the way")
    design, file = tmp_path / "design.json", tmp_path / "file"
    status, _, err = run("rtl", design, "--out", file, capsys=capsys)
    assert status == 2
    assert "argument --out: " in err and "must be a folder, and is a file" in err
    status, _, err = run("rtl", design, "--out", file / "below", capsys=capsys)
    assert status == 2
    assert err.count("\n") == 1


def test_an_output_whose_stream_was_closed_is_no_terminal():
    """As colorama asks at the very end."""
    stream = io.StringIO()
    output = cli._Output(stream)
    assert not output.isatty()
    stream.close()
    assert not output.isatty()
