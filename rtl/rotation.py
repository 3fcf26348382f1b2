# amaranth: UnusedElaboratable=no
"""The nonlinear step: rotate each sample by phi = K |x|^2, to first order."""

from __future__ import annotations

from amaranth.hdl import Module, signed
from amaranth.lib.wiring import In, Out

from dbp.design import Rotation
from dbp.rtl.arithmetic import Exact, delay, keep, requantise, squared_magnitude
from dbp.rtl.block import Block, StreamBlock, delayed_valid, element, place, stream_ports
from dbp.rtl.pipeline import RotationPipeline


class RotationLane(Block):
    """One sample per clock: |x|^2, phi = requantise(K |x|^2), x (1 + j phi), requantise."""

    has_reset = False

    def __init__(self, rotation: Rotation, input_bits: int, pipeline: RotationPipeline) -> None:
        self.rotation, self.input_bits, self.pipeline = rotation, input_bits, pipeline
        self.latency = pipeline.latency
        self.format_name = (
            f"s{input_bits}_b{rotation.branch_width(input_bits)}_k{rotation.kerr_bits}"
            f"_r{rotation.phase_shift}_p{rotation.phase_bits}"
            f"_f{rotation.phase_fraction_bits}_o{rotation.output_bits}"
        )
        self.module_name = f"rotation_lane_{self.format_name}"
        self.summary = (
            f"One lane of a nonlinear step: samples of {input_bits} bits, cut to "
            f"{rotation.branch_width(input_bits)} bits for |x|^2, K of {rotation.kerr_bits} bits, "
            f"phi of {rotation.phase_bits} bits with {rotation.phase_fraction_bits} fraction bits "
            f"after a shift by {rotation.phase_shift}, out {rotation.output_bits} bits"
        )
        super().__init__(
            {
                "in_i": In(signed(input_bits)),
                "in_q": In(signed(input_bits)),
                "kerr": In(signed(rotation.kerr_bits)),
                "out_i": Out(signed(rotation.output_bits)),
                "out_q": Out(signed(rotation.output_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        r, p = self.rotation, self.pipeline
        xi, xq = Exact.signed(self.in_i, self.input_bits), Exact.signed(self.in_q, self.input_bits)

        def pass_on(stage: str, registered: bool) -> tuple[Exact, Exact]:
            """The sample itself, beside a stage of the branch."""
            return (
                delay(m, f"i_{stage}", xi, registered=registered),
                delay(m, f"q_{stage}", xq, registered=registered),
            )

        power = squared_magnitude(xi, xq, self.input_bits, r.branch_bits)
        power = keep(m, "power", power, registered=p.after_power)
        xi, xq = pass_on("beside_power", p.after_power)

        kerr = Exact.signed(self.kerr, r.kerr_bits)
        scaled = keep(m, "kerr_times_power", power * kerr, registered=p.after_kerr)
        xi, xq = pass_on("beside_kerr", p.after_kerr)

        phi = requantise(m, "phi", scaled, r.phase_shift, r.phase_bits)
        phi = keep(m, "phi", phi, registered=p.after_phase)
        xi, xq = pass_on("beside_phi", p.after_phase)

        one = r.phase_fraction_bits
        phi_q = keep(m, "phi_times_q", phi * xq, registered=False)
        phi_i = keep(m, "phi_times_i", phi * xi, registered=False)
        turned_i = keep(m, "turned_i", (xi << one) - phi_q, registered=p.after_product)
        turned_q = keep(m, "turned_q", (xq << one) + phi_i, registered=p.after_product)

        shift = r.output_shift(self.input_bits)
        for name, turned, out in (("i", turned_i, self.out_i), ("q", turned_q, self.out_q)):
            y = requantise(m, f"out_{name}", turned, shift, r.output_bits)
            m.d.comb += out.eq(keep(m, f"y_{name}", y, registered=True).value)
        return m


class RotationLanes(StreamBlock):
    """P lanes of a nonlinear step, one K for all."""

    def __init__(
        self, rotation: Rotation, input_bits: int, lanes: int, pipeline: RotationPipeline
    ) -> None:
        self.lane = RotationLane(rotation, input_bits, pipeline)
        self.rotation, self.pipeline = rotation, pipeline
        self.lanes, self.input_bits, self.output_bits = lanes, input_bits, rotation.output_bits
        self.latency = self.lane.latency
        self.module_name = f"rotation_x{lanes}_{self.lane.format_name}"
        self.summary = f"{lanes} lanes of {self.lane.module_name}"
        super().__init__(
            stream_ports(lanes, input_bits, rotation.output_bits)
            | {"kerr": In(signed(rotation.kerr_bits))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.out_valid.eq(delayed_valid(m, self.in_valid, self.latency))
        bits = self.output_bits
        for p in range(self.lanes):
            lane = RotationLane(self.rotation, self.input_bits, self.pipeline)
            m.d.comb += [
                lane.in_i.eq(element(self.in_i, p, self.input_bits)),
                lane.in_q.eq(element(self.in_q, p, self.input_bits)),
                lane.kerr.eq(self.kerr),
                element(self.out_i, p, bits).eq(lane.out_i),
                element(self.out_q, p, bits).eq(lane.out_q),
            ]
            place(m, f"lane_{p}", lane, platform)
        return m
