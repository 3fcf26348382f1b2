"""Names of instances, nets and ports."""

from dbp.synthesis import netlist
from dbp.synthesis.netlist import names

VERILOG = """module m (a, y); input a; output y; wire n, u_n, k;
  INV n (.A(a), .Y(n)); INV u_u_n (.A(n), .Y(u_n)); INV k1 (.A(u_n), .Y(k)); INV y (.A(k), .Y(y));
endmodule"""


def test_no_instance_is_called_like_a_net_or_a_port():
    design = names.distinct(netlist.parse(VERILOG))
    assert [i.name for i in design.instances] == ["u_u_u_n", "u_u_n", "k1", "u_y"]
    assert [dict(i.nets) for i in design.instances] == [
        dict(i.nets) for i in netlist.parse(VERILOG).instances
    ]


def test_names_that_differ_stay():
    design = netlist.parse(VERILOG.replace("INV n", "INV i").replace("INV y", "INV j"))
    assert names.distinct(design) is design
