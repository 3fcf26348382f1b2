"""Arrays that are expensive to compute, kept on disk from one run to the next.

The cache lies in ``$DBP_CACHE``, else ``$XDG_CACHE_HOME/dbp``, else ``~/.cache/dbp``, and may be
deleted at any time. An entry is a ``.npy`` file named by the SHA-256 of its key and followed by a
checksum of key and content, so that a damaged one is found, removed and computed again. Entries
appear whole or not at all; several processes may use the cache at once. It holds at most
`LIMIT_BYTES`: the entries longest unused make room for new ones.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbp.support.files import write_bytes

LIMIT_BYTES = 8 << 30
# Entries spread evenly over so many folders, each with its part of the limit: making room lists
# one of them only.
_SHARDS = 256
_CHECKSUM_BYTES = hashlib.sha256().digest_size


def folder() -> Path:
    """Where the entries are."""
    if own := os.environ.get("DBP_CACHE"):
        return Path(own)
    if caches := os.environ.get("XDG_CACHE_HOME"):
        return Path(caches) / "dbp"
    try:
        return Path.home() / ".cache" / "dbp"
    except RuntimeError:  # a user without a home: no folder either, so that nothing is kept
        return Path(os.devnull) / "dbp"


def array(key: Mapping[str, Any], compute: Callable[[], NDArray]) -> NDArray:
    """What ``compute()`` gives, from disk where a call with the same key has left it.

    ``key``: everything that the array depends on, as JSON can hold it. An array of objects is
    refused. Where the cache cannot be written the array is computed, with one warning.
    """
    text = json.dumps(key, sort_keys=True, allow_nan=False).encode()
    name = hashlib.sha256(text).hexdigest()
    path = folder() / name[:2] / f"{name}.npy"
    found = _read(path, text)
    if found is not None:
        return found
    computed = compute()
    content = io.BytesIO()
    np.save(content, computed, allow_pickle=False)
    body = content.getvalue()
    try:
        _make_room(path.parent, len(body))
        write_bytes(path, body + _checksum(text, body))
    except OSError as error:
        _warn(f"cache {folder()}: {error.strerror}; what cannot be kept is computed every time")
    return computed


def _read(path: Path, text: bytes) -> NDArray | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    body, checksum = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:]
    if checksum != _checksum(text, body):
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    # The time of last use; in a folder that only others may write, nothing is evicted either.
    with contextlib.suppress(OSError):
        os.utime(path)
    return np.load(io.BytesIO(body), allow_pickle=False)


def _checksum(text: bytes, body: bytes) -> bytes:
    return hashlib.sha256(text + body).digest()


def _make_room(shard: Path, size: int) -> None:
    """Remove what was longest unused (and what killed writers left) until ``size`` bytes fit."""
    shard.mkdir(parents=True, exist_ok=True)
    entries = []
    with os.scandir(shard) as files:
        for file in files:
            with contextlib.suppress(FileNotFoundError):  # another process evicts as well
                status = file.stat()
                entries.append((status.st_mtime_ns, status.st_size, file.path))
    excess = sum(entry[1] for entry in entries) + size - LIMIT_BYTES // _SHARDS
    for _, freed, path in sorted(entries):
        if excess <= 0:
            break
        Path(path).unlink(missing_ok=True)
        excess -= freed


@functools.cache
def _warn(message: str) -> None:
    logging.getLogger(__name__).warning(message)
