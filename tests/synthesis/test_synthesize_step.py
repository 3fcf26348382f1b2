"""The whole flow on a small design, and its answers where something is missing or wrong."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import TINY_LIB
from helpers.designs import small_synthesis_design

from dbp import cli
from dbp.datapath import golden
from dbp.datapath.stimulus import Stimulus
from dbp.errors import InputError, MissingError, ToolError
from dbp.rtl import Target
from dbp.runs import config_of
from dbp.support import processes
from dbp.support.yosys import run_yosys
from dbp.synthesis import fit_clock, netlist, stages, synthesize, synthesize_step
from dbp.synthesis.cells import kits, liberty_reader, wire_load
from dbp.synthesis.gates import step_bench
from dbp.synthesis.gates.simulation import GateSimulation
from dbp.synthesis.timing import opensta_timing
from dbp.synthesis.timing.opensta_timing import Timing

PERIOD_NS = 1e3 / 416.7
KITS = os.environ.get("DBP_PDK_ROOT")
HAS_FLOW = bool(KITS) and (Path(KITS) / "nangate45").is_dir() and shutil.which("sta") is not None
needs_sta = pytest.mark.skipif(shutil.which("sta") is None, reason="needs sta")
needs_flow = pytest.mark.skipif(not HAS_FLOW, reason="needs nangate45 in DBP_PDK_ROOT, and sta")


DESIGN = small_synthesis_design()


def stimulus(samples=0):
    """3000 samples, however many are asked for."""
    rng = np.random.default_rng(5)
    waveform = rng.normal(size=3000) + 1j * rng.normal(size=3000)
    return Stimulus(golden.convert(waveform, DESIGN), 200, DESIGN.hash, "", 5)


def target(step, lanes=2):
    return Target(lanes, top="step", step=step)


# The last step, a quarter of the gates of the first: where any netlist does.
FILTER_ALONE = target(1, 1)


@pytest.fixture
def run_dir(tmp_path):
    DESIGN.save(tmp_path / "design.json")
    stimulus().save(tmp_path / "stimulus.npz")
    return tmp_path


@pytest.mark.parametrize(
    "pdk",
    [pytest.param("nangate45", marks=needs_flow), pytest.param("predictive28", marks=needs_sta)],
)
def test_a_step_becomes_gates_that_equal_golden(tmp_path, pdk):
    asked = []

    def source(samples):
        asked.append(samples)
        return stimulus()

    folder = tmp_path / "synth"
    metrics = synthesize(DESIGN, source, pdk, target(0), clocks=1000, folder=folder)
    assert asked == [step_bench.samples_needed(DESIGN, 2, 1000)]
    result = metrics.content()
    assert json.loads((folder / "metrics.json").read_text()) == result
    assert metrics.area_um2 == result["cell_area_um2"] and not metrics.kept
    assert result["gate_level_mismatches"] == 0
    assert result["gate_level_samples"] >= 2 * 1000
    assert result["nets_annotated_fraction"] == 1.0 and result["input_slew_ns"] == 0.0
    assert result["slack_ns"] > 0 and result["timing_met"] is True
    # Every path has a period: at the highest clock the slack is nothing.
    assert result["slack_ns"] < result["slack_without_wires_ns"] < PERIOD_NS
    for words in ("", "_without_wires"):
        least_ns = 1e3 / result[f"highest_clock{words}_mhz"]
        assert least_ns == pytest.approx(PERIOD_NS - result[f"slack{words}_ns"])
    assert result["recipe"]["full_adder"].startswith("FA") and result["power_engine"] == "dbp"
    script = (folder / "yosys.ys").read_text()
    assert "-booth" in script and result["recipe"]["abc_script"] in script
    assert (result["pdk"], result["step"], result["lanes"]) == (pdk, 0, 2)
    assert result["for_demonstration_only"] is (pdk == "predictive28")
    assert (result["scaled_28nm"] is None) is (pdk == "predictive28")
    assert result["activity"] == "simulated"
    power, groups = result["power_w"], result["groups"]
    kinds = ("switching", "internal", "leakage")
    assert all(power[kind] > 0 for kind in kinds)
    assert power["total"] == pytest.approx(sum(power[kind] for kind in kinds))
    for key in ("cells", "cell_area_um2"):
        assert result[key] == pytest.approx(sum(group[key] for group in groups.values()))
    with gzip.open(folder / "power.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == result["cells"]
    cells_w = result["cells_power_w"]["total"]
    assert sum(float(row["total_w"]) for row in rows) == pytest.approx(cells_w, rel=1e-5)
    # The clock tree, which has no instance, is in the watts, and in those of the clock's group.
    tree_w = result["clock_tree_estimate_w"]["total"]
    assert power["total"] == pytest.approx(cells_w + tree_w) and tree_w > 0.05 * cells_w
    assert groups["clock"]["power_w"]["total"] == pytest.approx(tree_w)
    assert sum(g["power_w"]["total"] for g in groups.values()) == pytest.approx(power["total"])
    assert {file.name for file in folder.iterdir()} == {
        "metrics.json", "netlist.v.gz", "delays.sdf.gz", "step.v.gz", "activity.csv.gz",
        "power.csv.gz", "yosys.log", "yosys.ys", "timing.tcl", "timing.log",
    }  # fmt: skip


def test_delays_that_are_not_those_of_every_cell_are_an_error(tmp_path):
    """A whole SDF, but of another netlist: no figure is made of it."""
    design = netlist.parse("""module m (clk, a, y); input clk, a; output y; wire n;
      INV u (.A(a), .Y(n)); INV v (.A(n), .Y(y)); endmodule""")
    timing = Timing(0.1, 0.1, (), {})
    mapped = stages.Mapped(design, timing, liberty_reader.read(TINY_LIB))
    (tmp_path / stages.SDF).write_text("""(DELAYFILE (TIMESCALE 1ns)
      (CELL (CELLTYPE "INV") (INSTANCE)
  (INSTANCE u)
  (DELAY (ABSOLUTE
    (IOPATH A Y (0.1) (0.1))))))
""")
    words = np.zeros((3, 1), np.uint8)
    with pytest.raises(ToolError, match=r"delays\.sdf: no delay of 1 outputs .*, v/Y the first"):
        stages.simulate(tmp_path, mapped, words, 1, 100.0)


@needs_sta
@pytest.mark.slow
@pytest.mark.parametrize("cut", ["delays.sdf", "timing.log"])
def test_a_disk_that_fills_while_opensta_writes_leaves_no_figures(tmp_path, monkeypatch, cut):
    run = processes.run

    def half(command, folder, log, timeout_s):
        """Everything as it is, but for a file of which only half got onto the disk."""
        text = run(command, folder, log, timeout_s)
        file = folder / cut
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        return (folder / log).read_text() if cut == log else text

    folder = tmp_path / "synth"
    monkeypatch.setattr(opensta_timing.processes, "run", half)
    with pytest.raises(ToolError, match=f"only part of .*{cut}|{cut}: only part of"):
        synthesize(DESIGN, lambda _: stimulus(), "predictive28", FILTER_ALONE, folder=folder)
    assert not (folder / "metrics.json").exists() and not (folder / "power.csv.gz").exists()


@needs_sta
def test_a_folder_may_be_called_anything(tmp_path, monkeypatch):
    (tmp_path / ".sta").write_text("exit\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / 's;$(touch PWNED); it\'s "b" & `touch PWNED`'
    folder.mkdir()
    before = {*Path(tempfile.gettempdir()).glob("yosys-*"), *Path.cwd().iterdir()}
    found = synthesize(DESIGN, stimulus, "predictive28", FILTER_ALONE, clocks=100, folder=folder)
    assert found.gate_level_mismatches == 0
    assert not list(tmp_path.rglob("PWNED"))
    assert {*Path(tempfile.gettempdir()).glob("yosys-*"), *Path.cwd().iterdir()} <= before


def test_no_shell_gets_a_folder_for_temporary_files_of_another_name(tmp_path, monkeypatch):
    (tmp_path / "a $b").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "a $b"))
    with pytest.raises(ToolError, match="TMPDIR must be a path of letters"):
        run_yosys("help", tmp_path, 10)


@needs_sta
def test_without_a_folder_nothing_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    found = synthesize(DESIGN, stimulus, "predictive28", FILTER_ALONE, clocks=100)
    assert found.gate_level_mismatches == 0 < found.power_w.total
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo one; echo two; exit 3", "sh failed: one | two"),
        (
            "echo Error: bad; echo on it goes",
            "sh failed: Error: bad; its log ends: Error: bad | on it goes",
        ),
        ("echo one; sleep 30", "sh took longer than 1 s and was ended; its log ends: one"),
    ],
)
def test_without_a_folder_a_failed_tool_is_quoted(tmp_path, monkeypatch, script, message):
    def map_and_time(work, *rest):
        processes.run(["sh", "-c", script], work, "timing.log", 1)

    monkeypatch.setattr(stages, "programs", dict)
    monkeypatch.setattr(stages, "map_and_time", map_and_time)
    arguments = DESIGN, stimulus, "predictive28", target(0, 1)
    with pytest.raises(ToolError) as without:
        synthesize(*arguments, clocks=100)
    assert str(without.value) == message
    with pytest.raises(ToolError) as within:
        synthesize(*arguments, clocks=100, folder=tmp_path)
    assert str(within.value).endswith(f"; log: {tmp_path}/work/timing.log")


@needs_sta
def test_the_command_keeps_what_it_has_made_while_it_is_whole(run_dir, capsys):
    command = ["synth", str(run_dir), "--pdk", "predictive28", "--step", "1", "--lanes", "1"]
    (run_dir / "config.toml").write_text("")
    stimulus = Stimulus.load(run_dir / "stimulus.npz", DESIGN)
    replace(stimulus, config_hash=config_of(run_dir).hash).save(run_dir / "stimulus.npz")
    metrics = run_dir / "synth" / "predictive28" / "metrics.json"

    def made() -> bool:
        capsys.readouterr()
        assert cli.main(command) == 0
        return "kept, its inputs are the same" not in capsys.readouterr().out

    assert made()
    first = metrics.read_bytes()
    proof = metrics.parent / "proof.json"
    proof.write_text("{}")
    assert not made() and metrics.read_bytes() == first and proof.is_file()
    (metrics.parent / "netlist.v.gz").unlink()
    assert made() and (metrics.parent / "netlist.v.gz").is_file()
    assert not proof.exists()
    # What else has it made again, without making it.
    assert synthesize_step.kept(metrics.parent) is not None
    content = json.loads(metrics.read_text())
    metrics.write_text(json.dumps({key: content[key] for key in content if key != "slack_ns"}))
    assert synthesize_step.kept(metrics.parent) is None
    before = synthesize_step.stimulus_hash(stimulus)
    stimulus.samples.i[7] ^= 1
    assert synthesize_step.stimulus_hash(stimulus) != before


@pytest.mark.parametrize(
    "table", ["scaling.csv", "stillmaker.csv", "asap7_wires.lib", "predictive28.lib"]
)
def test_figures_of_other_tables_are_not_kept(tmp_path, monkeypatch, table):
    shutil.copytree(wire_load.DATA, tmp_path / "data")
    before = synthesize_step.hash_of([], [])
    monkeypatch.setattr(wire_load, "DATA", tmp_path / "data")
    assert synthesize_step.hash_of([], []) == before
    with (tmp_path / "data" / table).open("a") as file:
        file.write("\n")
    assert synthesize_step.hash_of([], []) != before


def test_figures_of_another_yosys_call_are_not_kept(monkeypatch):
    named = []
    monkeypatch.setattr(synthesize_step.sources, "hash_of", lambda *names: named.extend(names))
    synthesize_step.hash_of([], [])
    assert {"dbp.synthesis", "dbp.support.yosys"} <= set(named)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--lanes", "99999"], "lanes = 99999: must be an integer in 1..1024"),
        (["--step", "2"], "step = 2: must be an integer in 0..1"),
        (["--pdk", "foo"], "pdk = 'foo': must be one of"),
        (["--pdk", "predictive28", "--place-and-route", "--fit-clock"], "no layout"),
    ],
)
def test_the_command_looks_at_options_before_it_simulates_a_link(
    run_dir, capsys, monkeypatch, options, complaint
):
    monkeypatch.setattr("dbp.cli.synth.stimulus_source", lambda run: no_stimulus)
    assert cli.main(["synth", str(run_dir), *options]) == 2
    assert complaint in capsys.readouterr().err


@needs_sta
def test_the_last_step_has_a_filter_only_and_a_wrong_one_shows(tmp_path, monkeypatch):
    """Break the golden side: one output bit in one sample out of many must be found."""
    compare, counts = step_bench.Bench.compare, []

    def broken(self, gates: GateSimulation, outputs):
        counts.append(compare(self, gates, outputs))
        self.expected.i[777] ^= 1
        return compare(self, gates, outputs)

    monkeypatch.setattr(step_bench.Bench, "compare", broken)
    with pytest.raises(ToolError, match=r"differ from the golden model in 1 of \d+ samples"):
        synthesize(
            DESIGN, stimulus, "predictive28", target(1, 1), clock_mhz=9000.0, folder=tmp_path
        )
    ((samples, mismatches),) = counts
    assert samples >= 1000 and mismatches == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["gate_level_samples"] == samples and metrics["gate_level_mismatches"] == 1
    assert metrics["slack_ns"] < 0 and metrics["timing_met"] is False


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"lanes": 0}, "lanes = 0"),
        ({"step": 2}, "step = 2: must be an integer in 0..1"),
        ({"clock_mhz": 0.0}, "clock_mhz = 0.0"),
        ({"clocks": 0}, "clocks = 0"),
        ({"top": "chain"}, "top = 'chain': must be step"),
        ({"clocks": 5000}, "the stimulus holds 3000 samples: must be at least"),
    ],
)
def test_bad_options_are_refused(tmp_path, monkeypatch, options, complaint):
    library = TINY_LIB
    monkeypatch.setattr(kits, "find", lambda name: (kits.KITS[name], [library]))
    monkeypatch.setenv("PATH", "")  # before anything is said of missing tools
    of_target = {"lanes": 2, "step": 1, "top": "step"}
    of_target |= {key: options[key] for key in options.keys() & of_target}
    others = {key: options[key] for key in options.keys() - of_target}
    with pytest.raises(InputError, match=complaint):
        synthesize(
            DESIGN, stimulus, "nangate45", Target(**of_target), folder=tmp_path / "out", **others
        )


def no_stimulus(samples):
    raise AssertionError("asked for a stimulus")


@pytest.mark.parametrize(
    ("kit", "step", "options"),
    [
        ("../x", 1, {}),
        ("predictive28", 2, {}),
        ("predictive28", 1, {"clock_mhz": -1.0}),
        ("predictive28", 1, {"clocks": 0}),
        ("predictive28", 1, {"place_and_route": True}),
    ],
)
def test_options_are_looked_at_before_a_stimulus_is_asked_for(tmp_path, kit, step, options):
    with pytest.raises(InputError):
        synthesize(DESIGN, no_stimulus, kit, target(step), folder=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_an_unknown_kit_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"pdk = '\.\./x': must be one of nangate45"):
        synthesize(DESIGN, stimulus, "../x", target(1), folder=tmp_path)


def test_a_missing_kit_says_where_it_was_looked_for(monkeypatch, tmp_path, cache_folder):
    monkeypatch.delenv("DBP_PDK_ROOT", raising=False)
    with pytest.raises(
        MissingError, match=f"no kit nangate45 in {cache_folder}/pdk/nangate45: run"
    ):
        synthesize(DESIGN, stimulus, "nangate45", target(1), folder=tmp_path)
    monkeypatch.setenv("DBP_PDK_ROOT", str(tmp_path))
    with pytest.raises(MissingError, match=rf"in {tmp_path}/nangate45 or .*set DBP_PDK_ROOT to"):
        synthesize(DESIGN, stimulus, "nangate45", target(1), folder=tmp_path)


@pytest.mark.parametrize("reuse", [False, True])
def test_a_kit_that_is_not_liberty_is_refused(monkeypatch, tmp_path, reuse):
    (tmp_path / "nangate45").mkdir()
    (tmp_path / "nangate45" / "x.lib").write_text("module x; endmodule\n")
    monkeypatch.setenv("DBP_PDK_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", "")  # before anything is said of missing tools
    with pytest.raises(InputError, match=r"x\.lib: not a Liberty file"):
        synthesize(DESIGN, stimulus, "nangate45", target(1), folder=tmp_path / "out", reuse=reuse)
    with pytest.raises(InputError, match=r"x\.lib: not a Liberty file"):
        fit_clock.fit(DESIGN, "nangate45", target(1), tmp_path / "fit", reuse=reuse)


def test_a_missing_tool_leaves_earlier_figures_alone(tmp_path, monkeypatch):
    library = TINY_LIB
    monkeypatch.setattr(kits, "find", lambda name: (kits.KITS[name], [library]))
    monkeypatch.setenv("PATH", "")
    metrics = tmp_path / "metrics.json"
    metrics.write_text("{}")
    with pytest.raises(MissingError, match="sta is missing"):
        synthesize(DESIGN, stimulus, "nangate45", target(1), clocks=100, folder=tmp_path)
    assert metrics.read_text() == "{}"
