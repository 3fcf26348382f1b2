"""Functional coverage: which saturators, register bits and addresses a simulation has used."""

from __future__ import annotations

from typing import Any

import numpy as np

from dbp.sim.compare import Expected, clipped_samples
from dbp.sim.job import counters, registers
from dbp.sim.vectors import Vector


def coverage(
    ports: dict[str, Any],
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


def _saturators(ports: dict[str, Any], expected: list[Expected]) -> dict[str, int]:
    lanes = ports["lanes"]
    total = {"count": 0, "below": 0, "above": 0}
    for block, name in counters(ports).values():
        n = ports["blocks"].index(block)
        used = []
        for side in (0, 1):
            masks = [clipped_samples(e, n, e.clips[n][name][side]) for e in expected]
            # Words have ``lanes`` samples, and the first that leaves begins one.
            used.append(np.concatenate(masks, axis=1).reshape(len(masks[0]), -1, lanes).any(axis=1))
        total["count"] += used[0].size
        total["below"] += int(used[0].sum())
        total["above"] += int(used[1].sum())
    return total


def _register_bits(ports: dict[str, Any], todo: list[Vector]) -> dict[str, int]:
    widths = {}
    for step in ports["steps"]:
        k, addresses = step["step"], step["addresses"]
        design = todo[0].tunings[0].design
        for name in ("half_taps_i", "half_taps_q", "kerr"):
            kerr = name == "kerr"
            for a in addresses[name]:
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


def _addresses(ports: dict[str, Any], played: list[dict[str, Any]]) -> dict[str, int]:
    there = {
        (step["step"], a) for step in ports["steps"] for row in step["addresses"].values()
        for a in row
    }  # fmt: skip
    written, read = set(), set()
    for vector in played:
        written |= {(step, a) for step, a, _ in vector["first_writes"]}
        written |= {(step, a) for _, step, a, _ in vector["writes"]}
        written |= set(vector["cleared"])
        read |= set(vector["reads"])
    return {
        "count": len(there),
        "written": len(there & written),
        "read": len(there & read),
    }
