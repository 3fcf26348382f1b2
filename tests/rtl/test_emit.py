# amaranth: UnusedElaboratable=no
"""What an emission writes: clean under lint, described truly, small, and the same every time."""

import json
import re

import pytest
from helpers.designs import FEW_LANES, MAX_TAPS, designs, examples
from helpers.hardware import make_run, small_design
from helpers.verilog import check, lint
from hypothesis import assume, given
from hypothesis import strategies as st

from dbp.datapath.design import Design, Filter, Rotation
from dbp.errors import InputError, ToolError
from dbp.rtl import Target, emit, emit_step
from dbp.rtl.blocks.configuration_registers import SATURATORS
from dbp.rtl.blocks.step import Step
from dbp.rtl.pipeline import Pipeline, parse
from dbp.rtl.proof import prove
from dbp.rtl.target import FILTER_KINDS
from dbp.rtl.verilog import to_verilog
from dbp.support.yosys import run_yosys


def paper_like(steps=32, taps=15):
    """Formats of the paper, two kinds of step."""
    half = (taps + 1) // 2
    filters = tuple(Filter(6, 6, 9, (k % 30,) * half, (1,) * half) for k in range(steps + 1))
    rotations = tuple(Rotation(5, 0, 10, (-100 - k,), 20, 8, 8, 9, 1, 9) for k in range(steps))
    return Design("paper-like", 9, 250, filters, rotations)


@pytest.mark.parametrize("filters", FILTER_KINDS)
@pytest.mark.parametrize(
    ("design", "lanes"),
    # More lanes than taps, and fewer.
    [(small_design(taps=(3, 1, 5)), 1), (small_design(taps=(3, 1, 3)), 4), (paper_like(1), 3)],
    ids=["small-1", "small-4", "paper-3"],
)
def test_lint_and_check_accept_the_chain(tmp_path, design, lanes, filters):
    emit(design, tmp_path, Target(lanes, filters))
    assert lint(tmp_path) == ""
    assert check(tmp_path) == []


@given(designs(max_steps=2, max_taps=MAX_TAPS), FEW_LANES, st.sampled_from(FILTER_KINDS))
@examples(4)
def test_lint_and_check_accept_random_designs(tmp_path_factory, design, lanes, filters):
    for k, rotation in enumerate(design.rotations):
        # A phi that is zero whatever K leaves gates without a use, which lint may well say.
        largest = 2 ** (2 * rotation.branch_width(design.rotation_input_bits(k)) - 2)
        largest *= 2 ** (rotation.kerr_bits - 1) * rotation.kerr_taps
        assume(largest >> rotation.phase_shift)
    folder = tmp_path_factory.mktemp("rtl")
    emit(design, folder, Target(lanes, filters))
    assert lint(folder) == ""
    assert check(folder) == []


def test_lint_accepts_a_versine_wider_than_the_cosine_leaves_room_for(tmp_path):
    # phi beyond two: phi^2 / 2 passes two, and its product with x is wider than x (1 - phi^2 / 2).
    rotation = Rotation(5, 0, 3, (-2136, -231), 1, 0, 16, 10, 2, 8)
    filters = Filter(4, 3, 4, (3,), (-5,)), Filter(4, 3, 8, (7,), (2,))
    emit(Design("wide-versine", 8, 250, filters, (rotation,)), tmp_path, Target(2))
    assert lint(tmp_path) == ""


NO_FOLD, TWO_TERMS = (parse(cuts) for cuts in ("hardwired.after_fold=0", "hardwired.sum_terms=2"))


@pytest.mark.parametrize(
    ("bits", "filter_", "pipeline"),
    [
        # Rounds to zero whatever comes in, in one quadrature or in both.
        (3, Filter(4, 6, 2, (1,), (7,)), NO_FOLD),
        (3, Filter(3, 7, 3, (-4, 1, 0), (-1, -1, -4)), NO_FOLD),
        # Rounds to 0 or 1: nothing for a sign bit to say.
        (2, Filter(3, 4, 2, (1, 0), (0, 3)), Pipeline()),
        # 7 x = 8 x - x, whose parts have wider ranges than the whole.
        (8, Filter(4, 0, 16, (7, 0, 0), (0, 1, 0)), TWO_TERMS),
        (15, Filter(12, 0, 16, *2 * [(1248, 266, -1523, -750, 93, 780, 164)]), Pipeline()),
    ],
)
def test_lint_accepts_sums_with_bits_that_nothing_needs(tmp_path, bits, filter_, pipeline):
    design = Design("bits-to-spare", bits, 250, (filter_,), ())
    emit(design, tmp_path, Target(1, "hardwired", pipeline))
    assert lint(tmp_path) == ""
    assert len(prove(tmp_path, design).modules) == 1


@pytest.mark.parametrize("hardwired", [False, True])
@pytest.mark.parametrize("step", range(3))
def test_lint_and_check_accept_single_steps(tmp_path, step, hardwired):
    block = Step(small_design(), step, 2, Pipeline(), hardwired=hardwired)
    for name, text in to_verilog(block).items():
        (tmp_path / f"{name}.v").write_text(text)
    assert lint(tmp_path, block.module_name) == ""
    assert check(tmp_path, block.module_name) == []


def test_a_module_that_yosys_lost_is_an_error(monkeypatch):
    """A full disk may cut Yosys' file off just behind a module."""

    def cut_off(script, folder, timeout_s):
        log = run_yosys(script, folder, timeout_s)
        text = (folder / "blocks.v").read_text()
        (folder / "blocks.v").write_text(text[: text.index("endmodule\n") + len("endmodule\n")])
        return log

    monkeypatch.setattr("dbp.rtl.verilog.run_yosys", cut_off)
    with pytest.raises(ToolError, match="Yosys wrote no module "):
        to_verilog(Step(small_design(), 0, 2, Pipeline()))


def test_equal_steps_share_modules_so_that_text_does_not_grow_with_them(tmp_path):
    few, many = (emit(paper_like(k), tmp_path / f"{k}", Target(4)) for k in (2, 32))
    assert few.modules == many.modules == 9
    assert many.steps == 33
    # Only the chain itself grows, by an instance and its wires for each further step.
    assert many.lines - few.lines < 40 * 30
    top = (tmp_path / "32" / "chain.v").read_text()
    assert all(re.search(rf"^  step_x4_\S+ step_{k} \($", top, re.MULTILINE) for k in range(33))


def test_ports_json_says_what_the_verilog_has(tmp_path):
    design = small_design()
    metrics = emit(design, tmp_path, Target(3))
    ports = json.loads((tmp_path / "ports.json").read_text())
    header = (tmp_path / "chain.v").read_text()
    for port in ports["ports"]:
        width = rf"\[{port['width'] - 1}:0\] " if port["width"] > 1 else ""
        assert re.search(rf"^  {port['direction']} {width}{port['name']};$", header, re.MULTILINE)
    assert ports["lanes"] == metrics.lanes == 3
    assert ports["latency_cycles"] == metrics.latency_cycles
    assert ports["latency_cycles"] == sum(step["latency_cycles"] for step in ports["steps"])
    assert metrics.design_hash == ports["design_hash"] == design.hash
    assert metrics.lines == sum(len(p.read_text().splitlines()) for p in tmp_path.glob("*.v"))
    assert metrics.content() == json.loads((tmp_path / "metrics.json").read_text())
    for step, filter_ in zip(ports["steps"], design.filters, strict=True):
        half = len(filter_.half_taps_i)
        assert (tmp_path / f"{step['module']}.v").exists()
        assert step["addresses"]["half_taps_i"] == list(range(0, 2 * half, 2))
        assert step["addresses"]["half_taps_q"] == list(range(1, 2 * half, 2))
        kerr_half = (2, 1, 0)[step["step"]]
        assert step["addresses"]["kerr"] == list(range(2 * half, 2 * half + kerr_half))


def test_emission_is_reproducible_and_leaves_nothing_stale(tmp_path):
    first = make_run(tmp_path, small_design())
    texts = {p.name: p.read_text() for p in first.glob("rtl/*.v")}
    assert not any(str(tmp_path) in text for text in texts.values())
    emit(small_design(), tmp_path / "rtl", Target(3))
    assert texts == {p.name: p.read_text() for p in tmp_path.glob("rtl/*.v")}
    emit(small_design(), tmp_path / "rtl", Target(2))
    assert not any("_x3_" in p.name for p in tmp_path.glob("rtl/*.v"))


def test_verilog_of_somebody_else_is_neither_removed_nor_mixed_with_ours(tmp_path):
    target = Target(1, top="filter")
    emit(small_design(), tmp_path, target)
    ours = {path.name for path in tmp_path.iterdir()}
    (tmp_path / "theirs.v").write_text("// A line.\nmodule theirs; endmodule\n")
    with pytest.raises(InputError, match=r"theirs\.v: Verilog that dbp did not write"):
        emit(small_design(), tmp_path, target)
    assert {path.name for path in tmp_path.iterdir()} == ours | {"theirs.v"}


def test_registers_of_taps_and_data_have_no_reset(tmp_path):
    ports = emit_step(small_design(), tmp_path / "step.v", Target(2, top="step"))
    verilog = (tmp_path / "step.v").read_text()
    names = set()
    # Names of wires without a name are those of their module.
    for module in re.findall(r"^module .*?^endmodule", verilog, re.MULTILINE | re.DOTALL):
        if module.startswith(("module filter_lane", "module rotation_lane")):
            assert "rst" not in module
        # Reset reaches valid and commit bits, the words that are missing, and counters: no data.
        reset = re.findall(r"assign (_\d+_) = rst \?", module)
        assert len(reset) == module.count("rst ?")
        names |= {name for wire in reset for name in re.findall(rf"(\w+) <= {wire};", module)}
    counters = {f"{name}_clipped_{of}" for name in SATURATORS for of in ("now", "total")}
    assert names == {"valid", "power_valid", "words_missing", "commit"} | counters
    assert not re.search(r"\binitial\b|reg .*=", verilog)
    assert ports.reset == "rst"


@pytest.mark.parametrize("lanes", [0, -1, 1025, 2.0, "4", True])
def test_impossible_lanes_are_refused(tmp_path, lanes):
    with pytest.raises(InputError, match=r"lanes = .*must be an integer in 1\.\.1024"):
        emit(small_design(), tmp_path, Target(lanes))
    with pytest.raises(InputError, match="lanes"):
        emit_step(small_design(), tmp_path / "step.v", Target(lanes, top="step"))


@pytest.mark.parametrize("step", [-1, 3, None])
def test_impossible_steps_are_refused(tmp_path, step):
    with pytest.raises(InputError, match=r"step = .*must be an integer in 0\.\.2"):
        emit_step(small_design(), tmp_path / "step.v", Target(2, top="step", step=step))


def test_latency_follows_the_pipeline():
    design = small_design()
    assert Step(design, 0, 2, Pipeline()).latency == 3 + 5
    assert Step(design, 1, 2, Pipeline()).latency == 3 + 3
    assert Step(design, 2, 2, Pipeline()).latency == 3


def test_other_cuts_have_other_latencies_and_names(tmp_path):
    usual = emit(small_design(), tmp_path / "usual", Target(2))
    cuts = parse("filter.after_multiplier=1,filter.adder_levels=1,rotation.after_product=1")
    other = emit(small_design(), tmp_path / "other", Target(2, pipeline=cuts))
    # Three multipliers, a level of the trees over 3 and two over 4 products, two rotations.
    assert other.latency_cycles == usual.latency_cycles + 3 + 1 + 1 + 2
    assert other.pipeline["filter"]["adder_levels"] == 1
    assert lint(tmp_path / "other") == ""
    names = [{p.name for p in (tmp_path / k).glob("*.v")} for k in ("usual", "other")]
    shared = {name for name in names[0] & names[1] if not name.startswith("registers")}
    assert shared == {"chain.v"}


def test_yosys_errors_and_limits_end_the_child_only(tmp_path):
    with pytest.raises(ToolError, match=r"Yosys failed: ERROR: .*nothing\.v"):
        run_yosys("read_verilog nothing.v", tmp_path, 60)
    with pytest.raises(ToolError, match="longer than 1 s"):
        run_yosys("exec -- sleep 60", tmp_path, 1)
