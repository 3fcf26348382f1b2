"""What each impairment of `[link.impairments]` costs a shipped design, as a factor on its BER.

    OMP_NUM_THREADS=1 python benchmarks/impairments.py OUT

The paper's link at the launch power where `learned-c6-s9` is best; one impairment at a time, the
design as it is, not learned again. Bars are the 95 % interval of each point, the grey band that of
the ideal link, and the ratio is that of the two BERs. Writes ``impairments.csv`` and
``impairments.svg``, and prints where each costs a factor of 1.5. About four minutes of CPU.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dbp import config
from dbp.evaluation import counting
from dbp.evaluation.receivers import FixedReceiver
from dbp.runs import find_design
from dbp.support import files
from dbp.support.svg import to_svg

DESIGN, LAUNCH_POWER_DBM, SEED = "learned-c6-s9", 0.5, 77
MIN_ERRORS, MAX_BITS = 300, 4_000_000
FACTOR = 1.5
COLUMNS = 4
# Axis, the key and its values in the order of their cost, and what else is changed with it.
PANELS: tuple[tuple[str, str, tuple[float, ...], dict[str, Any]], ...] = (
    (
        "transmitter linewidth (kHz)",
        "transmitter_linewidth_khz",
        (0.001, 250.0, 500.0, 1000.0, 2000.0),
        {},
    ),
    (
        "receiver linewidth (kHz)",
        "receiver_linewidth_khz",
        (0.001, 50.0, 100.0, 200.0, 400.0),
        {},
    ),
    ("frequency offset (MHz)", "frequency_offset_mhz", (20.0, 200.0, 300.0, 350.0, 400.0), {}),
    ("converter bits, full scale 4 rms", "adc_bits", (9, 8, 7, 6, 5), {}),
    (
        "full scale over rms, 8 bits",
        "adc_full_scale_rms",
        (4.0, 3.5, 3.0, 2.75, 2.5),
        {"adc_bits": 8},
    ),
    ("I/Q gain (dB)", "iq_gain_db", (0.25, 0.5, 0.75, 1.0), {}),
    ("I/Q phase (degrees)", "iq_phase_deg", (1.5, 3.0, 4.5, 6.0), {}),
)


def count(receiver: FixedReceiver, link: config.Link, min_errors: int) -> dict[str, Any]:
    (point,) = counting.evaluate(
        [receiver],
        link,
        [LAUNCH_POWER_DBM],
        min_errors=min_errors,
        max_bits=MAX_BITS,
        seed=SEED,
    )
    keys = {"ber", "ber_low", "ber_high", "errors", "bits", "snr_db"}
    return point.model_dump(include=keys)


def reached(rows: list[dict[str, Any]]) -> float | None:
    """The value at which the factor is first `FACTOR`, between two points on a log scale of BER."""
    for before, after in itertools.pairwise(rows):
        if before["factor"] < FACTOR <= after["factor"]:
            low, high = np.log(before["factor"]), np.log(after["factor"])
            part = (np.log(FACTOR) - low) / (high - low)
            return float(before["value"] + part * (after["value"] - before["value"]))
    return None


def draw(panels: list[list[dict[str, Any]]], ideal: dict[str, Any]) -> str:
    lines = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(12, 2.9 * lines), layout="constrained")
    axes = figure.subplots(lines, COLUMNS, sharey=True, squeeze=False).ravel()
    for axis, (title, *_), rows in zip(axes, PANELS, panels, strict=False):
        x = [row["value"] for row in rows]
        factor, low, high = (
            np.array([row[key] for row in rows]) / ideal["ber"]
            for key in ("ber", "ber_low", "ber_high")
        )
        axis.axhspan(*(ideal[key] / ideal["ber"] for key in ("ber_low", "ber_high")), color="0.88")
        axis.axhline(1, color="0.5", linewidth=0.8)
        axis.axhline(FACTOR, color="0.5", linewidth=0.8, linestyle=":")
        axis.errorbar(x, factor, np.stack((factor - low, high - factor)), fmt="o-", capsize=2, ms=3)
        axis.set(xlabel=title, yscale="log")
        ticks = (0.7, 1, 1.5, 2, 3, 5)
        axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        if x[0] > x[-1]:
            axis.invert_xaxis()
        axis.grid(alpha=0.3)
    for axis in axes[::COLUMNS]:
        axis.set_ylabel("BER over that of the ideal link")
    for axis in axes[len(panels) :]:
        axis.remove()
    return to_svg(figure)


def main(out: Path) -> None:
    link = config.load("paper").link
    receiver = FixedReceiver(DESIGN, find_design(DESIGN)[0])
    ideal = count(receiver, link, 4 * MIN_ERRORS)
    print(f"ideal link: {ideal['ber']:.2e} ({ideal['ber_low']:.2e} .. {ideal['ber_high']:.2e})")
    panels = []
    for title, key, values, others in PANELS:
        rows = []
        for value in values:
            changed = config.link_with(link, others | {key: value})
            found = count(receiver, changed, MIN_ERRORS)
            factor = found["ber"] / ideal["ber"]
            rows.append({"key": key, "value": value, "factor": round(factor, 3), **found})
            interval = f"{found['ber_low']:.2e} .. {found['ber_high']:.2e}"
            print(
                f"{title:34} {value:8g}: {factor:6.2f}  {found['ber']:.2e} ({interval})", flush=True
            )
        panels.append(rows)
        if (value := reached(rows)) is not None:
            print(f"{title:34} {value:8.3g}: {FACTOR:6.2f}", flush=True)
    files.write_csv(out / "impairments.csv", [row for rows in panels for row in rows])
    files.write_text(out / "impairments.svg", draw(panels, ideal))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
