# amaranth: UnusedElaboratable=no
"""A step: a filter, the rotation behind it where there is one, and the registers of both."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, ResetSignal, Signal, Value
from amaranth.lib.wiring import In, Out

from dbp.datapath.design import Design
from dbp.rtl.blocks.component import StreamBlock, add_block, lanes_name
from dbp.rtl.blocks.configuration_registers import Registers
from dbp.rtl.blocks.filter import FilterLanes
from dbp.rtl.blocks.hardwired import HardwiredFilterLanes
from dbp.rtl.blocks.rotation import RotationLanes
from dbp.rtl.blocks.streams import stream_ports
from dbp.rtl.pipeline import Pipeline


class Step(StreamBlock):
    """``filters[k]``, and ``rotations[k]`` if there is one and ``rotation`` asks for it.

    ``in_commit`` travels with the words: the word that comes in with it, and all later ones, meet
    the taps and the K written before, in all lanes at once, over the history as it is. Write
    nothing more until ``out_commit``. For the registers see
    `dbp.rtl.blocks.configuration_registers`.
    """

    def __init__(
        self,
        design: Design,
        k: int,
        lanes: int,
        pipeline: Pipeline,
        *,
        hardwired: bool = False,
        rotation: bool = True,
    ) -> None:
        filter_, input_bits = design.filters[k], design.filter_input_bits(k)
        self.hardwired = hardwired
        self.filter: FilterLanes | HardwiredFilterLanes
        polarizations = self.polarizations = design.polarizations
        if hardwired:
            self.filter = HardwiredFilterLanes(
                filter_, input_bits, lanes, pipeline.hardwired, polarizations
            )
        else:
            self.filter = FilterLanes(filter_, input_bits, lanes, pipeline.filter, polarizations)
        self.rotation = None
        if rotation and k < len(design.rotations):
            self.rotation = RotationLanes(
                design.rotations[k], filter_.output_bits, lanes, pipeline.rotation, polarizations
            )
        blocks = [self.filter] + ([self.rotation] if self.rotation else [])
        # Taps change at the clock edge after ``in_commit``; a word that meets them in the clock in
        # which it came in would still meet the old ones, so words wait for a clock.
        self.input_register = isinstance(self.filter, FilterLanes) and self.filter.taps_after == 0
        self.latency = self.input_register + sum(block.latency for block in blocks)
        self.warm_up_words = sum(block.warm_up_words for block in blocks)
        self.lanes, self.input_bits = lanes, input_bits
        self.output_bits = blocks[-1].output_bits
        # By requantiser: the block whose ``out_valid`` says when it clips, and the port that says
        # in which lanes.
        self.flags = {
            name: (block, port) for block in blocks for name, port in block.saturators.items()
        }
        self.registers = Registers(
            len(filter_.half_taps_i),
            filter_.coefficient_bits,
            self.rotation.lane.half if self.rotation else 0,
            design.rotations[k].kerr_bits if self.rotation else 0,
            lanes,
            self.flags,
            hardwired=hardwired,
            polarizations=polarizations,
        )
        formats = "__".join(block.format_name for block in blocks)
        self.module_name = f"step_{lanes_name(lanes, polarizations)}_{formats}"
        self.summary = "One step: " + ", then ".join(block.module_name for block in blocks)
        ports = stream_ports(lanes, polarizations, input_bits, self.output_bits)
        ports |= {"in_commit": In(1), "out_commit": Out(1)}
        if not self.registers.empty:
            ports |= {name: self.registers.signature.members[name] for name in self.cfg_ports}
        super().__init__(ports)

    @property
    def cfg_ports(self) -> list[str]:
        """The ports of the registers that are ports of the step; empty without a register."""
        members = self.registers.signature.members
        return [] if self.registers.empty else [p for p in members if p.startswith("cfg_")]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word = [self.in_valid, self.in_i, self.in_q]
        if self.input_register:
            for k, (name, value) in enumerate(
                zip(("input_valid", "input_i", "input_q"), word, strict=True)
            ):
                word[k] = Signal(len(value), name=name, reset_less=k > 0)
                m.d.sync += word[k].eq(value)
        line = Signal(self.latency, name="commit")
        m.d.sync += line.eq(Cat(self.in_commit, line)[: self.latency])
        m.d.comb += self.out_commit.eq(line[-1])
        after = [self.in_commit, *line]

        last: StreamBlock = self.filter
        m.d.comb += [
            self.filter.in_valid.eq(word[0]),
            self.filter.in_i.eq(word[1]),
            self.filter.in_q.eq(word[2]),
        ]
        add_block(m, "filter", self.filter, platform)
        if self.rotation:
            last = self.rotation
            m.d.comb += [
                self.rotation.in_valid.eq(self.filter.out_valid),
                self.rotation.in_i.eq(self.filter.out_i),
                self.rotation.in_q.eq(self.filter.out_q),
            ]
            add_block(m, "rotation", self.rotation, platform)
        m.d.comb += [
            self.out_valid.eq(last.out_valid),
            self.out_i.eq(last.out_i),
            self.out_q.eq(last.out_q),
        ]
        if not self.registers.empty:
            self._connect_registers(m, after)
            add_block(m, "registers", self.registers, platform)
        return m

    def _connect_registers(self, m: Module, commit_after: list[Value]) -> None:
        """``commit_after[n]`` is the commit bit n clocks after it came in."""
        registers, rotation = self.registers, self.rotation
        for name, flow in registers.ports():
            if name in self.cfg_ports:
                inner, outer = getattr(registers, name), getattr(self, name)
                m.d.comb += inner.eq(outer) if flow == In else outer.eq(inner)
        if not self.hardwired:
            m.d.comb += [
                # Nothing is loaded during reset, which clears the commit bits behind this one too.
                registers.load_taps.eq(self.in_commit & ~ResetSignal()),
                self.filter.taps_i.eq(registers.taps_i),
                self.filter.taps_q.eq(registers.taps_q),
            ]
        if rotation:
            # K changes at the last clock edge before the word of the commit meets it.
            clocks = self.input_register + self.filter.latency + rotation.kerr_after - 1
            m.d.comb += [
                registers.load_kerr.eq(commit_after[clocks]),
                rotation.kerr.eq(registers.kerr),
            ]
        for name, (block, port) in self.flags.items():
            m.d.comb += [
                getattr(registers, f"{name}_valid").eq(block.out_valid),
                getattr(registers, f"{name}_clipped").eq(getattr(block, port)),
            ]
