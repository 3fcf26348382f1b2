"""Whatever ends a program, all that it has started and all its temporary files end with it."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from dbp.support import family, guardian, processes, signals

# What the programs below have in common. The tool starts one of its own, as make does, in a session
# of its own, as nothing that only kills groups would find.
BEGIN = """
import hashlib, logging, subprocess, sys, threading, time
from pathlib import Path
from dbp.support import family, processes, signals, worker_processes

TOOL = "setsid sleep 60 & setsid sleep 60 & touch $0; sleep 60"

def tool(started):
    with family.temporary_folder("dbp-test-") as folder:
        (folder / "file").write_text("text")
        processes.run_logged(["sh", "-c", TOOL, started], folder / "log", 60)

def worker():
    with worker_processes.pool(1) as pool:
        pool.submit(tool, sys.argv[1]).result()

def deaf():
    # Compiled code that lets other threads run, but does not come back for long.
    Path(sys.argv[1]).touch()
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 100_000_000)

def locked():
    # A signal that comes while a lock is taken may leave it so, and whoever logs waits for ever.
    logging._lock.acquire()
    sys.stdout.buffer.write(b"text")
    Path(sys.argv[1]).touch()
    try:
        time.sleep(60)
    finally:
        threading.Thread(target=logging.getLogger("other").error, args=("text",)).start()
        time.sleep(60)

def program(action):
    try:
        with signals.raised(is_program=True), family.exported():
            action()
    except signals.Stopped as stopped:
        signals.say(stopped)
        sys.exit(stopped.status)
"""
TOOL = BEGIN + "if __name__ == '__main__': program(lambda: tool(sys.argv[1]))"
WORKER = BEGIN + "if __name__ == '__main__': program(worker)"
DEAF = BEGIN + "if __name__ == '__main__': program(deaf)"
LOCKED = BEGIN + "if __name__ == '__main__': program(locked)"
LIBRARY = BEGIN + "if __name__ == '__main__': tool(sys.argv[1])"


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def left(folder):
    """Processes and files that belong to a temporary folder."""
    found = list(folder.iterdir())
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in text:
            found.append(text.split(b"\0")[:3])
    return found


@pytest.fixture
def start(tmp_path):
    """Start a program and wait for its tool."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    processes_of_test = []

    def start_(text, *before):
        (tmp_path / "program.py").write_text(text)
        process = subprocess.Popen(
            [*before, sys.executable, "program.py", "started"],
            cwd=tmp_path,
            env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(Path.cwd())},
            stderr=subprocess.PIPE,
        )
        processes_of_test.append(process)
        assert wait_for((tmp_path / "started").exists)
        return process, temporary

    yield start_
    for process in processes_of_test:
        process.kill()
        process.communicate()


# Compiled code, tools and worker processes, and a lock that the signal has left taken.
ENDED = [(text, number) for text in (TOOL, WORKER, DEAF) for number in signals.WORDS]


@pytest.mark.parametrize(("text", "number"), [*ENDED, (LOCKED, signal.SIGTERM)])
def test_a_signal_ends_the_whole_family_within_two_seconds(text, number, start):
    process, temporary = start(text)
    assert left(temporary)
    sent = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    # On a machine that does nothing else: 2.
    assert time.monotonic() - sent < 5
    words = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
    assert errors.decode() == f"dbp: error: {words}\n"
    assert process.returncode == 128 + number
    assert left(temporary) == []


@pytest.mark.parametrize("text", [TOOL, WORKER, LIBRARY], ids=["tool", "worker", "library"])
def test_what_a_killed_process_has_started_ends_by_itself(text, start):
    process, temporary = start(text)
    process.kill()
    assert wait_for(lambda: not left(temporary))


def test_a_signal_that_is_ignored_stays_so(start):
    process, temporary = start(TOOL, "nohup")
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.terminate()
    assert process.wait(20) == 143
    assert left(temporary) == []


def test_folders_of_families_that_are_gone_are_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone, locked, foreign = (tmp_path / name for name in ("dbp-run-1", "dbp-run-2", "other-1"))
    for folder in (gone, locked, foreign):
        folder.mkdir()
    descriptor = os.open(locked, os.O_RDONLY)
    assert family._lock(descriptor)
    family._sweep(tmp_path)
    # So young a folder may be that of a process that is about to lock it.
    assert gone.exists()
    monkeypatch.setattr(family, "_SWEEP_AFTER_S", -1.0)
    family._sweep(tmp_path)
    os.close(descriptor)
    assert sorted(tmp_path.iterdir()) == [locked, foreign]


def test_a_block_that_ends_well_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with family.exported():
        child = subprocess.Popen(["sleep", "60"])
        inside = Path(tempfile.gettempdir())
        assert inside.parent == tmp_path
        (inside / "file").touch()
        with family.held() as variables:
            assert variables["TMPDIR"] == str(inside) == os.environ["TMPDIR"]
            assert variables[family.MARK] == family.token() == os.environ[family.MARK]
        mark = f"{family.MARK}={os.environ[family.MARK]}"
        assert wait_for(lambda: guardian.marked(mark) == {child.pid})
        assert not family.is_member()
    assert child.wait(5) == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == [] and os.environ["TMPDIR"] == str(tmp_path)
    assert family.MARK not in os.environ and family.token() == ""
    assert processes.capture(["true"], 10).status == 0


def test_a_library_leaves_nothing_between_two_calls(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for _ in range(2):
        with family.temporary_folder("dbp-test-") as folder:
            assert folder.parent.parent == tmp_path
            assert processes.capture(["sh", "-c", "echo $TMPDIR"], 10).stdout.strip()
            assert folder.is_dir()
        assert list(tmp_path.iterdir()) == []
    out = processes.capture(["sh", "-c", "echo $TMPDIR"], 10).stdout.decode().strip()
    assert Path(out).parent == tmp_path and list(tmp_path.iterdir()) == []
