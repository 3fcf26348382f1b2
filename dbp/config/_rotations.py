"""Where the rotations of a chain sit along the fibre, and how long the filters between them are."""

from __future__ import annotations

import functools
import itertools
import math
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from fractions import Fraction

    from dbp.config._models import Filters, Link

# Taps of a filter that the edges of its band need, however short the fibre. The others are for the
# spread of the signal, which grows with the length of the fibre.
EDGE_TAPS = 3
# Decimals of a kilometre to which the default places are rounded.
DECIMALS = 1
_ITERATIONS = 10_000

Value = TypeVar("Value", int, float)


class Period(NamedTuple):
    """The spans after which the rotations along a link repeat, in the direction of the light.

    ``length_km``: of its fibre; ``places_km``: of its rotations, from its start; ``gaps_km``: from
    each to the next, the last one over the end of the period; ``taps``: the length of the filter
    that undoes each gap; ``kerr_spans``: the Kerr phase that each rotation undoes, over that of a
    span.
    """

    length_km: float
    places_km: tuple[float, ...]
    gaps_km: tuple[float, ...]
    taps: tuple[int, ...]
    kerr_spans: tuple[float, ...]


def period(filters: Filters, link: Link) -> Period:
    """Return the places and lengths that the keys of a table of filters mean on a link.

    A rotation undoes the Kerr phase of the fibre that is nearer to it than to any other: pieces
    of fibre meet in the middle between two rotations.
    """
    spans = filters.rotation_rate.denominator
    length_km = spans * link.span_km
    places_km = as_tuple(filters.rotation_offset_km)
    first, last = places_km[0], places_km[-1]
    gaps_km = (
        *(after - place for place, after in itertools.pairwise(places_km)),
        # In this order it is exactly the period where there is one rotation.
        length_km - (last - first),
    )
    taps = filters.taps
    lengths = (
        taps
        if isinstance(taps, tuple)
        else tuple(taps_for(gap_km, taps, link.span_km) for gap_km in gaps_km)
    )
    return Period(length_km, places_km, gaps_km, lengths, _kerr_spans(places_km, gaps_km, link))


def as_tuple(value: Value | tuple[Value, ...]) -> tuple[Value, ...]:
    """One value or several, as several."""
    return value if isinstance(value, tuple) else (value,)


def taps_for(gap_km: float, taps: int, span_km: float) -> int:
    """The odd length of a filter over a gap, where one over a span has ``taps``.

    The spread of the signal is in proportion to the gap; `EDGE_TAPS` come on top, or all taps of a
    filter that has fewer.
    """
    edge = min(EDGE_TAPS, taps)
    needed = edge + (taps - edge) * gap_km / span_km
    return 2 * math.ceil((needed - 1) / 2 - 1e-9) + 1


def default_places_km(rate: Fraction, link: Link) -> tuple[float, ...]:
    """The places of rotations from which the fibre's Kerr phase is the least way off.

    They make the mean distance of the fibre to its nearest rotation, weighted by the power, the
    least: each rotation sits at the median of the Kerr phase of its piece of fibre, and pieces meet
    in the middle between two rotations (k-medians, by Lloyd's iteration).
    """
    loss = link.attenuation_db_per_km * math.log(10) / 10
    return _medians_km(rate.numerator, rate.denominator, link.span_km, loss)


@functools.cache
def _medians_km(count: int, spans: int, span_km: float, loss_per_km: float) -> tuple[float, ...]:
    def phase(place_km: float) -> float:
        return _phase(place_km, span_km, loss_per_km)

    def place(of_phase: float) -> float:
        return _place(of_phase, span_km, loss_per_km)

    places = [place(spans * (k + 0.5) / count) for k in range(count)]
    for _ in range(_ITERATIONS):
        middles = [(a + b) / 2 for a, b in itertools.pairwise(places)]
        ends = [0.0, *map(phase, middles), float(spans)]
        moved = [place((a + b) / 2) for a, b in itertools.pairwise(ends)]
        still = max(abs(a - b) for a, b in zip(places, moved, strict=True)) < 1e-6
        places = moved
        if still:
            break
    return tuple(round(each, DECIMALS) for each in places)


def _phase(place_km: float, span_km: float, loss_per_km: float) -> float:
    """Kerr phase from the start of a link up to a place, over that of a span."""
    spans = math.floor(place_km / span_km)
    inner, loss = place_km - spans * span_km, loss_per_km * span_km
    if not loss:
        return spans + inner / span_km
    return spans + math.expm1(-loss_per_km * inner) / math.expm1(-loss)


def _place(phase: float, span_km: float, loss_per_km: float) -> float:
    """The inverse of `_phase`."""
    spans = math.floor(phase)
    inner, loss = phase - spans, loss_per_km * span_km
    if not loss:
        return (spans + inner) * span_km
    return spans * span_km - math.log1p(inner * math.expm1(-loss)) / loss_per_km


def _kerr_spans(
    places_km: tuple[float, ...], gaps_km: tuple[float, ...], link: Link
) -> tuple[float, ...]:
    if len(places_km) == 1:
        return (float(round(gaps_km[0] / link.span_km)),)
    loss = link.attenuation_db_per_km * math.log(10) / 10
    before = (gaps_km[-1], *gaps_km[:-1])
    ends = [
        (place - half / 2, place + other / 2)
        for place, half, other in zip(places_km, before, gaps_km, strict=True)
    ]
    return tuple(
        _phase(end, link.span_km, loss) - _phase(start, link.span_km, loss) for start, end in ends
    )
