"""The syntax of Liberty files: nested groups of attributes, without any meaning yet."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from dbp.errors import InputError
from dbp.support.files import read_gzip_or_plain

# Possessive quantifiers: no input can make the matching backtrack.
_COMMENT = r"/\*.*?\*/|//[^\n]*+"
_GAP = rf"(?:\s++|\\(?=\s)|{_COMMENT}|\#[^\n]*+)*+"
_BLANK = rf"(?:[\s;]++|\\(?=\s)|{_COMMENT}|\#[^\n]*+)*+"
_STRING = r'"(?:[^"\\]++|\\.)*+"'
# A value also ends where the next statement begins in the same line: semicolons may be missing.
_STATEMENT = re.compile(
    rf"""{_BLANK}(?:
      (?P<end>\}})
    | (?P<name>[A-Za-z_]\w*+){_GAP}(?:
        [:=]{_GAP}(?:
          (?P<text>{_STRING})
        | (?P<word>(?:[^;\n}}\\]|\\[^\S\n]*+\n|\\)*?)
          (?:(?=[ \t]*+(?:[;\n}}]|/\*|//|\\\s++[;}}]|$))
           |(?=[ \t]++[A-Za-z_]\w*+[ \t]*+(?::|\([^()]*+\)\s*+\{{)))
        )
      | \({_GAP}(?P<arguments>(?:[^()"/]++|{_STRING}|{_COMMENT}|/|\([^()"]*+\))*+)\)
        {_GAP}(?P<open>\{{)?
      )
    )""",
    re.VERBOSE | re.DOTALL,
)
_ARGUMENT = re.compile(rf'({_STRING})|{_COMMENT}|((?:[^\s,\\"]|\\(?!\s))+)', re.DOTALL)
_TRAILING = re.compile(_BLANK, re.DOTALL)
_CONTINUED = re.compile(r"\\[ \t]*\r?\n")
# What may hide a pin or look like one.
_UNSURE = ("include_file", "/*", "//", "#")
_PIN_GROUP = re.compile(r"(?<!\w)pin(?=[\s\\]*\()")
# Nearly all of a library's text; most of it is about cells that a netlist does not use.
_DEFERRED = ("cell", "scaled_cell")
MAX_INCLUDES = 8
MAX_NESTED = 16
MAX_BYTES = 1 << 29


@dataclass(slots=True)
class Group:
    """``kind (arguments) { ... }``: simple attributes, complex attributes, and inner groups."""

    kind: str
    arguments: tuple[str, ...]
    attributes: dict[str, str] = field(default_factory=dict)
    complex_attributes: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    deferred: list[Deferred] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[Group]:
        """The inner groups of one kind, in order; those that were left for later are parsed."""
        found = [group for group in self.groups if group.kind == kind]
        found += [part.parse() for part in self.deferred if part.kind == kind]
        return found


@dataclass(frozen=True, slots=True)
class _Source:
    """A file's text; ``path`` is None for text from elsewhere, ``includes`` how deep it lies."""

    text: str
    path: Path | None
    includes: int = 0


@dataclass(frozen=True, slots=True)
class Deferred:
    """A group of a library whose text has not been looked at, from ``position`` to ``end``."""

    kind: str
    arguments: tuple[str, ...]
    source: _Source
    position: int
    end: int

    @property
    def pin_groups(self) -> int | None:
        """How many ``pin`` groups the text has; None where only parsing can tell."""
        text = self.source.text
        if any(text.find(word, self.position, self.end) >= 0 for word in _UNSURE):
            return None
        return len(_PIN_GROUP.findall(text, self.position, self.end))

    def parse(self) -> Group:
        """Parse the group; `InputError` where its text is no Liberty."""
        group = Group(self.kind, self.arguments)
        _parse_group(self.source, self.position, group, depth=2)
        return group


def read(path: str | Path) -> Group:
    """Read the ``library`` group of a ``.lib`` or ``.lib.gz`` file; `InputError` if it has none.

    Its cells are in ``deferred``. Files that it names (``include_file``) lie relative to it.
    """
    try:
        return _parse(_Source(_text(path), Path(path)))
    except InputError as error:
        if str(error).startswith(str(path)):
            raise
        raise InputError(f"{path}: not a Liberty file: {error}") from None


def parse(text: str) -> Group:
    """Parse Liberty text, one ``library`` group and nothing else; its cells are ``deferred``."""
    return _parse(_Source(text, None))


def _text(path: str | Path) -> str:
    return read_gzip_or_plain(path, MAX_BYTES, "Liberty").decode("utf-8-sig", errors="replace")


def _parse(source: _Source) -> Group:
    top = Group("", ())
    position = _parse_group(source, 0, top, depth=0)
    position = _after_blank(source.text, position)
    if position != len(source.text):
        raise _unexpected(source, position)
    if len(top.groups) != 1 or top.groups[0].kind != "library" or top.attributes:
        raise InputError("must hold exactly one library (...) { } group")
    return top.groups[0]


def _parse_group(
    source: _Source, position: int, group: Group, depth: int, *, whole: bool = False
) -> int:
    """Parse what a group holds, up to its brace, or to the end of a ``whole`` file."""
    if depth > 32:
        raise InputError("groups nested deeper than 32")
    text, match = source.text, _STATEMENT.match
    whole = whole or depth == 0
    while (statement := match(text, position)) is not None:
        kind = statement.lastgroup
        position = statement.end()
        if kind == "end":
            if whole:
                raise _unexpected(source, position - 1)
            return position
        name = statement["name"]
        if kind == "open":
            values = _arguments(statement["arguments"])
            if depth == 1 and name in _DEFERRED:
                end = _skip(source, position, statement.start("name"))
                group.deferred.append(Deferred(name, values, source, position, end))
                position = end
            else:
                inner = Group(name, values)
                position = _parse_group(source, position, inner, depth + 1)
                group.groups.append(inner)
        elif name == "include_file":
            _include(source, statement["arguments"] or statement["text"] or "", group, depth)
        elif kind == "arguments":
            values = _arguments(statement["arguments"])
            group.complex_attributes.setdefault(name, []).append(values)
        else:
            quoted, word = statement["text"], statement["word"]
            value = word.rstrip() if quoted is None else quoted[1:-1]
            group.attributes[name] = _CONTINUED.sub("", value) if "\\" in value else value
    if not whole:
        raise _unexpected(source, _after_blank(text, position))
    return position


@cache
def _body() -> re.Pattern[str]:
    """Return the pattern of a group's text up to its closing brace, which one match skips."""
    text = rf'[^{{}}"/\#]++|{_STRING}|{_COMMENT}|/|\#[^\n]*+'
    body = rf"(?:{text})*+"
    for _ in range(MAX_NESTED):
        body = rf"(?:{text}|\{{{body}\}})*+"
    return re.compile(body + r"\}", re.DOTALL)


def _skip(source: _Source, position: int, start: int) -> int:
    """Return the position behind a group's closing brace."""
    whole = _body().match(source.text, position)
    if whole is None:
        raise InputError(
            f"{_line(source, start)}: a group that does not end, or nests deeper than {MAX_NESTED}"
        )
    return whole.end()


def _include(source: _Source, argument: str, group: Group, depth: int) -> None:
    """Parse another file's statements as if they stood here."""
    name = argument.strip().strip('"')
    path = Path(name) if source.path is None else source.path.parent / name
    if source.includes == MAX_INCLUDES:
        raise InputError(f"include_file ({name}): more than {MAX_INCLUDES} files inside each other")
    included = _Source(_text(path), path, source.includes + 1)
    position = _parse_group(included, 0, group, depth, whole=True)
    position = _after_blank(included.text, position)
    if position != len(included.text):
        raise _unexpected(included, position)


def _after_blank(text: str, position: int) -> int:
    """Return the position behind blanks and comments, of which there may be none."""
    match = _TRAILING.match(text, position)
    return position if match is None else match.end()


def _arguments(text: str) -> tuple[str, ...]:
    found = _ARGUMENT.findall(text)
    values = [quoted[1:-1] if quoted else word for quoted, word in found if quoted or word]
    if "\\" in text:
        values = [_CONTINUED.sub("", value) for value in values]
    return tuple(values)


def _line(source: _Source, position: int) -> str:
    where = f"{source.path}: " if source.includes else ""
    return f"{where}line {source.text.count(chr(10), 0, position) + 1}"


def _unexpected(source: _Source, position: int) -> InputError:
    excerpt = source.text[position : position + 20].split("\n")[0]
    if not excerpt:
        return InputError("ends too early")
    return InputError(f"{_line(source, position)}: unexpected {excerpt!r}")
