"""An estimate of the clock tree that a mapped netlist does not have yet.

A balanced tree: every net has up to `FANOUT` sinks, all buffers are alike. The wires of a level
that connects n sinks on an area A are ``0.76 sqrt(n A)`` long in all, about as a rectilinear
minimal tree through n random points; a tree with balanced delays is longer.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from dbp.synthesis.cells.library import Cell, Library
from dbp.synthesis.netlist import Netlist

FANOUT = 16
UTILISATION = 0.7
STEINER = 0.76
MAX_SLEW = 0.05
# Farads per um, of the kits' setRC.tcl in OpenROAD-flow-scripts; between these for other libraries.
WIRE_F_PER_UM = {
    "nangate45": 0.103981e-15,
    "asap7": 0.165790e-15,
    "sky130hd": 0.172375e-15,
    "ihp-sg13g2": 0.173072e-15,
}
OTHER_WIRE_F_PER_UM = 0.15e-15


@dataclass(frozen=True)
class ClockTree:
    """``slew_s``: the worst at a sink. The powers are watts; the clock pins and wires count as
    ``switching_w``, as no cell of the netlist drives them."""

    registers: int
    buffers: int
    levels: int
    buffer_cell: str
    wire_um: float
    wire_f_per_um: float
    slew_s: float
    switching_w: float
    internal_w: float
    leakage_w: float

    @property
    def total_w(self) -> float:
        return self.switching_w + self.internal_w + self.leakage_w


def estimate(
    netlist: Netlist, library: Library, clock_period_s: float, kit: str | None = None
) -> ClockTree | None:
    """The tree that the registers on the input ports would need.

    ``kit``: whose wires. None where no register's clock pin is on an input port (there is a tree
    already), or the library has no buffer.
    """
    ports = set(netlist.inputs)
    sinks = [
        library.cells[instance.cell].pins[pin]
        for instance in netlist.instances
        for pin in library.cells[instance.cell].clock_pins & instance.nets.keys()
        if instance.nets[pin] in ports
    ]
    buffers = [cell for cell in library.cells.values() if cell.is_buffer]
    if not sinks or not buffers:
        return None
    area_um2 = sum(library.cells[i.cell].area_um2 for i in netlist.instances) / UTILISATION
    wire_f = WIRE_F_PER_UM.get(kit or "", OTHER_WIRE_F_PER_UM)
    pins_f = sum(pin.capacitance_f for pin in sinks)
    trees = [
        _tree(cell, len(sinks), pins_f, area_um2, wire_f, library.voltage_v, clock_period_s)
        for cell in sorted(buffers, key=lambda cell: (cell.area_um2, cell.name))
    ]
    # The smallest buffer that is fast enough; else the fastest.
    fast = (tree for tree in trees if tree.slew_s <= MAX_SLEW * clock_period_s)
    return next(fast, None) or min(trees, key=lambda tree: tree.slew_s)


def as_metrics(tree: ClockTree | None) -> dict[str, Any]:
    """Return the estimate as keys of ``metrics.json``; null where there is no tree to estimate."""
    if tree is None:
        return {"clock_tree_estimate_w": None, "clock_tree_estimate": None}
    figures = asdict(tree)
    kinds = ("switching", "internal", "leakage")
    watts = {kind: figures.pop(f"{kind}_w") for kind in kinds} | {"total": tree.total_w}
    return {
        "clock_tree_estimate_w": watts,
        "clock_tree_estimate": figures | {"fanout": FANOUT},
    }


def _tree(
    cell: Cell,
    registers: int,
    pins_f: float,
    area_um2: float,
    wire_f_per_um: float,
    voltage_v: float,
    clock_period_s: float,
) -> ClockTree:
    (source,) = cell.inputs
    buffers = levels = 0
    wire_um = capacitance_f = energy_j = slew_s = 0.0
    sinks, load_f = registers, pins_f
    while levels == 0 or sinks > 1:
        length_um = STEINER * math.sqrt(sinks * area_um2)
        drivers = math.ceil(sinks / FANOUT)
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
    return ClockTree(
        registers,
        buffers,
        levels,
        cell.name,
        wire_um,
        wire_f_per_um,
        slew_s,
        # One rise and one fall a clock.
        (capacitance_f + load_f) * voltage_v**2 / clock_period_s,
        energy_j / clock_period_s,
        buffers * leakage,
    )


def _edge(cell: Cell, load_f: float) -> tuple[float, float]:
    """Worst output slew and mean energy of an edge, where the input's slew is the output's."""
    (output,) = cell.outputs
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
