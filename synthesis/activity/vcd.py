"""Activity from VCD, the Value Change Dump (IEEE 1364-2005, chapter 18), read as a stream."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from dbp.errors import InputError
from dbp.support.files import open_gzip_or_plain
from dbp.synthesis.activity.activity import Activity, Window, time_unit_s
from dbp.synthesis.activity.sought import Listing, Scope, Sought, chosen_scope
from dbp.synthesis.netlist.model import is_bit, plain_name

MAX_BITS = 1 << 20
MAX_TIME_DIGITS = 20  # of 64 bits
ALWAYS = Window()
# An identifier and a bit of its values, 0 being the last; a scope's; the ends of a window.
Place = tuple[str, int]
Scopes = dict[Scope, Listing[Place]]
Units = tuple[float, float]
# Types of variables that are no nets, whatever their size.
_NO_NETS = {"real", "realtime", "shortreal", "real_parameter", "string", "event", "parameter"}
_SELECT = re.compile(r"(.+?)\[(-?\d{1,9})(?::(-?\d{1,9}))?\]")
_UNKNOWN = 2
_VALUES = {"0": 0, "1": 1, "x": _UNKNOWN, "z": _UNKNOWN}


def read(
    path: str | Path,
    nets: Collection[str] | Mapping[str, Sequence[str]],
    clock_period_s: float,
    scope: str | None = None,
    window: Window = ALWAYS,
) -> Activity:
    """Read the activity of those of ``nets`` that one scope dumps.

    ``nets``: names, or the names that a file may have for each. ``scope``: see `chosen_scope`; by
    default the one with most of the nets. ``window``: the time that counts; a change at its begin
    does, one at its end does not, so that windows side by side add up. What comes after it is not
    read. A toggle is a change between 0 and 1, whatever came between; the probability is over the
    time that the net is known. Time between ``$dumpoff`` and ``$dumpon`` does not count.
    `InputError` names the line that does not fit.
    """
    content = open_gzip_or_plain(path)  # its error names the file already
    try:
        with (
            content as file,
            tqdm(
                total=Path(path).stat().st_size,
                desc="VCD",
                unit="B",
                unit_scale=True,
                disable=None,
                leave=False,
            ) as progress,
        ):
            dump = _Dump(_lines(file, progress), Sought(nets))
            return dump.activity(clock_period_s, scope, window)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


@dataclass(frozen=True)
class Whole:
    """All that a dump counted. ``nets``: by scope and by the name of a bit, as `Times`."""

    nets: Mapping[Scope, Mapping[str, Times]]
    duration: int
    unit_s: float


class Times(NamedTuple):
    """Time at 0, at 1 and unknown, in units of the dump, and toggles between 0 and 1."""

    at_zero: int
    at_one: int
    unknown: int
    toggles: int


def read_all(path: str | Path) -> Whole:
    """Read the activity of every net of every scope, as the simulators that we run dump them.

    For dumps of our own: `read` takes those of others. `InputError` names the line that does not
    fit.
    """
    with Path(path).open(encoding="latin-1") as file:
        try:
            return _WholeDump(file).whole()
        except InputError as error:
            raise InputError(f"{path}: {error}") from None


def _lines(file: Any, progress: tqdm) -> Iterator[str]:
    """Yield the lines; the bar follows the bytes of the file itself, compressed or not.

    ``file``: a binary file or a `gzip.GzipFile`, whose ``fileobj`` is the compressed one.
    """
    raw = getattr(file, "fileobj", None) or file
    for k, line in enumerate(file):
        if k % 65536 == 0:
            progress.update(raw.tell() - progress.n)
        # A byte-order mark of UTF-8 is three letters of Latin 1.
        yield line.decode("latin-1") if k else line.decode("latin-1").removeprefix("\xef\xbb\xbf")


class _Dump:
    """A dump that is read once from its first line to its last."""

    def __init__(self, lines: Iterable[str], sought: Sought) -> None:
        self._sought = sought
        # Every identifier, so that changes of other variables are passed over quickly.
        self._codes: set[str] = set()
        self._numbered = enumerate(lines, start=1)
        self._line = 0
        self._rest: Iterator[str] = iter(())

    def _next(self) -> str | None:
        self._line, text = next(self._numbered, (self._line, None))
        return text

    def _error(self, problem: str) -> InputError:
        return InputError(f"line {self._line}: {problem}")

    def _words(self) -> Iterator[str]:
        while (line := self._next()) is not None:
            self._rest = iter(line.split())
            yield from self._rest

    def _header(self) -> tuple[Scopes, float]:
        """Return what the scopes have of the nets that are sought, and the seconds of a unit."""
        scopes: Scopes = {}
        path: list[str] = []
        unit_s = None
        words = self._words()
        for word in words:
            if not word.startswith("$"):
                raise self._error(f"{word[:20]!r}: no VCD")
            body: list[str] = []
            for inner in words:
                if inner == "$end":
                    break
                body.append(inner)
            else:
                raise self._error(f"{word} without $end")
            if word == "$enddefinitions":
                if unit_s is None:
                    raise self._error("no $timescale")
                return scopes, unit_s
            if word == "$timescale":
                unit_s = time_unit_s("".join(body))
            elif word == "$scope":
                path.append(plain_name(body[-1]) if body else "")
            elif word == "$upscope":
                del path[-1:]
            elif word == "$var":
                self._variable(scopes.setdefault(tuple(path), Listing()), body)
        raise self._error("no $enddefinitions")

    def _variable(self, listing: Listing[Place], body: list[str]) -> None:
        """Keep a variable, or the bits of it, that may be sought; pass over all others."""
        if len(body) > 2:
            self._codes.add(body[2])
        if len(body) < 4 or body[0] in _NO_NETS:  # without a name, or no net
            return
        _, size, code, first, *rest = body
        name = first + "".join(rest)
        match = _SELECT.fullmatch(name)
        if match is None or (match[3] is None and (size != "1" or not rest)):
            # A name without a range; where it looks like a bit it may be one.
            self._unranged(listing, size, code, name)
            return
        stem = plain_name(match[1])
        left, right = int(match[2]), int(match[3] or match[2])
        if stem not in self._sought.bits and stem not in self._sought.scalars:
            return
        if self._size(size, name) != abs(left - right) + 1:
            raise self._error(f"$var {name}: is not of size {size}")
        if left == right:
            listing.add(self._sought, f"{stem}[{left}]", (code, 0))
            return
        for index, bit in self._sought.bits.get(stem, ()):
            if min(left, right) <= index <= max(left, right):
                listing.add(self._sought, bit, (code, abs(index - right)))

    def _unranged(self, listing: Listing[Place], size: str, code: str, name: str) -> None:
        """Keep a variable that states no range: one bit, or bits that count down to 0."""
        plain = plain_name(name)
        if size == "1":
            attached = is_bit(plain) and not plain.startswith("\\")
            listing.add(self._sought, plain, (code, 0), attached)
        elif plain in self._sought.bits or plain in self._sought.scalars:
            width = self._size(size, name)
            if width == 1:
                listing.add(self._sought, plain, (code, 0))
            for index, bit in self._sought.bits.get(plain, ()):
                if 0 <= index < width:
                    listing.add(self._sought, bit, (code, index))

    def _size(self, size: str, name: str) -> int:
        # The length first: Python refuses to convert thousands of digits.
        if not size.isdecimal() or len(size) > 9 or not 1 <= int(size) <= MAX_BITS:
            raise self._error(f"$var {name}: size {size[:20]!r}: must be 1..{MAX_BITS}")
        return int(size)

    def activity(self, clock_period_s: float, wanted: str | None, window: Window) -> Activity:
        """Read the dump to its end; return the activity of the nets that it has."""
        scopes, unit_s = self._header()
        scope, found = chosen_scope(scopes, self._sought, wanted)
        # Several nets may share an identifier and bit, called a place here; each place has a slot.
        slots = {
            place: k
            for k, place in enumerate(dict.fromkeys(p for places in found.values() for p in places))
        }
        counts = _Counts(len(slots))
        duration = self._count(slots, counts, window, unit_s)
        clocks = duration * unit_s / clock_period_s
        toggles, probability = {}, {}
        for name, (place, *others) in found.items():
            k = slots[place]
            if any(counts.of(slots[other]) != counts.of(k) for other in others):
                raise InputError(
                    f"scope {scope}: net {name}: two variables have this name, and differ"
                )
            if counts.known[k] <= 0:
                raise InputError(f"scope {scope}: net {name}: is never 0 or 1")
            toggles[name] = counts.toggles[k] / clocks
            probability[name] = counts.at_one[k] / counts.known[k]
        return Activity(toggles, probability, scope=scope)

    def _count(
        self, slots: Mapping[Place, int], counts: _Counts, window: Window, unit_s: float
    ) -> float:
        """Read all value changes into ``counts``; return the time that counts."""
        by_code: dict[str, list[tuple[int, int]]] = {}
        for (code, bit), k in slots.items():
            by_code.setdefault(code, []).append((bit, k))
        scalars = dict.fromkeys(self._codes, -1) | {code: p[0][1] for code, p in by_code.items()}
        units = _in_units(window, unit_s)
        changes = _ValueChanges(by_code, scalars, counts, units, unit_s * 1e9)
        rest = (self._line, " ".join(self._rest))
        try:
            for number, line in chain([rest], self._numbered):
                self._line = number
                # Dumps are full of lines with one change of one bit: they need no words.
                head = line[:1]
                if head in _SCALARS and not changes.value and not changes.skipped:
                    slot = scalars.get(line[1:].strip())
                    if slot is not None:
                        if slot >= 0 and not changes.paused:
                            counts.change(slot, _SCALARS[head], changes.counted)
                        continue
                for word in line.split():
                    changes.take(word)
                    if changes.done:
                        break
                if changes.done:
                    break
            changes.end()
        except InputError as error:
            raise self._error(str(error)) from None
        return changes.counted


class _WholeDump(_Dump):
    """A dump of which all nets count."""

    def __init__(self, lines: Iterable[str]) -> None:
        super().__init__(lines, Sought(()))
        self._bits: dict[int, dict[str, Place]] = {}

    def _variable(self, listing: Listing[Place], body: list[str]) -> None:
        """Keep every bit of every net; ``listing`` serves as the name of its scope."""
        if len(body) < 4 or body[0] in _NO_NETS:
            return
        _, size, code, name, *rest = body
        self._codes.add(code)
        width, bits = self._size(size, name), self._bits.setdefault(id(listing), {})
        match = _SELECT.fullmatch(name + "".join(rest))
        if match is None or match[3] is None:
            bits |= {name if width == 1 else f"{name}[{k}]": (code, k) for k in range(width)}
            return
        left, right = int(match[2]), int(match[3])
        if width != abs(left - right) + 1:
            raise self._error(f"$var {name}: is not of size {size}")
        step = 1 if left >= right else -1
        bits |= {f"{match[1]}[{right + step * k}]": (code, k) for k in range(width)}

    def whole(self) -> Whole:
        """Read the dump to its end."""
        scopes, unit_s = self._header()
        named = {path: self._bits.get(id(listing), {}) for path, listing in scopes.items()}
        places = dict.fromkeys(place for bits in named.values() for place in bits.values())
        slots = {place: k for k, place in enumerate(places)}
        counts = _Counts(len(slots))
        duration = int(self._count(slots, counts, ALWAYS, unit_s))

        def times(k: int) -> Times:
            known, at_one = int(counts.known[k]), int(counts.at_one[k])
            return Times(known - at_one, at_one, duration - known, counts.toggles[k])

        nets = {
            path: {name: times(slots[place]) for name, place in bits.items()}
            for path, bits in named.items()
        }
        return Whole(nets, duration, unit_s)


def _in_units(window: Window, unit_s: float) -> Units:
    """Return a window in units of the dump; what is a whole number but for rounding is one."""
    ends = (
        time if math.isinf(time) else round(time / unit_s, 6)
        for time in (window.from_s, window.to_s)
    )
    first, last = (int(end) if not math.isinf(end) and end == int(end) else end for end in ends)
    return first, last


class _ValueChanges:
    """The value changes word by word: any white space separates them, ends of lines too.

    ``scalars``: the slot of every identifier of one bit, -1 for those that were not asked for.
    ``counted``: the time so far but for pauses (``paused``: after ``$dumpoff``). ``skipped``: the
    command whose words up to ``$end`` say nothing. ``value``: one that waits for its identifier.
    ``done``: the end of the window has come.
    """

    def __init__(
        self,
        by_code: dict[str, list[tuple[int, int]]],
        scalars: dict[str, int],
        counts: _Counts,
        window: Units,
        unit_ns: float,
    ) -> None:
        self._by_code, self._scalars, self._counts = by_code, scalars, counts
        self._now: int | None = None
        self._first, self._last = window
        self._unit_ns = unit_ns
        self.counted: float = 0
        self.done = False
        self.paused = False
        self.skipped = ""
        self.value = ""

    def take(self, word: str) -> None:
        """Take the next word; `InputError` where it does not fit."""
        head = word[0]
        if self.skipped:
            if word == "$end":
                self.skipped = ""
        elif self.value:
            ignored = self.paused or self.value[0] in _IGNORED
            places = None if ignored else self._by_code.get(word)
            if places:
                self._vector(self.value.lower().removeprefix("b"), places)
            self.value = ""
        elif head in _SCALARS and len(word) > 1:
            k = self._scalars.get(word[1:], -1)
            if k >= 0 and not self.paused:
                self._counts.change(k, _SCALARS[head], self.counted)
        elif head == "#":
            self._advance(_time(word))
        elif head in _SCALARS or head in "bB" or head in _IGNORED:
            self.value = word
        else:
            self._command(word)

    def _command(self, word: str) -> None:
        if word == "$dumpoff":
            self.paused = True
            self._counts.forget(self.counted)
        elif word == "$dumpon":
            self.paused = False
        elif not word.startswith("$"):
            raise InputError(f"{word[:20]!r}: no value change")
        elif word != "$end" and not word.startswith("$dump"):
            self.skipped = word

    def _advance(self, time: int) -> None:
        before = self._now
        if before is not None:
            if time < before:
                raise InputError(f"time {time} after {before}")
            if not self.paused:
                self.counted += max(min(time, self._last) - max(before, self._first), 0)
        if (before is None or before < self._first) and time >= self._first:
            self._counts.begin()
        self._now = time
        self.done = time >= self._last

    def _vector(self, digits: str, places: list[tuple[int, int]]) -> None:
        if not digits or not set(digits) <= _VALUES.keys():
            raise InputError(f"{digits[:20]!r}: no value")
        # A shorter value is continued by 0, or by x or z where it begins so.
        rest = _VALUES[digits[0]] if digits[0] in "xz" else 0
        for bit, k in places:
            value = _VALUES[digits[-1 - bit]] if bit < len(digits) else rest
            self._counts.change(k, value, self.counted)

    def end(self) -> None:
        """End the dump; `InputError` where it may not end here, or no time has passed."""
        if self.skipped:
            raise InputError(f"{self.skipped[:20]} without $end")
        if self.value:
            raise InputError(f"{self.value[:20]!r} of no variable")
        end_ns = (self._now or 0) * self._unit_ns
        if not math.isinf(self._last) and not self.done:
            last_ns = self._last * self._unit_ns
            raise InputError(
                f"the dump ends at {end_ns:g} ns: to_ns = {last_ns:g} must not be later"
            )
        if self.counted == 0 and not math.isinf(self._first):
            first_ns = self._first * self._unit_ns
            raise InputError(f"no time passes after from_ns = {first_ns:g}: ends at {end_ns:g} ns")
        if self.counted == 0:
            raise InputError("no time passes in this dump")
        self._counts.forget(self.counted)


def _time(word: str) -> int:
    # The length first: Python refuses to convert thousands of digits.
    if not word[1:].isdecimal() or len(word) > 1 + MAX_TIME_DIGITS:
        raise InputError(f"{word[:20]!r}: no time")
    return int(word[1:])


_SCALARS = _VALUES | {"X": _UNKNOWN, "Z": _UNKNOWN}
_IGNORED = "rRsS"  # reals, and the strings of some simulators


class _Counts:
    """Toggles, time at 1 and time known, by slot. ``last``: the last 0 or 1 of the slot."""

    def __init__(self, count: int) -> None:
        self.value, self.last = [_UNKNOWN] * count, [_UNKNOWN] * count
        self.toggles = [0] * count
        # Whole numbers, but where a window begins or ends between two units of time.
        self.since: list[float] = [0] * count
        self.at_one: list[float] = [0] * count
        self.known: list[float] = [0] * count

    def of(self, k: int) -> tuple[int, float, float]:
        """Return all that was counted in a slot."""
        return self.toggles[k], self.at_one[k], self.known[k]

    def begin(self) -> None:
        """Begin to count toggles."""
        self.toggles = [0] * len(self.toggles)

    def change(self, k: int, value: int, now: float) -> None:
        old = self.value[k]
        if value == old:
            return
        if old != _UNKNOWN:
            passed = now - self.since[k]
            self.known[k] += passed
            self.at_one[k] += passed * old
        if value != _UNKNOWN:
            self.toggles[k] += self.last[k] + value == 1
            self.last[k] = value
        self.value[k], self.since[k] = value, now

    def forget(self, now: float) -> None:
        """Make all unknown; the next 0 or 1 is then no toggle, whatever the last one was."""
        for k in range(len(self.value)):
            self.change(k, _UNKNOWN, now)
            self.last[k] = _UNKNOWN
