"""Boolean expressions of Liberty files: parsed once, then a truth table and Verilog.

Liberty's operators, tightest first: ``'`` (after its operand) and ``!`` (before it), ``^``,
``*`` or ``&`` or a blank (and), ``+`` or ``|`` (or).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbp.errors import InputError

_NAME = re.compile(r"[A-Za-z_][\w\[\]<>.]*")
_TOKEN = re.compile(rf"\s*(?:{_NAME.pattern}|[01]|[!'^*&+|()])")
MAX_VARIABLES = 14
MAX_NESTING = 64

Probability = NDArray[np.float64] | float
# A decision diagram: its nodes ``(variable, low, high)``, and the root. 0 and 1 are the values,
# k + 2 is node k, which comes after those that it leads to.
Diagram = tuple[tuple[tuple[int, int, int], ...], int]


@dataclass(frozen=True)
class Expression:
    """``truth[k]`` is the value where bit j of k (least significant first) is ``variables[j]``.

    ``text`` is Liberty's; ``verilog`` says the same in Verilog, the variables as plain names.
    """

    text: str
    variables: tuple[str, ...]
    verilog: str

    @cached_property
    def truth(self) -> NDArray[np.bool_]:
        """Truth table over all ``2**len(variables)`` states."""
        states = np.arange(1 << len(self.variables))
        values = {name: (states >> j & 1).astype(bool) for j, name in enumerate(self.variables)}
        return np.broadcast_to(_Parser(self.text).parse(values), states.shape).copy()

    def probability(self, of: Mapping[str, Probability]) -> Probability:
        """Return the probability of 1 where the variables are independent, 1 with ``of[name]``.

        Exact. The probabilities are numbers or arrays of one shape; a function that does not
        depend on them has a number.
        """
        return _weighed(_diagram(self.truth.tobytes()), self.variables, of)

    def decides(self, variable: str, of: Mapping[str, Probability]) -> Probability:
        """Return the probability that the value changes with ``variable`` (Boolean difference).

        Exact where the other variables are independent.
        """
        return _weighed(self._differences[variable], self.variables, of)

    @cached_property
    def _differences(self) -> Mapping[str, Diagram]:
        """The Boolean difference of each variable: 1 where the value changes with it."""
        states = np.arange(1 << len(self.variables))
        return {
            name: _diagram((self.truth ^ self.truth[states ^ (1 << j)]).tobytes())
            for j, name in enumerate(self.variables)
        }

    def renamed(self, names: Mapping[str, str]) -> Expression:
        """Return the same expression with other names for some of its variables."""
        if not names:
            return self
        return parse(_NAME.sub(lambda m: names.get(m[0], m[0]), self.text))

    def substitute(self, functions: Mapping[str, Expression]) -> Expression:
        """Return the same expression with functions in the place of some of its variables."""
        if not functions.keys() & set(self.variables):
            return self
        return parse(
            _NAME.sub(
                lambda m: f"({functions[m[0]].text})" if m[0] in functions else m[0], self.text
            )
        )


@lru_cache(maxsize=1 << 12)
def _diagram(truth: bytes) -> Diagram:
    """Return the reduced decision diagram of a truth table, one byte per state.

    Tables of cells come down to a few nodes (the Boolean difference of a sum to none), where the
    table itself doubles with every variable.
    """
    nodes: dict[tuple[int, int, int], int] = {}
    values = list(truth)
    variable = 0
    while len(values) > 1:
        values = [
            low if low == high else nodes.setdefault((variable, low, high), 2 + len(nodes))
            for low, high in zip(values[::2], values[1::2], strict=True)
        ]
        variable += 1
    return tuple(nodes), values[0]


def _weighed(
    diagram: Diagram, variables: tuple[str, ...], of: Mapping[str, Probability]
) -> Probability:
    """Return the probability that a diagram leads to 1, its variables independent."""
    nodes, root = diagram
    values: list[Probability] = [0.0, 1.0]
    for variable, low, high in nodes:
        values.append(values[low] + (values[high] - values[low]) * of[variables[variable]])
    return values[root]


@cache
def parse(text: str) -> Expression:
    """Parse a Liberty expression; `InputError` where the text is not one."""
    parser = _Parser(text)
    parser.parse(None)
    if len(parser.names) > MAX_VARIABLES:
        raise InputError(f"Boolean expression {text!r}: more than {MAX_VARIABLES} variables")
    return Expression(text, tuple(parser.names), parser.verilog)


@lru_cache(maxsize=1 << 16)
def _tokens(text: str) -> tuple[str, ...]:
    tokens = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise InputError(f"Boolean expression {text!r}: unexpected {text[position:][:10]!r}")
        tokens.append(match.group().strip())
        position = match.end()
    return tuple(tokens)


class _Parser:
    """Recursive descent. With values it evaluates; without, it collects names and Verilog.

    A value may be anything with ``&``, ``|`` and ``^``: arrays of bools here.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: dict[str, None] = {}
        self.verilog = ""
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0

    def parse(self, values: Mapping[str, Any] | None) -> Any:
        """Return the value of the whole expression; sets ``names`` and ``verilog``."""
        self._values = values
        value, self.verilog = self._or()
        if self._at != len(self._tokens):
            raise InputError(f"Boolean expression {self.text!r}: unexpected {self._peek()!r}")
        return value

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def _or(self) -> tuple[Any, str]:
        value, text = self._and()
        while self._peek() in ("+", "|"):
            self._take()
            right, right_text = self._and()
            value, text = value | right, f"({text} | {right_text})"
        return value, text

    def _and(self) -> tuple[Any, str]:
        value, text = self._xor()
        while self._peek() and self._peek() not in ("+", "|", ")"):
            if self._peek() in ("*", "&"):
                self._take()
            right, right_text = self._xor()
            value, text = value & right, f"({text} & {right_text})"
        return value, text

    def _xor(self) -> tuple[Any, str]:
        value, text = self._unary()
        while self._peek() == "^":
            self._take()
            right, right_text = self._unary()
            value, text = value ^ right, f"({text} ^ {right_text})"
        return value, text

    def _unary(self) -> tuple[Any, str]:
        token = self._peek()
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise InputError(
                f"Boolean expression {self.text[:20]!r}...: nested more than {MAX_NESTING} deep"
            )
        if token == "!":
            self._take()
            value, text = self._unary()
            self._depth -= 1
            return value ^ True, f"(!{text})"
        if token == "(":
            self._take()
            value, text = self._or()
            if self._peek() != ")":
                raise InputError(f"Boolean expression {self.text!r}: a ')' is missing")
            self._take()
        elif token in ("0", "1"):
            self._take()
            value, text = token == "1", f"1'b{token}"
        elif token and token not in "'^*&+|)":
            self._take()
            self.names[token] = None
            value, text = (False if self._values is None else self._values[token]), token
        else:
            raise InputError(f"Boolean expression {self.text!r}: an operand is missing")
        while self._peek() == "'":
            self._take()
            value, text = value ^ True, f"(!{text})"
        self._depth -= 1
        return value, text
