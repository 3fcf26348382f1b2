"""``dbp equalize``: equalise a waveform file with a design."""

from __future__ import annotations

import argparse
from pathlib import Path

from dbp.cli import waveforms
from dbp.cli.options import DESIGN_HELP, WAVEFORM_HELP, Commands, Parser, add_command


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp equalize``."""
    parser = add_command(commands, "equalize", _run, "equalise a waveform file with a design")
    parser.add_argument("design", metavar="DESIGN", help=DESIGN_HELP)
    parser.add_argument(
        "--input", type=Path, required=True, metavar="FILE", help=".npz, .mat, .h5 or .hdf5"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help=WAVEFORM_HELP)
    parser.add_argument(
        "--arithmetic", choices=("fixed", "float"), default="fixed", help="default: fixed"
    )


def _run(options: argparse.Namespace) -> None:
    waveforms.equalize(options.design, options.arithmetic, options.input, options.output)
