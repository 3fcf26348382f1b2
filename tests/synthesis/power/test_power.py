"""The power calculator: against closed forms on a tiny library, and against OpenSTA's figures."""

from __future__ import annotations

import csv
import gzip
import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from helpers import TINY_LIB

from dbp.errors import InputError
from dbp.synthesis import netlist
from dbp.synthesis.activity import activity
from dbp.synthesis.activity.activity import Activity
from dbp.synthesis.cells import expressions, liberty_reader
from dbp.synthesis.power import _graph
from dbp.synthesis.power import calculate as power

LIBRARY = liberty_reader.read(TINY_LIB)
PERIOD_S = 2e-9
KITS = os.environ.get("DBP_PDK_ROOT")
REFERENCE = os.environ.get("DBP_REFERENCE_ROOT") or (KITS and str(Path(KITS).parent / "reference"))
VECTORS = Path(REFERENCE) / "power_vectors" if REFERENCE else None


def chain(length: int) -> str:
    inverters = "\n".join(f"INV u{k} (.A(n{k}), .Y(n{k + 1}));" for k in range(length))
    wires = "\n".join(f"wire n{k};" for k in range(1, length))
    return f"""module chain (n0, n{length});
      input n0; output n{length}; {wires}
      {inverters}
    endmodule"""


def uniform(nets, toggles=0.5, probability=0.25) -> Activity:
    return Activity(dict.fromkeys(nets, toggles), dict.fromkeys(nets, probability))


def calculate(text, rates, period=PERIOD_S, wire_load=None):
    return power.calculate(netlist.parse(text), LIBRARY, rates, period, wire_load)


@pytest.mark.parametrize("length", [1, 2, 7])
@pytest.mark.parametrize("wire_load", [None, "short"])
def test_a_chain_of_inverters_has_the_power_of_the_closed_form(length, wire_load):
    """Every figure below is read off tiny.lib by hand."""
    nets = [f"n{k}" for k in range(length + 1)]
    toggles, one = 0.5, 0.25
    result = calculate(chain(length), uniform(nets, toggles, one), wire_load=wire_load)
    wire = 0.0 if wire_load is None else 1e-15  # fan-out 1, also at the output port
    rise_slew = fall_slew = 0.0
    switching, internal = [], []
    for k in range(length):
        load = wire + (3e-15 if k < length - 1 else 0.0)
        switching.append(0.5 * load * 1.0**2 * toggles / PERIOD_S)
        # Rising output follows a falling input. 1 fJ + 1 fJ/ns of slew + 0.1 fJ/fF of load.
        rise = 1e-15 + 1e-6 * fall_slew + 0.1 * load
        fall = 1e-15 + 1e-6 * rise_slew + 0.1 * load
        internal.append(0.5 * (rise + fall) * toggles / PERIOD_S)
        rise_slew, fall_slew = 0.1e-9 + 0.02e6 * load, 0.2e-9 + 0.02e6 * load
    np.testing.assert_allclose(result.switching_w, switching, rtol=1e-12, atol=1e-30)
    np.testing.assert_allclose(result.internal_w, internal, rtol=1e-12)
    np.testing.assert_allclose(result.leakage_w, one * 2e-9 + (1 - one) * 4e-9, rtol=1e-12)


def test_zero_activity_leaves_leakage_only():
    totals = calculate(chain(3), uniform([f"n{k}" for k in range(4)], toggles=0.0)).totals()
    assert totals["switching"] == totals["internal"] == 0
    assert totals["total"] == totals["leakage"] > 0


def test_twice_the_clock_is_twice_the_dynamic_power():
    rates = uniform([f"n{k}" for k in range(4)])
    slow, fast = (calculate(chain(3), rates, p).totals() for p in (PERIOD_S, PERIOD_S / 2))
    for kind in ("switching", "internal"):
        assert fast[kind] == pytest.approx(2 * slow[kind], rel=1e-12)
    assert fast["leakage"] == slow["leakage"]


def test_internal_energy_is_shared_by_the_activity_of_the_inputs():
    """NAND2: 3 fJ where A makes the output move, 6 fJ where B does; A decides while B is 1."""
    text = "module m (a, b, y); input a, b; output y; NAND2 u (.A(a), .B(b), .Y(y)); endmodule"
    rates = Activity({"a": 0.9, "b": 0.3, "y": 0.6}, {"a": 0.5, "b": 0.2, "y": 0.9})
    by_a, by_b = 0.9 * 0.2, 0.3 * 0.5
    energy = 0.6 * (3e-15 * by_a + 6e-15 * by_b) / (by_a + by_b)
    assert calculate(text, rates).internal_w[0] == pytest.approx(energy / PERIOD_S, rel=1e-12)


GATES = {
    "!((A & B) | (C & D))": lambda a, b, c, d: not ((a and b) or (c and d)),  # AOI22
    "!(A & B & (C | D))": lambda a, b, c, d: not (a and b and (c or d)),  # OAI211
    "(C & A) | (!C & B)": lambda a, b, c: a if c else b,  # MUX2
    "(A & B) | (C & (A | B))": lambda a, b, c: a + b + c > 1,  # a full adder's carry
    "A ^ B": lambda a, b: a != b,
}


@pytest.mark.parametrize("function", GATES)
@pytest.mark.parametrize("seed", [1, 2])
def test_shares_and_conditions_are_those_of_an_enumeration(function, seed):
    """1, 2, 4, 8 fJ where A, B, C, D moves the output; 16 fJ at A while C is 1 and B is not."""
    rng, meant = np.random.default_rng(seed), GATES[function]
    pins = "ABCD"[: meant.__code__.co_argcount]
    toggles, one = (dict(zip(pins, rng.random(len(pins)), strict=True)) for _ in range(2))
    shares = dict.fromkeys(pins, 0.0)
    condition = 0.0
    for state in product((False, True), repeat=len(pins)):
        bits = dict(zip(pins, state, strict=True))
        chance = np.prod([one[p] if bit else 1 - one[p] for p, bit in bits.items()])
        condition += chance * (bits.get("C", True) and not bits["B"])
        for pin in pins:
            moves = meant(*state) != meant(*(bits | {pin: not bits[pin]}).values())
            shares[pin] += toggles[pin] * chance * bool(moves)
    costs = dict(zip("ABCD", (1, 2, 4, 8), strict=True))
    energy = 0.7 * sum(costs[p] * s for p, s in shares.items()) / sum(shares.values())
    energy += toggles["A"] * condition * 16
    groups = " ".join(
        f'internal_power () {{ related_pin : "{p}"; power (scalar) {{ values ("{costs[p]}"); }} }}'
        for p in pins
    )
    when = "C & !B" if "C" in pins else "!B"
    cell = f"""cell (G) {{ area : 1; cell_leakage_power : 0;
      pin ({", ".join(pins[1:])}) {{ direction : input; capacitance : 1; }}
      pin (A) {{ direction : input; capacitance : 1; internal_power () {{ when : "{when}";
        power (scalar) {{ values ("16"); }} }} }}
      pin (Y) {{ direction : output; function : "{function}"; {groups} }} }}"""
    ports = ", ".join(pins)
    text = f"""module m ({ports}, Y); input {ports}; output Y;
      G u ({", ".join(f".{p}({p})" for p in pins)}, .Y(Y)); endmodule"""
    rates = Activity(toggles | {"Y": 0.7}, one | {"Y": 0.5})
    result = power.calculate(netlist.parse(text), library_with(cell), rates, PERIOD_S)
    assert result.internal_w[0] == pytest.approx(energy * 1e-15 / PERIOD_S, rel=1e-12)


def test_a_load_counts_its_costlier_edge():
    text = """module m (a, b, y); input a, b; output y; wire n;
      INV u (.A(a), .Y(n)); XOR2 v (.A(n), .B(n), .Y(y)); endmodule"""
    result = calculate(text, uniform("abny"))
    assert result.switching_w[0] == pytest.approx(0.5 * 8e-15 * 0.5 / PERIOD_S, rel=1e-12)


def test_each_edge_slews_with_its_own_load():
    """XOR2 loads a rise with 3 fF and a fall with 4; the INV beside it with 3."""
    text = """module m (a, y, z); input a; output y, z; wire n;
      INV u (.A(a), .Y(n)); XOR2 v (.A(n), .B(a), .Y(y)); INV w (.A(n), .Y(z)); endmodule"""
    result = calculate(text, uniform("anyz"))
    rise, fall = 0.1e-9 + 0.02e6 * 6e-15, 0.2e-9 + 0.02e6 * 7e-15
    energy = 1e-15 + 1e-6 * (rise + fall) / 2
    assert result.internal_w[2] == pytest.approx(0.5 * energy / PERIOD_S, rel=1e-12)


def test_a_clock_weighs_twice_what_another_pin_of_a_register_does():
    cell = """cell (DFFR) { area : 6; cell_leakage_power : 0;
      ff (IQ, IQN) { clocked_on : "CK"; next_state : "D"; clear : "!R"; }
      pin (D, R) { direction : input; capacitance : 1; }
      pin (CK) { direction : input; clock : true; capacitance : 1; }
      pin (Q) { direction : output; function : "IQ";
        internal_power () { related_pin : "CK"; power (scalar) { values ("2"); } }
        internal_power () { related_pin : "R"; power (scalar) { values ("8"); } } } }"""
    text = """module m (clk, d, r, q); input clk, d, r; output q;
      DFFR u (.CK(clk), .D(d), .R(r), .Q(q)); endmodule"""
    rates = uniform(["clk", "d", "r", "q"], 0.5, 0.5)
    rates.toggles_per_clock.update({"clk": 2.0, "r": 0.4})
    result = power.calculate(netlist.parse(text), library_with(cell), rates, PERIOD_S)
    by_clock, by_reset = 2.0 * 1.0, 0.4 * 0.5
    energy = 0.5 * (2e-15 * by_clock + 8e-15 * by_reset) / (by_clock + by_reset)
    assert result.internal_w[0] == pytest.approx(energy / PERIOD_S, rel=1e-12)


FLIP_FLOP = """module m (clk, d, q); input clk, d; output q; wire c;
  INV buffer (.A(clk), .Y(c)); DFF r (.CK(c), .D(d), .Q(q)); endmodule"""


def test_a_clock_pin_costs_by_state_at_an_ideal_edge():
    rates = Activity(
        {"clk": 2.0, "c": 2.0, "d": 0.3, "q": 0.3}, {"clk": 0.5, "c": 0.5, "d": 0.5, "q": 0.75}
    )
    result = calculate(FLIP_FLOP, rates)
    # Only while Q is 1: (6 + 2) / 2 fJ an edge at zero slew, although `c` has a slew.
    assert result.internal_w[1] == pytest.approx(2 * 0.75 * 4e-15 / PERIOD_S, rel=1e-12)


def test_groups():
    result = calculate(FLIP_FLOP, uniform(["clk", "c", "d", "q"]))
    assert [power.GROUPS[k] for k in result.group] == ["clock", "sequential"]
    for kind in power.KINDS:
        parts = sum(result.totals(group)[kind] for group in power.GROUPS)
        assert parts == pytest.approx(result.totals()[kind], rel=1e-12)


def library_with(*cells: str):
    """The tiny library and more cells."""
    text = TINY_LIB.read_text()
    return liberty_reader.parse(text.rstrip().removesuffix("}") + "\n".join(cells) + "}")


def test_a_ripple_carry_adder_has_the_power_of_the_closed_form():
    """Full adders of two XOR2 and three NAND2, all nets at the same activity, no wires.

    A NAND's inputs share 3 and 6 fJ half and half; XOR2 has no internal power; loads by hand.
    """
    bits, toggles = 8, 0.4
    cells = "\n".join(
        f"""XOR2 p{k} (.A(a{k}), .B(b{k}), .Y(p{k})); XOR2 s{k} (.A(p{k}), .B(c{k}), .Y(s{k}));
        NAND2 g{k} (.A(a{k}), .B(b{k}), .Y(g{k})); NAND2 h{k} (.A(p{k}), .B(c{k}), .Y(h{k}));
        NAND2 o{k} (.A(g{k}), .B(h{k}), .Y(c{k + 1}));"""
        for k in range(bits)
    )
    inputs = ["c0", *(f"{n}{k}" for n in "ab" for k in range(bits))]
    outputs = [f"c{bits}", *(f"s{k}" for k in range(bits))]
    inner = [*(f"{n}{k}" for n in "pgh" for k in range(bits)), *(f"c{k}" for k in range(1, bits))]
    text = f"""module adder ({", ".join(inputs + outputs)}); input {", ".join(inputs)};
      output {", ".join(outputs)}; wire {", ".join(inner)}; {cells} endmodule"""
    result = calculate(text, uniform(inputs + outputs + inner, toggles, 0.5))
    # XOR2 loads with 4 fF, NAND2 with 2 fF: p and the inner carries drive one of each, g and h one
    # NAND2 each, the sums and the last carry nothing.
    farads = bits * (6e-15 + 2 * 2e-15) + (bits - 1) * 6e-15
    energy = 3 * bits * toggles * (3e-15 + 6e-15) / 2
    totals = result.totals()
    assert totals["switching"] == pytest.approx(0.5 * farads * toggles / PERIOD_S, rel=1e-12)
    assert totals["internal"] == pytest.approx(energy / PERIOD_S, rel=1e-12)
    assert totals["leakage"] == pytest.approx(bits * (2 * 6 + 3 * 5) * 1e-9, rel=1e-12)
    assert totals["total"] == pytest.approx(sum(totals[k] for k in power.KINDS[:3]), rel=1e-12)


def test_constants_need_no_activity_and_count_as_zero():
    """A NAND2 with a 0 at B is 1 for good, and so is the double inverse behind it."""
    text = """module m (a, y); input a; output y; wire n, i;
      NAND2 u (.A(a), .B(1'b0), .Y(n)); INV v (.A(n), .Y(i)); INV w (.A(i), .Y(y)); endmodule"""
    result = calculate(text, uniform(["a"]))
    assert result.totals()["switching"] == result.totals()["internal"] == 0
    np.testing.assert_allclose(result.leakage_w[1:], 4e-9)  # the state of an input at 0
    # A 1 that decides nothing leaves the output free.
    with pytest.raises(InputError, match="activity: 1 nets have none, y"):
        calculate(
            "module m (a, y); input a; output y; NAND2 u (.A(a), .B(1'b1), .Y(y)); endmodule",
            uniform(["a"]),
        )


GATE = """cell (ICG) {
  area : 5; clock_gating_integrated_cell : "latch_posedge"; cell_leakage_power : 3;
  statetable ("CK E", "IQ") { table : "L L : - : L, L H : - : H, H - : - : N"; }
  pin (IQ) { direction : internal; internal_node : "IQ"; }
  pin (E) { direction : input; capacitance : 1; }
  pin (CK) { direction : input; clock : true; capacitance : 2; }
  pin (GCK) { direction : output; state_function : "CK * IQ";
    timing () { related_pin : "CK"; timing_sense : positive_unate;
      cell_rise (delay) { values ("0.1, 0.2", "0.1, 0.2"); }
      rise_transition (delay) { values ("0.1, 0.3", "0.1, 0.3"); } }
    internal_power () { related_pin : "CK"; when : "E";
      rise_power (hidden) { values ("6, 8"); } }
  }
}"""


def test_the_clock_network_goes_through_buffers_and_gates_and_is_ideal():
    text = """module m (clk, en, d, q); input clk, en, d; output q; wire b, g;
      INV buffer (.A(clk), .Y(b)); ICG gate (.CK(b), .E(en), .GCK(g));
      DFF r (.CK(g), .D(d), .Q(q)); INV data (.A(d), .Y(x)); endmodule"""
    nets = ["clk", "en", "d", "q", "b", "g", "x"]
    rates = uniform(nets, 0.5, 0.5)
    rates.toggles_per_clock.update({"clk": 2.0, "b": 2.0, "g": 1.0})
    result = power.calculate(netlist.parse(text), library_with(GATE), rates, PERIOD_S)
    groups = [power.GROUPS[k] for k in result.group]
    assert groups == ["clock", "clock", "sequential", "combinational"]
    assert result.clocks == ("clk",)
    # Zero slew at both, although `b` and `g` have one; the falling table is missing.
    assert result.internal_w[1] == pytest.approx(1.0 * 6e-15 / 2 / PERIOD_S, rel=1e-12)
    assert result.internal_w[2] == pytest.approx(1.0 * 0.5 * 4e-15 / PERIOD_S, rel=1e-12)


def test_supplies_add_up_and_states_leave_the_rest_to_the_whole():
    cell = """cell (LK) { area : 1; cell_leakage_power : 9;
      leakage_power () { when : "A * B * !Y"; value : 2; }
      pin (A, B) { direction : input; capacitance : 1; }
      pin (Y) { direction : output; function : "!(A * B)";
        internal_power () { related_pin : "A"; related_pg_pin : VDD;
          power (scalar) { values ("2"); } }
        internal_power () { related_pin : "A"; related_pg_pin : VSS;
          power (scalar) { values ("1"); } }
      } }"""
    text = "module m (a, b, y); input a, b; output y; LK u (.A(a), .B(b), .Y(y)); endmodule"
    rates = uniform("aby", 0.5, 0.5)
    result = power.calculate(netlist.parse(text), library_with(cell), rates, PERIOD_S)
    assert result.internal_w[0] == pytest.approx(0.5 * 3e-15 / PERIOD_S, rel=1e-12)
    assert result.leakage_w[0] == pytest.approx((0.25 * 2 + 0.75 * 9) * 1e-9, rel=1e-12)


REGISTER = """cell (FFR) { area : 1; cell_leakage_power : 30;
  leakage_power () { when : "!R * !Q * QN"; value : 10; }
  leakage_power () { when : "R * Q * !QN"; value : 20; }
  leakage_power () { when : "R * !Q * QN"; value : 40; }
  ff (IQ, IQN) { clocked_on : "CK"; next_state : "D"; clear : "!R"; }
  pin (D, R) { direction : input; capacitance : 1; }
  pin (CK) { direction : input; clock : true; capacitance : 1; }
  pin (Q) { direction : output; function : "IQ";
    internal_power () { related_pin : "CK"; power (scalar) { values ("2"); } } }
  pin (QN) { direction : output; function : "IQN";
    internal_power () { related_pin : "CK"; power (scalar) { values ("6"); } } }
  pin (E) { direction : output; function : "IQ * R";
    internal_power () { related_pin : "CK"; power (scalar) { values ("8"); } } } }"""


def register(pins: str, cell: str = REGISTER):
    """Its power, clk at 2 toggles, d at 0.5, q and qn at 0.25; q at 1 for 0.4 of the time."""
    text = f"""module m (clk, d, r, q, qn); input clk, d, r; output q, qn;
      FFR u (.CK(clk), .D(d), {pins}); endmodule"""
    rates = Activity(
        {"clk": 2.0, "d": 0.5, "r": 0.125, "q": 0.25, "qn": 0.25},
        {"clk": 0.5, "d": 0.5, "r": 0.75, "q": 0.4, "qn": 0.6},
    )
    return power.calculate(netlist.parse(text), library_with(cell), rates, PERIOD_S)


def test_what_the_states_of_a_register_leave_goes_to_the_whole_cell():
    """Q and QN count as independent, and R tied to 1 as 0."""
    leakage = register(".R(r), .Q(q), .QN(qn)").leakage_w[0]
    shares = [0.25 * 0.6 * 0.6, 0.75 * 0.4 * 0.4, 0.75 * 0.6 * 0.6]
    stated = sum(s * p for s, p in zip(shares, (10, 20, 40), strict=True))
    assert leakage == pytest.approx((stated + (1 - sum(shares)) * 30) * 1e-9, rel=1e-12)
    leakage = register(".R(1'b1), .Q(q), .QN(qn)").leakage_w[0]
    assert leakage == pytest.approx((0.36 * 10 + 0.64 * 30) * 1e-9, rel=1e-12)
    # The leakage without a condition comes before that of the cell; with neither, the states share.
    other = "30; leakage_power () { value : 50; }"
    leakage = register(".R(1'b1), .Q(q)", REGISTER.replace("30;", other)).leakage_w[0]
    assert leakage == pytest.approx((0.36 * 10 + 0.64 * 50) * 1e-9, rel=1e-12)
    neither = REGISTER.replace("cell_leakage_power : 30;", "")
    leakage = register(".R(r), .Q(q), .QN(qn)", neither).leakage_w[0]
    assert leakage == pytest.approx(stated / sum(shares) * 1e-9, rel=1e-12)


def test_the_energy_of_an_open_output_of_a_register_is_that_of_its_state():
    """Q 2 fJ, QN 6 fJ, both at q's 0.25 toggles; E, open in all, at those that R lets pass."""
    open_gate = 8e-15 * (0.25 * 0.75 + 0.125 * 0.4)
    for pins in (".Q(q), .QN(qn)", ".Q(q)", ".QN(qn)", ".Q(q), .QN()"):
        watts = register(".R(r), " + pins)
        expected = (0.25 * 8e-15 + open_gate) / PERIOD_S
        assert watts.internal_w[0] == pytest.approx(expected, rel=1e-12)
        assert watts.switching_w[0] == 0
    # Nothing tells how often the state of a register toggles that drives nothing.
    assert register(".R(r)").internal_w[0] == pytest.approx(0.125 * 0.5 * 8e-15 / PERIOD_S)


def test_an_open_sum_of_a_full_adder_costs_its_energy():
    """Every input decides it always. 1 fJ without a load, 0.1 fJ more per fF."""
    cell = """cell (FA) { area : 1; cell_leakage_power : 0;
      pin (A, B, CI) { direction : input; capacitance : 1; }
      pin (CO) { direction : output; function : "(A * B) + (A * CI) + (B * CI)"; }
      pin (S) { direction : output; function : "A ^ B ^ CI";
        internal_power () { related_pin : "A B CI"; rise_power (energy) { values ("1, 1", "2, 2"); }
          fall_power (energy) { values ("1, 1", "2, 2"); } } } }"""
    text = """module m (a, b, c, co, s); input a, b, c; output co, s; INV load (.A(n));
      FA u (.A(a), .B(b), .CI(c), .CO(co) PIN); endmodule"""
    rates = Activity(
        {"a": 0.5, "b": 0.25, "c": 0.125, "co": 0.5, "s": 0.875, "n": 0},
        dict.fromkeys([*"abcns", "co"], 0.5),
    )
    for pin, energy in (("", 1e-15), (", .S()", 1e-15), (", .S(s)", 1e-15), (", .S(n)", 1.3e-15)):
        rates.toggles_per_clock["n"] = 0.875 if "(n)" in pin else 0.0
        result = power.calculate(
            netlist.parse(text.replace("PIN", pin)), library_with(cell), rates, PERIOD_S
        )
        assert result.internal_w[1] == pytest.approx(0.875 * energy / PERIOD_S, rel=1e-12)
        assert (result.switching_w[1] > 0) == ("(n)" in pin)


POWERED = """cell (PINV) { area : 1; cell_leakage_power : 4;
  pg_pin (VDD) { pg_type : primary_power; } pg_pin (VSS) { pg_type : primary_ground; }
  pin (A) { direction : input; capacitance : 1; }
  pin (Y) { direction : output; function : "!A"; } }"""


@pytest.mark.parametrize("direction", ["input", "inout"])
def test_connections_to_supplies_are_left_out(direction):
    text = f"""module m (a, y, vdd, vss); input a; output y; {direction} vdd, vss;
      PINV u (.A(a), .Y(y), .VDD(vdd), .VSS(vss)); PINV v (.A(a), .VDD(1'b1), .VSS(1'b0));
      endmodule"""
    library = library_with(POWERED)
    result = power.calculate(netlist.parse(text), library, uniform("ay"), PERIOD_S)
    np.testing.assert_allclose(result.leakage_w, 4e-9)
    with pytest.raises(InputError, match=r"u: PINV has no pin VPB .*tiny: must be one of A, Y"):
        _graph.without_supplies(netlist.parse(text.replace(".VDD(v", ".VPB(v")), library)
    # A signal at such a port is one like all others.
    with pytest.raises(InputError, match="activity: 1 nets have none, vdd the first"):
        design = netlist.parse(text.replace("v (.A(a)", "v (.A(vdd)"))
        power.calculate(design, library, uniform("ay"), PERIOD_S)


def test_a_condition_at_an_input_that_names_the_output():
    """Counts as often as the input decides the output, as in OpenSTA."""
    cell = """cell (HD) { area : 1; cell_leakage_power : 0;
      pin (A) { direction : input; capacitance : 1; internal_power () { when : "!B * Y";
        rise_power (scalar) { values ("4"); } fall_power (scalar) { values ("2"); } } }
      pin (B) { direction : input; capacitance : 1; }
      pin (Y) { direction : output; function : "!(A * B)"; } }"""
    text = "module m (a, b, y); input a, b; output y; HD u (.A(a), .B(b), .Y(y)); endmodule"
    rates = uniform("aby", 0.5, 0.2)
    result = power.calculate(netlist.parse(text), library_with(cell), rates, PERIOD_S)
    assert result.internal_w[0] == pytest.approx(0.5 * 0.2 * 3e-15 / PERIOD_S, rel=1e-12)


def test_a_condition_on_no_pin_is_named():
    cell = """cell (BAD) { area : 1; leakage_power () { when : "Z"; value : 1; }
      pin (A) { direction : input; capacitance : 1; }
      pin (Y) { direction : output; function : "A"; } }"""
    text = "module m (a, y); input a; output y; BAD u (.A(a), .Y(y)); endmodule"
    with pytest.raises(InputError, match=r"library tiny: cell BAD: a condition on 'Z': no pin"):
        power.calculate(netlist.parse(text), library_with(cell), uniform("ay"), PERIOD_S)


def test_what_does_not_fit_is_named():
    rates = uniform(["a", "y"])
    text = "module m (a, y); input a; output y; {} endmodule"
    with pytest.raises(InputError, match=r"u: cell INV_X9: not in the library tiny"):
        calculate(text.format("INV_X9 u (.A(a), .Y(y));"), rates)
    with pytest.raises(
        InputError, match=r"INV has no pin Z in the library tiny: must be one of A, Y"
    ):
        calculate(text.format("INV u (.A(a), .Z(y));"), rates)
    with pytest.raises(InputError, match=r"u: pin A of INV takes 1 bit, not 2"):
        calculate(text.format("INV u (.A({a, a}), .Y(y));"), rates)
    with pytest.raises(InputError, match=r"INV has no pin Z"):
        calculate(text.format("INV u (.A(a), .Z({y, y}));"), rates)
    with pytest.raises(InputError, match=r"activity: 1 nets have none, a"):
        calculate(text.format("INV u (.A(a), .Y(y));"), uniform(["y"]))


def slews_of(text, library=LIBRARY, input_slew_s=0.0):
    """Rise and fall slew in ns by net, and where loops were cut."""
    design = netlist.parse(text)
    graph = _graph.PowerGraph(design, library, None)
    graph.annotate(uniform(design.nets))
    graph.propagate_slews(input_slew_s)
    slews = 1e9 * np.array([graph.rise_slew_s, graph.fall_slew_s])
    return {net: tuple(slews[:, k]) for net, k in graph.index.items()}, graph.loops_cut()


def test_input_ports_slew_as_they_are_told_but_not_the_clock():
    """INV u: 1 fJ more per ns of slew. The register's clock stays ideal."""
    text = """module m (clk, a, d, y, q); input clk, a, d; output y, q;
      INV u (.A(a), .Y(y)); DFF r (.CK(clk), .D(d), .Q(q)); endmodule"""
    design, rates = netlist.parse(text), uniform(["clk", "a", "d", "y", "q"], 0.5, 0.5)
    rates.toggles_per_clock["clk"] = 2.0
    ideal, real = (
        power.calculate(design, LIBRARY, rates, PERIOD_S, None, slew) for slew in (0.0, 0.25e-9)
    )
    more = real.internal_w - ideal.internal_w
    assert more[0] == pytest.approx(0.5 * 0.25e-15 / PERIOD_S, rel=1e-12) and more[1] == 0


LATCH = """module m (s, r, q); input s, r; output q; wire qn;
  NAND2 u1 (.A(s), .B(qn), .Y(q)); NAND2 u2 (.A(r), .B(q), .Y(qn)); endmodule"""


def test_a_loop_is_costed_and_cut_for_the_slews_alone():
    """Two NAND2, each with 2 fF behind it: all figures by hand; OpenSTA 2.0.17 has such slews."""
    slews, cut = slews_of(LATCH)
    assert cut == ("u1/B -> Y",)
    assert slews["q"] == slews["qn"] == pytest.approx((0.14, 0.14))
    toggles = {"s": 0.1, "r": 0.2, "q": 0.3, "qn": 0.4}
    one = {"s": 0.5, "r": 0.25, "q": 0.75, "qn": 0.5}
    result = calculate(LATCH, Activity(toggles, one))
    assert result.loops_cut == cut and "u1/B -> Y" in result.notes[0]
    by_s, by_qn = 0.1 * 0.5, 0.4 * 0.5
    by_r, by_q = 0.2 * 0.75, 0.3 * 0.25
    energies = [
        0.3 * (3e-15 * by_s + 6e-15 * by_qn) / (by_s + by_qn),
        0.4 * (3e-15 * by_r + 6e-15 * by_q) / (by_r + by_q),
    ]
    np.testing.assert_allclose(result.internal_w, np.array(energies) / PERIOD_S, rtol=1e-12)
    switched = 0.5 * 2e-15 * np.array([0.3, 0.4]) / PERIOD_S
    np.testing.assert_allclose(result.switching_w, switched, rtol=1e-12)
    np.testing.assert_allclose(result.leakage_w, 5e-9)


@pytest.mark.parametrize(
    ("body", "cut"),
    [
        ("INV u (.A(y), .Y(y));", ["u/A -> Y"]),
        ("INV u (.A(y), .Y(n)); INV v (.A(n), .Y(x)); INV w (.A(x), .Y(y));", ["u/A -> Y"]),
        # Two loops through one gate, and a gate behind them.
        (
            "NAND2 u (.A(n), .B(x), .Y(w)); INV v (.A(w), .Y(n)); INV k (.A(w), .Y(x)); "
            "INV z (.A(w), .Y(y));",
            ["u/A -> Y", "u/B -> Y"],
        ),
        # No loop: registers wait for an edge.
        ("INV u (.A(y), .Y(n)); DFF r (.CK(a), .D(n), .Q(y));", []),
        # Not one through a cell whose outputs do not depend on the pins that the others feed.
        ("TWO u (.A(a), .B(n), .Y(n), .Z(y));", []),
    ],
)
def test_loops_of_all_kinds(body, cut):
    two = """cell (TWO) { area : 1; cell_leakage_power : 0;
      pin (A, B) { direction : input; capacitance : 1; }
      pin (Y) { direction : output; function : "!A"; }
      pin (Z) { direction : output; function : "!B"; } }"""
    text = f"module m (a, y); input a; output y; {body} endmodule"
    slews, where = slews_of(text, library_with(two))
    assert sorted(where) == cut
    if cut:
        # An inverter has at least 0.1 and 0.2 ns, in a ring too.
        assert slews["y"] >= (0.1, 0.1)


def test_a_deep_ring_needs_no_recursion():
    ring = " ".join(f"INV u{k} (.A(n{k}), .Y(n{(k + 1) % 1500}));" for k in range(1500))
    _, cut = slews_of(f"module m (a); input a; {ring} endmodule")
    assert cut == ("u0/A -> Y",)


TRISTATE = """cell (TBUF) { area : 1; cell_leakage_power : 7;
  pin (A, EN) { direction : input; capacitance : 1; }
  pin (Z) { direction : output; function : "A"; three_state : "EN"; capacitance : 3;
    timing () { related_pin : "A"; timing_sense : positive_unate;
      cell_rise (delay) { values ("0, 0", "0, 0"); }
      rise_transition (delay) { values ("0.1, 0.3", "1.1, 1.3"); }
      fall_transition (delay) { values ("0.2, 0.4", "1.2, 1.4"); } }
    timing () { related_pin : "EN"; timing_type : three_state_enable;
      timing_sense : negative_unate;
      cell_rise (delay) { values ("0, 0", "0, 0"); }
      rise_transition (delay) { values ("0.1, 0.3", "2.1, 2.3"); }
      fall_transition (delay) { values ("0.2, 0.4", "2.2, 2.4"); } }
    internal_power () { related_pin : "A"; power (scalar) { values ("2"); } }
    internal_power () { related_pin : "EN"; power (scalar) { values ("8"); } } } }"""
BUS = """module m (a, b, en, y); input a, b, en; output y; wire enn, w;
  INV u0 (.A(en), .Y(enn)); TBUF u1 (.A(a), .EN(en), .Z(w)); TBUF u2 (.A(b), .EN(enn), .Z(w));
  INV u3 (.A(w), .Y(y)); endmodule"""


def test_drivers_of_one_net_share_its_switching_and_each_has_its_own_energy():
    """A decides always, EN counts half, as where nothing is known. Loads and slews by hand."""
    library = library_with(TRISTATE)
    slews, cut = slews_of(BUS, library)
    assert not cut
    # 3 + 3 fF of the outputs and 3 of the load; switched on by the falling edge of EN, for both
    # edges of Z, which is 0.2 + 0.02 at u2 and ideal at u1.
    on = 2 * (0.2 + 0.02 * 1)
    assert slews["w"] == pytest.approx((0.1 + 0.18 + on, 0.2 + 0.18 + on))
    rates = uniform(["a", "b", "en", "enn", "w", "y"], 0.5, 0.5)
    rates.toggles_per_clock.update({"a": 0.1, "b": 0.2, "w": 0.3})
    result = power.calculate(netlist.parse(BUS), library, rates, PERIOD_S)
    switched = 0.5 * 9e-15 * 0.3 / PERIOD_S / 2
    np.testing.assert_allclose(result.switching_w[1:3], switched, rtol=1e-12)
    energies = [0.3 * (2e-15 * by_a + 8e-15 * 0.25) / (by_a + 0.25) for by_a in (0.1, 0.2)]
    np.testing.assert_allclose(result.internal_w[1:3], np.array(energies) / PERIOD_S, rtol=1e-12)
    np.testing.assert_allclose(result.leakage_w[1:3], 7e-9)
    assert result.notes[0].startswith("nets with several drivers: w:")


def test_a_net_of_several_drivers_is_constant_where_all_of_them_agree():
    text = BUS.replace(".A(a)", ".A(1'b0)")
    with pytest.raises(InputError, match="1 nets have none, w"):
        power.calculate(
            netlist.parse(text), library_with(TRISTATE), uniform(["a", "b", "en", "enn", "y"]), 1e-9
        )
    text = text.replace(".A(b)", ".A(1'b0)")
    rates = uniform(["a", "b", "en", "enn"])
    result = power.calculate(netlist.parse(text), library_with(TRISTATE), rates, PERIOD_S)
    assert result.switching_w[1:].sum() == 0
    # And a port that a cell drives too is not.
    text = "module m (a, y); input a; output y; INV u (.A(1'b0), .Y(a)); INV v (.A(a), .Y(y));"
    with pytest.raises(InputError, match="1 nets have none, y"):
        calculate(text + " endmodule", uniform("a"))


PAD = """cell (PAD) { area : 1; cell_leakage_power : 1;
  pin (OUT, EN) { direction : input; capacitance : 1; }
  pin (P) { direction : inout; function : "OUT"; three_state : "!EN"; capacitance : 10;
    internal_power () { related_pin : "OUT"; power (scalar) { values ("4"); } }
    internal_power () { rise_power (scalar) { values ("1"); } } }
  pin (IN) { direction : output; function : "P"; } }"""


def test_an_inout_drives_and_is_driven():
    """Charges its net once; each power group counts once. The port is a fan-out and an input."""
    text = """module m (o, en, i, p); input o, en; output i; inout p;
      PAD u (.OUT(o), .EN(en), .P(p), .IN(i)); endmodule"""
    result = power.calculate(
        netlist.parse(text), library_with(PAD), uniform(["o", "en", "i", "p"]), PERIOD_S, "short"
    )
    # A wire of two loads: the pad itself and the port; of one, for the output i.
    farads = 10e-15 + 5 * 0.5e-15 + 2 * 0.5e-15
    assert result.switching_w[0] == pytest.approx(0.5 * farads * 0.5 / PERIOD_S, rel=1e-12)
    energy = 0.5 * 4e-15 + 0.5 * 1e-15 / 2
    assert result.internal_w[0] == pytest.approx(energy / PERIOD_S, rel=1e-12)


def test_an_output_tied_to_a_constant_is_still_and_said():
    text = "module m (a); input a; INV u (.A(a), .Y(1'b0)); endmodule"
    result = calculate(text, uniform("a"))
    assert result.totals()["total"] == result.leakage_w[0] > 0
    assert result.notes == ("outputs tied to a constant: u/Y: they count as still",)


def test_a_net_that_nothing_drives_is_still_and_said():
    text = """module m (a, y); input a; output y; wire x;
      NAND2 u (.A(a), .B(x), .Y(y)); endmodule"""
    result = calculate(text, Activity({"a": 0.5, "y": 0.2}, {"a": 0.5, "y": 0.5}))
    assert result.notes == (
        "nets that nothing drives: x: without an activity they count as still, at 0",
    )
    # B, still at 0, keeps A from deciding: nothing says who moved the output.
    assert result.internal_w[0] == 0
    known = calculate(text, Activity({"a": 0.5, "x": 0, "y": 0.2}, {"a": 0.5, "x": 1, "y": 0.5}))
    assert known.internal_w[0] == pytest.approx(0.2 * 3e-15 / PERIOD_S, rel=1e-12)


def test_activity_file_round_trip(tmp_path):
    rates = Activity({"a": 0.5, "b[3]": 1.25}, {"a": 0.25, "b[3]": 1.0})
    rates.write(tmp_path / "a.csv.gz")
    assert activity.read(tmp_path / "a.csv.gz") == rates


@pytest.mark.parametrize(
    "text",
    [
        "net,toggles\na,1\n",
        "net,toggles_per_clock,static_probability\na,-1,0.5\n",
        "net,toggles_per_clock,static_probability\na,1,1.5\n",
        "net,toggles_per_clock,static_probability\na,nan,0.5\n",
        "net,toggles_per_clock,static_probability\na,1\n",
        "net,toggles_per_clock,static_probability\na,1,0.5\n \n",
    ],
)
def test_a_broken_activity_file_gets_one_line(tmp_path, text):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=r"a\.csv: "):
        activity.read(path)


def test_a_net_twice_in_an_activity_file_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("net,toggles_per_clock,static_probability\na,1,0.5\nb,1,0.5\na,2,0.5\n")
    with pytest.raises(InputError, match=r"a\.csv: line 4: net 'a': must be listed once"):
        activity.read(path)


def test_a_byte_order_mark_and_blank_lines_are_no_fault(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("\ufeffnet,toggles_per_clock,static_probability\na,1,0.5\n\n\n")
    assert activity.read(path) == Activity({"a": 1.0}, {"a": 0.5})


def test_what_a_packed_file_unpacks_to_is_limited(tmp_path, monkeypatch):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b" " * (3 << 20)))
    monkeypatch.setattr(activity, "MAX_BYTES", 2 << 20)
    monkeypatch.setattr(netlist.reader, "MAX_BYTES", 2 << 20)
    with pytest.raises(InputError, match=r"a\.gz: more than 2 MiB of CSV text"):
        activity.read(path)
    with pytest.raises(InputError, match=r"a\.gz: more than 2 MiB of Verilog text"):
        netlist.read(path)


def test_power_file(tmp_path):
    result = calculate(chain(2), uniform(["n0", "n1", "n2"]))
    result.write(tmp_path / "p.csv.gz")
    with gzip.open(tmp_path / "p.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    assert [row["instance"] for row in rows] == ["u0", "u1"]
    assert sum(float(row["total_w"]) for row in rows) == pytest.approx(result.totals()["total"])


@pytest.fixture(scope="module")
def nangate45():
    if VECTORS is None or not VECTORS.is_dir() or not KITS:
        pytest.skip("no reference vectors: DBP_REFERENCE_ROOT or DBP_PDK_ROOT's sibling")
    return liberty_reader.read(*sorted((Path(KITS) / "nangate45").glob("*.lib*")))


@pytest.mark.skipif(
    not KITS or not (Path(KITS) / "sky130hd").is_dir(), reason="no sky130hd in DBP_PDK_ROOT"
)
@pytest.mark.parametrize(
    ("input_slew_s", "buffer", "register"), [(0.0, "4.26e-07", None), (0.1e-9, "3.87e-07", 5.1057)]
)
def test_input_slews_act_as_in_opensta(input_slew_s, buffer, register):
    """A buffer before a flip-flop, as in OpenSTA's own power_test1: the digits of its ``.ok``."""
    library = liberty_reader.read(*(Path(KITS) / "sky130hd").glob("*.lib*"))
    design = netlist.parse("""module m (clk, d, q); input clk, d; output q; wire n;
      sky130_fd_sc_hd__buf_1 u (.A(d), .X(n));
      sky130_fd_sc_hd__dfxtp_1 r (.D(n), .CLK(clk), .Q(q)); endmodule""")
    rates = uniform(["clk", "d", "n", "q"], 0.5, 0.5)
    rates.toggles_per_clock["clk"] = 2.0
    result = power.calculate(design, library, rates, 10e-9, None, input_slew_s)
    assert f"{result.internal_w[0]:.2e}" == buffer
    assert f"{result.switching_w[0]:.2e}" == "1.36e-07"
    if register is not None:
        assert round(1e6 * result.internal_w[1], 4) == register


def test_an_open_output_costs_what_a_dangling_net_does(nangate45):
    """DFF_X1 with QN open, and on a net that nothing reads."""
    text = """module m (clk, d, q); input clk, d; output q; wire qn;
      DFF_X1 u (.CK(clk), .D(d), .Q(q) PIN); endmodule"""
    rates = Activity(
        {"clk": 2.0, "d": 0.3, "q": 0.3, "qn": 0.3}, {"clk": 0.5, "d": 0.5, "q": 0.7, "qn": 0.3}
    )
    watts = [
        power.calculate(netlist.parse(text.replace("PIN", pin)), nangate45, rates, PERIOD_S)
        for pin in (", .QN()", ", .QN(qn)")
    ]
    assert watts[0].totals() == pytest.approx(watts[1].totals(), rel=1e-12)
    of_qn = nangate45.cells["DFF_X1"].pins["QN"].internal_power[0]
    least = 0.3 * 0.5 * (of_qn.rise(0.0, 0.0) + of_qn.fall(0.0, 0.0)) / PERIOD_S
    assert least > 0 and watts[0].internal_w[0] > least


class Chance:
    """A probability under Liberty's operators, all operands independent of each other."""

    def __init__(self, of):
        self.of = of

    def __and__(self, other):
        return Chance(self.of * chance(other))

    def __or__(self, other):
        return Chance(1 - (1 - self.of) * (1 - chance(other)))

    def __xor__(self, other):
        p, q = self.of, chance(other)
        return Chance(p * (1 - q) + q * (1 - p))

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__


def chance(value):
    return value.of if isinstance(value, Chance) else float(value)


def as_opensta_2_5_0(expression, variable, of):
    """The Boolean difference of 2.5.0: both cofactors count as independent, and all operands too.

    Since 2024 OpenSTA has it exact, and so has dbp.
    """
    high, low = (
        chance(
            expressions._Parser(expression.text).parse(
                {name: Chance(p) for name, p in {**of, variable: value}.items()}
            )
        )
        for value in (1.0, 0.0)
    )
    return high * (1 - low) + low * (1 - high)


@pytest.mark.parametrize(
    ("vector", "reference", "wire_load"),
    [
        ("hardwired", "hardwired", "5K_hvratio_1_1"),
        ("hardwired", "hardwired_no_wireload", None),
        ("reconfigurable", "reconfigurable", "5K_hvratio_1_1"),
    ],
)
def test_agrees_with_opensta(monkeypatch, nangate45, vector, reference, wire_load):
    """OpenSTA 2.5.0 on the same netlist and activity: every instance to the digits that it writes
    where there are no wires, with its Boolean difference. With wires its effective capacitance and
    wire resistance differ."""
    monkeypatch.setattr(expressions.Expression, "decides", as_opensta_2_5_0)
    limit = 1e-5 if wire_load is None else 1e-3
    design = netlist.read(VECTORS / f"nangate45_{vector}_netlist.v.gz")
    rates = activity.read(VECTORS / f"nangate45_{vector}_activity.csv.gz")
    result = power.calculate(design, nangate45, rates, 2.4e-9, wire_load)
    with (VECTORS / "totals.csv").open() as file:
        for row in csv.DictReader(file):
            if row["vector"] == f"nangate45_{reference}":
                group = None if row["group"] == "Total" else row["group"].lower()
                for kind, watts in result.totals(group).items():
                    assert watts == pytest.approx(float(row[f"{kind}_w"]), rel=limit)
    with gzip.open(VECTORS / f"nangate45_{reference}_power.csv.gz", "rt") as file:
        expected = {row["instance"]: float(row["total_w"]) for row in csv.DictReader(file)}
    wanted = np.array([expected[name] for name in result.instances])
    error = np.abs(result.total_w / wanted - 1)
    assert len(wanted) == len(expected)
    assert error.max() < (limit if wire_load is None else 0.02)
    assert np.mean(error < limit + 2e-3) > 0.95
