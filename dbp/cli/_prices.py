"""What a receiver is predicted to cost, for searches: the model of watts, priced per bit."""

from __future__ import annotations

from functools import partial

from dbp.comparison import merit
from dbp.config import Config
from dbp.datapath.design import Design
from dbp.exploration.tasks import Price, PriceList
from dbp.rtl.target import FilterKind
from dbp.support.sources import hash_of
from dbp.synthesis.stages import CLOCK_MHZ
from dbp.synthesis.watt_model import fit, predict
from dbp.synthesis.whole_receiver import receiver_lanes

# The code that decides a price, but for what is fitted.
SOURCES = ("dbp.synthesis.watt_model", "dbp.rtl", "dbp.comparison.merit", "dbp.cli._prices")


def price_list(pdk: str, filters: FilterKind) -> PriceList:
    """Return what predicts the cost of designs in a kit, with filters of that kind.

    `InputError` for a kit that the model of watts does not know.
    """
    fitted = f"{fit.prices(pdk)!r} {fit.ranges(pdk)!r}"
    return PriceList(f"{hash_of(*SOURCES)} {pdk} {filters} {fitted}", partial(price, pdk, filters))


def price(pdk: str, filters: FilterKind, design: Design, settings: Config) -> Price:
    """Return the predicted cost of a receiver of the link's symbols, at the configured clock."""
    rate, clock_mhz = design.samples_per_symbol, settings.hardware.clock_mhz
    found = predict(
        design, pdk, filters, receiver_lanes(rate, settings.link.symbol_rate_gbd, clock_mhz)
    )
    # Leakage does not depend on the clock; all else is spent each clock.
    clocks = clock_mhz / CLOCK_MHZ
    power_w = found.leakage_w + clocks * (found.power_w - found.leakage_w)
    energies = merit.energies(found.lanes, power_w, settings, rate)
    return Price(power_w, found.area_mm2, energies["pj_per_bit"], bool(found.extrapolates))
