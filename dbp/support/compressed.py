"""Files from outside that may be packed by gzip, and may be none that end."""

from __future__ import annotations

import gzip
import stat
import zlib
from pathlib import Path
from typing import BinaryIO

from dbp.errors import InputError


def open_binary(path: str | Path) -> BinaryIO:
    """Open a file, packed by gzip or not; `InputError` where that fails. A pipe might never end."""
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise InputError(f"{path}: cannot be read: no regular file")
        with Path(path).open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        return gzip.open(path) if packed else Path(path).open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def read_packed(path: str | Path, most: int, kind: str) -> bytes:
    """The content of a file, packed by gzip or not; `InputError` above ``most`` bytes of it.

    So that a small file cannot fill the memory. ``kind``: what the file holds, for errors.
    """
    with open_binary(path) as file:
        try:
            content = file.read(most + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{path}: cannot be read: {error}") from None
    if len(content) > most:
        raise InputError(f"{path}: more than {most >> 20} MiB of {kind} text")
    return content
