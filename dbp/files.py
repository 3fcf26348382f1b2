"""Files of a run: written atomically, so that a killed run never leaves half a file behind."""

from __future__ import annotations

import csv
import io
import json
import secrets
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dbp.errors import InputError


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
    try:
        # Through memory: numpy leaves a file open when it turns out not to be an archive.
        with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (
        *(OSError, ValueError, EOFError, AttributeError),
        # What zipfile raises: RuntimeError where a file asks for what it cannot do.
        *(zipfile.BadZipFile, zlib.error, RuntimeError),
    ) as error:
        raise InputError(f"{path}: not a readable .npz file: {error}") from None
