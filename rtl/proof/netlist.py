"""Read emitted Verilog as cells and bits: parsed by Yosys, not optimised, checked and indexed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from dbp.errors import DbpError, InputError, ToolError
from dbp.support import family
from dbp.support.files import read_text, write_text
from dbp.support.yosys import run_yosys, written_json

TIMEOUT_S = 600

# Driven nets are numbers, the constants are 0 and 1 as strings: as Yosys writes them.
Bit = int | str
CONSTANTS = {"0": 0, "1": 1}

_SCRIPT = """
read_verilog {files}
hierarchy -check
proc -noopt
flatten {flat}
opt_clean
write_json netlist.json
"""
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class ProofError(DbpError):
    """A module is not what golden is, or that could not be shown; the message says where."""


class Register(NamedTuple):
    """A register bit: at a clock edge it takes over ``data``.

    ``enable``: the bit that must be 1 for that; None where it always does. ``reset``: what ``rst``
    sets it to, 0 or 1; None where it has no reset.
    """

    data: Bit
    enable: Bit | None
    reset: int | None


@dataclass(frozen=True, eq=False)
class Cell:
    """A cell of Yosys' library or an instance of a module; the bits of its ports, low first."""

    name: str
    type: str
    parameters: Mapping[str, int]
    inputs: Mapping[str, tuple[Bit, ...]]
    outputs: Mapping[str, tuple[Bit, ...]]


@dataclass(frozen=True, eq=False)
class WordNetlist:
    """A module: its ports, its cells, and what drives each bit."""

    name: str
    inputs: Mapping[str, tuple[Bit, ...]]
    outputs: Mapping[str, tuple[Bit, ...]]
    cells: Sequence[Cell]
    nets: Mapping[str, tuple[Bit, ...]]

    @cached_property
    def drivers(self) -> dict[Bit, tuple[Cell | str, int]]:
        """For each bit the cell, or the name of the input, that drives it, and which bit there."""
        drivers: dict[Bit, tuple[Cell | str, int]] = {}
        for port, bits in self.inputs.items():
            if not all(isinstance(bit, int) for bit in bits):
                raise ProofError(f"{self.name}: input {port} is driven inside")
        driven: list[tuple[Cell | str, tuple[Bit, ...]]] = [*self.inputs.items()]
        driven += [(cell, bits) for cell in self.cells for bits in cell.outputs.values()]
        for source, bits in driven:
            for k, bit in enumerate(bits):
                if bit in drivers:
                    raise ProofError(f"{self.name}: {self.describe(bit)} has two drivers")
                drivers[bit] = source, k
        return drivers

    @cached_property
    def _names(self) -> dict[Bit, str]:
        names: dict[Bit, str] = {}
        # The last name wins: of those that people gave the shortest, of Yosys' own only if alone.
        for net in sorted(self.nets, key=lambda n: (n[0] not in "$_", -len(n), n)):
            bits = self.nets[net]
            for k, bit in enumerate(bits):
                names[bit] = net if len(bits) == 1 else f"{net}[{k}]"
        return names

    def driver(self, bit: Bit) -> tuple[Cell | str, int]:
        """Return the cell or port that drives ``bit``; `ProofError` where nothing does."""
        if bit not in self.drivers:
            raise ProofError(f"{self.name}: {self.describe(bit)}: driven by nothing")
        return self.drivers[bit]

    def cell(self, bit: Bit) -> tuple[Cell, int]:
        """The cell that drives ``bit``, and which of its bits that is; `ProofError` without one."""
        driver, k = self.driver(bit)
        if not isinstance(driver, Cell):
            raise ProofError(f"{self.name}: {self.describe(bit)}: driven by no cell")
        return driver, k

    def is_register(self, bit: Bit) -> bool:
        """Tell whether a flip-flop drives ``bit``."""
        cell, _ = self.drivers.get(bit, ("", 0))
        return isinstance(cell, Cell) and cell.type == "$dff"

    def register(self, bit: Bit) -> Register:
        """The register that drives ``bit``; `ProofError` where the clock is not the rising clk.

        Enable and reset are choices before a plain flip-flop: ``proc`` writes them so.
        """
        cell, k = self.cell(bit)
        if cell.inputs["CLK"] != self.inputs.get("clk") or not cell.parameters["CLK_POLARITY"]:
            raise ProofError(f"{self.name}: {self.describe(bit)}: not on the rising edge of clk")
        data = cell.inputs["D"][k]
        enable: Bit | None = None
        reset: int | None = None
        while True:
            mux, j = self.drivers.get(data, ("", 0))
            if not isinstance(mux, Cell) or mux.type != "$mux":
                break
            select, a, b = mux.inputs["S"], mux.inputs["A"][j], mux.inputs["B"][j]
            # Reset acts whether enabled or not: from D backwards, its choice comes first.
            if select == self.inputs.get("rst") and b in CONSTANTS and enable is None:
                data, reset = a, CONSTANTS[b]
            elif a == bit and enable is None:
                data, (enable,) = b, select
            else:
                break
        return Register(data, enable, reset)

    def describe(self, bit: Bit) -> str:
        """The name of a bit as in the Verilog."""
        return f"constant {bit}" if bit in CONSTANTS else self._names.get(bit, f"net {bit}")


def read_modules(rtl_dir: str | Path, flat: Sequence[str] = ()) -> dict[str, WordNetlist]:
    """Read all modules of the ``*.v`` of a folder; flatten those named in ``flat``.

    Yosys only parses (`read_verilog`, `proc -noopt`, `flatten`): each operator of the text is one
    cell. `InputError` for no files or a module that is not there, `ToolError` where Yosys fails,
    `ProofError` where a bit has two drivers.
    """
    files = sorted(Path(rtl_dir).glob("*.v"))
    if not files:
        raise InputError(f"{rtl_dir}: no *.v: run `dbp rtl` first")
    with family.temporary_folder("dbp-proof-") as folder:
        for k, file in enumerate(files):
            write_text(folder / f"{k}.v", read_text(file))
        script = _SCRIPT.format(
            files=" ".join(f"{k}.v" for k in range(len(files))),
            flat=" ".join(_checked(name) for name in flat),
        )
        if not flat:
            script = script.replace("flatten \n", "")
        run_yosys(script, folder, TIMEOUT_S)
        modules = written_json(folder / "netlist.json")["modules"]
    for name in flat:
        if name not in modules:
            raise InputError(f"{rtl_dir}: no module {name}")
    netlists = {name: _module(name, content) for name, content in modules.items()}
    for netlist in netlists.values():
        # Raises where a bit has two drivers, also in modules in which nothing else is looked up.
        _ = netlist.drivers
    return netlists


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InputError(f"module {name!r}: must be a plain Verilog name")
    return name


def _module(name: str, content: Mapping[str, Any]) -> WordNetlist:
    ports: dict[str, dict[str, tuple[Bit, ...]]] = {"input": {}, "output": {}}
    for port, row in content["ports"].items():
        if row["direction"] not in ports:
            raise ToolError(f"{name}: port {port}: neither an input nor an output")
        ports[row["direction"]][port] = tuple(row["bits"])
    cells = []
    for cell, row in content["cells"].items():
        if row["type"] == "$scopeinfo":
            continue
        sides: dict[str, dict[str, tuple[Bit, ...]]] = {"input": {}, "output": {}}
        for port, bits in row["connections"].items():
            sides[row["port_directions"][port]][port] = tuple(bits)
        parameters = {
            key: int(value, 2)
            for key, value in row["parameters"].items()
            if re.fullmatch("[01]+", value)
        }
        cells.append(Cell(cell, row["type"], parameters, sides["input"], sides["output"]))
    nets = {net: tuple(row["bits"]) for net, row in content["netnames"].items()}
    return WordNetlist(name, ports["input"], ports["output"], tuple(cells), nets)
