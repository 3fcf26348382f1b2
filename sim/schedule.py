"""Vectors as the bench plays them: register writes, commits and words, clock by clock, integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from dbp.datapath.golden import Tuning
from dbp.datapath.words import pack_words
from dbp.rtl.ports import Ports
from dbp.sim.vectors import Vector

Registers = dict[tuple[int, int], int]

# Words before and behind which writes still go on, so that they meet a stream.
BUSY_CLOCKS = 24


def make_job(ports: Ports, todo: list[Vector]) -> dict[str, Any]:
    """What `dbp.sim.cocotb_bench` plays of the vectors."""
    return {
        "latency_cycles": ports.latency_cycles,
        "read_latency_cycles": ports.read_latency_cycles,
        "config_ports": [name for name in ports.widths if name.startswith("cfg_")],
        "vectors": [_played(ports, vector) for vector in todo],
    }


def registers(ports: Ports, tuning: Tuning) -> Registers:
    """The value of every writable register, by step and address."""
    return {
        (step.step, address): value
        for step in ports.steps
        for address, value in step.registers(tuning.design, tuning.launch_power_uw).items()
    }


def counters(ports: Ports) -> dict[tuple[int, int], tuple[int, str]]:
    """What each counter counts, by step and address: the number of a block and a requantiser."""
    counted: dict[tuple[int, int], tuple[int, str]] = {}
    for step in ports.steps:
        k, addresses = step.step, step.addresses
        for name, block, at in (
            ("filter", 2 * k, addresses.filter_clipped),
            ("phi", 2 * k + 1, addresses.phi_clipped),
            ("rotation", 2 * k + 1, addresses.rotation_clipped),
        ):
            counted |= {(k, a): (block, name) for a in at}
    return counted


def empty_addresses(ports: Ports) -> list[tuple[int, int]]:
    """Where there is no register: what is written there must not arrive, what is read is zero."""
    widths = ports.widths
    if "cfg_address" not in widths:
        return []
    used = {step.step: step.addresses.all() for step in ports.steps}
    # In the chain there are numbers of steps that do not exist.
    steps = range(1 << widths["cfg_step"]) if "cfg_step" in widths else used
    return [
        (k, a) for k in steps for a in range(1 << widths["cfg_address"]) if a not in used.get(k, ())
    ]


def _played(ports: Ports, vector: Vector) -> dict[str, Any]:
    lanes, bits, latency = ports.lanes, ports.input_bits, ports.latency_cycles
    data_bits = ports.widths.get("cfg_data", 0)

    def rows(values: Registers) -> list[tuple[int, int, int]]:
        return [(step, a, value & ((1 << data_bits) - 1)) for (step, a), value in values.items()]

    sets = [registers(ports, tuning) for tuning in vector.tunings]
    # Where taps change twice in a row the second commit changes nothing, but must arrive.
    commits = [0, 1] if len(sets) > 1 else [0]
    valid, writes = list(vector.valid), []
    for tuning, values in zip(vector.tunings[1:], sets[1:], strict=True):
        word = tuning.start // lanes
        clock = int(np.flatnonzero(valid)[word])
        # The set before must have passed the last step when the first register is written.
        needed = commits[-1] + latency + 1 + len(values)
        if (wait := needed - clock) > 0:
            pause = max(clock - BUSY_CLOCKS, commits[-1] + 1)
            valid[pause:pause] = wait * [False]
            clock += wait
        if vector.early_commits:
            while not valid[clock - 1] and clock - 1 >= needed:
                clock -= 1
        writes += [(clock - len(values) + n, *row) for n, row in enumerate(rows(values))]
        commits.append(clock)
    if not vector.drain:
        # The reset meets a commit on its way, somewhere in the chain.
        commits.append(len(valid) - max(latency // 2, 1))

    retuned, counted = len(sets) > 1, counters(ports)
    empty = empty_addresses(ports) if retuned else []
    # One counter after the other, in either order: clearing one must leave the others alone.
    clearing = list(counted)[:: 1 if retuned else -1] if vector.clears else []
    return {
        "name": vector.name,
        # What goes nowhere comes last, so that it would spoil a register if it went there.
        "first_writes": rows(sets[0]) + rows(dict.fromkeys(empty, 0x5A5A5A5A)),
        "valid": "".join("01"[int(v)] for v in valid),
        "in_i": [hex(word) for word in pack_words(vector.samples.i, bits, lanes)],
        "in_q": [hex(word) for word in pack_words(vector.samples.q, bits, lanes)],
        "writes": writes,
        "commits": commits,
        "drain": vector.drain,
        "probes": [*sets[0], *empty],
        "reads": [*(sets[-1] if retuned else ()), *counted] if vector.drain else [],
        "cleared": [
            (step, a, [other for k, other in counted if k == step]) for step, a in clearing
        ],
    }
