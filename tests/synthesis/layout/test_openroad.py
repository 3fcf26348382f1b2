"""Place and route: its script runs in OpenSTA, with stubs for what only OpenROAD has."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from helpers import TINY_LIB
from helpers.designs import small_synthesis_design
from helpers.hardware import make_run

from dbp.cli import main
from dbp.errors import InputError, MissingError, ToolError
from dbp.support import processes
from dbp.synthesis import netlist
from dbp.synthesis.activity.activity import Activity
from dbp.synthesis.cells import kits, liberty_reader, wire_load
from dbp.synthesis.layout import openroad as place_and_route
from dbp.synthesis.layout.kit_layouts import LAYOUTS
from dbp.synthesis.layout.openroad import LayoutFiles, MappedStep
from dbp.synthesis.power import opensta
from dbp.synthesis.timing import clock_tree, opensta_timing

LIBERTY = wire_load.DATA / "predictive28.lib"
PERIOD_S = 2.4e-9
KITS = os.environ.get("DBP_PDK_ROOT")
needs_sta = pytest.mark.skipif(shutil.which("sta") is None, reason="needs sta")

# A vector, and an instance whose name needs an escape.
VERILOG = r"""module m (clk, d, e, q);
  input clk; input [1:0] d; input e; output q; wire n, k;
  NAND2_X1 u (.A1(d[0]), .A2(d[1]), .ZN(n)); DFF_X1 \r/1 (.CK(clk), .D(n), .Q(k));
  NAND2_X1 v (.A1(k), .A2(e), .ZN(q));
endmodule
"""
RATES = {
    "clk": (2.0, 0.5),
    "d[0]": (0.5, 0.25),
    "d[1]": (0.25, 0.5),
    "e": (0.125, 0.5),
    "n": (0.5, 0.75),
    "k": (0.375, 0.625),
    "q": (0.0625, 0.875),
}
ACTIVITY = Activity(
    {net: toggles for net, (toggles, _) in RATES.items()},
    {net: ones for net, (_, ones) in RATES.items()},
)

# What OpenROAD adds to OpenSTA. Each command notes its arguments in calls.txt; an unknown one is an
# error. `set_power_activity` resolves what it is given as OpenSTA 2.0.17 resolves it (its own is
# broken), and the reports say what current versions of OpenROAD and OpenSTA say.
STUBS = r"""
proc note {args} { set file [open calls.txt a]; puts $file $args; close $file }
foreach command {
  read_lef initialize_floorplan insert_tiecells make_tracks place_pins tapcell set_layer_rc
  set_wire_rc set_global_routing_layer_adjustment set_routing_layers set_dont_use global_placement
  estimate_parasitics repair_design set_placement_padding detailed_placement clock_tree_synthesis
  repair_clock_nets repair_timing check_placement add_global_connection global_connect
  set_voltage_domain define_pdn_grid add_pdn_stripe add_pdn_connect pdngen pin_access detailed_route
  filler_placement set_extraction_rules_file define_process_corner extract_parasitics
  suppress_message repair_antennas
} { proc $command {args} "note $command {*}\$args" }
namespace eval rsz {
  proc design_area {} { return 1.25e-10 }
  proc utilization {} { return 0.625 }
}
namespace eval gpl {
  proc get_global_placement_uniform_density {args} {
    note gpl::get_global_placement_uniform_density {*}$args
    return 0.6
  }
}
proc global_route {args} {
  note global_route {*}$args
  puts {[INFO GRT-0018] Total wirelength: 4321 um}
}
proc check_antennas {} {
  note check_antennas
  incr ::antennas
  return [expr {$::antennas < 3 ? 1 : 0}]
}
set antennas 0
proc detailed_route_num_drvs {} { return 0 }
rename link_design sta_link_design
proc link_design {name} { set ::top $name; sta_link_design $name }
proc write_def {file} {
  set out [open $file w]
  puts $out "VERSION 5.8 ;\nDESIGN $::top ;"
  puts $out "UNITS DISTANCE MICRONS 1000 ;\nDIEAREA ( 0 0 ) ( 99000 99000 ) ;"
  set cells [get_cells *]
  puts $out "COMPONENTS [llength $cells] ;"
  set k 0
  foreach cell $cells {
    set at "[expr {$k % 50 * 2000}] [expr {$k / 50 * 1000}]"
    puts $out "- [get_full_name $cell] [get_property $cell ref_name] + PLACED ( $at ) N ;"
    incr k
  }
  puts $out "END COMPONENTS\nNETS [llength [get_nets *]] ;"
  foreach net [get_nets *] {
    set pins {}
    foreach pin [get_pins -of_objects $net] {
      regexp {^(.*)/([^/]*)$} [get_full_name $pin] _ cell port
      lappend pins "( $cell $port )"
    }
    puts $out "- [get_full_name $net] [join $pins] + USE SIGNAL ;"
  }
  puts $out "END NETS\nEND DESIGN"; close $out
}
proc write_spef {file} {
  set out [open $file w]
  puts $out "*SPEF \"x\"\n*DELIMITER :\n*C_UNIT 1 PF\n*R_UNIT 1 OHM"
  foreach net [get_nets *] {
    set name [get_full_name $net]
    puts $out "*D_NET $name 0.001\n*CONN\n*CAP\n1 $name:1 0.001\n*END"
  }
  close $out
}
proc read_spef {file} { note read_spef $file }
rename estimate_parasitics noted_estimate_parasitics
proc estimate_parasitics {args} {
  noted_estimate_parasitics {*}$args
  if {[lindex $args 1] eq "-spef_file"} { write_spef [lindex $args 2] }
}
proc report_wire_length {args} {
  note report_wire_length {*}$args
  foreach kind {Global Detailed} length {999.5 4000.0} {
    puts "\[INFO GRT-0278\] $kind route wire length by layer:"
    puts "Layer    Wire length  Percentage\n--------------------------------"
    puts "metal2  ${length}um    16%\nmetal3  321.00um    34%\n--------------------------------"
  }
}
rename set_false_path sta_set_false_path
proc set_false_path {hold from ports} {
  set names {}
  foreach port $ports { lappend names [get_full_name $port] }
  note set_false_path $hold $from {*}$names
  sta_set_false_path $hold $from $ports
}
rename set_cmd_units sta_set_cmd_units
proc set_cmd_units {args} { note set_cmd_units {*}$args; sta_set_cmd_units {*}$args }
rename set_propagated_clock sta_set_propagated_clock
proc set_propagated_clock {args} {
  note set_propagated_clock; sta_set_propagated_clock {*}$args
}
proc set_power_activity {args} {
  array set key $args
  set kind [lindex $args 0]
  set names {}
  foreach object $key($kind) { lappend names [get_full_name $object] }
  note set_power_activity $kind [join $names] $key(-activity) $key(-duty)
}
proc report_power {args} {
  if {[lrange $args 0 2] ne {-digits 6 >>}} { error "report_power $args" }
  set out [open [lindex $args 3] a]
  puts $out {Group                    Internal    Switching      Leakage        Total
                            Power        Power        Power        Power (Watts)
------------------------------------------------------------------------
Sequential           1.000000e-03 2.000000e-04 3.000000e-05 1.230000e-03  41.0%
Combinational        4.000000e-04 5.000000e-04 6.000000e-05 9.600000e-04  32.0%
Clock                7.000000e-05 8.000000e-05 9.000000e-06 1.590000e-04  27.0%
Macro                0.000000e+00 0.000000e+00 0.000000e+00 0.000000e+00   0.0%
Pad                  0.000000e+00 0.000000e+00 0.000000e+00 0.000000e+00   0.0%
------------------------------------------------------------------------
Total                1.470000e-03 7.800000e-04 9.900000e-05 2.349000e-03 100.0%
                            62.6%        33.2%         4.2%}
  close $out
}
proc report_cts {args} {
  if {[lindex $args 0] ne "-out_file"} { error "report_cts $args" }
  set out [open [lindex $args 1] w]
  puts $out {[TritonCTS Metrics] Total number of Clock Roots: 1.}
  puts $out {[TritonCTS Metrics] Total number of Buffers Inserted: 35.}
  close $out
}
"""
POWER_W = {
    "sequential": (1e-3, 2e-4, 3e-5, 1.23e-3),
    "combinational": (4e-4, 5e-4, 6e-5, 9.6e-4),
    "clock": (7e-5, 8e-5, 9e-6, 1.59e-4),
}
STAND_IN = """#!/bin/sh
if [ "$1" = -version ]; then echo v2.0-20000-gtest; exit; fi
if [ "$*" != "-no_init -no_splash -exit place_and_route.tcl" ]; then exit 9; fi
cat {stubs} place_and_route.tcl > run.tcl
exec sta -no_splash -exit run.tcl
"""


@pytest.fixture
def openroad(tmp_path, monkeypatch):
    """A stand-in on the path, and a kit that has everything; returns a way to change the stubs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    stubs = programs / "stubs.tcl"

    def install(text=STUBS):
        stubs.write_text(text + "\n")

    install()
    program = programs / "openroad"
    program.write_text(STAND_IN.format(stubs=stubs))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    for kit, layout in LAYOUTS.items():
        (tmp_path / "kits" / kit).mkdir(parents=True)
        shutil.copy(LIBERTY, tmp_path / "kits" / kit)
        for name in (*layout.lef, layout.rules):
            (tmp_path / "kits" / kit / name).write_text("VERSION 5.8 ;\n")
    monkeypatch.setenv("DBP_PDK_ROOT", str(tmp_path / "kits"))
    return install


def place(folder, kit="nangate45", verilog=VERILOG, route="detailed"):
    (folder / "m.v").write_text(verilog)
    found = place_and_route.find(kit, route)
    files = LayoutFiles(found.lef, [LIBERTY], folder / "m.v", found.rules)
    return place_and_route.run(folder / "out", mapped_step(kit, verilog, route), files)


def mapped_step(kit, verilog=VERILOG, route="detailed"):
    return MappedStep(
        kits.KITS[kit], netlist.parse(verilog), liberty_reader.read(LIBERTY), ACTIVITY, PERIOD_S,
        route,
    )  # fmt: skip


def calls(folder):
    return (folder / "calls.txt").read_text().splitlines()


@needs_sta
@pytest.mark.parametrize("kit", LAYOUTS)
def test_the_script_of_every_kit_runs_in_order(tmp_path, openroad, kit):
    place(tmp_path, kit)
    layout, called = LAYOUTS[kit], calls(tmp_path / "out")
    stages = [
        "read_lef", "initialize_floorplan", "insert_tiecells", "make_tracks",
        "add_global_connection", "global_connect", "set_voltage_domain", "define_pdn_grid",
        "add_pdn_stripe", "add_pdn_connect", "pdngen", "set_layer_rc", "set_wire_rc",
        "set_routing_layers", "set_dont_use", "global_placement", "place_pins", "global_placement",
        "estimate_parasitics", "repair_design", "set_placement_padding", "detailed_placement",
        "clock_tree_synthesis", "repair_clock_nets", "detailed_placement", "set_propagated_clock",
        "set_false_path", "estimate_parasitics", "repair_timing", "repair_timing",
        "detailed_placement", "check_placement", "pin_access", "global_route", "detailed_route",
        "check_antennas", "filler_placement", "set_extraction_rules_file", "define_process_corner",
        "extract_parasitics", "read_spef", "set_power_activity", "report_wire_length",
    ]  # fmt: skip
    order = [line.split()[0] for line in called]
    at = -1
    for stage in stages:
        at = order.index(stage, at + 1)
    assert [line.split()[1] for line in called if line.startswith("read_lef")] == [*layout.lef]
    assert (
        f"set_routing_layers -signal {layout.signal_layers} -clock {layout.clock_layers}" in called
    )
    assert (
        f"clock_tree_synthesis -root_buf {layout.clock_buffers[-1]} -buf_list "
        f"{{{' '.join(layout.clock_buffers)}}} -sink_clustering_enable" in called
    )
    # The first placement knows no ports: `place_pins` puts them near the cells that it has placed.
    assert f"global_placement -skip_io -density 0.65 -pad_left {layout.padding_sites[0]}" in (
        " ".join(called)
    )
    assert f"set_extraction_rules_file {layout.rules}" in called
    tracks = [line.split()[1] for line in called if line.startswith("make_tracks")]
    assert tracks == [row[0] for row in layout.tracks]
    power = [line for line in called if line.startswith("add_pdn_stripe")]
    assert len(power) == len(layout.power.rails) + len(layout.power.straps)
    for pin in (*layout.power.power_pins, *layout.power.ground_pins):
        assert any(f"-pin_pattern {{^{pin}$}}" in line for line in called), pin
    assert f"set_dont_use {{{' '.join(kits.KITS[kit].dont_use)}}}" in called
    wide, narrow = layout.padding_sites
    assert (
        f"global_placement -routability_driven -density 0.65 -pad_left {wide} -pad_right {wide}"
        in called
    )
    assert f"set_placement_padding -global -left {narrow} -right {narrow}" in called
    assert (
        f"initialize_floorplan -site {layout.site} -utilization {layout.utilization_percent} "
        "-aspect_ratio 1 -core_space 2" in called
    )
    assert ("tapcell" in order) is (layout.tap is not None)
    margin = kits.KITS[kit].layout_margin_ns
    assert margin > 0
    assert {
        f"repair_timing -setup -setup_margin {margin} -skip_gate_cloning",
        "repair_timing -hold -skip_gate_cloning",
        "set_false_path -hold -from {d[1]} {d[0]} e",
    } < {*called}
    units = "set_cmd_units -capacitance fF -resistance kOhm -distance um"
    assert called.index(units) < order.index("set_layer_rc")
    layers = [line.split()[2:] for line in called if line.startswith("set_layer_rc")]
    assert [words[0] for words in layers] == [row[0] for row in layout.layers + layout.vias]
    # The wires' estimate is of a layer that has its figures.
    assert [line.split()[1] for line in called if line.startswith("set_wire_rc")] == [
        "-signal", "-clock",
    ]  # fmt: skip
    for wire in (layout.signal_wire, layout.clock_wire):
        assert isinstance(wire, tuple) or wire in [row[0] for row in layout.layers]
    cuts = [line.split()[1:] for line in called if "layer_adjustment" in line]
    assert cuts and all(0 < float(share) < 1 for _, share in cuts)


@needs_sta
def test_the_wires_of_nangate45_are_those_of_its_set_up(tmp_path, openroad):
    """A few lines of its setRC.tcl and tapcell.tcl, as they stand there."""
    place(tmp_path)
    assert {
        "set_layer_rc -layer metal2 -resistance 0.00369946 -capacitance 0.0831598",
        "set_layer_rc -layer metal10 -resistance 3.5421e-05 -capacitance 0.118534",
        "set_wire_rc -signal -layer metal3",
        "set_wire_rc -clock -layer metal5",
        "tapcell -distance 120 -tapcell_master TAPCELL_X1 -endcap_master TAPCELL_X1",
        "set_global_routing_layer_adjustment metal4-metal10 0.25",
    } < {*calls(tmp_path / "out")}


def test_the_wires_are_those_that_the_clock_tree_estimate_takes():
    """Both come from the kits' setRC.tcl; a unit that slipped would be off by a thousand."""
    for kit, layout in LAYOUTS.items():
        wire = layout.signal_wire
        farads = wire[1] if isinstance(wire, tuple) else {n: f for n, _, f in layout.layers}[wire]
        assert farads * 1e-15 == pytest.approx(clock_tree.WIRE_F_PER_UM[kit], rel=0.06)


@pytest.mark.parametrize("kit", LAYOUTS)
def test_the_cells_are_those_of_the_kits(tmp_path, kit):
    """Clock buffers and tie cells; tap cells are in the LEF files only."""
    if not (KITS and (Path(KITS) / kit).is_dir()):
        pytest.skip(f"needs {kit} in DBP_PDK_ROOT")
    _, files = kits.find(kit)
    text = "".join((tmp_path / kits.unpack(file, tmp_path)).read_text() for file in files)
    layout = LAYOUTS[kit]
    for cell, pin in (
        *((b, None) for b in layout.clock_buffers),
        *(tie.split("/") for tie in layout.ties),
    ):
        found = re.search(
            rf'\n\s*cell *\( *"?{cell}"? *\)(.*?)(?=\n\s*cell *\(|\Z)', text, re.DOTALL
        )
        assert found, cell
        assert pin is None or re.search(rf'pin *\( *"?{pin}"? *\)', found[1]), pin


@needs_sta
def test_activity_reaches_the_pins_and_ports(tmp_path, openroad):
    place(tmp_path)
    given = {
        (kind, name): (float(toggles), float(ones))
        for kind, name, toggles, ones in (
            line.split()[1:] for line in calls(tmp_path / "out") if "set_power_activity" in line
        )
    }
    assert given == {
        ("-input_ports", "{d[0]}"): RATES["d[0]"],
        ("-input_ports", "{d[1]}"): RATES["d[1]"],
        ("-input_ports", "e"): RATES["e"],
        ("-pins", "u/ZN"): RATES["n"],
        ("-pins", "r/1/Q"): RATES["k"],
        ("-pins", "v/ZN"): RATES["q"],
    }


@needs_sta
def test_opensta_knows_every_name_that_activity_is_given_by(tmp_path):
    """A bit of a vector, a vector of one bit, and scalars and instances named like such bits."""
    verilog = r"""module m (d, w, \e[0] , \a/b , q, r);
      input [1:0] d; input [0:0] w; input \e[0] , \a/b ; output q, r;
      NAND2_X1 \u[1] (.A1(d[0]), .A2(d[1]), .ZN(q));
      AOI21_X1 \v/w.x (.A(w[0]), .B1(\e[0] ), .B2(\a/b ), .ZN(r));
    endmodule"""
    (tmp_path / "m.v").write_text(verilog)
    design, library = netlist.parse(verilog), liberty_reader.read(LIBERTY)
    names = ["d[0]", "d[1]", "w[0]", "e[0]", "a/b", "q", "r"]
    rates = Activity(dict.fromkeys(names, 0.5), dict.fromkeys(names, 0.5))
    lines = opensta.activity_commands(design, library, rates, ())
    proc = STUBS[STUBS.index("proc set_power_activity") : STUBS.index("proc report_power")]
    note = STUBS[: STUBS.index("foreach command")]
    (tmp_path / "m.tcl").write_text(
        f"read_liberty {LIBERTY}\nread_verilog m.v\nlink_design m\n{note}{proc}" + "\n".join(lines)
    )
    processes.run(["sta", "-no_splash", "-exit", "m.tcl"], tmp_path, "m.log", 60)
    given = [line.split()[2].strip("{}") for line in calls(tmp_path)]
    assert sorted(given) == sorted(["d[0]", "d[1]", "w[0]", "e[0]", "a/b", "u[1]/ZN", "v/w.x/ZN"])


@needs_sta
def test_the_figures_are_those_of_the_reports(tmp_path, openroad):
    figures = place(tmp_path).model_dump()
    kinds = ("internal", "switching", "leakage", "total")
    # The propagated clock has a slew of its own.
    assert figures.pop("slack_ns") == pytest.approx(slack_ns(tmp_path), abs=1e-4)
    assert 0 < figures.pop("hold_slack_ns") < PERIOD_S * 1e9 / 2
    assert figures.pop("area_um2") == pytest.approx(125)
    assert figures == {
        "openroad": "v2.0-20000-gtest",
        "route": "detailed",
        "routing_violations": 0,
        "antenna_violations": 0,
        "pins_without_activity": 0,
        "routed": None,
        "utilisation": 0.625,
        "wire_length_um": 4321,
        "clock_buffers": 35,
        "power_w": dict(zip(kinds, (1.47e-3, 7.8e-4, 9.9e-5, 2.349e-3), strict=True)),
        "groups": {
            group: {"power_w": dict(zip(kinds, watts, strict=True))}
            for group, watts in POWER_W.items()
        },
    }
    # What was only copied is gone, what a user looks at stays.
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "place_and_route.tcl", "place_and_route.log", "place_and_route.def.gz", "figures.rpt",
        "clock_tree.rpt", "routed.v.gz", "routed.spef.gz", "routed.sdf.gz", "calls.txt", "run.tcl",
    }  # fmt: skip


def slack_ns(folder):
    """Of the timing before layout: the constraints are the same, and the wires without a layout."""
    work = folder / "timing"
    work.mkdir()
    (work / "m.v").write_text(VERILOG)
    shutil.copy(LIBERTY, work)
    timed = opensta_timing.analyze(
        work, [LIBERTY.name], "m.v", "m", ["d", "e"], ["q"], PERIOD_S * 1e9, "per_fanout"
    )
    # The worst path ends at q, which is due at the next edge.
    *_, (instance, _, arrival_ns) = timed.critical_path
    assert instance == "v" and timed.slack_ns == pytest.approx(
        PERIOD_S * 1e9 - arrival_ns, abs=1e-4
    )
    return timed.slack_ns


@needs_sta
def test_inputs_do_not_count_for_hold(tmp_path, openroad):
    """d changes with the ideal clock, so behind a tree its path to r would seem to be too short."""
    figures = place(tmp_path)
    openroad(STUBS + "proc set_false_path {args} {}")
    assert place(tmp_path).hold_slack_ns < figures.hold_slack_ns


@needs_sta
@pytest.mark.parametrize(
    ("said", "instead", "missing"),
    [
        ("$kind route wire length", "Lengths", "wire length"),
        ("Clock                7", "Clocks               7", "clock power"),
        ("Total                1", "Sum                  1", "total power"),
        ("Sequential           1.000000e-03", "Sequential           NaN", "sequential power"),
        ("return 1.25e-10", "return {}", "area"),
        ("return 0.625", "return inf", "utilisation"),
        ("Buffers Inserted: 35", "Buffers: 35", "clock buffers"),
    ],
)
def test_a_missing_figure_is_an_error(tmp_path, openroad, said, instead, missing):
    assert said in STUBS
    openroad(STUBS.replace(said, instead))
    with pytest.raises(ToolError, match=rf"no {missing}.*; log: .*\.log"):
        place(tmp_path)
    assert (tmp_path / "out" / "m.v").is_file()


@needs_sta
@pytest.mark.parametrize(
    ("stub", "complaint"),
    [
        ("END NETS", "openroad wrote only part of place_and_route.def"),
        ("END NETS\\nEND DESIGN", None),
    ],
)
def test_a_layout_is_whole_or_an_error(tmp_path, openroad, stub, complaint):
    openroad(STUBS.replace("END NETS\\nEND DESIGN", stub))
    if complaint is None:
        place(tmp_path)
    else:
        with pytest.raises(ToolError, match=complaint):
            place(tmp_path)


@needs_sta
def test_a_design_without_a_timed_path_has_no_slack(tmp_path, openroad):
    openroad(STUBS + "proc create_clock {args} {}\nproc set_input_delay {args} {}\n"
             "proc set_output_delay {args} {}\n")  # fmt: skip
    with pytest.raises(ToolError, match="reported no slack"):
        place(tmp_path)


@needs_sta
def test_a_failure_of_openroad_is_told(tmp_path, openroad):
    failure = "proc global_route {args} { puts {[ERROR GRT-0116] congestion.}; error GRT-0116 }"
    openroad(STUBS + failure)
    with pytest.raises(
        ToolError, match=r"failed: \[ERROR GRT-0116\] congestion\. \| Error: .* GRT-0116"
    ):
        place(tmp_path)
    openroad(STUBS + "rename repair_design {}; rename pin_access {}")
    with pytest.raises(
        ToolError, match=r"failed: Error: this OpenROAD lacks repair_design pin_access: must be"
    ):
        place(tmp_path)


@needs_sta
def test_global_routes_are_the_quick_form(tmp_path, openroad):
    """No rules of an extraction are needed then; the wires are the global router's."""
    (tmp_path / "kits" / "asap7" / LAYOUTS["asap7"].rules).unlink()
    with pytest.raises(MissingError, match=r"rcx_patterns.rules.*--route global does not"):
        place_and_route.find("asap7")
    with pytest.raises(InputError, match=r"route = 'none': must be one of global, detailed"):
        place_and_route.find("asap7", "none")
    placed = place(tmp_path, "asap7", route="global")
    order = [line.split()[0] for line in calls(tmp_path / "out")]
    assert "global_route" in order and "detailed_route" not in order
    assert placed.route == "global" and placed.routing_violations is None


@needs_sta
def test_antennas_are_repaired_where_the_kit_has_a_diode(tmp_path, openroad):
    """The stand-in finds violations twice."""
    for kit, rounds in (("nangate45", 2), ("asap7", 0)):
        place(tmp_path, kit)
        order = [line.split()[0] for line in calls(tmp_path / "out")]
        assert order.count("repair_antennas") == rounds
        assert order.count("detailed_route") == rounds + 1


@needs_sta
def test_what_the_layout_has_removed_is_counted_and_hold_may_be_missed(tmp_path, openroad):
    hold = "proc repair_timing {how args} { if {$how eq {-hold}} { error RSZ-0060 } }"
    gone = "rename get_pins all_pins; proc get_pins {args} { if {[lindex $args 1] eq {u/ZN}} "
    openroad(STUBS + hold + "\n" + gone + "{ return {} }; all_pins {*}$args }")
    assert place(tmp_path).pins_without_activity == 1
    log = (tmp_path / "out" / "place_and_route.log").read_text()
    assert "dbp: hold is not repaired in full: RSZ-0060" in log


def test_what_is_missing_is_named(tmp_path, openroad, monkeypatch):
    with pytest.raises(InputError, match="'predictive28': has no layout: must be one of nangate45"):
        place_and_route.find("predictive28")
    cells = tmp_path / "kits" / "asap7" / "asap7sc7p5t_28_R_1x_220121a.lef"
    cells.rename(cells.with_name(cells.name + ".gz"))
    files = place_and_route.find("asap7").lef
    assert [file.name for file in files] == ["asap7_tech_1x_201209.lef", cells.name + ".gz"]
    cells.with_name(cells.name + ".gz").unlink()
    with pytest.raises(MissingError, match=r"no asap7sc7p5t_28_R_1x.*\.lef .*flow/platforms/asap7"):
        place_and_route.find("asap7")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingError, match="openroad is missing"):
        place_and_route.find("nangate45")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("module m ", r"module \m;exit "),
        (" d;", r" d; input \$x ;"),
        ("NAND2_X1 u ", r"NAND2_X1 \u}];exit;{ "),
        ("NAND2_X1 u ", r"NAND2_X1 \u* "),
        ("VERILOG", "m[exit].lef"),
    ],
)
def test_names_that_tcl_would_run_never_reach_it(tmp_path, openroad, old, new):
    if old == "VERILOG":
        with pytest.raises(InputError, match="file of a layout"):
            place_and_route.script(mapped_step("nangate45"), LayoutFiles([new], [], "m.v"))
        return
    assert old in VERILOG
    verilog = VERILOG.replace(old, new)
    with pytest.raises(InputError):
        place(tmp_path, verilog=verilog)
    assert not (tmp_path / "out" / "place_and_route.tcl").exists()


def test_pins_that_tcl_would_run_never_reach_it():
    name = "Q}];[exit];#"
    liberty = TINY_LIB.read_text()
    assert "pin (Y)" in liberty
    library = liberty_reader.parse(liberty.replace("pin (Y)", f'pin ("{name}")'))
    verilog = rf"module m (a, y); input a; output y; INV u (.A(a), .\{name} (y)); endmodule"
    activity = Activity(dict.fromkeys("ay", 0.5), dict.fromkeys("ay", 0.5))
    with pytest.raises(InputError, match=r"pin = .*: must be letters"):
        opensta.activity_commands(netlist.parse(verilog), library, activity, ())


@needs_sta
def test_the_command_adds_the_figures_to_the_others(tmp_path, openroad, capsys):
    run = make_run(tmp_path / "run", small_synthesis_design(), lanes=1, samples=1500)
    cells = liberty_reader.read(LIBERTY).cells
    lef = tmp_path / "kits" / "nangate45" / LAYOUTS["nangate45"].lef[1]
    lef.write_text(
        "".join(macro(cell.name, [p.name for p in cell.outputs]) for cell in cells.values())
    )
    arguments = ["synth", str(run), "--pdk", "nangate45", "--step", "1", "--lanes", "1"]
    assert main([*arguments, "--place-and-route"]) == 0
    assert "Placed and routed by OpenROAD: 125 um2, 2.35 mW" in capsys.readouterr().out
    folder = run / "synth" / "nangate45"
    both = json.loads((folder / "metrics.json").read_text())
    assert both["place_and_route"]["power_w"]["total"] == 2.349e-3
    # The stand-in lays nothing out: the same gates, simulated again with a wire of 1 fF each.
    routed = both["place_and_route"]["routed"]
    assert routed["gate_level_mismatches"] == 0 < routed["gate_level_samples"]
    assert routed["nets_annotated_fraction"] == routed["nets_with_wires_fraction"] == 1
    assert routed["power_w"]["total"] == pytest.approx(both["power_w"]["total"], rel=0.3)
    # OpenSTA has found every driven pin and every bit of the inputs, but for the clock.
    mapped = netlist.read(folder / "netlist.v.gz")
    driven = sum(pin.name in i.nets for i in mapped.instances for pin in cells[i.cell].outputs)
    given = [line.split() for line in calls(folder / "place_and_route") if "power_act" in line]
    assert len({words[2] for words in given}) == driven + len(mapped.inputs) - 1 > 500
    assert "not found" not in (folder / "place_and_route" / "place_and_route.log").read_text()
    # The picture is on the report's page.
    drawn = (folder / "place_and_route" / "place_and_route.svg").read_text()
    assert "lane 0, filter" in drawn and "history" in drawn and "lane 1" not in drawn
    assert main(["report", str(run)]) == 0
    assert base64.b64encode(drawn.encode()).decode() in (run / "report.html").read_text()


def macro(name, outputs):
    """A cell in LEF."""
    pins = "".join(f"  PIN {pin}\n    DIRECTION OUTPUT ;\n  END {pin}\n" for pin in outputs)
    return f"MACRO {name}\n  SIZE 1.5 BY 1 ;\n{pins}END {name}\n"
