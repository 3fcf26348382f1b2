"""``dbp power``: formats agree, engines, options, and what does not fit."""

from __future__ import annotations

import csv
import gzip
import json
import os

import pytest
from helpers import TINY_LIB

from dbp.cli import main
from dbp.errors import InputError, MissingError, ToolError
from dbp.synthesis import netlist
from dbp.synthesis.activity import formats
from dbp.synthesis.cells import layout_rules, liberty_reader
from dbp.synthesis.power import calculate
from dbp.synthesis.power.cost_netlist import cost_power
from dbp.synthesis.timing import clock_tree

TINY = TINY_LIB
VERILOG = r"""module m (clk, d, q, \out.q );
  input clk; input [1:0] d; output q; output \out.q ; wire n;
  NAND2 u (.A(d[0]), .B(d[1]), .Y(n)); DFF \r/1 (.CK(clk), .D(n), .Q(q)); assign \out.q = q;
endmodule"""
RATES = {
    "clk": (2.0, 0.5),
    "d[0]": (0.5, 0.25),
    "d[1]": (0.25, 0.5),
    "n": (0.5, 0.75),
    "q": (0.5, 0.75),
}


@pytest.fixture
def folder(tmp_path):
    """The same netlist and activity in every format; four clocks of 10 ns."""
    (tmp_path / "m.v").write_text(VERILOG)
    lines = [f"{net},{rate},{one}" for net, (rate, one) in RATES.items()]
    head = "net,toggles_per_clock,static_probability"
    (tmp_path / "a.csv").write_text("\n".join([head, *lines, ""]))
    nets = " ".join(
        f"({net.replace('[', chr(92) + '[').replace(']', chr(92) + ']')} "
        f"(T0 {40 * (1 - one):g}) (T1 {40 * one:g}) (TX 0) (TC {4 * rate:g}) (IG 0))"
        for net, (rate, one) in RATES.items()
    )
    (tmp_path / "a.saif").write_text(
        f"(SAIFILE (TIMESCALE 1 ns) (DURATION 40) (INSTANCE tb (INSTANCE dut (NET {nets}))))"
    )
    return tmp_path


def run(folder, name="a.csv", out="out", **options):
    """What ``metrics.json`` holds, in its order."""
    metrics = cost_power(
        folder / "m.v", folder / name, [TINY], 100.0, folder / out, wire_load="none", **options
    )
    return metrics.content()


def test_figures_are_those_of_the_closed_form(folder):
    """Read off tiny.lib by hand: NAND2 (d[0], d[1]) -> DFF."""
    figures = run(folder)
    written = json.loads((folder / "out" / "metrics.json").read_text())
    assert written == figures and list(written) == list(figures)
    period = 10e-9
    by_a, by_b = 0.5 * 0.5, 0.25 * 0.25
    nand = 0.5 * (3e-15 * by_a + 6e-15 * by_b) / (by_a + by_b)
    clock = 2 * 0.75 * 4e-15
    assert figures["groups"]["combinational"]["internal"] == pytest.approx(nand / period)
    assert figures["groups"]["sequential"]["internal"] == pytest.approx(clock / period)
    assert figures["power_w"]["switching"] == pytest.approx(0.5 * 1e-15 * 0.5 / period)
    assert figures["power_w"]["leakage"] == pytest.approx((5 + 8) * 1e-9)
    assert figures["power_engine"] == "dbp" and figures["nets_annotated_fraction"] == 1.0
    assert figures["clock_toggles_per_clock"] == {"clk": 2.0}
    with gzip.open(folder / "out" / "power.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    assert [row["instance"] for row in rows] == ["u", "r/1"]
    assert sum(float(r["total_w"]) for r in rows) == pytest.approx(figures["power_w"]["total"])


def test_saif_is_the_same_activity(folder):
    first, second = run(folder), run(folder, "a.saif", "other")
    assert second["power_w"] == pytest.approx(first["power_w"], rel=1e-12)


def test_the_metrics_state_scope_and_time(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    changes = {
        0: "0! b01 # 1% 0$",
        5: "1!",
        10: "0! b11 # 0%",
        15: "1! 1$",
        20: "0!",
        25: "1!",
        30: "",
    }
    (folder / "a.vcd").write_text(
        "$timescale 1ns $end $scope module tb $end $scope module dut $end $var wire 1 ! clk $end\n"
        "$var wire 2 # d [1:0] $end $var wire 1 % n $end $var wire 1 $ q $end\n"
        "$upscope $end $upscope $end $enddefinitions $end\n"
        + "\n".join(f"#{time} {words}" for time, words in changes.items())
    )
    words = "--netlist m.v --clock-mhz 100 --scope dut --from-ns 10 --to-ns 30 --out out"
    status = main(["power", *words.split(), "--activity", "a.vcd", "--liberty", str(TINY)])
    assert status == 0 and "activity of tb/dut" in capsys.readouterr().out
    figures = json.loads((folder / "out" / "metrics.json").read_text())
    assert figures["activity_scope"] == "tb/dut"
    assert (figures["activity_from_ns"], figures["activity_to_ns"]) == (10, 30)
    # clk falls at 10 and 20 and rises at 15 and 25: twice a clock.
    assert figures["clock_toggles_per_clock"] == {"clk": 2.0}
    assert run(folder)["activity_scope"] is None


def test_twice_the_clock_is_twice_the_dynamic_power(folder):
    slow = run(folder)["power_w"]
    fast = cost_power(
        folder / "m.v", folder / "a.csv", [TINY], 200.0, folder / "o", wire_load="none"
    ).power_w
    assert fast.internal == pytest.approx(2 * slow["internal"])
    assert fast.switching == pytest.approx(2 * slow["switching"])
    assert fast.leakage == slow["leakage"]


def test_a_net_may_be_known_by_its_output_port(folder):
    text = (folder / "a.csv").read_text()
    (folder / "a.csv").write_text(text.replace("\nq,", "\nout.q,"))
    assert run(folder)["power_w"]["total"] > 0


def test_a_net_without_activity_is_refused_but_not_a_constant(folder):
    text = (folder / "a.csv").read_text()
    (folder / "a.csv").write_text(text.replace("\nd[1],0.25,0.5", ""))
    with pytest.raises(
        InputError, match=r"m\.v: activity: 1 nets have none in .*/a\.csv, d\[1\] the first"
    ):
        run(folder)
    (folder / "m.v").write_text(
        VERILOG.replace(".B(d[1])", ".B(1'h0)").replace("[1:0] d", "[0:0] d")
    )
    figures = run(folder)
    # The NAND is 1 for good: neither it nor what it drives costs anything but leakage.
    assert figures["groups"]["combinational"]["internal"] == 0
    assert figures["power_w"]["switching"] == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--clock-mhz", "0"], "must be in MHz"),
        (["--wire-load", "long"], "wire load 'long': must be one of library tiny's (short)"),
        (["--activity", "none.csv"], "error: none.csv: cannot be read: No such file or directory"),
        (["--activity", "none.vcd"], "error: none.vcd: cannot be read: No such file or directory"),
        (["--netlist", "cell.v"], "cell.v: instance u: cell NAND3: not in the library tiny"),
        (["--netlist", "pin.v"], "pin.v: instance u: NAND2 has no pin Z in the library tiny: must"),
        (["--input-slew-ns", "-1"], "'-1': must be in ns, from 0 to 1000"),
        (["--input-slew-ns", "nan"], "'nan': must be in ns, from 0 to 1000"),
        (["--netlist", "pipe"], "pipe: cannot be read: no regular file"),
        (["--activity", "pipe.csv"], "pipe.csv: cannot be read: no regular file"),
        (["--activity", "pipe.vcd"], "pipe.vcd: cannot be read: no regular file"),
        (["--liberty", "pipe"], "pipe: cannot be read: no regular file"),
        (["--out", "m.v"], "must be a folder"),
        (["--out", "m.v/out"], "must be a folder"),
        (["--activity", "a.txt"], "must end in .csv, .saif or .vcd"),
        (["--netlist", "a.csv"], "not flat structural Verilog"),
        (["--liberty", "m.v"], "not a Liberty file"),
        (["--power-engine", "spice"], "invalid choice"),
        (["--scope", "tb"], "a.csv: scope 'tb': a CSV has no scopes, a SAIF or VCD has"),
        (["--from-ns", "5"], "a.csv: a part of the time: only a VCD has times"),
        (["--to-ns", "-5"], "'-5': must be in ns, at least 0"),
    ],
)
def test_what_does_not_fit_gets_one_line(folder, monkeypatch, capsys, arguments, complaint):
    monkeypatch.chdir(folder)
    for name, old, new in (
        ("cell", "NAND2", "NAND3"), ("pin", ".Y(n)", ".Z(n)"),
    ):  # fmt: skip
        (folder / f"{name}.v").write_text(VERILOG.replace(old, new))
    for name in ("pipe", "pipe.csv", "pipe.vcd"):
        os.mkfifo(folder / name)
    given = {
        "--netlist": "m.v", "--activity": "a.csv", "--liberty": str(TINY),
        "--clock-mhz": "100", "--out": "out", **dict([arguments]),
    }  # fmt: skip
    try:
        status = main(["power", *(word for pair in given.items() for word in pair)])
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1


@pytest.mark.parametrize("out", ["m.v", "m.v/out"])
def test_a_file_is_no_folder_for_the_answer(folder, out):
    with pytest.raises(InputError, match=rf"--out .*{out}: must be a folder.*/m\.v is a file"):
        run(folder, out=out)


def test_a_failure_leaves_no_figures_of_an_earlier_call(folder):
    run(folder)
    (folder / "out" / "notes.txt").write_text("not ours")
    with pytest.raises(InputError, match=r"none\.csv"):
        run(folder, "none.csv")
    assert [path.name for path in (folder / "out").iterdir()] == ["notes.txt"]


def test_the_command_line(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    words = f"power --netlist m.v --activity a.csv --liberty {TINY} --clock-mhz 50 --out out"
    assert main(words.split()) == 0
    assert "m: " in capsys.readouterr().out
    assert json.loads((folder / "out" / "metrics.json").read_text())["wire_load"] == "short"


def test_input_slews_are_an_option_and_stated(folder):
    """The NAND has no energy that depends on slews, an inverter before it has: 1 fJ per ns."""
    (folder / "m.v").write_text(VERILOG.replace("NAND2 u (.A(d[0]), .B(d[1])", "INV u (.A(d[0])"))
    ideal, real = run(folder), run(folder, out="other", input_slew_ns=0.5)
    assert (ideal["input_slew_ns"], real["input_slew_ns"]) == (0.0, 0.5)
    more = real["power_w"]["internal"] - ideal["power_w"]["internal"]
    assert more == pytest.approx(0.5 * 0.5e-15 / 10e-9)
    for slew_ns in (-0.1, float("nan"), 1e4):
        with pytest.raises(InputError, match=r"input_slew_ns = .*: must be 0 to 1000 ns"):
            run(folder, input_slew_ns=slew_ns)


def test_where_a_loop_was_cut_is_said(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (folder / "m.v").write_text(VERILOG.replace(".B(d[1])", ".B(n)"))
    words = f"power --netlist m.v --activity a.csv --liberty {TINY} --clock-mhz 50 --out out"
    assert main([*words.split(), "--input-slew-ns", "0.1"]) == 0
    assert "note: combinational loops: for the slews alone they are cut at u/B -> Y" in (
        capsys.readouterr().err
    )
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    assert metrics["loops_cut"] == ["u/B -> Y"] and len(metrics["notes"]) == 1
    assert metrics["input_slew_ns"] == 0.1


STA = """#!/bin/sh
if [ "$1" = -version ]; then echo {version}; exit 0; fi
cp "$4" asked.tcl; cp library0.lib asked.lib
cat << 'END'
   Internal  Switching    Leakage      Total
      Power      Power      Power      Power (Watts)
--------------------------------------------
{rows}
END
"""
ROWS = """   2.500000e-06   5.00e-07   1.000000e-09   3.001000e-06 r\\/1
   1.250000e-06   0.00e+00   2.000000e-09   1.252000e-06 u"""


def fake(folder, monkeypatch, version="2.5.0", rows=ROWS, name="sta"):
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(STA.format(version=version, rows=rows))
    path.chmod(0o755)
    monkeypatch.setenv(
        "PATH", f"{path.parent}:/usr/bin:/bin" if name == "sta" else str(path.parent)
    )


def test_opensta_is_asked_and_its_answer_taken(folder, monkeypatch):
    fake(folder, monkeypatch)
    figures = run(folder, engine="opensta")
    assert figures["power_engine"] == "OpenSTA 2.5.0"
    assert figures["groups"]["sequential"] == pytest.approx(
        {"internal": 2.5e-6, "switching": 5e-7, "leakage": 1e-9, "total": 3.001e-6}
    )
    assert figures["groups"]["combinational"]["internal"] == pytest.approx(1.25e-6)
    lines = (folder / "out" / "opensta" / "asked.tcl").read_text().splitlines()
    assert lines[:3] == ["read_liberty library0.lib", "read_verilog netlist.v", "link_design m"]
    assert "create_clock -name dbp_clock -period 10 [get_ports {clk}]" in lines
    assert r"set_power_activity -input_ports [get_ports {d[0]}] -activity 0.5 -duty 0.25" in lines
    assert r"set_power_activity -pins [get_pins {r\/1/Q}] -activity 0.5 -duty 0.75" in lines
    assert not any("clk" in line for line in lines if line.startswith("set_power_activity"))
    assert not any(line.startswith("set_input_transition") for line in lines)
    # No wires: OpenSTA would take the default of the library.
    asked = (folder / "out" / "opensta" / "asked.lib").read_text()
    assert "default_wire_load" in TINY.read_text() and "default_wire_load" not in asked
    assert liberty_reader.parse(asked).cells.keys() == liberty_reader.read(TINY).cells.keys()


@pytest.mark.parametrize("name", ["u}];exit;{", "u*", "u?"])
def test_names_that_tcl_would_run_do_not_reach_opensta(folder, monkeypatch, name):
    fake(folder, monkeypatch)
    (folder / "m.v").write_text(VERILOG.replace("NAND2 u ", f"NAND2 \\{name} "))
    with pytest.raises(InputError, match="no braces"):
        run(folder, engine="opensta")
    assert not (folder / "out" / "opensta" / "asked.tcl").exists()


def test_opensta_with_a_wire_load_and_input_slews(folder, monkeypatch):
    fake(folder, monkeypatch)
    cost_power(
        folder / "m.v", folder / "a.csv", [TINY], 100.0, folder / "out",
        engine="opensta", input_slew_ns=0.1,
    )  # fmt: skip
    script = (folder / "out" / "opensta" / "asked.tcl").read_text()
    assert "set_wire_load_model -name short\n" in script
    assert script.count("set_input_transition") == 2  # not for the clock
    assert "set_input_transition 0.1 [get_ports {d[1]}]\n" in script


def test_an_answer_that_lacks_an_instance_is_an_error(folder, monkeypatch):
    fake(folder, monkeypatch, rows=ROWS.splitlines()[1])
    with pytest.raises(ToolError, match=r"no power of 1 instances, r/1 the first"):
        run(folder, engine="opensta")


def test_an_old_opensta_is_refused(folder, monkeypatch):
    fake(folder, monkeypatch, version="2.0.17")
    monkeypatch.setenv("PATH", str(folder / "bin"))
    with pytest.raises(MissingError, match=r"sta 2\.0\.17 is too old.*needs sta 2\.5"):
        run(folder, engine="opensta")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingError, match=r"opensta: needs sta 2\.5 or later, or openroad"):
        run(folder, engine="opensta")


def test_clock_tree_of_the_closed_form():
    """9 flip-flops of 1 fF: two buffers and a root, wires by the stated rule."""
    text = TINY.read_text()
    buffer = text[text.index("  cell (INV)") : text.index("  cell (NAND2)")]
    buffer = buffer.replace("INV", "BUF").replace('"!A"', '"A"').replace("negative", "positive")
    library = liberty_reader.parse(text.rstrip().removesuffix("}") + buffer + "}")
    registers = "".join(f"DFF r{k} (.CK(clk), .D(d));\n" for k in range(9))
    design = netlist.parse(f"module m (clk, d); input clk, d; {registers} endmodule")
    tree = clock_tree.estimate(design, library, 2e-9)
    figures = tree.figures
    assert (figures.registers, figures.buffers, figures.levels) == (9, 3, 2)
    assert figures.buffer_cell == "BUF" and figures.fanout == layout_rules.of(None).tree_fanout
    area = 9 * 6 / 0.7
    wires = [0.76 * (n * area) ** 0.5 for n in (9, 2)]
    assert tree.figures.wire_um == pytest.approx(sum(wires))
    farads = 9e-15 + 2 * 3e-15 + 3e-15 + 0.15e-15 * sum(wires)
    assert tree.power_w.switching == pytest.approx(farads * 1.0**2 / 2e-9)
    loads = [(9e-15 + 0.15e-15 * wires[0]) / 2, 2 * 3e-15 + 0.15e-15 * wires[1]]
    slews = [0.2e-9 + 0.02e6 * load for load in loads]
    edges = [1e-15 + 1e-6 * slew + 0.1 * load for slew, load in zip(slews, loads, strict=True)]
    assert tree.power_w.internal == pytest.approx((2 * 2 * edges[0] + 2 * edges[1]) / 2e-9)
    assert tree.power_w.leakage == pytest.approx(3 * 9e-9)
    assert tree.figures.slew_s == pytest.approx(max(slews))


def test_the_watts_include_the_clock_tree_and_name_the_parts(folder, monkeypatch):
    text = TINY.read_text()
    buffer = text[text.index("  cell (INV)") : text.index("  cell (NAND2)")]
    buffer = buffer.replace("INV", "BUF").replace('"!A"', '"A"').replace("negative", "positive")
    (folder / "more.lib").write_text(text.rstrip().removesuffix("}") + buffer + "}")
    alone = run(folder)
    monkeypatch.setattr(f"{__name__}.TINY", folder / "more.lib")
    figures = run(folder)
    assert alone["clock_tree_estimate_w"] is None
    assert figures["cells_power_w"] == alone["cells_power_w"] == alone["power_w"]
    for kind, watts in figures["power_w"].items():
        tree, cells = figures["clock_tree_estimate_w"][kind], figures["cells_power_w"][kind]
        assert watts == pytest.approx(cells + tree) and tree > 0
        assert sum(g[kind] for g in figures["groups"].values()) == pytest.approx(watts)
    assert figures["groups"]["clock"] == figures["clock_tree_estimate_w"]


def test_wires_take_a_factor_and_nothing_else_does(folder):
    library = liberty_reader.read(TINY)
    design = netlist.read(folder / "m.v")
    rates = formats.read(folder / "a.csv", design, 1e-8, formats.EVERYTHING)
    none, once, twice = (
        calculate.calculate(design, library, rates, 1e-8, "short", wire_factor=factor).totals()
        for factor in (0.0, 1.0, 2.0)
    )
    without = calculate.calculate(design, library, rates, 1e-8).totals()
    assert none == without
    switching = [each["switching"] for each in (none, once, twice)]
    assert switching[2] - switching[1] == pytest.approx(switching[1] - switching[0])
    assert once["switching"] > none["switching"] and once["leakage"] == none["leakage"]


def test_only_a_kit_by_name_has_the_wires_of_its_layouts(folder):
    files = folder / "m.v", folder / "a.csv", [TINY], 100.0, folder / "out"
    assert cost_power(*files).wire_factor == 1.0
    factor = layout_rules.of("nangate45").wire_factor
    assert cost_power(*files, kit="nangate45").wire_factor == factor > 1
    assert cost_power(*files, kit="nangate45", wire_load="short").wire_factor == 1.0


def test_no_clock_tree_where_there_is_one_or_nothing_to_clock():
    library = liberty_reader.read(TINY)
    for text in (
        "module m (a, y); input a; output y; INV u (.A(a), .Y(y)); endmodule",
        "module m (c, d); input c, d; INV u (.A(c), .Y(n)); DFF r (.CK(n), .D(d)); endmodule",
    ):
        assert clock_tree.estimate(netlist.parse(text), library, 2e-9) is None
