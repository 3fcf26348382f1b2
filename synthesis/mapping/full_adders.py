"""The order in which full adders add the bits of a sum.

Yosys compresses three words at a time. A full adder whose inputs arrive at different times toggles
more than once a clock, and those glitches cost power. Here each column of a sum adds the three bits
that arrive first, and an adder's outputs arrive one delay after its inputs (Oklobdzija, Villeger,
Liu: "A method for speed optimized partial product reduction and generation of fast parallel
multipliers using an algorithmic approach", IEEE Trans. Computers 45 (3), 1996). All bits that enter
the sum are assumed to arrive together: it is for sums of registers.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

# The number of a net, or a constant: "0", "1", "x".
Bit = int | str


class Adder(NamedTuple):
    """A full adder: ``inputs`` are as many as ``sum`` and two ``carry``."""

    inputs: tuple[Bit, Bit, Bit]
    sum: Bit
    carry: Bit


def reordered(module: Mapping[str, Any]) -> dict[str, Any]:
    """Return a module of the same function with the trees of its full adders rebuilt.

    ``module``: one of Yosys' `write_json`, its ``$fa`` of one bit each. A tree consists of full
    adders joined by nets that nothing else reads. It stays as it is where its outputs are not the
    digits of one sum: where a net has two weights, or two outputs have the same one.
    """
    cells = dict(module["cells"])
    adders = {name: _adder(cell) for name, cell in cells.items() if cell["type"] == "$fa"}
    read: Counter[Bit] = Counter()
    numbers = [1]
    for ends, inward in _ends(module):
        read.update(ends if inward else ())
        numbers += [bit for bit in ends if isinstance(bit, int)]
    fresh = itertools.count(max(numbers) + 1)
    reader = {bit: name for name, adder in adders.items() for bit in adder.inputs}
    driven = {bit for adder in adders.values() for bit in (adder.sum, adder.carry)}
    inner = {bit for bit in driven if read[bit] == 1 and bit in reader}
    for tree in _trees(adders, reader, inner):
        whole_sum = _sum_of(tree, adders, read, inner)
        if whole_sum is None:
            continue
        for name in tree:
            del cells[name]
        for k, adder in enumerate(_built(*whole_sum, fresh)):
            cells[f"{min(tree)}_{k}"] = _cell(adder)
    return {**module, "cells": cells}


def _ends(module: Mapping[str, Any]) -> Iterator[tuple[Sequence[Bit], bool]]:
    """Yield the bits at each port of the module and its cells, and whether the port reads them."""
    for port in module["ports"].values():
        yield port["bits"], port["direction"] != "input"
    for cell in module["cells"].values():
        for name, bits in cell["connections"].items():
            yield bits, cell["port_directions"][name] != "output"
    for net in module["netnames"].values():
        yield net["bits"], False


def _adder(cell: Mapping[str, Any]) -> Adder:
    (a,), (b,), (c,), (carry,), (sum_,) = (cell["connections"][port] for port in "ABCXY")
    return Adder((a, b, c), sum_, carry)


def _cell(adder: Adder) -> dict[str, Any]:
    a, b, c = adder.inputs
    return {
        "hide_name": 1,
        "type": "$fa",
        "parameters": {"WIDTH": f"{1:032b}"},
        "attributes": {},
        "port_directions": {port: "input" if port in "ABC" else "output" for port in "ABCXY"},
        "connections": {"A": [a], "B": [b], "C": [c], "X": [adder.carry], "Y": [adder.sum]},
    }


def _trees(
    adders: Mapping[str, Adder], reader: Mapping[Bit, str], inner: set[Bit]
) -> Iterator[dict[str, int]]:
    """Yield each tree whose weights agree: its adders, with the power of two of their inputs.

    ``inner``: the nets within trees, each with one ``reader``.
    """
    driver = {adder.sum: (name, 0) for name, adder in adders.items()}
    driver |= {adder.carry: (name, 1) for name, adder in adders.items()}
    unseen = dict.fromkeys(adders)
    while unseen:
        first = next(iter(unseen))
        tree, to_visit, agree = {first: 0}, [first], True
        while to_visit:
            name = to_visit.pop()
            del unseen[name]
            adder, weight = adders[name], tree[name]
            drivers = (driver[bit] for bit in adder.inputs if bit in inner)
            neighbors = [(other, weight - carries) for other, carries in drivers]
            outputs = ((adder.sum, weight), (adder.carry, weight + 1))
            neighbors += [(reader[bit], at) for bit, at in outputs if bit in inner]
            for other, at in neighbors:
                if other not in tree:
                    tree[other] = at
                    to_visit.append(other)
                agree &= tree[other] == at
        if agree:
            yield tree


def _sum_of(
    tree: Mapping[str, int], adders: Mapping[str, Adder], read: Mapping[Bit, int], inner: set[Bit]
) -> tuple[dict[int, list[Bit]], dict[int, Bit]] | None:
    """Return the bits that a tree adds, by weight, and its digits that are read, by weight.

    None where the outputs of the tree are not the digits of its sum. They are if at each weight, up
    to the highest that is read, one bit leaves the tree: this bit is the digit there. Above the
    highest digit that is read any bits may leave it.
    """
    inputs: dict[int, list[Bit]] = defaultdict(list)
    leaving: dict[int, list[Bit]] = defaultdict(list)
    for name, weight in tree.items():
        adder = adders[name]
        inputs[weight] += [bit for bit in adder.inputs if bit not in inner and bit != "0"]
        for bit, at in ((adder.sum, weight), (adder.carry, weight + 1)):
            if bit not in inner:
                leaving[at].append(bit)
    digits = {at: bit for at, bits in leaving.items() for bit in bits if read[bit]}
    if any(len(bits) > 1 for at, bits in leaving.items() if at <= max(digits, default=at)):
        return None
    return inputs, digits


def _built(
    inputs: Mapping[int, Sequence[Bit]], digits: Mapping[int, Bit], fresh: Iterator[int]
) -> list[Adder]:
    """Build full adders from the bits to the digits of their sum; ``fresh`` numbers new nets."""
    adders: list[Adder] = []
    carries: list[tuple[int, Bit]] = []
    # A carry that is the last digit itself, without an adder, takes that digit's name.
    named: dict[Bit, Bit] = {}
    for weight in range(min(inputs, default=0), max(digits, default=-1) + 1):
        # When a bit arrives, constants before all others, then its place in the column.
        summands = [(0 if isinstance(bit, int) else -1, bit) for bit in inputs.get(weight, ())]
        column: list[tuple[int, int, Bit]] = [
            (at, k, bit) for k, (at, bit) in enumerate([*summands, *carries])
        ]
        if weight in digits and len(column) == len(carries) == 1:
            named[carries[0][1]] = digits[weight]
            column = []
        elif weight in digits and len(column) < 2:
            column += [(-1, k, "0") for k in range(len(column), 2)]
        carries = []
        heapq.heapify(column)
        for place in itertools.count(len(column)):
            if len(column) < 2:
                break
            first = [heapq.heappop(column) for _ in range(min(len(column), 3))]
            a, b, c = [*(bit for _, _, bit in first), "0"][:3]
            at = max(first)[0] + 1
            sum_: Bit = next(fresh)
            carry = next(fresh)
            if not column and weight in digits:
                sum_ = digits[weight]
            heapq.heappush(column, (at, place, sum_))
            if (a, b, c).count("0") < 2:
                carries.append((at, carry))
            adders.append(Adder((a, b, c), sum_, carry))
    return [adder._replace(carry=named.get(adder.carry, adder.carry)) for adder in adders]
