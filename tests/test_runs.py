"""A run's folder: `place` names what it removes, and removes what our stages made, no more."""

import json

import pytest
from helpers.hardware import make_run, small_design

from dbp import config, runs
from dbp.config import Config

SETTINGS = config.load("paper")
DESIGN = small_design(taps=(1,))
PROVENANCE = {
    "design_hash": DESIGN.hash,
    "config_hash": SETTINGS.hash,
    "seed": 1,
    "versions": {"dbp": "0.1.0"},
    "wall_time_s": 1.0,
}


def another(settings: Config) -> Config:
    return settings.model_copy(update={"seed": settings.seed + 1})


@pytest.fixture
def run(tmp_path):
    """A run whose design was simulated, proved and synthesised; only the Verilog is real."""
    folder = make_run(tmp_path, DESIGN)
    runs.place(DESIGN, SETTINGS, folder)
    for file in (
        *("sim/icarus.log", "sim/waves.vcd", "proof/metrics.json"),
        *("synth/nangate45/netlist.v.gz", "synth/nangate45/timing.tcl"),
        "synth/nangate45/place_and_route/figures.rpt",
    ):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"")
    for stage in ("sim", "proof", "synth/nangate45"):
        (folder / stage / "metrics.json").write_text(json.dumps(PROVENANCE))
    return folder


def files(folder):
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*")}


def test_the_same_design_and_configuration_remove_nothing(run, capsys):
    before = files(run)
    runs.place(DESIGN, SETTINGS, run)
    assert files(run) == before
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("design", "settings", "emptied"),
    [
        (small_design(seed=1), SETTINGS, ["rtl", "sim", "proof", "synth/nangate45"]),
        # The Verilog was made without a configuration.
        (DESIGN, another(SETTINGS), ["sim", "proof", "synth/nangate45"]),
    ],
)
def test_what_another_design_or_configuration_made_is_named_and_removed(
    run, capsys, design, settings, emptied
):
    runs.place(design, settings, run)
    assert capsys.readouterr().out == (
        f"Removing from {run} what another design or configuration made: {', '.join(emptied)}\n"
    )
    assert not any((run / stage).exists() for stage in emptied)
    assert (run / "rtl").exists() == ("rtl" not in emptied)
    assert (run / "design.json").read_text() == design.to_json()
    assert (run / "config.toml").read_text() == settings.to_toml()


def test_what_others_keep_in_a_folder_of_a_stage_stays(run):
    kept = ["rtl/cells.v", "rtl/notes.txt", "sim/my_waves.vcd", "synth/nangate45/mine/metrics.json"]
    for file in kept:
        (run / file).parent.mkdir(exist_ok=True)
        (run / file).write_text("module cells; endmodule")
    runs.place(small_design(seed=1), SETTINGS, run)
    parents = {"rtl", "sim", "synth", "synth/nangate45", "synth/nangate45/mine"}
    others = {"design.json", "config.toml", "stimulus.npz"}
    assert files(run) == {*kept, *parents, *others}


@pytest.mark.parametrize(
    "content",
    [None, "", "{}", '{"design_hash": "0"}', json.dumps({**PROVENANCE, "versions": {"it": "1"}})],
)
def test_a_folder_without_metrics_of_ours_stays(tmp_path, capsys, content):
    for stage in ("rtl", "sim", "proof", "synth/nangate45"):
        (tmp_path / stage).mkdir(parents=True)
        (tmp_path / stage / "ports.json").write_text("{}")
        if content is not None:
            (tmp_path / stage / "metrics.json").write_text(content)
    runs.place(DESIGN, SETTINGS, tmp_path)
    before = files(tmp_path)
    runs.place(small_design(seed=1), SETTINGS, tmp_path)
    assert files(tmp_path) == before
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["sim", "synth", "synth/nangate45/place_and_route"])
def test_a_link_is_not_followed(run, tmp_path_factory, name):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "folder"
    (run / name).rename(elsewhere)
    (run / name).symlink_to(elsewhere)
    before = files(elsewhere)
    runs.place(small_design(seed=1), SETTINGS, run)
    assert files(elsewhere) == before
    assert (run / name).is_symlink()


def test_empty_folders_of_others_stay(tmp_path):
    (tmp_path / "synth").mkdir()
    (tmp_path / "rtl" / "chain.v").mkdir(parents=True)
    (tmp_path / "rtl" / "metrics.json").write_text(json.dumps(PROVENANCE))
    runs.place(small_design(seed=1), SETTINGS, tmp_path)
    assert files(tmp_path) == {"synth", "rtl", "rtl/chain.v", "design.json", "config.toml"}
