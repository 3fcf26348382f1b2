"""Adam: many small steps on batches of blocks, for what Gauss-Newton iterations leave.

An iteration of `dbp.learning.gauss_newton` solves for all parameters at once. With few symbols to
learn on it fits their noise; a descent on the same symbols in random batches fits less of it and
ends higher on symbols that it has not seen (`docs/results/backpropagation.md`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from dbp.learning.gauss_newton import Objective, Vector

# Steps shrink from this to zero, along half a cosine; in units of `Objective.scales`.
RATE = 3e-3
# A batch has about so many symbols: it is made of whole blocks.
BATCH_SYMBOLS = 4096
# Times that a descent is looked at: where symbols are few, it is best before its end.
LOOKS = 20


class Adam:
    """D. Kingma and J. Ba, "Adam: a method for stochastic optimization", arXiv:1412.6980.

    With the decay rates of its algorithm 1, 0.9 and 0.999.
    """

    def __init__(self, size: int) -> None:
        self._mean, self._square, self._count = np.zeros(size), np.zeros(size), 0

    def move(self, gradient: Vector) -> Vector:
        """The next move, for a rate of 1."""
        self._count += 1
        self._mean += 0.1 * (gradient - self._mean)
        self._square += 0.001 * (gradient**2 - self._square)
        mean = self._mean / (1 - 0.9**self._count)
        return -mean / (np.sqrt(self._square / (1 - 0.999**self._count)) + 1e-12)


def descend(
    objective: Objective, steps: int, seed: int, limits: tuple[Vector, Vector]
) -> Iterator[None]:
    """Move all parameters, kept within ``limits``, by steps of Adam; stops `LOOKS` times to look.

    Each step sees one batch of blocks. ``seed`` shuffles the blocks anew once all have been seen.
    """
    random, adam = np.random.default_rng(seed), Adam(objective.parameters.size)
    scales, size = objective.scales, max(1, BATCH_SYMBOLS // objective.block_symbols)
    count = -(-objective.blocks // size)
    looks = {steps * (n + 1) // LOOKS for n in range(LOOKS)}
    for step in range(steps):
        if step % count == 0:
            batches = np.array_split(random.permutation(objective.blocks), count)
        slope = scales * objective.slope(batches[step % count])
        rate = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        moved = objective.parameters + rate * scales * adam.move(slope)
        objective.parameters = np.clip(moved, *limits)
        if step + 1 in looks:
            yield
