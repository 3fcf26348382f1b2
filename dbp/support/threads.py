"""A pool of threads for independent tasks, one per core."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


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
