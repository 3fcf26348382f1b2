"""The parser of ``dbp watts``."""

from __future__ import annotations

import argparse

from dbp.cli.parsers.options import CONFIG_HELP, DESIGN_HELP, Commands, Parser, add_command

EXAMPLE = "dbp watts linear essfm8 learned-c6-s9 --filters reconfigurable hardwired"


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp watts``."""
    text = "predict a receiver's watts and area, without a tool"
    parser = add_command(commands, "watts", _run, text, EXAMPLE)
    parser.add_argument(
        "receivers",
        proposal="receiver",
        nargs="+",
        metavar="RECEIVER",
        help=f"{DESIGN_HELP}; or linear, dbpN, essfmN, which get an estimate",
    )
    parser.add_argument(
        "--pdk",
        proposal="kit",
        nargs="+",
        default=["nangate45"],
        metavar="NAME",
        help="nangate45 (default), asap7, or both",
    )
    parser.add_argument(
        "--filters",
        nargs="+",
        choices=("reconfigurable", "hardwired"),
        default=["reconfigurable"],
        metavar="KIND",
        help="reconfigurable (default), hardwired, or both",
    )
    text = f"link of the references, and of all: {CONFIG_HELP} (default: the paper's, designs' own)"
    parser.add_argument("--config", proposal="config", metavar="CONFIG", help=text)


def _run(options: argparse.Namespace) -> None:
    from dbp.cli.watts import watts

    watts(options.receivers, options.pdk, options.filters, options.config)
