"""Switching activity of a netlist: toggles per clock and static probability of every net."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dbp.errors import InputError
from dbp.files import write_bytes

COLUMNS = ["net", "toggles_per_clock", "static_probability"]


@dataclass(frozen=True)
class Activity:
    """Toggles (both edges) per clock and the share of time at 1, by net."""

    toggles_per_clock: Mapping[str, float]
    static_probability: Mapping[str, float]

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
    try:
        content = Path(path).read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        rows = list(csv.reader(io.StringIO(content.decode())))
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    if not rows or rows[0] != COLUMNS:
        raise InputError(f"{path}: must begin with the line {','.join(COLUMNS)}")
    toggles, probability = {}, {}
    for line, row in enumerate(rows[1:], start=2):
        try:
            net, rate, share = row[0], float(row[1]), float(row[2])
            if len(row) != 3 or not 0 <= rate < 1e6 or not 0 <= share <= 1:
                raise ValueError
        except (ValueError, IndexError):
            raise InputError(
                f"{path}: line {line}: {','.join(row)!r}: must be a net, toggles per clock >= 0 "
                "and a probability in 0..1"
            ) from None
        toggles[net], probability[net] = rate, share
    return Activity(toggles, probability)
