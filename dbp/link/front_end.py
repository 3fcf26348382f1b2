"""Lasers, optical hybrid and converter, and their effect on an ideal waveform.

The transmitter's laser adds its phase to our channel's field before the fibre (`launch`). At the
receiver the order is that of the hardware (`receive`): the slow turn of the polarisations, mixing
with the local laser, the I/Q imbalance of the hybrid, the anti-alias filter, the converter. Mixing
comes before the equaliser, whose dispersion then spreads the noise of the local laser's phase into
the amplitude: equalisation-enhanced phase noise (Shieh and Ho, Optics Express 16(20), 2008) needs
no model of its own.

Each laser of each block has its own random numbers, whatever else is switched on and at any
linewidth: with twice the linewidth the same walk is sqrt(2) times as far. Nothing here touches the
numbers of symbols and amplifiers. Blocks are circular, see `phase_walk` and `offset_bins`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dbp import config
from dbp.link import closed_forms, polarization
from dbp.link.resampling import convert, kept_rate

# Branches of a block's random numbers, one for each laser.
_TRANSMITTER, _RECEIVER = (0, 1), (0, 2)

_IDEAL = config.Impairments()
_LASERS = ("transmitter_linewidth_khz", "receiver_linewidth_khz", "frequency_offset_mhz")
_RECEIVER_KEYS = (
    *("polarisation_rotation_krad_per_s", "receiver_linewidth_khz", "frequency_offset_mhz"),
    *("adc_bits", "adc_full_scale_rms", "iq_gain_db", "iq_phase_deg"),
)


def without_lasers(link: config.Link) -> config.Link:
    """The link with ideal lasers; equal to ``link`` where they are."""
    return _without(link, _LASERS)


def without_receiver(link: config.Link) -> config.Link:
    """The link that ends before `receive`, at `dbp.link.resampling.kept_rate`."""
    kept = {"adc_samples_per_symbol": str(kept_rate(link)), "adc_filter_roll_off": 0.0}
    return _without(link, _RECEIVER_KEYS).model_copy(update=kept)


def _without(link: config.Link, keys: tuple[str, ...]) -> config.Link:
    ideal = {key: getattr(_IDEAL, key) for key in keys}
    return link.model_copy(update={"impairments": link.impairments.model_copy(update=ideal)})


def launch(
    spectrum: NDArray[np.complexfloating],
    link: config.Link,
    generators: list[np.random.Generator],
) -> NDArray[np.complexfloating]:
    """Phase noise of the transmitter's laser on one channel.

    ``spectrum``: transform of the field before the fibre, shape ``(blocks, samples)`` at
    ``link.samples_per_symbol``; same shape and precision back. ``generators``: one for each block,
    which says whose random numbers these are and is not advanced.
    """
    linewidth_khz = link.impairments.transmitter_linewidth_khz
    if not linewidth_khz:
        return spectrum
    rate_ghz = link.symbol_rate_gbd * link.samples_per_symbol
    phase = phase_walk(linewidth_khz, rate_ghz, spectrum.shape[-1], generators, _TRANSMITTER)
    return np.fft.fft(np.fft.ifft(spectrum) * np.exp(1j * phase)).astype(spectrum.dtype)


def receive(
    waveform: NDArray[np.complexfloating],
    link: config.Link,
    launch_power_dbm: float,
    generators: list[np.random.Generator],
    first_block: int = 0,
) -> NDArray[np.complexfloating]:
    """Slow turn of the polarisations, local laser, hybrid, anti-alias filter and converter.

    ``waveform``: of the link `without_receiver`, of mean power 1, shape ``(blocks, samples)``, a
    row for each polarisation; the same precision back, at the converter's samples per symbol. Its
    mean power is 1 again but for what the converter clips and rounds. ``generators``: as in
    `launch`. ``first_block``: the number of the first.
    """
    impairments, samples = link.impairments, waveform.shape[-1]
    received = waveform
    if impairments.polarisation_rotation_krad_per_s:
        both = polarization.moved_on(received.reshape(-1, 2, samples), link, first_block)
        received = both.reshape(received.shape)
    if impairments.receiver_linewidth_khz or impairments.frequency_offset_mhz:
        cycles = offset_bins(link) * np.arange(samples) / samples
        walk = phase_walk(
            impairments.receiver_linewidth_khz,
            kept_rate(link) * link.symbol_rate_gbd,
            samples,
            generators,
            _RECEIVER,
        )
        received = received * np.exp(-1j * (2 * np.pi * cycles + walk))
    if impairments.iq_gain_db or impairments.iq_phase_deg:
        direct, image = imbalance(impairments.iq_gain_db, impairments.iq_phase_deg)
        received = direct * received + image * received.conj()
    if kept_rate(link) != link.adc_rate:
        before, behind = (
            closed_forms.received_power_w(each, launch_power_dbm)
            for each in (without_receiver(link), link)
        )
        received = convert(received, link) * np.sqrt(before / behind)
    if impairments.adc_bits:
        # A quadrature has half of the power 1; the mean sets the gain, not each block.
        full_scale = impairments.adc_full_scale_rms * np.sqrt(0.5)
        received = quantize(received.real, impairments.adc_bits, full_scale) + 1j * quantize(
            received.imag, impairments.adc_bits, full_scale
        )
    return received.astype(waveform.dtype)


def phase_walk(
    linewidth_khz: float,
    sample_rate_ghz: float,
    samples: int,
    generators: list[np.random.Generator],
    branch: tuple[int, ...],
) -> NDArray[np.float64]:
    """Phase of a laser with a Lorentzian line, radians, shape ``(blocks, samples)``.

    A Wiener process, whose increments over a sample have the variance ``2 pi linewidth / rate``
    (Henry, J. Lightw. Technol. 4(3), 1986), from a uniform start. Circular blocks have no place for
    a jump at their end, so it is a Brownian bridge: the mean increment, a frequency that
    carrier recovery would remove, is taken out, and with it 1/samples of the variance.
    """
    steps = np.empty((len(generators), samples))
    start = np.empty((len(generators), 1))
    for k, generator in enumerate(generators):
        source = generator.bit_generator.seed_seq
        assert isinstance(source, np.random.SeedSequence)
        own = np.random.SeedSequence(source.entropy, spawn_key=(*source.spawn_key, *branch))
        drawing = np.random.Generator(np.random.SFC64(own))
        start[k] = drawing.uniform(0, 2 * np.pi)
        drawing.standard_normal(out=steps[k])
    steps *= np.sqrt(2e-6 * np.pi * linewidth_khz / sample_rate_ghz)
    steps -= steps.mean(axis=-1, keepdims=True)
    return start + np.cumsum(steps, axis=-1)


def offset_bins(link: config.Link) -> int:
    """Whole cycles a block by which the local laser is above the transmitter's.

    A circular block has no other frequencies: ``frequency_offset_mhz`` is rounded to a multiple of
    the symbol rate over ``block_symbols``, 19.5 MHz for the paper's link.
    """
    bin_mhz = 1e3 * link.symbol_rate_gbd / link.block_symbols
    return round(link.impairments.frequency_offset_mhz / bin_mhz)


def imbalance(gain_db: float, phase_deg: float) -> tuple[complex, complex]:
    """Factors of x and of its conjugate, mean power kept, where Q is wrong against I.

    I + jQ becomes I + j g (Q cos p - I sin p), with the gain g and the angle p: Q is measured along
    an axis at the angle p to its own. The image is |first|^2 / |second|^2 = (1 + 2 g cos p + g^2) /
    (1 - 2 g cos p + g^2) below the signal (Valkama, Renfors, Koivunen, IEEE Trans. Signal Process.
    49(10), 2001).
    """
    gain, phase = 10 ** (gain_db / 20), np.deg2rad(phase_deg)
    root = 2 * np.sqrt((1 + gain**2) / 2)
    return (1 + gain * np.exp(-1j * phase)) / root, (1 - gain * np.exp(1j * phase)) / root


def quantize(x: NDArray[np.floating], bits: int, full_scale: float) -> NDArray[np.float64]:
    """``2**bits`` evenly spaced levels within +-full_scale, none at 0; what is beyond clips."""
    half = 2 ** (bits - 1)
    codes = np.clip(np.floor(x * (half / full_scale)), -half, half - 1)
    return (codes + 0.5) * (full_scale / half)
