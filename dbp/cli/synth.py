"""``dbp synth``: synthesise one step: area, timing, activity and power."""

from __future__ import annotations

import argparse
from pathlib import Path

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
from dbp.runs import config_of, stimulus_source


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
        options.fit_clock,
        options.place_and_route,
    )


def synth(
    run: Path,
    pdk: str | None,
    step: int | None,
    lanes: int | None,
    filters: str = "reconfigurable",
    cuts: str | None = None,
    fit: bool = False,
    place_and_route: bool = False,
) -> None:
    """Synthesise one step of a run's design: area, timing, simulated activity and power.

    ``fit``: first find the cuts, from ``cuts`` on (`dbp.synthesis.fit_clock`).
    """
    from dbp.report.page import aligned
    from dbp.rtl import Target, pipeline
    from dbp.synthesis import fit_clock, synthesize
    from dbp.synthesis.cells import kits
    from dbp.synthesis.gates.step_bench import samples_needed
    from dbp.synthesis.layout import openroad as layouts

    settings = config_of(run)
    clock_mhz = settings.hardware.clock_mhz
    pdk, lanes = pdk or settings.hardware.pdk, lanes or settings.hardware.synthesis_lanes
    cut, design = pipeline.parse(cuts or ""), Design.load(run / "design.json")
    # Before the link is simulated, which takes minutes.
    number = len(design.filters) // 2 if step is None else step
    Target(lanes, filters, cut, "step", number).check(design)
    kits.find(pdk)
    if place_and_route:
        layouts.find(pdk)
    stimulus_source(run)(samples_needed(design, lanes))
    found = None
    if fit:
        print(f"Fitting {run} in {pdk} to {clock_mhz:g} MHz", flush=True)
        trials = fit_clock.fit(
            run,
            pdk,
            run / "synth" / pdk,
            step=step,
            filters=filters,
            pipeline=cut,
            clock_mhz=clock_mhz,
            take_out=True,
        )
        last, found = fit_clock.last_kept(trials), fit_clock.figures(trials)
        cut = pipeline.parse(last.pipeline)
        print(aligned(fit_clock.table(trials)))
        if last.slack_ns < 0:
            print(f"Nothing is left to cut before {last.latest}: the clock is missed")
        print(f"Cuts: {last.pipeline or 'the usual'}", flush=True)
    then = ", then placing and routing" if place_and_route else ""
    print(f"Synthesising {run} for {pdk}, {lanes} lanes at {clock_mhz:g} MHz{then}", flush=True)
    written = synthesize(
        run,
        pdk,
        step=step,
        lanes=lanes,
        filters=filters,
        pipeline=cut,
        clock_mhz=clock_mhz,
        place_and_route=place_and_route,
        # How the cuts were found is no input, and is to stand in the metrics.
        reuse=found is None,
        config_hash=settings.hash,
        fit_clock=found,
    )
    took = (
        "kept, its inputs are the same" if "kept" in written else f"{written['wall_time_s']:.0f} s"
    )
    print(
        f"Step {written['step']}: {written['cell_area_um2']:.0f} um2, "
        f"{1e3 * written['power_w']['total']:.2f} mW, slack {written['slack_ns']:+.3f} ns "
        f"({written['slack_without_wires_ns']:+.3f} without wires; up to "
        f"{written['highest_clock_mhz']:.0f} MHz), "
        f"{written['gate_level_mismatches']} gate-level mismatches; {took} "
        f"-> {run / 'synth' / pdk}",
        flush=True,
    )
    if placed := written.get("place_and_route"):
        print(
            f"Placed and routed by OpenROAD: {placed['area_um2']:.0f} um2, "
            f"{1e3 * placed['power_w']['total']:.2f} mW, slack {placed['slack_ns']:+.3f} ns, "
            f"wires of {placed['wire_length_um']:.0f} um, {placed['clock_buffers']} clock buffers",
            flush=True,
        )
    if scaled := written["scaled_28nm"]:
        low, central, high = (1e3 * scaled["power_w"][k] for k in ("low", "central", "high"))
        print(
            f"By published factors at {scaled['node_nm']} nm: {central:.2f} mW "
            f"({low:.2f} .. {high:.2f})",
            flush=True,
        )
    if written["for_demonstration_only"]:
        print(f"{pdk} is for demonstration: its figures are no evidence", flush=True)
