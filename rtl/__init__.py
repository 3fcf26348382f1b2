"""Amaranth generator: a `dbp.design.Design` becomes synthesizable fixed-point Verilog."""
