"""Gates whose inputs are constant become constants; ABC leaves a few of them behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from dbp.synthesis.cells.expressions import Expression
from dbp.synthesis.cells.library import Library
from dbp.synthesis.netlist import CONSTANTS, Instance, Netlist


def folded(netlist: Netlist, library: Library) -> Netlist:
    """Return the same circuit without the gates all of whose outputs are constant."""
    known: dict[str, str] = {}
    instances = list(netlist.instances)
    while True:
        kept, changed = [], False
        for instance in instances:
            nets = {pin: known.get(net, net) for pin, net in instance.nets.items()}
            cell = library.cells[instance.cell]
            functions = {pin.name: pin.function for pin in cell.outputs if pin.name in nets}
            values: dict[str, str | None] = {}
            if not cell.has_state and not CONSTANTS.keys().isdisjoint(nets.values()):
                values = {pin: _value(function, nets) for pin, function in functions.items()}
            for pin, value in values.items():
                if value is not None and nets[pin] not in CONSTANTS:
                    known[nets[pin]], changed = value, True
            if not values or None in values.values():
                nets = {p: instance.nets[p] if p in functions else nets[p] for p in nets}
                kept.append(Instance(instance.name, instance.cell, MappingProxyType(nets)))
        instances = kept
        if not changed:
            break
    outputs = {bit: known.get(net, net) for bit, net in netlist.outputs.items()}
    return replace(netlist, outputs=MappingProxyType(outputs), instances=tuple(instances))


def _value(function: Expression | None, nets: Mapping[str, str]) -> str | None:
    """Return the constant that a function is, given its constant inputs; None where it varies."""
    if function is None:
        return None
    states = np.arange(len(function.truth))
    possible = np.ones(len(states), bool)
    for k, name in enumerate(function.variables):
        if (constant := CONSTANTS.get(nets.get(name, ""))) is not None:
            possible &= (states >> k & 1) == constant
    values = function.truth[possible]
    return f"1'b{int(values[0])}" if (values == values[0]).all() else None
