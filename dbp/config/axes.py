"""The axes of a search: keys of a configuration and the values that they may take, in order.

``[explore.axes]`` has two forms, which may stand beside each other::

    learned.taps = [11, 13, 15]
    rate = [
      {link.adc_samples_per_symbol = "2", learned.taps = 15},
      {link.adc_samples_per_symbol = "3/2", learned.taps = 13},
    ]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dbp.errors import InputError, shown
from dbp.support.text import did_you_mean

# Tables of which every key may be varied, and keys of others: what is compared must have one link.
TABLES = ("learned", "datapath", "training")
KEYS = ("link.adc_samples_per_symbol", "link.adc_filter_roll_off")
MAX_AXES = 100
MAX_VALUES = 1000

# Values by key, such as ``learned.taps``.
Changes = Mapping[str, Any]


@dataclass(frozen=True)
class Axis:
    """``values``: what each place on the axis sets, in order; neighbours are one notch apart."""

    name: str
    values: tuple[Changes, ...]


def parse(tables: Mapping[str, Any]) -> tuple[Axis, ...]:
    """Return the axes of the table ``[explore.axes]``, in the order of their names.

    Raises `InputError` where a key cannot be varied, or an axis has no values, or one twice.
    """
    found = (axis for name, content in tables.items() for axis in _axes(name, content))
    axes = tuple(sorted(found, key=lambda axis: axis.name))
    if len(axes) > MAX_AXES:
        raise InputError(f"explore.axes: {len(axes)} axes: must be at most {MAX_AXES}")
    first_of: dict[str, str] = {}
    for axis in axes:
        for key in dict.fromkeys(key for changes in axis.values for key in changes):
            if key in first_of:
                both = f"{first_of[key]} and {axis.name}"
                raise InputError(f"explore.axes: {key}: must be on one axis, is on {both}")
            first_of[key] = axis.name
    return axes


def _axes(name: str, content: Any) -> Iterator[Axis]:
    if isinstance(content, Mapping):
        for key, values in content.items():
            path = f"{name}.{key}"
            _check_key(path)
            yield _axis(path, values, [{path: value} for value in _listed(path, values)])
        return
    changes = []
    for number, tables in enumerate(_listed(name, content)):
        changes.append(dict(_joint(f"{name}[{number}]", tables)))
        if set(changes[-1]) != set(changes[0]):
            raise InputError(
                f"explore.axes.{name}[{number}]: sets {', '.join(changes[-1])}: must set the keys "
                f"of the first, {', '.join(changes[0])}"
            )
    yield _axis(name, content, changes)


def _joint(place: str, tables: Any) -> Iterator[tuple[str, Any]]:
    """Yield keys and values of one place on an axis that sets several."""
    if not isinstance(tables, Mapping) or not tables:
        raise InputError(
            f"explore.axes.{place} = {shown(tables)}: must be a table of keys and values, such as "
            "{learned.taps = 13}"
        )
    for table, keys in tables.items():
        if not isinstance(keys, Mapping) or not keys:
            raise InputError(
                f"explore.axes.{place}.{table} = {shown(keys)}: must be a table of keys and values"
            )
        for key, value in keys.items():
            _check_key(f"{table}.{key}")
            yield f"{table}.{key}", value


def _check_key(path: str) -> None:
    table, _, key = path.partition(".")
    if table in TABLES or path in KEYS:
        return  # whether there is such a key shows where a value is set
    known = (*(f"{name}.{key}" for name in TABLES), *KEYS)
    raise InputError(
        f"explore.axes.{path}: must be a key of {', '.join(TABLES)}, or "
        f"{' or '.join(KEYS)}{did_you_mean(path, known)}"
    )


def _listed(name: str, values: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(values, list | tuple) or not 1 <= len(values) <= MAX_VALUES:
        raise InputError(
            f"explore.axes.{name} = {shown(values)}: must be a list of 1..{MAX_VALUES} values"
        )
    return values


def _axis(name: str, values: Any, changes: list[dict[str, Any]]) -> Axis:
    for number, value in enumerate(changes):
        if value in changes[:number]:
            raise InputError(f"explore.axes.{name} = {shown(values)}: must not have a value twice")
    return Axis(name, tuple(changes))
