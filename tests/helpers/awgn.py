"""A link that is additive white Gaussian noise, and receivers that do next to nothing."""

import numpy as np

from dbp import config
from dbp.link import closed_forms

# One amplifier and neither dispersion nor Kerr effect.
AWGN = config.Link(
    spans=1,
    dispersion_ps_per_nm_km=0.0,
    nonlinearity_per_w_km=0.0,
    steps_per_span=1,
    block_symbols=1024,
)


class Plain:
    """Does nothing, or whatever ``change`` does."""

    arithmetic = "float"

    def __init__(self, name="plain", change=lambda waveform: waveform):
        self.name, self.change, self.key = name, change, name

    def __call__(self, waveform, launch_power_dbm):
        return self.change(waveform)


def power_for(settings, snr_db):
    """Launch power in dBm that gives a ratio of symbol energy to noise density."""
    noise_w = settings.spans * closed_forms.ase_w_per_ghz(settings) * settings.symbol_rate_gbd
    return 10 * np.log10(1e3 * noise_w) + snr_db
