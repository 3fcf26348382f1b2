"""Interrupt `dbp ber --cluster slurm` on a real Slurm of this machine, and compare what it counts.

    PYTHONPATH=tests OMP_NUM_THREADS=1 python benchmarks/slurm_trial.py

Needs root and the packages slurm-wlm and munge (`make slurm`). A local run gives the right
``ber.csv``. Then SIGINT, SIGTERM, SIGHUP and SIGKILL reach a run on Slurm, which goes on by
``--resume``; running jobs are cancelled by ``scancel``; and jobs meet a walltime of a minute. Told
are exit statuses, seconds until a signal was answered, jobs, and whether each run that ended
counted the same; what is left of jobs and processes at the end is a fault, as is a difference.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from helpers import slurm
from helpers.designs import DESIGN

CONFIG = """
[link]
spans = 2
block_symbols = 256
[evaluation]
launch_power_dbm = [-12.0, -11.0, -10.0]
min_errors = 100000000
max_bits = {bits}
"""
# Bits that a run counts at each launch power: where signals are tried, and where walltimes are.
BITS, BITS_OF_WALLTIME = 3_000_000, 160_000_000
ANSWERS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGKILL: -9}
ANSWER_S = 2.0


class Trial:
    """A folder, a Slurm, and what was found."""

    def __init__(self, folder: Path, conf: str) -> None:
        self.folder, self.faults = folder, 0
        self.started: list[subprocess.Popen] = []
        self.environment = {**os.environ, "SLURM_CONF": conf}

    def start(self, out: str, config: str, *more: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "dbp.cli", "ber", "chip.json", "--config", config]
        with (self.folder / f"{out}.log").open("a") as log:
            process = subprocess.Popen([*command, "--out", out, *more], cwd=self.folder, stdout=log,
                                       stderr=log, env=self.environment)  # fmt: skip
        self.started.append(process)
        return process

    def jobs(self, state: str = "") -> list[str]:
        asked = ["squeue", "--noheader", "--format=%A", *([f"--states={state}"] if state else [])]
        run = subprocess.run(asked, env=self.environment, capture_output=True, text=True)
        return run.stdout.split()

    def judge(self, what: str, right: bool) -> None:
        self.faults += not right
        print(f"{'right' if right else 'WRONG':6} {what}", flush=True)

    def compare(self, out: str, right: str, process: subprocess.Popen) -> None:
        """Wait for the end of a run, whose counts must be those of the local one."""
        status = process.wait(1800)
        files = [self.folder / name / "ber.csv" for name in (out, right)]
        same = status == 0 and files[0].read_bytes() == files[1].read_bytes()
        self.judge(f"{out}: exit status {status}, counts as the local run", same)

    def count_begins(self, out: str, process: subprocess.Popen) -> None:
        """Wait until results come in."""
        database = self.folder / out / "results.sqlite-wal"
        before = database.stat().st_size if database.exists() else 0
        wait_for(lambda: process.poll() is not None or (
            database.exists() and database.stat().st_size > before + 10_000))  # fmt: skip


def wait_for(what, seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing happened within {seconds:g} s")
        time.sleep(0.05)


def signals(trial: Trial) -> None:
    """Each signal once, and the same run to its end."""
    on_slurm = "--cluster", "slurm", "--workers", "2"
    for number, status in ANSWERS.items():
        name = signal.Signals(number).name
        process = trial.start(name, "small.toml", *on_slurm)
        trial.count_begins(name, process)
        begin = time.monotonic()
        process.send_signal(number)
        found, took = process.wait(60), time.monotonic() - begin
        right = found == status and (took < ANSWER_S or number == signal.SIGKILL)
        trial.judge(f"{name}: exit status {found} after {took:.2f} s", right)
        if number != signal.SIGKILL:
            wait_for(lambda: not trial.jobs(), 60)
        trial.compare(name, "local", trial.start(name, "small.toml", *on_slurm, "--resume"))


def cancelled(trial: Trial) -> None:
    """Running jobs cancelled by hand, three times in one run."""
    process = trial.start("scancel", "small.toml", "--cluster", "slurm", "--workers", "2")
    for _ in range(3):
        trial.count_begins("scancel", process)
        running = trial.jobs("RUNNING")
        if process.poll() is None and running:
            subprocess.run(["scancel", running[0]], env=trial.environment, check=True)
            print(f"       scancel {running[0]}", flush=True)
    trial.compare("scancel", "local", process)


def timed_out(trial: Trial) -> None:
    """Jobs that end at a walltime of a minute before all is counted."""
    more = "--cluster", "slurm", "--workers", "2", "--slurm", "walltime=1"
    trial.compare("walltime", "local-long", trial.start("walltime", "long.toml", *more))
    told = (trial.folder / "walltime.log").read_text().count("TIMEOUT")
    trial.judge(f"walltime: {told} times jobs that timed out were told", told > 0)


def main() -> None:
    if why := slurm.missing():
        sys.exit(why)
    prefix = {"prefix": "slurm-", "dir": "/tmp"}
    with (
        tempfile.TemporaryDirectory(**prefix) as daemons,
        tempfile.TemporaryDirectory(**prefix) as name,
        slurm.real(Path(daemons)) as conf,
        contextlib.ExitStack() as ended,
    ):
        trial = Trial(Path(name), conf)
        ended.callback(lambda: [process.terminate() for process in trial.started])
        DESIGN.save(trial.folder / "chip.json")
        for file, bits in (("small.toml", BITS), ("long.toml", BITS_OF_WALLTIME)):
            (trial.folder / file).write_text(CONFIG.format(bits=bits))
        for out, file in (("local", "small.toml"), ("local-long", "long.toml")):
            begin = time.monotonic()
            status = trial.start(out, file, "--workers", "2").wait()
            trial.judge(f"{out}: {time.monotonic() - begin:.0f} s", status == 0)
        signals(trial)
        cancelled(trial)
        timed_out(trial)
        wait_for(lambda: not trial.jobs(), 120)
        time.sleep(3)
        left = [p for p in psutil.process_iter(["cmdline"])
                if name in " ".join(p.info["cmdline"] or [])]  # fmt: skip
        trial.judge(f"{len(left)} processes left", not left)
        load = os.getloadavg()[0]
        print(f"{trial.faults} faults; load {load:.1f} at the end")
    sys.exit(trial.faults > 0)


if __name__ == "__main__":
    main()
