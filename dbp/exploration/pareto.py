"""Which of several points are on the front, and which of them to keep.

All objectives are minimised. A point dominates another one where it is worse in no objective and
better in one. K. Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE
Trans. Evolutionary Computation 6(2), 2002.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Objectives = tuple[float, ...]


def dominates(one: Objectives, other: Objectives) -> bool:
    """Tell whether a point is worse than another one in nothing and better in something."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def fronts(points: Sequence[Objectives]) -> list[list[int]]:
    """Return the numbers of the points front by front, each in the order of its points.

    The first front holds what no point dominates, the next one what only points of fronts before it
    dominate, and so on.
    """
    left = list(range(len(points)))
    found: list[list[int]] = []
    while left:
        front: list[int] = []
        # In this order a point is dominated by earlier ones only.
        for number in sorted(left, key=lambda k: points[k]):
            if not any(dominates(points[other], points[number]) for other in front):
                front.append(number)
        members = set(front)
        left = [number for number in left if number not in members]
        found.append(sorted(front, key=lambda k: (points[k], k)))
    return found


def crowding(points: Sequence[Objectives]) -> list[float]:
    """Return the crowding distance of each point of one front: infinite at its ends.

    The sum over the objectives of the distance between a point's neighbours, as a part of the
    whole range.
    """
    distances = [0.0] * len(points)
    for objective in range(len(points[0]) if points else 0):
        values = [point[objective] for point in points]
        order = sorted(range(len(points)), key=lambda k: (values[k], points[k], k))
        width = values[order[-1]] - values[order[0]]
        distances[order[0]] = distances[order[-1]] = math.inf
        if not width:
            continue
        for before, number, after in zip(order, order[1:], order[2:], strict=False):
            distances[number] += (values[after] - values[before]) / width
    return distances


def select(points: Sequence[Objectives], count: int) -> list[int]:
    """Return the numbers of the ``count`` best points: front by front, the lonely ones first."""
    chosen: list[int] = []
    for front in fronts(points):
        chosen += spread([points[k] for k in front], front)
        if len(chosen) >= count:
            break
    return chosen[:count]


def spread(points: Sequence[Objectives], numbers: Sequence[int]) -> list[int]:
    """Return ``numbers``, of the points of one front, in the order in which they fill it best.

    The ends first; the others as they are left when the most crowded one is taken away each time,
    since neighbours would be crowded for each other's sake.
    """
    left = list(range(len(points)))
    crowded: list[int] = []
    while left:
        distances = crowding([points[k] for k in left])
        worst = min(range(len(left)), key=lambda k: (distances[k], -k))
        crowded.append(left.pop(worst))
    return [numbers[k] for k in reversed(crowded)]
