"""``dbp compare``: whole receivers beside each other: bit errors, watts, square millimetres."""

from __future__ import annotations

import itertools
import os
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from dbp.cli import _fft_receivers
from dbp.cli._requests import Request
from dbp.cli.ber import DATABASE, ber
from dbp.config import Config, link_with, load
from dbp.datapath.design import Design
from dbp.errors import InputError
from dbp.evaluation.executors import Workplace
from dbp.records.provenance import Stopwatch, package_versions, provenance, write_metrics
from dbp.records.schemas import (
    REFERENCE_FILTERS,
    Band,
    ComparisonMetrics,
    ComparisonRow,
    Point,
    ReceiverPowerW,
)
from dbp.runs import (
    FoundDesign,
    differences,
    find_design,
    labels_of,
    place,
    settings_of,
    stimulus_source,
)
from dbp.support import locks
from dbp.support.files import write_csv, write_text
from dbp.support.svg import to_svg
from dbp.support.text import aligned

if TYPE_CHECKING:
    from dbp.evaluation.points import Points
    from dbp.records.schemas import SynthMetrics
    from dbp.rtl.pipeline import Pipeline
    from dbp.rtl.target import FilterKind
    from dbp.synthesis.fft_receiver import FftReceiverEstimate
    from dbp.synthesis.whole_receiver import StepSynthesis

# Keys in which designs may have links of their own.
_OF_DESIGNS = ("link.adc_samples_per_symbol", "link.impairments.dual_polarisation")

# The hardware side and plots load slowly: imported where they are needed, so that --help is quick.


@dataclass(frozen=True)
class Candidates:
    """The hardware in which each design is compared: kits, kinds of filters, lanes to synthesise.

    Receivers are estimated from the first two widths; further ones check the estimate.
    ``every_step``: each step that is different hardware is synthesised, in the narrowest width.
    ``cuts``: registers other than the usual, as `dbp.rtl.pipeline.parse` reads them.
    """

    pdks: tuple[str, ...] = ("nangate45",)
    filters: tuple[FilterKind, ...] = ("reconfigurable",)
    widths: tuple[int, ...] = (8, 16)
    every_step: bool = False
    cuts: str = ""


class _Key(NamedTuple):
    """One row: a design, as it was named, in a kit, with filters of a kind."""

    name: str
    pdk: str
    filters: FilterKind


@dataclass(frozen=True)
class _Comparison:
    """The designs by their names on the command line, each with a folder for its syntheses.

    ``references``: receivers that are no designs, and have no syntheses. ``stimulus_dbm``: the
    launch power of the waveform that a design's gates are simulated on.
    """

    designs: dict[str, Design]
    labels: dict[str, str]
    folders: dict[str, Path]
    settings: Config
    candidates: Candidates
    references: tuple[str, ...]
    stimulus_dbm: dict[str, float]

    @classmethod
    def prepare(
        cls, names: Sequence[str], candidates: Candidates, out: Path, config: str | None
    ) -> _Comparison:
        """Find the designs; ``config`` is that of all, or their own must be of one link."""
        references = tuple(name for name in names if _fft_receivers.is_reference(name))
        designs = {name: find_design(name) for name in names if name not in references}
        settings = load(config) if config else _common(designs)
        own_dbm = {
            of.polarizations: settings_of(of, folder).training.launch_power_dbm
            for of, folder in (designs[name] for name in reversed(_ordered(designs)))
        }
        common_dbm = settings.training.launch_power_dbm
        return cls(
            designs={name: design for name, (design, _) in designs.items()},
            labels=labels_of(designs),
            # A design from a path may have any name.
            folders={n: out / f"{k}-{designs[n][0].name}" for k, n in enumerate(designs)},
            settings=settings,
            candidates=candidates,
            references=references,
            stimulus_dbm={
                name: common_dbm if config else own_dbm[design.polarizations]
                for name, (design, _) in designs.items()
            },
        )

    def configuration(self, name: str) -> Config:
        """Return the configuration of a design's syntheses."""
        training = self.settings.training.model_copy(
            update={"launch_power_dbm": self.stimulus_dbm[name]}
        )
        return self.settings.model_copy(update={"training": training})

    def plans(self) -> dict[_Key, list[StepSynthesis]]:
        """Return the syntheses of each row; wrong arguments are refused before any of them runs."""
        from dbp.rtl.pipeline import parse
        from dbp.synthesis import whole_receiver

        plans: dict[_Key, list[StepSynthesis]] = {}
        sources = {name: stimulus_source(folder) for name, folder in self.folders.items()}
        for pdk, filters, (name, design) in itertools.product(
            self.candidates.pdks, self.candidates.filters, self.designs.items()
        ):
            plans[_Key(name, pdk, filters)] = whole_receiver.plan(
                design,
                sources[name],
                pdk,
                filters,
                self.candidates.widths,
                self.folders[name],
                self.settings.hardware.clock_mhz,
                self.candidates.every_step,
                parse(self.candidates.cuts),
            )
        return plans

    def row(
        self,
        key: _Key,
        point: Point,
        fitted: Pipeline,
        synthesized: Mapping[tuple[int, int], SynthMetrics],
    ) -> ComparisonRow:
        """Return the figures of one row.

        ``point``: the best of its design; ``synthesized``: its syntheses by step and lanes, all
        with the pipeline ``fitted``.
        """
        from dbp.comparison import merit
        from dbp.rtl import pipeline
        from dbp.synthesis import whole_receiver
        from dbp.synthesis.cells import kits

        design = self.designs[key.name]
        estimate = asdict(
            whole_receiver.estimate(
                design,
                key.filters,
                synthesized,
                self.candidates.widths,
                whole_receiver.receiver_lanes(
                    design.samples_per_symbol,
                    self.settings.link.symbol_rate_gbd,
                    self.settings.hardware.clock_mhz,
                ),
                self.candidates.every_step,
            )
        )
        return ComparisonRow(
            design=self.labels[key.name],
            design_hash=design.hash,
            learned=merit.is_learned(design),
            filters=key.filters,
            pdk=key.pdk,
            for_demonstration_only=key.pdk == kits.SHIPPED,
            pipeline=pipeline.text(fitted),
            samples_per_symbol=str(design.samples_per_symbol),
            **merit.filters_of(design),
            launch_power_dbm=point.launch_power_dbm,
            ber=point.ber,
            ber_low=point.ber_low,
            ber_high=point.ber_high,
            snr_db=point.snr_db,
            **estimate,
            **merit.energies(
                estimate["lanes"],
                estimate["power_w"]["total"],
                self.settings,
                design.samples_per_symbol,
                design.polarizations,
            ),
            paper_step=merit.paper_step(design, key.filters),
            **({"polarizations": 2} if design.polarizations == 2 else {}),
        )

    def best(self, points: Points) -> dict[str, Point]:
        """Return the best point of each receiver; of a reference that on the link of all."""
        both = self.settings.link.impairments.dual_polarisation
        return {
            point.design: point
            for point in points.best().values()
            if point.design not in self.references
            or (point.model_extra or {}).get("dual_polarisation", both) == both
        }

    def estimates(self) -> dict[tuple[str, str], FftReceiverEstimate]:
        """Return the estimate of each reference in each kit."""
        from dbp.synthesis.stages import CLOCK_MHZ

        if self.references and self.settings.hardware.clock_mhz != CLOCK_MHZ:
            raise InputError(
                f"hardware.clock_mhz = {self.settings.hardware.clock_mhz}: must be {CLOCK_MHZ} "
                f"for {', '.join(self.references)}, whose operations were measured there"
            )
        return {
            (name, pdk): _fft_receivers.estimate(name, self.settings.link, pdk)
            for pdk, name in itertools.product(self.candidates.pdks, self.references)
        }

    def reference_row(self, name: str, found: FftReceiverEstimate, point: Point) -> ComparisonRow:
        """Return the figures of a reference in a kit; ``point``: its best."""
        from dbp.comparison import merit
        from dbp.synthesis.cells import kits, liberty_reader

        _, liberty = kits.find(found.kit)
        rate = self.settings.link.adc_rate
        return ComparisonRow(
            design=name,
            filters=REFERENCE_FILTERS,
            pdk=found.kit,
            samples_per_symbol=str(rate),
            launch_power_dbm=point.launch_power_dbm,
            ber=point.ber,
            ber_low=point.ber_low,
            ber_high=point.ber_high,
            snr_db=point.snr_db,
            lanes=found.lanes,
            power_w=ReceiverPowerW(leakage=found.leakage_w, total=found.power_w),
            area_mm2=found.area_mm2,
            voltage_v=liberty_reader.read(*liberty).voltage_v,
            **merit.energies(found.lanes, found.power_w, self.settings, rate),
        )


def _ordered(designs: Mapping[str, FoundDesign]) -> list[str]:
    """Return the names of designs from run folders, and then of the others."""
    return sorted(designs, key=lambda name: designs[name][1] is None)


def _common(designs: Mapping[str, FoundDesign]) -> Config:
    """Return the configuration of the first run folder, or the paper's.

    Raises `InputError` where the designs are of different links or hardware: then neither their bit
    errors nor their watts can be compared. Says what else differs.
    """
    if not designs:
        return load("paper")
    own = {name: settings_of(*found) for name, found in designs.items()}
    first = _ordered(designs)[0]
    for name, (design, folder) in designs.items():
        told = [(k, *v) for k, *v in differences(own[first], own[name]) if k != "sweep"]
        apart = [
            f"{key} = {ours} of {first}, {theirs} of {name}"
            for key, ours, theirs in told
            if (key.startswith("link.") and key not in _OF_DESIGNS) or key == "hardware.clock_mhz"
        ]
        if apart:
            raise InputError(
                f"dbp compare: designs of different configurations: {'; '.join(apart)}: must be "
                "equal, or --config must say which is for all"
            )
        # Those of two polarisations have launch powers of their own.
        alike = design.polarizations == designs[first][0].polarizations
        powers = ("training.launch_power_dbm", "evaluation.launch_power_dbm")
        for key, ours, theirs in told:
            beside = key.startswith(("seed", "evaluation.", "hardware."))
            if folder is not None and (alike if key in powers else beside):
                print(f"Note: {name}: its configuration has {key} = {theirs}: {ours} is taken")
    link = own[first].link
    if link.impairments.dual_polarisation and any(
        d.polarizations == 1 for d, _ in designs.values()
    ):
        # Designs of two polarisations have both all the same.
        link = link_with(link, {"dual_polarisation": False})
    return own[first].model_copy(update={"link": link})


def compare(
    names: Sequence[str],
    candidates: Candidates,
    out: Path,
    *,
    min_errors: int | None = None,
    config: str | None = None,
) -> ComparisonMetrics:
    """Write and print BER, watts and square millimetres of designs in one or more kits.

    ``names``: designs, and reference receivers, whose watts are estimated from their operations:
    see `dbp.synthesis.fft_receiver`. Bit errors are counted on the link of ``config``, or of the
    designs, which must be the same, at its launch powers; for the rest see
    `dbp.synthesis.whole_receiver`. What an earlier call has left in ``out``, of the same inputs, is
    not made again.
    """
    from dbp.synthesis import whole_receiver
    from dbp.synthesis.cells import kits

    stopwatch = Stopwatch()
    comparison = _Comparison.prepare(names, candidates, out, config)
    for pdk in candidates.pdks:
        kits.find(pdk)
    plans = comparison.plans()
    estimated = comparison.estimates()
    points = ber(
        Request(designs=names, min_errors=min_errors, config=config),
        out,
        Workplace(out / DATABASE, resume=True, again="the same command goes on"),
    )
    best = comparison.best(points)
    workers = len(os.sched_getaffinity(0))
    with ExitStack() as stack:
        for name, design in comparison.designs.items():
            stack.enter_context(locks.writing(comparison.folders[name]))
            place(design, comparison.configuration(name), comparison.folders[name])
        plans = whole_receiver.fit_clocks(plans, workers)
        measured = whole_receiver.run(plans, workers)
    rows = [
        comparison.reference_row(name, estimate, best[name])
        for (name, _), estimate in estimated.items()
    ]
    rows += [
        comparison.row(
            key, best[comparison.labels[key.name]], plans[key][0].target.pipeline, synthesized
        )
        for key, synthesized in measured.items()
    ]
    return write(rows, out, comparison.settings, stopwatch)


def write(
    rows: Sequence[ComparisonRow], out: Path, settings: Config, stopwatch: Stopwatch
) -> ComparisonMetrics:
    """Scale and calibrate the rows, write them into ``out`` and print them."""
    from dbp.comparison import merit
    from dbp.report import plots, tables

    rows, calibrations = merit.calibrate(_scaled(rows))
    path = out / f"{merit.FILE}.json"
    metrics = ComparisonMetrics(
        rows=rows,
        calibration=calibrations,
        headlines=merit.headlines(rows),
        **provenance(
            design_hash=None,
            config_hash=settings.hash,
            seed=settings.seed,
            versions=package_versions("amaranth", "pyosys", "numba"),
            stopwatch=stopwatch,
        ),
    )
    write_metrics(path, metrics)
    write_csv(path.with_suffix(".csv"), _flat(rows))
    write_text(path.with_suffix(".svg"), to_svg(plots.comparison(rows)))
    energy = path.with_name(f"{merit.FILE}_energy.svg")
    if energy_figure := plots.energy(rows):
        write_text(energy, to_svg(energy_figure))
    for table in tables.tables(metrics):
        notes = (textwrap.fill(note, 100) for note in table.notes)
        print(table.title, aligned(table.lines), *notes, sep="\n", end="\n\n")
    for sentence in tables.sentences(metrics):
        print(sentence)
    print(
        f"{stopwatch.seconds:.0f} s -> {out / merit.FILE}.csv, .json, .svg, _energy.svg", flush=True
    )
    return metrics


def _scaled(rows: Sequence[ComparisonRow]) -> list[ComparisonRow]:
    """Give the rows their bands at 28 nm: each of its own kit, and of all kits of its design."""
    from dbp.synthesis.cells import scaling

    scaled = []
    for row in rows:
        of_design = [
            other
            for other in rows
            if (other.design, other.filters) == (row.design, row.filters)
            and other.pdk in scaling.SCALED
        ]
        combined = _bands(of_design if row.pdk in scaling.SCALED and of_design[1:] else [])
        bands = _bands([row]) | {f"combined_{key}": band for key, band in combined.items()}
        scaled.append(row.model_copy(update=bands))
    return scaled


# The key of a band, the quantity by which it is scaled, and the figure of a row.
_Figure = Callable[[ComparisonRow], float | None]
_SCALED_FIGURES: tuple[tuple[str, Literal["energy", "area"], _Figure], ...] = (
    ("power_28nm_w", "energy", lambda row: row.power_w.total),
    ("step_power_28nm_w", "energy", lambda row: row.step_power_w),
    ("area_28nm_mm2", "area", lambda row: row.area_mm2),
    ("step_area_28nm_mm2", "area", lambda row: row.step_area_mm2),
)


def _bands(rows: Sequence[ComparisonRow]) -> dict[str, Band | None]:
    """Return bands of one design, from a row for each kit; None without a scaled kit or figure."""
    from dbp.synthesis.cells import scaling

    voltages_v = {row.pdk: row.voltage_v for row in rows if row.voltage_v is not None}
    bands: dict[str, Band | None] = {}
    for key, quantity, figure in _SCALED_FIGURES:
        figures = {row.pdk: value for row in rows if (value := figure(row)) is not None}
        complete = len(figures) == len(rows)
        bands[key] = scaling.band(figures, voltages_v, quantity) if complete else None
    return bands


def _flat(rows: Sequence[ComparisonRow]) -> list[dict[str, Any]]:
    """Make tables within rows columns such as ``power_w.total``, empty where a row has no table."""
    dumped = (row.model_dump(mode="json", exclude_unset=True) for row in rows)
    flat = [dict(_leaves(row)) for row in dumped]
    # A row without the table has None in its place: no column of its own.
    tables = {column.split(".")[0] for row in flat for column in row if "." in column}
    columns = dict.fromkeys(column for row in flat for column in row if column not in tables)
    return [{column: row.get(column) for column in columns} for row in flat]


def _leaves(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{before}{key}.")
        else:
            yield before + key, " ".join(map(str, value)) if isinstance(value, list) else value
