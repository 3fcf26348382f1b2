"""Fewer inverters beside full adders: the same function, and registers keep their names."""

import itertools

import numpy as np
import pytest

from dbp.synthesis import netlist
from dbp.synthesis.cells import liberty_reader
from dbp.synthesis.mapping.polarity import with_few_inverters, with_register_names

LIBRARY = """
library (toy) { time_unit : "1ns"; capacitive_load_unit (1, ff); voltage_unit : "1V";
  current_unit : "1mA"; leakage_power_unit : "1nW"; nom_voltage : 1;
  cell (INV) { area : 1; pin (A) { direction : input; capacitance : 1; }
    pin (Y) { direction : output; function : "!A"; } }
  cell (BUF) { area : 1; pin (A) { direction : input; capacitance : 1; }
    pin (Y) { direction : output; function : "A"; } }
  cell (AND) { area : 1; pin (A) { direction : input; capacitance : 1; }
    pin (B) { direction : input; capacitance : 1; }
    pin (Y) { direction : output; function : "A*B"; } }
  cell (FA) { area : 4; pin (A) { direction : input; capacitance : 1; }
    pin (B) { direction : input; capacitance : 1; } pin (C) { direction : input; capacitance : 1; }
    pin (CON) { direction : output; function : "!(A*B+B*C+A*C)"; }
    pin (SN) { direction : output; function : "!(A^B^C)"; } }
  cell (DFFN) { area : 5; ff (IQ, IQN) { clocked_on : "CK"; next_state : "D"; }
    pin (D) { direction : input; capacitance : 1; }
    pin (CK) { direction : input; clock : true; capacitance : 1; }
    pin (QN) { direction : output; function : "IQN"; } }
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("toy") / "toy.lib"
    path.write_text(LIBRARY)
    return liberty_reader.read(path)


def values(mapped, library):
    """The output bits of a netlist without registers, for all inputs."""
    states = np.array(list(itertools.product((False, True), repeat=len(mapped.inputs)))).T
    nets = dict(zip(mapped.inputs, states, strict=True))
    nets |= {"1'b0": np.zeros(states.shape[1], bool), "1'b1": np.ones(states.shape[1], bool)}
    waiting = list(mapped.instances)
    while waiting:
        left = []
        for instance in waiting:
            cell = library.cells[instance.cell]
            if any(instance.nets[pin.name] not in nets for pin in cell.inputs):
                left.append(instance)
                continue
            for pin in cell.outputs:
                if pin.name in instance.nets:
                    index = sum(
                        nets[instance.nets[name]].astype(int) << j
                        for j, name in enumerate(pin.function.variables)
                    )
                    nets[instance.nets[pin.name]] = pin.function.truth[index]
        assert len(left) < len(waiting)
        waiting = left
    return {bit: nets[net] for bit, net in mapped.outputs.items()}


def inverters(mapped):
    return sum(instance.cell == "INV" for instance in mapped.instances)


def ripple(bits):
    """A ripple adder of cells with inverting outputs, as the mapping leaves it."""
    lines = ["module top(a, b, c, y);", f"input [{bits - 1}:0] a; input [{bits - 1}:0] b;"]
    lines += ["input c;", f"output [{bits}:0] y;", "wire c0; BUF g (.A(c), .Y(c0));"]
    for k in range(bits):
        lines += [
            f"wire c{k + 1}; wire cn{k}; wire sn{k};",
            f"FA f{k} (.A(a[{k}]), .B(b[{k}]), .C(c{k}), .CON(cn{k}), .SN(sn{k}));",
            f"INV i{k} (.A(cn{k}), .Y(c{k + 1})); INV j{k} (.A(sn{k}), .Y(y[{k}]));",
        ]
    lines += [f"BUF h (.A(c{bits}), .Y(y[{bits}]));", "endmodule"]
    return netlist.parse("\n".join(lines))


def test_a_ripple_adder_alternates(library):
    before = ripple(4)
    after = with_few_inverters(before, library, ())
    assert inverters(before) == 8
    # Two of four cells read complements of a and b, and make sums that need no inverter; the carry
    # that leaves is one of theirs.
    assert inverters(after) == 6
    assert not any(instance.cell == "BUF" for instance in after.instances)
    for bit, value in values(before, library).items():
        assert (value == values(after, library)[bit]).all(), bit


@pytest.mark.parametrize("seed", range(12))
def test_any_circuit_keeps_its_function(library, seed):
    random = np.random.default_rng(seed)
    nets = ["a", "b", "c", "d", "1'b1"]
    lines = ["module top(a, b, c, d, y); input a; input b; input c; input d; output [3:0] y;"]
    for k in range(30):
        cell = random.choice(["FA", "FA", "INV", "INV", "BUF", "AND"])
        reads = [str(net) for net in random.choice(nets, 3)]
        pins = ", ".join(
            f".{pin}({net})"
            for pin, net in zip("ABC", reads, strict=True)
            if pin in {"FA": "ABC", "AND": "AB"}.get(cell, "A")
        )
        outputs = ("CON", "SN") if cell == "FA" else ("Y",)
        names = [f"n{k}{pin}" if random.random() < 0.5 else f"_{k}{pin}_" for pin in outputs]
        drives = ", ".join(f".{pin}({net})" for pin, net in zip(outputs, names, strict=True))
        lines += [*(f"wire {net};" for net in names), f"{cell} g{k} ({pins}, {drives});"]
        nets += names
    lines += [f"BUF o{k} (.A({net}), .Y(y[{k}]));" for k, net in enumerate(nets[-4:])]
    before = netlist.parse("\n".join([*lines, "endmodule"]))
    after = with_few_inverters(before, library, ())
    assert inverters(after) <= inverters(before)
    expected, found = values(before, library), values(after, library)
    assert all((expected[bit] == found[bit]).all() for bit in expected)
    # No net has two drivers, and no instance is called like a net.
    driven = [i.nets[p.name] for i in after.instances for p in library.cells[i.cell].outputs]
    assert len(set(driven)) == len(driven)
    assert not {i.name for i in after.instances} & set(after.nets)


def test_registers_name_the_complement_that_they_drive(library):
    text = r"""
module top(clk, a, y); input clk; input a; output y; wire _1_; wire _2_; wire _3_;
  DFFN \x[0]$_DFF_P_  (.D(a), .CK(clk), .QN(_1_));
  DFFN _7_ (.D(a), .CK(clk), .QN(_2_));
  AND g (.A(_1_), .B(_2_), .Y(y));
endmodule
"""
    named = with_register_names(netlist.parse(text), library)
    read = {tuple(i.nets.values()) for i in named.instances if i.cell == "AND"}
    assert read == {("complement.x[0]", "_2_", "y")}
    assert all("$" not in instance.name for instance in named.instances)
