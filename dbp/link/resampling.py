"""Circular blocks at other sampling rates: cutting, padding and folding of their spectra; exact.

A block that is circular is the sum of the tones of its bins: a rate at which it has whole samples
only decides which of them are there (`resized`) and which fall upon one another (`folded`).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from dbp import config
from dbp.link.modulation import Waveform, root_raised_cosine


def resized(spectrum: Waveform, bins: int) -> Waveform:
    """Return the ``bins`` bins about frequency 0, zeros where there were none.

    In FFT order along the last axis. An even number of bins ends below half the sampling rate.
    """
    have = spectrum.shape[-1]
    if bins == have:
        return spectrum
    above, below = (min(have, bins) + 1) // 2, min(have, bins) // 2
    zeros = np.zeros((*spectrum.shape[:-1], bins - above - below), spectrum.dtype)
    low, high = spectrum[..., :above], spectrum[..., have - below :]
    return np.concatenate((low, zeros, high), axis=-1)


def folded(spectrum: Waveform, bins: int) -> Waveform:
    """Return the spectrum of every so-manieth sample, but for a factor: the sum of its aliases.

    What lies beyond twice the band of ``bins`` bins is left out: a filter must have taken it away.
    """
    doubled = resized(spectrum, 2 * bins)
    return doubled[..., :bins] + doubled[..., bins:]


def kept_rate(link: config.Link) -> int:
    """Samples per symbol that hold all that the anti-alias filter passes; 2 at least.

    Links whose converters differ share the waveforms of this rate.
    """
    return max(2, -int(-(link.adc_rate * Fraction(1 + link.adc_filter_roll_off)) // 1))


def anti_alias_response(link: config.Link, samples: int) -> NDArray[np.float64]:
    """Amplitude response of the anti-alias filter, in FFT order, at `kept_rate`.

    Half of the power passes at half the converter's rate, and power and its aliases add up to 1:
    white noise is white behind the converter, with the bandwidth of its rate.
    """
    over = kept_rate(link) / float(link.adc_rate)
    if link.adc_filter_roll_off:
        return root_raised_cosine(link.adc_filter_roll_off, over, samples)
    return (np.abs(np.fft.fftfreq(samples)) * over <= 0.5).astype(np.float64)


def convert(waveform: Waveform, link: config.Link) -> Waveform:
    """Anti-alias filter and sampling: from `kept_rate` to the converter's samples per symbol.

    ``waveform``: circular blocks along the last axis; the unit stays.
    """
    have = waveform.shape[-1]
    samples = int(have * link.adc_rate / kept_rate(link))
    if samples == have:
        return waveform
    spectrum = np.fft.fft(waveform)
    if link.adc_filter_roll_off:
        sampled = folded(spectrum * anti_alias_response(link, have), samples)
    else:
        sampled = resized(spectrum, samples)
    return np.fft.ifft(sampled) * (samples / have)
