"""Random designs: the components equal the golden model in every sample (Amaranth's simulator)."""

import numpy as np
from designs import designs
from hardware import extreme_samples, pack, play
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from dbp import golden
from dbp.rtl.chain import Chain
from dbp.rtl.filter import FilterLanes
from dbp.rtl.pipeline import FilterPipeline, Pipeline, RotationPipeline
from dbp.rtl.rotation import RotationLanes
from dbp.rtl.step import Step

# Shrinking a failure would simulate for minutes.
NO_SHRINK = (Phase.explicit, Phase.reuse, Phase.generate)
LANES = st.integers(1, 8)
SEEDS = st.integers(0, 2**32 - 1)
POWERS = st.sampled_from([0, 300, 5000, 10**6])
PIPELINES = st.builds(
    Pipeline,
    st.builds(FilterPipeline, st.booleans(), st.booleans(), st.integers(1, 4), st.booleans()),
    st.builds(RotationPipeline, *6 * [st.booleans()]),
)


def stimulus(rng, bits, lanes, words=32):
    """Samples of whole words, and a valid with gaps and some words back to back."""
    valid = rng.random(4 * words) < rng.choice([0.3, 0.7, 1.0])
    valid[: 2 * words : 2] = True
    return extreme_samples(rng, bits, lanes * int(valid.sum())), valid


def writes(design, k, launch_power_uw, step=None):
    """All register writes of one step, as its address map says, in no particular order."""
    filter_ = design.filters[k]
    taps = [
        (step, 2 * n + q, part[n])
        for q, part in enumerate((filter_.half_taps_i, filter_.half_taps_q))
        for n in range(len(part))
    ]
    if k < len(design.rotations):
        kerr = design.rotations[k].kerr(launch_power_uw)
        taps += [(step, 2 * len(filter_.half_taps_i) + n, gain) for n, gain in enumerate(kerr)]
    return taps


def assert_equal(y, expected, latencies, block):
    start = block.lanes * block.warm_up_words
    expected = golden.Samples(expected.i[start:], expected.q[start:])
    assert len(y.i) == len(expected.i) > 0
    assert (y.i == expected.i).all() and (y.q == expected.q).all()
    assert set(latencies) == {block.latency}


@given(designs(max_steps=0), LANES, PIPELINES, SEEDS)
@settings(max_examples=25, deadline=None, phases=NO_SHRINK)
def test_filter_equals_golden(design, lanes, pipeline, seed):
    (filter_,), bits = design.filters, design.signal_bits
    block = FilterLanes(filter_, bits, lanes, pipeline.filter)
    x, valid = stimulus(np.random.default_rng(seed), bits, lanes)
    c = filter_.coefficient_bits
    taps = [("taps_i", pack(filter_.half_taps_i, c)), ("taps_q", pack(filter_.half_taps_q, c))]
    y, latencies = play(block, x, valid, ports=taps)
    assert_equal(y, golden.filter_samples(filter_, x), latencies, block)


@given(designs(min_steps=1, max_steps=1), LANES, PIPELINES, SEEDS)
@settings(max_examples=25, deadline=None, phases=NO_SHRINK)
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


@given(designs(max_steps=1), LANES, SEEDS, POWERS)
@settings(max_examples=15, deadline=None, phases=NO_SHRINK)
def test_step_equals_golden(design, lanes, seed, launch_power_uw):
    block = Step(design, 0, lanes, Pipeline())
    x, valid = stimulus(np.random.default_rng(seed), design.signal_bits, lanes)
    y, latencies = play(block, x, valid, writes(design, 0, launch_power_uw))
    wires = golden.trace(design, x, launch_power_uw)
    assert_equal(y, wires[2 if design.rotations else 1], latencies, block)


@given(designs(max_steps=2, max_taps=9), LANES, SEEDS, POWERS)
@settings(max_examples=15, deadline=None, phases=NO_SHRINK)
def test_chain_equals_golden(design, lanes, seed, launch_power_uw):
    block = Chain(design, lanes, Pipeline())
    rng = np.random.default_rng(seed)
    x, valid = stimulus(rng, design.signal_bits, lanes)
    all_writes = [
        write
        for k in range(len(design.filters))
        for write in writes(design, k, launch_power_uw, step=k)
    ]
    rng.shuffle(all_writes)
    y, latencies = play(block, x, valid, [tuple(map(int, write)) for write in all_writes])
    assert_equal(y, golden.receive(design, x, launch_power_uw), latencies, block)
