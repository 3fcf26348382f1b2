"""Files that others bring: what they are is said, and what to write in their place."""

import gzip
from fractions import Fraction

import h5py
import numpy as np
import pytest
from scipy import io as scipy_io

from dbp import config
from dbp.config import limits
from dbp.errors import InputError
from dbp.evaluation import on_waveform
from dbp.support import untrusted_files
from dbp.waveforms import recording
from dbp.waveforms.recording import read_recording, write_recording
from dbp.waveforms.synchronization import constant_offset

OCTAVE = b"""# Created by Octave 8.4.0, Sun Nov 29 12:00:00 2026 UTC <u@h>
# name: waveform
# type: complex matrix
# rows: 1
# columns: 2
 (1,2) (3,-4)
"""
X = np.arange(1, 5) + 1j


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Read in this process; its memory stays as it is."""

    def read(arguments):
        try:
            suffix = arguments[0][arguments[0].rindex(".") :]
            untrusted_files._check_beginning(arguments[0], suffix)
            untrusted_files._READERS[suffix](arguments[0], arguments[1:])
        except InputError as error:
            return 2, b"", str(error)
        return 0, b"", ""

    monkeypatch.setattr(untrusted_files, "_in_a_process", read)


def hdf5(path, **fields):
    with h5py.File(path, "w") as file:
        for name, value in fields.items():
            file[name] = value
    return path.read_bytes()


def octave_hdf5(path):
    with h5py.File(path, "w") as file:
        file.attrs["OCTAVE_NEW_FORMAT"] = np.uint8(1)
        file["waveform/value"] = X
    return path.read_bytes()


def npy(path):
    with path.open("wb") as file:
        np.save(file, X)
    return path.read_bytes()


def npz(path):
    with path.open("wb") as file:
        np.savez(file, E=X, fs=1.0)
    return path.read_bytes()


def struct(path):
    scipy_io.savemat(path, {"s": {"waveform": X}}, appendmat=False)
    return path.read_bytes()


def v5(path):
    scipy_io.savemat(path, {"E": X}, appendmat=False)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.mat", OCTAVE, "a text file of Octave: write it with `save -v7`"),
        ("a.mat", OCTAVE[OCTAVE.index(b"# name") :], "a text file of Octave"),
        ("a.mat", gzip.compress(OCTAVE), "compressed by gzip: unpack it, or in Octave write"),
        ("a.mat", b"Octave-1-L" + bytes(20), "a binary file of Octave: write it with"),
        ("a.mat", octave_hdf5, "an HDF5 file of Octave: write it with"),
        ("a.h5", octave_hdf5, "an HDF5 file of Octave: write it with"),
        ("a.mat", b"1.0,2.0\n" * 9, "a text: write arrays with names"),
        ("a.mat", npz, "a zip archive: an .npz of numpy must end in .npz"),
        ("a.mat", struct, r"and holds s \(a struct: write its fields with save -struct\)"),
        ("a.mat", v5, "must hold waveform, .*, and holds E$"),
        ("a.npz", npy, "one array of numpy without a name: write arrays with names"),
        ("a.npz", npz, "must hold waveform, .*, and holds E, fs$"),
        ("a.npz", v5, "a file of MATLAB: must end in .mat"),
        ("a.npz", lambda path: hdf5(path, waveform=X), "an HDF5 file: must end in .h5"),
        ("a.h5", v5, "a file of MATLAB: must end in .mat"),
        ("a.h5", lambda path: hdf5(path, **{"g/E": X}), r"holds g \(a struct"),
        ("a.h5", b"RIFF" + bytes(40), "sound: write arrays with names"),
        ("a.npy", npy, "must end in .npz, .mat, .h5, .hdf5: one array of numpy without a name"),
        ("a.csv", b"1,2\n", "must end in .npz, .mat, .h5, .hdf5: a text"),
        ("a.wav", b"RIFF", "must end in .npz, .mat, .h5, .hdf5: sound"),
        ("a.cfile", b"12345678", "must end in .npz, .mat, .h5, .hdf5: bare samples"),
        ("a.pkl", b"\x80", "must end in .npz, .mat, .h5, .hdf5: pickled objects"),
        ("a.xyz", b"1", "must end in .npz, .mat, .h5, .hdf5$"),
    ],
)
def test_what_a_file_is_and_what_to_write_is_said(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content(tmp_path / "made") if callable(content) else content)
    with pytest.raises(InputError, match=message) as caught:
        read_recording(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_matlabs_version_4_is_read(tmp_path):
    scipy_io.savemat(tmp_path / "a.mat", {"waveform": X}, format="4")
    fields = untrusted_files._read_mat(str(tmp_path / "a.mat"), ["waveform"])
    untrusted_files._check_beginning(str(tmp_path / "a.mat"), ".mat")
    assert np.array_equal(fields["waveform"].ravel(), X)


@pytest.mark.parametrize("parts", [("real", "imag"), ("r", "i"), ("re", "im"), ("I", "Q")])
def test_complex_numbers_as_pairs_are_read(parts, tmp_path):
    pairs = np.empty(4, np.dtype([(part, "<f8") for part in parts]))
    pairs[parts[0]], pairs[parts[1]] = X.real, X.imag
    hdf5(tmp_path / "a.h5", waveform=pairs)
    fields = untrusted_files._read_hdf5(str(tmp_path / "a.h5"), ["waveform"])
    assert np.array_equal(fields["waveform"], X)


@pytest.mark.parametrize(
    ("array", "hint"),
    [
        (np.ones((9, 2)), "where it holds I and Q, write x[:, 0] + 1j * x[:, 1]"),
        (np.ones((2, 9), np.int16), "where it holds I and Q, write x[0] + 1j * x[1]"),
        (np.ones(18, np.int16), "where I and Q take turns, write x[0::2] + 1j * x[1::2]"),
        (np.ones((3, 9), complex), "or of shape (2, n) with two polarisations"),
    ],
)
def test_how_to_make_samples_complex_is_said(array, hint):
    with pytest.raises(InputError) as caught:
        recording._complex_rows({"waveform": array}, "waveform")
    assert str(caught.value).endswith(hint)


def fields_with(**changes):
    fields = {
        "waveform": X,
        "sample_rate_hz": 40e9,
        "symbol_rate_baud": 20e9,
        "roll_off": 0.1,
        "launch_power_dbm": 0.0,
    }
    return {name: np.asarray(value) for name, value in (fields | changes).items()}


@pytest.mark.parametrize(
    ("key", "name", "unit", "ends"),
    [
        ("roll_off", "roll_off", 1, limits.ROLL_OFFS),
        ("symbol_rate_gbd", "symbol_rate_baud", 1e9, limits.SYMBOL_RATES_GBD),
    ],
)
def test_a_link_and_a_waveform_have_one_limit(key, name, unit, ends):
    """What `dbp link` writes, `dbp equalize` takes."""
    for value, fits in (
        (ends[0], True),
        (ends[1], True),
        (ends[0] / 2, False),
        (ends[1] * 2, False),
    ):
        fields = fields_with(**{name: value * unit})
        fields["sample_rate_hz"] = 2 * fields["symbol_rate_baud"]
        if fits:
            config.checked({"link": {key: value}})
            assert getattr(recording._recording(fields), name) == value * unit
        else:
            with pytest.raises(InputError, match=key):
                config.checked({"link": {key: value}})
            with pytest.raises(InputError, match=name):
                recording._recording(fields)


def test_the_roll_off_of_the_report_goes_through(tmp_path):
    link = config.checked({"link": {"roll_off": 0.0005}}).link
    written = recording.Recording(X, 2, 20e9, link.roll_off, 0.0)
    write_recording(tmp_path / "a.npz", written)
    read = untrusted_files._read_npz(str(tmp_path / "a.npz"), recording._FIELDS)
    assert recording._recording(read).roll_off == 0.0005


def noise(count, seed=1):
    return np.random.default_rng(seed).normal(size=(count, 2)).view(np.complex128)[:, 0]


def test_a_constant_offset_is_found_where_chance_makes_none():
    waveform = noise(8192)
    assert constant_offset(waveform, 4096) == 0
    for offset in (0.3, 0.1j, -0.2 + 0.2j):
        found = constant_offset(waveform + offset, 4096)
        assert found == pytest.approx(offset + waveform.mean())
        assert constant_offset(1e-90 * (waveform + offset), 4096) == pytest.approx(found * 1e-90)
    assert constant_offset(np.zeros(8, complex), 4) == 0
    # A mean of twenty times that of chance is seen, one of ten times not.
    centred = waveform - waveform.mean()
    power = np.mean(np.abs(centred) ** 2)
    for times, seen in ((10, False), (20, True)):
        assert bool(constant_offset(centred + np.sqrt(times * power / 4096), 4096)) is seen


def recorded(waveform, symbols):
    return recording.Recording(waveform, 2, 20e9, 0.1, 0.0, "gaussian", symbols)


def test_an_offset_is_taken_out_and_said_where_the_symbols_are_known():
    waveform, symbols = noise(8192), noise(4096, seed=2)
    clean = on_waveform.stream(recorded(waveform - waveform.mean(), symbols), Fraction(2))
    bad = recorded(waveform + 0.3, symbols)
    np.testing.assert_allclose(on_waveform.stream(bad, Fraction(2)), clean, atol=1e-12)
    (note,) = on_waveform._offset_notes("d", bad)
    assert note == "d: waveform: a constant offset of 0.21 times its rms was taken out"
    # To the last bit what it was.
    fine = recorded(waveform, symbols)
    assert on_waveform._offset(fine) == 0 and not on_waveform._offset_notes("d", fine)
    unknown = recorded(waveform + 0.3, None)
    assert on_waveform._offset(unknown) == 0
    (note,) = on_waveform._offset_notes("d", unknown)
    assert "stays, since the symbols are not known" in note


def test_the_mean_of_a_short_sequence_that_repeats_is_no_offset():
    short = noise(64) + 0.1
    assert on_waveform._offset(recorded(np.tile(np.repeat(short, 2), 64), short)) == 0
