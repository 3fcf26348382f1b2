"""The counters of a step at their ends, which streams do not reach."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from dbp.rtl.blocks import configuration_registers
from dbp.rtl.blocks.configuration_registers import Registers


def count(block, words, clears=()):
    """The total after each clock in which ``words`` (valid, flags) came in."""
    address = block.address_map()["filter_clipped"][0]
    totals = []

    async def bench(ctx):
        ctx.set(block.cfg_address, address)
        for n, (valid, flags) in enumerate(words):
            ctx.set(block.filter_valid, valid)
            ctx.set(block.filter_clipped, flags)
            ctx.set(block.cfg_write, int(n in clears))
            await ctx.tick()
            totals.append(ctx.get(block.cfg_read_data))

    simulator = Simulator(block)
    simulator.add_clock(2.4e-9)
    simulator.add_testbench(bench)
    simulator.run()
    return totals


@pytest.fixture
def block(monkeypatch):
    """Three lanes, and counters of eight bits, so that they reach their end."""
    monkeypatch.setattr(configuration_registers, "READ_BITS", 8)
    return Registers(2, 4, 1, 4, 3, ["filter"], hardwired=False)


def test_counts_the_lanes_of_valid_words_and_stays_at_its_largest(block):
    rng = np.random.default_rng(0)
    words = [(int(v), int(f)) for v, f in zip(*rng.integers(0, [[2], [8]], (2, 400)), strict=True)]
    running = np.minimum(np.cumsum([valid * flags.bit_count() for valid, flags in words]), 255)
    # Counted one clock after the word, read one clock later still.
    assert count(block, words)[2:] == running[:-2].tolist()
    assert running[-1] == 255


def test_clearing_loses_nothing_that_comes_later(block):
    words = [(1, 7)] * 20
    totals = count(block, words, clears=[9])
    assert totals[9] == 3 * 8
    # The write takes what was counted; the word of the clock before begins the new count.
    assert totals[10:] == [3 * n for n in range(1, 11)]
