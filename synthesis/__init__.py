"""Area, timing and power of the generated Verilog: Yosys, OpenSTA, gate-level simulation."""
