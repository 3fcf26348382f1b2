"""`dbp signoff`: what runs when, what is kept, and the files."""

import csv
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from helpers.hardware import make_run, small_design

from dbp import cli
from dbp.cli import signoff as command
from dbp.errors import ToolError
from dbp.records.schemas import SignoffMetrics
from dbp.rtl.pipeline import Pipeline
from dbp.synthesis import signoff
from dbp.synthesis.stages import CLOCK_MHZ
from dbp.synthesis.synthesize_step import KEPT


@contextmanager
def two_threads():
    with ThreadPoolExecutor(2) as pool:
        yield pool, lambda: 2


@pytest.fixture
def steps():
    return signoff.plan(
        small_design(taps=(5, 5, 5), bits=6),
        *(None, "predictive28", "reconfigurable", Pipeline(), 1, CLOCK_MHZ),
    )


@pytest.fixture
def asked(monkeypatch):
    """What the workers were asked for; they answer at once, with files of the figures ``{}``."""
    asked = []

    def sign_off(step, earlier_hash, first):
        asked.append((step.number, earlier_hash, sorted(first)))
        return {name: b"" for name in (*KEPT, "metrics.json")}

    monkeypatch.setattr(signoff, "sign_off", sign_off)
    return asked


class _Metrics:
    slack_ns, inputs_hash = 0.1, "abc"


def test_a_step_waits_for_the_netlist_that_it_shares(steps, asked, tmp_path, monkeypatch):
    steps[1] = steps[0].__class__(**{**vars(steps[1]), "like": 0})
    steps[2] = steps[0].__class__(**{**vars(steps[2]), "like": 2})
    complete = {"kept": lambda folder: _Metrics() if folder.is_dir() else None}
    monkeypatch.setattr("dbp.synthesis.synthesize_step.kept", complete["kept"])
    monkeypatch.setattr(signoff, "kept", complete["kept"])
    assert set(command._Steps(steps, tmp_path).run(two_threads)) == {0, 1, 2}
    files = sorted((*KEPT, "metrics.json"))
    assert sorted(asked) == [(0, None, []), (1, None, files), (2, None, [])]
    assert [number for number, *_ in asked].index(1) > [number for number, *_ in asked].index(0)
    # What is there already is asked for by its hash.
    asked.clear()
    command._Steps(steps, tmp_path).run(two_threads)
    assert sorted(asked) == [(0, "abc", []), (1, "abc", files), (2, "abc", [])]


def test_the_first_error_ends_all_and_says_how_to_go_on(steps, tmp_path, monkeypatch, capsys):
    def fail(step, earlier_hash, first):
        raise ToolError(f"step {step.number}: no more disk")

    monkeypatch.setattr(signoff, "sign_off", fail)
    (tmp_path / "step09").mkdir()
    (tmp_path / "step09" / "metrics.json").write_text("{}")
    with pytest.raises(ToolError, match="no more disk"):
        command._Steps(steps, tmp_path).run(two_threads)
    assert capsys.readouterr().err == f"Kept in {tmp_path}: the same command goes on\n"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("sta") is None, reason="no OpenSTA")
def test_a_whole_receiver_is_signed_off_and_goes_on(tmp_path, capsys, monkeypatch):
    # New processes would compile the simulator again.
    monkeypatch.setattr(command.executors, "executor", lambda *_, **__: two_threads())
    run = make_run(tmp_path / "run", small_design(taps=(3, 1), bits=5), lanes=1)
    words = ["signoff", str(run), "--pdk", "predictive28", "--lanes", "1", "--filters", "hardwired"]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert "All 2 steps: " in out and "its figures are no evidence" in out
    folder = run / "signoff" / "predictive28-hardwired-x1"
    content = json.loads((folder / "metrics.json").read_text())
    metrics = SignoffMetrics.model_validate(content)
    assert (metrics.netlists, metrics.gate_level_mismatches) == (2, 0)
    assert metrics.design_hash == small_design(taps=(3, 1), bits=5).hash
    with (folder / "steps.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "1"]
    watts = sum(float(row["power_w"]) for row in rows)
    assert metrics.power_w.total == pytest.approx(watts)
    # A killed run leaves whole steps; the others are made again.
    (folder / "step01" / "metrics.json").unlink()
    before = (folder / "step00" / "metrics.json").read_bytes()
    assert cli.main(words) == 0
    assert (folder / "step00" / "metrics.json").read_bytes() == before
    again = SignoffMetrics.model_validate_json((folder / "metrics.json").read_text())
    assert again.steps == metrics.steps
