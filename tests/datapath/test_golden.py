"""The golden model against Python's own unbounded integers, written the other way round."""

import numpy as np
import pytest
from helpers.designs import designs, retuned
from hypothesis import given, settings
from hypothesis import strategies as st

from dbp.datapath import fixed, golden
from dbp.datapath.golden import Samples, Tuning

SEEDS = st.integers(0, 2**32 - 1)


def requantize(x, shift, bits):
    """The rule in unbounded integers."""
    rounded = (2 * x + 2**shift) // 2 ** (shift + 1)
    return max(-(2 ** (bits - 1)), min(2 ** (bits - 1) - 1, rounded))


def beyond(x, shift, bits):
    """Whether the rule clips."""
    return requantize(x, shift, bits) != requantize(x, shift, 200)


def receive_one_by_one(tunings, stream, clipped=None):
    """The datapath of docs/concepts/datapath.md sample by sample: full-length taps, complex by
    hand.

    ``clipped``: a list to which go (block, requantiser, sample number) of all that is clipped.
    """
    clipped = [] if clipped is None else clipped
    design, bits = tunings[0].design, tunings[0].design.signal_bits
    in_use = [max(t for t in tunings if t.start <= n) for n in range(len(stream))]
    for k, f in enumerate(design.filters):
        history, out = [(0, 0)] * f.taps, []
        widest = 0
        for n, sample in enumerate(stream):
            f = in_use[n].design.filters[k]
            taps = list(zip(f.half_taps_i, f.half_taps_q, strict=True))
            taps += taps[-2::-1]
            history = [sample, *history[:-1]]
            i = sum(a * x - b * y for (a, b), (x, y) in zip(taps, history, strict=True))
            q = sum(a * y + b * x for (a, b), (x, y) in zip(taps, history, strict=True))
            widest = max(widest, i, -i - 1, q, -q - 1)
            if beyond(i, f.shift, f.output_bits) or beyond(q, f.shift, f.output_bits):
                clipped.append((2 * k, "filter", n))
            out.append(
                (requantize(i, f.shift, f.output_bits), requantize(q, f.shift, f.output_bits))
            )
        assert widest < 2 ** (f.accumulator_bits(bits) - 1)
        stream, bits = out, f.output_bits
        if k == len(design.rotations):
            return stream
        r, out = design.rotations[k], []
        drop = 2 ** max(bits - r.branch_bits, 0)
        # Twice the middle of each cut interval, squared; the shared constant left out.
        middle = 1 if drop > 1 else 0
        history = [(0, 0)] * r.kerr_taps
        for n, sample in enumerate(stream):
            kerr = list(in_use[n].design.rotations[k].kerr(in_use[n].launch_power_uw))
            kerr += kerr[-2::-1]
            history = [sample, *history[:-1]]
            total = 0
            for constant, parts in zip(kerr, history, strict=True):
                twice = [2 * (part // drop) + middle for part in parts]
                power = (twice[0] ** 2 + twice[1] ** 2 - 2 * middle) // 4
                total += constant * (power - r.power_offset)
            phi = requantize(total, r.phase_shift, r.phase_bits)
            if beyond(total, r.phase_shift, r.phase_bits):
                clipped.append((2 * k + 1, "phi", n))
            i, q = history[len(kerr) // 2]
            one, shift = 2**r.phase_fraction_bits, r.phase_fraction_bits + bits - r.output_bits
            if r.taylor_order == 2:
                one -= (phi**2 + 2**r.phase_fraction_bits) // 2 ** (r.phase_fraction_bits + 1)
            turned = one * i - phi * q, one * q + phi * i
            if any(beyond(part, shift, r.output_bits) for part in turned):
                clipped.append((2 * k + 1, "rotation", n))
            out.append(tuple(requantize(part, shift, r.output_bits) for part in turned))
        stream, bits = out, r.output_bits


@pytest.mark.slow
@given(designs(max_steps=2, max_taps=9), st.integers(0, 4000), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_golden_equals_unbounded_integers(design, launch_power_uw, seed):
    rng = np.random.default_rng(seed)
    low, high = fixed.code_range(design.signal_bits)
    # Extreme codes often, so that saturation happens on every wire that has it.
    pool = np.array([low, high, 0, 1, -1, *rng.integers(low, high + 1, 5)])
    x = Samples(rng.choice(pool, 40), rng.choice(pool, 40))
    y = golden.receive(design, x, launch_power_uw)
    stream = list(zip(x.i.tolist(), x.q.tolist(), strict=True))
    expected = receive_one_by_one([Tuning(0, design, launch_power_uw)], stream)
    assert list(zip(y.i.tolist(), y.q.tolist(), strict=True)) == expected


@given(
    designs(max_steps=2, max_taps=9), st.sets(st.integers(1, 39), max_size=3), SEEDS,
    st.sampled_from([0, 300, 10**6]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_taps_and_kerr_change_at_one_sample_in_every_block(design, starts, seed, launch_power_uw):
    rng = np.random.default_rng(seed)
    low, high = fixed.code_range(design.signal_bits)
    x = Samples(*rng.integers(low, high + 1, (2, 40)))
    tunings = [Tuning(0, design, launch_power_uw)]
    for start in sorted(starts):
        tunings.append(Tuning(start, retuned(design, rng), int(rng.choice([300, 10**6]))))
    blocks = range(len(design.filters) + len(design.rotations))
    wires = golden.trace_retuned(tunings, x, blocks)
    clips = golden.clips_retuned(tunings, wires, blocks)
    found = [
        (block, name, n)
        for block, by_name in zip(blocks, clips, strict=True)
        for name, (below, above) in by_name.items()
        for n in np.flatnonzero(np.any([*below, *above], axis=0)).tolist()
    ]
    clipped = []
    stream = list(zip(x.i.tolist(), x.q.tolist(), strict=True))
    expected = receive_one_by_one(tunings, stream, clipped)
    assert list(zip(wires[-1].i.tolist(), wires[-1].q.tolist(), strict=True)) == expected
    assert sorted(found) == sorted(clipped)


@given(designs(max_steps=2), st.integers(1, 9), SEEDS)
@settings(max_examples=30, deadline=None)
def test_what_leaves_after_the_warm_up_knows_nothing_from_before(design, lanes, seed):
    rng = np.random.default_rng(seed)
    low, high = fixed.code_range(design.signal_bits)
    blocks = range(len(design.filters) + len(design.rotations))
    start = lanes * golden.warm_up_words(design, lanes, blocks)
    x, before = (Samples(*rng.integers(low, high + 1, (2, n))) for n in (start + 20, 30))
    with_past = Samples(*(np.concatenate(parts) for parts in zip(before, x, strict=True)))
    fresh, late = golden.receive(design, x, 1000), golden.receive(design, with_past, 1000)
    for a, b in zip(fresh, late, strict=True):
        assert (a[start:] == b[len(before.i) + start :]).all()


@given(designs(), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_streams_in_leading_axes_are_independent(design, seed):
    rng = np.random.default_rng(seed)
    low, high = fixed.code_range(design.signal_bits)
    x = Samples(*rng.integers(low, high + 1, (2, 3, 2, 30)))
    together = golden.receive(design, x, 1000)
    for a in range(3):
        for b in range(2):
            alone = golden.receive(design, Samples(x.i[a, b], x.q[a, b]), 1000)
            assert (together.i[a, b] == alone.i).all()
            assert (together.q[a, b] == alone.q).all()


@given(designs())
@settings(max_examples=20, deadline=None)
def test_trace_has_every_wire(design):
    x = Samples(np.zeros(8, np.int64), np.ones(8, np.int64))
    wires = golden.trace(design, x, 1000)
    assert len(wires) == 1 + len(design.filters) + len(design.rotations)
    assert wires[0] is x
    assert (wires[-1].i == golden.receive(design, x, 1000).i).all()


@given(designs())
@settings(max_examples=10, deadline=None)
def test_samples_beyond_the_format_are_refused(design):
    too_large = Samples(np.array([2 ** (design.signal_bits - 1)]), np.array([0]))
    with pytest.raises(ValueError, match="samples outside"):
        golden.receive(design, too_large, 1000)


def test_converter_holds_the_rms_whatever_the_power():
    from helpers.designs import DESIGN

    rng = np.random.default_rng(1)
    waveform = rng.normal(size=(2, 4096)) + 1j * rng.normal(size=(2, 4096))
    x = golden.convert(waveform, DESIGN)
    rms = np.sqrt(np.mean(x.i.astype(float) ** 2 + x.q.astype(float) ** 2, axis=-1) / 2)
    assert np.allclose(rms, 0.25 * 256, rtol=2e-3)
    louder = golden.convert(2**-20 * waveform, DESIGN)
    assert (louder.i == x.i).all() and (louder.q == x.q).all()
    for bad in (np.zeros(4), np.array([1, np.nan]), np.array([])):
        with pytest.raises(ValueError, match="empty, zero or not finite"):
            golden.convert(bad, DESIGN)
