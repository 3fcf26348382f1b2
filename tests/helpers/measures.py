"""Measures of small random groups."""

import numpy as np

from dbp.evaluation.measures import measure
from dbp.link.modulation import draw


def group_measures(seed):
    """Measures of a group with noise."""
    rng = np.random.default_rng(seed)
    symbols, labels = draw("16qam", 256, rng)
    noise = 0.2 * rng.normal(size=(256, 2)).view(np.complex128)[:, 0]
    rows = (symbols, labels, symbols + noise)
    return measure("16qam", *(row.reshape(2, 128) for row in rows))
