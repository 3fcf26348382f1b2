"""The parser of ``dbp power``."""

from __future__ import annotations

import argparse
from pathlib import Path

from dbp.cli.parsers.options import (
    Commands,
    Parser,
    add_command,
    add_out,
    frequency_mhz,
    slew_ns,
    time_ns,
)

EXAMPLE = """\
dbp rtl learned-c6-s9 --lanes 4 --out chip
dbp synth chip --pdk predictive28
dbp power --netlist chip/synth/predictive28/netlist.v.gz --liberty predictive28 \\
  --activity chip/synth/predictive28/activity.csv.gz --clock-mhz 416.7 --out watts"""


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp power``."""
    text = "power of any mapped netlist from the activity of its nets"
    parser = add_command(commands, "power", _run, text, EXAMPLE)
    for name, count, what in (
        ("netlist", None, "flat mapped Verilog: .v, .v.gz"),
        ("activity", None, "toggles of every net: .csv, .saif or .vcd, also .gz"),
        ("liberty", "+", "the cell library: files, .lib or .lib.gz, or the name of a kit"),
    ):
        parser.add_argument(
            f"--{name}",
            proposal="file",
            type=Path,
            required=True,
            nargs=count,
            metavar="FILE",
            help=what,
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
    _add_layout(parser)
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


def _add_layout(parser: Parser) -> None:
    """Add the options that take files of the netlist's layout."""
    parser.add_argument(
        "--spef",
        proposal="file",
        type=Path,
        metavar="FILE",
        help="wires of the netlist's layout: .spef, .spef.gz (in the place of a wire load)",
    )
    parser.add_argument(
        "--def",
        dest="layout",
        proposal="file",
        type=Path,
        metavar="FILE",
        help="the netlist's layout, .def or .def.gz: draws it, lanes coloured, to RUN/layout.svg",
    )
    parser.add_argument(
        "--lef",
        proposal="file",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="sizes of the cells of --def, .lef or .lef.gz (default: those of the kit)",
    )


def _run(options: argparse.Namespace) -> None:
    from dbp.cli.power import power
    from dbp.synthesis.activity.activity import Part

    power(
        options.netlist,
        options.activity,
        options.liberty,
        options.clock_mhz,
        options.out,
        options.wire_load,
        options.spef,
        options.power_engine,
        options.input_slew_ns,
        Part(options.scope, options.from_ns, options.to_ns),
        options.layout,
        options.lef,
    )
