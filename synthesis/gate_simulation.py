"""Gate-level simulation of a mapped netlist with annotated delays, by Icarus Verilog.

Every cell becomes a module of its own: the Liberty function, and a `specify` block with the delays
of that instance from the SDF, path by path. So no path is left to how Icarus matches an SDF file
(version 11 ignores those with conditions). Registers sample at the ideal clock edge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dbp.errors import ToolError
from dbp.synthesis import tools, waveform
from dbp.synthesis.activity import Activity
from dbp.synthesis.boolean import Expression
from dbp.synthesis.liberty import Cell, Library
from dbp.synthesis.netlist import CONSTANTS, Instance, Netlist
from dbp.synthesis.timing import Delays

TIMEOUT_S = 3600
_UNIT_S = 1e-13
_NAME = re.compile(r"(?<!')\b[A-Za-z_]\w*")


@dataclass(frozen=True)
class GateSimulation:
    """``outputs``: shape ``(clocks, bits)``, the bits of ``netlist.outputs`` in order: 0, 1, or 2
    where it is unknown. ``annotated_fraction``: share of the nets behind cells whose every path
    from a pin has a delay from the SDF."""

    outputs: NDArray[np.uint8]
    activity: Activity
    annotated_fraction: float


def simulate(
    folder: Path,
    netlist: Netlist,
    library: Library,
    delays: Delays,
    stimulus: Sequence[int],
    period_s: float,
    first_counted: int,
) -> GateSimulation:
    """Simulate in ``folder``; one word of ``stimulus`` per clock, counting from ``first_counted``.

    A word holds the bits of ``netlist.inputs`` without ``clk``, the first the most significant; it
    is applied at the clock edge, and ``outputs[k]`` is what lies there when edge k + 1 samples.
    """
    tools.require("iverilog", "vvp")
    model = _Model(netlist, library, delays)
    inputs = [name for name in netlist.inputs if name != "clk"]
    half = max(round(period_s / _UNIT_S / 2), 1)
    bench = _BENCH.format(
        half=half,
        width=len(inputs),
        last=len(stimulus) - 1,
        first=first_counted,
        outputs=", ".join(f"dut.{model.net(net)}" for net in netlist.outputs.values()),
    )
    text = bench + model.verilog(inputs)
    (folder / "gates.v").write_text(text, encoding="utf-8")
    digits = (len(inputs) + 3) // 4
    (folder / "stimulus.hex").write_text(
        "\n".join(f"{word:0{digits}x}" for word in stimulus) + "\n", encoding="ascii"
    )
    tools.run(
        ["iverilog", "-g2009", "-gspecify", "-o", "gates.vvp", "gates.v"],
        folder,
        "iverilog.log",
        TIMEOUT_S,
    )
    tools.run(["vvp", "-n", "gates.vvp"], folder, "simulation.log", TIMEOUT_S)
    counts = waveform.count(folder / "gates.vcd")
    clocks = len(stimulus) - first_counted
    if counts.duration != clocks * 2 * half:
        raise ToolError(f"gate-level simulation: counted {counts.duration} units, not all clocks")
    dumped = {short: k for k, short in enumerate(counts.names)}
    places = {net: dumped[short] for net, short in model.nets.items()}
    return GateSimulation(
        outputs=_read_bits(folder / "outputs.txt", len(stimulus), len(netlist.outputs)),
        activity=Activity(
            {net: int(counts.toggles[k]) / clocks for net, k in places.items()},
            {net: int(counts.time_at_one[k]) / counts.duration for net, k in places.items()},
        ),
        annotated_fraction=model.annotated / max(model.driven, 1),
    )


def _read_bits(path: Path, clocks: int, bits: int) -> NDArray[np.uint8]:
    text = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    if text.size != clocks * (bits + 1):
        raise ToolError(f"{path}: {text.size} characters: must be {clocks} lines of {bits} bits")
    digits = text.reshape(clocks, bits + 1)[:, :bits]
    return np.where(digits == ord("0"), 0, np.where(digits == ord("1"), 1, 2)).astype(np.uint8)


_BENCH = """\
`timescale 100fs/100fs
module bench;
  reg clk = 0;
  reg [{width}-1:0] stimulus [0:{last}];
  reg [{width}-1:0] word;
  integer k = 0, file;
  dut dut (clk, word);
  initial begin
    $readmemh("stimulus.hex", stimulus);
    file = $fopen("outputs.txt");
    forever begin
      #{half} clk = 1;
      if (k > 0) $fdisplay(file, "%b", {{{outputs}}});
      if (k > {last}) $finish;
      else begin
        word <= stimulus[k];
        if (k == {first}) begin $dumpfile("gates.vcd"); $dumpvars(1, bench.dut); end
        k = k + 1;
      end
      #{half} clk = 0;
    end
  end
endmodule
"""


class _Model:
    """The netlist as Verilog with short names, every delay a number."""

    def __init__(self, netlist: Netlist, library: Library, delays: Delays) -> None:
        self.nets: dict[str, str] = {}
        self.driven = self.annotated = 0
        self._paths = delays.paths
        self._modules: list[str] = []
        self._body: list[str] = []
        self._registers: dict[str, list[str]] = {}
        self._states: list[str] = []
        for name in netlist.inputs:
            self.net(name)
        for instance in netlist.instances:
            cell = library.cells.get(instance.cell)
            if cell is None or (cell.has_state and cell.sequential is None):
                raise ToolError(f"{instance.name}: cell {instance.cell}: cannot be simulated")
            if cell.sequential is None:
                self._combinational(instance, cell)
            else:
                self._register(instance, cell)

    def net(self, name: str) -> str:
        """Short name of a net; constants stay."""
        return name if name in CONSTANTS else self.nets.setdefault(name, f"n{len(self.nets)}")

    def verilog(self, inputs: Sequence[str]) -> str:
        width = len(inputs)
        wires = [f"wire {short};" for short in self.nets.values()]
        ports = [
            f"assign {self.net(name)} = word[{width - 1 - k}];" for k, name in enumerate(inputs)
        ]
        edges = [
            f"always @({edge}) begin {' '.join(updates)} end"
            for edge, updates in self._registers.items()
        ]
        return "\n".join(
            [
                f"module dut (input clk, input [{width}-1:0] word);",
                f"assign {self.net('clk')} = clk;",
                *wires,
                *ports,
                *self._body,
                "endmodule",
                # The states live in a module of their own: a dump of the nets leaves them out.
                "module states;",
                *self._states,
                *edges,
                "endmodule",
                *self._modules,
                "",
            ]
        )

    def _delays(
        self, instance: Instance, output: str, pins: Sequence[str]
    ) -> list[tuple[int, int]]:
        """(rise, fall) of each path in time units; counts whether all of them are annotated."""
        found = [self._paths.get((instance.name, pin, output)) for pin in pins]
        self.driven += 1
        self.annotated += None not in found
        return [
            (round(rise / _UNIT_S), round(fall / _UNIT_S))
            for rise, fall in (path or (0.0, 0.0) for path in found)
        ]

    def _combinational(self, instance: Instance, cell: Cell) -> None:
        for pin in cell.outputs:
            if pin.name not in instance.nets:
                continue
            if pin.function is None:
                raise ToolError(f"{instance.name}: {cell.name}/{pin.name} has no function")
            target, variables = self.net(instance.nets[pin.name]), pin.function.variables
            delays = self._delays(instance, pin.name, variables)
            if len(variables) <= 1:
                rise, fall = delays[0] if delays else (0, 0)
                value = self._in_nets(pin.function, instance.nets)
                self._body.append(f"assign #({rise},{fall}) {target} = {value};")
                continue
            paths = " ".join(
                f"({name} => Z) = ({rise},{fall});"
                for name, (rise, fall) in zip(variables, delays, strict=True)
            )
            k = len(self._modules)
            self._modules.append(
                f"module m{k} (output Z, input {', '.join(variables)}); "
                f"assign Z = {pin.function.verilog}; specify {paths} endspecify endmodule"
            )
            nets = ", ".join(self.net(instance.nets.get(name, "1'b0")) for name in variables)
            self._body.append(f"m{k} u{k} ({target}, {nets});")

    def _register(self, instance: Instance, cell: Cell) -> None:
        sequential = cell.sequential
        if sequential.kind != "ff" or len(sequential.clocked_on.variables) != 1:
            raise ToolError(f"{instance.name}: {cell.name}: only flip-flops are simulated")
        for control in (sequential.clear, sequential.preset):
            if control is not None and not _never(control, instance.nets):
                raise ToolError(f"{instance.name}: {cell.name}: asynchronous reset is in use")
        (clock,) = sequential.clocked_on.variables
        edge = "posedge" if sequential.clocked_on.truth[1] else "negedge"
        state = f"s{len(self._states)}"
        self._states.append(f"reg {state};")
        value = self._in_nets(sequential.next_state, instance.nets, scope="bench.dut.")
        source = f"bench.dut.{self.net(instance.nets[clock])}"
        self._registers.setdefault(f"{edge} {source}", []).append(f"{state} <= {value};")
        values = {sequential.state: state, sequential.inverted_state: f"(~{state})"}
        for pin in cell.outputs:
            if pin.name in instance.nets:
                ((rise, fall),) = self._delays(instance, pin.name, [clock])
                value = _NAME.sub(lambda m: values[m[0]], pin.function.verilog)
                value = value.replace(state, f"states.{state}")
                self._body.append(
                    f"assign #({rise},{fall}) {self.net(instance.nets[pin.name])} = {value};"
                )

    def _in_nets(self, function: Expression, nets: Mapping[str, str], scope: str = "") -> str:
        def net(found: re.Match[str]) -> str:
            short = self.net(nets.get(found[0], "1'b0"))
            return short if short in CONSTANTS else scope + short

        return _NAME.sub(net, function.verilog)


def _never(control: Expression, nets: Mapping[str, str]) -> bool:
    """Whether constants at the pins keep an asynchronous control from ever being true."""
    values = {name: CONSTANTS.get(nets.get(name, "")) for name in control.variables}
    return None not in values.values() and control.probability(values) == 0
