"""Layers, wires and special cells of each kit that `dbp.synthesis.layout.openroad` can lay out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """The data on a kit that OpenROAD needs in addition to its Liberty files.

    ``lef``: the technology's file, then that of the cells. ``pin_layers``: horizontal, vertical.
    ``capacity_cuts``: the share of the tracks that the router may not use, by range of layers; it
    leaves room for the power grid, which is not drawn. ``layers``: kOhm and fF per um; ``vias``:
    kOhm. ``signal_wire``, ``clock_wire``: the layer for the estimate before routing, or its kOhm
    and fF per um. ``tap``: cell and distance in um; ``end_caps``: whether that cell also closes the
    rows. ``padding_sites``: free sites on each side of a cell, in global and in detailed placement.
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
