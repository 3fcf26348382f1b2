"""``dbp power``: power of any mapped netlist from the activity of its nets."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dbp.cli.options import (
    Commands,
    Parser,
    add_command,
    add_out,
    frequency_mhz,
    slew_ns,
    time_ns,
)

if TYPE_CHECKING:
    from dbp.synthesis.activity.activity import Part


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp power``."""
    text = "power of any mapped netlist from the activity of its nets"
    parser = add_command(commands, "power", _run, text)
    for name, count, what in (
        ("netlist", None, "flat mapped Verilog: .v, .v.gz"),
        ("activity", None, "toggles of every net: .csv, .saif or .vcd, also .gz"),
        ("liberty", "+", "the cell library, in one file or several: .lib, .lib.gz"),
    ):
        parser.add_argument(
            f"--{name}", type=Path, required=True, nargs=count, metavar="FILE", help=what
        )
    parser.add_argument(
        "--scope",
        metavar="PATH",
        help="instance in the SAIF or VCD, tb/dut (default: the one with most of the nets)",
    )
    for name, what in (("from", "begins (default: its begin)"), ("to", "ends (default: its end)")):
        parser.add_argument(
            f"--{name}-ns", type=time_ns, metavar="NS", help=f"where the part of a VCD {what}"
        )
    parser.add_argument("--clock-mhz", type=frequency_mhz, required=True, metavar="F")
    parser.add_argument(
        "--wire-load",
        metavar="NAME",
        help="of the library, or none (default: the library's default)",
    )
    parser.add_argument(
        "--input-slew-ns",
        type=slew_ns,
        default=0.0,
        metavar="NS",
        help="transition time of the input ports but the clocks (default: 0, as in OpenSTA)",
    )
    parser.add_argument(
        "--power-engine",
        choices=("dbp", "opensta"),
        default="dbp",
        help="who calculates (default: dbp; opensta is experimental)",
    )
    add_out(parser)


def _run(options: argparse.Namespace) -> None:
    from dbp.synthesis.activity.activity import Part

    power(
        options.netlist,
        options.activity,
        options.liberty,
        options.clock_mhz,
        options.out,
        options.wire_load,
        options.power_engine,
        options.input_slew_ns,
        Part(options.scope, options.from_ns, options.to_ns),
    )


def power(
    netlist: Path,
    activity: Path,
    liberty: Sequence[Path],
    clock_mhz: float,
    out: Path,
    wire_load: str | None,
    engine: str,
    input_slew_ns: float,
    part: Part,
) -> None:
    """Cost any mapped netlist in watts."""
    from dbp.synthesis.power.cost_netlist import cost_power

    metrics = cost_power(
        netlist,
        activity,
        liberty,
        clock_mhz,
        out,
        wire_load=wire_load,
        engine=engine,
        input_slew_ns=input_slew_ns,
        part=part,
    )
    watts, tree = metrics.power_w, metrics.clock_tree_estimate_w
    kinds = ", ".join(
        f"{kind} {1e3 * getattr(watts, kind):.4g}" for kind in ("switching", "internal", "leakage")
    )
    for note in metrics.notes:
        print(f"note: {note}", file=sys.stderr, flush=True)
    for clock, toggles in metrics.clock_toggles_per_clock.items():
        if abs(toggles - 2) > 0.02:
            print(f"note: {clock} toggles {toggles:.3g} times a clock of {clock_mhz:g} MHz, not 2")
    print(
        f"{metrics.module}: {1e3 * watts.total:.4g} mW ({kinds}) by "
        f"{metrics.power_engine}; clock tree, estimated, not included: "
        + (f"{1e3 * tree.total:.4g} mW" if tree else "none")
        + (f"; activity of {metrics.activity_scope}" if metrics.activity_scope else "")
        + f"; {metrics.wall_time_s:.0f} s -> {out}",
        flush=True,
    )
