"""Compare designs: bit error ratio, watts, square millimetres, picojoules a bit."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from fractions import Fraction
from typing import Literal, NamedTuple, TypedDict

from dbp.comparison import paper
from dbp.config import Config
from dbp.datapath.design import Design
from dbp.link import modulation
from dbp.records.schemas import (
    REFERENCE_FILTERS,
    Calibrated,
    Calibration,
    ComparisonRow,
    FittedFactor,
    Headline,
    StepFigures,
)

FILE = "comparison"
# Names that `dbp.learning.training.baseline` gives, and shipped designs of its kind, begin so.
UNLEARNED = ("baseline-", "lsco-")
MIN_PAPER_VALUES = 3


def is_learned(design: Design) -> bool:
    """Return whether a design's filters were learned, judged by its name."""
    return not design.name.startswith(UNLEARNED)


class FilterFormats(TypedDict):
    """Taps and bits of the middle filter and of the signal, as the paper's table has them."""

    taps: int
    coefficient_bits: int
    signal_bits: int


def filters_of(design: Design) -> FilterFormats:
    """Return the formats that tell designs apart."""
    middle = design.filters[len(design.filters) // 2]
    return {
        "taps": middle.taps,
        "coefficient_bits": middle.coefficient_bits,
        "signal_bits": design.signal_bits,
    }


def lengths(design: Design) -> str:
    """Return the taps of all filters but the first and the last, such as ``15`` or ``7/13``."""
    inner = design.filters[1:-1] or design.filters
    return "/".join(map(str, sorted({filter_.taps for filter_ in inner})))


def formats(design: Design) -> str:
    """Return the bits of taps and of samples, such as ``6/9``, or ``5-7/8-9`` where they differ.

    Of taps: those of all filters but the first and the last.
    """
    inner = design.filters[1:-1] or design.filters
    taps = {filter_.coefficient_bits for filter_ in inner}
    samples = {design.filter_input_bits(k) for k in range(len(design.filters))}
    return f"{_range(taps)}/{_range(samples)}"


def _range(bits: AbstractSet[int]) -> str:
    low, high = min(bits), max(bits)
    return f"{low}" if low == high else f"{low}-{high}"


class Energies(TypedDict):
    """Picojoules per bit of the link and per complex sample."""

    pj_per_bit: float
    pj_per_sample: float


def energies(
    lanes: int,
    power_w: float,
    settings: Config,
    samples_per_symbol: Fraction = Fraction(2),
    polarizations: int = 1,
) -> Energies:
    """Return the energies of a receiver of that many lanes, from its whole power.

    With two ``polarizations`` it takes ``lanes`` samples of each, and the bits are those of both.
    """
    samples_per_s = lanes * polarizations * settings.hardware.clock_mhz * 1e6
    bits_per_symbol = modulation.bits_per_symbol(settings.link.modulation)
    bits_per_sample = bits_per_symbol / float(samples_per_symbol)
    pj_per_sample = 1e12 * power_w / samples_per_s
    return {"pj_per_bit": pj_per_sample / bits_per_sample, "pj_per_sample": pj_per_sample}


def paper_step(design: Design, filters: str) -> StepFigures | None:
    """Return what the paper states for a step of these formats, if anything."""
    if (
        design.polarizations == 2
        or filters != "reconfigurable"
        or design.samples_per_symbol != 2
        or "/" in lengths(design)
        or "-" in formats(design)
    ):
        return None
    learned = "learned" if design.name.startswith("learned-c") else "ls-co"
    if not design.name.startswith(("learned-c", "lsco-paper")):
        return None
    stated = filters_of(design)
    columns = {
        "filters": learned,
        "taps_per_step": str(stated["taps"]),
        "coefficient_bits": str(stated["coefficient_bits"]),
        "signal_bits": str(stated["signal_bits"]),
    }
    for row in paper.rows("paper_power.csv"):
        if all(row[column] == value for column, value in columns.items()):
            return StepFigures(
                power_w=float(row["power_w_per_step"]), area_mm2=float(row["area_mm2_per_step"])
            )
    return None


class _Step(NamedTuple):
    """A step of ours and the paper's figures of it; ``row``: its number."""

    row: int
    ours: StepFigures
    paper: StepFigures


def calibrate(
    rows: Sequence[ComparisonRow],
) -> tuple[tuple[ComparisonRow, ...], tuple[Calibration, ...]]:
    """Fit one factor a kit, for watts and for square millimetres, to the paper's steps.

    The factor is the geometric mean of paper over ours, least squares in the logarithm. Returns the
    rows with ``calibrated``: their step by that factor, and the relative error of the factor that
    is fitted without it, against the paper; None where the paper has no value. And for each kit
    with three values of the paper or more: the factors, their worst and rms error.
    """
    calibrated: dict[int, Calibrated] = {}
    calibrations = []
    for kit in dict.fromkeys(row.pdk for row in rows):
        steps = [
            _Step(k, StepFigures(power_w=row.step_power_w, area_mm2=row.step_area_mm2), stated)
            for k, row in enumerate(rows)
            if row.pdk == kit
            and (stated := row.paper_step)
            and row.step_power_w is not None
            and row.step_area_mm2 is not None
        ]
        if len({step.paper for step in steps}) < MIN_PAPER_VALUES:
            continue
        power, power_errors = _fit(steps, lambda figures: figures.power_w)
        area, area_errors = _fit(steps, lambda figures: figures.area_mm2)
        calibrations.append(Calibration(pdk=kit, rows=len(steps), power_w=power, area_mm2=area))
        for step, power_error, area_error in zip(steps, power_errors, area_errors, strict=True):
            calibrated[step.row] = Calibrated(
                power_w=power.factor * step.ours.power_w,
                power_w_left_out_error=power_error,
                area_mm2=area.factor * step.ours.area_mm2,
                area_mm2_left_out_error=area_error,
            )
    with_calibrated = tuple(
        row.model_copy(update={"calibrated": calibrated.get(k)}) for k, row in enumerate(rows)
    )
    return with_calibrated, tuple(calibrations)


def _fit(
    steps: Sequence[_Step], figure: Callable[[StepFigures], float]
) -> tuple[FittedFactor, list[float]]:
    """Fit one figure; also the error of each step by the factor of the others."""
    factor = _factor(steps, figure)
    errors = []
    for step in steps:
        # A value that another design shares is not left out while that one stays.
        others = [other for other in steps if other.paper != step.paper]
        errors.append(figure(step.ours) * _factor(others, figure) / figure(step.paper) - 1)
    fitted = FittedFactor(
        factor=factor,
        worst_left_out_error=max(errors, key=abs),
        rms_left_out_error=math.sqrt(statistics.mean(error**2 for error in errors)),
    )
    return fitted, errors


def _factor(steps: Sequence[_Step], figure: Callable[[StepFigures], float]) -> float:
    return statistics.geometric_mean(figure(step.paper) / figure(step.ours) for step in steps)


def headlines(rows: Sequence[ComparisonRow]) -> tuple[Headline, ...]:
    """Return the comparisons worth a sentence, in each kit and for each kind of filters.

    *First*: against the first design, the design of least power whose BER is not above its 95 %
    interval. *Unlearned*: against the best baseline, where that is not the first design, the
    learned design of least power by the same rule. ``design`` is None where none reaches that BER.
    The best baseline: of the unlearned designs whose BER is not above the 95 % interval of the
    lowest one, the design of least power. Watts of one and of two polarisations are not compared.
    """
    lines = []
    rows = [row for row in rows if row.filters != REFERENCE_FILTERS]
    for kind in dict.fromkeys(map(_kind, rows)):
        first, *others = [row for row in rows if _kind(row) == kind]
        if others:
            lines.append(_headline("first", first, others))
        unlearned = [row for row in (first, *others) if not row.learned]
        learned = [row for row in others if row.learned]
        if unlearned and learned:
            best = _cheapest(unlearned, min(unlearned, key=lambda row: row.ber))
            if best is not None and best is not first:
                lines.append(_headline("unlearned", best, learned))
    return tuple(lines)


def _kind(row: ComparisonRow) -> tuple[str, str, int]:
    return row.pdk, row.filters, row.polarizations


def _cheapest(rows: Sequence[ComparisonRow], against: ComparisonRow) -> ComparisonRow | None:
    """The row of least power whose BER is not above that of ``against``; None without any."""
    enough = [row for row in rows if row.ber <= against.ber_high]
    return min(enough, key=lambda row: row.power_w.total, default=None)


def _headline(
    kind: Literal["first", "unlearned"],
    against: ComparisonRow,
    candidates: Sequence[ComparisonRow],
) -> Headline:
    row = _cheapest(candidates, against)
    line = Headline(
        pdk=against.pdk,
        filters=against.filters,
        kind=kind,
        against=against.design,
        against_ber=against.ber,
        design=None,
    )
    if row is None:
        return line
    return line.model_copy(
        update={
            "design": row.design,
            "ber": row.ber,
            "better_ber": row.ber_high < against.ber_low,
            "power_saving": 1 - row.power_w.total / against.power_w.total,
        }
    )
