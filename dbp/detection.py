"""From an equalised waveform to symbols, with the sent ones as genie.

Outside the chip, in floating point: matched filter, symbol timing, and one complex gain (one
constant phase rotation and one gain control) over many symbols, since a genie rotation of short
blocks would track phase noise and flatter the result.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dbp import modulation

Waveform = NDArray[np.complexfloating]


def matched_filter(waveform: Waveform, roll_off: float) -> Waveform:
    """Root-raised-cosine filter and symbol timing: 2 samples per symbol to 1, last axis circular.

    Of a waveform of mean power 1 without distortion it returns the symbols, of mean power 1.
    """
    samples = waveform.shape[-1]
    pulse = modulation.root_raised_cosine(roll_off, 2, samples)
    spectrum = np.fft.fft(waveform) * pulse
    half = samples // 2
    return np.fft.ifft((spectrum[..., :half] + spectrum[..., half:]) / 2)


def align(sent: Waveform, received: Waveform) -> Waveform:
    """One complex gain over all symbols, so that the sent ones stand in them without bias."""
    projection = np.vdot(sent, received)
    if projection == 0:  # a dead receiver
        return received
    return received * (np.vdot(sent, sent).real / projection)


def effective_snr_db(sent: Waveform, received: Waveform) -> float:
    """E\\|x\\|^2 / E\\|x - c y\\|^2 of all symbols, with the best complex gain c, in dB."""
    x, y = sent.astype(np.complex128), received.astype(np.complex128)
    coherence = abs(np.vdot(x, y)) ** 2 / (np.vdot(x, x).real * np.vdot(y, y).real)
    return float(-10 * np.log10(1 - coherence))
