"""``dbp synth``: synthesise one step: area, timing, activity and power."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dbp.cli.options import (
    Commands,
    Parser,
    add_command,
    add_filters,
    add_lanes,
    number,
    run_folder,
)
from dbp.datapath.design import Design
from dbp.datapath.stimulus import Stimulus, StimulusSource
from dbp.records.schemas import ClockFit, SynthMetrics
from dbp.runs import config_of, stimulus_source

if TYPE_CHECKING:
    from dbp.rtl import Target
    from dbp.rtl.target import FilterKind


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp synth``."""
    text = "synthesise one step: area, timing, activity and power"
    parser = add_command(commands, "synth", _run, text)
    parser.add_argument("run", type=run_folder, metavar="RUN", help="a folder that holds a design")
    parser.add_argument(
        "--pdk", metavar="NAME", help="the design kit (default: the configuration's)"
    )
    parser.add_argument("--step", type=number, metavar="K", help="default: the middle one")
    add_lanes(parser)
    add_filters(parser)
    parser.add_argument(
        "--fit-clock",
        action="store_true",
        help="add registers until the clock is met, and take out what costs power",
    )
    parser.add_argument(
        "--place-and-route",
        action="store_true",
        help="experimental: then also by OpenROAD, with real wires",
    )


def _run(options: argparse.Namespace) -> None:
    synth(
        options.run,
        options.pdk,
        options.step,
        options.lanes,
        options.filters,
        options.pipeline,
        fit=options.fit_clock,
        place_and_route=options.place_and_route,
    )


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
) -> None:
    """Synthesise one step of a run's design: area, timing, simulated activity and power.

    The configuration says what is None; the middle step is the default. ``fit``: first find the
    cuts, from ``cuts`` on (`dbp.synthesis.fit_clock`).
    """
    from dbp.rtl import Target, pipeline
    from dbp.synthesis import synthesize

    settings, design = config_of(run), Design.load(run / "design.json")
    clock_mhz, stimulus = settings.hardware.clock_mhz, stimulus_source(run)
    kit, lanes = pdk or settings.hardware.pdk, lanes or settings.hardware.synthesis_lanes
    step = len(design.filters) // 2 if step is None else step
    target = Target(lanes, filters, pipeline.parse(cuts or ""), "step", step)
    _check(design, target, kit, place_and_route)
    clock_fit = None
    if fit:
        clock_fit = _fit(run, design, kit, target, clock_mhz, stimulus)
        target = replace(target, pipeline=pipeline.parse(clock_fit.last_kept.pipeline))
    then = ", then placing and routing" if place_and_route else ""
    print(f"Synthesising {run} for {kit}, {lanes} lanes at {clock_mhz:g} MHz{then}", flush=True)
    folder = run / "synth" / kit
    metrics = synthesize(
        design,
        stimulus,
        kit,
        target,
        clock_mhz=clock_mhz,
        folder=folder,
        place_and_route=place_and_route,
        # How the cuts were found is no input, but belongs in the metrics.
        reuse=not fit,
        config_hash=settings.hash,
        fit_clock=clock_fit,
    )
    _print(metrics, folder)


def _check(design: Design, target: Target, kit: str, place_and_route: bool) -> None:
    """Refuse what cannot be synthesised, before the link is simulated: that takes minutes."""
    from dbp.synthesis.cells import kits
    from dbp.synthesis.layout import openroad

    target.check(design)
    kits.find(kit)
    if place_and_route:
        openroad.find(kit)


def _fit(
    run: Path,
    design: Design,
    kit: str,
    target: Target,
    clock_mhz: float,
    stimulus: StimulusSource,
) -> ClockFit:
    """Find the cuts that the clock needs, and print the trials."""
    from dbp.support.text import aligned
    from dbp.synthesis import fit_clock
    from dbp.synthesis.gates.step_bench import samples_needed

    def enough_for_both(samples: int) -> Stimulus:
        # The synthesis of all lanes comes next: the link is simulated once.
        return stimulus(max(samples, samples_needed(design, target.lanes)))

    print(f"Fitting {run} in {kit} to {clock_mhz:g} MHz", flush=True)
    folder = run / "synth" / kit
    clock_fit = fit_clock.fit(
        design, kit, target, folder, clock_mhz=clock_mhz, stimulus=enough_for_both
    )
    last = clock_fit.last_kept
    print(aligned(fit_clock.table(clock_fit)))
    if last.slack_ns < 0:
        print(f"Nothing is left to cut before {last.latest}: the clock is missed")
    print(f"Cuts: {last.pipeline or 'the usual'}", flush=True)
    return clock_fit


def _print(metrics: SynthMetrics, folder: Path) -> None:
    """Print the main figures."""
    end = "kept, its inputs are the same" if metrics.kept else f"{metrics.wall_time_s:.0f} s"
    lines = [
        f"Step {metrics.step}: {metrics.cell_area_um2:.0f} um2, "
        f"{1e3 * metrics.power_w.total:.2f} mW, slack {metrics.slack_ns:+.3f} ns "
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
    if scaled := metrics.scaled_28nm:
        watts = scaled.power_w
        lines.append(
            f"By published factors at {scaled.node_nm} nm: {1e3 * watts.central:.2f} mW "
            f"({1e3 * watts.low:.2f} .. {1e3 * watts.high:.2f})"
        )
    if metrics.for_demonstration_only:
        lines.append(f"{metrics.pdk} is for demonstration: its figures are no evidence")
    print(*lines, sep="\n", flush=True)
