"""Prove that emitted Verilog computes what the golden model does, for all inputs.

The proof reads the Verilog as text and shares no code with what wrote it. From the whole to the
parts: `prove_rtl` (an emission), `wiring` (how blocks are joined), `prove_block` (a filter or a
rotation), `valid` (latency and warm-up), `words` (bits as polynomials, with a worked example).
"""

from dbp.rtl.proof.netlist import ProofError
from dbp.rtl.proof.prove_rtl import prove

__all__ = ["ProofError", "prove"]
