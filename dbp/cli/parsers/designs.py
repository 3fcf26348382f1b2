"""The parser of ``dbp designs``."""

from __future__ import annotations

import argparse

from dbp.cli.parsers.options import Commands, Parser, add_command


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp designs``."""
    text = "list the shipped designs with their figures"
    add_command(commands, "designs", _run, text, "dbp designs")


def _run(options: argparse.Namespace) -> None:
    from dbp.cli.designs import designs

    designs()
