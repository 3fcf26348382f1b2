# amaranth: UnusedElaboratable=no
"""The symmetric complex FIR filter: one folded lane, and P lanes over a common history."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, signed
from amaranth.lib.wiring import In, Out

from dbp.design import Filter
from dbp.rtl.arithmetic import Exact, adder_tree, keep, requantise
from dbp.rtl.block import Block, StreamBlock, delayed_valid, element, place, stream, stream_ports
from dbp.rtl.pipeline import FilterPipeline


class FilterLane(Block):
    """One output sample per clock from a window of ``taps`` samples, the oldest first.

    ``window_i``, ``window_q``: the samples x[n - taps + 1] ... x[n]; ``taps_i``, ``taps_q``: the
    half taps, the outermost first. The two samples that share a tap are added first (the fold),
    then come the complex products, the adder tree and the requantiser.
    """

    has_reset = False

    def __init__(self, filter_: Filter, input_bits: int, pipeline: FilterPipeline) -> None:
        self.filter, self.input_bits, self.pipeline = filter_, input_bits, pipeline
        self.half = len(filter_.half_taps_i)
        self.latency = pipeline.latency(self.half)
        self.format_name = (
            f"s{input_bits}_c{filter_.coefficient_bits}_t{filter_.taps}"
            f"_r{filter_.shift}_o{filter_.output_bits}"
        )
        self.module_name = f"filter_lane_{self.format_name}"
        self.summary = (
            f"One lane of a symmetric complex FIR filter: {filter_.taps} taps of "
            f"{filter_.coefficient_bits} bits, samples of {input_bits} bits, the sum shifted right "
            f"by {filter_.shift} and saturated to {filter_.output_bits} bits"
        )
        window = filter_.taps * input_bits
        taps = self.half * filter_.coefficient_bits
        super().__init__(
            {
                "window_i": In(window),
                "window_q": In(window),
                "taps_i": In(taps),
                "taps_q": In(taps),
                "out_i": Out(signed(filter_.output_bits)),
                "out_q": Out(signed(filter_.output_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        products = [self._product(m, k) for k in range(self.half)]
        cuts = self.pipeline.tree_cuts(self.half)
        for name, terms, out in zip(
            "iq", zip(*products, strict=True), (self.out_i, self.out_q), strict=True
        ):
            total = adder_tree(m, f"sum_{name}", terms, cuts)
            bits = self.filter.accumulator_bits(self.input_bits)
            assert total.shape.width <= bits, "the contract states a narrower accumulator"
            y = requantise(m, f"out_{name}", total, self.filter.shift, self.filter.output_bits)
            register = keep(m, f"y_{name}", y, registered=True)
            m.d.comb += out.eq(register.value)
        return m

    def _folded(self, m: Module, name: str, window: Signal, k: int) -> Exact:
        """x[n - k] + x[n - taps + 1 + k], or the centre sample alone."""
        first, last = (
            Exact.signed(element(window, index, self.input_bits).as_signed(), self.input_bits)
            for index in (k, self.filter.taps - 1 - k)
        )
        total = first + last if k != self.filter.delay else first
        return keep(m, f"{name}_{k}", total, registered=self.pipeline.after_pre_add)

    def _product(self, m: Module, k: int) -> tuple[Exact, Exact]:
        """Tap k, complex, times its folded samples."""
        bits = self.filter.coefficient_bits
        xi = self._folded(m, "folded_i", self.window_i, k)
        xq = self._folded(m, "folded_q", self.window_q, k)
        hi, hq = (
            Exact.signed(element(taps, k, bits).as_signed(), bits)
            for taps in (self.taps_i, self.taps_q)
        )
        cut = self.pipeline.after_product
        # The tap second: Yosys recodes the second factor (Booth), and recoding what stands still
        # halves the power of the whole filter, since its select lines never toggle.
        return (
            keep(m, f"product_i_{k}", xi * hi - xq * hq, registered=cut),
            keep(m, f"product_q_{k}", xq * hi + xi * hq, registered=cut),
        )


class FilterLanes(StreamBlock):
    """P lanes of a filter: a word of P samples in and out per clock, lane 0 the oldest.

    A history of ``taps - 1`` samples, zero after reset, advances with every valid word.
    """

    def __init__(
        self, filter_: Filter, input_bits: int, lanes: int, pipeline: FilterPipeline
    ) -> None:
        self.lane = FilterLane(filter_, input_bits, pipeline)
        self.filter, self.pipeline = filter_, pipeline
        self.lanes, self.input_bits, self.output_bits = lanes, input_bits, filter_.output_bits
        self.latency = self.lane.latency
        self.module_name = f"filter_x{lanes}_{self.lane.format_name}"
        self.summary = f"{lanes} lanes of {self.lane.module_name} and their common history"
        taps = self.lane.half * filter_.coefficient_bits
        super().__init__(
            stream_ports(lanes, input_bits, filter_.output_bits)
            | {"taps_i": In(taps), "taps_q": In(taps)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.out_valid.eq(delayed_valid(m, "valid", self.in_valid, self.latency))
        history = (self.filter.taps - 1) * self.input_bits
        stream_i = stream(m, "history_i", self.in_i, self.in_valid, history)
        stream_q = stream(m, "history_q", self.in_q, self.in_valid, history)
        bits = self.output_bits
        for p in range(self.lanes):
            lane = FilterLane(self.filter, self.input_bits, self.pipeline)
            window = slice(p * self.input_bits, (p + self.filter.taps) * self.input_bits)
            m.d.comb += [
                lane.window_i.eq(stream_i[window]),
                lane.window_q.eq(stream_q[window]),
                lane.taps_i.eq(self.taps_i),
                lane.taps_q.eq(self.taps_q),
                element(self.out_i, p, bits).eq(lane.out_i),
                element(self.out_q, p, bits).eq(lane.out_q),
            ]
            place(m, f"lane_{p}", lane, platform)
        return m
