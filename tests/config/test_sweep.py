"""Evaluations over keys of the link, from the command line and from a file, interrupted or not."""

import csv
import os
import signal
import subprocess
import sys
import time

import pytest
from helpers.designs import DESIGN
from helpers.workers import in_threads

from dbp import config
from dbp.cli import main
from dbp.config import sweep
from dbp.errors import InputError

TOML = """
[link]
spans = 1
dispersion_ps_per_nm_km = 0.0
nonlinearity_per_w_km = 0.0
steps_per_span = 1
block_symbols = 1024

[evaluation]
launch_power_dbm = [-21.0]
min_errors = 1000000
max_bits = 100000

[sweep]
design = ["linear", "dbp1"]
noise_figure_db = [4.0, 5.0]
modulation = ["qpsk", "16qam"]
"""


def rows(run):
    with (run / "ber.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_ranges_and_words():
    assert sweep.parse("spans=1:7:3") == ("spans", (1, 4, 7))
    assert sweep.parse("noise_figure_db=4,5.5") == ("noise_figure_db", (4, 5.5))
    assert sweep.parse("modulation=qpsk,16qam") == ("modulation", ("qpsk", "16qam"))
    assert sweep.parse("dual_polarisation=false,true") == ("dual_polarisation", (False, True))
    for text in (
        "spans",
        "=1",
        "spans=",
        "spans=1:2",
        "spans=2:1:1",
        "spans=1:2:0",
        "spans=0:1e9:1",
        f"spans=0:{10**400}:1",
    ):
        with pytest.raises(ValueError):
            sweep.parse(text)


def test_every_combination_is_a_checked_link():
    found = sweep.links(config.Link(), {"spans": (2, 4), "design": ("x",), "span_km": (50, 80)})
    assert [change for change, _ in found] == [
        {"spans": n, "span_km": km} for n in (2, 4) for km in (50, 80)
    ]
    assert [(link.spans, link.span_km) for _, link in found] == [(2, 50), (2, 80), (4, 50), (4, 80)]
    for swept, words in [
        ({"span": (1,)}, "link.span: unknown key"),
        ({"spans": (0,)}, "link.spans = 0"),
        ({"spans": (1.5,)}, "link.spans = 1.5"),
        ({"span_km": (900.0,)}, "dB of loss a span"),
        ({"spans": tuple(range(1, 200)), "noise_figure_db": tuple(range(200))}, "combinations"),
    ]:
        with pytest.raises(InputError, match=words):
            sweep.links(config.Link(), swept)


@pytest.mark.slow
def test_a_file_and_the_command_line_sweep_the_link(tmp_path, monkeypatch, capsys):
    in_threads(monkeypatch)
    (tmp_path / "awgn.toml").write_text(TOML)
    common = ["ber", "--config", str(tmp_path / "awgn.toml"), "--workers", "1"]
    assert main([*common, "--out", str(tmp_path / "file")]) == 0
    found = rows(tmp_path / "file")
    assert [(r["noise_figure_db"], r["modulation"], r["design"]) for r in found] == [
        (figure, name, design)
        for figure in ("4.0", "5.0")
        for name in ("qpsk", "16qam")
        for design in ("linear", "dbp1")
    ]
    snr_db = [float(row["snr_db"]) for row in found]
    # An amplifier with 1 dB more noise.
    assert snr_db[0] - snr_db[4] == pytest.approx(1, abs=0.1)
    options = ["--sweep", "modulation=16qam", "--sweep", "noise_figure_db=5"]
    options += ["--sweep", "design=dbp1,linear"]
    assert main([*common, *options, "--out", str(tmp_path / "line")]) == 0
    assert [(row["design"], row["ber"]) for row in rows(tmp_path / "line")] == [
        ("dbp1", found[7]["ber"]),
        ("linear", found[6]["ber"]),
    ]
    for swept, words in [
        (["span=3"], "sweep: link.span: unknown key"),
        (["design=3"], "sweep.design"),
        (["launch_power_dbm=40"], "sweep.launch_power_dbm"),
        (["spans=1", "spans=2"], "each KEY once"),
    ]:
        options = [text for pair in swept for text in ("--sweep", pair)]
        assert main([*common, "dbp1", *options, "--out", str(tmp_path / "none")]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupted_and_a_killed_evaluation_resume_to_the_same_figures(tmp_path, monkeypatch):
    text = TOML.partition("[sweep]")[0].replace("100000", "1000000")
    (tmp_path / "awgn.toml").write_text(text.replace("[-21.0]", "[-21.0, -20.0]"))
    # In fixed point: to load torch would take each worker longer than to count.
    DESIGN.save(tmp_path / "chip.json")
    command = [sys.executable, "-m", "dbp.cli", "ber", str(tmp_path / "chip.json")]
    command += ["--config", str(tmp_path / "awgn.toml"), "--workers", "1"]
    run = tmp_path / "interrupted"
    log = run / "results.sqlite-wal"
    # As a terminal does, Ctrl-C goes to the workers too.
    for number in (signal.SIGINT, signal.SIGKILL):
        process = subprocess.Popen(
            [*command, "--resume", "--out", str(run)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # What a shell starts in the background ignores Ctrl-C, and so would what that starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and not (log.is_file() and log.stat().st_size > 9999):
            time.sleep(0.1)
        assert process.poll() is None
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=60)
        if number == signal.SIGINT:
            assert process.returncode == 130
            lines = [line for line in errors.splitlines() if not line.startswith("Compiling")]
            assert lines == [
                f"Kept in {run / 'results.sqlite'}: the same command with --resume goes on",
                "dbp: error: interrupted",
            ]
    in_threads(monkeypatch)
    assert main([*command[3:], "--resume", "--out", str(run)]) == 0
    assert main([*command[3:], "--out", str(tmp_path / "whole")]) == 0
    assert rows(run) == rows(tmp_path / "whole")
