"""Mapped netlists: structural Verilog of one module, down to single-bit nets.

`model` holds what a netlist is, `source` makes words of a text, `reader` and `writer` are the two
ways between file and netlist, and `binding` ties its instances to the cells of a library.
"""

from dbp.synthesis.netlist.model import CLOCK, CONSTANTS, Instance, Netlist
from dbp.synthesis.netlist.reader import MAX_BYTES, parse, read
from dbp.synthesis.netlist.writer import write

__all__ = ["CLOCK", "CONSTANTS", "MAX_BYTES", "Instance", "Netlist", "parse", "read", "write"]
