"""Gradients of an expectation over categorical variables: ARSM, and learned local costs.

A variable z_k of C categories has the probabilities softmax(logits_k); what is wanted is the
gradient of E[f(z)] by the logits, where f is only known by its values.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float64]
Categories = NDArray[np.int64]


def softmax(logits: Logits) -> Logits:
    """Probabilities along the last axis."""
    power = np.exp(logits - logits.max(-1, keepdims=True))
    return power / power.sum(-1, keepdims=True)


def dirichlet(random: np.random.Generator, shape: tuple[int, ...]) -> Logits:
    """Uniform on the simplex along the last axis."""
    exponential = random.exponential(size=shape)
    return exponential / exponential.sum(-1, keepdims=True)


def arsm(f: Callable[[Categories], float], logits: Logits, uniform: Logits) -> Logits:
    """The augment-REINFORCE-swap-merge estimate of the gradient of E[f(z)] by the logits.

    M. Yin, Y. Yue and M. Zhou, "ARSM: augment-REINFORCE-swap-merge estimator for gradient
    backpropagation through categorical variables", ICML 2019, arXiv:1905.01413, in its
    multivariate form: with w uniform on the simplex,
    w^(m<->j) the same with entries m and j swapped, and z^(m<->j) = argmin_i w^(m<->j)_i
    exp(-logit_i), in all variables at once,

        g_kc = 1/C sum_j [f(z^(c<->j)) - 1/C sum_m f(z^(m<->j))] (1 - C w_kj)

    is unbiased. C (C - 1) / 2 + 1 values of f, whatever the number of variables. ``logits`` and
    ``uniform``: shape ``(variables, C)``.
    """
    count = logits.shape[1]
    values = np.empty((count, count))
    log = np.log(uniform)
    known: dict[bytes, float] = {}
    for m in range(count):
        for j in range(m + 1):
            order = np.arange(count)
            order[[m, j]] = order[[j, m]]
            z = np.argmin(log[:, order] - logits, axis=1)
            key = z.tobytes()
            if key not in known:
                known[key] = f(z)
            values[m, j] = values[j, m] = known[key]
    differences = values - values.mean(0)
    return (1 - count * uniform) @ differences.T / count


class LocalCosts:
    """Q-functions of single categorical variables, learned from values of f, and their gradient.

    X. Xu et al., "Backprop-Q: generalized backpropagation for stochastic computation graphs",
    arXiv:1807.09511: each stochastic node has a learned Q-function of its own value, which stands
    for all costs behind it, and the gradient by its distribution is that of E[Q_k(z_k)]. Here Q_k
    is a table, an entry for each category: the running mean of f less the running mean of all f.
    The gradient of sum_c p_c Q_c by the logits is p_c (Q_c - sum_b p_b Q_b).
    """

    def __init__(self, variables: int, categories: int, rate: float) -> None:
        self.table = np.zeros((variables, categories))
        self._rate, self._mean = rate, None

    def learn(self, z: Categories, value: float) -> None:
        """Take a value of f: a step of temporal difference for the entries that z chose."""
        self._mean = value if self._mean is None else self._mean
        rows = np.arange(len(z))
        self.table[rows, z] += self._rate * (value - self._mean - self.table[rows, z])
        self._mean += self._rate * (value - self._mean)

    def gradient(self, logits: Logits) -> Logits:
        """That of the sum of all E[Q_k(z_k)] by the logits."""
        p = softmax(logits)
        return p * (self.table - (p * self.table).sum(1, keepdims=True))
