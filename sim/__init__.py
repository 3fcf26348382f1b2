"""cocotb benches: the generated Verilog equals the golden model in every sample."""
