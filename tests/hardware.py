"""Plays words through a component in Amaranth's simulator."""

import numpy as np
from amaranth.sim import Simulator

from dbp import fixed
from dbp.golden import Samples


def pack(codes, bits):
    """Codes, element 0 first, to one integer, element 0 in its least significant bits."""
    return sum((int(code) & (2**bits - 1)) << (bits * k) for k, code in enumerate(codes))


def unpack(word, bits, lanes):
    """The inverse of `pack`, signed codes."""
    codes = [(word >> (bits * k)) & (2**bits - 1) for k in range(lanes)]
    return [code - 2**bits if code >> (bits - 1) else code for code in codes]


def extreme_samples(rng, bits, length):
    """Random samples in which the extreme codes are frequent, so that all that can saturates."""
    low, high = fixed.code_range(bits)
    pool = np.array([low, high, 0, 1, -1, *rng.integers(low, high + 1, 7)])
    return Samples(rng.choice(pool, length), rng.choice(pool, length))


def play(block, x, valid, writes=(), ports=()):
    """Stream the samples ``x`` through a block with a packed stream interface.

    ``valid``: one boolean per clock; words advance where it is true, garbage stands elsewhere.
    ``writes``: (step or None, address, data) for the write port, before the first sample.
    ``ports``: (name, value) of inputs held constant.
    Returns the samples that came out, and for each word that came out its latency in clocks.
    """
    lanes, bits = block.lanes, block.input_bits
    words = [
        (pack(x.i[k : k + lanes], bits), pack(x.q[k : k + lanes], bits))
        for k in range(0, len(x.i), lanes)
    ]
    out, entered, latencies = [], [], []

    async def bench(ctx):
        for name, value in ports:
            ctx.set(getattr(block, name), value)
        for step, address, data in writes:
            if step is not None:
                ctx.set(block.cfg_step, step)
            ctx.set(block.cfg_write, 1)
            ctx.set(block.cfg_address, address)
            ctx.set(block.cfg_data, data & (2 ** len(block.cfg_data) - 1))
            await ctx.tick()
        if writes:
            ctx.set(block.cfg_write, 0)
        k = 0
        for clock in range(len(valid) + block.latency):
            if ctx.get(block.out_valid):
                latencies.append(clock - entered[len(latencies)])
                out.append((ctx.get(block.out_i), ctx.get(block.out_q)))
            use = clock < len(valid) and valid[clock]
            ctx.set(block.in_valid, int(use))
            garbage = clock * 0x9E3779B97F4A7C15 & (2 ** (lanes * bits) - 1)
            ctx.set(block.in_i, words[k][0] if use else garbage)
            ctx.set(block.in_q, words[k][1] if use else garbage)
            if use:
                entered.append(clock)
                k += 1
            await ctx.tick()
        if ctx.get(block.out_valid):
            latencies.append(clock + 1 - entered[len(latencies)])
            out.append((ctx.get(block.out_i), ctx.get(block.out_q)))

    simulator = Simulator(block)
    simulator.add_clock(2.4e-9)
    simulator.add_testbench(bench)
    simulator.run()
    parts = [
        np.array([c for word in out for c in unpack(word[k], block.output_bits, lanes)], np.int64)
        for k in range(2)
    ]
    return Samples(*parts), latencies
