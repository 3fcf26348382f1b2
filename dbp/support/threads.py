"""Threads for independent tasks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def pool(tasks: int) -> Iterator[ThreadPoolExecutor]:
    """At most one thread per core; torch, where it is loaded, starts none of its own in them.

    A core for each task: its data stay in its own cache.
    """
    count = max(1, min(tasks, cores()))
    # Whoever computes with torch has loaded it by now; to load it here would cost all others.
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
