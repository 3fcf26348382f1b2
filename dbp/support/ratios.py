"""Ratios of small integers, such as samples per symbol: written ``3/2`` or ``2``, kept exact."""

from __future__ import annotations

import re
from fractions import Fraction

_TEXT = re.compile(r"([0-9]{1,4})(?:/([0-9]{1,4}))?")


def ratio(value: object, largest: int, above: int = 1) -> Fraction:
    """Return the ratio that an integer or a text ``p/q`` states.

    `ValueError` where it is none above ``above`` with p of at most ``largest`` in lowest terms.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    match = _TEXT.fullmatch(value) if isinstance(value, str) else None
    if match and int(match[2] or 1):
        exact = Fraction(int(match[1]), int(match[2] or 1))
        if exact > above and exact.numerator <= largest:
            return exact
    raise ValueError(
        f'must be an integer or a text "p/q" such as "3/2", above {above}, with p of at most '
        f"{largest}"
    )
