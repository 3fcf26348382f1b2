"""``dbp synth``: synthesise one step: area, timing, activity and power."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dbp.api import hardware as api
from dbp.datapath.design import Design
from dbp.records.schemas import ClockFit, SynthMetrics
from dbp.runs import config_of, stimulus_source

if TYPE_CHECKING:
    from dbp.rtl.target import FilterKind


def synth(
    run: Path,
    pdk: str | None,
    step: int | None,
    lanes: int | None,
    filters: FilterKind = "reconfigurable",
    cuts: str | None = None,
    *,
    fit: bool = False,
    place_and_route: bool = False,
    route: Literal["global", "detailed"] = "detailed",
) -> None:
    """Synthesise one step of a run's design: area, timing, simulated activity and power.

    The configuration says what is None; the middle step is the default. ``fit``: first find the
    cuts, from ``cuts`` on (`dbp.synthesis.fit_clock`).
    """
    settings, design = config_of(run), Design.load(run / "design.json")
    hardware = settings.hardware
    kit, lanes, clock_mhz = (
        pdk or hardware.pdk,
        lanes or hardware.synthesis_lanes,
        hardware.clock_mhz,
    )
    first = "Fitting the clock, then synthesising" if fit else "Synthesising"
    then = ", then placing and routing" if place_and_route else ""
    print(f"{first} {run} for {kit}, {lanes} lanes at {clock_mhz:g} MHz{then}", flush=True)
    folder = run / "synth" / kit
    metrics = api.synthesize(
        design,
        stimulus=stimulus_source(run),
        kit=kit,
        step=step,
        lanes=lanes,
        filters=filters,
        pipeline=cuts or "",
        clock_mhz=clock_mhz,
        fit_clock=fit,
        place_and_route=place_and_route,
        route=route,
        folder=folder,
        # How the cuts were found is no input, but belongs in the metrics.
        reuse=not fit,
        config_hash=settings.hash,
    )
    if metrics.fit_clock:
        _print_fit(metrics.fit_clock)
    _print(metrics, folder)


def _print_fit(clock_fit: ClockFit) -> None:
    """Print the trials of a fit and the cuts that it found."""
    from dbp.support.text import aligned
    from dbp.synthesis import fit_clock

    last = clock_fit.last_kept
    print(aligned(fit_clock.table(clock_fit)))
    if last.slack_ns < 0:
        print(f"Nothing is left to cut before {last.latest}: the clock is missed")
    print(f"Cuts: {last.pipeline or 'the usual'}")


def _tree(metrics: SynthMetrics) -> str:
    tree = metrics.clock_tree_estimate_w
    return f" ({1e3 * tree.total:.2f} of them a clock tree, estimated)" if tree else ""


def _print(metrics: SynthMetrics, folder: Path) -> None:
    """Print the main figures."""
    end = "kept, its inputs are the same" if metrics.kept else f"{metrics.wall_time_s:.0f} s"
    lines = [
        f"Step {metrics.step}: {metrics.cell_area_um2:.0f} um2, "
        f"{1e3 * metrics.power_w.total:.2f} mW{_tree(metrics)}, slack {metrics.slack_ns:+.3f} ns "
        f"({metrics.slack_without_wires_ns:+.3f} without wires; up to "
        f"{metrics.highest_clock_mhz:.0f} MHz), "
        f"{metrics.gate_level_mismatches} gate-level mismatches; {end} -> {folder}"
    ]
    if placed := metrics.place_and_route:
        lines.append(
            f"Placed and routed by OpenROAD: {placed.area_um2:.0f} um2, "
            f"{1e3 * placed.power_w.total:.2f} mW, slack {placed.slack_ns:+.3f} ns, "
            f"wires of {placed.wire_length_um:.0f} um, {placed.clock_buffers} clock buffers"
        )
        if placed.routed:
            total, tree = placed.routed.power_w.total, placed.routed.groups["clock"].power_w.total
            lines.append(
                f"Routed gates, simulated: {1e3 * total:.2f} mW, "
                f"{1e3 * tree:.2f} of them the clock tree; "
                f"glitches {100 * placed.routed.glitch_share:.0f} % "
                f"({100 * metrics.glitch_share:.0f} % before layout); "
                f"{placed.routed.gate_level_mismatches} of {placed.routed.gate_level_samples} "
                "samples differ from golden"
            )
    if scaled := metrics.scaled_28nm:
        watts = scaled.power_w
        lines.append(
            f"By published factors at {scaled.node_nm} nm: {1e3 * watts.central:.2f} mW "
            f"({1e3 * watts.low:.2f} .. {1e3 * watts.high:.2f})"
        )
    if metrics.for_demonstration_only:
        lines.append(f"{metrics.pdk} is for demonstration: its figures are no evidence")
    print(*lines, sep="\n", flush=True)
