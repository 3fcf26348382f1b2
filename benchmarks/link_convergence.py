"""Effective SNR against samples per symbol and steps per span of the simulated link.

    python benchmarks/link_convergence.py

The same symbols and the same noise within the band of the coarsest simulation, 131,072 symbols;
what differs is due to the numerics alone, and to the noise outside that band.
"""

import numpy as np

from dbp import config
from dbp.evaluation.measures import effective_snr_db, matched_filter
from dbp.evaluation.receivers import Reference
from dbp.link import transmission

BLOCKS, BLOCK_SYMBOLS, FINEST = 256, 512, 16
GRIDS = (16, 100), (8, 100), (6, 100), (6, 50), (6, 24), (6, 16), (8, 16), (6, 12)
RECEIVERS = "linear", "dbp1", "dbp50"


class Channel(transmission._Channel):
    """Draws noise for the finest grid, whatever its own, and cuts it to its band."""

    def _amplifier_noise(self, generators):
        half = self._samples // 2
        for _ in range(self._link.spans):
            parts = np.stack(
                [g.standard_normal((BLOCK_SYMBOLS * FINEST, 2), np.float32) for g in generators]
            )
            noise = parts.view(np.complex64)[..., 0] * self._noise
            yield np.concatenate((noise[:, :half], noise[:, -half:]), axis=1)


def snr_db(samples_per_symbol, steps, launch_power_dbm):
    settings = config.Link(
        samples_per_symbol=samples_per_symbol, steps_per_span=steps, block_symbols=BLOCK_SYMBOLS
    )
    channel = Channel(settings, "cpu")
    received, sent = [], []
    for first in range(0, BLOCKS, 16):
        numbers = range(first, first + 16)

        def generators(numbers=numbers):
            return [transmission.block_generator(1, "evaluate", block) for block in numbers]

        received.append(channel.transmit(launch_power_dbm, generators()))
        sent.append(transmission._draw(settings, generators())[0])
    waveform = np.concatenate(received)
    for name in RECEIVERS:
        equalized = Reference(name, settings)(waveform, launch_power_dbm)
        symbols = matched_filter(equalized, settings.roll_off)
        yield effective_snr_db(np.concatenate(sent), symbols)


def main():
    print("dBm  samples/symbol  steps/span  " + "  ".join(f"{name:>7}" for name in RECEIVERS))
    for launch_power_dbm in (0.0, 2.0):
        for samples, steps in GRIDS:
            figures = "  ".join(f"{snr:7.3f}" for snr in snr_db(samples, steps, launch_power_dbm))
            print(f"{launch_power_dbm:+3g}  {samples:14}  {steps:10}  {figures}", flush=True)


if __name__ == "__main__":
    main()
