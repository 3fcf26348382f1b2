"""The plots of a report: functions that take axes and return them, and the figures made of them.

Nothing here touches pyplot or the backend: ``ax=None`` draws into a new `matplotlib.figure.Figure`,
which is ``ax.figure``. The BER of an evaluation is drawn by `dbp.evaluation.plot`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from dbp.config import Link
from dbp.datapath.design import Design
from dbp.records.schemas import REFERENCE_FILTERS, ComparisonRow
from dbp.support.style import MARKERS, MUTED, color, grid, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@styled
def plot_constellation(points: NDArray[np.complexfloating], ax: Axes | None = None) -> Axes:
    """Draw received symbols, complex, as dots in the plane; in units of the rms symbol."""
    ax = ax or Figure(figsize=(3.1, 3.3), layout="constrained").subplots()
    ax.plot(
        points.real, points.imag, ".", color=color(0), markersize=1.5, alpha=0.5, rasterized=True
    )
    ax.set(xlim=(-1.7, 1.7), ylim=(-1.7, 1.7), aspect="equal", xlabel="I")
    grid(ax)
    return ax


@styled
def constellations(symbols: Mapping[str, NDArray[np.complexfloating]]) -> Figure:
    """Return a figure with a constellation for each title, side by side."""
    figure = Figure(figsize=(3.1 * len(symbols), 3.3), layout="constrained")
    axes = figure.subplots(1, len(symbols), squeeze=False)[0]
    for ax, (title, points) in zip(axes, symbols.items(), strict=True):
        plot_constellation(points, ax).set(title=title)
    axes[0].set_ylabel("Q")
    return figure


def plot_filter_responses(
    designs: Mapping[str, Design], link: Link, axes: Sequence[Axes] | None = None
) -> Sequence[Axes]:
    """Draw the middle filter of each design as `plot_taps` does."""
    middles = {name: design.taps(len(design.filters) // 2) for name, design in designs.items()}
    rates = {name: design.samples_per_symbol for name, design in designs.items()}
    return plot_taps(middles, link, axes, rates)


@styled
def plot_taps(
    filters: Mapping[str, NDArray[np.complex128]],
    link: Link,
    axes: Sequence[Axes] | None = None,
    samples_per_symbol: Mapping[str, Fraction] | None = None,
) -> Sequence[Axes]:
    """Draw taps, gain and phase error of filters, each against one span of the link undone.

    ``samples_per_symbol`` of each filter's signal: 2 by default.

    The ideal is the all-pass ``exp(j pi D lambda^2 f^2 L / c)`` (Savory, Optics Express 16, 804
    (2008), eq. 3, conjugated as in `dbp.link.fiber`). A constant phase is left out.
    ``axes``: three, for taps, gain and phase error; returned.
    """
    if axes is None:
        axes = Figure(figsize=(11, 3.3), layout="constrained").subplots(1, 3)
    taps_ax, gain_ax, phase_ax = axes
    rate_ghz = link.symbol_rate_gbd
    frequency_ghz = np.linspace(-rate_ghz, rate_ghz, 801)
    edge_ghz = (1 + link.roll_off) * rate_ghz / 2
    in_band = np.abs(frequency_ghz) <= edge_ghz
    # ps/nm/km times km times nm^2 GHz^2 over m/s: 1e-12 * 1e9 * 1e-18 * 1e18 = 1e-3.
    phase = np.pi * link.dispersion_ps_per_nm_km * link.span_km * link.wavelength_nm**2 * 1e-3
    ideal = np.exp(1j * phase * frequency_ghz**2 / speed_of_light)
    for number, (name, taps) in enumerate(filters.items()):
        k = np.arange(taps.size) - taps.size // 2
        rate = float((samples_per_symbol or {}).get(name, 2))
        z = np.exp(-2j * np.pi * frequency_ghz / (rate * rate_ghz))
        response = (taps[:, None] * z[None, :] ** k[:, None]).sum(0)
        error = response / ideal
        error *= np.exp(-1j * np.angle(error[in_band].mean()))
        style: dict[str, Any] = {
            "color": color(number),
            "label": f"{name}, {taps.size} taps".lstrip(", "),
        }
        taps_ax.plot(k, np.abs(taps), ".-", **style)
        gain_ax.plot(frequency_ghz, 20 * np.log10(np.maximum(np.abs(response), 1e-3)), **style)
        phase_ax.plot(frequency_ghz[in_band], np.angle(error[in_band]), **style)
    taps_ax.set(title="Middle filter: taps", xlabel="tap", ylabel="magnitude")
    taps_ax.legend()
    gain_ax.set(title="Gain", xlabel="frequency (GHz)", ylabel="dB", ylim=(-25, 5))
    phase_ax.set(title="Phase error in the signal band", xlabel="frequency (GHz)", ylabel="rad")
    for edge in (-edge_ghz, edge_ghz):
        gain_ax.axvline(edge, color=MUTED, linestyle=":", linewidth=1)
    for ax in axes:
        grid(ax)
    return axes


@styled
def filter_responses(designs: Mapping[str, Design], link: Link) -> Figure:
    """Return a figure of `plot_filter_responses`."""
    figure = Figure(figsize=(11, 3.3), layout="constrained")
    plot_filter_responses(designs, link, figure.subplots(1, 3))
    return figure


@styled
def plot_learning_curve(history: Sequence[Mapping[str, Any]], ax: Axes | None = None) -> Axes:
    """Draw the effective SNR against the iteration; rows of ``history.csv``, phases in order."""
    ax = ax or Figure(figsize=(7, 3.0), layout="constrained").subplots()
    phases = list(dict.fromkeys(row["phase"] for row in history))
    for number, phase in enumerate(phases):
        rows = [row for row in history if row["phase"] == phase]
        ax.plot(
            [int(row["iteration"]) for row in rows],
            [float(row["snr_db"]) for row in rows],
            ".-",
            color=color(number),
            label=phase,
        )
    ax.set(xlabel="iteration", ylabel="effective SNR (dB)", title="Learning")
    grid(ax)
    ax.legend()
    return ax


@styled
def learning_curve(history: Sequence[Mapping[str, Any]]) -> Figure:
    """Return a figure of `plot_learning_curve`."""
    figure = Figure(figsize=(7, 3.0), layout="constrained")
    plot_learning_curve(history, figure.subplots())
    return figure


@styled
def plot_comparison(rows: Sequence[ComparisonRow], ax: Axes | None = None) -> Axes:
    """Draw BER against the whole receiver's power, for rows of one kit, in the colours of designs.

    Filled: taps in registers; hollow: hardwired; crosses, with a name each: estimates.
    """
    ax = ax or Figure(figsize=(6, 3.9), layout="constrained").subplots()
    handles = _draw_comparison(rows, _designs(rows), ax) | _kinds(rows)
    ax.set_ylabel("BER at the best launch power")
    ax.legend(handles.values(), handles.keys())
    return ax


@styled
def comparison(rows: Sequence[ComparisonRow]) -> Figure:
    """Return a figure with BER against power in a panel for each kit, and one legend."""
    kits = list(dict.fromkeys(row.pdk for row in rows))
    designs = _designs(rows)
    height = max(3.9, 0.2 * len(designs) + 0.5)  # inches: the legend has a line for each
    figure = Figure(figsize=(3.4 * len(kits) + 2.6, height), layout="constrained")
    axes = figure.subplots(1, len(kits), squeeze=False, sharey=True)[0]
    handles: dict[str, Line2D] = {}
    for ax, kit in zip(axes, kits, strict=True):
        handles |= _draw_comparison([row for row in rows if row.pdk == kit], designs, ax)
        ax.set(title=kit)
    axes[0].set_ylabel("BER at the best launch power")
    handles |= _kinds(rows)
    figure.legend(handles.values(), handles.keys(), loc="outside right upper")
    return figure


@styled
def energy(rows: Sequence[ComparisonRow]) -> Figure | None:
    """Return a figure of effective SNR against energy, a panel for each kit; None without an SNR.

    The SNR is that at the launch power of the least BER. References, whose energy is an estimate,
    are crosses with their names beside them.
    """
    rows = [row for row in rows if row.snr_db is not None]
    if not rows:
        return None
    kits = list(dict.fromkeys(row.pdk for row in rows))
    designs = _designs(rows)
    figure = Figure(figsize=(3.4 * len(kits) + 2.6, 3.9), layout="constrained")
    axes = figure.subplots(1, len(kits), squeeze=False, sharey=True)[0]
    handles: dict[str, Line2D] = {}
    for ax, kit in zip(axes, kits, strict=True):
        handles |= _draw_energy([row for row in rows if row.pdk == kit], designs, ax)
        ax.set(title=kit, xlabel="energy (pJ per bit)")
    axes[0].set_ylabel("effective SNR (dB)")
    handles |= _kinds(rows)
    figure.legend(handles.values(), handles.keys(), loc="outside right upper")
    return figure


def _designs(rows: Sequence[ComparisonRow]) -> list[str]:
    """Return the designs that have a colour: all that are not references."""
    return list(dict.fromkeys(row.design for row in rows if row.filters != REFERENCE_FILTERS))


def _mark(row: ComparisonRow, designs: Sequence[str]) -> dict[str, Any]:
    """Return the style of a row's mark, as the legend has it, where it is not hollow."""
    if row.filters == REFERENCE_FILTERS:
        return {"marker": "x", "color": MUTED, "ls": ""}
    number = designs.index(row.design)
    return {"marker": MARKERS[number % len(MARKERS)], "color": color(number), "ls": ""}


def _face(row: ComparisonRow) -> dict[str, Any]:
    return {"mfc": "none"} if row.filters == "hardwired" else {}


def _kinds(rows: Sequence[ComparisonRow]) -> dict[str, Line2D]:
    """Return the lines of the legend that tell kinds of rows."""
    kinds = {row.filters for row in rows}
    handles: dict[str, Line2D] = {}
    if "hardwired" in kinds:
        handles["hollow: hardwired"] = Line2D([], [], marker="o", color=MUTED, mfc="none", ls="")
    if REFERENCE_FILTERS in kinds:
        handles["cross: an estimate"] = Line2D([], [], marker="x", color=MUTED, ls="")
    return handles


def _margin(rows: Sequence[ComparisonRow]) -> float:
    """Return the share of the axis left free at its ends, with room for names of references."""
    return 0.25 if any(row.filters == REFERENCE_FILTERS for row in rows) else 0.1


def _legend(
    rows: Sequence[ComparisonRow],
    designs: Sequence[str],
    at: Sequence[tuple[float, float]],
    ax: Axes,
) -> dict[str, Line2D]:
    """Write the names of references, drawn ``at`` their places; return a mark for each design."""
    handles: dict[str, Line2D] = {}
    for row, place in zip(rows, at, strict=True):
        if row.filters != REFERENCE_FILTERS:
            handles[row.design] = Line2D([], [], **_mark(row, designs))
            continue
        # Beside the cross: an error bar may be above and below.
        ax.annotate(
            row.design, place, (6, 0), textcoords="offset points", va="center", color=MUTED,
            fontsize="small",
        )  # fmt: skip
    return handles


def _draw_energy(
    rows: Sequence[ComparisonRow], designs: Sequence[str], ax: Axes
) -> dict[str, Line2D]:
    """Draw the rows of one kit; a mark of the legend for each design. ``designs``: of all kits."""
    rows = [row for row in rows if row.pj_per_bit is not None and row.snr_db is not None]
    at = [(row.pj_per_bit or 0.0, row.snr_db or 0.0) for row in rows]
    for row, (x, y) in zip(rows, at, strict=True):
        ax.plot([x], [y], **_face(row), **_mark(row, designs))
    ax.set(xscale="log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.margins(x=_margin(rows), y=0.1)
    grid(ax)
    return _legend(rows, designs, at, ax)


def _draw_comparison(
    rows: Sequence[ComparisonRow], designs: Sequence[str], ax: Axes
) -> dict[str, Line2D]:
    """Draw the rows of one kit; a mark of the legend for each design. ``designs``: of all kits."""
    for row in rows:
        ax.errorbar(
            [row.power_w.total],
            [row.ber],
            yerr=[[row.ber - row.ber_low], [row.ber_high - row.ber]],
            **_face(row),
            **_mark(row, designs),
        )
    ax.margins(x=_margin(rows))
    ax.set(xlabel="receiver, W", yscale="log", xlim=(0, None))
    grid(ax)
    return _legend(rows, designs, [(row.power_w.total, row.ber) for row in rows], ax)
