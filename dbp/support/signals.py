"""Answer the signals that end a program: Ctrl-C, SIGTERM, and SIGHUP of a terminal that closes.

Each raises an exception in the main thread, so that all that is open is closed. Where the main
thread does not come to that in time (a long call of compiled code, a pool that waits for its
tasks), another thread ends the family of this process and then the process itself.

An exception that a signal raises can leave a lock taken for ever: that of `logging`, of a stream,
of a queue. So the other thread waits for nothing without a limit.

This module loads little, so that a program can answer from its first milliseconds on.
"""

from __future__ import annotations

import _thread
import contextlib
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

# A user is answered within two seconds.
GRACE_S = 1.4
# The longest that the parts of a forced end may take; to kill takes what it takes, within reason.
_TELL_S, _KILL_S, _LEAVE_S = 0.1, 10.0, 0.2
WORDS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "ended by SIGTERM",
    signal.SIGHUP: "ended by SIGHUP",
}


class Stopped(KeyboardInterrupt):
    """A signal that ends the program has come, like Ctrl-C: ``number`` of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(WORDS[signal.Signals(number)])
        self.number = signal.Signals(number)

    @property
    def status(self) -> int:
        """The exit status that shells give a program that a signal has ended."""
        return 128 + self.number


@contextmanager
def raised(is_program: bool) -> Iterator[None]:
    """Raise `Stopped` in the block when a signal comes that would end the program.

    Signals that are ignored (``nohup``, jobs in the background) stay so. ``is_program``: end the
    process where the exception is not answered in time, even after the block. Outside the main
    thread nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: handler
        for number in WORDS
        if (handler := signal.getsignal(number)) not in (signal.SIG_IGN, None)
    }
    _said.clear()
    for number in before:
        signal.signal(number, _raise)
    watch = _Watch() if is_program else None
    try:
        yield
    finally:
        if watch is None:
            for number, handler in before.items():
                signal.signal(number, handler)
        # Once a signal has come the program is about to end, and goes on to listen until then.
        elif watch.close():
            for number in before:
                signal.signal(number, _leave)


def say(stopped: Stopped) -> None:
    """Print on stderr, once, why the program ends."""
    if not _said.is_set():
        _said.set()
        # The terminal may be gone.
        with contextlib.suppress(OSError, ValueError):
            os.write(2, f"dbp: error: {stopped}\n".encode())


_said = threading.Event()


def _raise(number: int, frame: Any) -> NoReturn:
    raise Stopped(number)


def _leave(number: int, frame: Any) -> NoReturn:
    """End a program that has done its work and takes its libraries down."""
    os._exit(128 + number)


class _Watch:
    """A thread that hears of signals at once, whatever the main thread does."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._heard = threading.Event()
        self._before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        threading.Thread(target=self._run, name="signals", daemon=True).start()

    def close(self) -> bool:
        """Stop the thread and return True, unless a signal has come."""
        if self._heard.is_set():
            return False
        signal.set_wakeup_fd(self._before)
        os.close(self._writer)
        return True

    def _run(self) -> None:
        while True:
            numbers = os.read(self._reader, 1)
            if not numbers:
                os.close(self._reader)
                return
            if numbers[0] in WORDS:
                break
        self._heard.set()
        end = time.monotonic() + GRACE_S
        # What libraries say of tasks that are cut short is no news.
        _within(_TELL_S, lambda: logging.disable(logging.CRITICAL))
        # Whoever sends a second signal will not wait.
        while (remaining := end - time.monotonic()) > 0:
            if select.select([self._reader], [], [], remaining)[0] and (
                os.read(self._reader, 1)[0] in WORDS
            ):
                break
        _end(Stopped(numbers[0]))


def _end(stopped: Stopped) -> NoReturn:
    """End this process and its family; nothing else of it runs."""
    try:
        _within(_TELL_S, lambda: say(stopped))
        _within(_KILL_S, _end_family)
        _within(_LEAVE_S, lambda: leave(stopped.status))
    finally:
        os._exit(stopped.status)


def _end_family() -> None:
    from dbp.support import family

    family.end()


def _within(limit_s: float, action: Callable[[], object]) -> None:
    """Do something in a thread of its own, and go on without it after ``limit_s`` seconds."""
    done = _thread.allocate_lock()
    done.acquire()

    def act() -> None:
        try:
            action()
        except BaseException:  # nobody is left to tell
            pass
        finally:
            done.release()

    # `threading` takes locks of its own to start a thread.
    _thread.start_new_thread(act, ())
    done.acquire(timeout=limit_s)


def leave(status: int) -> NoReturn:
    """End this process at once, where to take the libraries down in order may take seconds."""
    try:
        # Semaphores of worker processes would be found, and complained of, later.
        if util := sys.modules.get("multiprocessing.util"):
            util._run_finalizers(0)
        sys.stdout.flush()
    except BaseException:  # nobody is left to tell
        pass
    finally:
        os._exit(status)
