"""Damped Gauss-Newton steps: the quadratic model is that of the loss, and no step raises it."""

import numpy as np
import pytest
import torch

from dbp import config
from dbp.learning import gauss_newton
from dbp.learning.export import export
from dbp.learning.float_filters import FloatFilters
from dbp.learning.float_model import Detector, Model, to_signal
from dbp.learning.quantized_model import QuantizedModel
from dbp.support import threads

SAMPLES = 128
DETECTOR = Detector(0.1, SAMPLES)


def random_chain(rng, taps=3, size=0.3):
    halves = [rng.normal(0, size, (taps, 2)).view(np.complex128)[:, 0] for _ in range(3)]
    return FloatFilters(
        tuple(np.concatenate((h, h[-2::-1])) for h in halves),
        np.array([[0.02, -0.1], [0.01, -0.1]]),
    )


def task(rng, blocks, error=0.2, chain=None):
    """A model, a signal, and what it makes of it with errors as the symbols sent."""
    model = Model(chain or random_chain(rng))
    x = to_signal(rng.normal(size=(blocks, SAMPLES, 2)).view(np.complex128)[..., 0])
    with torch.no_grad():
        sent = DETECTOR.symbols(model(x, 1.0))
    noise = rng.normal(0, error, (*sent.shape, 2)).astype(np.float32)
    sent += torch.view_as_complex(torch.from_numpy(noise)) * sent.abs().square().mean().sqrt()
    return model, x, sent


@pytest.fixture
def objective():
    rng = np.random.default_rng(1)
    model, x, sent = task(rng, 70)
    with threads.pool(2) as pool:
        yield gauss_newton.Objective(model, 1.0, x, sent, DETECTOR, pool)


@pytest.mark.parametrize("error", [0.0, 0.03])
def test_gauss_newton_predicts_the_effect_of_small_moves(error):
    # Symbols near the received ones as reference: little error, little but curvature.
    rng = np.random.default_rng(1)
    model, x, sent = task(rng, 4, error)
    matrix, slope = gauss_newton.curvature_and_slope(model, 1.0, x, sent, DETECTOR)
    parameters = model.half_taps, model.kerr
    with torch.no_grad():
        before = DETECTOR.loss(model(x, 1.0), sent).item()
        moves = [torch.from_numpy(rng.normal(0, 2e-3, p.shape)) for p in parameters]
        for parameter, move in zip(parameters, moves, strict=True):
            parameter += move
        after = DETECTOR.loss(model(x, 1.0), sent).item()
    move = np.concatenate([m.numpy().ravel() for m in moves])
    assert matrix.shape == (move.size, move.size) and move.size == 3 * 3 * 2 + 4
    predicted = before + 2 * move @ slope + move @ matrix @ move
    assert after - before == pytest.approx(predicted - before, rel=0.1)


@pytest.mark.parametrize("quantized", [False, True])
def test_slope_and_curvature_are_those_of_gauss_newton(quantized):
    """The adjoint and the tangents are computed apart."""
    rng = np.random.default_rng(2)
    chain = random_chain(rng)
    model, x, sent = task(rng, 8, chain=chain)
    power = 1.0
    if quantized:
        model = QuantizedModel(export(chain, config.Learned(), config.Datapath()), chain)
        x, power = model.convert(np.ascontiguousarray(torch.complex(*x).numpy().T)), 1000
    matrix, slope = gauss_newton.curvature_and_slope(model, power, x, sent, DETECTOR)
    with threads.pool(2) as pool:
        objective = gauss_newton.Objective(model, power, x, sent, DETECTOR, pool)
        np.testing.assert_allclose(
            objective.slope(), slope, rtol=0, atol=1e-5 * np.abs(slope).max()
        )
        np.testing.assert_allclose(
            objective.curvature(np.arange(8)), matrix, rtol=0, atol=1e-5 * np.abs(matrix).max()
        )


def test_every_block_counts_alike_whatever_its_batch():
    rng = np.random.default_rng(3)
    model, x, sent = task(rng, gauss_newton.BATCH_COLUMNS + 1)
    sent[:, -1] = torch.randn(sent.shape[0], dtype=sent.dtype)
    last = slice(gauss_newton.BATCH_COLUMNS, None)
    with torch.no_grad():
        whole, part = (DETECTOR.loss(model(x[..., s], 1.0), sent[:, s]).item()
                       for s in (slice(gauss_newton.BATCH_COLUMNS), last))  # fmt: skip
    with threads.pool(1) as pool:
        loss = gauss_newton.Objective(model, 1.0, x, sent, DETECTOR, pool).loss()
    assert loss == pytest.approx(
        (gauss_newton.BATCH_COLUMNS * whole + part) / (gauss_newton.BATCH_COLUMNS + 1)
    )


def test_parameters_round_trip(objective):
    before = objective.parameters
    assert before.shape == (3 * 3 * 2 + 4,)
    taps, kerr = objective.model.half_taps, objective.model.kerr
    np.testing.assert_array_equal(before[:18].reshape(3, 3, 2), taps.detach().numpy())
    np.testing.assert_array_equal(before[18:].reshape(2, 2), kerr.detach().numpy())
    other = (before + 0.1).astype(np.float32).astype(np.float64)
    objective.parameters = other
    assert np.array_equal(objective.parameters, other)
    assert taps[0, 0, 1].item() == other[1]


def test_what_is_outside_of_a_short_filter_stays_zero():
    rng = np.random.default_rng(6)
    halves = [rng.normal(0, 0.3, (n, 2)).view(np.complex128)[:, 0] for n in (4, 2, 1)]
    chain = FloatFilters(
        tuple(np.concatenate((h, h[-2::-1])) for h in halves), np.full((2, 1), -0.1)
    )
    model, x, sent = task(rng, 20, error=0.0, chain=chain)
    with threads.pool(2) as pool:
        objective = gauss_newton.Objective(model, 1.0, x, sent, DETECTOR, pool)
        assert objective.parameters.size == objective.slope().size == 2 * (4 + 2 + 1) + 2
        disturb(objective)
        losses = free_run(objective, steps=6)
    assert losses[-1] < 1e-2 * losses[0]
    assert not model.half_taps[~model.own_taps].any()
    assert [taps.size for taps in model.filters().taps] == [7, 3, 1]


def free_run(objective, steps=4, free=None, limits=None):
    size = objective.parameters.size
    free = np.ones(size, bool) if free is None else free
    limits = limits or (np.full(size, -np.inf), np.full(size, np.inf))
    damping, losses = 1e-2, [objective.loss()]
    for _ in range(steps):
        curvature = objective.curvature(np.arange(objective.blocks))
        loss, damping = gauss_newton.iterate(objective, curvature, damping, free, limits)
        assert objective.loss() == loss
        losses.append(loss)
    return losses


def disturb(objective):
    random = np.random.default_rng(4).normal(0, 0.05, objective.parameters.size)
    objective.parameters = objective.parameters + random


def test_steps_find_the_filters_that_made_the_symbols():
    rng = np.random.default_rng(5)
    model, x, sent = task(rng, 40, error=0.0)
    with threads.pool(2) as pool:
        objective = gauss_newton.Objective(model, 1.0, x, sent, DETECTOR, pool)
        disturb(objective)
        losses = free_run(objective, steps=8)
    assert losses[0] > 1e-2
    assert losses[-1] < 1e-5
    assert losses == sorted(losses, reverse=True)


def test_a_step_that_would_raise_the_loss_is_not_taken(objective):
    disturb(objective)
    before, loss = objective.parameters, objective.loss()
    # Uphill, whatever the damping.
    everything = np.ones(before.size, bool)
    limits = np.full(before.size, -np.inf), np.full(before.size, np.inf)
    uphill = -1e3 * np.eye(before.size)
    after, damping = gauss_newton.iterate(objective, uphill, 1e-2, everything, limits)
    assert after == loss
    assert damping == gauss_newton.RETREAT * 1e-2
    assert np.array_equal(objective.parameters, before)


def test_what_is_not_free_stays_and_limits_hold(objective):
    disturb(objective)
    before = objective.parameters
    free = np.arange(before.size) < 18
    reach = 0.01
    losses = free_run(objective, free=free, limits=(before - reach, before + reach))
    after = objective.parameters
    assert np.array_equal(after[~free], before[~free])
    assert np.abs(after - before).max() == pytest.approx(reach)
    assert losses[-1] < losses[0]


def test_nothing_finite_received_is_a_loss_of_one_and_moves_nothing(objective):
    huge = np.full_like(objective.parameters, 1e30)
    objective.parameters = huge
    assert objective.loss() == 1.0
    assert not objective.slope().any()
    with np.errstate(all="ignore"):
        assert not objective.curvature(np.arange(4)).any()
    free, limits = np.ones(huge.size, bool), (-np.inf * np.ones(huge.size), np.inf * huge)
    with np.errstate(all="ignore"):
        loss, damping = gauss_newton.iterate(
            objective, np.zeros((huge.size, huge.size)), 1e-2, free, limits
        )
    assert (loss, damping) == (1.0, 16e-2)
    assert np.array_equal(objective.parameters, huge.astype(np.float32))


def test_nothing_at_all_received_is_a_loss_of_one(objective):
    objective.parameters = np.zeros_like(objective.parameters)
    assert objective.loss() == 1.0
