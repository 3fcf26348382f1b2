"""The proof of emitted blocks: passes what is right, names what is wrong."""

import functools
import json
import re
import shutil
import sys
from dataclasses import replace

import pytest
from helpers.designs import FEW_LANES, MAX_TAPS, TWO_A_SPAN, designs, examples
from helpers.hardware import make_run, small_design
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dbp.datapath import fixed
from dbp.datapath.design import Design, Filter, Rotation
from dbp.errors import InputError, ToolError
from dbp.records.schemas import ProofMetrics
from dbp.rtl import Target, emit
from dbp.rtl.pipeline import FilterPipeline, Pipeline, RotationPipeline
from dbp.rtl.proof import prove
from dbp.rtl.proof.cells import OPEN, Symbols, open_bit
from dbp.rtl.proof.golden_polynomials import GoldenPolynomials
from dbp.rtl.proof.netlist import ProofError, read_modules
from dbp.rtl.proof.origins import PackedInput
from dbp.rtl.proof.polynomial import Polynomial, Space, Variable
from dbp.rtl.proof.prove_block import prove_filter
from dbp.rtl.proof.requantizer import Requantizer, WordRange, prove_requantizer
from dbp.rtl.proof.words import Words
from dbp.rtl.target import FILTER_KINDS

LANE = "filter_lane_s8_c6_t7_r5_o8"
LANES = "filter_x3_s8_c6_t7_r5_o8"
TURN = "rotation_lane_s8_b4_d11_k8_t3_r7_p6_f5_n2_o8"
TURNS = "rotation_x3_s8_b4_d11_k8_t3_r7_p6_f5_n2_o8"
STEP = "step_x3_s8_c6_t5_r5_o8__s8_b4_d11_k8_t3_r7_p6_f5_n2_o8"
# Of `idle_design`.
IDLE_LANE = "filter_lane_s8_c6_t3_r0_o16"
IDLE_LANES = "filter_x2_s8_c6_t3_r0_o16"
IDLE_TURN = "rotation_lane_s16_b3_d2_k4_t3_r0_p16_f15_n2_o8"


def of_its_own(module, instance, port, wired):
    """An instance whose clock or reset is not that of the module it is in."""
    find = rf"( {instance} \((?:.|\n)*?\.{port})\({port}\)"
    return module, find, rf"\1({wired})", f"{instance}: {port} is not {port} of {module}"


# What is wrong: module, what to find in it, what to put instead, what the proof says.
BUGS = {
    "sign of a product": (LANE, r"(product_i_2_next = \S+) - ", r"\1 + ", "overflow: 15 bits"),
    "sign of a sum": (LANE, r"(sum_q_1_0 = \S+) \+ ", r"\1 - ", "no sum of golden"),
    "sample of a tap": (LANE, r"window_q\[15:8\]", "window_q[23:16]", "no sum of golden"),
    "half tap": (LANE, r"(_i_1\) \* \$signed\(taps_i)\[11:6\]", r"\1[17:12]", "no sum of golden"),
    "register too many": (
        LANE,
        r"(always @\(posedge clk\)\n    folded_i_2 <= )(folded_i_2_next);",
        r"reg [8:0] late;\n  always @(posedge clk) late <= \2;\n  \1late;",
        r"joins what is \[\d, \d\] clocks old",
    ),
    "dropped register": (
        LANE,
        r"always @\(posedge clk\)\n    folded_i_2 <= (folded_i_2_next);",
        r"always @* folded_i_2 = \1;",
        r"joins what is \[\d, \d\] clocks old",
    ),
    "taps a clock too late": (
        LANE,
        r"^(  assign .*\* \$signed\()taps_i\[5:0\]",
        r"  reg [5:0] old;\n  always @(posedge clk) old <= taps_i[5:0];\n\1old",
        r"joins what is \[-1, 0\] clocks old",
    ),
    "rounding constant": (LANE, r"(out_i_dropped_unused \} = .*'h000)10", r"\g<1>08", "gives"),
    "saturation limit": (LANE, r"8'h7f", "8'h7e", r"a sum of \d+ gives 126 instead of 127"),
    "shift": (
        LANE,
        r"\{ out_q_rounded, out_q_dropped_unused \} = (.*);",
        r"{ out_q_rounded, out_q_dropped_unused } = (\1) >>> 1;",
        None,
    ),
    "clip flag": (LANE, r"(clipped_next = )(.*);", r"\1~(\2);", "clipped|gives"),
    "lanes swapped": (
        LANES,
        r"\{ lane_2_out_i, lane_1_out_i, lane_0_out_i \}",
        "{ lane_1_out_i, lane_2_out_i, lane_0_out_i }",
        r"out_i of lane 1 is \+1 y_i\[n\+2\]@3 instead of \+1 y_i\[n\+1\]@3",
    ),
    "flags swapped": (
        LANES,
        r"\{ (lane_2_out_clipped), (lane_1_out_clipped), ",
        r"{ \2, \1, ",
        "out_clipped of lane 1",
    ),
    "history one sample off": (
        LANES,
        r"\{ in_i, history_i\[47:24\] \}",
        "{ in_i[15:0], history_i[47:24], 8'h00 }",
        "no sum of golden",
    ),
    "history without valid": (
        LANES,
        r"in_valid \? (\{ in_q, history_q\[47:24\] \}) : history_q",
        r"\1",
        "no sum of golden|joins",
    ),
    "history of another valid": (
        LANES,
        r"in_valid (\? \{ in_q, history_q\[47:24\] \} : history_q)",
        r"taps_q[0] \1",
        r"advances with taps_q\[0\], which is no valid",
    ),
    "history of a late valid": (
        LANES,
        r"(  assign .*)in_valid (\? \{ in_q, history_q\[47:24\] \} : history_q)",
        r"  reg old;\n  always @(posedge clk) old <= rst ? 1'h0 : in_valid;\n\1old \2",
        "advances with the valid of another word",
    ),
    "latency": (LANES, r"out_valid = valid\[2\]", "out_valid = valid[1]", "instead of"),
    "valid held": (LANES, r"(valid <= )(_\w+_);", r"\1in_valid ? \2 : valid;", "valid that reset"),
    "valid not cleared": (
        LANES,
        r"= rst \? 3'h0 : (\{ valid\[1:0\], .*)",
        r"= \1",
        "valid that reset does not clear",
    ),
    "one word too early": (LANES, r"(rst \? 2)'h2 :", r"\1'h1 :", "holds back 1 words to fill 6"),
    "counts pauses": (
        LANES,
        r"= \w+ (\? words_missing_next : words_missing;)",
        r"= _01_ \1",
        "counts or puts out words that never came in",
    ),
    "offset": (TURNS, r"(magnitude_1 = .* \+ 8'hf)5;$", r"\g<1>7;", "no sum of golden"),
    "cut of a quadrature": (TURNS, r"in_i\[6:4\]", "in_i[5:3]", None),
    "fold by a wrong sign": (TURNS, r"(in_q\[6:4\] \^ \{ )in_q\[7\]", r"\1in_q[6]", None),
    "powers that K reads": (
        TURNS,
        r"\{ power_1, power_0, history_power\[15:8\] \}",
        "{ power_0, history_power }",
        "no sum of golden",
    ),
    "sample that waits": (TURNS, r"\.in_i\(i_beside_power_0\)", ".in_i(i_beside_power_1)", None),
    "rounding of phi": (TURN, r"(phi_total = .* \+ 17'h101)40", r"\g<1>20", "gives"),
    "phi clipped early": (TURN, r"6'h1f", "6'h1e", "gives 30 instead of 31"),
    "versine": (TURN, r"phi_squared \+ 11'h020", "phi_squared + 11'h010", "no sum of golden"),
    "second order": (
        TURN,
        r"(versine_times_q_row_0 = \w+ \?) (\w+) : (\w+);",
        r"\1 \3 : \2;",
        "overflow",
    ),
    "direction": (
        TURN,
        r"(phi_times_i_row_1 = \w+ \?) (\w+) : (\w+);",
        r"\1 \3 : \2;",
        "overflow",
    ),
    "digit of phi": (
        TURN,
        r"(assign \w+ = phi\[2\]) \^ (phi\[1\];)",
        r"\1 | \2",
        "overflow",
    ),
    "digit of K": (
        TURN,
        r"(kerr_1_two_1 = .* \?) (.*) : (.*);",
        r"\1 \3 : \2;",
        "no sum of golden",
    ),
    "bit of phi": (
        TURN,
        r"(assign \w+ = phi\[4\] \^ )phi\[3\];",
        r"\1phi[2];",
        "no sum of golden",
    ),
    "pair of bits in a square": (
        TURNS,
        r"(magnitude_1_i_folded\[1:0\] & \{ )magnitude_1_i_folded\[2\]",
        r"\1magnitude_1_i_folded[1]",
        "no sum of golden",
    ),
    "sample beside phi": (TURN, r"(i_beside_phi <= )i_beside_fold", r"\1in_i", "clocks old"),
    "word cut in a step": (STEP, r"\.in_i\(filter_out_i\)", ".in_i(filter_out_q)", "no later"),
    "steps in a wrong order": ("chain", r"\.in_q\(step_0_out_q\)", ".in_q(in_q)", "no later"),
    "clock of a step": of_its_own("chain", "step_1", "clk", "~clk"),
    "reset of a step": of_its_own("chain", "step_1", "rst", "1'h0"),
    "clock of a filter": of_its_own(STEP, "filter", "clk", "~clk"),
    "reset of a filter": of_its_own(STEP, "filter", "rst", "1'h0"),
    "clock of a rotation": of_its_own(STEP, "rotation", "clk", "rst"),
    "reset of a rotation": of_its_own(STEP, "rotation", "rst", "in_commit"),
    "clock of registers": of_its_own(STEP, "registers", "clk", "~clk"),
    "reset of registers": of_its_own(STEP, "registers", "rst", ""),
    "clock of a filter lane": of_its_own(LANES, "lane_1", "clk", "in_valid"),
    "clock of a rotation lane": of_its_own(TURNS, "lane_1", "clk", "~clk"),
    "clock that stands": (LANES, r"^  wire clk;$", "wire clk = 1'h0;", "clk is driven inside"),
    "no reset": (STEP, r"^  wire rst;$", "wire rst = 1'h0;", "rst is driven inside"),
    "clock that is a valid": (STEP, r"^  wire clk;$", "wire clk = in_valid;", "has two drivers"),
}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("unbroken"), small_design())


@pytest.fixture
def run(unbroken, tmp_path):
    """A copy to break."""
    return shutil.copytree(unbroken, tmp_path, dirs_exist_ok=True)


@pytest.fixture(scope="module")
def emitted(tmp_path_factory):
    """Folders of emissions, each made once."""

    @functools.cache
    def emitted(design, target):
        folder = tmp_path_factory.mktemp("emitted")
        emit(design, folder / "rtl", target)
        return folder

    return emitted


def least(module, lanes, last):
    """The smallest of the tops that hold a module: what else a chain has need not be proved again.

    ``last``: the number of the step that has the filter.
    """
    if module == "chain":
        return Target(lanes)
    if module.startswith("filter"):
        return Target(lanes, top="filter", step=last)
    return Target(lanes, top="step")


def change(run, module, find, put):
    """Make a change in the Verilog of a module, which must be possible."""
    path = run / "rtl" / f"{module}.v"
    text = path.read_text()
    changed = re.sub(find, put, text, count=1, flags=re.MULTILINE)
    assert changed != text
    path.write_text(changed)


def prove_run(run):
    design = Design.load(run / "design.json")
    return prove(run / "rtl", design, folder=run / "proof", config_hash="of a test")


def test_unbroken_verilog_is_proved(run):
    metrics = prove_run(run)
    written = json.loads((run / "proof" / "metrics.json").read_text())
    assert metrics == ProofMetrics.model_validate(written) and written == metrics.content()
    assert (metrics.config_hash, metrics.seed) == ("of a test", None)
    rows = {row["module"]: row for row in written["modules"]}
    assert set(rows) == {p.stem for p in run.glob("rtl/*_x3_*.v") if p.stem[:2] in ("fi", "ro")}
    lanes = rows[LANES]
    assert (lanes["latency_cycles"], lanes["warm_up_words"]) == (3, 2)
    assert lanes["registers_read_after_cycles"] == 1
    # Two parts of 7 complex products in each of 3 lanes.
    assert (lanes["sums"]["sums"], lanes["sums"]["monomials"]) == (6, 84)
    # I, Q, and whether each is clipped, for all sums of 7 taps of 6 bits and samples of 8 bits.
    assert lanes["requantisers"]["functions"] == 12
    assert lanes["requantisers"]["values"] > 12 * 2 * 7 * 31 * 127
    assert rows[TURNS]["latency_cycles"] == 5
    # |x|^2 of I and Q, and the versine.
    assert rows[TURNS]["tables"]["functions"] >= 3


@pytest.mark.parametrize("name", BUGS)
def test_planted_bugs_are_found(emitted, tmp_path, name):
    module, find, put, message = BUGS[name]
    design = small_design()
    shutil.copytree(emitted(design, least(module, 3, 2)), tmp_path, dirs_exist_ok=True)
    change(tmp_path, module, find, put)
    (tmp_path / "proof").mkdir()
    (tmp_path / "proof" / "metrics.json").write_text("of an earlier proof")
    with pytest.raises(ProofError, match=message):
        prove(tmp_path / "rtl", design, folder=tmp_path / "proof")
    assert not (tmp_path / "proof" / "metrics.json").exists()


@pytest.mark.parametrize("name", ["sign of a product", "second order"])
def test_bugs_in_any_step_of_a_chain_are_found(run, name):
    module, find, put, message = BUGS[name]
    change(run, module, find, put)
    with pytest.raises(ProofError, match=message):
        prove_run(run)


def by_hand():
    """One lane of 3 hardwired taps -1, 2, -1, written as `dbp.rtl` does not: no signs, few bits.

    Samples d = x + 8 have no sign, and -x is ~d - 7.
    """
    parts = ""
    for part in "iq":
        parts += f"""
  reg [7:0] history_{part};
  wire [11:0] x_{part} = {{in_{part}, history_{part}}};
  always @(posedge clk) history_{part} <= in_valid ? x_{part}[11:4] : history_{part};
  wire [3:0] minus_0_{part} = ~(x_{part}[11:8] ^ 4'h8);
  wire [3:0] centre_{part} = {{~x_{part}[7], x_{part}[6:4]}};
  wire [3:0] minus_2_{part} = ~{{~x_{part}[3], x_{part}[2:0]}};
  wire [4:0] fold_{part} = minus_0_{part} + minus_2_{part};
  wire [4:0] fold_again_{part} = ~~fold_{part};
  wire [5:0] sum_{part} = fold_again_{part} + {{centre_{part}, 1'h0}} + 6'h23;
  wire clips_{part} = sum_{part}[5] != sum_{part}[4];
  always @(posedge clk) out_{part} <= clips_{part} ? {{sum_{part}[5], {{3{{~sum_{part}[5]}}}}}}
    : sum_{part}[4:1];"""
    return f"""
module by_hand(clk, rst, in_valid, in_i, in_q, out_valid, out_i, out_q, out_clipped);
  input clk, rst, in_valid;
  input [3:0] in_i, in_q;
  output reg [3:0] out_i, out_q;
  output reg out_valid, out_clipped;
  reg [1:0] missing;
  always @(posedge clk) missing <= rst ? 2'h2 : in_valid & |missing ? missing - 2'h1 : missing;
  always @(posedge clk) out_valid <= rst ? 1'h0 : in_valid & ~|missing;
  always @(posedge clk) out_clipped <= clips_i | clips_q;{parts}
endmodule
"""


BY_HAND = Filter(4, 1, 4, (-1, 2), (0, 0))
IDLE_BY_HAND = Filter(4, 0, 6, (-1, 2), (0, 0))


def prove_by_hand(folder, text, filter_=BY_HAND):
    (folder / "by_hand.v").write_text(text)
    netlist = read_modules(folder, ["by_hand"])["by_hand"]
    return prove_filter(netlist, filter_, 4, 1).model_dump()


def test_hardwired_taps_are_proved(tmp_path):
    row = prove_by_hand(tmp_path, by_hand())
    assert (row["latency_cycles"], row["warm_up_words"]) == (1, 2)
    assert row["registers_read_after_cycles"] is None
    # I and Q, sums and flags, of the sums -30..30.
    assert (row["requantisers"]["functions"], row["requantisers"]["values"]) == (4, 4 * 61)


@pytest.mark.parametrize(
    ("find", "put"),
    [
        ("6'h23", "6'h22"),
        ("6'h23", "6'h03"),
        ("4'h8", "4'h9"),
        ("{~x_i[7], ", "{x_i[7], "),
        ("{centre_i, 1'h0}", "{centre_i, 2'h0}"),
        ("{centre_q, 1'h0}", "{1'h0, centre_q}"),
        ("= ~(x_i[11:8]", "= (x_i[11:8]"),
        ("~~fold_q", "~fold_q"),
        ("wire [4:0] fold_q", "wire [3:0] fold_q"),
        ("sum_i[5] != sum_i[4]", "sum_i[5] != sum_i[3]"),
        ("{3{~sum_q[5]}}", "{2{~sum_q[5]}}, 1'h0"),
        ("clips_i | clips_q", "clips_i & clips_q"),
        ("[11:4] : history_q", "[10:3] : history_q"),
        (": sum_i[4:1]", ": sum_q[4:1]"),
    ],
)
def test_bugs_in_hardwired_taps_are_found(tmp_path, find, put):
    text = by_hand()
    assert text.replace(find, put) != text
    with pytest.raises(ProofError):
        prove_by_hand(tmp_path, text.replace(find, put))


def idle_by_hand():
    """The same lane without a shift, behind a saturator that the sums -30..30 never reach."""
    text = by_hand()
    for find, put in (
        ("6'h23", "7'h62"),
        ("wire [5:0] sum", "wire [6:0] sum"),
        ("sum_i[5] != sum_i[4]", "sum_i[6] != sum_i[5]"),
        ("sum_q[5] != sum_q[4]", "sum_q[6] != sum_q[5]"),
        ("{sum_i[5], {3{~sum_i[5]}}}", "{sum_i[6], {5{~sum_i[6]}}}"),
        ("{sum_q[5], {3{~sum_q[5]}}}", "{sum_q[6], {5{~sum_q[6]}}}"),
        ("sum_i[4:1]", "sum_i[5:0]"),
        ("sum_q[4:1]", "sum_q[5:0]"),
        ("output reg [3:0] out_i", "output reg [5:0] out_i"),
    ):
        assert find in text
        text = text.replace(find, put)
    return text


NO_SATURATOR = ("clips_i ? {sum_i[6], {5{~sum_i[6]}}}\n    : ", "")


@pytest.mark.parametrize(
    ("find", "put", "functions"),
    [
        ("", "", 0),
        (*NO_SATURATOR, 0),
        ("clips_i | clips_q", "clips_q", 0),
        # The sum is whole only in the word that is saturated: this is proved in cases.
        ("{centre_i, 1'h0} + 7'h62", "7'h62 + {centre_i, 1'h0}", 1),
    ],
)
def test_saturators_that_never_act_are_proved(tmp_path, find, put, functions):
    text = idle_by_hand()
    assert find in text
    row = prove_by_hand(tmp_path, text.replace(find, put), IDLE_BY_HAND)
    assert (row["requantisers"]["functions"], row["sums"]["sums"]) == (functions, 2)


@pytest.mark.parametrize(
    ("find", "put"),
    [
        ("7'h62", "7'h63"),
        ("sum_i[6] != sum_i[5]", "sum_i[6] != sum_i[4]"),
        ("clips_q = ", "clips_q = ~"),
        ("clips_i | clips_q", "1'h1"),
        ("{centre_i, 1'h0}", "{centre_q, 1'h0}"),
        (": sum_q[5:0]", ": sum_i[5:0]"),
        (NO_SATURATOR[0] + "sum_i[5:0]", "sum_i[6:1]"),
        (NO_SATURATOR[0] + "sum_i[5:0]", "{sum_i[5], sum_i[4:0] ^ 5'h1}"),
    ],
)
def test_bugs_around_saturators_that_never_act_are_found(tmp_path, find, put):
    text = idle_by_hand()
    assert find in text
    with pytest.raises(ProofError):
        prove_by_hand(tmp_path, text.replace(find, put), IDLE_BY_HAND)


def idle_design():
    """Neither the filters nor phi shift or clip anything; only what is rotated is requantised."""
    filter_ = Filter(6, 0, 16, (1, 2), (1, 1))
    rotation = Rotation(3, 2, 4, (3000, -8000), 17, 0, 16, 15, 2, 8)
    plain = replace(rotation, kerr_gains=(-8001,), taylor_order=1)
    return Design("idle", 8, 250, 3 * (filter_,), (rotation, plain))


def rows_of(rtl_dir, design):
    return [row.model_dump() for row in prove(rtl_dir, design).modules]


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("filters", FILTER_KINDS)
def test_requantisers_that_do_nothing_are_proved(tmp_path, filters, lanes):
    emit(idle_design(), tmp_path, Target(lanes, filters))
    filter_, *rotations = rows_of(tmp_path, idle_design())
    assert filter_["requantisers"]["functions"] == 0
    assert filter_["sums"]["sums"] == 2 * lanes
    taps_after = None if filters == "hardwired" else 1
    assert filter_["registers_read_after_cycles"] == taps_after
    # Of phi nothing but the sum is left; I and Q, and whether each is clipped.
    for row in rotations:
        assert (row["sums"]["sums"], row["requantisers"]["functions"]) == (3 * lanes, 4 * lanes)


@pytest.mark.parametrize(
    ("module", "find", "put", "message"),
    [
        (IDLE_LANE, r"window_q\[15:8\]", "window_q[23:16]", r"instead of \+1 y_i\[n\+0\]@3"),
        (
            IDLE_LANE,
            r"^(  assign .*\* \$signed\()taps_i\[5:0\]",
            r"  reg [5:0] old;\n  always @(posedge clk) old <= taps_i[5:0];\n\1old",
            r"joins what is \[-1, 0\] clocks old",
        ),
        (IDLE_LANES, r"taps_i\(taps_i\)", "taps_i(taps_q)", "instead of"),
        (IDLE_LANES, r"out_valid = valid\[2\]", "out_valid = valid[1]", r"y_i\[n\+0\]@2"),
        (IDLE_TURN, r"(phi_total_2\S* = .*) \+ ", r"\1 - ", "no sum of golden"),
        (IDLE_TURN, r"\bphi <= (\w+);", r"phi <= \1 + 10'h001;", "no sum of golden"),
        (IDLE_TURN, r"(phi_squared = )\S+ ", r"\1$signed(phi_next) ", "joins|words"),
        (
            IDLE_TURN,
            r"(versine_dropped_unused } = .*)8000",
            r"\g<1>4000",
            "requantises no sum of golden",
        ),
    ],
)
def test_bugs_around_requantisers_that_do_nothing_are_found(
    emitted, tmp_path, module, find, put, message
):
    design = idle_design()
    shutil.copytree(emitted(design, least(module, 2, 0)), tmp_path, dirs_exist_ok=True)
    change(tmp_path, module, find, put)
    with pytest.raises(ProofError, match=message):
        prove(tmp_path / "rtl", design)


@given(designs(max_steps=2, max_taps=MAX_TAPS), FEW_LANES, st.sampled_from(FILTER_KINDS))
@examples(6)
@example(TWO_A_SPAN, 2, "reconfigurable")
@example(TWO_A_SPAN, 2, "hardwired")
def test_random_designs_are_proved(tmp_path_factory, design, lanes, filters):
    folder = tmp_path_factory.mktemp("rtl")
    emit(design, folder, Target(lanes, filters))
    latency = {row["module"]: row["latency_cycles"] for row in rows_of(folder, design)}
    assert len(latency) <= len(design.filters) + len(design.rotations)


@pytest.mark.parametrize(
    "pipeline",
    [
        Pipeline(FilterPipeline(False, True, False, 1, True), RotationPipeline(*7 * (True,))),
        Pipeline(FilterPipeline(True, False, True, 2, True), RotationPipeline(*7 * (False,))),
    ],
)
@pytest.mark.parametrize("top", ["chain", "step", "filter"])
def test_other_pipelines_and_tops_are_proved(tmp_path, pipeline, top):
    design = small_design()
    metrics = emit(design, tmp_path, Target(2, pipeline=pipeline, top=top))
    rows = rows_of(tmp_path, design)
    assert len(rows) == {"chain": 5, "step": 2, "filter": 1}[top]
    assert sum(row["latency_cycles"] for row in rows) <= metrics.latency_cycles


def test_stale_and_missing_files_are_refused(run):
    (run / "rtl" / f"{LANE}.v").unlink()
    with pytest.raises(ToolError, match=LANE):
        prove_run(run)
    (run / "rtl" / "ports.json").unlink()
    with pytest.raises(InputError, match="no complete emission"):
        prove_run(run)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_requantiser_is_proved_and_one_wrong_word_found(data):
    bits, shift = data.draw(st.integers(2, 6)), data.draw(st.integers(0, 4))
    width = bits + shift + data.draw(st.integers(1, 3))
    ends = fixed.code_range(width)
    low, high = sorted(data.draw(st.tuples(*2 * (st.integers(*ends),))))
    if low >= 0:
        width -= 1
    flag = data.draw(st.booleans())
    requantizer = Requantizer(shift, bits, flag)
    wrong = data.draw(st.none() | st.integers(low, high))
    count = 1 if flag else bits

    def logic(word):
        """What gates say: the requantiser of a word that is known, nothing of any other."""
        if max(word) > 1:
            return [OPEN] * count
        total = sum(bit << k for k, bit in enumerate(word)) - (low < 0 and word[-1] << width)
        out = requantizer(total - requantizer.half) ^ (total == wrong)
        return [out >> k & 1 for k in range(count)]

    half = 1 << shift >> 1
    assert requantizer.half == half
    words = WordRange(width, low, high)
    outcome = prove_requantizer(logic, words, half, requantizer, signed=not flag)
    assert outcome.proved == (wrong is None)
    if wrong is not None:
        assert outcome.counterexample.total == wrong - half
    else:
        assert outcome.cases >= high - low + 1


def test_symbols_prove_what_words_could_not():
    """A cut needs one case for all words of one sign; a sum of two open bits stays open."""
    words = WordRange(50, *fixed.code_range(50))
    outcome = prove_requantizer(
        lambda word: word[30:50], words, 1 << 29, Requantizer(30, 20), signed=True
    )
    assert outcome.proved and outcome.cases == 2
    by, x, y = Symbols(), open_bit(0), open_bit(1)
    not_x, not_y = by.inverse(x), by.inverse(y)
    assert len({0, 1, OPEN, x, y, not_x, not_y}) == 7 and by.inverse(not_y) == y
    assert by.both(x, not_x) == 0 and by.differ(x, not_x) == 1 and by.both(x, y) == OPEN
    assert by.choose(OPEN, y, y) == y and by.choose(OPEN, y, not_y) == OPEN


def test_a_word_for_which_gates_say_nothing_is_not_proved():
    """The codes of open bits must not count as a number."""
    outcome = prove_requantizer(
        lambda word: [OPEN, 1], WordRange(1, 1, 1), 0, Requantizer(0, 4), signed=False
    )
    assert not outcome.proved and outcome.counterexample is None


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_polynomials_are_what_they_stand_for(data):
    """Sums and products of variables and tables, and their bounds, against numbers."""
    space = Space(lanes=2)
    ranges = data.draw(st.lists(st.tuples(st.integers(-5, 0), st.integers(1, 5)), min_size=3))
    variables = [Variable(f"v{k}", k, 0, *ends) for k, ends in enumerate(ranges)]
    numbers = {v: data.draw(st.integers(v.low, v.high)) for v in variables}
    square = {v: space.apply(space.variable(v), lambda x: x * x) for v in variables}
    values = [(space.variable(v), numbers[v]) for v in variables]
    values += [(square[v], numbers[v] ** 2) for v in variables]
    values.append((space.constant(3), 3))
    for _ in range(data.draw(st.integers(1, 6))):
        (a, x), (b, y) = (data.draw(st.sampled_from(values)) for _ in range(2))
        values += [(space.add(a, b, -1), x - y)]
        if len(a.terms) * len(b.terms) < 50:
            values += [(space.mul(a, b), x * y)]
    for value, number in values:
        total = 0
        for monomial, c in value.terms.items():
            for factor in monomial:
                variable, table = space.factors[factor]
                x = numbers[variable]
                c *= x if table is None else int(space.tables[table][x - variable.low])
            total += c
        low, high = space.bounds(value)
        assert total == number and low <= number <= high and value.low <= number <= value.high
    v = variables[0]
    again = space.mul(space.variable(v), space.variable(v))
    assert again.terms == square[v].terms
    assert space.add(again, square[v], -1).terms == {}
    assert space.move(again, 1, 3).key == {((space._factor(replace(v, sample=-2, delay=3), t),), c)
                                           for ((f,), c) in again.key
                                           for t in [space.factors[f][1]]}  # fmt: skip


def test_a_chain_of_adders_longer_than_pythons_stack_is_read(tmp_path):
    """As a filter over the power has them; no limit on recursion stands in the way."""
    count = sys.getrecursionlimit() + 200
    rows = ["wire signed [15:0] s0 = x;"]
    rows += [f"wire signed [15:0] s{k} = s{k - 1} + x;" for k in range(1, count)]
    text = "\n".join(rows)
    (tmp_path / "long.v").write_text(
        f"module long(x, y);\ninput signed [3:0] x;\noutput signed [15:0] y;\n{text}\n"
        f"assign y = s{count - 1};\nendmodule\n"
    )
    netlist = read_modules(tmp_path, ["long"])["long"]
    space = Space(lanes=1)
    x = Variable("x", 0, 0, -8, 7)
    words = Words(netlist, space, {"x": PackedInput(4, [x])}, GoldenPolynomials(space))
    y = words.read(netlist.outputs["y"], signed=True)
    assert y == space.scale(space.variable(x), count)


def test_bounds_of_a_sum_of_many_products_need_no_deep_stack():
    """By hand: the sum of a_k (b_k + c_k) with all in -1..1 is in -2n..2n."""
    space, count = Space(lanes=1), sys.getrecursionlimit() + 200
    terms = {}
    for k in range(count):
        a, b, c = (
            next(iter(space.variable(Variable(f"{name}{k}", 0, 0, -1, 1)).terms))[0]
            for name in "abc"
        )
        terms[tuple(sorted((a, b)))] = terms[tuple(sorted((a, c)))] = 1
    assert space.bounds(Polynomial(terms, -(10**9), 10**9)) == (-2 * count, 2 * count)
