"""Amaranth generator: a `dbp.datapath.design.Design` becomes synthesizable fixed-point Verilog."""

from dbp.rtl.emit import check, emit, emit_step

__all__ = ["check", "emit", "emit_step"]
