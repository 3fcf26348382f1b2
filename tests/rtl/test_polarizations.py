"""Verilog of designs with two polarisations: proved, simulated, and what is wrong in it found."""

import re
from dataclasses import replace

import numpy as np
import pytest
from helpers.hardware import make_run, small_design

from dbp.datapath.golden import Samples
from dbp.datapath.lane_packing import pack_words, unpack_words
from dbp.datapath.stimulus import Stimulus
from dbp.errors import InputError
from dbp.rtl import Target, emit
from dbp.rtl.ports import Ports
from dbp.rtl.proof import prove
from dbp.rtl.proof.netlist import ProofError
from dbp.sim import simulate
from dbp.sim.compare import Expected, _compare_words
from dbp.sim.job import VectorResult
from dbp.sim.vectors import Vector

DESIGN = replace(small_design(taps=(5, 3)), polarizations=2)
FILTERS = "filter_x2y2_s8_c6_t5_r5_o8"
TURNS = "rotation_x2y2_s8_b4_d11_k8_t3_r7_p6_f5_n2_o8"
STEP = "step_x2y2_s8_c6_t5_r5_o8__s8_b4_d11_k8_t3_r7_p6_f5_n2_o8"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"), DESIGN, lanes=2)


def test_hardwired_taps_are_proved(tmp_path):
    plain = replace(DESIGN.rotations[0], kerr_gains=(-8001,), taylor_order=1, power_offset=30)
    design = replace(DESIGN, rotations=(plain,))
    emit(design, tmp_path, Target(1, "hardwired"))
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
    "window of y begins in x": (FILTERS, r"in_i\[23:16\], history_i_y", "in_i[7:0], history_i_y"),
    "x and y exchanged": (STEP, r"\.in_i\(in_i\)", ".in_i({ in_i[15:0], in_i[31:16] })"),
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


def test_the_first_difference_names_its_polarisation(run):
    ports = Ports.read(run / "rtl", DESIGN)
    wire = Samples(*np.arange(-8, 8).reshape(2, 2, 4))
    expected = Expected([wire], [], [0], 4)
    words = [pack_words(part, ports.output_bits, ports.lanes) for part in wire]
    # The lowest bit of the second sample of y, in the second word.
    words[1][1] ^= 1 << 3 * ports.output_bits
    result = VectorResult(*words, (), (), (), (), (), 0)
    vector = Vector("made", wire, np.ones(2, bool), ())
    count, wrong, first = _compare_words(ports, vector, expected, result)
    assert (count, wrong, first.sample, first.polarization) == (8, 1, 3, "y")
    assert first.expected == (-1, 7) and first.got == (-1, 6)
