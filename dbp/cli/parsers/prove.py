"""The parser of ``dbp prove``."""

from __future__ import annotations

import argparse

from dbp.cli.parsers.options import Commands, Parser, add_command, add_kit, add_run

EXAMPLE = """\
dbp rtl learned-c6-s9 --lanes 4 --out chip
dbp prove chip"""


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp prove``."""
    text = "prove the Verilog equal to the golden model, for all inputs"
    parser = add_command(commands, "prove", _run, text, EXAMPLE)
    add_run(parser, "a folder that `dbp rtl` has filled")
    add_kit(parser, "also the netlist that `dbp synth` left for that kit")


def _run(options: argparse.Namespace) -> None:
    from dbp.cli.prove import prove

    prove(options.run, options.pdk)
