"""The parser of ``dbp ber``."""

from __future__ import annotations

import argparse

from dbp.cli.parsers.options import (
    DESIGN_HELP,
    Commands,
    Parser,
    add_command,
    add_launch_powers,
    add_out,
    add_seed,
    add_workplace,
    place,
    positive,
    slurm_settings,
    swept_key,
)
from dbp.errors import InputError

EXAMPLE = "dbp ber learned-c6-s9 --launch-power-dbm 0 --out cmp"


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp ber``."""
    text = "bit error ratio and effective SNR against launch power"
    parser = add_command(commands, "ber", _run, text, EXAMPLE)
    parser.add_argument(
        "designs",
        proposal="receiver",
        nargs="*",
        metavar="DESIGN",
        help=DESIGN_HELP + ", or linear, dbpN (N steps per span), essfmN (N learned steps in all)",
    )
    parser.add_argument(
        "--reproduce", choices=("paper",), help="the receivers of all its BER curves"
    )
    text = "count on this waveform (.npz, .mat, .h5, or a group of Zarr: a folder or a URL)"
    parser.add_argument("--waveform", proposal="file", type=place, metavar="FILE", help=text)
    text = "START:STOP:STEP or values with commas (default: CONFIG's)"
    add_launch_powers(parser, "RANGE", text)
    add_out(parser)
    text = "the link of all (default: that of each design's run, or paper)"
    parser.add_argument("--config", proposal="config", metavar="CONFIG", help=text)
    parser.add_argument(
        "--arithmetic", choices=("fixed", "float", "both"), help="of designs (default: fixed)"
    )
    parser.add_argument(
        "--min-errors", type=positive, help="stop a point there (default: CONFIG's)"
    )
    parser.add_argument("--max-bits", type=positive, help="or there (default: CONFIG's)")
    parser.add_argument(
        "--sweep",
        type=swept_key,
        action="append",
        default=[],
        metavar="KEY=RANGE",
        help="other values of a key of [link]; may be repeated",
    )
    parser.add_argument(
        "--receiver",
        choices=("genie", "blind"),
        default="genie",
        help="who finds the symbols: who knows them, or adaptive equaliser and carrier recovery",
    )
    parser.add_argument("--resume", action="store_true", help="go on where RUN was interrupted")
    add_workplace(parser, "counting")
    add_seed(parser)


def _run(options: argparse.Namespace) -> None:
    from dbp.cli import ber
    from dbp.cli._requests import Request
    from dbp.evaluation.executors import Workplace

    if options.reproduce and (options.designs or options.arithmetic or options.sweep):
        raise InputError(
            "--reproduce has receivers of its own: no DESIGN, no --arithmetic, no --sweep"
        )
    if options.reproduce and options.waveform:
        raise InputError("--reproduce has links of its own: no --waveform")
    if options.waveform:
        _check_for_waveform(options)
        _count_waveform(options)
        return
    sweep = dict(options.sweep)
    if len(sweep) < len(options.sweep):
        raise InputError("--sweep: each KEY once")
    request = Request(
        designs=options.designs,
        launch_powers_dbm=options.launch_power_dbm,
        config=options.config,
        arithmetic=options.arithmetic or "fixed",
        seed=options.seed,
        sweep=sweep,
        min_errors=options.min_errors,
        max_bits=options.max_bits,
        receiver=options.receiver,
    )
    workplace = Workplace(
        options.out / ber.DATABASE,
        options.cluster,
        options.workers,
        options.resume,
        slurm_settings(options),
    )
    command = ber.reproduce if options.reproduce else ber.ber
    command(request, options.out, workplace)


def _check_for_waveform(options: argparse.Namespace) -> None:
    """Refuse options that mean nothing for a waveform, which is counted as it is."""
    for name in (
        *("launch_power_dbm", "min_errors", "max_bits", "sweep", "resume", "workers"),
        *("cluster", "slurm", "seed"),
    ):
        if getattr(options, name) not in (None, False, [], "local"):
            raise InputError(
                f"--waveform is counted as it is, whole: no --{name.replace('_', '-')}"
            )


def _count_waveform(options: argparse.Namespace) -> None:
    from dbp.cli._ber_of_waveform import ber_of_waveform
    from dbp.cli.ber import print_best

    arithmetic = options.arithmetic or "fixed"
    given = options.designs, arithmetic, options.waveform, options.out, options.config
    points = ber_of_waveform(*given, options.receiver)
    print_best(points, ())
