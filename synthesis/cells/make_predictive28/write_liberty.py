"""The Liberty file of predictive28 from its table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from dbp.synthesis.cells.make_predictive28.gates import GATES, Gate
from dbp.synthesis.cells.make_predictive28.table import (
    VOLTAGE_V,
    Figure,
    Key,
    interpolate,
    rounded,
)
from dbp.synthesis.cells.wire_load import HEADER, Wires

# Wires at 45 and 7 nm: OpenROAD-flow-scripts, flow/platforms/{nangate45,asap7}/setRC.tcl.
WIRES = ((0.103981, 0.165790), (3.57147e-3, 2.65684e-2))
# Picoseconds and femtofarads of the Liberty tables; the model is a plane, so that few points do.
SLEWS_PS = (2, 10, 30, 80, 200)
LOADS_PER_DRIVE_FF = (0.3, 1.5, 4, 10, 25)


def liberty(figures: Sequence[Figure]) -> str:
    """Return the text of the Liberty file, the same text for the same table."""
    values = {figure.key: figure.value for figure in figures}
    area = values["NAND2_X1", "", "", "area"]
    capacitance, resistance = (rounded(interpolate(*pair, "log")) for pair in WIRES)
    wires = Wires(capacitance, resistance, area)
    lines = [
        "/* predictive28, 28 nm, 0.9 V, 25 C: interpolated between nangate45 and asap7. For",
        "   demonstration and regression; no evidence. Made from predictive28.csv by",
        "   dbp.synthesis.cells.make_predictive28. Figures derived from the Nangate Open Cell",
        "   Library (Apache-2.0) and the ASAP7 PDK (BSD-3-Clause, Copyright 2020 Lawrence T.",
        "   Clark, Vinay Vashishtha, or Arizona State University). */",
        "library (predictive28) {",
        HEADER.rstrip("\n"),
        f"  nom_voltage : {VOLTAGE_V};",
        "  operating_conditions (typical) {",
        f"    process : 1; voltage : {VOLTAGE_V}; temperature : 25;",
        "  }",
        "  default_operating_conditions : typical;",
        f"  default_max_transition : {SLEWS_PS[-1]};",
        wires.group().rstrip("\n"),
    ]
    for drive in sorted({gate.drive for gate in GATES}):
        loads = [drive * load for load in LOADS_PER_DRIVE_FF]
        lines += [
            f"  lu_table_template (plane_{drive}) {{",
            "    variable_1 : input_net_transition;",
            "    variable_2 : total_output_net_capacitance;",
            f"    index_1 ({_list(SLEWS_PS)});",
            f"    index_2 ({_list(loads)});",
            "  }",
        ]
    for gate in GATES:
        lines += _cell(gate, values)
    return "\n".join([*lines, "}", ""])


def _list(numbers: Iterable[float]) -> str:
    return '"' + ", ".join(f"{number:.5g}" for number in numbers) + '"'


def _cell(gate: Gate, values: dict[Key, float]) -> Iterator[str]:
    def get(quantity: str, pin: str = "", output: str = "") -> float:
        return values[gate.name, pin, output, quantity]

    yield f"  cell ({gate.name}) {{"
    yield f"    area : {get('area'):.5g};"
    yield f"    cell_leakage_power : {get('leakage'):.5g};"
    if gate.is_register:
        yield "    ff (IQ, IQN) {"
        yield '      clocked_on : "CK"; next_state : "D";'
        yield "    }"
    inputs = [pin for cell, pin, _, q in values if (cell, q) == (gate.name, "capacitance")]
    for pin in inputs:
        yield f"    pin ({pin}) {{"
        yield f"      direction : input; capacitance : {get('capacitance', pin):.5g};"
        if gate.is_register:
            yield from _register_input(pin, get("pin_energy", pin), get)
        yield "    }"
    for output, function in gate.functions.items():
        yield f"    pin ({output}) {{"
        yield f'      direction : output; function : "{function}";'
        yield f"      max_capacitance : {gate.drive * LOADS_PER_DRIVE_FF[-1]:.5g};"
        for pin in inputs:
            if (gate.name, pin, output, "energy") in values:
                yield from _arc(gate, pin, output, get)
        yield "    }"
    yield "  }"


def _register_input(pin: str, energy: float, get: Callable[..., float]) -> Iterator[str]:
    if pin == "CK":
        yield "      clock : true;"
    yield "      internal_power () {"
    yield f'        rise_power (scalar) {{ values ("{energy:.5g}"); }}'
    yield f'        fall_power (scalar) {{ values ("{energy:.5g}"); }}'
    yield "      }"
    if pin == "D":
        for kind in ("setup", "hold"):
            yield "      timing () {"
            yield f'        related_pin : "CK"; timing_type : {kind}_rising;'
            for edge in ("rise", "fall"):
                value = get(kind, "D")
                yield f'        {edge}_constraint (scalar) {{ values ("{value:.5g}"); }}'
            yield "      }"


def _arc(gate: Gate, pin: str, output: str, get: Callable[..., float]) -> Iterator[str]:
    yield "      timing () {"
    yield f'        related_pin : "{pin}"; timing_sense : {_sense(gate, pin, output)};'
    if gate.is_register:
        yield "        timing_type : rising_edge;"
    slew = np.array(SLEWS_PS)[:, None]
    load = gate.drive * np.array(LOADS_PER_DRIVE_FF)
    for edge in ("rise", "fall"):
        for kind, group in (("delay", f"cell_{edge}"), ("slew", f"{edge}_transition")):
            constant, per_slew, per_load = (
                get(f"{edge}_{kind}{suffix}", pin, output)
                for suffix in ("", "_per_slew", "_per_load")
            )
            plane = constant + per_slew * slew + per_load * load
            rows = ", \\\n          ".join(_list(row) for row in plane)
            yield f"        {group} (plane_{gate.drive}) {{"
            yield f"          values ({rows});"
            yield "        }"
    yield "      }"
    energy = get("energy", pin, output)
    yield "      internal_power () {"
    yield f'        related_pin : "{pin}";'
    yield f'        rise_power (scalar) {{ values ("{energy:.5g}"); }}'
    yield f'        fall_power (scalar) {{ values ("{energy:.5g}"); }}'
    yield "      }"


def _sense(gate: Gate, pin: str, output: str) -> str:
    function = gate.functions[output]
    if gate.is_register or "^" in function or (gate.name, pin) == ("MUX2_X1", "S"):
        return "non_unate"
    return "negative_unate" if function.startswith("!") else "positive_unate"
