"""``metrics.json``: the figures of one stage, with the provenance that every stage states alike."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import dbp
from dbp.files import write_json


class Stopwatch:
    """Wall time in seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self._start, 3)


def package_versions(*packages: str) -> dict[str, str]:
    """Versions of dbp, Python and the named installed distributions."""
    return {
        "dbp": dbp.__version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
    }


def write_metrics(
    path: str | Path,
    figures: Mapping[str, Any],
    *,
    design_hash: str | None,
    config_hash: str | None,
    seed: int | None,
    versions: Mapping[str, str],
    stopwatch: Stopwatch,
) -> dict[str, Any]:
    """Write the figures with their provenance, atomically, and return what was written.

    A stage that has no configuration or no seed of its own writes null there.
    """
    content = {
        **figures,
        "design_hash": design_hash,
        "config_hash": config_hash,
        "seed": seed,
        "versions": dict(versions),
        "wall_time_s": stopwatch.seconds,
    }
    write_json(path, content)
    return content
