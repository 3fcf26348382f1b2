"""Prove that emitted Verilog computes what the golden model does, for all inputs.

The proof reads the Verilog as text and shares no code with what wrote it. From the whole to its
parts; `words` begins with a worked example::

    prove_rtl            an emission: each distinct module, once
      wiring             how the chain and its steps join blocks; clocks and resets
      prove_block        a filter or a rotation equals `golden_polynomials`
        valid            its latency, and the words that it leaves out after reset
        words            its words as polynomials
          origins        bits back through registers
          delays         polynomials through registers, back to when their samples came in
          truth_tables   bits that are functions of one variable
          recognizer     bits that are a requantised sum, proved by `requantizer`
    netlist, cells       below all: the Verilog as cells, and what bitwise cells do
    polynomial           below all: exact arithmetic with variables and tables
"""

from dbp.rtl.proof.netlist import ProofError
from dbp.rtl.proof.prove_rtl import prove

__all__ = ["ProofError", "prove"]
