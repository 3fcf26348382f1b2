"""Amaranth generator: a `dbp.design.Design` becomes synthesizable fixed-point Verilog."""

from dbp.rtl.emit import emit, emit_step

__all__ = ["emit", "emit_step"]
