"""A waveform that OptiCommPy has simulated, where it is installed (extra ``benchmark``)."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import io as scipy_io

from dbp import cli

pytest.importorskip("optic", reason="pip install opticommpy")
pytestmark = [
    pytest.mark.slow,
    # Of their packages.
    pytest.mark.filterwarnings("default"),
]


def benchmark():
    path = Path(__file__).parents[2] / "benchmarks" / "foreign_waveform.py"
    spec = importlib.util.spec_from_file_location("foreign_waveform", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_both_polarisations_received_blind_are_as_good_on_their_manakov_link_as_on_ours(tmp_path):
    points = benchmark().points_of(8192, 3.0, 1, ["linear", "dbp1"], tmp_path, both=True)
    for theirs, ours in zip(points["OptiCommPy"], points["dbp"], strict=True):
        assert theirs["design"] == ours["design"]
        assert theirs["snr_db"] == pytest.approx(ours["snr_db"], abs=0.2)
    # One rotation a span undoes much there, so that both have the same Kerr effect.
    linear, undone = points["OptiCommPy"]
    assert undone["snr_db"] > linear["snr_db"] + 4


def test_a_design_is_as_good_on_their_waveform_as_on_ours(tmp_path, capsys):
    points = benchmark().points_of(8192, 0.0, 1, ["learned-c6-s9"], tmp_path)
    (theirs,), (ours,) = points["OptiCommPy"], points["dbp"]
    assert theirs["snr_db"] == pytest.approx(ours["snr_db"], abs=0.2)
    assert -1234 < theirs["delay_samples"] < -1232
    # The same field in the other convention.
    fields = scipy_io.loadmat(tmp_path / "theirs.mat")
    fields |= {name: np.conj(fields[name]) for name in ("waveform", "symbols")}
    kept = {name: value for name, value in fields.items() if not name.startswith("__")}
    scipy_io.savemat(tmp_path / "conjugate.mat", kept)
    capsys.readouterr()
    out = tmp_path / "RUN"
    file = f"--waveform={tmp_path / 'conjugate.mat'}"
    assert cli.main(["ber", "learned-c6-s9", file, f"--out={out}"]) == 0
    assert "received by their conjugates" in capsys.readouterr().out
    (conjugate,) = json.loads((out / "metrics.json").read_text())["points"]
    assert conjugate["conjugated"] and not theirs["conjugated"]
    assert conjugate["snr_db"] == pytest.approx(theirs["snr_db"], abs=0.02)
