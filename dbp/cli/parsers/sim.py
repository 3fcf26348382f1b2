"""The parser of ``dbp sim``."""

from __future__ import annotations

import argparse

from dbp.cli.parsers.options import Commands, Parser, add_command, add_run

EXAMPLE = """\
dbp rtl learned-c6-s9 --lanes 4 --out chip
dbp sim chip"""


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp sim``."""
    text = "simulate the Verilog with cocotb and compare it with the golden model"
    parser = add_command(commands, "sim", _run, text, EXAMPLE)
    add_run(parser, "a folder that `dbp rtl` has filled")
    parser.add_argument(
        "--simulator", choices=("verilator", "icarus"), help="default: the first that is there"
    )
    parser.add_argument("--waves", action="store_true", help="write a waveform file (VCD) too")
    parser.add_argument(
        "--coverage", action="store_true", help="count lines and toggles too (Verilator only)"
    )


def _run(options: argparse.Namespace) -> None:
    from dbp.cli.sim import sim

    sim(options.run, options.simulator, options.waves, options.coverage)
