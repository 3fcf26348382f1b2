"""The command line: ``dbp train | rtl | prove | sim | synth | power | ber | link | ...``.

One file a command: its parser stands beside its action. Both load slowly what they need (torch, the
hardware tools, plots) only when the command runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from dbp.errors import DbpError, InputError, one_line
from dbp.support import family, signals

if TYPE_CHECKING:
    from dbp.cli.options import Parser

# Each is a module of this package.
COMMANDS = (
    *("train", "rtl", "prove", "sim", "synth", "power", "pdk", "ber", "link", "equalize"),
    *("compare", "report", "run"),
)

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0; 1: a tool or a comparison failed; 2: wrong input; 128 and the number of the signal that ended
    it. Whatever ends it, no process and no temporary file stays. Without ``arguments`` those of
    this program, which is then ended two seconds after such a signal in any case.
    """
    try:
        with signals.raised(is_program=arguments is None), family.exported():
            return _run(sys.argv[1:] if arguments is None else arguments)
    except signals.Stopped as stopped:
        signals.say(stopped)
        return stopped.status
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _run(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(_join_ranges(arguments))
    try:
        with _locked(options):
            options.function(options)
    except InputError as error:
        return _fail(error, 2)
    except (DbpError, OSError) as error:
        return _fail(error, 1)
    except MemoryError as error:
        return _fail(f"out of memory: {error}", 1)
    return 0


def _locked(options: argparse.Namespace) -> AbstractContextManager[None]:
    """Keep other commands from writing to the run's folder, for those that write to one."""
    from dbp.support import locks

    if (out := getattr(options, "out", None)) is not None:
        return locks.writing(out)
    run = getattr(options, "run", None) or next(iter(getattr(options, "runs", ())), None)
    return locks.writing(run) if run is not None and run.is_dir() else nullcontext()


def _parser() -> Parser:
    from dbp import __version__
    from dbp.cli.options import Parser

    parser = Parser(
        prog="dbp",
        description="Time-domain digital backpropagation: learn and quantize its filters, "
        "generate RTL, prove it bit-exact, and cost it in watts.",
    )
    parser.add_argument("--version", action="version", version=f"dbp {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        importlib.import_module(f"dbp.cli.{command}").add_to(commands)
    return parser


def _join_ranges(arguments: Sequence[str]) -> list[str]:
    """``--launch-power-dbm -4:4:1`` as people type it; argparse takes the range for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == "--launch-power-dbm":
            joined[-1] += "=" + argument
        else:
            joined.append(argument)
    return joined


def _fail(message: object, status: int) -> int:
    print("dbp: error: " + one_line(message), file=sys.stderr)
    return status
