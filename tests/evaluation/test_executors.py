"""Evaluations on worker processes that come and go: the same figures to the last bit."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import psutil
import pytest
from helpers.awgn import AWGN
from helpers.designs import DESIGN

from dbp.errors import DbpError, InputError
from dbp.evaluation import counting, executors, groups
from dbp.evaluation.receivers import FixedReceiver
from dbp.evaluation.store import Results

RULE = counting.Rule(min_errors=10**9, max_bits=500_000)


@pytest.fixture(scope="module")
def heard():
    """Two launch powers; the receivers are those of the package: workers import nothing else.

    In fixed point: to load torch would take each worker longer than to count.
    """
    designs = DESIGN, replace(DESIGN, filters=DESIGN.filters[:1], rotations=())
    receivers = [FixedReceiver(f"design {k}", design) for k, design in enumerate(designs)]
    return [(groups.Scenario(AWGN, power, 5), receivers) for power in (-21.0, -20.0)]


@pytest.fixture(scope="module")
def expected(heard):
    with executors.executor("local", points=1) as (executor, at_a_time):
        return counting.count(heard, RULE, executor=executor, at_a_time=at_a_time)


@pytest.mark.slow
def test_clusters_of_this_machine_start_beside_each_other_and_listen_on_loopback_only():
    with (
        executors.executor("local", points=2, workers=1),
        executors.executor("local", points=2, workers=1),
    ):
        this = psutil.Process()
        listening = [
            connection.laddr.ip
            for process in (this, *this.children(recursive=True))
            for connection in process.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        ]
    assert len(listening) >= 4 and set(listening) == {"127.0.0.1"}


@pytest.mark.slow
def test_an_interrupt_before_a_call_has_begun_says_nothing_of_its_own():
    # `distributed.utils.sync` then fails in the event loop, which logs it.
    script = """
import os, signal, time
from dbp.evaluation import executors

def call():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)
    raise RuntimeError

signal.signal(signal.SIGINT, signal.default_int_handler)
with executors.executor("local", points=2, workers=1) as (pool, _):
    try:
        pool._client.sync(call)
    except KeyboardInterrupt:
        time.sleep(2)
        print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


@pytest.mark.slow
def test_many_workers_of_which_some_are_killed_count_the_same(heard, expected, tmp_path):
    rng = random.Random(3)
    killed, over = [], threading.Event()

    def kill():
        while not over.wait(rng.uniform(0.2, 0.6)) and len(killed) < 2:
            children = psutil.Process().children()
            workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
            if workers:
                victim = rng.choice(workers)
                victim.kill()
                killed.append(victim.pid)

    with (
        Results(tmp_path / "results.sqlite") as results,
        executors.executor("local", points=2, workers=3) as (executor, at_a_time),
    ):
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            found = counting.count(
                heard, RULE, executor=executor, at_a_time=at_a_time, results=results
            )
        finally:
            over.set()
            killer.join()
        assert killed
    assert found == expected


@pytest.mark.slow
def test_workers_of_another_version_do_not_count(heard, monkeypatch):
    # Theirs is the package's: they are processes of their own.
    theirs = groups.hash_of(*groups.SOURCES)[:12]
    monkeypatch.setattr(groups, "hash_of", lambda *names: "another")
    with (
        executors.executor("local", points=2, workers=1) as (executor, at_a_time),
        pytest.raises(DbpError, match=f"something else: it has sources {theirs}, not another"),
    ):
        counting.count(heard, RULE, executor=executor, at_a_time=at_a_time)


def test_workers_that_cannot_count_are_told(heard, monkeypatch):
    monkeypatch.setattr(groups, "count", lambda scenario, receivers, chunk: [])
    with (
        executors.executor("local", points=1) as (executor, at_a_time),
        pytest.raises(DbpError, match=r"a worker failed \(.*same version of dbp"),
    ):
        counting.count(heard, RULE, executor=executor, at_a_time=at_a_time)


@pytest.fixture
def scheduler():
    """A scheduler and two workers, started as users start them, on the loopback interface."""
    dask = [sys.executable, "-m", "dask"]
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = []

    def start(*arguments):
        process = subprocess.Popen(
            [*dask, *arguments], stderr=subprocess.PIPE, text=True, env=settings,
            start_new_session=True,
        )  # fmt: skip
        processes.append(process)
        return process

    leader = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    address = next(
        found.group() for line in leader.stderr if (found := re.search(r"tcp://[\d.:]+", line))
    )
    threading.Thread(target=leader.stderr.read, daemon=True).start()
    for _ in range(2):
        worker = start("worker", address, "--nthreads", "1", "--no-dashboard",
                       "--host", "127.0.0.1")  # fmt: skip
        threading.Thread(target=worker.stderr.read, daemon=True).start()
    yield address, processes
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()


@pytest.mark.slow
def test_a_scheduler_elsewhere_and_a_worker_that_dies(heard, expected, scheduler):
    address, (_, _, worker) = scheduler

    def kill():
        time.sleep(0.3)
        os.killpg(worker.pid, signal.SIGKILL)

    with executors.executor(address, points=2) as (executor, at_a_time):
        deadline = time.monotonic() + 60
        while at_a_time() < 4 and time.monotonic() < deadline:
            time.sleep(0.1)
        killer = threading.Thread(target=kill)
        killer.start()
        found = counting.count(heard, RULE, executor=executor, at_a_time=at_a_time)
        killer.join()
    assert found == expected


def test_what_is_no_cluster_is_refused(monkeypatch):
    wrong = ["", "remote", "http://localhost:1", "tcp:/x", "tcp://", "tcp://host", "tcp://host:"]
    for name in (*wrong, "tcp://host:0", "tcp://host:65536", "tcp://host:1/x", "tcp://a b:1"):
        with pytest.raises(InputError, match="cluster"):
            executors.check(name)
    monkeypatch.setattr(executors, "START_TIMEOUT_S", 0.5)
    with (
        pytest.raises(DbpError, match="no scheduler"),
        executors.executor("tcp://127.0.0.1:9", points=2),
    ):
        pass


@pytest.mark.parametrize(
    ("free_gb", "wished", "said", "kind"),
    [
        (50.0, 4, "", "4 processes"),
        (
            1.2,
            4,
            "1.2 GB of memory are free and a worker takes 0.48 GB: 2 workers, not 4",
            "2 proc",
        ),
        (0.6, 4, "", "threads"),
        (0.6, 1, "", "1 processes"),
        (0.12, 4, "0.12 GB of memory are free and a task takes 0.1 GB: 1 at a time", "threads"),
    ],
)
def test_there_are_as_many_workers_as_memory_has_room_for(
    monkeypatch, capsys, free_gb, wished, said, kind
):
    monkeypatch.setattr(executors.memory, "available_bytes", lambda: int(free_gb * 1e9))
    monkeypatch.setattr(executors.threads, "cores", lambda: 4)

    @contextlib.contextmanager
    def processes(count):
        yield f"{count} processes", None

    monkeypatch.setattr(executors, "_processes", processes)
    with executors.executor("local", points=2, workers=wished, task_bytes=60_000_000) as (pool, _):
        assert str(pool).startswith(kind) if kind != "threads" else hasattr(pool, "submit")
    assert said in (found := capsys.readouterr().err) and bool(said) == bool(found)


def test_too_little_memory_for_one_task_is_said(monkeypatch):
    monkeypatch.setattr(executors.memory, "available_bytes", lambda: 10**8)
    with (
        pytest.raises(DbpError, match=r"memory: 0.1 GB are free, and .* takes 2 GB more"),
        executors.executor("local", points=1, task_bytes=2 * 10**9),
    ):
        pass


def test_workers_that_are_all_paused_are_not_waited_for(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(executors.time, "monotonic", lambda: clock[0])

    class Client:
        status = "running"

        def nthreads(self):
            return {"a": 1}

        def scheduler_info(self):
            return {"workers": {"a": {"status": "paused", "memory_limit": 4 * 10**8}}}

    at_a_time = executors._Capacity(Client(), "tcp://h:1", 48 * 10**7)
    clock[0] = 20.0
    assert at_a_time() == 2
    clock[0] = 40.0
    with pytest.raises(DbpError, match=r"paused .* limit is 0.4 GB, .* takes 0.48 GB: .*-limit"):
        at_a_time()
    Client.status = "closed"
    with pytest.raises(DbpError, match="its scheduler is gone"):
        at_a_time()


@pytest.mark.slow
def test_a_scheduler_that_goes_is_one_line_and_how_to_go_on(scheduler, tmp_path):
    address, (leader, *_) = scheduler
    DESIGN.save(tmp_path / "chip.json")
    (tmp_path / "short.toml").write_text("[link]\nspans = 1\nsteps_per_span = 1\n")
    run = subprocess.Popen(
        [sys.executable, "-m", "dbp.cli", "ber", "chip.json", "--config", "short.toml",
         "--launch-power-dbm=-1,0,1", "--out", "run", "--min-errors", "90000000",
         "--max-bits", "90000000", "--cluster", address],
        cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    wal = tmp_path / "run" / "results.sqlite-wal"
    deadline = time.monotonic() + 300
    while not (wal.exists() and wal.stat().st_size > 10_000):
        assert time.monotonic() < deadline and run.poll() is None, run.communicate()[1]
        time.sleep(0.1)
    os.killpg(leader.pid, signal.SIGKILL)
    errors = run.communicate(timeout=300)[1]
    said = [line for line in errors.splitlines() if not line.startswith("Compiling")]
    assert run.returncode == 1
    assert said[0] == "Kept in run/results.sqlite: the same command with --resume goes on"
    assert len(said) == 2 and said[1].startswith("dbp: error: ")
