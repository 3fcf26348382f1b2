"""Reference receivers in the frequency domain: what ideal filters of any length would reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from dbp import config
from dbp.datapath.design import RESERVED_NAMES
from dbp.link import fiber, model
from dbp.link.split_step import SplitStep, rotate_

# Names that no design may have; the command line evaluates these receivers under them.
NAMES = RESERVED_NAMES[1:]


@dataclass(frozen=True)
class Reference:
    """Dispersion compensation over the full sampling band, in floating point.

    "linear" compensates dispersion only; "dbp1" backpropagates with one Kerr rotation per span,
    at the amplifier; "dbp50" is the split-step method with 50 logarithmic steps per span.
    """

    name: str
    link: config.Link
    arithmetic: ClassVar[str] = "float"

    @property
    def key(self) -> str:
        return f"reference {self.name}"

    def __call__(
        self, waveform: NDArray[np.complexfloating], launch_power_dbm: float
    ) -> NDArray[np.complexfloating]:
        """Equalise circular blocks; complex, shape ``(..., samples)``, 2 samples per symbol.

        ``waveform`` as `dbp.link.transmission.Received` has it, of mean power 1; same shape and
        unit back. The dispersion is the link's without its ``dispersion_error_percent``.
        """
        spans, samples = self.link.spans, waveform.shape[-1]
        rate_ghz = 2 * self.link.symbol_rate_gbd
        inverse = model.span(self.link).inverse()
        manakov = self.link.impairments.dual_polarization
        root_w = float(np.sqrt(model.received_power_w(self.link, launch_power_dbm)))
        field = torch.from_numpy(waveform * root_w)
        spectrum = torch.fft.fft(field)
        if self.name == "dbp50":
            step = SplitStep(inverse, 50, samples, rate_ghz, field.dtype, manakov=manakov)
            for _ in range(spans):
                spectrum = step(spectrum.mul_(np.sqrt(inverse.gain)))
        else:
            omega = fiber.angular_frequency(samples, rate_ghz)
            dispersion = 0.5j * inverse.beta2_ps2_per_km * inverse.length_km * omega**2
            if self.name == "linear":
                spectrum = spectrum.mul_(torch.from_numpy(np.exp(dispersion * spans)))
            else:
                operator = torch.from_numpy(np.exp(dispersion)).to(field.dtype)
                kerr_per_w = -model.kerr_rad_per_w(self.link)
                for _ in range(spans):
                    field = torch.fft.ifft(spectrum.mul_(operator))
                    spectrum = torch.fft.fft(rotate_(field, kerr_per_w, manakov))
        return torch.fft.ifft(spectrum).numpy() / root_w
