"""The command line: ``dbp train | rtl | prove | sim | synth | power | ber | link | ...``.

One file a command, with its action; its parser is in the file of that name in `dbp.cli.parsers`.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from typing import TYPE_CHECKING, TextIO

from dbp.cli import parsers
from dbp.errors import DbpError, InputError, one_line
from dbp.support import signals

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from dbp.cli.parsers.options import Parser

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0; 1: a tool or a comparison failed; 2: wrong input; 128 and the number of the signal that ended
    it. Whatever ends it, no process and no temporary file stays. Without ``arguments`` those of
    this program, which is then ended two seconds after such a signal in any case.
    """
    try:
        with signals.raised(is_program=arguments is None):
            parser = _parser()
            words = _join_ranges(sys.argv[1:] if arguments is None else arguments)
            options = parser.parse_args(words)
            if options.command is None:
                print(parsers.first_contact(parser), file=sys.stderr)
                return 2
            from dbp.support import family

            with family.exported():
                return _run(options)
    except signals.Stopped as stopped:
        signals.say(stopped)
        if arguments is None:
            signals.leave(stopped.status)
        return stopped.status
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _run(options: argparse.Namespace) -> int:
    try:
        output = _Output(sys.stdout)
        with _locked(options), redirect_stdout(output):
            options.function(options)
            # Here rather than at the very end, where an error could not be told any more.
            output.flush()
    except InputError as error:
        return _fail(error, 2)
    except DbpError as error:
        return _fail(error, 1)
    except OSError as error:
        return _fail(_words(error, _folder(options)), 1)
    except MemoryError as error:
        return _fail(f"out of memory: {error}", 1)
    return 0


class _Output(io.TextIOBase):
    """Write to the standard output, if there is one, and name it in errors."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream or io.StringIO()

    def write(self, text: str) -> int:
        from dbp.support.files import naming

        with naming("standard output"):
            return self._stream.write(text)

    def flush(self) -> None:
        from dbp.support.files import naming

        with naming("standard output"):
            self._stream.flush()

    def isatty(self) -> bool:
        # Others may keep this one longer than its stream lives.
        return not self._stream.closed and self._stream.isatty()


def _locked(options: argparse.Namespace) -> AbstractContextManager[None]:
    """Keep other commands from writing to the run's folder, for those that write to one."""
    from dbp.support import locks

    folder = _folder(options)
    # Only ``--out`` may name one that is not there.
    if folder is None or not (hasattr(options, "out") or folder.is_dir()):
        return nullcontext()
    return locks.writing(folder)


def _folder(options: argparse.Namespace) -> Path | None:
    """The run's folder, to which a command writes."""
    runs = getattr(options, "runs", [None])
    folder: Path | None = getattr(options, "out", None) or getattr(options, "run", runs[0])
    return folder


def _words(error: OSError, folder: Path | None) -> str:
    """Say what went wrong, with the file; where the system tells none, with the disk that is full.

    ``folder``: one that may be on that disk.
    """
    if error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    from pathlib import Path

    from dbp.support import processes

    return f"{error}{processes.full(folder or Path.cwd())}"


def _parser() -> Parser:
    return parsers.build()


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
