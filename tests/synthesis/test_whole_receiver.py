"""Whole receivers from a few steps: which steps, the line through two widths, and the table."""

import shutil

import numpy as np
import pytest
from helpers.designs import small_synthesis_design

from dbp.datapath import golden, shipped
from dbp.datapath.stimulus import Stimulus
from dbp.errors import InputError
from dbp.synthesis import synthesize_step, whole_receiver
from dbp.synthesis.whole_receiver import Fit, Kind

KINDS = ("switching", "internal", "leakage", "total")


def metrics(watts, area, slack=0.5):
    return {
        "power_w": dict.fromkeys(KINDS, watts),
        "cell_area_um2": area,
        "clock_tree_estimate_w": {"total": watts / 10},
        "slack_ns": slack,
        "timing_met": slack >= 0,
        "glitch_share": 0.2,
        "voltage_v": 1.1,
    }


def test_steps_of_the_same_taps_are_of_one_kind():
    designs = shipped.designs()
    assert whole_receiver.kinds(designs["learned-c6-s9"], "reconfigurable") == [
        Kind(16, 32),
        Kind(32, 1),
    ]
    tuned = whole_receiver.kinds(designs["lsco-tuned-c9-s9"], "reconfigurable")
    assert [kind.count for kind in tuned] == [31, 1, 1]
    assert {kind.step for kind in tuned[1:]} == {0, 32}


def test_the_median_stands_for_hardwired_filters():
    design = shipped.designs()["learned-c6-s9"]
    first, _ = whole_receiver.kinds(design, "hardwired")
    adders = sorted(whole_receiver._adders(design, k) for k in range(32))
    assert whole_receiver._adders(design, first.step) == adders[16]


def test_a_receiver_is_the_sum_of_its_steps():
    design = shipped.designs()["learned-c6-s9"]
    # 3 fixed and 2 a lane; the last filter has half of the step's 8 lanes.
    measured = {
        (16, 8): metrics(19.0, 1900.0),
        (16, 16): metrics(35.0, 3500.0, slack=-0.1),
        (32, 8): metrics(9.5, 950.0),
    }
    found = whole_receiver.estimate(design, "reconfigurable", measured, (8, 16))
    step = 3 + 2 * 96
    assert found["step_power_w"] == pytest.approx(step)
    assert found["power_w"]["total"] == pytest.approx(32 * step + step / 2)
    assert found["area_mm2"] == pytest.approx(1e-4 * (32 * step + step / 2))
    assert found["clock_tree_estimate_w"] == pytest.approx(0.1 * (32 * step + step / 2))
    assert found["fit_power_w"] == pytest.approx({"fixed": 3, "per_lane": 2})
    assert (found["slack_ns"], found["timing_met"]) == (-0.1, False)


def test_further_widths_check_the_line_and_change_nothing_else():
    design = shipped.designs()["learned-c6-s9"]
    measured = {
        (16, 8): metrics(19.0, 1900.0),
        (16, 16): metrics(35.0, 3500.0),
        (32, 8): metrics(9.5, 950.0),
    }
    plain = whole_receiver.estimate(design, "reconfigurable", measured, (8, 16))
    assert plain["fit_check"] == {}
    # The line is at 67 and 6700, and at 195 and 19500.
    wider = {(16, 32): metrics(67 / 1.02, 6700 / 0.99), (16, 96): metrics(195.0, 19500 / 1.05)}
    found = whole_receiver.estimate(design, "reconfigurable", measured | wider, (8, 16, 32, 96))
    assert found["fit_check"] == {
        "32": pytest.approx({"power": 1.02, "area": 0.99}),
        "96": pytest.approx({"power": 1.0, "area": 1.05}),
    }
    assert found | {"fit_check": {}} == plain
    # A clock that only the wider ones miss is a clock missed.
    slow = measured | {(16, 32): metrics(67.0, 6700.0, slack=-0.2)}
    found = whole_receiver.estimate(design, "reconfigurable", slow, (8, 16, 32))
    assert (found["slack_ns"], found["timing_met"]) == (-0.2, False)


def test_only_the_main_kind_is_checked(tmp_path):
    design = shipped.designs()["learned-c6-s9"]
    jobs = whole_receiver.jobs(tmp_path, design, "nangate45", "reconfigurable", (8, 16, 32), 416.7)
    assert [(job.step, job.lanes) for job in jobs] == [(16, 8), (16, 16), (16, 32), (32, 8)]


@pytest.mark.parametrize("widths", [(8,), (8, 8), (16, 8), (0, 8), (8, 16, 16), (8, 32, 16)])
def test_widths_must_be_two_or_more(tmp_path, widths):
    design = shipped.designs()["learned-c6-s9"]
    with pytest.raises(InputError, match="must be two widths or more, from narrow to wide"):
        whole_receiver.jobs(tmp_path, design, "nangate45", "reconfigurable", widths, 416.7)


@pytest.mark.skipif(shutil.which("sta") is None, reason="no OpenSTA")
def test_two_widths_predict_a_third_and_are_kept(tmp_path, monkeypatch):
    design, rng = small_synthesis_design(), np.random.default_rng(5)
    design.save(tmp_path / "design.json")
    samples = golden.convert(rng.normal(size=9500) + 1j * rng.normal(size=9500), design)
    Stimulus(samples, 200, design.hash, "", 5).save(tmp_path / "stimulus.npz")
    jobs = [whole_receiver.Job(tmp_path, "predictive28", "reconfigurable", 0, n) for n in (2, 4, 8)]
    found = whole_receiver.run(jobs, 1)
    for figure, tolerance in (
        (lambda m: m["power_w"]["total"], 0.03),
        (lambda m: m["cell_area_um2"], 0.02),
    ):
        *two, third = (figure(found[job]) for job in jobs)
        fit = Fit.through(dict(zip((2, 4), two, strict=True)))
        assert fit(8) == pytest.approx(third, rel=tolerance)
        assert fit.fixed > 0
    with monkeypatch.context() as patched:
        # What takes long is not done before a kept figure is looked for.
        patched.setattr(synthesize_step.liberty_reader, "read", None)
        patched.setattr(synthesize_step, "Bench", None)
        assert jobs[0].run() == found[jobs[0]] | {"kept": True}
    # For another waveform it is made anew.
    Stimulus(samples, 201, design.hash, "", 5).save(tmp_path / "stimulus.npz")
    monkeypatch.setattr(synthesize_step, "map_and_time", None)
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        jobs[0].run()
