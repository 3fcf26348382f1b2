"""A folder for a team that has a flow of its own: Verilog, bench, scripts, activity, registers."""
