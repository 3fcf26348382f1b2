"""Instances and the library: cells without signals, and pins that are known by their place."""

from __future__ import annotations

import re

import pytest
from helpers import TINY_LIB

from dbp.errors import InputError
from dbp.synthesis import netlist
from dbp.synthesis.cells import liberty_reader
from dbp.synthesis.netlist.binding import bound
from dbp.synthesis.power.cost_netlist import cost_power

LIBRARY = liberty_reader.read(TINY_LIB)
PLAIN = """module m (a, y{ports}); input a; output y; {declared} wire n;
  INV u (.A(a), .Y(n)); INV v (.A(n), .Y(y)); {more}
endmodule
"""
CSV = "net,toggles_per_clock,static_probability\na,0.5,0.5\nn,0.5,0.5\ny,0.5,0.5\n"


def text(more, ports="", declared=""):
    return PLAIN.format(more=more, ports=ports, declared=declared)


@pytest.fixture
def cost(tmp_path):
    def metrics(verilog, library=TINY_LIB):
        (tmp_path / "m.v").write_text(verilog)
        (tmp_path / "a.csv").write_text(CSV)
        return cost_power(tmp_path / "m.v", tmp_path / "a.csv", [library], 100.0, tmp_path / "out")

    return metrics


@pytest.mark.parametrize(
    ("more", "ports", "declared", "note"),
    [
        ("TAP t1 ();", "", "", "1 of the instances are .*: 1 TAP \\(t1\\)"),
        ("TAP t1 (), t2 ();", "", "", "2 of the .*: 2 TAP \\(t1, t2\\)"),
        ("TAP ();", "", "", "1 of the .*: 1 TAP"),
        ("FILL f[7:0] ();", "", "", r"8 .* 8 FILL \(f\[7\], .* and 3 more\)"),
        ("DECAP d1 (.VPWR(vdd), .VGND(vss)); TAP t ();", "", "", "2 .* 1 DECAP .*; 1 TAP"),
        ("DECAP d (.VDD(VDD), .VSS(VSS));", ", VDD, VSS", "inout VDD, VSS;", "1 DECAP"),
        ("DECAP d (.VDD(VDD), .VSS(VSS));", ", VDD, VSS", "input VDD, VSS;", "1 DECAP"),
        ("DECAP d (.VDD(VDD), .VSS(VSS));", "", "supply1 VDD; supply0 VSS;", "1 DECAP"),
        ("DECAP d (.VDD(1'b1), .VSS(1'b0), .VNW(), .VPW());", "", "", "1 DECAP"),
        (
            "CORNER \\c[0] (.DVDD(p), .AVSS(g), .vccd1(q), .VDDPST(r));",
            "",
            "",
            r"1 CORNER \(c\[0\]\)",
        ),
    ],
)
def test_a_cell_without_signals_costs_nothing(cost, more, ports, declared, note):
    found = cost(text(more, ports, declared))
    expected = cost(text(""))
    assert found.power_w == expected.power_w and found.cells == 2
    assert found.nets_annotated_fraction == 1
    (said,) = found.notes
    assert re.search(note, said)


@pytest.mark.parametrize(
    "more",
    [
        "DIODE d (.A(n));",
        "DIODE d (.A());",
        "SPARE d (.A(1'b0), .VDD(vdd));",
        # Called like supplies, but these nets are read or driven by cells and ports.
        "POR p (.vdd(vdd), .vdd_ok(n));",
        "POR p (.vdd(vdd), .vdd_ok(y));",
        "MACRO d (a, vdd);",
        "MACRO d (.D({a, n}));",
    ],
)
def test_a_cell_with_a_signal_that_the_library_lacks_is_an_error(cost, more):
    with pytest.raises(
        InputError, match=r"cell \w+: not in the library tiny, and its pin \S+ is no"
    ):
        cost(text(more))


def test_a_cell_without_signals_that_the_library_has_costs_its_leakage(cost, tmp_path):
    library = tmp_path / "fill.lib"
    content = TINY_LIB.read_text().rstrip().removesuffix("}")
    library.write_text(content + "cell (FILL) { area : 2; cell_leakage_power : 6; } }\n")
    found = cost(text("FILL f1 (); FILL f2 ();"), library)
    assert found.power_w.leakage == pytest.approx(cost(text("")).power_w.leakage + 12e-9)
    assert found.cells == 4 and found.notes == ()


@pytest.mark.parametrize(
    ("ports", "declared"),
    [(", VDD, VSS", "inout VDD, VSS;"), (", VDD, VSS", "input VDD, VSS;"), ("", "wire VDD, VSS;")],
)
def test_supplies_of_cells_of_which_the_library_has_none_are_left_out(cost, ports, declared):
    verilog = text("", ports, declared).replace(".A(", ".VDD(VDD), .VSS(VSS), .A(")
    found = cost(verilog)
    assert found.power_w == cost(text("")).power_w
    assert found.notes == ("pins with the name of a supply that the library lacks: VDD, VSS",)
    with pytest.raises(InputError, match="INV has no pin VDD in the library"):
        cost(verilog.replace(".VDD(VDD)", ".VDD(n)"))


def test_pins_by_their_place_come_as_in_the_library_and_a_note_says_so():
    design = bound(netlist.parse(text("NAND2 x (n, , y);")), LIBRARY)
    assert dict(design.instances[2].nets) == {"A": "n", "Y": "y"}
    assert design.notes == ("pins given by their place are in the library's order: of NAND2",)
    # A model whose output comes first, as that of sky130.
    with pytest.raises(InputError, match=r"x: by its place, output Y is at a: .* another order"):
        bound(netlist.parse(text("NAND2 x (y, n, a);")), LIBRARY)
    with pytest.raises(InputError, match=r"x: 4 pins by their place, but NAND2 has 3 \(A, B, Y\)"):
        bound(netlist.parse(text("NAND2 x (n, a, y, y);")), LIBRARY)


@pytest.mark.parametrize(
    "model",
    [
        "`celldefine\nmodule NAND2 (Y, B, A); output Y; input A, B; nand (Y, A, B); endmodule\n"
        "`endcelldefine\n",
        "module NAND2 (output Y, input B, A); endmodule\n",
    ],
)
def test_a_model_of_the_cell_in_the_file_says_the_order_of_its_pins(model):
    for file in (model + text("NAND2 x (y, n, a);"), text("NAND2 x (y, n, a);") + model):
        design = bound(netlist.parse(file, LIBRARY.cells), LIBRARY)
        assert dict(design.instances[2].nets) == {"Y": "y", "B": "n", "A": "a"}
        assert design.notes == ()
