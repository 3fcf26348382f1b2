"""The family of a process: all that it starts, and all temporary files, end with it.

Every process that this one starts carries a mark in its environment, which those that it starts in
turn inherit (make, compilers, simulators), and finds its folder for temporary files within the
family's. When this process ends, all that carry the mark are killed and the folder is removed:
by `end`, or, where this process is killed without a word, by its guardian (`dbp.support.guardian`).
A folder that outlives even that is removed by the next family.

A family lasts as long as it has a child or a temporary file (`held`). The command line begins one
for everything that a command does (`exported`), what libraries start included.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dbp.errors import ToolError
from dbp.support import guardian

MARK = "DBP_FAMILY"
_PREFIX = "dbp-run-"
# A folder younger than this may not be locked yet.
_SWEEP_AFTER_S = 10.0


@dataclass(frozen=True)
class _Family:
    """``guardian``: its process, None where none could be started; ``line``: our end of its input.

    ``lock``: a descriptor of the folder. While this process or the guardian is there, it is locked.
    """

    token: str
    folder: Path
    lock: int
    guardian: int | None
    line: int

    @property
    def mark(self) -> str:
        return f"{MARK}={self.token}"


_family: _Family | None = None
_holds = 0
_exports = 0
_beginning = threading.RLock()


def is_member() -> bool:
    """Whether a process of ours started this one: it then belongs to that one's family."""
    return MARK in os.environ and not _exports


def token() -> str:
    """Return the variables that all processes of the family share; empty if there is no family."""
    if is_member():
        return os.environ[MARK]
    return _family.token if _family is not None else ""


@contextmanager
def held() -> Iterator[dict[str, str]]:
    """Keep the family for the block; gives the variables that make a child process one of it.

    The family ends with the last such block. `ToolError` where the system has no folder for
    temporary files.
    """
    global _holds
    if is_member():
        yield {name: os.environ[name] for name in (MARK, "TMPDIR") if name in os.environ}
        return
    with _beginning:
        family = _begin()
        _holds += 1
    try:
        yield {MARK: family.token, "TMPDIR": str(family.folder)}
    finally:
        with _beginning:
            _holds = max(0, _holds - 1)
            if _holds == 0:
                end()


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Make a folder for the block, which is removed then, or with the family.

    `ToolError` where the system has no folder for temporary files.
    """
    with (
        held() as variables,
        # What a forced end has removed already is no error.
        tempfile.TemporaryDirectory(
            prefix=prefix, dir=variables.get("TMPDIR"), ignore_cleanup_errors=True
        ) as name,
    ):
        yield Path(name)


@contextmanager
def exported() -> Iterator[None]:
    """Take in whatever this process starts in the block, by libraries too.

    For programs: it changes the environment of this process. Within another such block, in a member
    and where no temporary folder can be made nothing changes.
    """
    global _exports
    with contextlib.ExitStack() as stack:
        variables: dict[str, str] = {}
        if not is_member() and not _exports:
            with contextlib.suppress(ToolError):
                variables = stack.enter_context(held())
        if not variables:
            yield
            return
        before = {name: os.environ.get(name) for name in variables}
        temporary_before = tempfile.tempdir
        _exports += 1
        os.environ |= variables
        tempfile.tempdir = None
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            tempfile.tempdir = temporary_before
            _exports -= 1


def end() -> None:
    """Kill all of the family but this process, and remove its temporary folder."""
    global _family
    family = _family
    if family is None:
        return
    # A tracker of multiprocessing ends by itself; that it is gone early would be a warning.
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    spared = getattr(getattr(tracker, "_resource_tracker", None), "_pid", None)
    guardian.kill_marked(family.mark, () if spared is None else (spared,))
    shutil.rmtree(family.folder, ignore_errors=True)
    # Last: where this is cut short, the guardian does the rest.
    _family = None
    if family.guardian is not None:
        with contextlib.suppress(OSError):
            os.write(family.line, guardian.DISMISSED)
    _close(family)
    if family.guardian is not None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(family.guardian, 0)


def _begin() -> _Family:
    global _family
    with _beginning:
        if _family is None:
            try:
                place = Path(tempfile.gettempdir())
                _sweep(place)
                folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
            except OSError as error:
                raise ToolError(f"no folder for temporary files: {error}: set TMPDIR") from None
            token = secrets.token_hex(16)
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            _lock(lock)
            pid, line = _start_guardian(f"{MARK}={token}", folder, lock)
            _family = _Family(token, folder, lock, pid, line)
        return _family


def _start_guardian(mark: str, folder: Path, lock: int) -> tuple[int | None, int]:
    """Start the guardian, apart from our terminal and group: what is sent to them misses it."""
    reader, line = os.pipe()
    command = [sys.executable, "-I", "-S", guardian.__file__, mark, str(folder)]
    actions = [
        (os.POSIX_SPAWN_DUP2, reader, 0),
        (os.POSIX_SPAWN_DUP2, lock, 3),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    # What the interpreter itself needs.
    needed = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    try:
        pid = os.posix_spawn(sys.executable, command, needed, file_actions=actions, setsid=True)
    except (OSError, NotImplementedError):
        return None, line
    finally:
        os.close(reader)
    return pid, line


def _lock(descriptor: int) -> bool:
    """Lock a folder; False where another process has it, or the file system knows no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sweep(place: Path) -> None:
    """Remove the folders of families that are gone, guardian and all."""
    for folder in place.glob(f"{_PREFIX}*"):
        # Somebody else's, or gone meanwhile.
        with contextlib.suppress(OSError):
            status = folder.lstat()
            if status.st_uid != os.getuid() or time.time() - status.st_ctime < _SWEEP_AFTER_S:
                continue
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if _lock(descriptor):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def _close(family: _Family) -> None:
    os.close(family.line)
    os.close(family.lock)


def _forget() -> None:
    """Leave the family to the parent of a fork, which alone may hold the guardian's line."""
    global _family, _holds, _exports
    if _family is not None:
        _close(_family)
    _family, _holds, _exports = None, 0, 0


os.register_at_fork(after_in_child=_forget)
atexit.register(end)
