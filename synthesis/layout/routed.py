"""A routed step by our own means: its gates simulated with their wires' delays, then its watts."""

from __future__ import annotations

from pathlib import Path

from dbp.errors import ToolError
from dbp.records.schemas import PlacedGroup, PowerW, RoutedFigures
from dbp.synthesis import netlist
from dbp.synthesis.cells import kits
from dbp.synthesis.cells.library import Library
from dbp.synthesis.gates import simulation
from dbp.synthesis.gates.step_bench import Bench
from dbp.synthesis.layout.openroad import ROUTED, SDF, SPEF
from dbp.synthesis.netlist import spef
from dbp.synthesis.power import calculate
from dbp.synthesis.power._graph import without_supplies
from dbp.synthesis.timing import opensta_timing

# What a simulated period is longer than the slowest path, where the clock is missed.
MARGIN_S = 1e-10


def cost(
    folder: Path, library: Library, bench: Bench, clock_period_s: float, slack_ns: float
) -> RoutedFigures:
    """Simulate and cost the routed netlist that `dbp.synthesis.layout.openroad` left in ``folder``.

    Every pin has the activity of this simulation; none is propagated. `ToolError` where a file is
    not that of the others.
    """
    routed = without_supplies(netlist.read(folder / f"{ROUTED}.gz", library.cells.keys()), library)
    wires = spef.read(folder / f"{SPEF}.gz")
    delays = opensta_timing.read_sdf(folder / kits.unpack(folder / f"{SDF}.gz", folder))
    (folder / SDF).unlink()
    words = bench.words(routed.inputs)
    first = len(words) - bench.clocks
    # A register samples at the earliest arrival of the clock, hence the skew.
    period_s = max(clock_period_s, clock_period_s - slack_ns * 1e-9 + MARGIN_S)
    gates = simulation.simulate(routed, library, delays, words, period_s, first)
    if gates.clock_skew_s > period_s - clock_period_s + slack_ns * 1e-9:
        period_s += gates.clock_skew_s
        gates = simulation.simulate(routed, library, delays, words, period_s, first)
    if lacking := gates.unannotated:
        raise ToolError(
            f"{folder / SDF}.gz: no delay of {len(lacking)} outputs, {lacking[0]} first"
        )
    samples, mismatches = bench.compare(gates, tuple(routed.outputs))
    shaken, settled = (
        calculate.calculate(routed, library, activity, clock_period_s, wires=wires)
        for activity in (gates.activity, gates.settled)
    )
    watts, without = shaken.totals(), settled.totals()
    return RoutedFigures(
        power_w=PowerW(**watts),
        groups={g: PlacedGroup(power_w=PowerW(**shaken.totals(g))) for g in calculate.GROUPS},
        power_without_glitches_w=PowerW(**without),
        glitch_share=1 - without["total"] / watts["total"],
        gate_level_samples=samples,
        gate_level_mismatches=mismatches,
        simulation_period_ns=period_s * 1e9,
        nets_annotated_fraction=gates.annotated_fraction,
        nets_with_wires_fraction=wires.share(routed),
        clock_skew_ns=gates.clock_skew_s * 1e9,
    )
