"""Golden vectors as a plain Verilog bench reads them: a row for each clock, in hexadecimal.

A row of the stimulus holds all inputs, a row of what is expected all outputs in the same clock and
which of them count. A set is a pair of files; the bench also holds a checksum of each, so that no
bit of them can change unnoticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dbp.datapath.lane_packing import pack_words
from dbp.rtl.ports import Ports
from dbp.sim.compare import READ_BITS, Expected, expect
from dbp.sim.coverage import coverage
from dbp.sim.job import PlayedVector, Register
from dbp.sim.schedule import counters, make_job
from dbp.sim.vectors import Vector

SEED = 1
# Clocks after the last word of a vector, in which nothing more may leave.
MORE_CLOCKS = 8
CHUNK_BITS = 32


class Field(NamedTuple):
    """A part of a row: a port, or a flag of the bench, and its width."""

    name: str
    width: int


Values = Mapping[str, int]


@dataclass(frozen=True)
class Layout:
    """The fields of a row, the first one in its most significant bits."""

    fields: tuple[Field, ...]

    @property
    def bits(self) -> int:
        return sum(field.width for field in self.fields)

    def pack(self, values: Values) -> int:
        """Return a row as an integer; fields without a value are 0."""
        word = 0
        for name, width in self.fields:
            value = values.get(name, 0)
            if not 0 <= value < 1 << width:
                raise ValueError(f"{name} = {value}: must have {width} bits")
            word = word << width | value
        return word


@dataclass(frozen=True)
class VectorSet:
    """Some vectors, one after the other, each behind a reset.

    ``stimulus``, ``expected``: the rows. ``counted_from``, ``counted_to``: the rows between which
    the first vector streams with full histories, for activity. ``samples``, ``reads``: what is
    compared. ``saturators``: see `dbp.sim.coverage.coverage`.
    """

    name: str
    vectors: tuple[str, ...]
    stimulus: tuple[int, ...]
    expected: tuple[int, ...]
    counted_from: int
    counted_to: int
    samples: int
    reads: int
    saturators: dict[str, int]


def layouts(ports: Ports) -> tuple[Layout, Layout]:
    """Return the layouts of stimulus and of what is expected."""
    fields = {
        direction: [Field(p.name, p.width) for p in ports.ports if p.direction == direction]
        for direction in ("input", "output")
    }
    flags = [Field("check_word", 1), Field("check_read", 1)]
    return (
        Layout((Field(ports.reset, 1), *fields["input"])),
        Layout((*flags, *fields["output"])),
    )


def checksum(rows: Sequence[int], bits: int) -> int:
    """Return what the bench computes of a file: a rotation and an exclusive or for each chunk."""
    total, mask = 0, (1 << CHUNK_BITS) - 1
    chunks = range(0, bits, CHUNK_BITS)
    for row in rows:
        for low in chunks:
            total = (total << 1 & mask) | total >> (CHUNK_BITS - 1)
            total ^= row >> low & mask
    return total


def hexadecimal(rows: Sequence[int], bits: int, title: str) -> str:
    """Return the text of a file for ``$readmemh``."""
    digits = -(-bits // 4)
    return f"// {title}\n" + "".join(f"{row:0{digits}x}\n" for row in rows)


def make_set(name: str, ports: Ports, vectors: Sequence[Vector]) -> VectorSet:
    """Lay out vectors clock by clock, with what the golden model says must leave."""
    played = make_job(ports, vectors).vectors
    expected = [expect(ports, *pair) for pair in zip(vectors, played, strict=True)]
    stimulus, answers = layouts(ports)
    rows_in: list[int] = []
    rows_out: list[int] = []
    samples = reads = 0
    window = 0, 0
    # Inputs that must not matter hold garbage.
    rng = np.random.default_rng(SEED)
    for vector, golden in zip(played, expected, strict=True):
        rows = _Rows(ports, vector, golden, rng)
        if not rows_in:
            window = rows.counted_from, rows.counted_to
        rows_in += map(stimulus.pack, rows.inputs)
        rows_out += map(answers.pack, rows.outputs)
        words = sum(row.get("check_word", 0) for row in rows.outputs)
        samples += ports.lanes * ports.polarizations * words
        reads += sum(row.get("check_read", 0) for row in rows.outputs)
    return VectorSet(
        name=name,
        vectors=tuple(vector.name for vector in vectors),
        stimulus=tuple(rows_in),
        expected=tuple(rows_out),
        counted_from=window[0],
        counted_to=window[1],
        samples=samples,
        reads=reads,
        saturators=coverage(ports, vectors, played, expected)["saturators"],
    )


class _Rows:
    """The rows of one vector: reset, writes, words, an empty pipeline, and reading of counters."""

    def __init__(
        self, ports: Ports, vector: PlayedVector, golden: Expected, rng: np.random.Generator
    ) -> None:
        self._ports, self._rng = ports, rng
        self._widths = ports.widths
        self.inputs: list[dict[str, int]] = [{ports.reset: 1}]
        for write in vector.first_writes:
            self.inputs.append(self._addressed(write.register, write.data))
        first = len(self.inputs)
        for clock in vector.clocks:
            row = {} if clock.write is None else self._addressed(*clock.write)
            row |= {"in_valid": int(clock.word is not None), "in_commit": int(clock.commit)}
            i, q = clock.word or (self._garbage("in_i"), self._garbage("in_q"))
            self.inputs.append(row | {"in_i": i, "in_q": q})
        self.inputs += [{} for _ in range(ports.latency_cycles + MORE_CLOCKS)]
        self.outputs: list[dict[str, int]] = [{} for _ in self.inputs]
        self._expect_words(vector, golden, first)
        self._read_counters(vector, golden)

    def _addressed(self, register: Register, data: int | None = None) -> dict[str, int]:
        """The row that points the port at a register, and writes ``data`` if there is some."""
        row = {"cfg_address": register.address, "cfg_write": int(data is not None)}
        if "cfg_step" in self._widths:
            row["cfg_step"] = register.step
        return row | ({} if data is None else {"cfg_data": data})

    def _garbage(self, port: str) -> int:
        width = self._widths[port]
        octets = self._rng.bytes(-(-width // 8))
        return int.from_bytes(octets, "little") & ((1 << width) - 1)

    def _expect_words(self, vector: PlayedVector, golden: Expected, first: int) -> None:
        """Words and commits leave ``latency_cycles`` after they came in."""
        ports = self._ports
        # A row is what the clock edge behind it takes, and what is seen after that edge.
        late = first + ports.latency_cycles - 1
        start, end = golden.first[-1], golden.end
        entered = vector.word_clocks[start // ports.lanes :]
        # Dumps begin before the edge of their row: the first word has left by the next one.
        self.counted_from = late + entered[0] + 1 if entered else first
        self.counted_to = first + len(vector.clocks)
        parts = (
            pack_words(part[..., start:end], ports.output_bits, ports.lanes)
            for part in golden.wires[-1]
        )
        for clock, i, q in zip(entered, *parts, strict=True):
            self.outputs[late + clock] |= {"check_word": 1, "out_valid": 1, "out_i": i, "out_q": q}
        for clock in vector.commit_clocks:
            self.outputs[late + clock]["out_commit"] = 1

    def _read_counters(self, vector: PlayedVector, golden: Expected) -> None:
        """Read how many samples each requantiser has clipped."""
        ports = self._ports
        for register, (block, name) in counters(ports).items():
            if register not in vector.reads:
                continue
            value = golden.clipped_count(ports.blocks.index(block), name) % (1 << READ_BITS)
            for k in range(ports.read_latency_cycles):
                last = k == ports.read_latency_cycles - 1
                self.inputs.append(self._addressed(register))
                self.outputs.append({"check_read": 1, "cfg_read_data": value} if last else {})
