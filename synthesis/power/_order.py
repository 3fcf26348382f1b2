"""The order in which slews propagate: what drives each net, and where a loop has to be cut."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dbp.synthesis.cells.library import Cell, Pin
from dbp.synthesis.netlist import CONSTANTS, Netlist


class Driver(NamedTuple):
    """An output of the instance at ``row`` and the net that it drives.

    ``sources``: the pins of the instance from which a change passes to this output without waiting
    for a clock edge, with their nets.
    """

    row: int
    pin: str
    net: str
    sources: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Order:
    """All drivers by level; each level is driven by the levels before it.

    ``cut``: by row and output, the pins whose change does not count as one of that output, so that
    there is such an order. It is empty where the netlist has no combinational loop.
    """

    levels: Sequence[Sequence[Driver]]
    cut: Mapping[tuple[int, str], frozenset[str]]


def drives(pin: Pin) -> bool:
    """Tell whether a pin may drive its net."""
    return pin.direction in ("output", "inout")


def loads(pin: Pin) -> bool:
    """Tell whether a pin may be driven by its net."""
    return pin.direction in ("input", "inout")


def drivers(netlist: Netlist, cells: Sequence[Cell]) -> list[Driver]:
    """Return all drivers of nets that are not constants; ``cells``: that of each instance."""
    passing: dict[tuple[str, str], set[str]] = {}
    found = []
    for row, (instance, cell) in enumerate(zip(netlist.instances, cells, strict=True)):
        for pin, net in instance.nets.items():
            if not drives(cell.pins[pin]) or net in CONSTANTS:
                continue
            key = cell.name, pin
            if key not in passing:
                passing[key] = _passing(cell, cell.pins[pin])
            sources = tuple((p, n) for p, n in instance.nets.items() if p in passing[key])
            found.append(Driver(row, pin, net, sources))
    return found


def _passing(cell: Cell, output: Pin) -> set[str]:
    """Return the pins from which a change passes to an output without waiting for a clock edge.

    A register or a latch has none, a clock gate its clock.
    """
    if cell.sequential is not None:
        return set()
    arcs = [arc for arc in output.arcs if arc.related_pin != output.name]
    if cell.has_state:
        return {arc.related_pin for arc in arcs if arc.timing_type.startswith("combinational")}
    read = output.function.variables if output.function is not None else ()
    return ({arc.related_pin for arc in arcs} | set(read)) - {output.name}


def ordered(found: Sequence[Driver]) -> Order:
    """Return the drivers by level, each as early as it can be.

    A loop is cut as in OpenSTA: the edge that closes it in a depth-first search from the inputs.
    """
    graph = _Edges(found)
    levels, waiting = _levels(graph)
    cut: dict[int, set[str]] = {}
    if waiting:
        cut = _closing(graph, waiting)
        pruned = [
            driver._replace(sources=tuple(s for s in driver.sources if s[0] not in cut.get(k, ())))
            for k, driver in enumerate(found)
        ]
        levels, _ = _levels(_Edges(pruned))
    return Order(
        [[found[k] for k in level] for level in levels],
        {(found[k].row, found[k].pin): frozenset(pins) for k, pins in cut.items()},
    )


class _Edges:
    """What a driver waits for, by its place in ``found``, and what waits for it."""

    def __init__(self, found: Sequence[Driver]) -> None:
        self.found = found
        self.on_net: dict[str, list[int]] = defaultdict(list)
        self.waiting_for: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for k, driver in enumerate(found):
            self.on_net[driver.net].append(k)
            for pin, net in driver.sources:
                self.waiting_for[net].append((k, pin))

    def following(self, k: int) -> Sequence[tuple[int, str]]:
        """Return the drivers that wait for driver ``k``, with the pin that connects them."""
        return self.waiting_for.get(self.found[k].net, ())

    def waits(self, k: int) -> int:
        """Return for how many drivers ``k`` waits, pin by pin."""
        return sum(len(self.on_net.get(net, ())) for _, net in self.found[k].sources)


def _levels(graph: _Edges) -> tuple[list[list[int]], set[int]]:
    """Return the levels as far as there are, and the drivers in or behind a loop."""
    waits = [graph.waits(k) for k in range(len(graph.found))]
    level = [k for k, count in enumerate(waits) if count == 0]
    levels: list[list[int]] = []
    while level:
        levels.append(level)
        following = []
        for k in level:
            for other, _ in graph.following(k):
                waits[other] -= 1
                if waits[other] == 0:
                    following.append(other)
        level = following
    return levels, {k for k, count in enumerate(waits) if count > 0}


def _closing(graph: _Edges, among: set[int]) -> dict[int, set[str]]:
    """Return the pins at which a depth-first search meets its own path, by driver.

    It begins at the drivers that something outside ``among`` drives, then at those left over.
    """
    on_path, done = set[int](), set[int]()
    closing: dict[int, set[str]] = {}

    def driven_from_outside(k: int) -> bool:
        return any(
            not among.issuperset(graph.on_net.get(net, ())) or net not in graph.on_net
            for _, net in graph.found[k].sources
        )

    for root in sorted(among, key=lambda k: (not driven_from_outside(k), k)):
        if root in done:
            continue
        on_path.add(root)
        stack: list[tuple[int, Iterator[tuple[int, str]]]] = [(root, iter(graph.following(root)))]
        while stack:
            k, edges = stack[-1]
            for other, pin in edges:
                if other in on_path:
                    closing.setdefault(other, set()).add(pin)
                elif other not in done and other in among:
                    on_path.add(other)
                    stack.append((other, iter(graph.following(other))))
                    break
            else:
                stack.pop()
                on_path.remove(k)
                done.add(k)
    return closing
