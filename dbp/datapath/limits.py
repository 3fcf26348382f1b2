"""Limits on a datapath, which a configuration and a `dbp.datapath.design.Design` share."""

# Widths of every signal, tap and constant, sign included.
MIN_BITS, MAX_BITS = 2, 16
# Lengths of one filter, and of the filter over the power in one rotation; both are odd.
MAX_TAPS = 255
MAX_KERR_TAPS = 127
# They are symmetric, so a design holds half of them, the centre included.
MAX_HALF_TAPS = MAX_TAPS // 2 + 1
MAX_HALF_KERR = MAX_KERR_TAPS // 2 + 1
# p of the p/q samples per symbol at which a receiver may work.
MAX_RATE_NUMERATOR = 16
# Samples per clock of what is generated, and its clock.
MAX_LANES = 1024
MAX_CLOCK_MHZ = 10_000.0
