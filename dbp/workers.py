"""Threads for independent tasks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def pool(tasks: int) -> Iterator[ThreadPoolExecutor]:
    """At most one thread per core, in which torch's operations start no threads of their own.

    A core for each task: its data stay in its own cache.
    """
    count = max(1, min(tasks, cores()))
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(
            count, initializer=torch.set_num_threads, initargs=(1,)
        ) as executor:
            yield executor
    finally:
        torch.set_num_threads(threads)
