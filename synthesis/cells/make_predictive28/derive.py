"""The table of predictive28 from the Liberty files of nangate45 and asap7."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.optimize import nnls

from dbp.errors import InputError
from dbp.synthesis.cells import kits, liberty_reader, liberty_syntax
from dbp.synthesis.cells.library import Cell, Library, LookupTable, Pin
from dbp.synthesis.cells.make_predictive28.gates import GATES, Gate
from dbp.synthesis.cells.make_predictive28.table import Figure, rounded, valued

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


class KitFigures:
    """The figures that a kit states, in ps, fF, fJ and nW; `MissingError` without the kit."""

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
        (arc,) = out.arcs
        rise_slew = arc.rise_slew
        assert rise_slew is not None
        # A chain of inverters with a fan-out of four settles at this slew.
        self.slew_s = 0.0
        for _ in range(50):
            self.slew_s = float(rise_slew(self.slew_s, 4 * self.load_f))

    def name(self, nangate45: str, asap7: str | None) -> str:
        """Return the kit's name of a cell, given the names in both kits."""
        return f"{asap7}_ASAP7_75t_R" if self.is_asap7 else nangate45

    def figures(self, gate: Gate) -> Iterator[tuple[str, str, str, float]]:
        """Yield ``(pin, output, quantity, value)`` of a gate, by our names of its pins."""
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
            for related in sorted({arc.related_pin for arc in out.arcs}, key=list(ours).index):
                load_f = 4 * gate.drive * self.load_f
                energy = self._energy(out, related, load_f)
                if gate.is_register and not self.is_asap7:
                    # Its second output, which ours lacks, toggles with the first.
                    energy += self._energy(cell.pins["QN"], related, load_f)
                yield ours[related], ours_out, "energy", energy
                for edge in ("rise", "fall"):
                    for quantity, value in self._planes(out, related, edge, gate.drive):
                        yield ours[related], ours_out, f"{edge}_{quantity}", value

    def _planes(self, out: Pin, pin: str, edge: str, drive: int) -> Iterator[tuple[str, float]]:
        """Fit planes over slew and load to delay and slew, around a fan-out of four."""
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
        """Return femtojoules per edge: the mean over edges and states, summed over supplies."""
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
        """Return setup or hold of D in ps: the longer of both edges, the mean over all slews."""
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


def derive(nangate45: KitFigures, asap7: KitFigures) -> list[Figure]:
    """Derive the table from the two kits."""
    figures: list[Figure] = []
    theirs: dict[tuple[str, str, str], float]
    for gate in GATES:
        ours = {(p, o, q): rounded(v) for p, o, q, v in nangate45.figures(gate)}
        theirs = {}
        if gate.asap7:
            theirs = {(p, o, q): rounded(v) for p, o, q, v in asap7.figures(gate)}
        for (pin, output, quantity), value in ours.items():
            unit, rule = QUANTITIES[quantity]
            other = theirs.get((pin, output, quantity))
            if gate.asap7 and other is None:
                if gate.is_register and output not in gate.functions:
                    continue
                raise InputError(f"{gate.name}: asap7 has no {quantity} of {pin or 'the cell'}")
            rule = rule if gate.asap7 else "median"
            row = (gate.name, pin, output, quantity, unit)
            # The value comes last, by the rules.
            figures.append(Figure(*row, math.nan, value, other, gate.asap7 or "", rule))
    return valued(figures)
