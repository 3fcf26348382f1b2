"""Gates with constant inputs become constants, through others and to the outputs."""

from helpers import TINY_LIB

from dbp.synthesis import netlist
from dbp.synthesis.cells import liberty_reader
from dbp.synthesis.mapping.constants import folded

TINY = liberty_reader.read(TINY_LIB)


def test_constants_pass_gates_and_reach_outputs():
    text = """
module top(clk, a, y); input clk; input a; output [3:0] y; wire n1; wire n2; wire n3;
  XOR2 g1 (.A(1'b0), .B(1'b0), .Y(n1));
  NAND2 g2 (.A(a), .B(n1), .Y(n2));
  INV g3 (.A(n2), .Y(y[0]));
  XOR2 g4 (.A(a), .B(n2), .Y(y[1]));
  NAND2 g5 (.A(n2), .B(1'b1), .Y(n3));
  DFF g6 (.D(n3), .CK(clk), .Q(y[2]));
  INV g7 (.A(a), .Y(y[3]));
endmodule
"""
    found = folded(netlist.parse(text), TINY)
    left = {i.name: dict(i.nets) for i in found.instances}
    # g1 is 0, so g2 is 1 whatever a is; g5 is 0; a register and what depends on a stay.
    assert left == {
        "g4": {"A": "a", "B": "1'b1", "Y": "y[1]"},
        "g6": {"D": "1'b0", "CK": "clk", "Q": "y[2]"},
        "g7": {"A": "a", "Y": "y[3]"},
    }
    assert found.outputs == {"y[0]": "1'b0", "y[1]": "y[1]", "y[2]": "y[2]", "y[3]": "y[3]"}


def test_what_has_no_constants_is_left_alone():
    text = "module top(a, y); input a; output y; INV g (.A(a), .Y(y)); endmodule"
    mapped = netlist.parse(text)
    assert folded(mapped, TINY) == mapped
