# amaranth: UnusedElaboratable=no
"""The nonlinear step: rotate each sample by phi, in proportion to the power around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, reduce
from operator import add
from types import MappingProxyType
from typing import NamedTuple

from amaranth.hdl import Cat, Module, Value, signed
from amaranth.lib.wiring import In, Out

from dbp.datapath.design import Rotation
from dbp.rtl.blocks.arithmetic import (
    Companions,
    Digits,
    Exact,
    Interval,
    Terms,
    delay,
    flag,
    keep,
    requantize,
    round_shift,
    squared_magnitude,
    squared_magnitude_interval,
)
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
from dbp.rtl.pipeline import RotationPipeline, name_suffix

# The registers of each cut, by their names below `RotationLanes`: see `dbp.rtl.blocks.component`.
CUT_REGISTERS: Mapping[str, str] = MappingProxyType(
    {
        "after_power": r"power_\d+|[iq]_beside_power_\d+|history_(?:power|[iq](?:_y)?)|"
        + in_lane(r"powers|in_[iq](?:_y)?"),
        "after_fold": in_lane(r"power_\d+|[iq](?:_y)?_beside_fold"),
        "after_kerr": in_lane(r"kerr_times_power_\d+|[iq](?:_y)?_beside_kerr"),
        "after_phase": in_lane(
            r"phi(?:_digit_\w+)?|[iq](?:_y)?_beside_phi|phi_clipped_after_phase"
        ),
        "after_versine": in_lane(
            r"versine_digit_\w+|\w+_beside_versine\w*|phi_clipped_after_versine"
        ),
        "after_multiplier": in_lane(r"(?:across|along)_[iq](?:_y)?|phi_clipped_after_multiplier"),
        "after_product": in_lane(r"turned_[iq](?:_y)?|phi_clipped_after_product"),
        OUTPUT: in_lane(r"(?:out|y)_[iq](?:_y)?|(?:phi|out)_clipped(?:_y)?(?:_beside_y)?"),
    }
)


# What ends the names of the signals of x, and of those of y where there are two polarisations.
ENDS = "", "_y"


def _power_interval(rotation: Rotation, input_bits: int, polarizations: int) -> Interval:
    """Return all that |x|^2 - offset of a sample can be, or |x|^2 + |y|^2 - offset of a pair."""
    offset = Interval(rotation.power_offset, rotation.power_offset)
    of_one = squared_magnitude_interval(input_bits, rotation.branch_bits)
    return (of_one + of_one if polarizations == 2 else of_one) - offset


@cache
def _saturators(rotation: Rotation, input_bits: int, polarizations: int) -> Mapping[str, str]:
    """Return the requantisers that can clip, and for each the port that says when it did.

    The same ranges as those of the hardware of `RotationLane`, without the hardware.
    """
    power = _power_interval(rotation, input_bits, polarizations)
    kerr = Interval.signed(rotation.kerr_bits)
    total = reduce(add, rotation.delay * [(power + power) * kerr], power * kerr)
    rounded = total.rounded(rotation.phase_shift)
    phi = rounded.saturated(rotation.phase_bits)
    one = 1 << rotation.phase_fraction_bits
    cosine = Interval(one, one)
    if rotation.taylor_order == 2:
        cosine = cosine - phi.squared().rounded(rotation.phase_fraction_bits + 1)
    x = Interval.signed(input_bits)
    along, across, shift = cosine * x, phi * x, rotation.output_shift(input_bits)
    outputs = ((along - across).rounded(shift), (along + across).rounded(shift))
    ports = {}
    if not rounded.fits(rotation.phase_bits):
        ports["phi"] = "phi_clipped"
    if not all(output.fits(rotation.output_bits) for output in outputs):
        ports["rotation"] = "out_clipped"
    return MappingProxyType(ports)


class _Turned(NamedTuple):
    """What a lane puts in the output registers of a polarisation; ``clipped`` None: it never is."""

    i: Exact
    q: Exact
    clipped: Exact | None


class RotationLane(Block):
    """One lane: a sample per clock, rotated by phi = requantise(sum of K times powers around it).

    With two polarisations a pair of samples, rotated by one phi, that of the sum of both powers;
    the ports of y end in ``_y``.

    ``in_i``, ``in_q``: the sample x[n - delay]; ``powers``: |x|^2 - offset of
    x[n - kerr_taps + 1] ... x[n], the oldest first; ``kerr``: half of K, the outermost first. The
    two powers that share a K are added first, as in a filter. To second order the cosine of phi is
    2^p - versine with the narrow versine = round_shift(phi^2, p + 1). ``phi_clipped`` and
    ``out_clipped``: the requantiser of phi, or that of I or of Q, clipped this sample; the ports
    exist where samples can be clipped.
    """

    has_reset = False

    def __init__(
        self,
        rotation: Rotation,
        input_bits: int,
        pipeline: RotationPipeline,
        polarizations: int = 1,
    ) -> None:
        self.saturators = _saturators(rotation, input_bits, polarizations)
        self.rotation, self.input_bits, self.pipeline = rotation, input_bits, pipeline
        self.ends = ENDS[:polarizations]
        self.latency = pipeline.latency - pipeline.after_power
        self.half = len(rotation.kerr_gains)
        self.power = _power_interval(rotation, input_bits, polarizations)
        self.power_bits = self.power.shape.width
        branch_bits = rotation.branch_width(input_bits)
        self.format_name = (
            f"s{input_bits}_b{branch_bits}_d{rotation.power_offset}_k{rotation.kerr_bits}"
            f"_t{rotation.kerr_taps}_r{rotation.phase_shift}_p{rotation.phase_bits}"
            f"_f{rotation.phase_fraction_bits}_n{rotation.taylor_order}_o{rotation.output_bits}"
            + name_suffix(pipeline, RotationPipeline().for_rotation(rotation))
        )
        self.module_name = f"rotation_{'lane' if polarizations == 1 else 'pair'}_{self.format_name}"
        self.summary = (
            f"One lane of a nonlinear step: {'' if polarizations == 1 else 'pairs of '}samples of "
            f"{input_bits} bits, {'|x|^2' if polarizations == 1 else '|x|^2 + |y|^2'} of "
            f"{branch_bits} bits less {rotation.power_offset}, {rotation.kerr_taps} K of "
            f"{rotation.kerr_bits} bits, phi of {rotation.phase_bits} bits with "
            f"{rotation.phase_fraction_bits} fraction bits after a shift by "
            f"{rotation.phase_shift}, order {rotation.taylor_order}, "
            f"out {rotation.output_bits} bits"
        )
        inputs, outputs = signed(input_bits), signed(rotation.output_bits)
        super().__init__(
            {f"in_{part}{end}": In(inputs) for end in self.ends for part in "iq"}
            | {
                "powers": In(rotation.kerr_taps * self.power_bits),
                "kerr": In(self.half * rotation.kerr_bits),
            }
            | {f"out_{part}{end}": Out(outputs) for end in self.ends for part in "iq"}
            | {port: Out(1) for ports in self.flags.values() for port in ports}
        )

    @property
    def flags(self) -> dict[str, list[str]]:
        """The ports that say when a requantiser clipped, one for each polarisation but of phi."""
        return {
            name: [f"{port}{end}" for end in (self.ends if name == "rotation" else ENDS[:1])]
            for name, port in self.saturators.items()
        }

    def elaborate(self, platform: object) -> Module:
        m = Module()
        phi_clipped, turned = self._outputs(m)
        flags = {"phi_clipped": phi_clipped}
        for end, outputs in zip(self.ends, turned, strict=True):
            for name, y in (("i", outputs.i), ("q", outputs.q)):
                register = keep(m, f"y_{name}{end}", y, registered=True)
                m.d.comb += getattr(self, f"out_{name}{end}").eq(register.value)
            flags[f"out_clipped{end}"] = outputs.clipped
        ports = [port for of_one in self.flags.values() for port in of_one]
        for port, clipped in flags.items():
            assert (clipped is not None) == (port in ports)
            if clipped is not None:
                register = keep(m, f"{port}_beside_y", clipped, registered=True)
                m.d.comb += getattr(self, port).eq(register.value)
        return m

    def _outputs(self, m: Module) -> tuple[Exact | None, list[_Turned]]:
        """Return what goes to the output registers: the flag of phi, and of each polarisation."""
        r, p = self.rotation, self.pipeline
        # The sample waits beside the branch, until it meets the phi of the powers around it.
        sample = Companions(
            m,
            {
                f"{part}{end}": Exact.signed(getattr(self, f"in_{part}{end}"), self.input_bits)
                for end in self.ends
                for part in "iq"
            },
        )
        folded = [self._folded(m, k) for k in range(self.half)]
        sample.cross("beside_fold", registered=p.after_fold)
        scaled = [self._times_kerr(m, k, power) for k, power in enumerate(folded)]
        sample.cross("beside_kerr", registered=p.after_kerr)

        phi, clips = requantize(m, "phi", reduce(add, scaled), r.phase_shift, r.phase_bits)
        clipped = flag(clips)
        flags = Companions(m, {"phi_clipped": clipped} if clipped else {}, sample.clocks)
        digits, versine = self._digits(m, phi)
        sample.cross("beside_phi", registered=p.after_phase)
        for cut in ("after_phase", "after_versine", "after_multiplier", "after_product"):
            flags.cross(cut, registered=getattr(p, cut))
        sample.cross("beside_versine", registered=p.after_versine)

        turned = [self._turned(m, end, sample, digits, versine) for end in self.ends]
        assert flags.clocks == sample.clocks + p.after_multiplier + p.after_product
        assert flags.clocks == self.latency - 1, "the output register is the last"
        return flags["phi_clipped"] if clipped else None, turned

    def _turned(
        self, m: Module, end: str, sample: Companions, digits: Digits, versine: Digits | None
    ) -> _Turned:
        """Return the sample of a polarisation, rotated."""
        shift, bits = self.rotation.output_shift(self.input_bits), self.rotation.output_bits
        i, q = sample[f"i{end}"], sample[f"q{end}"]
        rotated_i = self._rotated(m, f"i{end}", i, q, digits, versine)
        rotated_q = self._rotated(m, f"q{end}", q, i, digits, versine)
        y_i, clips_i = requantize(m, f"out_i{end}", rotated_i, shift, bits)
        y_q, clips_q = requantize(m, f"out_q{end}", rotated_q, shift, bits)
        return _Turned(y_i, y_q, flag(clips_i, clips_q))

    def _kerr(self, k: int) -> Exact:
        bits = self.rotation.kerr_bits
        return Exact.signed(element(self.kerr, k, bits).as_signed(), bits)

    def _power(self, k: int) -> Exact:
        value = element(self.powers, k, self.power_bits)
        return Exact.within(value.as_signed() if self.power.low < 0 else value, self.power)

    def _folded(self, m: Module, k: int) -> Exact:
        """Return the sum of the two powers that share K number k, or the centre one alone."""
        total = self._power(k)
        if k != self.rotation.delay:
            total = total + self._power(self.rotation.kerr_taps - 1 - k)
        return keep(m, f"power_{k}", total, registered=self.pipeline.after_fold)

    def _times_kerr(self, m: Module, k: int, power: Exact) -> Terms:
        """Return K number k times its power.

        K, which seldom changes, selects the multiples: see `dbp.rtl.blocks.filter`.
        """
        kerr = Digits.of(m, f"kerr_{k}", self._kerr(k), registered=False)
        name = f"kerr_times_power_{k}"
        product = Terms.product(m, name, power, kerr)
        return product.cut(m, name, registered=self.pipeline.after_kerr)

    def _digits(self, m: Module, phi: Exact) -> tuple[Digits, Digits | None]:
        """Return the digits of phi, and of the versine phi^2 / 2, None where that is always zero.

        The last cut before the product with the sample holds digits, an earlier one phi itself.
        """
        r, p = self.rotation, self.pipeline
        if r.taylor_order == 1:
            # A signal of its own, since it is read many times.
            phi = keep(m, "phi", phi, registered=False)
            return Digits.of(m, "phi_digit", phi, registered=p.after_phase), None
        phi = keep(m, "phi", phi, registered=p.after_phase)
        digits = Digits.of(m, "phi_digit_beside_versine", phi, registered=p.after_versine)
        square = keep(m, "phi_squared", phi.squared(), registered=False)
        versine = round_shift(m, "versine", square, r.phase_fraction_bits + 1)
        if versine.high == 0:
            return digits, None
        return digits, Digits.of(m, "versine_digit", versine, registered=p.after_versine)

    def _rotated(
        self, m: Module, name: str, x: Exact, other: Exact, digits: Digits, versine: Digits | None
    ) -> Terms:
        """Return quadrature ``name`` of x exp(j phi): I is I cos - Q phi, Q is Q cos + I phi."""
        p = self.pipeline
        along = self._times_cosine(m, name, x, versine)
        across = Terms.product(m, f"phi_times_{name}", other, digits, minus=name[0] == "i")
        along = along.cut(m, f"along_{name}", registered=p.after_multiplier)
        across = across.cut(m, f"across_{name}", registered=p.after_multiplier)
        return (along + across).cut(m, f"turned_{name}", registered=p.after_product)

    def _times_cosine(self, m: Module, name: str, x: Exact, versine: Digits | None) -> Terms:
        """Return (2^p - versine) x, in which the wide factor 2^p costs only a shift."""
        bits = self.rotation.phase_fraction_bits
        whole = Terms.of(m, f"whole_{name}", x) << bits
        if versine is None:
            return whole
        terms = whole + Terms.product(m, f"versine_times_{name}", x, versine, minus=True)
        # Both terms hold x: the interval of the product is tighter than that of a difference.
        one = Interval(1 << bits, 1 << bits)
        product = (one - versine.factor.interval) * x.interval
        return replace(terms, low=product.low, high=product.high)


class RotationLanes(StreamBlock):
    """P lanes of a nonlinear step, one set of K for all.

    Each |x|^2 is computed once. The powers of the last ``kerr_taps - 1`` samples and the last
    ``delay`` samples themselves are kept. A word meets K ``kerr_after`` clocks after it came in.
    ``phi_clipped`` and ``out_clipped``, where samples can be clipped, have a bit per lane, together
    with the word that leaves. With two polarisations a lane rotates a sample of each, and
    ``out_clipped`` has a bit for each of both.
    """

    def __init__(
        self,
        rotation: Rotation,
        input_bits: int,
        lanes: int,
        pipeline: RotationPipeline,
        polarizations: int = 1,
    ) -> None:
        self.rotation, self.pipeline = rotation, pipeline.for_rotation(rotation)
        self.polarizations = polarizations
        self.lane = RotationLane(rotation, input_bits, self.pipeline, polarizations)
        self.saturators = self.lane.saturators
        self.lanes, self.input_bits, self.output_bits = lanes, input_bits, rotation.output_bits
        self.latency = self.pipeline.latency
        self.warm_up_words = words_to_fill(rotation.kerr_taps - 1, lanes)
        self.kerr_after = self.pipeline.after_power + self.pipeline.after_fold
        self.format_name = self.lane.format_name
        self.module_name = f"rotation_{lanes_name(lanes, polarizations)}_{self.format_name}"
        self.summary = f"{lanes} lanes of {self.lane.module_name}, and what they share"
        super().__init__(
            stream_ports(lanes, polarizations, input_bits, rotation.output_bits)
            | {"kerr": In(self.lane.half * rotation.kerr_bits)}
            | {self.saturators[k]: Out(lanes * len(ports)) for k, ports in self.lane.flags.items()}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        r, power_bits = self.rotation, self.lane.power_bits
        cut, powers = self.pipeline.after_power, []
        # By quadrature and by the place of the sample in a word.
        delayed: dict[str, dict[int, Value]] = {"i": {}, "q": {}}
        for p in range(self.lanes):
            pair = [self._sample(p + k * self.lanes) for k in range(self.polarizations)]
            # Of both polarisations one sum, without carries in between.
            magnitude = reduce(
                add,
                [
                    squared_magnitude(
                        m, f"magnitude_{p}{end}", i, q, self.input_bits, r.branch_bits
                    )
                    for end, (i, q) in zip(self.lane.ends, pair, strict=True)
                ],
            )
            power = magnitude.plus(-r.power_offset).total(m, f"magnitude_{p}")
            assert power.interval == self.lane.power
            powers.append(keep(m, f"power_{p}", power, registered=cut).value)
            for k, (xi, xq) in enumerate(pair):
                n = p + k * self.lanes
                delayed["i"][n] = delay(m, f"i_beside_power_{n}", xi, registered=cut).value
                delayed["q"][n] = delay(m, f"q_beside_power_{n}", xq, registered=cut).value
        valid = delayed_valid(m, "power_valid", self.in_valid, int(cut))
        warm = warmed_up(m, valid, self.warm_up_words)
        m.d.comb += self.out_valid.eq(delayed_valid(m, "valid", warm, self.lane.latency))

        stream_p = with_history(
            m, "history_power", Cat(powers), valid, (r.kerr_taps - 1) * power_bits
        )
        streams = {
            f"{part}{end}": with_history(
                m, f"history_{part}{end}", of_one, valid, r.delay * self.input_bits
            )
            for part, values in delayed.items()
            for end, of_one in by_polarization(
                Cat(values[n] for n in range(len(values))), self.polarizations
            )
        }
        for p in range(self.lanes):
            lane = RotationLane(r, self.input_bits, self.pipeline, self.polarizations)
            m.d.comb += [
                *(
                    getattr(lane, f"in_{name}").eq(element(stream, p, self.input_bits))
                    for name, stream in streams.items()
                ),
                lane.powers.eq(stream_p[p * power_bits : (p + r.kerr_taps) * power_bits]),
                lane.kerr.eq(self.kerr),
            ]
            self._connect_outputs(m, lane, p)
            add_block(m, f"lane_{p}", lane, platform)
        return m

    def _sample(self, n: int) -> tuple[Exact, Exact]:
        """Return I and Q of sample ``n`` of the word that enters."""
        bits = self.input_bits
        i, q = (
            Exact.signed(element(word, n, bits).as_signed(), bits)
            for word in (self.in_i, self.in_q)
        )
        return i, q

    def _connect_outputs(self, m: Module, lane: RotationLane, p: int) -> None:
        for k, end in enumerate(lane.ends):
            n = p + k * self.lanes
            m.d.comb += [
                element(self.out_i, n, self.output_bits).eq(getattr(lane, f"out_i{end}")),
                element(self.out_q, n, self.output_bits).eq(getattr(lane, f"out_q{end}")),
            ]
        m.d.comb += [
            getattr(self, self.saturators[name])[p + k * self.lanes].eq(getattr(lane, port))
            for name, ports in lane.flags.items()
            for k, port in enumerate(ports)
        ]
