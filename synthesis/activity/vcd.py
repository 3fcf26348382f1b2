"""Activity from VCD, the Value Change Dump (IEEE 1364-2005, chapter 18), read as a stream."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dbp.errors import InputError
from dbp.support.files import open_gzip_or_plain
from dbp.synthesis.activity.activity import Activity, best_scope, time_unit_s

MAX_BITS = 1 << 20
MAX_TIME_DIGITS = 20  # of 64 bits
_UNKNOWN = 2
_VALUES = {"0": 0, "1": 1, "x": _UNKNOWN, "z": _UNKNOWN}


def read(path: str | Path, nets: Collection[str], clock_period_s: float) -> Activity:
    """Read the activity of those of ``nets`` that the scope with most of them dumps.

    A toggle is a change between 0 and 1, whatever came between; the probability is over the time
    that the net is known. Time between ``$dumpoff`` and ``$dumpon`` does not count.
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
            return _Dump(_lines(file, progress)).activity(nets, clock_period_s)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
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
        yield line.decode("latin-1")


class _Dump:
    """A dump that is read once from its first line to its last."""

    def __init__(self, lines: Iterable[str]) -> None:
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

    def _header(self) -> tuple[dict[str, dict[str, tuple[str, int]]], float]:
        """Return identifier and bit (0: a value's last) of every net, by scope; seconds a unit."""
        scopes: dict[str, dict[str, tuple[str, int]]] = {}
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
                path.append(body[-1] if body else "")
            elif word == "$upscope":
                del path[-1:]
            elif word == "$var" and body[:1] not in (["real"], ["string"], ["event"]):
                names = scopes.setdefault("/".join(path), {})
                if len(body) < 4:
                    raise self._error("$var: must be type, size, identifier and name")
                for bit, name in enumerate(reversed(self._bits(body))):
                    names.setdefault(name, (body[2], bit))
        raise self._error("no $enddefinitions")

    def _bits(self, body: list[str]) -> list[str]:
        """Return the names of a variable's bits, the first of its value first."""
        name = "".join(body[3:]).removeprefix("\\")
        # The length first: Python refuses to convert thousands of digits.
        if not body[1].isdecimal() or len(body[1]) > 9 or not 1 <= int(body[1]) <= MAX_BITS:
            raise self._error(f"$var {name}: size {body[1][:20]!r}: must be 1..{MAX_BITS}")
        size = int(body[1])
        stem, _, inside = name.removesuffix("]").rpartition("[")
        if size == 1 and ":" not in inside:
            return [name]
        first, _, last = inside.partition(":")
        if not stem:
            return [f"{name}[{k}]" for k in range(size - 1, -1, -1)]
        try:
            left, right = int(first), int(last)
        except ValueError:
            raise self._error(f"$var {name}: must end in [left:right]") from None
        step = -1 if left >= right else 1
        if abs(left - right) + 1 != size:
            raise self._error(f"$var {name}: is not of size {size}")
        return [f"{stem}[{k}]" for k in range(left, right + step, step)]

    def activity(self, nets: Collection[str], clock_period_s: float) -> Activity:
        """Read the dump to its end; return the activity of those of ``nets`` that it has."""
        scopes, unit_s = self._header()
        scope, declared = best_scope(scopes, nets)
        # Several nets may share an identifier and bit, called a place here; each place has a slot.
        places = {name: declared[name] for name in nets if name in declared}
        slots = {place: k for k, place in enumerate(dict.fromkeys(places.values()))}
        counts = _Counts(len(slots))
        by_code: dict[str, list[tuple[int, int]]] = {}
        for (code, bit), k in slots.items():
            by_code.setdefault(code, []).append((bit, k))
        others = (code for names in scopes.values() for code, _ in names.values())
        duration = self._count(by_code, others, counts)
        clocks = duration * unit_s / clock_period_s
        toggles, probability = {}, {}
        for name, place in places.items():
            k = slots[place]
            if counts.known[k] <= 0:
                raise InputError(f"scope {scope}: net {name}: is never 0 or 1")
            toggles[name] = counts.toggles[k] / clocks
            probability[name] = counts.at_one[k] / counts.known[k]
        return Activity(toggles, probability)

    def _count(
        self, by_code: dict[str, list[tuple[int, int]]], others: Iterable[str], counts: _Counts
    ) -> int:
        """Read all value changes into ``counts``; return the time that counts.

        ``others``: identifiers that are declared and not asked for.
        """
        scalars = dict.fromkeys(others, -1) | {code: p[0][1] for code, p in by_code.items()}
        changes = _ValueChanges(by_code, scalars, counts)
        rest = (self._line, " ".join(self._rest))
        try:
            for number, line in chain([rest], self._numbered):
                self._line = number
                # Dumps are full of lines with one change of one bit: they need no words.
                head = line[:1]
                if head in _SCALARS and not changes.value and not changes.skipped:
                    k = scalars.get(line[1:].strip())
                    if k is not None:
                        if k >= 0 and not changes.paused:
                            counts.change(k, _SCALARS[head], changes.counted)
                        continue
                for word in line.split():
                    changes.take(word)
            changes.end()
        except InputError as error:
            raise self._error(str(error)) from None
        return changes.counted


class _ValueChanges:
    """The value changes word by word: any white space separates them, ends of lines too.

    ``scalars``: the slot of every identifier of one bit, -1 for those that were not asked for.
    ``counted``: the time so far but for pauses (``paused``: after ``$dumpoff``). ``skipped``: the
    command whose words up to ``$end`` say nothing. ``value``: one that waits for its identifier.
    """

    def __init__(
        self,
        by_code: dict[str, list[tuple[int, int]]],
        scalars: dict[str, int],
        counts: _Counts,
    ) -> None:
        self._by_code, self._scalars, self._counts = by_code, scalars, counts
        self._now: int | None = None
        self.counted = 0
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
        if self._now is not None:
            if time < self._now:
                raise InputError(f"time {time} after {self._now}")
            self.counted += 0 if self.paused else time - self._now
        self._now = time

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
        self.since, self.toggles = [0] * count, [0] * count
        self.at_one, self.known = [0] * count, [0] * count

    def change(self, k: int, value: int, now: int) -> None:
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

    def forget(self, now: int) -> None:
        """Make all unknown; the next 0 or 1 is then no toggle, whatever the last one was."""
        for k in range(len(self.value)):
            self.change(k, _UNKNOWN, now)
            self.last[k] = _UNKNOWN
