# amaranth: UnusedElaboratable=no
"""A step (filter, then rotation, behind its registers) and the chain of a whole Design."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value
from amaranth.lib.wiring import In
from amaranth.utils import bits_for

from dbp.design import Design
from dbp.rtl.block import StreamBlock, element, place, stream_ports
from dbp.rtl.filter import FilterLanes
from dbp.rtl.pipeline import Pipeline
from dbp.rtl.rotation import RotationLanes


class Step(StreamBlock):
    """``filters[k]`` and, where there is one, ``rotations[k]``, with the registers they read.

    The registers hold the half taps and half of K. They have no reset value: write all of them
    before the first sample. Address ``2 k`` is the I part of half tap ``k`` (the outermost is 0),
    ``2 k + 1`` its Q part; after the taps come the K, the outermost first. A register takes the low
    bits of ``cfg_data`` at the clock edge where ``cfg_write`` is high; other addresses write
    nothing.
    """

    def __init__(self, design: Design, k: int, lanes: int, pipeline: Pipeline) -> None:
        filter_, input_bits = design.filters[k], design.filter_input_bits(k)
        self.filter = FilterLanes(filter_, input_bits, lanes, pipeline.filter)
        self.rotation = None
        if k < len(design.rotations):
            self.rotation = RotationLanes(
                design.rotations[k], filter_.output_bits, lanes, pipeline.rotation
            )
        blocks = [self.filter] + ([self.rotation] if self.rotation else [])
        self.latency = sum(block.latency for block in blocks)
        self.lanes, self.input_bits = lanes, input_bits
        self.half = self.filter.lane.half
        self.coefficient_bits = filter_.coefficient_bits
        self.kerr_bits = design.rotations[k].kerr_bits if self.rotation else 0
        self.output_bits = design.rotations[k].output_bits if self.rotation else filter_.output_bits
        self.kerr_half = self.rotation.lane.half if self.rotation else 0
        self.addresses = 2 * self.half + self.kerr_half
        self.module_name = f"step_x{lanes}_" + "__".join(b.lane.format_name for b in blocks)
        self.summary = "One step: " + ", then ".join(b.module_name for b in blocks)
        super().__init__(
            stream_ports(lanes, input_bits, self.output_bits)
            | {
                "cfg_write": In(1),
                "cfg_address": In(bits_for(self.addresses - 1)),
                "cfg_data": In(max(self.coefficient_bits, self.kerr_bits)),
            }
        )

    def address_map(self) -> dict[str, list[int]]:
        """Addresses of the half taps and of half of K (none in the last step), outermost first."""
        return {
            "half_taps_i": [2 * k for k in range(self.half)],
            "half_taps_q": [2 * k + 1 for k in range(self.half)],
            "kerr": [2 * self.half + k for k in range(self.kerr_half)],
        }

    def elaborate(self, platform: object) -> Module:
        m = Module()

        def register(name: str, bits: int, address: int) -> Signal:
            signal = Signal(bits, name=name, reset_less=True)
            with m.If(self.cfg_write & (self.cfg_address == address)):
                m.d.sync += signal.eq(self.cfg_data[:bits])
            return signal

        for k in range(self.half):
            bits = self.coefficient_bits
            m.d.comb += [
                element(self.filter.taps_i, k, bits).eq(register(f"tap_i_{k}", bits, 2 * k)),
                element(self.filter.taps_q, k, bits).eq(register(f"tap_q_{k}", bits, 2 * k + 1)),
            ]
        last = self.filter
        m.d.comb += [
            self.filter.in_valid.eq(self.in_valid),
            self.filter.in_i.eq(self.in_i),
            self.filter.in_q.eq(self.in_q),
        ]
        place(m, "filter", self.filter, platform)
        if self.rotation:
            last = self.rotation
            m.d.comb += [
                self.rotation.in_valid.eq(self.filter.out_valid),
                self.rotation.in_i.eq(self.filter.out_i),
                self.rotation.in_q.eq(self.filter.out_q),
            ]
            for k in range(self.kerr_half):
                value = register(f"kerr_{k}", self.kerr_bits, 2 * self.half + k)
                m.d.comb += element(self.rotation.kerr, k, self.kerr_bits).eq(value)
            place(m, "rotation", self.rotation, platform)
        m.d.comb += [
            self.out_valid.eq(last.out_valid),
            self.out_i.eq(last.out_i),
            self.out_q.eq(last.out_q),
        ]
        return m


class Chain(StreamBlock):
    """The whole receiver filter: ``step_0``, ``step_1``, ... one after the other.

    ``cfg_step`` chooses the step that a write goes to.
    """

    module_name = "chain"

    def __init__(self, design: Design, lanes: int, pipeline: Pipeline) -> None:
        self.steps = [Step(design, k, lanes, pipeline) for k in range(len(design.filters))]
        self.latency = sum(step.latency for step in self.steps)
        self.lanes = lanes
        self.input_bits, self.output_bits = design.signal_bits, design.output_bits
        self.summary = f"The whole receiver filter: {len(self.steps)} steps, {lanes} lanes"
        super().__init__(
            stream_ports(lanes, design.signal_bits, design.output_bits)
            | {
                "cfg_write": In(1),
                "cfg_step": In(bits_for(len(self.steps) - 1)),
                "cfg_address": In(max(len(step.cfg_address) for step in self.steps)),
                "cfg_data": In(max(len(step.cfg_data) for step in self.steps)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valid: Value = self.in_valid
        word_i, word_q = self.in_i, self.in_q
        for k, step in enumerate(self.steps):
            width = len(step.cfg_address)
            addressed = (self.cfg_step == k) & ~self.cfg_address[width:].any()
            m.d.comb += [
                step.in_valid.eq(valid),
                step.in_i.eq(word_i),
                step.in_q.eq(word_q),
                step.cfg_write.eq(self.cfg_write & addressed),
                step.cfg_address.eq(self.cfg_address[:width]),
                step.cfg_data.eq(self.cfg_data[: len(step.cfg_data)]),
            ]
            place(m, f"step_{k}", step, platform)
            valid, word_i, word_q = step.out_valid, step.out_i, step.out_q
        m.d.comb += [self.out_valid.eq(valid), self.out_i.eq(word_i), self.out_q.eq(word_q)]
        return m
