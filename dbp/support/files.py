"""Files of a run: written atomically, so that a killed run never leaves half a file behind."""

from __future__ import annotations

import csv
import io
import json
import secrets
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dbp.errors import InputError, one_line, shown

# More than any file of ours unpacks to, so that a small file cannot fill the memory.
MAX_NPZ_BYTES = 4 << 30


def is_file(path: str | Path) -> bool:
    """Whether there is a file; `InputError` where one may not look, or the name is none."""
    try:
        return Path(path).is_file()
    except OSError as error:
        raise InputError(f"{shown(str(path))}: cannot be read: {error.strerror}") from None


def read_bytes(path: str | Path) -> bytes:
    """The content of a file; `InputError` where there is none. A pipe might never end."""
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise InputError(f"{path}: cannot be read: no regular file")
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read: {error}") from None


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file atomically: a temporary file beside it, then a rename. Makes the folders."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile: its files are private, and to learn which rights an ordinary new file has, the
    # umask of all threads would have to be changed for a moment.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON atomically; NaN and infinities, which are no JSON, are refused."""
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
    """All arrays of an ``.npz``; `InputError` where it is missing, damaged or holds objects."""
    content = read_bytes(path)
    try:
        # Through memory: numpy leaves a file open when it turns out not to be an archive.
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            if sum(member.file_size for member in file.zip.infolist()) > MAX_NPZ_BYTES:
                raise ValueError(f"unpacks to more than {MAX_NPZ_BYTES >> 30} GiB")
            if len(set(file.files)) < len(file.files):
                raise ValueError("holds an array twice")
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # there is hardly a kind that numpy's and zipfile's parsers lack
        # zipfile's may show all of a name that is none.
        raise InputError(f"{path}: not a readable .npz file: {one_line(error, 300)}") from None
    for name, array in arrays.items():
        # numpy gives bytes where it does not begin as an array does, and as many values of no
        # length as a file claims.
        if not isinstance(array, np.ndarray) or not array.dtype.itemsize:
            raise InputError(f"{path}: not a readable .npz file: {shown(name)} is no array")
    return arrays
