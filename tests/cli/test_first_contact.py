"""What a newcomer meets: `dbp` alone, help, examples, completion, hints at what was meant."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.designs import DESIGN

from dbp import cli, config
from dbp.cli import completion, parsers
from dbp.datapath import shipped
from dbp.evaluation import slurm
from dbp.support.text import did_you_mean

ROOT = Path(__file__).parents[2]
PARSER = parsers.build()
COMMANDS = parsers.command_parsers(PARSER)


def example(command):
    """The words of each line of a command's example, without where its output goes."""
    lines = COMMANDS[command].example.replace("\\\n", "").splitlines()
    words = [shlex.split(line) for line in lines]
    return [line[: line.index(">")] if ">" in line else line for line in words]


def run(words, capsys):
    try:
        status = cli.main(words)
    except SystemExit as stop:
        status = stop.code
    return status, *capsys.readouterr()


# Help and versions answer before anything heavy is loaded: the time itself would depend on the
# machine.
LOADED = """
import sys
before = set(sys.modules)
from dbp import cli
for words in ([], ["--version"], ["--help"], ["ber", "--help"], ["trian"]):
    try:
        cli.main(words)
    except SystemExit:
        pass
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(loaded - sys.stdlib_module_names - {"dbp"}))
"""


def test_help_and_version_load_the_standard_library_only():
    answer = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == ""


def test_dbp_alone_shows_five_commands_and_the_tutorials(capsys):
    status, out, shown = run([], capsys)
    assert (status, out) == (2, "")
    lines = [line for line in shown.splitlines() if line.startswith("  ")]
    assert len(lines) == 5
    for line, command in zip(lines, parsers.FIRST, strict=True):
        assert shlex.split(line)[-len(example(command)[-1]) :] == example(command)[-1]
    assert max(map(len, shown.splitlines())) <= 80
    assert "docs/tutorials" in shown and "dbp --help" in shown
    assert (ROOT / "docs" / "tutorials" / "01_ten_minutes.md").is_file()


@pytest.mark.parametrize("command", parsers.COMMANDS)
def test_every_help_ends_with_an_example_that_parses(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chip").mkdir()
    (tmp_path / "chip" / "design.json").write_text(DESIGN.to_json())
    lines = example(command)
    for words in lines:
        assert words[0] == "dbp"
        PARSER.parse_args(cli._join_ranges(words[1:]))
    assert lines[-1][1] == command
    status, shown, _ = run([command, "--help"], capsys)
    assert status == 0
    text = "".join(f"  {line}\n" for line in COMMANDS[command].example.splitlines())
    assert shown.endswith(f"\nexample:\n{text}")


# The examples of the others take long, and tests of their own run the same commands.
QUICK = ("designs", "presets", "pdk", "completion", "rtl")


@pytest.mark.parametrize("command", [*QUICK, pytest.param("equalize", marks=pytest.mark.slow)])
def test_examples_run(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for words in example(command):
        status, out, err = run(words[1:], capsys)
        assert status == 0, err
        assert out


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["trian", "demo"], "train"),
        (["ber", "linear", "--out", "RUN", "--lunch-power-dbm=0"], "--launch-power-dbm"),
        (["--verison"], "--version"),
        (["ber", "linear", "--out", "RUN", "--arithmetic", "fixd"], "fixed"),
        (["rtl", "lerned-c6-s9", "--out", "RUN"], "learned-c6-s9"),
        (["ber", "liner", "--out", "RUN"], "linear"),
        (["run", "papre", "--out", "RUN"], "paper"),
        (["presets", "Paper"], "paper"),
        (["synth", "chip", "--pdk", "nangate-45"], "nangate45"),
        (["pdk", "install", "sky130"], "sky130hd"),
        (["ber", "linear", "--sweep", "spns=1", "--out", "RUN"], "spans"),
        (
            ["rtl", "chip", "--out", "RUN", "--pipeline", "filter.adder_level=1"],
            "filter.adder_levels",
        ),
        (
            ["ber", "linear", "--out", "RUN", "--cluster", "slurm", "--slurm", "wall-time=a"],
            "walltime",
        ),
        (["train", "key.toml", "--out", "RUN"], "span_km"),
        (["train", "value.toml", "--out", "RUN"], "16qam"),
    ],
)
def test_errors_name_what_was_probably_meant(words, meant, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chip").mkdir()
    (tmp_path / "chip" / "design.json").write_text(DESIGN.to_json())
    (tmp_path / "key.toml").write_text("[link]\nspam_km = 80.0\n")
    (tmp_path / "value.toml").write_text('[link]\nmodulation = "16-qam"\n')
    status, _, err = run(words, capsys)
    assert status == 2
    assert err.count("\n") == 1
    assert f"; did you mean {meant!r}?" in err


def test_there_is_no_hint_where_nothing_is_near():
    assert did_you_mean("x" * 100_000, ["paper"]) == ""
    assert did_you_mean("", ["paper"]) == did_you_mean("paper", []) == ""


def test_slurm_keys_of_the_help_are_those_of_its_settings():
    from dbp.cli.parsers.options import SLURM_KEYS

    assert SLURM_KEYS == slurm.KEYS


def test_presets_are_told_in_one_line_each_and_printed_whole(capsys):
    status, out, _ = run(["presets"], capsys)
    assert status == 0
    texts = config.presets()
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert list(lines) == list(texts)
    for name, line in lines.items():
        assert line.endswith(".") and len(line) <= 90
        assert texts[name].startswith(f"# {line}\n")
        status, out, _ = run(["presets", name], capsys)
        assert (status, out) == (0, texts[name])


# ---- completion ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory):
    path = tmp_path_factory.mktemp("completion") / "dbp.bash"
    path.write_text(completion.script("bash"))
    return path


PROPOSE = """
compopt() { :; }  # works within a real completion only
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_shtab_dbp dbp
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dbp pr", {"presets", "prove"}),
        ("dbp ber learned-c6", {"learned-c6-s8", "learned-c6-s9"}),
        ("dbp ber learned-c6-s9 lin", {"linear"}),
        ("dbp ber learned-c6-s9 --arithmetic ", {"fixed", "float", "both"}),
        ("dbp ber learned-c6-s9 --min", {"--min-errors"}),
        ("dbp train dem", {"demo"}),
        ("dbp train m", {"mine.toml"}),
        ("dbp rtl d", {"d.json", "designs of mine", "dual-c6-s9"}),
        ("dbp presets lsco", {"lsco-tuned"}),
        ("dbp synth designs", {"designs of mine"}),
        ("dbp synth chip --pdk pre", {"predictive28"}),
        ("dbp pdk install nan", {"nangate45"}),
        ("dbp link paper --output w", {"w.mat"}),
        ("dbp completion z", {"zsh"}),
    ],
)
def test_bash_completes(line, expected, bash_script, tmp_path):
    for name in ("mine.toml", "d.json", "w.mat", "other.txt"):
        (tmp_path / name).touch()
    (tmp_path / "designs of mine").mkdir()
    words = line.split(" ")
    answer = subprocess.run(
        ["bash", "--norc", "-c", PROPOSE, "bash", bash_script, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert answer.stderr == ""
    assert set(answer.stdout.splitlines()) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_hold_every_name_and_are_of_their_shell(shell):
    text = completion.script(shell)
    for name in (*parsers.COMMANDS, *shipped.designs(), *config.presets(), "ihp-sg13g2"):
        assert name in text
    if shutil.which(shell):
        check = subprocess.run([shell, "-n"], input=text, capture_output=True, text=True)
        assert (check.returncode, check.stderr) == (0, "")
