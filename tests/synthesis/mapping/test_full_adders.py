"""Full adders put in order: the same function, for any netlist of adders, and less deep."""

import json
import random

import pytest
from helpers.hardware import small_design

from dbp.rtl import Target, emit_step
from dbp.synthesis.cells import kits, liberty_reader
from dbp.synthesis.mapping import full_adders, yosys_map


def cell(a, b, c, carry, sum_):
    pins = dict(zip("ABCXY", (a, b, c, carry, sum_), strict=True))
    return {
        "type": "$fa",
        "port_directions": {pin: "output" if pin in "XY" else "input" for pin in pins},
        "connections": {pin: [bit] for pin, bit in pins.items()},
    }


def module(inputs, cells, outputs):
    ports = {"x": ("input", inputs), "y": ("output", outputs)}
    return {
        "ports": {name: {"direction": way, "bits": bits} for name, (way, bits) in ports.items()},
        "cells": {f"adder_{k}": adder for k, adder in enumerate(cells)},
        "netnames": {},
    }


def evaluate(circuit, values):
    """The outputs, and the most adders on a way to one."""
    known = {"0": 0, "1": 1, **dict(zip(circuit["ports"]["x"]["bits"], values, strict=True))}
    depth = dict.fromkeys(known, 0)
    left = [
        {pin: bits[0] for pin, bits in c["connections"].items()} for c in circuit["cells"].values()
    ]
    while left:
        ready = [c for c in left if all(c[pin] in known for pin in "ABC")]
        assert ready, "a loop, or a net that nothing drives"
        for c in ready:
            total = sum(known[c[pin]] for pin in "ABC")
            for pin, value in (("X", total >> 1), ("Y", total & 1)):
                assert c[pin] not in known, "a net that two drive"
                known[c[pin]] = value
                depth[c[pin]] = 1 + max(depth[c[pin]] for pin in "ABC")
        left = [c for c in left if c not in ready]
    outputs = circuit["ports"]["y"]["bits"]
    return [known[bit] for bit in outputs], max(depth[bit] for bit in outputs)


def same(before, after, source):
    for _ in range(20):
        values = [source.randrange(2) for _ in before["ports"]["x"]["bits"]]
        assert evaluate(before, values)[0] == evaluate(after, values)[0]


def words(source, count, bits, width):
    """``count`` words of ``bits`` added three rows at a time, from the last, to ``width`` bits."""
    fresh = iter(range(2, 100_000))
    inputs = [[next(fresh) for _ in range(bits)] for _ in range(count)]
    columns = [[row[k] for row in inputs if k < bits] for k in range(width + 1)]
    cells = []
    for k in range(width):
        while len(columns[k]) > 1:
            # The newest first: a chain.
            taken = [columns[k].pop() for _ in range(min(3, len(columns[k])))]
            carry, sum_ = next(fresh), next(fresh)
            cells.append(cell(*[*taken, "0", "0"][:3], carry, sum_))
            columns[k].append(sum_)
            columns[k + 1].append(carry)
    return module(
        [bit for row in inputs for bit in row],
        cells,
        [bit for column in columns[:width] for bit in column],
    )


@pytest.mark.parametrize(
    "count, bits, width", [(3, 1, 2), (9, 1, 4), (9, 5, 9), (20, 4, 6), (2, 8, 9)]
)
def test_a_sum_is_the_same_and_not_deeper(count, bits, width):
    source = random.Random(count)
    before = words(source, count, bits, width)
    after = full_adders.reordered(before)
    same(before, after, source)
    values = [0] * (count * bits)
    assert evaluate(after, values)[1] <= evaluate(before, values)[1]
    assert len(after["cells"]) <= len(before["cells"])
    if count >= 9:
        assert evaluate(after, values)[1] < 0.7 * evaluate(before, values)[1]


def test_each_column_adds_first_what_is_there_first():
    # Nine bits: three adders side by side, then their sums, where the chain takes one at a time.
    after = full_adders.reordered(words(random.Random(0), 9, 1, 4))
    adders = [
        {pin: bits[0] for pin, bits in c["connections"].items()} for c in after["cells"].values()
    ]
    inputs = set(after["ports"]["x"]["bits"])
    assert sum({c[pin] for pin in "ABC"} <= inputs for c in adders) == 3


@pytest.mark.parametrize("seed", range(60))
def test_any_netlist_of_adders_keeps_its_function(seed):
    """Nets read twice or not at all, constants, carries left out, rows not yet added."""
    source = random.Random(seed)
    inputs = list(range(2, 2 + source.randrange(3, 12)))
    nets, cells = [*inputs, "0", "1"], []
    for _ in range(source.randrange(1, 25)):
        carry, sum_ = 100 + 2 * len(cells), 101 + 2 * len(cells)
        once = source.random() < 0.8
        taken = [source.choice(nets) for _ in range(3)]
        if once:
            nets = [net for net in nets if net not in taken or net in ("0", "1")]
        cells.append(cell(*taken, carry, sum_))
        nets += [carry, sum_]
    made = [net for net in nets if net not in ("0", "1")]
    before = module(inputs, cells, source.sample(made, source.randrange(1, len(made) + 1)))
    same(before, full_adders.reordered(before), source)


def test_what_is_no_single_sum_stays():
    # Sum and carry of two adders: four outputs, two of weight two.
    rows = module([2, 3, 4, 5, 6], [cell(2, 3, 4, 10, 11), cell(11, 5, 6, 12, 13)], [10, 12, 13])
    assert full_adders.reordered(rows) == rows
    # The same net with two weights.
    twice = module([2, 3, 4], [cell(2, 3, 4, 10, 11), cell(10, 11, "0", 12, 13)], [12, 13])
    assert full_adders.reordered(twice) == twice
    # A carry left out below the highest bit that is read.
    left_out = module(
        [2, 3, 4, 5, 6, 7, 8],
        [cell(2, 3, 4, 10, 11), cell(11, 5, 6, 12, 13), cell(12, 7, 8, 14, 15)],
        [13, 14, 15],
    )
    assert full_adders.reordered(left_out) == left_out


@pytest.mark.parametrize("filters", ["hardwired", "reconfigurable"])
def test_hardwired_lanes_alone_are_put_in_order(tmp_path, monkeypatch, filters):
    kit, files = kits.find(kits.SHIPPED)
    library = liberty_reader.read(*files)
    names = [kits.unpack(file, tmp_path) for file in files]
    target = Target(1, filters, top="step")
    ports = emit_step(small_design(), tmp_path / "step.v", target)
    found = []

    def noted(circuit):
        after = compressors_reordered(circuit)
        found.append((circuit, after))
        return after

    compressors_reordered = full_adders.reordered
    monkeypatch.setattr(full_adders, "reordered", noted)
    yosys_map.synthesize(tmp_path, names, "step.v", ports.top, library, kit.dont_use)
    assert len(found) == (filters == "hardwired")
    assert (tmp_path / "adders.json").exists() == (filters == "hardwired")
    for before, after in found:
        assert json.dumps(before["cells"]) != json.dumps(after["cells"])
