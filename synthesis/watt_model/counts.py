"""What a step is made of, counted from its formats and its taps: bits of registers and of adders.

The counts follow the generated hardware (`dbp.rtl.blocks`): every width is that of the interval of
the values. Nothing is elaborated, so a step takes a millisecond; the shared sums of hardwired
filters, which are searched, take some ten and are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache

from dbp.datapath import fixed
from dbp.datapath.design import Filter, Rotation
from dbp.rtl.blocks.adder_graph import Graph
from dbp.rtl.blocks.arithmetic import Interval, squared_magnitude_interval
from dbp.rtl.blocks.filter import THREE_PRODUCTS_BITS
from dbp.rtl.blocks.hardwired import lane_graph
from dbp.rtl.pipeline import FilterPipeline, HardwiredPipeline, Pipeline
from dbp.rtl.target import FilterKind


@dataclass(frozen=True)
class Step:
    """A step to count: what the model needs of a design, and the cuts of its pipeline."""

    filter: Filter
    rotation: Rotation | None
    input_bits: int
    filters: FilterKind
    pipeline: Pipeline
    polarizations: int = 1


@dataclass(frozen=True)
class Counts:
    """The parts of a step in bits, those that grow with the lanes and those that do not together.

    Registers: ``moving``, of samples on their way through the lanes, ``idle``, those of them behind
    taps of zero; ``history``, which keep samples for the next word; ``settings``, of taps, of K and
    of the counters of what was clipped.

    Filters: ``rows``, the multiples of samples that are added in products with taps in registers,
    and ``busy_rows``, those of them whose digit of the tap is not zero; ``products``, and
    ``busy_products`` of taps other than zero, the results of real products; ``adders``, of folds,
    sums of products and rounding, ``busy_adders``, those that do not add zeros; ``full_adders``,
    ``carries``: of the sums of hardwired taps; ``waiting_carries``: the same, more for those behind
    others.

    Rotations: ``squares``, the pairs of bits in \\|x\\|^2; ``kerr_rows``, ``busy_kerr_rows``, as
    above with K; ``phase_rows``, with phi and with its square; ``turns``, adders of the rest.

    ``lanes``, and ``alone``, which is 1: for flags and valid bits.
    """

    moving: float = 0.0
    idle: float = 0.0
    history: float = 0.0
    settings: float = 0.0
    rows: float = 0.0
    busy_rows: float = 0.0
    products: float = 0.0
    busy_products: float = 0.0
    adders: float = 0.0
    busy_adders: float = 0.0
    full_adders: float = 0.0
    carries: float = 0.0
    waiting_carries: float = 0.0
    squares: float = 0.0
    kerr_rows: float = 0.0
    busy_kerr_rows: float = 0.0
    phase_rows: float = 0.0
    turns: float = 0.0
    lanes: float = 0.0
    alone: float = 0.0

    @property
    def registers(self) -> float:
        """Bits of all registers."""
        return self.moving + self.history + self.settings

    @property
    def toggling(self) -> float:
        """Bits of ``moving`` that change from word to word."""
        return self.moving - self.idle

    @property
    def read(self) -> float:
        """Bits of adders that load the registers before them, a filter's folded samples."""
        return self.rows + self.full_adders

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def times(self, lanes: int) -> Counts:
        """Return what so many equal lanes are made of."""
        return Counts(*(lanes * getattr(self, f.name) for f in fields(self)))


def count(step: Step, lanes: int) -> Counts:
    """Return what a step of so many lanes is made of, with two polarisations so many of each.

    Both have lanes and histories of their own, and share taps, K and phi.
    """
    filter_, n, both = step.filter, step.input_bits, step.polarizations
    half, shared = len(filter_.half_taps_i), 2.0 * n * (filter_.taps - 1)
    if step.filters == "hardwired":
        # Nobody reads the oldest samples where the outermost taps are zero.
        shared -= 2.0 * n * _outer_zeros(filter_)
        lane, taps, clips = _hardwired_lane(filter_, n, step.pipeline.hardwired)
        counters = clips
    else:
        lane, taps, counters = _filter_lane(filter_, n, step.pipeline.filter)
    total = lane.times(lanes * both)
    total += Counts(history=both * shared, settings=taps, lanes=lanes * both, alone=1.0)
    rotation = step.rotation
    if rotation is not None:
        lane, kept = _rotation_lane(rotation, filter_.output_bits, step.pipeline, both)
        kerr = 2.0 * len(rotation.kerr_gains) * rotation.kerr_bits
        total += lane.times(lanes) + Counts(history=kept, settings=kerr)
        counters += 2
    bits = 32.0 * (counters + (counters > 0 or half > 0))
    return total + Counts(settings=bits)


def _outer_zeros(filter_: Filter) -> int:
    taps = zip(filter_.half_taps_i, filter_.half_taps_q, strict=True)
    return next((k for k, tap in enumerate(taps) if any(tap)), filter_.taps - 1)


def _bits(x: Interval) -> int:
    return x.shape.width


@dataclass(frozen=True)
class _Tree:
    """A sum of terms, pair by pair: its adders and its registers, and what of them is busy."""

    total: Interval
    adders: int = 0
    busy_adders: int = 0
    registers: int = 0
    idle: int = 0


def _tree(terms: Sequence[Interval], busy: Sequence[bool], cuts: Sequence[bool]) -> _Tree:
    """Add ``terms``; ``busy``: which of them are not always zero. ``cuts``: as `adder_tree`."""
    terms, busy = list(terms), list(busy)
    adders = busy_adders = registers = idle = 0
    for registered in cuts:
        for k in range(0, len(terms) - 1, 2):
            terms[k], busy[k] = terms[k] + terms[k + 1], busy[k] or busy[k + 1]
            adders += _bits(terms[k])
            busy_adders += busy[k] * _bits(terms[k])
        terms, busy = terms[::2], busy[::2]
        widths = [registered * _bits(x) for x in terms]
        registers += sum(widths)
        idle += sum(width for width, moves in zip(widths, busy, strict=True) if not moves)
    return _Tree(terms[0], adders, busy_adders, registers, idle)


def booth_digits(value: int, bits: int) -> int:
    """Return how many digits of radix 4 of a code are not zero."""
    code = (value & (1 << bits) - 1) << 1 | (value < 0) << bits + 1
    return sum((code >> 2 * k & 7) not in (0, 7) for k in range((bits + 1) // 2))


@dataclass(frozen=True)
class _Formats:
    """All of a filter with taps in registers that does not depend on their digits."""

    coefficient_bits: int
    half: int
    input_bits: int
    output_bits: int
    shift: int
    zeros: tuple[bool, ...]


def _filter_lane(filter_: Filter, n: int, cuts: FilterPipeline) -> tuple[Counts, float, int]:
    """A lane with taps in registers, the bits of all its taps, and whether it can clip."""
    c, half = filter_.coefficient_bits, len(filter_.half_taps_i)
    taps = list(zip(filter_.half_taps_i, filter_.half_taps_q, strict=True))
    zeros = tuple(hi == hq == 0 for hi, hq in taps)
    formats = _Formats(c, half, n, filter_.output_bits, filter_.shift, zeros)
    lane, tap_bits, clips = _lane_of(formats, cuts)
    busy = products = 0.0
    for k, (hi, hq) in enumerate(taps):
        width = n + (k < half - 1)
        factors = 2 * [(hi, c, width), (hq, c, width)]
        if c >= THREE_PRODUCTS_BITS:
            factors = [(hi, c, width + 1), (hi + hq, c + 1, width), (hq - hi, c + 1, width)]
        busy += sum(booth_digits(tap, bits) * (wide + 1) for tap, bits, wide in factors)
        products += sum(bits + wide for tap, bits, wide in factors if tap)
    return replace(lane, busy_rows=busy, busy_products=products), tap_bits, clips


@lru_cache(maxsize=1024)
def _lane_of(f: _Formats, cuts: FilterPipeline) -> tuple[Counts, float, int]:
    n, c, half = f.input_bits, f.coefficient_bits, f.half
    three, x, h = c >= THREE_PRODUCTS_BITS, Interval.signed(n), Interval.signed(c)
    moving = idle = adders = busy = rows = results = 0.0
    products = []
    for k, zero in enumerate(f.zeros):
        folded = x if k == half - 1 else x + x
        word = [folded, folded]
        adders += 2 * (k < half - 1) * _bits(folded)
        factors = [(folded, c)] * 4
        if three:
            both = folded + folded
            word.append(both)
            adders += _bits(both)
            factors = [(both, c), (folded, c + 1), (folded, c + 1)]
        moving += cuts.after_pre_add * sum(map(_bits, word))
        for sample, bits in factors:
            rows += (bits + 1) // 2 * (_bits(sample) + 1)
            results += _bits(sample) + bits
            moving += cuts.after_multiplier * (_bits(sample) + bits)
        products.append(folded * h + folded * h)
        # Folds are busy whatever the tap, sums of products are not.
        busy += 2 * _bits(products[-1]) * (not zero)
        adders += 2 * _bits(products[-1])
        moving += cuts.after_product * 2 * _bits(products[-1])
        idle += cuts.after_product * 2 * _bits(products[-1]) * zero
    tree = _tree(products, [not zero for zero in f.zeros], cuts.tree_cuts(half))
    rounding = 2 * _bits(tree.total)
    folds = adders - 2 * sum(map(_bits, products))
    busy += folds + 2 * tree.busy_adders + rounding
    adders += 2 * tree.adders + rounding
    moving += 2 * tree.registers + 2 * f.output_bits
    idle += 2 * tree.idle
    taps = 4.0 * half * c
    if three and cuts.after_pre_add:
        # Sums of taps are in registers, and the words that must not come before them too.
        taps += half * (3 * c + 2)
        moving += 2 * n
    clips = not tree.total.rounded(f.shift).fits(f.output_bits)
    lane = Counts(
        moving=moving, idle=idle, rows=rows, products=results, adders=adders, busy_adders=busy
    )
    return lane, taps, int(clips)


@lru_cache(maxsize=4096)
def _hardwired_lane(
    filter_: Filter, n: int, pipeline: HardwiredPipeline
) -> tuple[Counts, float, int]:
    """A lane with its taps in the logic; it has no bits of taps."""
    graph = lane_graph(filter_, n, pipeline)
    full, carries, waiting = _sums(graph)
    clips = not all(
        Interval(*graph.ranges[v]).rounded(filter_.shift).fits(filter_.output_bits)
        for v in graph.outputs
    )
    moving = graph.register_bits + 2 * filter_.output_bits
    return (
        Counts(moving=moving, full_adders=full, carries=carries, waiting_carries=waiting),
        0.0,
        int(clips),
    )


def _sums(graph: Graph) -> tuple[float, float, float]:
    """Full adders that reduce the terms of all sums to two words, and the carries behind them.

    A carry behind another sum, with no register in between, waits for it and toggles meanwhile: as
    one that waits it counts once for each sum in a row.
    """
    full = carries = waiting = 0.0
    row: dict[int, int] = {}
    for v, (terms, stage) in enumerate(graph.sums, start=len(graph.inputs)):
        bits = graph.bits(v)
        before = [row.get(t.source, 0) for t in terms if graph.stage(t.source) == stage]
        row[v] = 1 + max(before, default=0)
        full += max(sum(graph.bits(term.source) for term in terms) - 2 * bits, 0)
        carries += bits
        waiting += row[v] * bits
    return full, carries, waiting


def _rotation_lane(
    rotation: Rotation, n: int, pipeline: Pipeline, polarizations: int
) -> tuple[Counts, float]:
    """A lane of a rotation, and the bits that all lanes keep of earlier samples.

    With two ``polarizations`` it squares and turns a sample of each, by one phi.
    """
    p, r = pipeline.rotation.for_rotation(rotation), rotation
    branch, x, samples = r.branch_width(n), Interval.signed(n), 2 * n * polarizations
    offset = Interval(r.power_offset, r.power_offset)
    of_one = squared_magnitude_interval(n, r.branch_bits)
    summed = of_one if polarizations == 1 else of_one + of_one
    power = summed - offset
    kerr, half = Interval.signed(r.kerr_bits), len(r.kerr_gains)
    moving = p.after_power * (_bits(power) + samples)
    turns = float(_bits(power)) * (r.power_offset > 0) + _bits(summed) * (polarizations - 1)
    kerr_rows = busy = 0.0
    total = Interval(0, 0)
    for k, gain in enumerate(r.kerr_gains):
        folded = power if k == half - 1 else power + power
        turns += (k < half - 1) * _bits(folded)
        moving += p.after_fold * _bits(folded)
        kerr_rows += (r.kerr_bits + 1) // 2 * (_bits(folded) + 1)
        busy += booth_digits(_usual_kerr(r, gain), r.kerr_bits) * (_bits(folded) + 1)
        moving += p.after_kerr * _bits(folded * kerr)
        total = total + folded * kerr
    moving += (p.after_fold + p.after_kerr) * samples
    turns += _bits(total)
    phi = total.rounded(r.phase_shift).saturated(r.phase_bits)
    digits = (_bits(phi) + 1) // 2
    rows = 2 * digits * (n + 1)
    one = Interval(1 << r.phase_fraction_bits, 1 << r.phase_fraction_bits)
    cosine, squares = one, polarizations * branch * (branch - 1.0)
    moving += p.after_phase * (samples + 3 * digits)
    if r.taylor_order == 2:
        versine = phi.squared().rounded(r.phase_fraction_bits + 1)
        more = (_bits(versine) + 2) // 2 if versine.high else 0
        rows += 2 * more * (n + 1) * (versine.high > 0)
        squares += _bits(phi) * (_bits(phi) - 1) / 2
        moving += p.after_phase * (_bits(phi) - 3 * digits)
        moving += p.after_versine * (samples + 3 * digits + 3 * more)
        cosine = one - versine
    turned = cosine * x + phi * x
    turns += polarizations * 2 * _bits(turned)
    moving += polarizations * (p.after_product * 2 * _bits(turned) + 2 * r.output_bits)
    lane = Counts(
        moving=moving,
        squares=squares,
        kerr_rows=kerr_rows,
        busy_kerr_rows=busy,
        phase_rows=polarizations * rows,
        turns=turns,
    )
    return lane, (r.kerr_taps - 1.0) * _bits(power) + r.delay * samples


# K is that of the launch power at which designs are compared: near the best of all.
USUAL_LAUNCH_POWER_UW = 1122


def _usual_kerr(rotation: Rotation, gain: int) -> int:
    exact = fixed.round_shift(gain * USUAL_LAUNCH_POWER_UW, rotation.kerr_shift)
    return int(fixed.saturate(exact, rotation.kerr_bits))


def phases(taps: int, n: int, branch_bits: int, weight_bits: int, lanes: int) -> Counts:
    """Return what it takes to weigh the powers around each sample: a rotation without its product.

    ``taps``: weights, symmetric, odd; of their digits three quarters are not zero. ``n``: bits of a
    sample, which waits for the powers behind it.
    """
    half = (taps + 1) // 2
    power = squared_magnitude_interval(n, branch_bits)
    moving, adders, rows = _bits(power) + 2.0 * n, 0.0, 0.0
    products = []
    for k in range(half):
        folded = power if k == half - 1 else power + power
        adders += (k < half - 1) * _bits(folded)
        rows += (weight_bits + 1) // 2 * (_bits(folded) + 1)
        products.append(folded * Interval.signed(weight_bits))
        moving += _bits(folded) + _bits(products[-1])
    tree = _tree(products, half * [True], FilterPipeline().tree_cuts(half))
    adders += tree.adders + _bits(tree.total)
    waiting = 3 + len(FilterPipeline().tree_cuts(half))
    lane = Counts(
        moving=moving + tree.registers + 2.0 * n * waiting,
        squares=branch_bits * (branch_bits - 1.0),
        kerr_rows=rows,
        busy_kerr_rows=0.75 * rows,
        turns=adders,
        lanes=1.0,
    )
    history = (taps - 1.0) * (_bits(power) + n)
    return lane.times(lanes) + Counts(history=history, settings=2.0 * half * weight_bits, alone=1.0)
