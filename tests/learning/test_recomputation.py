"""Derivatives in less memory: which cuts, and the same numbers."""

import itertools

import numpy as np
import pytest
import torch

import dbp
from dbp import config
from dbp.errors import InputError
from dbp.learning import least_squares, recomputation
from dbp.learning.export import export
from dbp.learning.float_model import Model, to_signal
from dbp.learning.quantized_model import QuantizedModel

LEARNED = config.Learned(taps=9, kerr_taps=3)
FILTERS = least_squares.unlearned_filters(LEARNED, config.Link(spans=8))
WAVEFORM = np.random.default_rng(0).normal(0, 0.5, (2, 64, 2)).view(np.complex128)[..., 0]


@pytest.fixture(autouse=True)
def one_thread():
    """Many small operations: threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def models():
    design = export(FILTERS, LEARNED, config.Datapath(taylor_order=2))
    fixed = QuantizedModel(design, FILTERS)
    yield Model(FILTERS), to_signal(WAVEFORM), 1.0
    yield fixed, fixed.convert(WAVEFORM), 1000


def derivative(model, x, power):
    """Output and gradients, and the bytes that were kept between forward and backward."""
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = model.plain(x, power)
    gradients = torch.autograd.grad((y * x).sum(), (model.half_taps, model.kerr))
    return (y, *gradients), sum(kept.values())


def test_recomputed_gradients_are_the_same_to_the_last_bit_in_less_memory():
    for model, x, power in models():
        whole, most = derivative(model, x, power)
        least = most
        for share in (0.7, 0.5):
            model.memory = int(share * most)
            again, kept = derivative(model, x, power)
            assert all(map(torch.equal, whole, again))
            assert kept < least
            least = kept
        model.memory = 1
        with pytest.raises(InputError, match=r"memory_gib: leaves .* through 9 filters"):
            model.plain(x, power)
        with torch.no_grad():
            assert torch.equal(model.plain(x, power), whole[0])


def needs(kept, signal, starts):
    ends = [*starts[1:], len(kept)]
    return len(starts) * signal + max(sum(kept[a:b]) for a, b in zip(starts, ends, strict=True))


def test_the_cuts_recompute_the_fewest_layers_of_all_that_fit():
    kept, signal = [3, 7, 5, 5, 2, 6, 4], 2
    for memory in range(5, 45):
        inner = range(1, len(kept))
        ways = [[0, *w] for n in range(len(kept)) for w in itertools.combinations(inner, n)]
        fits = [way[-1] for way in ways if needs(kept, signal, way) <= memory]
        found = recomputation.segments(kept, signal, memory)
        if fits:
            assert needs(kept, signal, found) <= memory
            # What is before the last segment is computed twice.
            assert found[-1] == min(fits)
        else:
            assert found is None


def test_memory_is_for_another_device_than_the_cpu():
    with pytest.raises(InputError, match="memory_gib = 2: is for another device than the CPU"):
        dbp.learn(memory_gib=2)
    for wrong in (0, float("nan"), "2", True):
        with pytest.raises(InputError, match="memory_gib = "):
            dbp.learn(memory_gib=wrong)
