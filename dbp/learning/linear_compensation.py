"""What a receiver reaches that compensates dispersion alone: the least that learning must reach."""

from __future__ import annotations

import math

import numpy as np
import torch

from dbp import config
from dbp.datapath.design import Design
from dbp.learning.data import Pairs
from dbp.learning.float_model import Detector, to_signal
from dbp.learning.gauss_newton import BATCH_COLUMNS
from dbp.learning.least_squares import dispersion

# 20 dB: formats so coarse that they cost more excuse no result.
MOST_ROUNDING = 1e-2


def loss(link: config.Link, received: Pairs, detector: Detector) -> float:
    """1 / SNR of ideal linear compensation of ``link``, in floating point.

    The whole dispersion is undone at once, exactly, on the blocks of ``received`` as circles.
    """
    samples = received.waveform.shape[-1]
    waveform = received.waveform.reshape(-1, samples)
    symbols = received.symbols.reshape(len(waveform), -1)
    omega = 2 * np.pi * np.fft.fftfreq(samples)
    response = np.exp(-1j * dispersion(link, link.spans * link.span_km) * omega**2)
    total = 0.0
    for first in range(0, len(waveform), BATCH_COLUMNS):
        batch = slice(first, first + BATCH_COLUMNS)
        compensated = np.fft.ifft(np.fft.fft(waveform[batch]) * response)
        sent = torch.from_numpy(symbols[batch].T.astype(np.complex64))
        total += len(compensated) * detector.loss(to_signal(compensated), sent).item()
    return total / len(waveform)


def rounding(design: Design) -> float:
    """Noise over signal that linear compensation would have from the formats of ``design``.

    As if each filter were an all-pass whose taps and outputs are rounded one by one: a step of size
    d adds d^2 / 12 for each part of each tap, and for each part of a sample. Joint rounding
    (`dbp.learning.integer_rounding`) does better. At most `MOST_ROUNDING`.
    """
    noise = 0.0
    for k, filter_ in enumerate(design.filters):
        gain = 2.0 ** (filter_.output_bits - design.filter_input_bits(k))
        step = 2.0**-filter_.shift / gain
        full_scale = 2.0 ** (filter_.output_bits - 1)
        power = 2 * (full_scale * design.adc_rms_permille / 1000) ** 2
        noise += filter_.taps * step**2 / 6 + 1 / (6 * power)
    return min(noise, MOST_ROUNDING)


def snr_db(loss: float) -> float:
    """An effective SNR in dB from a loss, 1 / SNR."""
    # Below this single precision has no digits. The sum has no effect but on a zero's sign.
    return -10 * math.log10(max(loss, 1e-12)) + 0.0
