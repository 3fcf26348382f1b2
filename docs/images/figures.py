"""Figures of the documentation: ``python docs/images/figures.py [readme] [filters] [pareto]``.

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

import dbp
from dbp.report import plots
from dbp.support.style import INK, MARKERS, MUTED, REFERENCE_COLOR, color, grid, styled
from dbp.support.svg import to_svg

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
        for row in (row for row in rows if row["design"] == name):
            hollow = row["filters"] == "hardwired"
            ax.plot(
                float(row["power_w"]),
                float(row["ber"]),
                MARKERS[number % len(MARKERS)],
                color=color(0) if row["learned"] == "yes" else color(1),
                mfc="none" if hollow else None,
                markersize=7,
                label=None if hollow else name,
            )
    ax.plot([], [], "o", color=MUTED, mfc="none", label="hollow: taps in the logic")
    ax.set(
        yscale="log", xlim=(0, 78), ylim=(7e-5, 1.4e-3), xlabel="whole receiver in nangate45 (W)"
    )
    ax.set(ylabel="bit error ratio at the best launch power")
    ax.annotate(
        "better",
        (5, 7.6e-5),
        (14, 1.05e-4),
        color=INK,
        arrowprops={"arrowstyle": "->", "color": INK},
    )
    grid(ax)
    figure.legend(loc="outside right upper")
    figure.set_figwidth(8.6)
    return figure


def main(names: list[str]) -> None:
    """Write the figures of these names, or all."""
    drawn = {"readme": readme, "filters": filters, "pareto": pareto}
    for name in names or drawn:
        (HERE / f"{name}.svg").write_text(to_svg(drawn[name]()), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
