"""The parser of ``dbp rtl``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dbp.cli.parsers.options import (
    Commands,
    Parser,
    add_command,
    add_design,
    add_filters,
    add_kit,
    add_lanes,
    add_out,
    folder,
    number,
)
from dbp.errors import InputError

if TYPE_CHECKING:
    from dbp.rtl.target import Top


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp rtl``."""
    text, example = "generate Verilog from a design", "dbp rtl learned-c6-s9 --lanes 4 --out chip"
    parser = add_command(commands, "rtl", _run, text, example)
    add_design(parser)
    add_out(parser)
    add_lanes(parser)
    add_filters(parser)
    parser.add_argument(
        "--handoff",
        proposal="folder",
        type=folder,
        metavar="FOLDER",
        help="also a folder for a flow of your own: Verilog, plain bench with golden vectors, "
        "Yosys and OpenROAD scripts, SDC, SAIF, register map, FuseSoC core",
    )
    add_kit(parser, "of the scripts of --handoff (default: the configuration's)")
    top = parser.add_mutually_exclusive_group()
    for name, what in (("step", "a filter and its rotation"), ("filter", "a filter alone")):
        top.add_argument(
            f"--{name}", type=number, metavar="K", help=f"emit {what} (default: the whole chain)"
        )


def _run(options: argparse.Namespace) -> None:
    from dbp.cli.rtl import hand_off, rtl
    from dbp.rtl import Target, pipeline
    from dbp.runs import find_design, settings_of

    design, found_in = find_design(options.design)
    number = options.step if options.filter is None else options.filter
    top: Top = "chain" if number is None else "step" if options.filter is None else "filter"
    lanes = options.lanes or settings_of(design, found_in).hardware.lanes
    cuts = pipeline.parse(options.pipeline or "")
    if options.pdk and not options.handoff:
        raise InputError("--pdk: is for --handoff")
    rtl(design, found_in, options.out, Target(lanes, options.filters, cuts, top, number or 0))
    if options.handoff:
        hand_off(options.out, options.handoff, options.pdk)
