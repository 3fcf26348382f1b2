"""Jobs of Slurm: said, waited for, replaced, cancelled; figures are those of this machine."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from helpers import slurm as helper
from helpers.designs import DESIGN

from dbp.errors import DbpError, InputError, MissingError
from dbp.evaluation import executors, slurm

GB = 10**9


@pytest.fixture
def played(tmp_path, monkeypatch):
    """Commands that play Slurm, and a clock that the test moves."""
    helper.play(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    clock = [1000.0]
    monkeypatch.setattr(slurm.time, "monotonic", lambda: clock[0])

    def jobs(count=1, *given, worker_bytes=GB):
        wishes = slurm.settings(given)
        return slurm.Jobs(
            wishes, count, "tcp://h:1", worker_bytes=worker_bytes, log_folder=tmp_path / "logs"
        )

    def later(jobs, seconds=10.0, workers=0):
        clock[0] += seconds
        jobs.look(workers)

    return tmp_path, jobs, later


def submitted(folder):
    return len((folder / "submitted").read_text().split())


def test_settings_of_files_and_keys_the_later_ones_first(tmp_path):
    file = tmp_path / "here.toml"
    file.write_text('\ufeff[slurm]\nqueue = "long"\ncores = 4\nprologue = ["module load python"]\n')
    found = slurm.settings([str(file), "cores=2", "walltime=1-00:00:00"])
    assert (found.queue, found.cores, found.walltime) == ("long", 2, "1-00:00:00")
    assert found.prologue == ("module load python",)
    file.write_text("cores = 3")
    assert slurm.settings(["cores=2", str(file)]).cores == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("partition=x", "KEY of queue, account, walltime, cores, memory_gb"),
        ("cores=0", "slurm.cores = '0'"),
        ("cores=many", "slurm.cores = 'many'"),
        ("memory_gb=nan", "slurm.memory_gb"),
        ("walltime=an hour", "must be like 30, 4:00:00 or 2-00:00:00"),
        ("queue=a\n#SBATCH --uid=0", "must be printable, in one line"),
        ("queue=", "slurm.queue = ''"),
        ("nothing.toml", "must be a TOML file, or KEY=VALUE"),
    ],
)
def test_wrong_settings_are_named(given, said):
    with pytest.raises(InputError, match=said):
        slurm.settings([given])


def test_a_file_with_wrong_keys_or_no_toml_is_named(tmp_path):
    file = tmp_path / "x.toml"
    for text, said in (("nodes = 3", "slurm.nodes: unknown key"), ("= 3", "cannot be read"),
                       ("slurm = 3", "must be a table")):  # fmt: skip
        file.write_text(text)
        with pytest.raises(InputError, match=said):
            slurm.settings([str(file)])


def test_without_the_commands_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="sbatch is missing"):
        executors.check("slurm")


def test_what_slurm_says_of_a_job_is_passed_on_at_once(played):
    folder, jobs, _ = played
    executors.check("slurm")
    assert submitted(folder) == 0
    (folder / "refuse").write_text("sbatch: error: invalid partition specified: x\n"
                                   "allocation failure: Invalid partition name\n")  # fmt: skip
    said = (
        r"sbatch: invalid partition specified: x; allocation failure: Invalid partition name "
        r"\(asked for queue = x, walltime = 30, cores = 2, memory_gb = "
    )
    with pytest.raises(InputError, match=said):
        executors.check("slurm", slurm.settings(["queue=x", "cores=2", "walltime=30"]))
    with pytest.raises(InputError, match=said):
        jobs(1, "queue=x", "cores=2", "walltime=30").submit_all()


def test_a_job_is_asked_for_as_the_settings_say(played):
    folder, jobs, _ = played
    jobs(2, "queue=q", "account=a", "walltime=9", "cores=3", "prologue=module load x",
         "directives=--qos=low -C fast", "local_folder=/my scratch").submit_all()  # fmt: skip
    call = (folder / "calls").read_text().splitlines()[0].split()
    assert {"--partition=q", "--account=a", "--time=9", "--cpus-per-task=3", "--qos=low", "-C",
            "fast", f"--mem={-(-3 * GB // 2**20)}M", "--no-requeue"} <= set(call)  # fmt: skip
    script = (folder / "script").read_text()
    assert "\nmodule load x\n" in script and "-p '/my scratch'" in script
    assert "tcp://h:1 --nworkers 3 --nthreads 1 --memory-limit 0" in script
    assert submitted(folder) == 2
    # Ours is gone where the job runs; Slurm would say so at the head of its log.
    assert (folder / "tmpdir").read_text() == "/tmp\n"


def test_memory_that_cannot_do_is_refused(played):
    _, jobs, _ = played
    with pytest.raises(InputError, match=r"memory_gb = 1: must be at least 2, for 2 workers"):
        jobs(1, "memory_gb=1", "cores=2")


def test_pending_jobs_are_waited_for_as_long_as_the_user_likes(played, capsys):
    folder, jobs, later = played
    waiting = jobs(2)
    waiting.submit_all()
    for _ in range(50):
        later(waiting, 3600.0)
    said = capsys.readouterr().err
    assert said.count("2 jobs pending (Priority): waiting as long as it takes") == 1
    assert submitted(folder) == 2
    limited = jobs(1, "queue_hours=2")
    limited.submit_all()
    later(limited, 7000.0)
    with pytest.raises(DbpError, match=r"no job has started within slurm.queue_hours = 2: .*Prior"):
        later(limited, 300.0)


def test_a_job_that_can_never_start_is_not_waited_for(played):
    folder, jobs, later = played
    (folder / "state").write_text("PENDING|PartitionTimeLimit")
    never = jobs(1, "walltime=9")
    never.submit_all()
    with pytest.raises(DbpError, match=r"cannot start \(PartitionTimeLimit\): .*walltime = 9"):
        later(never)


def test_jobs_that_end_are_replaced_while_tasks_do(played, capsys):
    folder, jobs, later = played
    (folder / "state").write_text("RUNNING|None")
    some = jobs(2)
    some.submit_all()
    for number in range(4):
        some.task_ended()
        lines = (folder / "queue").read_text().splitlines()
        (folder / "queue").write_text("\n".join(lines[1:]) + "\n")
        later(some, workers=1)
        assert submitted(folder) == 3 + number
    assert "job 1 (TIMEOUT, exit status 0:15) ended: replaced" in capsys.readouterr().err


def test_jobs_that_end_in_vain_are_tried_three_times(played):
    folder, jobs, later = played
    (folder / "state").write_text("RUNNING|None")
    vain = jobs(5)
    vain.submit_all()
    (folder / "logs" / "7.log").write_text("starting\nno such python\n\n")
    for count in (6, 7):
        (folder / "queue").write_text("")
        later(vain)
        # One is enough to see.
        assert submitted(folder) == count
    (folder / "queue").write_text("")
    with pytest.raises(DbpError, match=r"3 times in a row: 7 \(TIMEOUT.*7.log: no such python"):
        later(vain)


def test_a_controller_that_does_not_answer_is_borne_while_workers_count(played):
    folder, jobs, later = played
    some = jobs(1)
    some.submit_all()
    (folder / "squeue").write_text("#!/bin/sh\necho slurm_load_jobs error: no answer >&2; exit 1\n")
    later(some, 3600.0, workers=1)
    with pytest.raises(DbpError, match="squeue: slurm_load_jobs error: no answer"):
        later(some, 3600.0)


def test_all_jobs_are_cancelled_by_their_name(played):
    folder, jobs, _ = played
    some = jobs(2)
    some.submit_all()
    some.cancel()
    (called,) = (folder / "cancelled").read_text().splitlines()
    assert called in (folder / "calls").read_text().replace("--job-name", "--name")


CONFIG = """
[link]
spans = 2
block_symbols = 256
[evaluation]
launch_power_dbm = [-12.0, -11.0]
min_errors = 1000000
max_bits = 1500000
"""


@pytest.fixture(scope="module")
def conf():
    """A real Slurm."""
    if why := helper.missing():
        pytest.skip(why)
    with (
        tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as folder,
        helper.real(Path(folder)) as path,
    ):
        yield path


@pytest.mark.slow
def test_a_real_slurm_counts_the_same_also_after_a_kill_and_scancel(conf, tmp_path, request):
    (tmp_path / "small.toml").write_text(CONFIG)
    # In fixed point: to load torch would take each worker longer than to count.
    DESIGN.save(tmp_path / "chip.json")
    environment = {**os.environ, "SLURM_CONF": conf}

    def start(out, *more):
        command = [sys.executable, "-m", "dbp.cli", "ber", "chip.json", "--config", "small.toml"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command += ["--out", out, *more]
        started.append(subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes))
        return started[-1]

    def end():
        for process in started:
            process.kill()
            process.communicate()

    started = []
    request.addfinalizer(end)

    def queue():
        asked = ["squeue", "--noheader", "--format=%A"]
        run = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True)
        return run.stdout.split()

    def wait_for(what):
        deadline = time.monotonic() + 300
        while not what():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    refused = start("refused", "--cluster", "slurm", "--slurm", "queue=nowhere")
    assert "invalid partition specified: nowhere" in refused.communicate(timeout=300)[1]
    assert refused.returncode == 2
    local = start("local", "--workers", "1")
    said = local.communicate(timeout=300)[1]
    assert local.returncode == 0, said
    first = start("slurm", "--cluster", "slurm", "--workers", "2")
    database = tmp_path / "slurm" / "results.sqlite-wal"
    wait_for(lambda: database.exists() and database.stat().st_size > 10_000)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    left = queue()
    again = start("slurm", "--cluster", "slurm", "--workers", "1", "--resume")
    wait_for(lambda: set(queue()) - set(left) or again.poll() is not None)
    subprocess.run(["scancel", *queue()], env=environment, check=True)
    said = again.communicate(timeout=300)[1]
    assert again.returncode == 0, said
    assert (tmp_path / "slurm" / "ber.csv").read_bytes() == (
        tmp_path / "local" / "ber.csv"
    ).read_bytes()
    wait_for(lambda: not queue())
    logs = [log.read_text() for log in (tmp_path / "slurm" / "slurm").glob("*.log")]
    assert logs and not any("TMPDIR" in log for log in logs)
