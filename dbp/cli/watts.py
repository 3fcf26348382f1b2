"""``dbp watts``: what receivers would take, predicted in a second."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from fractions import Fraction

from dbp.cli import _fft_receivers
from dbp.comparison import merit
from dbp.config import Config, load
from dbp.rtl.target import FilterKind
from dbp.runs import find_design, settings_of
from dbp.support.text import aligned

NOTE = (
    "Predicted from counts, as whole receivers of the link's symbols at 416.7 MHz; clock tree "
    "included, without layout. `dbp compare` synthesises steps: docs/concepts/watt_model.md says "
    "how near this comes to it."
)
ESTIMATE = (
    "estimate: operations of FFT filters and rotations, counted; words as wide as linear "
    "compensation needs them (docs/results/few_steps.md)."
)


def watts(
    names: Sequence[str], pdks: Sequence[str], filters: Sequence[FilterKind], config: str | None
) -> list[list[str]]:
    """Print a table of the predicted watts and square millimetres, and return it.

    ``names``: designs, whose link is their run's, and reference receivers, on the link of
    ``config`` (default: the paper's).
    """
    from dbp.synthesis import watt_model
    from dbp.synthesis.whole_receiver import receiver_lanes

    settings = load(config or "paper")
    lines = [["receiver", "kit", "filters", "lanes", "W", "mm2", "pJ/bit"]]
    notes = [NOTE]
    for name in names:
        for pdk in pdks:
            if _fft_receivers.is_reference(name):
                found = _fft_receivers.estimate(name, settings.link, pdk)
                rate = settings.link.adc_rate
                cells = _cells(found.lanes, found.power_w, found.area_mm2, settings, rate)
                lines.append([name, pdk, "estimate", *cells])
                notes += [ESTIMATE] if ESTIMATE not in notes else []
                continue
            design, folder = find_design(name)
            own = load(config) if config else settings_of(design, folder)
            lanes = receiver_lanes(design.samples_per_symbol, own.link.symbol_rate_gbd)
            for kind in filters:
                predicted = watt_model.predict(design, pdk, kind, lanes)
                cells = _cells(
                    predicted.lanes, predicted.power_w, predicted.area_mm2, own,
                    design.samples_per_symbol, design.polarizations,
                )  # fmt: skip
                lines.append([design.name, pdk, kind, *cells])
                if predicted.extrapolates:
                    notes.append(
                        f"{design.name}, {pdk}: outside the steps that the model was fitted to: "
                        f"{'; '.join(predicted.extrapolates)}."
                    )
    print(aligned(lines), *(textwrap.fill(note, 100) for note in dict.fromkeys(notes)), sep="\n")
    return lines


def _cells(
    lanes: int,
    power_w: float,
    area_mm2: float,
    settings: Config,
    rate: Fraction,
    polarizations: int = 1,
) -> list[str]:
    energies = merit.energies(lanes, power_w, settings, rate, polarizations)
    figures = power_w, area_mm2, energies["pj_per_bit"]
    return [str(lanes), *(f"{x:.3g}" if x < 1000 else f"{x:,.0f}" for x in figures)]
