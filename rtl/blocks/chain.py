# amaranth: UnusedElaboratable=no
"""The chain of a whole Design: all its steps, one after the other."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth.hdl import Module, Signal, Value
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from dbp.datapath.design import Design
from dbp.rtl.blocks.component import StreamBlock, add_block
from dbp.rtl.blocks.configuration_registers import READ_BITS
from dbp.rtl.blocks.step import Step
from dbp.rtl.blocks.streams import stream_ports
from dbp.rtl.pipeline import Pipeline


class Chain(StreamBlock):
    """The whole receiver filter: ``step_0``, ``step_1``, ... one after the other.

    ``cfg_step`` selects the step whose registers are written and read. ``cfg_read_data`` follows
    ``cfg_step`` and ``cfg_address`` by two clocks. For the rest see `dbp.rtl.blocks.step.Step`.
    """

    module_name = "chain"

    def __init__(
        self, design: Design, lanes: int, pipeline: Pipeline, *, hardwired: bool = False
    ) -> None:
        self.steps = [
            Step(design, k, lanes, pipeline, hardwired=hardwired)
            for k in range(len(design.filters))
        ]
        self.latency = sum(step.latency for step in self.steps)
        self.warm_up_words = sum(step.warm_up_words for step in self.steps)
        self.lanes, self.polarizations = lanes, design.polarizations
        self.input_bits, self.output_bits = design.signal_bits, design.output_bits
        self.summary = f"The whole receiver filter: {len(self.steps)} steps, {lanes} lanes"
        if design.polarizations == 2:
            self.summary += " for each of two polarisations"
        ports = stream_ports(lanes, design.polarizations, design.signal_bits, design.output_bits)
        ports |= {"in_commit": In(1), "out_commit": Out(1)}
        registers = [step.registers for step in self.steps if step.cfg_ports]
        if registers:
            ports |= {
                "cfg_write": In(1),
                "cfg_step": In(bits_for(len(self.steps) - 1)),
                "cfg_address": In(max(r.address_bits for r in registers)),
                "cfg_read_data": Out(READ_BITS),
            }
        if data_bits := max((r.data_bits for r in registers), default=0):
            ports["cfg_data"] = In(data_bits)
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valid: Value = self.in_valid
        commit: Value = self.in_commit
        word_i, word_q = self.in_i, self.in_q
        read: list[Value] = []
        for k, step in enumerate(self.steps):
            m.d.comb += [
                step.in_valid.eq(valid),
                step.in_commit.eq(commit),
                step.in_i.eq(word_i),
                step.in_q.eq(word_q),
            ]
            if step.cfg_ports:
                width = len(step.cfg_address)
                addressed = (self.cfg_step == k) & ~self.cfg_address[width:].any()
                m.d.comb += [
                    step.cfg_write.eq(self.cfg_write & addressed),
                    step.cfg_address.eq(self.cfg_address[:width]),
                ]
                if step.registers.data_bits:
                    m.d.comb += step.cfg_data.eq(self.cfg_data[: step.registers.data_bits])
                chosen = Signal(name=f"chosen_{k}", reset_less=True)
                m.d.sync += chosen.eq(addressed)
                read.append(step.cfg_read_data & chosen.replicate(READ_BITS))
            add_block(m, f"step_{k}", step, platform)
            valid, commit = step.out_valid, step.out_commit
            word_i, word_q = step.out_i, step.out_q
        m.d.comb += [
            self.out_valid.eq(valid),
            self.out_commit.eq(commit),
            self.out_i.eq(word_i),
            self.out_q.eq(word_q),
        ]
        if read:
            answer = Signal(READ_BITS, name="answer", reset_less=True)
            m.d.sync += answer.eq(reduce(or_, read))
            m.d.comb += self.cfg_read_data.eq(answer)
        return m
