"""The Liberty parser: units, tables, functions, several files, and files that are not Liberty."""

from __future__ import annotations

import gzip
import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from helpers import TINY_LIB
from hypothesis import given
from hypothesis import strategies as st

from dbp.errors import InputError
from dbp.synthesis.cells import expressions, liberty_reader

TINY = TINY_LIB
KITS = os.environ.get("DBP_PDK_ROOT")
# Cells and supply of the kits, as their own documentation states them.
EXPECTED = {
    "nangate45": (134, 1.1, "DFF_X1", "NAND2_X1", 1.064 * 0.75),
    "asap7": (202, 0.7, "DFFHQNx1_ASAP7_75t_R", "NAND2x1_ASAP7_75t_R", 0.08748),
    "sky130hd": (428, 1.8, "sky130_fd_sc_hd__dfxtp_1", "sky130_fd_sc_hd__nand2_1", 3.7536),
    "ihp-sg13g2": (84, 1.2, "sg13g2_dfrbp_1", "sg13g2_nand2_1", 7.2576),
    "gt2n": (72, 0.7, "gt2_6t_dffasync_x1_w31_lvt", "gt2_6t_nand2_x1_w31_lvt", 0.018144),
}


def test_units_are_si():
    library = liberty_reader.read(TINY)
    assert library.voltage_v == 1.0  # of the operating conditions, not the nominal one
    inverter = library.cells["INV"]
    assert inverter.area_um2 == 1
    assert inverter.leakage_w == pytest.approx(9e-9)
    assert [(leak.when.text, leak.power_w) for leak in inverter.leakages] == [
        ("A", pytest.approx(2e-9)),
        ("A'", pytest.approx(4e-9)),
    ]
    assert inverter.pins["A"].rise_capacitance_f == pytest.approx(3e-15)
    (arc,) = inverter.pins["Y"].arcs
    assert (arc.related_pin, arc.timing_sense) == ("A", "negative_unate")
    assert arc.rise_slew(0.0, 5e-15) == pytest.approx(0.2e-9)
    assert inverter.pins["Y"].internal_power[0].rise(0.5e-9, 5e-15) == pytest.approx(2e-15)


def test_pins_and_arcs_of_one_group_are_separate():
    nand = liberty_reader.read(TINY).cells["NAND2"]
    assert list(nand.pins) == ["A", "B", "Y"]
    assert [arc.related_pin for arc in nand.pins["Y"].arcs] == ["A", "B"]


def test_edges_of_a_pin_may_differ():
    pin = liberty_reader.read(TINY).cells["XOR2"].pins["A"]
    assert (pin.rise_capacitance_f, pin.fall_capacitance_f) == pytest.approx((3e-15, 4e-15))


def test_flip_flop():
    cell = liberty_reader.read(TINY).cells["DFF"]
    assert cell.has_state and cell.sequential.kind == "ff"
    assert cell.sequential.next_state.variables == ("D",)
    assert cell.pins["CK"].is_clock and not cell.pins["D"].is_clock


@pytest.mark.parametrize(
    ("slew", "load", "value"),
    [(0, 0, 1), (1, 10, 3), (0.25, 5, 1.75), (2, 0, 3), (0, 20, 3), (-1, 0, 0)],
)
def test_tables_interpolate_and_continue_linearly(slew, load, value):
    """The order of the axes comes from the template: here load first."""
    table = liberty_reader.read(TINY).cells["INV"].pins["Y"].internal_power[0].fall
    assert table(slew * 1e-9, load * 1e-15) == pytest.approx(value * 1e-15)


def test_tables_take_arrays():
    table = liberty_reader.read(TINY).cells["INV"].pins["Y"].internal_power[0].fall
    slews, loads = np.array([0.0, 1e-9, 0.5e-9]), np.array([0.0, 10e-15, 30e-15])
    one_by_one = [float(table(s, c)) for s, c in zip(slews, loads, strict=True)]
    np.testing.assert_allclose(table(slews, loads), one_by_one, rtol=1e-15)


@pytest.mark.parametrize(("fanout", "farads"), [(0, 0), (1, 1), (2, 2.5), (3, 4.5), (5, 8.5)])
def test_wire_load_by_fanout(fanout, farads):
    load = liberty_reader.read(TINY).wire_load("short")
    assert load.capacitance_f(fanout) == pytest.approx(farads * 1e-15)


def test_unknown_wire_load_is_refused():
    with pytest.raises(InputError, match=r"'long'.*short"):
        liberty_reader.read(TINY).wire_load("long")


def test_several_files_are_one_library(tmp_path):
    first, second = tmp_path / "a.lib", tmp_path / "b.lib.gz"
    text = TINY.read_text()
    head, cells = text.split("  cell (INV)")
    first.write_text(head + "  cell (INV)" + cells.split("  cell (NAND2)")[0] + "}\n")
    second.write_bytes(
        gzip.compress((head + "  cell (NAND2)" + cells.split("cell (NAND2)")[1]).encode())
    )
    library = liberty_reader.read(first, second)
    assert list(library.cells) == ["INV", "NAND2", "XOR2", "DFF"]
    assert library.name == "tiny+tiny"
    with pytest.raises(InputError, match="earlier file"):
        liberty_reader.read(first, first)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"module step (input clk); endmodule\n",
        b"\x00\x01\x02" * 40,
        b"\x1f\x8b broken gzip",
        b"library (x) { cell (y) { area : 1;",
        b"library (x) { } library (y) { }",
        b"library (x) { capacitive_load_unit (1, parsec); }",
        b"library (x) { nom_voltage : 1; cell (y) { area : wide; } }",
        b'library (x) { nom_voltage : 1; cell (y) { pin (z) { function : "A &"; } } }',
        b"library (x) { nom_voltage : 1; cell (y) { area ! 1; } }",
        b"library (x) { cell (y) { area : 1; } }",
        b"((((((((((((((((((((((((((((((" * 1000,
    ],
)
def test_a_file_that_is_not_liberty_gets_one_line(tmp_path, content):
    path = tmp_path / "x.lib"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        dict(liberty_reader.read(path).cells)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["capacitance", "rise_capacitance", "fall_capacitance"])
def test_a_negative_capacitance_is_refused(key):
    text = 'library (x) { nom_voltage : 1; cell (y) { pin (a, b) { KEY : "-0.1"; } } }'.replace(
        "KEY", key
    )
    with pytest.raises(InputError, match=r"cell y: pin a: capacitance = '-0\.1': must be at"):
        liberty_reader.parse(text).cells["y"]


def test_supplies_are_no_signal_pins():
    text = "library (x) { nom_voltage : 1; cell (y) { pg_pin (V) { } pg_pin (G) { } pin (A) { } } }"
    cell = liberty_reader.parse(text).cells["y"]
    assert cell.supplies == {"V", "G"} and list(cell.pins) == ["A"]


def test_a_missing_file_gets_one_line(tmp_path):
    with pytest.raises(InputError, match=r"x\.lib: cannot be read"):
        liberty_reader.read(tmp_path / "x.lib")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("A B + !C", lambda a, b, c: (a and b) or not c),
        ("A B' + C", lambda a, b, c: (a and not b) or c),
        ("!(A | B) & C", lambda a, b, c: not (a or b) and c),
        ("A ^ B & C", lambda a, b, c: (a != b) and c),
        ("(A + B)' (C')", lambda a, b, c: not (a or b) and not c),
        ("!A*!B | 0", lambda a, b, c: not a and not b),
    ],
)
def test_boolean_expressions(text, meant):
    expression = expressions.parse(text)
    for k in range(1 << len(expression.variables)):
        values = {name: bool(k >> j & 1) for j, name in enumerate(expression.variables)}
        lower = {"a": False, "b": False, "c": False} | {n.lower(): v for n, v in values.items()}
        assert expression.truth[k] == meant(**lower)


NESTED = ["(" * 5000 + "A" + ")" * 5000, "!" * 5000 + "A", "(" * 5000]


@pytest.mark.parametrize("text", ["", "A +", "(A", "A)", "A & & B", "A $ B", "'A", *NESTED])
def test_broken_expressions_are_refused(text):
    with pytest.raises(InputError, match="Boolean expression") as caught:
        expressions.parse(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_nesting_up_to_the_limit_is_read():
    expression = expressions.parse("(" * 60 + "A" + ")" * 60)
    assert list(expression.truth) == [False, True]


# Functions of cells in Liberty's words, and in Python's for the oracle.
FUNCTIONS = {
    "!((A & B) | (C & D))": lambda a, b, c, d: not ((a and b) or (c and d)),  # AOI22
    "!(A & B & (C | D))": lambda a, b, c, d: not (a and b and (c or d)),  # OAI211
    "(A & B) | (!A & C)": lambda a, b, c: b if a else c,  # MUX2
    "A ^ B ^ C": lambda a, b, c: (a + b + c) % 2,  # a full adder's sum
    "(A * B) + (A * C) + (B * C)": lambda a, b, c: a + b + c > 1,  # its carry
    "(A' B' C D) + (A B)' * E": lambda a, b, c, d, e: (
        (not a and not b and c and d) or (not (a and b) and e)
    ),
    "(A ^ B) C + !D A": lambda a, b, c, d: (a != b and c) or (not d and a),
    "A * A'": lambda a: False,
}


@pytest.mark.parametrize("text", FUNCTIONS)
@given(st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_probability_and_boolean_difference_are_those_of_an_enumeration(text, p):
    """Sums over all states of independent inputs, also where a variable stands twice."""
    function, names = FUNCTIONS[text], "ABCDE"[: FUNCTIONS[text].__code__.co_argcount]
    one = changes = 0.0
    for state in product((False, True), repeat=len(names)):
        chance = np.prod([q if bit else 1 - q for q, bit in zip(p, state, strict=False)])
        one += chance * bool(function(*state))
        changes += chance * (bool(function(False, *state[1:])) != bool(function(True, *state[1:])))
    expression, of = expressions.parse(text), dict(zip(names, p, strict=False))
    assert expression.probability(of) == pytest.approx(one, abs=1e-12)
    assert expression.decides("A", of) == pytest.approx(changes, abs=1e-12)
    arrays = {name: np.array([0.5, q]) for name, q in of.items()}
    assert np.broadcast_to(expression.decides("A", arrays), 2)[1] == expression.decides("A", of)


def test_outputs_give_way_to_their_functions():
    when = expressions.parse("!B * Y").substitute({"Y": expressions.parse("!A + !B")})
    assert when.probability({"A": 0.5, "B": 0.25}) == pytest.approx(0.75)


@pytest.mark.skipif(not KITS, reason="no kits: DBP_PDK_ROOT is not set")
@pytest.mark.parametrize("kit", sorted(EXPECTED))
def test_kits(kit):
    files = sorted((Path(KITS) / kit).glob("*.lib*"))
    if not files:
        pytest.skip(f"no kit {kit} in DBP_PDK_ROOT")
    library = liberty_reader.read(*files)
    cells, voltage, flip_flop, nand, area = EXPECTED[kit]
    assert len(library.cells) == cells
    assert library.voltage_v == voltage
    assert library.cells[flip_flop].sequential.kind == "ff"
    assert library.cells[nand].area_um2 == pytest.approx(area)
    # What a NAND gate can be, in any of these technologies.
    pins = library.cells[nand].inputs
    assert len(pins) == 2
    assert all(0.2e-15 < pin.rise_capacitance_f < 10e-15 for pin in pins)
    (output,) = library.cells[nand].outputs
    assert output.function.truth.tolist() == [True, True, True, False]
    assert all(1e-12 < float(arc.rise_delay(10e-12, 2e-15)) < 200e-12 for arc in output.arcs)


def test_many_negations_side_by_side_are_not_deep():
    assert expressions.parse(" + ".join(["!a"] * 500)).truth.tolist() == [True, False]
