"""Tables and the figure of the study, from the results that are there.

    python -m benchmarks.backprop.report FOLDER docs/images full

writes ``backpropagation-full.csv``, a line for each run of a folder of the study, and draws
``backpropagation-full.svg`` from it; ``small`` names the other form's files. Without a FOLDER it
only draws. Both print the tables of `docs/results/backpropagation.md`.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from benchmarks.backprop.methods import QUESTIONS
from dbp.support.files import write_csv, write_text
from dbp.support.style import MUTED, color, grid, styled
from dbp.support.svg import to_svg

Row = dict[str, Any]

NAME = "backpropagation"
TRIAL_SEED = 0
MEANS = "snr_db", "snr_db_6_bits", "snr_db_4_bits", "settled_s", "seconds", "steps", "memory_mib"
FIGURES = "validated_db", *MEANS
# The package's own way in each question, against which others are counted on the same seed.
OWN = {"taps": "jointly, again and again"}
OWN_ELSEWHERE = "Gauss-Newton"
# Dots further below the best of their panel are told by their number.
SHOWN_DB = 4.0


def interval(values: list[float]) -> float:
    """Half the 95 % interval of a mean, by Student's t; zero of a single value."""
    if len(values) < 2:
        return 0.0
    t = stats.t.ppf(0.975, len(values) - 1)
    return float(t * np.std(values, ddof=1) / len(values) ** 0.5)


def runs(done: Iterable[Mapping[str, Any]]) -> list[Row]:
    """A line for each run, in the order of the questions."""
    rows = {(q.name, row.name): n for q in QUESTIONS for n, row in enumerate(q.rows)}
    names = [question.name for question in QUESTIONS]
    out = []
    for entry in done:
        taps, signals, symbols = entry["case"]
        line = {
            "question": entry["question"],
            "tap_bits": taps,
            "signal_bits": signals,
            "symbols": symbols,
            "method": entry["method"],
            "setting": " ".join(f"{k}={v:g}" for k, v in entry["setting"].items()),
            "seed": entry["seed"],
        }
        out.append(line | {name: _rounded(entry.get(name, "")) for name in FIGURES})

    def place(line: Row) -> tuple:
        case = line["tap_bits"], line["signal_bits"], line["symbols"]
        row = rows[line["question"], line["method"]]
        return names.index(line["question"]), case, row, line["seed"]

    return sorted(out, key=place)


def _rounded(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value


def lines(of_runs: Iterable[Row]) -> list[Row]:
    """The table: a line per question, case and method, over all seeds but that of the trials."""
    groups: dict[tuple, list[Row]] = defaultdict(list)
    for run in of_runs:
        if run["seed"] != TRIAL_SEED:
            groups[(*_case(run), run["method"])].append(run)
    out = []
    for (*case, method), group in groups.items():
        line = dict(zip(("question", "tap_bits", "signal_bits", "symbols"), case, strict=True))
        line |= {"method": method, "setting": group[0]["setting"], "seeds": len(group)}
        for name in MEANS:
            values = [run[name] for run in group if run[name] != ""]
            line[name] = round(float(np.mean(values)), 3) if values else ""
            if name.startswith("snr"):
                line[f"{name}_interval"] = round(interval(values), 3) if values else ""
        own = groups.get((*case, OWN.get(case[0], OWN_ELSEWHERE)), [])
        reference = {run["seed"]: run["snr_db"] for run in own}
        gains = [r["snr_db"] - reference[r["seed"]] for r in group if r["seed"] in reference]
        line["gain_db"] = round(float(np.mean(gains)), 3) if gains else ""
        line["gain_db_interval"] = round(interval(gains), 3) if gains else ""
        out.append(line)
    return out


def _case(line: Row) -> tuple:
    return line["question"], line["tap_bits"], line["signal_bits"], line["symbols"]


def title(line: Row) -> str:
    """What the case of a line is called."""
    _, taps, signals, symbols = _case(line)
    parts = [f"taps of {taps} bits, signals of {signals}"] if taps else []
    parts += [f"signals of {signals} bits, taps not rounded"] if signals and not taps else []
    parts += [f"{symbols:,} symbols to learn on"] if symbols else []
    return ", ".join(parts) or "floating point"


def cases(table: list[Row]) -> list[list[Row]]:
    """The lines of each question and case together."""
    groups: dict[tuple, list[Row]] = defaultdict(list)
    for line in table:
        groups[_case(line)].append(line)
    return list(groups.values())


def markdown(table: list[Row]) -> str:
    """The table of one case as the page has it, the best setting of a method beside it."""
    rounded = bool(table[0]["snr_db_6_bits"] != "")
    head = ["method", "SNR, dB", "against the package's own", "settled after, s", "steps"]
    head.append("memory, MiB")
    head[3:3] = ["rounded to 6 bits", "to 4 bits"] if rounded else []
    out = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for line in table:
        cells = [line["method"], _with_interval(line, "snr_db"), _with_interval(line, "gain_db")]
        if line["method"] == OWN.get(line["question"], OWN_ELSEWHERE):
            cells[2] = ""
        if rounded:
            cells += [_with_interval(line, f"snr_db_{bits}_bits") for bits in (6, 4)]
        settled, steps, memory = (line[n] for n in ("settled_s", "steps", "memory_mib"))
        cells += [f"{settled:.2f}", f"{steps:.0f}", f"{memory:.0f}"]
        out.append(f"| {' | '.join(cells)} |")
    return "\n".join(out)


def _with_interval(line: Row, name: str) -> str:
    if line[name] == "":
        return ""
    sign = "+" if name.startswith("gain") else ""
    return f"{line[name]:{sign}.2f} ± {line[f'{name}_interval']:.2f}"


def _dots(axes: Axes, table: list[Row], of_runs: list[Row]) -> None:
    """A panel: mean, 95 % interval and every seed of each method."""
    best = max(
        run["snr_db"]
        for run in of_runs
        if _case(run) == _case(table[0]) and run["seed"] != TRIAL_SEED
    )
    shown = max(line["snr_db"] for line in table) - SHOWN_DB
    worst = max(min(line["snr_db"] for line in table), shown)
    for y, line in enumerate(table):
        if line["snr_db"] < worst:
            axes.text(worst, y, f"{line['snr_db']:.1f} dB", va="center", fontsize=7)
            continue
        own = [
            run["snr_db"]
            for run in of_runs
            if run["seed"] != TRIAL_SEED
            and (_case(run), run["method"]) == (_case(line), line["method"])
        ]
        mean, half = line["snr_db"], line["snr_db_interval"]
        axes.errorbar(mean, y, xerr=half, fmt="o", color=color(0), ms=4, capsize=2)
        axes.plot(own, [y] * len(own), "|", color=color(1), ms=7)
        if line["method"] == OWN.get(line["question"], OWN_ELSEWHERE):
            axes.axvline(mean, color=MUTED, lw=0.8, ls="--", zorder=0)
    axes.set_yticks(range(len(table)), [line["method"] for line in table], fontsize=7.5)
    axes.set_ylim(len(table) - 0.4, -0.6)
    margin = 0.04 * (best - worst) + 0.05
    axes.set_xlim(worst - margin, best + 3 * margin)
    axes.set_title(title(table[0]), fontsize=8.5)
    axes.tick_params(axis="x", labelsize=7.5)
    grid(axes)


@styled
def draw(of_runs: list[Row]) -> Figure:
    """One panel for each question and case: rounded taps on the right, all else on the left."""
    panels = cases(lines(of_runs))
    halves = [[p for p in panels if bool(p[0]["tap_bits"]) == taps] for taps in (False, True)]
    tallest = max(sum(len(p) + 3 for p in half) for half in halves)
    figure = Figure(figsize=(8.8, 0.165 * tallest + 0.5), layout="constrained")
    drawn = [half for half in halves if half]
    for part, half in zip(figure.subfigures(1, len(drawn), squeeze=False)[0], drawn, strict=True):
        heights = [len(panel) + 1.5 for panel in half]
        all_axes = part.subplots(len(half), squeeze=False, height_ratios=heights)[:, 0]
        for axes, panel in zip(all_axes, half, strict=True):
            _dots(axes, panel, of_runs)
        all_axes[-1].set_xlabel("effective SNR on fresh data, dB", fontsize=8)
    return figure


def write(
    done: Mapping[str, dict[str, Any]], extras: Mapping[str, dict[str, Any]], out: Path
) -> None:
    """``runs.csv``, ``table.csv``, ``figure.svg``, ``saliency.csv`` and ``memory.csv``."""
    of_runs = runs(done.values())
    table = lines(of_runs)
    if table:
        write_csv(out / "runs.csv", of_runs)
        write_csv(out / "table.csv", table)
        figure = draw(of_runs)
        figure.savefig(out / "figure.png", dpi=110)
        write_text(out / "figure.svg", to_svg(figure))
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for name, entry in extras.items():
        kinds[name.split()[0]].append({"unit": name, **entry})
    for kind, entries in kinds.items():
        write_csv(out / f"{kind}.csv", entries)


def read_runs(file: Path) -> list[Row]:
    """The lines of `runs`, from the file of the documentation."""
    texts = "question", "method", "setting"
    with file.open(newline="", encoding="utf-8") as stream:
        return [
            {k: v if k in texts or v == "" else json.loads(v) for k, v in row.items()}
            for row in csv.DictReader(stream)
        ]


def main(arguments: list[str]) -> None:
    *folder, images, size = arguments
    file = Path(images) / f"{NAME}-{size}.csv"
    if folder:
        entries = map(json.loads, (Path(folder[0]) / "runs.jsonl").read_text().splitlines())
        write_csv(file, runs({entry["key"]: entry for entry in entries}.values()))
    of_runs = read_runs(file)
    write_text(file.with_suffix(".svg"), to_svg(draw(of_runs)))
    for table in cases(lines(of_runs)):
        print(f"### {title(table[0])}\n{markdown(table)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
