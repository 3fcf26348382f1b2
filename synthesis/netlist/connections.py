"""What is connected to the pins of an instance."""

from __future__ import annotations

from dbp.synthesis.netlist.model import Instance
from dbp.synthesis.netlist.operands import UNDEFINED, Names, Operand, Words


class Connections:
    """What is connected to the pins of an instance, or of an array of them."""

    def __init__(self, words: Words, instance: str, names: Names) -> None:
        self._instance, self._words = instance, words
        self.nets: dict[str, str] = {}
        self.wide: dict[str, list[str]] = {}
        self.open: list[str] = []
        place = 0
        if words.skip(")"):
            return
        while True:
            place += 1
            if not self._plain(words, names):
                self._any(words, place)
            if words.skip(")"):
                return
            words.expect(",")

    def _plain(self, words: Words, names: Names) -> bool:
        """Read ``.pin(net)`` or ``.pin(net[3])`` quickly; tell whether it was one of these."""
        all_words, k = words.words, words.place
        if all_words[k] != "." or all_words[k + 2] != "(":
            return False
        pin, net = all_words[k + 1], all_words[k + 3]
        if not net.isidentifier() or pin in self.nets or pin in self.wide or pin[0] == "\\":
            return False
        indices = names.ranges.get(net)
        if all_words[k + 4] == ")":
            if indices is not None:
                return False
            self.nets[pin] = net
            words.place += 5
            return True
        index = all_words[k + 5]
        if all_words[k + 6] != "]" or all_words[k + 7] != ")" or not index.isdecimal():
            return False
        if indices is None or len(index) > 9 or int(index) not in indices:
            return False
        self.nets[pin] = f"{net}[{int(index)}]"
        words.place += 8
        return True

    def _any(self, words: Words, place: int) -> None:
        """Read a connection of any form; ``place``: where it stands in the list, from 1."""
        if words.word == "." and words.peek(1) == "*":
            raise words.refused(f"instance {self._instance}: .*: name its pins")
        pin, first = f"${place}", words.place
        if words.skip("."):
            pin = words.name().removeprefix("\\")
            if not words.skip("("):  # .a for .a(a)
                words.place -= 1
                self._add(words, pin, words.operand(), first)
                return
            if words.skip(")"):
                self.open.append(pin)
                return
            operand = words.operand()
            words.expect(")")
        elif words.word in (",", ")"):  # a place that is left open
            return
        else:
            operand = words.operand()
        self._add(words, pin, operand, first)

    def _add(self, words: Words, pin: str, operand: Operand, first: int) -> None:
        if pin in self.nets or pin in self.wide:
            words.place = first
            raise words.refused(f"instance {self._instance}: pin {pin} is connected twice")
        if operand.is_single:
            self.nets[pin] = operand.bits[-1]
        else:
            self.wide[pin] = operand.bits

    def undefined(self) -> list[str]:
        """Return the pins that are at x or z."""
        wide = [pin for pin, bits in self.wide.items() if UNDEFINED in bits]
        return [pin for pin, net in self.nets.items() if net == UNDEFINED] + wide

    def instance(self, name: str, cell: str, place: int, count: int) -> Instance:
        """Return one of ``count`` instances: each has its share of what is wide."""
        nets, vectors = self.nets, {}
        for pin, bits in self.wide.items():
            width, rest = divmod(len(bits), count)
            if rest:
                raise self._words.refused(
                    f"instance {self._instance}: pin {pin}: {len(bits)} bits for {count} instances"
                )
            share = bits[place * width : (place + 1) * width]
            if width == 1:
                nets = nets | {pin: share[0]}
            else:
                vectors[pin] = tuple(share)
        return Instance(name, cell, nets, vectors, tuple(self.open))
