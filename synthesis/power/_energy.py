"""The energy rules: joules at an output, at an input, and watts of leakage, by Liberty's tables.

``probability`` is everywhere that of being 1, by pin and state of the cell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from dbp.synthesis.cells.expressions import Probability
from dbp.synthesis.cells.library import Cell, InternalPower, LookupTable, Pin
from dbp.synthesis.power._graph import Array, Batch, PowerGraph

Probabilities = Mapping[str, Probability]


def of_output(
    graph: PowerGraph, batch: Batch, pin: Pin, probability: Probabilities
) -> tuple[Array, Array]:
    """Return the joules per clock at an output, and those that are left out.

    A power group is an ``internal_power`` of the pin. Its share of the output's toggles is the
    toggle rate of its related pin times the probability that this pin decides the output; groups of
    different supplies add up. As in OpenSTA, a group without a related pin has no share, and none
    has one where no related pin toggles; what these would cost is left out.
    """
    load, toggles = _load_and_toggles(graph, batch, pin, probability)
    # Those of an inout without a related pin are its input's.
    inout = pin.direction == "inout"
    groups = [i for i in pin.internal_power if i.related_pin is not None or not inout]
    shares: list[Array] = []
    sums: dict[str | None, Array | float] = {}
    for item in groups:
        related = item.related_pin
        share = np.zeros(len(toggles))
        if related is not None and related in batch.nets:
            decides = _deciding(graph, batch, pin, item, related, probability)
            share += graph.toggles[batch.nets[related]] * decides
        shares.append(share)
        sums[item.supply] = sums.get(item.supply, 0.0) + share
    related_groups = Counter(i.supply for i in groups if i.related_pin is not None)
    energy, left_out = np.zeros((2, len(toggles)))
    for item, share in zip(groups, shares, strict=True):
        total = sums[item.supply]
        weight = np.divide(share, total, out=np.zeros_like(share), where=total > 0)
        rise, fall = _causes(graph, batch, pin, item.related_pin)
        edges = toggles * _mean_edge(item, rise, fall, load)
        energy += weight * edges
        if item.related_pin is None:
            left_out += _while(item, probability) * edges
        else:
            left_out += np.where(total > 0, 0.0, edges / related_groups[item.supply])
    return energy, left_out


def _causes(graph: PowerGraph, batch: Batch, pin: Pin, related: str | None) -> tuple[Array, Array]:
    """Return the slews of the edges that cause an output's rise and fall.

    They are those of the related pin, else the worst of the pins that the function reads.
    """
    reads = pin.function.variables if related is None and pin.function is not None else (related,)
    slews = []
    for name in reads:
        rise, fall = graph.slews(batch, name)
        slews.append((rise, fall) if _follows(pin, name) else (fall, rise))
    rises, falls = zip(*slews, strict=True) if slews else ((), ())
    return np.maximum.reduce(rises, initial=0.0), np.maximum.reduce(falls, initial=0.0)


def _while(item: InternalPower, probability: Probabilities) -> Probability:
    """Return the probability of a power group's condition; 1 without one that can be known."""
    if item.when is None or not probability.keys() >= set(item.when.variables):
        return 1.0
    return item.when.probability(probability)


def _load_and_toggles(
    graph: PowerGraph, batch: Batch, pin: Pin, probability: Probabilities
) -> tuple[Array, Array]:
    """Return load and toggles per clock of an output. An open output loads itself alone.

    An open output toggles as often as each pin that its function reads, times the probability that
    the pin decides it. A register's state toggles as the first connected output that shows it, or
    never.
    """
    if pin.name in batch.nets:
        nets = batch.nets[pin.name]
        return graph.load_f[nets], graph.toggles[nets]
    cell, count = batch.cell, len(batch.rows)
    toggles = {name: graph.toggles[nets] for name, nets in batch.nets.items()}
    for stored in cell.states:
        states = (stored.state, stored.inverted_state)
        alone = [(state,) for state in states]
        shown = (
            toggles[p.name]
            for p in cell.outputs
            if p.name in batch.nets and p.function and p.function.variables in alone
        )
        toggles |= dict.fromkeys(states, next(shown, np.zeros(count)))
    moves = np.zeros(count)
    for name in pin.function.variables if pin.function is not None else ():
        if name in toggles and pin.function is not None:
            moves = moves + toggles[name] * pin.function.decides(name, probability)
    return np.full(count, pin.capacitance_f), moves


def _deciding(
    graph: PowerGraph,
    batch: Batch,
    pin: Pin,
    item: InternalPower,
    related: str,
    probability: Probabilities,
) -> Probability:
    """Return the probability that the pin ``related`` decides an output, as far as known.

    Where the function does not read it, that of the power group's condition; without a condition 1
    for a clock and 0.5 for other pins.
    """
    decides = batch.difference(pin, related, probability)
    if decides is not None:
        return decides
    if item.when is not None:
        return item.when.probability(probability)
    return np.where(graph.clock[batch.nets[related]], 1.0, 0.5)


def _follows(pin: Pin, related: str | None) -> bool:
    """Say whether the output's edges follow the related pin's, by the first arc between them."""
    arc = next((arc for arc in pin.arcs if arc.related_pin == related), None)
    return arc is None or arc.timing_sense != "negative_unate"


def of_input(
    graph: PowerGraph, batch: Batch, pin: Pin, probability: Probabilities
) -> Array | float:
    """Return the joules per clock at an input, by state.

    A condition that names an output holds with the probability that the pin decides this output.
    Of an inout, the groups with a related pin are those of its output.
    """
    nets, cell = batch.nets[pin.name], batch.cell
    rise, fall = graph.slews(batch, pin.name)
    energy: Array | float = 0.0
    for item in pin.internal_power:
        if pin.direction == "inout" and item.related_pin is not None:
            continue
        share: Array | float = 1.0
        if item.when is not None:
            named = (cell.pins[v] for v in item.when.variables if v in cell.pins)
            output = next((p for p in named if p.direction == "output"), None)
            decides = batch.difference(output, pin.name, probability) if output else None
            share = item.when.probability(probability) if decides is None else decides
        energy = energy + share * graph.toggles[nets] * _mean_edge(item, rise, fall, 0.0)
    return energy


def _mean_edge(item: InternalPower, rise: Array, fall: Array, load: Array | float) -> Array | float:
    """Return the mean energy of a rise and a fall."""
    return 0.5 * (_edge(item.rise, rise, load) + _edge(item.fall, fall, load))


def _edge(table: LookupTable | None, slew: Array, load: Array | float) -> Array | float:
    return 0.0 if table is None else table(slew, load)


def leakage_w(cell: Cell, probability: Probabilities) -> Array | float:
    """Return the mean over the states that the library describes, weighted by probability.

    The probability left over goes to the leakage without a condition, or to that of the whole cell;
    where the library has neither, the stated states share it.
    """
    stated = [leak for leak in cell.leakages if leak.when is not None]
    if not stated:
        whole = sum(leak.power_w for leak in cell.leakages)
        return whole if cell.leakages else cell.leakage_w or 0.0
    # A condition on a combinational output is one on the inputs. Outputs of a register count as
    # independent, as in OpenSTA: with Q at p and QN at 1 - p, (1, 0) has p^2 and not p. The leakage
    # of the whole cell, as a rule the mean of its states, takes the share of the impossible pairs,
    # and half of that is each true state's: p^2 + (p - p^2) = p.
    functions = {p.name: p.function for p in cell.outputs if p.function and not cell.has_state}
    watts: Array | float = 0.0
    for supply in {leak.supply for leak in stated}:
        own = [leak for leak in cell.leakages if leak.supply == supply]
        shares = [
            (leak.when.substitute(functions).probability(probability), leak.power_w)
            for leak in own
            if leak.when is not None
        ]
        total = sum(share for share, _ in shares)
        weighted = sum(share * power for share, power in shares)
        other = next((leak.power_w for leak in own if leak.when is None), cell.leakage_w)
        if other is not None:
            watts = watts + weighted + np.maximum(1 - total, 0) * other
        else:
            mean = sum(power for _, power in shares) / len(shares)
            watts = watts + np.where(total > 0, weighted / np.where(total > 0, total, 1.0), mean)
    return watts
