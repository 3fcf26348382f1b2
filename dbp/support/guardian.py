"""End the family of a process that was killed: ``python guardian.py MARK FOLDER`` beside it.

The process holds the other end of this one's standard input, and nobody else does: the input ends
when the process does, however that comes about. A process that ends in good order says so first and
has cleaned up itself. This runs without the package around it, which may be slow to load.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Collection
from pathlib import Path

DISMISSED = b"q"
# A killed process may still be there for a moment, and one that was about to start shows only then.
_LOOKS, _PAUSE_S = 200, 0.02


def kill_marked(mark: str, spare: Collection[int] = ()) -> None:
    """Kill all processes whose environment holds ``mark`` (``NAME=VALUE``), but ``spare``.

    Returns when none is left, or after some seconds. A system without ``/proc`` shows none.
    """
    for _ in range(_LOOKS):
        found = marked(mark) - set(spare)
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return
        time.sleep(_PAUSE_S)


def marked(mark: str) -> set[int]:
    """Return the processes whose environment holds ``mark``, this one excepted; no dead ones."""
    line = mark.encode()
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        # Gone meanwhile, or somebody else's.
        with contextlib.suppress(OSError):
            if line in (entry / "environ").read_bytes().split(b"\0"):
                found.add(int(entry.name))
    return found - {os.getpid()}


def trackers(mark: str) -> set[int]:
    """Return those that count what Python's own processes share, and give it back at their end."""
    found = set()
    for pid in marked(mark):
        with contextlib.suppress(OSError):
            if b"multiprocessing.resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(pid)
    return found


def main(mark: str, folder: str) -> None:
    """Wait for the end of the process that holds the input, and clean up unless it says it did."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    if sys.stdin.buffer.read() == DISMISSED:
        return
    kill_marked(mark, trackers(mark))
    # A tracker ends by itself once all others are gone. And what was between two of its steps when
    # its parent was killed has got its environment by now.
    for _ in range(50):
        time.sleep(_PAUSE_S)
        if not trackers(mark):
            break
    kill_marked(mark)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
