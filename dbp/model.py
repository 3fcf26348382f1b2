"""The split-step model of digital backpropagation as a torch module, in floating point.

A receiver filter is a chain of complex symmetric FIR filters with a Kerr rotation between each two
(Haeger and Pfister, "Nonlinear Interference Mitigation via Deep Neural Networks", OFC 2018).
`Model` computes it on circular blocks; `dbp.quantization.QuantizedModel` is its fixed-point form.

A signal is a real tensor of shape ``(2, samples, blocks)``: I and Q apart, the same sample of all
independent blocks together.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dbp.filters import FloatFilters
from dbp.modulation import root_raised_cosine


def to_signal(waveform: NDArray[np.complexfloating], dtype: torch.dtype = torch.float32) -> Tensor:
    """Complex blocks, shape ``(blocks, samples)``, to a signal of the model."""
    return torch.from_numpy(np.stack((waveform.real.T, waveform.imag.T))).to(dtype)


def from_signal(x: Tensor) -> NDArray[np.complexfloating]:
    """The inverse of `to_signal`."""
    i, q = x.detach().cpu().numpy()
    return np.ascontiguousarray((i + 1j * q).T)


def half_taps(filters: FloatFilters) -> Tensor:
    """Half of all taps, shape ``(filters, half, 2)``: real and imaginary, the outermost tap first.

    Filters shorter than the longest have zeros outside.
    """
    half = max(taps.size for taps in filters.taps) // 2 + 1
    out = np.zeros((len(filters.taps), half, 2))
    for row, taps in zip(out, filters.taps, strict=True):
        own = taps[: taps.size // 2 + 1]
        row[half - own.size :] = np.stack((own.real, own.imag), axis=-1)
    return torch.tensor(out, dtype=torch.float32)


def float_filters(half_taps: Tensor, kerr_rad_per_mw: Tensor) -> FloatFilters:
    """The inverse of `half_taps`, with Kerr constants as `FloatFilters` has them."""
    halves = torch.view_as_complex(half_taps.detach().double().cpu().contiguous()).numpy()
    return FloatFilters(
        tuple(np.concatenate((half, half[-2::-1])) for half in halves),
        kerr_rad_per_mw.detach().double().cpu().numpy(),
    )


def convolve(x: Tensor, half: Tensor) -> Tensor:
    """Filter circular blocks, shape ``(blocks, channels, samples)``, symmetrically.

    ``half``: half of the taps, the outermost first; shape ``(half, 2)`` for complex taps and the
    two channels I and Q, ``(half, 1)`` for real taps and one channel.
    """
    taps = torch.cat((half, half[:-1].flip(0)))
    if taps.shape[1] == 2:
        i, q = taps.unbind(1)
        weight = torch.stack((torch.stack((i, -q)), torch.stack((q, i))))
    else:
        weight = taps.T[None]
    reach = half.shape[0] - 1
    if x.shape[-1] <= 2 * reach:
        raise ValueError(f"blocks of {x.shape[-1]} samples for {2 * reach + 1} taps")
    return functional.conv1d(functional.pad(x, (reach, reach), mode="circular"), weight)


def turn(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """(cosine + j sine) x; ``x``: shape ``(blocks, 2, samples)``."""
    i, q = x[:, :1], x[:, 1:]
    return torch.cat((cosine * i - sine * q, cosine * q + sine * i), 1)


class Model(nn.Module):
    """A receiver filter in floating point whose taps and Kerr constants can be learned.

    ``half_taps``: shape ``(filters, half, 2)``, as the function of that name gives it; the zeros
    outside of short filters are learned too. ``kerr``: as ``FloatFilters.kerr_rad_per_mw``.
    """

    def __init__(self, filters: FloatFilters) -> None:
        super().__init__()
        self.half_taps = nn.Parameter(half_taps(filters))
        self.kerr = nn.Parameter(torch.tensor(filters.kerr_rad_per_mw, dtype=torch.float32))

    def forward(self, x: Tensor, launch_power_mw: float) -> Tensor:
        """Receive a signal of mean power 1; same shape back, without delay."""
        return self.plain(x, launch_power_mw)

    def plain(self, x: Tensor, launch_power_mw: float) -> Tensor:
        """`forward` in torch's own operations."""
        kerr = self.kerr * launch_power_mw
        x = x.permute(2, 0, 1)
        for k, half in enumerate(self.half_taps):
            if k:
                power = x.square().sum(1, keepdim=True)
                phase = convolve(power, kerr[k - 1, :, None])
                x = turn(x, torch.cos(phase), torch.sin(phase))
            x = convolve(x, half)
        return x.permute(1, 2, 0)

    def filters(self) -> FloatFilters:
        """The taps and Kerr constants as they are now."""
        return float_filters(self.half_taps, self.kerr)


class Detector:
    """Matched filter, symbol timing and the effective SNR, as `dbp.ber` has them.

    ``samples``: of a block, 2 per symbol.
    """

    def __init__(self, roll_off: float, samples: int) -> None:
        pulse = root_raised_cosine(roll_off, 2, samples)
        self._pulse = torch.from_numpy(pulse).float()[:, None]

    def symbols(self, x: Tensor) -> Tensor:
        """Received symbols, complex, shape ``(samples / 2, blocks)``, in any unit."""
        i, q = x.float()
        spectrum = torch.fft.fft(torch.complex(i, q), dim=0) * self._pulse.to(x.device)
        first, second = spectrum.chunk(2)
        return torch.fft.ifft(first + second, dim=0)

    def loss(self, x: Tensor, sent: Tensor) -> Tensor:
        """1 / SNR: the mean squared error of the symbols relative to their power.

        One complex gain over all blocks, the best one, takes out the mean phase. ``sent``:
        complex, shape ``(samples / 2, blocks)``.
        """
        received = self.symbols(x)
        projection = torch.sum(received * sent.conj())
        energy = torch.sum(torch.view_as_real(received).square())
        reference = torch.sum(torch.view_as_real(sent).square())
        return 1 - torch.view_as_real(projection).square().sum() / (energy * reference)
