"""Figures of the documentation: ``python docs/images/figures.py [NAME...]``.

``readme`` counts bit errors for some minutes and keeps the points in ``readme.csv``, from which the
figure is drawn; the others take seconds. ``pareto.csv`` holds the BER and the watts of
`docs/results/index.md` and of the pages behind it.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

import dbp
from dbp.report import plots
from dbp.rtl.target import FILTER_KINDS
from dbp.support.style import INK, MARKERS, MUTED, REFERENCE_COLOR, color, grid, styled
from dbp.support.svg import to_svg
from dbp.synthesis.watt_model import fit
from dbp.synthesis.watt_model.counts import count
from dbp.synthesis.watt_model.steps import synthesised

HERE = Path(__file__).parent
SEED = 1
LEARNED, UNLEARNED = "learned-c6-s9", "lsco-paper-c9-s9"
POWERS_DBM = np.arange(-4.0, 3.0)
MIN_ERRORS = 100
CURVES = {
    "linear": ("dispersion alone", REFERENCE_COLOR, "s--"),
    UNLEARNED: ("backpropagation, 25 taps of 9 bits", color(1), "o-"),
    LEARNED: ("learned, 15 taps of 6 bits: half the power", color(0), "o-"),
}


@styled
def readme() -> Figure:
    """Return the README's picture: constellations before and after, and BER over launch power."""
    link = dbp.Link()
    path = HERE / "readme.csv"
    if not path.is_file():
        designs = [LEARNED, UNLEARNED, "linear"]
        points = dbp.evaluate(
            designs, link, launch_power_dbm=POWERS_DBM, min_errors=MIN_ERRORS, seed=SEED
        )
        points.to_csv(path)
    figure = Figure(figsize=(5.9, 4.0), layout="constrained")
    axes = figure.subplot_mosaic([["before", "ber"], ["after", "ber"]], width_ratios=[1, 2.4])
    _curves(path, axes["ber"])
    received = link.transmit(launch_power_dbm=1.0, symbols=4096, seed=SEED)
    receivers = {"before": dbp.Reference("linear", link), "after": dbp.Design.load(LEARNED)}
    for place, title in (("before", "dispersion undone"), ("after", "Kerr undone too")):
        receiver = receivers[place]
        if place == "before":
            equalized = receiver(received.waveform, received.launch_power_dbm)
        else:
            equalized = receiver.receive(received)
        ax = axes[place]
        plots.plot_constellation(dbp.detect(received, equalized).ravel(), ax)
        ax.set(title=title, xlabel="", xticks=[], yticks=[])
    return figure


def _curves(path: Path, ax) -> None:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for design, (label, shade, line) in CURVES.items():
        own = [row for row in rows if row["design"] == design and float(row["ber"])]
        power, ber, low, high = (
            np.array([float(row[key]) for row in own])
            for key in ("launch_power_dbm", "ber", "ber_low", "ber_high")
        )
        ax.errorbar(power, ber, (ber - low, high - ber), fmt=line, color=shade, label=label)
    ax.set(
        yscale="log",
        title="3,200 km, 20 GBd 16-QAM",
        xlabel="launch power (dBm)",
        ylabel="bit error ratio",
        ylim=(1e-4, 1),
    )
    ax.legend(loc="upper left")
    grid(ax)


def filters() -> Figure:
    """Return taps, gain and phase error of a learned and an unlearned middle filter."""
    designs = {name: dbp.Design.load(name) for name in (LEARNED, UNLEARNED)}
    return plots.filter_responses(designs, dbp.Link())


@styled
def pareto() -> Figure:
    """Return BER over the watts of whole receivers in nangate45, as ``pareto.csv`` has them."""
    with (HERE / "pareto.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    figure = Figure(figsize=(6.6, 4.4), layout="constrained")
    ax = figure.subplots()
    for number, name in enumerate(dict.fromkeys(row["design"] for row in rows)):
        own = [row for row in rows if row["design"] == name]
        kinds = {row["filters"] for row in own}
        for row in own:
            hollow = row["filters"] == "hardwired"
            ax.plot(
                float(row["power_w"]),
                float(row["ber"]),
                MARKERS[number % len(MARKERS)],
                color=color(0) if row["learned"] == "yes" else color(1),
                mfc="none" if hollow else None,
                markersize=7,
                label=None if hollow and kinds > {"hardwired"} else name,
            )
    ax.plot([], [], "o", color=MUTED, mfc="none", label="hollow: taps in the logic")
    ax.set(
        yscale="log", xlim=(0, 92), ylim=(4.5e-5, 1.4e-3), xlabel="whole receiver in nangate45 (W)"
    )
    ax.set(ylabel="bit error ratio at the best launch power")
    ax.annotate(
        "better",
        (2, 4.9e-5),
        (5, 6.6e-5),
        color=INK,
        arrowprops={"arrowstyle": "->", "color": INK},
    )
    grid(ax)
    figure.legend(loc="outside right upper")
    figure.set_figwidth(8.6)
    return figure


@styled
def watt_model() -> Figure:
    """Return errors of the watt model on all synthesised steps, those of the fit hollow."""
    figure = Figure(figsize=(6.6, 4.8), layout="constrained")
    axes = figure.subplots(2, 2, sharex="col", sharey="row")
    for kit, column in zip(("nangate45", "asap7"), axes.T, strict=True):
        prices = fit.prices(kit)
        for each in (each for each in synthesised() if each.kit == kit):
            cost = prices.cost(count(each.step, each.lanes))
            number = FILTER_KINDS.index(each.step.filters)
            for ax, predicted, found in (
                (column[0], cost.gates_mw, each.total_mw),
                (column[1], cost.area_um2, each.total_um2),
            ):
                ax.plot(
                    each.total_mw / each.lanes,
                    100 * (predicted / found - 1),
                    MARKERS[number],
                    color=color(number),
                    mfc=None if each.held_out else "none",
                )
        for ax in column:
            ax.axhspan(-10, 10, color=MUTED, alpha=0.08, lw=0)
            ax.set(ylim=(-12, 12), xscale="log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            ax.xaxis.set_major_formatter("{x:g}")
            ax.xaxis.set_minor_formatter(NullFormatter())
            grid(ax)
        column[0].set(title=kit)
        column[1].set(xlabel="synthesised step, mW a lane")
    axes[0, 0].set_ylabel("power: error, %")
    axes[1, 0].set_ylabel("area: error, %")
    for number, kind in enumerate(FILTER_KINDS):
        axes[0, 0].plot([], [], MARKERS[number], color=color(number), label=kind)
    axes[0, 0].plot([], [], "o", color=MUTED, mfc="none", label="hollow: fitted")
    axes[0, 0].plot([], [], "o", color=MUTED, label="full: held out")
    figure.legend(loc="outside upper center", ncols=4)
    return figure


def main(names: list[str]) -> None:
    """Write the figures of these names, or all."""
    drawn = {"readme": readme, "filters": filters, "pareto": pareto, "watt_model": watt_model}
    for name in names or drawn:
        (HERE / f"{name}.svg").write_text(to_svg(drawn[name]()), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
