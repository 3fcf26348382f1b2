"""The MATLAB script of the documentation, run by GNU Octave where that is installed."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers.learning import settings
from helpers.waveforms import here

from dbp import config
from dbp.evaluation import recorded_examples
from dbp.link import transmission
from dbp.support import untrusted_files
from dbp.waveforms.recording import Recording, read_recording, write_recording

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "waveform.md"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("octave-cli") is None, reason="no octave-cli"),
]


def script():
    text = PAGE.read_text().partition("### Two polarisations in MATLAB")[2]
    return re.search(r"```matlab\n(.*?)```", text, re.S)[1]


def test_its_file_is_read_counted_and_learned_on(tmp_path, monkeypatch):
    monkeypatch.setattr(untrusted_files, "_in_a_process", here)
    used = settings("2")
    link = config.link_with(used.link, {"dual_polarisation": True, "block_symbols": 16384})
    received = transmission.simulate(link, 2.0, 1, seed=1, purpose="evaluate", progress=False)
    waveform, symbols = received.waveform[0], received.symbols[0]
    ours = Recording(waveform, link.adc_rate, 20e9, link.roll_off, 2.0, "16qam", symbols)
    write_recording(tmp_path / "ours.mat", ours)
    # A name that is no function of Octave's.
    (tmp_path / "their_script.m").write_text(script())
    done = subprocess.run(
        ["octave-cli", "--norc", "their_script.m"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    theirs = read_recording(tmp_path / "theirs.mat")
    turn = np.array([[np.cos(0.4), np.sin(0.4)], [-np.sin(0.4), np.cos(0.4)]])
    expected = 0.02 * turn @ waveform[:, 200:]
    assert np.allclose(theirs.waveform, expected, rtol=0, atol=1e-6 * abs(expected).max())
    assert np.array_equal(theirs.symbols.round(6), symbols.astype(complex).round(6))
    for name in ("samples_per_symbol", "symbol_rate_baud", "roll_off", "launch_power_dbm"):
        assert getattr(theirs, name) == pytest.approx(getattr(ours, name), rel=1e-12)
    both = used.model_copy(
        update={"link": used.link.model_copy(update={"impairments": link.impairments})}
    )
    for state in recorded_examples.prepare(theirs, both, 0.25).states:
        assert state.coherence > 0.99
