"""Fronts and crowding against what their definitions say, word by word."""

import math

from hypothesis import given
from hypothesis import strategies as st

from dbp.exploration import pareto

# Few values: many points that share one, or are the same.
POINTS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5).map(float), st.sampled_from([0.0, 1.0])),
    max_size=14,
)


def worse(point, other):
    """Whether the other one dominates the point."""
    pairs = list(zip(other, point, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


@given(POINTS)
def test_each_front_holds_what_only_earlier_fronts_dominate(points):
    left = set(range(len(points)))
    for front in pareto.fronts(points):
        assert set(front) == {
            k for k in left if not any(worse(points[k], points[other]) for other in left)
        }
        assert [points[k] for k in front] == sorted(points[k] for k in front)
        left -= set(front)
    assert not left


@given(POINTS, st.integers(0, 20))
def test_selected_are_whole_fronts_and_then_the_lonely_ones_of_the_next(points, count):
    chosen = pareto.select(points, count)
    assert len(chosen) == len(set(chosen)) == min(count, len(points))
    wanted = count
    for front in pareto.fronts(points):
        inside = set(front) & set(chosen)
        assert len(inside) == min(len(front), max(0, wanted))
        wanted -= len(front)


def test_crowding_is_the_sum_of_the_gaps_around_a_point():
    points = [(0.0, 8.0), (1.0, 4.0), (3.0, 2.0), (4.0, 0.0)]
    inner = [3 / 4 + 6 / 8, 3 / 4 + 4 / 8]
    assert pareto.crowding(points) == [math.inf, *inner, math.inf]
    assert pareto.crowding([]) == [] and pareto.crowding([(1.0, 2.0)]) == [math.inf]
    assert pareto.crowding([(1.0, 1.0)] * 3)[1] == 0


def test_a_front_is_filled_from_its_ends_and_neighbours_do_not_both_go():
    # Two close pairs: one of each stays.
    points = [(0.0, 9.0), (4.0, 5.1), (4.1, 5.0), (6.0, 3.1), (6.1, 3.0), (9.0, 0.0)]
    chosen = pareto.spread(points, range(6))
    assert set(chosen[:2]) == {0, 5}
    assert len(set(chosen[:4]) & {1, 2}) == len(set(chosen[:4]) & {3, 4}) == 1
