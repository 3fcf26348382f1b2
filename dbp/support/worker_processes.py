"""Worker processes for independent tasks, which end when the process that asked does."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from dbp.errors import ToolError
from dbp.support import family


@contextmanager
def pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """Provide ``count`` processes, each begun afresh, for the block.

    An error in the block waits for the tasks that run and begins no other; Ctrl-C and the like wait
    for nothing. `ToolError` where the system has ended a worker.
    """
    before = set(multiprocessing.active_children())
    with family.exported():
        executor = ProcessPoolExecutor(
            count, mp_context=multiprocessing.get_context("spawn"), initializer=_begin
        )
        try:
            yield executor
        except BrokenProcessPool:
            raise ToolError(
                "a worker process was killed from outside, perhaps for want of memory"
            ) from None
        except Exception:
            executor.shutdown(cancel_futures=True)
            raise
        except BaseException:
            for worker in set(multiprocessing.active_children()) - before:
                worker.kill()
            raise
        finally:
            executor.shutdown(cancel_futures=True)


def _begin() -> None:
    # A terminal sends Ctrl-C to all processes: the one that waits for this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
