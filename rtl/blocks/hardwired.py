# amaranth: UnusedElaboratable=no
"""The symmetric complex FIR filter with its taps in the logic: one lane, and P lanes.

A lane is an adder graph (`dbp.rtl.blocks.adder_graph`). Every value is represented by its distance
from the smallest integer that it can be. A distance has no sign, so nothing is sign-extended to the
width of a sum. All the smallest integers and the constant of the rounding are one constant term.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache, partial
from typing import NamedTuple

from amaranth.hdl import Cat, ClockSignal, Const, Module, Shape, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from dbp.datapath import fixed
from dbp.datapath.design import Filter
from dbp.records.schemas import AdderGraphSize
from dbp.rtl.blocks import adder_graph
from dbp.rtl.blocks.adder_graph import Graph
from dbp.rtl.blocks.arithmetic import Exact, delay, flag, keep, saturate
from dbp.rtl.blocks.component import OUTPUT, element, in_lane
from dbp.rtl.blocks.filter import WindowedLane, WindowedLanes
from dbp.rtl.pipeline import HardwiredPipeline, name_suffix


@lru_cache(maxsize=256)
def lane_graph(filter_: Filter, input_bits: int, pipeline: HardwiredPipeline) -> Graph:
    """Return the sums of a lane: shared where that pays, cut where ``pipeline`` says."""
    return adder_graph.split(shared(filter_, input_bits, pipeline.after_fold), pipeline.sum_terms)


@lru_cache(maxsize=4096)
def shared(filter_: Filter, input_bits: int, after_fold: bool) -> Graph:
    """Return the sums of a lane before long ones are cut."""
    plain = adder_graph.filter_graph(filter_, input_bits, after_fold=after_fold)
    return adder_graph.share(plain)


def cut_registers(filter_: Filter, input_bits: int, pipeline: HardwiredPipeline) -> dict[str, str]:
    """Return for each cut of ``pipeline`` the registers that it is, below `HardwiredFilterLanes`.

    Registers that are no cut (histories, valid bits) are not listed.
    """
    # A shared sum before the cut at the fold is registered by that cut. All other sums are parts.
    graph = lane_graph(filter_, input_bits, pipeline)
    shared = [str(k) for k, s in enumerate(graph.sums) if s.stage < pipeline.after_fold]
    folds = r"(?:folded|sample)_[iq]_\d+_after_\d+"
    if shared:
        folds += rf"|sum_(?:{'|'.join(shared)})_after_\d+"
    return {
        "after_fold": in_lane(folds),
        "sum_terms": in_lane(r"sum_\d+_after_\d+"),
        "after_sum": in_lane(r"[iq]_before_saturation"),
        OUTPUT: in_lane(r"out_[iq]|y_[iq]|(?:out_)?clipped"),
    }


class GraphSizes(NamedTuple):
    """The sizes of a lane's graph of signed digits alone, and with shared sums, as it is built."""

    unshared: AdderGraphSize
    shared: AdderGraphSize


def graph_sizes(filter_: Filter, input_bits: int, pipeline: HardwiredPipeline) -> GraphSizes:
    """Return the sizes of a lane's adder graph, without and with sharing."""
    plain = adder_graph.filter_graph(filter_, input_bits, after_fold=pipeline.after_fold)
    graphs = (
        adder_graph.split(plain, pipeline.sum_terms),
        lane_graph(filter_, input_bits, pipeline),
    )
    return GraphSizes(
        *(
            AdderGraphSize(
                adders=graph.adders, depth=graph.depth, register_bits=graph.register_bits
            )
            for graph in graphs
        )
    )


class HardwiredLane(WindowedLane):
    """A lane whose taps are in the logic, as an adder graph."""

    def __init__(self, filter_: Filter, input_bits: int, pipeline: HardwiredPipeline) -> None:
        self.filter, self.input_bits, self.pipeline = filter_, input_bits, pipeline
        self.graph = lane_graph(filter_, input_bits, pipeline)
        self.stages = self.graph.stage(self.graph.outputs[0])
        self.latency = self.stages + pipeline.after_sum + 1
        low, high = fixed.code_range(filter_.output_bits)
        ends = [self._rounded_range(v) for v in self.graph.outputs]
        self.can_clip = any(least < low or most > high for least, most in ends)
        taps = repr((filter_.half_taps_i, filter_.half_taps_q)).encode()
        self.format_name = (
            f"s{input_bits}_t{filter_.taps}_r{filter_.shift}_o{filter_.output_bits}"
            f"_h{hashlib.sha256(taps).hexdigest()[:12]}"
            + name_suffix(pipeline, HardwiredPipeline())
        )
        self.module_name = f"hardwired_lane_{self.format_name}"
        half = " ".join(
            f"{i}{q:+d}j" for i, q in zip(filter_.half_taps_i, filter_.half_taps_q, strict=True)
        )
        self.summary = (
            f"One lane of a symmetric complex FIR filter of {filter_.taps} constant taps, half of "
            f"them {half}, samples of {input_bits} bits, the sum shifted right by {filter_.shift} "
            f"and saturated to {filter_.output_bits} bits"
        )
        window = filter_.taps * input_bits
        super().__init__(
            {
                "window_i": In(window),
                "window_q": In(window),
                "out_i": Out(signed(filter_.output_bits)),
                "out_q": Out(signed(filter_.output_bits)),
            }
            | ({"out_clipped": Out(1)} if self.can_clip else {})
        )

    def elaborate(self, platform: object) -> Module:
        m, graph = Module(), self.graph
        widths = self._widths()
        # By value: its wire, then what is behind each of the registers that it passes.
        values: list[list[Value]] = []
        for v, name in enumerate(self._names()):
            if v >= len(graph.inputs):
                low, _ = graph.ranges[v]
                wire: Value = Signal(widths[v], name=name)
                m.d.comb += wire.eq(self._total(m, name, values, v, -low, len(wire)))
            else:
                wire = element((self.window_i, self.window_q)[v % 2], v // 2, self.input_bits)
                if widths[v]:
                    # With its sign bit inverted a code is its distance from the smallest code.
                    above_half = Signal(name=f"{name}_above_half")
                    m.d.comb += above_half.eq(~wire[-1])
                    wire = Cat(wire[:-1], above_half)
                else:
                    # A tap of zero: lint passes over signals called unused, if they are kept.
                    unused = Signal(len(wire), name=f"{name}_unused", attrs={"keep": 1})
                    m.d.comb += unused.eq(wire)
            stages = [wire]
            for stage in range(1, graph.registers.get(v, 0) + 1):
                register = Signal(widths[v], name=f"{name}_after_{stage}", reset_less=True)
                m.d.sync += register.eq(stages[-1])
                stages.append(register)
            values.append(stages)
        clips = []
        for name, v, out in zip("iq", graph.outputs, (self.out_i, self.out_q), strict=True):
            y, clips_here = saturate(m, f"out_{name}", self._rounded(m, name, values, v), len(out))
            m.d.comb += out.eq(keep(m, f"y_{name}", y, registered=True).value)
            clips.append(clips_here)
        if (clipped := flag(*clips)) is not None:
            m.d.comb += self.out_clipped.eq(keep(m, "clipped", clipped, registered=True).value)
        if not graph.registers and not any(any(self._rounded_range(v)) for v in graph.outputs):
            # Only zeros leave, and no register is left that would read the clock.
            unused = Signal(name="clk_unused", attrs={"keep": 1})
            m.d.comb += unused.eq(ClockSignal())
        return m

    def _names(self) -> list[str]:
        """Return a name for every value except the outputs, which come last."""
        graph = self.graph
        names = [f"sample_{'iq'[v % 2]}_{v // 2}" for v in range(len(graph.inputs))]
        for terms, _ in graph.sums[: graph.outputs[0] - len(graph.inputs)]:
            (first, *_), (last, *_) = terms[0], terms[-1]
            # Sample k of I and of Q has index 2 k and 2 k + 1; a fold adds two of one quadrature.
            folded = first < last < len(graph.inputs) and (last - first) % 2 == 0
            names.append(
                f"folded_{'iq'[first % 2]}_{first // 2}"
                if folded
                else f"sum_{len(names) - len(graph.inputs)}"
            )
        return names

    def _widths(self) -> list[int]:
        """Return how many bits of each value are read, from the lowest.

        A shared sum can have a wider range than the output that it is a part of (8 x of 8 x - x).
        Its highest bits are then left out, since a sum is modulo the width of what reads it.
        """
        graph = self.graph
        widths = [0] * (len(graph.inputs) + len(graph.sums))
        for v in graph.outputs:
            widths[v] = self.filter.shift + self._rounded_shape(v).width
        for v in reversed(range(len(graph.inputs), len(widths))):
            for source, shift, _ in graph.sums[v - len(graph.inputs)].terms:
                most = min(graph.bits(source), widths[v] - shift)
                widths[source] = max(widths[source], most)
        return widths

    def _total(
        self, m: Module, name: str, values: list[list[Value]], v: int, constant: int, bits: int
    ) -> Value:
        """Return value ``v`` plus ``constant``, modulo ``2**bits``, as a sum of unsigned terms."""
        graph = self.graph
        terms, stage = graph.sums[v - len(graph.inputs)]
        parts: list[tuple[Value, int]] = []
        for source, shift, sign in terms:
            low, high = graph.ranges[source]
            distance = values[source][stage - graph.stage(source)][: max(bits - shift, 0)]
            most = high - low
            if sign < 0:
                # -(low + d) = ~d - (2**w - 1) - low, of w bits.
                inverse = Signal(len(distance), name=f"{name}_inverse_{len(parts)}")
                m.d.comb += inverse.eq(~distance)
                distance, most = inverse, (1 << graph.bits(source)) - 1
                low += most
            constant += sign * (low << shift)
            if len(distance):
                parts.append((distance << shift, most << shift))
        if constant % (1 << bits) or not parts:
            parts.append((Const(constant % (1 << bits), bits), constant % (1 << bits)))
        total, most = parts[0]
        for n, (part, largest) in enumerate(parts[1:], start=1):
            # Names cut every partial sum to the width that it needs.
            most += largest
            partial = Signal(min(most.bit_length(), bits), name=f"{name}_{n}")
            m.d.comb += partial.eq(total + part)
            total = partial
        return total

    def _rounded_range(self, v: int) -> tuple[int, int]:
        """Return the smallest and the largest integer of output ``v`` after the rounding."""
        half = 1 << self.filter.shift >> 1
        low, high = (end + half >> self.filter.shift for end in self.graph.ranges[v])
        return low, high

    def _rounded_shape(self, v: int) -> Shape:
        low, high = self._rounded_range(v)
        if high > fixed.code_range(self.filter.output_bits)[1]:
            # Signed even where nothing is negative, since `saturate` looks at a sign bit.
            low = min(low, -1)
        return Shape.cast(range(low, high + 1))

    def _rounded(self, m: Module, name: str, values: list[list[Value]], v: int) -> Exact:
        """Return output ``v`` divided by ``2**shift``, ties towards plus infinity."""
        shift, (low, high) = self.filter.shift, self._rounded_range(v)
        rounded = Signal(self._rounded_shape(v), name=f"{name}_rounded")
        # Lint passes over signals called unused, if they are kept: the dropped bits are such.
        dropped = Signal(shift, name=f"{name}_dropped_unused", attrs={"keep": 1})
        total = Cat(dropped, rounded)
        m.d.comb += total.eq(
            self._total(m, f"total_{name}", values, v, 1 << shift >> 1, len(total))
        )
        x = Exact(rounded, low, high)
        return delay(m, f"{name}_before_saturation", x, registered=self.pipeline.after_sum)


class HardwiredFilterLanes(WindowedLanes[HardwiredLane]):
    """P lanes of a filter with its taps in the logic; the ports of `FilterLanes` without taps."""

    kind = "hardwired"

    def __init__(
        self,
        filter_: Filter,
        input_bits: int,
        lanes: int,
        pipeline: HardwiredPipeline,
        polarizations: int = 1,
    ) -> None:
        new_lane = partial(HardwiredLane, filter_, input_bits, pipeline)
        super().__init__(filter_, input_bits, lanes, polarizations, new_lane, {})
