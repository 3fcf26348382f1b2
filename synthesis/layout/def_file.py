"""A layout from DEF (5.8, as OpenROAD writes it): where cells and ports lie, and what joins them.

Routes are passed over; of the power grid the straps are read. No library that is kept up and that
may come with an Apache-2.0 package reads DEF, hence this reader.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dbp.errors import InputError
from dbp.support.files import open_gzip_or_plain
from dbp.synthesis.netlist.spef import plain

ORIENTATIONS = ("N", "S", "E", "W", "FN", "FS", "FE", "FW")
_PLACED = ("PLACED", "FIXED", "COVER")
_QUOTED = re.compile(r'"[^"]*"')
_SECTIONS = ("COMPONENTS", "PINS", "NETS", "SPECIALNETS")
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Component:
    """A cell: its kind, and its lower left corner in um as it lies; None where it is not placed."""

    cell: str
    at_um: Point | None
    turned: bool


@dataclass(frozen=True, slots=True)
class Strap:
    """A straight wire of the power grid, in um."""

    layer: str
    width_um: float
    start_um: Point
    end_um: Point


@dataclass(frozen=True)
class DefLayout:
    """A layout; names go without backslashes.

    ``die_um``: lower left and upper right corner of the die, of its bounding box where it is no
    rectangle. ``ports``: where each lies. ``nets``: the
    pins of each, as (instance, pin); the instance of a port is ``PIN``.
    """

    design: str
    die_um: tuple[Point, Point]
    components: dict[str, Component]
    ports: dict[str, Point]
    straps: tuple[Strap, ...]
    nets: dict[str, tuple[tuple[str, str], ...]]


def read(path: str | Path) -> DefLayout:
    """Read a ``.def`` or ``.def.gz``; `InputError` names the line that cannot be read."""
    try:
        with open_gzip_or_plain(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", errors="replace")
            return _Reader(str(path)).read(text)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


@dataclass
class _Reader:
    """The state of reading: the section, and what has been found."""

    path: str
    number: int = 0
    per_um: int = 0
    section: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    design: str = ""
    corners: list[Point] = field(default_factory=list)
    components: dict[str, Component] = field(default_factory=dict)
    ports: dict[str, Point] = field(default_factory=dict)
    port_count: int = 0
    straps: list[Strap] = field(default_factory=list)
    special_count: int = 0
    nets: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)

    def read(self, text: io.TextIOWrapper) -> DefLayout:
        ended = False
        for words in self._statements(text):
            if ended := words[:2] == ["END", "DESIGN"]:
                break
            try:
                self._statement(words)
            except InputError:
                raise
            except (ValueError, IndexError, KeyError):
                what = " ".join(words)[:60]
                raise self._error(f"cannot be read: {what!r}") from None
        self._check(ended)
        xs, ys = zip(*self.corners, strict=True)
        return DefLayout(
            self.design,
            ((min(xs), min(ys)), (max(xs), max(ys))),
            self.components,
            self.ports,
            tuple(self.straps),
            self.nets,
        )

    def _check(self, ended: bool) -> None:
        """Raise `InputError` where something is missing."""
        if not self.per_um or not self.corners or not self.components:
            raise InputError(
                f"{self.path}: no DEF of a layout: must have UNITS DISTANCE MICRONS, DIEAREA and "
                "COMPONENTS"
            )
        found = {
            "COMPONENTS": len(self.components),
            "PINS": self.port_count,
            "NETS": len(self.nets),
            "SPECIALNETS": self.special_count,
        }
        for section, count in self.counts.items():
            if found[section] != count:
                raise InputError(
                    f"{self.path}: only part of a DEF file: {section} {count}, of which "
                    f"{found[section]} are there"
                )
        if not ended:
            raise InputError(f"{self.path}: only part of a DEF file: it has no END DESIGN")

    def _statements(self, text: io.TextIOWrapper) -> Iterator[list[str]]:
        """Yield the words of every statement, which ends with ``;`` (or is ``END NAME``)."""
        words: list[str] = []
        for self.number, line in enumerate(text, 1):
            if '"' in line:
                line = _QUOTED.sub('""', line)
            for word in line.partition("#")[0].split():
                if word != ";":
                    words.append(word)
                if word == ";" or (words[0] == "END" and len(words) == 2):
                    if words:
                        yield words
                    words = []

    def _error(self, what: str) -> InputError:
        return InputError(f"{self.path}: line {self.number}: {what}")

    def _statement(self, words: list[str]) -> None:
        first = words[0]
        if first == "END":
            self.section = ""
        elif first == "-" and self.section:
            {
                "COMPONENTS": self._component,
                "PINS": self._port,
                "NETS": self._net,
                "SPECIALNETS": self._special_net,
            }[self.section](words)
        elif first in _SECTIONS:
            self.section, self.counts[first] = first, int(words[1])
        elif first == "DESIGN":
            self.design = plain(words[1])
        elif first == "UNITS":
            self.per_um = int(words[3])
        elif first == "DIEAREA":
            self.corners = list(self._points(words[1:]))

    def _points(self, words: list[str]) -> Iterator[Point]:
        """Yield the points ``( x y )`` in um; ``*`` is the coordinate of the point before."""
        if not self.per_um:
            raise self._error("must come after UNITS DISTANCE MICRONS")
        last: list[float] = []
        for k, word in enumerate(words):
            if word == "(":
                last = [
                    last[axis] if number == "*" else int(number) / self.per_um
                    for axis, number in enumerate(words[k + 1 : k + 3])
                ]
                x, y = last
                yield x, y

    def _place(self, words: list[str]) -> tuple[Point, str] | None:
        """Return where ``+ PLACED ( x y ) orientation`` puts something; None without it."""
        for k, word in enumerate(words):
            if word in _PLACED and words[k - 1] == "+":
                if words[k + 5] not in ORIENTATIONS:
                    raise self._error(
                        f"orientation {words[k + 5]}: must be one of {', '.join(ORIENTATIONS)}"
                    )
                (point,) = self._points(words[k + 1 : k + 5])
                return point, words[k + 5]
        return None

    def _component(self, words: list[str]) -> None:
        name, place = plain(words[1]), self._place(words)
        if name in self.components:
            raise self._error(f"component {name}: it is there twice")
        at, orientation = place or (None, "N")
        self.components[name] = Component(words[2], at, orientation[-1] in "EW")

    def _port(self, words: list[str]) -> None:
        self.port_count += 1
        place = self._place(words)
        if place is not None:
            self.ports[plain(words[1])] = place[0]

    def _net(self, words: list[str]) -> None:
        name, pins = plain(words[1]), []
        if name in self.nets:
            raise self._error(f"net {name}: it is there twice")
        k = 2
        while k < len(words) and words[k] == "(":
            pins.append((plain(words[k + 1]), plain(words[k + 2])))
            k = words.index(")", k) + 1
        self.nets[name] = tuple(pins)

    def _special_net(self, words: list[str]) -> None:
        """Read the straps: ``layer width + SHAPE STRIPE ( x y ) ( x y )`` without a via."""
        self.special_count += 1
        for k, word in enumerate(words):
            if word == "STRIPE" and words[k - 1] == "SHAPE":
                width_um = int(words[k - 3]) / self.per_um
                ends = words[k + 1 : k + 9]
                if width_um > 0 and ends.count("(") == 2:
                    start, end = self._points(ends)
                    self.straps.append(Strap(words[k - 4], width_um, start, end))
