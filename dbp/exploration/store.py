"""What a search has computed, on disk: a file for each step of each candidate, named by its key.

A result is a pure function of its key (`dbp.exploration.tasks`), so that one which is there need
not be computed again: a killed search goes on to the same end. A file appears whole or not at all.
A checksum of key and content follows the content; a damaged file counts as missing.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from dbp.support.files import write_bytes

_CHECKSUM_BYTES = hashlib.sha256().digest_size


class Store:
    """The results in a folder, which is made with the first of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, kind: str, key: str) -> bytes | None:
        """Return a sound result of that kind and key, None where there is none."""
        try:
            content = self._path(kind, key).read_bytes()
        except OSError:
            return None
        body, checksum = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:]
        return body if checksum == _checksum(kind, key, body) else None

    def add(self, kind: str, key: str, body: bytes) -> None:
        """Keep a result: it is on disk when this returns."""
        write_bytes(self._path(kind, key), body + _checksum(kind, key, body))

    def _path(self, kind: str, key: str) -> Path:
        return self._folder / f"{kind}-{key[:24]}"


def _checksum(kind: str, key: str, body: bytes) -> bytes:
    return hashlib.sha256(f"{kind} {key}\n".encode() + body).digest()
