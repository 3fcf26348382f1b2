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
    add_lanes,
    add_out,
    number,
)

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
    top = parser.add_mutually_exclusive_group()
    for name, what in (("step", "a filter and its rotation"), ("filter", "a filter alone")):
        top.add_argument(
            f"--{name}", type=number, metavar="K", help=f"emit {what} (default: the whole chain)"
        )


def _run(options: argparse.Namespace) -> None:
    from dbp.cli.rtl import rtl
    from dbp.rtl import Target, pipeline
    from dbp.runs import config_of, find_design

    design, folder = find_design(options.design)
    number = options.step if options.filter is None else options.filter
    top: Top = "chain" if number is None else "step" if options.filter is None else "filter"
    lanes = options.lanes or config_of(folder).hardware.lanes
    cuts = pipeline.parse(options.pipeline or "")
    rtl(design, folder, options.out, Target(lanes, options.filters, cuts, top, number or 0))
