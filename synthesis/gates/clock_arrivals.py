"""When the clock reaches each register of a netlist with a clock tree, and at which edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dbp.synthesis.cells.library import Library
from dbp.synthesis.netlist import CLOCK, Instance, Netlist
from dbp.synthesis.timing.opensta_timing import PathDelays


@dataclass(frozen=True)
class Arrival:
    """The clock on one net: seconds after the edge of the port at which it rises and falls.

    ``inverted``: whether it rises where the port falls.
    """

    rise_s: float
    fall_s: float
    inverted: bool


def find(netlist: Netlist, library: Library, delays: PathDelays) -> Mapping[str, Arrival]:
    """Return the arrival on every net that the clock port reaches through buffers and inverters."""
    onward: dict[str, list[tuple[Instance, str, str, bool]]] = {}
    for instance in netlist.instances:
        cell = library.cells.get(instance.cell)
        if cell is None or cell.has_state or len(cell.inputs) != 1:
            continue
        for pin in cell.outputs:
            (input_pin,) = cell.inputs
            function = pin.function
            if pin.name not in instance.nets or input_pin.name not in instance.nets:
                continue
            if function is not None and function.variables == (input_pin.name,):
                step = (instance, input_pin.name, pin.name, not function.truth[1])
                onward.setdefault(instance.nets[input_pin.name], []).append(step)
    arrivals = {CLOCK: Arrival(0.0, 0.0, False)}
    waiting = [CLOCK]
    while waiting:
        net = waiting.pop()
        at = arrivals[net]
        for instance, source, target, inverts in onward.get(net, ()):
            rise, fall = delays.paths.get((instance.name, source, target), (0.0, 0.0))
            before = (at.fall_s, at.rise_s) if inverts else (at.rise_s, at.fall_s)
            driven = instance.nets[target]
            if driven not in arrivals:
                waiting.append(driven)
            arrivals[driven] = Arrival(before[0] + rise, before[1] + fall, at.inverted != inverts)
    return arrivals
