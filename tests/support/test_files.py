"""Files are written whole or not at all, and read only where that is safe."""

import errno
import gzip
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dbp.errors import InputError
from dbp.support import files


def test_write_makes_folders_and_replaces(tmp_path):
    path = tmp_path / "a" / "b.txt"
    files.write_text(path, "one")
    files.write_text(path, "two")
    assert path.read_text() == "two"
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "b.txt"
    files.write_text(path, "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["b.txt"]


def test_rights_are_those_of_an_ordinary_file(tmp_path):
    (tmp_path / "plain").touch()
    files.write_text(tmp_path / "ours", "x")
    rights = {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert len(rights) == 1


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def test_csv_has_a_line_per_row_and_nothing_for_none(tmp_path):
    files.write_csv(tmp_path / "x.csv", [{"a": "one, two", "b": 1e-4}, {"a": "three", "b": None}])
    assert (tmp_path / "x.csv").read_bytes() == b'a,b\n"one, two",0.0001\nthree,\n'


@pytest.mark.parametrize("value", [0, 255])
def test_an_archive_with_a_wrong_byte_is_read_or_refused(value, tmp_path):
    path = tmp_path / "a.npz"
    files.write_npz(path, x=np.random.default_rng(0).integers(0, 9, 200), name="text")
    content = path.read_bytes()
    refused = 0
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
        try:
            files.read_npz(path)
        except InputError as error:
            refused += str(error).startswith(f"{path}: not a readable .npz file: ")
    assert refused > len(content) / 2


def test_what_zipfile_says_of_a_name_that_is_none_is_cut(tmp_path, monkeypatch):
    def load(*arguments, **options):
        raise ValueError("\x00" * 9000)

    (tmp_path / "a.npz").write_bytes(b"PK")
    monkeypatch.setattr(files.np, "load", load)
    with pytest.raises(InputError) as raised:
        files.read_npz(tmp_path / "a.npz")
    assert len(str(raised.value)) < 2000 and str(raised.value).isprintable()


def test_gzip_is_unpacked_and_plain_files_are_read_as_they_are(tmp_path):
    content = b"module m; endmodule\n" * 100
    (tmp_path / "plain").write_bytes(content)
    # The kind is read from the file, whatever its name.
    (tmp_path / "packed").write_bytes(gzip.compress(content))
    for name in ("plain", "packed"):
        path = tmp_path / name
        assert files.read_gzip_or_plain(path, len(content), "Verilog") == content
        with files.open_gzip_or_plain(path) as file:
            assert file.read() == content
        with pytest.raises(InputError, match=f"{name}: more than 0 MiB of Verilog text"):
            files.read_gzip_or_plain(path, len(content) - 1, "Verilog")


def test_a_damaged_or_missing_file_and_a_pipe_are_refused(tmp_path):
    packed = gzip.compress(b"x" * 10_000)
    (tmp_path / "cut").write_bytes(packed[:-20])
    (tmp_path / "wrong").write_bytes(packed[:15] + bytes([packed[15] ^ 255]) + packed[16:])
    os.mkfifo(tmp_path / "pipe")
    for name in ("cut", "wrong", "pipe", "missing"):
        with pytest.raises(InputError, match=f"{name}: cannot be read: "):
            files.read_gzip_or_plain(tmp_path / name, 1 << 20, "Verilog")
    for name in ("pipe", "missing"):
        with pytest.raises(InputError, match=f"{name}: cannot be read: "):
            files.read_bytes(tmp_path / name)


def test_a_write_that_fails_names_the_file(tmp_path):
    # A limit on the size of files fails as a full disk does, and takes no disk.
    code = (
        "import resource, sys; from dbp.support.files import write_bytes\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_bytes(sys.argv[1], bytes(2000))\n"
        "except OSError as error: print(error.filename, error.strerror, sep=': ')"
    )
    path = tmp_path / "folder" / "metrics.json"
    run = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert run.stdout == f"{path}: File too large\n"
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("without", ["O_TMPFILE", "link"])
def test_files_are_written_whole_where_the_system_wants_names(without, tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    if without == "link":
        monkeypatch.setattr(os, "link", refuse)
    else:
        monkeypatch.delattr(os, "O_TMPFILE")
    for content in (b"first", b"second"):
        files.write_bytes(tmp_path / "file", content)
        assert [path.name for path in tmp_path.iterdir()] == ["file"]
        assert (tmp_path / "file").read_bytes() == content


def test_a_new_file_has_the_rights_of_any_other(tmp_path):
    (tmp_path / "other").touch()
    files.write_bytes(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


MARK = "\ufeff"


@pytest.mark.parametrize("packed", [False, True])
def test_a_byte_order_mark_is_no_part_of_a_text(packed, tmp_path):
    path, text = tmp_path / "a.txt", "seed = 1\n"
    content = (MARK + text).encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    assert files.read_gzip_or_plain(path, 100, "CSV") == text.encode()
    with files.open_gzip_or_plain(path) as file:
        assert next(iter(file)) == text.encode()
    if not packed:
        assert files.read_text(path) == text


@pytest.mark.parametrize("text", ["module m;\n", "[]", "\u00e9t\u00e9", ""])
def test_texts_without_a_mark_are_read_as_they_are(text, tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode())
    assert files.read_text(path) == text
    assert files.read_gzip_or_plain(path, 100, "Verilog") == text.encode()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_wider_encoding_is_one_clear_line(encoding, tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("seed = 1\n".encode(encoding))
    for read in (
        files.read_text,
        files.open_gzip_or_plain,
        lambda path: files.read_gzip_or_plain(path, 100, "CSV"),
    ):
        with pytest.raises(InputError, match=r"cannot be read: text in UTF-(16|32): save it"):
            read(path)


def test_another_encoding_is_told(tmp_path):
    (tmp_path / "a.txt").write_bytes("# été".encode("latin-1"))
    with pytest.raises(InputError, match=r"cannot be read: .*must be text in UTF-8"):
        files.read_text(tmp_path / "a.txt")
