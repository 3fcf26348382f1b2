"""Differentiation of a chain in less memory: what was computed is computed again.

Behind a layer torch keeps what its derivative needs, some 15 numbers a sample, until the backward
pass comes back to it. Where that is too much, the chain is cut into segments: only the signal at
each cut is kept, and a segment is computed again, in the backward pass, from the signal in front of
it (T. Chen et al., "Training deep nets with sublinear memory cost", arXiv:1604.06174). The last
segment is differentiated at once, so it is computed only once.

Which cuts cost the least time within a memory is found by dynamic programming on general graphs (M.
Kusumoto et al., "A graph theoretic framework of recomputation algorithms for memory-efficient
backpropagation", NeurIPS 2019, arXiv:1905.11722). A chain whose signals all have one size leaves
little of it: n segments leave ``memory - n signal`` for what one of them keeps, all layers but
those of the last segment are computed twice, and so the fewest segments that fit, filled from the
end, cost the least.

Layers compute the same operations on the same numbers again, so gradients are the same to the last
bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dbp.errors import InputError

Layer = Callable[[Tensor], Tensor]


def segments(kept: Sequence[int], signal: int, memory: int) -> list[int] | None:
    """Where the segments of a chain begin, the first at 0, so that it needs at most ``memory``.

    ``kept``: bytes that each layer keeps for its derivative; ``signal``: bytes of the signal
    between two layers. The fewest layers are computed twice. None where no cuts are enough.
    """
    for count in range(1, len(kept) + 1):
        starts, room = [len(kept)], 0
        for layer in range(len(kept) - 1, -1, -1):
            if kept[layer] > memory - count * signal:
                return None  # more segments leave it even less
            if starts[-1] == len(kept) or kept[layer] > room:
                starts.append(layer)
                room = memory - count * signal
            starts[-1] = layer
            room -= kept[layer]
        if len(starts) - 1 <= count:
            return starts[:0:-1]
    return None


def starts_within(memory: int, layers: Sequence[Layer], x: Tensor, together: int = 1) -> list[int]:
    """`segments` of layers that receive signals like ``x``, blocks along the first axis.

    What a layer keeps is measured on as many blocks as belong ``together``. Raises `InputError`
    where no cuts are enough.
    """
    blocks, few = len(x), x[:together]
    kept = [blocks // together * kept_bytes(layer, few) for layer in layers]
    signal = x.numel() * x.element_size()
    starts = segments(kept, signal, memory)
    if starts is None:
        least = min(n * signal + max(_evenly(kept, n)) for n in range(1, len(kept) + 1))
        raise InputError(
            f"memory_gib: leaves {memory / 2**20:.3g} MiB for each batch that is differentiated: "
            f"must be at least {least / 2**20:.3g} MiB, for {blocks} blocks through {len(layers)} "
            "filters; give more, or lower training.block_symbols"
        )
    return starts


def _evenly(kept: Sequence[int], count: int) -> list[int]:
    """What segments keep, at most ``count`` of them with as many layers each."""
    size = -(-len(kept) // count)
    return [sum(kept[n : n + size]) for n in range(0, len(kept), size)]


def kept_bytes(layer: Layer, x: Tensor) -> int:
    """Bytes that torch keeps for the derivative of a layer, of all that it makes of ``x``."""
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = layer(x.detach().requires_grad_())
    sizes.pop(x.untyped_storage().data_ptr(), None)
    del y
    return sum(sizes.values())


def run(
    layers: Sequence[Layer], x: Tensor, starts: Sequence[int], constants: Sequence[Tensor]
) -> Tensor:
    """A signal through all layers; those of all segments but the last are computed again.

    ``constants``: all tensors beside the signal that layers compute with and that want gradients.
    """
    ends = [*starts[1:], len(layers)]
    for first, end in zip(starts, ends, strict=True):
        segment = layers[first:end]
        again = end < len(layers) and torch.is_grad_enabled()
        x = _Again.apply(segment, x, *constants) if again else _through(segment, x)
    return x


class _Again(torch.autograd.Function):
    """``apply(layers, x, *constants)``: a segment that is computed again in the backward pass."""

    # Not torch.utils.checkpoint, which does the same: its first call loads torch's compiler, which
    # takes longer than many a test.

    @staticmethod
    def forward(ctx: Any, layers: Sequence[Layer], x: Tensor, *constants: Tensor) -> Tensor:
        ctx.layers = layers
        ctx.save_for_backward(x, *constants)
        return _through(layers, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, *constants = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            y = _through(ctx.layers, x)
        return None, *torch.autograd.grad(y, (x, *constants), gradient, allow_unused=True)


def _through(layers: Sequence[Layer], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x
