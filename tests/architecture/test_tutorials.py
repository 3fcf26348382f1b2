"""The tutorials' cells are Python, and the first tutorial runs from an empty folder.

All of them are executed when the site is built (`make docs`); these tests need no notebook.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIALS = sorted((Path(__file__).parents[2] / "docs/tutorials").glob("[0-9]*.md"))
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.M | re.S)
OPTIONS = re.compile(r"\A(?:---\n.*?^---\n|(?::[\w-]+:[^\n]*\n)+)", re.M | re.S)
MAGIC = re.compile(r"^%\w.*$", re.M)


def cells(text: str) -> list[str]:
    """Return the code of each cell, without its options and without magics of one line."""
    code = [OPTIONS.sub("", cell) for cell in CELL.findall(text)]
    return [MAGIC.sub("", cell) for cell in code if not cell.startswith("%%")]


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_cells_are_python(path: Path):
    code = cells(path.read_text())
    assert len(code) > 3
    for number, cell in enumerate(code, 1):
        compile(cell, f"{path.name}, cell {number}", "exec")


@pytest.mark.slow
def test_the_first_tutorial_runs_from_an_empty_folder(tmp_path):
    page = next(path for path in TUTORIALS if path.stem == "01_ten_minutes").read_text()
    script = tmp_path / "tutorial.py"
    script.write_text("\n".join(cells(page)) + "\nprint('drawn', len(plt.gcf().axes))\n")
    result = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "BER" in result.stdout and result.stdout.splitlines()[-1] == "drawn 3"


def test_cells_are_found():
    options = "```{code-cell} ipython3\n:tags: [hide]\n\n%config x = 1\ny = 2\n```\n"
    assert cells(f"a\n{options}```python\nz\n```\n") == ["\n\ny = 2\n"]
    yaml, shell = "---\ntags: [a]\n---\nx\n", "%%bash\nls\n"
    assert cells(f"```{{code-cell}}\n{yaml}```\n```{{code-cell}}\n{shell}```\n") == ["x\n"]
