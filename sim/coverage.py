"""Functional coverage: which saturators, register bits and addresses a simulation has used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from dbp.rtl.ports import Ports
from dbp.sim.compare import Expected, clipped_samples
from dbp.sim.schedule import counters, registers
from dbp.sim.vectors import Vector


def coverage(
    ports: Ports,
    todo: list[Vector],
    played: list[dict[str, Any]],
    expected: list[Expected],
) -> dict[str, dict[str, int]]:
    """Counts of what there is and of what was used.

    ``saturators``: one for each requantiser that can clip, each quadrature and each lane, and how
    many clipped ``below`` and ``above`` their range. ``register_bits``: those of taps and K in use,
    and how many were ``zero`` and ``one`` while samples passed. ``addresses``: ``written`` and
    ``read``.
    """
    return {
        "saturators": _saturators(ports, expected),
        "register_bits": _register_bits(ports, todo),
        "addresses": _addresses(ports, played),
    }


def verilog_coverage(path: Path) -> dict[str, dict[str, int]]:
    """``lines`` and ``toggles`` of the Verilog, from Verilator's ``coverage.dat``.

    Each a ``count`` of points, the same point of all instances of a module once, and how many
    were ``hit``. A toggle is one bit of a signal going up, or down.
    """
    hits: dict[str, list[bool]] = {"line": [], "toggle": []}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        # A point is a list of keys and values between control characters, and how often it was hit.
        if found := re.fullmatch(r"C '(.*)' (\d+)", line):
            pairs = dict(part.split("\x02", 1) for part in found[1].split("\x01") if part)
            kind = pairs.get("page", "").split("/")[0].removeprefix("v_")
            if kind in hits:
                hits[kind].append(int(found[2]) > 0)
    return {f"{kind}s": {"count": len(row), "hit": sum(row)} for kind, row in hits.items()}


def _saturators(ports: Ports, expected: list[Expected]) -> dict[str, int]:
    lanes = ports.lanes
    total = {"count": 0, "below": 0, "above": 0}
    for block, name in counters(ports).values():
        n = ports.blocks.index(block)
        used = []
        for side in (0, 1):
            masks = [clipped_samples(e, n, e.clips[n][name][side]) for e in expected]
            # Words have ``lanes`` samples, and the first that leaves begins one.
            used.append(np.concatenate(masks, axis=1).reshape(len(masks[0]), -1, lanes).any(axis=1))
        total["count"] += used[0].size
        total["below"] += int(used[0].sum())
        total["above"] += int(used[1].sum())
    return total


def _register_bits(ports: Ports, todo: list[Vector]) -> dict[str, int]:
    widths = {}
    for step in ports.steps:
        k, addresses = step.step, step.addresses
        design = todo[0].tunings[0].design
        for name in ("half_taps_i", "half_taps_q", "kerr"):
            kerr = name == "kerr"
            for a in getattr(addresses, name):
                widths[k, a] = (
                    design.rotations[k].kerr_bits if kerr else design.filters[k].coefficient_bits
                )
    ones, zeros = dict.fromkeys(widths, 0), dict.fromkeys(widths, 0)
    for vector in todo:
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


def _addresses(ports: Ports, played: list[dict[str, Any]]) -> dict[str, int]:
    there = {(step.step, a) for step in ports.steps for a in step.addresses.all()}
    written, read = set(), set()
    for vector in played:
        written |= {(step, a) for step, a, _ in vector["first_writes"]}
        written |= {(step, a) for _, step, a, _ in vector["writes"]}
        written |= {(step, a) for step, a, _ in vector["cleared"]}
        read |= set(vector["reads"])
    return {
        "count": len(there),
        "written": len(there & written),
        "read": len(there & read),
    }
