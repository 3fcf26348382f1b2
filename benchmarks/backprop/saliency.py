"""Which tap can be pruned: what gradients, sizes and the Gauss-Newton matrix say of each.

A tap is the real and the imaginary part of a half tap; pruned, both are zero. Each measure predicts
how much the loss rises.

- *magnitude*: |h|^2.
- *gradient*: the size of gradient times value, the first term of the loss's series. W. Nie, Y.
  Zhang and A. B. Patel, "A theoretical explanation for perplexing behaviors of
  backpropagation-based visualizations", ICML 2018, arXiv:1805.07039, say of saliency maps by plain
  gradients that they follow what a network decides on (and of guided ones that they do not).
- *diagonal*: h^T M h of the tap's own block of the Gauss-Newton matrix (Le Cun, Denker and Solla,
  "Optimal brain damage", NIPS 1989, equation 5).
- *inverse*: h^T [(M^-1)_own]^-1 h, after the best move of all other taps (Hassibi and Stork,
  "Second order derivatives for network pruning: optimal brain surgeon", NIPS 1992, equation 5).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


def predictions(taps: Vector, slope: Vector, matrix: Matrix, damping: float) -> dict[str, Vector]:
    """What each measure says of every tap.

    ``taps``, ``slope`` (J^T e): flat, real and imaginary part of each tap in turn; ``matrix``:
    J^T J of them, to which ``damping`` is added where it is inverted.
    """
    pairs = taps.reshape(-1, 2)
    inverse = np.linalg.inv(matrix + damping * np.eye(len(matrix)))
    own = [slice(2 * n, 2 * n + 2) for n in range(len(pairs))]
    return {
        "magnitude": (pairs**2).sum(1),
        "gradient": np.abs((pairs * slope.reshape(-1, 2)).sum(1)),
        "diagonal": np.array([h @ matrix[s, s] @ h for h, s in zip(pairs, own, strict=True)]),
        "inverse": np.array(
            [h @ np.linalg.solve(inverse[s, s], h) for h, s in zip(pairs, own, strict=True)]
        ),
    }


def compensated(taps: Vector, matrix: Matrix, damping: float, pruned: NDArray[np.int64]) -> Vector:
    """The taps with some ``pruned`` ones zero and all others moved to make good for them."""
    out = taps.copy()
    gone = np.zeros(len(taps), bool)
    gone[2 * pruned], gone[2 * pruned + 1] = True, True
    damped = matrix + damping * np.eye(len(matrix))
    out[gone] = 0.0
    out[~gone] += (
        np.linalg.solve(damped[np.ix_(~gone, ~gone)], damped[np.ix_(~gone, gone)]) @ (taps[gone])
    )
    return out


def rank_correlation(a: Vector, b: Vector) -> float:
    """Spearman's."""
    ranks = [np.argsort(np.argsort(x)).astype(float) for x in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])
