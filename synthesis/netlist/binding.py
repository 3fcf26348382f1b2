"""Tie the instances of a netlist to a library: pins by their place, and cells that it lacks."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from types import MappingProxyType

from dbp.errors import InputError
from dbp.synthesis.cells.library import Cell, Library
from dbp.synthesis.netlist.model import CONSTANTS, Instance, Netlist

# How foundries and makers of memories name supplies and wells.
_SUPPLY = re.compile(
    r"[a-z]{0,2}(?:vdd|vss|vcc|vee|vpwr|vgnd|vpb|vnb|vnw|vpw|vbb|vpp|gnd|pwr|power|ground)[a-z0-9_]*",
    re.IGNORECASE,
)
MOST_NAMES = 5


def bound(netlist: Netlist, library: Library) -> Netlist:
    """Return the netlist with every pin by its name in the library.

    Instances of cells that the library lacks go where they have no pin but supplies; a note says
    which. Another cell that it lacks, and more pins than a cell has, are an `InputError`.
    """
    instances: list[Instance] = []
    absent: list[Instance] = []
    placed: set[str] = set()
    unknown: set[str] = set()
    sources = {*netlist.inputs, *CONSTANTS}
    for instance in netlist.instances:
        cell = library.cells.get(instance.cell)
        if cell is None:
            absent.append(instance)
        else:
            if _by_place(instance):
                order = netlist.port_order.get(instance.cell)
                instance = _named(instance, cell, order)
                if order is None:
                    placed.add(instance.cell)
                    _require_order(instance, cell, sources)
            unknown |= instance.nets.keys() - cell.pins.keys() - cell.supplies
            instances.append(_filled(instance, cell) if cell.buses else instance)
    unknown = {pin for pin in unknown if _SUPPLY.fullmatch(pin)}
    notes = list(netlist.notes)
    if placed:
        notes.append(
            f"pins given by their place are in the library's order: of {_listed(sorted(placed))}"
        )
    if unknown:
        instances, pins = _without_supplies(instances, unknown, library)
        notes.append(f"pins with the name of a supply that the library lacks: {_listed(pins)}")
    if absent:
        _require_no_signals(absent, instances, netlist, library)
        notes.append(_absent_note(absent))
    kept = replace(netlist, instances=tuple(instances), notes=tuple(notes))
    return _without_ports_of(netlist, kept) if absent or unknown else kept


def _by_place(instance: Instance) -> bool:
    return any(pin[0] == "$" for pin in (*instance.nets, *instance.vectors))


def _named(instance: Instance, cell: Cell, order: tuple[str, ...] | None) -> Instance:
    """Give the pins that are known by their place their names.

    ``order``: of a model of the cell in the netlist's file; else that of the library's signal pins.
    """
    names = list(_pins_in_order(cell)) if order is None else list(order)
    places = [int(pin[1:]) for pin in (*instance.nets, *instance.vectors) if pin[0] == "$"]
    if places and max(places) > len(names):
        raise InputError(
            f"instance {instance.name}: {max(places)} pins by their place, but {cell.name} has "
            f"{len(names)} ({', '.join(names)}): name them, .{names[0] if names else 'PIN'}(...)"
        )

    def name(pin: str) -> str:
        return names[int(pin[1:]) - 1] if pin[0] == "$" else pin

    return replace(
        instance,
        nets=MappingProxyType({name(pin): net for pin, net in instance.nets.items()}),
        vectors={name(pin): nets for pin, nets in instance.vectors.items()},
    )


def _require_order(instance: Instance, cell: Cell, sources: Collection[str]) -> None:
    """Refuse an output at an input of the module or a constant: the order is another one."""
    for pin in cell.outputs:
        net = instance.nets.get(pin.name)
        if net in sources:
            order = ", ".join(_pins_in_order(cell))
            raise InputError(
                f"instance {instance.name}: by its place, output {pin.name} is at {net}: the "
                f"pins of {cell.name} have another order than in the library ({order}): name them, "
                f".{pin.name}(...)"
            )


def _pins_in_order(cell: Cell) -> dict[str, None]:
    """Return the cell's signal pins, a bus as one, in the order of the library."""
    of_bits = {bit: bus for bus, bits in cell.buses.items() for bit in bits}
    return dict.fromkeys(of_bits.get(pin, pin) for pin in cell.pins)


def _filled(instance: Instance, cell: Cell) -> Instance:
    """Give a constant at a bus the width of the bus: its last bits count, 0 stands before them."""
    nets, vectors = dict(instance.nets), dict(instance.vectors)
    for pin, bits in cell.buses.items():
        given = (nets[pin],) if pin in nets else vectors.get(pin, ())
        if given and len(given) != len(bits) and CONSTANTS.keys() >= set(given):
            nets.pop(pin, None)
            vectors[pin] = ("1'b0",) * (len(bits) - len(given)) + given[-len(bits) :]
    return replace(instance, nets=MappingProxyType(nets), vectors=MappingProxyType(vectors))


def _without_supplies(
    instances: list[Instance], pins: set[str], library: Library
) -> tuple[list[Instance], list[str]]:
    """Leave out connections of ``pins`` that the cells lack, at nets that carry no signal.

    Returns the instances, and the pins that were left out. What stays is an error to others.
    """
    signals = {
        net
        for instance in instances
        for pin, net in instance.nets.items()
        if pin in library.cells[instance.cell].pins and net not in CONSTANTS
    }
    kept, left_out = [], set()
    for instance in instances:
        cell = library.cells[instance.cell]
        gone = {
            pin
            for pin in pins & instance.nets.keys()
            if pin not in cell.pins
            and pin not in cell.supplies
            and instance.nets[pin] not in signals
        }
        left_out |= gone
        nets = {pin: net for pin, net in instance.nets.items() if pin not in gone}
        kept.append(replace(instance, nets=MappingProxyType(nets)) if gone else instance)
    return kept, sorted(left_out)


def _require_no_signals(
    absent: Iterable[Instance], present: Iterable[Instance], netlist: Netlist, library: Library
) -> None:
    """Refuse cells that the library lacks where one of their pins may carry a signal.

    A supply is a pin with the name of one, at a net that no pin of a cell takes for a signal.
    """
    signals, supplies = set(netlist.outputs.values()), set(CONSTANTS)
    for instance in present:
        pins = library.cells[instance.cell].supplies
        for pin, net in instance.nets.items():
            (supplies if pin in pins else signals).add(net)
    for instance in absent:
        nets = {pin: (net,) for pin, net in instance.nets.items()} | dict(instance.vectors)
        for pin in (*nets, *instance.open):
            is_signal = any(net in signals and net not in supplies for net in nets.get(pin, ()))
            if is_signal or not _SUPPLY.fullmatch(pin):
                raise InputError(
                    f"instance {instance.name}: cell {instance.cell}: not in the library "
                    f"{library.name}, and its pin {pin} is no supply"
                )


def _absent_note(absent: list[Instance]) -> str:
    by_cell: dict[str, list[str]] = {}
    for instance in absent:
        by_cell.setdefault(instance.cell, []).append(instance.name)
    cells = "; ".join(f"{len(names)} {cell} ({_listed(names)})" for cell, names in by_cell.items())
    return (
        f"{len(absent)} of the instances are of cells that the library lacks, and cost nothing, as "
        f"they have no signal pin: {cells}"
    )


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _without_ports_of(before: Netlist, after: Netlist) -> Netlist:
    """Leave out the inputs that led to nothing but the instances and pins that went."""
    gone = set(replace(before, inputs=(), outputs={}).nets)
    used = set(replace(after, inputs=()).nets)
    inputs = tuple(net for net in after.inputs if net in used or net not in gone)
    return replace(after, inputs=inputs)
