"""What WDM neighbours, a wrong dispersion and the other polarisation do to `learned-c6-s9`.

    OMP_NUM_THREADS=1 python benchmarks/impairments_fibre.py docs/images

The paper's link, preset `paper`. Writes ``impairments_fibre.svg`` and prints its points; some three
minutes of CPU. `docs/results/impairments.md` says what it shows.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dbp import config, runs
from dbp.evaluation import counting
from dbp.evaluation.points import Points
from dbp.evaluation.receivers import FixedReceiver, FloatReceiver, Receiver, Reference
from dbp.records.schemas import Point
from dbp.support import files
from dbp.support.svg import to_svg

DESIGN, SEED = "learned-c6-s9", 1
# Walk-off over 50 GHz is fast: 16 steps a span, enough within 25 GHz, lose 0.25 dB of SNR there.
CHANNELS = {
    "one channel": {},
    "3 channels, 50 GHz": {
        "wdm_neighbours": 1,
        "wdm_spacing_ghz": 50.0,
        "samples_per_symbol": 8,
        "steps_per_span": 64,
    },
    "3 channels, 25 GHz": {"wdm_neighbours": 1, "wdm_spacing_ghz": 25.0},
}
CHANNEL_POWERS_DBM = -4.0, -3.0, -2.0, -1.0, 0.0, 0.5, 1.0
ERRORS_PERCENT = -0.2, -0.15, -0.1, -0.05, 0.0, 0.05, 0.1, 0.15, 0.2
BEST_POWER_DBM = 0.5
POLARIZATIONS = {
    "one": ({}, (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0)),
    "both": ({"dual_polarisation": True}, (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)),
}


def count(
    label: str,
    receivers: Sequence[Receiver],
    link: config.Link,
    powers_dbm: Sequence[float],
    min_errors: int,
    max_bits: int,
) -> Points:
    points = counting.evaluate(
        receivers, link, powers_dbm, min_errors=min_errors, max_bits=max_bits, seed=SEED
    )
    for p in points:
        print(
            f"{label:20} {p.design:13} {p.arithmetic:5} {p.launch_power_dbm:+4.1f} dBm  "
            f"{p.ber:.2e} ({p.ber_low:.2e} .. {p.ber_high:.2e})  {p.snr_db:5.2f} dB  "
            f"{p.errors} errors",
            flush=True,
        )
    return points


def curve(axis: Axes, x: Sequence[float], points: Sequence[Point], unit: float = 1.0, **style):
    """Bit error ratios in multiples of ``unit``, with their intervals."""
    middle, low, high = (
        np.array([getattr(p, key) for p in points]) / unit for key in ("ber", "ber_low", "ber_high")
    )
    axis.errorbar(
        x, middle, (middle - low, high - middle), capsize=2, markersize=4, marker="o", **style
    )


def main(folder: Path) -> None:
    paper = config.load("paper").link
    fixed = FixedReceiver(DESIGN, runs.find_design(DESIGN)[0])
    floats = FloatReceiver(DESIGN, runs.float_filters(DESIGN, None))
    figure = Figure(figsize=(13, 4), layout="constrained")
    channels, dispersion, polarizations = figure.subplots(1, 3)

    for color, (label, changes) in zip(("C0", "C1", "C2"), CHANNELS.items(), strict=True):
        link = config.link_with(paper, changes)
        receivers = [fixed, Reference("linear", link)]
        points = count(label, receivers, link, CHANNEL_POWERS_DBM, 1000, 1_500_000)
        learned, linear = points[::2], points[1::2]
        curve(channels, CHANNEL_POWERS_DBM, learned, color=color, label=label)
        curve(channels, CHANNEL_POWERS_DBM, linear, color=color, linestyle="--")
    channels.set(
        title=f"WDM: {DESIGN}, fixed point (dashed: linear)",
        xlabel="launch power of each channel (dBm)",
    )

    points: list[Point] = []
    for error in ERRORS_PERCENT:
        link = config.link_with(paper, {"dispersion_error_percent": error})
        points += count(
            f"dispersion {error:+.2f} %", [fixed], link, [BEST_POWER_DBM], 300, 1_500_000
        )
    unit = points[ERRORS_PERCENT.index(0.0)].ber
    curve(dispersion, ERRORS_PERCENT, points, unit, color="C3")
    dispersion.set(
        title=f"Dispersion: the same at {BEST_POWER_DBM:+g} dBm",
        xlabel="more dispersion than the receiver takes it to have (%)",
        ylabel="BER over that of the right dispersion",
    )
    scale = paper.spans * paper.span_km * paper.dispersion_ps_per_nm_km / 100
    above = dispersion.secondary_xaxis("top", functions=(lambda x: x * scale, lambda x: x / scale))
    above.set_xlabel("residual dispersion (ps/nm)", fontsize=8)
    above.tick_params(labelsize=8)

    for (name, (changes, powers_dbm)), style in zip(
        POLARIZATIONS.items(), ("--", "-"), strict=True
    ):
        link = config.link_with(paper, changes)
        receivers = [floats, *(Reference(of, link) for of in ("dbp1", "linear"))]
        points = count(f"polarisation: {name}", receivers, link, powers_dbm, 300, 800_000)
        for k, receiver in enumerate(receivers):
            own, label = points[k :: len(receivers)], f"{receiver.name}, {name}"
            curve(polarizations, powers_dbm, own, color=f"C{k}", linestyle=style, label=label)
    polarizations.set(
        title="Polarisations, floating point", xlabel="launch power of all polarisations (dBm)"
    )

    for axis in (channels, polarizations):
        axis.set(yscale="log", ylabel="bit error ratio (95 % interval)")
    channels.legend(fontsize=8, loc="lower left")
    polarizations.set_ylim(top=2)  # room for the legend
    polarizations.legend(fontsize=8, ncols=2)
    for axis in (channels, dispersion, polarizations):
        axis.grid(alpha=0.3, which="both")
    files.write_text(folder / "impairments_fibre.svg", to_svg(figure))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
