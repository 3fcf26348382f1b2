"""Area, timing and power of the generated Verilog: Yosys, OpenSTA, gate-level simulation."""

from dbp.synthesis.synthesize_step import synthesize

__all__ = ["synthesize"]
