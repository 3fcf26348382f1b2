"""Show how taps, watts and picojoules per bit grow with the symbol rate: a table and a figure.

    OMP_NUM_THREADS=1 python benchmarks/symbol_rates.py OUT

The presets `PRESETS` are three symbol rates on one link. Each is learned by ``dbp train``, measured
on fresh data beside linear compensation, and costed by the watt model, as a receiver that takes the
whole symbol rate; nothing is synthesised. Writes ``symbol_rates.csv`` and ``symbol_rates.svg``, and
prints how each figure grows. What an earlier call has left in OUT is not made again. Some three
minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from dbp import cli, config
from dbp.comparison import merit
from dbp.config import Config
from dbp.datapath.complexity import complexity
from dbp.datapath.design import Design
from dbp.evaluation.groups import measure_equalized
from dbp.evaluation.receivers import FixedReceiver, FloatReceiver, Receiver, Reference
from dbp.learning.filter_length import spread_samples
from dbp.learning.float_filters import FloatFilters
from dbp.link import transmission
from dbp.rtl.target import FILTER_KINDS, FilterKind
from dbp.support.files import write_csv, write_text
from dbp.support.style import MARKERS, color, grid, styled
from dbp.support.svg import to_svg
from dbp.synthesis import watt_model

PRESETS = "dual-20gbd-c6-s9", "dual-32gbd-c6-s9", "dual-64gbd-c6-s9"
FRESH_SYMBOLS = 32_768
REFERENCES = ("linear",)
RECEIVERS: tuple[tuple[str, FilterKind], ...] = tuple(
    (kit, filters) for kit in ("nangate45", "asap7") for filters in FILTER_KINDS
)
# Between the highest curve of each panel and its top, for the legend.
HEADROOM = 2.0, 8.0, 8.0
Figures = dict[str, Any]


def kept(path: Path, make: Callable[[], Figures]) -> Figures:
    """Return what a file holds, and before that make it where it is not there."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(make(), indent=1) + "\n")
    found: Figures = json.loads(path.read_text(encoding="utf-8"))
    return found


def fresh_snr_db(settings: Config, receivers: dict[str, Receiver]) -> Figures:
    """Effective SNR of receivers at the launch power of learning, on data of evaluation."""
    link, power_dbm = settings.link, settings.training.launch_power_dbm
    blocks = FRESH_SYMBOLS // link.block_symbols
    received = transmission.simulate(
        link, power_dbm, blocks, seed=settings.seed, purpose="evaluate"
    )
    return {
        name: measure_equalized(link, received, receiver(received.waveform, power_dbm)).snr_db
        for name, receiver in receivers.items()
    }


def train(out: Path) -> None:
    """Learn each preset, and measure it on fresh data."""
    for name in PRESETS:
        run = out / name
        if not (run / "design.json").is_file() and cli.main(["train", name, "--out", str(run)]):
            raise SystemExit(1)
        settings = config.load(name)

        def measure(run: Path = run, settings: Config = settings) -> Figures:
            receivers: dict[str, Receiver] = {
                "fixed": FixedReceiver("fixed", Design.load(run / "design.json")),
                "float": FloatReceiver("float", FloatFilters.load(run / "train" / "float.npz")),
            }
            receivers |= {each: Reference(each, settings.link) for each in REFERENCES}
            return fresh_snr_db(settings, receivers)

        print(name, kept(run / "snr.json", measure))


def lanes(settings: Config) -> int:
    """Return the samples a clock, of each polarisation, that take the whole symbol rate."""
    samples_per_us = 1e3 * settings.link.symbol_rate_gbd * float(settings.link.adc_rate)
    return math.ceil(samples_per_us / settings.hardware.clock_mhz)


def energy(settings: Config, power_w: float) -> float:
    """Return pJ per bit of both polarisations at the symbol rate itself."""
    return merit.energies(lanes(settings), power_w, settings, polarizations=2)["pj_per_bit"]


def predict(out: Path) -> None:
    """Predict the watts of each receiver."""
    for name in PRESETS:
        settings, design = config.load(name), Design.load(out / name / "design.json")
        for kit, filters in RECEIVERS:

            def predicted(
                settings: Config = settings,
                design: Design = design,
                kit: str = kit,
                filters: FilterKind = filters,
            ) -> Figures:
                found = watt_model.predict(design, kit, filters, lanes(settings))
                return asdict(found) | {"pj_per_bit": energy(settings, found.power_w)}

            found = kept(out / name / f"predicted-{kit}-{filters}.json", predicted)
            print(name, kit, filters, f"{found['power_w']:.3g} W", found["extrapolates"])


def rows(out: Path) -> list[Figures]:
    """Return a row for each rate: what was learned, measured and predicted."""
    table = []
    for name in PRESETS:
        settings, run = config.load(name), out / name
        design = Design.load(run / "design.json")
        snr_db = json.loads((run / "snr.json").read_text())
        row = {
            "preset": name,
            "symbol_rate_gbd": settings.link.symbol_rate_gbd,
            "spread_samples": round(spread_samples(settings.link), 1),
            "kerr_taps": settings.learned.kerr_taps,
            "taps": settings.learned.taps,
            "lanes": lanes(settings),
            "launch_power_dbm": settings.training.launch_power_dbm,
            # The links of the presets have 2 samples per symbol and both polarisations.
            "multiplier_bits_per_symbol": 2 * complexity(design).multiplier_bits,
            **{f"{key}_snr_db": round(value, 2) for key, value in snr_db.items()},
        }
        for kit, filters in RECEIVERS:
            found = json.loads((run / f"predicted-{kit}-{filters}.json").read_text())
            for key in ("power_w", "area_mm2", "pj_per_bit"):
                row[f"{kit}-{filters}-{key}"] = float(f"{found[key]:.4g}")
        table.append(row)
    return table


def exponent(table: list[Figures], column: str) -> float:
    """Return a of the power law rate^a that fits a column best, in logarithms."""
    points = [(row["symbol_rate_gbd"], row[column]) for row in table]
    return float(np.polyfit(*np.log(np.array(points, float)).T, 1)[0])


# The ends of the names of columns whose growth is printed.
GROWING = (
    *("spread_samples", "taps", "multiplier_bits_per_symbol"),
    *("power_w", "area_mm2", "pj_per_bit"),
)
# The first panel shows these columns of the table, under these names.
LENGTHS = {"spread_samples": "samples that a span spreads over", "taps": "taps learned"}
WORDS = {"reconfigurable": "taps in registers", "hardwired": "taps in the logic"}


@styled
def draw(table: list[Figures]) -> Figure:
    """Draw taps, watts and picojoules per bit over the symbol rate, in logarithms."""
    figure = Figure(figsize=(10.5, 4.4), layout="constrained")
    axes = figure.subplots(1, 3)
    rates = [row["symbol_rate_gbd"] for row in table]

    def curve(ax: Axes, column: str, label: str, number: int) -> None:
        values = [row[column] for row in table]
        label = f"{label}: rate$^{{{exponent(table, column):.2f}}}$"
        ax.plot(rates, values, f"{MARKERS[number]}-", color=color(number), label=label)

    for number, (column, label) in enumerate(LENGTHS.items()):
        curve(axes[0], column, label, number)
    for ax, key in zip(axes[1:], ("power_w", "pj_per_bit"), strict=True):
        for number, (kit, filters) in enumerate(RECEIVERS):
            curve(ax, f"{kit}-{filters}-{key}", f"{kit}, {WORDS[filters]}", number)
    titles = "filter over a span of 100 km", "receiver, W (predicted)", "pJ per bit (predicted)"
    for ax, title, room in zip(axes, titles, HEADROOM, strict=True):
        ax.set(xscale="log", yscale="log", title=title, xlabel="symbol rate (GBd)", xticks=rates)
        ax.set_ylim(top=room * ax.get_ylim()[1])
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
        ax.legend(loc="upper left", fontsize=8)
        grid(ax)
    return figure


def tabulate(out: Path) -> None:
    """Write the table and the figure, and print how each figure grows."""
    table = rows(out)
    write_csv(out / "symbol_rates.csv", table)
    write_text(out / "symbol_rates.svg", to_svg(draw(table)))
    for column in GROWING:
        for name in [key for key in table[0] if key.split("-")[-1] == column]:
            values = [row[name] for row in table]
            print(f"{name:45} {values} rate^{exponent(table, name):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    train(out)
    predict(out)
    tabulate(out)


if __name__ == "__main__":
    main()
