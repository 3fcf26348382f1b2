"""``dbp pdk``: list the design kits and where they are, or install one."""

from __future__ import annotations

import argparse

from dbp.cli.options import Commands, Parser, add_command
from dbp.errors import MissingError


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp pdk``."""
    text = "list the design kits and where they are, or install one"
    parser = add_command(commands, "pdk", _run, text)
    parser.set_defaults(install=None)
    kit = parser.add_subparsers(metavar="[install NAME]", title="what to do", dest="action")
    install = kit.add_parser("install", help="fetch a kit from its pinned commit into the cache")
    install.add_argument("install", metavar="NAME", help="nangate45, asap7, sky130hd or ihp-sg13g2")


def _run(options: argparse.Namespace) -> None:
    pdk(options.install)


def pdk(kit_to_install: str | None) -> None:
    """List the kits and where each one is, or install one from its pinned commit."""
    from dbp.synthesis.cells import install, kits

    if kit_to_install is not None:
        folder = install.install(kit_to_install)
        license = install.SOURCES[kit_to_install].license
        print(f"{kit_to_install} (licence {license}) -> {folder}", flush=True)
        return
    for kit in kits.KITS.values():
        try:
            _, files = kits.find(kit.name)
            where = str(files[0].parent)
        except MissingError:
            where = f"not here: dbp pdk install {kit.name}"
        print(f"{kit.name:12}{kit.node_nm:4} nm  {where}")
