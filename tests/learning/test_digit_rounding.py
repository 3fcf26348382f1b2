"""Rounding at a price: against counts and optima that are found the slow way."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from dbp.learning import digit_rounding, integer_rounding
from dbp.learning.digit_rounding import Lattice, at_price, improve, signed_digits, within_budget


@pytest.fixture(autouse=True)
def few_parts(monkeypatch):
    monkeypatch.setattr(digit_rounding, "PARTS", 20)


def fewest_digits(most):
    """Signed digits of all integers up to ``most``, by breadth: sums of so many powers of two."""
    fewest, reached = {0: 0}, {0}
    powers = [sign << k for k in range(most.bit_length() + 2) for sign in (1, -1)]
    for count in range(1, 6):
        reached = {x + p for x in reached for p in powers if abs(x + p) <= 4 * most} - set(fewest)
        fewest |= dict.fromkeys(reached, count)
    return fewest


def lattice(count, price, least=16, seed=1, half_tap_price=0.0):
    random = np.random.default_rng(seed)
    slopes = random.normal(size=(count, 2 * count)) * np.logspace(0, -1.5, count)[:, None]
    mixed = np.linalg.qr(random.normal(size=(count, count)))[0]
    matrix = mixed @ slopes @ slopes.T @ mixed.T / count
    target = random.uniform(-0.4, 0.4, count)
    low, high = np.full(count, -least), np.full(count, least - 1)
    prices = np.full(count, price), np.full(count, half_tap_price)
    others = np.arange(count) ^ 1
    return Lattice(matrix, target, np.full(count, 2.0**-5), low, high, *prices, others)


def today(problem):
    rounded = integer_rounding.round_together(
        problem.target, problem.matrix, problem.steps, (problem.low, problem.high)
    )
    return np.rint(rounded / problem.steps).astype(np.int64)


def test_signed_digits_are_the_fewest():
    fewest = fewest_digits(300)
    codes = np.arange(-300, 301)
    assert signed_digits(codes).tolist() == [fewest[code] for code in codes.tolist()]


def test_signed_digits_are_those_that_the_hardwired_filter_adds():
    adder_graph = pytest.importorskip("dbp.rtl.blocks.adder_graph")
    codes = np.arange(-1 << 9, 1 << 9)
    assert signed_digits(codes).tolist() == [len(adder_graph.signed_digits(int(c))) for c in codes]


@pytest.mark.parametrize("half_tap_price", [0.0, 1e-3, 1e-2])
@pytest.mark.parametrize("price", [0.0, 1e-4, 1e-3, 1e-2])
def test_a_small_problem_is_solved_exactly(price, half_tap_price):
    problem = lattice(4, price, least=8, half_tap_price=half_tap_price)
    codes = np.array(list(itertools.product(range(-8, 8), repeat=4)))
    error = codes * problem.steps - problem.target
    costs = np.einsum("ni,ij,nj->n", error, problem.matrix, error)
    costs += price * signed_digits(codes).sum(1)
    costs += half_tap_price * codes.reshape(-1, 2, 2).any(axis=2).sum(1)
    assert problem.cost(at_price(problem, [])) == pytest.approx(costs.min(), rel=1e-9)


@pytest.mark.parametrize("price", [0.0, 1e-5, 1e-4])
def test_the_cost_never_rises_above_that_of_a_start(price):
    problem = lattice(30, price)
    start = today(problem)
    found = at_price(problem, [start])
    assert problem.cost(improve(problem, start)) <= problem.cost(start)
    assert problem.cost(found) <= problem.cost(start)
    assert (problem.low <= found).all() and (found <= problem.high).all()


def test_the_wide_search_costs_no_more_than_the_first_one_and_mostly_much_less():
    ratios = []
    for seed in range(3):
        fine = lattice(40, 0.0, least=8, seed=seed)
        problem = replace(fine, steps=4 * fine.steps)
        arguments = problem.target, problem.matrix, problem.steps, (problem.low, problem.high)
        rounded = integer_rounding.round_together(*arguments)
        found = digit_rounding.at_no_price(*arguments, rounded)
        codes = np.rint(found / problem.steps)
        assert ((problem.low <= codes) & (codes <= problem.high)).all()
        np.testing.assert_array_equal(found, codes * problem.steps)
        costs = [problem.cost(np.rint(x / problem.steps).astype(int)) for x in (found, rounded)]
        ratios.append(costs[0] / costs[1])
    assert max(ratios) <= 1 + 1e-9
    assert np.mean(ratios) < 0.8


def test_a_part_of_the_taps_costs_what_it_adds_to_the_whole():
    problem = lattice(10, 1e-4, half_tap_price=1e-3)
    random = np.random.default_rng(2)
    for _ in range(50):
        before, after = random.integers(-2, 3, (2, 10)) * random.integers(0, 2, (2, 10))
        taps = np.sort(random.permutation(10)[:5])
        part, moved = problem.part(taps, before), before.copy()
        moved[taps] = after[taps]
        whole = problem.cost(moved) - problem.cost(before)
        assert part.cost(after[taps]) - part.cost(before[taps]) == pytest.approx(whole, abs=1e-12)


def test_a_higher_price_leaves_fewer_half_taps():
    half_taps = [
        np.count_nonzero(at_price(problem, [today(problem)]).reshape(-1, 2).any(axis=1))
        for problem in (lattice(30, 0.0, half_tap_price=price) for price in (0.0, 1e-3, 3e-2))
    ]
    assert half_taps == sorted(half_taps, reverse=True) and half_taps[-1] < half_taps[0] / 2


def test_a_higher_price_leaves_fewer_digits():
    digits = [
        signed_digits(at_price(problem, [today(problem)])).sum()
        for problem in (lattice(30, price) for price in (0.0, 2e-5, 2e-4, 2e-3))
    ]
    assert digits == sorted(digits, reverse=True) and digits[-1] < digits[0] / 2


def test_a_budget_is_kept_and_its_price_comes_out():
    problem = lattice(30, 1.0)
    start = today(problem)
    free = signed_digits(start).sum()
    for budget in (free - 10, free // 2, 3):
        found, price = within_budget(problem, [start], budget)
        assert signed_digits(found).sum() <= budget
        assert price > 0
    found, price = within_budget(problem, [start], 10_000)
    assert price == 0.0
    error = found * problem.steps - problem.target
    first = start * problem.steps - problem.target
    assert error @ problem.matrix @ error <= first @ problem.matrix @ first


def test_same_problem_same_codes():
    problem = lattice(40, 1e-4)
    first, second = (digit_rounding.at_price(problem, []) for _ in range(2))
    assert first.tolist() == second.tolist()
