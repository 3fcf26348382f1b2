"""The adder graphs of constant filters equal the plain sum, before and after each rewriting."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from helpers.designs import BITS, examples, filters
from hypothesis import given
from hypothesis import strategies as st

from dbp.datapath import fixed
from dbp.datapath.design import Filter
from dbp.rtl.blocks.adder_graph import Graph, Sum, Term, filter_graph, share, signed_digits, split

FORMATS = BITS.flatmap(lambda bits: st.tuples(st.just(bits), filters(bits, 25)))
MIDDLE = Filter(6, 6, 8, (2, 7, -17, 0, 12, 14, 10, 14), (-13, 19, -5, -16, -4, 0, 7, 11))


def plain_sums(filter_, window_i, window_q):
    """The exact complex sum over a window, in Python's integers."""
    total_i = total_q = 0
    for k in range(filter_.taps):
        n = min(k, filter_.taps - 1 - k)
        hi, hq = filter_.half_taps_i[n], filter_.half_taps_q[n]
        total_i += hi * window_i[k] - hq * window_q[k]
        total_q += hi * window_q[k] + hq * window_i[k]
    return [total_i, total_q]


def evaluate(graph, window_i, window_q):
    return graph.evaluate([x for pair in zip(window_i, window_q, strict=True) for x in pair])


def random_windows(rng, filter_, bits, count=20):
    low, high = fixed.code_range(bits)
    yield [[low] * filter_.taps] * 2
    yield [[high] * filter_.taps] * 2
    for _ in range(count):
        yield rng.integers(low, high + 1, (2, filter_.taps)).tolist()


def assert_equals_sums(graph, filter_, windows):
    for window_i, window_q in windows:
        assert evaluate(graph, window_i, window_q) == plain_sums(filter_, window_i, window_q)


@pytest.mark.parametrize("value", [*range(-70, 71), -(2**15), 2**15 - 1])
def test_signed_digits_are_canonical(value):
    digits = signed_digits(value)
    assert sum(sign << shift for shift, sign in digits) == value
    shifts = [shift for shift, _ in digits]
    assert all(b - a > 1 for a, b in pairwise(shifts))


@given(FORMATS, st.booleans(), st.integers(2, 40), st.integers(0, 2**32 - 1))
@examples(16)
def test_graphs_equal_the_plain_sum(format_, after_fold, most_terms, seed):
    bits, filter_ = format_
    plain = filter_graph(filter_, bits, after_fold=after_fold)
    shared = share(plain)
    cut = split(shared, most_terms)
    rng = np.random.default_rng(seed)
    windows = list(random_windows(rng, filter_, bits))
    for graph in (plain, shared, cut):
        assert_equals_sums(graph, filter_, windows)
    assert shared.cost <= plain.cost
    assert shared.adders <= plain.adders
    assert max(len(terms) for terms, _ in cut.sums) <= most_terms
    first = len(cut.inputs)
    for v, (terms, stage) in enumerate(cut.sums, start=first):
        assert all(term.source < v and cut.stage(term.source) <= stage for term in terms)
    assert len({cut.stage(v) for v in cut.outputs}) == 1


def test_graph_equals_the_plain_sum_for_all_windows():
    filter_ = Filter(4, 0, 8, (-5, 7), (3, -8))
    graph = split(share(filter_graph(filter_, 2, after_fold=True)), 3)
    windows = (w for w in product(product(range(-2, 2), repeat=3), repeat=2))
    assert_equals_sums(graph, filter_, windows)


def test_the_longest_filter_equals_the_plain_sum():
    low, high = fixed.code_range(16)
    rng = np.random.default_rng(0)
    half = rng.choice([low, high, 21845, -1], (2, 128)).tolist()
    filter_ = Filter(16, 24, 16, *map(tuple, half))
    plain = filter_graph(filter_, 16, after_fold=True)
    # Too many digits to share: they stay as they are.
    assert share(plain) == plain
    assert_equals_sums(split(plain, 48), filter_, random_windows(rng, filter_, 16))


def test_ranges_are_met_at_both_ends():
    graph = split(share(filter_graph(MIDDLE, 8, after_fold=True)), 8)
    for v, form in enumerate(graph.forms):
        for end in (0, 1):
            inputs = [graph.inputs[k][(form.get(k, 0) < 0) ^ end] for k in range(len(graph.inputs))]
            (value,) = replace(graph, outputs=(v,)).evaluate(inputs)
            assert value == graph.ranges[v][end]
    assert graph.bits(0) == 8
    assert graph.bits(len(graph.inputs)) == 9


def test_a_tap_of_zero_reads_nothing():
    zero = filter_graph(Filter(4, 0, 4, (0, 0), (0, 0)), 4, after_fold=True)
    assert [terms for terms, _ in zero.sums] == [(), ()]
    assert share(zero) == zero and split(zero, 2) == zero
    assert zero.evaluate([3] * 6) == [0, 0]
    assert (zero.adders, zero.depth, zero.register_bits) == (0, 0, 0)
    one = filter_graph(Filter(4, 0, 4, (0, 1), (0, 0)), 4, after_fold=False)
    assert {term.source for terms, _ in one.sums for term in terms} == {2, 3}


@pytest.mark.parametrize("field", ["source", "shift", "sign"])
def test_a_wrong_term_is_found(field):
    """Any one of the graph's terms, changed: the comparison must see it."""
    graph = split(share(filter_graph(MIDDLE, 8, after_fold=True)), 12)
    rng = np.random.default_rng(0)
    windows = list(random_windows(rng, MIDDLE, 8))
    for k, (terms, stage) in enumerate(graph.sums):
        for n, term in enumerate(terms):
            change = {"source": term.source ^ 1, "shift": term.shift + 1, "sign": -term.sign}
            if field == "source" and term.source ^ 1 >= len(graph.inputs) + k:
                continue
            wrong = (*terms[:n], term._replace(**{field: change[field]}), *terms[n + 1 :])
            sums = (*graph.sums[:k], Sum(wrong, stage), *graph.sums[k + 1 :])
            with pytest.raises(AssertionError):
                assert_equals_sums(replace(graph, sums=sums), MIDDLE, windows)


def test_what_repeats_is_shared_where_it_pays():
    """x0 - 4 x1 read four times, twice with the other sign: one sum, four readers."""
    wide = (-(2**11), 2**11 - 1)
    pattern = [(Term(0, s, sign), Term(1, s + 2, -sign)) for s, sign in ((0, 1), (5, -1))]
    terms = tuple(term for pair in pattern for term in pair)
    graph = Graph((wide,) * 3, (Sum(terms, 0), Sum((*terms, Term(2, 3, 1)), 0)), (3, 4))
    shared = share(graph)
    assert set(shared.sums[0].terms) == {Term(0, 0, 1), Term(1, 2, -1)}
    assert [len(terms) for terms, _ in shared.sums] == [2, 2, 3]
    assert shared.evaluate([5, -3, 2]) == graph.evaluate([5, -3, 2])
    assert shared.cost < graph.cost
    # What one output reads once costs a carry chain more than it saves.
    once = replace(graph, sums=(Sum(terms[:2], 0), Sum((Term(0, 0, 1), Term(2, 3, 1)), 0)))
    assert share(once) == once


def test_adders_depth_and_registers_are_counted():
    graph = Graph(
        ((-8, 7),) * 4,
        (
            Sum((Term(0, 0, 1), Term(1, 0, 1)), 0),
            Sum((Term(4, 2, 1), Term(2, 0, -1), Term(3, 0, 1)), 1),
        ),
        (5,),
    )
    assert (graph.adders, graph.depth) == (3, 2)
    assert graph.registers == {2: 1, 3: 1, 4: 1}
    assert graph.register_bits == 4 + 4 + 5


def test_the_search_gives_the_same_every_time():
    plain = filter_graph(MIDDLE, 9, after_fold=True)
    assert share(plain) == share(filter_graph(MIDDLE, 9, after_fold=True))
    assert share(plain).adders < plain.adders


def test_sums_of_one_term_cannot_be_split():
    with pytest.raises(ValueError, match="most_terms = 1"):
        split(filter_graph(MIDDLE, 8, after_fold=True), 1)
