"""`dbp run` end to end on a link of two spans: the files and figures of all stages, the page."""

import csv
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from helpers.workers import in_threads

from dbp import cli, runs
from dbp.cli import run as run_command
from dbp.cli import train as train_command
from dbp.datapath.complexity import complexity
from dbp.datapath.design import Design
from dbp.datapath.stimulus import Stimulus
from dbp.support.files import read_npz

CONFIG = """
seed = 5
[link]
spans = 2
span_km = 50.0
block_symbols = 256
[baseline]
taps = 7
coefficient_bits = 4
signal_bits = 5
[learned]
taps = 7
coefficient_bits = 5
signal_bits = 6
[training]
launch_power_dbm = 3.0
symbols = 4096
validation_symbols = 2048
block_symbols = 128
curvature_symbols = 1024
start_iterations = 20
float_iterations = 2
signal_iterations = 1
tap_iterations = 2
[evaluation]
launch_power_dbm = [2.0, 4.0]
min_errors = 50
max_bits = 70000
[hardware]
lanes = 3
synthesis_lanes = 1
stimulus_symbols = 512
"""

needs_icarus = pytest.mark.skipif(not shutil.which("iverilog"), reason="needs iverilog")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole run on a machine without a compiler: Icarus simulates, which needs none."""
    folder, tools = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("tools")
    for name in ("iverilog", "vvp", "sta"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    (folder / "small.toml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tools))
        in_threads(patch)
        assert cli.main(["run", str(folder / "small.toml"), "--out", str(folder / "out")]) == 0
    return folder / "out"


def metrics(path):
    content = json.loads(path.read_text())
    assert {"design_hash", "config_hash", "seed", "versions", "wall_time_s"} <= set(content)
    assert content["seed"] == 5
    assert content["wall_time_s"] > 0
    return content


@needs_icarus
def test_every_stage_leaves_its_figures(finished):
    configs = set()
    for name in ("learned", "baseline"):
        design = Design.load(finished / name / "design.json")
        sim = metrics(finished / name / "sim" / "metrics.json")
        assert sim["mismatches"] == 0
        assert sim["samples_compared"] >= 1024
        assert (sim["lanes"], sim["steps"]) == (3, 3)
        rtl = metrics(finished / name / "rtl" / "metrics.json")
        assert rtl["latency_cycles"] == sim["latency_cycles"]
        proof = json.loads((finished / name / "proof" / "metrics.json").read_text())
        # Equal blocks are one module: at most three filters and two rotations.
        assert 3 <= len(proof["modules"]) <= 5
        for stage in (sim, rtl, proof):
            assert stage["design_hash"] == design.hash
            configs.add(stage["config_hash"])
    train = metrics(finished / "learned" / "train" / "metrics.json")
    assert train["launch_power_dbm"] == 3
    assert {"snr_db_baseline", "snr_db_float", "snr_db_quantized"} <= set(train)
    with (finished / "learned" / "train" / "history.csv").open(newline="") as file:
        phases = {row["phase"] for row in csv.DictReader(file)}
    assert phases == {"float", "signals", "taps"}
    assert not (finished / "learned" / "train" / "checkpoint.npz").exists()
    assert configs == {train["config_hash"]}


@needs_icarus
@pytest.mark.skipif(not shutil.which("sta"), reason="needs OpenSTA")
def test_synthesis_leaves_its_figures(finished):
    # Without the configured kit the one that comes with the package stands in, and that is said.
    here = (Path(os.environ.get("DBP_PDK_ROOT", os.devnull)) / "nangate45").is_dir()
    pdk = "nangate45" if here else "predictive28"
    absent = json.loads((finished / "absent.json").read_text())
    assert ("synth/nangate45" in absent) is not here
    assert ("for demonstration" in (finished / "report.html").read_text()) is not here
    for name in ("learned", "baseline"):
        synth = metrics(finished / name / "synth" / pdk / "metrics.json")
        assert synth["for_demonstration_only"] is not here
        assert synth["gate_level_mismatches"] == 0
        assert synth["nets_annotated_fraction"] == 1
        assert synth["activity"] == "simulated"
        parts = synth["power_w"]
        assert parts["total"] == pytest.approx(
            parts["switching"] + parts["internal"] + parts["leakage"]
        )
        assert synth["cell_area_um2"] > 0


def test_points_are_counted_for_both_arithmetics(finished):
    points = metrics(finished / "metrics.json")["points"]
    designs = {json.loads((finished / n / "design.json").read_text())["name"]
               for n in ("learned", "baseline")}  # fmt: skip
    assert {p["design"] for p in points} == designs | {"linear"}
    assert {p["arithmetic"] for p in points} == {"fixed", "float"}
    assert {p["launch_power_dbm"] for p in points} == {2, 4}
    for point in points:
        assert point["ber_low"] <= point["ber"] <= point["ber_high"]
        assert point["ber"] == point["errors"] / point["bits"]
    with (finished / "ber.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for point, row in zip(points, rows, strict=True):
        assert {k: "" if v is None else str(v) for k, v in point.items()} == row


def test_points_in_fixed_point_state_their_cost(finished):
    costs = {}
    for run in ("learned", "baseline"):
        design = Design.load(finished / run / "design.json")
        cost = complexity(design)
        costs[design.hash, "fixed"] = cost.multiplier_bits, cost.adder_bits
    points = metrics(finished / "metrics.json")["points"]
    assert costs.keys() <= {(point["design_hash"], point["arithmetic"]) for point in points}
    for point in points:
        cost = costs.get((point["design_hash"], point["arithmetic"]), (None, None))
        assert (point["multiplier_bits"], point["adder_bits"]) == cost


def test_there_is_a_constellation_of_every_receiver(finished):
    points = metrics(finished / "metrics.json")["points"]
    designs = {point["design"] for point in points}
    assert set(read_npz(finished / "constellation.npz")) == designs | {"received"}


def test_page_is_self_contained_and_shows_the_figures(finished):
    page = (finished / "report.html").read_text()
    # Data and fragments only: nothing is fetched from anywhere.
    references = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", page)
    assert references
    assert all(reference.startswith(("data:", "#")) for reference in references)
    assert not re.search(r"@import|url\(", page)
    for run in ("learned", "baseline"):
        design = Design.load(finished / run / "design.json")
        assert design.name in page
        assert design.hash[:12] in page


def test_evaluation_of_the_same_seed_repeats(finished, tmp_path, monkeypatch):
    in_threads(monkeypatch)
    arguments = ["--launch-power-dbm", "2,4", "--out", str(tmp_path), "--arithmetic", "both"]
    arguments += ["--workers", "1"]
    assert cli.main(["ber", str(finished / "learned"), *arguments]) == 0
    first = json.loads((finished / "metrics.json").read_text())["points"]
    again = json.loads((tmp_path / "metrics.json").read_text())["points"]
    name = Design.load(finished / "learned" / "design.json").name
    assert again == [point for point in first if point["design"] == name]
    assert again[0]["design_hash"] == Design.load(finished / "learned" / "design.json").hash


def test_other_seeds_give_other_counts(finished, tmp_path):
    arguments = ["--launch-power-dbm=2", "--out", str(tmp_path), "--seed", "6"]
    assert cli.main(["ber", str(finished / "learned"), *arguments]) == 0
    first = json.loads((finished / "metrics.json").read_text())["points"]
    (again,) = json.loads((tmp_path / "metrics.json").read_text())["points"]
    (same,) = [
        p for p in first
        if (p["design"], p["arithmetic"], p["launch_power_dbm"]) == (again["design"], "fixed", 2)
    ]  # fmt: skip
    assert again["snr_db"] != same["snr_db"]


def test_without_tools_and_kits_the_run_goes_on_and_says_so(
    finished, tmp_path, monkeypatch, capsys
):
    def no_training(settings, out, device):
        ignored = shutil.ignore_patterns("s*", ".*")
        shutil.copytree(finished / "learned", out, ignore=ignored, dirs_exist_ok=True)

    def no_counting(request, out, workplace):
        for name in ("metrics.json", "ber.csv", "constellation.npz"):
            shutil.copy(finished / name, out)

    monkeypatch.setattr(run_command, "train", no_training)
    monkeypatch.setattr(run_command, "ber", no_counting)
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.delenv("DBP_PDK_ROOT", raising=False)
    (tmp_path / "small.toml").write_text(CONFIG)
    assert cli.main(["run", str(tmp_path / "small.toml"), "--out", str(tmp_path / "out")]) == 0
    absent = json.loads((tmp_path / "out" / "absent.json").read_text())
    assert set(absent) == {
        *(
            f"{name}/{stage}"
            for name in ("learned", "baseline")
            for stage in ("sim", "synth/predictive28")
        ),
        "synth/nangate45",
    }
    page = (tmp_path / "out" / "report.html").read_text()
    assert "iverilog" in page
    assert "DBP_PDK_ROOT" in page
    printed = capsys.readouterr().out
    assert "absent: synth/nangate45" in printed and "demonstration, no evidence" in printed


def test_a_stage_of_another_design_is_refused_by_the_report(finished, tmp_path, capsys):
    shutil.copytree(finished / "learned", tmp_path / "mixed")
    shutil.copy(finished / "baseline" / "design.json", tmp_path / "mixed" / "design.json")
    assert cli.main(["report", str(tmp_path / "mixed")]) == 2
    assert "belongs to another design" in capsys.readouterr().err


def test_points_of_a_design_that_is_gone_are_left_out(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "out")
    content = json.loads((tmp_path / "out" / "metrics.json").read_text())
    for point in content["points"]:
        if point["design_hash"] == Design.load(finished / "learned" / "design.json").hash:
            point.update(design_hash="0" * 64, ber_low=0.123, ber=0.125, ber_high=0.127)
    (tmp_path / "out" / "metrics.json").write_text(json.dumps(content))
    assert cli.main(["report", str(tmp_path / "out")]) == 0
    assert "1.25e-01" not in (tmp_path / "out" / "report.html").read_text()


def test_runs_of_equal_names_are_told_apart(finished, tmp_path):
    for name in ("first-run", "second-run"):
        shutil.copytree(finished / "learned", tmp_path / name)
    assert cli.main(["report", str(tmp_path / "first-run"), str(tmp_path / "second-run")]) == 0
    page = (tmp_path / "first-run" / "report.html").read_text()
    assert ">first-run<" in page and ">second-run<" in page


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        ("metrics.json", {"points": 3}, "points"),
        ("metrics.json", {"points": [{}]}, "points.0.design"),
        ("metrics.json", {"wall_time_s": "long"}, "wall_time_s"),
        ("learned/rtl/metrics.json", {"lanes": None}, "lanes"),
        ("learned/train/metrics.json", {"versions": 1}, "versions"),
        ("learned/train/history.csv", None, "must have the columns"),
        ("absent.json", None, "must be an object"),
        ("metrics.json", None, "the file: Invalid JSON"),
    ],
)
def test_a_damaged_figure_is_one_clear_line(finished, tmp_path, capsys, file, edit, message):
    shutil.copytree(finished, tmp_path / "out")
    path = tmp_path / "out" / file
    if edit is None:
        path.write_text("a,b\n1,2\n")
    else:
        path.write_text(json.dumps({**json.loads(path.read_text()), **edit}))
    assert cli.main(["report", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert message in err


def test_stimulus_and_stages_follow_the_configuration(finished, tmp_path):
    folder = tmp_path / "learned"
    shutil.copytree(finished / "learned", folder)
    stimulus, file = runs.stimulus_source(folder), folder / "stimulus.npz"
    before = file.read_bytes()
    length = len(stimulus(0).samples.i)
    assert file.read_bytes() == before
    # More lanes need a longer stimulus.
    assert len(stimulus(2 * length + 1).samples.i) == 2 * length + 1
    design = Design.load(folder / "design.json")
    assert len(Stimulus.load(file, design).samples.i) == 2 * length + 1
    assert len(stimulus(length).samples.i) == 2 * length + 1
    text = (folder / "config.toml").read_text()
    (folder / "config.toml").write_text(
        text.replace("noise_figure_db = 5.0", "noise_figure_db = 9.0")
    )
    stimulus(0)
    assert file.read_bytes() != before


def test_nothing_that_the_stages_made_of_another_design_stays(finished, tmp_path, capsys):
    folder = tmp_path / "learned"
    shutil.copytree(finished / "learned", folder)
    stages = {"rtl", "sim", "proof", "synth"} & {path.name for path in folder.iterdir()}
    other = Design.load(finished / "baseline" / "design.json")
    runs.place(other, runs.config_of(folder), folder)
    said = capsys.readouterr().out
    assert stages and all(stage in said for stage in stages)
    assert not stages & {path.name for path in folder.iterdir()}
    assert Design.load(folder / "design.json") == other


def test_a_folder_with_another_design_is_not_overwritten(finished, tmp_path, capsys):
    shutil.copytree(finished / "learned", tmp_path / "run")
    assert cli.main(["rtl", str(finished / "baseline"), "--out", str(tmp_path / "run")]) == 2
    assert "holds another design" in capsys.readouterr().err


def test_a_new_design_removes_what_stages_made_of_the_old_one(finished, tmp_path):
    shutil.copytree(finished / "baseline", tmp_path / "run")
    settings = runs.config_of(finished / "baseline")
    train_command.baseline(settings, tmp_path / "run")
    assert (tmp_path / "run" / "rtl").is_dir()
    wider = settings.model_copy(
        update={"baseline": settings.baseline.model_copy(update={"coefficient_bits": 5})}
    )
    train_command.baseline(wider, tmp_path / "run")
    assert not (tmp_path / "run" / "rtl").exists()
