# amaranth: UnusedElaboratable=no
"""The nonlinear step: rotate each sample by phi, in proportion to the power around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, reduce
from operator import add
from types import MappingProxyType

from amaranth.hdl import Cat, Const, Module, signed
from amaranth.lib.wiring import In, Out

from dbp.datapath.design import Rotation
from dbp.rtl.blocks.arithmetic import (
    Digits,
    Exact,
    Terms,
    delay,
    flag,
    keep,
    requantize,
    round_shift,
    squared_magnitude,
)
from dbp.rtl.blocks.component import Block, StreamBlock, add_block, element
from dbp.rtl.blocks.streams import (
    delayed_valid,
    stream_ports,
    warmed_up,
    with_history,
    words_to_fill,
)
from dbp.rtl.pipeline import RotationPipeline, cuts_name


def _sample_power(
    m: Module, name: str, rotation: Rotation, i: Exact, q: Exact, input_bits: int
) -> Exact:
    """|x|^2 - offset."""
    power = squared_magnitude(m, name, i, q, input_bits, rotation.branch_bits)
    return power.plus(-rotation.power_offset).total(m, name)


def _any_power(rotation: Rotation, input_bits: int) -> Exact:
    """Stands for |x|^2 - offset of any sample: asked for its interval and its shape."""
    x = Exact.signed(Const(0, signed(input_bits)), input_bits)
    return _sample_power(Module(), "power", rotation, x, x, input_bits)


@cache
def _saturators(
    rotation: Rotation, input_bits: int, pipeline: RotationPipeline
) -> Mapping[str, str]:
    """The requantisers that can clip, and the port that says so."""
    lane = RotationLane(rotation, input_bits, pipeline, saturators={})
    _, *flags = lane.outputs(Module())
    ports = {"phi": "phi_clipped", "rotation": "out_clipped"}
    return MappingProxyType(
        {name: port for (name, port), f in zip(ports.items(), flags, strict=True) if f is not None}
    )


class RotationLane(Block):
    """One sample per clock, rotated by phi = requantise(sum over K times the powers around it).

    ``in_i``, ``in_q``: the sample x[n - delay]; ``powers``: |x|^2 - offset of
    x[n - kerr_taps + 1] ... x[n], the oldest first; ``kerr``: half of K, the outermost first. The
    two powers that share a K are added first, as in a filter. To second order the cosine of phi is
    2^p - versine with the narrow versine = round_shift(phi^2, p + 1). ``phi_clipped`` and
    ``out_clipped``: the requantiser of phi, or of I or Q, clipped what it gave this sample; the
    port is there where samples can be clipped.
    """

    has_reset = False

    def __init__(
        self,
        rotation: Rotation,
        input_bits: int,
        pipeline: RotationPipeline,
        saturators: Mapping[str, str],
    ) -> None:
        self.saturators = saturators
        self.rotation, self.input_bits, self.pipeline = rotation, input_bits, pipeline
        self.latency = pipeline.latency - pipeline.after_power
        self.half = len(rotation.kerr_gains)
        self.any_power = _any_power(rotation, input_bits)
        self.power_bits = self.any_power.shape.width
        branch_bits = rotation.branch_width(input_bits)
        self.format_name = (
            f"s{input_bits}_b{branch_bits}_d{rotation.power_offset}_k{rotation.kerr_bits}"
            f"_t{rotation.kerr_taps}_r{rotation.phase_shift}_p{rotation.phase_bits}"
            f"_f{rotation.phase_fraction_bits}_n{rotation.taylor_order}_o{rotation.output_bits}"
            + cuts_name(pipeline, RotationPipeline().of(rotation))
        )
        self.module_name = f"rotation_lane_{self.format_name}"
        self.summary = (
            f"One lane of a nonlinear step: samples of {input_bits} bits, |x|^2 of "
            f"{branch_bits} bits less {rotation.power_offset}, {rotation.kerr_taps} K of "
            f"{rotation.kerr_bits} bits, phi of {rotation.phase_bits} bits with "
            f"{rotation.phase_fraction_bits} fraction bits after a shift by "
            f"{rotation.phase_shift}, order {rotation.taylor_order}, "
            f"out {rotation.output_bits} bits"
        )
        super().__init__(
            {
                "in_i": In(signed(input_bits)),
                "in_q": In(signed(input_bits)),
                "powers": In(rotation.kerr_taps * self.power_bits),
                "kerr": In(self.half * rotation.kerr_bits),
                "out_i": Out(signed(rotation.output_bits)),
                "out_q": Out(signed(rotation.output_bits)),
            }
            | {port: Out(1) for port in saturators.values()}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        outputs, *flags = self.outputs(m)
        for name, y, out in zip(("y_i", "y_q"), outputs, (self.out_i, self.out_q), strict=True):
            m.d.comb += out.eq(keep(m, name, y, registered=True).value)
        for port, clipped in zip(("phi_clipped", "out_clipped"), flags, strict=True):
            if clipped is not None:
                register = keep(m, f"{port}_beside_y", clipped, registered=True)
                m.d.comb += getattr(self, port).eq(register.value)
        return m

    def outputs(self, m: Module) -> tuple[list[Exact], Exact | None, Exact | None]:
        """I and Q before the output register; whether phi, and whether I or Q was clipped."""
        r, p = self.rotation, self.pipeline
        xi, xq = Exact.signed(self.in_i, self.input_bits), Exact.signed(self.in_q, self.input_bits)

        def pass_on(stage: str, registered: bool) -> tuple[Exact, Exact]:
            """The sample itself, beside a stage of the branch."""
            return (
                delay(m, f"i_{stage}", xi, registered=registered),
                delay(m, f"q_{stage}", xq, registered=registered),
            )

        folded = [self._folded(m, k) for k in range(self.half)]
        xi, xq = pass_on("beside_fold", p.after_fold)

        # K, which stands still, chooses the multiples: see `dbp.rtl.blocks.filter`.
        scaled = []
        for k, power in enumerate(folded):
            kerr = Digits.of(m, f"kerr_{k}", self._kerr(k), registered=False)
            name = f"kerr_times_power_{k}"
            product = Terms.product(m, name, power, kerr)
            scaled.append(product.cut(m, name, registered=p.after_kerr))
        xi, xq = pass_on("beside_kerr", p.after_kerr)

        phi, clips = requantize(m, "phi", reduce(add, scaled), r.phase_shift, r.phase_bits)
        digits, versine = self._digits(m, phi)
        xi, xq = pass_on("beside_phi", p.after_phase)
        phi_clipped = flag(clips)
        for stage in ("after_phase", "after_versine", "after_multiplier", "after_product"):
            if phi_clipped is not None:
                phi_clipped = delay(
                    m, f"phi_clipped_{stage}", phi_clipped, registered=getattr(p, stage)
                )

        xi, xq = pass_on("beside_versine", p.after_versine)

        turned = []
        for name, x, other in (("i", xi, xq), ("q", xq, xi)):
            along = self._times_cosine(m, name, x, versine)
            across = Terms.product(m, f"phi_times_{name}", other, digits, minus=name == "i")
            turned.append(
                reduce(
                    add,
                    (
                        term.cut(m, f"{part}_{name}", registered=p.after_multiplier)
                        for part, term in (("along", along), ("across", across))
                    ),
                ).cut(m, f"turned_{name}", registered=p.after_product)
            )

        shift = r.output_shift(self.input_bits)
        (y_i, clips_i), (y_q, clips_q) = (
            requantize(m, f"out_{name}", y, shift, r.output_bits)
            for name, y in zip("iq", turned, strict=True)
        )
        return [y_i, y_q], phi_clipped, flag(clips_i, clips_q)

    def _kerr(self, k: int) -> Exact:
        bits = self.rotation.kerr_bits
        return Exact.signed(element(self.kerr, k, bits).as_signed(), bits)

    def _power(self, k: int) -> Exact:
        value = element(self.powers, k, self.power_bits)
        return replace(self.any_power, value=value.as_signed() if self.any_power.low < 0 else value)

    def _folded(self, m: Module, k: int) -> Exact:
        """The two powers that share K number k, or the centre one alone."""
        total = self._power(k)
        if k != self.rotation.delay:
            total = total + self._power(self.rotation.kerr_taps - 1 - k)
        return keep(m, f"power_{k}", total, registered=self.pipeline.after_fold)

    def _digits(self, m: Module, phi: Exact) -> tuple[Digits, Digits | None]:
        """Of phi and of the versine phi^2 / 2; None for the latter where it is always nothing.

        Registers hold digits where they meet the sample next, else phi.
        """
        r, p = self.rotation, self.pipeline
        if r.taylor_order == 1:
            # Named, since it is read many times.
            phi = keep(m, "phi", phi, registered=False)
            return Digits.of(m, "phi_digit", phi, registered=p.after_phase), None
        phi = keep(m, "phi", phi, registered=p.after_phase)
        digits = Digits.of(m, "phi_digit_beside_versine", phi, registered=p.after_versine)
        square = keep(m, "phi_squared", phi.squared(), registered=False)
        versine = round_shift(m, "versine", square, r.phase_fraction_bits + 1)
        if versine.high == 0:
            return digits, None
        return digits, Digits.of(m, "versine_digit", versine, registered=p.after_versine)

    def _times_cosine(self, m: Module, name: str, x: Exact, versine: Digits | None) -> Terms:
        """(2^p - versine) x, in which the wide factor costs a shift only."""
        bits = self.rotation.phase_fraction_bits
        whole = Terms.of(m, f"whole_{name}", x) << bits
        if versine is None:
            return whole
        terms = whole + Terms.product(m, f"versine_times_{name}", x, versine, minus=True)
        # Both hold x: the interval is that of the product, tighter than that of a difference.
        cosine = Exact(Const(1 << bits), 1 << bits, 1 << bits) - versine.factor
        product = cosine * x
        return replace(terms, low=product.low, high=product.high)


class RotationLanes(StreamBlock):
    """P lanes of a nonlinear step, one set of K for all.

    Each |x|^2 is computed once. The powers of the last ``kerr_taps - 1`` samples and the last
    ``delay`` samples themselves are kept. K meets a word ``kerr_after`` clocks after it came in.
    ``phi_clipped`` and ``out_clipped``, where samples can be clipped, have a bit a lane, beside the
    word that leaves.
    """

    def __init__(
        self, rotation: Rotation, input_bits: int, lanes: int, pipeline: RotationPipeline
    ) -> None:
        self.rotation, self.pipeline = rotation, pipeline.of(rotation)
        self.saturators = _saturators(rotation, input_bits, self.pipeline)
        self.lane = RotationLane(rotation, input_bits, self.pipeline, self.saturators)
        self.lanes, self.input_bits, self.output_bits = lanes, input_bits, rotation.output_bits
        self.latency = self.pipeline.latency
        self.warm_up_words = words_to_fill(rotation.kerr_taps - 1, lanes)
        self.kerr_after = self.pipeline.after_power + self.pipeline.after_fold
        self.format_name = self.lane.format_name
        self.module_name = f"rotation_x{lanes}_{self.format_name}"
        self.summary = f"{lanes} lanes of {self.lane.module_name}, and what they share"
        super().__init__(
            stream_ports(lanes, input_bits, rotation.output_bits)
            | {"kerr": In(self.lane.half * rotation.kerr_bits)}
            | {port: Out(lanes) for port in self.saturators.values()}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        r, power_bits = self.rotation, self.lane.power_bits
        powers, samples_i, samples_q = [], [], []
        cut = self.pipeline.after_power
        for p in range(self.lanes):
            xi, xq = (
                Exact.signed(element(word, p, self.input_bits).as_signed(), self.input_bits)
                for word in (self.in_i, self.in_q)
            )
            power = _sample_power(m, f"magnitude_{p}", r, xi, xq, self.input_bits)
            powers.append(keep(m, f"power_{p}", power, registered=cut).value)
            samples_i.append(delay(m, f"i_beside_power_{p}", xi, registered=cut).value)
            samples_q.append(delay(m, f"q_beside_power_{p}", xq, registered=cut).value)
        valid = delayed_valid(m, "power_valid", self.in_valid, int(cut))
        warm = warmed_up(m, valid, self.warm_up_words)
        m.d.comb += self.out_valid.eq(delayed_valid(m, "valid", warm, self.lane.latency))

        stream_p = with_history(
            m, "history_power", Cat(powers), valid, (r.kerr_taps - 1) * power_bits
        )
        stream_i = with_history(m, "history_i", Cat(samples_i), valid, r.delay * self.input_bits)
        stream_q = with_history(m, "history_q", Cat(samples_q), valid, r.delay * self.input_bits)
        bits = self.output_bits
        for p in range(self.lanes):
            lane = RotationLane(r, self.input_bits, self.pipeline, self.saturators)
            m.d.comb += [
                lane.in_i.eq(element(stream_i, p, self.input_bits)),
                lane.in_q.eq(element(stream_q, p, self.input_bits)),
                lane.powers.eq(stream_p[p * power_bits : (p + r.kerr_taps) * power_bits]),
                lane.kerr.eq(self.kerr),
                element(self.out_i, p, bits).eq(lane.out_i),
                element(self.out_q, p, bits).eq(lane.out_q),
                *(getattr(self, f)[p].eq(getattr(lane, f)) for f in self.saturators.values()),
            ]
            add_block(m, f"lane_{p}", lane, platform)
        return m
