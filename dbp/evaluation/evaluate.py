"""``dbp ber``: designs and reference receivers over launch powers, to files and a table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dbp import config
from dbp.config import Config
from dbp.datapath.complexity import complexity
from dbp.datapath.design import Design, launch_power_uw
from dbp.errors import InputError
from dbp.records.provenance import Stopwatch, package_versions, write_metrics
from dbp.records.schemas import Point
from dbp.runs import config_of, find_design, float_filters, read_config
from dbp.support.files import write_csv, write_npz, write_text

if TYPE_CHECKING:
    from dbp.evaluation.groups import Scenario
    from dbp.evaluation.receivers import Receiver

CONSTELLATION_POINTS = 3000
DATABASE = "results.sqlite"


@dataclass(frozen=True)
class Options:
    """How an evaluation is done; what is None is the configuration's.

    ``cluster`` and ``workers`` as `dbp.evaluation.executors.executor` takes them. With ``resume``,
    units that the folder's database holds are not counted again; else it starts anew.
    """

    min_errors: int | None = None
    max_bits: int | None = None
    cluster: str = "local"
    workers: int | None = None
    resume: bool = False


def ber(
    names: Sequence[str],
    powers_dbm: Sequence[float] | None,
    out: Path,
    *,
    config_name: str | None,
    arithmetic: str,
    seed: int | None,
    swept: dict[str, tuple[Any, ...]] | None,
    options: Options,
) -> None:
    """Evaluate designs and reference receivers over launch powers and links.

    What neither the arguments nor ``swept`` name is the CONFIG's; None for ``swept``: no sweep.
    """
    from dbp.config import sweep
    from dbp.evaluation import references
    from dbp.report.curves import draw

    stopwatch = Stopwatch()
    settings = config.load(config_name) if config_name else None
    in_file = settings.sweep if settings else {}
    names = list(names) or list({**in_file, **(swept or {})}.get("design", ()))
    if not names:
        raise InputError("dbp ber: must have DESIGN..., --reproduce or a [sweep] with design")
    found = {name: find_design(name) for name in names if name not in references.NAMES}
    settings = settings or config_of(next((folder for _, folder in found.values()), None))
    if swept is None:
        swept = {}
    else:
        settings = config.with_sweep(settings, settings.sweep | swept)
        swept = settings.sweep
    if seed is not None:
        settings = settings.model_copy(update={"seed": seed})
    kinds = ("fixed", "float") if arithmetic == "both" else (arithmetic,)
    wanted = [(name, kind) for name in names for kind in (kinds if name in found else ("float",))]
    powers_dbm = powers_dbm or swept.get("launch_power_dbm")
    points, clouds = _evaluate(wanted, found, settings, powers_dbm, swept, out, options)
    keys = sweep.link_keys(swept)
    write_text(out / "ber.svg", draw([point.model_dump() for point in points], keys))
    write_npz(out / "constellation.npz", **clouds)
    print_best(points, keys)
    print(f"{stopwatch.seconds:.0f} s -> {out / 'ber.csv'}", flush=True)


def reproduce(
    powers_dbm: Sequence[float] | None,
    out: Path,
    *,
    config_name: str | None,
    seed: int | None,
    options: Options,
) -> None:
    """Evaluate our receiver for every curve of the paper's BER and compare the two."""
    from dbp.comparison import paper
    from dbp.report import reproduction

    stopwatch = Stopwatch()
    settings = read_config(config_name or "paper", seed)
    if settings.link.modulation != paper.MODULATION:
        raise InputError(
            f"link.modulation = {settings.link.modulation!r}: must be that of the paper, "
            f"{paper.MODULATION!r}"
        )
    curves = paper.ber_curves()
    wanted = [(curve.receiver, curve.arithmetic) for curve in curves]
    found = {name: find_design(name) for name, _ in wanted if name != "linear"}
    points, _ = _evaluate(wanted, found, settings, powers_dbm, {}, out, options)
    print_best(points, ())
    write_text(out / "ber.svg", reproduction.draw(curves, points))
    rows = reproduction.compare(curves, points)
    write_csv(out / "reproduction.csv", rows)
    print(reproduction.to_text(rows))
    print(f"{stopwatch.seconds:.0f} s -> {out / 'reproduction.csv'}", flush=True)


def _evaluate(
    wanted: Sequence[tuple[str, str]],
    found: Mapping[str, tuple[Design, Path | None]],
    settings: Config,
    powers_dbm: Sequence[float] | None,
    swept: Mapping[str, Sequence[Any]],
    out: Path,
    options: Options,
) -> tuple[list[Point], dict[str, Any]]:
    """Count the bit errors of receivers; writes ``metrics.json`` and ``ber.csv``.

    ``wanted``: name and arithmetic of each; the names in ``found`` are designs, the others
    reference receivers. Returns all points, and some symbols of each receiver.
    """
    from dbp.config import sweep
    from dbp.evaluation import counting as ber
    from dbp.evaluation import executors as cluster
    from dbp.evaluation import references, store
    from dbp.evaluation.receivers import FixedReceiver, FloatReceiver

    stopwatch = Stopwatch()
    cluster.check(options.cluster)
    powers_dbm = powers_dbm or settings.evaluation.launch_power_dbm
    links = sweep.links(settings.link, swept)
    labels = labels_of(wanted, found)
    designs: dict[tuple[str, str], Receiver] = {}
    for name, arithmetic in wanted:
        if name in found and arithmetic == "fixed":
            designs[name, arithmetic] = FixedReceiver(labels[name], found[name][0])
        elif name in found:
            filters = float_filters(name, found[name][1])
            designs[name, arithmetic] = FloatReceiver(labels[name], filters)

    def receivers_of(link: config.Link) -> list[Receiver]:
        receivers = [
            designs.get(key) or references.Reference(labels[key[0]], link) for key in wanted
        ]
        ber.check(receivers, link)
        return receivers

    heard = [
        (changes, ber.Scenario(link, float(power), settings.seed), receivers_of(link))
        for changes, link in links
        for power in powers_dbm
    ]
    _print_notes(wanted, found, labels, [scenario for _, scenario, _ in heard])
    rule = ber.Rule(
        options.min_errors or settings.evaluation.min_errors,
        options.max_bits or settings.evaluation.max_bits,
    )
    place = out / DATABASE
    if not options.resume:
        store.remove(place)
    with (
        store.Results(place) as database,
        cluster.executor(options.cluster, points=len(heard), workers_wanted=options.workers) as (
            executor,
            at_a_time,
        ),
    ):
        try:
            counted = ber.count(
                [(scenario, receivers) for _, scenario, receivers in heard],
                rule,
                executor=executor,
                at_a_time=at_a_time,
                results=database,
            )
        except KeyboardInterrupt:
            print(f"Kept in {place}: the same command with --resume goes on", file=sys.stderr)
            raise
    hashes = {labels[name]: design for name, (design, _) in found.items()}
    rows = []
    for (changes, scenario, receivers), prefixes in zip(heard, counted, strict=True):
        for receiver, prefix in zip(receivers, prefixes, strict=True):
            row = ber.point(receiver, scenario, prefix)
            rows.append(changes | row | of_design(row, hashes.get(receiver.name)))
    unique = [design.hash for design in hashes.values()]
    write_metrics(
        out / "metrics.json",
        {"points": rows, "min_errors": rule.min_errors, "max_bits": rule.max_bits},
        design_hash=unique[0] if len(unique) == 1 else None,
        config_hash=settings.hash,
        seed=settings.seed,
        versions=package_versions("torch", "numpy", "scipy"),
        stopwatch=stopwatch,
    )
    write_csv(out / "ber.csv", rows)
    points = [Point(**row) for row in rows]
    of_first_link = points[: len(powers_dbm) * len(wanted)]
    return points, _constellations(of_first_link, *heard[0][1:])


def labels_of(
    wanted: Sequence[tuple[str, str]], found: Mapping[str, tuple[Design, Path | None]]
) -> dict[str, str]:
    """Short names of all; designs of the same name are told apart as they were typed."""
    names = list(dict.fromkeys(name for name, _ in wanted))
    short = {name: found[name][0].name if name in found else name for name in names}
    return {
        name: name if list(short.values()).count(label) > 1 else label
        for name, label in short.items()
    }


def _print_notes(
    wanted: Sequence[tuple[str, str]],
    found: Mapping[str, tuple[Design, Path | None]],
    labels: Mapping[str, str],
    scenarios: Sequence[Scenario],
) -> None:
    """What is counted, and where a design is out of its range."""
    notes = {}
    for name, arithmetic in wanted:
        if name not in found:
            continue
        design = found[name][0]
        for scenario in scenarios:
            power, spans = scenario.launch_power_dbm, scenario.link.spans
            uw = launch_power_uw(power)
            if arithmetic == "fixed" and any(r.kerr_saturates(uw) for r in design.rotations):
                notes[f"{labels[name]}: K is at the end of its range at {power:+g} dBm"] = None
            if len(design.rotations) % spans:
                notes[
                    f"{labels[name]}: {len(design.rotations)} rotations, for a link of "
                    f"{spans} spans"
                ] = None
    for note in notes:
        print(f"Note: {note}")
    powers = dict.fromkeys(f"{scenario.launch_power_dbm:+g}" for scenario in scenarios)
    links = len({scenario.link for scenario in scenarios})
    print(
        f"Counting bit errors of {', '.join(dict.fromkeys(labels[n] for n, _ in wanted))} at "
        f"{', '.join(powers)} dBm" + (f" of {links} links" if links > 1 else ""),
        flush=True,
    )


def of_design(point: Mapping[str, Any], design: Design | None) -> dict[str, Any]:
    """What a point tells of its design: hash and, in fixed point, the cost per complex sample."""
    cost = complexity(design) if design and point["arithmetic"] == "fixed" else None
    return {
        "design_hash": design.hash if design else None,
        "multiplier_bits": cost.multiplier_bits if cost else None,
        "adder_bits": cost.adder_bits if cost else None,
    }


def print_best(points: Sequence[Point], keys: Sequence[str]) -> None:
    """A table of every receiver's best point, on each link."""
    from dbp.report.page import aligned, best_points

    rows = [[*keys, "design", "arithmetic", "BER", "95 % interval", "SNR dB", "at dBm"]]
    rows[0] += ["multiplier bits", "adder bits"]

    def link_of(point: Point) -> tuple[Any, ...]:
        return tuple(getattr(point, key) for key in keys)

    for link in dict.fromkeys(map(link_of, points)):
        best = best_points([point for point in points if link_of(point) == link])
        for (label, kind), point in best.items():
            interval = f"{point.ber_low:.2e} .. {point.ber_high:.2e}"
            row = [*map(str, link), label, kind, f"{point.ber:.2e}", interval]
            row += [f"{point.snr_db:.2f}", f"{point.launch_power_dbm:+g}"]
            costs = (point.multiplier_bits, point.adder_bits)
            rows.append([*row, *("-" if n is None else f"{n:,}" for n in costs)])
    print(aligned(rows))


def _constellations(
    points: Sequence[Point], scenario: Scenario, receivers: Sequence[Receiver]
) -> dict[str, Any]:
    """Symbols of the first link as received, and as each receiver leaves them.

    The first receiver's best launch power serves all.
    """
    from dbp.evaluation.groups import detect
    from dbp.evaluation.measures import align, matched_filter
    from dbp.link.transmission import simulate
    from dbp.report.page import best_points

    first = receivers[0]
    power_dbm = best_points(points)[first.name, first.arithmetic].launch_power_dbm
    received = simulate(
        scenario.link,
        power_dbm,
        scenario.group_blocks,
        seed=scenario.seed,
        purpose="evaluate",
        progress=False,
    )
    # As it came, nothing of it stands at the symbols sent: shown at its own power.
    raw = matched_filter(received.waveform, scenario.link.roll_off)
    symbols = {"received": raw / np.sqrt(np.mean(np.abs(raw) ** 2))}
    for receiver in receivers:
        # One arithmetic of each design is enough to see: the one named first.
        if receiver.name not in symbols:
            symbols[receiver.name] = align(
                received.symbols, detect(scenario.link, receiver, received)
            )
    some = {name: x.reshape(-1)[:CONSTELLATION_POINTS] for name, x in symbols.items()}
    return {name: x.astype(np.complex64) for name, x in some.items()}
