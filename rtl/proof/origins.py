"""Follow bits back through registers, to the input or the cell that they come from.

A register holds its bit back by one clock or, where ``in_valid`` enables it, by one word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from dbp.rtl.proof.netlist import CONSTANTS, Bit, Cell, ProofError, WordNetlist
from dbp.rtl.proof.polynomial import Variable

# Far above any latency.
MAX_CLOCKS = 1000


class PackedInput(NamedTuple):
    """A data input: its packed elements, the lowest first, each of ``bits`` bits."""

    bits: int
    elements: Sequence[Variable]


class Element(NamedTuple):
    """Element ``number`` of a data input."""

    port: str
    number: int


Source = Cell | Element


class Origin(NamedTuple):
    """Bit ``position`` of ``source``, as it was ``words`` words and ``clocks`` clocks ago.

    ``source`` None: the constant ``position``, 0 or 1.
    ``enabled_at``: set where registers on the way advance with a valid. These hold words of the
    source only if its samples came in this number of clocks before the source itself.
    """

    source: Source | None
    position: int
    words: int = 0
    clocks: int = 0
    enabled_at: int | None = None


class Segment(NamedTuple):
    """Adjacent bits of one source, or constants, within a word; ``start``: the lowest one there."""

    start: int
    origins: list[Origin]


class Origins:
    """The origins of the bits of ``netlist``, whose data enter at ``inputs``."""

    def __init__(self, netlist: WordNetlist, inputs: Mapping[str, PackedInput]) -> None:
        self.netlist, self.inputs = netlist, inputs
        self._origins: dict[Bit, Origin] = {}
        self._evaluating: set[Cell] = set()

    def fail(self, reason: str, bits: Sequence[Bit]) -> ProofError:
        """The error to raise where ``reason`` speaks of the word ``bits``."""
        return ProofError(f"{self.netlist.name}: {self.netlist.describe(bits[-1])}: {reason}")

    def width(self, source: Source) -> int:
        """Return the number of bits of a source."""
        if isinstance(source, Element):
            return self.inputs[source.port].bits
        return len(source.outputs["Y"])

    def describe(self, origin: Origin) -> str:
        """The name of a source as in the Verilog."""
        if isinstance(origin.source, Cell):
            return self.netlist.describe(origin.source.outputs["Y"][0])
        return "a constant" if origin.source is None else "{}[{}]".format(*origin.source)

    @contextmanager
    def evaluating(self, cell: Cell) -> Iterator[None]:
        """Enclose the evaluation of a cell; `ProofError` where it needs its own output."""
        if cell in self._evaluating:
            raise self.fail("feeds itself", cell.outputs["Y"])
        self._evaluating.add(cell)
        try:
            yield
        finally:
            self._evaluating.remove(cell)

    def valid_age(self, bit: Bit) -> int | None:
        """Return the age in clocks of the ``in_valid`` that ``bit`` carries; None for other bits.

        Reset must clear each register on the way.
        """
        age = 0
        while self.netlist.is_register(bit):
            register = self.netlist.register(bit)
            age += 1
            if register.enable is not None or register.reset != 0 or age > MAX_CLOCKS:
                return None
            bit = register.data
        return age if (bit,) == self.netlist.inputs.get("in_valid") else None

    def of_bits(self, bits: Sequence[Bit]) -> list[Origin]:
        """The origin of each bit of a word."""
        return [self.of_bit(bit) for bit in bits]

    def of_bit(self, bit: Bit) -> Origin:
        """Follow a bit back through registers; `ProofError` where these advance with no valid."""
        registers: list[tuple[Bit, int | None]] = []
        while bit not in self._origins and self.netlist.is_register(bit):
            data, enable, _ = self.netlist.register(bit)
            age = None
            if enable is not None and (age := self.valid_age(enable)) is None:
                raise self.fail(
                    f"advances with {self.netlist.describe(enable)}, which is no valid", [bit]
                )
            registers.append((bit, age))
            bit = data
            if len(registers) > len(self.netlist.drivers):
                raise self.fail("a register that feeds itself", [bit])
        if bit not in self._origins:
            self._origins[bit] = self._driver(bit)
        # Back from the source to the bit: each register adds its clock or its word.
        origin = self._origins[bit]
        for register, age in reversed(registers):
            if age is None:
                origin = origin._replace(clocks=origin.clocks + 1)
            else:
                enabled_at = age - origin.clocks
                if origin.source is not None and origin.enabled_at not in (None, enabled_at):
                    raise self.fail("histories that advance with different words", [register])
                origin = origin._replace(words=origin.words + 1, enabled_at=enabled_at)
            self._origins[register] = origin
        return origin

    def _driver(self, bit: Bit) -> Origin:
        """The origin of a bit that no register drives."""
        if bit in CONSTANTS:
            return Origin(None, CONSTANTS[bit])
        driver, position = self.netlist.driver(bit)
        if isinstance(driver, Cell):
            return Origin(driver, position)
        if driver not in self.inputs:
            raise self.fail(f"depends on {driver}, which is no data", [bit])
        number, position = divmod(position, self.inputs[driver].bits)
        return Origin(Element(driver, number), position)


def segments(origins: Sequence[Origin]) -> list[Segment]:
    """Split a word into runs of adjacent bits of one source."""
    runs: list[Segment] = []
    for k, origin in enumerate(origins):
        if runs and _adjacent(runs[-1].origins[-1], origin):
            runs[-1].origins.append(origin)
        else:
            runs.append(Segment(k, [origin]))
    return runs


def _adjacent(below: Origin, above: Origin) -> bool:
    if above.source is None:
        return below.source is None
    return below._replace(position=below.position + 1) == above
