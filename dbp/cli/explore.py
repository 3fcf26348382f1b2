"""``dbp explore``: search for the front of BER against energy per bit, and confirm it."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from dbp import config
from dbp.cli._prices import price_list
from dbp.comparison import merit
from dbp.config import Config
from dbp.errors import InputError, MissingError
from dbp.evaluation import executors
from dbp.evaluation.counting import Rule
from dbp.evaluation.executors import AtATime, Workplace
from dbp.exploration import pareto
from dbp.exploration.search import Found, Search
from dbp.exploration.space import Space
from dbp.exploration.store import Store
from dbp.exploration.work import Outcome, Workshop
from dbp.records.provenance import Stopwatch, package_versions, provenance, write_metrics
from dbp.records.schemas import ExploredPoint, ExploreMetrics, Point
from dbp.runs import place, stimulus_source
from dbp.support import locks
from dbp.support.files import write_csv, write_text
from dbp.support.svg import to_svg
from dbp.support.text import aligned

if TYPE_CHECKING:
    from dbp.synthesis.whole_receiver import ReceiverEstimate

# In the run's folder.
FILE = "explore"
# Memory that learning takes in a process for each sample of its data, and for each rotation beside:
# as measured with 4 and 16 spans, rather too much than too little.
_BYTES_A_SAMPLE = 500
_BYTES_A_ROTATION = 60
# A price loads the hardware side.
_BYTES_OF_PRICES = 300_000_000


def explore(settings: Config, out: Path, workplace: Workplace) -> ExploreMetrics:
    """Search as ``settings.explore`` says, count and synthesise the front, write and print it.

    What an earlier call has left in ``out`` is not computed again: a killed search goes on, and the
    same configuration gives the same front. Writes ``explore.csv``, ``explore.json``,
    ``explore.svg`` after each step, designs that were confirmed into ``confirmed/NAME``, those of
    the front into ``front/NAME``.
    """
    executors.check(workplace.cluster, workplace.slurm)
    settings = _checked(settings)
    explore = settings.explore
    prices = price_list(settings.hardware.pdk, explore.filters)
    run = _Run(settings, out)
    print(
        f"Searching {Space(settings).size:,} places for BER against pJ/bit in "
        f"{settings.hardware.pdk}, {explore.filters}, seed {settings.seed}",
        flush=True,
    )
    write_text(out / "config.toml", settings.to_toml())
    # It speaks before the workers are ended, which may take too long.
    with ExitStack() as stack, _kept(out):
        place = partial(stack.enter_context, _executor(settings, workplace))
        shop = Workshop(place, Store(out / "search"), prices)
        search = Search(settings, partial(_evaluate, shop, run), run.show)
        run.search = search
        confirmed = search.run()
    if not confirmed:
        reasons = [found.latest.failed for found in search.found.values() if found.full]
        raise InputError(f"explore: no survivor was learned fully: the first: {reasons[0]}")
    for found in confirmed:
        _save(found, out / "confirmed" / found.candidate.name)
    run.points = _count(settings, confirmed, workplace)
    run.show("counted", search)
    run.estimates = _synthesize(settings, _filling(confirmed, run.points, explore.synthesized), out)
    metrics = run.write(finished=True)
    on_front = {point.name for point in metrics.points if point.on_front}
    for found in confirmed:
        if found.candidate.name in on_front:
            _save(found, out / "front" / found.candidate.name)
    _print(metrics, settings)
    print(f"{run.stopwatch.seconds:.0f} s -> {out / FILE}.csv, .json, .svg, {out / 'front'}")
    return metrics


def _checked(settings: Config) -> Config:
    """Refuse before anything runs what would fail only in the end; leave out what is missing."""
    from dbp.synthesis.cells import kits

    if settings.link.modulation == "gaussian":
        raise InputError("link.modulation = 'gaussian': has no bits to count")
    config.require_one_polarization(settings.link, "a search of designs")
    if not settings.explore.synthesized:
        return settings
    try:
        kits.find(settings.hardware.pdk)
    except MissingError as error:
        print(f"Note: {error}: watts are predicted only", flush=True)
        explore = settings.explore.model_copy(update={"synthesized": 0})
        return settings.model_copy(update={"explore": explore})
    return settings


@contextmanager
def _kept(out: Path) -> Iterator[None]:
    """Say at the end of a search that failed or was interrupted how to go on."""
    try:
        yield
    except InputError:
        raise
    except BaseException:
        if (out / "search").is_dir():
            print(
                f"Kept in {out / 'search'}: the same command goes on", file=sys.stderr, flush=True
            )
        raise


def _executor(
    settings: Config, workplace: Workplace
) -> AbstractContextManager[tuple[Executor, AtATime]]:
    training = settings.training
    rotations = settings.link.spans * float(settings.learned.rotation_rate)
    samples = (training.symbols + training.validation_symbols) * float(settings.link.adc_rate)
    return executors.executor(
        workplace.cluster,
        points=settings.explore.population,
        workers=workplace.workers,
        task_bytes=_BYTES_OF_PRICES
        + math.ceil((_BYTES_A_SAMPLE + _BYTES_A_ROTATION * rotations) * samples),
        wishes=workplace.slurm,
        log_folder=workplace.database.parent / "slurm",
    )


def _evaluate(shop: Workshop, run: _Run, title: str, batch: Sequence[Config]) -> list[Outcome]:
    """Return the outcomes of a batch of candidates, with a bar."""
    with tqdm(total=len(batch), desc=title, unit="design", disable=None) as bar:

        def ended(outcome: Outcome) -> None:
            run.seen.append(outcome)
            bar.set_postfix_str(run.front_so_far(), refresh=False)
            bar.update()

        shop.ended = ended
        return shop.outcomes(batch)


def _save(found: Found, folder: Path) -> None:
    """Put a design, its configuration and its filters where the other commands find them."""
    learned = found.latest.learned
    assert learned.design is not None and learned.filters is not None
    with locks.writing(folder):
        place(learned.design, found.candidate.settings, folder)
        learned.filters.save(folder / "train" / "float.npz")


def _count(settings: Config, confirmed: Sequence[Found], workplace: Workplace) -> dict[str, Point]:
    """Return the point of least BER of each candidate, by its name."""
    from dbp.evaluation.plan import Candidate, EvaluationPlan
    from dbp.evaluation.plan import run as run_plan

    links = list(dict.fromkeys(found.candidate.settings.link for found in confirmed))
    told = [{"adc_samples_per_symbol": link.adc_samples_per_symbol} for link in links]
    plan = EvaluationPlan(
        candidates=tuple(
            Candidate(
                found.candidate.name,
                "fixed",
                found.latest.learned.design,
                links=(links.index(found.candidate.settings.link),),
            )
            for found in confirmed
        ),
        links=tuple(zip(told, links, strict=True)),
        launch_powers_dbm=settings.evaluation.launch_power_dbm,
        rule=Rule(settings.evaluation.min_errors, settings.evaluation.max_bits),
        seed=settings.seed,
        config_hash=settings.hash,
    )
    for note in plan.notes():
        print(f"Note: {note}")
    print(f"Counting bit errors of {len(confirmed)} designs", flush=True)
    points = run_plan(plan, workplace)
    return {point.design: point for point in points.best().values()}


def _filling(confirmed: Sequence[Found], points: Mapping[str, Point], count: int) -> list[Found]:
    """Return the ``count`` candidates that fill the front of BER and predicted energy best."""
    objectives = [
        (_energy_and_snr(found)[0], points[found.candidate.name].ber) for found in confirmed
    ]
    return [confirmed[number] for number in sorted(pareto.select(objectives, count))]


def _synthesize(
    settings: Config, chosen: Sequence[Found], out: Path
) -> dict[str, ReceiverEstimate]:
    """Return what whole receivers of some candidates cost by synthesis."""
    from dbp.synthesis import whole_receiver

    explore, hardware = settings.explore, settings.hardware
    if not chosen:
        return {}
    plans = {}
    with ExitStack() as stack:
        for found in chosen:
            folder = out / "confirmed" / found.candidate.name
            stack.enter_context(locks.writing(folder))
            assert found.latest.learned.design is not None
            plans[found.candidate.name] = whole_receiver.plan(
                found.latest.learned.design,
                stimulus_source(folder),
                hardware.pdk,
                explore.filters,
                explore.synthesis_lanes,
                folder,
                hardware.clock_mhz,
            )
        workers = len(os.sched_getaffinity(0))
        print(f"Synthesising {len(plans)} of them in {hardware.pdk}", flush=True)
        plans = whole_receiver.fit_clocks(plans, workers)
        measured = whole_receiver.run(plans, workers)
    designs = {name: plan[0].design for name, plan in plans.items()}
    return {
        name: whole_receiver.estimate(
            designs[name],
            explore.filters,
            synthesized,
            explore.synthesis_lanes,
            whole_receiver.receiver_lanes(
                designs[name].samples_per_symbol,
                settings.link.symbol_rate_gbd,
                hardware.clock_mhz,
            ),
        )
        for name, synthesized in measured.items()
    }


@dataclass
class _Run:
    """What is known so far, and how it is shown: after each step files and a line."""

    settings: Config
    out: Path
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    search: Search | None = None
    seen: list[Outcome] = field(default_factory=list)
    points: Mapping[str, Point] = field(default_factory=dict)
    estimates: Mapping[str, ReceiverEstimate] = field(default_factory=dict)

    def front_so_far(self) -> str:
        """Return the ends of the front of all that was learned, in words for the bar."""
        return _ends(
            [
                (outcome.price.pj_per_bit, outcome.learned.snr_db)
                for outcome in self.seen
                if outcome.price and outcome.learned.snr_db is not None
            ]
        )

    def show(self, title: str, search: Search) -> None:
        """Write the files as they are now, and print a line."""
        self.search = search
        self.write(finished=False)
        front = search.front()
        ends = _ends([_energy_and_snr(found) for found in front])
        failed = sum(found.latest.failed is not None for found in search.found.values())
        words = f"{len(search.found)} tried" + (f", {failed} failed" if failed else "")
        print(f"{title}: {words}; {ends}; {self.stopwatch.seconds:.0f} s", flush=True)

    def write(self, finished: bool) -> ExploreMetrics:
        """Write table, figures and plot of what is known."""
        from dbp.exploration.plot import figure

        search, explore = self.search, self.settings.explore
        assert search is not None
        points = _with_front([self._point(found) for found in search.found.values()])
        metrics = ExploreMetrics(
            pdk=self.settings.hardware.pdk,
            filters=explore.filters,
            finished=finished,
            places=Space(self.settings).size,
            tried=len(points),
            learned_fully=sum(found.full is not None for found in search.found.values()),
            rank_correlation=search.rank_correlation(),
            points=points,
            **provenance(
                design_hash=None,
                config_hash=self.settings.hash,
                seed=self.settings.seed,
                versions=package_versions("torch", "numpy", "numba", "scipy"),
                stopwatch=self.stopwatch,
            ),
        )
        write_metrics(self.out / f"{FILE}.json", metrics)
        write_csv(self.out / f"{FILE}.csv", [point.row() for point in points])
        title = f"{self.settings.hardware.pdk}, {explore.filters} filters: {len(points)} designs"
        write_text(self.out / f"{FILE}.svg", to_svg(figure(points, title)))
        return metrics

    def _point(self, found: Found) -> ExploredPoint:
        name, latest = found.candidate.name, found.latest
        point, estimate = self.points.get(name), self.estimates.get(name)
        price = latest.price
        return ExploredPoint(
            name=name,
            stage="confirmed" if point else "full" if found.full else "cheap",
            on_front=False,
            values=found.candidate.values,
            failed=latest.failed,
            cheap_snr_db=found.cheap.learned.snr_db,
            snr_db=found.full.learned.snr_db if found.full else None,
            design_hash=latest.learned.design.hash if latest.learned.design else None,
            power_w=price.power_w if price else None,
            area_mm2=price.area_mm2 if price else None,
            pj_per_bit=price.pj_per_bit if price else None,
            extrapolates=price.extrapolates if price else None,
            **(_counted(point) if point else {}),
            **(_synthesized(estimate, found, self.settings) if estimate else {}),
        )


def _counted(point: Point) -> dict[str, Any]:
    names = ("launch_power_dbm", "errors", "ber", "ber_low", "ber_high")
    return {name: getattr(point, name) for name in names}


def _synthesized(estimate: ReceiverEstimate, found: Found, settings: Config) -> dict[str, Any]:
    watts = estimate.power_w["total"]
    rate = found.candidate.settings.link.adc_rate
    return {
        "synthesized_power_w": watts,
        "synthesized_area_mm2": estimate.area_mm2,
        "synthesized_pj_per_bit": merit.energies(estimate.lanes, watts, settings, rate)[
            "pj_per_bit"
        ],
        "timing_met": estimate.timing_met,
    }


def _with_front(points: Sequence[ExploredPoint]) -> tuple[ExploredPoint, ...]:
    """Return the points in the order of the files, those marked that no confirmed one dominates."""
    counted = [point for point in points if point.ber is not None]
    objectives = [(point.best_pj_per_bit or 0.0, point.ber or 0.0) for point in counted]
    front = {counted[number].name for number in pareto.fronts(objectives)[0]} if counted else set()
    marked = (point.model_copy(update={"on_front": point.name in front}) for point in points)
    return tuple(sorted(marked, key=_order))


def _order(point: ExploredPoint) -> tuple[Any, ...]:
    stages = ("confirmed", "full", "cheap")
    energy = point.best_pj_per_bit
    return stages.index(point.stage), math.inf if energy is None else energy, point.name


def _energy_and_snr(found: Found) -> tuple[float, float]:
    price, snr_db = found.latest.price, found.latest.learned.snr_db
    assert price is not None and snr_db is not None
    return price.pj_per_bit, snr_db


def _ends(points: Sequence[tuple[float, float]]) -> str:
    """Return the ends of the front of (energy, SNR) in words."""
    if not points:
        return "no front yet"
    front = pareto.fronts([(energy, -snr_db) for energy, snr_db in points])[0]
    words = [f"{points[k][1]:.2f} dB at {points[k][0]:.3g} pJ/bit" for k in (front[0], front[-1])]
    return f"front of {len(front)}: {' .. '.join(dict.fromkeys(words))}"


def _print(metrics: ExploreMetrics, settings: Config) -> None:
    """Print the confirmed points, and how well cheap learning and predictions did."""
    confirmed = [point for point in metrics.points if point.stage == "confirmed"]
    keys = list(confirmed[0].values)
    names = [key.rpartition(".")[2] for key in keys]
    # Keys of two tables may be called the same.
    names = [key if names.count(name) > 1 else name for key, name in zip(keys, names, strict=True)]
    header = ["", "name", *names, "SNR dB", "BER", "95 % interval", "at dBm", "pJ/bit", "predicted"]
    rows = [header]
    for point in confirmed:
        assert point.ber is not None and point.pj_per_bit is not None
        measured = point.synthesized_pj_per_bit
        late = "" if point.timing_met in (None, True) else " (too slow)"
        rows.append(
            [
                "*" if point.on_front else "",
                point.name,
                *(str(point.values[key]) for key in keys),
                f"{point.snr_db:.2f}",
                f"{point.ber:.2e}",
                f"{point.ber_low:.2e} .. {point.ber_high:.2e}",
                f"{point.launch_power_dbm:+g}",
                "" if measured is None else f"{measured:.3g}{late}",
                f"{point.pj_per_bit:.3g}" + (" (extrapolated)" if point.extrapolates else ""),
            ]
        )
    print(aligned(rows))
    print("*: on the front of BER and pJ/bit. SNR: on the data of learning.")
    if metrics.rank_correlation is not None:
        print(
            f"Cheap learning ranked {metrics.learned_fully} designs as full learning did with "
            f"Spearman's rho = {metrics.rank_correlation:.2f}."
        )
    ratios = [
        point.pj_per_bit / point.synthesized_pj_per_bit - 1
        for point in confirmed
        if point.synthesized_pj_per_bit and point.pj_per_bit
    ]
    if ratios:
        print(
            f"Predicted energy was {min(ratios):+.1%} .. {max(ratios):+.1%} off that of "
            f"{len(ratios)} syntheses."
        )
