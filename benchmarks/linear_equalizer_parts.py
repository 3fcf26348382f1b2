# amaranth: UnusedElaboratable=no
"""Is the whole the sum of its operations? A transform of 16 points as one netlist, and as a count.

    DBP_PDK_ROOT=... OMP_NUM_THREADS=1 python benchmarks/linear_equalizer_parts.py [PDK]

The transform takes 16 samples a clock: 8 butterflies of radix 4 and 8 multiplications by constants,
each with registers before and behind it, and words that wait as long as those take. It is mapped,
timed, simulated with delays on blocks of the received waveform and costed like the operations by
themselves, and compared with their sum.
"""

from __future__ import annotations

import sys
import tempfile

import numpy as np
from amaranth.hdl import Cat, Module

from dbp import config
from dbp.datapath import overlap_save
from dbp.datapath.golden import Samples
from dbp.datapath.overlap_save import Equalizer, stages
from dbp.link import transmission
from dbp.rtl.blocks.component import add_block, element
from dbp.rtl.blocks.fft_operations import Butterfly, DelayLine, FftBlock, Multiplications
from dbp.synthesis import linear_equalizer
from dbp.synthesis.linear_equalizer import Unit
from dbp.synthesis.stages import CLOCK_MHZ

SIZE, DATA_BITS, TWIDDLE_BITS, CLOCKS = 16, 9, 7, 1000


class ParallelTransform(FftBlock):
    """16 points a clock, the bins in the order of `dbp.datapath.overlap_save`."""

    latency = 2 * Butterfly.latency + Multiplications.latency

    def __init__(self, equalizer: Equalizer) -> None:
        self.equalizer = equalizer
        super().__init__("transform_16", "Transform", SIZE, equalizer.data_bits, {})

    def elaborate(self, platform: object) -> Module:
        m, bits = Module(), self.data_bits
        first, _ = stages(SIZE)

        def through(name, block, words):
            add_block(m, name, block, platform)
            m.d.comb += block.in_i.eq(Cat(i for i, _ in words))
            m.d.comb += block.in_q.eq(Cat(q for _, q in words))
            return [
                (element(block.out_i, k, bits), element(block.out_q, k, bits))
                for k in range(block.words)
            ]

        x = [(element(self.in_i, k, bits), element(self.in_q, k, bits)) for k in range(SIZE)]
        codes = self.equalizer.coefficients(first)
        turned = [None] * SIZE
        for n in range(4):
            y = through(f"first_{n}", Butterfly(bits), x[n::4])
            for k in range(4):
                name = f"beside_{k}_{n}"
                if first.multiplied[k, n]:
                    constant = int(codes.i[k, n]), int(codes.q[k, n])
                    block = Multiplications(bits, TWIDDLE_BITS, [constant])
                    block.module_name += f"_{k}_{n}"
                    (turned[4 * k + n],) = through(f"times_{k}_{n}", block, [y[k]])
                else:
                    line = DelayLine(bits, Multiplications.latency)
                    ((i, q),) = through(name, line, [y[k]])
                    # exp(-2 pi j 4 / 16) = -j: Q and -I, where the lowest code clips.
                    quarter = 4 * first.exponents[k, n] // SIZE
                    if quarter:
                        i, q = q, (~i + (i != 1 << (bits - 1)))[:bits]
                    turned[4 * k + n] = i, q
        out = []
        for k in range(4):
            out += through(f"second_{k}", Butterfly(bits), turned[4 * k : 4 * k + 4])
        m.d.comb += [self.out_i.eq(Cat(i for i, _ in out)), self.out_q.eq(Cat(q for _, q in out))]
        return m


def main(pdk: str) -> None:
    """See above."""
    settings = config.Link(block_symbols=8192)
    received = transmission.simulate(settings, -3.5, 4, seed=1, purpose="evaluate", progress=False)
    equalizer = Equalizer(np.ones(SIZE, complex), 0, DATA_BITS, TWIDDLE_BITS)
    stream = overlap_save.convert(received.waveform, DATA_BITS)
    blocks = equalizer.blocks(stream)
    blocks = Samples(*(part[: CLOCKS + linear_equalizer.WARM_UP_CLOCKS] for part in blocks))
    (bins,) = (x for kind, _, x in equalizer.trace(blocks) if kind == "response")
    whole = Unit("whole", ParallelTransform(equalizer), {"in_i": blocks.i, "in_q": blocks.q}, bins)
    # With 16 lanes no twiddle of this size changes: its responses take the place of such twiddles.
    parts = linear_equalizer.units(equalizer, stream, SIZE, CLOCKS)
    with tempfile.TemporaryDirectory() as folder:
        measured = linear_equalizer.measure(pdk, [*parts, whole], folder, CLOCK_MHZ)
    costs = linear_equalizer.costs(equalizer, measured)
    word = 2 * DATA_BITS
    # Registers before: of 8 butterflies and 8 products; beside these, 8 words for two clocks.
    registers = word * (8 * 4 + 8 + 8 * Multiplications.latency)
    for name in ("dynamic_w", "leakage_w", "area_um2"):
        butterfly, product, bit = (
            getattr(cost, name) for cost in (costs.butterfly, costs.fixed_twiddle, costs.register)
        )
        counted = 8 * butterfly + 8 * product + registers * bit
        one = getattr(measured["whole"], name)
        print(f"{pdk} {name}: whole {one:.5g}, sum {counted:.5g}, {counted / one - 1:+.1%}")


if __name__ == "__main__":
    main(*sys.argv[1:] or ["nangate45"])
