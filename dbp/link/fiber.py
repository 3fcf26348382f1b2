"""The physics of optical fibre: its equation, constants, split steps, and amplifier noise.

The field envelope A(t, z) of one polarisation, in sqrt(W), obeys the nonlinear Schroedinger
equation (Agrawal, Nonlinear Fiber Optics, 5th ed., equation 2.3.46)

    dA/dz = -alpha/2 A - j beta2/2 d^2A/dt^2 + j gamma |A|^2 A,

so dispersion multiplies the spectrum by ``exp(+j beta2/2 omega^2 z)`` and the Kerr effect the
field by ``exp(+j gamma |A|^2 z)``; a receiver undoes both with the signs reversed. Units are km,
ps, GHz and W throughout. Fields are circular in time and batched: time is the last axis.

Two polarisations x and y of one field obey the Manakov equation (Marcuse, Menyuk and Wai, JLT
15(9), 1997), without polarisation-mode dispersion (which `dbp.link.polarization` adds): the
equation above for each of them with

    j 8/9 gamma (|A_x|^2 + |A_y|^2)

in the place of j gamma |A|^2. It averages the Kerr effect over the random birefringence of the
fibre, which takes the polarisation through all states over a distance shorter than all others.

`dbp.link.split_step` solves the equation; nothing here needs torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.constants import Planck, speed_of_light

from dbp.link.arithmetic import elementwise, exp, expm1

# The Kerr effect of a total power in a fibre of random birefringence, relative to that of the same
# power in one polarisation alone: the mean over all states of polarisation.
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
        return _integral(self.attenuation_per_km, self.length_km)

    @property
    def gain(self) -> float:
        """Power gain of the amplifier that restores what the fibre loses."""
        return exp(self.attenuation_per_km * self.length_km)

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
    return attenuation_db_per_km * math.log(10) / 10


def beta2_ps2_per_km(dispersion_ps_per_nm_km: float, wavelength_nm: float) -> float:
    """beta2 = -D lambda^2 / (2 pi c)."""
    c_nm_per_ps = speed_of_light * 1e-3
    return -dispersion_ps_per_nm_km * wavelength_nm**2 / (2 * np.pi * c_nm_per_ps)


def ase_w_per_ghz(gain: float, noise_figure_db: float, wavelength_nm: float) -> float:
    """Power density of amplified spontaneous emission in one polarisation, (G - 1) h nu n_sp.

    The spontaneous emission factor follows from the noise figure F of a high gain, n_sp = F / 2
    (Essiambre et al., "Capacity limits of optical fiber networks", JLT 28(4), 2010, section IX).
    """
    frequency_hz = speed_of_light / (wavelength_nm * 1e-9)
    emission_factor = 10 ** (noise_figure_db / 10) / 2
    return (gain - 1) * Planck * frequency_hz * emission_factor * 1e9


def angular_frequency(samples: int, sample_rate_ghz: float) -> NDArray[np.floating]:
    """omega in rad/ps in FFT order, shape ``(samples,)``."""
    return 2e-3 * np.pi * np.fft.fftfreq(samples, 1 / sample_rate_ghz)


def split(fiber: Fiber, steps: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Positions of the Kerr rotations, and the lengths for which they act: km, shape ``(steps,)``.

    A length is the integral of the power over the step, relative to the power at the rotation.
    """
    alpha = fiber.attenuation_per_km
    per_step = fiber.effective_length_km / steps
    done = per_step * (np.arange(steps) + 0.5)
    positions = done if alpha == 0 else -elementwise(math.log1p, -alpha * done) / alpha
    return positions, per_step * elementwise(exp, alpha * positions)


def operators(
    fiber: Fiber, steps: int, samples: int, sample_rate_ghz: float
) -> tuple[NDArray[np.complex128], NDArray[np.floating]]:
    """Return the operators of attenuation and dispersion and the Kerr constants of split steps.

    The linear ones, shape ``(steps + 1, samples)``, multiply the spectrum before, between and after
    the Kerr rotations, whose constants in rad/W have the shape ``(steps,)``.
    """
    _, lengths = split(fiber, steps)
    omega = angular_frequency(samples, sample_rate_ghz)
    rate = -fiber.attenuation_per_km / 2 + 0.5j * fiber.beta2_ps2_per_km * omega**2
    distances = pieces_km(fiber, steps)
    return np.exp(distances[:, None] * rate), fiber.gamma_per_w_km * lengths


def pieces_km(fiber: Fiber, steps: int) -> NDArray[np.floating]:
    """Lengths of fibre before, between and after the Kerr rotations, shape ``(steps + 1,)``."""
    positions, _ = split(fiber, steps)
    return np.diff(positions, prepend=0.0, append=fiber.length_km)


def _integral(rate: float, length: float) -> float:
    """Integral of exp(-rate z) from 0 to length."""
    return length if rate == 0 else -expm1(-rate * length) / rate
