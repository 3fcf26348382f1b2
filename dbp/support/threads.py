"""A pool of threads for independent tasks, one per core, or fewer where others use the cores."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

_of_thread = threading.local()


def cores() -> int:
    """Return the number of cores that this process may use, and this thread (`at_most`)."""
    count = len(os.sched_getaffinity(0))
    most: int | None = getattr(_of_thread, "most", None)
    return count if most is None else min(count, most)


@contextmanager
def at_most(count: int) -> Iterator[None]:
    """Let this thread use no more cores for the block: other tasks have the others."""
    before = getattr(_of_thread, "most", None)
    _of_thread.most = count
    try:
        yield
    finally:
        _of_thread.most = before


@contextmanager
def pool(tasks: int) -> Iterator[ThreadPoolExecutor]:
    """Provide at most one thread per core; torch, if it is loaded, starts no others in them.

    A task then has a core to itself, and its data stay in the cache of that core.
    """
    count = max(1, min(tasks, cores()))
    # Tasks that use torch have loaded it by now; to load it here would cost all others seconds.
    torch = sys.modules.get("torch")
    if torch is None:
        with ThreadPoolExecutor(count) as executor:
            yield executor
        return
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(
            count, initializer=torch.set_num_threads, initargs=(1,)
        ) as executor:
            yield executor
    finally:
        torch.set_num_threads(threads)
