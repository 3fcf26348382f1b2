"""Whole receivers from a few steps: which steps, the line through two widths, and the table."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers.designs import small_synthesis_design

from dbp.datapath import golden, shipped
from dbp.datapath.stimulus import Stimulus
from dbp.errors import InputError
from dbp.records.schemas import PowerW, SynthMetrics
from dbp.rtl import Target
from dbp.synthesis import stages, synthesize_step, whole_receiver
from dbp.synthesis.gates.step_bench import samples_needed
from dbp.synthesis.whole_receiver import Line, StepKind, StepSynthesis


def metrics(watts, area, slack=0.5):
    power = dict.fromkeys(("switching", "internal", "leakage", "total"), watts)
    return SynthMetrics.model_construct(
        power_w=PowerW(**power),
        cell_area_um2=area,
        clock_tree_estimate_w=PowerW(**dict.fromkeys(power, watts / 10)),
        slack_ns=slack,
        timing_met=slack >= 0,
        glitch_share=0.2,
        voltage_v=1.1,
    )


def no_stimulus(samples):
    raise AssertionError("asked for a stimulus")


def test_steps_of_the_same_taps_are_of_one_kind():
    designs = shipped.designs()
    assert whole_receiver.kinds(designs["learned-c6-s9"], "reconfigurable") == [
        StepKind(16, 32),
        StepKind(32, 1),
    ]
    tuned = whole_receiver.kinds(designs["lsco-tuned-c9-s9"], "reconfigurable")
    assert [kind.count for kind in tuned] == [31, 1, 1]
    assert {kind.step for kind in tuned[1:]} == {0, 32}


def test_the_median_stands_for_hardwired_filters():
    design = shipped.designs()["learned-c6-s9"]
    first, _ = whole_receiver.kinds(design, "hardwired")
    adders = sorted(whole_receiver._adders(design, k) for k in range(1, 32))
    assert whole_receiver._adders(design, first.step) == adders[15]


def test_the_step_behind_the_converter_stands_for_no_other(monkeypatch):
    design = shipped.designs()["learned-c6-s9"]
    # Step 0 is in the middle of all by its adders.
    monkeypatch.setattr(whole_receiver, "_adders", lambda design, step: step or 16.5)
    first, _ = whole_receiver.kinds(design, "hardwired")
    assert first == StepKind(16, 32)


def test_every_step_that_is_different_hardware_can_be_of_a_kind_of_its_own():
    design = shipped.designs()["learned-c6-s9"]
    main, *_ = whole_receiver.kinds(design, "hardwired")
    hardwired = whole_receiver.kinds(design, "hardwired", every_step=True)
    # Both kinds begin with the step that stands for them otherwise.
    assert hardwired[0].step == main.step
    assert sorted(kind.step for kind in hardwired) == list(range(33))
    assert {kind.count for kind in hardwired} == {1}
    # Taps in registers: only shifts and formats tell steps apart.
    kinds = whole_receiver.kinds(design, "reconfigurable", every_step=True)
    shifts = {filter_.shift for filter_ in design.filters[:-1]}
    assert kinds[0].step == 16
    assert len(kinds) == len(shifts) + 1
    assert sum(kind.count for kind in kinds) == 33
    twice = replace(design, filters=(design.filters[0],) * 33)
    assert len(whole_receiver.kinds(twice, "hardwired", every_step=True)) == 2


def test_every_step_counts_with_its_own_watts():
    design = shipped.designs()["learned-c6-s9"]
    kinds = whole_receiver.kinds(design, "hardwired", every_step=True)
    first, *others = kinds
    measured = {(first.step, 1): metrics(2.0, 200.0), (first.step, 2): metrics(3.0, 300.0)}
    measured |= {(kind.step, 1): metrics(1.0 + kind.step, 100.0) for kind in others}
    measured[others[3].step, 1] = metrics(1.0 + others[3].step, 100.0, slack=-0.1)
    found = whole_receiver.estimate(design, "hardwired", measured, (1, 2), 96, every_step=True)
    growth = (1 + 96) / 2
    narrow = 2.0 + sum(1.0 + kind.step for kind in others)
    assert found.power_w["total"] == pytest.approx(growth * narrow)
    assert (found.synthesised_steps, found.timing_met) == (33, False)


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
    assert found.step_power_w == pytest.approx(step)
    assert found.power_w["total"] == pytest.approx(32 * step + step / 2)
    assert found.area_mm2 == pytest.approx(1e-4 * (32 * step + step / 2))
    assert found.clock_tree_estimate_w == pytest.approx(0.1 * (32 * step + step / 2))
    assert (found.fit_power_w.fixed, found.fit_power_w.per_lane) == pytest.approx((3, 2))
    assert (found.slack_ns, found.timing_met) == (-0.1, False)


def test_further_widths_check_the_line_and_change_nothing_else():
    design = shipped.designs()["learned-c6-s9"]
    measured = {
        (16, 8): metrics(19.0, 1900.0),
        (16, 16): metrics(35.0, 3500.0),
        (32, 8): metrics(9.5, 950.0),
    }
    plain = whole_receiver.estimate(design, "reconfigurable", measured, (8, 16))
    assert plain.fit_check == {}
    # The line is at 67 and 6700, and at 195 and 19500.
    wider = {(16, 32): metrics(67 / 1.02, 6700 / 0.99), (16, 96): metrics(195.0, 19500 / 1.05)}
    found = whole_receiver.estimate(design, "reconfigurable", measured | wider, (8, 16, 32, 96))
    assert found.fit_check == {
        "32": pytest.approx({"power": 1.02, "area": 0.99}),
        "96": pytest.approx({"power": 1.0, "area": 1.05}),
    }
    assert replace(found, fit_check={}) == plain
    # A clock that only the wider ones miss is a clock missed.
    slow = measured | {(16, 32): metrics(67.0, 6700.0, slack=-0.2)}
    found = whole_receiver.estimate(design, "reconfigurable", slow, (8, 16, 32))
    assert (found.slack_ns, found.timing_met) == (-0.2, False)


def test_only_the_main_kind_is_checked(tmp_path):
    design = shipped.designs()["learned-c6-s9"]
    syntheses = whole_receiver.plan(
        design, no_stimulus, "nangate45", "reconfigurable", (8, 16, 32), tmp_path
    )
    targets = [synthesis.target for synthesis in syntheses]
    assert [(target.step, target.lanes) for target in targets] == [
        (16, 8),
        (16, 16),
        (16, 32),
        (32, 8),
    ]


@pytest.mark.parametrize("widths", [(8,), (8, 8), (16, 8), (0, 8), (8, 16, 16), (8, 32, 16)])
def test_widths_must_be_two_or_more(tmp_path, widths):
    design = shipped.designs()["learned-c6-s9"]
    with pytest.raises(InputError, match="must be two widths or more, from narrow to wide"):
        whole_receiver.plan(design, no_stimulus, "nangate45", "reconfigurable", widths, tmp_path)


@pytest.mark.skipif(shutil.which("sta") is None, reason="no OpenSTA")
def test_two_widths_predict_a_third_and_are_kept(tmp_path, monkeypatch):
    design, rng = small_synthesis_design(), np.random.default_rng(5)
    samples = golden.convert(rng.normal(size=9500) + 1j * rng.normal(size=9500), design)
    asked = []

    def source(needed):
        asked.append(needed)
        return Stimulus(samples, 200, design.hash, "", 5)

    syntheses = [
        # The last step: half of the gates of one with a rotation.
        StepSynthesis(design, source, "predictive28", Target(n, top="step", step=1), tmp_path)
        for n in (2, 3, 4)
    ]
    ran = whole_receiver.run({"small": syntheses}, 1)["small"]
    assert list(ran) == [(1, 2), (1, 3), (1, 4)]
    metrics = list(ran.values())
    # Once for all processes, for the widest.
    assert asked == [samples_needed(design, 4)]
    for figure, tolerance in (
        (lambda m: m.power_w.total, 0.03),
        (lambda m: m.area_um2, 0.02),
    ):
        *two, third = (figure(m) for m in metrics)
        line = Line.through(dict(zip((2, 3), two, strict=True)))
        assert line(4) == pytest.approx(third, rel=tolerance)
        assert line.fixed > 0
    with monkeypatch.context() as patched:
        # A kept figure is looked for before any long work.
        patched.setattr(stages.liberty_reader, "read", None)
        patched.setattr(synthesize_step, "Bench", None)
        again = syntheses[0].run()
    assert again.kept and again == metrics[0].model_copy(update={"kept": True})
    # Another waveform is synthesised.
    other = replace(
        syntheses[0], stimulus=lambda needed: Stimulus(samples, 201, design.hash, "", 5)
    )
    monkeypatch.setattr(stages, "map_and_time", None)
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        other.run()
