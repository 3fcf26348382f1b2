"""The first screen of a report: the right winner, by how much, and with which doubt."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.designs import DESIGN

from dbp.comparison import merit
from dbp.records.schemas import BerMetrics, ComparisonMetrics, ComparisonRow, Point
from dbp.report.contents import Contents, DesignRun
from dbp.report.verdict import verdict

COMMON = {"design_hash": None, "config_hash": None, "seed": 1, "versions": {}, "wall_time_s": 1.0}


def point(design, ber, power=0.0, errors=100, width=0.1, arithmetic="fixed", **link):
    bits = 10**6
    return Point(
        design=design, arithmetic=arithmetic, launch_power_dbm=power, bits=bits, errors=errors,
        ber=ber, ber_low=ber * (1 - width), ber_high=ber * (1 + width) if ber else 4 / bits,
        snr_db=15.0, **link,
    )  # fmt: skip


def of_points(*points):
    return verdict(Contents([], [BerMetrics(points=points, link={}, **COMMON)], (True,)))


def run(name, **stages):
    parts = dict.fromkeys(("config", "train", "rtl", "proof", "sim"))
    parts |= {"synth": {}, "history": []} | stages
    return DesignRun(name=name, folder=Path(name), design=replace(DESIGN, name=name), **parts)


def synth(milliwatts, area=100.0, slack_ns=0.1, demonstration=False, lanes=2, mismatches=0):
    return SimpleNamespace(
        power_w=SimpleNamespace(total=milliwatts / 1e3), cell_area_um2=area, slack_ns=slack_ns,
        timing_met=slack_ns >= 0, for_demonstration_only=demonstration, lanes=lanes, step=1,
        clock_mhz=400.0, filters="reconfigurable", gate_level_mismatches=mismatches,
        gate_level_samples=500,
    )  # fmt: skip


def sim(mismatches=0):
    return SimpleNamespace(mismatches=mismatches, samples_compared=1000, wrong_registers=())


def row(design, watts, ber, pdk="nangate45", slack_ns=0.1, **others):
    return ComparisonRow(
        design=design, filters="reconfigurable", pdk=pdk, ber=ber, ber_low=0.9 * ber,
        ber_high=1.1 * ber, power_w={"total": watts}, area_mm2=watts, pj_per_bit=watts,
        slack_ns=slack_ns, **others,
    )  # fmt: skip


def of_rows(*rows):
    metrics = ComparisonMetrics(rows=rows, headlines=merit.headlines(rows), **COMMON)
    return verdict(Contents([], []), [metrics])


def test_the_lower_bit_error_ratio_wins_where_intervals_do_not_meet():
    found = of_points(
        point("worse", 6e-4), point("better", 3e-4), point("linear", 1e-5, arithmetic="float")
    )
    assert found.sentences[0] == "better makes 2.0 times fewer bit errors than worse."
    assert "3.0e-04 (95 % interval 2.7e-04 .. 3.3e-04) against 6.0e-04" in found.sentences[1]
    assert [figure.value for figure in found.figures] == ["3.0e-04", "2.0 x"]
    assert found.compared == "worse, better and linear"


def test_overlapping_intervals_name_no_winner():
    found = of_points(point("a", 3.0e-4), point("b", 3.3e-4), point("c", 9e-4))
    assert found.sentences == (
        "No winner in bit error ratio among a and b: 3.0e-04 and 3.3e-04, and the intervals "
        "overlap. c has more errors, 9.0e-04.",
    )
    assert any(doubt.startswith("The 95 % intervals of a and b overlap") for doubt in found.doubts)
    assert not any("fewer" in figure.meaning for figure in found.figures)


def test_without_an_error_the_factor_is_a_bound():
    found = of_points(point("clean", 0.0, errors=0), point("other", 1.2e-4))
    # 0.9 * 1.2e-4 over 4e-6.
    assert found.sentences[0] == "clean makes at least 27 times fewer bit errors than other."
    assert "no error in 1e+06 bits" in found.sentences[1]
    assert found.figures[0].value == "< 4.0e-06"


def test_with_few_errors_the_factor_is_a_bound_and_a_doubt():
    found = of_points(point("rare", 3e-6, errors=3), point("other", 1.2e-4))
    # 0.9 * 1.2e-4 over 1.1 * 3e-6.
    assert found.sentences[0] == "rare makes at least 33 times fewer bit errors than other."
    assert "rare: few errors were counted, 3." in found.doubts


def test_one_design_stands_beside_linear_compensation():
    found = of_points(point("mine", 3e-4), point("linear", 1e-2, arithmetic="float"))
    assert found.sentences[0].endswith("linear compensation alone has 1.0e-02.")
    assert "mine: one launch power was tried, 0 dBm." in found.doubts


def test_designs_are_judged_in_fixed_point():
    found = of_points(point("a", 9e-4), point("a", 1e-4, arithmetic="float"), point("b", 5e-4))
    assert found.sentences[0] == "b makes 1.8 times fewer bit errors than a."
    floating = of_points(point("a", 9e-4, arithmetic="float"), point("b", 5e-4))
    assert "a: counted with float filters, not with the integers of the chip." in floating.doubts


def test_an_optimum_at_the_end_of_the_powers_is_doubted():
    points = [point("a", ber, power) for ber, power in ((3e-4, 2.0), (4e-4, 1.0), (5e-4, 0.0))]
    assert any("+2 dBm, is the last that was tried" in doubt for doubt in of_points(*points).doubts)
    inner = of_points(*points, point("a", 9e-4, 3.0))
    assert not any("the last that was tried" in doubt for doubt in inner.doubts)


def test_several_links_have_no_winner():
    found = of_points(point("a", 1e-4, spans=8), point("b", 1e-3, spans=16))
    assert found.doubts[0] == "No winner in bit error ratio: the links differ."
    assert not found.figures


def runs_with_points(*pairs, **points):
    evaluation = BerMetrics(
        points=[point(name, ber) for name, ber in points.items()], link={}, **COMMON
    )
    content = Contents([run(name, **stages) for name, stages in pairs], [evaluation])
    return verdict(content)


def test_watts_of_a_step_stand_beside_those_of_the_runner_up():
    small, large = {"nangate45": synth(24, 50.0)}, {"nangate45": synth(48)}
    found = runs_with_points(("a", {"synth": small}), ("b", {"synth": large}), a=3e-4, b=6e-4)
    assert found.sentences[-1] == (
        "a takes 50 % less power and 50 % less area than b: one step, 24 mW against 48 mW in "
        "nangate45."
    )
    # Level in errors: the cheaper one is spoken of.
    found = runs_with_points(("a", {"synth": large}), ("b", {"synth": small}), a=3e-4, b=3.1e-4)
    assert found.sentences[0].startswith("No winner") and found.sentences[-1].startswith("b takes")
    # The winner in errors may cost more.
    found = runs_with_points(("a", {"synth": large}), ("b", {"synth": small}), a=3e-4, b=6e-4)
    assert found.sentences[-1].startswith("a takes 100 % more power and 100 % more area than b")


@pytest.mark.parametrize(
    ("stages", "doubt"),
    [
        ({"synth": {"k": synth(1, slack_ns=-0.45)}}, "a misses the clock of 400 MHz in k by 0.45"),
        ({"synth": {"k": synth(1, demonstration=True)}}, "k is a kit for demonstration"),
        ({"synth": {"k": synth(1, mismatches=3)}}, "The gates of a in k differ"),
        ({"synth": {"k": synth(1)}}, "Watts are of gates after synthesis"),
        ({"sim": sim(7)}, "The Verilog of a differs from the golden model in 7 of 1,000 samples"),
        ({"sim": sim()}, "Simulated, but not proved for all inputs: a."),
        ({}, "Verilog and golden model were not compared for a: dbp sim was not run."),
        ({}, "No bit error ratio: dbp ber was not run."),
        ({}, "No watts of a: dbp synth was not run"),
    ],
)
def test_what_is_missing_or_wrong_is_said(stages, doubt):
    found = verdict(Contents([run("a", **stages)], []))
    assert any(each.startswith(doubt) for each in found.doubts), found.doubts


def test_steps_that_differ_are_not_compared():
    one, other = {"k": synth(1)}, {"k": synth(2, lanes=4)}
    found = verdict(Contents([run("a", synth=one), run("b", synth=other)], []))
    assert "Steps are not compared: their lanes, numbers, clocks or filters differ." in found.doubts
    assert found.sentences == ("Nothing was evaluated, simulated or synthesised yet.",)


def test_a_comparison_names_the_cheapest_at_no_worse_a_bit_error_ratio():
    found = of_rows(row("lsco-a", 4.0, 1e-3), row("b", 2.0, 5e-4), row("c", 1.0, 2e-3))
    assert found.sentences == (
        "b takes 50 % less power than lsco-a at a lower bit error ratio, 5.0e-04 against 1.0e-03.",
        "Whole receivers: 2 W against 4 W in nangate45.",
    )
    assert found.figures[0].value == "0.50 x"
    level = of_rows(row("lsco-a", 4.0, 1e-3), row("b", 2.0, 9.9e-4))
    assert "no worse a bit error ratio" in level.sentences[0]
    assert level.doubts[0].startswith("Which of b and lsco-a has the lower bit error ratio is open")


def test_a_comparison_says_which_kits_disagree_which_are_no_evidence_and_which_clock_is_missed():
    found = of_rows(
        row("lsco-a", 4.0, 1e-3, "predictive28", for_demonstration_only=True),
        row("b", 2.0, 5e-4, "predictive28", for_demonstration_only=True),
        row("c", 1.0, 5e-4, "predictive28", for_demonstration_only=True),
        row("lsco-a", 4.0, 1e-3), row("b", 2.0, 5e-4, slack_ns=-0.2), row("c", 3.0, 5e-4),
    )  # fmt: skip
    assert found.sentences[0].startswith("b takes 50 % less power than lsco-a")
    assert "in predictive28 another wins, c, with 75 % less power" in found.sentences[-1]
    assert found.doubts[0] == (
        "b misses its clock in nangate45 by 0.20 ns: its watts are for a clock that it does not "
        "reach."
    )
    assert any(
        doubt.startswith("predictive28 is a kit for demonstration") for doubt in found.doubts
    )


def test_a_stage_that_is_absent_is_named():
    found = verdict(Contents([run("a")], []), (), {"a/sim": "no simulator"})
    assert "Absent: a/sim: no simulator" in found.doubts
