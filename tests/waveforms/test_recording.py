"""Waveform files: what is written is read, and what is damaged or does not fit is refused."""

import contextlib
import io
import os
import re
import zipfile

import h5py
import numpy as np
import pytest
from helpers.designs import DESIGN, examples
from helpers.forking import Server
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import io as scipy_io

from dbp import cli
from dbp.cli import _ber_of_waveform
from dbp.errors import InputError
from dbp.link import modulation
from dbp.support import untrusted_files
from dbp.waveforms import recording
from dbp.waveforms.recording import read_recording, write_recording

KINDS = ("npz", "mat", "h5", "plain.mat", "v73.mat", "plain.h5")
RNG = np.random.default_rng(1)
SYMBOLS = modulation.constellation("16qam")[RNG.integers(0, 16, 1500)]
WAVEFORM = RNG.standard_normal((3000, 2)).view(np.complex128)[:, 0]
FIELDS = {
    "waveform": WAVEFORM,
    "sample_rate_hz": 40e9,
    "symbol_rate_baud": 20e9,
    "roll_off": 0.1,
    "launch_power_dbm": 0.5,
    "modulation": "16qam",
    "symbols": SYMBOLS,
}
RECORDING = recording.Recording(WAVEFORM, 2, 20e9, 0.1, 0.5, "16qam", SYMBOLS)


def write_v73(path, fields):
    """As MATLAB's -v7.3 has it: HDF5 behind some text, columns for rows, parts for complex."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in fields.items():
            if isinstance(value, str):
                data, kind = np.array([[ord(c)] for c in value], np.uint16), b"char"
            elif np.iscomplexobj(value):
                parts = np.dtype([("real", "<f8"), ("imag", "<f8")])
                columns = np.atleast_2d(value).T
                data, kind = np.empty(columns.shape, parts), b"double"
                data["real"], data["imag"] = columns.real, columns.imag
            else:
                data, kind = np.atleast_2d(np.asarray(value, np.float64)).T, b"double"
            file.create_dataset(name, data=data).attrs["MATLAB_class"] = np.bytes_(kind)
    content = path.read_bytes()
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    path.write_bytes(text.ljust(512, b"\0") + content[512:])


def write(path, kind, fields):
    """A file of one of `KINDS`, with any fields."""
    if kind == "npz":
        np.savez_compressed(path, **fields)
    elif kind == "v73.mat":
        write_v73(path, fields)
    elif kind.endswith("mat"):
        scipy_io.savemat(path, fields, do_compression=kind == "mat")
    else:
        with h5py.File(path, "w") as file:
            for name, value in fields.items():
                checked = kind == "h5" and np.ndim(value)
                file.create_dataset(name, data=value, fletcher32=True if checked else None)
    return path


def same(one, other):
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in recording.Recording.__annotations__
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("forks"))
    yield server
    server.close()


@pytest.fixture
def fast(server, monkeypatch):
    """Files are read in forks of one process, which knows how they ended."""
    monkeypatch.setattr(untrusted_files, "_in_a_process", server)
    return server


@pytest.mark.parametrize("kind", ["npz", "mat", "h5", "hdf5"])
def test_what_is_written_is_read(kind, tmp_path):
    path = tmp_path / f"a.{kind}"
    write_recording(path, RECORDING, edge_samples=3)
    assert same(read_recording(path), RECORDING)


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_are_read_with_matrices_for_vectors_and_scalars(kind, tmp_path, fast):
    matrices = {k: v if isinstance(v, str) else np.reshape(v, (-1, 1)) for k, v in FIELDS.items()}
    labels = modulation.decide("16qam", SYMBOLS)
    bits = labels[:, np.newaxis] >> np.arange(4)[::-1] & 1
    with_bits = {k: v for k, v in FIELDS.items() if k != "symbols"}
    for fields in (
        FIELDS,
        matrices,
        FIELDS | {"symbols": 7.5e-3 * SYMBOLS, "modulation": "16-QAM"},
        with_bits | {"bits": bits},
        with_bits | {"bits": bits.reshape(-1).astype(np.float64)},
        FIELDS | {"another": np.zeros((2, 3))},
    ):
        assert same(read_recording(write(tmp_path / f"a.{kind}", kind, fields)), RECORDING)


def test_waveforms_need_neither_symbols_nor_modulation(tmp_path, fast):
    fields = {k: v for k, v in FIELDS.items() if k not in ("symbols", "modulation")}
    read = read_recording(write(tmp_path / "a.mat", "mat", fields))
    assert read.symbols is None and read.modulation is None
    # Of no known constellation: at mean power 1.
    gaussian = read_recording(write(tmp_path / "a.npz", "npz", fields | {"symbols": WAVEFORM}))
    assert np.mean(np.abs(gaussian.symbols) ** 2) == pytest.approx(1)


NOT_NUMBERS = [np.nan, np.inf, -np.inf, 1e300, -1e9, "text", 1j, [1.0, 2.0], [], None, True]
ONE = st.sampled_from(NOT_NUMBERS)
SIZES = st.sampled_from([(), (0,), (1,), (2, 1500), (1500, 2), (3, 10, 100), (0, 5)])
TYPES = st.sampled_from(["f4", "f8", "i2", "u1", "?", "c8", "c16", "f2", "U3", "S3"])


@st.composite
def poison(draw, good):
    """A complex vector with something in it that no waveform has."""
    bad = np.array(good)
    value = draw(st.sampled_from([np.nan, np.inf, -np.inf, complex(0, np.nan), 1e200, 1e-310]))
    if np.isfinite(value) and abs(value) < 1:
        return bad * value
    bad[draw(st.integers(0, bad.size - 1))] = value
    return bad


@st.composite
def misfits(draw):
    """A field, and a value of it that does not fit."""
    name = draw(st.sampled_from(list(FIELDS)))
    if name == "modulation":
        return name, draw(st.sampled_from(["8psk", "", "16qam" * 1000, 16.0, 4j, [1.0, 2.0]]))
    if name in ("waveform", "symbols"):
        if draw(st.booleans()):
            return name, draw(poison(FIELDS[name]))
        shape, dtype = draw(SIZES), draw(TYPES)
        if dtype[0] == "c" and shape not in ((2, 1500), (1500, 2), (3, 10, 100), (0,), (0, 5)):
            return name, np.zeros(100, dtype)  # nothing but 0
        return name, np.ones(shape, dtype)
    return name, draw(ONE)


@given(misfits())
@settings(max_examples=400, deadline=None)
def test_a_field_that_does_not_fit_is_named(misfit):
    name, value = misfit
    fields = {k: np.asarray(v) for k, v in FIELDS.items()}
    if value is None:
        del fields[name]
    else:
        fields[name] = np.asarray(value)
    with pytest.raises(InputError, match=rf"^(waveform, )?{name}\b|^sample_rate_hz = .*{name}"):
        recording._recording(fields)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_rate_hz": 46e9}, "sample_rate_hz = 4.6e.10: must be an integer up to 64, or a"),
        ({"sample_rate_hz": 20e9}, "sample_rate_hz = 2e.10: must be an integer up to 64, or a"),
        ({"sample_rate_hz": 20e9 * 65}, "sample_rate_hz = 1.3e.12: must be an integer up to 64"),
        ({"bits": np.zeros(400)}, "symbols, bits: must be one of them"),
        ({"symbols": SYMBOLS[:63]}, "symbols: 63 symbols: must be 64..16777216"),
        ({"symbols": SYMBOLS * np.exp(0.3j)}, "symbols: element 0 of 0.. .* must be points of 16q"),
        ({"symbols": SYMBOLS + 0.05}, "symbols: element .* must be points of 16qam"),
        ({"symbols": None, "bits": np.zeros(401)}, "bits: 401 of them: must be 4 for each symbol"),
        ({"symbols": None, "bits": np.full(400, 2)}, "bits: .* must be numbers 0 and 1"),
        ({"symbols": None, "bits": np.zeros((4, 100))}, r"bits: of shape \(4, 100\): must be a v"),
        ({"symbols": None, "bits": np.full(400, np.nan)}, "bits: .* must be numbers 0 and 1"),
        ({"symbols": None, "bits": np.zeros(400), "modulation": None}, "bits: must come with mod"),
        (
            {"waveform": np.ones((3, 3000), complex)},
            r"must be a complex vector, or of shape \(2, n",
        ),
        ({"waveform": np.ones((2, 3000), complex)}, "waveform, symbols: of 2 and 1 polarisations"),
    ],
)
def test_fields_that_do_not_fit_together(changes, message):
    fields = {k: np.asarray(v) for k, v in (FIELDS | changes).items() if v is not None}
    with pytest.raises(InputError, match=message):
        recording._recording(fields)


def test_levels_may_be_a_little_off():
    noisy = SYMBOLS * 3 + 1e-4 * WAVEFORM[:1500]
    fields = {k: np.asarray(v) for k, v in (FIELDS | {"symbols": noisy}).items()}
    assert np.array_equal(recording._recording(fields).symbols, SYMBOLS)


@st.composite
def damages(draw):
    """A kind of file and what becomes of its bytes: cut, or some of them changed."""
    kind = draw(st.sampled_from(KINDS))
    place = st.floats(0, 1, exclude_max=True)
    if draw(st.integers(0, 3)) == 0:
        share = draw(place)
        return kind, lambda content: content[: int(share * len(content))]
    # Where the structure is: often at the start, and of .npz at the end.
    near = place.map(lambda x: x**6) | place.map(lambda x: 1 - (1 - x) ** 6) | place
    places = draw(st.lists(near, min_size=1, max_size=6))
    masks = draw(st.lists(st.integers(1, 255), min_size=6, max_size=6))

    def change(content):
        changed = bytearray(content)
        for share, mask in zip(places, masks, strict=False):
            changed[min(int(share * len(changed)), len(changed) - 1)] ^= mask
        return bytes(changed)

    return kind, change


@pytest.mark.slow
def test_damaged_files_are_read_as_they_were_or_refused_in_one_line(tmp_path, fast, monkeypatch):
    whole = {kind: write(tmp_path / f"a.{kind}", kind, FIELDS).read_bytes() for kind in KINDS}
    out = tmp_path / "RUN"
    monkeypatch.setattr(_ber_of_waveform, "find_design", lambda *_: (DESIGN, None))
    seen = {kind: [0, 0] for kind in KINDS}
    recordings = []
    read = read_recording
    monkeypatch.setattr(
        _ber_of_waveform, "read_recording", lambda p: recordings.append(read(p)) or recordings[-1]
    )

    @given(damages())
    @examples(100)
    def check(damage):
        kind, change = damage
        path = tmp_path / f"b.{kind}"
        path.write_bytes(change(whole[kind]))
        recordings.clear()
        with contextlib.redirect_stderr(io.StringIO()) as err:
            # Where it can be read, nothing of the symbols is to be found in the waveform.
            assert cli.main(["ber", "design", f"--waveform={path}", f"--out={out}"]) == 2
        assert err.getvalue().count("\n") == 1
        assert err.getvalue().startswith(f"dbp: error: {path}: ")
        assert not out.exists()
        seen[kind][len(recordings)] += 1
        # What has a checksum is what it was, if it still has its name. Nothing can tell of others.
        if recordings and kind in ("npz", "mat"):
            (read,) = recordings
            assert read.symbols is None or read.modulation is None or same(read, RECORDING)

    check()
    assert all(refused > 1 for refused, _ in seen.values()), seen
    assert 1 not in fast.statuses  # a traceback


def npz_with(path, header, content=b"", **changes):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in FIELDS.items():
            array = io.BytesIO()
            np.save(array, value)
            archive.writestr(f"{name}.npy", array.getvalue())
        text = repr(header).encode().ljust(117) + b"\n"
        start = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little")
        archive.writestr("bits.npy", start + text + content)


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((10**12,), "<f8", "at most 536870912 bytes"),
        ((10**30, 10**30), "<f8", "at most 536870912 bytes"),
        ((-1,), "<f8", "at most 536870912 bytes"),
        ((1,), "<U268435456", "at most 536870912 bytes"),
        ((10**6,), "<f8", "bytes or more: must be the 8000000 it states"),
        ((3,), "|u1", "4 bytes or more: must be the 3 it states"),
        ((3,), "|O", "must be an array of numbers, or a text"),
        ((3,), "|V8", "must be an array of numbers, or a text"),
    ],
)
def test_sizes_are_checked_before_memory_is_taken(shape, dtype, message, tmp_path, fast):
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    npz_with(tmp_path / "a.npz", header, b"1234")
    with pytest.raises(InputError, match=rf"a.npz: bits: .*{message}"):
        read_recording(tmp_path / "a.npz")


def test_a_name_changed_in_one_of_its_two_places_is_noticed(tmp_path, fast):
    path = write(tmp_path / "a.npz", "npz", FIELDS)
    content = path.read_bytes()
    for place in (content.find(b"symbols.npy"), content.rfind(b"symbols.npy")):
        path.write_bytes(content[:place] + b"Z" + content[place + 1 :])
        with pytest.raises(InputError, match=r"a.npz: not readable: "):
            read_recording(path)


def test_other_compressions_are_refused(tmp_path, fast):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("waveform.npy", b"")
    with pytest.raises(InputError, match=r"a.npz: waveform: must be stored or deflated"):
        read_recording(tmp_path / "a.npz")


def test_huge_matlab_and_hdf5_arrays_are_refused(tmp_path, fast):
    path = write(tmp_path / "a.mat", "plain.mat", FIELDS)
    content = path.read_bytes()
    size, huge = (np.array(shape, "<i4").tobytes() for shape in ((1, 3000), (2**30, 2**30)))
    assert size in content
    path.write_bytes(content.replace(size, huge, 1))
    with pytest.raises(InputError, match=r"a.mat: waveform: .*at most 536870912 bytes"):
        read_recording(path)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("waveform", (1 << 40,), np.complex64, chunks=(1 << 20,))
    with pytest.raises(InputError, match=r"a.h5: waveform: .*at most 536870912 bytes"):
        read_recording(tmp_path / "a.h5")


@pytest.mark.parametrize("name", ["waveform", "symbols"])
def test_vectors_have_at_most_so_many_elements(name, monkeypatch):
    monkeypatch.setattr(recording, "MAX_SAMPLES", FIELDS[name].size - 1)
    fields = {k: np.asarray(v) for k, v in FIELDS.items()}
    with pytest.raises(InputError, match=f"^{name}: .* must be .*{FIELDS[name].size - 1}"):
        recording._recording(
            fields | {"waveform": WAVEFORM[: len(WAVEFORM) if name == "waveform" else 100]}
        )


def test_hdf5_files_do_not_reach_other_files(tmp_path, fast):
    other = write(tmp_path / "other.h5", "h5", FIELDS)
    raw = tmp_path / "raw"
    raw.write_bytes(WAVEFORM.tobytes())
    layout = h5py.VirtualLayout((3000,), np.complex128)
    layout[:] = h5py.VirtualSource(other, "waveform", (3000,))

    def refused(make, message):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            for name, value in FIELDS.items():
                if name != "waveform":
                    file[name] = value
            make(file)
        with pytest.raises(InputError, match=f"a.h5: waveform: {message}"):
            read_recording(tmp_path / "a.h5")

    def link(value):
        return lambda file: file.__setitem__("waveform", value)

    refused(link(h5py.ExternalLink("other.h5", "/waveform")), "must be a dataset of the file")
    refused(link(h5py.SoftLink("/symbols")), "must be a dataset of the file")
    refused(lambda file: file.create_group("waveform"), "must be a dataset, no group")
    refused(lambda file: file.create_virtual_dataset("waveform", layout), "must be stored in")
    refused(
        lambda file: file.create_dataset(
            "waveform", (3000,), np.complex128, external=[(str(raw), 0, h5py.h5f.UNLIMITED)]
        ),
        "must be stored in",
    )
    refused(
        lambda file: file.create_dataset("waveform", data=WAVEFORM, compression="lzf"),
        "filters must be gzip",
    )


def test_what_is_no_file_of_the_kinds_is_refused(tmp_path, fast):
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "folder.mat").mkdir()
    for path, message in (
        ("pipe.npz", "no such file"),
        ("folder.mat", "no such file"),
        ("none.h5", "no such file"),
        ("a.wav", "must end in .npz, .mat, .h5, .hdf5"),
        ("empty.npz", "not readable"),
        ("empty.mat", "not readable"),
        ("empty.h5", "not readable"),
    ):
        if path.startswith("empty"):
            (tmp_path / path).touch()
        with pytest.raises(InputError, match=re.escape(path) + f": {message}"):
            read_recording(tmp_path / path)


def test_a_string_object_of_matlab_is_no_text(tmp_path, fast):
    fields = FIELDS | {"modulation": {"a": 1.0}}  # a struct
    with pytest.raises(InputError, match="modulation: of type"):
        read_recording(write(tmp_path / "a.mat", "mat", fields))


def test_a_reader_that_crashes_or_hangs_is_one_line(tmp_path, monkeypatch):
    path = write(tmp_path / "a.npz", "npz", FIELDS)
    monkeypatch.setattr(untrusted_files, "TIME_LIMIT_S", 0.001)
    with pytest.raises(InputError, match=r"a.npz: damaged"):
        read_recording(path)
    monkeypatch.undo()
    monkeypatch.setattr(untrusted_files, "_in_a_process", lambda _: (-11, b"", ""))
    with pytest.raises(InputError, match=r"a.npz: damaged: the library that reads it crashed"):
        read_recording(path)
