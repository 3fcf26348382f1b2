"""Place and route by OpenROAD: one Tcl script from the mapped netlist to watts with real wires.

Experimental: it has never run in a real OpenROAD, since none was available.
``docs/howto/place_and_route.md`` says which parts of the script have run, and in which tool.
"""

from __future__ import annotations

import gzip
import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dbp.errors import InputError, MissingError, ToolError
from dbp.records.schemas import PlacedGroup, PlacedStep, PowerW
from dbp.support import processes
from dbp.support.files import write_bytes, write_text
from dbp.synthesis.activity.activity import Activity
from dbp.synthesis.cells import kits
from dbp.synthesis.cells.library import Library
from dbp.synthesis.layout.kit_layouts import LAYOUTS, Layout
from dbp.synthesis.netlist import CLOCK, Netlist
from dbp.synthesis.power import calculate, opensta
from dbp.synthesis.timing import opensta_timing

FOLDER = "place_and_route"
SCRIPT, LOG, FIGURES, CLOCK_TREE, DEF = (
    "place_and_route.tcl",
    "place_and_route.log",
    "figures.rpt",
    "clock_tree.rpt",
    "place_and_route.def",
)
TIMEOUT_S = 6 * 3600
UTILIZATION_PERCENT = 60
CORE_SPACE_UM = 2
# The placer may pack the cells denser than evenly spread by this much: it needs room to move them.
SPARE_DENSITY = 0.05


@dataclass(frozen=True)
class MappedStep:
    """A mapped netlist with its activity: what is laid out, and its clock period."""

    kit: kits.Kit
    netlist: Netlist
    library: Library
    activity: Activity
    clock_period_s: float


@dataclass(frozen=True)
class LayoutFiles:
    """Paths, or names in the folder of the script: LEF (see `find`), Liberty and the netlist."""

    lef: Sequence[str | Path]
    liberty: Sequence[str | Path]
    verilog: str | Path


def find(kit: str) -> list[Path]:
    """Return a kit's LEF files, packed or not, from the folders of its Liberty files.

    `InputError` for a kit that has no layout, `MissingError` where a file or OpenROAD is missing.
    """
    if kit not in LAYOUTS:
        raise InputError(f"pdk = {kit!r}: has no layout: must be one of {', '.join(LAYOUTS)}")
    names = LAYOUTS[kit].lef
    folders = list(kits.places(kit))
    files = []
    for name in names:
        candidates = (folder / (name + packed) for folder in folders for packed in ("", ".gz"))
        file = next((file for file in candidates if file.is_file()), None)
        if file is None:
            raise MissingError(
                f"no {name} (or {name}.gz) in {' or '.join(map(str, folders))}: --place-and-route "
                f"needs {' and '.join(names)}, from flow/platforms/{kit}/lef of "
                "OpenROAD-flow-scripts"
            )
        files.append(file)
    if shutil.which("openroad") is None:
        raise MissingError(
            "openroad is missing: --place-and-route needs it (openroad.readthedocs.io)"
        )
    return files


def run(folder: Path, step: MappedStep, files: LayoutFiles) -> PlacedStep:
    """Place and route a mapped netlist in ``folder``, which is emptied first.

    ``files.lef`` is the answer of `find`; ``files.liberty`` and ``files.verilog`` hold the library
    and the netlist of ``step``. Leaves script, log, reports and the placed DEF in ``folder``. The
    figures (keys: ``docs/howto/place_and_route.md``) are OpenROAD's own. `ToolError` where OpenROAD
    fails or reports no figure; then all other files that it read and wrote stay in ``folder`` too.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    unpacked = LayoutFiles(
        [kits.unpack(Path(file), folder) for file in files.lef],
        [kits.unpack(Path(file), folder) for file in files.liberty],
        kits.unpack(Path(files.verilog), folder),
    )
    write_text(folder / SCRIPT, "\n".join(script(step, unpacked)) + "\n")
    version = processes.version(["openroad", "-version"])
    command = ["openroad", "-no_init", "-no_splash", "-exit", SCRIPT]
    log = processes.run(command, folder, LOG, TIMEOUT_S)
    placed = _figures(folder, log, version)
    layout = (folder / DEF).read_bytes()
    # A DEF names its design at the beginning and says at the end that it is whole.
    if not layout or (b"\nDESIGN " in layout and not layout.rstrip().endswith(b"END DESIGN")):
        raise ToolError(
            f"openroad wrote only part of {DEF}{processes.full(folder)}; log: {folder / LOG}"
        )
    for name in (*unpacked.lef, *unpacked.liberty, unpacked.verilog):
        (folder / name).unlink()
    write_bytes(folder / f"{DEF}.gz", gzip.compress(layout, 6, mtime=0))
    (folder / DEF).unlink()
    return placed


def script(step: MappedStep, files: LayoutFiles) -> list[str]:
    """Return the lines of the Tcl script; ``files`` are names in the folder where it runs."""
    for name in map(str, files.lef):
        processes.checked_name(name, "LEF file")
    layout, netlist = LAYOUTS[step.kit.name], step.netlist
    inputs = [p for p, bits in netlist.ports.items() if bits[0] in netlist.inputs and p != CLOCK]
    outputs = [p for p, bits in netlist.ports.items() if bits[0] in netlist.outputs]
    return [
        *(f"read_lef {name}" for name in files.lef),
        *opensta_timing.setup(
            [str(file) for file in files.liberty],
            str(files.verilog),
            netlist.module,
            inputs,
            outputs,
            step.clock_period_s * 1e9,
        ),
        "set_cmd_units -capacitance fF -resistance kOhm -distance um",
        *_floorplan(layout),
        *_wires(layout),
        f"set_dont_use {{{' '.join(step.kit.dont_use)}}}",
        *_placement(layout),
        *_clock_tree(layout),
        # Inputs come from registers on this very clock tree. It delays the registers inside only,
        # so that the inputs would seem to come too early.
        f"set_false_path -hold -from [get_ports {{{' '.join(inputs)}}}]",
        *_repair_and_route(),
        *opensta.activity_commands(netlist, step.library, step.activity, (CLOCK,)),
        *_reports(),
    ]


def _pin_layers(layout: Layout) -> str:
    horizontal, vertical = layout.pin_layers
    return f"-hor_layers {horizontal} -ver_layers {vertical}"


def _floorplan(layout: Layout) -> list[str]:
    """A square with its rows, tracks, ports, tie cells and tap cells."""
    taps = []
    if layout.tap is not None:
        cell, distance_um = layout.tap
        ends = f" -endcap_master {cell}" if layout.end_caps else ""
        taps = [f"tapcell -distance {distance_um:g} -tapcell_master {cell}{ends}"]
    return [
        f"initialize_floorplan -site {layout.site} -utilization {UTILIZATION_PERCENT} "
        f"-aspect_ratio 1 -core_space {CORE_SPACE_UM}",
        *(f"insert_tiecells {tie}" for tie in layout.ties),
        "make_tracks",
        f"place_pins -random {_pin_layers(layout)}",
        *taps,
    ]


def _wires(layout: Layout) -> list[str]:
    """Resistances and capacitances, and the share of each layer that the router may use."""

    def estimate(kind: str, wire: str | tuple[float, float]) -> str:
        if isinstance(wire, str):
            return f"set_wire_rc -{kind} -layer {wire}"
        return f"set_wire_rc -{kind} -resistance {wire[0]:.9g} -capacitance {wire[1]:.9g}"

    return [
        *(
            f"set_layer_rc -layer {name} -resistance {kohm:.9g} -capacitance {femtofarads:.9g}"
            for name, kohm, femtofarads in layout.layers
        ),
        *(f"set_layer_rc -via {name} -resistance {kohm:.9g}" for name, kohm in layout.vias),
        estimate("signal", layout.signal_wire),
        estimate("clock", layout.clock_wire),
        *(
            f"set_global_routing_layer_adjustment {layers} {share:g}"
            for layers, share in layout.capacity_cuts
        ),
        f"set_routing_layers -signal {layout.signal_layers} -clock {layout.clock_layers}",
    ]


def _placement(layout: Layout) -> list[str]:
    global_sites, detailed_sites = layout.padding_sites
    padding = f"-pad_left {global_sites} -pad_right {global_sites}"
    return [
        f"set density [gpl::get_global_placement_uniform_density {padding}]",
        f"set density [expr {{min(1.0, $density + {SPARE_DENSITY})}}]",
        f"global_placement -routability_driven -density $density {padding}",
        f"place_pins {_pin_layers(layout)}",
        "estimate_parasitics -placement",
        "repair_design",
        f"set_placement_padding -global -left {detailed_sites} -right {detailed_sites}",
        "detailed_placement",
    ]


def _clock_tree(layout: Layout) -> list[str]:
    return [
        f"clock_tree_synthesis -root_buf {layout.clock_buffer} -buf_list {layout.clock_buffer} "
        "-sink_clustering_enable",
        "repair_clock_nets",
        "detailed_placement",
        "set_propagated_clock [all_clocks]",
    ]


def _repair_and_route() -> list[str]:
    return [
        "estimate_parasitics -placement",
        # A cloned gate would not have the activity of its original.
        "repair_timing -skip_gate_cloning",
        "detailed_placement",
        "check_placement -verbose",
        "global_route -congestion_iterations 100 -verbose",
        "estimate_parasitics -global_routing",
        f"write_def {DEF}",
    ]


def _reports() -> list[str]:
    return [
        f"set figures [open {FIGURES} w]",
        'puts $figures "slack_ns [sta::worst_slack -max]"',
        'puts $figures "hold_slack_ns [sta::worst_slack -min]"',
        'puts $figures "area_m2 [rsz::design_area]"',
        'puts $figures "utilisation [rsz::utilization]"',
        "close $figures",
        f"report_power -digits 6 >> {FIGURES}",
        f"report_cts -out_file {CLOCK_TREE}",
    ]


def _figures(folder: Path, log: str, version: str) -> PlacedStep:
    """Read the reports; `ToolError` names the first figure that is missing.

    A figure is whole where something follows it: a report may end anywhere on a full disk.
    """
    figures, clock_tree = (
        path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        for path in (folder / FIGURES, folder / CLOCK_TREE)
    )

    def read(name: str, text: str, pattern: str) -> tuple[float, ...]:
        """The numbers of the last match: OpenROAD reports some figures at earlier stages too."""
        matches = list(re.finditer(pattern, text, re.MULTILINE))
        try:
            values = tuple(float(number) for number in matches[-1].groups())
            # Without a path OpenSTA's slack is 1e39.
            if not all(math.isfinite(value) and abs(value) < 1e30 for value in values):
                raise ValueError
        except (IndexError, ValueError):
            last = [line.strip() for line in log.splitlines() if line.strip()][-3:]
            raise ToolError(
                f"openroad reported no {name}: {' | '.join(last)}; log: {folder / LOG}"
            ) from None
        return values

    def one(name: str, text: str, pattern: str) -> float:
        return read(name, text, pattern)[0]

    def watts(row: str) -> PowerW:
        columns = read(f"{row.lower()} power", figures, rf"^{row}" + r"\s+(\S+)" * 4 + r"\s")
        internal, switching, leakage, total = columns
        return PowerW(internal=internal, switching=switching, leakage=leakage, total=total)

    return PlacedStep(
        openroad=version,
        slack_ns=one("slack", figures, r"^slack_ns (\S+)$"),
        hold_slack_ns=one("hold slack", figures, r"^hold_slack_ns (\S+)$"),
        area_um2=1e12 * one("area", figures, r"^area_m2 (\S+)$"),
        utilisation=one("utilisation", figures, r"^utilisation (\S+)$"),
        wire_length_um=one("wire length", log, r"Total wirelength: (\S+) um"),
        clock_buffers=int(
            one("clock buffers", clock_tree, r"Total number of Buffers Inserted: (\d+)")
        ),
        power_w=watts("Total"),
        groups={
            group: PlacedGroup(power_w=watts(group.capitalize())) for group in calculate.GROUPS
        },
    )
