"""The figure of a search: energy per bit against effective SNR, and against BER where counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from numpy.typing import NDArray

from dbp.exploration import pareto
from dbp.records.schemas import ExploredPoint
from dbp.support.style import MUTED, color, grid, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FAINT = 0.45


@styled
def figure(points: Sequence[ExploredPoint], title: str) -> Figure:
    """Return the figure of a search as far as it is; ``title`` says in which kit."""
    drawn = Figure(figsize=(10.5, 4.4), layout="constrained")
    snr_ax, ber_ax = drawn.subplots(1, 2)
    plot_snr(points, snr_ax)
    plot_ber(points, ber_ax)
    drawn.suptitle(title, fontsize=10.5)
    return drawn


@styled
def plot_snr(points: Sequence[ExploredPoint], ax: Axes) -> Axes:
    """Draw all candidates: effective SNR on the data of learning against predicted energy."""
    cheap = [point for point in points if point.snr_db is None and point.cheap_snr_db is not None]
    full = [point for point in points if point.snr_db is not None]
    _scatter(ax, cheap, "cheap_snr_db", "learned cheaply", MUTED, _FAINT)
    _scatter(ax, full, "snr_db", "learned fully", color(0), 0.8)
    name = "snr_db" if full else "cheap_snr_db"
    energy, snr_db = _column(full or cheap, "pj_per_bit"), _column(full or cheap, name)
    objectives = list(zip(energy.tolist(), (-snr_db).tolist(), strict=True))
    if objectives:
        front = pareto.fronts(objectives)[0]
        ax.plot(energy[front], snr_db[front], "-", color=color(0), linewidth=1, label="front")
    ax.set(xlabel="predicted energy (pJ/bit)", ylabel="effective SNR, validation data (dB)")
    _finish(ax, "lower right")
    return ax


@styled
def plot_ber(points: Sequence[ExploredPoint], ax: Axes) -> Axes:
    """Draw the confirmed candidates: BER with its interval against energy, and their front.

    Filled: energy from synthesis, with a line from what was predicted. Hollow: predicted.
    """
    counted = [point for point in points if point.ber is not None]
    ax.set(xlabel="energy (pJ/bit)", ylabel="BER at the best launch power, 95 % interval")
    if not counted:
        ax.text(0.5, 0.5, "nothing counted yet", ha="center", color=MUTED, transform=ax.transAxes)
        ax.set(xticks=[], yticks=[])
        return ax
    front = [point for point in counted if point.on_front]
    front.sort(key=lambda point: point.best_pj_per_bit or 0.0)
    energy = _column(front, "best_pj_per_bit")
    ax.plot(energy, _shown_ber(front), "-", color=color(1), linewidth=1, label="front")
    synthesized = [point for point in counted if point.synthesized_pj_per_bit is not None]
    predicted = [point for point in counted if point.synthesized_pj_per_bit is None]
    _errorbars(ax, synthesized, color(1), "synthesised")
    _errorbars(ax, predicted, "none", "energy predicted")
    _mark_predictions(ax, synthesized)
    ax.set(yscale="log")
    _finish(ax, "upper right")
    return ax


def _errorbars(ax: Axes, points: Sequence[ExploredPoint], face: str, label: str) -> None:
    if not points:
        return
    energy, ber = _column(points, "best_pj_per_bit"), _column(points, "ber")
    # No bar below what was not seen.
    seen = np.where(ber > 0, ber, np.nan)
    below, above = seen - _column(points, "ber_low"), _column(points, "ber_high") - seen
    style: dict[str, Any] = {"color": color(1), "markerfacecolor": face, "linestyle": ""}
    ax.errorbar(energy, seen, [below, above], marker="o", label=label, **style)
    if (ber == 0).any():
        highest = np.where(ber > 0, np.nan, _column(points, "ber_high"))
        ax.plot(energy, highest, marker="v", label=f"{label}, no bit wrong: bound", **style)


def _mark_predictions(ax: Axes, points: Sequence[ExploredPoint]) -> None:
    """Mark what was predicted of each synthesised point, with a line to what came out."""
    if not points:
        return
    predicted, energy = _column(points, "pj_per_bit"), _column(points, "synthesized_pj_per_bit")
    shown = _shown_ber(points)
    ax.hlines(shown, predicted, energy, color=MUTED, linewidth=0.8, zorder=1)
    ax.plot(predicted, shown, "|", color=MUTED, markersize=8, zorder=1, label="its prediction")


def _column(points: Sequence[ExploredPoint], name: str) -> NDArray[np.float64]:
    """Return a figure of each point; NaN where there is none."""
    return np.array([getattr(point, name) for point in points], dtype=np.float64)


def _shown_ber(points: Sequence[ExploredPoint]) -> NDArray[np.float64]:
    """Return the BER of each point, or where no bit was wrong the upper end of its interval."""
    ber = _column(points, "ber")
    return np.where(ber > 0, ber, _column(points, "ber_high"))


def _scatter(
    ax: Axes, points: Sequence[ExploredPoint], name: str, label: str, shade: str, alpha: float
) -> None:
    for marker, extrapolates in (("o", False), ("x", True)):
        some = [point for point in points if bool(point.extrapolates) == extrapolates]
        if some:
            words = f"{label}, watts extrapolated" if extrapolates else label
            energy, snr_db = _column(some, "pj_per_bit"), _column(some, name)
            ax.plot(energy, snr_db, marker, color=shade, alpha=alpha, label=words)


def _finish(ax: Axes, legend: Literal["lower right", "upper right"]) -> None:
    """Scale, grid and legend, this in the corner ``legend``, where the front does not lie."""
    ax.set(xscale="log")
    axis = ax.xaxis
    low, high = ax.get_xlim()
    if high / low < 30:
        # Within a decade or so: plain figures, as many as there is room for, no powers of ten.
        axis.set_major_locator(LogLocator(subs=range(1, 10) if high / low < 4 else (1, 2, 3, 5)))
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(NullFormatter())
    grid(ax)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc=legend)
