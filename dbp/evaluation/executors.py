"""Run the tasks of an evaluation: in threads or processes of this machine, or on a cluster.

`executor` gives a `concurrent.futures.Executor` and the number of tasks that it does at a time.
The clusters are Dask's (`distributed`). What travels between its processes is in Dask's own wire
format, which rests on pickle: anyone who can reach a scheduler or a worker can run code there, so
they belong on trusted networks. The processes of "local" listen on the loopback interface only, the
scheduler of "slurm" where its jobs can reach it; dashboards on loopback, unless asked.
"""

from __future__ import annotations

import concurrent.futures
import logging
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbp.errors import DbpError, InputError, shown
from dbp.evaluation import slurm
from dbp.support import memory, threads

START_TIMEOUT_S = 60
# Memory of a worker process with torch and our compiled code, before it counts.
PROCESS_BYTES = 420_000_000
# Memory that one more thread in such a process takes.
THREAD_BYTES = 40_000_000
# So long may all workers be paused for want of memory.
_PAUSED_S = 30.0
_LOOPBACK = "127.0.0.1:0"
_ADDRESS = re.compile(r"tcp://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})", re.ASCII)

AtATime = Callable[[], int]


@dataclass(frozen=True)
class Workplace:
    """The place where an evaluation is counted: ``cluster`` and ``workers`` as of `executor`.

    ``database``: a file that keeps every counted group. With ``resume``, groups that it holds are
    not counted again; else they go once the first new one is there. ``slurm``: how jobs are asked
    for, with ``cluster="slurm"``. ``again``: what goes on with an evaluation that has ended early,
    where that is not ``dbp ber`` with ``--resume``.
    """

    database: Path
    cluster: str = "local"
    workers: int | None = None
    resume: bool = False
    slurm: slurm.Settings = field(default_factory=slurm.Settings)
    again: str = ""


def check(cluster: str, wishes: slurm.Settings | None = None) -> None:
    """Raise `InputError` unless `executor` takes such a text, and Slurm such a job.

    `MissingError` without Slurm's commands.
    """
    if cluster == "local":
        return
    if cluster == "slurm":
        slurm.check(wishes or slurm.Settings(), PROCESS_BYTES)
        return
    parts = _ADDRESS.fullmatch(cluster)
    if not parts or not 1 <= int(parts["port"]) <= 65535:
        raise InputError(
            f"cluster {shown(cluster)}: must be 'local', 'slurm' or the address of a Dask "
            "scheduler, tcp://HOST:PORT"
        )


@contextmanager
def executor(
    cluster: str,
    *,
    points: int,
    workers: int | None = None,
    task_bytes: int = 0,
    wishes: slurm.Settings | None = None,
    log_folder: Path = Path("slurm"),
) -> Iterator[tuple[concurrent.futures.Executor, AtATime]]:
    """Give an executor for ``points`` points, and a function: how many tasks it does at a time.

    "local": processes of this machine, ``workers`` or one a core; threads where there is
    one point only, or memory for one process only. "slurm": ``workers`` jobs of a Slurm cluster, by
    ``wishes``, with their logs in ``log_folder`` (`dbp.evaluation.slurm`). "tcp://HOST:PORT":
    whatever workers an existing scheduler has. ``task_bytes``: of memory that a task takes.

    A worker that dies is replaced where the cluster can do it, and what it was doing is done again.
    The function is to be called every few seconds. Raises `DbpError` where no worker is left, or
    memory does not do.
    """
    check(cluster, wishes)
    place: AbstractContextManager[tuple[concurrent.futures.Executor, AtATime]]
    if cluster == "local":
        wished = workers or threads.cores()
        affordable = _affordable(wished, task_bytes)
        if affordable < min(2, wished) or (points == 1 and workers is None):
            place = _threads(wished, task_bytes)
        else:
            place = _processes(affordable)
    elif cluster == "slurm":
        place = _jobs(
            wishes or slurm.Settings(), workers or 1, PROCESS_BYTES + task_bytes, log_folder
        )
    else:
        place = _elsewhere(cluster, PROCESS_BYTES + task_bytes)
    with place as given:
        yield given


def _affordable(wished: int, task_bytes: int) -> int:
    """How many of the worker processes find memory; says so where that is fewer than wished."""
    free = memory.available_bytes()
    each = PROCESS_BYTES + task_bytes
    count = wished if free is None else min(wished, free // each)
    if free is not None and 2 <= count < wished:
        _say(
            f"{_gb(free)} of memory are free and a worker takes {_gb(each)}: {count} workers, not "
            f"{wished}"
        )
    return count


@contextmanager
def _threads(wished: int, task_bytes: int) -> Iterator[tuple[concurrent.futures.Executor, AtATime]]:
    """Threads of this process, as many as memory allows; `DbpError` where not even one does."""
    free = memory.available_bytes()
    each = THREAD_BYTES + task_bytes
    count = min(wished, threads.cores())
    if free is not None and free < count * each:
        count = free // each
        if not count:
            raise DbpError(
                f"memory: {_gb(free)} are free, and counting on this link takes {_gb(each)} more "
                "(link.block_symbols, link.samples_per_symbol)"
            )
        _say(f"{_gb(free)} of memory are free and a task takes {_gb(each)}: {count} at a time")
    with threads.pool(count) as pool:
        yield pool, lambda: count


@contextmanager
def _processes(count: int) -> Iterator[tuple[concurrent.futures.Executor, AtATime]]:
    with _local(count) as cluster, _client(cluster, "local") as client:
        _wait_for_worker(client, "local")
        with _pool(client) as pool:
            yield pool, _Capacity(client, "local", 0)


@contextmanager
def _elsewhere(
    address: str, worker_bytes: int
) -> Iterator[tuple[concurrent.futures.Executor, AtATime]]:
    with _client(address, address) as client:
        _wait_for_worker(client, address)
        with _pool(client) as pool:
            yield pool, _Capacity(client, address, worker_bytes)


@contextmanager
def _jobs(
    wishes: slurm.Settings, count: int, worker_bytes: int, log_folder: Path
) -> Iterator[tuple[concurrent.futures.Executor, AtATime]]:
    with ExitStack() as stack:
        cluster = stack.enter_context(_scheduler(wishes))
        client = stack.enter_context(_client(cluster, "slurm"))
        jobs = slurm.Jobs(
            wishes,
            count,
            cluster.scheduler_address,
            worker_bytes=worker_bytes,
            log_folder=log_folder,
        )
        stack.callback(jobs.cancel)
        jobs.submit_all()
        pool = stack.enter_context(_pool(client))
        yield _Watched(pool, jobs.task_ended), _Capacity(client, "slurm", 0, jobs)


class _Watched(concurrent.futures.Executor):
    """An executor that calls a function whenever one of its tasks has ended well."""

    def __init__(self, pool: concurrent.futures.Executor, ended: Callable[[], None]) -> None:
        self._pool, self._ended = pool, ended

    def submit(self, /, *arguments: Any, **named: Any) -> concurrent.futures.Future[Any]:
        task: concurrent.futures.Future[Any] = self._pool.submit(*arguments, **named)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: concurrent.futures.Future[Any]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._ended()


class _Capacity:
    """How many tasks a cluster does at a time; raises `DbpError` where it does none any more."""

    def __init__(
        self, client: Any, name: str, worker_bytes: int, jobs: slurm.Jobs | None = None
    ) -> None:
        self._client, self._name, self._bytes, self._jobs = client, name, worker_bytes, jobs
        self._last_seen = self._last_running = self._looked = time.monotonic()

    def __call__(self) -> int:
        if self._client.status not in ("running", "connecting"):
            raise DbpError(f"cluster {self._name!r}: its scheduler is gone")
        counts = self._client.nthreads()
        workers, now = len(counts), time.monotonic()
        if workers:
            self._last_seen = now
        if self._jobs is not None:
            self._jobs.look(workers)
        elif now - self._last_seen > START_TIMEOUT_S:
            raise DbpError(f"cluster {self._name!r}: no worker for {START_TIMEOUT_S} s")
        if self._bytes:
            self._check_paused(now)
        # Twice as many as there are threads, so that none waits for what is next.
        return 2 * max(1, sum(counts.values()))

    def _check_paused(self, now: float) -> None:
        """Refuse to wait for workers that all have stopped for want of memory."""
        if now - self._looked < _PAUSED_S / 6:
            return
        self._looked = now
        workers = self._client.scheduler_info()["workers"].values()
        if not workers or any(worker["status"] != "paused" for worker in workers):
            self._last_running = now
        elif now - self._last_running > _PAUSED_S:
            limits = sorted({worker["memory_limit"] for worker in workers})
            raise DbpError(
                f"cluster {self._name!r}: all workers are paused for want of memory: their limit "
                f"is {_gb(limits[0])}, Dask pauses them at 80 % of it, and one takes "
                f"{_gb(self._bytes)}: start them with a larger --memory-limit, or 0 for none"
            )


@contextmanager
def _client(scheduler: Any, name: str) -> Iterator[Any]:
    from distributed import Client

    _quiet()
    try:
        client = Client(scheduler, timeout=START_TIMEOUT_S, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise DbpError(f"cluster {name!r}: no scheduler: {error}") from None
    with client:
        yield client


def _wait_for_worker(client: Any, name: str) -> None:
    try:
        client.wait_for_workers(1, timeout=START_TIMEOUT_S)
    except (OSError, TimeoutError) as error:
        raise DbpError(f"cluster {name!r}: no scheduler with a worker: {error}") from None


@contextmanager
def _pool(client: Any) -> Iterator[concurrent.futures.Executor]:
    pool = client.get_executor(pure=False)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False)


@contextmanager
def _local(count: int) -> Iterator[Any]:
    from dask import config as dask_config
    from distributed import LocalCluster

    _quiet()
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
            dashboard_address=_LOOPBACK,
            # There are as many as memory has room for; at 80 % of a limit Dask would pause one.
            memory_limit=0,
            local_directory=folder,
            preload=__name__,
        ) as cluster,
    ):
        yield cluster


@contextmanager
def _scheduler(wishes: slurm.Settings) -> Iterator[Any]:
    """A scheduler in this process, without workers, where the nodes of a cluster reach it."""
    from dask import config as dask_config
    from distributed import LocalCluster
    from distributed.utils import get_ip

    _quiet()
    host = wishes.host or get_ip()
    with ExitStack() as stack:
        # A job that ends is no fault of the task that its worker was doing.
        stack.enter_context(dask_config.set({"distributed.scheduler.allowed-failures": 1_000_000}))
        try:
            cluster = LocalCluster(
                n_workers=0,
                processes=True,
                host=host,
                dashboard_address=wishes.dashboard or _LOOPBACK,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(
                f"slurm.host = {host!r}, slurm.dashboard = {wishes.dashboard!r}: must be addresses "
                f"of this machine: {error}"
            ) from None
        yield stack.enter_context(cluster)


def dask_setup(worker: object) -> None:
    """Prepare a worker process: Dask calls this in each of them, since it preloads this module.

    A terminal sends Ctrl-C to all processes: the one that counts ends the others.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _quiet()


def _quiet() -> None:
    # Dask logs every worker that comes or goes and every task given up; its event loop logs what
    # Ctrl-C cuts short or a scheduler that is gone leaves behind. Errors are raised. Dask's
    # configuration sets a level for some of these, so that of a logger above would not count.
    names = [name for name in logging.root.manager.loggerDict if name.startswith("distributed.")]
    for name in ("distributed", "distributed.client", "tornado", "tornado.application", *names):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _gb(count: int) -> str:
    return f"{count / 1e9:.2g} GB"


def _say(text: str) -> None:
    print(f"Note: {text}", file=sys.stderr, flush=True)
