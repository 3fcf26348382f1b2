"""Confidence intervals of a bit error ratio."""

from __future__ import annotations

from scipy import special


def interval(errors: int, bits: int) -> tuple[float, float]:
    """95 % Clopper-Pearson interval of the bit error ratio; no errors give (0, upper bound).

    Exact for independent errors: covers the true ratio with a probability of at least 95 %.
    """
    low = special.betaincinv(errors, bits - errors + 1, 0.025) if errors else 0.0
    high = special.betaincinv(errors + 1, bits - errors, 0.975) if errors < bits else 1.0
    return float(low), float(high)
