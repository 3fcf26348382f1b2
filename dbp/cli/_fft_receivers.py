"""Reference receivers as hardware: what `linear`, `dbpN` and `essfmN` cut the fibre into."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbp.config import Link, require_one_polarization
from dbp.datapath.design import REFERENCE

if TYPE_CHECKING:
    from dbp.synthesis.fft_receiver import FftReceiverEstimate


def is_reference(name: str) -> bool:
    """Tell whether a name is that of a reference receiver."""
    return REFERENCE.fullmatch(name) is not None


def estimate(name: str, link: Link, kit: str) -> FftReceiverEstimate:
    """Estimate what a reference receiver of one polarisation would take in a kit.

    At the link's symbol rate and samples per symbol. `InputError` for a link of two polarisations.
    """
    require_one_polarization(link, f"an estimate of {name}")
    from dbp.synthesis import fft_receiver
    from dbp.synthesis.whole_receiver import receiver_lanes

    fibre = fft_receiver.Fibre(
        link.dispersion_ps_per_nm_km * link.span_km * link.spans,
        link.wavelength_nm,
        (1 + link.roll_off) * link.symbol_rate_gbd,
        float(link.adc_rate) * link.symbol_rate_gbd,
    )
    pieces, weights = steps(name, link)
    lanes = receiver_lanes(link.adc_rate, link.symbol_rate_gbd)
    return fft_receiver.estimate(fibre, pieces, weights, kit, lanes)


def steps(name: str, link: Link) -> tuple[list[float], list[int]]:
    """Return the share of the dispersion of each filter, and the weights of each rotation.

    Steps are taken as equally long. ``essfmN`` rotates in the middle of each, so that the filters
    at the ends undo half as much; ``dbpN`` behind each.
    """
    if name == "linear":
        return [1.0], []
    if name.startswith("dbp"):
        count = int(name.removeprefix("dbp")) * link.spans
        return count * [1 / count], count * [1]
    from dbp.evaluation import essfm

    count = int(name.removeprefix("essfm"))
    taps = 2 * essfm.Steps.of(link, count).half + 1
    return [0.5 / count, *(count - 1) * [1 / count], 0.5 / count], count * [taps]
