"""Propagation over optical fibre: the split-step Fourier method, and amplifier noise.

The field envelope A(t, z) of one polarisation, in sqrt(W), obeys the nonlinear Schroedinger
equation (Agrawal, Nonlinear Fiber Optics, 5th ed., equation 2.3.46)

    dA/dz = -alpha/2 A - j beta2/2 d^2A/dt^2 + j gamma |A|^2 A,

so dispersion multiplies the spectrum by ``exp(+j beta2/2 omega^2 z)`` and the Kerr effect the
field by ``exp(+j gamma |A|^2 z)``; a receiver undoes both with the signs reversed. Units are km,
ps, GHz and W throughout. Fields are circular in time and batched: time is the last axis.

Two polarisations x and y of one field obey the Manakov equation (Marcuse, Menyuk and Wai, JLT
15(9), 1997), without polarisation-mode dispersion: the above for each of them with

    j 8/9 gamma (|A_x|^2 + |A_y|^2)

in the place of j gamma |A|^2. It averages the Kerr effect over the random birefringence of the
fibre, which turns the polarisation through all states on a scale short beside all others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dbp.link import _split_step

LIGHT_M_PER_S = 299_792_458.0
PLANCK_J_S = 6.626_070_15e-34

# Kerr effect of a total power in a fibre whose birefringence is random, of that on one polarisation
# alone: the mean over all states of polarisation.
MANAKOV = 8 / 9


@dataclass(frozen=True)
class Fiber:
    """A piece of fibre; ``attenuation_per_km`` is that of power, in nepers, alpha above."""

    length_km: float
    attenuation_per_km: float
    beta2_ps2_per_km: float
    gamma_per_w_km: float

    @property
    def effective_length_km(self) -> float:
        """The length of lossless fibre with the same Kerr effect: (1 - exp(-alpha L)) / alpha."""
        return float(_integral(self.attenuation_per_km, self.length_km))

    @property
    def gain(self) -> float:
        """Power gain of the amplifier that makes up for the loss."""
        return float(np.exp(self.attenuation_per_km * self.length_km))

    def inverse(self) -> Fiber:
        """The fictitious fibre of digital backpropagation, which undoes this one."""
        return replace(
            self,
            attenuation_per_km=-self.attenuation_per_km,
            beta2_ps2_per_km=-self.beta2_ps2_per_km,
            gamma_per_w_km=-self.gamma_per_w_km,
        )


def attenuation_per_km(attenuation_db_per_km: float) -> float:
    """alpha in nepers of power per km."""
    return attenuation_db_per_km * np.log(10) / 10


def beta2_ps2_per_km(dispersion_ps_per_nm_km: float, wavelength_nm: float) -> float:
    """beta2 = -D lambda^2 / (2 pi c)."""
    c_nm_per_ps = LIGHT_M_PER_S * 1e-3
    return -dispersion_ps_per_nm_km * wavelength_nm**2 / (2 * np.pi * c_nm_per_ps)


def ase_w_per_ghz(gain: float, noise_figure_db: float, wavelength_nm: float) -> float:
    """Power density of amplified spontaneous emission in one polarisation, (G - 1) h nu n_sp.

    The spontaneous emission factor follows from the noise figure F of a high gain, n_sp = F / 2
    (Essiambre et al., "Capacity limits of optical fiber networks", JLT 28(4), 2010, section IX).
    """
    frequency_hz = LIGHT_M_PER_S / (wavelength_nm * 1e-9)
    emission_factor = 10 ** (noise_figure_db / 10) / 2
    return (gain - 1) * PLANCK_J_S * frequency_hz * emission_factor * 1e9


def angular_frequency(samples: int, sample_rate_ghz: float) -> NDArray[np.float64]:
    """omega in rad/ps in FFT order, shape ``(samples,)``."""
    return 2e-3 * np.pi * np.fft.fftfreq(samples, 1 / sample_rate_ghz)


class SplitStep:
    """The symmetric split-step Fourier method for one fibre, its linear operators precomputed.

    Steps are logarithmic: all ``steps`` have the same nonlinear phase, hence the same effective
    length (Bosco et al., "Suppression of spurious tones induced by the split-step method in fiber
    systems simulation", IEEE PTL 12(5), 2000). The Kerr rotation of a step sits where half of
    its effective length has passed, dispersion and loss run exactly before and after it, and the
    dispersion of adjacent half-steps is one product. The error is of second order in 1/steps.

    With ``manakov`` the field has two polarisations, the last axis but one.
    """

    def __init__(
        self,
        fiber: Fiber,
        steps: int,
        samples: int,
        sample_rate_ghz: float,
        dtype: torch.dtype = torch.complex64,
        device: torch.device | str = "cpu",
        *,
        manakov: bool = False,
    ) -> None:
        self._manakov = manakov
        linear, kerr_per_w = operators(fiber, steps, samples, sample_rate_ghz)
        self._linear = torch.from_numpy(linear).to(device=device, dtype=dtype)
        self._kerr_per_w = kerr_per_w.tolist()

    def __call__(self, spectrum: Tensor) -> Tensor:
        """Spectrum at the input to spectrum at the output.

        Complex, shape ``(..., samples)``, or ``(..., 2, samples)`` with ``manakov``:
        `torch.fft.fft` of the field in sqrt(W), without normalisation. Returns a new tensor of the
        same shape.
        """
        spectrum = spectrum * self._linear[0]
        for kerr_per_w, linear in zip(self._kerr_per_w, self._linear[1:], strict=True):
            field = torch.fft.ifft(spectrum)
            spectrum = torch.fft.fft(rotate_(field, kerr_per_w, self._manakov)).mul_(linear)
        return spectrum


def split(fiber: Fiber, steps: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the Kerr rotations sit and how long they act, both in km, shape ``(steps,)``.

    The length is the integral of the power over the step, relative to the power at the rotation.
    """
    alpha = fiber.attenuation_per_km
    per_step = fiber.effective_length_km / steps
    done = per_step * (np.arange(steps) + 0.5)
    positions = done if alpha == 0 else -np.log1p(-alpha * done) / alpha
    return positions, per_step * np.exp(alpha * positions)


def operators(
    fiber: Fiber, steps: int, samples: int, sample_rate_ghz: float
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """What the steps of `SplitStep` multiply with.

    The spectrum by the first, of shape ``(steps + 1, samples)``, before, between and after the
    Kerr rotations, whose constants in rad/W are the second, of shape ``(steps,)``.
    """
    positions, lengths = split(fiber, steps)
    omega = angular_frequency(samples, sample_rate_ghz)
    rate = -fiber.attenuation_per_km / 2 + 0.5j * fiber.beta2_ps2_per_km * omega**2
    distances = np.diff(positions, prepend=0.0, append=fiber.length_km)
    return np.exp(distances[:, None] * rate), fiber.gamma_per_w_km * lengths


def rotate_(field: Tensor, kerr_per_w: float, manakov: bool = False) -> Tensor:
    """Multiply by ``exp(1j * kerr_per_w * |field|^2)`` in place; complex and contiguous, any shape.

    With ``manakov``, of shape ``(..., 2, samples)``, by 8/9 of the phase of the total power. In
    single precision on a CPU by a compiled loop, ten times as fast as torch's operations.
    """
    parts = torch.view_as_real(field)
    if manakov:
        kerr_per_w *= MANAKOV
    if field.dtype == torch.complex64 and field.device.type == "cpu":
        if manakov:
            shape = (-1, 2, 2 * field.shape[-1])
            _split_step.rotate_both(parts.view(shape).numpy(), np.float32(kerr_per_w))
        else:
            _split_step.rotate(parts.view(-1).numpy(), np.float32(kerr_per_w))
        return field
    squares = parts * parts
    phase = torch.add(squares[..., 0], squares[..., 1]).mul_(kerr_per_w)
    if manakov:
        phase[...] = phase.sum(-2, keepdim=True)
    torch.cos(phase, out=squares[..., 0])
    torch.sin(phase, out=squares[..., 1])
    return field.mul_(torch.view_as_complex(squares))


def _integral(rate: float, length: float) -> float:
    """Integral of exp(-rate z) from 0 to length."""
    return length if rate == 0 else -np.expm1(-rate * length) / rate
