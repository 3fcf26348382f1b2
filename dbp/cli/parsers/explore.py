"""The parser of ``dbp explore``."""

from __future__ import annotations

import argparse
import os
import sys

from dbp.cli.parsers.options import (
    Commands,
    Parser,
    add_command,
    add_config,
    add_out,
    add_seed,
    add_workplace,
)

EXAMPLE = "dbp explore explore-demo --out front"


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp explore``."""
    text = "search formats, taps and prices for the best BER at each energy per bit"
    parser = add_command(commands, "explore", _run, text, EXAMPLE)
    add_config(parser)
    add_out(parser)
    add_workplace(parser, "learning and counting")
    add_seed(parser)


def _run(options: argparse.Namespace) -> None:
    # BLAS adds in another order for another number of threads: as many as Dask gives its workers.
    if "numpy" not in sys.modules:
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
    from dbp.cli import ber, explore
    from dbp.cli.parsers.options import slurm_settings
    from dbp.evaluation.executors import Workplace
    from dbp.runs import read_config

    workplace = Workplace(
        options.out / ber.DATABASE,
        options.cluster,
        options.workers,
        resume=True,
        slurm=slurm_settings(options),
        again="the same command goes on",
    )
    explore.explore(read_config(options.config, options.seed), options.out, workplace)
