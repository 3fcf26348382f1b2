"""The parser of ``dbp train``."""

from __future__ import annotations

import argparse

from dbp.cli.parsers.options import (
    Commands,
    Parser,
    add_command,
    add_config,
    add_device,
    add_out,
    add_seed,
    gibibytes,
    millidecibels,
    place,
    positive,
    share,
)
from dbp.errors import InputError


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp train``."""
    text = "simulate the link or read its waveform, learn and quantize filters, export a design"
    parser = add_command(commands, "train", _run, text, "dbp train demo --out mine")
    add_config(parser)
    add_out(parser)
    add_seed(parser)
    add_device(parser)
    parser.add_argument(
        "--waveform",
        proposal="file",
        type=place,
        metavar="FILE",
        help="learn on this waveform (.npz, .mat, .h5, or a group of Zarr: a folder or a URL)",
    )
    parser.add_argument(
        "--held-out",
        type=share,
        metavar="SHARE",
        help="the share of --waveform, at its end, that validates and is not learned on (default: "
        "0.25)",
    )
    parser.add_argument(
        "--memory-gib",
        type=gibibytes,
        metavar="GIB",
        help="the most that derivatives keep on a --device that is not the CPU; with less they "
        "take longer (default: as much as it takes)",
    )
    parser.add_argument(
        "--digit-price",
        type=millidecibels,
        metavar="MDB",
        help="millidecibels that a signed digit of a tap may cost (default: the configuration's)",
    )
    parser.add_argument(
        "--digit-budget",
        type=positive,
        metavar="N",
        help="the most signed digits of all half taps, in place of a price",
    )


def _run(options: argparse.Namespace) -> None:
    from dbp.cli.train import train
    from dbp.config import checked
    from dbp.config.limits import USUALLY_HELD_OUT
    from dbp.runs import read_config

    if options.held_out is not None and options.waveform is None:
        raise InputError("--held-out: is for --waveform")
    settings = read_config(options.config, options.seed)
    price, budget = options.digit_price, options.digit_budget
    if price is not None or budget is not None:
        content = settings.given()
        content["training"] |= {"digit_price_mdb": price or 0.0, "digit_budget": budget or 0}
        settings = checked(content)
    held_out = USUALLY_HELD_OUT if options.held_out is None else options.held_out
    where = options.out, options.device, options.memory_gib
    train(settings, *where, options.waveform, held_out)
