"""The syntax of Liberty files: nested groups of attributes, without any meaning yet."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from dbp.errors import InputError
from dbp.support.files import read_gzip_or_plain

# Possessive quantifiers: no input can make the matching backtrack.
_BLANK = r"(?:[\s;]++|\\(?=\s)|/\*.*?\*/|//[^\n]*+)*+"
_STRING = r'"(?:[^"\\]++|\\.)*+"'
_STATEMENT = re.compile(
    rf"""{_BLANK}(?:
      (?P<end>\}})
    | (?P<name>[A-Za-z_]\w*+)\s*+(?:
        :\s*(?:(?P<text>{_STRING})|(?P<word>[^;\n}}]*?))[ \t]*(?=[;\n}}]|/\*)
      | \(\s*(?P<arguments>(?:[^()"]++|{_STRING})*+)\)\s*(?P<open>\{{)?
      )
    )""",
    re.VERBOSE | re.DOTALL,
)
_ARGUMENT = re.compile(rf'({_STRING})|([^\s,\\"]+)', re.DOTALL)
_TRAILING = re.compile(_BLANK, re.DOTALL)
MAX_BYTES = 1 << 29


@dataclass(slots=True)
class Group:
    """``kind (arguments) { ... }``: simple attributes, complex attributes, and inner groups."""

    kind: str
    arguments: tuple[str, ...]
    attributes: dict[str, str] = field(default_factory=dict)
    complex_attributes: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[Group]:
        """The inner groups of one kind, in order."""
        return [group for group in self.groups if group.kind == kind]


def read(path: str | Path) -> Group:
    """Read the ``library`` group of a ``.lib`` or ``.lib.gz`` file; `InputError` if it has none."""
    content = read_gzip_or_plain(path, MAX_BYTES, "Liberty")
    try:
        return parse(content.decode("utf-8", errors="replace"))
    except InputError as error:
        raise InputError(f"{path}: not a Liberty file: {error}") from None


def parse(text: str) -> Group:
    """Parse Liberty text, one ``library`` group and nothing else."""
    top = Group("", ())
    position = _parse_group(text, 0, top, depth=0)
    position = _TRAILING.match(text, position).end()
    if position != len(text):
        raise _unexpected(text, position)
    if len(top.groups) != 1 or top.groups[0].kind != "library" or top.attributes:
        raise InputError("must hold exactly one library (...) { } group")
    return top.groups[0]


def _parse_group(text: str, position: int, group: Group, depth: int) -> int:
    if depth > 32:
        raise InputError("groups nested deeper than 32")
    match = _STATEMENT.match
    while (found := match(text, position)) is not None:
        kind = found.lastgroup
        position = found.end()
        if kind == "end":
            if depth == 0:
                raise _unexpected(text, position - 1)
            return position
        name = found["name"]
        if kind == "open":
            inner = Group(name, _arguments(found["arguments"]))
            position = _parse_group(text, position, inner, depth + 1)
            group.groups.append(inner)
        elif kind == "arguments":
            values = _arguments(found["arguments"])
            group.complex_attributes.setdefault(name, []).append(values)
        else:
            quoted = found["text"]
            group.attributes[name] = found["word"].rstrip() if quoted is None else quoted[1:-1]
    if depth:
        raise _unexpected(text, _TRAILING.match(text, position).end())
    return position


def _arguments(text: str) -> tuple[str, ...]:
    return tuple(
        found[1][1:-1] if found[1] is not None else found[2] for found in _ARGUMENT.finditer(text)
    )


def _unexpected(text: str, position: int) -> InputError:
    line = text.count("\n", 0, position) + 1
    found = text[position : position + 20].split("\n")[0]
    return InputError(f"line {line}: unexpected {found!r}" if found else "ends too early")
