"""Whole receivers from a few steps: which steps, the line through two widths, and the table."""

import shutil

import numpy as np
import pytest
from test_synthesis_flow import small_design

from dbp import comparison, config, golden
from dbp.errors import InputError
from dbp.runs import shipped_designs
from dbp.stimulus import Stimulus
from dbp.synthesis import receiver
from dbp.synthesis.receiver import Fit, Kind

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
    designs = shipped_designs()
    assert receiver.kinds(designs["learned-c6-s9"], "reconfigurable") == [Kind(16, 32), Kind(32, 1)]
    tuned = receiver.kinds(designs["lsco-tuned-c9-s9"], "reconfigurable")
    assert [kind.count for kind in tuned] == [31, 1, 1]
    assert {kind.step for kind in tuned[1:]} == {0, 32}


def test_the_median_stands_for_hardwired_filters():
    design = shipped_designs()["learned-c6-s9"]
    first, _ = receiver.kinds(design, "hardwired")
    adders = sorted(receiver._adders(design, k) for k in range(32))
    assert receiver._adders(design, first.step) == adders[16]


def test_a_receiver_is_the_sum_of_its_steps():
    design = shipped_designs()["learned-c6-s9"]
    # 3 fixed and 2 a lane; the last filter has half of the step's 8 lanes.
    measured = {
        (16, 8): metrics(19.0, 1900.0),
        (16, 16): metrics(35.0, 3500.0, slack=-0.1),
        (32, 8): metrics(9.5, 950.0),
    }
    found = receiver.estimate(design, "reconfigurable", measured, (8, 16))
    step = 3 + 2 * 96
    assert found["step_power_w"] == pytest.approx(step)
    assert found["power_w"]["total"] == pytest.approx(32 * step + step / 2)
    assert found["area_mm2"] == pytest.approx(1e-4 * (32 * step + step / 2))
    assert found["clock_tree_estimate_w"] == pytest.approx(0.1 * (32 * step + step / 2))
    assert found["fit_power_w"] == pytest.approx({"fixed": 3, "per_lane": 2})
    assert (found["slack_ns"], found["timing_met"]) == (-0.1, False)


@pytest.mark.parametrize("widths", [(8,), (8, 8), (16, 8), (0, 8)])
def test_widths_must_be_two(tmp_path, widths):
    design = shipped_designs()["learned-c6-s9"]
    with pytest.raises(InputError, match="must be two widths, the narrower first"):
        receiver.jobs(tmp_path, design, "nangate45", "reconfigurable", widths, 416.7)


@pytest.mark.skipif(shutil.which("sta") is None, reason="no OpenSTA")
def test_two_widths_predict_a_third_and_are_kept(tmp_path):
    design, rng = small_design(), np.random.default_rng(5)
    design.save(tmp_path / "design.json")
    samples = golden.convert(rng.normal(size=9500) + 1j * rng.normal(size=9500), design)
    Stimulus(samples, 200, design.hash, "", 5).save(tmp_path / "stimulus.npz")
    jobs = [receiver.Job(tmp_path, "predictive28", "reconfigurable", 0, n) for n in (2, 4, 8)]
    found = receiver.run(jobs, 1)
    for figure, tolerance in (
        (lambda m: m["power_w"]["total"], 0.03),
        (lambda m: m["cell_area_um2"], 0.02),
    ):
        *two, third = (figure(found[job]) for job in jobs)
        fit = Fit.through(dict(zip((2, 4), two, strict=True)))
        assert fit(8) == pytest.approx(third, rel=tolerance)
        assert fit.fixed > 0
    assert receiver.run(jobs[:1], 1)[jobs[0]] == found[jobs[0]]
    # Another waveform, another figure.
    Stimulus(samples, 201, design.hash, "", 5).save(tmp_path / "stimulus.npz")
    again = receiver.run(jobs[:1], 1)[jobs[0]]
    assert again["inputs_hash"] != found[jobs[0]]["inputs_hash"]


def test_energies_are_those_of_the_link():
    settings = config.Config()
    found = comparison.energies({"lanes": 96, "power_w": {"total": 6.6}}, settings)
    # The paper's 6.6 W for 80 Gbit/s.
    assert found["pj_per_bit"] == pytest.approx(82.5, rel=0.001)
    assert found["pj_per_sample"] == pytest.approx(165, rel=0.001)


def test_the_paper_stands_beside_the_designs_of_its_table():
    designs = shipped_designs()
    assert comparison.paper_step(designs["learned-c6-s9"], "reconfigurable") == {
        "power_w": 0.2,
        "area_mm2": 0.81,
    }
    assert comparison.paper_step(designs["lsco-paper-c8-s9"], "reconfigurable")["power_w"] == 0.31
    assert comparison.paper_step(designs["learned-c6-s9"], "hardwired") is None
    assert comparison.paper_step(designs["lsco-tuned-c9-s9"], "reconfigurable") is None


def test_the_table_states_ratios_to_the_first_of_a_kit():
    def row(design, watts, paper):
        return {
            "design": design, "filters": "reconfigurable", "pdk": "nangate45",
            "ber": 1e-3, "ber_low": 9e-4, "ber_high": 1.1e-3, "power_w": {"total": 32 * watts},
            "area_mm2": 10.0, "pj_per_bit": 80.0, "step_power_w": watts, "step_area_mm2": 1.0,
            "paper_step": paper, "power_28nm_w": None, "slack_ns": 0.1,
        }  # fmt: skip

    rows = [
        row("a", 2.0, {"power_w": 0.37, "area_mm2": 1.54}),
        row("b", 1.0, {"power_w": 0.2, "area_mm2": 0.81}),
    ]
    header, _, second = comparison.table(rows)
    at = header.index("W a step")
    assert second[at : at + 3] == ["1", "0.50", "0.2 (0.54)"]
    assert comparison.draw(rows).startswith("<?xml")
