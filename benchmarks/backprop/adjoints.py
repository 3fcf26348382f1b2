"""Adjoints other than the exact one: truncated, sparse, masked, and through random taps.

Each is a function on what passes between two layers, the identity forward. `layers.receive` puts it
there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class _Hooked(torch.autograd.Function):
    """``apply(x, change)``: x forward, ``change(gradient)`` backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.change = change
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.change(gradient), None


def changed(x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The signal, whose adjoint becomes ``change`` of it."""
    return _Hooked.apply(x, change)


class Truncation:
    """Back-propagation through the last layers only, as many as bound the bias of the gradient.

    C. Aicher, N. Foti and E. Fox, "Adaptively truncating backpropagation through time to control
    gradient bias", UAI 2019, arXiv:1905.07473. With phi_k the norm of the gradient that lag k adds,
    and geometric decay phi_(k+1) <= beta phi_k beyond the lags that were looked at, the relative
    bias of a gradient cut behind lag K is at most

        delta(K) = (tail beyond K) / (sum of phi up to K - tail beyond K),

    and the smallest K with delta(K) <= tolerance is taken. Here a lag is a layer from the end. A
    chain has no shared weights: what is cut are the gradients of its first layers, which do not
    learn until a larger K. ``depth``: layers whose gradients are computed, None for a fixed one.
    """

    def __init__(self, layers: int, tolerance: float) -> None:
        self.layers, self.tolerance, self.depth = layers, tolerance, layers

    def __call__(self, x: Tensor, layer: int) -> Tensor:
        """Cut before the first of the last ``depth`` layers."""
        return x.detach() if layer == self.layers - self.depth else x

    def adapt(self, norms: np.ndarray) -> None:
        """Choose the depth from the norms of all layers' gradients, the last layer first."""
        self.depth = truncation_depth(norms, self.tolerance)


def decay(norms: np.ndarray) -> float:
    """The rate beta of geometric decay: the slope of the logarithms over the later half of lags."""
    later = norms[len(norms) // 2 :]
    if len(later) < 2 or (later <= 0).any():
        return 1.0
    return float(np.exp(np.polyfit(np.arange(len(later)), np.log(later), 1)[0]))


def truncation_depth(norms: np.ndarray, tolerance: float) -> int:
    """The smallest K whose bound on the relative bias, of `Truncation`, is within ``tolerance``.

    All lags where there is none. ``norms``: phi_0, phi_1, ... of lags that are all there are.
    """
    for depth in range(1, len(norms)):
        tail = float(norms[depth:].sum())
        # The measured tail, or what geometric decay from here would leave, whichever is more.
        beta = decay(norms)
        if beta < 1:
            left = norms[depth - 1] * beta * (1 - beta ** (len(norms) - depth)) / (1 - beta)
            tail = max(tail, float(left))
        head = float(norms[:depth].sum())
        if tail < head and tail <= tolerance * (head - tail):
            return depth
    return len(norms)


class MemorizedSparse:
    """Only the largest entries of an adjoint go on; the rest is kept and added the next time.

    Z. Zhang, P. Yang, X. Ren, Q. Su and X. Sun, "Memorized sparse backpropagation", 2019,
    arXiv:1905.10194: with g the adjoint of this step and m the
    memory of a layer, what goes on is s = top_k(g + m), and the memory becomes
    memory (g + m - s). ``share``: that of entries that go on; ``memory`` 0 is sparse
    back-propagation without memory (meProp, Sun et al., ICML 2017). The memory belongs to entries
    of the adjoint, so all steps must be of the same data.
    """

    def __init__(self, share: float, memory: float) -> None:
        self.share, self.memory = share, memory
        self._kept: dict[int, Tensor] = {}

    def __call__(self, x: Tensor, layer: int) -> Tensor:
        return changed(x, lambda gradient: self.sparse(gradient, layer))

    def sparse(self, gradient: Tensor, layer: int) -> Tensor:
        """What goes on of the adjoint that leaves ``layer`` towards the first one."""
        total = gradient + self._kept[layer] if layer in self._kept else gradient
        count = max(int(self.share * total.numel()), 1)
        size = total.abs().flatten()
        least = size.kthvalue(size.numel() - count + 1).values
        sent = torch.where(total.abs() >= least, total, 0.0)
        if self.memory:
            self._kept[layer] = self.memory * (total - sent)
        return sent


class Backdrop:
    """Some parts of the adjoint are masked at random, the forward pass is not.

    S. Golkar and K. Cranmer, "Backdrop: stochastic backpropagation", arXiv:1806.01337, section 2:
    the gradient is multiplied by a mask of independent Bernoulli variables and normalised by the
    share that is kept. ``by_block``: a mask entry for each block (their masking of samples of a
    batch) or for each received sample; ``keep``: the probability that it is 1.
    """

    def __init__(self, keep: float, by_block: bool, last: int, seed: int) -> None:
        self.keep, self.by_block, self._last = keep, by_block, last
        self._random = torch.Generator().manual_seed(seed)

    def __call__(self, x: Tensor, layer: int) -> Tensor:
        return changed(x, self.masked) if layer == self._last else x

    def masked(self, gradient: Tensor) -> Tensor:
        """The adjoint of what leaves the chain, masked."""
        shape = gradient.shape[2:] if self.by_block else gradient.shape[1:]
        mask = torch.rand(shape, generator=self._random) < self.keep
        return gradient * (mask / mask.float().mean().clamp(min=1e-9))


def random_taps(half_taps: Tensor, seed: int) -> Tensor:
    """Fixed random taps with the norm of each filter's own, to go back through.

    E. Neftci, C. Augustine, S. Paul and G. Detorakis, "Event-driven random back-propagation",
    Front. Neurosci. 11, 324 (2017): errors come back through fixed random weights in place of the
    transposed ones (T. Lillicrap et al., Nat. Commun. 7, 13276 (2016)).
    """
    random = torch.Generator().manual_seed(seed)
    taps = torch.randn(half_taps.shape, generator=random, dtype=half_taps.dtype)
    norm = half_taps.detach().square().sum((1, 2), keepdim=True).sqrt()
    return taps / taps.square().sum((1, 2), keepdim=True).sqrt() * norm
