"""The text of a Verilog file: directives obeyed, modules found, statements cut into words."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from dbp.errors import InputError, shown

_BETWEEN = (
    r"(?:\s++|//[^\n]*+|/\*.*?\*/"
    # An attribute; what stands in its strings does not end it.
    r'|\(\*(?!\s*\))(?:"(?:[^"\\]|\\.)*+"|[^"*]|\*(?!\)))*+\*\))*+'
)
_WORD = re.compile(
    _BETWEEN + r"(\\\S++|[A-Za-z_][\w$]*+"
    r"|(?:\d[\d_]*+\s*+)?'\s*+[sS]?[bodhBODH]\s*+[0-9a-fA-FxXzZ?_]*+|'[01xXzZ]"
    r"|\d[\d_]*+(?:\.\d++)?(?:[eE][+-]?\d++)?"
    r'|"(?:[^"\\\n]|\\.)*+"|`\w++|\$[\w$]++|\S|$)',
    re.DOTALL | re.ASCII,
)
# What a directive, or the word "module", may be hidden in.
_HIDING = r'"(?:[^"\\\n]|\\.)*+"|\\\S++|//[^\n]*+|/\*.*?\*/'
_DIRECTIVE = re.compile(_HIDING + r"|`(?P<name>[A-Za-z_]\w*+)", re.DOTALL | re.ASCII)
_BLOCK = re.compile(
    _HIDING + r"|(?P<word>`(?:end)?celldefine\b"
    r"|(?<![\w$])(?:module|macromodule|endmodule|primitive|endprimitive)(?![\w$]))",
    re.DOTALL | re.ASCII,
)
_OFF = re.compile(r"(?://|/\*)\s*(?:\w+\s+){1,2}translate_(off|on)\b")
_TO_END_OF_LINE = re.compile(r"(?:[^\n\\/]|\\\n|\\|/(?!/))*")
_ARGUMENT = re.compile(r'[ \t]*("[^"\n]*"|[\w.]+)?')
# Directives that have no say in a netlist, by what they take with them.
_OF_A_LINE = {
    "timescale",
    "line",
    "pragma",
    "default_decay_time",
    "default_trireg_strength",
    "uselib",
}
_OF_AN_ARGUMENT = {"default_nettype", "unconnected_drive", "begin_keywords"}
_WORDS_ALONE = {"endspecify", "generate", "endgenerate"}
MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Module:
    """Where a module stands in the text: from after its keyword to before ``endmodule``.

    ``is_cell``: it stands between `` `celldefine `` and `` `endcelldefine ``.
    """

    name: str
    start: int
    end: int
    is_cell: bool


@dataclass(frozen=True, slots=True)
class Statement:
    """The words up to a semicolon, or one of those that stand alone; ``start``: its place."""

    words: list[str]
    start: int


def statements(text: str, start: int, end: int) -> Iterator[Statement]:
    """Cut a part of a text into statements, without comments and attributes.

    The last one may lack its semicolon. What stands between ``specify`` and ``endspecify`` is left
    out, since it is about timing.
    """
    words: list[str] = []
    specifying = False
    for match in _WORD.finditer(text, start, end):
        word = match[1]
        if word == ";" or (not words and word in _WORDS_ALONE):
            if not specifying and (words or word != ";"):
                yield Statement([*words, word], start)
            specifying = specifying and word != "endspecify"
            words, start = [], match.end()
        elif specifying and word == "endspecify":
            specifying, words, start = False, [], match.end()
        elif word == "specify" and not words:
            specifying = True
        elif word:
            words.append(word)
    if words or specifying:
        yield Statement([*words, ""], start)


def line_of(text: str, statement: Statement, place: int) -> int:
    """Return the line of a statement's word, from 1."""
    position = statement.start
    for k, match in enumerate(_WORD.finditer(text, statement.start)):
        position = match.end()
        if k >= place:
            break
    return text.count("\n", 0, position) + 1


def modules(text: str) -> list[Module]:
    """Return the modules of a text; `InputError` where there is none, or other text beside them."""
    found: list[Module] = []
    start, outside, is_cell, opened = 0, 0, False, ""
    for match in _BLOCK.finditer(text):
        word = match["word"]
        if word is None:
            continue
        if word.startswith("`"):
            is_cell = word == "`celldefine"
        elif word.startswith("end"):
            if opened != word.removeprefix("end"):
                raise _misplaced(text, match.start(), word)
            if opened == "module":
                found.append(
                    Module(_first_word(text, start, match.start()), start, match.start(), is_cell)
                )
            opened, outside = "", match.end()
        elif opened:
            raise _misplaced(text, match.start(), word)
        else:
            _require_nothing(text, outside, match.start())
            opened, start = word.removeprefix("macro"), match.end()
    if opened:
        raise InputError(f"the file ends inside a {opened}")
    _require_nothing(text, outside, len(text))
    if not found:
        raise InputError("no module: not a Verilog netlist")
    return found


def _first_word(text: str, start: int, end: int) -> str:
    match = _WORD.match(text, start, end)
    word = match[1] if match else ""
    return word.removeprefix("\\")


def _require_nothing(text: str, start: int, end: int) -> None:
    """Refuse what stands outside of modules, but units of time and labels."""
    for statement in statements(text, start, end):
        words = [word for word in statement.words if not word.startswith("`") and word]
        while words[:1] == [":"]:  # endmodule : name
            words = words[2:]
        if words and words[0] not in ("timeunit", "timeprecision", "import"):
            raise _misplaced(text, statement.start, words[0])


def _misplaced(text: str, position: int, word: str) -> InputError:
    line = text.count("\n", 0, position) + 1
    return InputError(f"line {line}: {shown(word, 20)}: not flat structural Verilog")


@dataclass
class _Directives:
    """What the directives so far have set. ``taken``: of each `` `ifdef ``, whether its present
    part counts and whether one has counted."""

    macros: dict[str, str] = field(default_factory=dict)
    taken: list[tuple[bool, bool]] = field(default_factory=list)
    off: bool = False

    @property
    def counts(self) -> bool:
        return not self.off and all(now for now, _ in self.taken)


def without_directives(text: str, defined: Collection[str] = ()) -> str:
    """Return the text as a preprocessor leaves it; lines keep their numbers.

    Macros without arguments and conditions are obeyed, and so are the comments that turn synthesis
    off and on. `` `celldefine `` stays. `InputError`: a file is included, or a macro is unknown.
    """
    if "`" not in text and "translate_off" not in text:
        return text
    state = _Directives(dict.fromkeys(defined, ""))
    pieces: list[str] = []
    done = 0

    def skip(end: int, kept: str = "") -> None:
        """Leave out the text from ``done`` on, but for its ends of lines."""
        nonlocal done
        pieces.append(kept + "\n" * (text.count("\n", done, end)))
        done = end

    def keep(end: int) -> None:
        nonlocal done
        if state.counts:
            pieces.append(text[done:end])
            done = end
        else:
            skip(end)

    for match in _DIRECTIVE.finditer(text):
        if match.start() < done:  # of a line that a directive took
            continue
        name = match["name"]
        if name is None:
            switch = _OFF.match(match[0]) if "translate_" in match[0] else None
            if switch:
                keep(match.start())
                state.off = switch[1] == "off"
                skip(match.end())
            continue
        keep(match.start())
        end, kept = _obeyed(text, match, name, state)
        skip(end, kept)
    keep(len(text))
    if state.taken:
        raise InputError("`ifdef without `endif")
    return "".join(pieces)


def _obeyed(text: str, match: re.Match[str], name: str, state: _Directives) -> tuple[int, str]:
    """Obey one directive; return where it ends and what stands for it."""
    end = match.end()
    argument = _ARGUMENT.match(text, end)
    word = (argument[1] or "") if argument else ""
    after = argument.end() if argument else end
    if name in ("ifdef", "ifndef"):
        now = (word in state.macros) == (name == "ifdef")
        state.taken.append((now, now))
        return after, ""
    if name in ("elsif", "else", "endif"):
        if not state.taken:
            raise _unfit(text, match, "without `ifdef")
        _, before = state.taken.pop()
        if name != "endif":
            now = not before and (name == "else" or word in state.macros)
            state.taken.append((now, before or now))
        return (after if name == "elsif" else end), ""
    if not state.counts:
        return end, ""
    return _effect(text, match, name, state, word, after)


def _effect(
    text: str, match: re.Match[str], name: str, state: _Directives, word: str, after: int
) -> tuple[int, str]:
    """Obey a directive that is no condition, in a part that counts."""
    line = _TO_END_OF_LINE.match(text, after)
    end_of_line = line.end() if line else after
    if name == "define":
        body = text[after:end_of_line]
        if body.startswith("("):
            raise _unfit(text, match, "with arguments: give the netlist without macros")
        state.macros[word] = body.replace("\\\n", " ").strip()
        return end_of_line, ""
    if name == "undef":
        state.macros.pop(word, None)
        return after, ""
    if name == "include":
        raise _unfit(text, match, "another file: put its text in this place")
    if name in ("celldefine", "endcelldefine"):
        return match.end(), f" `{name} "
    if name in state.macros:
        body = state.macros[name]
        for _ in range(MAX_DEPTH):
            inner = re.search(r"`(\w+)", body)
            if inner is None:
                return match.end(), f" {body} "
            body = body.replace(inner[0], state.macros.get(inner[1], ""))
        raise _unfit(text, match, "defined by itself")
    if name in _OF_A_LINE:
        return end_of_line, ""
    if name in _OF_AN_ARGUMENT:
        return after, ""
    # Simulators have dozens of their own, all on lines of their own; elsewhere it is a value.
    if text[text.rfind("\n", 0, match.start()) + 1 : match.start()].strip():
        raise _unfit(text, match, "a macro that the file does not define")
    return match.end(), ""


def _unfit(text: str, match: re.Match[str], problem: str) -> InputError:
    line = text.count("\n", 0, match.start()) + 1
    return InputError(f"line {line}: {match[0]}: {problem}")
