"""A folder has one writer at a time, and a process that is gone keeps nobody out."""

import errno
import fcntl
import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from helpers.designs import DESIGN

from dbp import cli
from dbp.errors import DbpError
from dbp.support import family, locks

HOLDER = """
import sys, time
from pathlib import Path
from dbp.support import locks
with locks.writing(Path(sys.argv[1])):
    print("holding", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_writer(folder):
    """Another process that writes to the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout.readline() == "holding\n"
            yield process
        finally:
            process.kill()


def test_a_second_writer_is_refused_in_a_line_that_names_the_first(tmp_path):
    run = tmp_path / "new" / "run"
    with another_writer(run) as process:
        for _ in range(2):
            with pytest.raises(DbpError) as error, locks.writing(run):
                pass
            line = str(error.value)
            assert f"{run}: `-c {run}` (process {process.pid} on " in line
            assert "\n" not in line and "wait for it, or choose another folder" in line
        process.kill()
        process.wait()
        # Its file is still there.
        assert (run / locks.NAME).exists()
        with locks.writing(run):
            pass
    assert list(run.iterdir()) == []


def test_blocks_of_a_process_hold_a_folder_together_and_leave_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with locks.writing(Path("a/b")):
        with locks.writing(tmp_path / "a" / "b"):
            pass
        assert (tmp_path / "a" / "b" / locks.NAME).exists()
        with locks.writing(tmp_path / "a"):
            (tmp_path / "a" / "kept").touch()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["kept"]
    assert locks._held and not any(locks._held.values())


def test_worker_processes_write_where_the_one_that_began_them_does(tmp_path, monkeypatch):
    with another_writer(tmp_path):
        holder = locks.json.loads((tmp_path / locks.NAME).read_text())
        monkeypatch.setenv(family.MARK, holder["family"])
        with locks.writing(tmp_path):
            pass
        assert (tmp_path / locks.NAME).exists()
        monkeypatch.setenv(family.MARK, "another")
        with pytest.raises(DbpError, match="writes there"), locks.writing(tmp_path):
            pass
    monkeypatch.delenv(family.MARK)


def test_a_file_system_without_locks_is_named_once(tmp_path, monkeypatch, caplog):
    def flock(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with locks.writing(tmp_path):
        pass
    assert len(caplog.messages) == 1 and "let no two commands write there" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_every_command_that_writes_to_a_run_waits_for_nobody(tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    DESIGN.save(run / "design.json")
    files = ("--netlist", "n.v", "--activity", "n.csv", "--liberty", "l.lib", "--clock-mhz", "1")
    commands = (
        ("train", "demo", "--out", run),
        ("rtl", run, "--out", run),
        ("prove", run),
        ("sim", run),
        ("synth", run),
        ("signoff", run),
        ("power", *files, "--out", run),
        ("ber", "linear", "--out", run),
        ("compare", run, "--out", run),
        ("report", run, tmp_path / "other"),
        ("run", "demo", "--out", run),
    )
    with another_writer(run):
        for words in commands:
            assert cli.main([str(word) for word in words]) == 1, words
            out, err = capsys.readouterr()
            assert out == "" and err.startswith(f"dbp: error: {run}: `-c {run}` (process ")
            assert err.count("\n") == 1
    assert {path.name for path in run.iterdir()} == {"design.json", locks.NAME}


@pytest.mark.parametrize("name", ["learned", "baseline"])
def test_a_run_keeps_others_from_its_inner_folders(name, tmp_path, capsys):
    with ExitStack() as stack:
        stack.enter_context(another_writer(tmp_path / name))
        assert cli.main(["run", "demo", "--out", str(tmp_path)]) == 1
    assert f"{tmp_path / name}: `" in capsys.readouterr().err
