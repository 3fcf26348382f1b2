"""Random valid designs, for every test that compares two readings of the datapath."""

import os
from dataclasses import replace

import numpy as np
from hypothesis import Phase, settings
from hypothesis import strategies as st

from dbp.datapath.design import Design, Filter, Rotation

# `make test-long` multiplies the number of random designs.
SCALE = int(os.environ.get("DBP_TEST_SCALE", "1"))


def examples(count):
    """So many random cases, times `SCALE`; a failure is not shrunk: that would take minutes."""
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    return settings(max_examples=count * SCALE, deadline=None, phases=phases)


# Each range twice: what designs of the paper's kind have, often, and all that `dbp.datapath.design`
# allows.
BITS = st.integers(4, 10) | st.integers(2, 16)
LANES = st.integers(1, 4) | st.integers(1, 4) | st.integers(1, 16)
# Of what takes ten seconds for many wide lanes; filters alone are tried at their full width.
MAX_TAPS = 13 if SCALE == 1 else 25
FEW_LANES = st.integers(1, 5) if SCALE == 1 else LANES
# Every third requantiser shifts nothing out and, where 16 bits are enough, clips nothing.
IDLE = st.sampled_from([False, False, True])


@st.composite
def filters(draw, input_bits, max_taps):
    """Filters of 1..max_taps taps for signals of ``input_bits``."""
    c = draw(BITS)
    tap = st.integers(-(2 ** (c - 1)), 2 ** (c - 1) - 1)
    half = draw(st.integers(1, (max_taps + 1) // 2))
    row = st.lists(tap, min_size=half, max_size=half).map(tuple)
    rows = draw(row), draw(row)
    accumulator_bits = Filter(c, 0, 2, *rows).accumulator_bits(input_bits)
    if draw(IDLE):
        return Filter(c, 0, draw(st.integers(min(accumulator_bits, 16), 16)), *rows)
    shift = st.integers(0, c + 2) | st.integers(0, min(accumulator_bits - 1, 40))
    return Filter(c, draw(shift), draw(BITS), *rows)


@st.composite
def rotations(draw, input_bits, max_half_kerr=4):
    """Rotations for signals of ``input_bits``."""
    idle = draw(IDLE)
    narrow = st.integers(2, 5) if idle else BITS
    branch_bits, output_bits = draw(narrow), draw(BITS)
    gain = st.integers(-4000, 4000) | st.integers(-(1 << 31), (1 << 31) - 1)
    largest = min(1 << (2 * min(branch_bits, input_bits) - 1), (1 << 31) - 1)
    # Below it the shift of the output would be negative.
    least = max(output_bits - input_bits, 0)
    return Rotation(
        branch_bits=branch_bits,
        power_offset=draw(st.just(0) | st.integers(0, largest)),
        kerr_bits=draw(narrow),
        kerr_gains=tuple(draw(st.lists(gain, min_size=1, max_size=max_half_kerr))),
        kerr_shift=draw(st.integers(0, 16) | st.integers(0, 40)),
        phase_shift=0 if idle else draw(st.integers(0, 12) | st.integers(0, 40)),
        phase_bits=16 if idle else draw(BITS),
        phase_fraction_bits=draw(
            st.integers(max(least, 6), max(least, 12)) | st.integers(least, 20)
        ),
        taylor_order=draw(st.integers(1, 2)),
        output_bits=output_bits,
    )


@st.composite
def designs(draw, min_steps=0, max_steps=3, max_taps=25):
    """Designs of min_steps..max_steps rotations, every block with formats and taps of its own."""
    signal_bits = draw(BITS)
    chain, turns = [draw(filters(signal_bits, max_taps))], []
    for _ in range(draw(st.integers(min_steps, max_steps))):
        turns.append(draw(rotations(chain[-1].output_bits)))
        chain.append(draw(filters(turns[-1].output_bits, max_taps)))
    rate = draw(st.sampled_from(["2", "3/2", "5/4", "16/15"]))
    return Design("random", signal_bits, 250, tuple(chain), tuple(turns), rate)


def retuned(design, rng, hardwired=False):
    """The design with other taps (unless hardwired) and gains, some at the ends of their range."""

    def row(bits, length):
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        pool = np.array([low, high, *rng.integers(low, high + 1, 4)])
        return tuple(map(int, rng.choice(pool, length)))

    filters = tuple(
        replace(
            f,
            half_taps_i=row(f.coefficient_bits, len(f.half_taps_i)),
            half_taps_q=row(f.coefficient_bits, len(f.half_taps_q)),
        )
        for f in design.filters
    )
    rotations = tuple(replace(r, kerr_gains=row(32, len(r.kerr_gains))) for r in design.rotations)
    filters = design.filters if hardwired else filters
    return replace(design, filters=filters, rotations=rotations)


# A design of two filters that differ only where tests make them, and its parts.
FILTER = Filter(6, 5, 9, (1, -3, 20), (0, 5, -10))
ROTATION = Rotation(5, 12, 10, (300, -2621), 16, 7, 8, 9, 2, 9)
DESIGN = Design("example", 9, 250, (FILTER, FILTER), (ROTATION,))

# Two rotations a span, over one span: filters of several lengths, rotations of two kinds.
TWO_A_SPAN = Design(
    "two-a-span",
    6,
    250,
    (
        Filter(4, 3, 7, (1, -2, 5), (0, 3, -4)),
        Filter(4, 3, 7, (-2, 6), (1, 2)),
        Filter(4, 3, 6, (1, 2, 7), (-1, 0, 3)),
    ),
    (
        Rotation(4, 3, 5, (-900,), 12, 4, 6, 6, 1, 6),
        Rotation(4, 3, 5, (-1500,), 13, 3, 5, 6, 1, 6),
    ),
)


def small_synthesis_design() -> Design:
    """Few and short taps, for what maps every gate."""
    filters = [Filter(4, 3, 5, (1, 5), (-2, 3)), Filter(4, 3, 5, (-3, 6), (2, -1))]
    rotation = Rotation(
        branch_bits=3, power_offset=4, kerr_bits=5, kerr_gains=(300, -700), kerr_shift=14,
        phase_shift=3, phase_bits=5, phase_fraction_bits=4, taylor_order=2, output_bits=5,
    )  # fmt: skip
    return Design("small", 5, 300, tuple(filters), (rotation,))
