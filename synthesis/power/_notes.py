"""What the reader of watts should know of the library: its supplies, and what it could not say."""

from __future__ import annotations

import numpy as np

from dbp.synthesis.cells.library import Cell, Library
from dbp.synthesis.netlist import Netlist
from dbp.synthesis.power.calculate import Power


def supplies_v(netlist: Netlist, library: Library) -> dict[str, float]:
    """Return the volts of the supplies that drive the netlist's nets, by name.

    "default" is the library's own, of pins whose supply it does not name, and the ports'.
    """
    found: dict[str, float] = {}
    for cell, pins in _used(netlist, library):
        for name in pins:
            pin = cell.pins.get(name)
            if pin is not None and pin.direction != "input":
                if pin.voltage_v is None or pin.supply is None:
                    found["default"] = library.voltage_v
                else:
                    found[pin.supply] = pin.voltage_v
    return dict(sorted(found.items()))


def notes(netlist: Netlist, library: Library, watts: Power) -> tuple[str, ...]:
    """Return what was assumed of the library, of its cells that the netlist has, and left out."""
    said = [*library.notes]
    for cell in {cell.name: cell for cell, _ in _used(netlist, library)}.values():
        said += cell.notes
    volts = supplies_v(netlist, library)
    if len(set(volts.values())) > 1:
        listed = ", ".join(f"{name} {value:g} V" for name, value in volts.items())
        said.append(f"nets have more than one supply: {listed}")
    lost = watts.left_out_w
    if lost.any():
        first = watts.instances[int(np.flatnonzero(lost)[0])]
        said.append(
            f"{1e6 * lost.sum():.4g} uW of internal power are left out, at {np.count_nonzero(lost)}"
            f" instances, {first} the first: their internal_power groups name no related_pin, or "
            "none that toggles"
        )
    return tuple(said)


def _used(netlist: Netlist, library: Library) -> list[tuple[Cell, frozenset[str]]]:
    """Return the cells of a netlist with the pins that it connects, each pair once."""
    pairs = dict.fromkeys((i.cell, frozenset(i.nets)) for i in netlist.instances)
    return [(library.cells[name], pins) for name, pins in pairs]
