"""Tables and figures of the study, from the results that are there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from benchmarks.backprop.methods import QUESTIONS
from dbp.support.files import write_csv, write_text
from dbp.support.svg import to_svg

TRIAL_SEED = 0
MEANS = "snr_db", "snr_db_6_bits", "snr_db_4_bits", "settled_s", "seconds", "steps", "memory_mib"


def interval(values: list[float]) -> float:
    """Half the 95 % interval of a mean, by Student's t; zero of a single value."""
    if len(values) < 2:
        return 0.0
    t = stats.t.ppf(0.975, len(values) - 1)
    return float(t * np.std(values, ddof=1) / len(values) ** 0.5)


def lines(done: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The table: a line per question, case and method, over all seeds but that of the trials."""
    groups: dict[tuple, list[dict[str, Any]]] = defaultdict(list)
    for entry in done.values():
        if entry["seed"] != TRIAL_SEED:
            groups[entry["question"], tuple(entry["case"]), entry["method"]].append(entry)
    rows = {row.name: n for q in QUESTIONS for n, row in enumerate(q.rows)}
    names = [question.name for question in QUESTIONS]
    out = []

    def place(group: tuple) -> tuple:
        return names.index(group[0]), group[1], rows[group[2]]

    for question, case, method in sorted(groups, key=place):
        runs = groups[question, case, method]
        line: dict[str, Any] = {
            "question": question,
            "tap_bits": case[0],
            "signal_bits": case[1],
            "symbols": case[2],
            "method": method,
            "setting": " ".join(f"{k}={v:g}" for k, v in runs[0]["setting"].items()),
            "seeds": len(runs),
        }
        for name in MEANS:
            values = [run[name] for run in runs if name in run]
            line[name] = round(float(np.mean(values)), 3) if values else ""
            if name.startswith("snr"):
                line[f"{name}_interval"] = round(interval(values), 3) if values else ""
        out.append(line)
    return out


def _title(question: str, case: tuple[int, int, int]) -> str:
    taps, signals, symbols = case
    parts = [f"taps of {taps} bits"] if taps else []
    parts += [f"signals of {signals} bits, taps not rounded"] if signals and not taps else []
    parts += [f"{symbols:,} symbols to learn on"] if symbols else []
    return ", ".join(parts) or "floating point"


def _dots(axes: Any, table: list[dict[str, Any]], done: Mapping[str, dict[str, Any]]) -> None:
    """A panel: mean, 95 % interval and every seed of each method."""
    worst = max(min(line["snr_db"] for line in table), max(line["snr_db"] for line in table) - 6)
    for y, line in enumerate(table):
        own = [
            run["snr_db"]
            for run in done.values()
            if run["seed"] != TRIAL_SEED
            and (run["question"], run["method"], list(run["case"]))
            == (
                line["question"],
                line["method"],
                [line["tap_bits"], line["signal_bits"], line["symbols"]],
            )
        ]
        if line["snr_db"] < worst:
            axes.text(worst, y, f"{line['snr_db']:.1f} dB", va="center", fontsize=7)
            continue
        mean, half = line["snr_db"], line["snr_db_interval"]
        axes.errorbar(mean, y, xerr=half, fmt="o", color="C0", ms=4, capsize=2)
        axes.plot(own, [y] * len(own), "|", color="C1", ms=7)
    axes.set_yticks(range(len(table)), [line["method"] for line in table], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(left=worst - 0.3)
    axes.set_title(
        _title(
            table[0]["question"],
            (table[0]["tap_bits"], table[0]["signal_bits"], table[0]["symbols"]),
        ),
        fontsize=9,
    )
    axes.set_xlabel("effective SNR, dB", fontsize=8)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(alpha=0.3)


def draw(table: list[dict[str, Any]], done: Mapping[str, dict[str, Any]]) -> Figure:
    """One panel for each question and case."""
    groups: dict[tuple, list[dict[str, Any]]] = defaultdict(list)
    for line in table:
        case = line["tap_bits"], line["signal_bits"], line["symbols"]
        groups[line["question"], case].append(line)
    rows = -(-len(groups) // 2)
    figure = Figure(figsize=(10, 3.1 * rows), layout="constrained")
    for number, group in enumerate(groups.values()):
        _dots(figure.add_subplot(rows, 2, number + 1), group, done)
    return figure


def write(
    done: Mapping[str, dict[str, Any]], extras: Mapping[str, dict[str, Any]], out: Path
) -> None:
    """``table.csv``, ``figure.svg``, ``saliency.csv`` and ``memory.csv``."""
    table = lines(done)
    if table:
        write_csv(out / "table.csv", table)
        figure = draw(table, done)
        figure.savefig(out / "figure.png", dpi=110)
        write_text(out / "figure.svg", to_svg(figure))
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for name, entry in extras.items():
        kinds[name.split()[0]].append({"unit": name, **entry})
    for kind, entries in kinds.items():
        write_csv(out / f"{kind}.csv", entries)
