"""External tools: started in one place, in the run's folder, with a time limit and a log."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from dbp.errors import InputError, MissingError, ToolError

PACKAGES = {"sta": "opensta", "iverilog": "iverilog", "vvp": "iverilog"}
_LAST_LINES = 3
_VERSION_TIMEOUT_S = 30


def require(*programs: str) -> None:
    """`MissingError` that says what to install where a program is missing."""
    for program in programs:
        if shutil.which(program) is None:
            raise MissingError(
                f"{program} is missing: install it with `apt-get install {PACKAGES[program]}`"
            )


def run(command: Sequence[str], folder: Path, log: str, timeout_s: float) -> str:
    """Run a program in ``folder``; its output goes to the file ``log`` there and is returned.

    `MissingError` where the program is not there; `ToolError` where it fails, runs longer than
    ``timeout_s`` seconds, or prints a line that begins with ``Error`` or ``[ERROR`` (OpenSTA goes
    on after it).
    """
    require(command[0])
    path = folder / log
    with path.open("wb") as file:
        child = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = child.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise ToolError(
                f"{command[0]} took longer than {timeout_s:g} s and was ended; log: {path}"
            ) from None
        finally:
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"\[?error\b", line, re.IGNORECASE)]
    if status != 0 or errors:
        words = " | ".join((errors or lines or ["no output"])[-_LAST_LINES:])
        raise ToolError(f"{command[0]} failed: {words}; log: {path}")
    return text


def version(command: Sequence[str]) -> str:
    """First line of what a program says of its version; "unknown" if it says nothing.

    `ToolError` where it does not end.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_VERSION_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ToolError(
            f"{' '.join(command)} took longer than {_VERSION_TIMEOUT_S:g} s and was ended"
        ) from None
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return lines[0] if lines else "unknown"


def checked_name(name: str, what: str) -> str:
    """``name`` where it may stand in a Tcl or Yosys script as it is; `InputError` otherwise."""
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", name) is None:
        raise InputError(f"{what} = {name!r}: must be letters, digits and _ . + - only")
    return name
