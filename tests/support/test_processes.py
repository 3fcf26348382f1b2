"""Child processes: limits, what they have started ends with them, errors that say what to do."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dbp.errors import InputError, MissingError, ToolError
from dbp.support import processes

ROOT = Path(__file__).parents[2]
# Starts a program that outlives a shell which is killed alone, and writes its number.
STARTS_ANOTHER = "sleep 60 & echo $! > started; wait"


def wait_for(condition):
    for _ in range(600):
        if condition():
            return True
        time.sleep(0.05)
    return False


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Killed, but nobody has asked for its exit status yet.
    return ") Z " not in Path(f"/proc/{pid}/stat").read_text()


def started(folder):
    """The number of the process that `STARTS_ANOTHER` has started."""
    file = folder / "started"
    assert wait_for(lambda: file.exists() and file.read_text().endswith("\n"))
    return int(file.read_text())


def test_a_missing_tool_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingError, match="sta is missing: install it with `apt-get install"):
        processes.require("sta")


def test_a_failed_tool_shows_its_last_words_and_its_log(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "PACKAGES", {"sh": "dash"})
    with pytest.raises(ToolError, match=r"sh failed: one \| two; log: .*x\.log"):
        processes.run(["sh", "-c", "echo one; echo two; exit 3"], tmp_path, "x.log", 10)
    with pytest.raises(ToolError, match="sh failed: Error: no such cell"):
        processes.run(
            ["sh", "-c", "echo Error: no such cell; echo on it goes"], tmp_path, "x.log", 10
        )
    with pytest.raises(ToolError, match=r"sh took longer than 0\.2 s"):
        processes.run(["sh", "-c", "sleep 30"], tmp_path, "x.log", 0.2)
    assert processes.run(["sh", "-c", "echo well"], tmp_path, "x.log", 10) == "well\n"


def test_a_version_that_never_comes_is_a_failed_tool(monkeypatch):
    monkeypatch.setattr(processes, "_VERSION_TIMEOUT_S", 0.2)
    with pytest.raises(ToolError, match=r"sleep 30 took longer than 0\.2 s"):
        processes.version(["sleep", "30"])


@pytest.mark.parametrize("name", ["", "a b", "x;exit", "[exec ls]", "$x", "a\nb", "-x", "../x"])
def test_names_in_scripts_are_checked(name):
    with pytest.raises(InputError, match="letters, digits"):
        processes.checked_name(name, "name")


def test_output_and_status_of_a_process_are_captured(tmp_path):
    command = ["sh", "-c", "echo out; echo err >&2; pwd; echo $WORD; exit 3"]
    ended = processes.capture(command, 10, folder=tmp_path, variables={"WORD": "word"})
    assert ended == (3, f"out\n{tmp_path}\nword\n".encode(), b"err\n")
    merged = processes.capture(command, 10, folder=tmp_path, merged=True)
    assert merged.stdout.startswith(b"out\nerr\n") and merged.stderr == b""


def test_children_get_a_clean_environment(monkeypatch, tmp_path):
    for name in (
        *("COCOTB_TESTCASE", "COCOTB_TEST_FILTER", "GPI_EXTRA", "GPI_LOG_LEVEL", "TOPLEVEL"),
        *("MAKEFLAGS", "MAKEFILES", "VERILATOR_ROOT", "CXX", "CXXFLAGS", "CPATH", "LD_PRELOAD_"),
        *("YOSYS_DATDIR", "ABC", "TCLLIBPATH", "TCL_LIBRARY", "IVERILOG_VPI_MODULE_PATH"),
        *("PYTHONHOME", "PYTHONSTARTUP", "PYTHONOPTIMIZE", "PERL5OPT", "BASH_ENV", "LANG"),
        *("PYTEST_CURRENT_TEST", "MY_OWN"),
    ):
        monkeypatch.setenv(name, "/no/where")
    # A folder of the user's is left out; one that holds what our programs need stays.
    (tmp_path / "needed" / "cocotb").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    folders = os.pathsep.join(str(tmp_path / name) for name in ("other", "needed"))
    monkeypatch.setenv("PYTHONPATH", folders)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/sta/lib")
    ended = processes.capture(["env"], 10)
    found = dict(line.split("=", 1) for line in ended.stdout.decode().splitlines())
    assert set(found) <= {
        *("PATH", "HOME", "USER", "LOGNAME", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "PYTHONPATH"),
        *("LC_ALL", "TMPDIR", "DBP_FAMILY"),
    }
    assert found["PYTHONPATH"] == str(tmp_path / "needed")
    assert found["LC_ALL"] == "C.UTF-8" and found["LD_LIBRARY_PATH"] == "/opt/sta/lib"
    shutil.rmtree(tmp_path / "needed")
    assert processes.environment().keys() <= found.keys() - {"PYTHONPATH"}


def test_an_error_names_the_disk_that_is_full(monkeypatch, tmp_path):
    class Room:
        f_bavail, f_frsize = 3, 4096

    assert processes.full(tmp_path) == ""
    monkeypatch.setattr(processes, "PACKAGES", {"sh": "dash"})
    said = "x.o: No space left on device"
    with pytest.raises(ToolError, match=f"make: Error 1 .*; as: {said}; log: "):
        command = f"echo 'as: {said}'; seq 5; echo make: Error 1; echo; echo end; exit 2"
        processes.run(["sh", "-c", command], tmp_path, "x.log", 10)
    monkeypatch.setattr(os, "statvfs", lambda folder: Room)
    with pytest.raises(ToolError, match=f"no space is left on the disk of {tmp_path}/x.log"):
        processes.run(["sh", "-c", "exit 3"], tmp_path, "x.log", 10)


def test_a_process_that_takes_too_long_ends_with_what_it_has_started(tmp_path):
    for call in (
        lambda: processes.capture(["sh", "-c", STARTS_ANOTHER], 0.3, folder=tmp_path),
        lambda: processes.run(["sh", "-c", STARTS_ANOTHER], tmp_path, "log", 0.3),
    ):
        with pytest.raises(ToolError, match=r"took longer than 0\.3 s and was ended"):
            call()
        pid = started(tmp_path)
        assert wait_for(lambda pid=pid: not is_running(pid))
        (tmp_path / "started").unlink()


@pytest.mark.parametrize("status", [0, 3])
def test_what_a_child_has_left_behind_ends_with_it(tmp_path, status):
    command = ["sh", "-c", f"sleep 60 >/dev/null 2>&1 & echo $! > started; exit {status}"]
    for call in (
        lambda: processes.capture(command, 30, folder=tmp_path).status,
        lambda: processes.run_logged(command, tmp_path / "log", 30, folder=tmp_path),
    ):
        assert call() == status
        pid = started(tmp_path)
        assert wait_for(lambda pid=pid: not is_running(pid))
        (tmp_path / "started").unlink()


def test_an_interrupt_ends_what_a_child_has_started(tmp_path):
    program = f"""
from pathlib import Path
from dbp.support import processes
command = ["sh", "-c", {STARTS_ANOTHER!r}]
processes.run_logged(command, Path("log"), 60, poll=Path("waiting").touch)
"""
    parent = subprocess.Popen(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, stderr=subprocess.PIPE
    )
    pid = started(tmp_path)
    # Before, the parent may not know yet that there is a child.
    assert wait_for((tmp_path / "waiting").exists)
    parent.send_signal(signal.SIGINT)
    _, errors = parent.communicate(timeout=30)
    assert b"KeyboardInterrupt" in errors
    assert wait_for(lambda: not is_running(pid))


def test_a_caller_may_look_at_a_child_while_it_runs(tmp_path):
    calls = []
    status = processes.run_logged(
        ["sh", "-c", "echo working; sleep 1.2; exit 4"],
        tmp_path / "log",
        10,
        poll=lambda: calls.append((tmp_path / "log").read_text()),
    )
    assert status == 4
    assert len(calls) >= 2 and set(calls) == {"working\n"}


def test_memory_is_limited_on_top_of_what_a_process_has():
    program = "from dbp.support import processes; processes.limit_memory(1 << 26); "
    for size, status in ((1 << 20, 0), (1 << 28, 1)):
        command = [sys.executable, "-P", "-c", f"{program} bytearray({size})"]
        ended = processes.capture(command, 60)
        assert ended.status == status
        assert (b"MemoryError" in ended.stderr) is bool(status)


def test_one_module_starts_child_processes():
    files = [
        file for top in ("dbp", "rtl", "sim", "synthesis") for file in (ROOT / top).rglob("*.py")
    ]
    assert len(files) > 100
    users = {file.name for file in files if "subprocess" in file.read_text(encoding="utf-8")}
    assert users == {"processes.py"}
