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
    position = _after_blank(text, position)
    if position != len(text):
        raise _unexpected(text, position)
    if len(top.groups) != 1 or top.groups[0].kind != "library" or top.attributes:
        raise InputError("must hold exactly one library (...) { } group")
    return top.groups[0]


def _parse_group(text: str, position: int, group: Group, depth: int) -> int:
    if depth > 32:
        raise InputError("groups nested deeper than 32")
    match = _STATEMENT.match
    while (statement := match(text, position)) is not None:
        kind = statement.lastgroup
        position = statement.end()
        if kind == "end":
            if depth == 0:
                raise _unexpected(text, position - 1)
            return position
        name = statement["name"]
        if kind == "open":
            inner = Group(name, _arguments(statement["arguments"]))
            position = _parse_group(text, position, inner, depth + 1)
            group.groups.append(inner)
        elif kind == "arguments":
            values = _arguments(statement["arguments"])
            group.complex_attributes.setdefault(name, []).append(values)
        else:
            quoted, word = statement["text"], statement["word"]
            group.attributes[name] = word.rstrip() if quoted is None else quoted[1:-1]
    if depth:
        raise _unexpected(text, _after_blank(text, position))
    return position


def _after_blank(text: str, position: int) -> int:
    """Return the position behind blanks and comments, of which there may be none."""
    match = _TRAILING.match(text, position)
    return position if match is None else match.end()


def _arguments(text: str) -> tuple[str, ...]:
    return tuple(
        match[1][1:-1] if match[1] is not None else match[2] for match in _ARGUMENT.finditer(text)
    )


def _unexpected(text: str, position: int) -> InputError:
    line = text.count("\n", 0, position) + 1
    excerpt = text[position : position + 20].split("\n")[0]
    return InputError(f"line {line}: unexpected {excerpt!r}" if excerpt else "ends too early")
