import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dbp import config
from dbp.evaluation import measures, receivers
from dbp.learning import _chain_kernels, joint_start, least_squares
from dbp.learning.float_filters import FloatFilters
from dbp.learning.float_model import Detector, Model, convolve, from_signal, half_taps, to_signal
from dbp.learning.layout import Layout

LINK = config.Link(spans=4)


RECEIVE = """
import hashlib
import numpy as np
import torch
from dbp import config
from dbp.learning import least_squares
from dbp.learning.float_model import Model, to_signal
model = Model(least_squares.unlearned_filters(config.Learned(taps=9), config.Link(spans=3)))
x = np.random.default_rng(1).normal(size=(16, 128, 2)).view(np.complex128)[..., 0]
y = model(to_signal(x), 1.0)
slopes = torch.autograd.grad(y.square().sum(), (model.half_taps, model.kerr))
print(hashlib.sha256(b"".join(t.detach().numpy().tobytes() for t in (y, *slopes))).hexdigest())
"""


@pytest.mark.slow
def test_what_was_just_compiled_computes_as_what_is_loaded(tmp_path):
    environment, kept = dict(os.environ), Path(_chain_kernels.__file__).parent / "__pycache__"
    # Nothing is compiled in a fresh clone when this begins: the code may stay there for the others.
    if "NUMBA_CACHE_DIR" in os.environ or any(kept.glob("_chain_kernels.*.nbc")):
        environment["NUMBA_CACHE_DIR"] = str(kept := tmp_path)
    compiled, loaded = (
        subprocess.run(
            [sys.executable, "-c", RECEIVE],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for _ in range(2)
    )
    assert any(kept.rglob("_chain_kernels.*.nbc"))
    assert compiled == loaded


@pytest.fixture(autouse=True)
def one_thread():
    """Many small operations: threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def complex_normal(rng, *shape):
    return rng.normal(size=(*shape, 2)).view(np.complex128)[..., 0]


def random_filters(rng, taps, half_kerr=1):
    halves = [complex_normal(rng, n // 2 + 1) / n for n in taps]
    return FloatFilters(
        tuple(np.concatenate((h, h[-2::-1])) for h in halves),
        rng.normal(0, 0.05, (len(taps) - 1, half_kerr)),
    )


def test_a_signal_holds_every_sample_once():
    x = complex_normal(np.random.default_rng(0), 3, 41)
    signal = to_signal(x, torch.float64)
    assert signal.shape == (2, 41, 3)
    assert np.array_equal(from_signal(signal), x)


@pytest.mark.parametrize("taps", [1, 3, 15, 35])
def test_convolution_is_circular_and_centred(taps):
    rng = np.random.default_rng(taps)
    half = complex_normal(rng, taps // 2 + 1)
    x = complex_normal(rng, 2, 37)
    parts = torch.from_numpy(np.stack((half.real, half.imag), -1))
    y = convolve(to_signal(x, torch.float64).permute(2, 0, 1), parts)
    h = np.concatenate((half, half[-2::-1]))
    expected = sum(h[k] * np.roll(x, k - taps // 2, axis=-1) for k in range(taps))
    np.testing.assert_allclose(from_signal(y.permute(1, 2, 0)), expected, atol=1e-12)


def test_a_block_shorter_than_a_filter_is_refused():
    model = Model(random_filters(np.random.default_rng(0), (17,)))
    with pytest.raises(ValueError, match="blocks of 16 samples for 17 taps"):
        model(torch.zeros(2, 16, 1), 1.0)
    with pytest.raises(ValueError, match="blocks of 16 samples for 17 taps"):
        model.plain(torch.zeros(2, 16, 1), 1.0)
    with pytest.raises(TypeError, match="a signal of float64 in a model of float32"):
        model(torch.zeros(2, 17, 1, dtype=torch.float64), 1.0)


@pytest.mark.parametrize("half_kerr", [1, 3])
def test_model_equals_the_receiver_in_the_frequency_domain(half_kerr):
    rng = np.random.default_rng(1)
    chain = random_filters(rng, (1, 5, 19, 15), half_kerr)
    x = (complex_normal(rng, 3, 128) / np.sqrt(2)).astype(np.complex64)
    expected = receivers.FloatReceiver("random", chain)(x, 3.0)
    model = Model(chain)
    received = from_signal(model(to_signal(x), 10**0.3))
    assert np.linalg.norm(received - expected) < 2e-6 * np.linalg.norm(expected)
    back = model.filters()
    np.testing.assert_allclose(back.kerr_rad_per_mw, chain.kerr_rad_per_mw, rtol=1e-6)
    for given, taps in zip(chain.taps, back.taps, strict=True):
        np.testing.assert_allclose(taps, given, atol=1e-7)


@pytest.mark.parametrize(
    ("taps", "half_kerr", "blocks"),
    [((15,) * 5, 1, 3), ((13,) * 5, 4, 17), ((1,) * 5, 2, 16), ((13, 7, 13, 1, 9), 2, 17)],
    ids=["15", "13", "1", "unequal"],
)
def test_compiled_and_plain_form_are_equal(taps, half_kerr, blocks):
    rng = np.random.default_rng(taps[0])
    model = Model(random_filters(rng, taps, half_kerr))
    x = to_signal(complex_normal(rng, blocks, 90)).requires_grad_()
    sent = torch.from_numpy(complex_normal(rng, 45, blocks).astype(np.complex64))
    detector = Detector(0.1, 90)

    def results(receive):
        received = receive(x, 2.0)
        loss = detector.loss(received, sent)
        by_signal, *slopes = torch.autograd.grad(loss, (x, model.half_taps, model.kerr))
        return received, by_signal, torch.from_numpy(model.parameters_of(*slopes))

    for compiled, plain in zip(results(model), results(model.plain), strict=True):
        assert torch.linalg.norm(compiled - plain) < 1e-5 * torch.linalg.norm(plain)


def test_sine_and_cosine_hold_for_any_phase():
    phase = torch.linspace(-40, 40, 1001)
    x = torch.stack((torch.sqrt(phase.abs()), torch.zeros(1001)))[..., None]
    one = np.ones(1, np.complex128)
    for sign in (-1.0, 1.0):
        model = Model(FloatFilters((one, one), np.full((1, 1), sign)))
        received = from_signal(model(x, 1.0))[0]
        expected = x[0, :, 0].numpy() * np.exp(1j * sign * phase.abs().double().numpy())
        # A few roundings of the phase itself.
        np.testing.assert_allclose(received, expected, atol=4e-5)


def test_tangents_are_the_gradients_of_every_sample():
    rng = np.random.default_rng(3)
    model = Model(random_filters(rng, (9, 5, 7), 2))
    x = to_signal(complex_normal(rng, 18, 40))
    weights = torch.from_numpy(rng.normal(size=x.shape).astype(np.float32))
    slopes = torch.autograd.grad((weights * model(x, 2.0)).sum(), (model.half_taps, model.kerr))
    tangents = model.tangents(x, 2.0)
    assert [t.shape[2] for t in tangents] == [10, 6, 8, 2, 2]
    products = [(weights[:, :, None] * t).sum((0, 1, 3)) for t in tangents]
    expected = model.parameters_of(*slopes)
    np.testing.assert_allclose(torch.cat(products), expected, rtol=1e-4, atol=1e-4)


def test_loss_is_the_inverse_of_the_effective_snr():
    rng = np.random.default_rng(2)
    x = complex_normal(rng, 2, 256)
    sent = complex_normal(rng, 2, 128)
    y = measures.matched_filter(x, 0.1)
    gain = np.vdot(y, sent) / np.vdot(y, y)
    expected = np.sum(np.abs(sent - gain * y) ** 2) / np.sum(np.abs(sent) ** 2)
    loss = Detector(0.1, 256).loss(to_signal(x), torch.from_numpy(sent.T.astype(np.complex64)))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def whole_chain_error(chain, link_, lengths_km):
    """In-band error of the product of all responses, one complex gain taken out."""
    bins = 4096
    response = np.prod([receivers.frequency_response(h, bins) for h in chain.taps], axis=0)
    omega = 2 * np.pi * np.fft.fftfreq(bins)
    wanted = np.exp(-1j * least_squares.dispersion(link_, np.sum(lengths_km)) * omega**2)
    band = np.abs(omega) < 0.5 * np.pi
    match = np.vdot(wanted[band], response[band]) / np.linalg.norm(wanted[band])
    return 1 - abs(match) ** 2 / np.linalg.norm(response[band]) ** 2


def test_filters_too_short_alone_do_together():
    learned = config.Learned(taps=11)
    alone = least_squares.unlearned_filters(learned, LINK)
    layout = Layout.of(learned, LINK)
    together = joint_start.design(alone, LINK, layout, 5, largest_tap=0.98, iterations=200, seed=1)
    lengths_km = [85.2, 100, 100, 100, 14.8]
    assert {h.size for h in together.taps} == {11}
    assert together.kerr_rad_per_mw.shape == (4, 3)
    assert not together.kerr_rad_per_mw[:, :2].any()
    assert np.array_equal(together.kerr_rad_per_mw[:, 2:], alone.kerr_rad_per_mw)
    before = whole_chain_error(alone, LINK, lengths_km)
    after = whole_chain_error(together, LINK, lengths_km)
    assert after < before / 10
    assert half_taps(together).abs().max() < 1


def test_long_filters_are_held_between_the_frequencies_too():
    """With 64 frequencies these have an error of 1.6e-3, which grows as the search goes on."""
    link_ = config.Link(spans=2, symbol_rate_gbd=64.0)
    learned = config.Learned(taps=125)
    alone = least_squares.unlearned_filters(learned, link_)
    layout = Layout.of(learned, link_)
    together = joint_start.design(alone, link_, layout, 1, largest_tap=0.98, iterations=100, seed=1)
    assert whole_chain_error(together, link_, layout.lengths_km) < 1e-5
