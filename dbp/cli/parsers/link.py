"""The parser of ``dbp link``."""

from __future__ import annotations

import argparse
from pathlib import Path

from dbp.cli.parsers.options import (
    WAVEFORM_HELP,
    Commands,
    Parser,
    add_command,
    add_config,
    add_launch_powers,
    add_seed,
    positive,
)


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp link``."""
    text = "simulate the link and write its waveform as a file"
    parser = add_command(commands, "link", _run, text, "dbp link paper --output sent.mat")
    add_config(parser)
    parser.add_argument(
        "--output", proposal="file", type=Path, required=True, metavar="FILE", help=WAVEFORM_HELP
    )
    add_launch_powers(parser, "DBM", "default: where CONFIG learns")
    parser.add_argument(
        "--symbols", type=positive, default=32768, metavar="N", help="default: 32768"
    )
    add_seed(parser)


def _run(options: argparse.Namespace) -> None:
    from dbp.cli.link import link
    from dbp.errors import InputError
    from dbp.runs import read_config

    powers = options.launch_power_dbm or (None,)
    if len(powers) > 1:
        raise InputError("--launch-power-dbm: must be one launch power")
    settings = read_config(options.config, options.seed)
    link(settings, powers[0], options.symbols, options.output)
