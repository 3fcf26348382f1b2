# amaranth: UnusedElaboratable=no
"""Area and power of hardwired filters, in several forms, and of the reconfigurable one.

    OMP_NUM_THREADS=1 python benchmarks/hardwired.py [DESIGN [STEP [LANES]]]

Needs nangate45 in ``DBP_PDK_ROOT``, and ``sta``; the rows of da4ml need that package (the extra
``benchmark``). Each form is mapped as `dbp synth` does, timed at 416.7 MHz, and simulated gate by
gate with delays on band-limited Gaussian samples that golden has brought to the input of the
filter, and its outputs are compared with golden. Then the adders of one graph over all lanes of a
word are counted, and those of the graphs of the whole design.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
from amaranth.hdl import Const, Module
from amaranth.lib.wiring import In

from dbp.datapath import golden, shipped
from dbp.datapath.design import Design, Filter
from dbp.datapath.golden import Samples
from dbp.rtl.blocks import adder_graph, hardwired
from dbp.rtl.blocks.adder_graph import Graph, Sum, Term, signed_digits
from dbp.rtl.blocks.component import StreamBlock, add_block, element
from dbp.rtl.blocks.filter import FilterLanes
from dbp.rtl.blocks.hardwired import HardwiredFilterLanes
from dbp.rtl.pipeline import FilterPipeline, HardwiredPipeline
from dbp.rtl.verilog import to_verilog
from dbp.synthesis import netlist
from dbp.synthesis.cells import kits, liberty_reader
from dbp.synthesis.gates import simulation
from dbp.synthesis.gates.step_bench import port_bit
from dbp.synthesis.mapping import yosys_map
from dbp.synthesis.netlist import CLOCK
from dbp.synthesis.power import calculate
from dbp.synthesis.stages import CLOCK_MHZ, MARGIN_S
from dbp.synthesis.timing import opensta_timing

PERIOD_S = 1e-6 / CLOCK_MHZ
CLOCKS, WARM_UP_CLOCKS = 400, 40
BANDWIDTH = 0.26  # of the sampling rate, one side: 2 samples per symbol, little roll-off


def stimulus(design: Design, step: int, samples: int) -> Samples:
    """Return the input of ``filters[step]`` for band-limited Gaussian noise at the converter."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.fft(rng.normal(size=samples) + 1j * rng.normal(size=samples))
    spectrum[np.abs(np.fft.fftfreq(samples)) > BANDWIDTH] = 0
    x = golden.convert(np.fft.ifft(spectrum), design)
    return golden.trace(design, x, 1000)[2 * step]


class ConstantTaps(StreamBlock):
    """The reconfigurable filter with constants at its tap ports: what Yosys makes of them."""

    def __init__(self, filter_: Filter, input_bits: int, lanes: int) -> None:
        self.inner = FilterLanes(filter_, input_bits, lanes, FilterPipeline())
        for name in ("lanes", "input_bits", "output_bits", "latency", "warm_up_words"):
            setattr(self, name, getattr(self.inner, name))
        self.module_name, self.summary = "constant_taps", "Plain products with constants"
        members = self.inner.signature.members
        super().__init__({p: members[p] for p in members if p not in ("taps_i", "taps_q")})

    def elaborate(self, platform: object) -> Module:
        m, filter_ = Module(), self.inner.filter
        bits = filter_.coefficient_bits
        add_block(m, "inner", self.inner, platform)
        for port, half in (("taps_i", filter_.half_taps_i), ("taps_q", filter_.half_taps_q)):
            for k, tap in enumerate(half):
                m.d.comb += element(getattr(self.inner, port), k, bits).eq(
                    Const(tap % (1 << bits), bits)
                )
        for name, flow in self.ports():
            inner, outer = getattr(self.inner, name), getattr(self, name)
            m.d.comb += inner.eq(outer) if flow == In else outer.eq(inner)
        return m


Build = Callable[[Filter, int], Graph]


def unshared(filter_: Filter, input_bits: int) -> Graph:
    return adder_graph.filter_graph(filter_, input_bits, after_fold=True)


def unshared_without_fold_register(filter_: Filter, input_bits: int) -> Graph:
    return adder_graph.filter_graph(filter_, input_bits, after_fold=False)


def shared(filter_: Filter, input_bits: int) -> Graph:
    return adder_graph.share(unshared(filter_, input_bits))


def broadcast(filter_: Filter, input_bits: int) -> Graph:
    """Multiply each sample by each constant once; synthesis merges products that lanes share."""
    inputs = unshared(filter_, input_bits).inputs
    sums: list[Sum] = []
    products: dict[tuple[int, int], int] = {}
    outputs: tuple[list[Term], list[Term]] = ([], [])
    for v in range(len(inputs)):
        k = min(v // 2, filter_.taps - 1 - v // 2)
        hi, hq = filter_.half_taps_i[k], filter_.half_taps_q[k]
        for terms, tap in zip(outputs, ((hi, hq), (-hq, hi))[v % 2], strict=True):
            if tap == 0:
                continue
            shift = (tap & -tap).bit_length() - 1
            odd = abs(tap) >> shift
            if odd > 1 and (v, odd) not in products:
                products[v, odd] = len(inputs) + len(sums)
                sums.append(Sum(tuple(Term(v, *digit) for digit in signed_digits(odd)), 0))
            terms.append(Term(products.get((v, odd), v), shift, 1 if tap > 0 else -1))
    first = len(inputs) + len(sums)
    return Graph(inputs, (*sums, *(Sum(tuple(t), 1) for t in outputs)), (first, first + 1))


def products_first(filter_: Filter, input_bits: int) -> Graph:
    """Multiply each sample by each complex tap once; the two lanes that need a product share it."""
    inputs = unshared(filter_, input_bits).inputs
    sums: list[Sum] = []
    outputs: tuple[list[Term], list[Term]] = ([], [])
    for n in range(filter_.taps):
        k = min(n, filter_.taps - 1 - n)
        hi, hq = filter_.half_taps_i[k], filter_.half_taps_q[k]
        for terms, taps in zip(outputs, ((hi, -hq), (hq, hi)), strict=True):
            digits = [Term(2 * n + q, *d) for q in (0, 1) for d in signed_digits(taps[q])]
            if digits:
                terms.append(Term(len(inputs) + len(sums), 0, 1))
                sums.append(Sum(tuple(digits), 0))
    first = len(inputs) + len(sums)
    return Graph(inputs, (*sums, *(Sum(tuple(t), 1) for t in outputs)), (first, first + 1))


def of_da4ml(filter_: Filter, input_bits: int, *, stage: int) -> Graph:
    """Return the two-input adders that da4ml finds for the folded samples, all in one ``stage``."""
    from da4ml.cmvm import solve

    plain = unshared(filter_, input_bits)
    half = len(filter_.half_taps_i)
    folds = list(plain.sums[:-2])
    words = [v for v in range(len(plain.inputs) + len(folds)) if plain.registers.get(v)]
    matrix = np.zeros((len(words), 2), np.float32)
    for column, v in enumerate(plain.outputs):
        for term in plain.sums[v - len(plain.inputs)].terms:
            matrix[words.index(term.source), column] += term.sign * 2**term.shift
    assert len(words) <= 2 * half
    ranges = [(*map(float, plain.ranges[v]), 1.0) for v in words]
    sums = [*folds]
    values = [Term(v, 0, 1) for v in words]
    for solution in solve(matrix, qintervals=ranges).solutions:
        made: list[Term] = []
        for op in solution.ops:
            if op.opcode == -1:
                v, shift, sign = values[op.id0]
                made.append(Term(v, shift + solution.inp_shifts[op.id0], sign))
                continue
            assert op.opcode in (0, 1)
            a, b = made[op.id0], made[op.id1]
            b = Term(b.source, b.shift + op.data, b.sign * (1 - 2 * op.opcode))
            low = min(a.shift, b.shift)
            pair = tuple(term._replace(shift=term.shift - low) for term in (a, b))
            made.append(Term(len(plain.inputs) + len(sums), low, 1))
            sums.append(Sum(pair, stage))
        values = [
            Term(made[k].source, made[k].shift + shift, made[k].sign * (-1 if negative else 1))
            for k, shift, negative in zip(
                solution.out_idxs, solution.out_shifts, solution.out_negs, strict=True
            )
        ]
    first = len(plain.inputs) + len(sums)
    return Graph(plain.inputs, (*sums, *(Sum((term,), 1) for term in values)), (first, first + 1))


def of_da4ml_before(filter_: Filter, input_bits: int) -> Graph:
    return of_da4ml(filter_, input_bits, stage=0)


def of_da4ml_after(filter_: Filter, input_bits: int) -> Graph:
    return of_da4ml(filter_, input_bits, stage=1)


FORMS: dict[str, Build] = {
    "digits, unshared": unshared,
    "digits, no register after the fold": unshared_without_fold_register,
    "da4ml, adders after the registers": of_da4ml_after,
    "da4ml, no register before its last sums": of_da4ml_before,
    "products of each sample by all constants": broadcast,
    "complex products of each sample": products_first,
    "shared where it pays (the default)": shared,
}


def _pack(codes: np.ndarray, bits: int) -> int:
    return sum((int(code) & ((1 << bits) - 1)) << (bits * k) for k, code in enumerate(codes))


def measure(
    verilog: str, block: StreamBlock, x: Samples, y: Samples, tap_ports: dict[str, int]
) -> str:
    """Return area, power per lane, slack and mismatches of a block as cells of a table's row."""
    kit, files = kits.find("nangate45")
    library = liberty_reader.read(*files)
    lanes, bits = block.lanes, block.input_bits
    with tempfile.TemporaryDirectory(prefix="dbp-hardwired-") as name:
        folder = Path(name)
        (folder / "top.v").write_text(verilog)
        liberty = [kits.unpack(file, folder) for file in files]
        yosys_map.synthesize(folder, liberty, "top.v", block.module_name, library, kit.dont_use)
        mapped = netlist.read(folder / "netlist.v")
        inputs = [p for p, b in mapped.ports.items() if b[0] in mapped.inputs and p != CLOCK]
        outputs = [p for p, b in mapped.ports.items() if b[0] in mapped.outputs]
        wires = library.default_wire_load
        timed = opensta_timing.analyze(
            folder, liberty, "netlist.v", block.module_name, inputs, outputs, PERIOD_S * 1e9, wires
        )
        delays = opensta_timing.read_sdf(folder / "delays.sdf")
    idle = dict.fromkeys(inputs, 0) | tap_ports
    rows = [idle | {"rst": 1}] * 2
    for k in range(WARM_UP_CLOCKS + CLOCKS):
        word = slice(k * lanes, (k + 1) * lanes)
        samples = {"in_i": _pack(x.i[word], bits), "in_q": _pack(x.q[word], bits)}
        rows.append(idle | samples | {"in_valid": 1})
    places = [port_bit(name) for name in mapped.inputs if name != CLOCK]
    stimulated = np.array([[row[p] >> k & 1 for p, k in places] for row in rows], np.uint8)
    period_s = max(PERIOD_S, PERIOD_S - timed.slack_ns * 1e-9 + MARGIN_S)
    gates = simulation.simulate(mapped, library, delays, stimulated, period_s, len(rows) - CLOCKS)
    at = {port_bit(name): k for k, name in enumerate(mapped.outputs)}
    first, mismatches = len(rows) - CLOCKS, 0
    begin = (first - 2 - block.latency) * lanes
    for port, part in (("out_i", y.i), ("out_q", y.q)):
        for lane in range(lanes):
            due = part[begin + lane :: lanes][:CLOCKS]
            for k in range(block.output_bits):
                got = gates.outputs[first:, at[port, lane * block.output_bits + k]]
                mismatches += int(np.count_nonzero(got != (due >> k & 1)))
    watts = calculate.calculate(mapped, library, gates.activity, PERIOD_S, wires)
    area = sum(library.cells[instance.cell].area_um2 for instance in mapped.instances)
    milliwatts = [1e3 * watts.totals(g)["total"] / lanes for g in (None, "sequential")]
    return (
        f"{area:,.0f} | {milliwatts[0]:.2f} | {milliwatts[1]:.2f} | {timed.slack_ns:.2f} "
        f"| {mismatches}"
    )


def count_over_lanes(filter_: Filter, input_bits: int, lanes: int) -> float:
    """Return the adders per lane that da4ml needs if all lanes of a word may share."""
    from da4ml.cmvm import solve

    samples = filter_.taps - 1 + lanes
    matrix = np.zeros((2 * samples, 2 * lanes), np.float32)
    for lane in range(lanes):
        for n in range(filter_.taps):
            k, row = min(n, filter_.taps - 1 - n), 2 * (lane + n)
            hi, hq = filter_.half_taps_i[k], filter_.half_taps_q[k]
            matrix[row : row + 2, 2 * lane : 2 * lane + 2] = [[hi, hq], [-hq, hi]]
    low = float(-(1 << (input_bits - 1)))
    solved = solve(matrix, qintervals=[(low, -low - 1, 1.0)] * len(matrix))
    return sum(op.opcode in (0, 1) for s in solved.solutions for op in s.ops) / lanes


def main(name: str = "learned-c6-s8", step: str = "16", lanes: str = "8") -> None:
    design = shipped.designs()[name]
    filter_, bits = design.filters[int(step)], design.filter_input_bits(int(step))
    x = stimulus(design, int(step), int(lanes) * (WARM_UP_CLOCKS + CLOCKS))
    y = golden.filter_samples(filter_, x)
    print(f"{name}, step {step}, {lanes} lanes, nangate45, {CLOCK_MHZ} MHz\n")
    print(
        "| form | adders, depth, flip-flops | um2 | mW per lane | of it sequential "
        "| slack ns | wrong bits |"
    )
    print("| --- " * 7 + "|", flush=True)

    def rows(label: str, counts: str, block: StreamBlock, tap_ports: dict[str, int]) -> None:
        verilog = "\n".join(to_verilog(block).values())
        cells = measure(verilog, block, x, y, tap_ports)
        print(f"| {label} | {counts} | {cells} |", flush=True)

    c = filter_.coefficient_bits
    taps = {"taps_i": _pack(filter_.half_taps_i, c), "taps_q": _pack(filter_.half_taps_q, c)}
    rows("reconfigurable", "", FilterLanes(filter_, bits, int(lanes), FilterPipeline()), taps)
    rows("constants left to Yosys", "", ConstantTaps(filter_, bits, int(lanes)), {})
    for label, build in FORMS.items():
        graph = build(filter_, bits)
        with mock.patch.object(hardwired, "lane_graph", lambda *_, graph=graph: graph):
            block = HardwiredFilterLanes(filter_, bits, int(lanes), HardwiredPipeline())
            rows(label, f"{graph.adders}, {graph.depth}, {graph.register_bits}", block, {})

    print("\nAdders per lane, one graph of da4ml over a word:", end="")
    for count in (1, 2, 4, 8, 16):
        print(f" {count} lanes {count_over_lanes(filter_, bits, count):.1f}", end="")
    start = time.process_time()
    pairs = [
        hardwired.graph_sizes(f, design.filter_input_bits(k), HardwiredPipeline())
        for k, f in enumerate(design.filters)
    ]
    seconds = time.process_time() - start
    print(f"\nAll {len(pairs)} filters of {name}, per lane, unshared -> shared, {seconds:.1f} s:")
    for key in ("adders", "depth", "register_bits"):
        before, after = (np.mean([getattr(p[kind], key) for p in pairs]) for kind in (0, 1))
        print(f"  {key}: {before:.1f} -> {after:.1f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
