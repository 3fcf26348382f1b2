"""Event-driven gate-level simulation with pin-to-pin delays, compiled by Numba.

Two-valued; time in whole units. A gate whose function changes its value at time t shows it after
the delay of the pin that changed (the shortest where several changed at t). What shows then is the
value of that moment, so that a pulse shorter than the delay vanishes. Icarus Verilog does the same
with specify paths, fifteen times slower; the tests hold one against the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

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
class Circuit:
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


def run(
    circuit: Circuit,
    inputs: NDArray[np.int64],
    outputs: NDArray[np.int64],
    stimulus: NDArray[np.uint8],
    half_period: int,
    first_counted: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Toggles of every net, its time at 1, cycles that ended with another value, and the outputs.

    ``stimulus``: shape ``(clocks, len(inputs))``; row k is applied with the rising edge k. What
    happens from edge ``first_counted`` to the end of the last cycle counts. A simulation without
    delays would see no other toggles than those from the end of one cycle to that of the next. The
    outputs are those at the end of every cycle, shape ``(clocks, len(outputs))``.
    """
    nets, g, r = len(circuit.initial), circuit.gates, circuit.registers
    gates = np.zeros((len(g.target), _GATE_FIELDS), np.int32)
    gates[:, _PINS], gates[:, _TABLE], gates[:, _TARGET] = g.first[:-1], g.table, g.target
    gate_of_pin = np.repeat(np.arange(len(g.target)), np.diff(g.first))
    order = np.argsort(g.nets, kind="stable")
    fanout = (gate_of_pin << _PIN_BITS | (np.arange(len(g.nets)) - g.first[gate_of_pin]))[order]
    wires = np.zeros((nets + 1, _WIRE_FIELDS), np.int32)
    wires[1:, _FANOUT] = np.cumsum(np.bincount(g.nets, minlength=nets))
    wires[:nets, _VALUE] = circuit.initial
    delays = np.stack([circuit.fall, circuit.rise], axis=1).astype(np.int32)
    slots = 1 << max(int(delays.max(initial=0)).bit_length(), 1)
    return _run(
        circuit.clock,
        circuit.tables,
        gates,
        np.diff(g.first),
        g.nets,
        delays,
        wires,
        fanout.astype(np.int32),
        (r.first, r.nets, r.table, r.target),
        circuit.on_fall,
        inputs,
        outputs,
        np.ascontiguousarray(stimulus),
        half_period,
        first_counted,
        slots,
    )


# Fields of a gate: its first pin, truth table, net; state of its inputs, inputs changed now, and
# the value to show. Of a wire: value, toggles, start of its fan-out. One row, one cache line.
_PINS, _TABLE, _TARGET, _STATE, _CHANGED, _NEXT, _GATE_FIELDS = 0, 1, 2, 3, 4, 5, 8
_VALUE, _TOGGLES, _FANOUT, _WIRE_FIELDS = 0, 1, 2, 4
_PIN_BITS = 4


@njit(cache=True)
def _toggle(net, now, counting, wires, at_one, fanout, gates, touched, count):
    """Change a wire; note the gates behind it. Returns how many gates are noted now."""
    value = wires[net, _VALUE] ^ 1
    wires[net, _VALUE] = value
    if counting:
        wires[net, _TOGGLES] += 1
        at_one[net] += -now if value else now
    for k in range(wires[net, _FANOUT], wires[net + 1, _FANOUT]):
        gate, bit = fanout[k] >> _PIN_BITS, 1 << (fanout[k] & ((1 << _PIN_BITS) - 1))
        gates[gate, _STATE] ^= bit
        if gates[gate, _CHANGED] == 0:
            touched[count] = gate
            count += 1
        gates[gate, _CHANGED] |= bit
    return count


@njit(cache=True)
def _evaluate(now, count, touched, gates, tables, delays, head, events, free):
    """Schedule the noted gates whose function changed. Returns the events, perhaps more room."""
    for k in range(count):
        gate = touched[k]
        value = np.int32(tables[gates[gate, _TABLE] + gates[gate, _STATE]])
        if value != gates[gate, _NEXT]:
            gates[gate, _NEXT] = value
            delay, changed, pin = np.int64(1) << 40, gates[gate, _CHANGED], gates[gate, _PINS]
            while changed:
                if changed & 1:
                    delay = min(delay, np.int64(delays[pin, value]))
                changed >>= 1
                pin += 1
            if free[0] == len(events):
                events = np.concatenate((events, np.empty_like(events)))
                events[free[0] :, 0] = np.arange(free[0] + 1, len(events) + 1)
            event = free[0]
            free[0] = events[event, 0]
            slot = (now + delay) & (len(head) - 1)
            events[event, 0], events[event, 1] = head[slot], gate
            head[slot] = event
        gates[gate, _CHANGED] = 0
    return events


@njit(cache=True)
def _run(
    clock,
    tables,
    gates,
    pin_counts,
    pin_nets,
    delays,
    wires,
    fanout,
    registers,
    on_fall,
    inputs,
    outputs,
    stimulus,
    half,
    first_counted,
    slots,
):
    register_first, register_nets, register_table, register_target = registers
    nets, gate_count, clocks = len(wires) - 1, len(gates), len(stimulus)
    at_one, settled = np.zeros(nets, np.int64), np.zeros(nets, np.int64)
    before = np.zeros(nets, np.uint8)
    sampled = np.zeros((clocks, len(outputs)), np.uint8)
    touched, flips = np.zeros(gate_count, np.int32), np.zeros(len(register_target), np.int64)
    # Events (next in the list, gate) in a wheel of slots, one per time unit; `free` the unused.
    head = np.full(slots, -1, np.int32)
    events = np.zeros((gate_count + 1, 2), np.int32)
    events[:, 0] = np.arange(1, gate_count + 2)
    free = np.zeros(1, np.int64)

    count = 0
    for gate in range(gate_count):
        for pin in range(pin_counts[gate]):
            net = pin_nets[gates[gate, _PINS] + pin]
            gates[gate, _STATE] |= wires[net, _VALUE] << pin
        gates[gate, _NEXT] = wires[gates[gate, _TARGET], _VALUE]
        if pin_counts[gate]:
            gates[gate, _CHANGED] = (1 << pin_counts[gate]) - 1
            touched[count] = gate
            count += 1
    events = _evaluate(0, count, touched, gates, tables, delays, head, events, free)

    counting, now = False, 0
    for half_cycle in range(2 * clocks + 1):
        # Work off what is due before this edge.
        while now < half_cycle * half:
            slot = now & (slots - 1)
            while head[slot] >= 0:
                event = head[slot]
                head[slot] = -1
                count = 0
                while event >= 0:
                    after, gate = events[event, 0], events[event, 1]
                    net = gates[gate, _TARGET]
                    if wires[net, _VALUE] != gates[gate, _NEXT]:
                        count = _toggle(
                            net, now, counting, wires, at_one, fanout, gates, touched, count
                        )
                    events[event, 0] = free[0]
                    free[0] = event
                    event = after
                events = _evaluate(now, count, touched, gates, tables, delays, head, events, free)
            now += 1
        level, cycle = 1 - half_cycle % 2, half_cycle // 2
        if level == 1 and cycle > 0:
            for k in range(len(outputs)):
                sampled[cycle - 1, k] = wires[outputs[k], _VALUE]
            for net in range(nets):
                if wires[net, _VALUE] != before[net]:
                    before[net] = wires[net, _VALUE]
                    settled[net] += counting
        if cycle == clocks:
            break
        if level == 1 and cycle == first_counted:
            counting = True
            for net in range(nets):
                at_one[net] = -now if wires[net, _VALUE] else 0
        # Registers see what stood there before anything changes with the edge.
        flipped = 0
        for k in range(len(register_target)):
            if on_fall[k] != (level == 1):
                index = 0
                for pin in range(register_first[k], register_first[k + 1]):
                    value = np.int64(wires[register_nets[pin], _VALUE])
                    index |= value << (pin - register_first[k])
                if tables[register_table[k] + index] != wires[register_target[k], _VALUE]:
                    flips[flipped] = register_target[k]
                    flipped += 1
        count = 0
        if wires[clock, _VALUE] != level:
            count = _toggle(clock, now, counting, wires, at_one, fanout, gates, touched, count)
        for k in range(flipped):
            count = _toggle(flips[k], now, counting, wires, at_one, fanout, gates, touched, count)
        if level == 1:
            for k in range(len(inputs)):
                if wires[inputs[k], _VALUE] != stimulus[cycle, k]:
                    count = _toggle(
                        inputs[k], now, counting, wires, at_one, fanout, gates, touched, count
                    )
        events = _evaluate(now, count, touched, gates, tables, delays, head, events, free)
    for net in range(nets):
        if wires[net, _VALUE]:
            at_one[net] += now
    return wires[:nets, _TOGGLES].astype(np.int64), at_one, settled, sampled
