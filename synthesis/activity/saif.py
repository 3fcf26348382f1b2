"""Activity from SAIF, the Switching Activity Interchange Format (IEEE 1801, annex)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dbp
from dbp.errors import InputError
from dbp.support.files import read_gzip_or_plain
from dbp.synthesis.activity.activity import Activity, time_unit_s
from dbp.synthesis.activity.sought import Listing, Scope, Sought, chosen_scope
from dbp.synthesis.activity.vcd import Whole
from dbp.synthesis.netlist.model import plain_name

Scopes = dict[Scope, Listing[dict[str, float]]]

_TOKEN = re.compile(
    r"(?:\s++|//[^\n]*+|/\*.*?\*/)*+"
    r'(?:([()])|"((?:[^"\\]|\\.)*)"|((?:[^\s()"\\]|\\.)+)|$)',
    re.DOTALL,
)
_TIMES = ("T0", "T1", "TX", "TZ", "TC", "IG")
MAX_BYTES = 1 << 30
MAX_NESTING = 256


def read(
    path: str | Path,
    nets: Collection[str] | Mapping[str, Sequence[str]],
    clock_period_s: float,
    scope: str | None = None,
) -> Activity:
    """Read the activity of those of ``nets`` that one instance lists.

    ``nets``: names, or the names that a file may have for each. ``scope``: the instance, see
    `chosen_scope`; by default the one with most of the nets. Toggles per clock are TC by the clocks
    in DURATION; the probability is T1 / (T0 + T1). `InputError` names the line that does not fit.
    """
    content = read_gzip_or_plain(path, MAX_BYTES, "SAIF")
    try:
        return _activity(content.decode("utf-8-sig"), Sought(nets), clock_period_s, scope)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def text(design: str, activity: Whole) -> str:
    """Return a SAIF of all that a dump counted: its scopes are the instances.

    ``design``: the name of the module. Times are in picoseconds. Names of bits are escaped.
    """
    scale = round(activity.unit_s * 1e12)
    if scale < 1:
        raise InputError("dump: its unit of time must be 1 ps or longer")
    root: dict[str, Any] = {}
    for path, nets in activity.nets.items():
        node = root
        for name in path:
            node = node.setdefault(name, {})
        node[""] = nets
    lines = [
        *("(SAIFILE", '  (SAIFVERSION "2.0")', '  (DIRECTION "backward")'),
        f'  (DESIGN "{design}")',
        *('  (VENDOR "dbp")', '  (PROGRAM_NAME "dbp")', f'  (VERSION "{dbp.__version__}")'),
        *("  (DIVIDER / )", "  (TIMESCALE 1 ps)", f"  (DURATION {scale * activity.duration})"),
    ]
    for name, node in root.items():
        lines += _instance(name, node, scale, "  ")
    return "\n".join([*lines, ")", ""])


def _instance(name: str, node: Mapping[str, Any], scale: int, indent: str) -> Iterator[str]:
    yield f"{indent}(INSTANCE {name}"
    if nets := node.get(""):
        yield f"{indent}  (NET"
        for net, (zero, one, unknown, toggles) in nets.items():
            escaped = re.sub(r"([^\w$])", r"\\\1", net)
            times = f"(T0 {scale * zero}) (T1 {scale * one}) (TX {scale * unknown})"
            yield f"{indent}    ({escaped} {times} (TC {toggles}) (IG 0))"
        yield f"{indent}  )"
    for inner, below in node.items():
        if inner:
            yield from _instance(inner, below, scale, indent + "  ")
    yield f"{indent})"


def _activity(text: str, sought: Sought, clock_period_s: float, wanted: str | None) -> Activity:
    reader = _Reader(text, sought)
    scopes = reader.instances()
    clocks = reader.duration * time_unit_s(reader.timescale) / clock_period_s
    scope, listed = chosen_scope(scopes, sought, wanted)
    toggles, probability = {}, {}
    for name, entries in listed.items():
        counts = _merged(entries)
        if counts is None:
            raise InputError(f"instance {scope}: net {name}: listed twice, with different counts")
        known = counts.get("T0", 0.0) + counts.get("T1", 0.0)
        if "TC" not in counts or known <= 0:
            raise InputError(f"instance {scope}: net {name}: needs TC, and T0 or T1 above 0")
        toggles[name] = counts["TC"] / clocks
        probability[name] = counts.get("T1", 0.0) / known
    return Activity(toggles, probability, scope=scope)


def _merged(entries: list[dict[str, float]]) -> dict[str, float] | None:
    """Return the counts of a net that is listed as port and as net; None where they differ."""
    merged: dict[str, float] = {}
    for counts in entries:
        if any(merged.get(kind, count) != count for kind, count in counts.items()):
            return None
        merged |= counts
    return merged


class _Reader:
    """Read the parentheses once; keep the counts below NET and PORT."""

    def __init__(self, text: str, sought: Sought) -> None:
        self._text, self._position = text, 0
        self._sought = sought
        self._counts: dict[str, float] = {}
        self.duration, self.timescale = 0.0, ""

    def _tokens(self) -> Iterator[str]:
        while self._position < len(self._text):
            match = _TOKEN.match(self._text, self._position)
            if match is None:
                raise self._error("no SAIF")
            self._position = match.end()
            if match[1]:
                yield match[1]
            elif match[2] is not None or match[3] is not None:
                # An atom is never mistaken for a parenthesis.
                yield " " + re.sub(r"\\(.)", r"\1", match[2] if match[3] is None else match[3])

    def _error(self, problem: str) -> InputError:
        return InputError(f"line {self._text.count(chr(10), 0, self._position) + 1}: {problem}")

    def instances(self) -> Scopes:
        """Return the counts of the nets that are sought, by the path of their instance."""
        scopes: Scopes = {}
        stack: list[list[str]] = []
        for token in self._tokens():
            if token == "(":
                if len(stack) >= MAX_NESTING:
                    raise self._error(f"nested deeper than {MAX_NESTING}")
                stack.append([])
            elif token == ")":
                if not stack:
                    raise self._error("a ')' too many")
                self._close(stack, scopes)
            elif stack:
                stack[-1].append(token[1:])
            else:
                raise self._error(f"{token[1:21]!r} outside of parentheses")
        if stack:
            raise self._error("a ')' is missing")
        if self.duration <= 0:
            raise InputError("no DURATION above 0")
        return scopes

    def _close(self, stack: list[list[str]], scopes: Scopes) -> None:
        """Take the innermost group off the stack and keep what it says."""
        atoms = stack.pop()
        kind = atoms[0] if atoms else ""
        if kind == "DURATION" and len(stack) == 1:
            self.duration = self._number(atoms)
        elif kind == "TIMESCALE" and len(stack) == 1:
            self.timescale = "".join(atoms[1:])
        elif kind in _TIMES and len(stack) >= 2 and stack[-2][:1] in (["NET"], ["PORT"]):
            if not stack[-1]:
                raise self._error(f"{kind} of no net")
            self._counts[kind] = self._number(atoms)
        elif stack and stack[-1][:1] in (["NET"], ["PORT"]):
            path = tuple(group[-1] for group in stack if group[:1] == ["INSTANCE"])
            listing = scopes.setdefault(path, Listing())
            # An escaped identifier ends in a blank, which some write.
            listing.add(self._sought, plain_name(kind.rstrip()), self._counts)
            self._counts = {}

    def _number(self, atoms: list[str]) -> float:
        try:
            value = float(atoms[1])
        except (IndexError, ValueError):
            value = -1.0
        if not 0 <= value < 1e30:
            raise self._error(f"{' '.join(atoms)!r}: must be a number of at least 0")
        return value
