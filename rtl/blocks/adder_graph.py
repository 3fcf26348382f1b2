"""Constant filters as graphs of sums: signed digits of the taps, and sums that several read.

A value is an input of the graph or a sum of shifted, signed values before it. A sum has any number
of terms, since synthesis adds many terms without carries in between (carry-save) and pays for one
carry chain at the end: a shared sum must be worth a carry chain of its own. `Graph.cost` counts
that in units of a full adder, and `share` shares the sums that lower it.

Signed digits: Avizienis, IRE Trans. EC-10, 389 (1961). Shared subexpressions: Hartley, IEEE Trans.
Circuits Syst. II 43, 677 (1996); the bit-level cost replaces his count of adders.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from numpy.typing import NDArray

from dbp.datapath import fixed
from dbp.datapath.design import Filter

# Energy of a bit relative to that of a full adder within a sum, measured in nangate45:
# docs/reference/blocks/hardwired.md.
_CARRY, _REGISTER = 1.2, 1.2
# The number of pairs grows with the square of that of terms: longer sums stay unshared.
_MOST_TERMS = 128


class Term(NamedTuple):
    """``sign * (value << shift)`` of the value with index ``source``."""

    source: int
    shift: int
    sign: int


class Sum(NamedTuple):
    """The sum of ``terms``, computed ``stage`` registers behind the inputs; zero without terms."""

    terms: tuple[Term, ...]
    stage: int


@dataclass(frozen=True)
class Graph:
    """Sums over ``len(inputs)`` inputs, each with its smallest and its largest integer.

    Value ``v`` is input ``v``, or ``sums[v - len(inputs)]``, which reads values before it, none of
    a later stage. ``outputs`` are the indices of the values that leave.
    """

    inputs: tuple[tuple[int, int], ...]
    sums: tuple[Sum, ...]
    outputs: tuple[int, ...]

    def evaluate(self, inputs: Sequence[NDArray | int]) -> list[NDArray | int]:
        """Return the exact outputs; inputs are arrays of integers or plain integers."""
        values = list(inputs)
        for terms, _ in self.sums:
            values.append(sum(sign * (values[v] << shift) for v, shift, sign in terms))
        return [values[v] for v in self.outputs]

    @cached_property
    def forms(self) -> list[dict[int, int]]:
        """Every value as a linear form: the factor of each input that it depends on."""
        forms = [{k: 1} for k in range(len(self.inputs))]
        for terms, _ in self.sums:
            forms.append(_form(terms, forms))
        return forms

    @cached_property
    def ranges(self) -> list[tuple[int, int]]:
        """Smallest and largest integer of every value, over all inputs."""
        return [_range(form, self.inputs) for form in self.forms]

    def bits(self, v: int) -> int:
        """Return the bits of value ``v`` as it is wired: minus the smallest that it can be."""
        low, high = self.ranges[v]
        return (high - low).bit_length()

    def stage(self, v: int) -> int:
        """Return the number of registers between the inputs and value ``v``."""
        return self.sums[v - len(self.inputs)].stage if v >= len(self.inputs) else 0

    @property
    def adders(self) -> int:
        """The number of adders, if every sum were made of adders of two inputs."""
        return sum(max(len(terms) - 1, 0) for terms, _ in self.sums)

    @property
    def depth(self) -> int:
        """Two-input adders in a row on the longest path, each sum being a balanced tree."""
        depths = [0] * len(self.inputs)
        for terms, _ in self.sums:
            leaves = sum(1 << depths[v] for v, *_ in terms)
            depths.append(max(leaves - 1, 0).bit_length())
        return max((depths[v] for v in self.outputs), default=0)

    @property
    def registers(self) -> dict[int, int]:
        """The number of registers that each value passes, without the values that pass none."""
        last: dict[int, int] = {}
        for terms, stage in self.sums:
            for v, *_ in terms:
                last[v] = max(last.get(v, 0), stage - self.stage(v))
        return {v: count for v, count in last.items() if count}

    @property
    def register_bits(self) -> int:
        """Flip-flops between the stages."""
        return sum(self.bits(v) * count for v, count in self.registers.items())

    @property
    def cost(self) -> float:
        """Energy in units of a full adder: the carry-save adders, carry chains and flip-flops."""
        total = _REGISTER * self.register_bits
        for v, (terms, _) in enumerate(self.sums, start=len(self.inputs)):
            total += _sum_cost(sum(self.bits(term.source) for term in terms), self.bits(v))
        return total


def _sum_cost(summed_bits: int, bits: int) -> float:
    """Return the energy of a sum of ``bits`` bits.

    Full adders reduce all terms to two words, and a carry chain adds these.
    """
    return max(summed_bits - 2 * bits, 0) + _CARRY * bits


def _form(terms: Sequence[Term], forms: Sequence[dict[int, int]]) -> dict[int, int]:
    form: Counter[int] = Counter()
    for v, shift, sign in terms:
        for k, factor in forms[v].items():
            form[k] += sign * (factor << shift)
    return {k: factor for k, factor in form.items() if factor}


def _range(form: dict[int, int], inputs: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the smallest and the largest integer of a linear form."""
    ends = [sorted(factor * end for end in inputs[k]) for k, factor in form.items()]
    return sum(low for low, _ in ends), sum(high for _, high in ends)


def signed_digits(value: int) -> list[tuple[int, int]]:
    """Return the canonical signed digits of an integer as (shift, sign).

    No two of them are adjacent, and no other form has fewer.
    """
    digits, shift = [], 0
    while value:
        if value & 1:
            sign = 2 - (value & 3)
            digits.append((shift, sign))
            value -= sign
        value >>= 1
        shift += 1
    return digits


def filter_graph(filter_: Filter, input_bits: int, *, after_fold: bool) -> Graph:
    """Return the graph of the exact sum of ``filter_`` over its window, I and Q, unshared.

    Each signed digit of a tap is a term. Inputs ``2 k`` and ``2 k + 1`` are I and Q of sample ``k``
    of the window, the oldest first. The two samples that share a tap are added first; a tap of zero
    reads nothing.
    """
    taps, half = filter_.taps, len(filter_.half_taps_i)
    inputs = (fixed.code_range(input_bits),) * (2 * taps)
    sums: list[Sum] = []
    outputs: tuple[list[Term], list[Term]] = ([], [])
    for k, (hi, hq) in enumerate(zip(filter_.half_taps_i, filter_.half_taps_q, strict=True)):
        if hi == hq == 0:
            continue
        for quadrature, factors in enumerate(((hi, hq), (-hq, hi))):
            word, mirrored = 2 * k + quadrature, 2 * (taps - 1 - k) + quadrature
            if k != half - 1:
                sums.append(Sum((Term(word, 0, 1), Term(mirrored, 0, 1)), 0))
                word = 2 * taps + len(sums) - 1
            for terms, factor in zip(outputs, factors, strict=True):
                terms += [Term(word, *digit) for digit in signed_digits(factor)]
    first = len(inputs) + len(sums)
    sums += [Sum(tuple(terms), int(after_fold)) for terms in outputs]
    return Graph(inputs, tuple(sums), (first, first + 1))


def share(graph: Graph) -> Graph:
    """Make sums of their own of pairs of terms that occur several times in the outputs.

    Greedy: of all pairs with equal difference of shifts and equal product of signs, share the one
    that lowers `Graph.cost` most, until no pair lowers it. The outputs must be the last sums, and
    no sum may read them.
    """
    if max(len(terms) for terms in _output_terms(graph)) > _MOST_TERMS:
        return graph
    widths = _Widths(graph)
    while (best := _best_pair(graph, widths)) is not None:
        graph = _extract(graph, best)
    return graph


def split(graph: Graph, most_terms: int) -> Graph:
    """Cut sums of more than ``most_terms`` terms into equal parts with registers behind them.

    As in `share`, the outputs must be the last sums, and no sum may read them.
    """
    if most_terms < 2:
        raise ValueError(f"most_terms = {most_terms}: a sum of sums has at least 2")
    values = list(range(len(graph.inputs)))
    sums: list[Sum] = []
    outputs: dict[int, Sum] = {}
    for v, (terms, stage) in enumerate(graph.sums, start=len(values)):
        terms = tuple(term._replace(source=values[term.source]) for term in terms)
        while len(terms) > most_terms:
            parts = -(-len(terms) // most_terms)
            ends = [len(terms) * k // parts for k in range(parts + 1)]
            first = len(graph.inputs) + len(sums)
            sums += [Sum(terms[a:b], stage) for a, b in pairwise(ends)]
            terms = tuple(Term(first + k, 0, 1) for k in range(parts))
            stage += 1
        values.append(len(graph.inputs) + len(sums))
        if v in graph.outputs:
            outputs[v] = Sum(terms, stage)
        else:
            sums.append(Sum(terms, stage))
    # All outputs leave in the same stage, and remain the last sums.
    last = max(stage for _, stage in outputs.values())
    first = len(graph.inputs) + len(sums)
    sums += [outputs[v]._replace(stage=last) for v in graph.outputs]
    return replace(graph, sums=tuple(sums), outputs=tuple(range(first, first + len(outputs))))


class _Pair(NamedTuple):
    """``a + sign * (b << shift)``; it occurs shifted and negated as a whole.

    With a shift below zero ``b`` is the lower term.
    """

    a: int
    b: int
    shift: int
    sign: int


def _output_terms(graph: Graph) -> list[tuple[Term, ...]]:
    return [graph.sums[v - len(graph.inputs)].terms for v in graph.outputs]


class _Widths:
    """Bits of the values of a graph, and of sums of pairs, while `share` adds sums to it.

    Those of all values but the outputs keep their indices, so no width is found twice.
    """

    def __init__(self, graph: Graph) -> None:
        self.outputs = [graph.bits(v) for v in graph.outputs]
        self.values: dict[int, int] = {}
        self.pairs: dict[_Pair, int] = {}

    def of_value(self, graph: Graph, v: int) -> int:
        """Return the bits of a value that is no output."""
        if v not in self.values:
            self.values[v] = graph.bits(v)
        return self.values[v]

    def of_pair(self, graph: Graph, pair: _Pair) -> int:
        """Return the bits that the sum of a pair would have."""
        if pair not in self.pairs:
            low, high = _range(_form(_sum_of(pair).terms, graph.forms), graph.inputs)
            self.pairs[pair] = (high - low).bit_length()
        return self.pairs[pair]


class _Output:
    """The terms of an output, by their source and by their place."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self.terms = terms
        self.at = {(term.source, term.shift): k for k, term in enumerate(terms)}
        self.of: dict[int, list[int]] = {}
        for k, term in enumerate(terms):
            self.of.setdefault(term.source, []).append(k)

    def matches(self, pair: _Pair) -> list[tuple[int, int]]:
        """Return the indices of both terms where a pair occurs, each term in one at most."""
        terms, at = self.terms, self.at
        used: set[int] = set()
        matches = []
        for j in self.of.get(pair.a, ()):
            if j in used:
                continue
            k = at.get((pair.b, terms[j].shift + pair.shift))
            if k is None or k == j or k in used or terms[k].sign * terms[j].sign != pair.sign:
                continue
            used |= {j, k}
            matches.append((j, k))
        return matches


def _repeated_pairs(graph: Graph) -> list[_Pair]:
    count: Counter[tuple[int, int, int, int]] = Counter()
    for terms in _output_terms(graph):
        # As `_pair` of each two terms, but for the order of equal sources once for all.
        places = sorted(range(len(terms)), key=lambda k: terms[k][:2])
        rank = dict(zip(places, range(len(terms)), strict=True))
        for j, (source, shift, sign) in enumerate(terms):
            for k in range(j + 1, len(terms)):
                other, at, its = terms[k]
                if rank[k] < rank[j]:
                    count[other, source, shift - at, its * sign] += 1
                else:
                    count[source, other, at - shift, sign * its] += 1
    return [_Pair(*pair) for pair, uses in count.items() if uses > 1]


def _best_pair(graph: Graph, widths: _Widths) -> _Pair | None:
    """Return the pair whose sharing lowers the cost most, None where none lowers it."""
    outputs = [_Output(terms) for terms in _output_terms(graph)]
    summed = [
        sum(widths.of_value(graph, term.source) for term in output.terms) for output in outputs
    ]
    best, most = None, 0.0
    for pair in _repeated_pairs(graph):
        matches = [len(output.matches(pair)) for output in outputs]
        if sum(matches) < 2:
            continue
        bits = widths.of_pair(graph, pair)
        apart = widths.of_value(graph, pair.a) + widths.of_value(graph, pair.b)
        gain = -_sum_cost(apart, bits)
        for width, count, before in zip(widths.outputs, matches, summed, strict=True):
            gain += _sum_cost(before, width)
            gain -= _sum_cost(before - count * (apart - bits), width)
        if graph.sums[-1].stage:
            gain -= _REGISTER * bits
            uses = sum(matches) * (1 + (pair.a == pair.b))
            for v in {pair.a, pair.b}:
                if sum(len(output.of.get(v, ())) for output in outputs) == uses:
                    gain += _REGISTER * widths.of_value(graph, v)
        if gain > most:
            best, most = pair, gain
    return best


def _sum_of(pair: _Pair) -> Sum:
    low = min(pair.shift, 0)
    return Sum((Term(pair.a, -low, 1), Term(pair.b, pair.shift - low, pair.sign)), 0)


def _extract(graph: Graph, pair: _Pair) -> Graph:
    """Return the graph with ``pair`` as one more sum, which is read wherever the pair occurs."""
    first = min(graph.outputs)
    sums = [*graph.sums[: first - len(graph.inputs)], _sum_of(pair)]
    for terms in _output_terms(graph):
        matches = _Output(terms).matches(pair)
        replaced = {k for match in matches for k in match}
        kept = [term for k, term in enumerate(terms) if k not in replaced]
        shared = [
            Term(first, terms[j].shift + min(pair.shift, 0), terms[j].sign) for j, _ in matches
        ]
        sums.append(Sum((*kept, *shared), graph.sums[-1].stage))
    return replace(graph, sums=tuple(sums), outputs=tuple(v + 1 for v in graph.outputs))
