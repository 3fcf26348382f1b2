"""The first screen of a report: what was compared, which is better, by how much, and what to doubt.

A design is said to have the lower bit error ratio only where the 95 % intervals do not overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dbp.comparison import merit
from dbp.datapath.design import is_reserved
from dbp.records.schemas import ComparisonMetrics, ComparisonRow, Point, SynthMetrics, best_points
from dbp.report.contents import Contents, DesignRun
from dbp.report.tables import label

NO_LAYOUT = (
    "Watts are of gates after synthesis, clock tree estimated, without layout. Compare ratios."
)


@dataclass(frozen=True)
class Figure:
    """A number to see at a glance, and what it is."""

    value: str
    meaning: str


@dataclass(frozen=True)
class Verdict:
    """What a reader learns first; ``doubts``: a sentence each, the gravest first."""

    compared: str
    sentences: tuple[str, ...]
    figures: tuple[Figure, ...]
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class _Finding:
    """A part of the verdict; ``level``: the designs of the least BER, no one better than another.

    The first of ``level`` has the lowest count; ``next``: the best of the others.
    """

    sentences: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    doubts: tuple[str, ...] = ()
    level: tuple[str, ...] = ()
    next: str | None = None


def verdict(
    content: Contents,
    comparisons: Sequence[ComparisonMetrics] = (),
    absent: Mapping[str, str] | None = None,
) -> Verdict:
    """Return the verdict over runs, evaluations and comparisons; ``absent``: stage and reason."""
    parts = [_receivers(metrics) for metrics in comparisons]
    ber = _bit_errors(content.points)
    # A comparison has counted its own designs.
    if ber.sentences or not parts:
        parts.append(ber)
    parts.append(_steps(content.runs, ber))
    doubts = [
        *_of_circuits(content.runs),
        *(doubt for part in parts for doubt in part.doubts),
        *_not_run(content, bool(comparisons)),
        *(f"Absent: {stage}: {reason}" for stage, reason in (absent or {}).items()),
    ]
    if comparisons or any(run.synth for run in content.runs):
        doubts.append(NO_LAYOUT)
    sentences = tuple(sentence for part in parts for sentence in part.sentences)
    return Verdict(
        compared=_joined(_compared(content, comparisons)) or "nothing",
        sentences=sentences or ("Nothing was evaluated, simulated or synthesised yet.",),
        figures=tuple(figure for part in parts for figure in part.figures),
        doubts=tuple(dict.fromkeys(doubts)),
    )


def _compared(content: Contents, comparisons: Sequence[ComparisonMetrics]) -> list[str]:
    """Return the names of all that is in the report, with taps and bits where they are known."""
    names = {}
    for run in content.runs:
        bits = f"{merit.formats(run.design)} bits"
        names[run.name] = f"{run.name} ({merit.lengths(run.design)} taps, {bits})"
    rows = (label(row) for metrics in comparisons for row in metrics.rows)
    for name in (*rows, *(point.design for point in content.points)):
        names.setdefault(name, name)
    return list(names.values())


# Bit errors.

# Below so many a bit error ratio is known to no better than a factor of two either way.
FEW_ERRORS = 10


def _bit_errors(points: Sequence[Point]) -> _Finding:
    """Compare the best points of designs; references only where there is no design."""
    if any(point.model_extra for point in points):
        return _Finding(
            ("The bit error ratio was counted on several links: the table has the best of each.",),
            doubts=("No winner in bit error ratio: the links differ.",),
        )
    best = _best(points)
    designs = {n: p for n, p in best.items() if not is_reserved(n)} or best
    if not designs:
        return _Finding()
    ranked = sorted(designs, key=lambda name: (designs[name].ber, designs[name].ber_high))
    first = designs[ranked[0]]
    level = tuple(name for name in ranked if designs[name].ber_low <= first.ber_high)
    behind = [name for name in ranked if name not in level]
    runner_up = designs[behind[0]] if behind else None
    linear = best.get("linear")
    if len(level) > 1:
        found = _level([designs[name] for name in level], runner_up)
    elif runner_up is not None:
        found = _ahead(first, runner_up)
    else:
        found = _alone(first, linear if first.design != "linear" else None)
    doubts = (*found.doubts, *_of_counting(points, designs.values()))
    return _Finding(found.sentences, found.figures, doubts, level, behind[0] if behind else None)


def _best(points: Iterable[Point]) -> dict[str, Point]:
    """Return the best point of each receiver by name, in fixed point where there is one."""
    best: dict[str, Point] = {}
    for point in best_points(points).values():
        if point.design not in best or point.arithmetic == "fixed":
            best[point.design] = point
    return best


def _alone(first: Point, linear: Point | None) -> _Finding:
    sentence = (
        f"{first.design} has a bit error ratio of {_with_interval(first)} at {_power_dbm(first)}"
    )
    if linear is not None and linear.ber_low > first.ber_high:
        sentence += f"; linear compensation alone has {linear.ber:.1e}"
    return _Finding((sentence + ".",), (_ber_figure(first),))


def _ahead(first: Point, second: Point) -> _Finding:
    """State how far the first is ahead: its interval ends below that of the second."""
    if first.errors >= FEW_ERRORS:
        factor, at_least = second.ber / first.ber, ""
    else:
        factor, at_least = second.ber_low / first.ber_high, "at least "
    times = f"{at_least}{_rounded(factor)}"
    sentences = (
        f"{first.design} makes {times} times fewer bit errors than {second.design}.",
        f"Bit error ratios: {_with_interval(first)} against {_with_interval(second)}, each at its "
        "best launch power.",
    )
    figures = (
        _ber_figure(first),
        Figure(f"{times} x", f"fewer bit errors than {second.design}"),
    )
    return _Finding(sentences, figures)


def _level(level: Sequence[Point], behind: Point | None) -> _Finding:
    names = _joined([point.design for point in level])
    bers = _joined([f"{point.ber:.1e}" for point in level])
    sentence = f"No winner in bit error ratio among {names}: {bers}, and the intervals overlap."
    if behind is not None:
        sentence += f" {behind.design} has more errors, {behind.ber:.1e}."
    return _Finding(
        (sentence,),
        tuple(_ber_figure(point) for point in level[:2]),
        (
            f"The 95 % intervals of {names} overlap: count more errors (dbp ber --min-errors) "
            "to tell them apart.",
        ),
    )


def _of_counting(points: Sequence[Point], best: Iterable[Point]) -> Iterator[str]:
    """Say what the best points leave open: few errors, float filters, optima at the last power."""
    for point in best:
        if 0 < point.errors < FEW_ERRORS:
            yield f"{point.design}: few errors were counted, {point.errors}."
        if point.arithmetic == "float" and not is_reserved(point.design):
            yield f"{point.design}: counted with float filters, not with the integers of the chip."
        powers = {p.launch_power_dbm for p in points if p.design == point.design}
        if len(powers) == 1:
            yield f"{point.design}: one launch power was tried, {_power_dbm(point)}."
        elif point.launch_power_dbm in (min(powers), max(powers)):
            yield (
                f"{point.design}: its best launch power, {_power_dbm(point)}, is the last "
                "that was tried; the optimum may lie beyond."
            )


def _ber_figure(point: Point) -> Figure:
    at = _power_dbm(point)
    if point.errors:
        return Figure(f"{point.ber:.1e}", f"bit error ratio of {point.design} at {at}")
    return Figure(f"< {point.ber_high:.1e}", f"bit error ratio of {point.design} at {at}, no error")


def _power_dbm(point: Point) -> str:
    power = point.launch_power_dbm
    return f"{power:+g} dBm" if power else "0 dBm"


def _with_interval(point: Point) -> str:
    if not point.errors:
        return f"no error in {point.bits:.2g} bits (95 % interval: below {point.ber_high:.1e})"
    return f"{point.ber:.1e} (95 % interval {point.ber_low:.1e} .. {point.ber_high:.1e})"


# One step of each run.


def _steps(runs: Sequence[DesignRun], ber: _Finding) -> _Finding:
    """Compare steps of runs in the kit that is best evidence."""
    kits: dict[str, dict[str, SynthMetrics]] = {}
    for run in runs:
        for kit, synth in run.synth.items():
            kits.setdefault(kit, {})[run.name] = synth
    if not kits:
        return _Finding()
    kit = min(kits, key=lambda name: (-len(kits[name]), _is_demonstration(kits[name].values())))
    synths = kits[kit]
    doubts = tuple(_of_timing(kits))
    if len(synths) == 1:
        ((name, synth),) = synths.items()
        sentence = (
            f"One step of {name}, {synth.lanes} lane{'s' if synth.lanes > 1 else ''} at "
            f"{synth.clock_mhz:g} MHz, takes {_milliwatts(synth)} and "
            f"{synth.cell_area_um2:,.0f} µm² in {kit}."
        )
        figures = (Figure(_milliwatts(synth), f"one step of {name} in {kit}"),)
        return _Finding((sentence,), figures, doubts)
    if len({(s.lanes, s.step, s.clock_mhz, s.filters) for s in synths.values()}) > 1:
        different = "Steps are not compared: their lanes, numbers, clocks or filters differ."
        return _Finding(doubts=(different, *doubts))
    ours, theirs = _pair(synths, ber)
    return _steps_beside(kit, ours, theirs, synths, doubts)


def _pair(synths: Mapping[str, SynthMetrics], ber: _Finding) -> tuple[str, str]:
    """Return the design to speak of and the one to compare it with.

    The first: of those of least BER, that of least power. The other: the best of those behind, or
    else the next in power.
    """
    by_power = sorted(synths, key=lambda name: synths[name].power_w.total)
    leaders = [name for name in by_power if name in ber.level]
    ours = (leaders or by_power)[0]
    others = [name for name in by_power if name != ours]
    preferred = ber.next if len(leaders) <= 1 else next(n for n in leaders if n != ours)
    return ours, preferred if preferred in others else others[0]


def _steps_beside(
    kit: str, ours: str, theirs: str, synths: Mapping[str, SynthMetrics], doubts: tuple[str, ...]
) -> _Finding:
    one, other = synths[ours], synths[theirs]
    power = one.power_w.total / other.power_w.total
    area = one.cell_area_um2 / other.cell_area_um2
    sentence = (
        f"{ours} takes {_change(power)} power and {_change(area)} area than {theirs}: one step, "
        f"{_milliwatts(one)} against {_milliwatts(other)} in {kit}."
    )
    figures = (
        Figure(f"{power:.2f} x", f"power of {ours} over {theirs}, {kit}"),
        Figure(f"{area:.2f} x", f"area of {ours} over {theirs}, {kit}"),
    )
    return _Finding((sentence,), figures, doubts)


def _of_timing(kits: Mapping[str, Mapping[str, SynthMetrics]]) -> Iterator[str]:
    for kit, synths in kits.items():
        for name, synth in synths.items():
            if not synth.timing_met:
                yield _missed(name, kit, synth.slack_ns, f"the clock of {synth.clock_mhz:g} MHz")
        if _is_demonstration(synths.values()):
            yield _demonstration(kit)


def _is_demonstration(figures: Iterable[SynthMetrics | ComparisonRow]) -> bool:
    return any(each.for_demonstration_only for each in figures)


def _missed(name: str, kit: str, slack_ns: float, clock: str) -> str:
    return (
        f"{name} misses {clock} in {kit} by {-slack_ns:.2f} ns: its watts are for a "
        "clock that it does not reach."
    )


def _demonstration(kit: str) -> str:
    return f"{kit} is a kit for demonstration: its watts and areas are no evidence."


def _milliwatts(synth: SynthMetrics) -> str:
    return f"{1e3 * synth.power_w.total:.3g} mW"


# Whole receivers.


def _receivers(metrics: ComparisonMetrics) -> _Finding:
    """State what a comparison of whole receivers found in the kit that is best evidence."""
    kits: dict[str, list[ComparisonRow]] = {}
    for row in metrics.rows:
        kits.setdefault(row.pdk, []).append(row)
    kit = min(kits, key=lambda name: _is_demonstration(kits[name]))
    found = _kit_of_receivers(metrics, kit, kits[kit])
    others = [_elsewhere(metrics, other, kit) for other in kits if other != kit]
    late: dict[str, list[ComparisonRow]] = {}
    for row in metrics.rows:
        if row.slack_ns is not None and row.slack_ns < 0:
            late.setdefault(label(row), []).append(row)
    doubts = [
        _missed(
            name, _joined([r.pdk for r in rows]), min(r.slack_ns or 0 for r in rows), "its clock"
        )
        for name, rows in late.items()
    ]
    doubts += [_demonstration(name) for name in kits if _is_demonstration(kits[name])]
    if any(row.synthesised_lanes for row in metrics.rows):
        doubts.append("Whole receivers are estimated from syntheses of two widths of one step.")
    elsewhere = "; ".join(other for other in others if other)
    sentences = (*found.sentences, *([f"Other kits: {elsewhere}."] if elsewhere else ()))
    return _Finding(sentences, found.figures, (*found.doubts, *doubts))


def _saving(metrics: ComparisonMetrics, kit: str) -> tuple[ComparisonRow, ComparisonRow] | None:
    """Return the design of least power at the first one's BER in a kit, and the first."""
    for line in metrics.headlines:
        if line.pdk == kit and line.kind == "first" and line.design is not None:
            rows = [r for r in metrics.rows if (r.pdk, r.filters) == (kit, line.filters)]
            by_name = {row.design: row for row in rows}
            return by_name[line.design], by_name[line.against]
    return None


def _kit_of_receivers(
    metrics: ComparisonMetrics, kit: str, rows: Sequence[ComparisonRow]
) -> _Finding:
    pair = _saving(metrics, kit)
    if pair is None:
        first = rows[0]
        figures = f"{first.power_w.total:.3g} W, {first.area_mm2:.3g} mm², {first.pj_per_bit:.3g}"
        sentence = f"{label(first)} takes {figures} pJ/bit in {kit} at a BER of {first.ber:.1e}"
        if len(rows) > 1:
            sentence += "; no other design of its kind of filters reaches that BER"
        return _Finding((sentence + ".",), (Figure(f"{first.power_w.total:.3g} W", label(first)),))
    row, first = pair
    power, area = row.power_w.total / first.power_w.total, row.area_mm2 / first.area_mm2
    bers = f"{row.ber:.1e} against {first.ber:.1e}"
    lower = row.ber_high < first.ber_low
    at = f"a lower bit error ratio, {bers}" if lower else f"no worse a bit error ratio, {bers}"
    sentences = (
        f"{label(row)} takes {_change(power)} power than {label(first)} at {at}.",
        f"Whole receivers: {row.power_w.total:.3g} W against {first.power_w.total:.3g} W in {kit}.",
    )
    doubts: tuple[str, ...] = ()
    if not lower:
        doubts = (
            f"Which of {label(row)} and {label(first)} has the lower bit error ratio is open: "
            "their 95 % intervals overlap.",
        )
    return _Finding(
        sentences,
        (
            Figure(f"{power:.2f} x", f"power of {label(row)} over {label(first)}, {kit}"),
            Figure(f"{area:.2f} x", f"area of {label(row)} over {label(first)}, {kit}"),
            Figure(f"{row.ber:.1e}", f"bit error ratio of {label(row)}"),
            Figure(f"{row.pj_per_bit:.3g} pJ", f"for each bit, {label(row)}, {kit}"),
        ),
        doubts,
    )


def _elsewhere(metrics: ComparisonMetrics, kit: str, first_kit: str) -> str:
    """Say what another kit finds of the same designs; empty where it has nothing to say."""
    pair, main = _saving(metrics, kit), _saving(metrics, first_kit)
    if pair is None or main is None:
        return ""
    (row, first), (winner, _) = pair, main
    change = _change(row.power_w.total / first.power_w.total)
    if row.design == winner.design:
        return f"{change} power in {kit}"
    return f"in {kit} another wins, {label(row)}, with {change} power than {label(first)}"


# What was not done, and what went wrong.


def _of_circuits(runs: Sequence[DesignRun]) -> Iterator[str]:
    """Name runs whose hardware differs from the golden model."""
    for run in runs:
        if run.sim and run.sim.mismatches:
            yield (
                f"The Verilog of {run.name} differs from the golden model in {run.sim.mismatches:,}"
                f" of {run.sim.samples_compared:,} samples: its watts are of another circuit."
            )
        if run.sim and run.sim.wrong_registers:
            yield f"{len(run.sim.wrong_registers)} registers of {run.name} read wrongly."
        for kit, synth in run.synth.items():
            if synth.gate_level_mismatches:
                yield (
                    f"The gates of {run.name} in {kit} differ from the golden model in "
                    f"{synth.gate_level_mismatches:,} of {synth.gate_level_samples:,} samples."
                )


def _not_run(content: Contents, compared: bool) -> Iterator[str]:
    """Name what nobody has looked at yet."""
    if content.runs and not content.points and not compared:
        yield "No bit error ratio: dbp ber was not run."
    not_simulated = [run.name for run in content.runs if not run.sim]
    if not_simulated:
        yield (
            f"Verilog and golden model were not compared for {_joined(not_simulated)}: dbp sim was "
            "not run."
        )
    elif compared and not content.runs:
        yield "Verilog and golden model were not compared here: dbp sim has no run in this report."
    not_proved = [run.name for run in content.runs if run.sim and not run.proof]
    if not_proved:
        yield f"Simulated, but not proved for all inputs: {_joined(not_proved)}."
    without = [run.name for run in content.runs if not run.synth]
    if without and not compared:
        yield f"No watts of {_joined(without)}: dbp synth was not run or did not finish."


def _rounded(value: float) -> str:
    """Return two significant digits, never with an exponent."""
    value = float(f"{value:.1e}")
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _change(ratio: float) -> str:
    percent = round(100 * abs(1 - ratio))
    if not percent:
        return "0 % less"
    return f"{percent} % {'less' if ratio < 1 else 'more'}"


def _joined(words: Sequence[str]) -> str:
    """Join words as prose does."""
    *most, last = words or [""]
    return f"{', '.join(most)} and {last}" if most else last
