"""What may stand at a pin or in an assignment: names, bits, ranges, constants, concatenations."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from dbp.errors import InputError, shown
from dbp.synthesis.netlist import source
from dbp.synthesis.netlist.model import plain_name

# A bit that is neither 0 nor 1: x or z.
UNDEFINED = "1'bx"
MAX_BITS = 1 << 20
MAX_NESTING = 64
LOOK_AHEAD = 10
_BASED = re.compile(r"([\d_]*)\s*'\s*[sS]?([bodhBODH])\s*(\S*)", re.DOTALL)
_DIGIT_BITS = {"b": 1, "o": 3, "h": 4}
_UNSIZED_BITS = 32


@dataclass
class Names:
    """The names of a module: the range of each that is declared, None where it is a single bit.

    ``selected``: bits of names that are not declared. ``escaped``: names that keep their backslash
    as long as it is not known whether they would be taken for a bit.
    """

    ranges: dict[str, range | None] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    selected: set[str] = field(default_factory=set)
    escaped: set[str] = field(default_factory=set)

    def bits(self, name: str) -> list[str]:
        indices = self.ranges.get(name)
        return [name] if indices is None else [f"{name}[{k}]" for k in indices]

    def has_bit(self, name: str) -> bool:
        """Tell whether a name that looks like a bit of a vector is one."""
        stem, _, index = name.removesuffix("]").rpartition("[")
        number = int(index) if len(index) < 10 else -1
        ranges = (self.ranges.get(stem), self.ranges.get("\\" + stem))
        return name in self.selected or any(r is not None and number in r for r in ranges)


@dataclass(frozen=True, slots=True)
class Operand:
    """Nets of single bits, most significant first.

    ``extension``: what continues a constant without a size to the left, else None.
    """

    bits: list[str]
    extension: str | None = None

    def resized(self, width: int) -> list[str]:
        """Return the bits in a width; an operand of a size of its own stays as it is."""
        if self.extension is None:
            return self.bits
        lacking = max(width - len(self.bits), 0)
        return [self.extension] * lacking + self.bits[max(len(self.bits) - width, 0) :]

    @property
    def is_single(self) -> bool:
        """Tell whether one bit says all that there is."""
        return len(self.bits) == 1 or (
            self.extension is not None and set(self.bits[:-1]) <= {self.extension}
        )


class Words:
    """A statement's words, read from left to right; ``word`` is the next one."""

    def __init__(self, text: str, statement: source.Statement, names: Names) -> None:
        self._text, self._statement, self._names = text, statement, names
        # Past the end there is nothing, so that no look-ahead has to count.
        self.words = [*statement.words, *[""] * LOOK_AHEAD]
        self.place = 0

    @property
    def word(self) -> str:
        return self.words[self.place]

    def peek(self, ahead: int) -> str:
        """Return the word that follows after ``ahead`` others, fewer than `LOOK_AHEAD`."""
        return self.words[self.place + ahead]

    def next(self) -> str:
        """Step over the next word and return it; `InputError` at the end."""
        word = self.words[self.place]
        if not word:
            raise self.unexpected()
        self.place += 1
        return word

    def skip(self, *words: str) -> bool:
        """Step over the next word if it is one of these; tell whether it was."""
        if self.word not in words:
            return False
        self.place += 1
        return True

    def refused(self, problem: str) -> InputError:
        last = len(self._statement.words) - 1
        line = source.line_of(self._text, self._statement, min(self.place, last))
        return InputError(f"line {line}: {problem}")

    def unexpected(self) -> InputError:
        """Return the error about the next word."""
        word = self.word
        if not word:
            return self.refused("the text ends within a statement: a ';' is missing")
        return self.refused(f"{shown(word, 20)}: not flat structural Verilog")

    def expect(self, word: str) -> None:
        if self.word != word:
            raise self.unexpected()
        self.place += 1

    def name(self) -> str:
        """Read an identifier; see `plain_name`."""
        word = self.word
        if not (word[:1].isalpha() or word[:1] in ("_", "\\")) or word == "\\":
            raise self.unexpected()
        self.place += 1
        name = plain_name(word)
        if name[0] == "\\":
            self._names.escaped.add(name)
        return name

    def skip_parentheses(self) -> None:
        """Step over a parenthesis and all that is in it."""
        self.expect("(")
        depth = 1
        while depth:
            if not self.word:
                raise self.unexpected()
            word = self.next()
            depth += (word == "(") - (word == ")")

    def skip_delay(self) -> None:
        """Step over ``#3`` or ``#(...)``, a delay or parameters."""
        if self.skip("#"):
            if self.word == "(":
                self.skip_parentheses()
            else:
                self.next()

    def indices(self) -> range | None:
        """Read ``[left:right]`` where there is one."""
        if not self.skip("["):
            return None
        left = self.integer()
        self.expect(":")
        right = self.integer()
        self.expect("]")
        return self._span(left, right)

    def skip_select(self) -> None:
        """Step over ``[bit]`` or ``[left:right]``."""
        self.expect("[")
        self.integer()
        if self.skip(":"):
            self.integer()
        self.expect("]")

    def _span(self, left: int, right: int) -> range:
        if abs(left - right) >= MAX_BITS:
            raise self.refused(f"[{left}:{right}]: must be at most {MAX_BITS} bits")
        step = -1 if left >= right else 1
        return range(left, right + step, step)

    def integer(self, depth: int = 0) -> int:
        """Read a number, or a sum of products of numbers and parameters."""
        total = self._product(depth)
        while self.word in ("+", "-") and self.peek(1) != ":":  # not of [base +: width]
            sign = 1 if self.next() == "+" else -1
            total += sign * self._product(depth)
        if abs(total) > MAX_BITS:
            raise self.refused(f"{total}: must be at most {MAX_BITS}")
        return total

    def _product(self, depth: int) -> int:
        product = self._factor(depth)
        while self.skip("*"):
            product *= self._factor(depth)
        return product

    def _factor(self, depth: int) -> int:
        if depth > MAX_NESTING:
            raise self.unexpected()
        if self.skip("-"):
            return -self._factor(depth + 1)
        if self.skip("("):
            value = self.integer(depth + 1)
            self.expect(")")
            return value
        word = self.word
        if word in self._names.parameters:
            self.next()
            return self._names.parameters[word]
        # The length first: Python refuses to convert thousands of digits.
        if len(word) <= 9 and word.isdecimal():
            self.next()
            return int(word)
        if "'" in word:
            bits = self._constant().bits
            if UNDEFINED not in bits and len(bits) <= _UNSIZED_BITS:
                return int("".join(bit[-1] for bit in bits), 2)
        raise self.unexpected()

    def operand(self, depth: int = 0) -> Operand:
        """Read nets, constants or a concatenation of them."""
        if depth > MAX_NESTING:
            raise self.unexpected()
        if self.skip("("):
            inner = self.operand(depth + 1)
            self.expect(")")
            return inner
        if self.word == "{":
            return Operand(self._concatenation(depth))
        if self.word[:1].isdigit() or self.word[:1] == "'":
            return self._constant()
        return Operand(self._signal())

    def _concatenation(self, depth: int) -> list[str]:
        self.expect("{")
        times = 1
        is_count = self.word.isdecimal() or self.word in self._names.parameters
        replicated = is_count and self.peek(1) == "{"
        if replicated:
            times = self.integer()
            self.expect("{")
        bits = list(self.operand(depth + 1).bits)
        while self.skip(","):
            bits += self.operand(depth + 1).bits
        self.expect("}")
        if replicated:
            self.expect("}")
        if times * len(bits) > MAX_BITS:
            raise self.refused(f"a concatenation of more than {MAX_BITS} bits")
        return bits * times

    def _signal(self) -> list[str]:
        name = self.name()
        if self.word != "[":
            return self._names.bits(name)
        self.next()
        left = self.integer()
        if self.skip(":"):
            right = self.integer()
        elif self.word in ("+", "-") and self.peek(1) == ":":
            upwards = self.next() == "+"
            self.expect(":")
            left, right = self._indexed(name, left, self.integer(), upwards)
        else:
            right = left
        self._check(name, left, right)
        self.expect("]")
        return [f"{name}[{k}]" for k in self._span(left, right)]

    def _indexed(self, name: str, base: int, width: int, upwards: bool) -> tuple[int, int]:
        """Return the ends of ``[base +: width]`` as the vector counts."""
        other = base + (width - 1 if upwards else 1 - width)
        indices = self._names.ranges.get(name)
        falling = indices is None or indices.step < 0
        low, high = min(base, other), max(base, other)
        return (high, low) if falling else (low, high)

    def _check(self, name: str, *bits: int) -> None:
        """Refuse bits that a declared name does not have."""
        ranges = self._names.ranges
        if name not in ranges:
            self._names.selected.update(f"{name}[{bit}]" for bit in bits)
            return
        declared = ranges[name]
        for bit in bits:
            if declared is None:
                raise self.refused(f"{name}[{bit}]: {name} is a single bit")
            if bit not in declared:
                span = f"[{declared[0]}:{declared[-1]}]"
                raise self.refused(f"{name}[{bit}]: must be within the declared {span}")

    def _constant(self) -> Operand:
        """Read a number of any base, with a size or without."""
        word = self.word
        match = _BASED.fullmatch(word)
        if word[:1] == "'" and len(word) == 2:  # a bit that fills what it is assigned to
            bit = _bit(word[1].lower())
            found: Operand | None = Operand([bit], bit)
        elif match is not None:
            found = _number(match[1].replace("_", ""), match[2].lower(), match[3])
        else:
            found = _number("", "d", word)
        if found is None:
            raise self.unexpected()
        self.next()
        return found


def _bit(digit: str) -> str:
    return f"1'b{digit}" if digit in "01" else UNDEFINED


def _number(size: str, base: str, digits: str) -> Operand | None:
    """Return the bits of a number, None where it is none."""
    digits = digits.replace("_", "").lower().replace("?", "z")
    if len(size) > 9 or (size and not 1 <= int(size) <= MAX_BITS) or len(digits) > MAX_BITS:
        return None
    if base == "d" and digits not in ("x", "z"):
        if not digits.isdecimal() or len(digits) > 100:
            return None
        bits = [_bit(bit) for bit in f"{int(digits):b}"]
    else:
        found = _digits(1 if base == "d" else _DIGIT_BITS[base], digits)
        if found is None:
            return None
        bits = found
    extension = UNDEFINED if bits[0] == UNDEFINED else "1'b0"
    width = int(size) if size else max(_UNSIZED_BITS, len(bits))
    resized = Operand(bits, extension).resized(width)
    return Operand(resized, None if size else extension)


def _digits(count: int, digits: str) -> list[str] | None:
    """Return ``count`` bits for each digit, None where one is not of this base."""
    bits: list[str] = []
    for digit in digits:
        if digit in "xz":
            bits += [UNDEFINED] * count
            continue
        if digit not in "0123456789abcdef"[: 1 << count]:
            return None
        value = int(digit, 16)
        bits += [f"1'b{value >> k & 1}" for k in reversed(range(count))]
    return bits or None
