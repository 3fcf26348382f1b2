"""Scripts of our own flow for the tools of others: Yosys, SDC, OpenROAD, FuseSoC."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dbp.rtl.ports import Ports
from dbp.support import family
from dbp.support.files import write_text
from dbp.synthesis import netlist
from dbp.synthesis.activity.activity import Activity
from dbp.synthesis.cells import kits
from dbp.synthesis.cells.kits import Kit
from dbp.synthesis.cells.library import Library
from dbp.synthesis.layout import openroad
from dbp.synthesis.layout.kit_layouts import LAYOUTS
from dbp.synthesis.layout.openroad import LayoutFiles, MappedStep
from dbp.synthesis.mapping import yosys_map
from dbp.synthesis.timing import opensta_timing

SDC, YOSYS, OPENROAD = "constraints.sdc", "yosys.ys", "place_and_route.tcl"
NETLIST, CELLS = "netlist.v", "cells.v"
# What the netlist on the bench dumps: the activity of every pin.
ACTIVITY = "gates.vcd"
KIT, MAPS = "kit", "yosys"


def sdc(ports: Ports, clock_period_s: float) -> str:
    """Return the constraints of our own timing: inputs change at the clock, outputs are due at it.

    The clock is ideal.
    """
    lines = opensta_timing.constraints(*_directions(ports), clock_period_s * 1e9)
    return "\n".join(["# Times in ns.", *lines, ""])


def _directions(ports: Ports) -> tuple[list[str], list[str]]:
    inputs = [port.name for port in ports.ports if port.direction == "input"]
    outputs = [port.name for port in ports.ports if port.direction == "output"]
    return [ports.reset, *inputs], outputs


def yosys(
    ports: Ports, verilog: Sequence[str], liberty: Sequence[str], library: Library, kit: Kit
) -> dict[str, str]:
    """Return the Yosys script and the technology maps that it reads, by their paths.

    It maps ``verilog`` to ``netlist.v`` as `yosys_map.synthesize` does but for what is Python
    there, and writes the functions of the kit's cells as Verilog, for the bench.
    """
    avoided = yosys_map.unwanted(library, kit.dont_use)
    adder = yosys_map.full_adder(library, avoided)
    before, after = yosys_map.cell_commands(liberty, avoided, adder is not None)
    sums, gates = yosys_map.gate_commands(ports.top, " ".join(verilog), adder is not None)
    commands = [re.sub(r"-map (\w+\.v)", rf"-map {MAPS}/\1", line) for line in (*sums, *gates)]
    after = [re.sub(r"-map (\w+\.v)", rf"-map {MAPS}/\1", line) for line in after]
    models = [
        "design -reset",
        *(f"read_liberty -ignore_miss_func {file}" for file in liberty),
        "proc",
        f"write_verilog -noattr {CELLS}",
    ]
    text = "\n".join([*before, *commands, *after, *models, ""])
    maps = yosys_map.maps(adder)
    return {YOSYS: text} | {f"{MAPS}/{name}": content for name, content in maps.items()}


def lef_files(kit: str) -> list[Path] | None:
    """Return LEF files and extraction rules that our layout takes, None where there is no layout.

    Files that are not there are left out.
    """
    if kit not in LAYOUTS:
        return None
    found = []
    for name in (*LAYOUTS[kit].lef, LAYOUTS[kit].rules):
        folders = kits.places(kit)
        candidates = (folder / (name + packed) for folder in folders for packed in ("", ".gz"))
        found += [file for file in candidates if file.is_file()][:1]
    return found


def open_road(
    ports: Ports,
    liberty: Sequence[str],
    library: Library,
    kit: Kit,
    clock_period_s: float,
) -> str | None:
    """Return the OpenROAD script of our own layout, None where the kit has none.

    Its watts have the activity of the netlist on the bench, `ACTIVITY`, in the place of the toggles
    of our gates. Cells have no names before the mapping, so no SAIF of the Verilog reaches their
    pins; OpenROAD would propagate the activity of the ports and find ten times the watts.
    """
    if kit.name not in LAYOUTS:
        return None
    with family.temporary_folder("dbp-handoff-") as folder:
        # The script follows from the ports: the netlist itself is yet to be made.
        write_text(folder / NETLIST, _empty_module(ports))
        mapped = netlist.read(folder / NETLIST)
    still = dict.fromkeys(mapped.nets, 0.0)
    step = MappedStep(kit, mapped, library, Activity(still, still), clock_period_s)
    # The layout runs where the kit's files lie beside the script; here they have a folder.
    layout = LAYOUTS[kit.name]
    names = [Path(file).name for file in liberty]
    beside = LayoutFiles(layout.lef, names, NETLIST, (layout.rules,))
    lines = [
        re.sub(r"^(read_lef|read_liberty|set_extraction_rules_file) ", rf"\1 {KIT}/", line)
        for line in openroad.script(step, beside, with_activity=False)
    ]
    report = next(k for k, line in enumerate(lines) if line.startswith("set figures"))
    lines.insert(report, f"read_vcd -scope bench/dut {ACTIVITY}")
    played = [
        f"if {{![file exists {ACTIVITY}]}} {{",
        f'  puts "Error: no {ACTIVITY}: play the netlist on the bench first (line 4 of README.md)"',
        "  exit 1",
        "}",
    ]
    return "\n".join([*played, *lines, ""])


def _empty_module(ports: Ports) -> str:
    inputs, outputs = _directions(ports)
    names = [ports.clock, *inputs, *outputs]
    widths = ports.widths

    def declared(direction: str, names: Sequence[str]) -> list[str]:
        return [
            f"  {direction} [{widths[name] - 1}:0] {name};"
            if widths.get(name, 1) > 1
            else f"  {direction} {name};"
            for name in names
        ]

    head = f"module {ports.top} ({', '.join(names)});"
    body = [*declared("input", [ports.clock, *inputs]), *declared("output", outputs)]
    return "\n".join([head, *body, "endmodule", ""])


def fusesoc_core(name: str, version: str, text: str, ports: Ports, files: Sequence[str]) -> str:
    """Return the core file; ``files``: paths of the Verilog and of the vectors."""
    rtl = [f"      - {file}" for file in files if file.startswith("rtl/")]
    vectors = [
        f"      - {file}: {{file_type: user, copyto: {file}}}"
        for file in files
        if file.startswith("vectors/")
    ]
    return "\n".join(
        [
            "CAPI=2:",
            f"name: dbp:receivers:{name}:{version}",
            f'description: "{text}"',
            *("filesets:", "  rtl:", "    files:", *rtl, "    file_type: verilogSource-2005"),
            *("  bench:", "    files:", "      - bench/bench.v: {file_type: verilogSource-2005}"),
            *vectors,
            *("  constraints:", "    files:", f"      - {SDC}: {{file_type: SDC}}"),
            *("targets:", "  default:", "    filesets: [rtl, constraints]"),
            f"    toplevel: {ports.top}",
            *("  sim:", "    flow: sim", "    flow_options:", "      tool: icarus"),
            *("      iverilog_options: [-g2005]", "    filesets: [rtl, bench]"),
            *("    toplevel: bench", "  lint:", "    flow: lint", "    flow_options:"),
            *("      tool: verilator", "      verilator_options: [-Wall]"),
            *("    filesets: [rtl]", f"    toplevel: {ports.top}"),
            "",
        ]
    )
