"""Amaranth generator: a `dbp.datapath.design.Design` becomes synthesizable fixed-point Verilog."""

from dbp.rtl.emit import emit, emit_step
from dbp.rtl.target import Target

__all__ = ["Target", "emit", "emit_step"]
