"""Plays words through components in Amaranth's simulator; makes small runs for the others."""

import numpy as np
from amaranth.sim import Simulator

from dbp.datapath import fixed
from dbp.datapath.design import Design, Filter, Rotation
from dbp.datapath.golden import Samples
from dbp.datapath.stimulus import Stimulus
from dbp.rtl import Target, emit


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


def play(block, x, valid, writes=(), ports=(), retunings=()):
    """Stream the samples ``x`` through a block with a packed stream interface.

    ``valid``: one boolean per clock; words advance where it is true, garbage stands elsewhere.
    ``writes``: (step or None, address, data) for the write port, before the first sample; they
    are committed with the first clock of the stream.
    ``ports``: (name, value) of inputs held constant.
    ``retunings``: (clock, writes) of what is written on the clocks before that one and committed
    there.
    Returns the samples that came out, and for each word that came out its latency in clocks,
    given that the words that warm the block up do not come out.
    """
    lanes, bits = block.lanes, block.input_bits
    words = [
        (pack(x.i[k : k + lanes], bits), pack(x.q[k : k + lanes], bits))
        for k in range(0, len(x.i), lanes)
    ]
    out, entered, latencies = [], [], []

    scheduled = {clock - len(w) + n: row for clock, w in retunings for n, row in enumerate(w)}
    commits = {clock for clock, _ in retunings} | ({0} if writes else set())

    def write(ctx, step, address, data):
        if step is not None:
            ctx.set(block.cfg_step, step)
        ctx.set(block.cfg_write, 1)
        ctx.set(block.cfg_address, address)
        ctx.set(block.cfg_data, data & (2 ** len(block.cfg_data) - 1))

    async def bench(ctx):
        for name, value in ports:
            ctx.set(getattr(block, name), value)
        for row in writes:
            write(ctx, *row)
            await ctx.tick()
        k = 0
        for clock in range(len(valid) + block.latency):
            if commits:
                ctx.set(block.cfg_write, 0)
                ctx.set(block.in_commit, int(clock in commits))
            if clock in scheduled:
                write(ctx, *scheduled[clock])
            if ctx.get(block.out_valid):
                latencies.append(clock - entered[len(latencies)])
                out.append((ctx.get(block.out_i), ctx.get(block.out_q)))
            use = clock < len(valid) and valid[clock]
            ctx.set(block.in_valid, int(use))
            garbage = clock * 0x9E3779B97F4A7C15 & (2 ** (lanes * bits) - 1)
            ctx.set(block.in_i, words[k][0] if use else garbage)
            ctx.set(block.in_q, words[k][1] if use else garbage)
            if use:
                if k >= block.warm_up_words:
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


def play_lane(lane, inputs):
    """Clock the rows of ``inputs`` (port name to values) through a lane; its outputs, aligned."""
    length = len(next(iter(inputs.values())))
    rows = []

    async def bench(ctx):
        for n in range(length + lane.latency):
            for name, values in inputs.items():
                ctx.set(getattr(lane, name), int(values[min(n, length - 1)]))
            await ctx.tick()
            rows.append((ctx.get(lane.out_i), ctx.get(lane.out_q)))

    simulator = Simulator(lane)
    simulator.add_clock(2.4e-9)
    simulator.add_testbench(bench)
    simulator.run()
    i, q = np.array(rows[lane.latency - 1 :][:length], np.int64).T
    return Samples(i, q)


def small_design(seed=0, taps=(5, 1, 7), bits=8):
    """Up to three steps of other taps, formats and rotation; its signals do not just saturate."""
    rng = np.random.default_rng(seed)
    filters = []
    for k, length in enumerate(taps):
        half = (length + 1) // 2
        # Away from zero, so that every tap matters.
        row = rng.choice([-1, 1], (2, half)) * rng.integers(3, 16, (2, half))
        filters.append(Filter(6, 5, bits - k % 2, *(tuple(map(int, part)) for part in row)))
    filtered = Rotation(4, 11, 8, (3000, -8000), 17, 7, 6, 5, 2, bits)
    plain = Rotation(4, 0, 8, (-8001,), 17, 7, 6, 5, 1, bits)
    rotations = (filtered, plain)[: len(taps) - 1]
    return Design("small", bits, 250, tuple(filters), rotations)


def make_run(folder, design, lanes=3, samples=150):
    """A run folder as `dbp rtl` and the command line leave it."""
    low, high = fixed.code_range(design.signal_bits)
    rows = (2,) if design.polarizations == 1 else (2, 2)
    normal = np.random.default_rng(1).normal(0, high / 4, (*rows, samples))
    x = Samples(*np.clip(np.round(normal), low, high).astype(np.int64))
    design.save(folder / "design.json")
    stimulus = Stimulus(
        x, launch_power_uw=1000, design_hash=design.hash, config_hash="none", seed=1
    )
    stimulus.save(folder / "stimulus.npz")
    emit(design, folder / "rtl", Target(lanes))
    return folder


def stimulus(rng, bits, lanes):
    """Samples of whole words, and a valid with gaps and some words back to back."""
    # Wide words fill the histories sooner.
    words = 8 + 24 // lanes
    valid = rng.random(4 * words) < rng.choice([0.3, 0.7, 1.0])
    valid[: 2 * words : 2] = True
    return extreme_samples(rng, bits, lanes * int(valid.sum())), valid


def assert_equal(y, expected, latencies, block):
    """The block put out what golden expects behind the warm-up, after its latency."""
    start = block.lanes * block.warm_up_words
    expected = Samples(expected.i[start:], expected.q[start:])
    assert len(y.i) == len(expected.i) > 0
    assert (y.i == expected.i).all() and (y.q == expected.q).all()
    assert set(latencies) == {block.latency}
