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


def spread_samples(link: config.Link) -> float:
    """Samples over which the dispersion of a span spreads the signal, r of them a symbol.

    The group delay of ``exp(1j * kappa * w**2)`` is 2 kappa w samples, here between the edges
    w = +-pi (1 + roll_off) / r of the signal's band: 2 pi \\|beta2\\| span bandwidth rate.
    """
    at_two = 2 * math.pi * abs(dispersion(link, link.span_km)) * (1 + link.roll_off)
    return at_two * (2 / float(link.adc_rate))


def needed_taps(link: config.Link) -> int:
    """The least odd number of taps whose filter is as long as `spread_samples`."""
    return 2 * math.ceil((spread_samples(link) - 1) / 2) + 1 if spread_samples(link) > 1 else 1


def check_length(settings: config.Config) -> None:
    """Tell on stderr of filters shorter than a span needs; `InputError` where far too short.

    Like the bar of learning, which is there too, it is for whoever waits for the result.
    """
    link, taps = settings.link, settings.learned.taps
    needed = needed_taps(link)
    if taps >= needed:
        return
    remedy = f"a span needs {needed} taps"
    if needed > MAX_TAPS:
        remedy += f", and a filter has at most {MAX_TAPS}"
    fits_km = link.span_km * taps / spread_samples(link)
    text = (
        f"learned.taps = {taps}: too few: over link.span_km = {link.span_km:g} the dispersion of "
        f"{link.dispersion_ps_per_nm_km:g} ps/nm/km spreads link.symbol_rate_gbd = "
        f"{link.symbol_rate_gbd:g} over {spread_samples(link):.0f} samples, so {remedy}; {taps} do "
        f"for {fits_km:.3g} km"
    )
    if taps < HOPELESS * spread_samples(link):
        raise InputError(text)
    print(f"Note: {text}", file=sys.stderr, flush=True)
