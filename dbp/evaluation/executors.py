"""Run the tasks of an evaluation: in threads or processes of this machine, or on a cluster.

`executor` gives a `concurrent.futures.Executor` and the number of tasks that it does at a time.
The clusters are Dask's (`distributed`). What travels between its processes is in Dask's own wire
format, which rests on pickle: anyone who can reach a scheduler or a worker can run code there, so
they belong on trusted networks. The processes of "local" listen on the loopback interface only, the
scheduler of "slurm" where its jobs can reach it.
"""

from __future__ import annotations

import concurrent.futures
import logging
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbp.errors import DbpError, InputError, MissingError, shown
from dbp.support import threads

START_TIMEOUT_S = 60
_ADDRESS = re.compile(r"tcp://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})", re.ASCII)


@dataclass(frozen=True)
class Workplace:
    """The place where an evaluation is counted: ``cluster`` and ``workers`` as of `executor`.

    ``database``: a file that keeps every counted group. With ``resume``, groups that it holds are
    not counted again; else it starts empty.
    """

    database: Path
    cluster: str = "local"
    workers: int | None = None
    resume: bool = False


def check(cluster: str) -> None:
    """Raise `InputError` unless `executor` takes such a text."""
    if cluster in ("local", "slurm"):
        return
    parts = _ADDRESS.fullmatch(cluster)
    if not parts or not 1 <= int(parts["port"]) <= 65535:
        raise InputError(
            f"cluster {shown(cluster)}: must be 'local', 'slurm' or the address of a Dask "
            "scheduler, tcp://HOST:PORT"
        )


@contextmanager
def executor(
    cluster: str, *, points: int, workers: int | None = None
) -> Iterator[tuple[concurrent.futures.Executor, Callable[[], int]]]:
    """Give an executor for ``points`` points, and a function: how many tasks it does at a time.

    "local": processes of this machine, ``workers`` or one a core; threads where there is
    one point only. "slurm": jobs of a Slurm cluster, as the user's Dask configuration
    (``jobqueue.slurm``) describes them, ``workers`` of them. "tcp://HOST:PORT": whatever
    workers an existing scheduler has. A worker that dies is replaced where the cluster can do it,
    and what it was doing is done again. Raises `DbpError` where no worker is left.
    """
    check(cluster)
    if cluster == "local" and points == 1 and workers is None:
        with threads.pool(threads.cores()) as pool:
            yield pool, threads.cores
        return
    from distributed import Client

    _quiet()
    with ExitStack() as stack:
        scheduler: Any = cluster
        if cluster == "local":
            scheduler = stack.enter_context(_local(workers or threads.cores()))
        elif cluster == "slurm":
            scheduler = stack.enter_context(_slurm(workers or 1))
        try:
            client = stack.enter_context(
                Client(scheduler, timeout=START_TIMEOUT_S, set_as_default=False)
            )
            client.wait_for_workers(1, timeout=START_TIMEOUT_S)
        except (OSError, TimeoutError) as error:
            raise DbpError(f"cluster {cluster!r}: no scheduler with a worker: {error}") from None
        pool = client.get_executor(pure=False)
        last_seen = time.monotonic()

        def at_a_time() -> int:
            nonlocal last_seen
            thread_count = sum(client.nthreads().values())
            if thread_count:
                last_seen = time.monotonic()
            elif time.monotonic() - last_seen > START_TIMEOUT_S:
                raise DbpError(f"cluster {cluster!r}: no worker for {START_TIMEOUT_S} s")
            # Twice as many as there are threads, so that none waits for what is next.
            return 2 * max(1, thread_count)

        try:
            yield pool, at_a_time
        finally:
            pool.shutdown(wait=False)


@contextmanager
def _local(count: int) -> Iterator[Any]:
    from dask import config as dask_config
    from distributed import LocalCluster

    with (
        tempfile.TemporaryDirectory(prefix="dbp-dask-") as folder,
        # A worker that is killed is no fault of the task that it was doing.
        dask_config.set({"distributed.scheduler.allowed-failures": 20}),
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            # Any free port: the default one may be taken, of which Dask would warn.
            dashboard_address="127.0.0.1:0",
            local_directory=folder,
            preload=__name__,
        ) as cluster,
    ):
        yield cluster


def dask_setup(worker: object) -> None:
    """Prepare a worker process: Dask calls this in each of them, since it preloads this module.

    A terminal sends Ctrl-C to all processes: the one that counts ends the others.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _quiet()


def _quiet() -> None:
    # Dask logs every worker that comes or goes and every task given up; its event loop logs what
    # Ctrl-C cuts short. Errors are raised. Dask's configuration sets a level for each of these, so
    # that of a logger above would not count.
    for name in ("distributed", "tornado", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _slurm(jobs: int) -> Any:
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise MissingError(
            "cluster 'slurm': needs dask-jobqueue: pip install 'dbp[slurm]'"
        ) from None
    try:
        cluster = SLURMCluster()
    except ValueError as error:
        raise InputError(f"cluster 'slurm': Dask's configuration jobqueue.slurm: {error}") from None
    cluster.scale(jobs=jobs)
    return cluster
