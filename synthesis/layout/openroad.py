"""Place and route by OpenROAD: one Tcl script from the mapped netlist to watts with real wires.

``docs/howto/place_and_route.md`` says which parts of it have run, and in which version.
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
from dbp.synthesis.layout.kit_layouts import LAYOUTS, Layout, PowerGrid
from dbp.synthesis.netlist import CLOCK, Netlist
from dbp.synthesis.power import calculate, opensta
from dbp.synthesis.timing import opensta_timing

FOLDER = "place_and_route"
SCRIPT, LOG, FIGURES, CLOCK_TREE, VIOLATIONS = (
    "place_and_route.tcl",
    "place_and_route.log",
    "figures.rpt",
    "clock_tree.rpt",
    "violations.rpt",
)
DEF, ROUTED, SPEF, SDF = (
    "place_and_route.def",
    "routed.v",
    "routed.spef",
    "routed.sdf",
)
# The picture of the layout that `dbp.synthesis.synthesize` draws.
PICTURE = "place_and_route.svg"
# What is kept of a layout, and how each file ends.
KEPT = {DEF: b"END DESIGN", ROUTED: b"endmodule", SPEF: b"*END", SDF: b")"}
ROUTES = ("global", "detailed")
# The version whose commands the script uses.
TESTED = "5c9e487 (August 2026)"
TIMEOUT_S = 6 * 3600
CORE_SPACE_UM = 2
ANTENNA_ROUNDS = 5
# The placer may pack the cells denser than evenly spread by this much: it needs room to move them.
SPARE_DENSITY = 0.05


# A command in a line of the script: its first word, and that of each bracket.
_COMMAND = re.compile(r"(?:^\s*|(?<!\\)\[)([a-z_:]+)(?=[\s\]]|$)")
_OF_PIN = re.compile(
    r"^set_power_activity -pins \[get_pins (\{.*\})\] -activity (\S+) -duty (\S+)$"
)


@dataclass(frozen=True)
class MappedStep:
    """A mapped netlist with its activity: what is laid out, and its clock period.

    ``route``: one of `ROUTES`, how far the wires go.
    """

    kit: kits.Kit
    netlist: Netlist
    library: Library
    activity: Activity
    clock_period_s: float
    route: str = "detailed"


@dataclass(frozen=True)
class LayoutFiles:
    """Paths, or names in the folder of the script: LEF, Liberty, netlist, rules of the extraction.

    LEF and rules are those of `find`.
    """

    lef: Sequence[str | Path]
    liberty: Sequence[str | Path]
    verilog: str | Path
    rules: Sequence[str | Path] = ()


@dataclass(frozen=True)
class KitFiles:
    """A kit's LEF files, and the rules of the extraction where wires are routed in detail."""

    lef: tuple[Path, ...] = ()
    rules: tuple[Path, ...] = ()


def find(kit: str, route: str = "detailed") -> KitFiles:
    """Return a kit's layout files, packed or not, from the folders of its Liberty files.

    ``route``: one of `ROUTES`; for detailed routing they hold the rules of the extraction too.
    `InputError` for a kit that has no layout, `MissingError` where a file or OpenROAD is missing.
    """
    if route not in ROUTES:
        raise InputError(f"route = {route!r}: must be one of {', '.join(ROUTES)}")
    if kit not in LAYOUTS:
        raise InputError(f"pdk = {kit!r}: has no layout: must be one of {', '.join(LAYOUTS)}")
    layout, lef = LAYOUTS[kit], lef_files(kit)
    rules: tuple[Path, ...] = ()
    if route == "detailed":
        wanted = "the extraction of detailed routes needs it (howto/kit), --route global does not"
        rules = (_find(kit, layout.rules, wanted),)
    if shutil.which("openroad") is None:
        raise MissingError(
            "openroad is missing: --place-and-route needs it (openroad.readthedocs.io)"
        )
    return KitFiles(lef, rules)


def lef_files(kit: str) -> tuple[Path, ...]:
    """Return a kit's LEF files, the technology's first; `MissingError` where one is missing."""
    names = LAYOUTS[kit].lef
    wanted = (
        f"a layout needs {' and '.join(names)}, from flow/platforms/{kit}/lef of "
        "OpenROAD-flow-scripts"
    )
    return tuple(_find(kit, name, wanted) for name in names)


def _find(kit: str, name: str, wanted: str) -> Path:
    folders = list(kits.places(kit))
    candidates = (folder / (name + packed) for folder in folders for packed in ("", ".gz"))
    file = next((file for file in candidates if file.is_file()), None)
    if file is None:
        raise MissingError(
            f"no {name} (or {name}.gz) in {' or '.join(map(str, folders))}: {wanted}"
        )
    return file


def run(folder: Path, step: MappedStep, files: LayoutFiles) -> PlacedStep:
    """Place and route a mapped netlist in ``folder``, which is emptied first.

    ``files.lef`` and ``files.rules`` are the answer of `find`; ``files.liberty`` and
    ``files.verilog`` hold the library and the netlist of ``step``. Leaves script, log, reports and
    what was made (`KEPT`, packed) in ``folder``. The figures (keys:
    ``docs/howto/place_and_route.md``) are OpenROAD's own. `ToolError` where OpenROAD fails or
    reports no figure; then all other files that it read and wrote stay in ``folder`` too.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    unpacked = LayoutFiles(
        [kits.unpack(Path(file), folder) for file in files.lef],
        [kits.unpack(Path(file), folder) for file in files.liberty],
        kits.unpack(Path(files.verilog), folder),
        [kits.unpack(Path(file), folder) for file in files.rules],
    )
    lines = script(step, unpacked)
    write_text(folder / SCRIPT, "\n".join(lines) + "\n")
    version = processes.version(["openroad", "-version"])
    command = ["openroad", "-no_init", "-no_splash", "-exit", SCRIPT]
    log = processes.run(command, folder, LOG, TIMEOUT_S)
    placed = _figures(folder, log, version, step.route)
    for name, end in KEPT.items():
        content = (folder / name).read_bytes() if (folder / name).is_file() else b""
        # What was written must be whole: OpenROAD does not say that a disk was full.
        if not content.rstrip().endswith(end):
            raise ToolError(
                f"openroad wrote only part of {name}{processes.full(folder)}; log: {folder / LOG}"
            )
        write_bytes(folder / f"{name}.gz", gzip.compress(content, 6, mtime=0))
    used = (*unpacked.lef, *unpacked.liberty, unpacked.verilog, *unpacked.rules)
    for path in (*map(Path, used), *map(Path, KEPT), Path("route.guide")):
        (folder / path).unlink(missing_ok=True)
    return placed


def script(step: MappedStep, files: LayoutFiles, *, with_activity: bool = True) -> list[str]:
    """Return the lines of the Tcl script; ``files`` are names in the folder where it runs.

    ``with_activity``: whether it sets the activity of the step.
    """
    for name in map(str, (*files.lef, *files.rules)):
        processes.checked_name(name, "file of a layout")
    layout, netlist = LAYOUTS[step.kit.name], step.netlist
    inputs = [p for p, bits in netlist.ports.items() if bits[0] in netlist.inputs and p != CLOCK]
    outputs = [p for p, bits in netlist.ports.items() if bits[0] in netlist.outputs]
    detailed = step.route == "detailed"
    lines = [
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
        *_power_grid(layout.power),
        *_wires(layout),
        f"set_dont_use {{{' '.join(step.kit.dont_use)}}}",
        *_placement(layout),
        *_clock_tree(layout),
        # Inputs come from registers on this very clock tree. It delays the registers inside only,
        # so that the inputs would seem to come too early.
        f"set_false_path -hold -from [get_ports {{{' '.join(inputs)}}}]",
        *_repair(step.kit.layout_margin_ns),
        *_global_route(),
        *(_detailed_route(layout, str(files.rules[0])) if detailed else _fill_and_estimate(layout)),
        f"write_def {DEF}",
        f"write_verilog {ROUTED}",
        f"write_sdf -divider . -digits 6 {SDF}",
        *(_activity(step) if with_activity else ()),
        *_reports(detailed),
    ]
    return [*_needed(lines), *lines]


def _needed(lines: Sequence[str]) -> list[str]:
    """End the script in a clear line where this OpenROAD lacks a command of ``lines``."""
    found = (name for line in lines for name in _COMMAND.findall(line))
    commands = dict.fromkeys(name for name in found if not name.startswith("dbp_"))
    return [
        "set lacking {}",
        f"foreach command {{{' '.join(commands)}}} {{",
        '  if {[info commands $command] eq ""} { lappend lacking $command }',
        "}",
        "if {[llength $lacking]} {",
        f'  puts "Error: this OpenROAD lacks $lacking: must be {TESTED} or later"',
        "  exit 1",
        "}",
    ]


def _pin_layers(layout: Layout) -> str:
    horizontal, vertical = layout.pin_layers
    return f"-hor_layers {horizontal} -ver_layers {vertical}"


def _floorplan(layout: Layout) -> list[str]:
    """A square with its rows, the kit's own tracks, tie cells and tap cells."""
    taps = []
    if layout.tap is not None:
        cell, distance_um = layout.tap
        ends = f" -endcap_master {cell}" if layout.end_caps else ""
        taps = [f"tapcell -distance {distance_um:g} -tapcell_master {cell}{ends}"]
    return [
        f"initialize_floorplan -site {layout.site} -utilization {layout.utilization_percent:g} "
        f"-aspect_ratio 1 -core_space {CORE_SPACE_UM}",
        *(f"insert_tiecells {tie}" for tie in layout.ties),
        *(
            f"make_tracks {layer} -x_offset {x:g} -x_pitch {dx:g} -y_offset {y:g} -y_pitch {dy:g}"
            for layer, x, dx, y, dy in layout.tracks
        ),
        *taps,
    ]


def _power_grid(power: PowerGrid) -> list[str]:
    """Rails along the rows, straps above them, and the vias between."""
    kinds = (("VDD", power.power_pins, " -power"), ("VSS", power.ground_pins, " -ground"))
    return [
        *(
            f"add_global_connection -net {net} -inst_pattern {{.*}} -pin_pattern {{^{pin}$}}"
            + (kind if pin == pins[0] else "")
            for net, pins, kind in kinds
            for pin in pins
        ),
        "global_connect",
        "set_voltage_domain -name CORE -power VDD -ground VSS",
        f"define_pdn_grid -name grid -voltage_domains CORE -pins {power.straps[-1][0]}",
        *(
            f"add_pdn_stripe -grid grid -layer {layer} -width {width:g} -pitch {power.row_um:g} "
            "-offset 0 -followpins"
            for layer, width in power.rails
        ),
        *(
            f"add_pdn_stripe -grid grid -layer {layer} -width {width:g} -pitch {pitch:g} "
            f"-offset {offset:g}" + (f" -spacing {spacing:g}" if spacing else "")
            for layer, width, pitch, offset, spacing in power.straps
        ),
        *(f"add_pdn_connect -grid grid -layers {{{a} {b}}}" for a, b in power.connected),
        "pdngen",
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
    """Cells first, then the ports near them, then the cells again."""
    global_sites, detailed_sites = layout.padding_sites
    padding = f"-pad_left {global_sites} -pad_right {global_sites}"
    return [
        f"set density [gpl::get_global_placement_uniform_density {padding}]",
        f"set density [expr {{min(1.0, $density + {SPARE_DENSITY})}}]",
        f"global_placement -skip_io -density $density {padding}",
        f"place_pins {_pin_layers(layout)}",
        f"global_placement -routability_driven -density $density {padding}",
        "estimate_parasitics -placement",
        "repair_design",
        f"set_placement_padding -global -left {detailed_sites} -right {detailed_sites}",
        "detailed_placement",
    ]


def _clock_tree(layout: Layout) -> list[str]:
    buffers = layout.clock_buffers
    return [
        f"clock_tree_synthesis -root_buf {buffers[-1]} -buf_list {{{' '.join(buffers)}}} "
        "-sink_clustering_enable",
        "repair_clock_nets",
        "detailed_placement",
        "set_propagated_clock [all_clocks]",
    ]


def _repair(margin_ns: float) -> list[str]:
    """Repair setup with the slack that routing takes, then hold as far as it goes."""
    return [
        "estimate_parasitics -placement",
        # A cloned gate would not have the activity of its original.
        f"repair_timing -setup -setup_margin {margin_ns:g} -skip_gate_cloning",
        # Where too many registers miss hold, the tool gives up; the hold slack then says it.
        "suppress_message RSZ 60",
        "if {[catch {repair_timing -hold -skip_gate_cloning} reason]} {",
        '  puts "dbp: hold is not repaired in full: $reason"',
        "}",
        "detailed_placement",
        "check_placement -verbose",
    ]


def _global_route() -> list[str]:
    return [
        "pin_access",
        "global_route -congestion_iterations 100 -guide_file route.guide",
    ]


def _detailed_route(layout: Layout, rules: str) -> list[str]:
    """Tracks and vias, antennas, fillers, and the wires extracted from what was drawn."""
    repair = []
    if layout.antenna_diode:
        repair = [
            f"for {{set k 0}} {{[check_antennas] && $k < {ANTENNA_ROUNDS}}} {{incr k}} {{",
            "  repair_antennas",
            f"  detailed_route -output_drc {VIOLATIONS} -no_pin_access -verbose 0",
            "}",
        ]
    return [
        f"detailed_route -output_drc {VIOLATIONS} -no_pin_access -verbose 0",
        *repair,
        'puts "dbp: routing violations [detailed_route_num_drvs]"',
        'puts "dbp: antenna violations [check_antennas]"',
        f"filler_placement {{{' '.join(layout.fillers)}}}",
        f"set_extraction_rules_file {rules}",
        "define_process_corner -ext_model_index 0 X",
        "extract_parasitics",
        f"write_spef {SPEF}",
        f"read_spef {SPEF}",
    ]


def _fill_and_estimate(layout: Layout) -> list[str]:
    """Fillers, and the wires of the global routes."""
    return [
        f"estimate_parasitics -global_routing -spef_file {SPEF}",
        f"filler_placement {{{' '.join(layout.fillers)}}}",
    ]


def _activity(step: MappedStep) -> list[str]:
    """The activity before layout, on every pin that is still there; the others are counted."""
    commands = opensta.activity_commands(step.netlist, step.library, step.activity, (CLOCK,))
    return [
        "set without 0",
        "proc dbp_activity {name toggles ones} {",
        "  set pins [get_pins -quiet $name]",
        "  if {[llength $pins]} {",
        "    set_power_activity -pins $pins -activity $toggles -duty $ones",
        "  } else { incr ::without }",
        "}",
        *(_OF_PIN.sub(r"dbp_activity \1 \2 \3", command) for command in commands),
        'puts "dbp: pins without activity $without"',
    ]


def _reports(detailed: bool) -> list[str]:
    length = "-global_route" + (" -detailed_route" if detailed else "")
    return [
        f"set figures [open {FIGURES} w]",
        'puts $figures "slack_ns [sta::worst_slack -max]"',
        'puts $figures "hold_slack_ns [sta::worst_slack -min]"',
        'puts $figures "area_m2 [rsz::design_area]"',
        'puts $figures "utilisation [rsz::utilization]"',
        "close $figures",
        f"report_power -digits 6 >> {FIGURES}",
        f"report_cts -out_file {CLOCK_TREE}",
        f"report_wire_length {length} -summary",
    ]


def _figures(folder: Path, log: str, version: str, route: str) -> PlacedStep:
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

    def count(name: str) -> int:
        return int(one(name, log, rf"^dbp: {name} (\d+)$"))

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
        route=route,
        routing_violations=count("routing violations") if route == "detailed" else None,
        antenna_violations=count("antenna violations") if route == "detailed" else None,
        wire_length_um=_wire_length_um(folder, log, route),
        pins_without_activity=count("pins without activity"),
        clock_buffers=int(
            one("clock buffers", clock_tree, r"Total number of Buffers Inserted: (\d+)")
        ),
        power_w=watts("Total"),
        groups={
            group: PlacedGroup(power_w=watts(group.capitalize())) for group in calculate.GROUPS
        },
    )


def _wire_length_um(folder: Path, log: str, route: str) -> float:
    """Return the length of the routes, summed over the layers of the last report of this kind.

    The router's own "Total wirelength" counts the guides, which are a half longer.
    """
    _, found, table = log.rpartition(f"{route.capitalize()} route wire length by layer:")
    rows = re.findall(r"^\S+ +(\d+(?:\.\d+)?)um +\d+%$", table.split("[INFO")[0], re.MULTILINE)
    if not found or not rows:
        raise ToolError(f"openroad reported no wire length; log: {folder / LOG}")
    return sum(map(float, rows))
