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
    place,
)

EXAMPLE = """\
dbp link paper --output sent.mat
dbp equalize learned-c6-s9 --input sent.mat --output equalized.mat"""


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp equalize``."""
    text = "equalise a waveform file with a design"
    parser = add_command(commands, "equalize", _run, text, EXAMPLE)
    add_design(parser)
    text = ".npz, .mat, .h5 or .hdf5, or a group of Zarr: a folder or a URL"
    for name, kind, what in (("input", place, text), ("output", Path, WAVEFORM_HELP)):
        parser.add_argument(
            f"--{name}", proposal="file", type=kind, required=True, metavar="FILE", help=what
        )
    parser.add_argument(
        "--arithmetic", choices=("fixed", "float"), default="fixed", help="default: fixed"
    )


def _run(options: argparse.Namespace) -> None:
    from dbp.cli.equalize import equalize

    equalize(options.design, options.arithmetic, options.input, options.output)
