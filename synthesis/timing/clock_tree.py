"""An estimate of the clock tree that a mapped netlist does not have yet.

A balanced tree: every net has so many sinks, all buffers are alike. The wires of a level that
connects n sinks on an area A are ``0.76 sqrt(n A)`` long in all, about as a rectilinear minimal
tree through n random points. Which buffer, and how many sinks, is what trees that were built say
(`dbp.synthesis.cells.layout_rules`): the loads that balance a tree count as sinks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from dbp.records.schemas import ClockTreeFigures, PowerW
from dbp.synthesis.cells import layout_rules
from dbp.synthesis.cells.library import Cell, Library
from dbp.synthesis.netlist import Netlist

# The buffer of libraries without a layout: the smallest whose input is so many times the least.
DRIVE = 4
UTILIZATION = 0.7
STEINER = 0.76
# Farads per um, of the kits' setRC.tcl in OpenROAD-flow-scripts; between these for other libraries.
WIRE_F_PER_UM = {
    "nangate45": 0.103981e-15,
    "asap7": 0.165790e-15,
    "sky130hd": 0.172375e-15,
    "ihp-sg13g2": 0.173072e-15,
    "gt2n": 0.1051e-15,
}
OTHER_WIRE_F_PER_UM = 0.15e-15


@dataclass(frozen=True)
class ClockTree:
    """An estimated tree: its figures and its watts.

    The clock pins and the wires count as switching, as no cell of the netlist drives them.
    """

    figures: ClockTreeFigures
    power_w: PowerW


class TreeKeys(TypedDict):
    """The fields of the metrics that state watts with the tree, and their parts.

    The tree's are None where there is no estimate.
    """

    power_w: PowerW
    cells_power_w: PowerW
    clock_tree_estimate_w: PowerW | None
    clock_tree_estimate: ClockTreeFigures | None


def estimate(
    netlist: Netlist, library: Library, clock_period_s: float, kit: str | None = None
) -> ClockTree | None:
    """Estimate the tree that the registers on the input ports would need.

    ``kit``: the kit whose wires and rule it has. None where no register's clock pin is on an input
    port (there is a tree already), or the library has no buffer.
    """
    ports = set(netlist.inputs)
    sinks = [
        library.cells[instance.cell].pins[pin]
        for instance in netlist.instances
        for pin in library.cells[instance.cell].clock_pins & instance.nets.keys()
        if instance.nets[pin] in ports
    ]
    buffers = library.buffers() if sinks else []
    if not buffers:
        return None
    rule = layout_rules.of(kit)
    return of_sinks(
        _buffer(buffers, rule.tree_buffer),
        Sinks(
            len(sinks),
            sum(pin.capacitance_f for pin in sinks),
            sum(library.cells[i.cell].area_um2 for i in netlist.instances),
        ),
        rule.tree_fanout,
        WIRE_F_PER_UM.get(kit or "", OTHER_WIRE_F_PER_UM),
        library.voltage_v,
        clock_period_s,
    )


def _buffer(buffers: Sequence[Cell], name: str | None) -> Cell:
    """Return the buffer of that name, or one of `DRIVE` times the input of the smallest."""
    for cell in buffers:
        if cell.name == name:
            return cell
    by_input = sorted(buffers, key=lambda cell: (cell.inputs[0].capacitance_f, cell.name))
    wanted_f = 0.99 * DRIVE * by_input[0].inputs[0].capacitance_f
    large = (cell for cell in by_input if cell.inputs[0].capacitance_f >= wanted_f)
    return next(large, by_input[-1])


def as_metrics(cells_w: Mapping[str, float], tree: ClockTree | None) -> TreeKeys:
    """Return the watts of a stage's metrics: all, the cells without the estimated tree, and it."""
    return {
        "power_w": with_tree(cells_w, tree),
        "cells_power_w": with_tree(cells_w, None),
        "clock_tree_estimate_w": None if tree is None else tree.power_w,
        "clock_tree_estimate": None if tree is None else tree.figures,
    }


def with_tree(cells_w: Mapping[str, float], tree: ClockTree | None) -> PowerW:
    """Return watts by kind, with those of the tree where there is one."""
    more = {} if tree is None else tree.power_w.model_dump()
    return PowerW(**{kind: watts + more.get(kind, 0.0) for kind, watts in cells_w.items()})


@dataclass(frozen=True)
class Sinks:
    """The clock pins of a netlist: how many, their farads together, and the area of all cells."""

    registers: int
    pins_f: float
    cell_area_um2: float


def of_sinks(
    cell: Cell,
    leaves: Sinks,
    fanout: float,
    wire_f_per_um: float,
    voltage_v: float,
    clock_period_s: float,
) -> ClockTree:
    """Estimate the tree of buffers ``cell``, level by level from the registers to the root.

    ``fanout``: sinks of a buffer, above 1. ``voltage_v``: the library's, for a buffer that states
    none.
    """
    (source,) = cell.inputs
    volts = cell.outputs[0].voltage_v
    voltage_v = voltage_v if volts is None else volts
    area_um2 = leaves.cell_area_um2 / UTILIZATION
    buffers = levels = 0
    wire_um = capacitance_f = energy_j = slew_s = 0.0
    sinks, load_f = leaves.registers, leaves.pins_f
    while levels == 0 or sinks > 1:
        length_um = STEINER * math.sqrt(sinks * area_um2)
        drivers = math.ceil(sinks / fanout)
        level_f = load_f + length_um * wire_f_per_um
        slew, energy = _edge(cell, level_f / drivers)
        slew_s, energy_j = max(slew_s, slew), energy_j + drivers * 2 * energy
        wire_um, capacitance_f = wire_um + length_um, capacitance_f + level_f
        buffers, levels = buffers + drivers, levels + 1
        sinks, load_f = drivers, drivers * source.capacitance_f
    states = cell.leakages
    leakage = cell.leakage_w
    if leakage is None:
        supplies = {leak.supply for leak in states}
        leakage = 0.0
        for supply in supplies:
            own = [leak.power_w for leak in states if leak.supply == supply]
            leakage += sum(own) / len(own)
    # One rise and one fall a clock.
    switching_w = (capacitance_f + load_f) * voltage_v**2 / clock_period_s
    internal_w, leakage_w = energy_j / clock_period_s, buffers * leakage
    figures = ClockTreeFigures(
        registers=leaves.registers,
        buffers=buffers,
        levels=levels,
        buffer_cell=cell.name,
        wire_um=wire_um,
        wire_f_per_um=wire_f_per_um,
        slew_s=slew_s,
        fanout=fanout,
    )
    watts = PowerW(
        switching=switching_w,
        internal=internal_w,
        leakage=leakage_w,
        total=switching_w + internal_w + leakage_w,
    )
    return ClockTree(figures, watts)


def _edge(cell: Cell, load_f: float) -> tuple[float, float]:
    """Return the worst output slew and the mean energy of an edge where all slews are alike."""
    (output,) = cell.outputs
    # Each buffer drives the next: a few rounds find the slew that goes in as it comes out.
    slew = 0.0
    for _ in range(4):
        tables = [t for arc in output.arcs for t in (arc.rise_slew, arc.fall_slew) if t is not None]
        slew = max((float(table(slew, load_f)) for table in tables), default=0.0)
    energies = [
        0.5 * sum(float(t(slew, load_f)) for t in (item.rise, item.fall) if t is not None)
        for item in output.internal_power
    ]
    supplies = len({item.supply for item in output.internal_power}) or 1
    mean = sum(energies) / max(len(energies), 1) * supplies
    (source,) = cell.inputs
    hidden = [
        0.5 * sum(float(t(slew, 0.0)) for t in (item.rise, item.fall) if t is not None)
        for item in source.internal_power
        if item.when is None
    ]
    return slew, mean + sum(hidden)
