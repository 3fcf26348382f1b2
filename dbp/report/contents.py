"""The run folders of a report: what their files say, and a table of it for a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dbp import config
from dbp.comparison import merit
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
)
from dbp.runs import labels_of
from dbp.support.files import read_text
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

    def is_of(self, link: Mapping[str, Any]) -> bool:
        """Tell whether these values of the link are those of the run's configuration."""
        if self.config is None:
            return False
        own = config.flat_link(self.config.link)
        return all(own.get(key) == value for key, value in link.items())


def _history(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    rows = list(csv.DictReader(io.StringIO(read_text(path))))
    try:
        for row in rows:
            int(row["iteration"]), float(row["snr_db"]), row["phase"]
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: must have the columns iteration, phase, snr_db") from None
    return rows


@dataclass(frozen=True)
class Contents:
    """All runs and evaluations of a page; learned designs first.

    ``standalone``: for each evaluation, whether its folder holds no run, as that of `dbp ber`.
    """

    runs: list[DesignRun]
    evaluations: list[BerMetrics]
    standalone: tuple[bool, ...] = ()

    @classmethod
    def load(cls, folders: Sequence[Path]) -> Contents:
        """Read the runs in folders; `InputError` for folders and files that do not fit."""
        runs: list[DesignRun] = []
        evaluations: list[BerMetrics] = []
        standalone: list[bool] = []
        for folder in folders:
            inner = [folder, *(path for path in sorted(folder.glob("*")) if path.is_dir())]
            with_design = [path for path in inner if (path / "design.json").is_file()]
            metrics = read_metrics(folder / "metrics.json", BerMetrics)
            if not (with_design or metrics or (folder / "comparison.json").is_file()):
                raise InputError(
                    f"{folder}: no run: no design.json in it or in a folder of it, no metrics.json "
                    "of dbp ber and no comparison.json of dbp compare"
                )
            runs += [DesignRun.load(path) for path in with_design]
            if metrics:
                evaluations.append(metrics)
                standalone.append(not with_design)
        # The learned designs first, and of each kind in the order given.
        runs.sort(key=lambda run: not run.history)
        names = labels_of({str(run.folder): (run.design, run.folder) for run in runs})
        runs = [replace(run, name=names[str(run.folder)]) for run in runs]
        return cls(runs, evaluations, tuple(standalone))

    @property
    def points(self) -> list[Point]:
        """The points of these runs, under the names of the runs, and of reference receivers.

        Points of designs that are not here, such as an earlier one of a run, are left out, unless
        no run is in the folder of their evaluation. Where evaluations are of different links, the
        points state the keys that tell the links apart.
        """
        links = [self._links(metrics) for metrics in self.evaluations]
        every = [link for of_evaluation in links for link in of_evaluation]
        keys = dict.fromkeys(key for link in every for key in link)
        told = [k for k in keys if len({repr(link.get(k)) for link in every}) > 1]
        points = []
        standalone = self.standalone or (False,) * len(self.evaluations)
        for metrics, alone, of_evaluation in zip(self.evaluations, standalone, links, strict=True):
            for point, link in zip(metrics.points, of_evaluation, strict=True):
                name = self._name(point, link) or (point.design if alone else None)
                if name is not None:
                    rest = point.model_dump(
                        exclude_unset=True, exclude=set(point.model_extra or ())
                    )
                    shown = {key: link.get(key, "?") for key in told}
                    points.append(Point.model_validate(shown | rest | {"design": name}))
        return points

    def _links(self, metrics: BerMetrics) -> list[dict[str, Any]]:
        """The values of the link of each point, as far as they are known."""
        shared = metrics.link
        if shared is None and metrics.waveform is not None:
            shared = {"waveform": metrics.waveform}
        if shared is None:  # of a version that did not write it: then of the run with its hash
            configs = (run.config for run in self.runs if run.config is not None)
            known = (c.link for c in configs if c.hash == metrics.config_hash)
            shared = next((config.flat_link(link) for link in known), {})
        return [{**shared, **(point.model_extra or {})} for point in metrics.points]

    def _name(self, point: Point, link: Mapping[str, Any]) -> str | None:
        """The name of the run that a point belongs to; None where its design is not here."""
        if point.design_hash is None:
            return point.design
        own = [run for run in self.runs if run.design.hash == point.design_hash]
        if not own:
            return None
        # Runs may hold the same design: the point is that of the run with its link.
        return next((run.name for run in own if run.is_of(link)), own[0].name)

    def best_of(self, run: DesignRun) -> Point | None:
        """Return the best point of a run in fixed point, on its own link where there is one."""
        points = [p for p in self.points if (p.design, p.arithmetic) == (run.name, "fixed")]
        own = [point for point in points if run.is_of(point.model_extra or {})]
        return min(own or points, key=lambda point: point.ber, default=None)


def summary(folder: Path) -> str:
    """Return a table for a terminal with the main figures of all designs in a folder."""
    content = Contents.load([folder])
    rows = [["design", "taps", "bits c/s", "BER", "at dBm", "RTL mismatches", "um2", "mW"]]
    for run in content.runs:
        point = content.best_of(run)
        synth = next(iter(run.synth.values()), None)
        rows.append(
            [
                run.name,
                merit.lengths(run.design),
                merit.formats(run.design),
                f"{point.ber:.2e}" if point else "-",
                f"{point.launch_power_dbm:+g}" if point else "-",
                f"{run.sim.mismatches} of {run.sim.samples_compared}" if run.sim else "-",
                f"{synth.cell_area_um2:.0f}" if synth else "-",
                f"{1e3 * synth.power_w.total:.1f}" if synth else "-",
            ]
        )
    return aligned(rows)
