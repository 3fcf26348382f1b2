"""Rounding all taps together to codes of few signed digits, each digit and half tap at a price.

A tap in the logic costs a term of the sum for each signed digit of its code, so the cheapest codes
have few digits that are not zero. What is looked for is the lattice point with the smallest

    (x - t)^T M (x - t) + sum of price times digits + price of each tap that is not zero,

where M is the Gauss-Newton matrix of `dbp.learning.integer_rounding` and t the taps before their
rounding. A tap here is one real number, the real or the imaginary part of a half tap; a half tap is
zero where both parts are: then its folded samples and their registers need not be. Such prices
leave the geometry as it is: as in a sphere decoder, the Cholesky factor of M turns the quadratic
form into a sum of which each term depends on one more tap, and the best partial codes are carried
from tap to tap (the M-algorithm: Anderson and Mohan, IEEE
Trans. Commun. 32, 169 (1984); in the order of V-BLAST). Then parts of the taps are decided anew
while the others stay, where that helps (large neighbourhood search: Shaw, CP 1998).

Exact methods give filters of a few dozen taps with the fewest adders (Kumm, Volkova and Filip,
"Design of optimal multiplierless FIR filters with minimal number of adders", IEEE Trans.
Comput.-Aided Des. 42, 658 (2023)); a chain has several hundred coupled taps, beyond their reach.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbp.datapath.design import Design
from dbp.learning.integer_rounding import DAMPING
from dbp.support.compiled import njit

Vector = NDArray[np.float64]
Codes = NDArray[np.int64]

# Partial codes that are carried on: of all taps, and of a part of them.
BEAM, PART_BEAM = 128, 24
# Codes that are tried for a tap, on each side of the one that the taps before it ask for.
REACH = 12
# The price that keeps a budget of digits is found by so many halvings, below this one.
HALVINGS, HIGHEST_PRICE = 14, 1e-2
# Taps that are decided anew together, and how often.
PART, PARTS, SEED = 40, 400, 1

_compile: Callable[[Callable[..., Any]], Callable[..., Any]] = njit(nogil=True)


def signed_digits(codes: NDArray[np.integer]) -> Codes:
    """Count the canonical signed digits other than zero of each integer: the fewest that it has."""
    size = np.abs(codes.astype(np.int64))
    return np.bitwise_count(size ^ (3 * size)).astype(np.int64)


def design_digits(design: Design) -> int:
    """Count the signed digits of all half taps of a design."""
    parts = [np.array(f.half_taps_i + f.half_taps_q) for f in design.filters]
    return sum(int(signed_digits(part).sum()) for part in parts)


@dataclass(frozen=True)
class Lattice:
    """Codes ``c`` within ``low`` and ``high`` for taps ``c * steps``, and what they cost.

    ``matrix``: symmetric, positive definite; ``target``: the taps before their rounding;
    ``prices``: of a signed digit of each tap; ``half_tap_prices``: of the half tap that a tap is a
    part of, where any part is not zero; ``others``: where its other part stands, -1 if nowhere. All
    flat, in the order of the matrix.
    """

    matrix: NDArray[np.float64]
    target: Vector
    steps: Vector
    low: Codes
    high: Codes
    prices: Vector
    half_tap_prices: Vector
    others: Codes

    def cost(self, codes: Codes) -> float:
        """The quadratic form of the errors, plus the price of all digits and half taps."""
        error = codes * self.steps - self.target
        # Each half tap is charged once, at the first of its parts that is not zero.
        earlier = (self.others >= 0) & (self.others < np.arange(len(codes)))
        charged = (codes != 0) & ~(earlier & (codes[self.others] != 0))
        prices = self.prices @ signed_digits(codes) + self.half_tap_prices @ charged
        return float(error @ self.matrix @ error + prices)

    def part(self, taps: NDArray[np.int64], codes: Codes) -> Lattice:
        """The same of some taps, while all others keep their ``codes``."""
        inner = self.matrix[np.ix_(taps, taps)]
        slope = self.matrix[taps] @ (codes * self.steps - self.target)
        target = codes[taps] * self.steps[taps] - np.linalg.solve(inner, slope)
        steps, prices = self.steps[taps], self.prices[taps]
        places = np.full(len(codes) + 1, -1)  # the last one is for parts that are nowhere
        places[taps] = np.arange(len(taps))
        others = places[self.others[taps]]
        # A half tap of which a part stays, and is not zero, is there anyhow.
        paid = (others < 0) & (self.others[taps] >= 0) & (codes[self.others[taps]] != 0)
        half_tap_prices = np.where(paid, 0.0, self.half_tap_prices[taps])
        limits = self.low[taps], self.high[taps]
        return Lattice(inner, target, steps, *limits, prices, half_tap_prices, others)

    def beam(self, width: int) -> Codes:
        """The best codes of a search that carries ``width`` partial codes from tap to tap."""
        order = _order(np.linalg.inv(self.matrix))
        factor = np.ascontiguousarray(np.linalg.cholesky(self.matrix[np.ix_(order, order)]).T)
        limits = self.low, self.high
        flat = self.target, self.steps, *limits, self.prices, self.half_tap_prices
        places = np.append(np.argsort(order), -1)  # the last one is for parts that are nowhere
        others = places[self.others[order]]
        digits = signed_digits(np.arange(int(max(-self.low.min(), self.high.max())) + 1))
        codes = np.empty(len(order), np.int64)
        codes[order] = _beam(factor, *(x[order] for x in flat), others, digits, width, REACH)
        return codes


@_compile
def _order(inverse: NDArray[np.float64]) -> NDArray[np.int64]:
    """The taps, last the one to be decided first: that which others can compensate the least."""
    count = len(inverse)
    order = np.empty(count, np.int64)
    free = np.ones(count, np.bool_)
    for place in range(count - 1, -1, -1):
        n = -1
        for k in range(count):
            if free[k] and (n < 0 or inverse[k, k] < inverse[n, n]):
                n = k
        free[n] = False
        order[place] = n
        column = inverse[:, n] / inverse[n, n]
        row = inverse[n].copy()
        for k in range(count):
            if free[k]:
                inverse[k] -= column[k] * row
    return order


@_compile
def _beam(
    factor: NDArray[np.float64],
    target: Vector,
    steps: Vector,
    low: Codes,
    high: Codes,
    prices: Vector,
    half_tap_prices: Vector,
    others: Codes,
    digits: Codes,
    width: int,
    reach: int,
) -> Codes:
    """`Lattice.beam` of taps in the order of ``factor``, the last decided first.

    ``digits``: signed digits of 0, 1, and so on up to the largest code.
    """
    count, tries = len(target), 2 * reach + 1
    codes = np.zeros((width, count), np.int64)
    errors, costs = np.zeros((width, count)), np.zeros(width)
    next_codes, next_errors, next_costs = codes.copy(), errors.copy(), costs.copy()
    totals, middles = np.empty(width * tries), np.empty(width, np.int64)
    alive = 1
    for n in range(count - 1, -1, -1):
        totals[: alive * tries] = np.inf
        scale = (factor[n, n] * steps[n]) ** 2
        for b in range(alive):
            moved = 0.0
            for k in range(n + 1, count):
                moved += errors[b, k] * factor[n, k]
            wanted = (target[n] - moved / factor[n, n]) / steps[n]
            middle = int(min(max(np.rint(wanted), low[n]), high[n]))
            middles[b] = middle
            # Where the other part was decided, and is not zero, the half tap is paid.
            paid = others[n] > n and codes[b, others[n]] != 0
            half_tap = 0.0 if paid else half_tap_prices[n]
            for code in range(max(middle - reach, low[n]), min(middle + reach, high[n]) + 1):
                totals[b * tries + code - middle + reach] = (
                    costs[b]
                    + scale * (code - wanted) ** 2
                    + prices[n] * digits[abs(code)]
                    + (half_tap if code else 0.0)
                )
        kept = np.argsort(totals[: alive * tries], kind="mergesort")[:width]
        taken = 0
        for which in kept:
            if totals[which] == np.inf:
                break
            b = which // tries
            next_codes[taken] = codes[b]
            next_errors[taken] = errors[b]
            next_costs[taken] = totals[which]
            code = middles[b] + which % tries - reach
            next_codes[taken, n] = code
            next_errors[taken, n] = code * steps[n] - target[n]
            taken += 1
        alive = taken
        codes, next_codes = next_codes, codes
        errors, next_errors = next_errors, errors
        costs, next_costs = next_costs, costs
    return codes[0].copy()


def improve(lattice: Lattice, codes: Codes) -> Codes:
    """Decide parts of the taps anew while all others stay; the cost never rises."""
    random = np.random.default_rng(SEED)
    count = len(codes)
    root = np.sqrt(np.diagonal(lattice.matrix))
    coupling = np.abs(lattice.matrix) / np.outer(root, root)
    cost = lattice.cost(codes)
    for number in range(PARTS):
        if number % 2:
            taps = random.permutation(count)[:PART]
        else:  # those that compensate one of them the most
            taps = np.argsort(-coupling[random.integers(count)] * random.random(count))[:PART]
        part = lattice.part(taps, codes)
        moved = codes.copy()
        moved[taps] = part.beam(PART_BEAM)
        if (after := lattice.cost(moved)) < cost:
            codes, cost = moved, after
    return codes


def at_price(lattice: Lattice, starts: Sequence[Codes]) -> Codes:
    """Return codes of low cost, at most that of each of ``starts``."""
    found = min((*starts, lattice.beam(BEAM)), key=lattice.cost)
    return improve(lattice, found)


def at_no_price(
    taps: Vector,
    matrix: NDArray[np.float64],
    steps: Vector,
    limits: Sequence[Vector],
    rounded: Vector,
) -> Vector:
    """Round all taps together by this search; the result costs at most what ``rounded`` does.

    Arguments and result as those of `dbp.learning.integer_rounding.round_together`.
    """
    low, high = (end.astype(np.int64) for end in limits)
    damped = matrix + DAMPING * np.eye(len(taps))
    free, alone = np.zeros(len(taps)), np.full(len(taps), -1)
    lattice = Lattice(damped, taps, steps, low, high, free, free, alone)
    return at_price(lattice, [np.rint(rounded / steps).astype(np.int64)]) * steps


def within_budget(lattice: Lattice, starts: Sequence[Codes], budget: int) -> tuple[Codes, float]:
    """Return codes of at most ``budget`` signed digits in all, and the price that leads to them.

    ``lattice.prices`` are what digits cost at a price of 1; half taps cost nothing. A geometric
    bisection finds the lowest price at which the codes keep the budget; at 0 they are those of no
    price at all.
    """

    def priced(price: float) -> Lattice:
        return replace(lattice, prices=price * lattice.prices)

    def digits(codes: Codes) -> int:
        return int(signed_digits(codes).sum())

    free = at_price(priced(0.0), starts)
    if digits(free) <= budget:
        return free, 0.0
    low, high = HIGHEST_PRICE * 2.0**-HALVINGS, HIGHEST_PRICE
    kept, price = np.clip(np.zeros_like(free), lattice.low, lattice.high), math.inf
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        found = priced(middle).beam(PART_BEAM)
        if digits(found) <= budget:
            kept, price, high = found, middle, middle
        else:
            low = middle
    possible = [kept, *(codes for codes in starts if digits(codes) <= budget)]
    if math.isfinite(price):
        better = at_price(priced(price), possible)
        possible += [better] if digits(better) <= budget else []
    return min(possible, key=priced(0.0).cost), price
