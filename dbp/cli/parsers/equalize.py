"""The parser of ``dbp equalize``."""

from __future__ import annotations

import argparse
from pathlib import Path

from dbp.cli.parsers.options import (
    WAVEFORM_HELP,
    Commands,
    Parser,
    add_command,
    add_design,
)

EXAMPLE = """\
dbp link paper --output sent.mat
dbp equalize learned-c6-s9 --input sent.mat --output equalized.mat"""


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp equalize``."""
    text = "equalise a waveform file with a design"
    parser = add_command(commands, "equalize", _run, text, EXAMPLE)
    add_design(parser)
    for name, what in (("input", ".npz, .mat, .h5 or .hdf5"), ("output", WAVEFORM_HELP)):
        parser.add_argument(
            f"--{name}", proposal="file", type=Path, required=True, metavar="FILE", help=what
        )
    parser.add_argument(
        "--arithmetic", choices=("fixed", "float"), default="fixed", help="default: fixed"
    )


def _run(options: argparse.Namespace) -> None:
    from dbp.cli.equalize import equalize

    equalize(options.design, options.arithmetic, options.input, options.output)
