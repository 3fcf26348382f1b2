"""The parser of ``dbp synth``."""

from __future__ import annotations

import argparse

from dbp.cli.parsers.options import (
    Commands,
    Parser,
    add_command,
    add_filters,
    add_kit,
    add_lanes,
    add_run,
    number,
)

EXAMPLE = """\
dbp rtl learned-c6-s9 --lanes 4 --out chip
dbp synth chip --pdk predictive28"""


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp synth``."""
    text = "synthesise one step: area, timing, activity and power"
    parser = add_command(commands, "synth", _run, text, EXAMPLE)
    add_run(parser, "a folder that holds a design")
    add_kit(parser, "the design kit (default: the configuration's)")
    parser.add_argument("--step", type=number, metavar="K", help="default: the middle one")
    add_lanes(parser)
    add_filters(parser)
    parser.add_argument(
        "--fit-clock",
        action="store_true",
        help="add registers until the clock is met, and take out what costs power",
    )
    parser.add_argument(
        "--place-and-route",
        action="store_true",
        help="then also by OpenROAD, with real wires",
    )
    parser.add_argument(
        "--route",
        choices=("global", "detailed"),
        default="detailed",
        help="how far --place-and-route goes (default: detailed)",
    )


def _run(options: argparse.Namespace) -> None:
    from dbp.cli.synth import synth

    synth(
        options.run,
        options.pdk,
        options.step,
        options.lanes,
        options.filters,
        options.pipeline,
        fit=options.fit_clock,
        place_and_route=options.place_and_route,
        route=options.route,
    )
