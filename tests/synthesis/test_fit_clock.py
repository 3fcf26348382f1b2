"""Cuts that are fitted to the clock: which ones, when it ends, and on a real step."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from helpers import hardware
from helpers.designs import small_synthesis_design

from dbp import cli
from dbp.cli import synth
from dbp.datapath import golden, shipped
from dbp.datapath.design import Rotation
from dbp.datapath.stimulus import Stimulus
from dbp.errors import InputError
from dbp.rtl import Target, emit
from dbp.rtl.pipeline import Pipeline, parse, text
from dbp.synthesis import fit_clock, synthesize, synthesize_step, whole_receiver
from dbp.synthesis.fit_clock import Cuts, Trial, _with_cuts

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


@pytest.mark.parametrize("pipeline", [Pipeline(), ALL_CUTS, NO_CUTS])
def test_text_is_what_parse_reads(pipeline):
    assert parse(text(pipeline)) == pipeline
    assert (text(pipeline) == "") is (pipeline == Pipeline())


@pytest.mark.parametrize("filters", ["reconfigurable", "hardwired"])
def test_every_cut_is_known_by_the_registers_of_the_verilog(tmp_path, filters):
    """With all cuts, each one's registers are found, and have nothing left to cut."""
    design = hardware.small_design()
    cuts = Cuts(design, 0, filters)
    emit(design, tmp_path, Target(2, filters, ALL_CUTS, "step"))
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
    cuts, usual = Cuts(BASELINE, 16, "reconfigurable"), Pipeline()
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
    assert Cuts(LEARNED, 32, "reconfigurable").late(usual, "out_q") == tree
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
    cuts, pipeline, found = Cuts(BASELINE, 16, "reconfigurable"), Pipeline(), []
    part, _, field = cut.partition(".")
    while finer := cuts.finer(pipeline, cut):
        # What was put in can be taken out.
        assert cuts.coarser(finer, cut) is not None
        pipeline = finer
        found.append(getattr(getattr(pipeline, part), field))
    assert found == values


def test_sums_of_constants_are_halved_down_to_two_terms():
    cuts, pipeline = Cuts(LEARNED, 16, "hardwired"), Pipeline()
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
    cuts = Cuts(BASELINE, 16, "reconfigurable")
    late = {"filter.lane_0.out_i": -0.4, "out_i": -0.1, "out_q": -2.5, "commit": -9.0}
    found = _with_cuts(Pipeline(), cuts, late, 2.4)
    assert text(found) == (
        "filter.adder_levels=2,rotation.after_multiplier=1,rotation.after_product=1"
    )
    late = {"registers.filter_clipped_total": -3.0}
    assert _with_cuts(Pipeline(), cuts, late, 2.4) == Pipeline()


class Modelled(fit_clock._Trials):
    """Trials of a model: what a stretch of logic takes, and what a cut costs or saves."""

    delay_ns = {"filter.lane_0.out_i": 3.0, "registers.filter_clipped_total": 1.0}  # noqa: RUF012
    saved_w = {"filter.after_pre_add": 0.1, "rotation.after_phase": 0.5}  # noqa: RUF012

    def run(self, pipeline, power_where_met):
        times = dict(self.delay_ns)
        times["filter.lane_0.out_i"] /= 1 + (pipeline.filter.adder_levels < 4)
        # All logic behind |x|^2 in one stretch would be too long.
        times["out_i"] = 2.0 if pipeline.rotation.after_phase else 4.0
        late = {bank: self.period_ns - t for bank, t in times.items()}
        latest = min(late, key=late.get)
        late = {bank: slack for bank, slack in late.items() if slack < self.margin_ns}
        there = Cuts(self.design, self.step, self.filters).names(pipeline)
        watts = 2 + sum(self.saved_w.get(cut, -0.1) for cut in there)
        met = power_where_met and not late
        slack_ns = self.period_ns - max(times.values())
        return Trial(text(pipeline), slack_ns, latest, 1.0, watts if met else None), late


@pytest.fixture
def modelled(tmp_path, monkeypatch):
    hardware.small_design().save(tmp_path / "design.json")
    (tmp_path / "stimulus.npz").write_bytes(b"")
    monkeypatch.setattr(fit_clock, "_Trials", Modelled)
    monkeypatch.setattr(synthesize_step, "programs", dict)
    return tmp_path


def test_taking_out_lowers_the_power_and_never_misses_the_clock(modelled):
    trials = fit_clock.fit(modelled, "predictive28", modelled / "fit", step=0, take_out=True)
    assert [trial.pipeline for trial in trials[:2]] == ["", "filter.adder_levels=1"]
    by_cut = {trial.pipeline: trial for trial in trials[2:]}
    # Saves most, but then the clock is missed: its power is not even asked for.
    (missed,) = (t for t in trials if "after_phase=0" in t.pipeline)
    assert missed.slack_ns < 0 and missed.power_w is None and not missed.kept
    # Meets the clock, but costs power.
    assert not by_cut["filter.after_pre_add=0,filter.after_product=0,filter.adder_levels=1"].kept
    assert by_cut["filter.after_pre_add=0,filter.adder_levels=1"].kept
    # The tree's cut cannot go: it had to come.
    assert fit_clock.last_kept(trials).pipeline == "filter.after_pre_add=0,filter.adder_levels=1"
    assert all(trial.slack_ns >= 0 for trial in trials[1:] if trial.kept)
    assert [row[-1] for row in fit_clock.table(trials)[1:3]] == ["", ""]
    assert fit_clock.table(trials)[3][0] == "filter.after_pre_add=0"


def test_it_ends_where_nothing_is_left_to_cut(modelled, monkeypatch):
    monkeypatch.setitem(Modelled.delay_ns, "registers.filter_clipped_total", 5.0)
    trials = fit_clock.fit(modelled, "predictive28", modelled / "fit", step=0, take_out=True)
    last = fit_clock.last_kept(trials)
    # The logic that could be cut has been, and nothing was taken out.
    assert [trial.pipeline for trial in trials] == ["", "filter.adder_levels=1"]
    assert last.latest == "registers.filter_clipped_total" and last.slack_ns < 0


def test_a_fit_is_kept_for_the_same_inputs_only(modelled, monkeypatch):
    folder = modelled / "fit"
    first = fit_clock.fit(modelled, "predictive28", folder, step=0, reuse=True)
    monkeypatch.setitem(Modelled.delay_ns, "filter.lane_0.out_i", 1.0)

    def again(**options):
        return fit_clock.fit(modelled, "predictive28", folder, step=0, reuse=True, **options)

    assert again() == first
    assert again(clock_mhz=400.0) != first
    first = again()
    assert len(first) == 1
    monkeypatch.setitem(Modelled.delay_ns, "filter.lane_0.out_i", 3.0)
    assert again() == first
    assert again(pipeline=parse("filter.after_sum=1")) != first
    for broken in ("[]", "{"):
        (folder / "fit_clock.json").write_text(broken)
        assert len(again()) == 2


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"step": 3}, "step = 3: must be an integer in 0..2"),
        ({"filters": "soft"}, "filters = 'soft'"),
        ({"clock_mhz": 0.0}, "clock_mhz = 0.0: must be above 0"),
    ],
)
def test_bad_options_are_refused(modelled, options, complaint):
    with pytest.raises(InputError, match=complaint):
        fit_clock.fit(modelled, "predictive28", modelled / "fit", **{"step": 0, **options})


def test_the_command_hands_the_cuts_on(modelled, monkeypatch, capsys):
    given = {}

    def synthesized(run, pdk, **options):
        given.update(options)
        return {"step": 16, "cell_area_um2": 1, "power_w": {"total": 1}, "slack_ns": 0,
                "slack_without_wires_ns": 0, "highest_clock_mhz": 1,
                "gate_level_mismatches": 0, "wall_time_s": 0, "scaled_28nm": None,
                "for_demonstration_only": False}  # fmt: skip

    monkeypatch.setattr("dbp.synthesis.synthesize", synthesized)
    monkeypatch.setattr(synth, "stimulus_source", lambda run: lambda samples: None)
    monkeypatch.setitem(Modelled.delay_ns, "registers.filter_clipped_total", 5.0)
    given_cuts = ["--step", "0", "--pipeline", "rotation.after_kerr=1"]
    arguments = ["synth", str(modelled), "--pdk", "predictive28", "--fit-clock", *given_cuts]
    assert cli.main(arguments) == 0
    # Figures that lie there do not say how their cuts were found.
    assert given["reuse"] is False
    out = capsys.readouterr().out
    assert text(given["pipeline"]) == "filter.adder_levels=1,rotation.after_kerr=1"
    rows = given["fit_clock"]["trials"]
    assert [row["pipeline"] for row in rows] == ["rotation.after_kerr=1", text(given["pipeline"])]
    assert "Nothing is left to cut before registers.filter_clipped_total" in out
    assert "Cuts: filter.adder_levels=1,rotation.after_kerr=1\n" in out


@pytest.mark.skipif(shutil.which("sta") is None, reason="no OpenSTA")
def test_a_step_that_misses_the_clock_meets_it_and_equals_golden(tmp_path, monkeypatch):
    design, rng = small_synthesis_design(), np.random.default_rng(5)
    design.save(tmp_path / "design.json")
    samples = golden.convert(rng.normal(size=1500) + 1j * rng.normal(size=1500), design)
    Stimulus(samples, 200, design.hash, "", 5).save(tmp_path / "stimulus.npz")
    job = whole_receiver.Job(tmp_path, "predictive28", "reconfigurable", 0, 2, 900.0)
    jobs = whole_receiver.fit_clocks({"small": [job]}, 1)
    (fitted,) = jobs["small"]
    options = {"step": 0, "clock_mhz": 900.0}
    with monkeypatch.context() as patched:
        # Kept: no need to map again, nor to read the kit.
        patched.setattr(synthesize_step, "map_and_time", None)
        patched.setattr(fit_clock.liberty_reader, "read", None)
        trials = fit_clock.fit(
            tmp_path, "predictive28", job.place / "step0-fit", reuse=True, **options
        )
    assert trials[0].slack_ns < 0 and fit_clock.last_kept(trials).slack_ns >= 0
    assert fitted.pipeline == parse(trials[-1].pipeline) != Pipeline()
    figures = fit_clock.figures(trials)
    found = synthesize(
        tmp_path,
        "predictive28",
        pipeline=fitted.pipeline,
        clocks=300,
        fit_clock=figures,
        **options,
    )
    assert found["timing_met"] and found["slack_ns"] == pytest.approx(trials[-1].slack_ns)
    assert found["gate_level_mismatches"] == 0 < found["gate_level_samples"]
    assert found["fit_clock"] == figures


@pytest.mark.skipif(shutil.which("sta") is None, reason="no OpenSTA")
@pytest.mark.parametrize(("clock_mhz", "met"), [(416.7, True), (3000.0, False)])
def test_power_is_simulated_only_where_the_clock_is_met(tmp_path, clock_mhz, met):
    design, rng = small_synthesis_design(), np.random.default_rng(5)
    design.save(tmp_path / "design.json")
    samples = golden.convert(rng.normal(size=1500) + 1j * rng.normal(size=1500), design)
    Stimulus(samples, 200, design.hash, "", 5).save(tmp_path / "stimulus.npz")
    options = (tmp_path, "predictive28", 1, "hardwired", clock_mhz, tmp_path / "work")
    trial, late = fit_clock._Trials(*options).run(Pipeline(), True)
    assert (trial.slack_ns >= 0) is (trial.power_w is not None) is (not late) is met
    assert trial.latest.startswith(("filter.", "registers.", "out_"))
