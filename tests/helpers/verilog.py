"""What Verilator and Yosys say of emitted Verilog."""

import subprocess

import pytest

from dbp.errors import MissingError
from dbp.sim.simulators import environment
from dbp.support.yosys import run_yosys, yosys_warnings


def lint(folder, top="chain"):
    """All that Verilator has to say at -Wall."""
    try:
        variables = environment("verilator")
    except MissingError as error:
        pytest.skip(str(error))
    command = ["verilator", "--lint-only", "-Wall", "--quiet", "--top-module", top]
    files = sorted(map(str, folder.glob("*.v")))
    answer = subprocess.run(
        [*command, *files], env=variables, capture_output=True, text=True, check=False, timeout=120
    )
    return (answer.stdout + answer.stderr).strip()


def check(folder, top="chain"):
    """Warnings of Yosys on reading the Verilog back; `check -assert` raises by itself."""
    script = f"read_verilog {folder}/*.v\nhierarchy -check -top {top}\nproc\ncheck -assert"
    return yosys_warnings(run_yosys(script, folder, 120))
