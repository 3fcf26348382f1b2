"""Solve the fibre's equation on torch: any length, precision, device and polarisations.

The equation, its constants and the operators of the split steps are in `dbp.link.fiber`.

`dbp.link._split_step_kernels` is its fast form for short blocks of one polarisation on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dbp.link import _jones_kernels, _split_step_kernels
from dbp.link.fiber import MANAKOV, Fiber, operators
from dbp.link.polarization import turned


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

    def __call__(
        self, spectrum: Tensor, rows: Iterable[NDArray[np.complex128] | None] = repeat(None)
    ) -> Tensor:
        """Spectrum at the input to spectrum at the output.

        Complex, shape ``(..., samples)``, or ``(..., 2, samples)`` with ``manakov``:
        `torch.fft.fft` of the field in sqrt(W), without normalisation. Returns a new tensor of the
        same shape. ``rows``: for each of the pieces of fibre of `fiber.pieces_km` the matrices of
        its birefringence (`dbp.link.polarization.Birefringence.pieces`), with ``manakov`` only.
        """
        following = iter(rows)
        spectrum = _through(spectrum.clone(), self._linear[0], next(following))
        for kerr_per_w, linear in zip(self._kerr_per_w, self._linear[1:], strict=True):
            field = torch.fft.ifft(spectrum)
            spectrum = torch.fft.fft(rotate_(field, kerr_per_w, self._manakov))
            spectrum = _through(spectrum, linear, next(following))
        return spectrum


def _through(spectrum: Tensor, linear: Tensor, row: NDArray[np.complex128] | None) -> Tensor:
    """Multiply by a linear operator, and by Jones matrices if there are any; may be in place."""
    if row is None:
        return spectrum.mul_(linear)
    of_type = torch.from_numpy(row).to(dtype=spectrum.dtype, device=spectrum.device)
    if spectrum.device.type != "cpu":
        return _turned(spectrum.mul_(linear), of_type)
    fields = spectrum.view(-1, 2, spectrum.shape[-1])
    _jones_kernels.apply(fields.numpy(), of_type.numpy(), linear.numpy())
    return spectrum


def _turned(spectrum: Tensor, row: Tensor) -> Tensor:
    """Do as `dbp.link._jones_kernels.apply`, on any device, without its common factor."""
    first, second = row
    below = torch.stack([-second.conj(), first.conj()])
    return turned(torch.stack([row, below]), spectrum)


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
            _split_step_kernels.rotate_both(parts.view(shape).numpy(), np.float32(kerr_per_w))
        else:
            _split_step_kernels.rotate(parts.view(-1).numpy(), np.float32(kerr_per_w))
        return field
    squares = parts * parts
    phase = torch.add(squares[..., 0], squares[..., 1]).mul_(kerr_per_w)
    if manakov:
        phase[...] = phase.sum(-2, keepdim=True)
    torch.cos(phase, out=squares[..., 0])
    torch.sin(phase, out=squares[..., 1])
    return field.mul_(torch.view_as_complex(squares))
