"""Limits on what describes a signal, for configurations, waveform files, options, arguments."""

# The lowest and the highest, both allowed. Below this roll-off a pulse has sharp edges in floating
# point.
ROLL_OFFS = (1e-6, 1.0)
LAUNCH_POWERS_DBM = (-30.0, 20.0)
# From one symbol a second to a terabaud.
SYMBOL_RATES_GBD = (1e-9, 1000.0)
SAMPLES_PER_SYMBOL = 64
# The share of a recording that learning leaves out: limits, and where none is given.
HELD_OUT = (0.01, 0.99)
USUALLY_HELD_OUT = 0.25
# Kerr rotations after which their places along a link repeat, and those of a whole chain.
MAX_ROTATIONS_PER_PERIOD = 16
MAX_ROTATIONS = 1000
