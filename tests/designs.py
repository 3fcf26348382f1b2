"""Random valid designs, for every test that compares two readings of the datapath."""

from hypothesis import strategies as st

from dbp.design import Design, Filter, Rotation


@st.composite
def designs(draw, max_steps=3, max_taps=25):
    """Designs of 0..max_steps rotations with formats and tap counts of their own in every block."""
    bits = st.integers(4, 10)
    steps = draw(st.integers(0, max_steps))
    signal_bits = draw(bits)
    filters, rotations = [], []
    for k in range(steps + 1):
        c = draw(st.integers(3, 10))
        tap = st.integers(-(2 ** (c - 1)), 2 ** (c - 1) - 1)
        half = draw(st.integers(1, (max_taps + 1) // 2))
        row = st.lists(tap, min_size=half, max_size=half).map(tuple)
        filters.append(Filter(c, draw(st.integers(0, c + 2)), draw(bits), draw(row), draw(row)))
        if k < steps:
            rotations.append(
                Rotation(
                    branch_bits=draw(st.integers(2, 10)),
                    kerr_bits=draw(st.integers(3, 10)),
                    kerr_gain=draw(st.integers(-4000, 4000)),
                    kerr_shift=draw(st.integers(0, 16)),
                    phase_shift=draw(st.integers(0, 12)),
                    phase_bits=draw(st.integers(3, 10)),
                    # At least 6, so that the output shift of 4..10 bits is never negative.
                    phase_fraction_bits=draw(st.integers(6, 12)),
                    output_bits=draw(bits),
                )
            )
    return Design("random", signal_bits, 250, tuple(filters), tuple(rotations))
