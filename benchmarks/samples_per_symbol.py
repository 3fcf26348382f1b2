"""Measure the effective SNR that fewer samples per symbol cost: ideal filters, +1 dBm, paper link.

One rotation a span, 15 km after the amplifier, between exact compensations of dispersion; the gains
over |x|^2, 1 or 9 taps, are fitted on other blocks. So only the rate is at fault, and the edge of
the anti-alias filter where there is one. Half a minute a row on one core.
"""

import argparse

import numpy as np
import torch

from dbp import config
from dbp.evaluation.measures import effective_snr_db, matched_filter
from dbp.learning.float_model import Detector
from dbp.learning.least_squares import dispersion
from dbp.link import closed_forms, transmission

POWER_DBM, OFFSET_KM, FITTED_BLOCKS = 1.0, 15.0, 8
ROWS = (("2", 0.0), ("3/2", 0.0), ("3/2", 0.25), ("5/4", 0.0), ("5/4", 0.12))


class Ideal:
    """The receiver of a link; called with blocks and gains relative to the closed form's."""

    def __init__(self, link):
        self.spans = link.spans
        self.kerr = -closed_forms.kerr_rad_per_w(link) * closed_forms.watts(POWER_DBM)
        omega = 2 * np.pi * np.fft.fftfreq(link.adc_samples)
        lengths_km = (link.span_km - OFFSET_KM, link.span_km, OFFSET_KM)
        self.first, self.between, self.last = (
            torch.from_numpy(np.exp(-1j * dispersion(link, km) * omega**2)).to(torch.complex64)
            for km in lengths_km
        )

    def __call__(self, waveform, half_gains):
        spectrum = torch.fft.fft(torch.from_numpy(waveform)) * self.first
        for span in range(self.spans):
            x = torch.fft.ifft(spectrum)
            power = x.real.square() + x.imag.square()
            phase = half_gains[-1] * power
            for distance, gain in enumerate(half_gains[:-1].flip(0), 1):
                phase = phase + gain * (power.roll(distance, -1) + power.roll(-distance, -1))
            x = x * torch.polar(torch.ones_like(phase), self.kerr * phase)
            spectrum = torch.fft.fft(x) * (self.between if span < self.spans - 1 else self.last)
        return torch.fft.ifft(spectrum)


def snr_db(link, received, taps):
    """Effective SNR on the blocks behind those on which the gains are fitted."""
    receive, detector = Ideal(link), Detector(link.roll_off, link.adc_samples, link.adc_rate)
    fitted, rest = (
        received.blocks(slice(FITTED_BLOCKS)),
        received.blocks(slice(FITTED_BLOCKS, None)),
    )
    sent = torch.from_numpy(fitted.symbols.T.astype(np.complex64))
    gains = torch.zeros(taps // 2 + 1)
    gains[-1] = 1.0
    gains.requires_grad_()
    fit = torch.optim.LBFGS([gains], max_iter=12, line_search_fn="strong_wolfe")

    def loss():
        fit.zero_grad()
        x = receive(fitted.waveform, gains)
        value = detector.loss(torch.stack((x.real.T, x.imag.T)), sent)
        value.backward()
        return value

    fit.step(loss)
    with torch.no_grad():
        equalized = receive(rest.waveform, gains).numpy()
    symbols = matched_filter(equalized, link.roll_off, link.adc_rate)
    return effective_snr_db(rest.symbols, symbols)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=32, help="of 512 symbols (default: 32)")
    blocks = parser.parse_args().blocks
    torch.set_num_threads(1)
    print("samples per symbol, edge of the anti-alias filter: dB with 1 / 9 taps over |x|^2")
    for rate, edge in ROWS:
        keys = {"adc_samples_per_symbol": rate, "adc_filter_roll_off": edge, "block_symbols": 512}
        paper = config.checked({"link": keys}).link
        data = transmission.simulate(paper, POWER_DBM, blocks, seed=1, purpose="train")
        one, nine = (snr_db(paper, data, taps) for taps in (1, 9))
        print(f"{rate:>4} {edge:5.2f}: {one:.2f} / {nine:.2f}", flush=True)
