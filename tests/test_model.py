import numpy as np
import pytest
import torch

from dbp import ber, cascade, config, filters
from dbp.filters import FloatFilters
from dbp.model import (
    FRAME,
    Convolve,
    Detector,
    Limits,
    Model,
    Rotate,
    from_frames,
    half_taps,
    requantise_,
    to_frames,
    toeplitz,
)

LINK = config.Link(spans=4)


@pytest.fixture(autouse=True)
def one_thread():
    """Many small operations: threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def complex_normal(rng, *shape):
    return rng.normal(size=(*shape, 2)).view(np.complex128)[..., 0]


def random_filters(rng, taps):
    halves = [complex_normal(rng, n // 2 + 1) / n for n in taps]
    return FloatFilters(
        tuple(np.concatenate((h, h[-2::-1])) for h in halves), rng.normal(0, 0.05, len(taps) - 1)
    )


def test_frames_hold_every_sample_once():
    x = complex_normal(np.random.default_rng(0), 3, 5 * FRAME)
    assert np.array_equal(from_frames(to_frames(x, torch.float64)), x)
    with pytest.raises(ValueError, match="41 samples"):
        to_frames(np.zeros((1, 41), complex))


@pytest.mark.parametrize("taps", [1, 3, 15, 17, 19, 35])
def test_convolution_is_circular_and_centred(taps):
    rng = np.random.default_rng(taps)
    half = complex_normal(rng, taps // 2 + 1)
    x = complex_normal(rng, 2, 8 * FRAME)
    parts = torch.from_numpy(np.stack((half.real, half.imag), -1))[None]
    y = Convolve.apply(to_frames(x, torch.float64), toeplitz(parts)[0], len(half), None)
    h = np.concatenate((half, half[-2::-1]))
    expected = sum(h[k] * np.roll(x, k - taps // 2, axis=-1) for k in range(taps))
    np.testing.assert_allclose(from_frames(y), expected, atol=1e-12)


def test_a_block_shorter_than_the_window_is_refused():
    with pytest.raises(ValueError, match="blocks of 16 samples for 15 taps"):
        Convolve.apply(torch.zeros(2, 2, FRAME, 1), toeplitz(torch.zeros(1, 8, 2))[0], 8, None)


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    x = torch.randn(6, 2, FRAME, 1, dtype=torch.float64, requires_grad=True)
    taps = torch.randn(1, 10, 2, dtype=torch.float64, requires_grad=True)
    kerr = torch.tensor(-0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, taps: Convolve.apply(x, toeplitz(taps)[0], 10, None), (x, taps), fast_mode=True
    )
    assert torch.autograd.gradcheck(Rotate.apply, (x, kerr), fast_mode=True)


def test_requantise_rounds_ties_up_and_saturates():
    x = torch.tensor([-9.0, -1.5, -0.5, 0.49, 0.5, 1.5, 9.0])
    assert requantise_(x, Limits(-4, 3)).tolist() == [-4, -1, 0, 0, 1, 2, 3]


def test_model_equals_the_receiver_in_the_frequency_domain():
    rng = np.random.default_rng(1)
    chain = random_filters(rng, (1, 5, 19, 15))
    x = (complex_normal(rng, 3, 128) / np.sqrt(2)).astype(np.complex64)
    expected = ber.FloatReceiver("random", chain)(x, 3.0)
    model = Model(chain)
    received = from_frames(model(to_frames(x), 10**0.3))
    assert np.linalg.norm(received - expected) < 2e-6 * np.linalg.norm(expected)
    for given, back in zip(chain.taps, model.filters().taps, strict=True):
        outside = (back.size - given.size) // 2
        np.testing.assert_allclose(back[outside : back.size - outside], given, atol=1e-7)
        assert not back[:outside].any()


def test_loss_is_the_inverse_of_the_effective_snr():
    rng = np.random.default_rng(2)
    x = complex_normal(rng, 2, 256)
    sent = complex_normal(rng, 2, 128)
    y = ber.matched_filter(x, 0.1)
    gain = np.vdot(y, sent) / np.vdot(y, y)
    expected = np.sum(np.abs(sent - gain * y) ** 2) / np.sum(np.abs(sent) ** 2)
    loss = Detector(0.1, 256).loss(to_frames(x), torch.from_numpy(sent.T.astype(np.complex64)))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def whole_chain_error(chain, link_, lengths_km):
    """In-band error of the product of all responses, one complex gain taken out."""
    response = np.prod([ber.frequency_response(h, 512) for h in chain.taps], axis=0)
    omega = 2 * np.pi * np.fft.fftfreq(512)
    wanted = np.exp(-1j * filters.dispersion(link_, np.sum(lengths_km)) * omega**2)
    band = np.abs(omega) < 0.5 * np.pi
    match = np.vdot(wanted[band], response[band]) / np.linalg.norm(wanted[band])
    return 1 - abs(match) ** 2 / np.linalg.norm(response[band]) ** 2


def test_filters_too_short_alone_do_together():
    learned = config.Learned(taps=11)
    alone = filters.receiver(learned, LINK)
    together = cascade.design(
        alone, LINK, learned.rotation_offset_km, 11, largest_tap=0.98, iterations=200, seed=1
    )
    lengths_km = [85.2, 100, 100, 100, 14.8]
    assert {h.size for h in together.taps} == {11}
    assert np.array_equal(together.kerr_rad_per_mw, alone.kerr_rad_per_mw)
    before = whole_chain_error(alone, LINK, lengths_km)
    after = whole_chain_error(together, LINK, lengths_km)
    assert after < before / 10
    assert half_taps(together).abs().max() < 1
