"""What a step is made of, counted from its formats and its taps: bits of registers and of adders.

The counts follow the generated hardware (`dbp.rtl.blocks`): every width is that of the interval of
the values. Nothing is elaborated, so a step takes a millisecond; the shared sums of hardwired
filters, which are searched, take some ten and are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

from dbp.datapath import fixed
from dbp.datapath.design import Filter, Rotation
from dbp.rtl.blocks.adder_graph import Graph
from dbp.rtl.blocks.arithmetic import Interval, squared_magnitude_interval
from dbp.rtl.blocks.filter import THREE_PRODUCTS_BITS
from dbp.rtl.blocks.hardwired import lane_graph
from dbp.rtl.pipeline import HardwiredPipeline, Pipeline
from dbp.rtl.target import FilterKind


@dataclass(frozen=True)
class Step:
    """A step to count: what the model needs of a design, and the cuts of its pipeline."""

    filter: Filter
    rotation: Rotation | None
    input_bits: int
    filters: FilterKind
    pipeline: Pipeline


@dataclass(frozen=True)
class Counts:
    """The parts of a step in bits, those that grow with the lanes and those that do not together.

    Registers: ``moving``, of samples on their way through the lanes; ``history``, which keep
    samples for the next word; ``settings``, of taps, of K and of the counters of what was clipped;
    ``ports``, of the valid bits and what else belongs to the step alone.

    Filters: ``rows``, the multiples of samples that are added in products with taps in registers,
    and ``busy_rows``, those of them whose digit of the tap is not zero; ``adders``, of folds, sums
    of products and rounding; ``full_adders``, ``carries``: of the sums of hardwired taps.

    Rotations: ``squares``, the pairs of bits in \\|x\\|^2; ``kerr_rows``, ``busy_kerr_rows``, as
    above with K; ``phase_rows``, with phi and with its square; ``turns``, adders of the rest.
    """

    moving: float
    history: float
    settings: float
    rows: float
    busy_rows: float
    adders: float
    full_adders: float
    carries: float
    squares: float
    kerr_rows: float
    busy_kerr_rows: float
    phase_rows: float
    turns: float
    lanes: float

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


_ZERO = Counts(*(0.0 for _ in fields(Counts)))


def _counts(**values: float) -> Counts:
    return Counts(**{field.name: values.pop(field.name, 0.0) for field in fields(Counts)})


def count(step: Step, lanes: int) -> Counts:
    """Return what a step of so many lanes is made of."""
    filter_, n = step.filter, step.input_bits
    half, shared = len(filter_.half_taps_i), 2.0 * n * (filter_.taps - 1)
    if step.filters == "hardwired":
        lane, taps, clips = _hardwired_lane(filter_, n, step.pipeline.hardwired)
        counters = clips
    else:
        lane, taps, counters = _filter_lane(filter_, n, step.pipeline)
    total = _times(lane, lanes) + _counts(history=shared, settings=taps, lanes=lanes)
    rotation = step.rotation
    if rotation is not None:
        lane, kept = _rotation_lane(rotation, filter_.output_bits, step.pipeline)
        kerr = 2.0 * len(rotation.kerr_gains) * rotation.kerr_bits
        total += _times(lane, lanes) + _counts(history=kept, settings=kerr)
        counters += 2
    bits = 32.0 * (counters + (counters > 0 or half > 0))
    return total + _counts(settings=bits)


def _times(counts: Counts, lanes: int) -> Counts:
    return Counts(*(lanes * getattr(counts, field.name) for field in fields(Counts)))


def _bits(x: Interval) -> int:
    return x.shape.width


def _sum_bits(terms: Sequence[Interval], cuts: Sequence[bool]) -> tuple[Interval, float, float]:
    """The sum of ``terms`` pair by pair, its adders and its registers, in bits."""
    terms, adders, registers = list(terms), 0, 0
    for registered in cuts:
        pairs = [terms[k : k + 2] for k in range(0, len(terms), 2)]
        terms = [pair[0] + pair[1] if len(pair) == 2 else pair[0] for pair in pairs]
        adders += sum(_bits(x) for x, pair in zip(terms, pairs, strict=True) if len(pair) == 2)
        registers += registered * sum(map(_bits, terms))
    return terms[0], adders, registers


def booth_digits(value: int, bits: int) -> int:
    """Return how many digits of radix 4 of a code are not zero."""
    code = (value & (1 << bits) - 1) << 1 | (value < 0) << bits + 1
    return sum((code >> 2 * k & 7) not in (0, 7) for k in range((bits + 1) // 2))


def _filter_lane(filter_: Filter, n: int, pipeline: Pipeline) -> tuple[Counts, float, int]:
    """A lane with taps in registers, the bits of all its taps, and whether it can clip."""
    p, c, half = pipeline.filter, filter_.coefficient_bits, len(filter_.half_taps_i)
    three, x, h = c >= THREE_PRODUCTS_BITS, Interval.signed(n), Interval.signed(c)
    moving = adders = rows = busy = 0.0
    products = []
    for k, (hi, hq) in enumerate(zip(filter_.half_taps_i, filter_.half_taps_q, strict=True)):
        folded = x if k == half - 1 else x + x
        word = [folded, folded]
        adders += 2 * (k < half - 1) * _bits(folded)
        factors = [(folded, c, hi), (folded, c, hq)] * 2
        if three:
            both = folded + folded
            word.append(both)
            adders += _bits(both)
            factors = [(both, c, hi), (folded, c + 1, hi + hq), (folded, c + 1, hq - hi)]
        moving += p.after_pre_add * sum(map(_bits, word))
        for sample, bits, tap in factors:
            rows += (bits + 1) // 2 * (_bits(sample) + 1)
            busy += booth_digits(tap, bits) * (_bits(sample) + 1)
            moving += p.after_multiplier * (_bits(sample) + bits)
        product = folded * h + folded * h
        products.append(product)
        adders += 2 * _bits(product)
        moving += p.after_product * 2 * _bits(product)
    total, tree, registers = _sum_bits(products, p.tree_cuts(half))
    adders += 2 * tree + 2 * _bits(total)
    moving += 2 * registers + 2 * filter_.output_bits
    rounded = total.rounded(filter_.shift)
    taps = 4.0 * half * c + (three and p.after_pre_add) * half * (3 * c + 2)
    lane = _counts(moving=moving, rows=rows, busy_rows=busy, adders=adders)
    return lane, taps, int(not rounded.fits(filter_.output_bits))


@lru_cache(maxsize=4096)
def _hardwired_lane(
    filter_: Filter, n: int, pipeline: HardwiredPipeline
) -> tuple[Counts, float, int]:
    """A lane with its taps in the logic; it has no bits of taps."""
    graph = lane_graph(filter_, n, pipeline)
    full, carries = _sums(graph)
    clips = not all(
        Interval(*graph.ranges[v]).rounded(filter_.shift).fits(filter_.output_bits)
        for v in graph.outputs
    )
    moving = graph.register_bits + 2 * filter_.output_bits
    return _counts(moving=moving, full_adders=full, carries=carries), 0.0, int(clips)


def _sums(graph: Graph) -> tuple[float, float]:
    """Full adders that reduce the terms of all sums to two words, and the carries behind them."""
    full = carries = 0
    for v, (terms, _) in enumerate(graph.sums, start=len(graph.inputs)):
        bits = graph.bits(v)
        full += max(sum(graph.bits(term.source) for term in terms) - 2 * bits, 0)
        carries += bits
    return full, carries


def _rotation_lane(rotation: Rotation, n: int, pipeline: Pipeline) -> tuple[Counts, float]:
    """A lane of a rotation, and the bits that all lanes keep of earlier samples."""
    p, r = pipeline.rotation.for_rotation(rotation), rotation
    branch, x = r.branch_width(n), Interval.signed(n)
    offset = Interval(r.power_offset, r.power_offset)
    power = squared_magnitude_interval(n, r.branch_bits) - offset
    kerr, half = Interval.signed(r.kerr_bits), len(r.kerr_gains)
    moving = p.after_power * (_bits(power) + 2 * n)
    turns = float(_bits(power)) * (r.power_offset > 0)
    kerr_rows = busy = 0.0
    total = Interval(0, 0)
    for k, gain in enumerate(r.kerr_gains):
        folded = power if k == half - 1 else power + power
        turns += (k < half - 1) * _bits(folded)
        moving += p.after_fold * _bits(folded)
        kerr_rows += (r.kerr_bits + 1) // 2 * (_bits(folded) + 1)
        busy += booth_digits(_usual_kerr(r, gain), r.kerr_bits) * (_bits(folded) + 1)
        total = total + folded * kerr
    moving += p.after_fold * 2 * n
    turns += _bits(total)
    phi = total.rounded(r.phase_shift).saturated(r.phase_bits)
    digits = (_bits(phi) + 1) // 2
    rows = 2 * digits * (n + 1)
    one = Interval(1 << r.phase_fraction_bits, 1 << r.phase_fraction_bits)
    cosine, squares = one, branch * (branch - 1.0)
    moving += p.after_phase * (2 * n + 3 * digits)
    if r.taylor_order == 2:
        versine = phi.squared().rounded(r.phase_fraction_bits + 1)
        more = (_bits(versine) + 2) // 2 if versine.high else 0
        rows += 2 * more * (n + 1) * (versine.high > 0)
        squares += _bits(phi) * (_bits(phi) - 1) / 2
        moving += p.after_phase * (_bits(phi) - 3 * digits)
        moving += p.after_versine * (2 * n + 3 * digits + 3 * more)
        cosine = one - versine
    turned = cosine * x + phi * x
    turns += 2 * _bits(turned)
    moving += p.after_product * 2 * _bits(turned) + 2 * r.output_bits
    lane = _counts(
        moving=moving,
        squares=squares,
        kerr_rows=kerr_rows,
        busy_kerr_rows=busy,
        phase_rows=rows,
        turns=turns,
    )
    return lane, (r.kerr_taps - 1.0) * _bits(power) + 2.0 * r.delay * n


# K is that of the launch power at which designs are compared: near the best of all.
USUAL_LAUNCH_POWER_UW = 1122


def _usual_kerr(rotation: Rotation, gain: int) -> int:
    exact = fixed.round_shift(gain * USUAL_LAUNCH_POWER_UW, rotation.kerr_shift)
    return int(fixed.saturate(exact, rotation.kerr_bits))


Counter = Callable[[Step, int], Counts]
