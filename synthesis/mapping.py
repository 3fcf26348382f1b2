"""Logic synthesis: Verilog to a flat netlist of library cells, by Yosys and ABC."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from dbp.errors import ToolError
from dbp.files import write_text
from dbp.rtl.yosys import run_yosys
from dbp.synthesis import buffering, netlist, tools
from dbp.synthesis.liberty import Library
from dbp.synthesis.netlist import Netlist

TIMEOUT_S = 1800
LANES = ("filter_lane_*", "hardwired_lane_*", "rotation_lane_*")

# &nf weighs area flow against depth; then come buffers for fan-outs over 16, and sizing. Measured
# against ABC's default script: 6 % smaller and thirty times faster where the taps are registers.
_ABC = "+&get,-n;&st;&dch;&nf;&put;buffer,-c,-N,16;upsize;dnsize"

# A carry that ripples glitches less than one that looks ahead, and takes a cell a bit.
_RIPPLE = """
(* techmap_celltype = "$alu" *)
module ripple (A, B, CI, BI, X, Y, CO);
  parameter A_SIGNED = 0;
  parameter B_SIGNED = 0;
  parameter A_WIDTH = 1;
  parameter B_WIDTH = 1;
  parameter Y_WIDTH = 1;
  input [A_WIDTH-1:0] A;
  input [B_WIDTH-1:0] B;
  input CI, BI;
  output [Y_WIDTH-1:0] X, Y, CO;
  wire [Y_WIDTH-1:0] a, b;
  \\$pos #(.A_SIGNED(A_SIGNED), .A_WIDTH(A_WIDTH), .Y_WIDTH(Y_WIDTH)) wide_a (.A(A), .Y(a));
  \\$pos #(.A_SIGNED(B_SIGNED), .A_WIDTH(B_WIDTH), .Y_WIDTH(Y_WIDTH)) wide_b (.A(B), .Y(b));
  wire [Y_WIDTH-1:0] c = BI ? ~b : b;
  wire [Y_WIDTH:0] carry;
  assign carry[0] = CI;
  assign X = a ^ c;
  assign CO = carry[Y_WIDTH:1];
  genvar k;
  generate for (k = 0; k < Y_WIDTH; k = k + 1) begin:bits
    \\$fa #(.WIDTH(1)) fa (.A(a[k]), .B(c[k]), .C(carry[k]), .X(carry[k+1]), .Y(Y[k]));
  end endgenerate
endmodule
"""

# Where an input is constant, gates are smaller.
_FULL_ADDER = """
(* techmap_celltype = "$fa" *)
module full_adder (A, B, C, X, Y);
  parameter WIDTH = 1;
  parameter _TECHMAP_CONSTMSK_A_ = 0;
  parameter _TECHMAP_CONSTMSK_B_ = 0;
  parameter _TECHMAP_CONSTMSK_C_ = 0;
  input [WIDTH-1:0] A, B, C;
  output [WIDTH-1:0] X, Y;
  genvar k;
  generate for (k = 0; k < WIDTH; k = k + 1) begin:bits
    if (((_TECHMAP_CONSTMSK_A_ | _TECHMAP_CONSTMSK_B_ | _TECHMAP_CONSTMSK_C_) >> k) & 1) begin
      assign Y[k] = A[k] ^ B[k] ^ C[k];
      assign X[k] = (A[k] & B[k]) | (C[k] & (A[k] ^ B[k]));
    end else begin
      wire carry, sum;
      %s adder (.%s(A[k]), .%s(B[k]), .%s(C[k]), .%s(carry), .%s(sum));
      assign X[k] = %scarry;
      assign Y[k] = %ssum;
    end
  end endgenerate
endmodule
"""
_SUM = np.array([0, 1, 1, 0, 1, 0, 0, 1], bool)
_CARRY = np.array([0, 0, 0, 1, 0, 1, 1, 1], bool)


def gates(folder: Path, top: str, verilog: str, adder: str | None) -> list[str]:
    """Yosys commands from Verilog to simple gates and, where there is one, full-adder cells.

    Writes the technology maps that they name into ``folder``. ``adder``: Verilog of `full_adder`;
    None leaves full adders to gates.
    """
    synth = f"synth -top {top} -flatten -noabc -booth"
    write_text(folder / "ripple.v", _RIPPLE)
    lines = [
        f"read_verilog {verilog}",
        f"hierarchy -check -top {top}",
        # Marks that served lint and waveforms only; they would keep unused gates alive.
        "setattr -unset keep w:*",
        # All lanes are alike: each kind is mapped once, and flattened when it is.
        *(f"setattr -mod -set keep_hierarchy 1 {lane}" for lane in LANES),
        f"{synth} -run :fine",
        "opt -fast -full",
        # Sums of products and of many terms: carry-save adders, and one carry that ripples.
        "techmap -map +/techmap.v t:$macc*",
        "techmap -map ripple.v t:$alu",
        "opt -fast",
    ]
    if adder is not None:
        write_text(folder / "full_adder.v", adder)
        lines.append("techmap -map full_adder.v t:$fa")
    return [*lines, f"{synth} -run fine:"]


def full_adder(library: Library, unwanted: Collection[str]) -> str | None:
    """A technology map to the kit's smallest full adder; None where it has none."""
    found = []
    for cell in library.cells.values():
        pins = tuple(pin.name for pin in cell.inputs)
        if cell.has_state or cell.name in unwanted or len(pins) != 3 or len(cell.outputs) != 2:
            continue
        # Of each output, its pin and whether it is inverted; sum and carry are symmetric.
        places: dict[str, tuple[str, str]] = {}
        for pin in cell.outputs:
            if pin.function is None or len(pin.function.variables) != 3:
                continue
            for name, truth in (("carry", _CARRY), ("sum", _SUM)):
                if (pin.function.truth == truth).all():
                    places[name] = pin.name, ""
                elif (pin.function.truth != truth).all():
                    places[name] = pin.name, "~"
        if len(places) == 2:
            found.append((cell.area_um2, cell.name, pins, places["carry"], places["sum"]))
    if not found:
        return None
    _, name, pins, carry, total = min(found)
    names = [tools.checked_name(text, "cell or pin") for text in (name, *pins, carry[0], total[0])]
    return _FULL_ADDER % (*names, carry[1], total[1])


def synthesise(
    folder: Path,
    liberty: Sequence[str],
    verilog: str,
    top: str,
    library: Library,
    dont_use: Sequence[str],
) -> Netlist:
    """Map ``verilog`` to ``netlist.v``, flat, with ``yosys.log``; all files lie in ``folder``.

    Returns what is in ``netlist.v``.

    `ToolError` where Yosys fails or the mapped netlist does not pass its `check -mapped`.
    """
    for name in (*liberty, verilog, top):
        tools.checked_name(name, "name in a Yosys script")
    unwanted = [
        tools.checked_name(cell.name, "cell")
        for cell in library.cells.values()
        if cell.dont_use or any(fnmatchcase(cell.name, pattern) for pattern in dont_use)
    ]
    adder = full_adder(library, unwanted)
    files = " ".join(f"-liberty {file}" for file in liberty)
    avoid = " ".join(f"-dont_use {name}" for name in unwanted)
    script = [
        *(f"read_liberty -lib -ignore_miss_func {file}" for file in liberty),
        *gates(folder, top, verilog, adder),
        f"dfflibmap {files} {avoid}",
        f"abc {files} {avoid} -script {_ABC}",
        "setattr -mod -unset keep_hierarchy *",
        "flatten",
        "opt_clean -purge",
        # OpenSTA's Verilog reader wants no vectors inside, no signed wires and no concatenations.
        "splitnets",
        "opt_clean -purge",
        "check -assert -mapped",
        "write_verilog -simple-lhs -noattr -noexpr netlist.v",
    ]
    log = folder / "yosys.log"
    log.unlink(missing_ok=True)
    try:
        # Command by command into the log, so that it is there after a failure too.
        run_yosys("\n".join(f"tee -a yosys.log {line}" for line in script), folder, TIMEOUT_S)
    except ToolError as error:
        raise type(error)(f"{error}; log: {log}") from None
    mapped = netlist.read(folder / "netlist.v")
    mapped = buffering.buffered(mapped, library, unwanted, library.default_wire_load)
    netlist.write(mapped, folder / "netlist.v")
    return mapped
