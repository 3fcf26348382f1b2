"""``dbp train --waveform``, and ``dbp ber`` behind it: on what was held out, or on another file."""

import json

import numpy as np
import pytest
from helpers.learning import settings
from helpers.waveforms import here

from dbp import cli
from dbp.cli import parsers
from dbp.config.limits import HELD_OUT, USUALLY_HELD_OUT
from dbp.support import untrusted_files
from dbp.waveforms.recording import read_recording

SYMBOLS = 16380


@pytest.fixture(scope="module", autouse=True)
def _in_this_process():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(untrusted_files, "_in_a_process", here)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A configuration and two recordings of its link, the first in two kinds of files."""
    folder = tmp_path_factory.mktemp("recordings")
    used = settings("2")
    quick = used.training.model_copy(update={"tap_iterations": 1})
    used = used.model_copy(update={"training": quick})
    (folder / "tiny.toml").write_text(used.to_toml())
    for file, seed in (("one.npz", 1), ("one.h5", 1), ("two.npz", 2)):
        words = ["link", "tiny.toml", f"--symbols={SYMBOLS}", f"--seed={seed}", f"--output={file}"]
        _run(folder, words)
    return folder


def _run(folder, words):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return cli.main(words)


@pytest.fixture(scope="module")
def trained(folder):
    assert _run(folder, ["train", "tiny.toml", "--waveform", "one.npz", "--out", "RUN"]) == 0
    return folder


def metrics(folder, name):
    return json.loads((folder / name / "metrics.json").read_text())


def test_a_run_says_what_it_was_learned_on(trained):
    found = metrics(trained, "RUN/train")
    assert found["waveform"] == "one.npz"
    assert found["waveform_hash"] == read_recording(trained / "one.h5").hash
    assert found["held_out"] == USUALLY_HELD_OUT
    used = settings("2").training
    assert found["learned_symbols"] == used.symbols
    assert found["validated_symbols"] == used.validation_symbols
    assert found["snr_db_quantized"] > 27
    assert not (trained / "RUN" / "train" / "checkpoint.npz").exists()
    assert (trained / "RUN" / "train" / "float.npz").exists()


def test_the_run_is_counted_on_what_it_has_not_learned(trained, capsys):
    for file in ("one.npz", "one.h5"):
        words = [
            "ber",
            "RUN",
            "linear",
            "--config=tiny.toml",
            "--waveform",
            file,
            "--out",
            "counted",
        ]
        assert _run(trained, words) == 0
        assert "Note: RUN was learned on this waveform but for its end" in capsys.readouterr().out
        found = metrics(trained, "counted")
        first = 2 * SYMBOLS - round(USUALLY_HELD_OUT * 2 * SYMBOLS)
        assert found["first_sample"] == first
        for point in found["points"]:
            assert point["bits"] <= 4 * (SYMBOLS - first // 2)
    design, linear = found["points"]
    assert design["snr_db"] > linear["snr_db"] + 3


def test_another_recording_is_counted_whole(trained, capsys):
    assert _run(trained, ["ber", "RUN", "--waveform", "two.npz", "--out", "other"]) == 0
    assert "was learned on" not in capsys.readouterr().out
    found = metrics(trained, "other")
    assert "first_sample" not in found
    (point,) = found["points"]
    assert point["bits"] > 4 * 0.9 * SYMBOLS


def test_simulated_data_state_no_waveform(trained):
    assert _run(trained, ["train", "tiny.toml", "--out", "simulated"]) == 0
    assert "waveform_hash" not in metrics(trained, "simulated/train")
    assert _run(trained, ["ber", "simulated", "--waveform", "one.npz", "--out", "whole"]) == 0
    assert "first_sample" not in metrics(trained, "whole")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--held-out=0.25"], "--held-out: is for --waveform"),
        (["--waveform=none.npz"], "none.npz: "),
        (["--waveform=nan.npz"], "nan.npz: waveform: element 7 of 0.. is "),
        (["--waveform=silent.npz"], "silent.npz: symbols or bits: missing: must be there to learn"),
        (["--waveform=short.npz"], "short.npz: waveform: 1000 symbols: must be at least "),
    ],
)
def test_what_does_not_fit_is_one_line_and_no_folder(folder, words, line, capsys):
    with np.load(folder / "one.npz") as archive:
        fields = dict(archive)
    waveform = fields["waveform"].copy()
    waveform[7] = np.nan
    np.savez(folder / "nan.npz", **fields | {"waveform": waveform})
    np.savez(folder / "silent.npz", **{k: v for k, v in fields.items() if k != "symbols"})
    np.savez(folder / "short.npz", **fields | {"waveform": fields["waveform"][:2000]})
    assert _run(folder, ["train", "tiny.toml", *words, "--out=none"]) != 0
    (shown,) = capsys.readouterr().err.strip().splitlines()
    assert line in shown
    assert not (folder / "none").exists()


@pytest.mark.parametrize("share", ["0", "1", "x", "nan", "-0.5"])
def test_a_share_is_a_share(folder, share, capsys):
    with pytest.raises(SystemExit):
        _run(folder, ["train", "tiny.toml", "--waveform=one.npz", f"--held-out={share}", "--out=a"])
    low, high = HELD_OUT
    assert f"must be in {low:g}..{high:g}" in capsys.readouterr().err


def test_the_help_states_the_usual_share():
    text = parsers.command_parsers(parsers.build())["train"].format_help()
    assert f"(default: {USUALLY_HELD_OUT:g})" in " ".join(text.split())
