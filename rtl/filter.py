# amaranth: UnusedElaboratable=no
"""The symmetric complex FIR filter: one folded lane, and P lanes over a common history."""

from __future__ import annotations

from dataclasses import replace

from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from dbp.design import Filter
from dbp.rtl.arithmetic import Exact, adder_tree, delay, flag, keep, requantise
from dbp.rtl.block import (
    Block,
    StreamBlock,
    delayed_valid,
    element,
    place,
    stream,
    stream_ports,
    warmed_up,
    words_to_fill,
)
from dbp.rtl.pipeline import FilterPipeline, HardwiredPipeline, cuts_name

WINDOWS = ("window_i", "window_q")
# Taps of so many bits and more are multiplied three times, not four: docs/rtl.md has measurements.
THREE_PRODUCTS_BITS = 8


def _can_clip(filter_: Filter, input_bits: int) -> bool:
    """Whether there are taps and samples whose sum the requantiser clips: only if the largest is.

    That is taps * 2 (-low tap) (-low sample), met by x = low (1 + j), h = low (1 - j).
    """
    largest = filter_.taps << (input_bits + filter_.coefficient_bits - 1)
    return (largest + (1 << filter_.shift >> 1)) >> filter_.shift >> (filter_.output_bits - 1) > 0


class FilterLane(Block):
    """One output sample per clock from a window of ``taps`` samples, the oldest first.

    ``window_i``, ``window_q``: the samples x[n - taps + 1] ... x[n]; ``taps_i``, ``taps_q``: the
    half taps, the outermost first. The two samples that share a tap are added first (the fold),
    then come the complex products, the adder tree and the requantiser. ``out_clipped``: the
    requantiser clipped I or Q.
    """

    has_reset = False

    def __init__(self, filter_: Filter, input_bits: int, pipeline: FilterPipeline) -> None:
        self.filter, self.input_bits, self.pipeline = filter_, input_bits, pipeline
        self.half = len(filter_.half_taps_i)
        self.latency = pipeline.latency(self.half)
        self.format_name = (
            f"s{input_bits}_c{filter_.coefficient_bits}_t{filter_.taps}"
            f"_r{filter_.shift}_o{filter_.output_bits}" + cuts_name(pipeline, FilterPipeline())
        )
        self.module_name = f"filter_lane_{self.format_name}"
        self.summary = (
            f"One lane of a symmetric complex FIR filter: {filter_.taps} taps of "
            f"{filter_.coefficient_bits} bits, samples of {input_bits} bits, the sum shifted right "
            f"by {filter_.shift} and saturated to {filter_.output_bits} bits"
        )
        window = filter_.taps * input_bits
        taps = self.half * filter_.coefficient_bits
        self.can_clip = _can_clip(filter_, input_bits)
        super().__init__(
            {
                "window_i": In(window),
                "window_q": In(window),
                "taps_i": In(taps),
                "taps_q": In(taps),
                "out_i": Out(signed(filter_.output_bits)),
                "out_q": Out(signed(filter_.output_bits)),
            }
            | ({"out_clipped": Out(1)} if self.can_clip else {})
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        (y_i, clips_i), (y_q, clips_q) = self._outputs(m)
        for name, y, out in (("y_i", y_i, self.out_i), ("y_q", y_q, self.out_q)):
            m.d.comb += out.eq(keep(m, name, y, registered=True).value)
        clipped = flag(clips_i, clips_q)
        assert (clipped is not None) == self.can_clip
        if clipped is not None:
            m.d.comb += self.out_clipped.eq(keep(m, "clipped", clipped, registered=True).value)
        return m

    def _outputs(self, m: Module) -> list[tuple[Exact, Value | None]]:
        """I and Q before the output register, and whether each was clipped."""
        products = [self._product(m, k) for k in range(self.half)]
        cuts = self.pipeline.tree_cuts(self.half)
        outputs = []
        for name, terms in zip("iq", zip(*products, strict=True), strict=True):
            total = adder_tree(m, f"sum_{name}", terms, cuts)
            bits = self.filter.accumulator_bits(self.input_bits)
            assert total.shape.width <= bits, "the contract states a narrower accumulator"
            outputs.append(
                requantise(m, f"out_{name}", total, self.filter.shift, self.filter.output_bits)
            )
        return outputs

    def _folded(self, window: Signal, k: int) -> Exact:
        """x[n - k] + x[n - taps + 1 + k], or the centre sample alone."""
        first, last = (
            Exact.signed(element(window, index, self.input_bits).as_signed(), self.input_bits)
            for index in (k, self.filter.taps - 1 - k)
        )
        return first + last if k != self.filter.delay else first

    def _product(self, m: Module, k: int) -> tuple[Exact, Exact]:
        """Tap k, complex, times its folded samples."""
        bits = self.filter.coefficient_bits
        samples = {"i": self._folded(self.window_i, k), "q": self._folded(self.window_q, k)}
        if bits >= THREE_PRODUCTS_BITS:
            for name, x in samples.items():
                samples[name] = keep(m, f"fold_{name}_{k}", x, registered=False)
            samples["sum"] = samples["i"] + samples["q"]
        x = {
            name: keep(m, f"folded_{name}_{k}", value, registered=self.pipeline.after_pre_add)
            for name, value in samples.items()
        }
        hi, hq = (
            Exact.signed(element(taps, k, bits).as_signed(), bits)
            for taps in (self.taps_i, self.taps_q)
        )

        def product(name: str, sample: Exact, tap: Exact) -> Exact:
            # The tap second: Yosys recodes the second factor (Booth), and recoding what stands
            # still halves the power of the whole filter, since its select lines never toggle.
            return delay(
                m, f"real_{name}_{k}", sample * tap, registered=self.pipeline.after_multiplier
            )

        if bits < THREE_PRODUCTS_BITS:
            total_i = product("ii", x["i"], hi) - product("qq", x["q"], hq)
            total_q = product("qi", x["q"], hi) + product("iq", x["i"], hq)
        else:
            # Both parts have (i + q) hi in common.
            common = product("common", x["sum"], hi)
            tap_sum = keep(m, f"tap_sum_{k}", hi + hq, registered=False)
            tap_difference = keep(m, f"tap_difference_{k}", hq - hi, registered=False)
            total_i = _cut_to(
                m, f"total_i_{k}", common - product("i", x["q"], tap_sum), x["i"] * hi - x["q"] * hq
            )
            total_q = _cut_to(
                m,
                f"total_q_{k}",
                common + product("q", x["i"], tap_difference),
                x["q"] * hi + x["i"] * hq,
            )
        cut = self.pipeline.after_product
        return (
            keep(m, f"product_i_{k}", total_i, registered=cut),
            keep(m, f"product_q_{k}", total_q, registered=cut),
        )


def _cut_to(m: Module, name: str, total: Exact, known: Exact) -> Exact:
    """``total`` in the interval of ``known``, which is the same and knows more of its terms."""
    signal = Signal(known.shape, name=name)
    # Lint passes over signals called unused, if they are kept.
    top = Signal(len(total.value) - len(signal), name=f"{name}_top_unused", attrs={"keep": 1})
    m.d.comb += Cat(signal, top).eq(total.value)
    return replace(known, value=signal)


class FilterLanes(StreamBlock):
    """P lanes of a filter: a word of P samples in and out per clock, lane 0 the oldest.

    A history of ``taps - 1`` samples advances with every valid word. What else a lane reads, such
    as taps, all lanes share: ``taps_after`` clocks after a word came in. ``out_clipped``, where
    samples can be clipped, has a bit a lane, beside the word.
    """

    kind = "filter"
    lane_type: type[Block] = FilterLane

    def __init__(
        self,
        filter_: Filter,
        input_bits: int,
        lanes: int,
        pipeline: FilterPipeline | HardwiredPipeline,
    ) -> None:
        self.lane = self.lane_type(filter_, input_bits, pipeline)
        self.filter, self.pipeline = filter_, pipeline
        self.lanes, self.input_bits, self.output_bits = lanes, input_bits, filter_.output_bits
        self.latency = self.lane.latency
        self.warm_up_words = words_to_fill(filter_.taps - 1, lanes)
        self.format_name = self.lane.format_name
        self.saturators = {"filter": "out_clipped"} if self.lane.can_clip else {}
        self.shared = {
            name: member
            for name, member in self.lane.signature.members.items()
            if member.flow == In and name not in WINDOWS
        }
        self.module_name = f"{self.kind}_x{lanes}_{self.format_name}"
        self.summary = f"{lanes} lanes of {self.lane.module_name} and their common history"
        super().__init__(
            stream_ports(lanes, input_bits, filter_.output_bits)
            | self.shared
            | {port: Out(lanes) for port in self.saturators.values()}
        )

    @property
    def taps_after(self) -> int:
        """Clocks from a word's coming in to its meeting the taps."""
        return int(self.pipeline.after_pre_add)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valid = warmed_up(m, self.in_valid, self.warm_up_words)
        m.d.comb += self.out_valid.eq(delayed_valid(m, "valid", valid, self.latency))
        history = (self.filter.taps - 1) * self.input_bits
        stream_i = stream(m, "history_i", self.in_i, self.in_valid, history)
        stream_q = stream(m, "history_q", self.in_q, self.in_valid, history)
        bits = self.output_bits
        for p in range(self.lanes):
            lane = self.lane_type(self.filter, self.input_bits, self.pipeline)
            window = slice(p * self.input_bits, (p + self.filter.taps) * self.input_bits)
            m.d.comb += [
                lane.window_i.eq(stream_i[window]),
                lane.window_q.eq(stream_q[window]),
                *(getattr(lane, name).eq(getattr(self, name)) for name in self.shared),
                element(self.out_i, p, bits).eq(lane.out_i),
                element(self.out_q, p, bits).eq(lane.out_q),
                *(getattr(self, f)[p].eq(getattr(lane, f)) for f in self.saturators.values()),
            ]
            place(m, f"lane_{p}", lane, platform)
        return m
