"""Slopes of a quantizer: what the derivative of rounding and saturation is said to be.

*Straight through*: 1, also where the value saturates. Y. Bengio, N. Leonard and A. Courville,
"Estimating or propagating gradients through stochastic neurons for conditional computation",
arXiv:1308.3432, section 4. It is the package's own.

*Clipped*: 1 inside the range, 0 where the value saturates (the same section's hard limiter, whose
gradient is passed only where it is not flat).

*Sigmoid-adjusted, with slope annealing*: a binary neuron's gradient is multiplied by the derivative
of sigmoid(s x), and the slope s grows while one learns (H.-W. Dong and Y.-H. Yang, "Training
generative adversarial networks with binary neurons by end-to-end backpropagation",
arXiv:1810.04714, section 2.2, after J. Chung, S. Ahn and Y. Bengio, "Hierarchical multiscale
recurrent neural networks", arXiv:1609.01704, section 3). Rounding is a staircase of binary neurons,
one per threshold k + 1/2, so its slope is

    sum_k s sigmoid'(s (x - k - 1/2)),

over the thresholds within the range. Its mean over x is 1 whatever s; a small s is straight
through, a large one passes only values that are near a threshold.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.backprop.layers import with_slope

# Thresholds on each side of a value that count: those beyond are flat for every slope s >= 2.
NEAR = 4


def _rounded(x: Tensor, low: float, high: float) -> Tensor:
    return torch.floor(x.detach() + 0.5).clamp_(low, high)


def straight(x: Tensor, low: float, high: float) -> Tensor:
    """Round and saturate; the gradient passes as if that were not done."""
    return with_slope(x, _rounded(x, low, high))


def clipped(x: Tensor, low: float, high: float) -> Tensor:
    """Round and saturate; the gradient passes where nothing saturates."""
    inside = (x.detach() >= low - 0.5) & (x.detach() < high + 0.5)
    return with_slope(x, _rounded(x, low, high), inside.to(x.dtype))


class SigmoidAdjusted:
    """Round and saturate; the gradient is that of a staircase of sigmoids of slope ``slope``."""

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def __call__(self, x: Tensor, low: float, high: float) -> Tensor:
        return with_slope(x, _rounded(x, low, high), self.derivative(x.detach(), low, high))

    def derivative(self, x: Tensor, low: float, high: float) -> Tensor:
        """The sum of the module's text, over the thresholds from ``low`` to ``high``."""
        s, base = self.slope, torch.floor(x)
        total = torch.zeros_like(x)
        for k in range(-NEAR, NEAR + 1):
            threshold = base + k + 0.5
            there = (threshold > low) & (threshold < high)
            sigmoid = torch.sigmoid(s * (x - threshold))
            total += s * sigmoid * (1 - sigmoid) * there
        return total
