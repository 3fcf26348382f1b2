"""``dbp rtl``: generate Verilog from a design."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dbp.datapath.design import Design
from dbp.errors import InputError
from dbp.runs import config_of, place, settings_of, stimulus_source

if TYPE_CHECKING:
    from dbp.rtl.target import Target


def rtl(design: Design, folder: Path | None, out: Path, target: Target) -> None:
    """Generate the Verilog of a design into ``out/rtl``, with the design and its configuration.

    ``folder`` is where the design comes from, None for a shipped one.
    """
    from dbp.rtl import emit

    settings, top = settings_of(design, folder), target.top
    what = f"{len(design.filters)} filters" if top == "chain" else f"{top} {target.step}"
    print(
        f"Generating Verilog of {design.name}: {what}, {target.filters}, {target.lanes} lanes",
        flush=True,
    )
    if (out / "design.json").is_file() and Design.load(out / "design.json").hash != design.hash:
        raise InputError(f"{out}: holds another design: choose another folder")
    target.check(design)
    place(design, settings, out)
    metrics = emit(design, out / "rtl", target, config_hash=settings.hash, seed=settings.seed)
    if graphs := metrics.adder_graphs:
        before = sum(graph.unshared.adders for graph in graphs) / len(graphs)
        after = sum(graph.shared.adders for graph in graphs) / len(graphs)
        print(f"Adders of a filter lane, on average: {before:.1f}, shared {after:.1f}")
    print(
        f"Latency {metrics.latency_cycles} clocks, {metrics.modules} modules, "
        f"{metrics.wall_time_s:.0f} s -> {out / 'rtl'}",
        flush=True,
    )


def hand_off(run: Path, folder: Path, pdk: str | None) -> None:
    """Write the handoff of what `rtl` has left in ``run``; the configuration may say the kit."""
    from dbp.synthesis.handoff.folder import Handoff
    from dbp.synthesis.handoff.folder import hand_off as write

    settings = config_of(run)
    handoff = Handoff(
        Design.load(run / "design.json"),
        run / "rtl",
        stimulus_source(run),
        pdk or settings.hardware.pdk,
        settings.hardware.clock_mhz,
        settings.hash,
    )
    metrics = write(handoff, folder)
    print(metrics.bench)
    print(f"{metrics.wall_time_s:.0f} s -> {folder / 'README.md'}", flush=True)
