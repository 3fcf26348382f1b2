"""``dbp ber``: bit error ratio and effective SNR against launch power."""

from __future__ import annotations

import argparse
from pathlib import Path

from dbp.cli import waveforms
from dbp.cli.options import (
    DESIGN_HELP,
    Commands,
    Parser,
    add_command,
    add_out,
    add_seed,
    launch_powers_dbm,
    positive,
    swept_key,
    workers,
)
from dbp.errors import InputError
from dbp.evaluation import evaluate


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp ber``."""
    text = "bit error ratio and effective SNR against launch power"
    parser = add_command(commands, "ber", _run, text)
    parser.add_argument(
        "designs",
        nargs="*",
        metavar="DESIGN",
        help=DESIGN_HELP + ", or linear, dbp1, dbp50 (frequency-domain references)",
    )
    parser.add_argument(
        "--reproduce", choices=("paper",), help="the receivers of all its BER curves"
    )
    parser.add_argument(
        "--waveform", type=Path, metavar="FILE", help="count on this waveform (.npz, .mat, .h5)"
    )
    parser.add_argument(
        "--launch-power-dbm",
        type=launch_powers_dbm,
        metavar="RANGE",
        help="START:STOP:STEP or values with commas (default: CONFIG's)",
    )
    add_out(parser)
    parser.add_argument(
        "--config", metavar="CONFIG", help="the link (default: the design's, or paper)"
    )
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
    parser.add_argument("--resume", action="store_true", help="go on where RUN was interrupted")
    parser.add_argument(
        "--cluster",
        default="local",
        metavar="WHERE",
        help="local (default), slurm, or tcp://HOST:PORT (Dask)",
    )
    parser.add_argument(
        "--workers",
        type=workers,
        metavar="N",
        help="processes or Slurm jobs (default: one a core, one job)",
    )
    add_seed(parser)


def _run(options: argparse.Namespace) -> None:
    shared = {
        "config_name": options.config,
        "seed": options.seed,
        "options": evaluate.Options(
            options.min_errors,
            options.max_bits,
            options.cluster,
            options.workers,
            options.resume,
        ),
    }
    if options.reproduce:
        if options.designs or options.arithmetic or options.sweep:
            raise InputError(
                "--reproduce has receivers of its own: no DESIGN, no --arithmetic, no --sweep"
            )
        if options.waveform:
            raise InputError("--reproduce has links of its own: no --waveform")
        evaluate.reproduce(options.launch_power_dbm, options.out, **shared)
        return
    if options.waveform:
        _ber_of_waveform(options)
        return
    swept = dict(options.sweep)
    if len(swept) < len(options.sweep):
        raise InputError("--sweep: each KEY once")
    evaluate.ber(
        options.designs,
        options.launch_power_dbm,
        options.out,
        arithmetic=options.arithmetic or "fixed",
        swept=swept,
        **shared,
    )


def _ber_of_waveform(options: argparse.Namespace) -> None:
    for name in (
        *("launch_power_dbm", "config", "min_errors", "max_bits", "sweep", "resume", "workers"),
        *("cluster", "seed"),
    ):
        if getattr(options, name) not in (None, False, [], "local"):
            raise InputError(
                f"--waveform is counted as it is, whole: no --{name.replace('_', '-')}"
            )
    waveforms.ber(options.designs, options.arithmetic or "fixed", options.waveform, options.out)
