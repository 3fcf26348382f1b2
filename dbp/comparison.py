"""Designs beside each other: bit error ratio, watts, square millimetres, picojoules a bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from dbp import modulation, published
from dbp.config import Config
from dbp.design import Design
from dbp.figures import to_svg

FILE = "comparison"


def filters_of(design: Design) -> dict[str, Any]:
    """Taps and bits of the middle filter and of the signal, as the paper's table has them."""
    middle = design.filters[len(design.filters) // 2]
    return {
        "taps": middle.taps,
        "coefficient_bits": middle.coefficient_bits,
        "signal_bits": design.signal_bits,
    }


def energies(receiver: Mapping[str, Any], settings: Config) -> dict[str, float]:
    """Picojoules per bit of the link and per complex sample, of a receiver's whole power."""
    samples_per_s = receiver["lanes"] * settings.hardware.clock_mhz * 1e6
    bits_per_sample = modulation.bits_per_symbol(settings.link.modulation) / 2
    pj_per_sample = 1e12 * receiver["power_w"]["total"] / samples_per_s
    return {"pj_per_bit": pj_per_sample / bits_per_sample, "pj_per_sample": pj_per_sample}


def paper_step(design: Design, filters: str) -> dict[str, float] | None:
    """Watts and square millimetres that the paper states for a step of these formats, if any."""
    if filters != "reconfigurable":
        return None
    learned = "learned" if design.name.startswith("learned-c") else "ls-co"
    if not design.name.startswith(("learned-c", "lsco-paper")):
        return None
    mine = {"filters": learned, **filters_of(design)}
    keys = {"taps": "taps_per_step"}
    for row in published.rows("paper_power.csv"):
        if all(row[keys.get(key, key)] == str(value) for key, value in mine.items()):
            return {
                "power_w": float(row["power_w_per_step"]),
                "area_mm2": float(row["area_mm2_per_step"]),
            }
    return None


def table(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """A header and a line per row; ratios are to the first design in the same kit."""
    lines = [["design", "filters", "kit", "BER", "W", "mm2", "pJ/bit", "W a step", "ratio", "paper",
              "mm2 a step", "ratio", "paper", "at 28 nm: W", "slack ns"]]  # fmt: skip
    for row in rows:
        first = next(other for other in rows if other["pdk"] == row["pdk"])
        paper, paper_first = row["paper_step"], first["paper_step"]
        lines.append(
            [
                row["design"],
                row["filters"],
                row["pdk"],
                f"{row['ber']:.1e}",
                f"{row['power_w']['total']:.3g}",
                f"{row['area_mm2']:.3g}",
                f"{row['pj_per_bit']:.3g}",
                *_ratios(row, first, paper, paper_first, "power_w"),
                *_ratios(row, first, paper, paper_first, "area_mm2"),
                _band(row["power_28nm_w"]),
                f"{row['slack_ns']:+.2f}",
            ]
        )
    return lines


def _ratios(row: Any, first: Any, paper: Any, paper_first: Any, what: str) -> list[str]:
    step = f"step_{what}"
    stated = "-"
    if paper and paper_first:
        stated = f"{paper[what]:g} ({paper[what] / paper_first[what]:.2f})"
    return [f"{row[step]:.3g}", f"{row[step] / first[step]:.2f}", stated]


def _band(band: Mapping[str, float] | None) -> str:
    return (
        "-" if band is None else f"{band['central']:.2g} ({band['low']:.2g} .. {band['high']:.2g})"
    )


def draw(rows: Sequence[Mapping[str, Any]]) -> str:
    """BER against the whole receiver's power, a panel for each kit, as the text of an SVG."""
    kits = list(dict.fromkeys(row["pdk"] for row in rows))
    names = list(dict.fromkeys((row["design"], row["filters"]) for row in rows))
    figure = Figure(figsize=(3.4 * len(kits) + 2.6, 3.9), layout="constrained")
    axes = figure.subplots(1, len(kits), squeeze=False, sharey=True)[0]
    handles = {}
    for axis, kit in zip(axes, kits, strict=True):
        for row in (row for row in rows if row["pdk"] == kit):
            key = row["design"], row["filters"]
            number = names.index(key)
            bars = [[row["ber"] - row["ber_low"]], [row["ber_high"] - row["ber"]]]
            handles[" ".join(key) if key[1] == "hardwired" else key[0]] = axis.errorbar(
                [row["power_w"]["total"]],
                [row["ber"]],
                yerr=bars,
                fmt="os^Dv<>pP*"[number % 10],
                color=f"C{number % 10}",
                mfc="none" if key[1] == "hardwired" else None,
                capsize=2,
            )
        axis.set(title=kit, xlabel="receiver, W", yscale="log", xlim=(0, None))
        axis.grid(alpha=0.3, which="both")
    axes[0].set_ylabel("BER at the best launch power")
    figure.legend(handles.values(), handles.keys(), loc="outside right upper", fontsize=8)
    return to_svg(figure)
