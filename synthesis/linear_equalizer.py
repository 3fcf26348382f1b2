# amaranth: UnusedElaboratable=no
"""Watts of a static equaliser of chromatic dispersion: operations, times the cost of each in a kit.

It is the alternative to digital backpropagation, in the same kit, by the same flow, on the same
waveform. This is an estimate: only the operations of the datapath (`dbp.datapath.overlap_save`) are
built, each as a block that is mapped, timed, simulated with delays on the words that this operation
gets in the transform, and costed. ``docs/results/linear_equalizer.md`` says which parts the count
leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dbp.datapath import overlap_save
from dbp.datapath.golden import Samples
from dbp.datapath.overlap_save import Equalizer, Operations, Stage, butterfly
from dbp.errors import InputError, ToolError
from dbp.rtl.blocks.fft_operations import Butterfly, DelayLine, FftBlock, Multiplications
from dbp.rtl.verilog import to_verilog
from dbp.support import processes
from dbp.support.files import write_text
from dbp.synthesis import stages
from dbp.synthesis.cells import kits
from dbp.synthesis.gates.step_bench import port_bit
from dbp.synthesis.netlist import CLOCK
from dbp.synthesis.timing import clock_tree
from dbp.synthesis.whole_receiver import RECEIVER_LANES

WARM_UP_CLOCKS = 16
CONSTANTS = 12
DELAY_CLOCKS = 16
# The blocks get the words at this place of the hardware. Twiddles of an odd place are not trivial.
_PLACE = 5

# The samples that enter each operation: see `dbp.datapath.overlap_save.Equalizer.trace`.
Trace = Sequence[tuple[str, Stage | None, Samples]]


@dataclass(frozen=True)
class Cost:
    """The cost of one operation per clock, its part of a clock tree included.

    ``slack_ns`` is that of its block.
    """

    dynamic_w: float
    leakage_w: float
    area_um2: float
    slack_ns: float = float("inf")

    def less(self, other: Cost, count: float) -> Cost:
        """Return this cost without ``count`` times the other."""
        return Cost(
            self.dynamic_w - count * other.dynamic_w,
            self.leakage_w - count * other.leakage_w,
            self.area_um2 - count * other.area_um2,
            self.slack_ns,
        )

    def over(self, count: int) -> Cost:
        """Return the cost of one of ``count`` equal parts."""
        return Cost(
            self.dynamic_w / count, self.leakage_w / count, self.area_um2 / count, self.slack_ns
        )


@dataclass(frozen=True)
class Costs:
    """The cost of one operation of each kind, input registers apart; ``register``: one bit."""

    butterfly: Cost
    fixed_twiddle: Cost
    changing_twiddle: Cost
    register: Cost


@dataclass(frozen=True, eq=False)
class Unit:
    """A block to measure, the words of its input ports clock by clock, and the expected output."""

    name: str
    block: FftBlock
    inputs: Mapping[str, NDArray[np.int64]]
    expected: Samples


@dataclass(frozen=True)
class Part:
    """All operations of one kind, ``units`` of them in hardware."""

    units: float
    power_w: float
    leakage_w: float
    area_mm2: float


@dataclass(frozen=True)
class EqualizerEstimate:
    """The cost of an equaliser of ``lanes`` new samples a clock.

    ``docs/results/linear_equalizer.md`` says what is counted.

    ``busy``: share of the clocks in which the transform works; else its clock is gated.
    ``operations_per_sample``, ``register_bits``, ``parts``, ``pj_per_operation``,
    ``um2_per_operation``: by kind of operation, or by the use of the bits.
    """

    size: int
    overlap: int
    data_bits: int
    twiddle_bits: int
    lanes: int
    transform_lanes: int
    busy: float
    clock_mhz: float
    power_w: float
    area_mm2: float
    pj_per_sample: float
    operations_per_sample: dict[str, float]
    register_bits: dict[str, int]
    parts: dict[str, Part]
    pj_per_operation: dict[str, float]
    um2_per_operation: dict[str, float]
    slack_ns: float
    pdk: str = ""


def transform_lanes(equalizer: Equalizer, lanes: int) -> int:
    """Samples of a transform in a clock: the power of two that keeps up with ``lanes`` new ones."""
    needed = lanes * equalizer.size / equalizer.new_samples
    width = 1 << max(int(np.ceil(np.log2(needed))), 2)
    if width > equalizer.size:
        raise InputError(
            f"lanes = {lanes}: a transform of {equalizer.size} points, {equalizer.overlap} of them "
            "overlap, is too short for them"
        )
    return width


def register_bits(equalizer: Equalizer, lanes: int) -> dict[str, int]:
    """Return the bits that wait, by what they wait for; ``lanes``: those of the transform."""
    size, word = equalizer.size, 2 * equalizer.data_bits
    plain = sum(
        size - size // stage.points * int(stage.multiplied.sum())
        for stage in overlap_save.stages(size)
        if stage.multiplied.any()
    )
    beside = plain * lanes // size * (Multiplications.latency - 1)
    return {
        "blocks_in": word * size,
        # A pipelined transform with p lanes: Garrido, Grajal, Sanchez and Gustafsson 2013.
        "commutators": word * 2 * (size - lanes),
        "blocks_out": word * equalizer.new_samples,
        "beside_multiplications": word * 2 * beside,
        "response": 2 * equalizer.twiddle_bits * size,
    }


def total(
    equalizer: Equalizer, costs: Costs, lanes: int, clock_mhz: float, pdk: str = ""
) -> EqualizerEstimate:
    """Return the cost of all operations for ``lanes`` new samples per clock.

    The hardware is that of all lanes of the transform. Where these are more than it takes to keep
    up, it rests with its clock gated, and leaks.
    """
    width = transform_lanes(equalizer, lanes)
    busy = lanes * equalizer.size / equalizer.new_samples / width
    counts = equalizer.operations(width)
    bits = register_bits(equalizer, width)
    parts = {
        name: Part(
            units=count,
            power_w=count * (busy * cost.dynamic_w + cost.leakage_w),
            leakage_w=count * cost.leakage_w,
            area_mm2=1e-6 * count * cost.area_um2,
        )
        for name, (cost, count) in _units(equalizer, costs, counts, width, bits).items()
    }
    watts = sum(part.power_w for part in parts.values())
    per_sample = 1 / equalizer.new_samples
    by_kind: dict[str, Cost] = {field.name: getattr(costs, field.name) for field in fields(costs)}
    return EqualizerEstimate(
        size=equalizer.size,
        overlap=equalizer.overlap,
        data_bits=equalizer.data_bits,
        twiddle_bits=equalizer.twiddle_bits,
        lanes=lanes,
        transform_lanes=width,
        busy=busy,
        clock_mhz=clock_mhz,
        power_w=watts,
        area_mm2=sum(part.area_mm2 for part in parts.values()),
        pj_per_sample=1e6 * watts / (lanes * clock_mhz),
        operations_per_sample={k: v * per_sample for k, v in asdict(counts).items()},
        register_bits=bits,
        parts=parts,
        pj_per_operation={
            name: 1e6 * (cost.dynamic_w + cost.leakage_w) / clock_mhz
            for name, cost in by_kind.items()
        },
        um2_per_operation={name: cost.area_um2 for name, cost in by_kind.items()},
        slack_ns=min(
            cost.slack_ns for cost in (costs.butterfly, costs.fixed_twiddle, costs.changing_twiddle)
        ),
        pdk=pdk,
    )


def _units(
    equalizer: Equalizer,
    costs: Costs,
    counts: Operations,
    lanes: int,
    bits: Mapping[str, int],
) -> dict[str, tuple[Cost, float]]:
    """The cost of each kind of operation, and how many of them the hardware has."""
    share = lanes / equalizer.size
    return {
        # A butterfly of radix 2 has half of the words and a quarter of the additions: half at most.
        "butterflies": (costs.butterfly, share * (counts.butterflies_4 + counts.butterflies_2 / 2)),
        "fixed_twiddles": (costs.fixed_twiddle, share * counts.fixed_twiddles),
        "changing_twiddles": (costs.changing_twiddle, share * counts.changing_twiddles),
        "responses": (costs.changing_twiddle, share * counts.responses),
        "registers": (costs.register, sum(bits.values())),
    }


def estimate(
    pdk: str,
    equalizer: Equalizer,
    stream: Samples,
    folder: str | Path,
    *,
    lanes: int = RECEIVER_LANES,
    clock_mhz: float = stages.CLOCK_MHZ,
    clocks: int = 1000,
) -> EqualizerEstimate:
    """Estimate power, area and energy of an overlap-save equaliser in a kit.

    ``stream``: the received waveform in converter codes of ``equalizer.data_bits`` bits, shape
    ``(streams, samples)``; ``clocks``: clock cycles that count in each block's simulation. Writes
    netlists and logs of the blocks to ``folder``. `InputError`, `MissingError` and `ToolError` as
    from `dbp.synthesis.synthesize`.
    """
    stages.check_clock(clock_mhz)
    needed = units(equalizer, stream, transform_lanes(equalizer, lanes), clocks)
    measured = measure(pdk, needed, folder, clock_mhz)
    return total(equalizer, costs(equalizer, measured), lanes, clock_mhz, pdk)


def costs(equalizer: Equalizer, measured: Mapping[str, Cost]) -> Costs:
    """Return the costs of operations from those of blocks, whose input registers do not count.

    They belong to the operation before.
    """
    word = 2 * equalizer.data_bits
    register = measured["registers"].over(word * DELAY_CLOCKS)
    return Costs(
        measured["butterfly"].less(register, 4 * word),
        measured["fixed"].over(CONSTANTS).less(register, word),
        # The coefficient's register is its own: it holds what comes from the table.
        measured["changing"].less(register, word),
        register,
    )


def units(equalizer: Equalizer, stream: Samples, lanes: int, clocks: int) -> list[Unit]:
    """Return the blocks to measure, with their words in the transform of ``stream``."""
    entering = [
        (kind, stage, x)
        for kind, stage, x in equalizer.trace(equalizer.blocks(stream))
        if kind in ("butterfly", "twiddle", "response")
    ]
    quads = [
        _at_place(x, stage, lanes)
        for kind, stage, x in entering
        if kind == "butterfly" and stage and stage.radix == 4
    ]
    each = -(-(clocks + WARM_UP_CLOCKS) // len(quads))
    four = _joined([_first(quad, each) for quad in quads])
    halved = butterfly(Samples(*(part[..., None] for part in four)), equalizer.data_bits, 1, 1)
    line = Samples(four.i[:, :1], four.q[:, :1])
    block = Multiplications(equalizer.data_bits, equalizer.twiddle_bits)
    x, by = _changing(equalizer, entering, lanes, clocks)
    constants, fixed_x = _fixed(equalizer, entering, lanes, clocks)
    in_logic = Multiplications(
        equalizer.data_bits,
        equalizer.twiddle_bits,
        list(zip(constants.i.tolist(), constants.q.tolist(), strict=True)),
    )
    return [
        _unit("butterfly", Butterfly(equalizer.data_bits), four, _squeezed(halved)),
        _unit("changing", block, x, equalizer.multiply(x, by), by_i=by.i, by_q=by.q),
        _unit("fixed", in_logic, fixed_x, equalizer.multiply(fixed_x, constants)),
        _unit("registers", DelayLine(equalizer.data_bits, DELAY_CLOCKS), line, line),
    ]


def _unit(
    name: str,
    block: FftBlock,
    x: Samples,
    expected: Samples,
    **more: NDArray[np.int64],
) -> Unit:
    return Unit(name, block, {"in_i": x.i, "in_q": x.q} | more, expected)


def _at_place(x: Samples, stage: Stage, lanes: int) -> Samples:
    """The samples at one place of the hardware, clock by clock: shape ``(clocks, radix)``.

    A clock has ``lanes / radix`` butterflies in their order; the place is one of them.
    """
    parts = (np.moveaxis(part, -2, -1).reshape(-1, stage.radix) for part in x)
    return Samples(
        *(part[_PLACE % (lanes // stage.radix) :: lanes // stage.radix] for part in parts)
    )


def _changing(
    equalizer: Equalizer, entering: Trace, lanes: int, clocks: int
) -> tuple[Samples, Samples]:
    """Samples and their coefficients, each of shape ``(clocks, 1)``.

    Twiddles and responses have about the same shares as in the whole equaliser.
    """
    rows: list[tuple[Samples, Samples]] = []
    for kind, stage, x in entering:
        if kind == "twiddle" and stage and stage.points > lanes:
            w = equalizer.coefficients(stage)
            every = Samples(*(np.broadcast_to(part, x.i.shape) for part in w))
            data, by = _at_place(x, stage, lanes), _at_place(every, stage, lanes)
            pairs = [(_column(data, k), _column(by, k)) for k in range(1, stage.radix)]
            # Twice, since the inverse transform has as many.
            rows += 2 * pairs
        elif kind == "response":
            w = equalizer.response_codes()
            every = Samples(*(np.broadcast_to(part, x.i.shape) for part in w))
            data, by = (Samples(*(part.reshape(-1, lanes) for part in s)) for s in (x, every))
            places = range(0, lanes, max(lanes // 4, 1))
            rows += [(_column(data, k), _column(by, k)) for k in places]
    each = -(-(clocks + WARM_UP_CLOCKS) // len(rows))
    return _joined([_first(x, each) for x, _ in rows]), _joined([_first(w, each) for _, w in rows])


def _fixed(
    equalizer: Equalizer, entering: Trace, lanes: int, clocks: int
) -> tuple[Samples, Samples]:
    """`CONSTANTS` of the coefficients that never change, and the samples that they multiply."""
    candidates: list[tuple[tuple[int, int], tuple[NDArray[np.int64], ...]]] = []
    for kind, stage, x in entering:
        if kind == "twiddle" and stage and stage.points <= lanes and stage.multiplied.any():
            w, step = equalizer.coefficients(stage), lanes // stage.points
            for k, m in np.argwhere(stage.multiplied):
                data = tuple(part[:, ::step, k, m].reshape(-1) for part in x)
                candidates += step * [((w.i[k, m], w.q[k, m]), data)]
    if not candidates:
        raise InputError(f"size = {equalizer.size}: has no twiddles that stand still")
    places = (np.arange(CONSTANTS) + 0.5) * len(candidates) / CONSTANTS
    chosen = [candidates[int(place)] for place in places]
    length = min(clocks + WARM_UP_CLOCKS, *(len(data[0]) for _, data in chosen))
    codes = Samples(*(np.array([code[q] for code, _ in chosen]) for q in (0, 1)))
    return codes, Samples(
        *(np.stack([data[q][:length] for _, data in chosen], axis=1) for q in (0, 1))
    )


def _column(x: Samples, k: int) -> Samples:
    return Samples(x.i[:, k : k + 1], x.q[:, k : k + 1])


def _first(x: Samples, count: int) -> Samples:
    if len(x.i) < count:
        raise InputError(
            f"a stream of {len(x.i)} words at each place: must be at least {count} for "
            "that many clocks"
        )
    return Samples(x.i[:count], x.q[:count])


def _joined(parts: Sequence[Samples]) -> Samples:
    return Samples(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _squeezed(x: Samples) -> Samples:
    return Samples(x.i[..., 0], x.q[..., 0])


def measure(
    pdk: str, needed: Sequence[Unit], folder: str | Path, clock_mhz: float
) -> dict[str, Cost]:
    """Map, time, simulate and cost blocks; `ToolError` where gates differ from the model."""
    cells = stages.Cells.read(*kits.find(pdk))
    processes.require("sta")
    return {unit.name: _measured(cells, unit, Path(folder), clock_mhz) for unit in needed}


def _measured(cells: stages.Cells, unit: Unit, folder: Path, clock_mhz: float) -> Cost:
    work, top = folder / unit.name, unit.block.module_name
    stages.fresh_folder(work)
    write_text(work / stages.VERILOG, "\n".join(to_verilog(unit.block).values()))
    mapped = stages.map_and_time(work, cells, top, clock_mhz)
    words = _words(unit, [name for name in mapped.netlist.inputs if name != CLOCK])
    gates, _ = stages.simulate(work, mapped, words, WARM_UP_CLOCKS, clock_mhz)
    if wrong := _differences(unit, gates.outputs, list(mapped.netlist.outputs)):
        raise ToolError(f"{top}: the gates differ from the model in {wrong} samples; {work}")
    costed = stages.cost(mapped, gates, cells.kit, clock_mhz)
    watts = clock_tree.with_tree(costed.power.totals(), costed.clock_tree)
    for file in cells.liberty:
        (work / file.name.removesuffix(".gz")).unlink()
    return Cost(
        watts.switching + watts.internal,
        watts.leakage,
        sum(mapped.cell_areas_um2.tolist()),
        mapped.timing.slack_ns,
    )


def _words(unit: Unit, names: Sequence[str]) -> NDArray[np.uint8]:
    """The bits of the ports, a row for every clock."""
    columns = []
    for port, k in map(port_bit, names):
        bits = len(getattr(unit.block, port)) // unit.inputs[port].shape[1]
        columns.append(unit.inputs[port][:, k // bits] >> k % bits & 1)
    return np.stack(columns, axis=1).astype(np.uint8)


def _differences(unit: Unit, outputs: NDArray[np.uint8], names: Sequence[str]) -> int:
    """Count the samples that differ from the model's, after the latency."""
    latency, bits = unit.block.latency, unit.block.data_bits
    wrong = np.zeros(unit.expected.i[:-latency].shape, bool)
    expected = {"out_i": unit.expected.i, "out_q": unit.expected.q}
    for column, (port, k) in enumerate(map(port_bit, names)):
        due = expected[port][:-latency, k // bits] >> k % bits & 1
        wrong[:, k // bits] |= outputs[latency:, column] != due
    return int(wrong.sum())
