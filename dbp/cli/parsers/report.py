"""The parser of ``dbp report``, and what little the command does."""

from __future__ import annotations

import argparse

from dbp.cli.parsers.options import Commands, Parser, add_command, folder

EXAMPLE = """\
dbp ber learned-c6-s9 --launch-power-dbm=-1:1:1 --out cmp
dbp report cmp"""


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp report``."""
    text = "one self-contained HTML page over one or more runs"
    parser = add_command(commands, "report", _run, text, EXAMPLE)
    parser.add_argument(
        "runs",
        proposal="folder",
        nargs="+",
        type=folder,
        metavar="RUN",
        help="the page goes to the first",
    )


def _run(options: argparse.Namespace) -> None:
    from dbp.report.page import write_report

    print(f"Report -> {write_report(options.runs)}", flush=True)
