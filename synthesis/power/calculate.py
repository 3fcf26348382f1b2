"""Power of a mapped netlist from the Liberty tables and the activity of every net.

The method is OpenSTA's (``power/Power.cc``, read for its definitions): switching 1/2 C V^2 per
toggle of a driven net, internal energy by input slew and output load, leakage by state. Slews
propagate from the inputs and an ideal clock (zero slew) through the timing tables, the worst of
all arcs. Nets count as independent where a condition's probability is needed.
``docs/concepts/power.md`` states every rule; ``docs/results/power_method.md`` says how near the
result comes to OpenSTA 2.5.0.
"""

from __future__ import annotations

import csv
import gzip
import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dbp.errors import InputError
from dbp.support.files import write_bytes
from dbp.synthesis.activity.activity import Activity
from dbp.synthesis.cells.library import Library
from dbp.synthesis.netlist import Netlist
from dbp.synthesis.netlist.spef import Wires
from dbp.synthesis.power import _energy
from dbp.synthesis.power._graph import GROUPS, Array, PowerGraph, without_supplies
from dbp.synthesis.power._order import drives, loads

KINDS = ("switching", "internal", "leakage", "total")


@dataclass(frozen=True, eq=False)
class Power:
    """Watts of every instance, in the order of the netlist.

    ``group``: index into `GROUPS` of every instance. ``clocks``: the inputs that count as clocks.
    ``loops_cut``: the places, as "instance/pin -> output", where the slews go no further around a
    combinational loop. ``notes``: what was assumed of this netlist, a sentence each.
    ``left_out_w``: internal power that the library states in a way that has no share, see
    `_energy.of_output`.
    """

    instances: tuple[str, ...]
    cells: tuple[str, ...]
    group: NDArray[np.int64]
    switching_w: Array
    internal_w: Array
    leakage_w: Array
    clocks: tuple[str, ...]
    loops_cut: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left_out_w: Array = field(default_factory=lambda: np.zeros(0))

    @property
    def total_w(self) -> Array:
        return self.switching_w + self.internal_w + self.leakage_w

    def totals(self, group: str | None = None) -> dict[str, float]:
        """Return the watts of each of `KINDS`, summed over one group or over all instances."""
        rows = slice(None) if group is None else self.group == GROUPS.index(group)
        return {kind: float(getattr(self, f"{kind}_w")[rows].sum()) for kind in KINDS}

    def write(self, path: str | Path) -> None:
        """Write one row per instance to a ``.csv.gz``, atomically."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["instance", "cell", "group", *(f"{kind}_w" for kind in KINDS)])
        columns = [getattr(self, f"{kind}_w") for kind in KINDS]
        for k, (name, cell) in enumerate(zip(self.instances, self.cells, strict=True)):
            watts = (f"{column[k]:.6e}" for column in columns)
            rows.writerow([name, cell, GROUPS[self.group[k]], *watts])
        write_bytes(path, gzip.compress(text.getvalue().encode(), mtime=0))


def calculate(
    netlist: Netlist,
    library: Library,
    activity: Activity,
    clock_period_s: float,
    wire_load: str | None = None,
    input_slew_s: float = 0.0,
    wires: Wires | None = None,
    wire_factor: float = 1.0,
) -> Power:
    """Calculate the power of ``netlist`` at a clock period.

    ``wire_load``: one of the library's, None for no wires; ``wire_factor``: on its capacitance.
    ``wires``: those of a layout, in its place. ``input_slew_s``: the slew of every
    input port but the clocks. `InputError` where the library lacks a cell, a pin or the wire load,
    or the activity a net.
    """
    netlist = without_supplies(netlist, library)
    graph = PowerGraph(netlist, library, wire_load, wires, wire_factor)
    graph.annotate(activity)
    graph.propagate_slews(input_slew_s)
    count = len(netlist.instances)
    internal, switching, leakage = np.zeros(count), np.zeros(count), np.zeros(count)
    left_out = np.zeros(count)
    # All instances of a cell at once: the levels matter to the slews only.
    for batch in graph.batches_of(range(count)):
        try:
            probability = graph.probabilities(batch)
            for pin in batch.cell.pins.values():
                volts = library.voltage_v if pin.voltage_v is None else pin.voltage_v
                nets = batch.nets.get(pin.name)
                if drives(pin):
                    # An open output too: what moves inside the cell does not depend on its net.
                    energy, lost = _energy.of_output(graph, batch, pin, probability)
                    internal[batch.rows] += energy
                    left_out[batch.rows] += lost
                    if nets is not None:
                        charges = graph.load_f[nets] * graph.toggles[nets]
                        # The load of a net is charged once, by whichever of its drivers.
                        charges /= np.maximum(graph.driven[nets], 1)
                        switching[batch.rows] += 0.5 * volts**2 * charges
                if loads(pin) and nets is not None:
                    internal[batch.rows] += _energy.of_input(graph, batch, pin, probability)
            leakage[batch.rows] = _energy.leakage_w(batch.cell, probability)
        except KeyError as error:
            raise InputError(
                f"library {library.name}: cell {batch.cell.name}: a condition on {error}: no pin"
            ) from None
    return Power(
        tuple(i.name for i in netlist.instances),
        tuple(i.cell for i in netlist.instances),
        graph.groups(),
        switching / clock_period_s,
        internal / clock_period_s,
        leakage,
        tuple(name for name in netlist.inputs if graph.clock[graph.index[name]]),
        graph.loops_cut(),
        graph.notes(),
        left_out / clock_period_s,
    )
