"""Every legal spelling of a Liberty file means the same, and what cannot be read is named."""

from __future__ import annotations

import gzip

import pytest

from dbp.errors import InputError
from dbp.synthesis import netlist
from dbp.synthesis.activity.activity import Activity
from dbp.synthesis.cells import liberty_reader
from dbp.synthesis.power import calculate as power

PLAIN = """library (plain) {
  time_unit : "1ns";
  voltage_unit : "1V";
  leakage_power_unit : "1nW";
  capacitive_load_unit (1, pf);
  nom_voltage : 0.8;
  lu_table_template (t) {
    variable_1 : input_net_transition;
    variable_2 : total_output_net_capacitance;
    index_1 ("0.1, 0.2");
    index_2 ("0.01, 0.02");
  }
  cell (NAND) {
    area : 1.5;
    cell_leakage_power : 3.0;
    leakage_power () { when : "A & B"; value : 7.0; }
    pin (A) { direction : input; capacitance : 0.002; }
    pin (B) { direction : input; capacitance : 0.002; }
    pin (Y) {
      direction : output;
      function : "!(A & B)";
      timing () {
        related_pin : "A B";
        timing_sense : negative_unate;
        cell_rise (t) { values ("1, 2", "3, 4"); }
        cell_fall (t) { values ("1, 2", "3, 4"); }
        rise_transition (t) { values ("0.1, 0.2", "0.3, 0.5"); }
        fall_transition (t) { values ("0.1, 0.2", "0.3, 0.6"); }
      }
      internal_power () {
        related_pin : "A B";
        rise_power (t) { values ("0.1, 0.2", "0.3, 0.5"); }
        fall_power (t) { values ("0.1, 0.2", "0.3, 0.6"); }
      }
    }
  }
  cell (ODD) { area : 1; }
}
"""
DESIGN = netlist.parse(
    """module m (a, b, y); input a, b; output y; wire n;
  NAND u (.A(a), .B(b), .Y(n)); NAND v (.A(n), .B(b), .Y(y)); endmodule"""
)
RATES = Activity(
    {"a": 0.25, "b": 0.5, "n": 0.375, "y": 0.125}, {"a": 0.5, "b": 0.25, "n": 0.875, "y": 0.75}
)


def watts(library):
    result = power.calculate(DESIGN, library, RATES, 1e-9)
    return [*result.switching_w, *result.internal_w, *result.leakage_w]


EXPECTED = watts(liberty_reader.parse(PLAIN))
AREA, PIN_A = "    area : 1.5;\n", "    pin (A) { direction : input; capacitance : 0.002; }\n"
PIN_B = PIN_A.replace("(A)", "(B)")
LOAD, NOMINAL = "capacitive_load_unit (1, pf);", "  nom_voltage : 0.8;\n"
VALUES = 'rise_power (t) { values ("0.1, 0.2", "0.3, 0.5"); }'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # Lines go on behind a backslash, anywhere between words.
        (LOAD, "capacitive_load_unit\\\n (1, \\\r\n pf) \\\n ;"),
        (AREA, "    area \\\n : \\\n 1.5 \\\n ;\n"),
        (VALUES, 'rise_power \\\n (t) \\\n { values ( \\\n "0.1, \\\n 0.2", \\\n "0.3, 0.5" ); }'),
        ('related_pin : "A B"', 'related_pin : "A \\\n B"'),
        ('function : "!(A & B)";', "function : !(A & \\\n B);"),
        # Remarks, anywhere between words.
        (AREA, "    area /* : 2 */ : /* ; */ 1.5 /* um2 */ ;\n"),
        (LOAD, "capacitive_load_unit /* (2, ff) */ ( /* a */ 1, /* b, c) */ pf /* { */ );"),
        (VALUES, 'rise_power (t) { values ("0.1, 0.2", /* "9, 9", */ // "8"\n "0.3, 0.5"); }'),
        (AREA, "    area : 1.5; // area : 2; }\n    // cell (X) {\n"),
        (AREA, "    # area : 2; don't }\n    area : 1.5;  # um2\n"),
        ("  cell (NAND)", "  # don't {\n  /* cell (NAND) { */ cell (NAND)"),
        # Names: quoted, in lists.
        ("cell (NAND)", 'cell ("NAND")'),
        ("library (plain)", 'library ( "plain" )'),
        (PIN_A + PIN_B, PIN_A.replace("(A)", '("A B")')),
        (PIN_A + PIN_B, PIN_A.replace("(A)", "(A B)")),
        (PIN_A + PIN_B, PIN_A.replace("(A)", '("A", "B")')),
        (PIN_A + PIN_B, PIN_A.replace("(A)", '("A,B")')),
        ('"A B"', '" A,B "'),
        # Semicolons more than needed, or none.
        (AREA, "    area : 1.5;;\n"),
        (AREA, "    area : 1.5\n"),
        (PIN_A, "    pin (A) { direction : input capacitance : 0.002 };\n"),
        (AREA, "    area : 1.5 "),
        (PIN_A, '    pin (A) { direction : "input" capacitance : "0.002" }\n'),
        (LOAD, "capacitive_load_unit (1, pf)"),
        (VALUES, 'rise_power(t){values("0.1, 0.2","0.3, 0.5")}'),
        ("    cell_leakage_power : 3.0;", "    cell_leakage_power : 3.0 "),
        # Units.
        (LOAD, "capacitive_load_unit (1, PF);"),
        (LOAD, 'capacitive_load_unit (1000, "ff");'),
        (LOAD, 'capacitive_load_unit ("1pf");'),
        (LOAD, "capacitive_load_unit (1.0e0, pF);"),
        ('time_unit : "1ns"', "time_unit : 1000ps"),
        ('time_unit : "1ns"', 'time_unit : " 1 ns "'),
        ('time_unit : "1ns"', 'time_unit : "ns"'),
        ('leakage_power_unit : "1nW"', 'leakage_power_unit : "1000pW"'),
        ('leakage_power_unit : "1nW"', "leakage_power_unit : 1nw"),
        # The supply.
        (NOMINAL, "  operating_conditions (typ) { process : 1; voltage : 0.8; }\n"),
        (
            NOMINAL,
            "  nom_voltage : 1; default_operating_conditions : slow;\n"
            "  operating_conditions (fast) { voltage : 1.1; }\n"
            '  operating_conditions ("slow") { voltage : 0.8; }\n',
        ),
        (NOMINAL, "  voltage_map (VDD, 0.8); voltage_map (VSS, 0);\n"),
        # Templates of power, which may have the name of one of timing.
        (
            NOMINAL,
            NOMINAL + "  power_lut_template (t) { variable_1 : input_transition_time;\n"
            '  variable_2 : total_output_net_capacitance; index_1 ("0.1, 0.2");'
            ' index_2 ("0.01, 0.02"); }\n',
        ),
        # Statements that say nothing of power.
        (AREA, '    define (note, cell, string); note : "a; b } c";\n' + AREA),
        (AREA, "    user_group (x) { key : value; inner (y, z) { } }\n" + AREA),
        (NOMINAL, NOMINAL + "  VDD = 0.8;\n  technology (cmos);\n  empty ();\n"),
        (PLAIN, PLAIN.replace("\n", "\r\n")),
        (PLAIN, "/* first */\n// second\n" + PLAIN + "\n/* last */ ; \n"),
        ("area : 1; }", 'area : 1; x : "}{"; /* } */ // }\n }'),
    ],
)
def test_it_means_the_same(old, new):
    assert old in PLAIN
    assert watts(liberty_reader.parse(PLAIN.replace(old, new))) == pytest.approx(
        EXPECTED, rel=1e-12
    )


def test_templates_of_timing_and_power_may_have_one_name():
    """That of power counts the load first: its tables are turned, those of timing are not."""
    template = """  power_lut_template (t) { variable_1 : total_output_net_capacitance;
      variable_2 : input_transition_time; index_1 ("0.01, 0.02"); index_2 ("0.1, 0.2"); }\n"""
    turned = PLAIN.replace(NOMINAL, NOMINAL + template)
    for edge, corner in (("rise_power", "0.5"), ("fall_power", "0.6")):
        old = f'{edge} (t) {{ values ("0.1, 0.2", "0.3, {corner}"); }}'
        assert old in turned
        turned = turned.replace(old, f'{edge} (t) {{ values ("0.1, 0.3", "0.2, {corner}"); }}')
    assert watts(liberty_reader.parse(turned)) == pytest.approx(EXPECTED, rel=1e-12)


def test_volts_may_be_counted_in_other_units():
    """Energy is capacitance times volts squared: a hundredth of the unit."""
    text = PLAIN.replace('"1V"', '"100mV"').replace("nom_voltage : 0.8", "nom_voltage : 8")
    found = watts(liberty_reader.parse(text))
    assert found[:2] == pytest.approx(EXPECTED[:2]) and found[4:] == pytest.approx(EXPECTED[4:])
    assert found[2:4] == pytest.approx([0.01 * watt for watt in EXPECTED[2:4]])


@pytest.mark.parametrize("name", ["x.lib", "x.lib.gz", "x.db.gz"])
def test_files_may_be_packed_and_begin_with_a_byte_order_mark(tmp_path, name):
    content = b"\xef\xbb\xbf" + PLAIN.replace("plain", "pl\u00e4in").encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert watts(liberty_reader.read(tmp_path / name)) == EXPECTED


def test_files_may_include_others(tmp_path):
    """As text, where the statement stands: in the library, in a cell, from a folder beside."""
    (tmp_path / "parts").mkdir()
    head, cells = PLAIN.split("  cell (NAND)")
    (tmp_path / "x.lib").write_text(head + "include_file (parts/cells.lib);\n}\n")
    body = "  cell (NAND)" + cells.rpartition("}")[0]
    body = body.replace(PIN_A, '  include_file("a.txt")\n')
    (tmp_path / "parts" / "cells.lib").write_text(body)
    (tmp_path / "parts" / "a.txt").write_text(PIN_A)
    assert watts(liberty_reader.read(tmp_path / "x.lib")) == EXPECTED
    (tmp_path / "parts" / "a.txt").write_text(PIN_A + "\n\n}")
    with pytest.raises(InputError, match=r"x\.lib: cell NAND: .*a\.txt: line 4: unexpected '}'"):
        watts(liberty_reader.read(tmp_path / "x.lib"))
    (tmp_path / "parts" / "a.txt").write_text("include_file (a.txt)")
    with pytest.raises(InputError, match=r"more than 8 files inside each other"):
        watts(liberty_reader.read(tmp_path / "x.lib"))
    (tmp_path / "parts" / "a.txt").unlink()
    with pytest.raises(InputError, match=r"a\.txt: cannot be read"):
        watts(liberty_reader.read(tmp_path / "x.lib"))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (NOMINAL, "", r"^no supply voltage: nom_voltage, or .*operating_conditions.* is needed$"),
        (
            NOMINAL,
            "operating_conditions (a) { voltage : 1; } operating_conditions (b) { voltage : 2; }",
            "no supply voltage",
        ),
        (NOMINAL, "nom_voltage : high;", r"nom_voltage = 'high': must be a number"),
        ("(1, pf)", "(1, pm)", r"capacitive_load_unit = '1pm': must be a number and a unit of F"),
        ('"1nW"', '"1nA"', r"leakage_power_unit = '1nA': .* unit of W"),
        ("rise_power (t)", "rise_power (tt)", r"cell NAND: .*no table template tt"),
        ('"0.3, 0.5"', '"0.3"', r"cell NAND: .*3 values: must be 4"),
        ("values (", "velues (", r"cell NAND: cell_rise: 0 values: must be 4"),
        ('index_1 ("0.1, 0.2")', 'index_1 ("0.2, 0.1")', r"an index that does not rise"),
        ("area : 1.5", "area : wide", r"cell NAND: area = 'wide': must be a number"),
        ("0.002", "-0.002", r"cell NAND: pin A: capacitance = '-0.002': must be at least 0"),
        ("area : 1.5;", "area ? 1.5;", r"cell NAND: line 14: unexpected 'area \? 1\.5;'"),
    ],
)
def test_what_is_missing_or_wrong_is_named(old, new, complaint):
    assert old in PLAIN
    with pytest.raises(InputError, match=complaint) as caught:
        watts(liberty_reader.parse(PLAIN.replace(old, new)))
    assert "\n" not in str(caught.value)


ODD = [
    "cell (ODD) { latch (D, E, IQ, IQN) { } pin (D) { } }",
    'cell (ODD) { pin (Z) { direction : output; function : "D ? 1 : 0"; } }',
    "cell (ODD) { pin (D) { capacitance : -1; } }",
    'cell (ODD) { pin (Z) { timing () { related_pin : "D"; cell_rise (u) { values ("1 2"); } } } }',
    "cell (ODD) { area : ; }",
    "cell (ODD) { area ! 3; }",
    "cell (ODD) { bus (D) { bus_type : none; } }",
    'cell (ODD) { pin (D) { internal_power () { power (t) { values ("1, 2, 3"); } } } }',
    "cell (ODD) { ff_bank (IQ, IQN, many) { } }",
]


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_cell_counts_where_it_is_used(odd):
    """A netlist without it has its watts; one with it is told which cell it is."""
    library = liberty_reader.parse(PLAIN.replace("cell (ODD) { area : 1; }", odd))
    assert watts(library) == EXPECTED and "ODD" in library.cells
    assert [cell.name for cell in library.readable_cells()] == ["NAND"]
    with pytest.raises(InputError, match="cell ODD: "):
        library.cells["ODD"]


@pytest.mark.parametrize(
    "odd",
    [
        "wire_load (x) { capacitance : much; }",
        "operating_conditions (x) { voltage : high; }",
        "voltage_map (VX, VDD + 0.1);",
        "power_lut_template (x) { variable_1 : nothing; }",
        "type (x) { bit_from : most; bit_to : least; }",
        "default_inout_pin_cap : none;",
        "scaled_cell (NAND, hot) { area ! }",
        "ocv_table_template (x) { variable_1 : path_depth; index_1 (); }",
    ],
)
def test_other_odd_parts_count_where_they_are_used_too(odd):
    assert watts(liberty_reader.parse(PLAIN.replace(NOMINAL, NOMINAL + odd))) == EXPECTED


def test_an_odd_wire_load_is_named_where_it_is_used():
    text = PLAIN.replace(NOMINAL, NOMINAL + "wire_load (x) { capacitance : much; }")
    with pytest.raises(InputError, match="wire_load capacitance = 'much': must be a number"):
        liberty_reader.parse(text).wire_load("x")


def test_units_that_are_missing_are_stated():
    text = PLAIN.replace('  leakage_power_unit : "1nW";\n', "")
    library = liberty_reader.parse(text)
    assert watts(library) == EXPECTED
    assert library.notes == ("leakage_power_unit is missing: 1nW is taken",)
    assert liberty_reader.parse(PLAIN).notes == ()
