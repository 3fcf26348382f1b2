"""A step of two polarisations as gates, and what a bit of both costs."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers.designs import small_synthesis_design

from dbp import config
from dbp.cli.watts import watts
from dbp.comparison import merit
from dbp.datapath import golden
from dbp.datapath.golden import Samples
from dbp.datapath.lane_packing import pack_words
from dbp.datapath.stimulus import Stimulus
from dbp.rtl import Target, emit_step
from dbp.rtl.proof.netlist import read_modules
from dbp.rtl.target import FILTER_KINDS
from dbp.synthesis import synthesize
from dbp.synthesis.gates.step_bench import Bench
from dbp.synthesis.pipeline_cuts import Cuts
from dbp.synthesis.watt_model import predict
from dbp.synthesis.watt_model.counts import count
from dbp.synthesis.watt_model.prediction import step_of

DESIGN = replace(small_synthesis_design(), polarizations=2)
TARGET = Target(2, top="step")
NAMES = "learned-c6-s9", "dual-c6-s9"


def stimulus(samples=0):
    rng = np.random.default_rng(5)
    waveform = rng.normal(size=(2, 1000)) + 1j * rng.normal(size=(2, 1000))
    return Stimulus(golden.convert(waveform, DESIGN), 200, DESIGN.hash, "", 5)


class Gates:
    """Ports as a simulation of gates has them, with golden's own outputs."""

    def __init__(self, bench, ports, spoiled=()):
        rows = len(bench.words(["in_valid"]))
        names = [f"out_{part}[{k}]" for part in "iq" for k in range(ports.widths["out_i"])]
        self.names = (*names, "out_valid")
        self.outputs = np.zeros((rows, len(self.names)), np.uint8)
        lanes, dropped = ports.lanes, ports.warm_up_words
        first = rows - bench.input.i.shape[-1] // lanes + ports.latency_cycles + dropped
        words = [pack_words(part, ports.output_bits, lanes)[dropped:] for part in bench.expected]
        for row, pair in zip(range(first, rows), zip(*words, strict=True), strict=False):
            bits = [word >> k & 1 for word in pair for k in range(ports.widths["out_i"])]
            self.outputs[row] = [*bits, 1]
        for place in spoiled:
            self.outputs[place] ^= 1


def test_the_bench_compares_both(tmp_path):
    ports = emit_step(DESIGN, tmp_path / "step.v", TARGET)
    bench = Bench(DESIGN, stimulus(), ports, 50)
    gates = Gates(bench, ports)
    samples, mismatches = bench.compare(gates, gates.names)
    assert mismatches == 0 and samples >= 2 * 2 * 50
    # The last bit of y in the last row.
    spoiled = Gates(bench, ports, [(-1, ports.widths["out_i"] - 1)])
    assert bench.compare(spoiled, gates.names) == (samples, 1)
    words = bench.words(["in_i[0]", f"in_i[{2 * 5}]"])
    x, y = bench.input.i
    np.testing.assert_array_equal(words[-len(x) // 2 :].T & 1, np.stack((x[::2], y[::2])) & 1)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("sta") is None, reason="needs sta")
def test_gates_equal_golden(tmp_path):
    metrics = synthesize(DESIGN, stimulus, "predictive28", TARGET, clocks=100, progress=False)
    assert metrics.gate_level_mismatches == 0 and metrics.gate_level_samples >= 2 * 2 * 100
    assert metrics.content()["polarizations"] == 2
    one = replace(DESIGN, polarizations=1)
    of_x = Samples(*(part[0] for part in stimulus().samples))
    alone = Stimulus(of_x, 200, one.hash, "", 5)
    single = synthesize(one, lambda _: alone, "predictive28", TARGET, clocks=100, progress=False)
    assert "polarizations" not in single.content()
    assert single.cell_area_um2 < metrics.cell_area_um2 < 2 * single.cell_area_um2


def test_registers_of_y_are_cuts_as_those_of_x():
    cuts, pipeline = Cuts(DESIGN, TARGET), TARGET.pipeline
    for bank in ("rotation.lane_0.i_y_beside_fold", "rotation.lane_1.q_beside_fold"):
        assert cuts.cut_of(pipeline, bank) == "rotation.after_fold"
    assert cuts.cut_of(pipeline, "rotation.history_q_y") == "rotation.after_power"
    assert cuts.cut_of(pipeline, "rotation.lane_0.out_clipped_y_beside_y") == "rotation.output"
    assert cuts.cut_of(pipeline, "filter.lane_3.folded_i_0") == "filter.after_pre_add"


def test_a_clock_carries_the_bits_of_both():
    settings = config.Config()
    one, both = (merit.energies(96, 1.0, settings, polarizations=count) for count in (1, 2))
    # 160 Gbit/s at 20 GBd, 4 bits a symbol: a watt is 6.25 pJ a bit.
    assert both["pj_per_bit"] == pytest.approx(6.25, rel=1e-3)
    assert one == {key: 2 * value for key, value in both.items()}


def built_registers(design, filters, folder):
    """Bits of registers in the Verilog of a step."""
    target = Target(2, filters, top="step")
    top = emit_step(design, folder / f"{filters}{design.polarizations}.v", target).top
    netlist = read_modules(folder, [top])[top]
    return sum(cell.parameters["WIDTH"] for cell in netlist.cells if cell.type == "$dff")


@pytest.mark.parametrize("filters", FILTER_KINDS)
def test_registers_of_both_are_counted_as_they_are_built(tmp_path, filters):
    """But for valid bits and flags, of which two polarisations have a few more."""
    built, counted = [], []
    for polarizations in (1, 2):
        design = replace(DESIGN, polarizations=polarizations)
        folder = tmp_path / str(polarizations)
        folder.mkdir()
        built.append(built_registers(design, filters, folder))
        counted.append(count(step_of(design, 0, "asap7", filters), lanes=2).registers)
    assert counted[1] == pytest.approx(built[1], abs=40)
    assert counted[1] - counted[0] == pytest.approx(built[1] - built[0], abs=8)


def test_taps_and_products_with_k_are_counted_once_for_both():
    one, both = (
        count(step_of(replace(DESIGN, polarizations=n), 0, "asap7", "reconfigurable"), lanes=2)
        for n in (1, 2)
    )
    assert both.settings == one.settings
    assert both.rows == 2 * one.rows and both.busy_adders == 2 * one.busy_adders
    assert both.phase_rows == 2 * one.phase_rows
    # Two K, each with a power of both that is a bit wider: three digits of five bits.
    assert both.kerr_rows - one.kerr_rows == 2 * 2 * 3
    # Of phi there is one, and so is its square, in two lanes.
    of_phi = 2 * 5 * 4 / 2
    assert both.squares - of_phi == 2 * (one.squares - of_phi)


def test_the_model_of_watts_says_that_it_was_fitted_to_one():
    one, both = (predict(replace(DESIGN, polarizations=n)) for n in (1, 2))
    assert one.power_w < both.power_w < 2 * one.power_w
    assert "polarizations = 2, fitted 1..1" in both.extrapolates
    assert not any(doubt.startswith("polarizations") for doubt in one.extrapolates)


def test_the_command_states_picojoules_per_bit_of_both(capsys):
    (_, one), (_, both) = (watts([name], ["asap7"], ["reconfigurable"], None) for name in NAMES)
    w_of_one, w_of_both = float(one[4]), float(both[4])
    assert float(both[6]) / float(one[6]) == pytest.approx(w_of_both / (2 * w_of_one), rel=0.01)
    assert "polarizations = 2, fitted 1..1" in capsys.readouterr().out
