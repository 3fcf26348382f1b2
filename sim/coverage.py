"""Functional coverage: which saturators, register bits and addresses a simulation has used."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from dbp.rtl.ports import Ports
from dbp.sim.compare import Expected
from dbp.sim.job import PlayedVector, Register
from dbp.sim.schedule import counters, registers
from dbp.sim.vectors import Vector

Counts = dict[str, int]


def coverage(
    ports: Ports,
    vectors: Sequence[Vector],
    played: Sequence[PlayedVector],
    expected: Sequence[Expected],
) -> dict[str, Counts]:
    """Count what there is of each kind, and how many of them were used.

    ``saturators``: one for each requantiser that can clip, each quadrature and each lane, and how
    many clipped ``below`` and ``above`` their range. ``register_bits``: those of taps and K in use,
    and how many were ``zero`` and ``one`` while samples passed. ``addresses``: ``written`` and
    ``read``.
    """
    return {
        "saturators": _saturators(ports, expected),
        "register_bits": _register_bits(ports, vectors),
        "addresses": _addresses(ports, played),
    }


def verilog_coverage(text: str) -> dict[str, Counts]:
    """Count the ``lines`` and ``toggles`` of the Verilog, from Verilator's ``coverage.dat``.

    Each has a ``count`` of points and how many were ``hit``. The points of a module count once,
    whatever its number of instances. A toggle is one bit of a signal that goes up, or down.
    """
    hits: dict[str, list[bool]] = {"line": [], "toggle": []}
    for line in text.splitlines():
        # A point is a list of keys and values between control characters, and how often it was hit.
        if match := re.fullmatch(r"C '(.*)' (\d+)", line):
            pairs = dict(part.split("\x02", 1) for part in match[1].split("\x01") if part)
            kind = pairs.get("page", "").split("/")[0].removeprefix("v_")
            if kind in hits:
                hits[kind].append(int(match[2]) > 0)
    return {f"{kind}s": {"count": len(row), "hit": sum(row)} for kind, row in hits.items()}


def _saturators(ports: Ports, expected: Sequence[Expected]) -> Counts:
    totals = {"count": 0, "below": 0, "above": 0}
    for block, name in counters(ports).values():
        n = ports.blocks.index(block)
        for side in ("below", "above"):
            masks = [golden.clipped(n, getattr(golden.clips[n][name], side)) for golden in expected]
            # The first sample that leaves a block begins a word.
            rows = np.concatenate(masks, axis=-1)
            lanes = rows.reshape(-1, rows.shape[-1] // ports.lanes, ports.lanes)
            totals[side] += int(lanes.any(axis=1).sum())
        totals["count"] += len(lanes) * ports.lanes
    return totals


def _register_bits(ports: Ports, vectors: Sequence[Vector]) -> Counts:
    design = vectors[0].tunings[0].design
    widths: dict[Register, int] = {}
    for step in ports.steps:
        k, addresses = step.step, step.addresses
        for address in (*addresses.half_taps_i, *addresses.half_taps_q):
            widths[Register(k, address)] = design.filters[k].coefficient_bits
        for address in addresses.kerr:
            widths[Register(k, address)] = design.rotations[k].kerr_bits
    ones, zeros = dict.fromkeys(widths, 0), dict.fromkeys(widths, 0)
    for vector in vectors:
        for tuning in vector.tunings:
            for register, value in registers(ports, tuning).items():
                mask = (1 << widths[register]) - 1
                ones[register] |= value & mask
                zeros[register] |= ~value & mask
    return {
        "count": sum(widths.values()),
        "zero": sum(bits.bit_count() for bits in zeros.values()),
        "one": sum(bits.bit_count() for bits in ones.values()),
    }


def _addresses(ports: Ports, played: Sequence[PlayedVector]) -> Counts:
    existing = {
        Register(step.step, address) for step in ports.steps for address in step.addresses.all()
    }
    written: set[Register] = set()
    read: set[Register] = set()
    for vector in played:
        written |= {write.register for write in vector.first_writes}
        written |= {write.register for _, write in vector.writes}
        written |= {clearing.counter for clearing in vector.clearings}
        read |= set(vector.reads)
    return {
        "count": len(existing),
        "written": len(existing & written),
        "read": len(existing & read),
    }
