"""Compare a record of the bench with golden: words, latencies, commits, values of registers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dbp.datapath import golden
from dbp.datapath.golden import Clips, Samples
from dbp.datapath.lane_packing import unpack_words
from dbp.records.schemas import SampleMismatch, VectorMetrics, WrongRegister
from dbp.rtl.ports import Ports
from dbp.sim.job import PlayedVector, Register, VectorResult
from dbp.sim.schedule import counters, empty_addresses
from dbp.sim.vectors import Vector

# Registers are read as words of this width.
READ_BITS = 32


@dataclass(frozen=True)
class Expected:
    """Golden's values for one vector; blocks are counted from the first one of the top.

    ``wires``: the samples that enter the first block, and those that leave each block, as of
    `dbp.datapath.golden.trace_retuned`; ``clips``: for each block what `golden.clips_retuned`
    returns. ``first``: for each block the first sample that leaves it, since those before fill
    histories; ``end``: one more than the last sample that leaves the top.
    """

    wires: list[Samples]
    clips: list[dict[str, Clips]]
    first: list[int]
    end: int

    def clipped(self, n: int, side: Sequence[np.ndarray]) -> np.ndarray:
        """Return, per quadrature, which samples that leave block ``n`` are clipped on one side.

        Of two polarisations an axis more, before that of the samples: of length 1 for what is one
        for both.
        """
        return np.array([part[..., self.first[n] : self.end] for part in side])

    def clipped_count(self, n: int, name: str) -> int:
        """Count the samples that leave block ``n`` and were clipped in either quadrature."""
        below, above = (self.clipped(n, side) for side in self.clips[n][name])
        return int((below | above).any(axis=0).sum())


def expect(ports: Ports, vector: Vector, played: PlayedVector) -> Expected:
    """Run golden on a vector, block by block of the top."""
    blocks, lanes = ports.blocks, ports.lanes
    wires = golden.trace_retuned(vector.tunings, vector.samples, blocks)
    design = vector.tunings[0].design
    first = [
        lanes * golden.warm_up_words(design, lanes, blocks[: n + 1]) for n in range(len(blocks))
    ]
    clocks = played.word_clocks
    if not vector.drain:
        # A word that would come out at or after the reset does not.
        last = len(played.clocks) - ports.latency_cycles
        clocks = [clock for clock in clocks if clock <= last]
    clips = golden.clips_retuned(vector.tunings, wires[:-1], blocks)
    return Expected(wires, clips, first, lanes * len(clocks))


def compare(
    ports: Ports, vector: Vector, played: PlayedVector, expected: Expected, result: VectorResult
) -> VectorMetrics:
    """Return the figures of one vector.

    Samples that are missing, unknown or too many count as mismatches.
    """
    samples, mismatches, first_mismatch = _compare_words(ports, vector, expected, result)
    entered = played.word_clocks[expected.first[-1] // ports.lanes :]
    commits = played.commit_clocks
    latencies = {left - n for n, left in zip(entered, result.clocks, strict=False)}
    latencies |= {left - n for n, left in zip(commits, result.commits, strict=False)}
    last = len(played.clocks) - ports.latency_cycles
    due = [clock for clock in commits if vector.drain or clock <= last]
    return VectorMetrics(
        name=vector.name,
        samples=samples,
        mismatches=mismatches,
        first_mismatch=first_mismatch,
        registers_read=len(result.probes) + len(result.reads) + sum(map(len, result.cleared)),
        wrong_registers=_wrong_registers(ports, played, expected, result),
        odd_commits=int(len(due) != len(result.commits)),
        stray_words=result.stray,
        launch_power_uw=vector.tunings[0].launch_power_uw,
        retunings=len(vector.tunings) - 1,
        pauses=len(played.clocks) - len(played.word_clocks),
        latencies_cycles=tuple(sorted(latencies)),
        clipped={
            name: sum(
                expected.clipped_count(n, name)
                for n, clips in enumerate(expected.clips)
                if name in clips
            )
            for name in ("filter", "phi", "rotation")
        },
    )


def _compare_words(
    ports: Ports, vector: Vector, expected: Expected, result: VectorResult
) -> tuple[int, int, SampleMismatch | None]:
    """Count the samples and those that differ, and describe the first that does."""
    lanes, bits = ports.lanes, ports.output_bits
    first, end = expected.first[-1], expected.end
    golden_samples = Samples(*(part[..., first:end] for part in expected.wires[-1]))
    pairs = list(zip(result.out_i, result.out_q, strict=True))
    unknown = np.repeat(np.array([None in pair for pair in pairs], np.bool_), lanes)
    rtl_samples = Samples(
        *(
            unpack_words([word or 0 for word in words], bits, lanes, ports.polarizations)
            for words in (result.out_i, result.out_q)
        )
    )
    lengths = golden_samples.i.shape[-1], rtl_samples.i.shape[-1]
    both = slice(min(lengths))
    differs = np.ones((*golden_samples.i.shape[:-1], max(lengths)), np.bool_)
    differs[..., both] = unknown[both]
    for golden_part, rtl_part in zip(golden_samples, rtl_samples, strict=True):
        differs[..., both] |= golden_part[..., both] != rtl_part[..., both]
    if not differs.any():
        return differs.size, 0, None
    # The first in time; of both polarisations the one that differs there.
    n = int(differs.reshape(-1, differs.shape[-1]).any(axis=0).argmax())
    place = (*np.argwhere(differs[..., n])[0].tolist(), n)
    mismatch = SampleMismatch(
        vector=vector.name,
        sample=first + n,
        expected=_pair(golden_samples, place) if n < lengths[0] else None,
        got=_pair(rtl_samples, place) if n < lengths[1] and not unknown[n] else None,
    )
    if ports.polarizations == 2:
        mismatch = mismatch.model_copy(update={"polarization": "xy"[place[0]]})
    return differs.size, int(differs.sum()), mismatch


def _pair(samples: Samples, place: tuple[int, ...]) -> tuple[int, int]:
    return int(samples.i[place]), int(samples.q[place])


def _wrong_registers(
    ports: Ports, played: PlayedVector, expected: Expected, result: VectorResult
) -> tuple[WrongRegister, ...]:
    """The registers that do not read as written, and counters that do not read as in golden."""
    data_bits = ports.widths.get("cfg_data", 1)

    def signed(data: int) -> int:
        return data - (1 << data_bits) if data >> (data_bits - 1) else data

    # An empty address reads as zero, whatever is written there; a register as it was written last.
    values = dict.fromkeys(empty_addresses(ports), 0)
    for register, data in played.first_writes:
        if register not in values:
            values[register] = signed(data)
    rows: list[tuple[Register, int, int | None]] = []
    later_writes = list(reversed(played.writes))
    for probe in result.probes:
        while later_writes and later_writes[-1][0] < probe.clock:
            _, (register, data) = later_writes.pop()
            values[register] = signed(data)
        rows.append((probe.register, values[probe.register], probe.value))
    values |= {register: signed(data) for _, (register, data) in reversed(later_writes)}
    for register, (block, name) in counters(ports).items():
        values[register] = expected.clipped_count(ports.blocks.index(block), name)
    rows += [
        (register, values[register], value)
        for register, value in zip(played.reads, result.reads, strict=True)
    ]
    for (counter, then_read), cleared in zip(played.clearings, result.cleared, strict=True):
        values[counter] = 0
        rows += [
            (register, values[register], value)
            for register, value in zip(then_read, cleared, strict=True)
        ]
    return tuple(
        WrongRegister(
            step=register.step,
            address=register.address,
            expected=value,
            got=None if read is None else hex(read),
        )
        for register, value, read in rows
        if read is None or read != value % (1 << READ_BITS)
    )
