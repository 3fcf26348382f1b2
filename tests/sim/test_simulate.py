"""`simulate` on a small chain: what it compares, what it refuses, what it writes."""

import json
import shutil
import tempfile
from dataclasses import replace

import numpy as np
import pytest
from helpers.hardware import make_run, small_design
from hypothesis import given
from hypothesis import strategies as st

from dbp.datapath import fixed, golden
from dbp.datapath.design import MAX_LAUNCH_POWER_UW, Design
from dbp.datapath.lane_packing import pack_words, unpack_words
from dbp.datapath.stimulus import Stimulus
from dbp.errors import InputError, MissingError, ToolError
from dbp.rtl import Target, emit
from dbp.rtl.ports import Ports
from dbp.sim import simulate, simulators
from dbp.sim.vectors import make_vectors


def simulate_run(folder, **options):
    """`simulate` on a run's folder, as the command line calls it."""
    design = Design.load(folder / "design.json")

    def stimulus(at_least):
        return Stimulus.load(folder / "stimulus.npz", design)

    return simulate(folder / "rtl", design, stimulus, folder=folder / "sim", **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with a blank in its name, simulated once."""
    folder = tmp_path_factory.mktemp("a run")
    make_run(folder, small_design())
    simulate_run(folder, simulator="icarus")
    return folder


def test_every_sample_equals_golden(run):
    metrics = json.loads((run / "sim" / "metrics.json").read_text())
    design = small_design()
    assert metrics["simulator"] == "icarus"
    assert metrics["mismatches"] == 0 and metrics["first_mismatch"] is None
    assert metrics["lanes"] == 3 and metrics["steps"] == 3
    assert metrics["design_hash"] == design.hash
    assert {"cocotb", "icarus", "dbp"} <= set(metrics["versions"])
    ports = json.loads((run / "rtl" / "ports.json").read_text())
    assert metrics["latency_cycles"] == ports["latency_cycles"]
    each = {vector["name"]: vector for vector in metrics["vectors"]}
    assert metrics["samples_compared"] == sum(vector["samples"] for vector in each.values())
    # 15 of the 150 fill the histories.
    assert ports["warm_up_words"] == golden.warm_up_words(design, 3, range(5)) == 5
    assert each["received"]["samples"] == 150 - 3 * 5
    assert each["received"]["pauses"] == 0 and each["received_with_gaps"]["pauses"] > 10
    # The vectors that are there to saturate do; the received waveform hardly does.
    assert sum(each["received"]["clipped"].values()) < 10
    for name in ("all_largest", "all_smallest", "random_full_scale_with_gaps"):
        assert all(each[name]["clipped"][kind] > 100 for kind in ("filter", "phi", "rotation"))
        assert each[name]["launch_power_uw"] == MAX_LAUNCH_POWER_UW
    assert each["retuned"]["retunings"] == each["retuned_in_gaps"]["retunings"] == 3
    assert each["extreme_taps"]["retunings"] == 6
    assert metrics["registers_read"] > 100 and metrics["wrong_registers"] == []


def test_everything_that_can_be_used_is_used(run):
    design = small_design()
    coverage = json.loads((run / "sim" / "metrics.json").read_text())["coverage"]
    registers = sum(12 * len(f.half_taps_i) for f in design.filters)
    registers += sum(8 * len(r.kerr_gains) for r in design.rotations)
    assert coverage["register_bits"] == {"count": registers, "zero": registers, "one": registers}
    # Three filters and two rotations, I and Q, and phi; three lanes each.
    assert coverage["saturators"] == {"count": 36, "below": 36, "above": 36}
    assert coverage["addresses"] == {"count": 26, "written": 26, "read": 26}


def test_waveform_file_is_there_on_request_only(tmp_path):
    run = tmp_path / "a run"
    run.mkdir()
    make_run(run, small_design(taps=(1,)), lanes=1, samples=8)
    simulate_run(run, simulator="icarus")
    assert not (run / "sim" / "waves.vcd").exists()
    simulate_run(run, simulator="icarus", waves=True)
    text = (run / "sim" / "waves.vcd").read_text()
    assert "$enddefinitions" in text and "step_0" in text


def test_verilator_agrees(tmp_path):
    try:
        simulators.environment("verilator")
    except MissingError as error:
        pytest.skip(str(error))
    make_run(tmp_path, small_design(taps=(3, 1)), lanes=2)
    metrics = simulate_run(tmp_path, simulator="verilator", code_coverage=True)
    assert metrics.mismatches == 0
    assert metrics.latency_cycles == 11
    coverage = metrics.coverage
    assert coverage["lines"]["hit"] == coverage["lines"]["count"] > 0
    # What never toggles are high bits of the counters and the like.
    assert 0.8 < coverage["toggles"]["hit"] / coverage["toggles"]["count"] < 1


def test_lines_and_toggles_are_verilators_to_count(run):
    with pytest.raises(InputError, match="simulator = 'icarus': must be verilator to count lines"):
        simulate_run(run, simulator="icarus", code_coverage=True)


def test_stale_or_missing_rtl_is_refused(run, tmp_path):
    shutil.copytree(run, tmp_path, dirs_exist_ok=True)
    other = small_design(seed=1)
    emit(other, tmp_path / "rtl", Target(3))
    with pytest.raises(InputError, match=r"generated from another design .* run `dbp rtl` again"):
        simulate_run(tmp_path)
    (tmp_path / "rtl" / "ports.json").write_text('{"format": ')
    with pytest.raises(InputError, match="no complete emission"):
        simulate_run(tmp_path)
    shutil.rmtree(tmp_path / "rtl")
    with pytest.raises(InputError, match="run `dbp rtl` first"):
        simulate_run(tmp_path)


@pytest.mark.parametrize(
    ("way", "value", "message"),
    [
        (["lanes"], None, "lanes = None: must be an integer in 1..1024"),
        (["lanes"], "4", "lanes = '4': must be an integer"),
        (["lanes"], 0, "lanes = 0:"),
        (["lanes"], 4, "width of port in_i = 24: must be an integer in 32..32"),
        (["top"], "x; $finish", "top = .*must be a module name"),
        (["top"], ["chain"], "top"),
        (["kind"], "core", "kind = 'core': must be chain or step or filter"),
        (["filters"], None, "filters = None: must be reconfigurable or hardwired"),
        (["blocks"], [0, 1], r"blocks = \[0, 1\]: must be \[0, 1, 2, 3, 4\]"),
        (["output_bits"], 9, "output_bits = 9: must be an integer in 8..8"),
        (["read_latency_cycles"], 0, "read_latency_cycles = 0"),
        (["steps", 0, "addresses", "phi_clipped"], [1, 2], "phi_clipped = .*: must be a list of"),
        (["input_bits"], 9, "input_bits = 9: must be an integer in 8..8"),
        (["latency_cycles"], 10**9, "latency_cycles = 1000000000: must be an integer in 1..300"),
        (["ports"], [], "width of port in_i = None"),
        (["ports"], 3, "ports = 3: must be a list"),
        (["ports", 0], "clk", "ports = .*must be a list of objects"),
        (["steps"], 3, "steps = 3: must be a list of 3"),
        (["steps"], [], "steps = .*must be a list of 3"),
        (["steps", 1], 7, r"steps\[1\] = 7: must be an object with addresses"),
        (["steps", 1, "step"], 0, r"steps\[1\]\.step = 0: must be an integer in 1..1"),
        (["steps", 0, "addresses"], {}, r"steps\[0\]\.half_taps_i = None: must be a list of 3"),
        (["steps", 0, "addresses", "half_taps_q", 1], "1", r"an address of steps\[0\] = '1'"),
        (["steps", 0, "addresses", "kerr"], 6, r"steps\[0\]\.kerr = 6: must be a list of 2"),
        (["steps", 0, "addresses", "kerr", 0], None, r"an address of steps\[0\] = None"),
        (["steps", 2, "addresses", "kerr"], [8], r"steps\[2\]\.kerr = \[8\]: must be a list of 0"),
    ],
)
def test_odd_descriptions_of_the_ports_are_refused_by_name(run, tmp_path, way, value, message):
    design = small_design()
    ports = json.loads((run / "rtl" / "ports.json").read_text())
    target = ports
    for key in way[:-1]:
        target = target[key]
    target[way[-1]] = value
    (tmp_path / "ports.json").write_text(json.dumps(ports))
    shutil.copy(run / "rtl" / "metrics.json", tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        Ports.read(tmp_path, design)
    assert "\n" not in str(caught.value)


def test_unknown_and_missing_simulators(run, monkeypatch, tmp_path):
    with pytest.raises(InputError, match="simulator = 'questa': must be one of"):
        simulate_run(run, simulator="questa")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match=r"Icarus Verilog .* is missing: `apt install iverilog`"):
        simulate_run(run, simulator="icarus")
    with pytest.raises(MissingError, match=r"Verilator .* missing.*; or Icarus"):
        simulate_run(run)


def test_verilog_that_does_not_compile_is_a_failed_tool(run, tmp_path):
    shutil.copytree(run, tmp_path, dirs_exist_ok=True)
    (tmp_path / "rtl" / "chain.v").write_text("module chain (\n")
    with pytest.raises(ToolError, match=r"icarus failed: see .*icarus\.log"):
        simulate_run(tmp_path, simulator="icarus")
    assert "syntax error" in (tmp_path / "sim" / "icarus.log").read_text()
    assert not (tmp_path / "sim" / "metrics.json").exists()


def test_without_a_folder_no_file_stays(tmp_path, monkeypatch):
    design = small_design(taps=(1,))
    make_run(tmp_path / "run", design, lanes=1, samples=8)
    rtl, stimulus = tmp_path / "run" / "rtl", Stimulus.load(tmp_path / "run/stimulus.npz", design)
    before = sorted(tmp_path.rglob("*"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    # What the user has set for benches of his own does not reach ours.
    for name in ("COCOTB_TESTCASE", "COCOTB_TEST_FILTER", "COCOTB_TEST_MODULES", "GPI_EXTRA"):
        monkeypatch.setenv(name, "mine")
    metrics = simulate(rtl, design, lambda at_least: stimulus, simulator="icarus", waves=True)
    assert metrics.mismatches == 0 and metrics.samples_compared > 100
    (rtl / "chain.v").write_text("module chain (\n")
    # There is no log to look into later.
    with pytest.raises(ToolError, match=r"icarus failed: .*\|") as caught:
        simulate(rtl, design, lambda at_least: stimulus, simulator="icarus")
    assert str(tmp_path) not in str(caught.value) and "\n" not in str(caught.value)
    (tmp_path / "temporary").rmdir()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_stimulus_of_another_design_is_refused(run):
    design = small_design()
    stimulus = Stimulus.load(run / "stimulus.npz", design)
    other = replace(stimulus, design_hash="0" * 64)
    with pytest.raises(InputError, match=f"another design than {design.hash[:12]}"):
        simulate(run / "rtl", design, lambda at_least: other, simulator="icarus")


@given(st.integers(2, 16), st.integers(1, 100), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_words_round_trip(bits, lanes, count, seed):
    low, high = fixed.code_range(bits)
    codes = np.random.default_rng(seed).integers(low, high + 1, lanes * count)
    words = pack_words(codes, bits, lanes)
    assert len(words) == count
    for n, word in enumerate(words):
        for p in range(lanes):
            assert (word >> (p * bits)) & (2**bits - 1) == codes[n * lanes + p] % 2**bits
    assert (unpack_words(words, bits, lanes) == codes).all()


@pytest.mark.parametrize("lanes", [1, 3, 8])
def test_vectors_fill_their_valid_words(tmp_path, lanes):
    design = small_design()
    make_run(tmp_path, design, lanes)
    stimulus = Stimulus.load(tmp_path / "stimulus.npz", design)
    chain = Ports.read(tmp_path / "rtl", design)
    for blocks in ((0, 1, 2, 3, 4), (2, 3), (4,)):
        bits = design.filter_input_bits(blocks[0] // 2)
        low, high = fixed.code_range(bits)
        ports = replace(chain, blocks=blocks, latency_cycles=9)
        for vector in make_vectors(ports, design, stimulus, 100):
            assert len(vector.samples.i) == len(vector.samples.q) == lanes * vector.valid.sum()
            assert vector.valid.all() == ("gaps" not in vector.name)
            for part in vector.samples:
                assert low <= part.min() and part.max() <= high
            starts = [tuning.start for tuning in vector.tunings]
            assert starts[0] == 0 and all(start % lanes == 0 for start in starts)
            assert starts == sorted(set(starts)) and starts[-1] < len(vector.samples.i)


@pytest.mark.parametrize("options", [{"top": "step", "step": 0}, {"top": "filter", "step": 1}])
def test_single_steps_and_filters_are_simulated(run, tmp_path, options):
    shutil.copytree(run, tmp_path, dirs_exist_ok=True)
    emit(small_design(), tmp_path / "rtl", Target(3, **options))
    metrics = simulate_run(tmp_path, simulator="icarus")
    assert metrics.mismatches == 0 and metrics.steps == 1
    saturators = metrics.coverage["saturators"]
    assert saturators["above"] == saturators["count"]
