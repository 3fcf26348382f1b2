"""Our receivers beside those of the paper: the best BER of each curve, and the curves themselves.

The paper gives BERs only. The effective SNR behind a BER is here, for the paper's and for ours, the
E_s / N_0 at which Gray 16-QAM in Gaussian noise has it (`dbp.link.modulation.snr_awgn`: the exact
BER of Cho and Yoon, 2002, inverted).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from dbp.comparison.paper import MODULATION, Curve
from dbp.link import modulation
from dbp.records.schemas import Point
from dbp.support.style import INK, color, grid, styled
from dbp.support.text import aligned

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The top of the axis: curves do not differ above it.
TOP_BER = 3e-2


def compare(curves: Sequence[Curve], points: Sequence[Point]) -> list[dict[str, Any]]:
    """Return a line of ``reproduction.csv`` for each curve: the two optima and their difference.

    ``difference_db``: our effective SNR over the paper's, each at its own best launch power.
    """
    rows = []
    for curve in curves:
        paper_ber, paper_power_dbm = min(zip(curve.ber, curve.launch_power_dbm, strict=True))
        ours = min(_ours(curve, points), key=lambda point: point.ber)
        paper_db, our_db = (_snr_db(ber) for ber in (paper_ber, ours.ber))
        rows.append(
            {
                "curve": curve.title,
                "paper_launch_power_dbm": paper_power_dbm,
                "paper_ber": paper_ber,
                "paper_snr_from_ber_db": paper_db,
                "receiver": curve.receiver,
                "launch_power_dbm": ours.launch_power_dbm,
                "bits": ours.bits,
                "errors": ours.errors,
                "ber": ours.ber,
                "ber_low": ours.ber_low,
                "ber_high": ours.ber_high,
                "snr_from_ber_db": our_db,
                "difference_db": our_db - paper_db,
            }
        )
    return rows


def _ours(curve: Curve, points: Sequence[Point]) -> list[Point]:
    """Return our points of a curve, in the order of launch powers."""
    receiver = curve.receiver, curve.arithmetic
    ours = [point for point in points if (point.design, point.arithmetic) == receiver]
    return sorted(ours, key=lambda point: point.launch_power_dbm)


def _snr_db(ber: float) -> float:
    snr = modulation.snr_awgn(MODULATION, ber)
    return 10 * math.log10(snr) if snr else -math.inf


def to_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the lines of `compare` as a table for a terminal."""
    cells = [["curve", "paper", "at dBm", "ours", "95 % interval", "at dBm", "errors"]]
    cells[0].append("SNR difference dB")
    for row in rows:
        cells.append(
            [
                row["curve"],
                f"{row['paper_ber']:.2e}",
                f"{row['paper_launch_power_dbm']:+g}",
                f"{row['ber']:.2e}",
                f"{row['ber_low']:.2e} .. {row['ber_high']:.2e}",
                f"{row['launch_power_dbm']:+g}",
                str(row["errors"]),
                f"{row['difference_db']:+.2f}",
            ]
        )
    return aligned(cells)


@styled
def plot_reproduction(
    curves: Sequence[Curve], points: Sequence[Point], ax: Axes | None = None
) -> Axes:
    """Draw our points of the paper's curves, with 95 % intervals, over the curves themselves."""
    ax = ax or Figure(figsize=(5.5, 5), layout="constrained").subplots()
    for k, curve in enumerate(curves):
        ours = [point for point in _ours(curve, points) if point.errors]
        bars = [[p.ber - p.ber_low for p in ours], [p.ber_high - p.ber for p in ours]]
        ax.errorbar(
            [point.launch_power_dbm for point in ours],
            [point.ber for point in ours],
            bars,
            color=color(k),
            marker="o",
            label=curve.title,
        )
        of_paper = curve.launch_power_dbm, curve.ber
        ax.plot(*of_paper, "x--", color=color(k), markersize=5, linewidth=0.9, alpha=0.8)
    ax.plot([], [], "o-", color=INK, label="ours, 95 % interval")
    ax.plot([], [], "x--", color=INK, markersize=5, linewidth=0.9, label="the paper's")
    ax.set(xlabel="launch power (dBm)", yscale="log")
    grid(ax)
    ax.legend(loc="lower left")
    return ax


@styled
def beside_paper(curves: Sequence[Curve], points: Sequence[Point]) -> Figure:
    """Return a figure of our curves over the paper's: the unlearned ones, then the learned."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, learned in zip(panels, (False, True), strict=True):
        shown = [curve for curve in curves if (curve.filters == "learned") is learned]
        plot_reproduction(shown, points, panel)
    panels[0].set(ylabel="bit error ratio", ylim=(None, TOP_BER))
    return figure
