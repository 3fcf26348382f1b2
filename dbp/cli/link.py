"""``dbp link``: simulate the link and write its waveform as a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from dbp import config
from dbp.cli.options import (
    WAVEFORM_HELP,
    Commands,
    Parser,
    add_command,
    add_config,
    add_seed,
    launch_powers_dbm,
    positive,
)
from dbp.config import Config
from dbp.errors import InputError
from dbp.runs import read_config
from dbp.support import untrusted_files
from dbp.waveforms.recording import Recording, write_recording


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp link``."""
    text = "simulate the link and write its waveform as a file"
    parser = add_command(commands, "link", _run, text)
    add_config(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help=WAVEFORM_HELP)
    parser.add_argument(
        "--launch-power-dbm",
        type=launch_powers_dbm,
        metavar="DBM",
        help="default: where CONFIG learns",
    )
    parser.add_argument(
        "--symbols", type=positive, default=32768, metavar="N", help="default: 32768"
    )
    add_seed(parser)


def _run(options: argparse.Namespace) -> None:
    powers = options.launch_power_dbm or (None,)
    if len(powers) > 1:
        raise InputError("--launch-power-dbm: must be one launch power")
    settings = read_config(options.config, options.seed)
    link(settings, powers[0], options.symbols, options.output)


def link(settings: Config, launch_power_dbm: float | None, symbols: int, out: Path) -> None:
    """Simulate one circular block of ``symbols`` symbols over the link and write it as a file."""
    from dbp.link.transmission import simulate

    untrusted_files.check_suffix(out)
    if launch_power_dbm is None:
        launch_power_dbm = settings.training.launch_power_dbm
    one_block = config.link_with(settings.link, {"block_symbols": symbols})
    received = simulate(one_block, launch_power_dbm, 1, seed=settings.seed, purpose="evaluate")
    recording = Recording(
        waveform=received.waveform[0],
        samples_per_symbol=2,
        symbol_rate_baud=1e9 * one_block.symbol_rate_gbd,
        roll_off=one_block.roll_off,
        launch_power_dbm=launch_power_dbm,
        modulation=one_block.modulation,
        symbols=received.symbols[0],
    )
    write_recording(out, recording)
    print(
        f"{symbols} symbols of {one_block.modulation} at {launch_power_dbm:+g} dBm, "
        f"seed {settings.seed} -> {out}",
        flush=True,
    )
