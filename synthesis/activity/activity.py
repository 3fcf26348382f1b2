"""Switching activity of a netlist: toggles per clock and static probability of every net."""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dbp.errors import InputError
from dbp.support.files import read_gzip_or_plain, write_bytes

COLUMNS = ["net", "toggles_per_clock", "static_probability"]
MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class Window:
    """The part of a dump that counts: from ``from_s`` to before ``to_s``, in its own time."""

    from_s: float = -math.inf
    to_s: float = math.inf


@dataclass(frozen=True)
class Part:
    """What counts of a file: a scope of it, and a part of its time; None for what the reader takes.

    `InputError` where the time ends before it begins.
    """

    scope: str | None = None
    from_ns: float | None = None
    to_ns: float | None = None

    def __post_init__(self) -> None:
        for name, time in (("from_ns", self.from_ns), ("to_ns", self.to_ns)):
            if time is not None and not 0 <= time < math.inf:
                raise InputError(f"{name} = {time!r}: must be a time of at least 0 ns")
        if not self.window.from_s < self.window.to_s:
            raise InputError(f"to_ns = {self.to_ns!r}: must be after from_ns = {self.from_ns!r}")

    @property
    def has_times(self) -> bool:
        return self.from_ns is not None or self.to_ns is not None

    @property
    def window(self) -> Window:
        """The time that counts, in seconds."""
        return Window(
            -math.inf if self.from_ns is None else self.from_ns * 1e-9,
            math.inf if self.to_ns is None else self.to_ns * 1e-9,
        )


@dataclass(frozen=True)
class Activity:
    """Toggles (both edges) per clock and the share of time at 1, by net.

    ``source``: the file that was read, for errors. ``scope``: the instance in it, empty where the
    file has none.
    """

    toggles_per_clock: Mapping[str, float]
    static_probability: Mapping[str, float]
    source: str = field(default="", compare=False)
    scope: str = field(default="", compare=False)

    def write(self, path: str | Path) -> None:
        """Write ``.csv.gz`` with the columns of `COLUMNS`, atomically."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(COLUMNS)
        for net, toggles in self.toggles_per_clock.items():
            rows.writerow([net, f"{toggles:.5f}", f"{self.static_probability[net]:.5f}"])
        write_bytes(path, gzip.compress(text.getvalue().encode(), mtime=0))


def read(path: str | Path) -> Activity:
    """Read ``.csv`` or ``.csv.gz``; `InputError` names the line that does not fit."""
    content = read_gzip_or_plain(path, MAX_BYTES, "CSV")
    try:
        # Spreadsheets put a byte-order mark first.
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    if not rows or rows[0] != COLUMNS:
        raise InputError(f"{path}: must begin with the line {','.join(COLUMNS)}")
    toggles, probability = {}, {}
    for line, row in enumerate(rows[1:], start=2):
        if not row:  # a blank line
            continue
        try:
            # An escaped identifier ends in a blank, which a table may have or not.
            net, rate, share = row[0].rstrip(), float(row[1]), float(row[2])
            if len(row) != 3 or not 0 <= rate < 1e6 or not 0 <= share <= 1:
                raise ValueError
        except (ValueError, IndexError):
            raise InputError(
                f"{path}: line {line}: {','.join(row)!r}: must be a net, toggles per clock >= 0 "
                "and a probability in 0..1"
            ) from None
        if net in toggles:
            raise InputError(f"{path}: line {line}: net {net!r}: must be listed once, is twice")
        toggles[net], probability[net] = rate, share
    return Activity(toggles, probability, str(path))


def time_unit_s(text: str) -> float:
    """Return the seconds of a timescale, 1e-11 for "10ps"; `InputError` where it is not one."""
    match = re.fullmatch(r"(1|10|100)(?:\.0*)?\s*([munpf]?)s", text.strip())
    if match is None:
        raise InputError(f"timescale {text[:20]!r}: must be 1, 10 or 100 of s, ms, us, ns, ps, fs")
    scale = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
    return int(match[1]) * scale[match[2]]
