"""The parser of ``dbp compare``."""

from __future__ import annotations

import argparse

from dbp.cli.parsers.options import (
    CONFIG_HELP,
    DESIGN_HELP,
    Commands,
    Parser,
    add_command,
    add_out,
    add_pipeline,
    positive,
)

EXAMPLE = "dbp compare lsco-paper-c9-s9 learned-c6-s9 --pdk predictive28 --lanes 2 4 --out pair"


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp compare``."""
    text = "BER, watts and square millimetres of whole receivers"
    parser = add_command(commands, "compare", _run, text, EXAMPLE)
    parser.add_argument(
        "designs",
        proposal="receiver",
        nargs="+",
        metavar="RECEIVER",
        help=f"{DESIGN_HELP}; or linear, dbpN, essfmN, whose watts are an estimate",
    )
    parser.add_argument(
        "--pdk",
        proposal="kit",
        nargs="+",
        default=["nangate45"],
        metavar="NAME",
        help="default: nangate45",
    )
    parser.add_argument(
        "--filters",
        nargs="+",
        choices=("reconfigurable", "hardwired"),
        default=["reconfigurable"],
        metavar="KIND",
        help="reconfigurable (default), hardwired, or both",
    )
    parser.add_argument(
        "--lanes",
        nargs="+",
        type=positive,
        default=(8, 16),
        metavar="P",
        help="widths to synthesise: the receiver of the link's symbol rate, 96 lanes at 20 GBd and "
        "2 samples per symbol, is estimated from the first two (default: 8 16), which further ones "
        "check",
    )
    parser.add_argument(
        "--every-step",
        action="store_true",
        help="synthesise each step that is different hardware, in the narrowest width: tells "
        "whether all of them meet the clock (default: one step stands for those alike)",
    )
    add_pipeline(parser)
    parser.add_argument(
        "--min-errors",
        type=positive,
        metavar="N",
        help="of every point of the BER (default: the configuration's)",
    )
    text = f"of all designs: {CONFIG_HELP} (default: the designs', which must be of one link)"
    parser.add_argument("--config", proposal="config", metavar="CONFIG", help=text)
    add_out(parser)


def _run(options: argparse.Namespace) -> None:
    from dbp.cli.compare import Candidates, compare

    widths, filters = tuple(options.lanes), tuple(options.filters)
    candidates = Candidates(
        tuple(options.pdk), filters, widths, options.every_step, options.pipeline or ""
    )
    compare(
        options.designs,
        candidates,
        options.out,
        min_errors=options.min_errors,
        config=options.config,
    )
