# amaranth: UnusedElaboratable=no
"""The operations of an FFT as blocks: built only to find what a linear equaliser would cost.

No receiver contains them. `dbp.synthesis.linear_equalizer` maps and simulates each one by itself
and multiplies its power by the number of such operations. Each has registers at its inputs and at
its outputs, and computes what `dbp.datapath.overlap_save` states.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Const, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from dbp.rtl.blocks.arithmetic import Exact, keep, requantize
from dbp.rtl.blocks.component import Block, element


class FftBlock(Block):
    """A block with ``words`` complex samples in and out, the first in the lowest bits."""

    has_reset = False

    def __init__(
        self,
        name: str,
        summary: str,
        words: int,
        data_bits: int,
        more_ports: dict[str, wiring.Member] | None = None,
    ) -> None:
        self.words, self.data_bits = words, data_bits
        self.module_name, self.summary = name, summary
        width = words * data_bits
        samples = {"in_i": In(width), "in_q": In(width), "out_i": Out(width), "out_q": Out(width)}
        super().__init__(samples | (more_ports or {}))

    def inputs(self, m: Module) -> list[tuple[Exact, Exact]]:
        """Return I and Q of every sample, behind the input registers."""
        bits = self.data_bits

        def register(port: str, k: int) -> Exact:
            code = Exact.signed(element(getattr(self, port), k, bits).as_signed(), bits)
            return keep(m, f"{port}_{k}", code, registered=True)

        return [(register("in_i", k), register("in_q", k)) for k in range(self.words)]

    def put_out(self, m: Module, samples: Sequence[tuple[Exact, Exact]], shift: int) -> None:
        """Requantise ``samples`` by ``shift`` into the output registers."""
        for k, sample in enumerate(samples):
            for port, x in zip(("out_i", "out_q"), sample, strict=True):
                y, _ = requantize(m, f"{port}_{k}", x, shift, self.data_bits)
                word = element(getattr(self, port), k, self.data_bits)
                m.d.comb += word.eq(keep(m, f"{port}_{k}", y, registered=True).value)


class Butterfly(FftBlock):
    """A transform of four points, halved; the inverse with I and Q exchanged on both sides."""

    latency = 2

    def __init__(self, data_bits: int) -> None:
        summary = f"Butterfly of radix 4, words of {data_bits} bits"
        super().__init__(f"butterfly_s{data_bits}", summary, 4, data_bits)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        (ai, aq), (bi, bq), (ci, cq), (di, dq) = self.inputs(m)
        pairs = {"aci": ai + ci, "acq": aq + cq, "bdi": bi + di, "bdq": bq + dq}
        pairs |= {"a_ci": ai - ci, "a_cq": aq - cq, "b_di": bi - di, "b_dq": bq - dq}
        s = {name: keep(m, name, x, registered=False) for name, x in pairs.items()}
        sums = [
            (s["aci"] + s["bdi"], s["acq"] + s["bdq"]),
            (s["a_ci"] + s["b_dq"], s["a_cq"] - s["b_di"]),
            (s["aci"] - s["bdi"], s["acq"] - s["bdq"]),
            (s["a_ci"] - s["b_dq"], s["a_cq"] + s["b_di"]),
        ]
        self.put_out(m, sums, 1)
        return m


class Multiplications(FftBlock):
    """Complex products, each of four multipliers and two adders.

    ``constants``: the codes (I, Q) of one coefficient per product, in the logic. Without constants
    there is one product, with the coefficient at ``by_i`` and ``by_q`` that comes with the sample.
    """

    latency = 2

    def __init__(
        self, data_bits: int, twiddle_bits: int, constants: Sequence[tuple[int, int]] = ()
    ) -> None:
        self.twiddle_bits, self.constants = twiddle_bits, tuple(constants)
        kind = f"by {len(constants)} constants" if constants else "by a word that comes with it"
        super().__init__(
            f"multiplications_s{data_bits}_c{twiddle_bits}" + "_constant" * bool(constants),
            f"Complex products of {data_bits} bits {kind} of {twiddle_bits} bits",
            len(constants) or 1,
            data_bits,
            {} if constants else {"by_i": In(twiddle_bits), "by_q": In(twiddle_bits)},
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        products = []
        for k, (xi, xq) in enumerate(self.inputs(m)):
            ci, cq = self._coefficient(m, k)
            pairs = {"ii": xi * ci, "qq": xq * cq, "iq": xi * cq, "qi": xq * ci}
            p = {name: keep(m, f"{name}_{k}", x, registered=False) for name, x in pairs.items()}
            products.append((p["ii"] - p["qq"], p["iq"] + p["qi"]))
        self.put_out(m, products, self.twiddle_bits - 1)
        return m

    def _coefficient(self, m: Module, k: int) -> tuple[Exact, Exact]:
        bits = self.twiddle_bits
        if self.constants:
            ci, cq = self.constants[k]
            return Exact(Const(ci), ci, ci), Exact(Const(cq), cq, cq)

        def register(port: str) -> Exact:
            code = Exact.signed(getattr(self, port).as_signed(), bits)
            return keep(m, f"{port}_in", code, registered=True)

        return register("by_i"), register("by_q")


class DelayLine(FftBlock):
    """A delay of one sample by ``length`` clocks: registers and nothing else."""

    def __init__(self, data_bits: int, length: int) -> None:
        self.latency = length
        name = f"delay_line_s{data_bits}_n{length}"
        super().__init__(name, f"Delay of {length} clocks", 1, data_bits)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ((i, q),) = self.inputs(m)
        for k in range(1, self.latency):
            i, q = keep(m, f"i_{k}", i, registered=True), keep(m, f"q_{k}", q, registered=True)
        m.d.comb += [self.out_i.eq(i.value), self.out_q.eq(q.value)]
        return m
