"""A chain before any number is designed: what each filter and each rotation of it undoes."""

from __future__ import annotations

from typing import NamedTuple

from dbp import config


class Layout(NamedTuple):
    """Filters and rotations in the order in which samples pass them.

    ``lengths_km``: fibre that each filter undoes; ``gaps_km``: from the rotation before it to that
    behind it, which for the first and the last filter is more than they undo; ``taps``: the length
    of each filter, by its gap; ``kerr_spans``: Kerr phase that each rotation undoes, over that of a
    span; ``kinds``: the number of each rotation in its period, in the direction of the light.
    """

    lengths_km: tuple[float, ...]
    gaps_km: tuple[float, ...]
    taps: tuple[int, ...]
    kerr_spans: tuple[float, ...]
    kinds: tuple[int, ...]

    @classmethod
    def of(cls, filters: config.Filters, link: config.Link) -> Layout:
        """The chain of a table of a configuration for a link.

        The receiver undoes the link backwards: the first filter undoes the fibre behind the last
        rotation, the last filter that before the first one. Both have the length of a filter over
        the gap from the last rotation of a period to the first of the next, of which they are
        parts.
        """
        period = config.period(filters, link)
        count, repeats = len(period.places_km), link.spans // filters.rotation_rate.denominator
        kinds = tuple(reversed(range(count))) * repeats
        gaps = [*(period.gaps_km[kind] for kind in kinds), period.gaps_km[-1]]
        lengths = gaps.copy()
        lengths[0] = period.length_km - period.places_km[-1]
        lengths[-1] = period.places_km[0]
        return cls(
            tuple(lengths),
            tuple(gaps),
            (*(period.taps[kind] for kind in kinds), period.taps[-1]),
            tuple(period.kerr_spans[kind] for kind in kinds),
            kinds,
        )
