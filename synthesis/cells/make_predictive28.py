"""``predictive28``: a cell library at 28 nm and 0.9 V that comes with the package.

It lies on the straight line, in the logarithm of the node, between nangate45 (45 nm, 1.1 V) and
asap7 (7 nm, 0.7 V): for demonstration and regression, and no evidence of what 28 nm costs.
``data/predictive28.csv`` has every figure, with the two that it comes from and the rule:

- ``log``: the logarithm of the figure is linear in that of the node;
- ``log/V``, ``log/V2``: the same for current (leakage) and capacitance (energy), then times 0.9 V
  or its square;
- ``linear``: the figure itself is linear in the logarithm of the node (slopes, without a unit);
- ``median``: asap7 has no such cell; nangate45's figure times the median ratio of the like rows.

Delays are those of the line, which passes 28 nm at 0.98 V. Of asap7's cells of one function that
one corresponds to a nangate45 cell whose input capacitance, over its inverter's, comes nearest.

``python -m dbp.synthesis.cells.make_predictive28`` writes the Liberty file from the table (and
asap7's wires); ``--from-kits`` derives the table anew from the two kits before that.
"""

from __future__ import annotations

import csv
import math
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from dbp.errors import InputError
from dbp.support.files import write_csv, write_text
from dbp.synthesis.cells import kits, liberty_reader, liberty_syntax, wire_load
from dbp.synthesis.cells.library import Cell, Library, LookupTable, Pin
from dbp.synthesis.cells.wire_load import DATA, HEADER, Wires

TABLE, LIBERTY = DATA / "predictive28.csv", DATA / "predictive28.lib"
NODE_NM, VOLTAGE_V = 28, 0.9
SOURCES = {"nangate45": (45, 1.1), "asap7": (7, 0.7)}
# Share of asap7: 0.255.
WEIGHT = math.log(45 / NODE_NM) / math.log(45 / 7)
# How far the voltage of a figure's kit divides it before the interpolation.
VOLTAGE_POWER = {"log": 0, "log/V": 1, "log/V2": 2}
# Wires at 45 and 7 nm: OpenROAD-flow-scripts, flow/platforms/{nangate45,asap7}/setRC.tcl.
WIRES = ((0.103981, 0.165790), (3.57147e-3, 2.65684e-2))
# Picoseconds and femtofarads of the Liberty tables; the model is a plane, so that few points do.
SLEWS_PS = (2, 10, 30, 80, 200)
LOADS_PER_DRIVE_FF = (0.3, 1.5, 4, 10, 25)


@dataclass(frozen=True)
class Gate:
    """A cell: functions by output and nangate45's pin names; ``pins``: asap7's name of each pin.

    ``asap7`` is None where that kit has no such cell.
    """

    name: str
    asap7: str | None
    functions: dict[str, str]
    pins: dict[str, str]

    @property
    def drive(self) -> int:
        return int(self.name.rsplit("_X", 1)[1])

    @property
    def is_register(self) -> bool:
        return self.name.startswith("DFF")


def _pins(text: str) -> dict[str, str]:
    return dict(pair.split(":") for pair in text.split())


_ONE, _TWO = "A:A ZN:Y", "A1:A A2:B ZN:Y"
_AO21, _AO22 = "A:B B1:A1 B2:A2 ZN:Y", "A1:A1 A2:A2 B1:B1 B2:B2 ZN:Y"
_AO211 = "A:B B:C C1:A1 C2:A2 ZN:Y"
_XOR, _DFF = "A:A B:B Z:Y", "CK:CLK D:D Q:QN"
_ROWS = (
    *((f"INV_X{k}", f"INVx{k}", "ZN=!A", _ONE) for k in (1, 2, 4, 8)),
    *((f"BUF_X{k}", f"BUFx{k}", "Z=A", "A:A Z:Y") for k in (2, 4, 8)),
    ("NAND2_X1", "NAND2xp5", "ZN=!(A1 & A2)", _TWO),
    ("NAND2_X2", "NAND2x1", "ZN=!(A1 & A2)", _TWO),
    ("NAND2_X4", "NAND2x2", "ZN=!(A1 & A2)", _TWO),
    ("NAND3_X1", "NAND3xp33", "ZN=!(A1 & A2 & A3)", "A1:A A2:B A3:C ZN:Y"),
    ("NAND4_X1", "NAND4xp25", "ZN=!(A1 & A2 & A3 & A4)", "A1:A A2:B A3:C A4:D ZN:Y"),
    ("NOR2_X1", "NOR2xp67", "ZN=!(A1 | A2)", _TWO),
    ("NOR2_X2", "NOR2x1", "ZN=!(A1 | A2)", _TWO),
    ("NOR3_X1", "NOR3xp33", "ZN=!(A1 | A2 | A3)", "A1:A A2:B A3:C ZN:Y"),
    ("AND2_X2", "AND2x2", "ZN=(A1 & A2)", _TWO),
    ("OR2_X2", "OR2x2", "ZN=(A1 | A2)", _TWO),
    ("AOI21_X1", "AOI21xp5", "ZN=!(A | (B1 & B2))", _AO21),
    ("AOI22_X1", "AOI22xp5", "ZN=!((A1 & A2) | (B1 & B2))", _AO22),
    ("AOI211_X1", "AOI211xp5", "ZN=!((C1 & C2) | B | A)", _AO211),
    ("OAI21_X1", "OAI21xp5", "ZN=!(A & (B1 | B2))", _AO21),
    ("OAI22_X1", "OAI22xp5", "ZN=!((A1 | A2) & (B1 | B2))", _AO22),
    ("OAI211_X1", "OAI211xp5", "ZN=!((C1 | C2) & A & B)", _AO211),
    ("XOR2_X1", "XOR2xp5", "Z=(A ^ B)", _XOR),
    ("XNOR2_X1", "XNOR2xp5", "ZN=!(A ^ B)", "A:A B:B ZN:Y"),
    ("MUX2_X1", None, "Z=((S & B) | (A & !S))", ""),
    ("HA_X1", None, "CO=(A & B) S=(A ^ B)", ""),
    ("FA_X1", None, "CO=((A & B) | (CI & (A | B))) S=(CI ^ (A ^ B))", ""),
    # asap7's has the inverted output only; its figures stand for those of the other.
    ("DFF_X1", "DFFHQNx1", "Q=IQ", _DFF),
    ("DFF_X2", "DFFHQNx2", "Q=IQ", _DFF),
)


def _functions(text: str) -> dict[str, str]:
    parts = text.replace(" S=", ";S=").split(";")
    return dict(part.split("=", 1) for part in parts)


GATES = tuple(Gate(n, a, _functions(f), _pins(p)) for n, a, f, p in _ROWS)

Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Figure:
    """One row of the table; ``pin``: the input, ``output``: that of an arc, "" elsewhere."""

    cell: str
    pin: str
    output: str
    quantity: str
    unit: str
    value: float
    nangate45: float
    asap7: float | None
    asap7_cell: str
    rule: str

    @property
    def key(self) -> Key:
        return self.cell, self.pin, self.output, self.quantity


def interpolate(nangate45: float, asap7: float, rule: str) -> float:
    """A figure at 28 nm and 0.9 V from those of the two kits, by one of the rules but ``median``.

    `InputError` for a figure that is not positive where a logarithm is taken.
    """
    if rule == "linear":
        return (1 - WEIGHT) * nangate45 + WEIGHT * asap7
    if not (nangate45 > 0 and asap7 > 0):
        raise InputError(f"figures {nangate45}, {asap7}: must be positive for rule {rule!r}")
    power = VOLTAGE_POWER[rule]
    (_, v45), (_, v7) = SOURCES.values()
    line = (1 - WEIGHT) * math.log(nangate45 / v45**power) + WEIGHT * math.log(asap7 / v7**power)
    return math.exp(line) * VOLTAGE_V**power


# ---- from the kits ------------------------------------------------------------------------------

# Quantities: unit and rule. Slews are from 10 to 90 % of the supply, energies the mean of a rise
# and a fall, leakages the mean of the states.
QUANTITIES = {
    "area": ("um2", "log"),
    "leakage": ("nW", "log/V"),
    "capacitance": ("fF", "log"),
    "pin_energy": ("fJ", "log/V2"),
    "energy": ("fJ", "log/V2"),
    "setup": ("ps", "log"),
    "hold": ("ps", "log"),
    **{
        f"{edge}_{quantity}": (unit, rule)
        for edge in ("rise", "fall")
        for quantity, unit, rule in (
            ("delay", "ps", "log"),
            ("delay_per_slew", "", "linear"),
            ("delay_per_load", "ps/fF", "log"),
            ("slew", "ps", "log"),
            ("slew_per_slew", "", "linear"),
            ("slew_per_load", "ps/fF", "log"),
        )
    },
}


class Source:
    """A kit as far as figures come from it, in ps, fF, fJ and nW; `MissingError` without it."""

    def __init__(self, name: str) -> None:
        _, files = kits.find(name)
        self.library: Library = liberty_reader.read(*files)
        self.is_asap7 = name == "asap7"
        # Setup and hold, which our model of a library leaves out.
        (registers,) = (file for file in files if not self.is_asap7 or "_SEQ_" in file.name)
        self.registers = liberty_syntax.read(registers).of_kind("cell")
        # nangate45 measures slews from 30 to 70 %.
        self.slew_factor = 1.0 if self.is_asap7 else 2.0
        inverter = self.library.cells[self.name("INV_X1", "INVx1")]
        (out,), (pin,) = inverter.outputs, inverter.inputs
        self.load_f = 0.5 * (pin.rise_capacitance_f + pin.fall_capacitance_f)
        # A chain of inverters with a fan-out of four settles at this slew.
        self.slew_s = 0.0
        for _ in range(50):
            (arc,) = out.arcs
            self.slew_s = float(arc.rise_slew(self.slew_s, 4 * self.load_f))

    def name(self, nangate45: str, asap7: str) -> str:
        return f"{asap7}_ASAP7_75t_R" if self.is_asap7 else nangate45

    def figures(self, gate: Gate) -> Iterator[tuple[str, str, str, float]]:
        """``(pin, output, quantity, value)`` of a gate, by our names of its pins."""
        cell = self.library.cells[self.name(gate.name, gate.asap7)]
        theirs = gate.pins if self.is_asap7 else {p: p for p in cell.pins}
        ours = {b: a for a, b in theirs.items()}
        yield "", "", "area", cell.area_um2
        yield "", "", "leakage", 1e9 * _leakage_w(cell)
        for pin in cell.inputs:
            mean_f = 0.5 * (pin.rise_capacitance_f + pin.fall_capacitance_f)
            yield ours[pin.name], "", "capacitance", 1e15 * mean_f
            if gate.is_register:
                yield ours[pin.name], "", "pin_energy", self._energy(pin, None, 0.0)
        if gate.is_register:
            yield from (("D", "", kind, self._constraint(cell, kind)) for kind in ("setup", "hold"))
        for ours_out in gate.functions:
            out = cell.pins[theirs[ours_out]]
            for pin in sorted({arc.related_pin for arc in out.arcs}, key=list(ours).index):
                load_f = 4 * gate.drive * self.load_f
                energy = self._energy(out, pin, load_f)
                if gate.is_register and not self.is_asap7:
                    # Its second output, which ours lacks, toggles with the first.
                    energy += self._energy(cell.pins["QN"], pin, load_f)
                yield ours[pin], ours_out, "energy", energy
                for edge in ("rise", "fall"):
                    for quantity, value in self._planes(out, pin, edge, gate.drive):
                        yield ours[pin], ours_out, f"{edge}_{quantity}", value

    def _planes(self, out: Pin, pin: str, edge: str, drive: int) -> Iterator[tuple[str, float]]:
        """Delay and slew as planes over slew and load, fitted around a fan-out of four."""
        slew_s = self.slew_s * np.array([0, 0.5, 1, 2])
        load_f = drive * self.load_f * np.array([1, 2, 4, 8])
        slew, load = (axis.ravel() for axis in np.meshgrid(slew_s, load_f))
        arcs = [arc for arc in out.arcs if arc.related_pin == pin]
        slew_ps = 1e12 * self.slew_factor * slew
        terms = np.stack([np.ones_like(slew), slew_ps, 1e15 * load], axis=1)
        for kind, factor in (("delay", 1.0), ("slew", self.slew_factor)):
            tables: list[LookupTable] = [getattr(arc, f"{edge}_{kind}") for arc in arcs]
            values = 1e12 * factor * np.mean([table(slew, load) for table in tables], axis=0)
            # Relative errors count; no term may be negative.
            fitted, _ = nnls(terms / values[:, None], np.ones(len(values)))
            yield kind, fitted[0]
            yield f"{kind}_per_slew", fitted[1]
            yield f"{kind}_per_load", fitted[2]

    def _energy(self, pin: Pin, related: str | None, load_f: float) -> float:
        """Femtojoules per edge: over rises, falls and states the mean, over supplies the sum."""
        items = [item for item in pin.internal_power if item.related_pin == related]
        total = 0.0
        for supply in sorted({item.supply for item in items}, key=str):
            edges = [
                0.0 if table is None else float(table(self.slew_s, load_f))
                for item in items
                if item.supply == supply
                for table in (item.rise, item.fall)
            ]
            total += sum(edges) / len(edges)
        return 1e15 * total

    def _constraint(self, cell: Cell, kind: str) -> float:
        """Setup or hold of D: the longer of both edges, over all slews the mean; picoseconds."""
        unit = 1.0 if self.is_asap7 else 1e3
        (group,) = (c for c in self.registers if c.arguments[0] == cell.name)
        (pin,) = (p for p in group.of_kind("pin") if p.arguments[0] == "D")
        return unit * _longest(pin, f"{kind}_rising")


def _longest(pin: liberty_syntax.Group, kind: str) -> float:
    (timing,) = (t for t in pin.of_kind("timing") if t.attributes.get("timing_type") == kind)
    edges = []
    for edge in ("rise_constraint", "fall_constraint"):
        (table,) = timing.of_kind(edge)
        text = ",".join(table.complex_attributes["values"][-1])
        edges.append([float(number) for number in text.split(",")])
    return float(np.max(edges, axis=0).mean())


def _leakage_w(cell: Cell) -> float:
    if cell.leakage_w is not None:
        return cell.leakage_w
    # asap7 states the mean of the states itself, for each supply.
    return sum(leak.power_w for leak in cell.leakages if leak.when is None)


def derive(nangate45: Source, asap7: Source) -> list[Figure]:
    """The table from the two kits."""
    figures: list[Figure] = []
    for gate in GATES:
        ours = {(p, o, q): _rounded(v) for p, o, q, v in nangate45.figures(gate)}
        theirs = {}
        if gate.asap7:
            theirs = {(p, o, q): _rounded(v) for p, o, q, v in asap7.figures(gate)}
        for (pin, output, quantity), value in ours.items():
            unit, rule = QUANTITIES[quantity]
            other = theirs.get((pin, output, quantity))
            if gate.asap7 and other is None:
                if gate.is_register and output not in gate.functions:
                    continue
                raise InputError(f"{gate.name}: asap7 has no {quantity} of {pin or 'the cell'}")
            rule = rule if gate.asap7 else "median"
            row = (gate.name, pin, output, quantity, unit)
            figures.append(Figure(*row, math.nan, value, other, gate.asap7 or "", rule))
    return valued(figures)


def valued(figures: Sequence[Figure]) -> list[Figure]:
    """The same rows, with the value that each one's rule gives."""
    ratios: dict[str, list[float]] = {}
    values: dict[Key, float] = {}
    for figure in figures:
        if figure.asap7 is not None:
            try:
                value = interpolate(figure.nangate45, figure.asap7, figure.rule)
            except InputError as error:
                raise InputError(f"{' '.join(figure.key)}: {error}") from None
            values[figure.key] = value
            if figure.nangate45 > 0:
                ratios.setdefault(figure.quantity, []).append(value / figure.nangate45)
    done = []
    for figure in figures:
        value = values.get(figure.key)
        if value is None:
            value = figure.nangate45 * statistics.median(ratios[figure.quantity])
        done.append(Figure(**{**vars(figure), "value": _rounded(value)}))
    return done


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def write_table(figures: Sequence[Figure]) -> None:
    """Write the table that is committed."""
    write_csv(TABLE, [vars(figure) for figure in figures])


def read_table() -> list[Figure]:
    """The committed table."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return [
            Figure(
                **row
                | {key: float(row[key]) for key in ("value", "nangate45")}
                | {"asap7": float(row["asap7"]) if row["asap7"] else None}
            )
            for row in csv.DictReader(file)
        ]


# ---- to Liberty ---------------------------------------------------------------------------------


def liberty(figures: Sequence[Figure]) -> str:
    """The Liberty file of a table: the same text for the same table."""
    values = {figure.key: figure.value for figure in figures}
    area = values["NAND2_X1", "", "", "area"]
    wires = Wires(*(_rounded(interpolate(*pair, "log")) for pair in WIRES), area)
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


def _register_input(pin: str, energy: float, get) -> Iterator[str]:
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


def _arc(gate: Gate, pin: str, output: str, get) -> Iterator[str]:
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


def main(arguments: Sequence[str]) -> None:
    """Write the Liberty files, and with ``--from-kits`` the table before them."""
    if list(arguments) == ["--from-kits"]:
        write_table(derive(*(Source(name) for name in SOURCES)))
    elif arguments:
        raise SystemExit("usage: python -m dbp.synthesis.cells.make_predictive28 [--from-kits]")
    write_text(LIBERTY, liberty(read_table()))
    for name in wire_load.WIRES:
        write_text(wire_load.file_for(name), wire_load.liberty(name))


if __name__ == "__main__":
    main(sys.argv[1:])
