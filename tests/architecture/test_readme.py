"""The README is short, its Python runs, and the commands of all pages are ours."""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from dbp import cli
from dbp.runs import find_design

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("[!_]*/**/*.md"))]

# The same lines with figures that take seconds.
SMALLER = {
    "spans=32": "spans=2",
    "symbols=65_536": "symbols=8192",
    "launch_power_dbm=[-4, -2, 0, 2], min_errors=100": "[0, 2], min_errors=5, max_bits=70_000",
    "lanes=4": "lanes=1",
}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


def commands(text: str) -> list[list[str]]:
    """Return the words of each `dbp ...` of the shell blocks, without synopses."""
    lines = "\n".join(blocks(text, "sh")).replace("\\\n", " ").splitlines()
    parts = [part for line in lines if "[-" not in line for part in re.split("&&|>", line)]
    words = [shlex.split(part, comments=True) for part in parts]
    return [line[1:] for line in words if line[:1] == ["dbp"]]


def refused(words: list[str]) -> str:
    """Return why a command line is refused, or nothing."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.suppress(SystemExit):
        cli._parser().parse_args(cli._join_ranges(words))
    return errors.getvalue()


def test_the_readme_is_short():
    assert len(README.split()) <= 600


@pytest.mark.slow
def test_the_readmes_python_runs(tmp_path):
    (script,) = blocks(README, "python")
    for line, smaller in SMALLER.items():
        assert script.count(line) == 1
        script = script.replace(line, smaller)
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("BER ") and "proved for all inputs" in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ber.png", "rtl"]


@pytest.mark.slow
def test_the_readmes_commands_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    smaller = {"--launch-power-dbm=-4:2:0.5": "--launch-power-dbm=0", "200": "20"}
    for words in commands(README):
        more = ["--symbols", "8192"] if words[0] == "link" else []
        assert cli.main([smaller.get(word, word) for word in words] + more) == 0
    made = ("ber/ber.svg", "sent.mat", "measured/ber.csv")
    assert all((tmp_path / name).is_file() for name in made)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_of_a_page_are_ours(path: Path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in commands(path.read_text()):
        # A later line of the page reads what this one leaves, and examples call a run RUN.
        for name in ["RUN", *(to for option, to in pairwise(words) if option == "--out")]:
            folder = tmp_path / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "design.json").write_text(find_design("learned-c6-s9")[0].to_json())
        assert refused(words) == "", words


def test_what_is_wrong_is_found():
    text = "```sh\ndbp ber linear --no-such-option --out a  # why\nls\ndbp pdk && dbp swim\n```"
    wrong, right, unknown = commands(text)
    assert "--no-such-option" in refused(wrong)
    assert refused(right) == ""
    assert "swim" in refused(unknown)
