"""Implicit stochastic gradient, layer by layer.

An implicit step takes the gradient where it ends, t' = t - rate * grad(t'), and is stable at any
rate (P. Toulis and E. Airoldi, Ann. Statist. 45, 1694 (2017)). F. Fagan and G. Iyengar, "Robust
implicit backpropagation", arXiv:1808.02433, take it for each layer of a network by itself, the
others as they are. For their piecewise linear layers that has a closed form. A filter is linear and
what comes behind it nearly so, so here the loss is that of errors linear in the layer's parameters,
|e + J^T d|^2 / 2, and the step is d = -(J J^T + 1 / rate)^-1 J e.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dbp.learning.float_model import Detector, Model

Vector = NDArray[np.float64]


def step(jacobian: NDArray, errors: Vector, rate: float) -> Vector:
    """The implicit step of |errors + jacobian^T d|^2 / 2; ``jacobian``: a row per parameter."""
    matrix = jacobian @ jacobian.T + np.eye(len(jacobian)) / rate
    return -np.linalg.solve(matrix, jacobian @ errors)


def errors_of_layer(
    model: Model,
    x: Tensor,
    sent: Tensor,
    launch_power_mw: float,
    detector: Detector,
    entries: Iterable[int],
) -> tuple[NDArray, Vector]:
    """The derivative of the symbol errors by some entries of `Model.tangents`, and the errors.

    Relative to the power of the symbols, as `dbp.learning.gauss_newton.curvature_and_slope`.
    """
    with torch.no_grad():
        received = detector.symbols(model(x, launch_power_mw))
        energy = torch.view_as_real(sent).square().sum()
        gain = torch.vdot(sent.flatten(), received.flatten()) / energy
        received /= gain
        errors = torch.view_as_real(received - sent).flatten() / energy.sqrt()
        tangents, rows = model.tangents(x, launch_power_mw), []
        for n in entries:
            tangent = tangents[n]
            slope = detector.symbols(tangent.flatten(2)).unflatten(1, tangent.shape[2:]) / gain
            common = torch.einsum("spb,sb->p", slope, sent.conj()) / energy
            slope -= received[:, None] * common[:, None]
            rows.append(torch.view_as_real(slope.transpose(0, 1)).flatten(1) / energy.sqrt())
    return torch.cat(rows).double().numpy(), errors.double().numpy()
