"""One writer at a time: a lock on a folder, which a process that is gone does not keep."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dbp.errors import DbpError, one_line
from dbp.support import family

NAME = ".dbp-lock"
# The locks of this process, by their files, with how many blocks hold each.
_held: dict[Path, int] = {}


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Be the only process that writes into ``folder`` for the block; makes the folder if need be.

    Blocks of one process, and those of the worker processes that it has begun, may hold it
    together. `DbpError` where another process has it: the message names that. A folder that was
    made for the block and stays empty is removed. The file system must know locks, as all local
    ones do, and NFS across machines; else a warning says that two writers are not kept apart.
    """
    made = _make(folder)
    file = folder.resolve() / NAME
    descriptor = None
    try:
        if not _held.get(file):
            descriptor = _lock(folder, file)
        _held[file] = _held.get(file, 0) + 1
        try:
            yield
        finally:
            _held[file] -= 1
    finally:
        if descriptor is not None:
            # While it is locked: whoever has opened it meanwhile sees that it is gone.
            with contextlib.suppress(OSError):
                file.unlink()
            os.close(descriptor)
        for empty in made:
            with contextlib.suppress(OSError):
                empty.rmdir()


def _make(folder: Path) -> list[Path]:
    """Make a folder and those that it lies in; returns those that were not there, it first."""
    missing = []
    for path in (folder, *folder.parents):
        if path.exists():
            break
        missing.append(path)
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _lock(folder: Path, file: Path) -> int | None:
    """Lock the file and write into it whose it is; None where the family or nobody can lock it."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            if family.is_member() and holder.get("family") == family.token():
                return None
            raise DbpError(
                f"{folder}: {_words(holder)} writes there: wait for it, or choose another folder"
            ) from None
        except OSError as error:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                file.unlink()
            logging.getLogger(__name__).warning(
                "%s: its file system has no locks (%s): let no two commands write there at once",
                folder,
                error.strerror,
            )
            return None
        # The one who had it may have removed it between our opening and locking it.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), file.stat()):
                _sign(descriptor)
                return descriptor
        os.close(descriptor)


def _sign(descriptor: int) -> None:
    words = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    holder = {"process": os.getpid(), "host": socket.gethostname(), "command": words}
    holder |= {"family": family.token()}
    # The lock holds without it, on a full disk say.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _holder(descriptor: int) -> dict[str, object]:
    """What the file says of the process that has it; empty where that has only just got it."""
    with contextlib.suppress(ValueError):
        content = json.loads(os.pread(descriptor, 1 << 16, 0))
        if isinstance(content, dict):
            return content
    return {}


def _words(holder: dict[str, object]) -> str:
    if "process" not in holder:
        return "another process"
    command = one_line(holder.get("command", ""), 200)
    return f"`{command}` (process {holder['process']} on {one_line(holder.get('host', ''), 80)})"
