"""Bit error ratio and effective SNR drawn against whatever an evaluation went through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dbp.report.figures import to_svg

_POWER = "launch_power_dbm"
_TITLES = {
    _POWER: "launch power (dBm)",
    "spans": "spans",
    "noise_figure_db": "noise figure (dB)",
    "symbol_rate_gbd": "symbol rate (GBd)",
}
_LINE_STYLES = {"fixed": "-", "float": "--"}
_MARKERS = "os^vDPX"


def title(key: str) -> str:
    """What a key is called on an axis."""
    return _TITLES.get(key, key.replace("_", " "))


def draw(points: Sequence[Mapping[str, Any]], swept: Sequence[str] = ()) -> str:
    """The points as the text of an SVG, bars for the intervals; no errors: upper bound only.

    ``swept``: the keys of the link that differ between points. The launch power is the abscissa
    where there are several, else the first key of numbers that has several values; each
    combination of the others is a curve of its own, in its design's colour.
    """
    keys = [key for key in (_POWER, *swept) if len({point[key] for point in points}) > 1]
    numeric = [key for key in keys if not isinstance(points[0][key], str)]
    abscissa = numeric[0] if numeric else _POWER
    others = [key for key in keys if key != abscissa]
    figure = Figure(figsize=(11, 4), layout="constrained")
    ber_axis, snr_axis = figure.subplots(1, 2)
    designs = list(dict.fromkeys(point["design"] for point in points))

    def setting(point: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(point[key] for key in others)

    settings = list(dict.fromkeys(setting(point) for point in points))
    curves: dict[tuple[str, str, tuple[Any, ...]], list[Mapping[str, Any]]] = {}
    for point in points:
        curves.setdefault((point["design"], point["arithmetic"], setting(point)), []).append(point)
    for (name, arithmetic, values), rows in curves.items():
        rows.sort(key=lambda row: row[abscissa])
        words = [f"{title(key)} {value:g}" if not isinstance(value, str) else value
                 for key, value in zip(others, values, strict=True)]  # fmt: skip
        number = settings.index(values)
        style = {
            "color": f"C{designs.index(name) % 10}",
            "linestyle": _LINE_STYLES[arithmetic],
            "marker": _MARKERS[number % len(_MARKERS)],
            "alpha": 1 - 0.6 * number / max(len(settings), 2),
            "markersize": 3,
            "label": ", ".join((name, arithmetic, *words)),
        }
        x = np.array([row[abscissa] for row in rows])
        ber, low, high = (
            np.array([row[key] for row in rows]) for key in ("ber", "ber_low", "ber_high")
        )
        seen = ber > 0
        # No line over what was not seen.
        shown = np.where(seen, ber, np.nan)
        ber_axis.errorbar(x, shown, np.stack((shown - low, high - shown)), capsize=2, **style)
        ber_axis.plot(x[~seen], high[~seen], "v", color=style["color"])
        snr_axis.plot(x, [row["snr_db"] for row in rows], **style)
    ber_axis.set(yscale="log", ylabel="bit error ratio (95 % interval)")
    snr_axis.set(ylabel="effective SNR (dB)")
    for axis in (ber_axis, snr_axis):
        axis.set(xlabel=title(abscissa))
        axis.grid(alpha=0.3, which="both")
    if len(curves) <= 6:
        ber_axis.legend(fontsize=8)
    else:  # it would cover the curves
        figure.set_figwidth(14)
        figure.legend(*ber_axis.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return to_svg(figure)
