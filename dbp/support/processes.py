"""Run other programs as child processes, with a limit of time, and of memory where asked.

Every child has a process group of its own. The whole group is killed when the child has ended, when
the time is up and when anything else ends the wait, Ctrl-C included, so that what the child has
started ends with it. Where this process is killed itself, `dbp.support.family` ends its children.

Children get few of the variables of this process's environment (`environment`): what a user's shell
sets for cocotb, make, compilers, Yosys, Tcl or Python is meant for other runs than ours.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from dbp.errors import InputError, MissingError, ToolError
from dbp.support import family

# What children need of the environment: to find programs, shared libraries and the user's home.
# ``OMP_NUM_THREADS``: how many cores the user grants.
_KEPT_VARIABLES = ("PATH", "HOME", "USER", "LOGNAME", "LD_LIBRARY_PATH", "OMP_NUM_THREADS")
# The words of a tool are read here, so they are not to be translated, nor numbers to have commas.
_LOCALE = {"LC_ALL": "C.UTF-8"}
# Packages that Python programs of ours use.
_PYTHON_PACKAGES = ("dbp", "cocotb", "pyosys", "numpy", "scipy", "h5py")
_FULL_BYTES = 1 << 16
_FULL_WORDS = re.compile("No space left on device|Disk quota exceeded|File too large")
# The Debian package that holds a program.
PACKAGES = {"sta": "opensta", "iverilog": "iverilog", "vvp": "iverilog"}
_LAST_LINES = 3
_VERSION_TIMEOUT_S = 60.0
_POLL_S = 0.5


class TimedOutError(ToolError):
    """A child process took longer than it may, and was killed."""


class Ended(NamedTuple):
    """A child process that has ended: its exit status and what it wrote.

    ``status`` is negative where a signal ended the process.
    """

    status: int
    stdout: bytes
    stderr: bytes


def environment() -> dict[str, str]:
    """Return the variables of a child's environment: an allow list of this process's."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    kept.setdefault("PATH", os.defpath)
    # Of PYTHONPATH only the folders without which our own programs would not run.
    folders = [
        folder
        for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep)
        if folder and any(Path(folder, package).is_dir() for package in _PYTHON_PACKAGES)
    ]
    if folders:
        kept["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, folders))
    return kept | _LOCALE


def require(*programs: str) -> None:
    """Raise a `MissingError` that says what to install where a program is missing."""
    for program in programs:
        if shutil.which(program) is None:
            raise MissingError(
                f"{program} is missing: install it with `apt-get install {PACKAGES[program]}`"
            )


def run(command: Sequence[str], folder: Path, log: str, timeout_s: float) -> str:
    """Run a program in ``folder``; its output goes to the file ``log`` there and is returned.

    `MissingError` where the program is missing; `ToolError` where it fails, runs longer than
    ``timeout_s`` seconds, or prints a line that begins with ``Error`` or ``[ERROR`` (OpenSTA goes
    on after it).
    """
    require(command[0])
    path = folder / log
    try:
        status = run_logged(command, path, timeout_s, folder=folder)
    except TimedOutError as error:
        raise TimedOutError(f"{command[0]} {error}; log: {path}") from None
    text = path.read_text(encoding="utf-8", errors="replace")
    errors = [line for line in _lines(text) if re.match(r"\[?error\b", line, re.IGNORECASE)]
    if status != 0 or errors:
        words = _last(errors) if errors else last_lines(path)
        words += full(path, folder)
        raise ToolError(f"{command[0]} failed: {words}; log: {path}")
    return text


def full(*places: Path) -> str:
    """Return words for an error that say where a disk is full; none: no words.

    ``places``: logs, in which tools may have said it, and folders.
    """
    for log in filter(Path.is_file, places):
        for line in _lines(log.read_text(encoding="utf-8", errors="replace")):
            if _FULL_WORDS.search(line):
                return f"; {line}"
    for folder in (*places, Path(tempfile.gettempdir())):
        with suppress(OSError):
            room = os.statvfs(folder)
            if room.f_bavail * room.f_frsize < _FULL_BYTES:
                return f"; no space is left on the disk of {folder}"
    return ""


def last_lines(log: Path) -> str:
    """Return the last lines of a log, in one line, for an error."""
    return _last(_lines(log.read_text(encoding="utf-8", errors="replace")) or ["no output"])


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _last(lines: Sequence[str]) -> str:
    return " | ".join(lines[-_LAST_LINES:])


def run_logged(
    command: Sequence[str],
    log: Path,
    timeout_s: float,
    *,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
    poll: Callable[[], object] | None = None,
) -> int:
    """Run a command whose output goes to the file ``log``, and return its exit status.

    ``poll`` is called twice a second while the command runs. `TimedOutError` after ``timeout_s``
    seconds. ``variables``: more than `environment` has, or others.
    """
    end = time.monotonic() + timeout_s
    with (
        log.open("wb") as file,
        _child(command, folder, variables, stdout=file, stderr=subprocess.STDOUT) as child,
    ):
        while True:
            remaining = end - time.monotonic()
            try:
                return child.wait(min(_POLL_S, remaining) if poll else remaining)
            except subprocess.TimeoutExpired:
                if time.monotonic() >= end:
                    raise _timed_out(timeout_s) from None
            if poll:
                poll()


def capture(
    command: Sequence[str],
    timeout_s: float,
    *,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
    merged: bool = False,
) -> Ended:
    """Run a command and return its exit status and output; `TimedOutError` after ``timeout_s``.

    With ``merged`` stdout holds what was written to stderr too, in order. ``variables``: more than
    `environment` has, or others.
    """
    stderr = subprocess.STDOUT if merged else subprocess.PIPE
    with _child(command, folder, variables, stdout=subprocess.PIPE, stderr=stderr) as child:
        try:
            out, err = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise _timed_out(timeout_s) from None
    return Ended(child.returncode, out, err or b"")


def version(command: Sequence[str], variables: Mapping[str, str] | None = None) -> str:
    """Return the first line that a program prints of its version; "unknown" if it prints none.

    `ToolError` where it does not end.
    """
    try:
        ended = capture(command, _VERSION_TIMEOUT_S, variables=variables)
    except TimedOutError as error:
        raise ToolError(f"{' '.join(command)} {error}") from None
    return next(iter(_lines(ended.stdout.decode(errors="replace"))), "unknown")


def limit_memory(more_bytes: int) -> None:
    """Let this process take ``more_bytes`` on top of what it takes now, and leave no core file.

    A system that cannot limit it sets no limit.
    """
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + more_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def checked_name(name: str, what: str) -> str:
    """Return ``name`` where a Tcl or Yosys script may hold it as it is; `InputError` otherwise."""
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", name) is None:
        raise InputError(f"{what} = {name!r}: must be letters, digits and _ . + - only")
    return name


@contextmanager
def _child(
    command: Sequence[str],
    folder: Path | None,
    variables: Mapping[str, str] | None,
    **options: Any,
) -> Iterator[subprocess.Popen[bytes]]:
    """A child process that ends with the block, together with what it has started."""
    with (
        family.held() as of_family,
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment() | of_family | dict(variables or {}),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            **options,
        ) as child,
    ):
        try:
            yield child
        finally:
            # As a rule nothing of the group is left once the child itself has ended.
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


def _timed_out(timeout_s: float) -> TimedOutError:
    return TimedOutError(f"took longer than {timeout_s:g} s and was ended")
