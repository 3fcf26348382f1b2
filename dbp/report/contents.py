"""The run folders of a report: what their files say, and a table of it for a terminal."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dbp import config
from dbp.datapath.design import Design
from dbp.errors import InputError
from dbp.records.provenance import AnyMetrics, read_metrics
from dbp.records.schemas import (
    BerMetrics,
    Point,
    ProofMetrics,
    RtlMetrics,
    SimMetrics,
    SynthMetrics,
    TrainMetrics,
    best_points,
)
from dbp.support.text import aligned


@dataclass(frozen=True)
class DesignRun:
    """One design's folder and what each stage wrote there; None where a stage did not run."""

    name: str
    folder: Path
    design: Design
    config: config.Config | None
    train: TrainMetrics | None
    rtl: RtlMetrics | None
    proof: ProofMetrics | None
    sim: SimMetrics | None
    synth: dict[str, SynthMetrics]
    history: list[dict[str, str]]

    @classmethod
    def load(cls, folder: Path) -> DesignRun:
        """Read a run's folder; `InputError` where a file is damaged or of another design."""
        design = Design.load(folder / "design.json")
        toml = folder / "config.toml"

        def stage(path: Path, kind: type[AnyMetrics]) -> AnyMetrics | None:
            metrics = read_metrics(path / "metrics.json", kind)
            if metrics is not None and metrics.design_hash != design.hash:
                raise InputError(f"{path}: belongs to another design: run that stage again")
            return metrics

        kits = {p.name: stage(p, SynthMetrics) for p in sorted(folder.glob("synth/*"))}
        return cls(
            name=design.name,
            folder=folder,
            design=design,
            config=config.load(str(toml)) if toml.is_file() else None,
            train=stage(folder / "train", TrainMetrics),
            rtl=stage(folder / "rtl", RtlMetrics),
            proof=stage(folder / "proof", ProofMetrics),
            sim=stage(folder / "sim", SimMetrics),
            synth={name: metrics for name, metrics in kits.items() if metrics is not None},
            history=_history(folder / "train" / "history.csv"),
        )


def _history(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = list(csv.DictReader(file))
    try:
        for row in rows:
            int(row["iteration"]), float(row["snr_db"]), row["phase"]
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: must have the columns iteration, phase, snr_db") from None
    return rows


@dataclass(frozen=True)
class Contents:
    """All runs and evaluations of a page; learned designs first."""

    runs: list[DesignRun]
    evaluations: list[BerMetrics]

    @classmethod
    def load(cls, folders: Sequence[Path]) -> Contents:
        """Read the runs in folders; `InputError` for folders and files that do not fit."""
        runs: list[DesignRun] = []
        for folder in folders:
            inner = [folder, *(path for path in sorted(folder.glob("*")) if path.is_dir())]
            with_design = [path for path in inner if (path / "design.json").is_file()]
            if not with_design:
                raise InputError(f"{folder}: no run: no design.json in it or in a folder of it")
            runs += [DesignRun.load(path) for path in with_design]
        # The learned designs first, and of each kind in the order given.
        runs.sort(key=lambda run: not run.history)
        names = [run.name for run in runs]
        runs = [
            replace(run, name=f"{run.name} ({run.folder})") if names.count(run.name) > 1 else run
            for run in runs
        ]
        evaluations = [read_metrics(folder / "metrics.json", BerMetrics) for folder in folders]
        return cls(runs, [metrics for metrics in evaluations if metrics])

    @property
    def points(self) -> list[Point]:
        """The points of these runs, under the names of the runs, and of reference receivers.

        Points of designs that are not here, such as an earlier one of a run, are left out.
        """
        names = {run.design.hash: run.name for run in self.runs}
        points = []
        for point in (point for metrics in self.evaluations for point in metrics.points):
            if point.design_hash is None:
                points.append(point)
            elif point.design_hash in names:
                points.append(point.model_copy(update={"design": names[point.design_hash]}))
        return points


def summary(folder: Path) -> str:
    """Return a table for a terminal with the main figures of all designs in a folder."""
    content = Contents.load([folder])
    best = best_points(content.points)
    rows = [["design", "taps", "bits c/s", "BER", "at dBm", "RTL mismatches", "um2", "mW"]]
    for run in content.runs:
        middle = run.design.filters[len(run.design.filters) // 2]
        point = best.get((run.name, "fixed"))
        synth = next(iter(run.synth.values()), None)
        rows.append(
            [
                run.name,
                str(middle.taps),
                f"{middle.coefficient_bits}/{run.design.signal_bits}",
                f"{point.ber:.2e}" if point else "-",
                f"{point.launch_power_dbm:+g}" if point else "-",
                f"{run.sim.mismatches} of {run.sim.samples_compared}" if run.sim else "-",
                f"{synth.cell_area_um2:.0f}" if synth else "-",
                f"{1e3 * synth.power_w.total:.1f}" if synth else "-",
            ]
        )
    return aligned(rows)
