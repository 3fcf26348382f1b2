"""How long a filter must be for the dispersion of a span; said before learning begins."""

from __future__ import annotations

import math
import sys

from dbp import config
from dbp.datapath.limits import MAX_TAPS
from dbp.errors import InputError
from dbp.learning.least_squares import dispersion

# Filters that differ compensate each other's errors: over 2 spans of 12 samples each, 7 taps reach
# what linear compensation does, over 8 spans 9 taps nearly, over the paper's 32 11 taps. With 5
# taps 10 dB are missing after 2 spans: shorter ones than this share are not worth the learning.
HOPELESS = 0.5


def spread_samples(link: config.Link, length_km: float | None = None) -> float:
    """Samples over which the dispersion of some fibre spreads the signal, r of them a symbol.

    ``length_km``: of the fibre, by default a span. The group delay of ``exp(1j * kappa * w**2)`` is
    2 kappa w samples, here between the edges w = +-pi (1 + roll_off) / r of the signal's band:
    2 pi \\|beta2\\| length bandwidth rate.
    """
    kappa = dispersion(link, link.span_km if length_km is None else length_km)
    return 2 * math.pi * abs(kappa) * (1 + link.roll_off) * (2 / float(link.adc_rate))


def needed_taps(link: config.Link, length_km: float | None = None) -> int:
    """The least odd number of taps whose filter is as long as `spread_samples`."""
    spread = spread_samples(link, length_km)
    return 2 * math.ceil((spread - 1) / 2) + 1 if spread > 1 else 1


def check_length(settings: config.Config, note: bool = True) -> None:
    """Tell on stderr of filters shorter than their fibre needs; `InputError` where far too short.

    Not ``note``: raise the error only. Like the bar of learning, which is there too, a note is for
    whoever waits for the result.
    """
    link, learned = settings.link, settings.learned
    period = config.period(learned, link)
    shares = [
        (taps / spread if (spread := spread_samples(link, gap_km)) else math.inf, gap_km, taps)
        for gap_km, taps in zip(period.gaps_km, period.taps, strict=True)
        if taps < needed_taps(link, gap_km)
    ]
    if not shares:
        return
    share, gap_km, taps = min(shares)
    needed = needed_taps(link, gap_km)
    piece, fibre = "a span", f"link.span_km = {link.span_km:g}"
    if gap_km != link.span_km:
        piece, fibre = "it", f"the {gap_km:g} km between two rotations"
    remedy = f"{piece} needs {needed} taps"
    if needed > MAX_TAPS:
        remedy += f", and a filter has at most {MAX_TAPS}"
    text = (
        f"learned.taps = {taps}: too few: over {fibre} the dispersion of "
        f"{link.dispersion_ps_per_nm_km:g} ps/nm/km spreads link.symbol_rate_gbd = "
        f"{link.symbol_rate_gbd:g} over {spread_samples(link, gap_km):.0f} samples, so {remedy}; "
        f"{taps} do for {gap_km * share:.3g} km"
    )
    if share < HOPELESS:
        raise InputError(text)
    if note:
        print(f"Note: {text}", file=sys.stderr, flush=True)
