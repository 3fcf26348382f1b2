"""What the bench recorded against golden: words, latencies, commits, and what registers hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dbp.datapath import golden
from dbp.datapath.golden import Clips, Samples
from dbp.datapath.words import unpack_words
from dbp.rtl.ports import Ports
from dbp.sim.schedule import counters, empty_addresses
from dbp.sim.vectors import Vector


@dataclass(frozen=True)
class Expected:
    """What golden says of one vector.

    ``wires`` and ``clips`` as of `dbp.datapath.golden`, for each block; ``first``: the first sample
    that leaves the top, and behind each block; ``end``: one more than the last that leaves.
    """

    wires: list[Samples]
    clips: list[dict[str, Clips]]
    first: list[int]
    end: int


def expect(ports: Ports, vector: Vector, played: dict[str, Any]) -> Expected:
    """Golden on the vector, by the blocks of the top."""
    blocks, lanes = ports.blocks, ports.lanes
    wires = golden.trace_retuned(vector.tunings, vector.samples, blocks)
    design = vector.tunings[0].design
    first = [
        lanes * golden.warm_up_words(design, lanes, blocks[: n + 1]) for n in range(len(blocks))
    ]
    valid = np.array([v == "1" for v in played["valid"]])
    if not vector.drain:
        # A word that would come out at or after the reset does not.
        valid = valid[: max(len(valid) - ports.latency_cycles + 1, 0)]
    clips = golden.clips_retuned(vector.tunings, wires[:-1], blocks)
    return Expected(wires, clips, first, lanes * int(valid.sum()))


def compare(
    ports: Ports,
    vector: Vector,
    played: dict[str, Any],
    expected: Expected,
    result: dict[str, Any],
) -> dict[str, Any]:
    """The figures of one vector; samples that are missing, unknown or too many are mismatches."""
    samples, mismatches, first = _words(ports, vector, expected, result)
    entered = [n for n, valid in enumerate(played["valid"]) if valid == "1"]
    entered = entered[expected.first[-1] // ports.lanes :]
    latencies = {out - n for n, out in zip(entered, result["clocks"], strict=False)}
    commits = zip(played["commits"], result["commits"], strict=False)
    latencies |= {out - n for n, out in commits}
    due = [
        n
        for n in played["commits"]
        if vector.drain or n + ports.latency_cycles <= len(played["valid"])
    ]
    odd_commits = len(due) != len(result["commits"])
    wrong = _wrong_registers(ports, vector, played, expected, result)
    return {
        "name": vector.name,
        "samples": samples,
        "mismatches": mismatches,
        "first_mismatch": first,
        "registers_read": len(result["probes"])
        + len(result["reads"])
        + sum(map(len, result["cleared"])),
        "wrong_registers": wrong,
        "odd_commits": int(odd_commits),
        "stray_words": result["stray"],
        "launch_power_uw": vector.tunings[0].launch_power_uw,
        "retunings": len(vector.tunings) - 1,
        "pauses": played["valid"].count("0"),
        "latencies_cycles": sorted(latencies),
        "clipped": {
            name: sum(
                _count(expected, n, found[name])
                for n, found in enumerate(expected.clips)
                if name in found
            )
            for name in ("filter", "phi", "rotation")
        },
    }


def _words(
    ports: Ports, vector: Vector, expected: Expected, result: dict[str, Any]
) -> tuple[int, int, dict[str, Any] | None]:
    lanes, bits = ports.lanes, ports.output_bits
    first, end = expected.first[-1], expected.end
    want = Samples(*(part[first:end] for part in expected.wires[-1]))
    pairs = zip(result["out_i"], result["out_q"], strict=True)
    unknown = np.repeat(np.array([None in pair for pair in pairs], np.bool_), lanes)
    got = Samples(
        *(
            unpack_words([int(w or "0", 16) for w in result[name]], bits, lanes)
            for name in ("out_i", "out_q")
        )
    )
    length = min(len(got.i), len(want.i))
    differs = np.ones(max(len(got.i), len(want.i)), np.bool_)
    differs[:length] = (
        (got.i[:length] != want.i[:length]) | (got.q[:length] != want.q[:length]) | unknown[:length]
    )
    if not differs.any():
        return len(differs), 0, None
    n = int(differs.argmax())
    mismatch = {"vector": vector.name, "sample": first + n, "expected": None, "got": None}
    if n < len(want.i):
        mismatch["expected"] = [int(want.i[n]), int(want.q[n])]
    if n < len(got.i) and not unknown[n]:
        mismatch["got"] = [int(got.i[n]), int(got.q[n])]
    return len(differs), int(differs.sum()), mismatch


def _wrong_registers(
    ports: Ports,
    vector: Vector,
    played: dict[str, Any],
    expected: Expected,
    result: dict[str, Any],
) -> list[dict[str, Any]]:
    """Registers that read back otherwise than written, and counters otherwise than golden's."""
    data_bits = ports.widths.get("cfg_data", 1)

    def signed(data: int) -> int:
        return data - (1 << data_bits) if data >> (data_bits - 1) else data

    # What waits follows the writes, those at empty addresses aside: there zero is read.
    values = dict.fromkeys(empty_addresses(ports), 0)
    values |= {(k, a): signed(d) for k, a, d in played["first_writes"] if (k, a) not in values}
    writes = list(reversed(played["writes"]))
    rows = []
    for clock, step, address, got in result["probes"]:
        while writes and writes[-1][0] < clock:
            _, *register, data = writes.pop()
            values[tuple(register)] = signed(data)
        rows.append(((step, address), values[step, address], got))
    values |= {(k, a): signed(d) for _, k, a, d in reversed(writes)}
    for register, (block, name) in counters(ports).items():
        n = ports.blocks.index(block)
        values[register] = _count(expected, n, expected.clips[n][name])
    pairs = zip(played["reads"], result["reads"], strict=True)
    rows += [(tuple(register), values[tuple(register)], got) for register, got in pairs]
    for (step, address, others), found in zip(played["cleared"], result["cleared"], strict=True):
        values[step, address] = 0
        rows += [((step, a), values[step, a], got) for a, got in zip(others, found, strict=True)]
    return [
        {"step": register[0], "address": register[1], "expected": value, "got": got}
        for register, value, got in rows
        if got is None or int(got, 16) != value % (1 << 32)
    ]


def clipped_samples(expected: Expected, n: int, side: Sequence[np.ndarray]) -> np.ndarray:
    """For each quadrature, which of the samples that leave block ``n`` are clipped on one side."""
    return np.array([part[expected.first[n] : expected.end] for part in side])


def _count(expected: Expected, n: int, clips: Clips) -> int:
    """Samples that leave block ``n`` and were clipped in either quadrature."""
    below, above = (clipped_samples(expected, n, side) for side in clips)
    return int((below | above).any(axis=0).sum())
