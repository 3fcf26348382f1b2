"""Jobs of a Slurm cluster whose processes count for an evaluation, kept at a number while it lasts.

Each job runs Dask workers that connect to the scheduler in the process that counts. `Jobs` submits
them by ``sbatch``, looks after them by ``squeue``, replaces those that end (cancelled, out of time,
a node that failed) and cancels all of them by ``scancel``. A job whose scheduler is gone ends by
itself after a minute.

Why not dask-jobqueue: it takes a refused submission for a worker that is late, so what Slurm said
arrives after a minute in a traceback; it does not know that a job waits in the queue, nor replaces
one that ends; and it changes the handling of Ctrl-C. What is left of it is a script of ten lines.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from tqdm import tqdm

from dbp.errors import DbpError, InputError, MissingError, shown
from dbp.support import family, processes
from dbp.support.files import is_file
from dbp.support.text import did_you_mean

# A controller under load answers late; it says itself when it cannot be reached.
_COMMAND_TIMEOUT_S = 100.0
_LOOK_S = 5.0
# So often in a row may jobs end before any task has ended.
_MOST_FRUITLESS = 3
# So long may Slurm not answer while no worker is there.
_SILENCE_S = 600.0
_WORKER_DEATH_S = 60
_LOG_BYTES = 4000
_GB = 10**9
# Reasons of Slurm that no waiting changes.
_NEVER = re.compile(
    r"^(Partition(Config|NodeLimit|TimeLimit)|BadConstraints|InvalidAccount|InvalidQOS)$|PerJob"
)
_ENDING = {"COMPLETING", "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "PREEMPTED"}


def _line(value: object) -> object:
    """Refuse what would be more than one line of a job's script."""
    if isinstance(value, str) and not value.isprintable():
        raise ValueError("must be printable, in one line")
    return value


def _lines(value: object) -> object:
    return (value,) if isinstance(value, str) else value


_Line = Annotated[str, Field(min_length=1), BeforeValidator(_line)]


class Settings(BaseModel):
    """How the jobs are asked for; the keys of a file for ``--slurm``, all optional.

    ``queue``: Slurm's partition. ``account``: who pays. ``walltime``: of a job, as Slurm writes it
    (``4:00:00``). ``cores``, ``memory_gb``: of a job; a worker process runs on each core, and
    without ``memory_gb`` a job gets what its workers need. ``log_folder``: of the jobs' output,
    else ``slurm`` in the run's folder. ``prologue``: lines of bash before the workers start.
    ``directives``: further options of ``sbatch``. ``python``: the interpreter with our package on
    the nodes. ``local_folder``: on the nodes, for what Dask writes (default: ``$TMPDIR``).
    ``host``: the address of this machine at which the nodes reach it. ``dashboard``: HOST:PORT
    where Dask's dashboard listens (default: loopback, any free port). ``queue_hours``: how long to
    wait while no job has started (default: as long as they are pending).

    What is not given is left to Slurm's defaults.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    queue: _Line | None = None
    account: _Line | None = None
    walltime: Annotated[str, Field(pattern=r"^[0-9]+([-:][0-9]+)*$|^UNLIMITED$")] | None = None
    cores: int = Field(1, ge=1, le=1024)
    memory_gb: float | None = Field(None, gt=0, le=100_000)
    log_folder: _Line | None = None
    prologue: Annotated[tuple[_Line, ...], BeforeValidator(_lines)] = ()
    directives: Annotated[tuple[_Line, ...], BeforeValidator(_lines)] = ()
    python: _Line = sys.executable
    local_folder: _Line | None = None
    host: _Line | None = None
    dashboard: _Line | None = None
    queue_hours: float | None = Field(None, ge=0)


KEYS = tuple(Settings.model_fields)


def settings(given: Sequence[str]) -> Settings:
    """Return the settings of ``--slurm``: TOML files and ``KEY=VALUE``, the later ones first.

    Raises `InputError` that names a wrong key, its value and what is allowed.
    """
    content: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if equals and key.strip() in KEYS:
            content[key.strip()] = value.strip()
        elif is_file(text):
            content |= _read(Path(text))
        else:
            raise InputError(
                f"slurm {shown(text)}: must be a TOML file, or KEY=VALUE with a KEY of "
                f"{', '.join(KEYS)}{did_you_mean(key, KEYS)}"
            )
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        raise InputError("; ".join(_explain(problem) for problem in error.errors())) from None


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as TOML: {error}") from None
    # Other programs of the user may have tables of their own in the file.
    table = content.get("slurm", content)
    if not isinstance(table, dict):
        raise InputError(f"{path}: slurm = {shown(table)}: must be a table")
    return table


def _explain(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"slurm.{key}: unknown key; the keys are {', '.join(KEYS)}{did_you_mean(key, KEYS)}"
    if problem["loc"][0] == "walltime":
        return f"slurm.walltime = {shown(problem['input'])}: must be like 30, 4:00:00 or 2-00:00:00"
    return (
        f"slurm.{key} = {shown(problem['input'])}: {problem['msg'].removeprefix('Value error, ')}"
    )


def require() -> None:
    """Raise `MissingError` where Slurm's commands are missing."""
    for program in ("sbatch", "squeue", "scancel"):
        if shutil.which(program) is None:
            raise MissingError(
                f"cluster 'slurm': {program} is missing: must run where jobs are submitted, with "
                "Slurm's commands in PATH"
            )


def check(wishes: Settings, worker_bytes: int) -> None:
    """Ask Slurm whether it would take such a job; `InputError` with what it says where not."""
    require()
    jobs = Jobs(wishes, 1, "tcp://0.0.0.0:1", worker_bytes=worker_bytes, log_folder=Path())
    try:
        jobs.try_out()
    except _Refused as error:
        # Nodes that have no room at the moment are no reason.
        if "busy" not in str(error):
            raise jobs.refused(error) from None


class _Refused(DbpError):
    """What Slurm said instead of doing as it was asked."""


class _State(NamedTuple):
    """The state of a job, such as PENDING, and the reason that Slurm gives."""

    state: str
    reason: str


class Jobs:
    """``count`` jobs with workers for the scheduler at ``address``.

    ``worker_bytes``: memory that a worker needs. ``log_folder``: where the settings name none.
    """

    def __init__(
        self,
        wishes: Settings,
        count: int,
        address: str,
        *,
        worker_bytes: int,
        log_folder: Path,
    ) -> None:
        self._wishes, self._count, self._address = wishes, count, address
        self._bytes = wishes.cores * worker_bytes
        if wishes.memory_gb is not None:
            self._check_memory(wishes.memory_gb)
            self._bytes = int(wishes.memory_gb * _GB)
        self._logs = Path(wishes.log_folder or log_folder).absolute()
        # Found by it are also jobs of which an interrupt took the number.
        self._name = f"dbp-{secrets.token_hex(4)}"
        self._live: dict[str, _State] = {}
        self._tasks = 0
        self._tasks_at_end = 0
        self._fruitless = 0
        now = time.monotonic()
        self._looked = self._answered = self._moved = now
        self._said = ""

    def _check_memory(self, memory_gb: float) -> None:
        if memory_gb * _GB < self._bytes:
            raise InputError(
                f"slurm.memory_gb = {memory_gb:g}: must be at least {self._bytes / _GB:.2g}, for "
                f"{self._wishes.cores} workers (slurm.cores)"
            )

    def submit_all(self) -> None:
        """Submit the jobs; `InputError` with what Slurm said where it takes none."""
        self._logs.mkdir(parents=True, exist_ok=True)
        try:
            self._submit()
        except _Refused as error:
            raise self.refused(error) from None
        self._fill()
        _say(f"Slurm: {_jobs(len(self._live))} submitted ({', '.join(self._live)})")

    def try_out(self) -> None:
        """Let Slurm judge a job without submitting it; `_Refused` where it would not take it."""
        self._sbatch("--test-only")

    def refused(self, error: object) -> InputError:
        """Return the error for what Slurm said, with what it was asked for."""
        return InputError(
            f"cluster 'slurm': sbatch: {error} (asked for {self._asked()}; --slurm KEY=VALUE)"
        )

    def _asked(self) -> str:
        wishes = self._wishes
        asked = {
            "queue": wishes.queue,
            "account": wishes.account,
            "walltime": wishes.walltime,
            "cores": wishes.cores,
            "memory_gb": f"{self._bytes / _GB:.3g}",
            "directives": " ".join(wishes.directives),
        }
        return ", ".join(f"{key} = {value}" for key, value in asked.items() if value)

    def task_ended(self) -> None:
        """Take note that a worker has ended a task."""
        self._tasks += 1

    def look(self, workers: int) -> None:
        """Replace jobs that have ended, and say what the others wait for.

        ``workers``: how many are connected. To be called every few seconds while there is work.
        Raises `DbpError` where jobs end again and again before any task has, where none has started
        within ``queue_hours``, or where Slurm does not answer and no worker is left.
        """
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        try:
            listed = self._listed()
        except _Refused as error:
            # A controller that restarts is no reason to give up: workers count on.
            if not workers and now - self._answered > _SILENCE_S:
                raise DbpError(f"cluster 'slurm': squeue: {error}") from None
            return
        self._answered = now
        ended = [job for job in self._live if job not in listed]
        self._live = listed
        if ended:
            self._note(ended)
        self._fill()
        self._wait(workers)

    def cancel(self) -> None:
        """Cancel all jobs, pending and running."""
        try:
            _slurm("scancel", f"--name={self._name}")
        except DbpError as error:
            _say(f"Slurm: scancel --name={self._name}: {error}: jobs may be left")

    def _submit(self) -> None:
        text = self._sbatch()
        job = text.strip().split(";")[0]
        if not job.isdigit():
            raise _Refused(f"no number of a job: {shown(text)}")
        self._live[job] = _State("PENDING", "")

    def _sbatch(self, *more: str) -> str:
        wishes = self._wishes
        options = [
            *more,
            "--parsable",
            f"--job-name={self._name}",
            "--ntasks=1",
            f"--cpus-per-task={wishes.cores}",
            f"--mem={-(-self._bytes // (1 << 20))}M",
            f"--output={self._logs}/%j.log",
            # One that is put back into the queue would come back beside the one that replaces it.
            "--no-requeue",
        ]
        for option, value in (
            ("partition", wishes.queue),
            ("account", wishes.account),
            ("time", wishes.walltime),
        ):
            if value is not None:
                options.append(f"--{option}={value}")
        for directive in wishes.directives:
            options += shlex.split(directive.removeprefix("#SBATCH"))
        with tempfile.NamedTemporaryFile("w", prefix="dbp-slurm-", suffix=".sh") as file:
            file.write(self._script())
            file.flush()
            return _slurm("sbatch", *options, file.name)

    def _script(self) -> str:
        wishes = self._wishes
        worker = [
            *(wishes.python, "-m", "distributed.cli.dask_worker", self._address),
            *("--nworkers", str(wishes.cores), "--nthreads", "1"),
            # Slurm guards the memory; Dask would stop a worker at 80 % of it, and wait.
            *("--memory-limit", "0"),
            *("--no-dashboard", "--dashboard-address", "127.0.0.1:0"),
            *("--death-timeout", str(_WORKER_DEATH_S), "--preload", "dbp.evaluation.executors"),
        ]
        local = shlex.quote(wishes.local_folder) if wishes.local_folder else '"${TMPDIR:-/tmp}"'
        return "\n".join(
            (
                "#!/usr/bin/env bash",
                f"unset {family.MARK}",
                "export OMP_NUM_THREADS=1",
                *wishes.prologue,
                f"folder=$(mktemp -d -p {local} dbp-dask-XXXXXX) || exit 1",
                "trap 'rm -rf \"$folder\"' EXIT",
                f'{shlex.join(worker)} --name "dbp-$SLURM_JOB_ID" --local-directory "$folder"',
                "",
            )
        )

    def _fill(self) -> None:
        """Submit jobs until there are as many as asked for; one only, after one in vain."""
        count = 1 if self._fruitless else self._count
        try:
            while len(self._live) < count:
                self._submit()
        except _Refused as error:
            # Others run or wait, or the next look tries again.
            self._say_once(f"Slurm: {len(self._live)} of {_jobs(count)}, no more: {error}")

    def _listed(self) -> dict[str, _State]:
        """The jobs that are pending or running."""
        text = _slurm("squeue", "--noheader", f"--name={self._name}", "--format=%A|%T|%r")
        rows = (line.strip().split("|", 2) for line in text.splitlines() if line.count("|") >= 2)
        return {job: _State(state, why) for job, state, why in rows if state not in _ENDING}

    def _note(self, ended: Sequence[str]) -> None:
        """Say why jobs have ended; raise `DbpError` where they do so in vain."""
        self._fruitless = 0 if self._tasks > self._tasks_at_end else self._fruitless + 1
        self._tasks_at_end = self._tasks
        reasons = {job: self._why(job) for job in ended[:4]}
        listed = ", ".join(f"{job} ({why})" for job, why in reasons.items())
        more = f" and {len(ended) - 4} more" if len(ended) > 4 else ""
        if self._fruitless >= _MOST_FRUITLESS:
            job = ended[-1]
            log = self._logs / f"{job}.log"
            raise DbpError(
                f"cluster 'slurm': jobs end before a task has, {_MOST_FRUITLESS} times in a row: "
                f"{listed}{more}; longer: --slurm walltime=...; {log}: {_last_words(log)}"
            )
        _say(f"Slurm: job {listed}{more} ended: replaced")

    @staticmethod
    def _why(job: str) -> str:
        try:
            text = _slurm("scontrol", "--oneliner", "show", "job", job)
        except DbpError:
            return "unknown to Slurm"
        state = re.search(r"\bJobState=(\w+)", text)
        status = re.search(r"\bExitCode=(\d+:\d+)", text)
        words = [found[1] for found in (state,) if found]
        if status and status[1] != "0:0":
            words.append(f"exit status {status[1]}")
        return ", ".join(words) or "unknown"

    def _wait(self, workers: int) -> None:
        """Say what pending jobs wait for while no worker is there, up to the user's limit."""
        now = time.monotonic()
        pending = [job for job in self._live.values() if job.state == "PENDING"]
        if workers or len(pending) < len(self._live) or not pending:
            self._moved = now
            self._said = ""
            return
        reasons = sorted({job.reason for job in pending if job.reason not in ("", "None")})
        why = f" ({', '.join(reasons)})" if reasons else ""
        never = [reason for reason in reasons if _NEVER.search(reason)]
        if len(never) == len(reasons) and never:
            raise DbpError(
                f"cluster 'slurm': {_jobs(len(pending))} pending that cannot start "
                f"({', '.join(never)}): asked for {self._asked()}; --slurm KEY=VALUE"
            )
        limit = self._wishes.queue_hours
        if limit is not None and now - self._moved > 3600 * limit:
            raise DbpError(
                f"cluster 'slurm': no job has started within slurm.queue_hours = {limit:g}: "
                f"{_jobs(len(pending))} pending{why}"
            )
        if not reasons and now - self._moved < 3 * _LOOK_S:
            return
        until = "as long as it takes" if limit is None else f"up to {limit:g} h"
        self._say_once(
            f"Slurm: {_jobs(len(pending))} pending{why}: waiting {until} (--slurm queue_hours=...)"
        )

    def _say_once(self, text: str) -> None:
        if text != self._said:
            _say(text)
        self._said = text


def _slurm(*command: str) -> str:
    """Run a command of Slurm and return what it prints; `_Refused` with its error in one line."""
    try:
        ended = processes.capture(command, _COMMAND_TIMEOUT_S, variables=_environment())
    except processes.TimedOutError as error:
        raise _Refused(f"{command[0]} {error}") from None
    except OSError as error:
        raise _Refused(f"{command[0]}: {error.strerror}") from None
    if ended.status:
        said = ended.stderr.decode(errors="replace").splitlines()
        words = [re.sub(rf"^({command[0]}: )?(error: )?", "", line).strip() for line in said]
        raise _Refused("; ".join(filter(None, words)) or f"exit status {ended.status}")
    return ended.stdout.decode(errors="replace")


def _jobs(count: int) -> str:
    return f"{count} job" if count == 1 else f"{count} jobs"


def _environment() -> dict[str, str]:
    """The user's environment, which Slurm hands on to jobs, without what makes one of our family.

    So neither jobs on this machine nor a ``scancel`` under way end with this process. TMPDIR is
    what Slurm sets where it gets none: of an empty name every job's log would tell as an error.
    """
    return dict(os.environ) | {family.MARK: "", "TMPDIR": "/tmp"}


def _last_words(log: Path) -> str:
    """The last line of a job's log that says something."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return "no such log here (are the folders of the nodes others?)"
    return next((line.strip() for line in reversed(lines) if line.strip()), "empty")


def _say(text: str) -> None:
    # Above a progress bar, if there is one.
    tqdm.write(text, file=sys.stderr)
