"""Levenberg-Marquardt: the optimiser that learns a receiver filter.

A chain of filters is badly conditioned: in many directions its taps may move with hardly any
effect, so a gradient descent (Adam among them) takes thousands of small moves. But a receiver
filter has only some 600 parameters, and `dbp.learning._chain_kernels` differentiates every received
symbol by all of them in a second, so the Gauss-Newton matrix of the symbol errors is at hand and
five to ten damped iterations end where Adam does after hundreds (Levenberg, 1944; Marquardt, 1963).
The slope is that of all data; the curvature, which need not be exact, that of a few blocks.

An iteration here is one move of all parameters; "step" is kept for a filter and its rotation.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dbp.learning.float_model import Detector, Model
from dbp.learning.quantized_model import QuantizedModel

# Damping of the first iteration; each finds that of the next.
DAMPING = 1e-2
# Columns that are received together; each batch has a complex gain of its own. Fixed, so that sums
# of floats are the same on any number of cores. The derivative needs more memory.
BATCH_COLUMNS = 32
CURVATURE_BATCH_COLUMNS = 16
# An iteration tries a damping smaller and larger by this factor, too; where none of them helps, the
# next iteration is damped more by the second.
FACTOR = 4.0
RETREAT = 16.0
# The loss of a receiver whose symbols have nothing in common with those sent: 0 dB.
NOTHING_RECEIVED = 1.0

Vector = NDArray[np.float64]
# A mean of it is of the same type.
Value = TypeVar("Value", float, Vector)


def curvature_and_slope(
    model: Model | QuantizedModel,
    launch_power: float,
    x: Tensor,
    sent: Tensor,
    detector: Detector,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """J^T J and J^T e of the symbol errors e, relative to the power of the symbols.

    J is the derivative by all parameters of the model, in the order of `Chain.parameters_of`, at
    its operating point; symmetric, float64. Near it the loss of ``detector`` after a move d is
    e^T e + 2 d^T J^T e + d^T J^T J d. ``launch_power``: in the unit of the model, a
    `QuantizedModel`'s in whole microwatts. ``x``: a signal of the model; ``sent``: its symbols,
    shape ``(symbols, blocks)``.
    """
    with torch.no_grad():
        received = detector.symbols(model(x, launch_power))
        energy = torch.view_as_real(sent).square().sum()
        gain = torch.vdot(sent.flatten(), received.flatten()) / energy
        received /= gain
        rows = [torch.view_as_real(received - sent).flatten()[None]]
        if isinstance(model, QuantizedModel):
            tangents = model.tangents(x, int(launch_power))
        else:
            tangents = model.tangents(x, launch_power)
        for tangent in tangents:
            slope = detector.symbols(tangent.flatten(2)).unflatten(1, tangent.shape[2:]) / gain
            # A complex gain common to all symbols is no error: detection takes it out.
            common = torch.einsum("spb,sb->p", slope, sent.conj()) / energy
            slope -= received[:, None] * common[:, None]
            rows.append(torch.view_as_real(slope.transpose(0, 1)).flatten(1))
    errors = torch.cat(rows).numpy()
    with np.errstate(over="ignore", invalid="ignore"):  # `Objective.curvature` looks at the result
        products = (errors @ errors.T).astype(np.float64) / energy.item()
    return products[1:, 1:], products[1:, 0]


class Objective:
    """The mean loss of a model's symbols over data, and how it depends on the parameters.

    Parameters are one float64 vector: half taps, then Kerr constants, as
    `dbp.learning.float_model.Chain.parameters_of` has them. ``signal``: of
    the model; ``sent``: symbols, shape ``(symbols, columns)``, on the same device. A column is a
    block, or with two polarisations one of the two neighbours that are a block.
    """

    def __init__(
        self,
        model: Model | QuantizedModel,
        launch_power: float,
        signal: Tensor,
        sent: Tensor,
        detector: Detector,
        pool: ThreadPoolExecutor,
    ) -> None:
        self.model = model
        self._launch_power, self._detector, self._pool = launch_power, detector, pool
        self._batches = list(
            zip(signal.split(BATCH_COLUMNS, -1), sent.split(BATCH_COLUMNS, -1), strict=True)
        )
        self._signal, self._sent = signal, sent

    @property
    def blocks(self) -> int:
        return self._sent.shape[1] // self.model.polarizations

    @property
    def parameters(self) -> Vector:
        return self.model.parameters_of(self.model.half_taps, self.model.kerr)

    @parameters.setter
    def parameters(self, values: Vector) -> None:
        self.model.set_parameters(values)

    @property
    def scales(self) -> Vector:
        """Typical size of each parameter, to precondition the normal equations.

        1 for taps, the mean of the largest Kerr constant of each rotation for Kerr constants.
        """
        kerr = self.model.kerr.detach().double().cpu().numpy()
        size = np.abs(kerr).max(1).mean() if kerr.size else 1.0
        scales = np.ones(self.model.tap_parameters + int(self.model.kerr_halves.sum()))
        scales[self.model.tap_parameters :] = size
        return scales

    def loss(self) -> float:
        """1 / SNR; a batch of which nothing finite is received, or only zeros, counts as 1."""

        def one(batch: tuple[Tensor, Tensor]) -> float:
            with torch.no_grad():  # a thread has its own mode
                loss = self._loss(*batch).item()
            return loss if math.isfinite(loss) else NOTHING_RECEIVED

        return self._mean(one)

    @property
    def block_symbols(self) -> int:
        """Symbols of a block, of both polarisations where there are two."""
        return self._sent.shape[0] * self.model.polarizations

    def slope(self, blocks: NDArray[np.int64] | None = None) -> Vector:
        """J^T e over all data, or some blocks, as in `curvature_and_slope`, but by the adjoint.

        Zeros where it is not finite: then no direction is known to go down.
        """
        parameters = self.model.half_taps, self.model.kerr

        def one(batch: tuple[Tensor, Tensor]) -> Vector:
            loss = self._loss(*batch)
            gradient = torch.autograd.grad(loss, parameters)
            flat = self.model.parameters_of(*gradient)
            # Errors relative to the sent symbols: loss / (1 - loss).
            with np.errstate(all="ignore"):
                return flat / (2 * (1 - loss.item()) ** 2)

        if blocks is not None:
            return _finite(one(self._some(blocks)))
        return _finite(self._mean(one))

    def curvature(self, blocks: NDArray[np.int64]) -> NDArray[np.float64]:
        """J^T J over some blocks, on the CPU wherever the data are; zeros if it is not finite."""
        model = self.model
        if self._signal.device.type != "cpu":
            model = copy.deepcopy(model).cpu()

        each = model.polarizations

        def one(batch: NDArray[np.int64]) -> NDArray[np.float64]:
            signal, sent = (part.cpu() for part in self._some(batch))
            return curvature_and_slope(model, self._launch_power, signal, sent, self._detector)[0]

        batches = np.array_split(blocks, -(-each * blocks.size // CURVATURE_BATCH_COLUMNS))
        return _finite(sum(self._pool.map(one, batches), np.zeros(())) / len(batches))

    def _some(self, blocks: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Signal and sent symbols of some blocks."""
        each = self.model.polarizations
        columns = (each * blocks[:, None] + np.arange(each)).ravel()
        indices = torch.from_numpy(columns).to(self._signal.device)
        return self._signal[..., indices], self._sent[:, indices]

    def _loss(self, signal: Tensor, sent: Tensor) -> Tensor:
        return self._detector.loss(self.model(signal.contiguous(), self._launch_power), sent)

    def _mean(self, one: Callable[[tuple[Tensor, Tensor]], Value]) -> Value:
        """The mean over batches, weighted by their columns: the last may have fewer."""
        sizes = [sent.shape[1] for _, sent in self._batches]
        values = self._pool.map(one, self._batches)
        return sum(size * value for size, value in zip(sizes, values, strict=True)) / sum(sizes)


def _finite(values: Vector) -> Vector:
    """The values, or zeros in place of all of them where one is not finite."""
    return values if np.isfinite(values).all() else np.zeros_like(values)


def iterate(
    objective: Objective,
    curvature: NDArray[np.float64],
    damping: float,
    free: NDArray[np.bool_],
    limits: tuple[Vector, Vector],
) -> tuple[float, float]:
    """Move the parameters ``free``, kept within ``limits``, by one damped Gauss-Newton iteration.

    They move only where that lessens the loss. Returns the loss after it and the damping to go on
    with.
    """
    start, scales = objective.parameters, objective.scales
    before, slope = objective.loss(), objective.slope()
    matrix = (scales[:, None] * curvature * scales)[np.ix_(free, free)]
    best, best_damping, at = before, RETREAT * damping, start
    for tried in (damping / FACTOR, damping, damping * FACTOR):
        move = np.linalg.solve(matrix + tried * np.eye(len(matrix)), (scales * slope)[free])
        moved = start.copy()
        moved[free] -= scales[free] * move
        if not np.isfinite(moved).all():
            continue
        objective.parameters = np.clip(moved, *limits)
        loss = objective.loss()
        if loss < best:
            best, best_damping, at = loss, tried, objective.parameters
    objective.parameters = at
    return best, best_damping
