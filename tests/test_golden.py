"""The golden model against Python's own unbounded integers, written the other way round."""

import numpy as np
import pytest
from designs import designs
from hypothesis import given, settings
from hypothesis import strategies as st

from dbp import fixed, golden
from dbp.golden import Samples


def requantise(x, shift, bits):
    """The rule in unbounded integers."""
    rounded = (2 * x + 2**shift) // 2 ** (shift + 1)
    return max(-(2 ** (bits - 1)), min(2 ** (bits - 1) - 1, rounded))


def receive_one_by_one(design, stream, launch_power_uw):
    """The datapath of docs/datapath.md sample by sample: full-length taps, complex by hand."""
    bits = design.signal_bits
    for k, f in enumerate(design.filters):
        taps = list(zip(f.half_taps_i, f.half_taps_q, strict=True))
        taps += taps[-2::-1]
        history, out = [(0, 0)] * len(taps), []
        widest = 0
        for sample in stream:
            history = [sample, *history[:-1]]
            i = sum(a * x - b * y for (a, b), (x, y) in zip(taps, history, strict=True))
            q = sum(a * y + b * x for (a, b), (x, y) in zip(taps, history, strict=True))
            widest = max(widest, i, -i - 1, q, -q - 1)
            out.append(
                (requantise(i, f.shift, f.output_bits), requantise(q, f.shift, f.output_bits))
            )
        assert widest < 2 ** (f.accumulator_bits(bits) - 1)
        stream, bits = out, f.output_bits
        if k == len(design.rotations):
            return stream
        r, out = design.rotations[k], []
        drop = 2 ** max(bits - r.branch_bits, 0)
        # Twice the middle of each cut interval, squared; the shared constant left out.
        middle = 1 if drop > 1 else 0
        kerr = list(r.kerr(launch_power_uw))
        kerr += kerr[-2::-1]
        history = [(0, 0)] * len(kerr)
        for sample in stream:
            history = [sample, *history[:-1]]
            total = 0
            for constant, parts in zip(kerr, history, strict=True):
                twice = [2 * (part // drop) + middle for part in parts]
                power = (twice[0] ** 2 + twice[1] ** 2 - 2 * middle) // 4
                total += constant * (power - r.power_offset)
            phi = requantise(total, r.phase_shift, r.phase_bits)
            i, q = history[len(kerr) // 2]
            one, shift = 2**r.phase_fraction_bits, r.phase_fraction_bits + bits - r.output_bits
            if r.taylor_order == 2:
                one -= (phi**2 + 2**r.phase_fraction_bits) // 2 ** (r.phase_fraction_bits + 1)
            out.append(
                (
                    requantise(one * i - phi * q, shift, r.output_bits),
                    requantise(one * q + phi * i, shift, r.output_bits),
                )
            )
        stream, bits = out, r.output_bits


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
    expected = receive_one_by_one(design, stream, launch_power_uw)
    assert list(zip(y.i.tolist(), y.q.tolist(), strict=True)) == expected


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
    from test_design import DESIGN

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
