"""The parser of ``dbp train``."""

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
    """Add ``dbp train``."""
    text = "simulate the link, learn and quantize filters, export a design"
    parser = add_command(commands, "train", _run, text, "dbp train demo --out mine")
    add_config(parser)
    add_out(parser)
    add_seed(parser)
    add_device(parser)


def _run(options: argparse.Namespace) -> None:
    from dbp.cli.train import train
    from dbp.runs import read_config

    train(read_config(options.config, options.seed), options.out, options.device)
