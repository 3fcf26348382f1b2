"""Adam against torch's, and what a descent is to learning."""

import numpy as np
import pytest
import torch
from helpers.learning import settings

from dbp.learning import descent, training

SMALL = settings("2")


def changed(**keys):
    return SMALL.model_copy(update={"training": SMALL.training.model_copy(update=keys)})


def test_moves_are_those_of_torch():
    random = np.random.default_rng(0)
    gradients = random.normal(size=(50, 7)) * 10.0 ** random.integers(-3, 3, 7)
    parameter = torch.zeros(7, dtype=torch.float64, requires_grad=True)
    theirs = torch.optim.Adam([parameter], lr=0.01, eps=1e-12)
    ours, at = descent.Adam(7), np.zeros(7)
    for gradient in gradients:
        parameter.grad = torch.from_numpy(gradient)
        theirs.step()
        at += 0.01 * ours.move(gradient)
    np.testing.assert_allclose(at, parameter.detach().numpy(), rtol=1e-9)


class Bowl:
    """A loss whose least value is at ones, each block of which pulls at one parameter."""

    def __init__(self):
        self.parameters, self.scales = np.zeros(6), np.full(6, 2.0)
        self.blocks, self.block_symbols = 6, descent.BATCH_SYMBOLS // 2
        self.seen = []

    def slope(self, blocks):
        self.seen.append(sorted(blocks))
        return np.where(np.isin(np.arange(6), blocks), self.parameters - 1, 0.0)


def test_every_block_is_seen_in_batches_and_limits_are_kept():
    bowl = Bowl()
    limits = np.full(6, -1.0), np.array([0.5, 2, 2, 2, 2, 2])
    looks = sum(1 for _ in descent.descend(bowl, 1500, 1, limits))
    assert looks == descent.LOOKS
    seen = np.reshape(bowl.seen, (500, 6))
    assert np.array_equal(np.sort(seen), np.tile(np.arange(6), (500, 1)))
    np.testing.assert_allclose(bowl.parameters, [0.5, 1, 1, 1, 1, 1], atol=0.02)
    again, other = Bowl(), Bowl()
    for seed, each in ((1, again), (2, other)):
        list(descent.descend(each, 1500, seed, limits))
    assert again.seen == bowl.seen != other.seen
    assert np.array_equal(again.parameters, bowl.parameters)


@pytest.mark.slow
def test_few_symbols_gain_and_a_killed_descent_goes_on(tmp_path, monkeypatch):
    few = {"symbols": 2048, "descent_steps": 200}
    without = training.train(changed(symbols=2048))
    found = training.train(changed(**few))
    floats = [row.snr_db for row in found.history if row.phase == "float"]
    assert floats[:-1] == [row.snr_db for row in without.history if row.phase == "float"]
    assert found.snr_db_float == floats[-1] > floats[-2] + 0.02
    checkpoint = tmp_path / "checkpoint.npz"
    stop = training._Learner.descend

    def killed(learner, steps):
        raise KeyboardInterrupt

    monkeypatch.setattr(training._Learner, "descend", killed)
    with pytest.raises(KeyboardInterrupt):
        training.train(changed(**few), checkpoint)
    monkeypatch.setattr(training._Learner, "descend", stop)
    assert training.train(changed(**few), checkpoint).design == found.design


def test_a_descent_that_finds_nothing_better_changes_nothing(monkeypatch):
    def climb(objective, steps, seed, limits):
        objective.parameters = objective.parameters + 0.1
        yield

    few = {"float_iterations": 1, "signal_iterations": 0, "tap_iterations": 1}
    expected = training.train(changed(**few))
    monkeypatch.setattr(descent, "descend", climb)
    found = training.train(changed(**few, descent_steps=5))
    assert found.snr_db_float == expected.snr_db_float
    assert [*map(len, found.filters.taps)] == [*map(len, expected.filters.taps)]
    for taps, same in zip(found.filters.taps, expected.filters.taps, strict=True):
        assert np.array_equal(taps, same)


def test_without_steps_configurations_keep_their_hash():
    assert changed(descent_steps=0).hash == SMALL.hash != changed(descent_steps=1).hash
