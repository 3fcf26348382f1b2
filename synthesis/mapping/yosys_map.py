"""Logic synthesis: Verilog to a flat netlist of library cells, by Yosys and ABC."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from dbp.errors import ToolError
from dbp.support import processes
from dbp.support.files import naming, write_text
from dbp.support.yosys import run_yosys, shell_safe_folder, written_json, written_verilog
from dbp.synthesis import netlist
from dbp.synthesis.cells.library import Library
from dbp.synthesis.mapping import constants, fanout, full_adders, polarity
from dbp.synthesis.netlist import Netlist, names

TIMEOUT_S = 1800
LOG, SCRIPT = "yosys.log", "yosys.ys"
# Sums of registers, whose bits arrive together: their full adders are put in order.
HARDWIRED = "hardwired_lane_"
# The modules that are mapped once for all lanes.
LANE_MODULES = ("filter_lane_*", f"{HARDWIRED}*", "rotation_lane_*")

# &nf weighs area flow against depth; then come buffers for fan-outs over 16, and sizing. Measured
# against ABC's default script: 6 % smaller and thirty times faster where the taps are registers.
_ABC = "+&get,-n;&st;&dch;&nf;&put;buffer,-c,-N,16;upsize;dnsize"

# A carry that ripples glitches less than one that looks ahead, and takes one cell for each bit.
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

# Full adders of one bit each; then gates for those with a constant input, which are smaller.
_BITS = """
(* techmap_celltype = "$fa" *)
module bits (A, B, C, X, Y);
  parameter WIDTH = 1;
  input [WIDTH-1:0] A, B, C;
  output [WIDTH-1:0] X, Y;
  wire _TECHMAP_FAIL_ = WIDTH == 1;
  genvar k;
  generate for (k = 0; k < WIDTH; k = k + 1) begin:bits
    \\$fa #(.WIDTH(1)) fa (.A(A[k]), .B(B[k]), .C(C[k]), .X(X[k]), .Y(Y[k]));
  end endgenerate
endmodule
"""
_GATES = """
(* techmap_celltype = "$fa" *)
module gates (A, B, C, X, Y);
  parameter WIDTH = 1;
  parameter _TECHMAP_CONSTMSK_A_ = 0;
  parameter _TECHMAP_CONSTMSK_B_ = 0;
  parameter _TECHMAP_CONSTMSK_C_ = 0;
  input A, B, C;
  output X, Y;
  wire _TECHMAP_FAIL_ = !(_TECHMAP_CONSTMSK_A_ | _TECHMAP_CONSTMSK_B_ | _TECHMAP_CONSTMSK_C_);
  assign Y = A ^ B ^ C;
  assign X = (A & B) | (C & (A ^ B));
endmodule
"""
# A constant behind such gates shows only in the next round.
_ROUNDS = 4
# The same for full-adder cells whose inputs ABC finds to be constant.
_CONSTANTS = """
module {cell} ({a}, {b}, {c}, {carry}, {sum});
  parameter _TECHMAP_CONSTMSK_{a}_ = 0;
  parameter _TECHMAP_CONSTMSK_{b}_ = 0;
  parameter _TECHMAP_CONSTMSK_{c}_ = 0;
  input {a}, {b}, {c};
  output {carry}, {sum};
  wire _TECHMAP_FAIL_ =
    !(_TECHMAP_CONSTMSK_{a}_ | _TECHMAP_CONSTMSK_{b}_ | _TECHMAP_CONSTMSK_{c}_);
  assign {sum} = {sum_is}({a} ^ {b} ^ {c});
  assign {carry} = {carry_is}(({a} & {b}) | ({c} & ({a} ^ {b})));
endmodule
"""
_FULL_ADDER = """
(* techmap_celltype = "$fa" *)
module full_adder (A, B, C, X, Y);
  parameter WIDTH = 1;
  input A, B, C;
  output X, Y;
  wire carry, sum;
  {cell} adder (.{a}(A), .{b}(B), .{c}(C), .{carry}(carry), .{sum}(sum));
  assign X = {carry_is}carry;
  assign Y = {sum_is}sum;
endmodule
"""
_SUM = np.array([0, 1, 1, 0, 1, 0, 0, 1], bool)
_CARRY = np.array([0, 0, 0, 1, 0, 1, 1, 1], bool)


def run_gates(
    folder: Path,
    top: str,
    verilog: str,
    adder: Mapping[str, str] | None,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
) -> None:
    """Run Yosys from Verilog to simple gates and, where there is one, full-adder cells.

    ``before`` and ``after`` are commands around that. Writes ``yosys.log``, the script that it logs
    (``yosys.ys``) and the technology maps into ``folder``. ``adder``: what `full_adder`
    returns; None makes full adders of gates.
    """
    for name in (LOG, SCRIPT):
        (folder / name).unlink(missing_ok=True)

    def run(*lines: str) -> None:
        with naming(folder / SCRIPT), (folder / SCRIPT).open("a", encoding="utf-8") as script:
            script.writelines(f"{line}\n" for line in lines)
        # Command by command into the log, so that it is there after a failure too.
        run_yosys("\n".join(f"tee -a {LOG} {line}" for line in lines), folder, TIMEOUT_S)

    for name, text in maps(adder).items():
        write_text(folder / name, text)
    sums, gates = gate_commands(top, verilog, adder is not None)
    if _is_hardwired(folder / verilog):
        path = folder / "adders.json"
        run(*sums, _BITS_OF_ADDERS, "opt -fast", f"write_json {path.name}")
        circuit = written_json(path)
        for name, module in circuit["modules"].items():
            if name.startswith(HARDWIRED):
                circuit["modules"][name] = full_adders.reordered(module)
        write_text(path, json.dumps(circuit))
        sums = [f"read_json {path.name}", "opt_clean"]
    run(*before, *sums, *gates, *after)


def maps(adder: Mapping[str, str] | None) -> dict[str, str]:
    """Return the technology maps that the commands read, by the names of their files."""
    texts = {"ripple.v": _RIPPLE, "bits.v": _BITS, "gates.v": _GATES}
    if adder is not None:
        texts["full_adder.v"] = _FULL_ADDER.format_map(adder)
        texts["constants.v"] = _CONSTANTS.format_map(adder)
    return texts


_BITS_OF_ADDERS = "techmap -map bits.v t:$fa"


def gate_commands(top: str, verilog: str, has_adder: bool) -> tuple[list[str], list[str]]:
    """Return the commands from Verilog to sums of full adders, and from these to simple gates."""
    synth = f"synth -top {top} -flatten -noabc -booth"
    sums = [
        f"read_verilog {verilog}",
        f"hierarchy -check -top {top}",
        # Marks that served lint and waveforms only; they would keep unused gates alive.
        "setattr -unset keep w:*",
        # All lanes are alike: each kind is mapped once, and flattened when it is.
        *(f"setattr -mod -set keep_hierarchy 1 {lane}" for lane in LANE_MODULES),
        f"{synth} -run :fine",
        "opt -fast -full",
        # Sums of products and of many terms: carry-save adders, and one carry that ripples.
        "techmap -map +/techmap.v t:$macc*",
        "techmap -map ripple.v t:$alu",
        "opt -fast",
    ]
    cells = []
    if has_adder:
        cells = [_BITS_OF_ADDERS, *_ROUNDS * ["techmap -map gates.v t:$fa", "opt -fast"]]
        cells.append("techmap -map full_adder.v t:$fa")
    return sums, [*cells, f"{synth} -run fine:"]


def cell_commands(
    liberty: Sequence[str],
    avoided: Sequence[str],
    has_adder: bool,
    avoided_registers: Sequence[str] = (),
) -> tuple[list[str], list[str]]:
    """Return the commands before those of `gate_commands`, and those after them to cells.

    The last one writes ``netlist.v``.
    """
    files = " ".join(f"-liberty {file}" for file in liberty)
    avoid = " ".join(f"-dont_use {name}" for name in avoided)
    again = []
    if has_adder:
        again = _ROUNDS * ["techmap -map constants.v", "simplemap", "opt -fast"]
        again.append(f"abc {files} {avoid} -script {_ABC}")
    before = [f"read_liberty -lib -ignore_miss_func {file}" for file in liberty]
    avoid_registers = " ".join([avoid, *(f"-dont_use {name}" for name in avoided_registers)])
    after = [
        # A register keeps its name where its only output inverts and the inverter goes.
        *(["rename -wire t:$_*DFF*"] if avoided_registers else []),
        f"dfflibmap {files} {avoid_registers}",
        f"abc {files} {avoid} -script {_ABC}",
        *again,
        "setattr -mod -unset keep_hierarchy *",
        "flatten",
        "opt_clean -purge",
        # OpenSTA's Verilog reader wants no vectors inside, no signed wires and no concatenations.
        "splitnets",
        "opt_clean -purge",
        "check -assert -mapped",
        "write_verilog -simple-lhs -noattr -noexpr netlist.v",
    ]
    return before, after


def _is_hardwired(verilog: Path) -> bool:
    """Tell whether filters of this Verilog have their taps in the logic."""
    return f"module {HARDWIRED}" in verilog.read_text(encoding="utf-8")


def _strong_registers(library: Library, avoided: Collection[str]) -> list[str]:
    """Return the registers that are larger than the smallest one, which inverts, and do not invert.

    Yosys takes them for the sake of an inverter, which mostly is not needed.
    """
    plain: list[tuple[float, str]] = []
    inverting: list[float] = []
    for cell in library.readable_cells():
        state = cell.sequential
        if state is None or cell.name in avoided or state.kind != "ff" or len(cell.outputs) != 1:
            continue
        (output,) = cell.outputs
        stored = state.next_state.truth.tolist()
        if output.function is None or len(stored) != 2:
            continue
        inverted = output.function.text == state.inverted_state
        if inverted ^ (stored == [True, False]):
            inverting.append(cell.area_um2)
        else:
            plain.append((cell.area_um2, cell.name))
    if not inverting:
        return []
    return [name for area, name in plain if min(plain)[0] > min(inverting)]


def full_adder(library: Library, avoided: Collection[str]) -> dict[str, str] | None:
    """Return the kit's smallest full adder, None where it has none.

    ``cell``, its pins ``a``, ``b``, ``c``, ``carry`` and ``sum``, and ``carry_is`` and ``sum_is``:
    "~" for an output that is inverted, else nothing.
    """
    candidates = []
    for cell in library.readable_cells():
        inputs = [pin.name for pin in cell.inputs]
        if cell.has_state or cell.name in avoided or len(inputs) != 3 or len(cell.outputs) != 2:
            continue
        adder = {"cell": cell.name, **dict(zip("abc", inputs, strict=True))}
        for pin in cell.outputs:
            if pin.function is None or len(pin.function.variables) != 3:
                continue
            # Sum and carry are symmetric: the order of the variables does not matter.
            for name, truth in (("carry", _CARRY), ("sum", _SUM)):
                if (pin.function.truth == truth).all():
                    adder |= {name: pin.name, f"{name}_is": ""}
                elif (pin.function.truth != truth).all():
                    adder |= {name: pin.name, f"{name}_is": "~"}
        if "carry" in adder and "sum" in adder:
            candidates.append((cell.area_um2, cell.name, adder))
    if not candidates:
        return None
    _, _, adder = min(candidates, key=lambda candidate: candidate[:2])
    for key in ("cell", "a", "b", "c", "carry", "sum"):
        processes.checked_name(adder[key], "cell or pin")
    return adder


def recipe(library: Library, dont_use: Sequence[str]) -> dict[str, Any]:
    """Say how `synthesize` maps to a library, for the metrics; its script is ``yosys.ys``."""
    adder = full_adder(library, unwanted(library, dont_use))
    return {
        "multipliers": "booth",
        "sums": "carry-save, one carry that ripples",
        "full_adder": None if adder is None else adder["cell"],
        "full_adders_of_hardwired_lanes": "in order of arrival"
        + (", of the polarity that needs few inverters" if adder and "~" in adder.values() else ""),
        "abc_script": _ABC.removeprefix("+"),
        "abc_clock_target": None,
    }


def synthesize(
    folder: Path,
    liberty: Sequence[str],
    verilog: str,
    top: str,
    library: Library,
    dont_use: Sequence[str],
) -> Netlist:
    """Map ``verilog`` to ``netlist.v``, flat; all files lie in ``folder``, as do log and script.

    Returns what is in ``netlist.v``.

    `ToolError` where Yosys fails or the mapped netlist does not pass its `check -mapped`.
    """
    for name in (*liberty, verilog, top):
        processes.checked_name(name, "name in a Yosys script")
    avoided = unwanted(library, dont_use)
    adder = full_adder(library, avoided)
    inverts = _is_hardwired(folder / verilog) and adder is not None and "~" in adder.values()
    strong = _strong_registers(library, avoided) if inverts else []
    before, after = cell_commands(liberty, avoided, adder is not None, strong)
    try:
        with _apart(folder, (*liberty, verilog)) as work:
            run_gates(work, top, verilog, adder, before, after)
    except ToolError as error:
        raise type(error)(f"{error}; log: {folder / LOG}") from None
    written_verilog(folder / "netlist.v")
    mapped = netlist.read(folder / "netlist.v")
    if inverts:
        mapped = polarity.with_register_names(mapped, library)
    mapped = constants.folded(mapped, library)
    if inverts:
        mapped = polarity.with_few_inverters(mapped, library, avoided)
    mapped = fanout.buffered(mapped, library, avoided, library.default_wire_load)
    mapped = names.distinct(mapped)
    netlist.write(mapped, folder / "netlist.v")
    return mapped


def unwanted(library: Library, dont_use: Sequence[str]) -> list[str]:
    """Return the cells that logic may not use: those named, marked, or that cannot be read."""
    usable = {cell.name for cell in library.readable_cells() if not cell.dont_use}
    return [
        processes.checked_name(name, "cell")
        for name in library.cells
        if name not in usable or any(fnmatchcase(name, pattern) for pattern in dont_use)
    ]


@contextmanager
def _apart(folder: Path, inputs: Sequence[str]) -> Iterator[Path]:
    """Give a folder with links to files of ``folder``; move new files to ``folder`` at the end.

    Its name is harmless in a Yosys script; a user may call a folder anything.
    """
    with shell_safe_folder("dbp-mapping-") as work:
        for name in inputs:
            (work / name).symlink_to((folder / name).resolve())
        try:
            yield work
        finally:
            for file in work.iterdir():
                if not file.is_symlink():
                    shutil.move(file, folder / file.name)
