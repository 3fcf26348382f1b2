"""Broken on purpose, the RTL must fail: one rounding constant, one sign, one address, one delay."""

import json
import re
import shutil
import sys

import pytest
from helpers.hardware import make_run, small_design

from dbp.datapath.design import Design
from dbp.datapath.stimulus import Stimulus
from dbp.rtl import Target, emit
from dbp.sim import MismatchError, simulate
from dbp.sim.vectors import make_vectors


def play(run, name=None):
    """What `dbp sim` finds in a run's folder, with all of its vectors or only that of a name.

    Each begins with a reset, so what one finds is also found among all.
    """
    design = Design.load(run / "design.json")
    stimulus = Stimulus.load(run / "stimulus.npz", design)

    def chosen(*arguments):
        return [vector for vector in make_vectors(*arguments) if name in (None, vector.name)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["dbp.sim.simulate"], "make_vectors", chosen)
        return simulate(
            run / "rtl", design, lambda at_least: stimulus, folder=run / "sim", simulator="icarus"
        )


def mutate(folder, module, pattern, replacement):
    """Change exactly one place in the one module file whose name begins so."""
    (path,) = folder.glob(f"rtl/{module}*.v")
    text = path.read_text()
    changed, count = re.subn(pattern, replacement, text, count=1, flags=re.MULTILINE)
    assert count == 1 and changed != text
    path.write_text(changed)


def halve(match):
    """The constant of a requantiser, one bit lower."""
    return f"{match[1]}{int(match[2], 16) // 2:x}{match[3]}"


# Module, what to find in it, what to put instead.
MUTATIONS = {
    "rounding constant of a filter": (
        "filter_lane_s8_c6_t5",
        r"(out_i_dropped_unused \} = .*'h)([0-9a-f]+)(\);)$",
        halve,
    ),
    "rounding constant of phi": (
        "rotation_lane_s8",
        r"(phi_total = .*'h101)(40)(;)$",
        halve,
    ),
    "sign of a product": (
        "filter_lane_s8_c6_t7",
        r"(product_i_2_next = \S+) - ",
        r"\1 + ",
    ),
    "sign of the rotation": (
        "rotation_lane_s8",
        r"(phi_times_i_row_0 = \w+ \?) (\w+) : (\w+);",
        r"\1 \3 : \2;",
    ),
    "address of a tap register": (
        "registers_x3_c6_t3",
        r"cfg_address == 4'h2",
        "cfg_address == 4'h3",
    ),
    "sample that a tap reads": (
        "filter_lane_s8_c6_t7",
        r"window_q\[15:8\]",
        "window_q[23:16]",
    ),
    "address of a register of K": (
        "registers_x3_c6_t3",
        r"cfg_address == 4'h6",
        "cfg_address == 4'h7",
    ),
    "tap without a set that waits": (
        "registers_x3_c6_t3",
        r"load_taps \? next_tap_q_1 : tap_q_1",
        "next_tap_q_1",
    ),
    "K without a set that waits": (
        "registers_x3_c6_t3",
        r"load_kerr \? next_kerr_0 : kerr_0",
        "next_kerr_0",
    ),
    "clock at which taps change": (
        "step_x3_s8_c6_t5",
        r"\.load_taps\(registers_load_taps\)",
        ".load_taps(commit[0])",
    ),
    "clock at which K changes": (
        "step_x3_s8_c6_t5",
        r"\.load_kerr\(commit\[3\]\)",
        ".load_kerr(commit[4])",
    ),
    "offset of the power": (
        "rotation_x3_s8",
        r"(magnitude_1 = .* \+ 8'h)f5;$",
        r"\g<1>00;",
    ),
    "powers that K reads": (
        "rotation_x3_s8",
        r"\{ power_1, power_0, history_power\[15:8\] \}",
        "{ power_0, history_power }",
    ),
    "history of the powers": (
        "rotation_x3_s8",
        r"\{ power_2, power_1 \} : history_power",
        "{ power_1, power_0 } : history_power",
    ),
    "words that warm a rotation up": (
        "rotation_x3_s8",
        r"rst \? 1'h1",
        "rst ? 1'h0",
    ),
    "words that warm a filter up": (
        "filter_x3_s8_c6_t5",
        r"rst \? 2'h2",
        "rst ? 2'h1",
    ),
    "sample that waits for its power": (
        "rotation_x3_s8",
        r"\.in_i\(i_beside_power_0\)",
        ".in_i(i_beside_power_1)",
    ),
    "sign of the second order": (
        "rotation_lane_s8",
        r"(versine_times_q_row_0 = \w+ \?) (\w+) : (\w+);",
        r"\1 \3 : \2;",
    ),
}


# Which vector finds what the received waveform does not.
FINDS = {
    "K without a set that waits": "retuned",
    "clock at which K changes": "retuned",
    "clock at which taps change": "retuned",
    "counter that clears another": "all_largest",
    "lanes that are counted": "random_full_scale_with_gaps",
    "one of two commits in a row": "retuned",
    "second address of a register": "retuned",
    "tap without a set that waits": "retuned",
    "what clears a counter": "all_largest",
    "words that are counted": "all_largest",
}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Runs of a chain of two steps and of the first of them alone."""
    folder, design = tmp_path_factory.mktemp("unbroken"), small_design(taps=(5, 7))
    for top in ("chain", "step"):
        emit(design, make_run(folder / top, design) / "rtl", Target(3, top=top))
    return folder


@pytest.fixture
def broken(unbroken, tmp_path):
    """Mutates a copy of the run of a step, which has most modules, or of the chain."""

    def broken(module, pattern, replacement, top="step"):
        if module.startswith("filter_lane_s8_c6_t7"):
            top = "chain"
        shutil.copytree(unbroken / top, tmp_path, dirs_exist_ok=True)
        mutate(tmp_path, module, pattern, replacement)
        return tmp_path

    return broken


@pytest.mark.parametrize("top", ["chain", "step"])
def test_unbroken_rtl_passes(unbroken, tmp_path, top):
    shutil.copytree(unbroken / top, tmp_path, dirs_exist_ok=True)
    assert play(tmp_path).mismatches == 0


# Module, what to find, what to put instead, and what is then said.
REGISTER_MUTATIONS = {
    "sign of what is read back": (
        "registers_x3_c6_t3",
        r"\{ next_tap_q_1\[5\], next_tap_q_1\[5\], next_tap_q_1 \}",
        "{ 2'h0, next_tap_q_1 }",
        "registers read back wrong",
    ),
    "lanes that are counted": (
        "registers_x3_c6_t3",
        r"phi_clipped\[0\] \+ phi_clipped\[1\]",
        "phi_clipped[0] + phi_clipped[0]",
        "registers read back wrong",
    ),
    "words that are counted": (
        "step_x3_s8_c6_t5",
        r"\.rotation_valid\(out_valid\)",
        ".rotation_valid(1'b1)",
        "registers read back wrong",
    ),
    "what clears a counter": (
        "registers_x3_c6_t3",
        r"= cfg_write & at_8;",
        "= 1'h0;",
        "registers read back wrong",
    ),
    "counter that clears another": (
        "registers_x3_c6_t3",
        r"= cfg_write & at_8;",
        "= cfg_write & (at_8 | at_9);",
        "registers read back wrong",
    ),
    "write without being asked": (
        "registers_x3_c6_t3",
        r"= cfg_write & at_2;",
        "= at_2;",
        "registers read back wrong|the RTL differs",
    ),
    "second address of a register": (
        "registers_x3_c6_t3",
        r"at_6 = cfg_address == 4'h6;",
        "at_6 = cfg_address == 4'h6 || cfg_address == 4'hf;",
        "registers read back wrong|the RTL differs",
    ),
    "reading without its clock": (
        "registers_x3_c6_t3",
        r"always @\(posedge clk\)\n    cfg_read_data <= (\w+);",
        r"always @* cfg_read_data = \1;",
        "registers read back wrong",
    ),
    "commit that survives a reset": (
        "step_x3_s8_c6_t5",
        r"rst \? 8'h00 : ",
        "",
        "something left that should not",
    ),
    "one of two commits in a row": (
        "step_x3_s8_c6_t5",
        r"out_commit = commit\[7\]",
        "out_commit = commit[7] & ~commit[6]",
        "commits got lost|the latency is",
    ),
    "commit on its way": (
        "step_x3_s8_c6_t5",
        r"out_commit = commit\[7\]",
        "out_commit = commit[6]",
        "the RTL differs|the latency is",
    ),
}


@pytest.mark.parametrize("name", REGISTER_MUTATIONS)
def test_broken_registers_fail(broken, name):
    *mutation, message = REGISTER_MUTATIONS[name]
    # To read too early shows where steps hand on what was read, clock by clock.
    run = broken(*mutation, top="chain" if name == "reading without its clock" else "step")
    with pytest.raises(MismatchError, match=message):
        play(run, FINDS.get(name, "received"))


@pytest.mark.parametrize("name", MUTATIONS)
def test_broken_rtl_fails(broken, name):
    run = broken(*MUTATIONS[name])
    with pytest.raises(MismatchError, match="the RTL differs from golden in"):
        play(run, FINDS.get(name, "received"))
    metrics = json.loads((run / "sim" / "metrics.json").read_text())
    assert metrics["mismatches"] > 0
    first = metrics["first_mismatch"]
    assert first["expected"] != first["got"]


def test_wrong_latency_fails(broken):
    run = broken("filter_x3_s8_c6_t5", r"out_valid = valid\[2\]", "out_valid = valid[1]")
    with pytest.raises(MismatchError):
        play(run, "received")
