# amaranth: UnusedElaboratable=no
"""The symmetric complex FIR filter: one folded lane, and P lanes over a common history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Generic, TypeVar

from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from dbp.datapath.design import Filter
from dbp.rtl.blocks.arithmetic import Exact, adder_tree, delay, flag, keep, requantize
from dbp.rtl.blocks.component import (
    OUTPUT,
    Block,
    StreamBlock,
    add_block,
    element,
    in_lane,
    lanes_name,
)
from dbp.rtl.blocks.streams import (
    by_polarization,
    delayed_valid,
    stream_ports,
    warmed_up,
    with_history,
    words_to_fill,
)
from dbp.rtl.pipeline import FilterPipeline, name_suffix

# From this number of bits on, taps are multiplied three times, not four: docs/results/hardware.md
# has figures.
THREE_PRODUCTS_BITS = 8


def cut_registers(filter_: Filter) -> dict[str, str]:
    """Return for each cut of `FilterPipeline` the registers that it is, below `FilterLanes`.

    Registers that are no cut (histories, valid bits, taps) are not listed.
    """
    # The register behind the last level of the tree is that of the sum.
    levels = (len(filter_.half_taps_i) - 1).bit_length()
    return {
        "after_pre_add": in_lane(r"folded_(?:i|q|sum)_\d+"),
        "after_multiplier": in_lane(r"real_\w+_\d+"),
        "after_product": in_lane(r"product_[iq]_\d+"),
        "after_sum": in_lane(rf"sum_[iq]_{levels}_\d+"),
        "adder_levels": in_lane(r"sum_[iq]_\d+_\d+"),
        OUTPUT: in_lane(r"out_[iq]|y_[iq]|(?:out_)?clipped"),
    }


def _can_clip(filter_: Filter, input_bits: int) -> bool:
    """Return whether the requantiser clips the sum of any taps and samples: if the largest one.

    That is taps * 2 (-low tap) (-low sample), reached by x = low (1 + j), h = low (1 - j).
    """
    largest = filter_.taps << (input_bits + filter_.coefficient_bits - 1)
    return (largest + (1 << filter_.shift >> 1)) >> filter_.shift >> (filter_.output_bits - 1) > 0


class WindowedLane(Block):
    """One lane of a filter: an output sample per clock from a window of ``taps`` samples.

    ``window_i``, ``window_q``: the samples x[n - taps + 1] ... x[n], the oldest first.
    ``out_clipped``, a port where ``can_clip``: the requantiser clipped I or Q.
    """

    has_reset = False
    format_name: str
    can_clip: bool


class FilterLane(WindowedLane):
    """A lane whose taps are in registers.

    ``taps_i`` and the other ports in ``factors``: what is made of the half taps, the outermost
    first, see `factors_of`. The two samples that share a tap are added first (the fold), then come
    the complex products, the adder tree and the requantiser.
    """

    def __init__(self, filter_: Filter, input_bits: int, pipeline: FilterPipeline) -> None:
        self.filter, self.input_bits, self.pipeline = filter_, input_bits, pipeline
        self.half = len(filter_.half_taps_i)
        bits = filter_.coefficient_bits
        self.three_products = bits >= THREE_PRODUCTS_BITS
        # The ports with what samples are multiplied by, and the bits of one factor.
        self.factors = {"taps_i": bits, "taps_q": bits}
        if self.three_products:
            self.factors = {"taps_i": bits, "tap_sums": bits + 1, "tap_differences": bits + 1}
        self.latency = pipeline.latency(self.half)
        self.format_name = (
            f"s{input_bits}_c{filter_.coefficient_bits}_t{filter_.taps}"
            f"_r{filter_.shift}_o{filter_.output_bits}" + name_suffix(pipeline, FilterPipeline())
        )
        self.module_name = f"filter_lane_{self.format_name}"
        self.summary = (
            f"One lane of a symmetric complex FIR filter: {filter_.taps} taps of "
            f"{filter_.coefficient_bits} bits, samples of {input_bits} bits, the sum shifted right "
            f"by {filter_.shift} and saturated to {filter_.output_bits} bits"
        )
        window = filter_.taps * input_bits
        self.can_clip = _can_clip(filter_, input_bits)
        super().__init__(
            {
                "window_i": In(window),
                "window_q": In(window),
                **{name: In(self.half * bits) for name, bits in self.factors.items()},
                "out_i": Out(signed(filter_.output_bits)),
                "out_q": Out(signed(filter_.output_bits)),
            }
            | ({"out_clipped": Out(1)} if self.can_clip else {})
        )

    @staticmethod
    def factors_of(hi: Exact, hq: Exact) -> dict[str, Exact]:
        """Return all forms of a tap that products may need; a lane reads those in ``factors``.

        Three real products make a complex one, since I and Q have (x_i + x_q) h_i in common: I is
        that minus x_q (h_i + h_q), Q is that plus x_i (h_q - h_i). The sums of taps do not depend
        on the samples, so all lanes share them.
        """
        return {"taps_i": hi, "taps_q": hq, "tap_sums": hi + hq, "tap_differences": hq - hi}

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
        """Return I and Q before the output register, and whether each was clipped."""
        products = [self._product(m, k) for k in range(self.half)]
        cuts = self.pipeline.tree_cuts(self.half)
        outputs = []
        for name, terms in zip("iq", zip(*products, strict=True), strict=True):
            total = adder_tree(m, f"sum_{name}", terms, cuts)
            bits = self.filter.accumulator_bits(self.input_bits)
            assert total.shape.width <= bits, "the contract states a narrower accumulator"
            outputs.append(
                requantize(m, f"out_{name}", total, self.filter.shift, self.filter.output_bits)
            )
        return outputs

    def _folded(self, window: Signal, k: int) -> Exact:
        """Return x[n - k] + x[n - taps + 1 + k], or the centre sample alone."""
        first, last = (
            Exact.signed(element(window, index, self.input_bits).as_signed(), self.input_bits)
            for index in (k, self.filter.taps - 1 - k)
        )
        return first + last if k != self.filter.delay else first

    def _product(self, m: Module, k: int) -> tuple[Exact, Exact]:
        """Return tap k, complex, times its folded samples."""
        samples = {"i": self._folded(self.window_i, k), "q": self._folded(self.window_q, k)}
        if self.three_products:
            for name, sample in samples.items():
                samples[name] = keep(m, f"fold_{name}_{k}", sample, registered=False)
            samples["sum"] = samples["i"] + samples["q"]
        x = {
            name: keep(m, f"folded_{name}_{k}", value, registered=self.pipeline.after_pre_add)
            for name, value in samples.items()
        }
        h = {
            name: Exact.signed(element(getattr(self, name), k, bits).as_signed(), bits)
            for name, bits in self.factors.items()
        }

        def product(name: str, sample: Exact, factor: Exact) -> Exact:
            # The tap is the second factor, because Yosys recodes the second one (Booth). Taps stand
            # still, so their select lines never toggle: that halves the power of the whole filter.
            return delay(
                m, f"real_{name}_{k}", sample * factor, registered=self.pipeline.after_multiplier
            )

        hi = h["taps_i"]
        if self.three_products:
            common = product("common", x["sum"], hi)
            total_i = common - product("i", x["q"], h["tap_sums"])
            total_q = common + product("q", x["i"], h["tap_differences"])
            # As wide as the two products that each replaces: the top bits only repeat the sign.
            total_i = _cut_to(m, f"total_i_{k}", total_i, x["i"] * hi - x["q"] * hi)
            total_q = _cut_to(m, f"total_q_{k}", total_q, x["q"] * hi + x["i"] * hi)
        else:
            hq = h["taps_q"]
            total_i = product("ii", x["i"], hi) - product("qq", x["q"], hq)
            total_q = product("qi", x["q"], hi) + product("iq", x["i"], hq)
        cut = self.pipeline.after_product
        return (
            keep(m, f"product_i_{k}", total_i, registered=cut),
            keep(m, f"product_q_{k}", total_q, registered=cut),
        )


def _cut_to(m: Module, name: str, total: Exact, known: Exact) -> Exact:
    """Return ``total`` in the narrower interval of ``known``, which always has the same value."""
    signal = Signal(known.shape, name=name)
    # Lint passes over signals called unused, if they are kept.
    top = Signal(len(total.value) - len(signal), name=f"{name}_top_unused", attrs={"keep": 1})
    m.d.comb += Cat(signal, top).eq(total.value)
    return replace(known, value=signal)


Lane = TypeVar("Lane", bound=WindowedLane)


class WindowedLanes(StreamBlock, Generic[Lane]):
    """P equal lanes of a filter over a common history: a word of P samples in and out per clock.

    Lane 0 has the oldest sample. The history of ``taps - 1`` samples advances with every valid
    word. ``out_clipped``, where samples can be clipped, has a bit per lane, together with the word.
    With two polarisations y has P lanes more, behind those of x, and a history of its own.
    """

    kind: str  # the first part of the module's name

    def __init__(
        self,
        filter_: Filter,
        input_bits: int,
        lanes: int,
        polarizations: int,
        new_lane: Callable[[], Lane],
        more_ports: Mapping[str, wiring.Member],
    ) -> None:
        self.new_lane, self.lane = new_lane, new_lane()
        self.filter, self.polarizations = filter_, polarizations
        self.lanes, self.input_bits, self.output_bits = lanes, input_bits, filter_.output_bits
        self.latency = self.lane.latency
        self.warm_up_words = words_to_fill(filter_.taps - 1, lanes)
        self.format_name = self.lane.format_name
        self.saturators = {"filter": "out_clipped"} if self.lane.can_clip else {}
        self.module_name = f"{self.kind}_{lanes_name(lanes, polarizations)}_{self.format_name}"
        self.summary = f"{lanes} lanes of {self.lane.module_name} and their common history"
        if polarizations == 2:
            self.summary += ", for each of two polarisations"
        super().__init__(
            stream_ports(lanes, polarizations, input_bits, filter_.output_bits)
            | dict(more_ports)
            | {port: Out(lanes * polarizations) for port in self.saturators.values()}
        )

    def _factors(self, m: Module) -> dict[str, Value]:
        """Return what all lanes read besides their samples, by the port of the lane."""
        return {}

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valid = warmed_up(m, self.in_valid, self.warm_up_words)
        m.d.comb += self.out_valid.eq(delayed_valid(m, "valid", valid, self.latency))
        history = (self.filter.taps - 1) * self.input_bits
        streams_i, streams_q = (
            [
                with_history(m, f"history_{part}{end}", of_one, self.in_valid, history)
                for end, of_one in by_polarization(word, self.polarizations)
            ]
            for part, word in (("i", self.in_i), ("q", self.in_q))
        )
        factors, bits = self._factors(m), self.output_bits
        for n in range(self.lanes * self.polarizations):
            lane, (polarization, p) = self.new_lane(), divmod(n, self.lanes)
            window = slice(p * self.input_bits, (p + self.filter.taps) * self.input_bits)
            m.d.comb += [
                lane.window_i.eq(streams_i[polarization][window]),
                lane.window_q.eq(streams_q[polarization][window]),
                *(getattr(lane, name).eq(value) for name, value in factors.items()),
                element(self.out_i, n, bits).eq(lane.out_i),
                element(self.out_q, n, bits).eq(lane.out_q),
                *(getattr(self, f)[n].eq(getattr(lane, f)) for f in self.saturators.values()),
            ]
            add_block(m, f"lane_{n}", lane, platform)
        return m


class FilterLanes(WindowedLanes[FilterLane]):
    """P lanes of a filter whose taps are in registers.

    All lanes share the half taps at ``taps_i`` and ``taps_q``, the outermost first. A word meets
    the taps that are there ``taps_after`` clocks after it came in.
    """

    kind = "filter"

    def __init__(
        self,
        filter_: Filter,
        input_bits: int,
        lanes: int,
        pipeline: FilterPipeline,
        polarizations: int = 1,
    ) -> None:
        self.pipeline = pipeline
        width = len(filter_.half_taps_i) * filter_.coefficient_bits
        taps = {"taps_i": In(width), "taps_q": In(width)}
        new_lane = partial(FilterLane, filter_, input_bits, pipeline)
        super().__init__(filter_, input_bits, lanes, polarizations, new_lane, taps)

    @property
    def factors_registered(self) -> bool:
        """Tell whether factors that are sums of taps, and so all others, are in registers."""
        return self.lane.three_products and self.pipeline.after_pre_add

    @property
    def taps_after(self) -> int:
        """Clocks from the entry of a word until it meets the taps."""
        return int(self.pipeline.after_pre_add) - self.factors_registered

    def _factors(self, m: Module) -> dict[str, Value]:
        bits, half = self.filter.coefficient_bits, len(self.filter.half_taps_i)
        packed: dict[str, list[Value]] = {name: [] for name in self.lane.factors}
        for k in range(half):
            hi, hq = (
                Exact.signed(element(taps, k, bits).as_signed(), bits)
                for taps in (self.taps_i, self.taps_q)
            )
            of_tap = self.lane.factors_of(hi, hq)
            for name, values in packed.items():
                factor = keep(m, f"{name}_{k}", of_tap[name], registered=self.factors_registered)
                values.append(factor.value)
        return {name: Cat(*values) for name, values in packed.items()}
