"""Sweeps of an evaluation: over designs, launch powers, and any keys of the link.

The table ``[sweep]`` of a configuration, or ``--sweep KEY=VALUES``, names keys of ``[link]`` and
their values; every combination is a link of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dbp import config
from dbp.errors import InputError

MAX_LINKS = 10_000


def number(text: str) -> int | float:
    """An integer where the text is one, else a float; `ValueError` for others and huge ones."""
    try:
        value: int | float = int(text)
    except ValueError:
        value = float(text)
    if not -1e12 < value < 1e12:
        raise ValueError
    return value


def values(text: str) -> tuple[int | float, ...]:
    """``START:STOP:STEP`` with both ends, or numbers with commas between them.

    Raises `ValueError`; at most 1,000 values.
    """
    if ":" not in text:
        return tuple(number(part) for part in text.split(","))
    start, stop, step = (number(part) for part in text.split(":"))
    count = (stop - start) / step if step > 0 else -1.0
    if not 0 <= count < 1000:
        raise ValueError
    return tuple(round(start + k * step, 6) for k in range(int(count + 1e-6) + 1))


def parse(text: str) -> tuple[str, tuple[Any, ...]]:
    """``KEY=VALUES`` of the command line: numbers as `values` takes them, or words with commas.

    The words ``true`` and ``false`` are truth values.
    """
    key, _, rest = text.partition("=")
    if not key.strip() or not rest:
        raise ValueError
    try:
        return key.strip(), values(rest)
    except ValueError:
        words = tuple(word.strip() for word in rest.split(","))
        if not all(words) or ":" in rest:
            raise
        return key.strip(), tuple({"true": True, "false": False}.get(word, word) for word in words)


def link_keys(swept: Iterable[str]) -> list[str]:
    """The keys of a sweep that belong to the link."""
    return [key for key in swept if key not in config.SWEPT_BESIDE_LINK]


def links(
    link: config.Link, swept: Mapping[str, Sequence[Any]]
) -> list[tuple[dict[str, Any], config.Link]]:
    """The changes of each combination, and its link, in the order of the keys, the last fastest.

    Raises `InputError` where a key is unknown, a value does not fit, or combinations are too many.
    """
    keys = link_keys(swept)
    count = 1
    for key in keys:
        count *= len(swept[key])
    if count > MAX_LINKS:
        raise InputError(f"sweep: {count} combinations: must be at most {MAX_LINKS}")
    combinations = itertools.product(*(swept[key] for key in keys))
    changes = [dict(zip(keys, chosen, strict=True)) for chosen in combinations]
    return [(change, config.link_with(link, change)) for change in changes]
