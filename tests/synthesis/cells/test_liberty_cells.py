"""Cells of Liberty files: buses, bundles and banks bit by bit, defaults of the library."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dbp.errors import InputError
from dbp.synthesis import netlist
from dbp.synthesis.activity.activity import Activity
from dbp.synthesis.cells import liberty_reader
from dbp.synthesis.power import calculate as power

HEAD = """library (wide) {
  time_unit : "1ns"; voltage_unit : "1V"; leakage_power_unit : "1nW";
  capacitive_load_unit (1, pf); nom_voltage : 1;
  type (two) { base_type : array; bit_width : 2; bit_from : 1; bit_to : 0; downto : true; }
  type (up) { base_type : array; bit_width : 2; bit_from : 0; bit_to : 1; }
  type (three) { bit_width : 3; }
"""


def cell(text: str, head: str = ""):
    return liberty_reader.parse(f"{HEAD} {head} cell (X) {{ {text} }} }}").cells["X"]


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("bus (A) { bus_type : two; }", ["A[1]", "A[0]"]),
        ("bus (A) { bus_type : up; }", ["A[0]", "A[1]"]),
        ('bus ("A") { bus_type : "three"; }', ["A[2]", "A[1]", "A[0]"]),
        ("bus (A) { bus_type : two; pin (A[1:0]) { } }", ["A[1]", "A[0]"]),
        ("bus (A) { bus_type : two; pin (A[0]) { } pin (A[1]) { } }", ["A[1]", "A[0]"]),
        ("bus (A) { pin (A[4:2]) { } }", ["A[4]", "A[3]", "A[2]"]),
        ("type (own) { bit_from : 7; bit_to : 6; } bus (A) { bus_type : own; }", ["A[7]", "A[6]"]),
        ("type (two) { bit_from : 5; bit_to : 5; } bus (A) { bus_type : two; }", ["A[5]"]),
        ("pin (A[3:2]) { }", ["A[3]", "A[2]"]),
        ("pin (A[0:1]) { } pin (A[2]) { }", ["A[0]", "A[1]"]),
        ("bundle (A) { members (P, Q); }", ["P", "Q"]),
        ('bundle (A) { members ("P Q"); pin (P) { } }', ["P", "Q"]),
        ("bundle (A) { pin (P, Q) { } }", ["P", "Q"]),
        ("pin (P) { } bundle (A) { members (P, Q); pin (Q) { } }", ["P", "Q"]),
    ],
)
def test_bits_are_in_the_order_of_the_declaration(text, bits):
    read = cell(text)
    assert list(read.buses["A"]) == bits and set(read.pins) >= set(bits)


def test_bits_may_be_written_with_other_brackets():
    read = cell(
        'bus (A) { bus_type : two; } pin (Y) { direction : output; function : "A<1> & A<0>"; }',
        'bus_naming_style : "%s<%d>";',
    )
    assert read.buses["A"] == ("A<1>", "A<0>")
    assert read.pins["Y"].function.variables == ("A<1>", "A<0>")


def test_a_bit_has_what_its_bus_says_unless_it_says_otherwise():
    read = cell(
        """bus (A) { bus_type : two; direction : output; capacitance : 0.001; function : "B";
          internal_power () { power (scalar) { values (1); } }
          pin (A[1]) { rise_capacitance : 0.003; fall_capacitance : 0.002; function : "!B";
            internal_power () { power (scalar) { values (2); } } } }
        pin (B) { }"""
    )
    one, zero = read.pins["A[1]"], read.pins["A[0]"]
    assert one.direction == zero.direction == "output"
    assert (one.rise_capacitance_f, one.fall_capacitance_f) == pytest.approx((3e-15, 2e-15))
    assert (zero.rise_capacitance_f, zero.fall_capacitance_f) == pytest.approx((1e-15, 1e-15))
    assert (one.function.text, zero.function.text) == ("!B", "B")
    assert [float(p.rise(0, 0)) for p in one.internal_power] == pytest.approx([1e-12, 2e-12])
    assert len(zero.internal_power) == 1


TIMED = """bus (A) { bus_type : two; } bus (W) { bus_type : three; } pin (CK) { clock : true; }
  bus (Q) { bus_type : two; direction : output;
    timing () { RELATED cell_rise (scalar) { values (1); } }
    internal_power () { RELATED power (scalar) { values (1); } } }"""


@pytest.mark.parametrize(
    ("related", "of_q1", "of_q0"),
    [
        ("related_pin : CK;", ["CK"], ["CK"]),
        ("related_pin : A;", ["A[1]"], ["A[0]"]),
        ('related_pin : "A[1:0]";', ["A[1]"], ["A[0]"]),
        ('related_pin : "A[0]";', ["A[0]"], ["A[0]"]),
        ("related_bus_pins : A;", ["A[1]", "A[0]"], ["A[1]", "A[0]"]),
        ("related_pin : W;", ["W[2]", "W[1]", "W[0]"], ["W[2]", "W[1]", "W[0]"]),
        ('related_pin : "CK A";', ["CK", "A[1]"], ["CK", "A[0]"]),
    ],
)
def test_related_vectors_go_bit_by_bit_or_all_with_all(related, of_q1, of_q0):
    read = cell(TIMED.replace("RELATED", related))
    for name, expected in (("Q[1]", of_q1), ("Q[0]", of_q0)):
        pin = read.pins[name]
        assert [arc.related_pin for arc in pin.arcs] == expected
        assert [item.related_pin for item in pin.internal_power] == expected
    assert read.pins["Q[1]"].arcs[0].rise_delay is read.pins["Q[0]"].arcs[0].rise_delay


RAM = """cell (RAM) { area : 99; cell_leakage_power : 50; memory () { type : ram; }
    pin (CK) { direction : input; clock : true; capacitance : 0.001;
      internal_power () { when : "!WE"; power (scalar) { values (3); } }
      internal_power () { when : "WE"; power (scalar) { values (5); } } }
    pin (WE) { direction : input; capacitance : 0.001; }
    bus (A) { bus_type : two; direction : input; pin (A[1:0]) { capacitance : 0.002;
      internal_power () { power (scalar) { values (0.5); } } } }
    bus (Q) { bus_type : two; direction : output; memory_read () { address : A; }
      timing () { related_pin : CK; timing_type : rising_edge;
        cell_rise (scalar) { values (1); } rise_transition (scalar) { values (0.1); } }
      internal_power () { related_pin : "CK"; power (scalar) { values (0.25); } } } }
  cell (INV) { pin (A) { direction : input; capacitance : 0.004; }
    pin (Y) { direction : output; function : "!A"; } } }"""
RATES = {
    "clk": (2.0, 0.5), "we": (0.2, 0.25), "a[1]": (0.3, 0.5), "a[0]": (0.7, 0.5),
    "q[1]": (0.4, 0.5), "q[0]": (0.6, 0.5), "y": (0.4, 0.5),
}  # fmt: skip


@pytest.mark.parametrize(
    "pins",
    [".A(a), .Q(q)", ".A({a[1], a[0]}), .Q(q[1:0])", r".\A[1] (a[1]), .\A[0] (a[0]), .Q({q})"],
)
def test_a_ram_has_the_power_of_the_closed_form(pins):
    """By hand; the address goes back through an inverter, which is no loop."""
    library = liberty_reader.parse(HEAD + RAM)
    design = netlist.parse(
        f"""module m (clk, we, a, q, y); input clk, we; input [1:0] a; output [1:0] q; output y;
        RAM r (.CK(clk), .WE(we), {pins}); INV i (.A(q[1]), .Y(y)); endmodule"""
    )
    rates = Activity(*({net: rate[k] for net, rate in RATES.items()} for k in (0, 1)))
    result = power.calculate(design, library, rates, 1e-9)
    clock = 2.0 * (0.75 * 3 + 0.25 * 5)
    address, data = 0.5 * (0.3 + 0.7), 0.25 * (0.4 + 0.6)
    assert result.internal_w[0] == pytest.approx((clock + address + data) * 1e-12 / 1e-9)
    assert result.switching_w[0] == pytest.approx(0.5 * 0.004e-12 * 0.4 / 1e-9)
    assert result.leakage_w.tolist() == pytest.approx([50e-9, 0])
    assert power.GROUPS[result.group[0]] == "sequential" and result.clocks == ("clk",)


def test_an_address_that_depends_on_the_data_is_no_loop():
    library = liberty_reader.parse(HEAD + RAM)
    design = netlist.parse(
        """module m (clk, we, a); input clk, we, a; wire [1:0] q; wire n;
        RAM r (.CK(clk), .WE(we), .A({a, n}), .Q(q)); INV i (.A(q[0]), .Y(n)); endmodule"""
    )
    nets = ["clk", "we", "a", "q[1]", "q[0]", "n"]
    rates = Activity(dict.fromkeys(nets, 0.5), dict.fromkeys(nets, 0.5))
    assert power.calculate(design, library, rates, 1e-9).total_w.sum() > 0


@pytest.mark.parametrize(
    ("pins", "complaint"),
    [
        (".A({a, a, a})", "r: pin A of RAM takes 2 bits, not 3"),
        (".A(a)", "r: pin A of RAM takes 2 bits, not 1"),
        (r".A({a, a}), .\A[1] (a)", r"r: pin A\[1\] is connected twice"),
        (".B({a, a})", "RAM has no pin B"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(pins, complaint):
    library = liberty_reader.parse(HEAD + RAM)
    design = netlist.parse(f"module m (a); input a; RAM r ({pins}); endmodule")
    with pytest.raises(InputError, match=complaint):
        power.calculate(design, library, Activity({"a": 0.5}, {"a": 0.5}), 1e-9)


GROUPS_OF_Q = """internal_power () { related_pin : "CK"; power (scalar) { values (0.25); } }
  timing () { related_pin : "CK"; timing_type : rising_edge;
    cell_rise (scalar) { values (1); } rise_transition (scalar) { values (0.1); }
    cell_fall (scalar) { values (1); } fall_transition (scalar) { values (0.2); } }"""
CLOCK = "pin (CK) { direction : input; clock : true; capacitance : 0.001; POWERS }"
OF_CLOCK = 'internal_power () { when : "D & Q"; power (scalar) { values (3); } }'
ONE = f"""cell (FF) {{ ff (IQ, IQN) {{ clocked_on : "CK"; next_state : "D"; }}
  {CLOCK.replace("POWERS", OF_CLOCK)} pin (D) {{ direction : input; capacitance : 0.002; }}
  pin (Q) {{ direction : output; function : "IQ"; {GROUPS_OF_Q} }}
  pin (QN) {{ direction : output; function : "IQN"; {GROUPS_OF_Q} }} }}"""
BANKS = [
    # bundles
    f"""ff_bank (IQ, IQN, 2) {{ clocked_on : "CK"; next_state : "D"; }}
      bundle (D) {{ members (D0, D1); direction : input; capacitance : 0.002; }}
      bundle (Q) {{ members (Q0, Q1); direction : output; function : "IQ"; {GROUPS_OF_Q} }}
      bundle (QN) {{ members (QN0, QN1); direction : output; function : "IQN"; {GROUPS_OF_Q} }}""",
    # states by number, the first bit the highest
    f"""ff_bank (IQ, IQN, 2) {{ clocked_on : "CK"; next_state : "D"; }}
      bundle (D) {{ members (D0, D1); direction : input; capacitance : 0.002; }}
      pin (Q0) {{ direction : output; function : "IQ[1]"; {GROUPS_OF_Q} }}
      pin (Q1) {{ direction : output; function : "IQ[0]"; {GROUPS_OF_Q} }}
      pin (QN0) {{ direction : output; function : "IQN[1]"; {GROUPS_OF_Q} }}
      pin (QN1) {{ direction : output; function : "IQN[0]"; {GROUPS_OF_Q} }}""",
    # several registers
    f"""ff (I0, I0N) {{ clocked_on : "CK"; next_state : "D0"; }}
      ff (I1, I1N) {{ clocked_on : "CK"; next_state : "D1"; }}
      pin (D0, D1) {{ direction : input; capacitance : 0.002; }}
      pin (Q0) {{ direction : output; function : "I0"; {GROUPS_OF_Q} }}
      pin (Q1) {{ direction : output; function : "I1"; {GROUPS_OF_Q} }}
      pin (QN0) {{ direction : output; function : "I0N"; {GROUPS_OF_Q} }}
      pin (QN1) {{ direction : output; function : "I1N"; {GROUPS_OF_Q} }}""",
]


@pytest.mark.parametrize("bank", BANKS)
def test_registers_in_one_cell_cost_what_they_do_apart(bank):
    """Outputs that are open (QN) move as the states do that the others show."""
    powers = "".join(OF_CLOCK.replace("D & Q", f"D{k} & Q{k}") for k in (0, 1))
    library = liberty_reader.parse(
        f"{HEAD} {ONE} cell (FF2) {{ {CLOCK.replace('POWERS', powers)} {bank} }} }}"
    )
    read = library.cells["FF2"]
    assert read.has_state and read.sequential is None and len(read.states) == 2
    assert [state.next_state.text for state in read.states] == ["D0", "D1"]
    apart = """FF r0 (.CK(clk), .D(d0), .Q(q0)); FF r1 (.CK(clk), .D(d1), .Q(q1));"""
    together = "FF2 r (.CK(clk), .D0(d0), .D1(d1), .Q0(q0), .Q1(q1));"
    nets = ["clk", "d0", "d1", "q0", "q1"]
    toggles = dict(zip(nets, (2.0, 0.3, 0.5, 0.2, 0.6), strict=True))
    probability = dict(zip(nets, (0.5, 0.5, 0.25, 0.75, 0.125), strict=True))
    found = []
    for registers in (apart, together):
        design = netlist.parse(
            f"""module m (clk, d0, d1, q0, q1); input clk, d0, d1; output q0, q1;
            {registers} endmodule"""
        )
        result = power.calculate(design, library, Activity(toggles, probability), 1e-9)
        found.append(result.totals())
    assert found[0]["internal"] > 0
    for kind, watt in found[0].items():
        assert found[1][kind] == pytest.approx(watt, rel=1e-12)


def test_a_bank_of_latches_and_one_of_one_bit():
    latches = cell(
        """latch_bank ("L", "LN", 3) { enable : "G"; data_in : "D & !E"; } pin (G, E) { }
        bus (D) { bus_type : three; } bus (Q) { bus_type : three; direction : output;
          function : "L"; }"""
    )
    assert [s.next_state.text for s in latches.states] == [f"D[{k}] & !E" for k in (2, 1, 0)]
    assert latches.pins["Q[1]"].function.text == "L[1]" and latches.clock_pins == {"G"}
    one = cell('ff_bank (I, IN, 1) { clocked_on : "C"; next_state : "D"; } pin (C, D) { }')
    assert one.sequential.state == "I[0]" and one.sequential.kind == "ff"


def test_other_forms_of_registers():
    assert cell("ff (IQ) { }").sequential.state == "IQ"
    three = cell('latch (D, IQ, IQN) { enable : "G"; data_in : "D"; } pin (D, G) { }').sequential
    assert (three.state, three.inverted_state) == ("IQ", "IQN")
    scan = cell('test_cell () { ff (IQ, IQN) { clocked_on : "C"; } } pin (C, D) { }')
    assert scan.has_state and scan.sequential is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("bus (A) { }", "bus A: bus_type is missing"),
        ("bus (A) { bus_type : four; }", r"bus A: bus_type four: .*there are two, up, three"),
        ("bus (A) { bus_type : two; pin (A[2]) { } }", r"bus A: pin A\[2\]: must be one of its"),
        (
            'bus (A) { bus_type : two; } bus (Q) { bus_type : three; function : "!A"; }',
            r"pin Q\[2\]: function '!A': A has 2 bits, not 3",
        ),
        ("ff_bank (IQ, IQN, many) { }", "ff_bank width = 'many': must be a number"),
        ("ff_bank (IQ, IQN, 1.5) { }", "must be a whole number"),
        ("ff_bank (IQ, IQN, 0) { }", r"width = 0: must be in 1\.\."),
        ("pin (A[999999:0]) { }", r"pin A\[999999:0\]: must have at most 65536 bits"),
        (
            "type (t) { bit_from : 999999; bit_to : 0; } bus (A) { bus_type : t; }",
            "type t: must have at most 65536 bits",
        ),
    ],
)
def test_vectors_that_cannot_be_are_named(text, complaint):
    with pytest.raises(InputError, match=complaint):
        cell(text)


DEFAULTS = """default_input_pin_cap : 0.004; default_output_pin_cap : 0.005;
  default_inout_pin_cap : 0.006;"""


@pytest.mark.parametrize(
    ("attributes", "farads"),
    [
        ("direction : input;", (4, 4)),
        ("direction : output;", (5, 5)),
        ("direction : inout;", (6, 6)),
        ("direction : internal;", (0, 0)),
        ("direction : input; capacitance : 0.001;", (1, 1)),
        ("direction : input; capacitance : 0;", (0, 0)),
        ("direction : input; rise_capacitance : 0.001;", (1, 1)),
        ("direction : input; fall_capacitance : 0.002;", (2, 2)),
        ("direction : input; capacitance : 0.001; rise_capacitance : 0.003;", (3, 1)),
        ("direction : input; rise_capacitance : 0.001; fall_capacitance : 0.002;", (1, 2)),
        ("direction : input; rise_capacitance_range (0.001, 0.003);", (3, 3)),
        ('direction : input; capacitance : "0.002"; fall_capacitance_range ("0.001, 3");', (2, 2)),
    ],
)
def test_pins_without_a_capacitance_have_the_default_of_their_direction(attributes, farads):
    for text in (f"pin (A) {{ {attributes} }}", f"bus (A) {{ bus_type : two; {attributes} }}"):
        for pin in cell(text, DEFAULTS).pins.values():
            found = pin.rise_capacitance_f, pin.fall_capacitance_f
            assert found == pytest.approx([1e-15 * farad for farad in farads])


STATE = 'leakage_power () { when : "A"; value : 7; } pin (A) { }'


@pytest.mark.parametrize(
    ("library", "text", "whole"),
    [
        ("default_cell_leakage_power : 2;", "", 2),
        ("default_cell_leakage_power : 2;", "cell_leakage_power : 3;", 3),
        ("default_cell_leakage_power : 2;", "cell_leakage_power : 0;", 0),
        ("default_cell_leakage_power : 2;", "cell_leakage_power : -1;", 2),
        ("default_cell_leakage_power : 2;", STATE, 2),
        ("default_cell_leakage_power : 0;", STATE, None),
        ("default_cell_leakage_power : 0;", "", 0),
        ("default_leakage_power_density : 0.5;", "area : 6;", 3),
        ("default_leakage_power_density : 0.5; default_cell_leakage_power : 2;", "area : 6;", 2),
        ("", "", None),
    ],
)
def test_cells_without_leakage_have_the_default(library, text, whole):
    read = cell(text, library)
    assert read.leakage_w == (whole if whole is None else pytest.approx(whole * 1e-9))
    assert replace(read, leakage_w=None) == replace(cell(text), leakage_w=None)


def test_what_is_stated_in_another_form_alone_is_noted():
    current = "leakage_current () { pg_current (V) { value : 1; } }"
    assert cell(current).notes == ("cell X: leakage_current is not read",)
    assert cell(current + "cell_leakage_power : 1;").notes == ()
    assert cell("dynamic_current () { }").notes == ("cell X: dynamic_current is not read",)
    library = liberty_reader.parse(HEAD + "delay_model : generic_cmos; }")
    assert library.notes == (
        "delay_model generic_cmos: only tables are read, other slews are zero",
    )


def test_buffers_are_found_without_reading_what_cannot_be_one(tmp_path):
    (tmp_path / "pins.txt").write_text(
        'pin (A) { } pin (Y) { direction : output; function : "A"; }'
    )
    pins = 'pin (A) { } pin\\\n (Y) { direction : output; function : "A"; }'
    (tmp_path / "x.lib").write_text(
        f"""{HEAD} cell (PLAIN) {{ {pins} }}
        cell (WITH_SUPPLIES) {{ pg_pin (VDD) {{ }} pg_pin (VSS) {{ }} {pins} }}
        cell (REMARKS) {{ /* pin (B) */ {pins} }}
        cell (INCLUDED) {{ include_file (pins.txt) }}
        cell (INV) {{ {pins.replace('"A"', '"!A"')} }}
        cell (AND) {{ pin (A) {{ }} pin (B) {{ }} pin (Y) {{ function : "A B"; }} }}
        cell (ODD) {{ {pins} area : wide; }} }}"""
    )
    library = liberty_reader.read(tmp_path / "x.lib")
    found = [cell.name for cell in library.buffers()]
    assert found == ["PLAIN", "WITH_SUPPLIES", "REMARKS", "INCLUDED"]
    assert library.pin_groups["AND"] == 3 and library.pin_groups["INCLUDED"] is None
