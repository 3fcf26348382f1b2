"""Random designs: the components equal the golden model in every sample (Amaranth's simulator)."""

import numpy as np
from helpers.designs import FEW_LANES, LANES, MAX_TAPS, TWO_A_SPAN, designs, examples, retuned
from helpers.hardware import assert_equal, pack, play, stimulus
from hypothesis import example, given
from hypothesis import strategies as st

from dbp.datapath import golden
from dbp.datapath.golden import Tuning
from dbp.rtl.blocks.chain import Chain
from dbp.rtl.blocks.filter import FilterLanes
from dbp.rtl.blocks.rotation import RotationLanes
from dbp.rtl.blocks.step import Step
from dbp.rtl.pipeline import FilterPipeline, HardwiredPipeline, Pipeline, RotationPipeline

SEEDS = st.integers(0, 2**32 - 1)
POWERS = st.sampled_from([0, 300, 5000, 10**6])
PIPELINES = st.builds(
    Pipeline,
    st.builds(FilterPipeline, *3 * [st.booleans()], st.integers(1, 4), st.booleans()),
    st.builds(RotationPipeline, *7 * [st.booleans()]),
    st.builds(HardwiredPipeline, st.booleans(), st.integers(2, 48), st.booleans()),
)


def writes(design, k, launch_power_uw, hardwired, step=None):
    """All register writes of one step, by docs/reference/blocks/registers.md, in any order."""
    filter_ = design.filters[k]
    taps = [
        (step, 2 * n + q, part[n])
        for q, part in enumerate((filter_.half_taps_i, filter_.half_taps_q))
        for n in range(len(part))
        if not hardwired
    ]
    if k < len(design.rotations):
        kerr = design.rotations[k].kerr(launch_power_uw)
        taps += [(step, 2 * len(filter_.half_taps_i) + n, gain) for n, gain in enumerate(kerr)]
    return taps


@given(designs(max_steps=0), LANES, PIPELINES, SEEDS)
@examples(8)
def test_filter_equals_golden(design, lanes, pipeline, seed):
    (filter_,), bits = design.filters, design.signal_bits
    block = FilterLanes(filter_, bits, lanes, pipeline.filter)
    x, valid = stimulus(np.random.default_rng(seed), bits, lanes)
    c = filter_.coefficient_bits
    taps = [("taps_i", pack(filter_.half_taps_i, c)), ("taps_q", pack(filter_.half_taps_q, c))]
    y, latencies = play(block, x, valid, ports=taps)
    assert_equal(y, golden.filter_samples(filter_, x), latencies, block)


@given(designs(min_steps=1, max_steps=1), FEW_LANES, PIPELINES, SEEDS)
@examples(8)
def test_rotation_equals_golden(design, lanes, pipeline, seed):
    (rotation,), bits = design.rotations, design.rotation_input_bits(0)
    rng = np.random.default_rng(seed)
    block = RotationLanes(rotation, bits, lanes, pipeline.rotation)
    x, valid = stimulus(rng, bits, lanes)
    half = 2 ** (rotation.kerr_bits - 1)
    pool = np.array([-half, half - 1, *rng.integers(-half, half, 3)])
    kerr = rng.choice(pool, len(rotation.kerr_gains))
    y, latencies = play(block, x, valid, ports=[("kerr", pack(kerr, rotation.kerr_bits))])
    assert_equal(y, golden.rotate(rotation, kerr, bits, x), latencies, block)


def all_writes(design, block, rng, launch_power_uw, hardwired):
    """All register writes of a chain, or of the single step that ``block`` is, in any order."""
    steps = range(len(design.filters)) if isinstance(block, Chain) else [0]
    name = (lambda k: k) if isinstance(block, Chain) else (lambda k: None)
    rows = [row for k in steps for row in writes(design, k, launch_power_uw, hardwired, name(k))]
    rng.shuffle(rows)
    return [tuple(None if x is None else int(x) for x in row) for row in rows]


def assert_retuned_block_equals_golden(design, block, blocks, seed, launch_power_uw, hardwired):
    """A stream with pauses, in the midst of which all taps and K change."""
    rng = np.random.default_rng(seed)
    lanes = block.lanes
    assert block.warm_up_words == golden.warm_up_words(design, lanes, blocks)
    x, valid = stimulus(rng, design.signal_bits, lanes)
    rows = all_writes(design, block, rng, launch_power_uw, hardwired)
    tunings, again = [Tuning(0, design, launch_power_uw)], []
    word = int(rng.integers(0, valid.sum()))
    if word and rows:
        # The port is busy while words pass; the first commit must have left before it begins.
        clock = int(np.flatnonzero(valid)[word])
        wait = max(block.latency + 1 + len(rows) - clock, 0)
        valid = np.insert(valid, max(clock - int(rng.integers(0, 20)), 1), wait * [False])
        clock = int(np.flatnonzero(valid)[word])
        other = retuned(design, rng, hardwired=hardwired)
        tunings.append(Tuning(word * lanes, other, int(rng.choice([0, 300, 10**6]))))
        again.append((clock, all_writes(other, block, rng, tunings[1].launch_power_uw, hardwired)))
    y, latencies = play(block, x, valid, rows, retunings=again)
    assert_equal(y, golden.trace_retuned(tunings, x, blocks)[-1], latencies, block)


@given(designs(max_steps=1, max_taps=MAX_TAPS), FEW_LANES, PIPELINES, SEEDS, POWERS, st.booleans())
@examples(6)
def test_step_equals_golden(design, lanes, pipeline, seed, power_uw, hardwired):
    block = Step(design, 0, lanes, pipeline, hardwired=hardwired)
    blocks = range(2 if design.rotations else 1)
    assert_retuned_block_equals_golden(design, block, blocks, seed, power_uw, hardwired)


@given(designs(max_steps=2, max_taps=9), FEW_LANES, PIPELINES, SEEDS, POWERS, st.booleans())
@examples(5)
@example(TWO_A_SPAN, 2, Pipeline(), 1, 900, False)
@example(TWO_A_SPAN, 3, Pipeline(), 2, 900, True)
def test_chain_equals_golden(design, lanes, pipeline, seed, power_uw, hardwired):
    block = Chain(design, lanes, pipeline, hardwired=hardwired)
    blocks = range(len(design.filters) + len(design.rotations))
    assert_retuned_block_equals_golden(design, block, blocks, seed, power_uw, hardwired)
