"""Designs beside each other: bit error ratio, watts, square millimetres, picojoules a bit."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from dbp.comparison import paper as published
from dbp.config import Config
from dbp.datapath.design import Design
from dbp.link import modulation

FILE = "comparison"
# What the names of `dbp.learning.training.baseline` begin with, and those of the shipped ones of
# its kind.
UNLEARNED = ("baseline-", "lsco-")
MIN_PAPER_VALUES = 3


def is_learned(design: Design) -> bool:
    """Whether its filters were learned, by its name."""
    return not design.name.startswith(UNLEARNED)


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


def calibrate(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fit one factor a kit, for watts and for square millimetres, to the paper's steps.

    The factor is the geometric mean of paper over ours, least squares in the logarithm. Each row
    gets ``calibrated``: its step by that factor, and the relative error of the factor that is
    fitted without it, against the paper; None where the paper has no value. Returned, for each kit
    with three values of the paper or more: the factors, their worst and rms error.
    """
    fitted = []
    for row in rows:
        row["calibrated"] = None
    for kit in dict.fromkeys(row["pdk"] for row in rows):
        stated = [row for row in rows if row["pdk"] == kit and row.get("paper_step")]
        if len({tuple(row["paper_step"].values()) for row in stated}) < MIN_PAPER_VALUES:
            continue
        of_kit: dict[str, Any] = {"pdk": kit, "rows": len(stated)}
        for row in stated:
            row["calibrated"] = {}
        for what in ("power_w", "area_mm2"):
            factor = _factor(stated, what)
            errors = []
            for row in stated:
                ours, paper = row[f"step_{what}"], row["paper_step"]
                # A value that another design shares is not left out while that one stays.
                others = [other for other in stated if other["paper_step"] != paper]
                errors.append(ours * _factor(others, what) / paper[what] - 1)
                row["calibrated"] |= {what: factor * ours, f"{what}_left_out_error": errors[-1]}
            of_kit[what] = {
                "factor": factor,
                "worst_left_out_error": max(errors, key=abs),
                "rms_left_out_error": math.sqrt(statistics.mean(e**2 for e in errors)),
            }
        fitted.append(of_kit)
    return fitted


def _factor(rows: Sequence[Mapping[str, Any]], what: str) -> float:
    return statistics.geometric_mean(row["paper_step"][what] / row[f"step_{what}"] for row in rows)


def headlines(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a comparison comes to, in each kit and for each kind of filters.

    One against the first design: the design of least power whose BER is not above its 95 %
    interval. One against the best that is not learned, where that is another: the learned design
    of least power, likewise; ``design`` is None where none reaches that BER. The best that is not
    learned is the one of least power among those that reach the least BER of them all.
    """
    found = []
    for kit, filters in dict.fromkeys((row["pdk"], row["filters"]) for row in rows):
        alike = [row for row in rows if (row["pdk"], row["filters"]) == (kit, filters)]
        first = alike[0]
        others = alike[1:]
        if others:
            found.append(_headline("first", first, others))
        unlearned = [row for row in alike if not row["learned"]]
        learned = [row for row in others if row["learned"]]
        if unlearned and learned:
            best = _cheapest(unlearned, min(unlearned, key=lambda row: row["ber"]))
            if best is not first:
                found.append(_headline("unlearned", best, learned))
    return found


def _cheapest(rows: Sequence[Any], against: Mapping[str, Any]) -> Any:
    """The row of least power whose BER is not above that of ``against``; None without any."""
    enough = [row for row in rows if row["ber"] <= against["ber_high"]]
    return min(enough, key=lambda row: row["power_w"]["total"], default=None)


def _headline(
    kind: str, against: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    row = _cheapest(candidates, against)
    line = {
        "pdk": against["pdk"],
        "filters": against["filters"],
        "kind": kind,
        "against": against["design"],
        "against_ber": against["ber"],
        "design": None,
    }
    if row is None:
        return line
    return line | {
        "design": row["design"],
        "ber": row["ber"],
        "better_ber": row["ber_high"] < against["ber_low"],
        "power_saving": 1 - row["power_w"]["total"] / against["power_w"]["total"],
    }
