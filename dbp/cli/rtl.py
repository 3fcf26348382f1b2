"""``dbp rtl``: generate Verilog from a design."""

from __future__ import annotations

import argparse
from pathlib import Path

from dbp.cli.options import (
    DESIGN_HELP,
    Commands,
    Parser,
    add_command,
    add_filters,
    add_lanes,
    add_out,
    number,
)
from dbp.datapath.design import Design
from dbp.errors import InputError
from dbp.runs import config_of, find_design, place


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp rtl``."""
    parser = add_command(commands, "rtl", _run, "generate Verilog from a design")
    parser.add_argument("design", metavar="DESIGN", help=DESIGN_HELP)
    add_out(parser)
    add_lanes(parser)
    add_filters(parser)
    top = parser.add_mutually_exclusive_group()
    for name, what in (("step", "a filter and its rotation"), ("filter", "a filter alone")):
        top.add_argument(
            f"--{name}", type=number, metavar="K", help=f"emit {what} (default: the whole chain)"
        )


def _run(options: argparse.Namespace) -> None:
    design, folder = find_design(options.design)
    top = "chain" if options.step is options.filter is None else "step"
    if options.filter is not None:
        top = "filter"
    step = options.filter if top == "filter" else options.step
    rtl(
        design,
        folder,
        options.out,
        options.lanes,
        options.filters,
        top,
        step or 0,
        options.pipeline,
    )


def rtl(
    design: Design,
    folder: Path | None,
    out: Path,
    lanes: int | None,
    filters: str = "reconfigurable",
    top: str = "chain",
    step: int = 0,
    cuts: str | None = None,
) -> None:
    """Generate the Verilog of a design into ``out/rtl``, with the design and its configuration.

    ``folder`` is where the design comes from, None for a shipped one. For ``filters``, ``top`` and
    ``step`` see `dbp.rtl.target.Target`, for ``cuts`` `dbp.rtl.pipeline.parse`.
    """
    from dbp.rtl import Target, emit, pipeline

    settings = config_of(folder)
    lanes = lanes or settings.hardware.lanes
    what = f"{len(design.filters)} filters" if top == "chain" else f"{top} {step}"
    print(f"Generating Verilog of {design.name}: {what}, {filters}, {lanes} lanes", flush=True)
    if (out / "design.json").is_file() and Design.load(out / "design.json").hash != design.hash:
        raise InputError(f"{out}: holds another design: choose another folder")
    target = Target(lanes, filters, pipeline.parse(cuts or ""), top, step)
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
