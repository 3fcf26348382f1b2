"""The receiver's chain layer by layer, so that what passes between its layers can be changed.

`dbp.learning.float_model` and `dbp.learning.quantized_model` compute the whole chain in one
compiled call, forward and backward. The methods of this study change what happens in between: the
slope of a quantizer, the adjoint that a layer hands to the one before it, the taps that it goes
back through. Here each filter is one compiled call, and the rest are torch's operations. Outputs
equal those of `QuantizedModel` to the last bit, and gradients those of its straight-through ones
but for the order of sums. Every method that is built on this pays the same for it, and the study
also runs Adam on the chain in one call, to say how much that is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dbp.learning import _chain_kernels
from dbp.learning._chain_kernels import FORMAT, SIMD_BLOCKS, Arithmetic
from dbp.learning.float_model import Model
from dbp.learning.quantized_model import QuantizedModel

# What a quantizer is: ``quantizer(x, low, high)`` rounds and saturates with gradients of its own.
Quantizer = Callable[[Tensor, float, float], Tensor]
# What may be done to a signal between two layers, by the number of the layer that it enters.
Between = Callable[[Tensor, int], Tensor]


class _Filter(torch.autograd.Function):
    """``apply(x, half, back)``: one symmetric filter whose adjoint goes through ``back``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, half: Tensor, back: Tensor) -> Tensor:
        operands = [t.detach().contiguous().numpy() for t in (x, half[None], back[None])]
        ctx.operands = operands
        arithmetic, kerr = _alone(operands[0].dtype, len(half))
        nothing_kept = np.empty((0, 0, 0, 0), operands[0].dtype)
        y = _chain_kernels.forward(*operands[:2], kerr, arithmetic, nothing_kept)
        return torch.from_numpy(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, half, back = ctx.operands
        arithmetic, kerr = _alone(x.dtype, half.shape[1])
        kept = np.empty((-(-x.shape[2] // SIMD_BLOCKS), 0, 2, x.shape[1] * SIMD_BLOCKS), x.dtype)
        by_output = gradient.contiguous().numpy()
        by_x, by_taps, _ = _chain_kernels.adjoint(x, by_output, back, kerr, arithmetic, kept)
        return torch.from_numpy(by_x), torch.from_numpy(by_taps[0].astype(x.dtype)), None


def _alone(dtype: Any, half: int) -> tuple[Arithmetic, np.ndarray]:
    """The arithmetic of a single filter that does not round, and its empty Kerr constants."""
    arithmetic = Arithmetic(
        False,
        np.zeros((1, 2), dtype),
        np.zeros(0, _chain_kernels.format_type(dtype)),
        np.array([half], np.int64),
        np.zeros(0, np.int64),
        1,
    )
    return arithmetic, np.zeros((0, 1), dtype)


def filtered(x: Tensor, half: Tensor, back: Tensor | None = None) -> Tensor:
    """A signal through a filter of ``half`` taps; its adjoint goes back through ``back``."""
    return _Filter.apply(x, half, half if back is None else back)


def _over_power(power: Tensor, half: Tensor) -> Tensor:
    """sum_m K_m (p)_m along the samples; ``power``: shape ``(samples, blocks)``."""
    *outer, centre = half.unbind()
    total = centre * power
    for distance, k in enumerate(reversed(outer), 1):
        total = total + k * (torch.roll(power, distance, 0) + torch.roll(power, -distance, 0))
    return total


def rotated(x: Tensor, half_kerr: Tensor) -> Tensor:
    """A signal rotated by its own filtered power, in floating point."""
    phase = _over_power(x.square().sum(0), half_kerr)
    cosine, sine = torch.cos(phase), torch.sin(phase)
    return torch.stack((cosine * x[0] - sine * x[1], cosine * x[1] + sine * x[0]))


class _Exactly(torch.autograd.Function):
    """``apply(x, exact, slope)``: forward the exact value, backward the gradient times a slope."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, exact: Tensor, slope: Tensor | float) -> Tensor:
        ctx.slope = slope
        return exact

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient * ctx.slope, None, None


def with_slope(x: Tensor, exact: Tensor, slope: Tensor | float = 1.0) -> Tensor:
    """The exact value, whose derivative by x is said to be ``slope``."""
    return _Exactly.apply(x, exact, slope)


def _rotated_codes(
    x: Tensor, half_kerr: Tensor, fmt: dict[str, float], quantizer: Quantizer
) -> Tensor:
    """`dbp.datapath.golden.rotate` on codes; as `quantized_model` has it."""
    scale, unit = fmt["branch_scale"], fmt["phase_unit"]
    branch = torch.floor(x.detach() * scale)
    exact = (branch * (branch + fmt["branch_middle"])).sum(0) - fmt["power_offset"]
    power = with_slope((x * scale).square().sum(0), exact)
    phase = _over_power(power, half_kerr)
    phase = quantizer(phase, fmt["phase_low"], fmt["phase_high"]) * unit
    cosine = torch.ones_like(phase)
    if fmt["taylor_order"] == 2:
        half_square = phase.square() / 2
        cosine = cosine - unit * quantizer(half_square / unit, -math.inf, math.inf)
    y = torch.stack((cosine * x[0] - phase * x[1], cosine * x[1] + phase * x[0]))
    return quantizer(y * fmt["output_scale"], fmt["output_low"], fmt["output_high"])


def _as_it_is(x: Tensor, layer: int) -> Tensor:
    return x


def receive(
    model: Model,
    x: Tensor,
    launch_power_mw: float,
    parameters: tuple[Tensor, Tensor],
    *,
    between: Between = _as_it_is,
    back: Tensor | None = None,
) -> Tensor:
    """`Model.forward` with ``parameters`` in place of its own, layer by layer.

    ``between``: applied to what enters each filter but the first, and to what leaves the last (by
    the number of filters). ``back``: taps through which adjoints go in place of the filters' own.
    """
    half_taps, kerr = parameters
    for k, half in enumerate(half_taps.unbind()):
        if k:
            x = between(rotated(x, kerr[k - 1] * launch_power_mw), k)
        x = filtered(x, half, None if back is None else back[k])
    return between(x, len(half_taps))


def receive_codes(
    model: QuantizedModel,
    x: Tensor,
    launch_power_uw: int,
    quantizer: Quantizer,
    tap_quantizer: Quantizer,
) -> Tensor:
    """`QuantizedModel.forward` layer by layer, with other slopes of its quantizers.

    ``tap_quantizer`` rounds the taps, in steps, where the model is ``rounded``.
    """
    kerr, arithmetic = model._kerr(launch_power_uw), model._arithmetic
    taps = model.half_taps
    if model.rounded:
        low, high = model.lowest.flatten().tolist(), model.highest.flatten().tolist()
        in_steps = (taps / model.steps).unbind()
        rounded = [tap_quantizer(*each) for each in zip(in_steps, low, high, strict=True)]
        taps = torch.stack(rounded) * model.steps
    for k, half in enumerate((taps * model._tap_scales).unbind()):
        if k:
            fmt = dict(zip(FORMAT, arithmetic.formats[k - 1].item(), strict=True))
            x = _rotated_codes(x, kerr[k - 1], fmt, quantizer)
        x = quantizer(filtered(x, half), *arithmetic.limits[k].tolist())
    return x
