"""Supplies of driving pins, and internal power that has no share; by closed forms."""

from __future__ import annotations

import pytest

from dbp.synthesis import netlist
from dbp.synthesis.activity.activity import Activity
from dbp.synthesis.cells import liberty_reader
from dbp.synthesis.power import _notes
from dbp.synthesis.power import calculate as power
from dbp.synthesis.power._graph import without_supplies
from dbp.synthesis.power.cost_netlist import cost_power

HEAD = """library (two) {
  time_unit : "1ns"; voltage_unit : "1V"; leakage_power_unit : "1nW";
  capacitive_load_unit (1, pf); nom_voltage : 0.9;
"""
LOAD = """  cell (LOAD) { area : 1;
    pin (A) { direction : input; capacitance : 0.5; }
    pin (Y) { direction : output; function : "A"; } }
}
"""
VERILOG = """module m (a, y); input a; output y; wire n, o;
  UP u (.A(a), .Y(n)); LOAD v (.A(n), .Y(o)); LOAD w (.A(o), .Y(y)); endmodule"""
PERIOD_S = 5e-9
RATES = Activity(dict.fromkeys("anoy", 0.25), dict.fromkeys("anoy", 0.5))
MAP = "voltage_map (low, 0.9); voltage_map (high, 2.5); voltage_map (gnd, 0);"
PINS = """pg_pin (VL) { voltage_name : low; pg_type : primary_power; }
  pg_pin (VH) { voltage_name : "high"; pg_type : "primary_power"; }
  pg_pin (G) { voltage_name : gnd; pg_type : primary_ground; }"""
IN = "pin (A) { direction : input; capacitance : 0.1; {} }"
OUT = 'pin (Y) { direction : output; function : "A"; {} }'


def up(cell: str = "", pin: str = "", output: str = OUT) -> str:
    return f"cell (UP) {{ {cell} {IN.replace('{}', '')} {output.replace('{}', pin)} }}\n"


@pytest.mark.parametrize(
    ("text", "volts"),
    [
        (MAP + up(PINS, "related_power_pin : VH;"), 2.5),
        (MAP + up(PINS, 'related_power_pin : "VL";'), 0.9),
        (MAP + up(PINS, "output_signal_level : high;"), 2.5),
        (MAP + up(PINS, "output_signal_level : VH;"), 2.5),
        (MAP + up(PINS, "related_power_pin : VH; output_signal_level : low;"), 2.5),
        (MAP + up(PINS, "input_signal_level : high;"), 0.9),
        (MAP + up(PINS), 0.9),  # two power pins: the file does not say which
        (MAP + up("pg_pin (P) { voltage_name : high; pg_type : primary_power; }"), 2.5),
        (MAP + up("pg_pin (P) { voltage_name : high; pg_type : backup_power; }"), 0.9),
        (MAP + up(PINS, "related_power_pin : NONE;"), 0.9),
        ("voltage_map (VX, 3.3);" + up("pg_pin (VX) { }", "related_power_pin : VX;"), 3.3),
        (up("pg_pin (P) { voltage_name : lost; }", "related_power_pin : P;"), 0.9),
        # The older words.
        (
            "power_supply () { default_power_rail : V0; power_rail (V1, 1.8); }"
            + up(
                "rail_connection (P0, V0); rail_connection (P1, V1);", "output_signal_level : V1;"
            ),
            1.8,
        ),
        (
            "power_supply (p) { default_power_rail : V0; power_rail (V1, 1.8); }"
            + up("", "output_signal_level : V0;"),
            0.9,
        ),
        (
            "power_supply (p) { power_rail (V1, 1.8); }" + up("rail_connection (P1, V1);"),
            1.8,
        ),
        (
            "power_supply (p) { power_rail (V1, 1.8); } default_operating_conditions : hot;"
            "operating_conditions (hot) { voltage : 0.9; power_rail (V1, 1.6); }"
            "operating_conditions (cold) { voltage : 1; power_rail (V1, 1.9); }"
            + up("", "output_signal_level : V1;"),
            1.6,
        ),
        # A bus says it for its bits, a bit for itself.
        (
            MAP
            + up(
                PINS,
                output="bus (Z) { bus_type : none; direction : output; related_power_pin : VH;"
                ' pin (Y) { function : "A"; } }'.replace("bus_type : none; ", ""),
            ),
            2.5,
        ),
        (
            MAP
            + up(
                PINS,
                output="bundle (Z) { members (Y, Y2); related_power_pin : VL; direction : output;"
                " pin (Y) { related_power_pin : VH; } pin (Y2) { } }",
            ),
            2.5,
        ),
    ],
)
def test_every_driving_pin_has_its_own_supply(text, volts):
    """Half a pF at u's output; v and w drive with the library's own 0.9 V."""
    library = liberty_reader.parse(HEAD + text + LOAD)
    result = power.calculate(netlist.parse(VERILOG), library, RATES, PERIOD_S)
    joules = [0.5 * 0.5e-12 * volts**2 * 0.25, 0.5 * 0.5e-12 * 0.9**2 * 0.25, 0.0]
    assert result.switching_w * PERIOD_S == pytest.approx(joules, rel=1e-12)


def test_volts_of_supplies_are_in_the_unit_of_the_library():
    head = HEAD.replace('"1V"', '"100mV"').replace("0.9", "9")
    text = "voltage_map (high, 25);" + up(
        "pg_pin (P) { voltage_name : high; pg_type : primary_power; }"
    )
    result = power.calculate(
        netlist.parse(VERILOG), liberty_reader.parse(head + text + LOAD), RATES, PERIOD_S
    )
    joules = [0.5 * 0.5e-12 * 2.5**2 * 0.25, 0.5 * 0.5e-12 * 0.9**2 * 0.25, 0.0]
    assert result.switching_w * PERIOD_S == pytest.approx(joules, rel=1e-12)


def cost(folder, text, verilog=VERILOG):
    (folder / "m.v").write_text(verilog)
    (folder / "m.lib").write_text(HEAD + text + LOAD)
    RATES.write(folder / "a.csv.gz")
    return cost_power(
        folder / "m.v", folder / "a.csv.gz", [folder / "m.lib"], 200.0, folder / "out"
    )


def test_supplies_are_stated(tmp_path):
    metrics = cost(tmp_path, MAP + up(PINS, "related_power_pin : VH;"))
    assert metrics.voltage_v == 0.9 and metrics.supplies_v == {"default": 0.9, "high": 2.5}
    assert metrics.notes == ("nets have more than one supply: default 0.9 V, high 2.5 V",)
    one = cost(tmp_path, MAP + up(PINS, "related_power_pin : VL;"))
    assert one.supplies_v == {"default": 0.9, "low": 0.9} and one.notes == ()


GROUP = 'internal_power () {{ {} power (scalar) {{ values ("{}"); }} }}'


@pytest.mark.parametrize(
    ("groups", "kept", "lost"),
    [
        ([('related_pin : "A";', 2)], 2, 0),
        ([('related_pin : " A , ";', 2)], 2, 0),
        ([('related_pin : "A B";', 2)], 2, 0),  # B is no pin: A has all
        ([("", 2)], 0, 2),
        ([('related_pin : "";', 2)], 0, 2),
        ([('related_pin : "B";', 2)], 0, 2),
        ([('related_pin : "C";', 2)], 0, 2),  # open
        ([('related_pin : "A";', 2), ("", 3)], 2, 3),
        ([('related_pin : "A"; related_pg_pin : P;', 2), ("related_pg_pin : Q;", 3)], 2, 3),
        ([('when : "A";', 2), ('when : "!A";', 4)], 0, 3),  # A is 1 half of the time
        ([('when : "B";', 2)], 0, 2),
        ([('related_pin : "C"; ', 2), ('related_pin : "C"; when : "A";', 4)], 0, 3),
    ],
)
def test_internal_power_without_a_share_is_left_out_and_stated(tmp_path, groups, kept, lost):
    """As in OpenSTA's Power.cc; energies in pJ times volts squared of the unit."""
    stated = " ".join(GROUP.format(*group) for group in groups)
    text = up("pin (C) { direction : input; }", stated)
    metrics = cost(tmp_path, text)
    watts = 0.25 * 1e-12 / PERIOD_S
    assert metrics.power_w.internal == pytest.approx(kept * watts, rel=1e-12)
    assert metrics.internal_left_out_w == pytest.approx(lost * watts, rel=1e-12)
    said = [note for note in metrics.notes if "left out" in note]
    assert len(said) == (lost > 0)
    if said:
        assert (
            said[0].startswith(f"{1e6 * lost * watts:.4g} uW of internal power") and "u" in said[0]
        )
    typo = [note for note in metrics.notes if "related_pin B" in note]
    expected = "cell UP: pin Y: internal_power: related_pin B: the cell has no such pin"
    assert typo == [expected] * any(
        "B" in attributes for attributes, _ in groups if "when" not in attributes
    )


def test_what_is_left_out_is_what_the_related_pin_would_bring():
    """The same slews: with the pin named the sum is the same to the last digit."""
    table = """lu_table_template (t) { variable_1 : input_net_transition; index_1 ("0, 1"); }"""
    cell = """cell (UP) { pin (A) { direction : input; capacitance : 0.1; }
      pin (Y) { direction : output; function : "!A";
        timing () { related_pin : A; timing_sense : negative_unate;
          cell_rise (scalar) { values (0); }
          rise_transition (scalar) { values (0.2); } fall_transition (scalar) { values (0.7); } }
        internal_power () { RELATED rise_power (t) { values ("1, 5"); }
          fall_power (t) { values ("1, 9"); } } } }
    """
    verilog = VERILOG.replace("LOAD v", "UP v")
    found = []
    for related in ("related_pin : A;", ""):
        library = liberty_reader.parse(HEAD + table + cell.replace("RELATED", related) + LOAD)
        design = without_supplies(netlist.parse(verilog), library)
        result = power.calculate(design, library, RATES, PERIOD_S)
        found.append((result.internal_w.sum(), result.left_out_w.sum()))
        assert (related == "") == bool(_notes.notes(design, library, result))
    # v rises behind a fall of 0.7 ns, and falls behind a rise of 0.2 ns; u's input is ideal.
    joules = 0.25e-12 * (1 + 0.5 * (1 + 4 * 0.7 + 1 + 8 * 0.2))
    assert found[0] == (pytest.approx(joules / PERIOD_S), 0.0)
    assert found[1] == (0.0, pytest.approx(joules / PERIOD_S))
