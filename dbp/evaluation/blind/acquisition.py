"""What a receiver must find before it can adapt: frequency, clock, and where the frame begins.

A stream has the shape ``(polarizations, samples)``; its polarisations may be mixed in any way.
Frequencies are in cycles a symbol, times in symbols.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dbp.evaluation.blind import _kernels
from dbp.link import modulation
from dbp.link.modulation import Waveform

# Symbols over which a carrier and a clock are taken to stand still: at 20 GBd an offset of 50 MHz
# turns the carrier by one radian in so many.
SEGMENT_SYMBOLS = 64
CLOCK_SYMBOLS = 2048
# A clock that moves less than this over a stream is taken to stand still: more moves by chance.
_LEAST_DRIFT = 0.05
# The windowed sinc that resamples: samples to each side, values a sample, and Kaiser's beta, for
# ripple below -80 dB up to 0.4 of the sampling rate.
_REACH, _OVERSAMPLING, _BETA = 24, 512, 8.0


def band_offset(spectrum: Waveform, roll_off: float, samples_per_symbol: float) -> float:
    """Return how far a band lies above frequency 0, from where its power is.

    ``spectrum``: in FFT order. What fits best is a band of the pulse's shape; its place is as good
    as the noise of the power at both edges lets it be, 1e-3 symbol rates for 10,000 symbols.
    """
    samples = spectrum.shape[-1]
    band = modulation.root_raised_cosine(roll_off, samples_per_symbol, samples) ** 2
    density = np.fft.fft(np.sum(np.abs(spectrum) ** 2, axis=0))
    likeness = np.fft.ifft(density * np.fft.fft(band).conj()).real
    bins = int(np.argmax(likeness))
    bins -= samples * (bins > samples // 2)
    return bins * samples_per_symbol / samples


def shifted(stream: Waveform, offset: float, samples_per_symbol: float) -> Waveform:
    """Move a stream down in frequency."""
    samples = np.arange(stream.shape[-1])
    return stream * np.exp(-2j * np.pi * ((offset / samples_per_symbol * samples) % 1.0))


@dataclass(frozen=True)
class Clock:
    """The transmitter's clock: symbol n is at ``delay + n (1 + drift)``, but for half symbols."""

    delay: float
    drift: float


def clock(stream: Waveform, roll_off: float) -> Clock:
    """Find the clock of a stream of 2 samples a symbol, blind.

    Both edges of the band hold the same symbols, half a symbol rate to each side, so their product
    turns with the delay (Godard, IEEE Trans. Commun. 26(5), 1978). With two polarisations it is a
    matrix, of which the determinant stays where polarisation-mode dispersion lets the trace
    vanish; its phase is twice that of one, and the delay is known but for half a symbol (after Sun
    and Wu, OFC 2011, OMJ4). A filter of two samples a symbol does not mind.
    """
    symbols = stream.shape[-1] // 2
    count = max(1, symbols // CLOCK_SYMBOLS)
    size = symbols // count
    phases = []
    for start in range(0, count * size, size):
        phases.append(_edge_phase(stream[:, 2 * start : 2 * (start + size)], roll_off))
    period = 2 * np.pi / len(stream)
    moved = np.unwrap(np.array(phases), period=period)
    # The straight line through the delays.
    middle = (np.arange(count) + 0.5) * size
    delays = -moved / (2 * np.pi)
    away = middle - middle.mean()
    drift = float(np.sum(away * delays) / max(float(np.sum(away**2)), 1.0))
    if abs(drift) * symbols < _LEAST_DRIFT:
        return Clock(-_edge_phase(stream, roll_off) / (2 * np.pi), 0.0)
    return Clock(float(delays.mean() - drift * middle.mean()), drift)


def _edge_phase(stream: Waveform, roll_off: float) -> float:
    spectrum = np.fft.fft(stream)
    symbols = spectrum.shape[-1] // 2
    edge = int(symbols * roll_off / 2)
    upper = np.arange(symbols // 2 - edge, symbols // 2 + edge + 1)
    above, below = spectrum[:, upper], spectrum[:, upper - symbols]
    products = np.sum(above[:, None] * below[None].conj(), axis=-1)
    if len(products) == 1:
        return float(np.angle(products[0, 0]))
    determinant = products[0, 0] * products[1, 1] - products[0, 1] * products[1, 0]
    return float(np.angle(determinant)) / 2


def on_clock(stream: Waveform, found: Clock) -> Waveform:
    """Resample a stream of 2 samples a symbol so that symbols lie on its samples, even or odd.

    Circular, and exact where the clock stands still; else by a windowed sinc.
    """
    samples = stream.shape[-1]
    if not found.drift:
        frequency = np.fft.fftfreq(samples) * 2
        return np.fft.ifft(np.fft.fft(stream) * np.exp(2j * np.pi * frequency * found.delay))
    at = np.arange(_REACH * _OVERSAMPLING + 1) / _OVERSAMPLING
    taper = np.i0(_BETA * np.sqrt(1 - (at / _REACH) ** 2)) / np.i0(_BETA)
    places = 2 * found.delay + np.arange(samples) * (1 + found.drift)
    out = np.empty_like(stream, np.complex128)
    window = np.sinc(at) * taper
    _kernels.interpolate(stream, places, window, _REACH, _OVERSAMPLING, out)
    return out


def on_symbols(stream: Waveform) -> Waveform:
    """Put symbols on the even samples of a stream that has them on these or on the odd ones.

    Between symbols a signal is more like Gaussian noise, also where its polarisations are mixed: it
    has more of the fourth moment there.
    """
    fourth = [np.sum(np.abs(stream[:, parity::2]) ** 4) for parity in (0, 1)]
    return np.roll(stream, -int(np.argmin(fourth)), axis=-1)


def line_offset(symbols: Waveform) -> float:
    """Return the frequency of the carrier of symbols of square QAM, blind, within 1/8.

    Their fourth power has a line at four times it (Leven et al., IEEE Photon. Technol. Lett. 19(6),
    2007); those of all polarisations are added. ``symbols``: shape ``(polarizations, symbols)``.
    """
    scaled = symbols / np.sqrt(np.mean(np.abs(symbols) ** 2, axis=-1, keepdims=True))
    lines = np.sum(np.abs(np.fft.fft(np.square(np.square(scaled)))) ** 2, axis=0)
    return float(np.fft.fftfreq(lines.size)[np.argmax(lines)]) / 4


@dataclass(frozen=True)
class Frame:
    """Where a known preamble was found, and through which channel.

    ``start``: sample, or symbol, of its first symbol. ``channel``: what a polarisation that was
    sent gives in each that is received, shape ``(received, sent)``. ``offset``: of the carrier.
    ``likeness``: the share of the power there that is the preamble's, 0..1.
    """

    start: int
    channel: NDArray[np.complex128]
    offset: float
    likeness: float


def find_preamble(stream: Waveform, preamble: Waveform, samples_per_symbol: int) -> Frame:
    """Find a preamble in a circular stream, whatever its mixture, phase and slow rotation.

    ``preamble``: shape ``(sent, symbols)``, whole segments. Matches are added up over segments
    of `SEGMENT_SYMBOLS` without their phases, over all pairs of polarisations.
    """
    sent = preamble.reshape(len(preamble), -1, SEGMENT_SYMBOLS)
    rate = samples_per_symbol
    place, score = -1, -1.0
    parts: Waveform = np.zeros((len(stream), *sent.shape[:2]), np.complex64)
    for parity in range(rate):
        received = stream[:, parity::rate]
        matches = _segment_matches(received, sent)
        total = np.sum(np.abs(matches) ** 2, axis=(0, 1, 2))
        best = int(np.argmax(total))
        if total[best] > score:
            place, score, parts = best * rate + parity, float(total[best]), matches[..., best]
    # Shape (received, sent, segments): the phase moves on from segment to segment.
    steps = np.sum(parts[..., 1:] * parts[..., :-1].conj())
    offset = float(np.angle(steps)) / (2 * np.pi * SEGMENT_SYMBOLS)
    turns = np.cumsum(np.angle(np.sum(parts[..., 1:] * parts[..., :-1].conj(), axis=(0, 1))))
    still = parts * np.exp(-1j * np.concatenate([[0.0], turns]))
    symbols = preamble.shape[-1]
    energy = np.sum(np.abs(preamble) ** 2, axis=-1) / symbols
    channel = np.mean(still, axis=-1) / SEGMENT_SYMBOLS / energy
    there = stream[:, (place + rate * np.arange(symbols)) % stream.shape[-1]]
    explained = np.sum(np.abs(parts) ** 2) / SEGMENT_SYMBOLS / energy.mean()
    return Frame(place, channel, offset, float(explained / max(np.sum(np.abs(there) ** 2), 1e-300)))


def _segment_matches(received: Waveform, sent: Waveform) -> Waveform:
    """Sums of received times conj(sent) over each segment, at all places of the first one.

    Shapes ``(received, symbols)`` and ``(sent, segments, SEGMENT_SYMBOLS)`` to
    ``(received, sent, segments, symbols)``.
    """
    symbols = received.shape[-1]
    spectrum = np.fft.fft(received.astype(np.complex64))
    matches = np.empty((len(received), *sent.shape[:2], symbols), np.complex64)
    for j, of_polarization in enumerate(sent):
        for k, segment in enumerate(of_polarization):
            placed = np.zeros(symbols, np.complex64)
            placed[k * SEGMENT_SYMBOLS :][:SEGMENT_SYMBOLS] = segment
            matches[:, j, k] = np.fft.ifft(spectrum * np.fft.fft(placed).conj())
    return matches
