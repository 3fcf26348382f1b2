"""The parser of ``dbp presets``."""

from __future__ import annotations

import argparse

from dbp.cli.parsers.options import Commands, Parser, add_command


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp presets``."""
    text = "list the presets, or print one as the beginning of a configuration of your own"
    parser = add_command(commands, "presets", _run, text, "dbp presets paper > mine.toml")
    parser.add_argument(
        "preset", proposal="preset", nargs="?", metavar="NAME", help="print the text of this one"
    )


def _run(options: argparse.Namespace) -> None:
    from dbp.cli.presets import presets

    presets(options.preset)
