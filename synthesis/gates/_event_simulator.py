"""Event-driven gate-level simulation with pin-to-pin delays, compiled by Numba.

Two-valued; time in whole units. A gate whose function changes its value at time t shows it after
the delay of the pin that changed (the shortest where several changed at t). The gate then shows
the value its function has at that later moment, so that a pulse shorter than the delay vanishes.
Icarus Verilog does the same with specify paths, fifteen times slower; the tests compare the two.

**The timing wheel.** No delay is longer than `slots - 1` units, so the events that are due in the
next `slots` units fit into a ring of `slots` lists, one list for each unit: an event at time t is
in list ``t % slots``, and no two events in one list are due at different times. To schedule an
event, put it at the head of its list; to let time pass, go from list to list. Both take constant
time, where a priority queue would need the logarithm of the number of events.

The lists share one array: row e of ``events`` holds the row of the next event of its list (-1 at
the end) and the gate that is due. Rows in no list form one more list, that of the free rows. It
begins at ``free[0]``; a row taken from its head becomes an event, and a row whose event has passed
returns to its head. Nothing is allocated while the simulation runs, except where no row is free:
then the array doubles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbp.support.compiled import njit

MAX_PINS = 16


@dataclass(frozen=True, eq=False)
class Functions:
    """Boolean functions of nets, in arrays: what gates and registers compute.

    Function f reads the nets ``nets[first[f]:first[f + 1]]``, the first the least significant bit
    of the index into its truth table, which begins at ``table[f]``; its value goes to net
    ``target[f]``.
    """

    first: NDArray[np.int64]
    nets: NDArray[np.int64]
    table: NDArray[np.int64]
    target: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TimedGates:
    """Gates with a rise and a fall delay per pin, registers on the edges of ``clock``.

    ``initial``: the value of every net at the start. ``tables``: the truth tables, one byte per
    state. ``on_fall``: whether a register samples at the falling edge.
    """

    clock: int
    initial: NDArray[np.uint8]
    tables: NDArray[np.uint8]
    gates: Functions
    rise: NDArray[np.int64]
    fall: NDArray[np.int64]
    registers: Functions
    on_fall: NDArray[np.bool_]


class Counts(NamedTuple):
    """The counts of `run`, by net, and the outputs that it samples.

    ``toggles``: changes. ``at_one``: time at 1. ``settled``: cycles that ended with another value
    than the cycle before; a simulation without delays would see no other toggles. ``outputs``:
    values at the end of every cycle, shape ``(clocks, len(outputs))``.
    """

    toggles: NDArray[np.int64]
    at_one: NDArray[np.int64]
    settled: NDArray[np.int64]
    outputs: NDArray[np.uint8]


class Wires(NamedTuple):
    """The nets. ``rows``: the fields `_VALUE`, `_TOGGLES` and `_FANOUT` of each net.

    Net n drives the pins ``fanout[rows[n, _FANOUT]:rows[n + 1, _FANOUT]]``; each is its gate's
    number, shifted by `_PIN_BITS`, and its place among the gate's pins. ``at_one``: time at 1,
    less the time of the last rise while the net is 1.
    """

    rows: NDArray[np.int32]
    fanout: NDArray[np.int32]
    at_one: NDArray[np.int64]


class Gates(NamedTuple):
    """The gates. ``rows``: the fields `_PINS` to `_NEXT` of each gate.

    ``delays``: of each pin, to a fall and to a rise, shape ``(pins, 2)``. ``noted``: room for the
    numbers of the gates whose inputs changed at this time.
    """

    rows: NDArray[np.int32]
    tables: NDArray[np.uint8]
    delays: NDArray[np.int32]
    noted: NDArray[np.int32]


class Registers(NamedTuple):
    """The registers: `Functions`, the edge that each samples at, and room for those that flip."""

    first: NDArray[np.int64]
    nets: NDArray[np.int64]
    table: NDArray[np.int64]
    target: NDArray[np.int64]
    on_fall: NDArray[np.bool_]
    flipping: NDArray[np.int64]


class Wheel(NamedTuple):
    """The events to come: see the module. ``head``: the first event of each list, or -1."""

    head: NDArray[np.int32]
    events: NDArray[np.int32]
    free: NDArray[np.int64]


class Drive(NamedTuple):
    """The inputs of a circuit: row k of ``stimulus`` on ``inputs`` with rising edge k."""

    clock: int
    inputs: NDArray[np.int64]
    stimulus: NDArray[np.uint8]
    half_period: int


# Fields of a gate: its first pin, truth table and net; the state of its inputs (the index into the
# truth table), a bit for each input that changed at this time, and the value to show. Fields of a
# net: its value, its toggles, the start of its fan-out. A row never crosses a line of the cache.
_PINS, _TABLE, _TARGET, _STATE, _CHANGED, _NEXT, _GATE_FIELDS = 0, 1, 2, 3, 4, 5, 8
_VALUE, _TOGGLES, _FANOUT, _WIRE_FIELDS = 0, 1, 2, 4
_PIN_BITS = 4

_inline = njit(inline="always")


def run(
    circuit: TimedGates,
    inputs: NDArray[np.int64],
    outputs: NDArray[np.int64],
    stimulus: NDArray[np.uint8],
    half_period: int,
    first_counted: int,
) -> Counts:
    """Simulate as many cycles as ``stimulus`` has rows; count from edge ``first_counted`` on.

    ``stimulus``: shape ``(clocks, len(inputs))``; row k is applied with the rising edge k. The last
    cycle counts to its end.
    """
    wires, gates = _wires(circuit), _gates(circuit)
    r = circuit.registers
    flipping = np.zeros(len(r.target), np.int64)
    return Counts(
        *_run(
            wires,
            gates,
            Registers(r.first, r.nets, r.table, r.target, circuit.on_fall, flipping),
            _wheel(len(gates.rows), int(gates.delays.max(initial=0))),
            Drive(circuit.clock, inputs, np.ascontiguousarray(stimulus), half_period),
            outputs,
            first_counted,
        )
    )


def _wires(circuit: TimedGates) -> Wires:
    g, nets = circuit.gates, len(circuit.initial)
    gate_of_pin = np.repeat(np.arange(len(g.target)), np.diff(g.first))
    place = np.arange(len(g.nets)) - g.first[gate_of_pin]
    by_net = np.argsort(g.nets, kind="stable")
    fanout = (gate_of_pin << _PIN_BITS | place)[by_net].astype(np.int32)
    rows = np.zeros((nets + 1, _WIRE_FIELDS), np.int32)
    rows[1:, _FANOUT] = np.cumsum(np.bincount(g.nets, minlength=nets))
    rows[:nets, _VALUE] = circuit.initial
    return Wires(rows, fanout, np.zeros(nets, np.int64))


def _gates(circuit: TimedGates) -> Gates:
    """The gates, all of them noted as if every input had changed at the start."""
    g = circuit.gates
    pins = np.diff(g.first)
    gate_of_pin = np.repeat(np.arange(len(g.target)), pins)
    place = np.arange(len(g.nets)) - g.first[gate_of_pin]
    rows = np.zeros((len(g.target), _GATE_FIELDS), np.int32)
    rows[:, _PINS], rows[:, _TABLE], rows[:, _TARGET] = g.first[:-1], g.table, g.target
    np.bitwise_or.at(rows[:, _STATE], gate_of_pin, circuit.initial[g.nets].astype(int) << place)
    rows[:, _CHANGED] = (1 << pins) - 1
    rows[:, _NEXT] = circuit.initial[g.target]
    delays = np.stack([circuit.fall, circuit.rise], axis=1).astype(np.int32)
    return Gates(rows, circuit.tables, delays, np.zeros(len(rows), np.int32))


def _wheel(gates: int, longest_delay: int) -> Wheel:
    """An empty wheel. Its slots are a power of two, so that a mask takes the place of a modulo."""
    slots = 1 << max(longest_delay.bit_length(), 1)
    events = np.zeros((gates + 1, 2), np.int32)
    events[:, 0] = np.arange(1, gates + 2)
    return Wheel(np.full(slots, -1, np.int32), events, np.zeros(1, np.int64))


@_inline
def _toggle(net, now, counting, wires, gates, count):
    """Change a net; note the gates that it drives. Returns how many gates are noted now."""
    nets, fanout, at_one = wires
    rows, noted = gates.rows, gates.noted
    value = nets[net, _VALUE] ^ 1
    nets[net, _VALUE] = value
    if counting:
        nets[net, _TOGGLES] += 1
        at_one[net] += -now if value else now
    for k in range(nets[net, _FANOUT], nets[net + 1, _FANOUT]):
        gate, bit = fanout[k] >> _PIN_BITS, 1 << (fanout[k] & ((1 << _PIN_BITS) - 1))
        rows[gate, _STATE] ^= bit
        # No input had changed yet, so that the gate is not noted yet.
        if rows[gate, _CHANGED] == 0:
            noted[count] = gate
            count += 1
        rows[gate, _CHANGED] |= bit
    return count


@_inline
def _evaluate(now, count, gates, wheel):
    """Schedule those of the noted gates whose function changed. Returns the wheel."""
    # Unpacked once: the compiler counts references whenever an array is taken out of a tuple.
    rows, tables, delays, noted = gates
    head, events, free = wheel
    for k in range(count):
        gate = noted[k]
        value = np.int32(tables[rows[gate, _TABLE] + rows[gate, _STATE]])
        if value != rows[gate, _NEXT]:
            rows[gate, _NEXT] = value
            if free[0] == len(events):
                events = _grown(events)
            # A free row becomes the head of the list of its time.
            event = free[0]
            free[0] = events[event, 0]
            delay = _delay(rows[gate, _PINS], rows[gate, _CHANGED], value, delays)
            slot = (now + delay) & (len(head) - 1)
            events[event, 0], events[event, 1] = head[slot], gate
            head[slot] = event
        rows[gate, _CHANGED] = 0
    return Wheel(head, events, free)


@_inline
def _delay(pin, changed, value, delays):
    """The shortest delay to ``value`` from the changed pins of a gate; ``pin``: its first pin."""
    delay = np.int64(1) << 40
    while changed:
        if changed & 1:
            delay = min(delay, np.int64(delays[pin, value]))
        changed >>= 1
        pin += 1
    return delay


@njit()
def _grown(events):
    """Twice as many rows; the new ones are free, each the next of the one before it."""
    rows = len(events)
    events = np.concatenate((events, np.empty_like(events)))
    events[rows:, 0] = np.arange(rows + 1, len(events) + 1)
    return events


@njit()
def _next_due(now, end, head):
    """The time of the next event, or ``end`` where none is due before."""
    while now < end and head[now & (len(head) - 1)] < 0:
        now += 1
    return now


@_inline
def _pass_slot(now, counting, wires, gates, wheel):
    """Let all happen that is due now. Returns the wheel."""
    nets, rows = wires.rows, gates.rows
    head, events, free = wheel
    slot = now & (len(head) - 1)
    # Again while a delay of 0 adds events to the list that has just been emptied.
    while head[slot] >= 0:
        event = head[slot]
        head[slot] = -1
        count = 0
        while event >= 0:
            following, gate = events[event, 0], events[event, 1]
            net = rows[gate, _TARGET]
            # The value of this moment: equal where a pulse has come and gone meanwhile.
            if nets[net, _VALUE] != rows[gate, _NEXT]:
                count = _toggle(net, now, counting, wires, gates, count)
            events[event, 0] = free[0]
            free[0] = event
            event = following
        head, events, free = _evaluate(now, count, gates, Wheel(head, events, free))
    return Wheel(head, events, free)


@njit()
def _sample(level, wires, tables, registers):
    """Find the registers that flip at this edge; returns how many lie in ``flipping``."""
    flips = 0
    for k in range(len(registers.target)):
        if registers.on_fall[k] != (level == 1):
            first, state = registers.first[k], 0
            for pin in range(first, registers.first[k + 1]):
                state |= np.int64(wires.rows[registers.nets[pin], _VALUE]) << (pin - first)
            target = registers.target[k]
            if tables[registers.table[k] + state] != wires.rows[target, _VALUE]:
                registers.flipping[flips] = target
                flips += 1
    return flips


@njit()
def _edge(now, level, cycle, counting, wires, gates, registers, drive):
    """Change all that an edge of the clock changes. Returns how many gates are noted."""
    # Registers see what their inputs were before anything changes with the edge.
    flips = _sample(level, wires, gates.tables, registers)
    count = 0
    if wires.rows[drive.clock, _VALUE] != level:
        count = _toggle(drive.clock, now, counting, wires, gates, count)
    for k in range(flips):
        count = _toggle(registers.flipping[k], now, counting, wires, gates, count)
    if level == 1:
        for k in range(len(drive.inputs)):
            if wires.rows[drive.inputs[k], _VALUE] != drive.stimulus[cycle, k]:
                count = _toggle(drive.inputs[k], now, counting, wires, gates, count)
    return count


# Without Python's global lock: it takes minutes, and Ctrl-C must be heard meanwhile.
@njit(nogil=True)
def _run(wires, gates, registers, wheel, drive, outputs, first_counted):
    """The fields of `Counts`; works in place on all that it is given but ``drive``."""
    nets, clocks = len(wires.at_one), len(drive.stimulus)
    settled, at_last_end = np.zeros(nets, np.int64), np.zeros(nets, np.uint8)
    sampled = np.zeros((clocks, len(outputs)), np.uint8)
    # At the start every gate computes; those without pins are constant and show it already.
    count = 0
    for gate in range(len(gates.rows)):
        if gates.rows[gate, _CHANGED]:
            gates.noted[count] = gate
            count += 1
    wheel = _evaluate(0, count, gates, wheel)
    counting, now = False, 0
    for half_cycle in range(2 * clocks + 1):
        # Events that are due before this edge come first.
        edge = half_cycle * drive.half_period
        now = _next_due(now, edge, wheel.head)
        while now < edge:
            wheel = _pass_slot(now, counting, wires, gates, wheel)
            now = _next_due(now, edge, wheel.head)
        level, cycle = 1 - half_cycle % 2, half_cycle // 2
        if level == 1 and cycle > 0:
            for k in range(len(outputs)):
                sampled[cycle - 1, k] = wires.rows[outputs[k], _VALUE]
            for net in range(nets):
                if wires.rows[net, _VALUE] != at_last_end[net]:
                    at_last_end[net] = wires.rows[net, _VALUE]
                    settled[net] += counting
        if cycle == clocks:
            break
        if level == 1 and cycle == first_counted:
            counting = True
            for net in range(nets):
                wires.at_one[net] = -now if wires.rows[net, _VALUE] else 0
        count = _edge(now, level, cycle, counting, wires, gates, registers, drive)
        wheel = _evaluate(now, count, gates, wheel)
    for net in range(nets):
        if wires.rows[net, _VALUE]:
            wires.at_one[net] += now
    return wires.rows[:nets, _TOGGLES].astype(np.int64), wires.at_one, settled, sampled
