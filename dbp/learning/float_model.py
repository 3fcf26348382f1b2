"""The receiver's chain of filters and rotations as a torch module, in floating point.

A receiver filter is a chain of complex symmetric FIR filters with a Kerr rotation between every two
(Haeger and Pfister, "Nonlinear Interference Mitigation via Deep Neural Networks", OFC 2018).
`Model` computes it on circular blocks; `dbp.learning.quantized_model.QuantizedModel` is its
fixed-point form. Both have two forms of equal results: on a CPU the compiled
`dbp.learning._chain_kernels`, and on any device, and as their check, torch's own operations.

A signal is a real tensor of shape ``(2, samples, blocks)``: I and Q apart, the same sample of all
independent blocks together. With two polarisations each block has two neighbouring columns, x and
y: shape ``(2, samples, 2 * blocks)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from dbp.learning import _chain_kernels, recomputation
from dbp.learning._chain_kernels import SIMD_BLOCKS, Arithmetic
from dbp.learning.export import kerr_share
from dbp.learning.float_filters import FloatFilters
from dbp.link.modulation import root_raised_cosine


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Convolutions on a GPU in full float32 and the same in every run, while this is entered.

    Learning on a GPU needs both: the 11 bits of TF32, cuDNN's default, do not hold the codes of
    `dbp.learning.quantized_model`, and some of its gradients differ from run to run. The flags are
    torch's own and global: they are what they were afterwards.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32, cudnn.deterministic
    cudnn.allow_tf32, cudnn.deterministic = False, True
    try:
        yield
    finally:
        cudnn.allow_tf32, cudnn.deterministic = before


def to_signal(waveform: NDArray[np.complexfloating], dtype: torch.dtype = torch.float32) -> Tensor:
    """Complex blocks, shape ``(blocks, samples)``, to a signal of the model.

    Also ``(blocks, 2, samples)``, of two polarisations.
    """
    waveform = waveform.reshape(-1, waveform.shape[-1])
    return torch.from_numpy(np.stack((waveform.real.T, waveform.imag.T))).to(dtype)


def from_signal(x: Tensor) -> NDArray[np.complexfloating]:
    """The columns of a signal, shape ``(columns, samples)``: `to_signal` undone."""
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


def float_filters(
    half_taps: Tensor,
    halves: Sequence[int],
    kerr_rad_per_mw: Tensor,
    samples_per_symbol: Fraction = Fraction(2),
) -> FloatFilters:
    """The inverse of `half_taps`, with Kerr constants as `FloatFilters` has them.

    ``halves``: how many half taps each filter has.
    """
    rows = torch.view_as_complex(half_taps.detach().double().cpu().contiguous()).numpy()
    own = (row[row.size - half :] for row, half in zip(rows, halves, strict=True))
    return FloatFilters(
        tuple(np.concatenate((half, half[-2::-1])) for half in own),
        kerr_rad_per_mw.detach().double().cpu().numpy(),
        samples_per_symbol,
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
    _check_length(x.shape[-1], half.shape[0])
    return functional.conv1d(functional.pad(x, (reach, reach), mode="circular"), weight)


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """(cosine + j sine) x; ``x``: shape ``(blocks, 2, samples)``."""
    i, q = x[:, :1], x[:, 1:]
    return torch.cat((cosine * i - sine * q, cosine * q + sine * i), 1)


def shared(power: Tensor, polarizations: int) -> Tensor:
    """With two polarisations the sum of each two neighbours along the first axis, for both."""
    if polarizations == 1:
        return power
    both = power.unflatten(0, (-1, 2))
    return both.sum(1, keepdim=True).expand_as(both).flatten(0, 1)


class _Chain(torch.autograd.Function):
    """The compiled chain, ``apply(x, half_taps, half_kerr, arithmetic, differentiable)``."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        half_taps: Tensor,
        half_kerr: Tensor,
        arithmetic: Arithmetic,
        differentiable: bool,
    ) -> Tensor:
        operands = _operands(x, half_taps, half_kerr)
        _, rows, blocks = x.shape
        chunks, length = -(-blocks // SIMD_BLOCKS), rows * SIMD_BLOCKS
        shape = (chunks, len(half_kerr), 2, length) if differentiable else (0, 0, 0, 0)
        kept = np.empty(shape, operands[0].dtype)
        y = _chain_kernels.forward(*operands, arithmetic, kept)
        ctx.operands, ctx.arithmetic, ctx.kept = operands, arithmetic, kept
        return torch.from_numpy(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, *constants = ctx.operands
        by_output = gradient.contiguous().numpy()
        gradients = _chain_kernels.adjoint(x, by_output, *constants, ctx.arithmetic, ctx.kept)
        with np.errstate(over="ignore"):  # `gauss_newton.Objective.slope` looks at the result
            cast = [torch.from_numpy(g.astype(x.dtype, copy=False)) for g in gradients]
        return *cast, None, None


def _operands(*tensors: Tensor) -> list[NDArray]:
    """Signal, half taps and half Kerr constants for `dbp.learning._chain_kernels`."""
    x, half_taps, half_kerr = operands = [t.detach().contiguous().numpy() for t in tensors]
    if not x.dtype == half_taps.dtype == half_kerr.dtype:
        raise TypeError(f"a signal of {x.dtype} in a model of {half_taps.dtype}")
    _check_length(x.shape[1], max(half_taps.shape[1], half_kerr.shape[1]))
    return operands


def _check_length(samples: int, half: int) -> None:
    if samples < 2 * half - 1:
        raise ValueError(f"blocks of {samples} samples for {2 * half - 1} taps")


def receive(x: Tensor, half_taps: Tensor, half_kerr: Tensor, arithmetic: Arithmetic) -> Tensor:
    """A signal on the CPU through the compiled chain, differentiable (`_chain_kernels.forward`)."""
    if x.shape[2] % arithmetic.polarizations:
        raise ValueError(f"{x.shape[2]} columns: must be pairs, x and y")
    return _Chain.apply(x, half_taps, half_kerr, arithmetic, torch.is_grad_enabled())


class Tangents:
    """The derivative of the received signal by every parameter of a model, filter by filter.

    Entry n below the number of filters belongs to filter n, those after it to the rotations, so
    that all of them are in the order of `Chain.parameters_of`. An
    entry has the shape ``(2, samples, parameters, blocks)``. It is computed when asked for; threads
    may ask side by side. ``scales``: the derivative of the chain's taps and Kerr constants by the
    model's parameters, element by element.
    """

    def __init__(
        self,
        x: Tensor,
        half_taps: Tensor,
        half_kerr: Tensor,
        arithmetic: Arithmetic,
        scales: tuple[Tensor, Tensor],
    ) -> None:
        signal, *constants = _operands(x, half_taps, half_kerr)
        self._constants, self._arithmetic = constants, arithmetic
        self._chain = _chain_kernels.linearize(signal, *constants, arithmetic)
        self._shape = signal.shape
        lengths = (arithmetic.halves, arithmetic.kerr_halves)
        self._scales = [
            row[len(row) - half :].flatten()[:, None]
            for scale, halves in zip(scales, lengths, strict=True)
            for row, half in zip(scale.detach().unbind(), halves.tolist(), strict=True)
        ]

    def __len__(self) -> int:
        return len(self._scales)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[n] for n in range(len(self)))

    def __getitem__(self, n: int) -> Tensor:
        if not 0 <= n < len(self):
            raise IndexError(n)
        scale = self._scales[n]
        parts, rows, blocks = self._shape
        out = np.empty((parts, rows, len(scale), blocks), self._constants[0].dtype)
        filters = len(self._constants[0])
        operands = (*self._constants, self._arithmetic, self._chain, out)
        if n < filters:
            _chain_kernels.tap_tangents(n, *operands)
        else:
            _chain_kernels.kerr_tangents(n - filters, *operands)
        return torch.from_numpy(out).mul_(scale)


class Chain(nn.Module):
    """What the models of a chain share: taps and Kerr constants, and which of them are learned.

    ``half_taps``: shape ``(filters, half, 2)``, as the function of that name gives it; ``kerr``:
    shape ``(rotations, half)``. ``halves`` and ``kerr_halves`` of each row, its last ones, belong
    to a filter or a rotation, True in ``own_taps`` and ``own_kerr``; what is outside of a short
    one stays zero and is no parameter. ``polarizations``: how many columns of a signal share their
    power. ``memory``: bytes that a derivative in torch's own operations may keep, at the price of
    computing some of them again; None for as many as it takes.
    """

    own_taps: Tensor
    own_kerr: Tensor
    memory: int | None = None

    def __init__(
        self,
        half_taps: Tensor,
        kerr: Tensor,
        halves: Sequence[int],
        kerr_halves: Sequence[int],
        polarizations: int,
    ) -> None:
        super().__init__()
        self.polarizations = polarizations
        self.half_taps, self.kerr = nn.Parameter(half_taps), nn.Parameter(kerr)
        self.halves, self.kerr_halves = (np.array(n, np.int64) for n in (halves, kerr_halves))
        for name, rows, lengths in (
            ("own_taps", half_taps, self.halves),
            ("own_kerr", kerr, self.kerr_halves),
        ):
            place = torch.arange(rows.shape[1] - 1, -1, -1)
            own = place < torch.from_numpy(lengths)[:, None]
            self.register_buffer(name, own, persistent=False)

    @property
    def tap_parameters(self) -> int:
        """Real parameters of all half taps; those of the Kerr constants come after them."""
        return 2 * int(self.halves.sum())

    def parameters_of(self, half_taps: Tensor, kerr: Tensor) -> NDArray[np.float64]:
        """Those entries of tensors like ``half_taps`` and ``kerr`` that are parameters, flat."""
        parts = self.taps_of(half_taps), kerr.detach()[self.own_kerr].double().cpu().numpy()
        return np.concatenate(parts)

    def taps_of(self, like_half_taps: Tensor) -> NDArray[np.float64]:
        """Those entries of a tensor that spreads over ``half_taps`` which are parameters, flat."""
        spread = like_half_taps.detach().expand(self.half_taps.shape)
        return spread[self.own_taps].double().cpu().numpy().ravel()

    def set_parameters(self, values: NDArray[np.float64]) -> None:
        """Take values in the order of `parameters_of`."""
        taps, kerr = torch.from_numpy(values).split(
            [self.tap_parameters, values.size - self.tap_parameters]
        )
        with torch.no_grad():
            self.half_taps[self.own_taps] = taps.view(-1, 2).to(self.half_taps)
            self.kerr[self.own_kerr] = kerr.to(self.kerr)

    def _through(
        self, layer: Callable[[int, Tensor], Tensor], x: Tensor, constants: Sequence[Tensor]
    ) -> Tensor:
        """A signal through all layers in torch's own operations, within the ``memory``.

        ``layer``: filter ``k`` and the rotation in front of it, on signals of the shape
        ``(blocks, 2, samples)``; ``constants``: what it takes of the model.
        """
        layers = [partial(layer, k) for k in range(len(self.half_taps))]
        x = x.permute(2, 0, 1)
        if self.memory is None or not torch.is_grad_enabled():
            starts = [0]
        else:
            starts = recomputation.starts_within(self.memory, layers, x, self.polarizations)
        return recomputation.run(layers, x, starts, constants).permute(1, 2, 0)


class Model(Chain):
    """A receiver filter in floating point whose taps and Kerr constants can be learned.

    ``kerr``: as ``FloatFilters.kerr_rad_per_mw``, the constants of one polarisation, with two
    ``polarizations`` too.
    """

    def __init__(self, filters: FloatFilters, polarizations: int = 1) -> None:
        rotations, half_kerr = filters.kerr_rad_per_mw.shape
        super().__init__(
            half_taps(filters),
            torch.tensor(filters.kerr_rad_per_mw, dtype=torch.float32),
            [taps.size // 2 + 1 for taps in filters.taps],
            [half_kerr] * rotations,
            polarizations,
        )
        self._rate = filters.samples_per_symbol
        self._arithmetic = Arithmetic(
            False,
            np.zeros((len(filters.taps), 2), np.float32),
            np.zeros(len(self.kerr), _chain_kernels.format_type(np.float32)),
            self.halves,
            self.kerr_halves,
            polarizations,
        )

    def forward(self, x: Tensor, launch_power_mw: float) -> Tensor:
        """Receive a signal of mean power 1; same shape back, without delay."""
        if x.device.type != "cpu":
            return self.plain(x, launch_power_mw)
        kerr = self.kerr * self._power(launch_power_mw)
        return receive(x, self.half_taps, kerr, self._arithmetic)

    def _power(self, launch_power_mw: float) -> float:
        """What the constants of one polarisation are multiplied by."""
        return launch_power_mw * kerr_share(self.polarizations)

    def plain(self, x: Tensor, launch_power_mw: float) -> Tensor:
        """`forward` in torch's own operations, on any device."""
        kerr = self.kerr * self._power(launch_power_mw)

        def layer(k: int, x: Tensor) -> Tensor:
            if k:
                power = shared(x.square().sum(1, keepdim=True), self.polarizations)
                phase = convolve(power, kerr[k - 1, :, None])
                x = rotate(x, torch.cos(phase), torch.sin(phase))
            return convolve(x, self.half_taps[k])

        return self._through(layer, x, (self.half_taps, kerr))

    def tangents(self, x: Tensor, launch_power_mw: float) -> Tangents:
        """The derivative of `forward`, a signal on the CPU, by ``half_taps`` and ``kerr``."""
        power = torch.tensor(self._power(launch_power_mw), dtype=torch.float32)
        return Tangents(
            x,
            self.half_taps,
            self.kerr * power,
            self._arithmetic,
            (torch.ones_like(self.half_taps), power.expand_as(self.kerr)),
        )

    def filters(self) -> FloatFilters:
        """The taps and Kerr constants as they are now."""
        return float_filters(self.half_taps, self.halves.tolist(), self.kerr, self._rate)


class Detector:
    """Matched filter, symbol timing and the effective SNR, as `dbp.evaluation.measures` has them.

    ``samples``: those of a block, ``samples_per_symbol`` of them a symbol. ``edge_symbols``: at
    each end, which are left out: where blocks are no circles, filters spoil them.
    """

    def __init__(
        self,
        roll_off: float,
        samples: int,
        samples_per_symbol: Fraction = Fraction(2),
        edge_symbols: int = 0,
    ) -> None:
        pulse = root_raised_cosine(roll_off, float(samples_per_symbol), samples)
        self._pulse = torch.from_numpy(pulse).float()[:, None]
        self._symbols = int(samples / samples_per_symbol)
        self._inside = slice(edge_symbols, self._symbols - edge_symbols)

    def symbols(self, x: Tensor) -> Tensor:
        """Received symbols, complex, shape ``(symbols, blocks)``, in any unit."""
        i, q = x.float()
        spectrum = torch.fft.fft(torch.complex(i, q), dim=0) * self._pulse.to(x.device)
        first, second = self._doubled(spectrum).chunk(2)
        return torch.fft.ifft(first + second, dim=0)[self._inside]

    def _doubled(self, spectrum: Tensor) -> Tensor:
        """As `dbp.link.resampling.resized`, to 2 bins a symbol: the pulse has no more."""
        have, bins = spectrum.shape[0], 2 * self._symbols
        if have == bins:
            return spectrum
        above, below = (min(have, bins) + 1) // 2, min(have, bins) // 2
        zeros = spectrum.new_zeros((bins - above - below, spectrum.shape[1]))
        return torch.cat((spectrum[:above], zeros, spectrum[have - below :]))

    def loss(self, x: Tensor, sent: Tensor) -> Tensor:
        """1 / SNR: the mean squared error of the symbols relative to their power.

        One complex gain over all blocks, the best one, takes out the mean phase. ``sent``:
        complex, shape ``(symbols, blocks)``.
        """
        received = self.symbols(x)
        projection = torch.sum(received * sent.conj())
        energy = torch.sum(torch.view_as_real(received).square())
        reference = torch.sum(torch.view_as_real(sent).square())
        return 1 - torch.view_as_real(projection).square().sum() / (energy * reference)
