"""Place and route by OpenROAD: one Tcl script from the mapped netlist to watts with real wires.

Never run against a real OpenROAD: none was at hand. ``docs/place_and_route.md`` says which parts of
the script have run, and where.
"""

from __future__ import annotations

import gzip
import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbp.errors import InputError, MissingError, ToolError
from dbp.support import processes
from dbp.support.files import write_bytes, write_text
from dbp.synthesis.activity.activity import Activity
from dbp.synthesis.cells import kits
from dbp.synthesis.cells.library import Library
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
UTILISATION_PERCENT = 60
CORE_SPACE_UM = 2
# How far above evenly spread the placer may pack the cells: what it needs to move them at all.
SPARE_DENSITY = 0.05


@dataclass(frozen=True)
class Layout:
    """What OpenROAD must know of a kit beside its Liberty files.

    ``lef``: technology, then cells. ``pin_layers``: horizontal, vertical. ``capacity_cuts``: share
    of the tracks that the router may not use, by range of layers; it stands for the power grid,
    which is not drawn. ``layers``: kOhm and fF per um; ``vias``: kOhm. ``signal_wire``,
    ``clock_wire``: the layer of the estimate before routing, or its kOhm and fF per um. ``tap``:
    cell and distance in um; ``end_caps``: it also closes the rows. ``padding_sites``: beside every
    cell, in global and in detailed placement.
    """

    lef: tuple[str, str]
    site: str
    pin_layers: tuple[str, str]
    signal_layers: str
    clock_layers: str
    capacity_cuts: tuple[tuple[str, float], ...]
    layers: tuple[tuple[str, float, float], ...]
    vias: tuple[tuple[str, float], ...]
    signal_wire: str | tuple[float, float]
    clock_wire: str | tuple[float, float]
    clock_buffer: str
    ties: tuple[str, str]
    tap: tuple[str, float] | None
    end_caps: bool
    padding_sites: tuple[int, int]


# config.mk, setRC.tcl, fastroute.tcl, tapcell.tcl of OpenROAD-flow-scripts, flow/platforms/KIT; for
# asap7 layers and capacity cuts, and clock layers, of OpenROAD's own tests (test/KIT/KIT.vars).
LAYOUTS = {
    "nangate45": Layout(
        lef=("NangateOpenCellLibrary.tech.lef", "NangateOpenCellLibrary.macro.mod.lef"),
        site="FreePDK45_38x28_10R_NP_162NW_34O",
        pin_layers=("metal3", "metal2"),
        signal_layers="metal2-metal10",
        clock_layers="metal2-metal10",
        capacity_cuts=(("metal2", 0.8), ("metal3", 0.7), ("metal4-metal10", 0.25)),
        layers=(
            ("metal2", 3.69946e-3, 8.31598e-2),
            ("metal3", 3.59251e-3, 1.04578e-1),
            ("metal4", 1.47169e-3, 1.16865e-1),
            ("metal5", 1.48720e-3, 1.10884e-1),
            ("metal6", 1.49718e-3, 1.06865e-1),
            ("metal7", 2.16176e-4, 1.15007e-1),
            ("metal8", 1.88720e-4, 9.22290e-2),
            ("metal9", 3.77464e-5, 1.19876e-1),
            ("metal10", 3.54210e-5, 1.18534e-1),
        ),
        vias=(),
        signal_wire="metal3",
        clock_wire="metal5",
        clock_buffer="BUF_X4",
        ties=("LOGIC0_X1/Z", "LOGIC1_X1/Z"),
        tap=("TAPCELL_X1", 120),
        end_caps=True,
        padding_sites=(0, 0),
    ),
    "asap7": Layout(
        lef=("asap7_tech_1x_201209.lef", "asap7sc7p5t_28_R_1x_220121a.lef"),
        site="asap7sc7p5t",
        pin_layers=("M4", "M5"),
        signal_layers="M2-M6",
        clock_layers="M4-M6",
        capacity_cuts=(("M2-M6", 0.25),),
        layers=(
            ("M1", 7.04175e-2, 1e-10),
            ("M2", 2.97126e-2, 1.84542e-1),
            ("M3", 3.12872e-2, 1.53955e-1),
            ("M4", 1.80365e-2, 1.89434e-1),
            ("M5", 1.89936e-2, 1.71593e-1),
            ("M6", 1.18797e-2, 1.76146e-1),
            ("M7", 1.25097e-2, 1.47030e-1),
        ),
        vias=(
            ("V1", 1.72e-2),
            ("V2", 1.72e-2),
            ("V3", 1.72e-2),
            ("V4", 1.18e-2),
            ("V5", 1.18e-2),
            ("V6", 8.20e-3),
            ("V7", 8.20e-3),
            ("V8", 6.30e-3),
        ),
        signal_wire=(3.23151e-2, 1.73323e-1),
        clock_wire=(5.13971e-2, 1.44549e-1),
        clock_buffer="BUFx4_ASAP7_75t_R",
        ties=("TIELOx1_ASAP7_75t_R/L", "TIEHIx1_ASAP7_75t_R/H"),
        tap=("TAPCELL_ASAP7_75t_R", 25),
        end_caps=True,
        padding_sites=(2, 1),
    ),
    "sky130hd": Layout(
        lef=("sky130_fd_sc_hd.tlef", "sky130_fd_sc_hd_merged.lef"),
        site="unithd",
        pin_layers=("met3", "met2"),
        signal_layers="met1-met5",
        clock_layers="met3-met5",
        capacity_cuts=(("met1-met5", 0.3),),
        layers=(
            ("li1", 7.176e-2, 1.499e-1),
            ("met1", 8.929e-4, 1.72375e-1),
            ("met2", 8.929e-4, 1.36233e-1),
            ("met3", 1.567e-4, 2.14962e-1),
            ("met4", 1.567e-4, 1.48128e-1),
            ("met5", 1.781e-5, 1.54087e-1),
        ),
        vias=(
            ("mcon", 9.249146e-3),
            ("via", 4.5e-3),
            ("via2", 3.368786e-3),
            ("via3", 3.76635e-4),
            ("via4", 5.80e-6),
        ),
        signal_wire="met1",
        clock_wire="met3",
        clock_buffer="sky130_fd_sc_hd__clkbuf_4",
        ties=("sky130_fd_sc_hd__conb_1/LO", "sky130_fd_sc_hd__conb_1/HI"),
        tap=("sky130_fd_sc_hd__tapvpwrvgnd_1", 14),
        end_caps=False,
        padding_sites=(4, 2),
    ),
    "ihp-sg13g2": Layout(
        lef=("sg13g2_tech.lef", "sg13g2_stdcell.lef"),
        site="CoreSite",
        pin_layers=("Metal3", "Metal2"),
        signal_layers="Metal2-Metal5",
        clock_layers="Metal2-Metal5",
        capacity_cuts=(("Metal2-Metal5", 0.124),),
        layers=(
            ("Metal1", 8.54576e-3, 1e-7),
            ("Metal2", 2.53519e-3, 1.69121e-1),
            ("Metal3", 1.54329e-3, 1.82832e-1),
            ("Metal4", 6.31424e-4, 1.66454e-1),
            ("Metal5", 6.84051e-4, 8.57431e-2),
        ),
        vias=(
            ("Via1", 2.0e-3),
            ("Via2", 2.0e-3),
            ("Via3", 2.0e-3),
            ("Via4", 2.0e-3),
            ("TopVia1", 4e-4),
            ("TopVia2", 2.2e-4),
        ),
        signal_wire=(2.07259e-3, 1.73072e-1),
        clock_wire=(2.48603e-3, 1.44812e-1),
        clock_buffer="sg13g2_buf_2",
        ties=("sg13g2_tielo/L_LO", "sg13g2_tiehi/L_HI"),
        tap=None,
        end_caps=False,
        padding_sites=(2, 1),
    ),
}


def find(kit: str) -> list[Path]:
    """A kit's LEF files, packed or not, from where its Liberty files are looked for.

    `InputError` for a kit that has no layout, `MissingError` where a file or OpenROAD is not there.
    """
    if kit not in LAYOUTS:
        raise InputError(f"pdk = {kit!r}: has no layout: must be one of {', '.join(LAYOUTS)}")
    names = LAYOUTS[kit].lef
    places = list(kits.places(kit))
    files = []
    for name in names:
        there = (folder / (name + packed) for folder in places for packed in ("", ".gz"))
        found = next((file for file in there if file.is_file()), None)
        if found is None:
            raise MissingError(
                f"no {name} (or {name}.gz) in {' or '.join(map(str, places))}: --place-and-route "
                f"needs {' and '.join(names)}, from flow/platforms/{kit}/lef of "
                "OpenROAD-flow-scripts"
            )
        files.append(found)
    if shutil.which("openroad") is None:
        raise MissingError(
            "openroad is missing: --place-and-route needs it (openroad.readthedocs.io)"
        )
    return files


def run(
    folder: Path,
    kit: kits.Kit,
    lef: Sequence[Path],
    liberty: Sequence[Path],
    verilog: Path,
    netlist: Netlist,
    library: Library,
    activity: Activity,
    clock_period_s: float,
) -> dict[str, Any]:
    """Place and route a mapped netlist in ``folder``, which is emptied first; its figures.

    ``lef`` is what `find` has found; ``netlist`` and ``library`` are what ``verilog`` and
    ``liberty`` hold. Leaves script, log, reports and the placed DEF in ``folder``. The figures
    (keys: ``docs/place_and_route.md``) are OpenROAD's own. `ToolError` where it fails or where a
    figure is missing; then the rest of what it read and wrote stays in ``folder`` too.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    read = [kits.unpack(file, folder) for file in (*lef, *liberty, verilog)]
    lefs, libraries, mapped = read[: len(lef)], read[len(lef) : -1], read[-1]
    lines = script(kit, lefs, libraries, mapped, netlist, library, activity, clock_period_s)
    write_text(folder / SCRIPT, "\n".join(lines) + "\n")
    version = processes.version(["openroad", "-version"])
    command = ["openroad", "-no_init", "-no_splash", "-exit", SCRIPT]
    log = processes.run(command, folder, LOG, TIMEOUT_S)
    figures = _figures(folder, log)
    for name in read:
        (folder / name).unlink()
    write_bytes(folder / f"{DEF}.gz", gzip.compress((folder / DEF).read_bytes(), 6, mtime=0))
    (folder / DEF).unlink()
    return {"openroad": version, **figures}


def script(
    kit: kits.Kit,
    lef: Sequence[str],
    liberty: Sequence[str],
    verilog: str,
    netlist: Netlist,
    library: Library,
    activity: Activity,
    clock_period_s: float,
) -> list[str]:
    """The lines of the Tcl script; the files' names are those in the folder where it runs."""
    for name in lef:
        processes.checked_name(name, "LEF file")
    layout = LAYOUTS[kit.name]
    inputs = [p for p, bits in netlist.ports.items() if bits[0] in netlist.inputs and p != CLOCK]
    outputs = [p for p, bits in netlist.ports.items() if bits[0] in netlist.outputs]
    horizontal, vertical = layout.pin_layers
    pins = f"-hor_layers {horizontal} -ver_layers {vertical}"
    wide, narrow = layout.padding_sites
    padding = f"-pad_left {wide} -pad_right {wide}"
    return [
        *(f"read_lef {name}" for name in lef),
        *opensta_timing.setup(
            liberty, verilog, netlist.module, inputs, outputs, clock_period_s * 1e9
        ),
        "set_cmd_units -capacitance fF -resistance kOhm -distance um",
        f"initialize_floorplan -site {layout.site} -utilization {UTILISATION_PERCENT} "
        f"-aspect_ratio 1 -core_space {CORE_SPACE_UM}",
        *(f"insert_tiecells {tie}" for tie in layout.ties),
        "make_tracks",
        f"place_pins -random {pins}",
        *_tap_cells(layout),
        *_wires(layout),
        f"set_dont_use {{{' '.join(kit.dont_use)}}}",
        f"set density [gpl::get_global_placement_uniform_density {padding}]",
        f"set density [expr {{min(1.0, $density + {SPARE_DENSITY})}}]",
        f"global_placement -routability_driven -density $density {padding}",
        f"place_pins {pins}",
        "estimate_parasitics -placement",
        "repair_design",
        f"set_placement_padding -global -left {narrow} -right {narrow}",
        "detailed_placement",
        f"clock_tree_synthesis -root_buf {layout.clock_buffer} -buf_list {layout.clock_buffer} "
        "-sink_clustering_enable",
        "repair_clock_nets",
        "detailed_placement",
        "set_propagated_clock [all_clocks]",
        # Inputs come from registers on this very tree, which here they would seem to be ahead of.
        f"set_false_path -hold -from [get_ports {{{' '.join(inputs)}}}]",
        "estimate_parasitics -placement",
        # A gate that is cloned would leave its activity to the clone.
        "repair_timing -skip_gate_cloning",
        "detailed_placement",
        "check_placement -verbose",
        "global_route -congestion_iterations 100 -verbose",
        "estimate_parasitics -global_routing",
        f"write_def {DEF}",
        *opensta.activity_commands(netlist, library, activity, (CLOCK,)),
        f"set figures [open {FIGURES} w]",
        'puts $figures "slack_ns [sta::worst_slack -max]"',
        'puts $figures "hold_slack_ns [sta::worst_slack -min]"',
        'puts $figures "area_m2 [rsz::design_area]"',
        'puts $figures "utilisation [rsz::utilization]"',
        "close $figures",
        f"report_power -digits 6 >> {FIGURES}",
        f"report_cts -out_file {CLOCK_TREE}",
    ]


def _tap_cells(layout: Layout) -> list[str]:
    if layout.tap is None:
        return []
    cell, distance_um = layout.tap
    ends = f" -endcap_master {cell}" if layout.end_caps else ""
    return [f"tapcell -distance {distance_um:g} -tapcell_master {cell}{ends}"]


def _wires(layout: Layout) -> list[str]:
    """Resistances and capacitances, and what the router may use."""

    def estimate(kind: str, wire: str | tuple[float, float]) -> str:
        if isinstance(wire, str):
            return f"set_wire_rc -{kind} -layer {wire}"
        return f"set_wire_rc -{kind} -resistance {wire[0]:.9g} -capacitance {wire[1]:.9g}"

    return [
        *(
            f"set_layer_rc -layer {name} -resistance {kohm:.9g} -capacitance {farads:.9g}"
            for name, kohm, farads in layout.layers
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


def _figures(folder: Path, log: str) -> dict[str, Any]:
    """What the reports say; `ToolError` names the first figure that is not there."""
    written = [
        path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        for path in (folder / FIGURES, folder / CLOCK_TREE)
    ]

    def figure(what: str, text: str, pattern: str) -> tuple[float, ...]:
        """The last one: OpenROAD says some of it at earlier stages too."""
        found = re.findall(pattern, text, re.MULTILINE)
        try:
            numbers = found[-1] if isinstance(found[-1], tuple) else (found[-1],)
            values = tuple(float(number) for number in numbers)
            # Without a path OpenSTA's slack is 1e39.
            if not all(math.isfinite(value) and abs(value) < 1e30 for value in values):
                raise ValueError
        except (IndexError, ValueError):
            last = [line.strip() for line in log.splitlines() if line.strip()][-3:]
            raise ToolError(
                f"openroad reported no {what}: {' | '.join(last)}; log: {folder / LOG}"
            ) from None
        return values

    def one(what: str, text: str, pattern: str) -> float:
        return figure(what, text, pattern)[0]

    def watts(row: str) -> dict[str, float]:
        found = figure(f"{row.lower()} power", written[0], rf"^{row}" + r"\s+(\S+)" * 4)
        return dict(zip(("internal", "switching", "leakage", "total"), found, strict=True))

    return {
        "slack_ns": one("slack", written[0], r"^slack_ns (\S+)$"),
        "hold_slack_ns": one("hold slack", written[0], r"^hold_slack_ns (\S+)$"),
        "area_um2": 1e12 * one("area", written[0], r"^area_m2 (\S+)$"),
        "utilisation": one("utilisation", written[0], r"^utilisation (\S+)$"),
        "wire_length_um": one("wire length", log, r"Total wirelength: (\S+) um"),
        "clock_buffers": int(
            one("clock buffers", written[1], r"Total number of Buffers Inserted: (\d+)")
        ),
        "power_w": watts("Total"),
        "groups": {group: {"power_w": watts(group.capitalize())} for group in calculate.GROUPS},
    }
