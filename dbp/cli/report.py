"""``dbp report``: one self-contained HTML page over one or more runs."""

from __future__ import annotations

import argparse

from dbp.cli.options import Commands, Parser, add_command, folder


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp report``."""
    text = "one self-contained HTML page over one or more runs"
    parser = add_command(commands, "report", _run, text)
    parser.add_argument(
        "runs", nargs="+", type=folder, metavar="RUN", help="the page goes to the first"
    )


def _run(options: argparse.Namespace) -> None:
    from dbp.report.page import write_report

    print(f"Report -> {write_report(options.runs)}", flush=True)
