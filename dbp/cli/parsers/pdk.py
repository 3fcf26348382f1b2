"""The parser of ``dbp pdk``."""

from __future__ import annotations

import argparse

from dbp.cli.parsers.options import Commands, Parser, add_command


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp pdk``."""
    text = "list the design kits and where they are, or install one"
    parser = add_command(commands, "pdk", _run, text, "dbp pdk")
    parser.set_defaults(install=None)
    kit = parser.add_subparsers(metavar="[install NAME]", title="what to do", dest="action")
    install = kit.add_parser("install", help="fetch a kit from its pinned commit into the cache")
    install.example = "dbp pdk install nangate45"
    install.add_argument(
        "install",
        proposal="kit",
        metavar="NAME",
        help="nangate45, asap7, sky130hd, ihp-sg13g2 or gt2n",
    )


def _run(options: argparse.Namespace) -> None:
    from dbp.cli.pdk import pdk

    pdk(options.install)
