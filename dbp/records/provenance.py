"""``metrics.json``: the figures of one stage, with the provenance that every stage states alike.

A stage builds its model of `dbp.records.schemas`, which checks the figures, and writes it::

    metrics = RtlMetrics(lanes=4, ..., **provenance(design_hash=design.hash, ...))
    write_metrics(folder / "metrics.json", metrics)
"""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

import dbp
from dbp.errors import InputError
from dbp.support.files import read_text, write_json
from dbp.support.text import html_table

# Limits of the one line that shows a stage's figures.
MOST_FIGURES = 10
LONGEST_FIGURE = 24


class Metrics(BaseModel):
    """The provenance of a stage's figures; the figures are the fields of its subclasses."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    design_hash: str | None
    """SHA-256 of the design; null where a stage has none."""
    config_hash: str | None
    """SHA-256 of the configuration with all defaults; null where a stage has none."""
    seed: int | None
    """Seed of the random numbers; null where a stage has none."""
    versions: dict[str, str]
    """Versions of dbp, Python and the packages and programs that made the figures."""
    wall_time_s: float
    """Time that the stage took."""

    def content(self) -> dict[str, Any]:
        """Return what ``metrics.json`` holds: the figures as declared, then the provenance.

        A field that was not given is left out, so that a default is for readers of older files.
        """
        fields = self.model_dump(mode="json", exclude_unset=True)
        last = {name: fields.pop(name) for name in Metrics.model_fields}
        return fields | last

    def __repr__(self) -> str:
        figures = ", ".join(f"{name}={_short(value)}" for name, value in self._figures())
        return f"{type(self).__name__}({figures})"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return html_table([(name, _short(value)) for name, value in self._figures()])

    def _figures(self) -> list[tuple[str, object]]:
        """The single values among the figures: what fits a line. Tables and texts are left out."""
        return [
            (name, getattr(self, name))
            for name in type(self).model_fields
            if name not in Metrics.model_fields
            and isinstance(getattr(self, name), bool | int | float | str)
            and len(str(getattr(self, name))) <= LONGEST_FIGURE
        ][:MOST_FIGURES]


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


AnyMetrics = TypeVar("AnyMetrics", bound=Metrics)


class Stopwatch:
    """Wall time in seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self._start, 3)


class Provenance(TypedDict):
    """The fields of `Metrics`, as arguments of its subclasses."""

    design_hash: str | None
    config_hash: str | None
    seed: int | None
    versions: dict[str, str]
    wall_time_s: float


def provenance(
    *,
    design_hash: str | None,
    config_hash: str | None,
    seed: int | None,
    versions: Mapping[str, str],
    stopwatch: Stopwatch,
) -> Provenance:
    """Return the fields of `Metrics`; the wall time is that of the stopwatch at this moment."""
    return {
        "design_hash": design_hash,
        "config_hash": config_hash,
        "seed": seed,
        "versions": dict(versions),
        "wall_time_s": stopwatch.seconds,
    }


def package_versions(*packages: str) -> dict[str, str]:
    """Return the versions of dbp, Python and the named installed distributions."""
    return {
        "dbp": dbp.__version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
    }


def write_metrics(path: str | Path, metrics: AnyMetrics) -> AnyMetrics:
    """Write a stage's metrics atomically as JSON, and return them.

    `ValueError` for a key that is no field of the model: only files of others may have such.
    """
    if metrics.model_extra:
        raise ValueError(f"{type(metrics).__name__}: no fields {', '.join(metrics.model_extra)}")
    write_json(path, metrics.content())
    return metrics


def read_metrics(path: Path, kind: type[AnyMetrics]) -> AnyMetrics | None:
    """Return a stage's metrics, None without the file; `InputError` where a field does not fit."""
    if not path.is_file():
        return None
    try:
        return kind.model_validate_json(read_text(path))
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"]) or "the file"
        raise InputError(f"{path}: {field}: {problem['msg']}: run that stage again") from None
