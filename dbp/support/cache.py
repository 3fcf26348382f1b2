"""Keep arrays that are expensive to compute on disk, from one run to the next.

The cache lies in ``$DBP_CACHE``, else ``$XDG_CACHE_HOME/dbp``, else ``~/.cache/dbp``, and may be
deleted at any time. An entry is a ``.npy`` file named by the SHA-256 of its key. A checksum of key
and content follows the array, so that a damaged entry is noticed, removed and computed again.
Entries appear whole or not at all; several processes may use the cache at once. It holds at most
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
# Entries spread evenly over this number of folders, each with its part of the limit, so that making
# room lists one folder only.
_SHARDS = 256
_CHECKSUM_BYTES = hashlib.sha256().digest_size


def folder() -> Path:
    """Return the folder that holds the entries."""
    if own := os.environ.get("DBP_CACHE"):
        return Path(own)
    if caches := os.environ.get("XDG_CACHE_HOME"):
        return Path(caches) / "dbp"
    try:
        return Path.home() / ".cache" / "dbp"
    except RuntimeError:  # a user without a home: below this path nothing can be kept
        return Path(os.devnull) / "dbp"


def array(key: Mapping[str, Any], compute: Callable[[], NDArray]) -> NDArray:
    """Return the array of a key from disk, or else compute and keep it.

    ``key``: everything that the array depends on, as JSON can hold it. An array of objects raises
    `ValueError`. Where the cache cannot be written, every call computes, and one warning says so.
    """
    text = json.dumps(key, sort_keys=True, allow_nan=False).encode()
    name = hashlib.sha256(text).hexdigest()
    path = folder() / name[:2] / f"{name}.npy"
    kept = _read(path, text)
    if kept is not None:
        return kept
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
    # The time of last use. In a folder that only others may write, nothing is evicted either.
    with contextlib.suppress(OSError):
        os.utime(path)
    return np.load(io.BytesIO(body), allow_pickle=False)


def _checksum(text: bytes, body: bytes) -> bytes:
    return hashlib.sha256(text + body).digest()


def _make_room(shard: Path, size: int) -> None:
    """Remove what is longest unused, files of killed writers included, until ``size`` bytes fit."""
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
