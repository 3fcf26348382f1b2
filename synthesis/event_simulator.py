"""Event-driven gate-level simulation with pin-to-pin delays, compiled by Numba.

Two-valued; time in whole units. A gate whose function changes its value at time t shows it after
the delay of the pin that changed (the shortest where several changed at t). What shows then is the
value of that moment, so that a pulse shorter than the delay vanishes. Icarus Verilog does the same
with specify paths, 100 times slower; the tests hold one against the other.
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
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Toggles of every net, its time at 1, and the outputs at the end of every clock cycle.

    ``stimulus``: shape ``(clocks, len(inputs))``; row k is applied with the rising edge k. What
    happens from edge ``first_counted`` to the end of the last cycle counts. The outputs have shape
    ``(clocks, len(outputs))``.
    """
    nets, g, r = len(circuit.initial), circuit.gates, circuit.registers
    order = np.argsort(g.nets, kind="stable")
    gate_of_pin = np.repeat(np.arange(len(g.target)), np.diff(g.first))
    fanout_gate = gate_of_pin[order]
    fanout_pin = (np.arange(len(g.nets)) - g.first[gate_of_pin])[order]
    fanout_first = np.concatenate([[0], np.cumsum(np.bincount(g.nets, minlength=nets))])
    slots = 1 << int(max(circuit.rise.max(initial=0), circuit.fall.max(initial=0))).bit_length()
    return _run(
        circuit.clock,
        circuit.initial.copy(),
        circuit.tables,
        (g.first, g.nets, g.table, g.target),
        circuit.rise,
        circuit.fall,
        (r.first, r.nets, r.table, r.target),
        circuit.on_fall,
        (fanout_first, fanout_gate, fanout_pin),
        inputs,
        outputs,
        np.ascontiguousarray(stimulus),
        half_period,
        first_counted,
        max(slots, 2),
    )


@njit(cache=True)
def _toggle(net, now, counting, value, toggles, at_one, fanout, state, changed, touched, count):
    """Change a net; note the gates behind it. Returns how many gates are noted now."""
    value[net] ^= 1
    if counting:
        toggles[net] += 1
        at_one[net] += -now if value[net] else now
    first, gates, pins = fanout
    for k in range(first[net], first[net + 1]):
        gate, bit = gates[k], 1 << pins[k]
        state[gate] ^= bit
        if changed[gate] == 0:
            touched[count] = gate
            count += 1
        changed[gate] |= bit
    return count


@njit(cache=True)
def _evaluate(now, count, touched, changed, state, shown_next, tables, gates, rise, fall, queue):
    """Schedule the noted gates whose function changed. Returns the queue, perhaps a larger one."""
    first, _, table, _ = gates
    head, following, gate_at, free = queue
    slots = len(head)
    for k in range(count):
        gate = touched[k]
        value = tables[table[gate] + state[gate]]
        if value != shown_next[gate]:
            shown_next[gate] = value
            delays = rise if value else fall
            delay, pins, pin = np.int64(1) << 62, changed[gate], first[gate]
            while pins:
                if pins & 1 and delays[pin] < delay:
                    delay = delays[pin]
                pins >>= 1
                pin += 1
            if free[0] == len(gate_at):
                following = np.concatenate((following, np.arange(1, len(following) + 1) + free[0]))
                gate_at = np.concatenate((gate_at, np.empty_like(gate_at)))
            event = free[0]
            free[0] = following[event]
            gate_at[event] = gate
            slot = (now + delay) & (slots - 1)
            following[event] = head[slot]
            head[slot] = event
        changed[gate] = 0
    return head, following, gate_at, free


@njit(cache=True)
def _run(
    clock,
    value,
    tables,
    gates,
    rise,
    fall,
    registers,
    on_fall,
    fanout,
    inputs,
    outputs,
    stimulus,
    half,
    first_counted,
    slots,
):
    first, pins, _, target = gates
    register_first, register_nets, register_table, register_target = registers
    nets, gate_count, clocks = len(value), len(target), len(stimulus)
    toggles, at_one = np.zeros(nets, np.int64), np.zeros(nets, np.int64)
    sampled = np.zeros((clocks, len(outputs)), np.uint8)
    state, changed = np.zeros(gate_count, np.int64), np.zeros(gate_count, np.int64)
    shown_next, touched = np.zeros(gate_count, np.uint8), np.zeros(gate_count, np.int64)
    flips = np.zeros(len(register_target), np.int64)
    # Events in a wheel of slots, one per time unit, each slot a linked list; `free` the unused.
    head = np.full(slots, -1, np.int64)
    following = np.arange(1, gate_count + 2)
    queue = (head, following, np.zeros(gate_count + 1, np.int64), np.zeros(1, np.int64))

    count = 0
    for gate in range(gate_count):
        for pin in range(first[gate], first[gate + 1]):
            state[gate] |= np.int64(value[pins[pin]]) << (pin - first[gate])
        shown_next[gate] = value[target[gate]]
        if first[gate + 1] > first[gate]:
            changed[gate] = (1 << (first[gate + 1] - first[gate])) - 1
            touched[count] = gate
            count += 1
    queue = _evaluate(
        0, count, touched, changed, state, shown_next, tables, gates, rise, fall, queue
    )

    counting, now = False, 0
    for half_cycle in range(2 * clocks + 1):
        # Work off what is due before this edge.
        edge_at = half_cycle * half
        while now < edge_at:
            slot = now & (slots - 1)
            while queue[0][slot] >= 0:
                event = queue[0][slot]
                queue[0][slot] = -1
                count = 0
                while event >= 0:
                    gate = queue[2][event]
                    if value[target[gate]] != shown_next[gate]:
                        count = _toggle(
                            target[gate], now, counting, value, toggles, at_one, fanout, state,
                            changed, touched, count,
                        )  # fmt: skip
                    after = queue[1][event]
                    queue[1][event] = queue[3][0]
                    queue[3][0] = event
                    event = after
                queue = _evaluate(
                    now, count, touched, changed, state, shown_next, tables, gates, rise, fall,
                    queue,
                )  # fmt: skip
            now += 1
        level, cycle = 1 - half_cycle % 2, half_cycle // 2
        if level == 1 and cycle > 0:
            for k in range(len(outputs)):
                sampled[cycle - 1, k] = value[outputs[k]]
        if cycle == clocks:
            break
        if level == 1 and cycle == first_counted:
            counting = True
            for net in range(nets):
                at_one[net] = -now if value[net] else 0
        # Registers see what stood there before anything changes with the edge.
        flipped = 0
        for k in range(len(register_target)):
            if on_fall[k] != (level == 1):
                index = 0
                for pin in range(register_first[k], register_first[k + 1]):
                    index |= np.int64(value[register_nets[pin]]) << (pin - register_first[k])
                if tables[register_table[k] + index] != value[register_target[k]]:
                    flips[flipped] = register_target[k]
                    flipped += 1
        count = 0
        if value[clock] != level:
            count = _toggle(
                clock, now, counting, value, toggles, at_one, fanout, state, changed, touched, count
            )
        for k in range(flipped):
            count = _toggle(
                flips[k], now, counting, value, toggles, at_one, fanout, state, changed, touched,
                count,
            )  # fmt: skip
        if level == 1:
            for k in range(len(inputs)):
                if value[inputs[k]] != stimulus[cycle, k]:
                    count = _toggle(
                        inputs[k], now, counting, value, toggles, at_one, fanout, state, changed,
                        touched, count,
                    )  # fmt: skip
        queue = _evaluate(
            now, count, touched, changed, state, shown_next, tables, gates, rise, fall, queue
        )
    for net in range(nets):
        if value[net]:
            at_one[net] += now
    return toggles, at_one, sampled
