"""Fan-out trees: the same circuit, no net with too many pins, registers that can drive them."""

from collections import Counter
from dataclasses import replace

import pytest
from helpers import TINY_LIB

from dbp.synthesis import netlist
from dbp.synthesis.cells import expressions, liberty_reader
from dbp.synthesis.mapping import fanout

TINY = liberty_reader.read(TINY_LIB)
INVERTER, REGISTER = TINY.cells["INV"], TINY.cells["DFF"]
BUFFER = replace(
    INVERTER,
    name="BUF",
    pins={**INVERTER.pins, "Y": replace(INVERTER.pins["Y"], function=expressions.parse("A"))},
)


def faster(cell, name):
    """A cell of half the delay and twice the area."""
    out = cell.pins["Q"]
    (arc,) = out.arcs
    rise, fall = (replace(t, values=t.values / 2) for t in (arc.rise_delay, arc.fall_delay))
    arcs = (replace(arc, rise_delay=rise, fall_delay=fall),)
    pins = {**cell.pins, "Q": replace(out, arcs=arcs)}
    return replace(cell, name=name, area_um2=2 * cell.area_um2, pins=pins)


LIBRARY = replace(TINY, cells={**TINY.cells, "BUF": BUFFER, "DFF2": faster(REGISTER, "DFF2")})


def many(loads: int) -> netlist.Netlist:
    inverters = "".join(f"INV i{k} (.A(state[0]), .Y(y[{k}]));\n" for k in range(loads))
    return netlist.parse(
        f"module top(clk, d, y); input clk; input d; output [{loads - 1}:0] y;\n"
        f"wire \\state[0] ; DFF r (.D(d), .CK(clk), .Q(state[0]));\n{inverters}endmodule\n"
    )


def source(found: netlist.Netlist, net: str) -> tuple[str, int]:
    """The net that is behind buffers, and how many."""
    drivers = {i.nets["Y"]: i for i in found.instances if i.cell.startswith("BUF")}
    depth = 0
    while net in drivers:
        net, depth = drivers[net].nets["A"], depth + 1
    return net, depth


@pytest.mark.parametrize(("loads", "depth"), [(16, 0), (17, 1), (256, 1), (257, 2)])
def test_a_tree_is_balanced_and_drives_each_pin_once(loads, depth):
    found = fanout.buffered(many(loads), LIBRARY, [], None)
    pins = Counter(net for i in found.instances for pin, net in i.nets.items() if pin in "AD")
    assert max(pins.values()) <= fanout.MAX_FANOUT
    leaves = [source(found, i.nets["A"]) for i in found.instances if i.cell == "INV"]
    assert leaves == [("state[0]", depth)] * loads
    assert found.ports == many(loads).ports


def test_clocks_and_constants_stay_as_they_are():
    registers = "".join(f"DFF r{k} (.D(1'b1), .CK(clk), .Q(n{k}));\n" for k in range(40))
    mapped = netlist.parse(f"module top(clk); input clk;\n{registers}endmodule\n")
    found = fanout.buffered(mapped, LIBRARY, ["DFF2"], None)
    assert found.instances == mapped.instances


def test_what_is_written_reads_the_same(tmp_path):
    found = fanout.buffered(many(40), LIBRARY, [], None)
    netlist.write(found, tmp_path / "netlist.v")
    assert netlist.read(tmp_path / "netlist.v") == found


def test_of_registers_the_smallest_that_is_fast_enough():
    def register(library, unwanted=()):
        found = fanout.buffered(many(3), library, unwanted, None)
        return next(i.cell for i in found.instances if i.name == "r")

    assert register(LIBRARY) == "DFF2"
    assert register(LIBRARY, ["DFF2"]) == "DFF"
    slow = replace(LIBRARY, cells={**LIBRARY.cells, "DFF2": replace(REGISTER, name="DFF2")})
    assert register(slow) == "DFF"


def test_without_buffers_nothing_changes():
    assert fanout.buffered(many(40), LIBRARY, ["BUF", "DFF2"], None) == many(40)
