"""Every step of a receiver: which share a netlist, and what their figures add up to."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers.designs import small_synthesis_design

from dbp.datapath import golden, shipped
from dbp.datapath.stimulus import Stimulus
from dbp.errors import InputError, ToolError
from dbp.records.schemas import PowerW, SynthMetrics
from dbp.rtl import Target
from dbp.rtl.pipeline import Pipeline
from dbp.synthesis import signoff, synthesize
from dbp.synthesis.stages import CLOCK_MHZ


def planned(design, filters, lanes=2, stimulus=None):
    return signoff.plan(design, stimulus, "predictive28", filters, Pipeline(), lanes, CLOCK_MHZ)


def metrics(watts, area, slack=0.5):
    power = dict.fromkeys(("switching", "internal", "leakage", "total"), watts)
    return SynthMetrics.model_construct(
        cells=10,
        power_w=PowerW(**power),
        cell_area_um2=area,
        clock_tree_estimate_w=PowerW(**dict.fromkeys(power, watts / 10)),
        slack_ns=slack,
        timing_met=slack >= 0,
        glitch_share=0.2,
        toggles_per_net_and_clock=0.3,
        gate_level_samples=100,
        gate_level_mismatches=0,
        inputs_hash="0" * 64,
    )


def test_hardwired_steps_have_netlists_of_their_own_and_others_share():
    design = shipped.designs()["learned-c6-s9"]
    hardwired = planned(design, "hardwired")
    assert [step.number for step in hardwired] == list(range(33))
    assert all(step.is_first for step in hardwired)
    shared = planned(design, "reconfigurable")
    shifts = {filter_.shift for filter_ in design.filters[:-1]}
    assert sum(step.is_first for step in shared) == len(shifts) + 1
    for step in shared:
        assert step.like <= step.number and shared[step.like].is_first
        assert design.filters[step.like].shift == design.filters[step.number].shift
    # The last one has no rotation.
    assert shared[32].is_first
    twice = replace(design, filters=(design.filters[0],) * 33)
    assert [step.like for step in planned(twice, "hardwired")][:3] == [0, 0, 0]


def test_impossible_lanes_are_refused():
    with pytest.raises(InputError, match=r"lanes = 0: must be an integer in 1\.\.1024"):
        planned(small_synthesis_design(), "hardwired", lanes=0)


def test_the_sum_stands_beside_what_one_step_says():
    design = shipped.designs()["learned-c6-s9"]
    steps = planned(design, "reconfigurable")
    measured = {k: metrics(1.0 + k, 100.0) for k in range(33)}
    measured[7] = metrics(8.0, 100.0, slack=-0.1)
    rows = signoff.rows(steps, measured)
    assert [row.step for row in rows if not row.timing_met] == [7]
    assert signoff.total_power(rows).total == sum(range(1, 34))
    found = signoff.estimated(design, "reconfigurable", rows)
    # Step 16 stands for 32, and the last one for itself.
    assert found.steps == {"16": 32, "32": 1}
    assert found.power_w == 32 * 17 + 33
    assert found.power_ratio == pytest.approx(561 / 577)
    assert (found.cell_area_um2, found.area_ratio) == (3300, 1)
    row = rows[7].row()
    assert (row["step"], row["power_w"], row["internal_w"]) == (7, 8.0, 8.0)


def test_half_of_the_files_of_a_step_are_an_error(tmp_path):
    with pytest.raises(ToolError, match="not all files of the step are there"):
        signoff.write(tmp_path / "step00", {"netlist.v.gz": b""})
    assert signoff.read(tmp_path / "step00") == {"netlist.v.gz": b""}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("sta") is None, reason="no OpenSTA")
def test_a_shared_netlist_gives_the_figures_of_one_that_is_mapped_again(tmp_path, monkeypatch):
    design, rng = small_synthesis_design(), np.random.default_rng(5)
    samples = golden.convert(rng.normal(size=9500) + 1j * rng.normal(size=9500), design)
    # Two steps that differ in taps and K, and the last one.
    other = replace(design.filters[0], half_taps_i=(2, -3))
    rotations = design.rotations[0], replace(design.rotations[0], kerr_gains=(200, 500))
    design = replace(design, filters=(design.filters[0], other, other), rotations=rotations)
    stimulus = Stimulus(samples, 200, design.hash, "", 5)
    steps = planned(design, "reconfigurable", 1, stimulus)
    assert [step.like for step in steps] == [0, 0, 2]
    first = signoff.sign_off(steps[0], None, {})
    signoff.write(tmp_path / "first", first)
    with monkeypatch.context() as patched:
        patched.setattr("dbp.synthesis.stages.map_and_time", None)
        shared = signoff.write(tmp_path / "shared", signoff.sign_off(steps[1], None, first))
    alone = synthesize(
        design, lambda n: stimulus, "predictive28", Target(1, top="step", step=1), progress=False
    )
    skip = {"wall_time_s"}
    assert shared.model_dump(exclude=skip) == alone.model_dump(exclude=skip)
    assert shared.power_w != signoff.kept(tmp_path / "first").power_w
    # The same inputs are not computed again.
    assert signoff.sign_off(steps[1], shared.inputs_hash, first) == {}
    # Another step's netlist is not taken.
    with pytest.raises(TypeError), monkeypatch.context() as patched:
        patched.setattr("dbp.synthesis.stages.map_and_time", None)
        signoff.sign_off(steps[2], None, first)
