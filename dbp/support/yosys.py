"""Run Yosys scripts in a child process, through the `pyosys` wheel.

A crash, a fatal Yosys error or a time limit ends the child only.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from typing import Any

from dbp.errors import MissingError, ToolError
from dbp.support import family, processes
from dbp.support.files import write_text

_CHILD = "import sys; from pyosys import libyosys; libyosys.run_pass('script ' + sys.argv[1])"


def run_yosys(script: str, cwd: str | Path, timeout_s: float) -> str:
    """Run a Yosys script, one command a line, in the folder ``cwd`` and return the log.

    Files in the script are named relative to ``cwd``. The log holds the warnings too, as lines
    ``Warning: ...``. `ToolError` if Yosys is missing, fails (with its last error line) or takes
    longer than ``timeout_s`` seconds; then the child is killed with what it has started (ABC).

    A script with the command ``abc`` needs a folder of `shell_safe_folder`: Yosys puts the paths of
    its files, ``cwd`` included, into a shell command as they are.
    """
    if util.find_spec("pyosys") is None:
        raise MissingError("Yosys is missing: install it with `pip install pyosys`")
    with shell_safe_folder("dbp-yosys-") as folder:
        # Not in ``cwd``, since Yosys splits its commands at blanks.
        write_text(folder / "script.ys", script.rstrip("\n") + "\n")
        try:
            ended = processes.capture(
                # -P: a file of the working folder must not shadow a Python module.
                [sys.executable, "-P", "-c", _CHILD, f"{folder}/script.ys"],
                timeout_s,
                folder=Path(cwd),
                # Where Yosys and ABC leave files, which would lie among those of all otherwise.
                variables={"TMPDIR": str(folder)},
                merged=True,
            )
        except processes.TimedOutError as error:
            raise ToolError(f"Yosys {error}") from None
    log = ended.stdout.decode(errors="replace")
    if ended.status != 0:
        errors = [line for line in log.splitlines() if "ERROR" in line] or log.splitlines()[-1:]
        raise ToolError(f"Yosys failed: {errors[-1].strip() if errors else 'no output'}")
    return log


@contextmanager
def shell_safe_folder(prefix: str) -> Iterator[Path]:
    """Make a folder, for the block, whose path a shell, Tcl and Yosys read as it is written.

    `ToolError` where the system's folder for temporary files has no such path.
    """
    with family.temporary_folder(prefix) as folder:
        if re.search(r"[^A-Za-z0-9_./+-]", str(folder)):
            raise ToolError(
                f"temporary files would lie in {str(folder)!r}: TMPDIR must be a path of letters, "
                "digits and _ . / + - only, since Yosys gives it to a shell"
            )
        yield folder


def written_verilog(path: Path) -> str:
    """Return the Verilog that Yosys wrote.

    `ToolError` where it is not whole: Yosys does not say that a disk was full.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    if not text.endswith("endmodule\n"):
        raise _only_part(path)
    return text


def written_json(path: Path) -> Any:
    """Return the content of the JSON that Yosys wrote; `ToolError` where it is not whole."""
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except ValueError:
        raise _only_part(path) from None


def _only_part(path: Path) -> ToolError:
    return ToolError(f"Yosys wrote only part of {path}{processes.full(path.parent)}")


def yosys_warnings(log: str) -> list[str]:
    """Return the warnings of a Yosys log, each once, in order."""
    lines = (line.strip() for line in log.splitlines())
    return list(dict.fromkeys(line for line in lines if line.startswith("Warning:")))
