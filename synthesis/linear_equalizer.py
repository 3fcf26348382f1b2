# amaranth: UnusedElaboratable=no
"""Watts of a static equaliser of chromatic dispersion: operations, times what each costs in a kit.

The alternative to digital backpropagation, in the same kit, by the same flow, on the same waveform.
An estimate: no datapath is built. Its operations are (`dbp.datapath.overlap_save`), each as a block
that is mapped, timed, simulated with delays on the words that this operation gets in the transform,
and costed. ``docs/linear_equalizer.md`` says what the count has and what it leaves out.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbp.datapath.golden import Samples
from dbp.datapath.overlap_save import Equalizer, Stage, butterfly, stages
from dbp.errors import InputError, ToolError
from dbp.rtl.blocks.fft_operations import Butterfly, DelayLine, FftBlock, Multiplications
from dbp.rtl.verilog import to_verilog
from dbp.support import processes
from dbp.support.files import write_text
from dbp.synthesis import synthesize_step
from dbp.synthesis.cells import kits, liberty_reader
from dbp.synthesis.gates.step_bench import port_bit
from dbp.synthesis.netlist import CLOCK
from dbp.synthesis.power import calculate
from dbp.synthesis.whole_receiver import LANES

WARM_UP_CLOCKS = 16
CONSTANTS = 12
DELAY_CLOCKS = 16
# An odd place, whose twiddles are never trivial: see `_lane`.
_LANE = 5

# What enters the operations: see `dbp.datapath.overlap_save.Equalizer.trace`.
Trace = Sequence[tuple[str, Stage | None, Samples]]


@dataclass(frozen=True)
class Cost:
    """Of one operation a clock: watts, and square micrometres; slack of the block in ns."""

    dynamic_w: float
    leakage_w: float
    area_um2: float
    slack_ns: float = float("inf")

    def less(self, other: Cost, count: float) -> Cost:
        """Without ``count`` times the other."""
        return Cost(
            self.dynamic_w - count * other.dynamic_w,
            self.leakage_w - count * other.leakage_w,
            self.area_um2 - count * other.area_um2,
            self.slack_ns,
        )

    def over(self, count: int) -> Cost:
        """Of one of ``count``."""
        return Cost(
            self.dynamic_w / count, self.leakage_w / count, self.area_um2 / count, self.slack_ns
        )


@dataclass(frozen=True)
class Costs:
    """Of one operation of each kind; ``register``: of one bit. None has its input registers."""

    butterfly: Cost
    fixed_twiddle: Cost
    changing_twiddle: Cost
    register: Cost


@dataclass(frozen=True, eq=False)
class Unit:
    """A block, the words of its input ports clock by clock, and what it is to put out."""

    name: str
    block: FftBlock
    inputs: Mapping[str, NDArray[np.int64]]
    expected: Samples


def transform_lanes(equalizer: Equalizer, lanes: int) -> int:
    """Samples of a transform in a clock: the power of two that keeps up with ``lanes`` new ones."""
    needed = lanes * equalizer.size / equalizer.new_samples
    found = 1 << max(int(np.ceil(np.log2(needed))), 2)
    if found > equalizer.size:
        raise InputError(
            f"lanes = {lanes}: a transform of {equalizer.size} points, {equalizer.overlap} of them "
            "overlap, is too short for them"
        )
    return found


def register_bits(equalizer: Equalizer, lanes: int) -> dict[str, int]:
    """Bits that wait, by what they wait for; ``lanes``: of the transform."""
    size, word = equalizer.size, 2 * equalizer.data_bits
    plain = sum(
        size - size // stage.points * int(stage.multiplied.sum())
        for stage in stages(size)
        if stage.multiplied.any()
    )
    beside = plain * lanes // size * (Multiplications.latency - 1)
    return {
        "blocks_in": word * size,
        # Of a pipelined transform with p lanes: Garrido, Grajal, Sanchez and Gustafsson 2013.
        "commutators": word * 2 * (size - lanes),
        "blocks_out": word * equalizer.new_samples,
        "beside_multiplications": word * 2 * beside,
        "response": 2 * equalizer.twiddle_bits * size,
    }


def total(equalizer: Equalizer, costs: Costs, lanes: int, clock_mhz: float) -> dict[str, Any]:
    """What the operations of ``lanes`` new samples a clock cost together.

    The hardware is that of all lanes of the transform; where these are more than it takes to keep
    up, it rests with its clock gated, and leaks.
    """
    width = transform_lanes(equalizer, lanes)
    busy = lanes * equalizer.size / equalizer.new_samples / width
    counts = equalizer.operations(width)
    share = width / equalizer.size
    bits = register_bits(equalizer, width)
    units = {
        # A butterfly of radix 2 has half of the words and a quarter of the additions: half at most.
        "butterflies": (costs.butterfly, share * (counts.butterflies_4 + counts.butterflies_2 / 2)),
        "fixed_twiddles": (costs.fixed_twiddle, share * counts.fixed_twiddles),
        "changing_twiddles": (costs.changing_twiddle, share * counts.changing_twiddles),
        "responses": (costs.changing_twiddle, share * counts.responses),
        "registers": (costs.register, sum(bits.values())),
    }
    parts = {
        name: {
            "units": count,
            "power_w": count * (busy * cost.dynamic_w + cost.leakage_w),
            "leakage_w": count * cost.leakage_w,
            "area_mm2": 1e-6 * count * cost.area_um2,
        }
        for name, (cost, count) in units.items()
    }
    watts = sum(part["power_w"] for part in parts.values())
    per_sample = 1 / equalizer.new_samples
    return {
        "size": equalizer.size,
        "overlap": equalizer.overlap,
        "data_bits": equalizer.data_bits,
        "twiddle_bits": equalizer.twiddle_bits,
        "lanes": lanes,
        "transform_lanes": width,
        "busy": busy,
        "clock_mhz": clock_mhz,
        "power_w": watts,
        "area_mm2": sum(part["area_mm2"] for part in parts.values()),
        "pj_per_sample": 1e6 * watts / (lanes * clock_mhz),
        "operations_per_sample": {k: v * per_sample for k, v in asdict(counts).items()},
        "register_bits": bits,
        "parts": parts,
        "pj_per_operation": {
            name: 1e6 * (cost["dynamic_w"] + cost["leakage_w"]) / clock_mhz
            for name, cost in asdict(costs).items()
        },
        "um2_per_operation": {name: cost["area_um2"] for name, cost in asdict(costs).items()},
        "slack_ns": min(
            cost.slack_ns for cost in (costs.butterfly, costs.fixed_twiddle, costs.changing_twiddle)
        ),
    }


def estimate(
    pdk: str,
    equalizer: Equalizer,
    stream: Samples,
    folder: str | Path,
    *,
    lanes: int = LANES,
    clock_mhz: float = synthesize_step.CLOCK_MHZ,
    clocks: int = 1000,
) -> dict[str, Any]:
    """Power, area and energy of an overlap-save equaliser in a kit: an estimate, see above.

    ``stream``: converter codes of ``equalizer.data_bits`` bits, shape ``(streams, samples)``, the
    received waveform; ``clocks``: that count of each block's simulation. Writes netlists and logs
    of the blocks to ``folder``. Returns ``power_w``, ``area_mm2``, ``pj_per_sample``, ``parts`` and
    what they are made of (``docs/linear_equalizer.md``). `InputError`, `MissingError` and
    `ToolError` as `dbp.synthesis.synthesize`.
    """
    synthesize_step.check_clock(clock_mhz)
    chosen = units(equalizer, stream, transform_lanes(equalizer, lanes), clocks)
    measured = measure(pdk, chosen, folder, clock_mhz)
    return total(equalizer, costs(equalizer, measured), lanes, clock_mhz) | {"pdk": pdk}


def costs(equalizer: Equalizer, measured: Mapping[str, Cost]) -> Costs:
    """Of one operation, from those of the blocks: input registers belong to who went before."""
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
    """The blocks to measure, with the words that they get in the transform of ``stream``."""
    entering = [
        (kind, stage, x)
        for kind, stage, x in equalizer.trace(equalizer.blocks(stream))
        if kind in ("butterfly", "twiddle", "response")
    ]
    quads = [
        _lane(x, stage, lanes)
        for kind, stage, x in entering
        if kind == "butterfly" and stage.radix == 4
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


def _lane(x: Samples, stage: Stage, lanes: int) -> Samples:
    """What one place of the hardware gets, clock by clock: shape ``(clocks, radix)``.

    A clock has ``lanes / radix`` butterflies in their order; the place is one of them.
    """
    parts = (np.moveaxis(part, -2, -1).reshape(-1, stage.radix) for part in x)
    return Samples(
        *(part[_LANE % (lanes // stage.radix) :: lanes // stage.radix] for part in parts)
    )


def _changing(
    equalizer: Equalizer, entering: Trace, lanes: int, clocks: int
) -> tuple[Samples, Samples]:
    """Samples and their coefficients, each of shape ``(clocks, 1)``.

    Twiddles and responses in about the share that they have in the whole.
    """
    rows = []
    for kind, stage, x in entering:
        if kind == "twiddle" and stage.points > lanes:
            w = equalizer.coefficients(stage)
            every = Samples(*(np.broadcast_to(part, x.i.shape) for part in w))
            data, by = _lane(x, stage, lanes), _lane(every, stage, lanes)
            pairs = [(_column(data, k), _column(by, k)) for k in range(1, stage.radix)]
            # Twice, since the inverse has as many.
            rows += 2 * pairs
        elif kind == "response":
            w = equalizer.response_codes()
            every = Samples(*(np.broadcast_to(part, x.i.shape) for part in w))
            chosen = [
                tuple(
                    Samples(*(part.reshape(-1, lanes)[:, k : k + 1] for part in s))
                    for s in (x, every)
                )
                for k in range(0, lanes, max(lanes // 4, 1))
            ]
            rows += chosen
    each = -(-(clocks + WARM_UP_CLOCKS) // len(rows))
    return _joined([_first(x, each) for x, _ in rows]), _joined([_first(w, each) for _, w in rows])


def _fixed(
    equalizer: Equalizer, entering: Trace, lanes: int, clocks: int
) -> tuple[Samples, Samples]:
    """`CONSTANTS` coefficients from all that stand still, and the samples that they get."""
    found = []
    for kind, stage, x in entering:
        if kind == "twiddle" and stage.points <= lanes and stage.multiplied.any():
            w, step = equalizer.coefficients(stage), lanes // stage.points
            for k, m in np.argwhere(stage.multiplied):
                data = tuple(part[:, ::step, k, m].reshape(-1) for part in x)
                found += step * [((w.i[k, m], w.q[k, m]), data)]
    if not found:
        raise InputError(f"size = {equalizer.size}: has no twiddles that stand still")
    places = (np.arange(CONSTANTS) + 0.5) * len(found) / CONSTANTS
    chosen = [found[int(place)] for place in places]
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
            f"a stream of {len(x.i)} words at each place: must be at least {count} for so many "
            "clocks"
        )
    return Samples(x.i[:count], x.q[:count])


def _joined(parts: Sequence[Samples]) -> Samples:
    return Samples(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _squeezed(x: Samples) -> Samples:
    return Samples(x.i[..., 0], x.q[..., 0])


def measure(
    pdk: str, chosen: Sequence[Unit], folder: str | Path, clock_mhz: float
) -> dict[str, Cost]:
    """Map, time, simulate and cost blocks; `ToolError` where gates differ from the model."""
    kit, files = kits.find(pdk)
    library = liberty_reader.read(*files)
    processes.require("sta")
    found = {}
    for unit in chosen:
        work = Path(folder) / unit.name
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        write_text(work / synthesize_step.VERILOG, "\n".join(to_verilog(unit.block).values()))
        top = unit.block.module_name
        mapped, timed = synthesize_step.map_and_time(work, kit, files, library, top, clock_mhz)
        words = _words(unit, [name for name in mapped.inputs if name != CLOCK])
        gates, _ = synthesize_step.simulate(
            work, mapped, timed, library, words, WARM_UP_CLOCKS, clock_mhz
        )
        if wrong := _differences(unit, gates.outputs, list(mapped.outputs)):
            raise ToolError(f"{top}: the gates differ from the model in {wrong} samples; {work}")
        watts = calculate.calculate(
            mapped, library, gates.activity, 1e-6 / clock_mhz, library.default_wire_load
        ).totals()
        area = sum(library.cells[i.cell].area_um2 for i in mapped.instances)
        found[unit.name] = Cost(
            watts["switching"] + watts["internal"], watts["leakage"], area, timed.slack_ns
        )
        for file in files:
            (work / file.name.removesuffix(".gz")).unlink()
    return found


def _words(unit: Unit, names: Sequence[str]) -> NDArray[np.uint8]:
    """A row of bits of the ports for every clock."""
    columns = []
    for port, k in map(port_bit, names):
        bits = len(getattr(unit.block, port)) // unit.inputs[port].shape[1]
        columns.append(unit.inputs[port][:, k // bits] >> k % bits & 1)
    return np.stack(columns, axis=1).astype(np.uint8)


def _differences(unit: Unit, outputs: NDArray[np.uint8], names: Sequence[str]) -> int:
    """Samples that are not the model's, after the latency."""
    late, bits = unit.block.latency, unit.block.data_bits
    wrong = np.zeros(unit.expected.i[:-late].shape, bool)
    expected = {"out_i": unit.expected.i, "out_q": unit.expected.q}
    for column, (port, k) in enumerate(map(port_bit, names)):
        wanted = expected[port][:-late, k // bits] >> k % bits & 1
        wrong[:, k // bits] |= outputs[late:, column] != wanted
    return int(wrong.sum())
