"""The parser of ``dbp run``."""

from __future__ import annotations

import argparse

from dbp.cli.parsers.options import (
    Commands,
    Parser,
    add_command,
    add_config,
    add_device,
    add_out,
    add_seed,
)


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp run``."""
    text = "all of it: learned design and baseline, side by side"
    parser = add_command(commands, "run", _run, text, "dbp run demo --out runs/demo")
    add_config(parser)
    add_out(parser)
    add_seed(parser)
    add_device(parser)


def _run(options: argparse.Namespace) -> None:
    from dbp.cli.run import run
    from dbp.runs import read_config

    run(read_config(options.config, options.seed), options.out, options.device)
