"""The compiled propagation against the split-step method on torch, in double precision."""

import numpy as np
import pytest
import torch

from dbp import config
from dbp.link import _simd, _split_step_kernels, closed_forms, fiber, transmission
from dbp.link._split_step_kernels import Propagation
from dbp.link.split_step import SplitStep

SPAN = closed_forms.span(config.Link())
SPANS, STEPS, RATE_GHZ = 3, 4, 120.0


def propagated(spectrum, noise):
    operators = fiber.operators(SPAN, STEPS, spectrum.shape[1], RATE_GHZ)
    return Propagation(*operators, np.sqrt(SPAN.gain))(spectrum, noise)


def random_spectra(blocks, samples, power_w, seed=1):
    """Of white fields."""
    parts = np.random.default_rng(seed).normal(size=(blocks, samples, 2))
    return (parts * np.sqrt(power_w / 2 * samples)).view(complex)[..., 0].astype(np.complex64)


def error_db(field, expected):
    return 10 * np.log10(np.sum(np.abs(field - expected) ** 2) / np.sum(np.abs(expected) ** 2))


# Every radix of the last stage, from one stage of radix 4 to five.
@pytest.mark.parametrize("samples", [8, 12, 16, 20, 24, 96, 128, 320, 384, 512, 3072, 4096, 6144])
def test_fields_are_those_of_the_split_step_method(samples):
    blocks = _simd.SIMD_LANES + 3
    launched = random_spectra(blocks, samples, 2e-3)
    noise = [random_spectra(blocks, samples, 1e-5, seed) for seed in range(SPANS)]
    split_step = SplitStep(SPAN, STEPS, samples, RATE_GHZ, torch.complex128)
    spectrum = torch.from_numpy(launched).to(torch.complex128)
    for of_amplifier in noise:
        spectrum = split_step(spectrum) * np.sqrt(SPAN.gain) + torch.from_numpy(of_amplifier)
    expected = torch.fft.ifft(spectrum).numpy()
    field = propagated(launched, iter(noise))
    assert field.shape == (blocks, samples) and field.dtype == np.complex64
    assert error_db(field, expected) < -110
    # The Kerr effect and every one of the noises are in it.
    assert error_db(expected, np.fft.ifft(launched)) > -30
    assert error_db(propagated(launched, [*noise[:-1], 0 * noise[0]]), expected) > -30


def test_many_half_turns_are_rotated_by():
    samples, operators = 64, (np.ones((2, 64), complex), np.array([1.3]))
    field = np.fft.ifft(random_spectra(_simd.SIMD_LANES, samples, 10.0))
    phase = 1.3 * np.abs(field) ** 2
    assert phase.max() > 20 * np.pi
    spectrum = np.fft.fft(field).astype(np.complex64)
    rotated = Propagation(*operators, 1.0)(spectrum, [0 * spectrum])
    assert error_db(rotated, field * np.exp(1j * phase)) < -105


def test_a_block_is_the_same_in_every_lane_and_beside_others():
    launched = random_spectra(2 * _simd.SIMD_LANES + 1, 96, 2e-3)
    noise = [random_spectra(len(launched), 96, 1e-5, seed) for seed in range(SPANS)]
    together = propagated(launched, noise)
    for block in (0, 1, _simd.SIMD_LANES, 2 * _simd.SIMD_LANES):
        alone = [x[block : block + 1] for x in (launched, *noise)]
        np.testing.assert_array_equal(propagated(alone[0], alone[1:])[0], together[block])


def test_machine_code_of_another_text_of_simd_is_not_used(monkeypatch):
    propagated(random_spectra(1, 96, 2e-3), [random_spectra(1, 96, 1e-5)] * SPANS)
    for kernel in (_split_step_kernels._span, _split_step_kernels._end):
        (signature,) = kernel.signatures

        def kept(kernel=kernel, signature=signature):
            return kernel._cache.load_overload(signature, kernel.targetctx)

        assert kept() is not None
        with monkeypatch.context() as patch:
            patch.setattr(_simd, "hash_of", lambda *names: "another text")
            assert kept() is None


def test_lengths_that_fit():
    fit = [samples for samples in range(1, 129) if _split_step_kernels.fits(samples)]
    assert fit == [8, 12, 16, 20, 24, 32, 48, 64, 80, 96, 128]


@pytest.mark.parametrize("block_symbols", [64, 256, 512])
def test_the_link_is_the_same_on_torch(block_symbols, monkeypatch, cache_folder):
    settings = config.Link(spans=3, block_symbols=block_symbols)
    assert isinstance(transmission._Channel(settings, "cpu")._propagate, Propagation)
    blocks = transmission.chunk_blocks(settings) + 1

    def simulate():
        transmission._channel.cache_clear()
        return transmission.simulate(settings, 2.0, blocks, seed=1, purpose="train")

    ours = simulate()
    monkeypatch.setattr(_split_step_kernels, "fits", lambda samples: False)
    monkeypatch.setattr(transmission, "hash_of", lambda *names: "on torch")
    torchs = simulate()
    np.testing.assert_array_equal(ours.labels, torchs.labels)
    assert -130 < error_db(ours.waveform, torchs.waveform) < -105
    transmission._channel.cache_clear()


@pytest.mark.parametrize(
    "change",
    [{"precision": "complex128"}, {"block_symbols": 350}, {"block_symbols": 8192}],
)
def test_what_does_not_fit_runs_on_torch(change):
    settings = config.Link(spans=1, steps_per_span=2).model_copy(update=change)
    channel = transmission._Channel(settings, "cpu")
    assert channel._propagate == channel._on_torch
    received = transmission.simulate(settings, 0.0, 1, seed=1, purpose="train")
    assert np.mean(np.abs(received.waveform) ** 2) == pytest.approx(1, abs=0.1)
