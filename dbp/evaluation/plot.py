"""Bit error ratio and effective SNR drawn against whatever an evaluation went through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from dbp.records.schemas import Point
from dbp.support.style import REFERENCE_COLOR, color, grid, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POWER = "launch_power_dbm"
_TITLES = {
    _POWER: "launch power (dBm)",
    "spans": "spans",
    "noise_figure_db": "noise figure (dB)",
    "symbol_rate_gbd": "symbol rate (GBd)",
}
_LINE_STYLES = {"fixed": "-", "float": "--"}
_REFERENCE_LINES = {"linear": "--", "dbp1": ":", "dbp50": "-."}
_MARKERS = "os^vDPX"
# A legend of more curves covers them: it goes beside the axes.
_LEGEND_INSIDE = 6


@dataclass(frozen=True)
class _Curve:
    """Points of one receiver on one link, in the order of the abscissa, and how they are drawn."""

    points: Sequence[Point]
    x: np.ndarray
    style: dict[str, Any]


@styled
def plot_ber(points: Sequence[Point], ax: Axes | None = None) -> Axes:
    """Draw the BER of each receiver on a logarithmic axis, bars for the 95 % intervals.

    Where no bit was wrong the upper bound is marked, without a line. The launch power is the
    abscissa where there are several, else the first swept key of numbers that has several values;
    each combination of the others is a curve of its own, in its design's colour. ``ax=None``: in a
    new figure, which is ``ax.figure``.
    """
    ax, abscissa, curves = _prepare(points, ax)
    for curve in curves:
        ber, low, high = (
            np.array([getattr(point, name) for point in curve.points])
            for name in ("ber", "ber_low", "ber_high")
        )
        seen = ber > 0
        # No line over what was not seen.
        shown = np.where(seen, ber, np.nan)
        ax.errorbar(curve.x, shown, np.stack((shown - low, high - shown)), **curve.style)
        ax.plot(curve.x[~seen], high[~seen], "v", color=curve.style["color"])
    ax.set(yscale="log", ylabel="bit error ratio (95 % interval)")
    _finish(ax, abscissa)
    if len(curves) <= _LEGEND_INSIDE:
        ax.legend()
    return ax


@styled
def plot_snr(points: Sequence[Point], ax: Axes | None = None) -> Axes:
    """Draw the effective SNR of each receiver as `plot_ber` does the BER, without a legend."""
    ax, abscissa, curves = _prepare(points, ax)
    for curve in curves:
        ax.plot(curve.x, [point.snr_db for point in curve.points], **curve.style)
    ax.set(ylabel="effective SNR (dB)")
    _finish(ax, abscissa)
    return ax


@styled
def ber_and_snr(points: Sequence[Point]) -> Figure:
    """Return a figure with `plot_ber` and `plot_snr` side by side."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    ber_axes, snr_axes = figure.subplots(1, 2)
    plot_ber(points, ber_axes)
    plot_snr(points, snr_axes)
    if ber_axes.get_legend() is None:
        figure.set_figwidth(14)
        figure.legend(*ber_axes.get_legend_handles_labels(), loc="outside right upper")
    return figure


def title(key: str) -> str:
    """Return what a key is called on an axis."""
    return _TITLES.get(key, key.replace("_", " "))


def _prepare(points: Sequence[Point], ax: Axes | None) -> tuple[Axes, str, list[_Curve]]:
    """Return the axes to draw into, the key of the abscissa and the curves."""
    if ax is None:
        ax = Figure(figsize=(5.5, 4), layout="constrained").subplots()
    swept = dict.fromkeys(key for point in points for key in point.model_extra or ())
    keys = [k for k in (_POWER, *swept) if len({getattr(point, k) for point in points}) > 1]
    numeric = [key for key in keys if all(_is_number(getattr(point, key)) for point in points)]
    abscissa = numeric[0] if numeric else _POWER
    return ax, abscissa, _curves(points, abscissa, [key for key in keys if key != abscissa])


def _curves(points: Sequence[Point], abscissa: str, others: Sequence[str]) -> list[_Curve]:
    """Return a curve for each receiver and each combination of the values of ``others``."""

    def setting(point: Point) -> tuple[Any, ...]:
        return tuple(getattr(point, key) for key in others)

    names = dict.fromkeys(point.design for point in points)
    designs = [name for name in names if name not in _REFERENCE_LINES]
    settings = list(dict.fromkeys(map(setting, points)))
    grouped: dict[tuple[str, str, tuple[Any, ...]], list[Point]] = {}
    for point in points:
        grouped.setdefault((point.design, point.arithmetic, setting(point)), []).append(point)
    curves = []
    for (design, arithmetic, values), own in grouped.items():
        words = [
            value if isinstance(value, str) else f"{title(key)} {_shown(value)}"
            for key, value in zip(others, values, strict=True)
        ]
        own.sort(key=lambda point: getattr(point, abscissa))
        number = settings.index(values)
        style = {
            "color": color(designs.index(design)) if design in designs else REFERENCE_COLOR,
            "linestyle": _REFERENCE_LINES.get(design, _LINE_STYLES[arithmetic]),
            "marker": _MARKERS[number % len(_MARKERS)],
            "alpha": 1 - 0.6 * number / max(len(settings), 2),
            "label": ", ".join((design, arithmetic, *words)),
        }
        x = np.array([getattr(point, abscissa) for point in own])
        curves.append(_Curve(own, x, style))
    return curves


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    return f"{value:g}" if _is_number(value) else str(value)


def _finish(ax: Axes, abscissa: str) -> None:
    ax.set(xlabel=title(abscissa))
    grid(ax)
