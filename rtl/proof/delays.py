"""Delays of polynomials: how many clocks ago their samples came in, and taps and K were read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dbp.rtl.proof.netlist import Bit
from dbp.rtl.proof.origins import Origin, Origins
from dbp.rtl.proof.polynomial import Polynomial, Space


class Entry(NamedTuple):
    """A polynomial as of the clock at which its samples came in.

    ``delay``: how many clocks ago that was. ``read_after``: how many clocks after it taps or K were
    read; None where it contains neither. In ``total`` these too are as old as the samples.
    """

    total: Polynomial
    delay: int
    read_after: int | None


class Delays:
    """Moves polynomials in time.

    ``read_after``: all values of `Entry.read_after` that the proof has relied on.
    """

    def __init__(self, origins: Origins, space: Space) -> None:
        self.origins, self.space = origins, space
        self.read_after: set[int] = set()

    def delay(
        self, polynomial: Polynomial, bits: Sequence[Bit], *, static: bool = False
    ) -> int | None:
        """Return the age in clocks of all samples of a polynomial; None where it has no samples.

        ``static``: the age of its taps and K instead. `ProofError` where they differ in age; it
        names the word ``bits``.
        """
        variables = self.space.variables(polynomial)
        ages = {v.delay for v in variables if (v.sample is None) == static}
        if len(ages) > 1:
            text = self.space.text(polynomial.terms)
            raise self.origins.fail(f"joins what is {sorted(ages)} clocks old: {text}", bits)
        return ages.pop() if ages else None

    def through_registers(
        self, polynomial: Polynomial, origin: Origin, bits: Sequence[Bit]
    ) -> Polynomial:
        """Return a polynomial of the source after the way that ``origin`` describes."""
        # Constants and static variables may pass any register.
        expected = origin.enabled_at
        if expected is not None and self.delay(polynomial, bits) not in (None, expected):
            raise self.origins.fail("a history that advances with the valid of another word", bits)
        return self.space.move(polynomial, origin.words, origin.clocks)

    def at_entry(self, word: Polynomial, bits: Sequence[Bit]) -> Entry:
        """Shift a polynomial back to the clock at which its samples came in."""
        delay = self.delay(word, bits) or 0
        total = self.space.move(word, 0, -delay)
        # Taps and K do not come in with a word; what counts is when, after it, they are read.
        read = self.delay(total, bits, static=True)
        total = self.space.move(total, 0, -(read or 0), static=True)
        return Entry(total, delay, None if read is None else -read)

    def rely_on(self, entry: Entry) -> None:
        """Note when taps or K were read: all must be read equally long after their word."""
        if entry.read_after is not None:
            self.read_after.add(entry.read_after)
