"""Gates whose inputs are constant, of which ABC leaves a few behind: they become constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from dbp.synthesis.cells.expressions import Expression
from dbp.synthesis.cells.library import Library
from dbp.synthesis.netlist import CONSTANTS, Instance, Netlist


def folded(netlist: Netlist, library: Library) -> Netlist:
    """The same circuit without the gates all of whose outputs are constant."""
    known: dict[str, str] = {}
    instances = list(netlist.instances)
    while True:
        kept, found = [], False
        for instance in instances:
            nets = {pin: known.get(net, net) for pin, net in instance.nets.items()}
            cell = library.cells[instance.cell]
            outputs = {pin.name: pin.function for pin in cell.outputs if pin.name in nets}
            values = {}
            if not cell.has_state and not CONSTANTS.keys().isdisjoint(nets.values()):
                values = {pin: _value(function, nets) for pin, function in outputs.items()}
            for pin, value in values.items():
                if value is not None and nets[pin] not in CONSTANTS:
                    known[nets[pin]], found = value, True
            if not values or None in values.values():
                nets = {pin: instance.nets[pin] if pin in outputs else nets[pin] for pin in nets}
                kept.append(Instance(instance.name, instance.cell, MappingProxyType(nets)))
        instances = kept
        if not found:
            break
    outputs = {bit: known.get(net, net) for bit, net in netlist.outputs.items()}
    return replace(netlist, outputs=MappingProxyType(outputs), instances=tuple(instances))


def _value(function: Expression | None, nets: Mapping[str, str]) -> str | None:
    """The constant that a function is, given those among its inputs; None where it is none."""
    if function is None:
        return None
    states = np.arange(len(function.truth))
    chosen = np.ones(len(states), bool)
    for k, name in enumerate(function.variables):
        if (constant := CONSTANTS.get(nets.get(name, ""))) is not None:
            chosen &= (states >> k & 1) == constant
    left = function.truth[chosen]
    return f"1'b{int(left[0])}" if (left == left[0]).all() else None
