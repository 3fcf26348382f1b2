"""Lay out vectors clock by clock, with register writes and commits between the words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dbp.datapath.golden import Tuning
from dbp.datapath.lane_packing import pack_words
from dbp.rtl.ports import Ports
from dbp.sim.job import Clearing, Clock, Job, PlayedVector, Register, Word, Write
from dbp.sim.vectors import Vector

# A pause that must come before a commit comes this many clocks before it, so that the writes that
# wait for the pause still meet words.
BUSY_CLOCKS = 24
# Written where there is no register.
_STRAY_DATA = 0x5A5A5A5A


class ClipSource(NamedTuple):
    """The requantiser ``name`` of the block ``block``, whose clips a counter counts."""

    block: int
    name: str


def make_job(ports: Ports, vectors: Sequence[Vector]) -> Job:
    """Return the job with which `dbp.sim.cocotb_bench` plays the vectors."""
    return Job(
        top=ports.top,
        latency_cycles=ports.latency_cycles,
        read_latency_cycles=ports.read_latency_cycles,
        config_ports=tuple(name for name in ports.widths if name.startswith("cfg_")),
        vectors=tuple(_play(ports, vector) for vector in vectors),
    )


def registers(ports: Ports, tuning: Tuning) -> dict[Register, int]:
    """Return the value of every writable register."""
    return {
        Register(step.step, address): value
        for step in ports.steps
        for address, value in step.registers(tuning.design, tuning.launch_power_uw).items()
    }


def counters(ports: Ports) -> dict[Register, ClipSource]:
    """Return the requantiser of each counter."""
    counted: dict[Register, ClipSource] = {}
    for step in ports.steps:
        k, addresses = step.step, step.addresses
        for name, block, own in (
            ("filter", 2 * k, addresses.filter_clipped),
            ("phi", 2 * k + 1, addresses.phi_clipped),
            ("rotation", 2 * k + 1, addresses.rotation_clipped),
        ):
            counted |= {Register(k, address): ClipSource(block, name) for address in own}
    return counted


def empty_addresses(ports: Ports) -> list[Register]:
    """Return the addresses without a register: writes there have no effect, and reads give zero."""
    widths = ports.widths
    if "cfg_address" not in widths:
        return []
    used = {step.step: step.addresses.all() for step in ports.steps}
    # The port of a chain can name steps that do not exist.
    steps = range(1 << widths["cfg_step"]) if "cfg_step" in widths else used
    return [
        Register(k, address)
        for k in steps
        for address in range(1 << widths["cfg_address"])
        if address not in used.get(k, ())
    ]


def _play(ports: Ports, vector: Vector) -> PlayedVector:
    data_bits = ports.widths.get("cfg_data", 0)

    def writes(values: dict[Register, int]) -> tuple[Write, ...]:
        mask = (1 << data_bits) - 1
        return tuple(Write(register, value & mask) for register, value in values.items())

    sets = [registers(ports, tuning) for tuning in vector.tunings]
    is_retuned, counted = len(sets) > 1, tuple(counters(ports))
    empty = empty_addresses(ports) if is_retuned else []
    reads: tuple[Register, ...] = ()
    if vector.drain:
        reads = (*(sets[-1] if is_retuned else ()), *counted)
    # One counter after the other, in either order: clearing one must leave the others alone.
    clearing = counted[:: 1 if is_retuned else -1] if vector.clears else ()
    return PlayedVector(
        name=vector.name,
        # Writes to empty addresses come last: one that reached a register would spoil it.
        first_writes=writes(sets[0]) + writes(dict.fromkeys(empty, _STRAY_DATA)),
        clocks=tuple(_schedule(ports, vector, [writes(values) for values in sets[1:]])),
        drain=vector.drain,
        probes=(*sets[0], *empty),
        reads=reads,
        clearings=tuple(
            Clearing(counter, tuple(other for other in counted if other.step == counter.step))
            for counter in clearing
        ),
    )


def _schedule(ports: Ports, vector: Vector, writes: Sequence[Sequence[Write]]) -> list[Clock]:
    """Return the clocks of a vector whose later tunings need these ``writes``.

    The clocks are built forward: once a commit has its clock, all clocks up to that are final.
    """
    latency = ports.latency_cycles
    parts = (pack_words(part, ports.input_bits, ports.lanes) for part in vector.samples)
    words = map(Word, *parts)
    coming = [Clock(next(words) if valid else None) for valid in vector.valid]
    # Where taps change twice in a row the second commit changes nothing, but must arrive.
    first = 2 if writes else 1
    final = [clock._replace(commit=True) for clock in coming[:first]]
    coming = coming[first:]
    for tuning, rows in zip(vector.tunings[1:], writes, strict=True):
        ahead = tuning.start // ports.lanes - sum(clock.word is not None for clock in final)
        at = [n for n, clock in enumerate(coming) if clock.word is not None][ahead]
        # The set before must have passed the last step when the first register is written.
        earliest = latency + len(rows)
        if at < earliest:
            pause = max(at - BUSY_CLOCKS, 0)
            coming[pause:pause] = [Clock(None)] * (earliest - at)
            at = earliest
        if vector.early_commits:
            while coming[at - 1].word is None and at > earliest:
                at -= 1
        for n, write in enumerate(rows, at - len(rows)):
            coming[n] = coming[n]._replace(write=write)
        final += [*coming[:at], coming[at]._replace(commit=True)]
        coming = coming[at + 1 :]
    final += coming
    if not vector.drain:
        # The reset meets a commit on its way, somewhere in the chain.
        n = len(final) - max(latency // 2, 1)
        final[n] = final[n]._replace(commit=True)
    return final
