"""The parser of ``dbp signoff``."""

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
    add_workplace,
    slurm_settings,
)

EXAMPLE = """\
dbp rtl learned-c6-s9 --lanes 4 --out chip
dbp signoff chip --pdk predictive28 --lanes 1"""


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp signoff``."""
    text = "every step of a receiver: slack, watts, area, their sum, and what misses the clock"
    parser = add_command(commands, "signoff", _run, text, EXAMPLE)
    add_run(parser, "a folder that holds a design")
    add_kit(parser, "the design kit (default: the configuration's)")
    add_lanes(parser)
    add_filters(parser)
    add_workplace(parser, "syntheses")


def _run(options: argparse.Namespace) -> None:
    from dbp.cli.signoff import signoff
    from dbp.rtl import Target, pipeline
    from dbp.runs import config_of

    lanes = options.lanes or config_of(options.run).hardware.synthesis_lanes
    signoff(
        options.run,
        options.pdk,
        Target(lanes, options.filters, pipeline.parse(options.pipeline or "")),
        cluster=options.cluster,
        workers=options.workers,
        wishes=slurm_settings(options),
    )
