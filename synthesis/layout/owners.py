"""Which lane, or which shared part, each cell of a layout works for, from the names of its nets.

Mapping flattens a step, but nets keep the names of the blocks that made them: a cell that drives
``filter.lane_1.sum_3[4]`` is of the filter of lane 1. A gate whose outputs have lost their names
(``_0815_``) is of the lane of all that it drives, through other such gates; one that drives several
lanes, or a lane and something else, is shared. Cells of the clock tree are those that only the
clock drives.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from dbp.synthesis.layout.def_file import DefLayout
from dbp.synthesis.layout.lef import Macro
from dbp.synthesis.netlist import CLOCK as CLOCK_PORT

# The parts in the order in which a picture lists them.
FILTER, ROTATION = "filter", "rotation"
HISTORY, CONTROL, SHARED, CLOCK = (
    "history",
    "settings and counters",
    "shared or unnamed",
    "clock tree",
)
_LANE = re.compile(
    r"(?:^|\.)(filter|rotation)\."
    r"(?:(?:.*\.)?lane_|(?:magnitude|[iq]_beside_power|power)_)(\d+)(?:\.|_|\[|$)"
)
_PARTS = (
    (re.compile(r"(?:^|\.)(?:filter|rotation)\.history_"), HISTORY),
    (re.compile(r"(?:^|\.)registers\.|^cfg_"), CONTROL),
    (
        re.compile(r"(?:^|\.)(?:answer|commit|chosen_\d+|valid|words_missing\w*|\w+_valid)\b"),
        CONTROL,
    ),
)
_WORD = re.compile(r"out_[iq]\[(\d+)\]$")


@dataclass(frozen=True, order=True)
class Owner:
    """A part of a step; ``lane``: its number, None for what is shared."""

    part: str
    lane: int | None = None


def of_cells(
    layout: DefLayout, macros: Mapping[str, Macro], clocks: Collection[str] = (CLOCK_PORT,)
) -> dict[str, Owner]:
    """Return the owner of every component of the layout that has a pin.

    ``clocks``: the ports of the clock. Cells without pins on a net (taps, fillers) are left out.
    """
    drives, loads, driven_by = _graph(layout, macros)
    tree = _clock_tree(layout, drives, loads, driven_by, clocks)
    of_net = _by_name(layout)
    named = {name: {of_net[net] for net in nets if net in of_net} for name, nets in drives.items()}
    found = {name: set(named.get(name, ())) for name in _cells(layout)}
    waiting = [name for name, owners in found.items() if owners]
    while waiting:
        name = waiting.pop()
        for net in loads.get(name, ()):
            for driver in driven_by.get(net, ()):
                if not named.get(driver) and not found[driver] >= found[name]:
                    found[driver] |= found[name]
                    waiting.append(driver)
    clocked = {name: Owner(CLOCK) for name in tree}
    return {name: _one(owners) for name, owners in found.items()} | clocked


def _cells(layout: DefLayout) -> list[str]:
    """Return the components that have a pin on a net, in the order of the file."""
    joined = {name for pins in layout.nets.values() for name, _ in pins}
    return [name for name in layout.components if name in joined]


def _graph(
    layout: DefLayout, macros: Mapping[str, Macro]
) -> tuple[dict[str, list[str]], dict[str, list[str]], dict[str, list[str]]]:
    """Return the nets that each cell drives, those that it loads, and the drivers of each net."""
    drives: dict[str, list[str]] = {}
    loads: dict[str, list[str]] = {}
    driven_by: dict[str, list[str]] = {}
    for net, pins in layout.nets.items():
        for name, pin in pins:
            component = layout.components.get(name)
            macro = macros.get(component.cell) if component else None
            if macro is None:
                continue
            if pin in macro.outputs:
                drives.setdefault(name, []).append(net)
                driven_by.setdefault(net, []).append(name)
            else:
                loads.setdefault(name, []).append(net)
    return drives, loads, driven_by


def _clock_tree(
    layout: DefLayout,
    drives: Mapping[str, list[str]],
    loads: Mapping[str, list[str]],
    driven_by: Mapping[str, list[str]],
    clocks: Collection[str],
) -> set[str]:
    """Return the cells that the clock alone drives; the loads that balance a tree drive nothing."""
    nets = {net for net, pins in layout.nets.items() if {("PIN", c) for c in clocks} & set(pins)}
    users: dict[str, list[str]] = {}
    for name, own in loads.items():
        for net in own:
            users.setdefault(net, []).append(name)
    tree: set[str] = set()
    waiting = list(nets)
    while waiting:
        for name in users.get(waiting.pop(), ()):
            if name not in tree and set(loads[name]) <= nets:
                tree.add(name)
                waiting += [net for net in drives.get(name, ()) if net not in nets]
                nets.update(drives.get(name, ()))
    return tree


def _by_name(layout: DefLayout) -> dict[str, Owner]:
    """Return the owners of the nets whose names tell one, output words bit by bit."""
    found: dict[str, Owner] = {}
    for net in layout.nets:
        if (match := _LANE.search(net)) is not None:
            found[net] = Owner(match[1], int(match[2]))
        elif (part := next((p for pattern, p in _PARTS if pattern.search(net)), None)) is not None:
            found[net] = Owner(part)
    lanes = 1 + max((owner.lane for owner in found.values() if owner.lane is not None), default=-1)
    bits = [(net, int(match[1])) for net in layout.nets if (match := _WORD.match(net)) is not None]
    width = 1 + max((bit for _, bit in bits), default=-1)
    if lanes and width % lanes == 0:
        # The last block of a step drives the port: its rotation, or the filter of the last step.
        parts = {owner.part for owner in found.values()}
        last = ROTATION if ROTATION in parts else FILTER
        found |= {net: Owner(last, bit // (width // lanes)) for net, bit in bits}
    return found


def _one(owners: Collection[Owner]) -> Owner:
    """Return what a cell is that works for all of these."""
    lanes = {owner.lane for owner in owners}
    if len(owners) == 1:
        return next(iter(owners))
    if len(lanes) == 1 and None not in lanes:
        # What leads to both blocks of a lane is behind no register of the rotation yet.
        return Owner(FILTER, lanes.pop())
    return Owner(SHARED)
