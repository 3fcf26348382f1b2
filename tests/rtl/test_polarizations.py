"""Verilog of designs with two polarisations: proved, simulated, and what is wrong in it found."""

import re
from dataclasses import replace

import numpy as np
import pytest
from helpers.hardware import make_run, small_design

from dbp.datapath.design import Filter
from dbp.datapath.lane_packing import pack_words, unpack_words
from dbp.datapath.stimulus import Stimulus
from dbp.errors import InputError
from dbp.rtl import Target, emit
from dbp.rtl.ports import Ports
from dbp.rtl.proof import prove
from dbp.rtl.proof.netlist import ProofError
from dbp.sim import MismatchError, simulate

DESIGN = replace(small_design(taps=(5, 3)), polarizations=2)
FILTERS = "filter_x2y2_s8_c6_t5_r5_o8"
PAIR = "rotation_pair_s8_b4_d11_k8_t3_r7_p6_f5_n2_o8"
TURNS = "rotation_x2y2_s8_b4_d11_k8_t3_r7_p6_f5_n2_o8"
STEP = "step_x2y2_s8_c6_t5_r5_o8__s8_b4_d11_k8_t3_r7_p6_f5_n2_o8"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"), DESIGN, lanes=2)


@pytest.mark.parametrize(("lanes", "filters"), [(2, "hardwired"), (3, "reconfigurable")])
def test_both_kinds_of_filters_are_proved(tmp_path, lanes, filters):
    design = replace(DESIGN, rotations=(replace(DESIGN.rotations[0], power_offset=30),))
    emit(design, tmp_path, Target(lanes, filters))
    assert len(prove(tmp_path, design).modules) == 3


def test_lanes_of_y_lie_above_those_of_x(run):
    assert len(prove(run / "rtl", DESIGN).modules) == 3
    ports = Ports.read(run / "rtl", DESIGN)
    assert ports.polarizations == 2 and ports.lanes == 2
    assert ports.widths["in_i"] == 2 * 2 * 8 and ports.widths["out_q"] == 2 * 2 * 7
    one = replace(DESIGN, polarizations=1)
    with pytest.raises(InputError, match="from another design"):
        Ports.read(run / "rtl", one)
    codes = np.arange(-8, 8).reshape(2, 8)
    words = pack_words(codes, 5, 4)
    lanes = [*codes[0, :4].tolist(), *codes[1, :4].tolist()]
    assert words[0] == sum((code & 31) << (5 * k) for k, code in enumerate(lanes))
    np.testing.assert_array_equal(unpack_words(words, 5, 4, 2), codes)


# Module, what to find in it and what to put instead.
BUGS = {
    "power of x twice": (
        TURNS, r"(magnitude_0_y_i_folded = )in_i\[22:20\] \^ .*;",
        r"\1in_i[6:4] ^ { in_i[7], in_i[7], in_i[7] };",
    ),
    "history of y is that of x": (FILTERS, "history_i_y <= .*;", "history_i_y <= history_i;"),
    "window of y begins in x": (FILTERS, r"in_i\[23:16\], history_i_y", "in_i[7:0], history_i_y"),
    "x and y exchanged": (STEP, r"\.in_i\(in_i\)", ".in_i({ in_i[15:0], in_i[31:16] })"),
    "Q of x for Q of y": (PAIR, "q_y_beside_fold <= in_q_y;", "q_y_beside_fold <= in_q;"),
}  # fmt: skip


@pytest.mark.parametrize("name", BUGS)
def test_bugs_between_the_polarisations_are_found(run, tmp_path, name):
    module, find, put = BUGS[name]
    for file in (run / "rtl").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / f"{module}.v"
    text = path.read_text()
    broken, count = re.subn(find, put, text)
    assert count == 1
    path.write_text(broken)
    with pytest.raises(ProofError):
        prove(tmp_path, DESIGN)


def play(run, rtl, **options):
    return simulate(
        rtl, DESIGN, lambda _: Stimulus.load(run / "stimulus.npz", DESIGN), samples=60, **options
    )


@pytest.mark.slow
def test_every_sample_of_both_equals_golden(run):
    metrics = play(run, run / "rtl", simulator="icarus")
    assert metrics.mismatches == 0 and metrics.wrong_registers == ()
    # Two filters, one rotation: I and Q, x and y; and phi. Two lanes each.
    saturators = 2 * (3 * 2 * 2 + 1)
    assert metrics.coverage["saturators"] == {
        "count": saturators, "below": saturators, "above": saturators,
    }  # fmt: skip


@pytest.mark.slow
def test_the_first_difference_names_its_polarisation(run, tmp_path):
    for file in (run / "rtl").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "chain.v"
    text = path.read_text()
    # The lowest bit of the first sample of y.
    put = ".out_i(out_of_step)"
    broken = text.replace(".out_i(out_i)", put).replace(
        "  wire [27:0] out_i;",
        "  wire [27:0] out_i;\n  wire [27:0] out_of_step;\n"
        "  assign out_i = out_of_step ^ 28'h0004000;",
        1,
    )
    assert put in broken
    path.write_text(broken)
    with pytest.raises(MismatchError):
        play(run, tmp_path, simulator="icarus", folder=tmp_path / "sim")
    assert '"polarization": "y"' in (tmp_path / "sim" / "metrics.json").read_text()


def test_a_filter_alone_and_a_chain_without_a_rotation_are_proved(tmp_path):
    emit(DESIGN, tmp_path / "one", Target(2, top="filter", step=1))
    assert len(prove(tmp_path / "one", DESIGN).modules) == 1
    alone = replace(DESIGN, filters=(Filter(6, 5, 8, (3, 7), (1, -4)),), rotations=())
    emit(alone, tmp_path / "alone", Target(1))
    prove(tmp_path / "alone", alone)
