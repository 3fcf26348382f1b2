"""Confidence intervals of a bit error ratio."""

from __future__ import annotations

from scipy import special


def interval(errors: float, bits: float) -> tuple[float, float]:
    """Return the 95 % Clopper-Pearson interval of the bit error ratio; (0, bound) without errors.

    Exact for independent errors: covers the true ratio with a probability of at least 95 %.
    Effective numbers of errors and bits need not be whole.
    """
    low = special.betaincinv(errors, bits - errors + 1, 0.025) if errors else 0.0
    high = special.betaincinv(errors + 1, bits - errors, 0.975) if errors < bits else 1.0
    return float(low), float(high)


def block_interval(
    errors: int, bits: int, *, blocks: int, squared_errors: int
) -> tuple[float, float]:
    """Return a 95 % interval of the bit error ratio where only the blocks are independent.

    ``bits`` are those of ``blocks`` blocks of equal length, ``squared_errors`` is the sum over the
    blocks of the squared number of errors of a block. The `interval` of errors and bits both
    divided by

        max(1, deff (t / z)^2),

    where deff is the sample variance of the errors of a block over that of independent errors, t
    and z are the 97.5 % quantiles of Student's distribution with ``blocks - 1`` degrees of freedom
    and of the normal one. Korn and Graubard, "Confidence intervals for proportions with small
    expected number of positive counts estimated from survey data", Survey Methodology 24(2), 1998,
    with blocks for clusters and no more effective bits than bits. One block, or no errors, say
    nothing about the variance: the errors are then taken for independent.
    """
    if blocks < 2 or not 0 < errors < bits:
        return interval(errors, bits)
    excess = blocks * squared_errors - errors**2
    design_effect = excess * bits / ((blocks - 1) * errors * (bits - errors))
    t_over_z = special.stdtrit(blocks - 1, 0.975) / special.ndtri(0.975)
    divisor = max(1.0, design_effect * float(t_over_z) ** 2)
    return interval(errors / divisor, bits / divisor)
