"""Static timing by OpenSTA, and the delays of every cell that it writes as SDF.

Debian's OpenSTA serves for timing only; its power figures are wrong (``docs/concepts/power.md``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dbp.errors import ToolError
from dbp.support import processes
from dbp.support.files import write_text

TIMEOUT_S = 600
_NO_WIRES = "dbp_no_wires"
# The last line of the log: a log without it is not whole.
_END = "dbp: end of the log"
_NO_WIRES_LIBERTY = f"""
library ({_NO_WIRES}) {{
  capacitive_load_unit (1, pf);
  input_threshold_pct_rise : 50; input_threshold_pct_fall : 50;
  output_threshold_pct_rise : 50; output_threshold_pct_fall : 50;
  slew_lower_threshold_pct_rise : 30; slew_lower_threshold_pct_fall : 30;
  slew_upper_threshold_pct_rise : 70; slew_upper_threshold_pct_fall : 70;
  wire_load ("{_NO_WIRES}") {{
    resistance : 0; capacitance : 0; area : 0; slope : 0;
    fanout_length (1, 0);
  }}
}}
"""
_TRIPLE = r"\(([-\d.:e+]*)\)"
# One delay alone is that of both edges.
_IOPATH = re.compile(rf"\s*\(IOPATH (\S+) (\S+) {_TRIPLE}(?: {_TRIPLE})?")
_INTERCONNECT = re.compile(rf"\s*\(INTERCONNECT \S+ (\S+) {_TRIPLE}(?: {_TRIPLE})?")
_DIVIDER = re.compile(r"\s*\(DIVIDER\s+([./])\s*\)")
_INSTANCE = re.compile(r"\s*\(INSTANCE (\S+?)\)\s*$")
# What may hold a parenthesis that is none: quoted text, and an escaped character of a name.
_QUOTED = re.compile(r'"[^"]*"|\\.')
_LATE = re.compile(r"^(\S+) \(\S+\)\s+\S+\s+\S+\s+(\S+) \((?:VIOLATED|MET)\)$", re.MULTILINE)
_STEP = re.compile(r"^\s.*?(\d+\.\d+) [\^v] (\S+)/\S+ \((\S+)\)$", re.MULTILINE)


@dataclass(frozen=True)
class Timing:
    """``slack_ns`` of the worst setup path, and that path: instance, cell and arrival in ns.

    ``slack_without_wires_ns``: the same where wires have no capacitance. ``late_ns``: slack by
    endpoint, an instance or a bit of an output port, where it is small.
    """

    slack_ns: float
    slack_without_wires_ns: float
    critical_path: tuple[tuple[str, str, float], ...]
    late_ns: Mapping[str, float]


@dataclass(frozen=True)
class PathDelays:
    """Seconds, ``(rise, fall)`` of the output, by ``(instance, input pin, output pin)``.

    A path that depends on the state has the mean over the states; wires are part of the path.
    """

    paths: Mapping[tuple[str, str, str], tuple[float, float]]


def setup(
    liberty: Sequence[str],
    netlist: str,
    top: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    period_ns: float,
) -> list[str]:
    """Return the Tcl that reads a design and constrains it, times in ns.

    Inputs change at the clock edge, outputs are due at the next one, the clock is ideal. The clock
    port is ``clk``, which ``inputs`` leaves out. `InputError` for a name unfit for a script.
    """
    for name in (*liberty, netlist, top, *inputs, *outputs):
        processes.checked_name(name, "name in a timing script")
    return [
        *(f"read_liberty {file}" for file in liberty),
        f"read_verilog {netlist}",
        f"link_design {top}",
        "set_cmd_units -time ns",
        *constraints(inputs, outputs, period_ns),
    ]


def constraints(inputs: Sequence[str], outputs: Sequence[str], period_ns: float) -> list[str]:
    """Return the lines of SDC that constrain a design, times in ns: see `setup`."""
    return [
        f"create_clock -name clk -period {period_ns:.6f} clk",
        f"set_input_delay 0 -clock clk [get_ports {{{' '.join(inputs)}}}]",
        f"set_output_delay 0 -clock clk [get_ports {{{' '.join(outputs)}}}]",
    ]


def analyze(
    folder: Path,
    liberty: Sequence[str],
    netlist: str,
    top: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    period_ns: float,
    wire_load: str | None,
    late_below_ns: float = 0.0,
) -> Timing:
    """Run OpenSTA in ``folder`` on files there: writes ``timing.log`` and ``delays.sdf``.

    The constraints are those of `setup`. ``wire_load`` None: wires have no capacitance.
    Endpoints with a slack below ``late_below_ns`` are listed.
    """
    # OpenSTA has no command for no wires: it takes the library's default.
    write_text(folder / f"{_NO_WIRES}.lib", _NO_WIRES_LIBERTY)
    lines = setup([*liberty, f"{_NO_WIRES}.lib"], netlist, top, inputs, outputs, period_ns)
    lines += [
        f"set_wire_load_model -name {_NO_WIRES}",
        "set_wire_load_mode top",
        'puts "worst slack without wires [worst_slack -max]"',
    ]
    if wire_load is not None:
        lines.append(f"set_wire_load_model -name {processes.checked_name(wire_load, 'wire load')}")
    lines += [
        "report_checks -path_delay max -digits 4 -fields {slew cap}",
        'puts "worst slack [worst_slack -max]"',
        # The count is more than any netlist has: all endpoints with so small a slack.
        f"report_checks -path_delay max -format end -group_count 1000000 -digits 4 "
        f"-slack_max {late_below_ns:.6f}",
        "write_sdf -divider . -digits 6 delays.sdf",
        f'puts "{_END}"',
    ]
    write_text(folder / "timing.tcl", "\n".join(lines) + "\n")
    # Without the user's own ~/.sta, which no run depends on.
    command = ["sta", "-no_init", "-no_splash", "-exit", "timing.tcl"]
    log = processes.run(command, folder, "timing.log", TIMEOUT_S)
    if not log.rstrip().endswith(_END):
        full = processes.full(folder)
        raise ToolError(f"sta wrote only part of its log{full}; log: {folder / 'timing.log'}")
    without_wires, with_wires = (
        re.search(rf"^worst slack {words}(\S+)$", log, re.MULTILINE)
        for words in ("without wires ", "")
    )
    if without_wires is None or with_wires is None or not re.search(r"data required time", log):
        raise ToolError(f"sta reported no slack; log: {folder / 'timing.log'}")
    path = log[: log.index("data arrival time")]
    steps = tuple((m[2], m[3], float(m[1])) for m in _STEP.finditer(path))
    late = {m[1].rpartition("/")[0] or m[1]: float(m[2]) for m in _LATE.finditer(log)}
    return Timing(float(with_wires[1]), float(without_wires[1]), steps, late)


def read_sdf(path: Path) -> PathDelays:
    """Read the ``delays.sdf`` of `analyze`: the late value of every cell arc and wire.

    `ToolError` where it is not whole: OpenSTA does not say that a disk was full.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        try:
            return _parse(file, str(path))
        except ToolError as error:
            raise ToolError(f"{error}{processes.full(path.parent)}") from None


def _parse(lines: Iterable[str], name: str) -> PathDelays:
    unit, instance, divider = None, "", "."
    wires: dict[str, float] = {}
    arcs: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    depth, groups = 0, 0
    for line in lines:
        bare = _QUOTED.sub("", line) if '"' in line or "\\" in line else line
        opened = bare.count("(")
        # Not below 0, and one group in all: a file that ends and goes on is none of one run.
        groups += depth == 0 and opened > 0
        depth += opened - bare.count(")")
        if depth < 0 or groups > 1:
            raise ToolError(f"{name}: not a delay file: a parenthesis too many")
        if (match := _IOPATH.match(line)) is not None:
            edges = (_late(match[3]), _late(match[3] if match[4] is None else match[4]))
            arcs.setdefault((instance, match[1], match[2]), []).append(edges)
        elif (match := _INTERCONNECT.match(line)) is not None:
            target = match[1].replace("\\", "")
            wires[target] = max(_late(match[2]), _late(match[3] or ""))
        elif (match := _INSTANCE.match(line)) is not None:
            instance = match[1].replace("\\", "")
        elif (match := _DIVIDER.match(line)) is not None:
            divider = match[1]
        elif "TIMESCALE" in line:
            match = re.search(r"\(TIMESCALE\s+(1|10|100)(?:\.0)?\s*([munpf]?)s\)", line)
            if match is not None:
                unit = (
                    float(match[1])
                    * {"": 1, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}[match[2]]
                )
    if depth > 0 or groups == 0:
        raise ToolError(f"{name}: only part of a delay file: {depth} parentheses are not closed")
    if unit is None:
        raise ToolError(f"{name}: not a delay file: no TIMESCALE")
    paths: dict[tuple[str, str, str], tuple[float, float]] = {}
    for (instance, source, target), values in arcs.items():
        wire = wires.get(f"{instance}{divider}{source}", 0.0)
        rise, fall = (sum(v[k] for v in values) / len(values) + wire for k in (0, 1))
        paths[instance, source, target] = (rise * unit, fall * unit)
    return PathDelays(paths)


def _late(triple: str) -> float:
    """Return the last number of ``early:typical:late``; 0 where it is empty."""
    numbers = [float(part) for part in triple.split(":") if part]
    return numbers[-1] if numbers else 0.0
