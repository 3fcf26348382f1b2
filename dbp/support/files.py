"""Read files that anybody may have made, and write ours whole.

Reading refuses pipes and devices, which might never end, and small files that unpack to fill the
memory. Writing goes to a temporary file that is renamed, so that a killed run never leaves half a
file.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import os
import secrets
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from dbp.errors import InputError, one_line, shown

# More than any file of ours unpacks to, so that a small file cannot fill the memory.
MAX_NPZ_BYTES = 4 << 30
_GZIP_MAGIC = b"\x1f\x8b"
# Windows' editors and spreadsheets begin their texts with one of these. UTF-32's first: in bytes,
# the little-endian one begins like that of UTF-16.
_WIDE_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def is_file(path: str | Path) -> bool:
    """Whether there is a file; `InputError` for a name or a folder that cannot be looked up."""
    try:
        return Path(path).is_file()
    except OSError as error:
        raise InputError(f"{shown(str(path))}: cannot be read: {error.strerror}") from None


def read_bytes(path: str | Path) -> bytes:
    """Return the content of a regular file; `InputError` where it cannot be read."""
    try:
        _require_regular(path)
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read: {error}") from None


def read_text(path: str | Path) -> str:
    """Return the content of a regular text file in UTF-8, without its byte-order mark.

    `InputError` where it cannot be read or is of another encoding.
    """
    content = read_bytes(path)
    try:
        return content[_length_of_mark(content[:4], path) :].decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read: {error}: must be text in UTF-8") from None


def _length_of_mark(start: bytes, path: str | Path) -> int:
    """Bytes of UTF-8's byte-order mark at the ``start`` of a text; `InputError` for a wider code.

    Without a mark UTF-16 shows by zeros for every other byte.
    """
    found = next((name for mark, name in _WIDE_MARKS.items() if start.startswith(mark)), None)
    zeros = [byte == 0 for byte in start]
    if found is None and zeros in ([False, True] * 2, [True, False] * 2):
        found = "UTF-16"
    if found:
        raise InputError(f"{path}: cannot be read: text in {found}: save it in UTF-8")
    return len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0


def open_gzip_or_plain(path: str | Path) -> BinaryIO:
    """Open a regular text file and unpack it where it is gzip's; else `InputError`.

    It stands behind a byte-order mark. `InputError` also for another encoding than UTF-8.
    """
    try:
        _require_regular(path)
        with Path(path).open("rb") as file:
            is_gzip = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        # A GzipFile can do all that readers ask of it, but does not declare that it is a BinaryIO.
        opener = cast("Callable[[str | Path, str], BinaryIO]", gzip.open if is_gzip else open)
        with opener(path, "rb") as text:
            length = _length_of_mark(text.read(4), path)
        text = opener(path, "rb")
        text.seek(length)
    except (OSError, EOFError, zlib.error) as error:
        problem = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read: {problem}") from None
    return text


def read_gzip_or_plain(path: str | Path, max_bytes: int, kind: str) -> bytes:
    """Return the content of a file, unpacked where it is gzip's.

    ``kind``: what the file holds, for errors. `InputError` where it cannot be read or holds more
    than ``max_bytes``.
    """
    with open_gzip_or_plain(path) as file:
        try:
            content = file.read(max_bytes + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{path}: cannot be read: {error}") from None
    if len(content) > max_bytes:
        raise InputError(f"{path}: more than {max_bytes >> 20} MiB of {kind} text")
    return content


def _require_regular(path: str | Path) -> None:
    if not stat.S_ISREG(Path(path).stat().st_mode):
        raise InputError(f"{path}: cannot be read: no regular file")


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file atomically, and make the folders that it lies in.

    A temporary file of the same folder is written and then renamed. Where the system can do it, the
    file has no name until it is whole, so that nothing of a killed process stays. An `OSError`
    names the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile: its files are private, and to learn which rights an ordinary new file has, the
    # umask of all threads would have to be changed for a moment.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with naming(path):
        try:
            if not _write_unnamed(temporary, content):
                with temporary.open("xb") as file:
                    file.write(content)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _write_unnamed(path: Path, content: bytes) -> bool:
    """Write a file that gets its name at the end; False where the file system has no such thing."""
    try:
        descriptor = os.open(path.parent, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o666)
    except (OSError, AttributeError):
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        try:
            # Given a folder, Python follows the link, as it says it always does.
            os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor)
        except OSError:
            return False
    return True


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Give an `OSError` of the block the file's name, where it has none: a full disk tells none."""
    try:
        yield
    except OSError as error:
        is_temporary = Path(str(error.filename)).name.startswith(f".{Path(path).name}.")
        if error.errno is not None and (error.filename is None or is_temporary):
            error.filename, error.filename2 = str(path), None
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON atomically; NaN and infinities, which JSON does not know, raise `ValueError`."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_csv(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table atomically: a line per row, a column per key of the first; None is empty."""
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, table.getvalue())


def write_npz(path: str | Path, **arrays: Any) -> None:
    """Write a compressed ``.npz`` atomically."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """Return all arrays of an ``.npz``; `InputError` where it is missing or damaged.

    Arrays of objects are refused: reading them would run code of the file.
    """
    content = read_bytes(path)
    try:
        # Through memory: numpy leaves a file open that turns out to be no archive.
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            if sum(member.file_size for member in file.zip.infolist()) > MAX_NPZ_BYTES:
                raise ValueError(f"unpacks to more than {MAX_NPZ_BYTES >> 30} GiB")
            if len(set(file.files)) < len(file.files):
                raise ValueError("holds an array twice")
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # numpy's and zipfile's parsers raise almost every kind
        # zipfile may quote a whole damaged name.
        raise InputError(f"{path}: not a readable .npz file: {one_line(error, 300)}") from None
    for name, array in arrays.items():
        # numpy returns bytes for a member that does not begin as an array does, and as many
        # elements of no length as a file claims.
        if not isinstance(array, np.ndarray) or not array.dtype.itemsize:
            raise InputError(f"{path}: not a readable .npz file: {shown(name)} is no array")
    return arrays
