"""Spellings of Verilog that tools write: the nets that Yosys finds, the watts of plain ones."""

from __future__ import annotations

import json

import pytest
from helpers import TINY_LIB

from dbp.errors import InputError
from dbp.support.yosys import run_yosys
from dbp.synthesis import netlist
from dbp.synthesis.power.cost_netlist import cost_power

PLAIN = """module m (clk, d, q);
  input clk; input [1:0] d; output q; wire n; wire one;
  NAND2 u (.A(d[0]), .B(d[1]), .Y(n));
  DFF r (.CK(clk), .D(n), .Q(q));
endmodule
"""
CSV = """net,toggles_per_clock,static_probability
clk,2,0.5
d[0],0.5,0.25
d[1],0.25,0.5
n,0.5,0.75
q,0.5,0.75
"""
NAND = "NAND2 u (.A(d[0]), .B(d[1]), .Y(n));"
DFF = "DFF r (.CK(clk), .D(n), .Q(q));"
HEAD = "module m (clk, d, q);\n  input clk; input [1:0] d; output q; wire n; wire one;"


def replaced(old, new):
    assert old in PLAIN
    return PLAIN.replace(old, new)


# Each is PLAIN to a simulator; those that Yosys reads too are compared with what it finds.
READ_BY_YOSYS = {
    "directives": "`timescale 1ns/1ps\n`default_nettype none\n`celldefine\n`endcelldefine\n"
    "`resetall\n" + PLAIN,
    "conditions": "`define FAST\n`define TWO d[1]\n`ifdef FAST\n"
    + replaced(".B(d[1])", ".B(`TWO)")
    + "`else\n garbage (\n`endif\n`ifndef FAST\n more garbage\n`endif\n",
    "typed ports": replaced("input clk; input [1:0] d;", "input wire clk; input wire [1:0] d;"),
    "ports with directions": "module m (input clk, input wire [1:0] d, output wire q); wire n;"
    + NAND + DFF + "endmodule",
    "parameters": "module m #(parameter W = 2, parameter X = \"a,b)\") (clk, d, q);"
    "localparam L = W - 1; input clk; input [L:0] d; output q; wire n;"
    "NAND2 #(.DRIVE(3)) u (.A(d[0]), .B(d[W-1]), .Y(n));" + DFF + "endmodule",
    "supply nets": replaced("wire n;", "wire n; supply0 VSS; supply1 VDD, VPP; tri t; wand w;"),
    "a wire with a value": replaced("wire n;", "wire x = d[1], n;").replace(".B(d[1])", ".B(x)"),
    "several instances": replaced(NAND, NAND[:-1] + ", v (.A(d[0]), .B(d[1]));"),
    "replications": replaced(".A(d[0])", ".A({1{d[0]}})"),
    "concatenations": replaced(NAND, "wire [3:0] w; assign {w[3:2], w[0]} = {{2{d[1]}}, d[0]};"
    "NAND2 u (.A(w[0]), .B(w[3]), .Y(n));"),
    "nested replications": replaced(NAND, "wire [7:0] w; assign w = {2{{2{d[0]}}, {2{d[1]}}}};"
    "NAND2 u (.A(w[2]), .B(w[5]), .Y(n));"),
    "part selects": replaced(NAND, "wire [3:0] w; assign w[1+:2] = d; wire [0:3] v;"
    "assign v[1+:2] = d; NAND2 u (.A(w[1]), .B(v[1]), .Y(n));"),
    "several assignments": replaced(NAND, "wire x, y; assign x = d[0], y = x;"
    "NAND2 u (.A(y), .B(d[1]), .Y(n));"),
    "delays": replaced(NAND, "wire #1 x; assign #(1,2) x = d[0];"
    "NAND2 u (.A(x), .B(d[1]), .Y(n));"),
    "parentheses": replaced(NAND, "wire x; assign x = (d[0]); NAND2 u (.A((x)), .B(d[1]), .Y(n));"),
    "specify": replaced("endmodule", "specify (clk => q) = (1, 2); $setup(d, posedge clk, 1);"
    "endspecify endmodule"),
    "attributes": "(* top = 1, src = \"a.v:1.1\" *)" + replaced(
        "DFF r", "(* keep *) (* src = \"module endmodule;\" *) DFF r"),
    "comments": replaced(NAND, "/* NAND2 x (); */ NAND2/**/u/* \" */(.A(d[0]) // ;\n"
    ", .B(d[1]), .Y(n));"),
    "defparam": replaced("endmodule", "defparam u.X = 3; endmodule"),
    "numbers as bases": replaced(NAND, "wire [5:0] w; assign w = 6 'o 2_5; wire [1:0] v;"
    "assign v = 'h2; NAND2 u (.A(d[0]), .B(d[1]), .Y(n)); NAND2 z (.A(w[2]), .B(v[1]));"),
    "escaped and plain": replaced("wire n;", "wire \\n ;").replace(".D(n)", ".D(\\n )"),
    "escaped ports": "module m (clk, \\d[0] , \\d[1] , q); input clk, \\d[0] , \\d[1] ;"
    "output q; wire n;"
    "NAND2 u (.A(\\d[0] ), .B(\\d[1] ), .Y(n));" + DFF + "endmodule",
    "names like comments": replaced("u (", "\\u//1/*2\" (").replace("r (", "\\r`x(* ("),
    "a label": replaced("endmodule", "endmodule : m"),
    "negative indices": PLAIN.replace("[1:0] d", "[-1:0] d").replace("d[1]", "d[-1]"),
}  # fmt: skip
# What those say that have one cell more.
PLAINLY = {
    "several instances": replaced(NAND, NAND + "NAND2 v (.A(d[0]), .B(d[1]));"),
    "numbers as bases": replaced(NAND, NAND + "NAND2 z (.A(1'b1), .B(1'b1));"),
}
# Yosys 0.70 refuses these.
READ_BY_US = {
    "net types": replaced("wire n;", "wire n; tri0 t0; tri1 t1; trireg tr; uwire uw; triand ta;"),
    "strengths": replaced(NAND, "wire (strong0, pull1) x = d[0];"
    "NAND2 u (.A(x), .B(d[1]), .Y(n));"),
    "adjectives": replaced("wire n;", "wire signed [3:0] s; wire vectored [3:0] v; wire n;"),
    "logic": PLAIN.replace("wire", "logic"),
    "names that became keywords": replaced("wire n;", "wire bit, logic, var; wire n;"),
    "attributes in connections": replaced(".A(", "(* x = \"*)\" *) .A("),
    "gate delays": replaced("NAND2 u", "NAND2 #1.5 u"),
    "named ports": replaced("(clk, d, q)", "(.clk(clk), .d({d[1], d[0]}), .q(q))"),
    "a model of a cell": "primitive p (o, i); output o; input i; table 0 : 1; 1 : 0; endtable\n"
    "endprimitive\n`celldefine\nmodule DFF (CK, D, Q); input CK, D; output Q; reg Q;\n"
    " always @(posedge CK) Q <= D;\nendmodule\n`endcelldefine\n" + PLAIN,
    "a cell's name": PLAIN + "module NAND2 (A, B, Y); input A, B; output Y; assign Y = !(A & B);\n"
    "endmodule\n",
    "an empty module": "module BOX (A); input A; endmodule\n" + PLAIN,
    "a macro module": PLAIN.replace("module m", "macromodule m"),
    "pins by their place": replaced(NAND, "NAND2 u (d[0], d[1], n);"),
    "translate_off": replaced("endmodule", "// synopsys translate_off\n always nothing;\n"
    "// synopsys translate_on\nendmodule"),
    "other tools' directives": "`suppress_faults\n`line 1 \"x.v\" 0\n`delay_mode_path\n" + PLAIN,
    "a byte-order mark and Latin letters": "\ufeff// \u00e9\n" + PLAIN,
}  # fmt: skip


@pytest.fixture
def watts(tmp_path):
    """The watts of a text, with the activity of `CSV` unless another is given."""

    def cost(text, rates=CSV):
        (tmp_path / "m.v").write_text(text)
        (tmp_path / "m.csv").write_text(rates)
        return cost_power(tmp_path / "m.v", tmp_path / "m.csv", [TINY_LIB], 100.0, tmp_path / "out")

    return cost


@pytest.mark.parametrize("name", [*READ_BY_YOSYS, *READ_BY_US])
def test_a_spelling_has_the_watts_of_the_plain_one(watts, name):
    text = (READ_BY_YOSYS | READ_BY_US)[name]
    rates = CSV.replace("d[1]", "d[-1]") if name == "negative indices" else CSV
    found = watts(text, rates)
    assert found.power_w == watts(PLAINLY.get(name, PLAIN)).power_w and found.module == "m"


def test_yosys_finds_the_same_nets(tmp_path):
    """The nets at all pins and ports, whatever they are called."""
    for k, text in enumerate(READ_BY_YOSYS.values()):
        (tmp_path / f"{k}.v").write_text(text)
    script = "".join(
        f"read_verilog {k}.v\nwrite_json {k}.json\ndelete\n" for k in range(len(READ_BY_YOSYS))
    )
    run_yosys(script, tmp_path, 60)
    for k, name in enumerate(READ_BY_YOSYS):
        (module,) = json.loads((tmp_path / f"{k}.json").read_text())["modules"].values()
        ours = netlist.read(tmp_path / f"{k}.v")
        pairs = [
            (ours.outputs.get(net, net), bit)
            for port, nets in ours.ports.items()
            for net, bit in zip(nets, reversed(module["ports"][port]["bits"]), strict=True)
        ]
        assert len(ours.instances) == len(module["cells"]), name
        for instance in ours.instances:
            pins = module["cells"][instance.name]["connections"]
            assert instance.nets.keys() == pins.keys(), name
            pairs += [(net, pins[pin][0]) for pin, net in instance.nets.items()]
        # One to one, and constants are the same.
        assert len(set(pairs)) == len({a for a, _ in pairs}) == len({b for _, b in pairs}), name
        assert all(netlist.CONSTANTS.get(a, b) == int(b) for a, b in pairs if isinstance(b, str))


@pytest.mark.parametrize(
    "constant",
    [
        "1'b1",
        "1'h1",
        "1'o1",
        "1'd1",
        "1'B1",
        "1'sb1",
        "'b1",
        "'h1",
        "1",
        "'1",
        "1 'b 1",
    ],
)
def test_constants_of_one_bit(watts, constant):
    text = PLAIN.replace(".B(d[1])", f".B({constant})")
    rates = CSV.replace("d[1],0.25,0.5\n", "d[1],0,0\n")
    assert netlist.parse(text).instances[0].nets["B"] == "1'b1"
    assert watts(text, rates).power_w.total > 0


@pytest.mark.parametrize("constant", ["1'hx", "1'bx", "1'bz", "1'b?", "'bx", "'x", "1'dX", "'hz"])
def test_an_undefined_constant_counts_as_0_and_a_note_says_so(watts, constant):
    text = PLAIN.replace(".B(d[1])", f".B({constant})")
    found = watts(text)
    assert found.power_w == watts(text.replace(constant, "1'b0")).power_w
    assert found.notes == ("undefined constants (x, z) count as 0, 1 of them: at u/B",)
    assigned = PLAIN.replace(NAND, f"assign one = {constant};" + NAND.replace("d[1]", "one"))
    assert watts(assigned).notes == found.notes and watts(assigned).power_w == found.power_w
    behind = watts(
        PLAIN.replace("endmodule", f"assign one = {constant}; endmodule").replace(
            "output q;", "output q, one;"
        )
    )
    assert "at one" in behind.notes[0] and behind.power_w == watts(PLAIN).power_w


@pytest.mark.parametrize(
    ("constant", "bits"),
    [
        ("4'hx", "0000"), ("6'o2_5", "010101"), ("4'd10", "1010"), ("4'bz1", "0001"),
        ("3'hf", "111"),
        ("4'b?01?", "0010"), ("'hA", "1010"), ("10", "1010"), ("'1", "1111"), ("'0", "0000"),
        ("'bx1", "0001"), ("4 'sd 7", "0111"),
    ],
)  # fmt: skip
def test_constants_of_several_bits(constant, bits):
    port = f"output [{len(bits) - 1}:0] y"
    design = netlist.parse(f"module m (y); {port}; assign y = {constant}; endmodule")
    assert [net[-1] for net in design.outputs.values()] == list(bits)


def test_arrays_of_instances_share_what_is_wide():
    design = netlist.parse(
        "module m (a, e, y); input [1:0] a; input e; output [1:0] y;"
        "NAND2 u[3:2] (.A(a), .B(e), .Y(y)); endmodule"
    )
    assert [(i.name, dict(i.nets)) for i in design.instances] == [
        ("u[3]", {"A": "a[1]", "B": "e", "Y": "y[1]"}),
        ("u[2]", {"A": "a[0]", "B": "e", "Y": "y[0]"}),
    ]
    with pytest.raises(InputError, match="line 1: instance u: pin A: 2 bits for 3 instances"):
        netlist.parse("module m (a); input [1:0] a; INV u[2:0] (.A(a)); endmodule")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (PLAIN.replace(NAND, "nand u (n, d[0], d[1]);"), "line 3: nand: a gate of Verilog's own"),
        (PLAIN.replace(NAND, "assign n = ~d[0];"), "line 3: '~': not flat structural"),
        (PLAIN.replace(NAND, "assign n = d[0] & d[1];"), "line 3: '&': not flat structural"),
        (PLAIN.replace(NAND, "assign n = d[0]; assign n = d[1];"), "line 3: net n: assigned twice"),
        (PLAIN.replace(NAND, "NAND2 u (.*);"), "line 3: instance u: .*: name its pins"),
        (PLAIN.replace("clk, d, q", "clk, d, q, z"), "port z: must be an input"),
        ('`include "x.v"\n' + PLAIN, "line 1: `include: another file"),
        (PLAIN.replace(".B(d[1])", ".B(`TWO)"), "line 3: `TWO: a macro that the file does not"),
        (PLAIN.replace("endmodule", ""), "the file ends inside a module"),
        (PLAIN.replace(DFF + "\n", DFF[:-1]), "the text ends within a statement"),
        ("`ifdef X\n" + PLAIN, "`ifdef without `endif"),
        (PLAIN + PLAIN.replace("module m", "module n"), "2 modules, none of which contains"),
        ("always\n" + PLAIN, "line 1: 'always': not flat structural"),
    ],
)
def test_what_cannot_be_read_is_named(text, complaint):
    with pytest.raises(InputError) as caught:
        netlist.parse(text)
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


PAIR = """module pair (a, y); input [1:0] a; output [1:0] y;
  INV u1 (.A(a[0]), .Y(y[0])); INV u2 (.A(a[1]), .Y(y[1])); endmodule
"""
TOP = "module top (a, y); input [1:0] a; output [1:0] y; pair p (.a(a), .y(y)); endmodule\n"


@pytest.mark.parametrize("text", [PAIR + TOP, TOP + PAIR])
def test_a_hierarchy_is_refused_with_the_command_that_flattens_it(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "n.v").write_text(text)
    with pytest.raises(InputError, match="hierarchical netlist: top, its top, contains pair") as it:
        netlist.read("n.v")
    command = str(it.value).partition('-p "')[2].removesuffix('"')
    run_yosys(command.replace("; ", "\n"), tmp_path, 60)
    flat = netlist.read("flat.v")
    assert flat.module == "top" and {i.cell for i in flat.instances} == {"INV"}
    assert [dict(i.nets) for i in flat.instances] == [
        {"A": f"a[{k}]", "Y": flat.outputs[f"y[{k}]"]} for k in (0, 1)
    ]
