"""The results of the paper's authors, from this package's ``data``; its README names the source."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources

MODULATION = "16qam"


def rows(name: str) -> list[dict[str, str]]:
    """Return the lines of a table, given its file's name, each by column."""
    text = (resources.files("dbp.comparison") / "data" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


@dataclass(frozen=True)
class Curve:
    """A curve of the paper's BER against launch power, and our receiver for the same curve.

    ``filters``: "linear", "ls-co" or "learned". ``receiver``: "linear" or the name of a shipped
    design, in ``arithmetic`` "fixed" or "float".
    """

    filters: str
    title: str
    receiver: str
    arithmetic: str
    launch_power_dbm: tuple[float, ...]
    ber: tuple[float, ...]


def ber_curves() -> list[Curve]:
    """Return all curves of ``paper_ber.csv``, those of learned filters last."""
    points: dict[tuple[str, str, str, str], dict[float, float]] = {}
    for row in rows("paper_ber.csv"):
        formats = row["taps_per_step"], row["coefficient_bits"], row["signal_bits"]
        curve = points.setdefault((row["filters"], *formats), {})
        curve[float(row["launch_power_dbm"])] = float(row["ber"])
    curves = [
        _curve(filters, taps, coefficient, signal, ber)
        for (filters, taps, coefficient, signal), ber in points.items()
    ]
    return sorted(curves, key=lambda curve: curve.filters == "learned")


def _curve(
    filters: str, taps: str, coefficient: str, signal: str, ber: dict[float, float]
) -> Curve:
    """Return a curve with our receiver; one design's float filters serve for all its formats."""
    points = tuple(ber), tuple(ber.values())
    if filters == "linear":
        return Curve(filters, "linear", "linear", "float", *points)
    title, name, best = {
        "ls-co": ("LS-CO", "lsco-paper", "c9-s9"),
        "learned": ("learned", "learned", "c6-s9"),
    }[filters]
    if coefficient == "float":
        return Curve(filters, f"{title}, {taps} taps, float", f"{name}-{best}", "float", *points)
    receiver = f"{name}-c{coefficient}-s{signal}"
    title = f"{title}, {taps} taps, {coefficient}/{signal}"
    return Curve(filters, title, receiver, "fixed", *points)
