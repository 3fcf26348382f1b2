"""Kill commands at random moments, and look for what should not be left.

    OMP_NUM_THREADS=1 python benchmarks/soak.py [--kills 100] [--seed 1] [--only synth,sim]

Every command runs once undisturbed, on a tiny design, which gives the right files. Then kill after
kill: one of SIGINT, SIGTERM, SIGHUP and SIGKILL reaches the command at a moment between its start
and its usual end. A second later no process and no temporary file may be left, and the answer to
all but SIGKILL must be one line on stderr, the exit status 130, 143 or 129, and come within two
seconds. Each command is killed a few times in a row in one folder and then runs to its end: all its
files must be those of the undisturbed run, times of day and durations apart.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

BEFORE_OURS = b"Fatal Python error: init_import_site"
CONFIG = """
seed = 5
[link]
spans = 2
block_symbols = 256
[baseline]
taps = 9
coefficient_bits = 6
signal_bits = 6
[learned]
taps = 7
coefficient_bits = 5
signal_bits = 6
[training]
launch_power_dbm = 3.0
symbols = 4096
validation_symbols = 2048
block_symbols = 128
curvature_symbols = 1024
start_iterations = 20
float_iterations = 2
signal_iterations = 1
tap_iterations = 2
[evaluation]
launch_power_dbm = [2.0, 4.0]
min_errors = 50
max_bits = 70000
[hardware]
lanes = 1
synthesis_lanes = 1
stimulus_symbols = 1024
pdk = "predictive28"
"""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
# Each after what it needs, in ``{run}``; ``{made}`` holds what `prepare` has made.
COMMANDS = {
    "train": "train {made}/small.toml --out {run}",
    "rtl": "rtl {made}/design --step 1 --out {run}",
    "sim": "sim {run} --simulator icarus",
    "sim-verilator": "sim {run} --simulator verilator",
    "prove": "prove {run}",
    "synth": "synth {run} --lanes 1 --step 1",
    "ber": "ber {made}/design linear --config {made}/small.toml --workers 2 --out {run}",
    "compare": "compare {made}/design --pdk predictive28 --lanes 1 2 --out {run}",
    "link": "link {made}/small.toml --symbols 4096 --output {run}/waveform.npz",
    "power": "power --netlist {made}/design/synth/predictive28/netlist.v.gz --activity "
    "{made}/design/synth/predictive28/activity.csv.gz --liberty {liberty} --clock-mhz 416.7 "
    "--out {run}",
    "report": "report {run}",
    "run": "run {made}/small.toml --out {run}",
}
# These run in a copy of a folder that holds a design and its Verilog.
IN_A_RUN = ("sim", "sim-verilator", "prove", "synth", "report")
# Kills in a row before a command runs to its end.
IN_A_ROW = 4
ANSWER_S = 2.0
# Texts that differ from run to run.
TIMES = ("wall_time_s", "build_time_s", "play_time_s", "cpu_seconds", "kept")


@dataclass
class Soak:
    """Its folders, and what it has found."""

    folder: Path
    temporary: Path
    environment: dict[str, str]
    usual_s: dict[str, float] = field(default_factory=dict)
    right: dict[str, dict[str, str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def fault(self, text: str) -> None:
        """Note what should not be, and say it at once."""
        self.faults.append(text)
        print(f"FAULT: {text}", flush=True)

    def start(self, command: str, run: Path) -> subprocess.Popen[bytes]:
        """Start a command, which writes to ``run``."""
        import dbp.synthesis.cells.kits as kits

        liberty = " ".join(map(str, kits.find("predictive28")[1]))
        words = COMMANDS[command].format(run=run, made=self.folder / "made", liberty=liberty)
        return subprocess.Popen(
            [sys.executable, "-m", "dbp.cli", *words.split()],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            # What a shell starts in the background ignores Ctrl-C, and so would what that starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def finish(self, command: str, run: Path) -> None:
        """Run a command to its end."""
        process = self.start(command, run)
        _, errors = process.communicate()
        if process.returncode:
            self.fault(f"{command}: exit status {process.returncode}: {errors.decode()}")

    def fresh(self, command: str) -> Path:
        """A folder in which a command can run."""
        run = self.folder / "runs" / command
        shutil.rmtree(run, ignore_errors=True)
        if command in IN_A_RUN:
            shutil.copytree(self.folder / "made" / "design", run)
            for made in ("synth", "sim", "proof"):
                shutil.rmtree(run / made, ignore_errors=True)
        else:
            run.mkdir(parents=True)
        return run

    def prepare(self, commands: list[str]) -> None:
        """Make what the commands read, which also compiles all, and run each undisturbed."""
        made = self.folder / "made"
        made.mkdir(parents=True)
        (made / "small.toml").write_text(CONFIG)
        for words in (
            f"train {made}/small.toml --out {made}/design",
            f"rtl {made}/design --step 1 --out {made}/design",
            f"synth {made}/design --lanes 1 --step 1",
            f"sim {made}/design --simulator icarus",
        ):
            program = [sys.executable, "-m", "dbp.cli", *words.split()]
            subprocess.run(program, env=self.environment, stdout=subprocess.DEVNULL, check=True)
        for command in commands:
            run = self.fresh(command)
            start = time.monotonic()
            self.finish(command, run)
            self.usual_s[command] = time.monotonic() - start
            self.right[command] = digests(run)
            print(
                f"{command}: {self.usual_s[command]:.1f} s, {len(self.right[command])} files",
                flush=True,
            )

    def kill(self, command: str, run: Path, number: signal.Signals, after_s: float) -> str:
        """Send a signal to a command that has run for some time; return how that ended."""
        process = self.start(command, run)
        where = f"{command}, {number.name} after {after_s:.2f} s"
        try:
            process.wait(after_s)
            process.communicate()
            return "ended before"
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        sent = time.monotonic()
        _, errors = process.communicate()
        took_s = time.monotonic() - sent
        status = process.returncode
        if number != signal.SIGKILL:
            self.slowest_s = max(self.slowest_s, took_s)
            # While the interpreter begins there is nobody to answer yet, but for itself.
            early = status == -number and (not errors or after_s < 1)
            # Python's own words for Ctrl-C that meets it before any code of ours.
            early |= status == 1 and after_s < 1 and errors.startswith(BEFORE_OURS)
            if not early and status != 128 + number and status != 0:
                self.fault(f"{where}: exit status {status}: {errors.decode()}")
            elif status == 128 + number and not 1 <= errors.decode().count("dbp: ") <= 1:
                self.fault(f"{where}: {errors.decode()!r}")
            if took_s > ANSWER_S:
                self.fault(f"{where}: answered after {took_s:.1f} s")
        self.look(where)
        return str(status)

    def look(self, where: str) -> None:
        """Note processes and temporary files that are there a second later."""
        end = time.monotonic() + 1.0
        while (left := self.left()) and time.monotonic() < end:
            time.sleep(0.05)
        if left:
            self.fault(f"{where}: left {left}")
            time.sleep(5)
            shutil.rmtree(self.temporary)
            self.temporary.mkdir()

    def left(self) -> list[str]:
        """Processes of ours, but this one, and temporary files."""
        found = [str(path) for path in self.temporary.iterdir()]
        mine = str(self.temporary).encode()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                content = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if mine in content and int(entry.name) != os.getpid():
                words = (entry / "cmdline").read_bytes() if entry.exists() else b""
                found.append(f"{entry.name} {words.replace(bytes(1), b' ').decode()[:200]}")
        return found


def digests(folder: Path) -> dict[str, str]:
    """A hash of every file, without what differs from run to run."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(_content(path)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    if path.suffix == ".json":
        return json.dumps(_without_times(json.loads(content)), sort_keys=True).encode()
    if path.suffix in (".log", ".sqlite", ".html", ".rpt"):
        return b""  # times, and what tools say of their speed
    if ".sdf" in path.name:
        return b"\n".join(line for line in content.splitlines() if b"(DATE" not in line)
    return content


def _without_times(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_times(item) for key, item in value.items() if key not in TIMES}
    return [_without_times(item) for item in value] if isinstance(value, list) else value


def main() -> int:
    """Run the soak; the exit status is 1 where it has found a fault."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(COMMANDS))
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder, temporary = Path(name), Path(name) / "temporary"
        temporary.mkdir()
        own = {"TMPDIR": str(temporary), "DBP_CACHE": f"{name}/cache"}
        soak = Soak(folder, temporary, {**os.environ, **own})
        soak.prepare(options.only)
        soak.look("undisturbed")
        endings: Counter[tuple[str, str]] = Counter()
        completed = 0
        for k in range(0, options.kills, IN_A_ROW):
            # All in turn, then by chance, those that take long the less often.
            turn = k // IN_A_ROW
            if turn < len(options.only):
                command = options.only[turn]
            else:
                weights = [1 / soak.usual_s[name] for name in options.only]
                (command,) = chance.choices(options.only, weights)
            run = soak.fresh(command)
            for _ in range(min(IN_A_ROW, options.kills - k)):
                number = chance.choice(SIGNALS)
                after_s = chance.uniform(0.05, soak.usual_s[command])
                status = soak.kill(command, run, number, after_s)
                endings[number.name, status] += 1
                print(f"{command}: {number.name} after {after_s:.2f} s: {status}", flush=True)
            soak.finish(command, run)
            completed += 1
            if (files := digests(run)) != soak.right[command]:
                names = sorted({file for file, _ in files.items() ^ soak.right[command].items()})
                soak.fault(f"{command}: other files than undisturbed: {names}")
        for (number, status), count in sorted(endings.items()):
            print(f"{number}: {status}: {count}")
        print(
            f"{sum(endings.values())} kills, {completed} repeated to their end, slowest answer "
            f"{soak.slowest_s:.2f} s, {len(soak.faults)} faults"
        )
    return bool(soak.faults)


if __name__ == "__main__":
    sys.exit(main())
