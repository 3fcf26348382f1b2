"""Power by a current OpenSTA: write its script, run it, read its report.

It has never been run against a real one: Debian's is 2.0.17, whose power is wrong, and is refused.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dbp.errors import InputError, MissingError, ToolError
from dbp.support import processes
from dbp.support.files import open_gzip_or_plain, write_bytes, write_text
from dbp.synthesis.activity.activity import Activity
from dbp.synthesis.cells.library import Library
from dbp.synthesis.netlist import CONSTANTS, Netlist
from dbp.synthesis.power.calculate import Power

TIMEOUT_S = 3600
OLDEST = (2, 5)
_ROW = re.compile(r"^\s*(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)$", re.MULTILINE)


def find() -> tuple[str, str]:
    """Return the program to run (``sta`` of 2.5 or later, else ``openroad``) and its version.

    `MissingError` where neither is installed, or only an older ``sta``.
    """
    refused = ""
    if shutil.which("sta") is not None:
        version = processes.version(["sta", "-version"])
        numbers = re.search(r"(\d+)\.(\d+)", version)
        if numbers and (int(numbers[1]), int(numbers[2])) >= OLDEST:
            return "sta", f"OpenSTA {version}"
        refused = f"sta {version} is too old, its power is wrong; "
    if shutil.which("openroad") is not None:
        return "openroad", f"OpenROAD {processes.version(['openroad', '-version'])}"
    raise MissingError(f"--power-engine opensta: {refused}needs sta 2.5 or later, or openroad")


def calculate(
    own: Power,
    netlist: Netlist,
    library: Library,
    activity: Activity,
    clock_period_s: float,
    wire_load: str | None,
    input_slew_ns: float,
    verilog: str | Path,
    liberty: Sequence[str | Path],
    folder: Path,
) -> Power:
    """Return what `dbp.synthesis.power.calculate.calculate` does, by the program that `find` names.

    ``own``: our own calculation of the same, from which clocks and groups are taken. ``folder``:
    where script and log go. ``verilog`` and
    ``liberty`` are the files that netlist and library were read from. `ToolError` where the answer
    lacks an instance.
    """
    program, _ = find()
    files = []
    for k, path in enumerate(liberty):
        with open_gzip_or_plain(path) as file:
            content = file.read()
        if wire_load is None:
            # OpenSTA has no command for no wires: it takes the library's default.
            content = re.sub(rb"\bdefault_wire_load\s*:[^;\n]*;?", b"", content)
        files.append(f"library{k}.lib")
        write_bytes(folder / files[-1], content)
    with open_gzip_or_plain(verilog) as file:
        write_bytes(folder / "netlist.v", file.read())
    clocks = own.clocks
    lines = [
        *(f"read_liberty {file}" for file in files),
        "read_verilog netlist.v",
        f"link_design {processes.checked_name(netlist.module, 'module')}",
        "set_cmd_units -time ns",
        f"create_clock -name dbp_clock -period {clock_period_s * 1e9:.9g} "
        + ("[get_ports {" + " ".join(map(_escaped, clocks)) + "}]" if clocks else ""),
    ]
    if wire_load is not None:
        lines += [
            f"set_wire_load_model -name {processes.checked_name(wire_load, 'wire load')}",
            "set_wire_load_mode top",
        ]
    if input_slew_ns > 0:
        lines += [
            f"set_input_transition {input_slew_ns:.9g} [get_ports {{{name}}}]"
            for name in _ports(netlist, clocks).values()
        ]
    lines += activity_commands(netlist, library, activity, clocks)
    lines.append("report_power -instances [get_cells *] -digits 6")
    write_text(folder / "power.tcl", "\n".join(lines) + "\n")
    command = [program, "-no_init", "-no_splash", "-exit", "power.tcl"]
    log = processes.run(command, folder, "power.log", TIMEOUT_S)
    return _read(log, own, folder / "power.log")


def activity_commands(
    netlist: Netlist, library: Library, activity: Activity, clocks: Collection[str]
) -> list[str]:
    """Return the Tcl that sets the activity of every input but the clocks, and every driven pin.

    `InputError` for a name that Tcl or OpenSTA would take for something else.
    """
    lines = [
        _activity(f"-input_ports [get_ports {{{name}}}]", activity, net)
        for net, name in _ports(netlist, clocks).items()
    ]
    for instance in netlist.instances:
        for pin in library.cells[instance.cell].outputs:
            driven = instance.nets.get(pin.name)
            if driven is None or driven in CONSTANTS:
                continue
            if driven in activity.toggles_per_clock:
                name = f"{_escaped(instance.name)}/{processes.checked_name(pin.name, 'pin')}"
                lines.append(_activity(f"-pins [get_pins {{{name}}}]", activity, driven))
    return lines


def _ports(netlist: Netlist, clocks: Collection[str]) -> dict[str, str]:
    """Return what OpenSTA calls each bit of the input ports that is no clock."""
    # It does not know the bit of a vector by its escaped name.
    bits = {bit for name, port in netlist.ports.items() for bit in port if bit != name}
    return {
        net: net if net in bits else _escaped(net) for net in netlist.inputs if net not in clocks
    }


def _escaped(name: str) -> str:
    """Return a name as OpenSTA writes it: a backslash before brackets and dividers inside it."""
    name = name.removeprefix("\\")  # of an escaped name that looks like a bit
    if re.search(r"[{}*?\s]", name):
        raise InputError(f"name {name!r}: no braces, * or ? where OpenSTA is asked")
    return re.sub(r"([\[\]/\\])", r"\\\1", name)


def _activity(what: str, activity: Activity, net: str) -> str:
    toggles, probability = activity.toggles_per_clock[net], activity.static_probability[net]
    return f"set_power_activity {what} -activity {toggles:.9g} -duty {probability:.9g}"


def _read(log: str, own: Power, path: Path) -> Power:
    """Read the rows "internal switching leakage total instance" of the log."""
    rows: dict[str, tuple[float, ...]] = {}
    for match in _ROW.finditer(log):
        try:
            rows[match[5].replace("\\", "")] = tuple(float(match[k]) for k in (1, 2, 3))
        except ValueError:  # a line of the heading
            continue
    lacking = [name for name in own.instances if name.replace("\\", "") not in rows]
    if lacking:
        raise ToolError(
            f"no power of {len(lacking)} instances, {lacking[0]} the first; log: {path}"
        )
    columns = np.array([rows[name.replace("\\", "")] for name in own.instances]).reshape(-1, 3)
    internal, switching, leakage = columns.T
    return replace(own, switching_w=switching, internal_w=internal, leakage_w=leakage)
