import numpy as np
from designs import designs
from hypothesis import given, settings
from hypothesis import strategies as st

from dbp import golden
from dbp.quantization import QuantizedModel


def samples(design, length, seed):
    """Random codes, a quarter of them at full scale, that reach every saturation."""
    rng = np.random.default_rng(seed)
    low, high = -(1 << (design.signal_bits - 1)), (1 << (design.signal_bits - 1)) - 1
    parts = rng.integers(low, high + 1, (2, length))
    extreme = rng.random((2, length)) < 0.25
    parts[extreme] = rng.choice([low, high], extreme.sum())
    return golden.Samples(*parts)


@settings(max_examples=150, deadline=None)
@given(designs(), st.integers(1, 300), st.integers(0, 5000), st.integers(0, 1 << 32))
def test_forward_is_golden_in_every_sample(design, length, power_uw, seed):
    x = samples(design, length, seed)
    expected = golden.receive(design, x, power_uw)
    received = QuantizedModel(design).stream(x, power_uw)
    assert np.array_equal(received.i, expected.i)
    assert np.array_equal(received.q, expected.q)
