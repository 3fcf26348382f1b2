"""Fan-out: trees of buffers on nets that drive too many pins, and registers that drive the rest.

ABC puts buffers behind gates, but not behind registers, and its buffers form chains. Here each
net with more than `MAX_FANOUT` pins gets a balanced tree, so that its delay grows with the
logarithm of its pins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from dbp.synthesis.cells.library import Cell, Library, Pin, WireLoad
from dbp.synthesis.netlist import CONSTANTS, Instance, Netlist

MAX_FANOUT = 16
# Among cells of one function, the smallest whose delay is at most this multiple of the least.
_TOLERANCE = 1.5


def buffered(
    netlist: Netlist, library: Library, unwanted: Iterable[str], wire_load: str | None
) -> Netlist:
    """Return the same circuit with at most `MAX_FANOUT` pins on a net, but clocks and constants.

    Cells in ``unwanted`` are not used. New instances and nets are called ``fanout_N``; pins share a
    buffer in the order of the netlist, where neighbours tend to be near each other.
    """
    return _Buffering(netlist, library, set(unwanted), library.wire_load(wire_load)).result()


class _Buffering:
    """The netlist while buffers are added; ``_alike``: the registers that may replace each one."""

    def __init__(
        self, netlist: Netlist, library: Library, unwanted: set[str], wires: WireLoad | None
    ) -> None:
        self._netlist, self._wires = netlist, wires
        usable = [cell for cell in library.readable_cells() if cell.name not in unwanted]
        self._cells = library.cells
        self._buffers = [cell for cell in usable if cell.is_buffer]
        by_interface: dict[tuple[object, ...], list[Cell]] = {}
        for cell in usable:
            if cell.sequential is not None:
                by_interface.setdefault(_interface(cell), []).append(cell)
        self._alike = {cell.name: alike for alike in by_interface.values() for cell in alike}
        self._chosen: dict[tuple[str, float], Cell] = {}
        self._nets = [dict(instance.nets) for instance in netlist.instances]
        self._new: list[Instance] = []

    def result(self) -> Netlist:
        """Add all buffers, resize the registers, and return the netlist."""
        sinks: dict[str, list[tuple[int, str]]] = {}
        clocks = set()
        for k, instance in enumerate(self._netlist.instances):
            for name, net in instance.nets.items():
                pin = self._cells[instance.cell].pins[name]
                if pin.direction == "input":
                    sinks.setdefault(net, []).append((k, name))
                    if pin.is_clock:
                        clocks.add(net)
        loads: dict[str, float] = {}
        if self._buffers:
            for net, pins in sinks.items():
                if net not in CONSTANTS and net not in clocks:
                    loads[net] = self._drive(net, pins)
        instances = [
            Instance(
                instance.name, self._strong_enough(instance, loads).name, MappingProxyType(nets)
            )
            for instance, nets in zip(self._netlist.instances, self._nets, strict=True)
        ]
        return replace(self._netlist, instances=(*instances, *self._new))

    def _drive(self, net: str, pins: Sequence[tuple[int, str]]) -> float:
        """Put buffers between a net and its pins, the leaves first; return the farads it keeps."""
        level: list[tuple[dict[str, str], str, float]] = [
            (self._nets[k], name, self._pin(k, name).capacitance_f) for k, name in pins
        ]
        while len(level) > MAX_FANOUT:
            above: list[tuple[dict[str, str], str, float]] = []
            for group in np.array_split(np.arange(len(level)), -(-len(level) // MAX_FANOUT)):
                members = [level[k] for k in group]
                cell = self._drive_for("", self._buffers, self._load(members))
                (source,), (output,) = cell.inputs, cell.outputs
                name = f"fanout_{len(self._new)}"
                for nets, pin, _ in members:
                    nets[pin] = name
                nets = {source.name: "", output.name: name}
                self._new.append(Instance(name, cell.name, nets))
                above.append((nets, source.name, source.capacitance_f))
            level = above
        for nets, pin, _ in level:
            nets[pin] = net
        return self._load(level)

    def _pin(self, k: int, name: str) -> Pin:
        return self._cells[self._netlist.instances[k].cell].pins[name]

    def _load(self, members: Sequence[tuple[Mapping[str, str], str, float]]) -> float:
        wire = 0.0 if self._wires is None else float(self._wires.capacitance_f(len(members)))
        return wire + sum(capacitance for _, _, capacitance in members)

    def _strong_enough(self, instance: Instance, loads: Mapping[str, float]) -> Cell:
        """Return a cell that drives a register's load well enough; other cells stay as they are."""
        cell = self._cells[instance.cell]
        if cell.name not in self._alike:
            return cell
        load = max((loads.get(instance.nets.get(p.name, ""), 0.0) for p in cell.outputs), default=0)
        return self._drive_for(cell.name, self._alike[cell.name], load)

    def _drive_for(self, kind: str, cells: Sequence[Cell], load_f: float) -> Cell:
        """Return the smallest of ``cells`` that is fast enough.

        The answers are kept by ``kind`` and the load in attofarads.
        """
        key = kind, round(load_f * 1e18)
        if key not in self._chosen:
            delays = [max(_delay_s(pin, load_f) for pin in cell.outputs) for cell in cells]
            allowed = _TOLERANCE * min(delays)
            fit = [cell for cell, delay in zip(cells, delays, strict=True) if delay <= allowed]
            self._chosen[key] = min(fit, key=lambda cell: (cell.area_um2, cell.name))
        return self._chosen[key]


def _interface(cell: Cell) -> tuple[object, ...]:
    """Return a key that is equal for cells that may replace one another."""
    sequential = cell.sequential
    if sequential is None:
        return ()
    parts = (
        sequential.next_state,
        sequential.clocked_on,
        sequential.clear,
        sequential.preset,
        *(pin.function for pin in cell.outputs),
    )
    return sequential.kind, tuple(cell.pins), *(part and part.text for part in parts)


def _delay_s(pin: Pin, load_f: float) -> float:
    """Return the slowest edge through the pin's arcs, at the library's fastest input."""
    tables = [t for arc in pin.arcs for t in (arc.rise_delay, arc.fall_delay) if t is not None]
    return max((float(table(table.slews_s[0], load_f)) for table in tables), default=0.0)
