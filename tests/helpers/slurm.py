"""Slurm for tests: its commands as shell scripts that play it, and a real one on this machine."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")

# A queue is a file with a line for each job, ``number|state|reason``; `refuse` is what sbatch says.
_SBATCH = """#!/bin/sh
cd {folder}
echo "$@" >> calls
[ -f refuse ] && {{ cat refuse >&2; exit 1; }}
case "$*" in *--test-only*) exit 0;; esac
for last; do :; done
cp "$last" script; echo "$TMPDIR" > tmpdir
n=$(($(wc -l < submitted) + 1)); echo $n >> submitted
echo "$n|$(cat state)" >> queue; echo $n
"""
_OTHERS = {
    "squeue": "#!/bin/sh\ncat {folder}/queue\n",
    "scancel": '#!/bin/sh\necho "$@" >> {folder}/cancelled; : > {folder}/queue\n',
    "scontrol": "#!/bin/sh\necho JobId=$4 JobState=TIMEOUT Reason=TimeLimit ExitCode=0:15\n",
}


def play(folder: Path) -> None:
    """Write commands that play Slurm into ``folder``; new jobs get what its file `state` says."""
    for name in ("queue", "submitted", "calls", "cancelled"):
        (folder / name).write_text("")
    (folder / "state").write_text("PENDING|Priority")
    for name, text in {"sbatch": _SBATCH, **_OTHERS}.items():
        (folder / name).write_text(text.format(folder=folder))
        (folder / name).chmod(0o755)


def missing() -> str:
    """Why no real Slurm can be started here; empty if it can."""
    if os.geteuid():
        return "needs root"
    absent = [name for name in (*DAEMONS, "sbatch") if shutil.which(name) is None]
    return f"needs {', '.join(absent)}: apt-get install slurm-wlm munge" if absent else ""


_CONF = """ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=2,bf_interval=2
ReturnToService=2
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=8000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextlib.contextmanager
def real(folder: Path):
    """Start munge and Slurm on the loopback interface, a node of four cores; give ``SLURM_CONF``.

    ``folder``: a short path that all may enter, since sockets lie in it.
    """
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    with contextlib.ExitStack() as sockets:
        found = [sockets.enter_context(socket.socket()) for _ in range(2)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in found]
    conf = folder / "slurm.conf"
    conf.write_text(_CONF.format(folder=folder, ports=ports, host=socket.gethostname()))
    munge = [f"--{name}={folder}/munge.{end}" for name, end in (
        ("socket", "sock"), ("key-file", "key"), ("pid-file", "pid"), ("log-file", "log"),
        ("seed-file", "seed"),
    )]  # fmt: skip
    environment = {**os.environ, "SLURM_CONF": str(conf)}
    daemons = []
    try:
        # In the foreground: whoever started them can end them.
        for command in (
            ["munged", "--foreground", "--force", *munge],
            ["slurmctld", "-D", "-f", str(conf)],
            ["slurmd", "-D", "-f", str(conf)],
        ):
            daemons.append(
                subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, start_new_session=True)
            )  # fmt: skip
            time.sleep(0.5)
        _wait_for_node(environment)
        yield str(conf)
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(10)
            daemon.kill()


def _wait_for_node(environment: dict[str, str]) -> None:
    deadline = time.monotonic() + 60
    said = ""
    while "idle" not in said:
        assert time.monotonic() < deadline, f"no node: {said}"
        asked = subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True,
                               text=True)  # fmt: skip
        said = asked.stdout + asked.stderr
        time.sleep(0.3)
