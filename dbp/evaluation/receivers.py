"""Receivers to evaluate: a design in fixed point, its filters in floating point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from dbp.datapath import golden, golden_fast
from dbp.datapath.design import Design, launch_power_uw
from dbp.learning.float_filters import FloatFilters
from dbp.link import fiber, model

Waveform = NDArray[np.complexfloating]


class Receiver(Protocol):
    """Equalises a group of circular blocks; ``arithmetic`` is "float" or "fixed".

    Receivers of the same ``key`` do the same with every waveform of one link.

    Called with a waveform of mean power 1 as `dbp.link.transmission.Received` has it, complex of
    shape ``(blocks, samples)``, and the launch power in dBm. Returns the same shape, in any unit,
    with the symbols still at the even samples: no group delay. In floating point also two
    polarisations, ``(blocks, 2, samples)``, launched with that power together.
    """

    name: str
    arithmetic: str

    @property
    def key(self) -> str: ...

    def __call__(self, waveform: Waveform, launch_power_dbm: float) -> Waveform: ...


@dataclass(frozen=True)
class FixedReceiver:
    """A `Design` as the hardware computes it, by the golden model's fast form.

    The blocks pass as one stream under one gain control. The hardware starts each block with the
    history of whatever came before, so every block is sent with the end of itself before it, as
    long as the receiver's memory; what the receiver puts out meanwhile is dropped.
    """

    name: str
    design: Design
    arithmetic: ClassVar[str] = "fixed"

    @property
    def key(self) -> str:
        return f"fixed {self.design.hash}"

    def __call__(self, waveform: Waveform, launch_power_dbm: float) -> Waveform:
        delay, samples = self.design.delay, waveform.shape[-1]
        memory = 2 * delay
        wrapped = waveform[:, np.arange(-memory, samples) % samples]
        stream = golden.convert(wrapped.reshape(-1), self.design)
        i, q = golden_fast.receive(self.design, stream, launch_power_uw(launch_power_dbm))
        received = (i + 1j * q).reshape(wrapped.shape)[:, memory:]
        return np.roll(received, -delay, axis=-1)


@dataclass(frozen=True)
class FloatReceiver:
    """Symmetric FIR filters and Kerr rotations in floating point, circular on each block.

    Both polarisations pass the same filters and are rotated together by the power of both, with
    8/9 of the constants, which are those of one polarisation alone (`dbp.link.fiber`).
    """

    name: str
    filters: FloatFilters
    arithmetic: ClassVar[str] = "float"

    @property
    def key(self) -> str:
        return f"float {self.filters.hash}"

    def __call__(self, waveform: Waveform, launch_power_dbm: float) -> Waveform:
        spectrum = torch.fft.fft(torch.from_numpy(waveform))
        power_mw = 1e3 * model.watts(launch_power_dbm)
        if waveform.ndim == 3:  # each polarisation in units of its own half of the power
            power_mw *= fiber.MANAKOV / 2
        for k, taps in enumerate(self.filters.taps):
            if k:
                field = torch.fft.ifft(spectrum)
                half_kerr = self.filters.kerr_rad_per_mw[k - 1] * power_mw
                spectrum = torch.fft.fft(field.mul_(torch.exp(1j * _phase(field, half_kerr))))
            response = frequency_response(taps, waveform.shape[-1])
            spectrum = spectrum.mul_(torch.from_numpy(response).to(spectrum.dtype))
        return torch.fft.ifft(spectrum).numpy()


def _phase(field: torch.Tensor, half_kerr: NDArray[np.float64]) -> torch.Tensor:
    """sum_m K[m] \\|x[n - m]\\|^2, circular; ``half_kerr`` outermost first.

    Of shape ``(blocks, samples)``, or ``(blocks, 1, samples)`` of both polarisations.
    """
    power = field.real.square() + field.imag.square()
    if field.ndim == 3:
        power = power.sum(1, keepdim=True)
    *outer, center = half_kerr.tolist()
    phase = center * power
    for distance, constant in enumerate(reversed(outer), 1):
        phase += constant * (power.roll(distance, -1) + power.roll(-distance, -1))
    return phase


def frequency_response(taps: NDArray[np.complex128], samples: int) -> NDArray[np.complex128]:
    """Response of taps about their centre, in FFT order, on circular blocks of any length."""
    impulse = np.zeros(samples, np.complex128)
    np.add.at(impulse, (np.arange(taps.size) - taps.size // 2) % samples, taps)
    return np.fft.fft(impulse)
