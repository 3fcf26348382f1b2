"""Value change dumps: toggles and time at 1 of every wire, counted as a stream.

Only what Icarus Verilog writes for scalar wires is understood. The file is read in pieces and each
piece counted with array operations, since a dump has tens of millions of lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from dbp.errors import ToolError

_CHUNK = 1 << 24
_VARIABLE = re.compile(rb"\$var \w+ 1 (\S+) (\S+) \$end")
_BASE = 95  # identifiers are digits of 94 characters from "!"; 0 stands for "no more digits"


@dataclass(frozen=True)
class Counts:
    """By name of the wire: changes between 0 and 1, and time units at 1 out of ``duration``."""

    names: tuple[str, ...]
    toggles: NDArray[np.int64]
    time_at_one: NDArray[np.int64]
    duration: int


def count(path: Path) -> Counts:
    """Count a dump; `ToolError` where a wire is ever unknown, or the dump is none."""
    with path.open("rb") as file:
        names, index = _header(file, path)
        counter = _Counter(max(names.values()) + 1, index)
        rest = b""
        while chunk := file.read(_CHUNK):
            chunk = rest + chunk
            end = chunk.rfind(b"\n") + 1
            chunk, rest = chunk[:end], chunk[end:]
            counter.add(np.frombuffer(chunk, dtype=np.uint8))
    for name, place in names.items():
        if place == counter.unknown or counter.value[place] < 0:
            raise ToolError(f"{path}: wire {name} is unknown (x) while counting")
    places = np.array(list(names.values()))
    at_one = counter.at_one + counter.value * counter.now
    toggles = counter.changes - 1  # the first value of each wire is no change
    return Counts(tuple(names), toggles[places], at_one[places], counter.now - counter.start)


def _header(file: BinaryIO, path: Path) -> tuple[dict[str, int], NDArray[np.int64]]:
    """Places of the wires by name (wires that are one have one place) and by identifier code."""
    places: dict[int, int] = {}
    names: dict[str, int] = {}
    for line in file:
        found = _VARIABLE.search(line)
        if found is not None:
            code = sum((byte - 32) * _BASE**k for k, byte in enumerate(found[1]))
            names[found[2].decode()] = places.setdefault(code, len(places))
        if line.startswith(b"$enddefinitions"):
            break
    else:
        raise ToolError(f"{path}: not a value change dump")
    if not names:
        raise ToolError(f"{path}: a value change dump without wires")
    index = np.full(max(places) + 1, -1, dtype=np.int64)
    index[list(places)] = list(places.values())
    return names, index


class _Counter:
    def __init__(self, wires: int, index: NDArray[np.int64]) -> None:
        self.index = index
        self.changes = np.zeros(wires, dtype=np.int64)
        self.at_one = np.zeros(wires, dtype=np.int64)
        self.value = np.full(wires, -1, dtype=np.int64)
        self.now = 0
        self.start = -1
        self.unknown: int | None = None

    def add(self, text: NDArray[np.uint8]) -> None:
        """Count whole lines: ``#time``, ``0id``, ``1id``, ``xid``; others are skipped."""
        ends = np.flatnonzero(text == ord("\n"))
        begins = np.concatenate([[0], ends[:-1] + 1])
        lengths = ends - begins
        keep = lengths > 1
        begins, lengths = begins[keep], lengths[keep]
        first = text[begins]
        is_time = first == ord("#")
        times = _digits(text, begins[is_time] + 1, lengths[is_time] - 1, 48, 10, leading=True)
        if self.start < 0 and len(times):
            self.now = self.start = int(times[0])
        moments = np.concatenate([[self.now], times])[np.cumsum(is_time)]
        if len(times):
            self.now = int(times[-1])
        change = (first == ord("0")) | (first == ord("1")) | (first == ord("x"))
        codes = _digits(text, begins[change] + 1, lengths[change] - 1, 32, _BASE, leading=False)
        wires, to, when = self.index[codes], first[change], moments[change]
        if np.any(to == ord("x")) and self.unknown is None:
            self.unknown = int(wires[to == ord("x")][0])
        up = to == ord("1")
        self.changes += np.bincount(wires, minlength=len(self.changes))
        # At 1 from a rise to a fall: falls count plus, rises minus; the first value is no fall.
        first_value = np.zeros(len(wires), dtype=bool)
        fresh = np.flatnonzero(self.value[wires] < 0)
        if len(fresh):
            _, where = np.unique(wires[fresh], return_index=True)
            first_value[fresh[where]] = True
        sign = np.where(up, -1, np.where(first_value, 0, 1))
        np.add.at(self.at_one, wires, sign * when)
        self.value[wires] = up


def _digits(text, begins, lengths, zero: int, base: int, *, leading: bool) -> NDArray[np.int64]:
    """Numbers from digit characters, most significant first if ``leading``."""
    total = np.zeros(len(begins), dtype=np.int64)
    for k in range(int(lengths.max(initial=0))):
        here = lengths > k
        digit = text[np.where(here, begins + k, 0)].astype(np.int64) - zero
        total = np.where(here, total * base + digit if leading else total + digit * base**k, total)
    return total
