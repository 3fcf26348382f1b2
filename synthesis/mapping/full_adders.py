"""The order in which full adders add the bits of a sum.

Yosys adds words three by three; a bit that is there waits for one that is not, and what has been
added to it moves once more. Here each column of a sum adds the three bits that are there first, and
an adder's outputs are there one delay after its inputs (Oklobdzija, Villeger, Liu: "A method for
speed optimized partial product reduction and generation of fast parallel multipliers using an
algorithmic approach", IEEE Trans. Computers 45 (3), 1996). All bits that enter the sum are taken to
be there at once: it is for sums of registers.
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
    """The same function with the trees of its full adders built anew.

    ``module``: one of Yosys' `write_json`, its ``$fa`` of one bit each. A tree is of full adders
    joined by nets that nothing else reads. It stays as it is where its outputs are not the digits
    of one sum: where a net has two weights, or two outputs have the same.
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
    made = {bit for adder in adders.values() for bit in (adder.sum, adder.carry)}
    inner = {bit for bit in made if read[bit] == 1 and bit in reader}
    for tree in _trees(adders, reader, inner):
        found = _sum_of(tree, adders, read, inner)
        if found is None:
            continue
        for name in tree:
            del cells[name]
        for k, adder in enumerate(_built(*found, fresh)):
            cells[f"{min(tree)}_{k}"] = _cell(adder)
    return {**module, "cells": cells}


def _ends(module: Mapping[str, Any]) -> Iterator[tuple[Sequence[Bit], bool]]:
    """The bits at each port, of the module and of its cells, and whether it reads them."""
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
    """Each tree whose weights agree: its adders, with the power of two of their inputs.

    ``inner``: the nets within trees, each with one ``reader``.
    """
    made = {adder.sum: (name, 0) for name, adder in adders.items()}
    made |= {adder.carry: (name, 1) for name, adder in adders.items()}
    left = dict.fromkeys(adders)
    while left:
        first = next(iter(left))
        tree, to_see, agree = {first: 0}, [first], True
        while to_see:
            name = to_see.pop()
            del left[name]
            adder, weight = adders[name], tree[name]
            beside = [(made[bit][0], weight - made[bit][1]) for bit in adder.inputs if bit in inner]
            outputs = ((adder.sum, weight), (adder.carry, weight + 1))
            beside += [(reader[bit], at) for bit, at in outputs if bit in inner]
            for other, at in beside:
                if other not in tree:
                    tree[other] = at
                    to_see.append(other)
                agree &= tree[other] == at
        if agree:
            yield tree


def _sum_of(
    tree: Mapping[str, int], adders: Mapping[str, Adder], read: Mapping[Bit, int], inner: set[Bit]
) -> tuple[dict[int, list[Bit]], dict[int, Bit]] | None:
    """The bits that a tree adds, by weight, and its digits that are read; None where it has others.

    What leaves the tree at each weight is the digit there, if it is one bit, and if so are all
    below it: the sum has no other digits. Above the highest that is read anything may be left.
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
    """Full adders from the bits to the digits of their sum; ``fresh`` numbers new nets."""
    adders: list[Adder] = []
    carries: list[tuple[int, Bit]] = []
    named: dict[Bit, Bit] = {}
    for weight in range(min(inputs, default=0), max(digits, default=-1) + 1):
        # When a bit is there, constants before all, then its place in the column.
        given = [(0 if isinstance(bit, int) else -1, bit) for bit in inputs.get(weight, ())]
        column = [(at, k, bit) for k, (at, bit) in enumerate([*given, *carries])]
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
            at, sum_, carry = max(first)[0] + 1, next(fresh), next(fresh)
            if not column and weight in digits:
                sum_ = digits[weight]
            heapq.heappush(column, (at, place, sum_))
            if (a, b, c).count("0") < 2:
                carries.append((at, carry))
            adders.append(Adder((a, b, c), sum_, carry))
    return [adder._replace(carry=named.get(adder.carry, adder.carry)) for adder in adders]
