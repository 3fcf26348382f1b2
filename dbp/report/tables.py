"""The tables and sentences of a comparison, for the terminal and for the report's page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dbp.records.schemas import (
    REFERENCE_FILTERS,
    Band,
    ComparisonMetrics,
    ComparisonRow,
    Headline,
    StepFigures,
)


@dataclass(frozen=True)
class Table:
    """A header and lines of cells; ``notes`` say what to know about them."""

    title: str
    lines: list[list[str]]
    notes: list[str]


def tables(metrics: ComparisonMetrics) -> list[Table]:
    """Return the tables that have a line. Ratios are to the first design in the same kit."""
    rows = metrics.rows
    built = [_receivers(rows), _steps(rows), _at_28nm(rows), _calibrated(metrics), _fit(rows)]
    return [table for table in built if len(table.lines) > 1]


def label(row: ComparisonRow) -> str:
    """Return the design's name, with its kind of filters unless that is the usual one."""
    return row.design if row.filters == "reconfigurable" else f"{row.design} {row.filters}"


def _receivers(rows: Sequence[ComparisonRow]) -> Table:
    lines = [["design", "kit", "BER", "W", "ratio", "mm2", "ratio", "pJ/bit", "slack ns"]]
    for row, first in _with_first(rows):
        lines.append(
            [
                label(row),
                row.pdk,
                f"{row.ber:.1e}",
                *_and_ratio(row.power_w.total, first.power_w.total),
                *_and_ratio(row.area_mm2, first.area_mm2),
                _rounded(row.pj_per_bit),
                "-" if row.slack_ns is None else f"{row.slack_ns:+.2f}",
            ]
        )
    notes = []
    lanes = dict.fromkeys(row.lanes for row in rows if row.lanes and row.synthesised_lanes)
    widths = next((row.synthesised_lanes for row in rows if row.synthesised_lanes), None)
    if lanes and widths:
        many = " lanes, one symbol rate and clock" if len(lanes) > 1 else " lanes"
        notes.append(
            f"{' and '.join(map(str, lanes))}{many}, estimated from syntheses of {widths[0]} and "
            f"{widths[1]}; clock tree estimated, without layout. Ratios are to the first design in "
            "the same kit."
        )
    if both := [label(row) for row in rows if row.polarizations == 2]:
        notes.append(
            f"{', '.join(dict.fromkeys(both))}: of two polarisations: so many lanes of each, watts "
            "and pJ/bit of both together."
        )
    if any(row.filters == REFERENCE_FILTERS for row in rows):
        notes.append(
            "estimate: operations of FFT filters and rotations, counted and not synthesised "
            "together; words as wide as linear compensation needs them."
        )
    for kit in dict.fromkeys(row.pdk for row in rows if row.for_demonstration_only):
        notes.append(f"{kit} is for demonstration: its figures are no evidence.")
    return Table("Whole receivers", lines, notes)


def _steps(rows: Sequence[ComparisonRow]) -> Table:
    beside = ["ratio", "paper", "ratio"]
    lines = [["design", "kit", "W", *beside, "mm2", *beside]]
    for row, first in _with_first(rows):
        if row.step_power_w is None:
            continue
        paper, paper_first = row.paper_step, first.paper_step
        lines.append(
            [
                label(row),
                row.pdk,
                *_and_ratio(row.step_power_w, first.step_power_w),
                *_of_paper(_power(paper), _power(paper_first)),
                *_and_ratio(row.step_area_mm2, first.step_area_mm2),
                *_of_paper(_area(paper), _area(paper_first)),
            ]
        )
    if not any(row.paper_step for row in rows):
        lines = [[*line[:4], *line[6:8]] for line in lines]
        return Table("One step", lines, [])
    return Table("One step, beside the paper's", lines, [])


def _at_28nm(rows: Sequence[ComparisonRow]) -> Table:
    lines = [["design", "from", "W", "W a step", "mm2", "mm2 a step"]]
    for name in dict.fromkeys(map(label, rows)):
        scaled = [row for row in rows if label(row) == name and row.power_28nm_w]
        for row in scaled:
            bands = row.power_28nm_w, row.step_power_28nm_w
            areas = row.area_28nm_mm2, row.step_area_28nm_mm2
            lines.append([name, row.pdk, *map(_band, (*bands, *areas))])
        if scaled and scaled[0].combined_power_28nm_w:
            row = scaled[0]
            bands = row.combined_power_28nm_w, row.combined_step_power_28nm_w
            areas = row.combined_area_28nm_mm2, row.combined_step_area_28nm_mm2
            kits = " + ".join(row.pdk for row in scaled)
            lines.append([name, kits, *map(_band, (*bands, *areas))])
    notes = ["Central value and band of published factors: none of them is fitted."]
    return Table("At 28 nm", lines, notes)


def _calibrated(metrics: ComparisonMetrics) -> Table:
    lines = [["design", "kit", "W", "paper", "error", "mm2", "paper", "error"]]
    for row in metrics.rows:
        if (fitted := row.calibrated) and (paper := row.paper_step):
            lines.append(
                [
                    label(row),
                    row.pdk,
                    f"{fitted.power_w:.3f}",
                    f"{paper.power_w:.2f}",
                    _percent(fitted.power_w_left_out_error),
                    f"{fitted.area_mm2:.2f}",
                    f"{paper.area_mm2:.2f}",
                    _percent(fitted.area_mm2_left_out_error),
                ]
            )
    notes = [
        "Fitted, not predicted: in each kit one factor for watts and one for square millimetres, "
        "by the paper's own values. Errors are those of the factor that is fitted without that "
        "value. No band has these figures."
    ]
    for kit in metrics.calibration:
        parts = [
            f"{what} x {fit.factor:.3f}, left-out errors {100 * fit.rms_left_out_error:.0f} % rms, "
            f"{_percent(fit.worst_left_out_error)} at worst"
            for what, fit in (("W", kit.power_w), ("mm2", kit.area_mm2))
        ]
        notes.append(f"{kit.pdk}, {kit.rows} values: {'; '.join(parts)}.")
    return Table("A step, calibrated on the paper's values", lines, notes)


def _fit(rows: Sequence[ComparisonRow]) -> Table:
    lines = [["design", "kit", "lanes", "W", "mm2"]]
    for row in rows:
        for lanes, check in (row.fit_check or {}).items():
            errors = _percent(check.power - 1), _percent(check.area - 1)
            lines.append([label(row), row.pdk, lanes, *errors])
    notes = ["The line through two widths, compared with a synthesis of that many lanes."]
    return Table("Check of the lanes", lines, notes)


def sentences(metrics: ComparisonMetrics) -> list[str]:
    """Return the headlines, a sentence each."""
    return [_sentence(headline) for headline in metrics.headlines]


def _sentence(headline: Headline) -> str:
    kind = "" if headline.filters == "reconfigurable" else f", {headline.filters}"
    where = f"{headline.pdk}{kind}"
    best = ", the best that is not learned," if headline.kind == "unlearned" else ""
    against, against_ber = f"{headline.against}{best}", f"{headline.against_ber:.1e}"
    if headline.design is None or headline.power_saving is None:
        which = "other" if headline.kind == "first" else "learned"
        against = against.removesuffix(",")
        return f"{where}: no {which} design reaches the BER of {against} ({against_ber})."
    saving = headline.power_saving
    change = f"{abs(100 * saving):.0f} % {'less' if saving > 0 else 'more'}"
    ber = "a better" if headline.better_ber else "equal"
    return (
        f"{where}: {headline.design} takes {change} power than {against} at {ber} BER "
        f"({headline.ber:.1e} against {against_ber})."
    )


def _with_first(rows: Sequence[ComparisonRow]) -> Iterator[tuple[ComparisonRow, ComparisonRow]]:
    for row in rows:
        yield row, next(other for other in rows if other.pdk == row.pdk)


def _and_ratio(value: float | None, first: float | None) -> list[str]:
    """Format a figure, and its ratio to the first design's."""
    return ["-", "-"] if value is None else [_rounded(value), _ratio(value, first)]


def _of_paper(value: float | None, first: float | None) -> list[str]:
    """Format a figure of the paper, to the two decimals that it has, and its ratio."""
    return ["-", "-"] if value is None else [f"{value:.2f}", _ratio(value, first)]


def _power(figures: StepFigures | None) -> float | None:
    return figures.power_w if figures else None


def _area(figures: StepFigures | None) -> float | None:
    return figures.area_mm2 if figures else None


def _ratio(value: float, first: float | None) -> str:
    return f"{value / first:.2f}" if first else "-"


def _rounded(value: float, digits: int = 3) -> str:
    """Round to ``digits`` significant digits, never with an exponent."""
    value = float(f"{value:.{digits}g}")
    decimals = digits - 1 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{max(decimals, 0)}f}"


def _percent(error: float) -> str:
    return f"{100 * error:+.1f} %"


def _band(band: Band | None) -> str:
    if band is None:
        return "-"
    low, central, high = (_rounded(value, 2) for value in (band.low, band.central, band.high))
    # One kit has one factor for area.
    return central if band.low == band.high else f"{central} ({low} .. {high})"
