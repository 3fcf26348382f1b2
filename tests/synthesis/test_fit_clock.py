"""Cuts that are fitted to the clock: which ones, when it ends, and on a real step."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers.designs import small_synthesis_design
from helpers.hardware import small_design

from dbp import cli
from dbp.cli import synth
from dbp.datapath import golden, shipped
from dbp.datapath.design import Rotation
from dbp.datapath.stimulus import Stimulus
from dbp.errors import InputError
from dbp.records.schemas import ClockTrial, PowerW, SynthMetrics
from dbp.rtl import Target, emit
from dbp.rtl.pipeline import Pipeline, parse, text
from dbp.synthesis import fit_clock, stages, synthesize, whole_receiver
from dbp.synthesis.cells import kits
from dbp.synthesis.fit_clock import FitJob, TrialResult, Trials, with_cuts
from dbp.synthesis.gates.step_bench import samples_needed
from dbp.synthesis.pipeline_cuts import Cuts

BASELINE = shipped.designs()["lsco-paper-c9-s9"]
LEARNED = shipped.designs()["learned-c6-s9"]
ALL_CUTS = parse(
    "filter.after_multiplier=1,filter.adder_levels=1,filter.after_sum=1,rotation.after_kerr=1,"
    "rotation.after_multiplier=1,rotation.after_product=1,hardwired.sum_terms=2,"
    "hardwired.after_sum=1"
)
NO_CUTS = parse(
    "filter.after_pre_add=0,filter.after_product=0,rotation.after_power=0,rotation.after_fold=0,"
    "rotation.after_phase=0,rotation.after_versine=0,hardwired.after_fold=0"
)


def cuts_of(design, filters="reconfigurable", step=16):
    return Cuts(design, Target(2, filters, top="step", step=step))


@pytest.mark.parametrize("pipeline", [Pipeline(), ALL_CUTS, NO_CUTS])
def test_text_is_what_parse_reads(pipeline):
    assert parse(text(pipeline)) == pipeline
    assert (text(pipeline) == "") is (pipeline == Pipeline())


def test_the_slack_that_layout_takes_is_left(tmp_path):
    """Or 1 % of the period, where that is more: in a kit without a layout, and at a slow clock."""

    def margin_ns(kit, clock_mhz):
        target = Target(2, "reconfigurable", top="step", step=16)
        job = FitJob(LEARNED, target, kits.KITS[kit], (), clock_mhz, None)
        return Trials(job, tmp_path).margin_ns

    assert [margin_ns(kit, 416.7) for kit in ("nangate45", "asap7", "sky130hd", "ihp-sg13g2")] == [
        0.1, 0.1, 0.6, 0.6,
    ]  # fmt: skip
    assert margin_ns("predictive28", 416.7) == pytest.approx(10 / 416.7)
    assert margin_ns("nangate45", 50.0) == pytest.approx(0.2)


@pytest.mark.parametrize("filters", ["reconfigurable", "hardwired"])
def test_every_cut_is_known_by_the_registers_of_the_verilog(tmp_path, filters):
    """With all cuts, each one's registers are found, and have nothing left to cut."""
    design = small_design()
    target = Target(2, filters, ALL_CUTS, "step")
    cuts = Cuts(design, target)
    emit(design, tmp_path, target)
    seen = set()
    for file in tmp_path.glob("*.v"):
        prefix = {"filter_lane": "filter.lane_0.", "hardwired_lane": "filter.lane_0.",
                  "rotation_lane": "rotation.lane_0.", "rotation_x2": "rotation."}  # fmt: skip
        block = next((p for name, p in prefix.items() if file.name.startswith(name)), None)
        if block is None:
            continue
        for name in re.findall(
            r"^\s*reg (?:signed )?(?:\[\d+:0\] )?(\w+)[ ;]", file.read_text(), re.M
        ):
            seen.add(cuts.cut_of(ALL_CUTS, block + name))
            assert cuts.late(ALL_CUTS, block + name) == ()
    assert seen >= {*cuts.names(ALL_CUTS), f"{cuts.parts[0]}.output", "rotation.output"}


def test_the_cuts_that_divide_a_late_stretch():
    cuts, usual = cuts_of(BASELINE), Pipeline()
    assert cuts.names(usual) == [
        "filter.after_pre_add", "filter.after_product", "rotation.after_power",
        "rotation.after_phase",
    ]  # fmt: skip
    tree = ("filter.adder_levels", "filter.after_sum")
    assert cuts.late(usual, "filter.lane_3.out_i") == tree
    assert cuts.late(usual, "filter.lane_0.out_clipped") == tree
    assert cuts.late(usual, "filter.lane_0.product_q_11") == ("filter.after_multiplier",)
    assert cuts.late(usual, "filter.lane_0.folded_q_11") == ()
    assert cuts.late(usual, "rotation.lane_0.powers") == ()
    assert cuts.late(usual, "rotation.lane_0.phi") == ("rotation.after_kerr",)
    turn = ("rotation.after_multiplier", "rotation.after_product")
    assert cuts.late(usual, "out_q") == cuts.late(usual, "rotation.lane_1.out_clipped") == turn
    for bank in ("registers.filter_clipped_total", "filter.history_i", "commit", "_123_", ""):
        assert cuts.late(usual, bank) == ()
    # The last filter has no rotation: the ports are its own.
    assert cuts_of(LEARNED, step=32).late(usual, "out_q") == tree
    # Without a register after the products the stretch begins at the folded samples.
    joined = parse("filter.after_product=0")
    assert cuts.late(joined, "filter.lane_0.out_i") == (
        "filter.adder_levels", "filter.after_multiplier", "filter.after_product",
        "filter.after_sum",
    )  # fmt: skip
    # Second order and several K have cuts of their own.
    square = Rotation(4, 11, 8, (3000, -8000), 17, 7, 6, 5, 2, 8)
    object.__setattr__(cuts, "rotation", square)
    assert "rotation.after_versine" in cuts.names(usual)
    assert "rotation.after_fold" in cuts.names(usual)
    assert cuts.late(NO_CUTS, "rotation.history_power") == ("rotation.after_power",)


@pytest.mark.parametrize(
    ("cut", "values"),
    [
        ("filter.adder_levels", [2, 1]),
        ("filter.after_sum", [True]),
        ("filter.after_product", []),
    ],
)
def test_a_cut_gets_finer_until_there_is_no_more(cut, values):
    cuts, pipeline, found = cuts_of(BASELINE), Pipeline(), []
    part, _, field = cut.partition(".")
    while finer := cuts.finer(pipeline, cut):
        # What was put in can be taken out.
        assert cuts.coarser(finer, cut) is not None
        pipeline = finer
        found.append(getattr(getattr(pipeline, part), field))
    assert found == values


def test_sums_of_constants_are_halved_down_to_two_terms():
    cuts, pipeline = cuts_of(LEARNED, "hardwired"), Pipeline()
    terms = [cuts._terms(pipeline)]
    while pipeline := cuts.finer(pipeline, "hardwired.sum_terms"):
        terms.append(cuts._terms(pipeline))
        last = pipeline
    assert terms == sorted(set(terms), reverse=True) and terms[-1] == 2 < terms[0]
    assert cuts.coarser(last, "hardwired.sum_terms").hardwired.sum_terms == 4
    assert cuts.coarser(Pipeline(), "hardwired.sum_terms") is None
    # Sums that outputs share lie before the cut at the fold, parts of outputs behind it.
    stages = {k: sum_.stage for k, sum_ in enumerate(cuts._graph(last).sums[:-2])}
    for k, stage in stages.items():
        bank = f"filter.lane_0.sum_{k}_after_1"
        expected = "hardwired.sum_terms" if stage else "hardwired.after_fold"
        assert cuts.cut_of(last, bank) == expected
    assert {0, 1} <= set(stages.values())


def test_all_late_stretches_are_cut_at_once_and_long_ones_more_often():
    cuts = cuts_of(BASELINE)
    late = {"filter.lane_0.out_i": -0.4, "out_i": -0.1, "out_q": -2.5, "commit": -9.0}
    found = with_cuts(Pipeline(), cuts, late, 2.4)
    assert text(found) == (
        "filter.adder_levels=2,rotation.after_multiplier=1,rotation.after_product=1"
    )
    late = {"registers.filter_clipped_total": -3.0}
    assert with_cuts(Pipeline(), cuts, late, 2.4) == Pipeline()


DESIGN = small_design()
STEP = Target(2, top="step", step=0)


def stimulus(samples):
    return Stimulus(golden.convert(np.ones(1), DESIGN), 200, DESIGN.hash, "", 5)


class Modelled(Trials):
    """Trials of a model: what a stretch of logic takes, and what a cut costs or saves."""

    delay_ns = {"filter.lane_0.out_i": 3.0, "registers.filter_clipped_total": 1.0}  # noqa: RUF012
    saved_w = {"filter.after_pre_add": 0.1, "rotation.after_phase": 0.5}  # noqa: RUF012

    def run(self, pipeline):
        times = dict(self.delay_ns)
        times["filter.lane_0.out_i"] /= 1 + (pipeline.filter.adder_levels < 4)
        # All logic behind |x|^2 in one stretch would be too long.
        times["out_i"] = 2.0 if pipeline.rotation.after_phase else 4.0
        late = {bank: self.period_ns - t for bank, t in times.items()}
        latest = min(late, key=late.get)
        late = {bank: slack for bank, slack in late.items() if slack < self.margin_ns}
        there = Cuts(self.job.design, self.job.target).names(pipeline)
        watts = 2 + sum(self.saved_w.get(cut, -0.1) for cut in there)
        met = self.job.stimulus is not None and not late
        slack_ns = self.period_ns - max(times.values())
        return TrialResult(trial(pipeline, slack_ns, latest, watts if met else None), late)


def trial(pipeline, slack_ns, latest, power_w):
    return ClockTrial(
        pipeline=text(pipeline), slack_ns=slack_ns, latest=latest, cell_area_um2=1.0,
        power_w=power_w, kept=True,
    )  # fmt: skip


@pytest.fixture
def modelled(tmp_path, monkeypatch):
    monkeypatch.setattr(fit_clock, "Trials", Modelled)
    monkeypatch.setattr(stages, "programs", dict)
    return tmp_path


def fit(folder, **options):
    target = replace(STEP, pipeline=options.pop("pipeline", Pipeline()))
    return fit_clock.fit(DESIGN, "predictive28", target, folder / "fit", **options)


def test_taking_out_lowers_the_power_and_never_misses_the_clock(modelled):
    fitted = fit(modelled, stimulus=stimulus)
    trials = fitted.trials
    assert [trial.pipeline for trial in trials[:2]] == ["", "filter.adder_levels=1"]
    by_cut = {trial.pipeline: trial for trial in trials[2:]}
    # Saves most, but then the clock is missed: its power is not even asked for.
    (missed,) = (t for t in trials if "after_phase=0" in t.pipeline)
    assert missed.slack_ns < 0 and missed.power_w is None and not missed.kept
    # Meets the clock, but costs power.
    assert not by_cut["filter.after_pre_add=0,filter.after_product=0,filter.adder_levels=1"].kept
    assert by_cut["filter.after_pre_add=0,filter.adder_levels=1"].kept
    # The tree's cut cannot go: it had to come.
    assert fitted.last_kept.pipeline == "filter.after_pre_add=0,filter.adder_levels=1"
    assert all(trial.slack_ns >= 0 for trial in trials[1:] if trial.kept)
    assert [row[-1] for row in fit_clock.table(fitted)[1:3]] == ["", ""]
    assert fit_clock.table(fitted)[3][0] == "filter.after_pre_add=0"


def test_it_ends_where_nothing_is_left_to_cut(modelled, monkeypatch):
    monkeypatch.setitem(Modelled.delay_ns, "registers.filter_clipped_total", 5.0)
    fitted = fit(modelled, stimulus=stimulus)
    last = fitted.last_kept
    # The logic that could be cut has been, and nothing was taken out.
    assert [trial.pipeline for trial in fitted.trials] == ["", "filter.adder_levels=1"]
    assert last.latest == "registers.filter_clipped_total" and last.slack_ns < 0


def test_a_fit_is_kept_for_the_same_inputs_only(modelled, monkeypatch):
    first = fit(modelled, reuse=True)
    monkeypatch.setitem(Modelled.delay_ns, "filter.lane_0.out_i", 1.0)

    def again(**options):
        return fit(modelled, reuse=True, **options)

    assert again() == first
    assert again(clock_mhz=400.0) != first
    first = again()
    assert len(first.trials) == 1
    monkeypatch.setitem(Modelled.delay_ns, "filter.lane_0.out_i", 3.0)
    assert again() == first
    assert again(pipeline=parse("filter.after_sum=1")) != first
    for broken in ("[]", "{"):
        (modelled / "fit" / "fit_clock.json").write_text(broken)
        assert len(again().trials) == 2


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"step": 3}, "step = 3: must be an integer in 0..2"),
        ({"filters": "soft"}, "filters = 'soft'"),
        ({"top": "chain"}, "top = 'chain': must be step"),
        ({"clock_mhz": 0.0}, "clock_mhz = 0.0: must be above 0"),
    ],
)
def test_bad_options_are_refused(modelled, options, complaint):
    clock = {key: value for key, value in options.items() if key == "clock_mhz"}
    target = replace(STEP, **{key: options[key] for key in options.keys() - clock})
    with pytest.raises(InputError, match=complaint):
        fit_clock.fit(DESIGN, "predictive28", target, modelled / "fit", **clock)


def test_the_command_hands_the_cuts_on(modelled, monkeypatch, capsys):
    given = {}

    def synthesized(design, source, kit, target, **options):
        given.update(options, target=target)
        return SynthMetrics.model_construct(
            step=16, cell_area_um2=1, power_w=PowerW(switching=0, internal=0, leakage=0, total=1),
            slack_ns=0, slack_without_wires_ns=0, highest_clock_mhz=1, gate_level_mismatches=0,
            wall_time_s=0, scaled_28nm=None, clock_tree_estimate_w=None,
            for_demonstration_only=False,
            fit_clock=options["fit_clock"],
        )  # fmt: skip

    DESIGN.save(modelled / "design.json")
    monkeypatch.setattr("dbp.synthesis.synthesize", synthesized)
    monkeypatch.setattr(synth, "stimulus_source", lambda run: stimulus)
    monkeypatch.setitem(Modelled.delay_ns, "registers.filter_clipped_total", 5.0)
    given_cuts = ["--step", "0", "--pipeline", "rotation.after_kerr=1"]
    arguments = ["synth", str(modelled), "--pdk", "predictive28", "--fit-clock", *given_cuts]
    assert cli.main(arguments) == 0
    # Figures that lie there do not say how their cuts were found.
    assert given["reuse"] is False
    out, pipeline = capsys.readouterr().out, text(given["target"].pipeline)
    assert pipeline == "filter.adder_levels=1,rotation.after_kerr=1"
    trials = given["fit_clock"].trials
    assert [trial.pipeline for trial in trials] == ["rotation.after_kerr=1", pipeline]
    assert "Nothing is left to cut before registers.filter_clipped_total" in out
    assert "Cuts: filter.adder_levels=1,rotation.after_kerr=1\n" in out


@pytest.mark.parametrize("lanes", [1, 2, 8])
def test_the_command_asks_for_the_stimulus_of_fit_and_synthesis_at_once(
    modelled, monkeypatch, lanes
):
    asked = []

    def source(samples):
        asked.append(samples)
        return stimulus(samples)

    def synthesized(design, source, kit, target, **options):
        source(samples_needed(design, target.lanes))
        raise InputError("enough")

    DESIGN.save(modelled / "design.json")
    monkeypatch.setattr("dbp.synthesis.synthesize", synthesized)
    monkeypatch.setattr(synth, "stimulus_source", lambda run: source)
    arguments = ["synth", str(modelled), "--pdk", "predictive28", "--fit-clock", "--step", "0"]
    assert cli.main([*arguments, "--lanes", str(lanes)]) == 2
    of_fit, of_synthesis = asked
    assert of_fit >= of_synthesis and of_fit >= samples_needed(DESIGN, 2, fit_clock.CLOCKS)


def noise(design):
    """A source of 1500 samples, however many are asked for."""
    rng = np.random.default_rng(5)
    samples = golden.convert(rng.normal(size=1500) + 1j * rng.normal(size=1500), design)
    return lambda needed: Stimulus(samples, 200, design.hash, "", 5)


@pytest.mark.skipif(shutil.which("sta") is None, reason="no OpenSTA")
def test_a_step_that_misses_the_clock_meets_it_and_equals_golden(tmp_path, monkeypatch):
    design, kit = small_synthesis_design(), "predictive28"
    planned = whole_receiver.StepSynthesis(
        design, noise(design), kit, Target(fit_clock.FIT_LANES, top="step"), tmp_path, 900.0
    )
    ((fitted,),) = whole_receiver.fit_clocks({"small": [planned]}, 1).values()
    with monkeypatch.context() as patched:
        # Kept: no need to map again, nor to read the kit.
        patched.setattr(stages, "map_and_time", None)
        patched.setattr(stages.liberty_reader, "read", None)
        found = fit_clock.fit(
            design, kit, planned.target, planned.place / "step0-fit", clock_mhz=900.0, reuse=True
        )
    trials = found.trials
    assert trials[0].slack_ns < 0 and found.last_kept.slack_ns >= 0
    assert fitted.target.pipeline == parse(trials[-1].pipeline) != Pipeline()
    metrics = synthesize(
        design, noise(design), kit, fitted.target, clock_mhz=900.0, clocks=300, fit_clock=found,
        folder=tmp_path / "synth",
    )  # fmt: skip
    assert metrics.timing_met and metrics.slack_ns == pytest.approx(trials[-1].slack_ns)
    assert metrics.gate_level_mismatches == 0 < metrics.gate_level_samples
    written = json.loads((tmp_path / "synth" / "metrics.json").read_text())
    assert written["fit_clock"] == found.model_dump(mode="json")
    assert written["fit_clock"]["trials"][0].keys() == ClockTrial.model_fields.keys()


@pytest.mark.skipif(shutil.which("sta") is None, reason="no OpenSTA")
@pytest.mark.parametrize(("clock_mhz", "met"), [(416.7, True), (3000.0, False)])
def test_power_is_simulated_only_where_the_clock_is_met(tmp_path, clock_mhz, met):
    design, (kit, liberty) = small_synthesis_design(), kits.find("predictive28")
    target, samples = Target(2, "hardwired", top="step", step=1), noise(design)(0)
    job = FitJob(design, target, kit, tuple(liberty), clock_mhz, samples)
    trial, late = Trials(job, tmp_path / "work").run(Pipeline())
    assert (trial.slack_ns >= 0) is (trial.power_w is not None) is (not late) is met
    assert trial.latest.startswith(("filter.", "registers.", "out_"))
