"""Vectors as the bench plays them: register writes, commits and words, clock by clock, integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from dbp.datapath.golden import Tuning
from dbp.datapath.words import pack_words
from dbp.sim.vectors import Vector

Registers = dict[tuple[int, int], int]

# Words before and behind which writes still go on, so that they meet a stream.
BUSY_CLOCKS = 24


def make_job(ports: dict[str, Any], todo: list[Vector]) -> dict[str, Any]:
    """What `dbp.sim.cocotb_bench` plays of the vectors."""
    return {
        "latency_cycles": ports["latency_cycles"],
        "read_latency_cycles": ports["read_latency_cycles"],
        "config_ports": [p["name"] for p in ports["ports"] if p["name"].startswith("cfg_")],
        "vectors": [_played(ports, vector) for vector in todo],
    }


def registers(ports: dict[str, Any], tuning: Tuning) -> Registers:
    """The value of every writable register, by step and address."""
    design, values = tuning.design, {}
    for step in ports["steps"]:
        k, addresses = step["step"], step["addresses"]
        for name in ("half_taps_i", "half_taps_q"):
            if addresses[name]:
                taps = getattr(design.filters[k], name)
                values |= {(k, a): tap for a, tap in zip(addresses[name], taps, strict=True)}
        if addresses["kerr"]:
            kerr = design.rotations[k].kerr(tuning.launch_power_uw)
            values |= {(k, a): gain for a, gain in zip(addresses["kerr"], kerr, strict=True)}
    return values


def counters(ports: dict[str, Any]) -> dict[tuple[int, int], tuple[int, str]]:
    """What each counter counts, by step and address: the number of a block and a requantiser."""
    found = {}
    for step in ports["steps"]:
        k = step["step"]
        for name, block in (("filter", 2 * k), ("phi", 2 * k + 1), ("rotation", 2 * k + 1)):
            found |= {(k, a): (block, name) for a in step["addresses"][f"{name}_clipped"]}
    return found


def empty_addresses(ports: dict[str, Any]) -> list[tuple[int, int]]:
    """Where there is no register: what is written there must not arrive, what is read is zero."""
    widths = {port["name"]: port["width"] for port in ports["ports"]}
    if "cfg_address" not in widths:
        return []
    used = {
        step["step"]: {a for row in step["addresses"].values() for a in row}
        for step in ports["steps"]
    }
    # In the chain there are numbers of steps that do not exist.
    steps = range(1 << widths["cfg_step"]) if "cfg_step" in widths else used
    return [
        (k, a) for k in steps for a in range(1 << widths["cfg_address"]) if a not in used.get(k, ())
    ]


def _played(ports: dict[str, Any], vector: Vector) -> dict[str, Any]:
    lanes, bits, latency = ports["lanes"], ports["input_bits"], ports["latency_cycles"]
    data_bits = next((p["width"] for p in ports["ports"] if p["name"] == "cfg_data"), 0)

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
