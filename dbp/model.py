"""The split-step model of digital backpropagation as a torch module, in floating point.

A receiver filter is a chain of complex symmetric FIR filters with a Kerr rotation between each two
(Haeger and Pfister, "Nonlinear Interference Mitigation via Deep Neural Networks", OFC 2018).
`Model` computes it on circular blocks; `dbp.quantization.QuantizedModel` is its fixed-point form.

Signals are real tensors of shape ``(frames, 2, FRAME, blocks)``: `FRAME` successive samples of all
independent blocks lie together, I and Q apart. A filter is then one small matrix, a block of the
Toeplitz matrix of its taps, times every window of neighbouring frames, which needs no copy, and
torch's batched matrix product runs it at a third of the core's peak rate. Sums of the same
products in another order are still exact on codes, so the fixed-point form uses it too.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dbp.filters import FloatFilters
from dbp.modulation import root_raised_cosine

FRAME = 8


class Limits(NamedTuple):
    """The codes that a requantiser puts out: integers in ``low..high``."""

    low: int
    high: int


def requantise_(x: Tensor, limits: Limits) -> Tensor:
    """Round ties towards +infinity, then saturate, in place."""
    return x.add_(0.5).floor_().clamp_(*limits)


def to_frames(waveform: NDArray[np.complexfloating], dtype: torch.dtype = torch.float32) -> Tensor:
    """Complex blocks, shape ``(blocks, samples)``, to a signal of the model.

    ``samples`` must be a multiple of `FRAME`.
    """
    blocks, samples = waveform.shape
    if samples % FRAME:
        raise ValueError(f"{samples} samples per block: must be a multiple of {FRAME}")
    parts = torch.from_numpy(np.stack((waveform.real, waveform.imag))).to(dtype)
    return parts.view(2, blocks, -1, FRAME).permute(2, 0, 3, 1).contiguous()


def from_frames(x: Tensor) -> NDArray[np.complexfloating]:
    """The inverse of `to_frames`."""
    parts = x.detach().permute(1, 3, 0, 2).flatten(2).numpy()
    return parts[0] + 1j * parts[1]


def toeplitz(half_taps: Tensor) -> Tensor:
    """A block of every filter's Toeplitz matrix, shape ``(filters, 2 FRAME, window * 2 FRAME)``.

    ``half_taps``: shape ``(filters, half, 2)``, real and imaginary parts, outermost tap first. The
    window is the frame itself and those before and after it that the filter reaches.
    """
    filters, half, _ = half_taps.shape
    basis = _basis(half).to(half_taps)
    return (half_taps.reshape(filters, -1) @ basis.flatten(1)).view(filters, *basis.shape[1:])


def _reach(half: int) -> int:
    """Frames on each side that a filter of ``2 * half - 1`` taps reads."""
    return -(-(half - 1) // FRAME)


@functools.cache
def _basis(half: int) -> Tensor:
    """The Toeplitz block of each half tap, of value 1 and of value j."""
    reach = _reach(half)
    basis = torch.zeros(half, 2, 2, FRAME, 2 * reach + 1, 2, FRAME)
    for out in range(FRAME):
        for source in range(out - half + 1, out + half):
            tap = half - 1 - abs(out - source)
            frame, place = reach + source // FRAME, source % FRAME
            basis[tap, 0, 0, out, frame, 0, place] = 1
            basis[tap, 0, 1, out, frame, 1, place] = 1
            basis[tap, 1, 0, out, frame, 1, place] = -1
            basis[tap, 1, 1, out, frame, 0, place] = 1
    return basis.view(2 * half, 2 * FRAME, -1)


@functools.cache
def _conjugate(half: int) -> Tensor:
    """Signs that turn a Toeplitz block into that of the conjugate taps."""
    real, imaginary = _basis(half).view(half, 2, -1).abs().sum(0)
    return (real - imaginary).view(2 * FRAME, -1)


def _windows(x: Tensor, reach: int) -> Tensor:
    """Every frame with its neighbours, shape ``(frames - 2 reach, window * 2 FRAME, blocks)``."""
    frames, _, _, blocks = x.shape
    size = (frames - 2 * reach, (2 * reach + 1) * 2 * FRAME, blocks)
    return x.as_strided(size, (2 * FRAME * blocks, blocks, 1))


def _ends(x: Tensor, reach: int) -> Tensor:
    """The frames around the seam of the circle, the last ones first."""
    return torch.cat((x[-2 * reach :], x[: 2 * reach])) if reach else x[:0]


def _convolve(x: Tensor, ends: Tensor, matrix: Tensor, reach: int) -> Tensor:
    """Circular product of contiguous ``x`` with a Toeplitz block, same shape back."""
    y = torch.empty_like(x)
    frames = y.view(y.shape[0], 2 * FRAME, -1)
    inner = frames[reach : frames.shape[0] - reach]
    torch.bmm(matrix.expand(inner.shape[0], -1, -1), _windows(x, reach), out=inner)
    if reach:
        seam = torch.bmm(matrix.expand(2 * reach, -1, -1), _windows(ends, reach))
        frames[-reach:], frames[:reach] = seam[:reach], seam[reach:]
    return y


class Convolve(torch.autograd.Function):
    """Filter circular blocks; requantise where ``limits`` are given, a straight-through estimate.

    ``apply(x, matrix, half, limits)`` with a matrix of `toeplitz` of ``half`` taps.
    """

    @staticmethod
    def forward(ctx, x, matrix, half, limits):
        reach = _reach(half)
        if x.shape[0] < 2 * reach + 1:
            raise ValueError(f"blocks of {x.shape[0] * FRAME} samples for {2 * half - 1} taps")
        ends = _ends(x, reach)
        ctx.save_for_backward(x, ends, matrix)
        ctx.half = half
        y = _convolve(x, ends, matrix, reach)
        return y if limits is None else requantise_(y, limits)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, ends, matrix = ctx.saved_tensors
        reach, gradient = _reach(ctx.half), gradient.contiguous()
        around = _ends(gradient, reach)
        # The taps are symmetric, so the adjoint is the filter of the conjugate taps.
        adjoint = matrix * _conjugate(ctx.half).to(matrix)
        gradient_x = _convolve(gradient, around, adjoint, reach)
        frames = gradient.view(gradient.shape[0], 2 * FRAME, -1)
        inner = frames[reach : frames.shape[0] - reach]
        gradient_matrix = torch.bmm(inner, _windows(x, reach).mT).sum(0)
        if reach:
            seam = torch.cat((frames[-reach:], frames[:reach]))
            gradient_matrix += torch.bmm(seam, _windows(ends, reach).mT).sum(0)
        return gradient_x, gradient_matrix, None, None


class Rotate(torch.autograd.Function):
    """y = x exp(j kerr \\|x\\|^2), ``apply(x, kerr)``."""

    @staticmethod
    def forward(ctx, x, kerr):
        i, q = x[:, 0], x[:, 1]
        power = torch.addcmul(i * i, q, q)
        phase = power * kerr
        cos, sin = torch.cos(phase), torch.sin(phase)
        y = torch.empty_like(x)
        torch.mul(i, cos, out=y[:, 0]).addcmul_(q, sin, value=-1)
        torch.mul(q, cos, out=y[:, 1]).addcmul_(i, sin)
        ctx.save_for_backward(x, y, power, cos, sin, kerr)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, y, power, cos, sin, kerr = ctx.saved_tensors
        gi, gq = gradient[:, 0], gradient[:, 1]
        gradient_phase = torch.addcmul(gq * y[:, 0], gi, y[:, 1], value=-1)
        gradient_kerr = torch.sum(gradient_phase * power)
        gradient_x = torch.empty_like(x)
        torch.mul(gi, cos, out=gradient_x[:, 0]).addcmul_(gq, sin)
        torch.mul(gq, cos, out=gradient_x[:, 1]).addcmul_(gi, sin, value=-1)
        gradient_x.addcmul_(x, gradient_phase.mul_(2 * kerr).unsqueeze(1))
        return gradient_x, gradient_kerr


class Model(nn.Module):
    """A receiver filter in floating point whose taps and Kerr constants can be learned.

    ``half_taps``: shape ``(filters, half, 2)``, as in `toeplitz`; filters shorter than the longest
    have zeros outside, which are learned too. ``kerr``: as ``FloatFilters.kerr_rad_per_mw``.
    """

    def __init__(self, filters: FloatFilters) -> None:
        super().__init__()
        self.half_taps = nn.Parameter(half_taps(filters))
        self.kerr = nn.Parameter(torch.tensor(filters.kerr_rad_per_mw, dtype=torch.float32))

    def forward(self, x: Tensor, launch_power_mw: float) -> Tensor:
        """Receive a signal of mean power 1; same shape back, without delay."""
        kerr = (self.kerr * launch_power_mw).unbind()
        for k, matrix in enumerate(toeplitz(self.half_taps).unbind()):
            if k:
                x = Rotate.apply(x, kerr[k - 1])
            x = Convolve.apply(x, matrix, self.half_taps.shape[1], None)
        return x

    def filters(self) -> FloatFilters:
        """The taps and Kerr constants as they are now."""
        halves = torch.view_as_complex(self.half_taps.detach().double()).numpy()
        return FloatFilters(
            tuple(np.concatenate((half, half[-2::-1])) for half in halves),
            self.kerr.detach().double().numpy(),
        )


def half_taps(filters: FloatFilters) -> Tensor:
    """``Model.half_taps`` of given filters."""
    half = max(taps.size for taps in filters.taps) // 2 + 1
    out = np.zeros((len(filters.taps), half, 2))
    for row, taps in zip(out, filters.taps, strict=True):
        own = taps[: taps.size // 2 + 1]
        row[half - own.size :] = np.stack((own.real, own.imag), axis=-1)
    return torch.tensor(out, dtype=torch.float32)


class Detector:
    """Matched filter, symbol timing and the effective SNR, as `dbp.ber` has them.

    ``samples``: of a block, 2 per symbol.
    """

    def __init__(self, roll_off: float, samples: int) -> None:
        pulse = root_raised_cosine(roll_off, 2, samples)
        self._pulse = torch.from_numpy(pulse).float()[:, None]

    def symbols(self, x: Tensor) -> Tensor:
        """Received symbols, complex, shape ``(samples / 2, blocks)``, in any unit."""
        parts = x.float().transpose(1, 2).flatten(0, 1)
        spectrum = torch.fft.fft(torch.complex(parts[:, 0], parts[:, 1]), dim=0) * self._pulse
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
