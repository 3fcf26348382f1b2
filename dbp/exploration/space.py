"""The space of a search: every place on all axes is a configuration, or does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dbp import config
from dbp.config import Config, axes
from dbp.errors import InputError
from dbp.learning.filter_length import check_length

# A place on each axis, by number.
Place = tuple[int, ...]
# So many places may be drawn for each that is wanted, where many do not fit or are there already.
_DRAWS = 200


@dataclass(frozen=True)
class Candidate:
    """A place, what it sets, and the configuration by which its design is learned fully."""

    place: Place
    values: dict[str, Any]
    settings: Config

    @property
    def name(self) -> str:
        """The name of its folder: the same for the same configuration."""
        return f"explored-{self.settings.hash[:8]}"

    def cheap(self, training: config.CheapTraining) -> Config:
        """Return the configuration with cheap learning in place of full."""
        return self.settings.model_copy(
            update={"training": self.settings.training.model_copy(update=training.model_dump())}
        )


class Space:
    """All candidates of a configuration; those that do not fit are not there."""

    def __init__(self, settings: Config) -> None:
        self._axes = axes.parse(settings.explore.axes)
        if not self._axes:
            raise InputError(
                "explore.axes: must have an axis, such as learned.taps = [11, 13, 15]: there is "
                "nothing to search"
            )
        # A candidate is what `dbp train` takes: with no search in it.
        self._plain = settings.model_copy(update={"explore": config.Explore(), "sweep": {}})
        self._known: dict[Place, Candidate | str] = {}

    @cached_property
    def size(self) -> int:
        """The number of places."""
        size = 1
        for axis in self._axes:
            size *= len(axis.values)
        return size

    @property
    def names(self) -> list[str]:
        """The keys that candidates set, in the order of the axes."""
        return list(dict.fromkeys(key for axis in self._axes for key in axis.values[0]))

    def candidate(self, place: Place) -> Candidate | None:
        """Return the candidate at a place; None where the values do not fit together."""
        if place not in self._known:
            self._known[place] = self._find(place)
        found = self._known[place]
        return None if isinstance(found, str) else found

    def why_none(self) -> str:
        """Say what does not fit at one of the places that were tried."""
        return next((found for found in self._known.values() if isinstance(found, str)), "")

    def _find(self, place: Place) -> Candidate | str:
        values: dict[str, Any] = {}
        for axis, number in zip(self._axes, place, strict=True):
            values |= axis.values[number]
        try:
            settings = config.with_values(self._plain, values)
            check_length(settings, note=False)
        except InputError as error:
            return str(error)
        return Candidate(place, values, settings)

    def neighbors(self, place: Place) -> Iterator[Place]:
        """Yield the places one notch away on one axis."""
        for axis, number in enumerate(place):
            for other in (number - 1, number + 1):
                if 0 <= other < len(self._axes[axis].values):
                    yield (*place[:axis], other, *place[axis + 1 :])

    def start(self, count: int, random: np.random.Generator) -> list[Candidate]:
        """Return ``count`` different candidates, or all, each axis evenly covered.

        They are Latin hypercubes: every value of an axis is drawn as often as any other one.
        """
        found: dict[str, Candidate] = {}
        for _ in range(_DRAWS):
            columns = [
                (random.permutation(count) + random.random(count)) / count * len(axis.values)
                for axis in self._axes
            ]
            for place in zip(*(column.astype(int).tolist() for column in columns), strict=True):
                candidate = self.candidate(place)
                if candidate is not None and len(found) < count:
                    found.setdefault(candidate.name, candidate)
            if len(found) >= min(count, self.size):
                break
        return list(found.values())
