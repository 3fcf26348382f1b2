"""cocotb benches: the generated Verilog against the golden model, every sample."""

from dbp.sim.simulate import MismatchError, simulate

__all__ = ["MismatchError", "simulate"]
