"""Layers, wires and special cells of each kit that `dbp.synthesis.layout.openroad` can lay out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PowerGrid:
    """Rails and straps of VDD and VSS, all in um.

    ``power_pins``, ``ground_pins``: what the cells call them. ``rails``: layer and width, along the
    rows; ``row_um``: twice the height of a row. ``straps``: layer, width, pitch, offset, and the
    spacing, 0 for the tool's own. ``connected``: pairs of layers with vias between them.
    """

    power_pins: tuple[str, ...]
    ground_pins: tuple[str, ...]
    rails: tuple[tuple[str, float], ...]
    row_um: float
    straps: tuple[tuple[str, float, float, float, float], ...]
    connected: tuple[tuple[str, str], ...]


def _tracks(
    x_offset: float, x_pitch: float, y_offset: float, y_pitch: float, *layers: str
) -> tuple[tuple[str, float, float, float, float], ...]:
    """Return layers that have the same tracks."""
    return tuple((layer, x_offset, x_pitch, y_offset, y_pitch) for layer in layers)


@dataclass(frozen=True)
class Layout:
    """The data on a kit that OpenROAD needs in addition to its Liberty files.

    ``lef``: the technology's file, then that of the cells. ``pin_layers``: horizontal, vertical.
    ``capacity_cuts``: the share of the tracks that the router may not use, by range of layers; it
    leaves room for the power grid, which is not drawn. ``layers``: kOhm and fF per um; ``vias``:
    kOhm. ``signal_wire``, ``clock_wire``: the layer for the estimate before routing, or its kOhm
    and fF per um. ``tap``: cell and distance in um; ``end_caps``: whether that cell also closes the
    rows. ``padding_sites``: free sites on each side of a cell, in global and in detailed placement.
    ``utilization_percent``: the cells' share of the core; a wide padding needs a low one.
    ``rules``: the file of OpenRCX. ``tracks``: layer, then offset and pitch in x, offset and pitch
    in y, in um. ``power``: the power grid. ``fillers``: patterns of cells. ``antenna_diode``:
    whether the kit has one, with which antennas can be repaired. ``clock_buffers``: those of the
    clock tree, the smallest first; the last drives its root.
    """

    lef: tuple[str, str]
    rules: str
    site: str
    pin_layers: tuple[str, str]
    signal_layers: str
    clock_layers: str
    capacity_cuts: tuple[tuple[str, float], ...]
    layers: tuple[tuple[str, float, float], ...]
    vias: tuple[tuple[str, float], ...]
    signal_wire: str | tuple[float, float]
    clock_wire: str | tuple[float, float]
    clock_buffers: tuple[str, ...]
    ties: tuple[str, str]
    tap: tuple[str, float] | None
    end_caps: bool
    padding_sites: tuple[int, int]
    utilization_percent: float
    tracks: tuple[tuple[str, float, float, float, float], ...]
    power: PowerGrid
    fillers: tuple[str, ...]
    antenna_diode: bool


# config.mk, setRC.tcl, fastroute.tcl, tapcell.tcl, make_tracks.tcl and the power grid (pdn.tcl,
# grid_strategy-*.tcl) of OpenROAD-flow-scripts, flow/platforms/KIT; of OpenROAD's own tests
# (test/KIT/KIT.vars, KIT.tracks, KIT.pdn.tcl): for asap7 layers, capacity cuts and tracks, for
# nangate45 the power grid, and the clock layers. ihp-sg13g2 has straps without its ring, which
# would need a core 20 um from the edge.
LAYOUTS = {
    "nangate45": Layout(
        lef=("NangateOpenCellLibrary.tech.lef", "NangateOpenCellLibrary.macro.mod.lef"),
        rules="Nangate45.rcx_rules",
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
        clock_buffers=("BUF_X2", "BUF_X4", "BUF_X8"),
        ties=("LOGIC0_X1/Z", "LOGIC1_X1/Z"),
        tap=("TAPCELL_X1", 120),
        end_caps=True,
        padding_sites=(0, 0),
        utilization_percent=60,
        tracks=(
            *_tracks(0.095, 0.19, 0.07, 0.14, "metal1", "metal2", "metal3"),
            *_tracks(0.095, 0.28, 0.07, 0.28, "metal4", "metal5", "metal6"),
            *_tracks(0.095, 0.8, 0.07, 0.8, "metal7", "metal8"),
            *_tracks(0.095, 1.6, 0.07, 1.6, "metal9", "metal10"),
        ),
        power=PowerGrid(
            ("VDD",),
            ("VSS",),
            rails=(("metal1", 0.17),),
            row_um=2.8,
            straps=(("metal4", 0.48, 56.0, 2.0, 0.0), ("metal7", 1.4, 40.0, 2.0, 0.0)),
            connected=(("metal1", "metal4"), ("metal4", "metal7")),
        ),
        fillers=("FILLCELL*",),
        antenna_diode=True,
    ),
    "asap7": Layout(
        lef=("asap7_tech_1x_201209.lef", "asap7sc7p5t_28_R_1x_220121a.lef"),
        rules="rcx_patterns.rules",
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
        clock_buffers=("BUFx2_ASAP7_75t_R", "BUFx4_ASAP7_75t_R", "BUFx8_ASAP7_75t_R"),
        ties=("TIELOx1_ASAP7_75t_R/L", "TIEHIx1_ASAP7_75t_R/H"),
        tap=("TAPCELL_ASAP7_75t_R", 25),
        end_caps=True,
        padding_sites=(2, 1),
        utilization_percent=60,
        tracks=(
            *_tracks(0.116, 0.08, 0.116, 0.08, "Pad", "M9", "M8"),
            ("M7", 0.016, 0.064, 0.016, 0.064),
            ("M6", 0.012, 0.048, 0.016, 0.064),
            ("M5", 0.012, 0.048, 0.012, 0.048),
            ("M4", 0.009, 0.036, 0.012, 0.048),
            ("M3", 0.009, 0.036, 0.009, 0.036),
            # Between the rails of a row.
            *(
                ("M2", 0.009, 0.036, y_offset, 0.27)
                for y_offset in (0.045, 0.081, 0.117, 0.153, 0.189, 0.225, 0.27)
            ),
            ("M1", 0.009, 0.036, 0.009, 0.036),
        ),
        power=PowerGrid(
            ("VDD",),
            ("VSS",),
            rails=(("M1", 0.018), ("M2", 0.018)),
            row_um=0.54,
            straps=(("M5", 0.12, 5.4, 0.3, 0.072), ("M6", 0.288, 5.4, 0.513, 0.096)),
            connected=(("M1", "M2"), ("M2", "M5"), ("M5", "M6")),
        ),
        fillers=("FILLER*",),
        antenna_diode=False,
    ),
    "sky130hd": Layout(
        lef=("sky130_fd_sc_hd.tlef", "sky130_fd_sc_hd_merged.lef"),
        rules="sky130hd.rcx_rules",
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
        clock_buffers=("sky130_fd_sc_hd__clkbuf_4", "sky130_fd_sc_hd__clkbuf_8"),
        ties=("sky130_fd_sc_hd__conb_1/LO", "sky130_fd_sc_hd__conb_1/HI"),
        tap=("sky130_fd_sc_hd__tapvpwrvgnd_1", 14),
        end_caps=False,
        padding_sites=(4, 2),
        utilization_percent=40,
        tracks=(
            ("li1", 0.23, 0.46, 0.17, 0.34),
            ("met1", 0.17, 0.34, 0.17, 0.34),
            ("met2", 0.23, 0.46, 0.23, 0.46),
            ("met3", 0.34, 0.68, 0.34, 0.68),
            ("met4", 0.46, 0.92, 0.46, 0.92),
            ("met5", 1.7, 3.4, 1.7, 3.4),
        ),
        power=PowerGrid(
            ("VPWR", "VPB"),
            ("VGND", "VNB"),
            rails=(("met1", 0.48),),
            row_um=5.44,
            straps=(("met4", 1.6, 27.14, 13.57, 0.0), ("met5", 1.6, 27.2, 13.6, 0.0)),
            connected=(("met1", "met4"), ("met4", "met5")),
        ),
        fillers=("sky130_fd_sc_hd__fill_*",),
        antenna_diode=True,
    ),
    "ihp-sg13g2": Layout(
        lef=("sg13g2_tech.lef", "sg13g2_stdcell.lef"),
        rules="IHP_rcx_patterns.rules",
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
        clock_buffers=("sg13g2_buf_2", "sg13g2_buf_4", "sg13g2_buf_8"),
        ties=("sg13g2_tielo/L_LO", "sg13g2_tiehi/L_HI"),
        tap=None,
        end_caps=False,
        padding_sites=(2, 1),
        utilization_percent=60,
        tracks=(
            *_tracks(0.0, 0.48, 0.0, 0.42, "Metal1", "Metal2", "Metal3", "Metal4", "Metal5"),
            ("TopMetal1", 1.64, 3.28, 1.64, 3.28),
            ("TopMetal2", 2.0, 4.0, 2.0, 4.0),
        ),
        power=PowerGrid(
            ("VDD",),
            ("VSS",),
            rails=(("Metal1", 0.44),),
            row_um=7.56,
            straps=(("TopMetal1", 2.2, 75.6, 13.6, 0.0), ("TopMetal2", 2.2, 75.6, 13.6, 0.0)),
            connected=(("Metal1", "TopMetal1"), ("TopMetal1", "TopMetal2")),
        ),
        fillers=("sg13g2_fill_*", "sg13g2_decap_*"),
        antenna_diode=True,
    ),
}
