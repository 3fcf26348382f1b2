"""The job that the bench plays, and the results that it records, as types and as JSON.

The bench (`dbp.sim.cocotb_bench`) runs in a process of its own, inside the simulator and without
this package. The two exchange JSON: `Job.to_json` writes it, `read_results` reads and checks it.
Words are hexadecimal there, since they are wider than what JSON readers take for an integer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from pydantic import Field, PlainValidator, TypeAdapter, ValidationError

from dbp.errors import ToolError, one_line


class Register(NamedTuple):
    """A register, by the number of its step and its address there."""

    step: int
    address: int


class Write(NamedTuple):
    """A write to a register; ``data`` is unsigned and as wide as the port."""

    register: Register
    data: int


class Word(NamedTuple):
    """The samples of one clock, packed as `dbp.datapath.lane_packing` does."""

    i: int
    q: int


class Clock(NamedTuple):
    """The inputs of one clock: a word or a pause, a write, a commit."""

    word: Word | None
    write: Write | None = None
    commit: bool = False


class Clearing(NamedTuple):
    """A counter to clear at the end, and the counters that are read after that."""

    counter: Register
    then_read: tuple[Register, ...]


@dataclass(frozen=True)
class PlayedVector:
    """A vector as the bench plays it, after a reset.

    ``first_writes`` come before the first of the ``clocks``. Clocks without a write read one of the
    ``probes``, at random. With ``drain`` the pipeline runs empty before the next reset.
    ``reads``: the registers that are read then; ``clearings``: the counters that are cleared last.
    """

    name: str
    first_writes: tuple[Write, ...]
    clocks: tuple[Clock, ...]
    drain: bool
    probes: tuple[Register, ...]
    reads: tuple[Register, ...]
    clearings: tuple[Clearing, ...]

    @property
    def word_clocks(self) -> list[int]:
        """The clocks at which words enter."""
        return [n for n, clock in enumerate(self.clocks) if clock.word is not None]

    @property
    def commit_clocks(self) -> list[int]:
        """The clocks at which commits enter."""
        return [n for n, clock in enumerate(self.clocks) if clock.commit]

    @property
    def writes(self) -> list[tuple[int, Write]]:
        """The writes while words stream, each behind its clock."""
        return [(n, clock.write) for n, clock in enumerate(self.clocks) if clock.write is not None]

    def to_json(self) -> dict[str, Any]:
        """Return the vector as `dbp.sim.cocotb_bench` reads it."""
        words = [clock.word for clock in self.clocks if clock.word is not None]
        return {
            "name": self.name,
            "first_writes": [[*write.register, write.data] for write in self.first_writes],
            "valid": "".join("0" if clock.word is None else "1" for clock in self.clocks),
            "in_i": [hex(word.i) for word in words],
            "in_q": [hex(word.q) for word in words],
            "writes": [[clock, *write.register, write.data] for clock, write in self.writes],
            "commits": self.commit_clocks,
            "drain": self.drain,
            "probes": [list(register) for register in self.probes],
            "reads": [list(register) for register in self.reads],
            "cleared": [
                [*counter, [register.address for register in then_read]]
                for counter, then_read in self.clearings
            ],
        }


@dataclass(frozen=True)
class Job:
    """The vectors to play through a top, and what the bench must know of that.

    ``top``: the name of its module; ``config_ports``: the names of its ports for registers.
    """

    top: str
    latency_cycles: int
    read_latency_cycles: int
    config_ports: tuple[str, ...]
    vectors: tuple[PlayedVector, ...]

    @property
    def clocks(self) -> int:
        """About how many clocks the bench takes, for a progress bar."""
        return sum(
            len(vector.clocks)
            + len(vector.first_writes)
            + self.latency_cycles
            + len(vector.clearings)
            + self.read_latency_cycles * len(vector.reads)
            for vector in self.vectors
        )

    def to_json(self) -> dict[str, Any]:
        """Return the job as `dbp.sim.cocotb_bench` reads it."""
        return {
            "latency_cycles": self.latency_cycles,
            "read_latency_cycles": self.read_latency_cycles,
            "config_ports": list(self.config_ports),
            "vectors": [vector.to_json() for vector in self.vectors],
        }


def _from_hex(value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("must be a hexadecimal number, or null")
    return int(value, 16)


# A word or the value of a register; None where the simulator does not know a bit of it.
_Value = Annotated[int | None, PlainValidator(_from_hex)]
_Count = Annotated[int, Field(strict=True, ge=0)]


class Probe(NamedTuple):
    """The value of a register that was read while words streamed, at the end of a clock."""

    clock: _Count
    step: _Count
    address: _Count
    value: _Value

    @property
    def register(self) -> Register:
        """The register that was read."""
        return Register(self.step, self.address)


@dataclass(frozen=True)
class VectorResult:
    """The record of one vector.

    ``out_i``, ``out_q``: the words that left, at the ``clocks``; ``commits``: the clocks at which
    commits left. ``reads`` and ``cleared`` are in the order of `PlayedVector.reads` and
    `PlayedVector.clearings`. ``stray``: clocks in which something left though nothing was due.
    """

    out_i: tuple[_Value, ...]
    out_q: tuple[_Value, ...]
    clocks: tuple[_Count, ...]
    commits: tuple[_Count, ...]
    probes: tuple[Probe, ...]
    reads: tuple[_Value, ...]
    cleared: tuple[tuple[_Value, ...], ...]
    stray: _Count


def read_results(text: str | bytes, job: Job) -> tuple[VectorResult, ...]:
    """Read the bench's record of each vector of a job; `ToolError` where it does not fit."""
    try:
        results = TypeAdapter(tuple[VectorResult, ...]).validate_json(text)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"])) or "the file"
        raise ToolError(f"results of the bench: {field}: {one_line(problem['msg'])}") from None
    if len(results) != len(job.vectors):
        raise ToolError(f"results of the bench: {len(results)} vectors: must be {len(job.vectors)}")
    for vector, result in zip(job.vectors, results, strict=True):
        lengths = (
            (len(result.out_i), len(result.clocks)),
            (len(result.out_q), len(result.clocks)),
            (len(result.reads), len(vector.reads)),
            (
                [len(values) for values in result.cleared],
                [len(clearing.then_read) for clearing in vector.clearings],
            ),
        )
        if any(length != expected for length, expected in lengths):
            raise ToolError(f"results of the bench: {vector.name}: lists of wrong lengths")
    return results
