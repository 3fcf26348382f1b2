"""Designs beside each other: what the rows come to together, and how they are shown."""

import csv
import json
import math
import re
from dataclasses import replace

import pytest
from helpers.designs import DESIGN

from dbp import cli, config
from dbp.cli import compare
from dbp.cli.compare import write
from dbp.comparison import merit
from dbp.datapath import shipped
from dbp.evaluation.points import Points
from dbp.records.provenance import Stopwatch, read_metrics
from dbp.records.schemas import (
    ComparisonMetrics,
    ComparisonRow,
    FitCheck,
    Point,
    PowerW,
    StepFigures,
    SynthMetrics,
)
from dbp.report import page as report
from dbp.report import plots, tables
from dbp.rtl.pipeline import parse, text
from dbp.support.svg import to_svg
from dbp.synthesis import whole_receiver
from dbp.synthesis.cells import kits, scaling


def row(design, watts=1.0, ber=1e-3, pdk="nangate45", filters="reconfigurable", **others):
    """A row as the command has it, a receiver of 33 steps; the BER's interval is 10 % wide."""
    fields = {
        "design": design, "learned": not design.startswith("lsco"), "filters": filters, "pdk": pdk,
        "ber": ber, "ber_low": 0.9 * ber, "ber_high": 1.1 * ber,
        "power_w": {"switching": 0.0, "internal": 0.0, "leakage": 0.0, "total": 33 * watts},
        "area_mm2": 66 * watts, "pj_per_bit": 80.0, "pj_per_sample": 160.0,
        "lanes": 96, "synthesised_lanes": [8, 16],
        "step_power_w": watts, "step_area_mm2": 2 * watts, "paper_step": None, "slack_ns": 0.1,
        "voltage_v": {"nangate45": 1.1, "asap7": 0.7}.get(pdk, 1.8), "fit_check": {}, **others,
    }  # fmt: skip
    return ComparisonRow(**fields)


def stated(power_w, area_mm2):
    return StepFigures(power_w=power_w, area_mm2=area_mm2)


# Not made of steps, with the keys that `ComparisonRow` requires and those of a scaled kit.
LINEAR = ComparisonRow(
    design="linear", learned=False, filters="estimate", pdk="nangate45", snr_db=13.9,
    ber=5e-3, ber_low=4e-3, ber_high=6e-3, power_w={"total": 6.0}, area_mm2=8.0,
    pj_per_bit=75.0, step_power_w=None, step_area_mm2=None, paper_step=None, voltage_v=1.1,
)  # fmt: skip


def test_energies_are_those_of_the_link():
    settings = config.Config()
    found = merit.energies(96, 6.6, settings)
    # The paper's 6.6 W for 80 Gbit/s.
    assert found["pj_per_bit"] == pytest.approx(82.5, rel=0.001)
    assert found["pj_per_sample"] == pytest.approx(165, rel=0.001)


def test_the_paper_stands_beside_the_designs_of_its_table():
    designs = shipped.designs()
    found = merit.paper_step(designs["learned-c6-s9"], "reconfigurable")
    assert found == stated(0.2, 0.81)
    assert merit.paper_step(designs["lsco-paper-c8-s9"], "reconfigurable").power_w == 0.31
    assert merit.paper_step(designs["learned-c6-s9"], "hardwired") is None
    assert merit.paper_step(designs["lsco-tuned-c9-s9"], "reconfigurable") is None


def test_bits_that_differ_are_a_range():
    design = shipped.designs()["learned-c6-s9"]
    assert merit.formats(design) == "6/9"
    # The taps of the first and of the last filter do not count.
    first, second, *others, last = design.filters
    filters = (replace(first, coefficient_bits=7), replace(second, coefficient_bits=7), *others)
    other = replace(design, filters=(*filters, replace(last, coefficient_bits=8)))
    assert merit.formats(other) == "6-7/9"
    rotation, *rotations = other.rotations
    narrow = replace(other, rotations=(replace(rotation, output_bits=7), *rotations))
    assert merit.formats(narrow) == "6-7/7-9"
    # The paper has no step of such formats.
    for mixed in (other, narrow):
        assert merit.paper_step(mixed, "reconfigurable") is None


def test_what_is_learned_is_known_by_name():
    learned = {name for name, design in shipped.designs().items() if merit.is_learned(design)}
    assert learned == {f"learned-c{c}-s{s}" for c in (5, 6) for s in (8, 9)} | {
        "dual-c6-s9",
        "enhanced-c5-s9",
        "learned-c4-s9",
        "enhanced-3per2-c6-s9",
        "enhanced-5per3-c6-s9",
        "enhanced-5per3-c8-s10",
        "labptptm1-c6-s9",
        "labptptm2-c6-s9",
        "learned-3per2-c5-s9",
        "learned-4per3-c6-s8",
        "learned-4per3-c6-s9",
        "learned-5per4-c6-s9",
    }


def test_calibration_leaves_each_value_out_in_turn():
    # Power is 1, 2 and 4 times the paper's: factors of the other two are 8, 4 and 2 to the -1/2.
    rows = [
        row("a", 1.0, paper_step=stated(1.0, 1.0)),
        row("b", 2.0, paper_step=stated(1.0, 2.0)),
        row("c", 2.0, paper_step=stated(0.5, 2.0)),
        row("without", 3.0),
    ]
    rows, (found,) = merit.calibrate(rows)
    assert (found.pdk, found.rows) == ("nangate45", 3)
    assert found.power_w.factor == pytest.approx(1 / 2)
    errors = [8**-0.5 - 1, 2 * 4**-0.5 - 1, 4 * 2**-0.5 - 1]
    assert [r.calibrated.power_w_left_out_error for r in rows[:3]] == pytest.approx(errors)
    assert [r.calibrated.power_w for r in rows[:3]] == pytest.approx([0.5, 1.0, 1.0])
    assert found.power_w.worst_left_out_error == pytest.approx(errors[2])
    rms = math.sqrt(sum(e**2 for e in errors) / 3)
    assert found.power_w.rms_left_out_error == pytest.approx(rms)
    # Area is twice the paper's in every row: one factor has no error.
    assert found.area_mm2.factor == pytest.approx(0.5)
    assert found.area_mm2.worst_left_out_error == pytest.approx(0, abs=1e-12)
    assert rows[3].calibrated is None


def test_the_worst_error_keeps_its_sign():
    rows = [row(str(k), paper_step=stated(p, k + 1.0)) for k, p in enumerate((1.0, 1.0, 1.1))]
    rows, (found,) = merit.calibrate(rows)
    assert found.power_w.worst_left_out_error == pytest.approx(1 / 1.1 - 1)


def test_a_value_that_two_designs_share_is_left_out_of_both():
    one, two, three = (stated(p, p) for p in (1.0, 2.0, 4.0))
    rows = [row("a", paper_step=one), row("b", paper_step=two), row("c", paper_step=three)]
    rows.append(row("seed 2", paper_step=one))
    rows, _ = merit.calibrate(rows)
    expected = math.sqrt(8) - 1  # of b and c alone
    for twin in (rows[0], rows[3]):
        assert twin.calibrated.power_w_left_out_error == pytest.approx(expected)
    # Two values, however often, are no fit that can be checked.
    two_values = [rows[0], rows[3], rows[1]]
    two_values, calibrations = merit.calibrate(two_values)
    assert calibrations == ()
    assert [r.calibrated for r in two_values] == [None] * 3


def test_each_kit_is_calibrated_by_itself():
    papers = [stated(p, p) for p in (0.1, 0.2, 0.3)]
    rows = [row(str(k), p.power_w, paper_step=p) for k, p in enumerate(papers)]
    rows += [row(str(k), p.power_w / 5, pdk="asap7", paper_step=p) for k, p in enumerate(papers)]
    _, (first, second) = merit.calibrate(rows)
    assert (first.pdk, second.pdk) == ("nangate45", "asap7")
    assert first.power_w.factor == pytest.approx(1)
    assert second.power_w.factor == pytest.approx(5)


def test_the_headline_is_the_least_power_at_no_higher_a_ber():
    rows = [
        row("lsco-paper", 4.0, 1e-3),
        row("learned-better", 2.2, 5e-4),
        row("learned-equal", 2.0, 1.09e-3),  # within the baseline's interval
        row("learned-worse", 1.0, 1.11e-3),
    ]
    (found,) = merit.headlines(rows)
    assert (found.kind, found.against) == ("first", "lsco-paper")
    assert (found.design, found.better_ber) == ("learned-equal", False)
    assert found.power_saving == pytest.approx(0.5)
    (found,) = merit.headlines([rows[0], rows[1], rows[3]])
    assert (found.design, found.better_ber) == ("learned-better", True)
    assert found.power_saving == pytest.approx(0.45)
    # Lower, but the intervals meet.
    (found,) = merit.headlines([rows[0], row("learned", 2.0, 0.9e-3)])
    assert not found.better_ber
    # Alone there is nothing to say; where nothing reaches the first, that is said.
    assert merit.headlines(rows[:1]) == ()
    (found,) = merit.headlines([rows[0], rows[3]])
    assert found.design is None


def test_the_best_unlearned_design_is_a_headline_of_its_own():
    rows = [
        row("lsco-paper", 4.0, 1e-3),
        row("lsco-tuned", 5.0, 3.0e-4),
        row("lsco-tuned-cheaper", 4.5, 3.2e-4),  # no worse, and the harder one to beat
        row("learned-a", 2.0, 5e-4),
        row("learned-b", 2.7, 2e-4),
    ]
    first, best = merit.headlines(rows)
    assert (first.design, first.against) == ("learned-a", "lsco-paper")
    assert (best.kind, best.against, best.design) == (
        "unlearned", "lsco-tuned-cheaper", "learned-b",
    )  # fmt: skip
    assert best.power_saving == pytest.approx(0.4)
    _, best = merit.headlines(rows[:4])
    assert best.design is None
    # Where the best that is not learned is the first, one line says it all.
    assert [h.kind for h in merit.headlines([rows[1], rows[0], rows[4]])] == ["first"]


def test_headlines_stay_within_a_kit_and_a_kind_of_filters():
    rows = [
        row("lsco-paper", 4.0),
        row("learned", 2.0),
        row("lsco-paper", 1.0, filters="hardwired"),
        row("learned", 0.3, filters="hardwired"),
        row("lsco-paper", 0.4, pdk="asap7"),
        row("learned", 0.5, pdk="asap7"),
        LINEAR,
    ]
    found = [(h.pdk, h.filters, h.power_saving) for h in merit.headlines(rows)]
    assert found == [
        ("nangate45", "reconfigurable", pytest.approx(0.5)),
        ("nangate45", "hardwired", pytest.approx(0.7)),
        ("asap7", "reconfigurable", pytest.approx(-0.25)),
    ]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A comparison of two kits and one that is not scaled, with all that a row can have."""
    folder = tmp_path_factory.mktemp("comparison")
    papers = {"lsco-a": stated(0.37, 1.54), "learned-b": stated(0.2, 0.81)}
    papers["learned-c"] = stated(0.15, 0.61)
    rows = [
        row(name, watts * factor, ber, pdk, paper_step=papers[name])
        for pdk, factor in (("nangate45", 1.0), ("asap7", 0.2), ("sky130hd", 9.0))
        for name, watts, ber in (
            ("lsco-a", 2.4, 1e-3), ("learned-b", 1.0, 4e-4), ("learned-c", 0.9, 2e-3),
        )
    ]  # fmt: skip
    rows += [row("learned-b", 0.5, 4e-4, filters="hardwired"), LINEAR]
    check = {"32": FitCheck(power=1.012, area=0.995)}
    rows[0] = rows[0].model_copy(update={"fit_check": check})
    write(rows, folder, config.Config(), Stopwatch())
    return folder


def table_of(found, title):
    """Lines of a table by design and kit."""
    (table,) = (table for table in tables.tables(found) if table.title == title)
    header, *lines = table.lines
    assert all(len(line) == len(header) for line in lines)
    return {(line[0], line[1]): line[2:] for line in lines}, table.notes


def test_both_kits_make_one_band(written):
    rows = json.loads((written / "comparison.json").read_text())["rows"]
    of_b = {r["pdk"]: r for r in rows if r["design"] == "learned-b" and r["filters"] != "hardwired"}
    voltages = {"nangate45": 1.1, "asap7": 0.7}
    for key, quantity, unit in (
        ("power_28nm_w", "energy", 33.0),
        ("step_power_28nm_w", "energy", 1.0),
        ("area_28nm_mm2", "area", 66.0),
        ("step_area_28nm_mm2", "area", 2.0),
    ):
        both = scaling.band({"nangate45": unit, "asap7": 0.2 * unit}, voltages, quantity)
        one = scaling.band({"asap7": 0.2 * unit}, voltages, quantity)
        assert both.low < both.central < both.high
        assert of_b["asap7"][key] == pytest.approx(one.model_dump())
        for kit in voltages:
            assert of_b[kit][f"combined_{key}"] == pytest.approx(both.model_dump())
        # A kit that is not scaled has no band; a design in one kit none that is combined.
        assert of_b["sky130hd"][key] is None and of_b["sky130hd"][f"combined_{key}"] is None
    (hardwired,) = (r for r in rows if r["filters"] == "hardwired")
    assert hardwired["power_28nm_w"] and hardwired["combined_power_28nm_w"] is None


def test_the_tables_have_all_rows(written):
    found = read_metrics(written / "comparison.json", ComparisonMetrics)
    lines, notes = table_of(found, "Whole receivers")
    assert len(lines) == 11
    assert lines["learned-b", "nangate45"] == [
        "4.0e-04", "33.0", "0.42", "66.0", "0.42", "80.0", "+0.10",
    ]  # fmt: skip
    assert lines["learned-b hardwired", "nangate45"][2] == "0.21"
    assert lines["linear estimate", "nangate45"][-1] == "-"
    assert "estimated from syntheses of 8 and 16" in notes[0]
    lines, _ = table_of(found, "One step, beside the paper's")
    assert len(lines) == 10
    assert lines["learned-b", "asap7"] == [
        "0.200", "0.42", "0.20", "0.54", "0.400", "0.42", "0.81", "0.53",
    ]  # fmt: skip
    assert lines["learned-b hardwired", "nangate45"][2:4] == ["-", "-"]
    lines, _ = table_of(found, "At 28 nm")
    assert {kit for _, kit in lines} == {"nangate45", "asap7", "nangate45 + asap7"}
    assert len(lines) == 3 * 3 + 2
    assert lines["linear estimate", "nangate45"][1::2] == ["-", "-"]
    lines, notes = table_of(found, "A step, calibrated on the paper's values")
    assert len(lines) == 9 and "Fitted, not predicted" in notes[0]
    assert len(notes) == 4
    lines, _ = table_of(found, "Check of the lanes")
    assert lines == {("lsco-a", "nangate45"): ["32", "+1.2 %", "-0.5 %"]}


def test_tables_without_a_line_are_left_out(tmp_path):
    write([row("a")], tmp_path, config.Config(), Stopwatch())
    found = read_metrics(tmp_path / "comparison.json", ComparisonMetrics)
    titles = [table.title for table in tables.tables(found)]
    assert titles == ["Whole receivers", "One step", "At 28 nm"]
    header, line = tables.tables(found)[1].lines
    assert header == ["design", "kit", "W", "ratio", "mm2", "ratio"]
    assert line[2:] == ["1.00", "1.00", "2.00", "1.00"]
    assert tables.sentences(found) == []


def test_the_csv_has_a_line_for_each_row(written):
    with (written / "comparison.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 11
    assert all(None not in line and None not in line.values() for line in lines)
    assert lines[0]["fit_check.32.power"] == "1.012" and lines[1]["fit_check.32.power"] == ""
    assert float(lines[0]["combined_power_28nm_w.high"]) > float(lines[0]["power_28nm_w.high"])
    assert float(lines[1]["calibrated.power_w_left_out_error"])
    assert (lines[-1]["design"], lines[-1]["power_w.total"]) == ("linear", "6.0")
    assert lines[-1]["calibrated.power_w"] == lines[-1]["step_power_w"] == ""
    assert not {"calibrated", "paper_step", "combined_power_28nm_w"} & set(lines[0])


def test_sentences_say_what_the_headlines_have(written):
    found = read_metrics(written / "comparison.json", ComparisonMetrics)
    first, *_ = tables.sentences(found)
    assert first == (
        "nangate45: learned-b takes 58 % less power than lsco-a at a better BER "
        "(4.0e-04 against 1.0e-03)."
    )
    rows = [row("lsco-a", 1.0), row("lsco-best", 2.0, 1e-4), row("learned", 1.5, 1.08e-3)]
    content = {"rows": rows, "headlines": merit.headlines(rows)}
    stages = {"design_hash": None, "config_hash": None, "seed": None, "versions": {}}
    found = ComparisonMetrics(**content, **stages, wall_time_s=0.0)
    assert tables.sentences(found) == [
        "nangate45: learned takes 50 % more power than lsco-a at equal BER "
        "(1.1e-03 against 1.0e-03).",
        "nangate45: no learned design reaches the BER of lsco-best, the best that is not learned "
        "(1.0e-04).",
    ]


@pytest.mark.parametrize(
    "value, digits, expected",
    [(107.1, 3, "107"), (89.0, 3, "89.0"), (9.96, 2, "10"), (118.0, 2, "120"), (1234.0, 3, "1230"),
     (0.0967, 3, "0.0967"), (0.0, 3, "0")],
)  # fmt: skip
def test_figures_have_so_many_digits_and_no_exponent(value, digits, expected):
    assert tables._rounded(value, digits) == expected


def test_every_design_is_in_the_legend_once(written):
    found = read_metrics(written / "comparison.json", ComparisonMetrics)
    drawing = to_svg(plots.comparison(found.rows))
    assert drawing == (written / "comparison.svg").read_text()
    # Text is drawn as shapes, named in a comment.
    texts = re.findall(r"<!-- (.*?) -->", drawing)
    kinds = ("hollow: hardwired", "cross: an estimate")
    for name in ("lsco-a", "learned-b", "learned-c", "linear", *kinds):
        assert texts.count(name) == 1
    for kit in ("nangate45", "asap7", "sky130hd"):
        assert texts.count(kit) == 1


def test_signal_to_noise_is_drawn_against_energy(written):
    """Of the rows that state it; a reference is marked as an estimate."""
    drawing = (written / "comparison_energy.svg").read_text()
    assert re.findall(r"<!-- (lsco.*|learned.*|linear.*) -->", drawing) == ["linear"]
    others = [row("learned-b", snr_db=17.7), row("learned-b", filters="hardwired", snr_db=17.7)]
    texts = re.findall(r"<!-- (.*?) -->", to_svg(plots.energy([*others, LINEAR])))
    names = {"learned-b", "hollow: hardwired", "linear", "cross: an estimate", "nangate45"}
    assert names <= set(texts)
    assert texts.count("learned-b") == 1
    assert plots.energy([row("learned-b")]) is None


@pytest.mark.parametrize("draw", [plots.comparison, plots.energy])
def test_marks_in_the_legend_are_filled_unless_they_tell_that_they_are_hollow(draw):
    """Also of a design of which a hardwired row alone was drawn."""
    rows = [LINEAR, row("learned-b", filters="hardwired", snr_db=17.7)]
    (legend,) = draw(rows).legends
    names = [text.get_text() for text in legend.get_texts()]
    marks = [mark.get_markerfacecolor() for mark in legend.get_lines()]
    faces = dict(zip(names, marks, strict=True))
    assert list(faces) == ["learned-b", "hollow: hardwired", "cross: an estimate"]
    assert [name for name, face in faces.items() if face == "none"] == ["hollow: hardwired"]


@pytest.mark.parametrize("draw", [plots.comparison, plots.energy])
def test_a_reference_has_its_name_beside_its_cross_and_no_line_in_the_legend(draw):
    (axes,) = draw([LINEAR, row("learned-b", snr_db=17.7)]).axes
    (name,) = axes.texts
    assert name.get_text() == "linear"
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert [line.get_xydata().tolist() for line in crosses] == [[list(name.xy)]]


def test_an_estimate_makes_no_headline_and_is_explained():
    rows = [LINEAR, row("lsco-a"), row("learned-b", 0.5, 5e-4)]
    assert all("linear" not in (line.design, line.against) for line in merit.headlines(rows))
    assert [line.against for line in merit.headlines(rows)] == ["lsco-a"]
    table = tables._receivers(rows)
    assert table.lines[1][0] == "linear estimate"
    assert any(note.startswith("estimate: operations of FFT filters") for note in table.notes)


def test_the_page_shows_what_the_command_printed(written):
    DESIGN.save(written / "design.json")
    page = report.write_report([written]).read_text()
    found = read_metrics(written / "comparison.json", ComparisonMetrics)
    for table in tables.tables(found):
        title = table.title.replace("'", "&#x27;")
        assert f"<h3>{title}</h3>" in page
    for sentence in tables.sentences(found):
        assert f"<li>{sentence}</li>" in page
    assert "nangate45 + asap7" in page


def test_references_alone_are_compared_from_their_names_to_their_files(tmp_path, monkeypatch):
    """Their watts are scaled to 28 nm from the supply of the kit, as those of designs."""

    def counted(request, out, workplace):
        figures = {"bits": 1000, "errors": 10, "ber": 1e-2, "ber_low": 9e-3, "ber_high": 2e-2}
        return Points(
            Point(
                design=name, design_hash=None, arithmetic="float", launch_power_dbm=0.0,
                snr_db=14.0, **figures,
            )
            for name in request.designs
        )  # fmt: skip

    monkeypatch.setattr(compare, "ber", counted)
    monkeypatch.setattr(kits, "find", lambda name: (kits.KITS[name], [tmp_path / "supply.lib"]))
    (tmp_path / "supply.lib").write_text("library (supply) { nom_voltage : 1.1; cell (none) { } }")
    command = ["compare", "linear", "essfm8", "--pdk", "nangate45", "--out", str(tmp_path)]
    assert cli.main(command) == 0
    rows = json.loads((tmp_path / "comparison.json").read_text())["rows"]
    assert [r["design"] for r in rows] == ["linear", "essfm8"]
    for found in rows:
        whole = scaling.band({"nangate45": found["power_w"]["total"]}, {"nangate45": 1.1}, "energy")
        assert found["power_28nm_w"] == pytest.approx(whole.model_dump())
    assert (tmp_path / "comparison_energy.svg").is_file()


@pytest.mark.parametrize("order", [1, -1])
def test_gates_are_simulated_at_a_launch_power_of_their_polarisations(tmp_path, order):
    names = ["learned-c6-s9", "dual-c6-s9"][::order]
    prepare, candidates = compare._Comparison.prepare, compare.Candidates()
    found = prepare([*names, "linear"], candidates, tmp_path, None)
    powers = {name: found.configuration(name).training.launch_power_dbm for name in found.designs}
    presets = {"learned-c6-s9": "paper", "dual-c6-s9": "dual-c6-s9"}
    own = {name: config.load(presets[name]).training.launch_power_dbm for name in names}
    assert powers == own and own["dual-c6-s9"] == 3.0
    # A configuration is for all.
    found = prepare(names, candidates, tmp_path, "demo")
    demo = config.load("demo")
    assert all(found.configuration(name) == demo for name in names)


@pytest.mark.parametrize(
    ("changes", "lanes"),
    [("[link]\nsymbol_rate_gbd = 28.0", 135), ("[hardware]\nclock_mhz = 208.35", 192)],
)
def test_a_receiver_has_the_lanes_of_its_symbol_rate(tmp_path, changes, lanes):
    (tmp_path / "other.toml").write_text(changes)
    design = shipped.designs()["learned-c6-s9"]
    candidates = compare.Candidates(widths=(2, 4))
    found = compare._Comparison.prepare(
        [design.name], candidates, tmp_path, str(tmp_path / "other.toml")
    )

    def synthesized(width):
        kinds = dict.fromkeys(("switching", "internal", "leakage", "total"), 1.0 * width)
        return SynthMetrics.model_construct(
            power_w=PowerW(**kinds), clock_tree_estimate_w=PowerW(**kinds), cell_area_um2=1.0,
            slack_ns=0.0, timing_met=True, glitch_share=0.0, voltage_v=1.1,
        )  # fmt: skip

    steps = [kind.step for kind in whole_receiver.kinds(design, "reconfigurable")]
    point = Point(
        design=design.name, arithmetic="fixed", launch_power_dbm=0.0, bits=1000, errors=10,
        ber=0.01, ber_low=0.005, ber_high=0.02, snr_db=15.0, design_hash=design.hash,
    )  # fmt: skip
    key = compare._Key(design.name, "nangate45", "reconfigurable")
    of_steps = {(step, width): synthesized(width) for step in steps for width in (2, 4)}
    row = found.row(key, point, parse(""), of_steps)
    assert row.lanes == row.step_power_w == lanes


@pytest.mark.slow
def test_the_command_costs_every_design_in_every_kit(tmp_path, monkeypatch):
    """Without a synthesis or a bit: which jobs it asks for, and whose figures a row gets."""
    names = ["learned-c6-s9", "learned-c5-s9"]
    bers = dict(zip(names, (6e-4, 3e-4), strict=True))
    watts = {"nangate45": 1.0, "asap7": 0.2}
    cuts = {"nangate45": "rotation.after_kerr=1", "asap7": "filter.after_sum=1"}

    def counted(request, out, workplace):
        return Points(
            Point(
                design=name, design_hash=None, arithmetic="fixed", launch_power_dbm=0.0,
                bits=10**6, errors=round(1e6 * bers[name]), ber=bers[name],
                ber_low=0.9 * bers[name], ber_high=1.1 * bers[name], snr_db=15.0,
            )
            for name in request.designs
        )  # fmt: skip

    def fitted(plans, workers):
        assert all(
            text(each.target.pipeline) == "hardwired.sum_terms=9"
            for plan in plans.values() for each in plan
        )  # fmt: skip
        return {
            key: [
                replace(each, target=replace(each.target, pipeline=parse(cuts[each.kit])))
                for each in plan
            ]
            for key, plan in plans.items()
        }

    def synthesized(plans, workers):
        def figures(each):
            target = each.target
            assert text(target.pipeline) == cuts[each.kit]
            bits = 6 if "c6" in each.folder.name else 5
            total = watts[each.kit] * bits * (1 + target.lanes)
            total /= 1 + (target.filters == "hardwired")
            kinds = ("switching", "internal", "leakage", "total")
            return SynthMetrics.model_construct(
                power_w=PowerW(**dict.fromkeys(kinds, total)), cell_area_um2=1e3 * total,
                clock_tree_estimate_w=PowerW(**dict.fromkeys(kinds, 0.0)), slack_ns=0.0,
                timing_met=True, glitch_share=0.2,
                voltage_v={"nangate45": 1.1, "asap7": 0.7}[each.kit],
            )  # fmt: skip

        return {
            key: {(each.target.step, each.target.lanes): figures(each) for each in plan}
            for key, plan in plans.items()
        }

    monkeypatch.setattr(kits, "find", lambda name: (kits.KITS[name], []))
    monkeypatch.setattr(compare, "ber", counted)
    monkeypatch.setattr(compare, "stimulus_source", lambda folder: lambda samples: None)
    monkeypatch.setattr(whole_receiver, "fit_clocks", fitted)
    monkeypatch.setattr(whole_receiver, "run", synthesized)
    command = ["compare", *names, "--pdk", "nangate45", "asap7", "--lanes", "8", "16", "32"]
    command += ["--filters", "reconfigurable", "hardwired", "--out", str(tmp_path)]
    assert cli.main([*command, "--pipeline", "hardwired.sum_terms=9"]) == 0
    rows = json.loads((tmp_path / "comparison.json").read_text())["rows"]
    order = [(kit, kind, name) for kit in watts for kind in command[-4:-2] for name in names]
    assert [(r["pdk"], r["filters"], r["design"]) for r in rows] == order
    for found in rows:
        step = watts[found["pdk"]] * found["coefficient_bits"] * 97
        step /= 1 + (found["filters"] == "hardwired")
        assert found["step_power_w"] == pytest.approx(step)
        assert found["fit_check"]["32"] == pytest.approx({"power": 1, "area": 1})
        assert found["pipeline"] == cuts[found["pdk"]]
        assert found["ber"] == bers[found["design"]]
        assert found["combined_power_28nm_w"]
    assert cli.main([*command[:5], "--lanes", "8", "--out", str(tmp_path / "no")]) == 2
