"""``dbp compare``: whole receivers beside each other: bit errors, watts, square millimetres."""

from __future__ import annotations

import argparse
import itertools
import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbp.cli.ber import DATABASE, Request, ber, labels_of
from dbp.cli.options import DESIGN_HELP, Commands, Parser, add_command, add_out, positive
from dbp.config import Config
from dbp.evaluation.executors import Workplace
from dbp.records.provenance import Stopwatch, package_versions, read_metrics, write_metrics
from dbp.records.schemas import ComparisonMetrics
from dbp.runs import config_of, find_design, place, stimulus_source
from dbp.support.files import write_csv, write_text

if TYPE_CHECKING:
    from dbp.rtl.target import FilterKind

# The hardware side and plots load slowly: imported where they are needed, so that --help is quick.


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp compare``."""
    text = "BER, watts and square millimetres of whole receivers"
    parser = add_command(commands, "compare", _run, text)
    parser.add_argument("designs", nargs="+", metavar="DESIGN", help=DESIGN_HELP)
    parser.add_argument(
        "--pdk", nargs="+", default=["nangate45"], metavar="NAME", help="default: nangate45"
    )
    parser.add_argument(
        "--filters",
        nargs="+",
        choices=("reconfigurable", "hardwired"),
        default=["reconfigurable"],
        metavar="KIND",
        help="reconfigurable (default), hardwired, or both",
    )
    parser.add_argument(
        "--lanes",
        nargs="+",
        type=positive,
        default=(8, 16),
        metavar="P",
        help="widths to synthesise: 96 lanes are estimated from the first two (default: 8 16), "
        "which further ones check",
    )
    parser.add_argument(
        "--min-errors",
        type=positive,
        metavar="N",
        help="of every point of the BER (default: the configuration's)",
    )
    add_out(parser)


def _run(options: argparse.Namespace) -> None:
    compare(
        options.designs,
        options.out,
        pdks=options.pdk,
        filters=options.filters,
        widths=options.lanes,
        min_errors=options.min_errors,
    )


def compare(
    names: Sequence[str],
    out: Path,
    *,
    pdks: Sequence[str],
    filters: Sequence[FilterKind],
    widths: Sequence[int],
    min_errors: int | None,
) -> None:
    """BER, watts and square millimetres of designs in one or more kits, to files and a table.

    Bit errors are counted on the link of the first design's configuration, at its launch powers;
    for the rest see `dbp.synthesis.whole_receiver`. What an earlier call has found in ``out``, of
    the same inputs, is not made again.
    """
    from dbp.comparison import merit
    from dbp.rtl import pipeline
    from dbp.synthesis import whole_receiver
    from dbp.synthesis.cells import kits

    stopwatch = Stopwatch()
    found = {name: find_design(name) for name in names}
    settings = config_of(next(folder for _, folder in found.values()))
    for pdk in pdks:
        kits.find(pdk)
    labels = labels_of(list(found), found)
    # A design that was given as a path may have any name.
    folders = {name: out / f"{k}-{found[name][0].name}" for k, name in enumerate(found)}
    clock_mhz = settings.hardware.clock_mhz
    sources = {name: stimulus_source(folder) for name, folder in folders.items()}
    plans: dict[tuple[str, str, FilterKind], list[whole_receiver.StepSynthesis]] = {}
    for pdk, kind, (name, (design, _)) in itertools.product(pdks, filters, found.items()):
        plans[name, pdk, kind] = whole_receiver.plan(
            design, sources[name], pdk, kind, widths, folders[name], clock_mhz
        )
    points = ber(
        Request(designs=names, min_errors=min_errors), out, Workplace(out / DATABASE, resume=True)
    )
    best = {label: point for (label, _), point in points.best().items()}
    for name, (design, _) in found.items():
        place(design, settings, folders[name])
    workers = len(os.sched_getaffinity(0))
    plans = whole_receiver.fit_clocks(plans, workers)
    measured = whole_receiver.run(plans, workers)
    rows: list[dict[str, Any]] = []
    for (name, pdk, kind), synthesized in measured.items():
        design, point = found[name][0], best[labels[name]]
        estimate = asdict(whole_receiver.estimate(design, kind, synthesized, widths))
        rows.append(
            {
                "design": labels[name],
                "design_hash": design.hash,
                "learned": merit.is_learned(design),
                "filters": kind,
                "pdk": pdk,
                "for_demonstration_only": pdk == kits.SHIPPED,
                "pipeline": pipeline.text(plans[name, pdk, kind][0].target.pipeline),
                **merit.filters_of(design),
                "launch_power_dbm": point.launch_power_dbm,
                "ber": point.ber,
                "ber_low": point.ber_low,
                "ber_high": point.ber_high,
                **estimate,
                **merit.energies(estimate, settings),
                "paper_step": merit.paper_step(design, kind),
            }
        )
    write(rows, out, settings, stopwatch)


def write(rows: list[dict[str, Any]], out: Path, settings: Config, stopwatch: Stopwatch) -> None:
    """Complete the rows by what they come to together, write them into ``out`` and print them.

    A row of a receiver that is not made of steps has None where `ComparisonRow` allows it.
    """
    from dbp.comparison import merit
    from dbp.report import tables as comparison_tables
    from dbp.report.page import aligned

    _scale(rows)
    calibration = merit.calibrate(rows)
    path = out / f"{merit.FILE}.json"
    write_metrics(
        path,
        {"rows": rows, "calibration": calibration, "headlines": merit.headlines(rows)},
        design_hash=None,
        config_hash=settings.hash,
        seed=settings.seed,
        versions=package_versions("amaranth", "pyosys", "numba"),
        stopwatch=stopwatch,
    )
    write_csv(path.with_suffix(".csv"), _flat(rows))
    written = read_metrics(path, ComparisonMetrics)
    write_text(path.with_suffix(".svg"), comparison_tables.draw(written.rows))
    for table in comparison_tables.tables(written):
        notes = (textwrap.fill(note, 100) for note in table.notes)
        print(table.title, aligned(table.lines), *notes, sep="\n", end="\n\n")
    for sentence in comparison_tables.sentences(written):
        print(sentence)
    print(f"{stopwatch.seconds:.0f} s -> {out / merit.FILE}.csv, .json, .svg", flush=True)


def _scale(rows: Sequence[dict[str, Any]]) -> None:
    """Give the rows their bands at 28 nm: each of its own kit, and of all kits of its design."""
    from dbp.synthesis.cells import scaling

    for row in rows:
        of_design = [
            other
            for other in rows
            if (other["design"], other["filters"]) == (row["design"], row["filters"])
            and other["pdk"] in scaling.SCALED
        ]
        row |= _bands([row])
        combined = _bands(of_design if row["pdk"] in scaling.SCALED and of_design[1:] else [])
        row |= {f"combined_{key}": band for key, band in combined.items()}


def _bands(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of one design, a row for each kit; None where no kit is scaled, or one has no such figure."""
    from dbp.synthesis.cells import scaling

    voltages = {row["pdk"]: row["voltage_v"] for row in rows}
    bands: dict[str, Any] = {}
    for key, quantity, figure in (
        ("power_28nm_w", "energy", lambda row: row["power_w"]["total"]),
        ("step_power_28nm_w", "energy", lambda row: row["step_power_w"]),
        ("area_28nm_mm2", "area", lambda row: row["area_mm2"]),
        ("step_area_28nm_mm2", "area", lambda row: row["step_area_mm2"]),
    ):
        figures = {row["pdk"]: figure(row) for row in rows}
        band = None if None in figures.values() else scaling.band(figures, voltages, quantity)
        bands[key] = None if band is None else asdict(band)
    return bands


def _flat(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tables within rows as columns of their own, ``power_w.total``; empty where a row has none."""
    flat = [dict(_leaves(row)) for row in rows]
    # Where another row has a table, None stands for it.
    tables = {column.split(".")[0] for row in flat for column in row if "." in column}
    columns = dict.fromkeys(column for row in flat for column in row if column not in tables)
    return [{column: row.get(column) for column in columns} for row in flat]


def _leaves(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{before}{key}.")
        else:
            yield (
                before + key,
                " ".join(map(str, value)) if isinstance(value, list | tuple) else value,
            )
