"""Wires before there is a layout: a length per fan-out, for kits whose Liberty files lack one.

These kits are asap7, gt2n and the shipped predictive28; the others name a default wire load.

A net of n loads is taken to be 2.5 n gate pitches long; a gate pitch is the square root of the
area of the kit's smallest two-input NAND. The figure 2.5 is that of nangate45's own default wire
load (``5K_hvratio_1_1``) over fan-outs of 1 to 5, in its gate pitches: 2.0 to 2.7. Capacitance and
resistance per micrometre are those that the OpenROAD flow sets for the kit (its ``setRC.tcl``).
The file that is read with the kit's own holds a wire load and no cells, so that OpenSTA and our
reader get it from the same place; ``python -m dbp.synthesis.cells.make_predictive28`` writes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

PITCHES_PER_FANOUT = 2.5
NAME = "per_fanout"
DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Wires:
    """A kit's signal wires, and the area of its smallest NAND, which sets the gate pitch."""

    capacitance_ff_per_um: float
    resistance_kohm_per_um: float
    nand2_area_um2: float

    def group(self) -> str:
        """Return the ``wire_load`` group, for a Liberty file in fF and kOhm, as its default."""
        length_um = PITCHES_PER_FANOUT * math.sqrt(self.nand2_area_um2)
        return f"""  default_wire_load : "{NAME}";
  default_wire_load_mode : top;
  wire_load ("{NAME}") {{
    /* Lengths in micrometres. */
    capacitance : {self.capacitance_ff_per_um:.6g};
    resistance : {self.resistance_kohm_per_um:.6g};
    area : 0;
    slope : {length_um:.5g};
    fanout_length (1, {length_um:.5g});
  }}
"""


# OpenROAD-flow-scripts, setRC.tcl of flow/platforms/KIT: asap7 "signal average" and the area of
# NAND2xp33; gt2n M3, its layer for signals, and the area of nand2_x1.
WIRES = {
    "asap7": Wires(0.165790, 2.65684e-2, 0.05832),
    "gt2n": Wires(0.1023, 0.4375, 0.018144),
}
VOLTAGE_V = {"asap7": 0.7, "gt2n": 0.7}

# OpenSTA requires these of every library: the units, and where delays and slews are measured.
HEADER = """  delay_model : table_lookup;
  time_unit : "1ps";
  voltage_unit : "1V";
  current_unit : "1mA";
  pulling_resistance_unit : "1kohm";
  leakage_power_unit : "1nW";
  capacitive_load_unit (1, ff);
  input_threshold_pct_rise : 50;
  input_threshold_pct_fall : 50;
  output_threshold_pct_rise : 50;
  output_threshold_pct_fall : 50;
  slew_lower_threshold_pct_rise : 10;
  slew_lower_threshold_pct_fall : 10;
  slew_upper_threshold_pct_rise : 90;
  slew_upper_threshold_pct_fall : 90;
  slew_derate_from_library : 1;
  nom_process : 1;
  nom_temperature : 25;
"""


def file_for(kit: str) -> Path | None:
    """Return the Liberty file with the wires of a kit that has no wire load; None for others."""
    return DATA / f"{kit}_wires.lib" if kit in WIRES else None


def liberty(kit: str) -> str:
    """Return the text of that file."""
    return (
        f"/* Wires of {kit} by fan-out; made by dbp.synthesis.cells.wire_load,"
        " which explains them. */\n"
        f"library (dbp_wires_{kit.replace('-', '_')}) {{\n{HEADER}"
        f"  nom_voltage : {VOLTAGE_V[kit]};\n{WIRES[kit].group()}}}\n"
    )
