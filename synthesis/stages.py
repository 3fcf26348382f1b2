"""The stages that a mapped module passes: emit, map, time, simulate, cost.

Each stage is a function from frozen values to a frozen value. Files that one stage leaves for the
next (Verilog, netlist, delays) lie in one folder, ``work``. `dbp.synthesis.synthesize` passes a
step through all of them, `dbp.synthesis.fit_clock` many variants of a step, and
`dbp.synthesis.linear_equalizer` single operations.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dbp.datapath.design import Design
from dbp.datapath.limits import MAX_CLOCK_MHZ
from dbp.errors import InputError, ToolError
from dbp.records.provenance import package_versions
from dbp.rtl import Target, emit_step
from dbp.rtl.ports import Ports
from dbp.support import processes
from dbp.synthesis.activity.activity import Activity
from dbp.synthesis.cells import kits, layout_rules, liberty_reader
from dbp.synthesis.cells.kits import Kit
from dbp.synthesis.cells.library import Library
from dbp.synthesis.gates import simulation
from dbp.synthesis.gates.simulation import GateSimulation
from dbp.synthesis.gates.step_bench import Bench
from dbp.synthesis.mapping import yosys_map
from dbp.synthesis.netlist import CLOCK, Netlist
from dbp.synthesis.power import calculate
from dbp.synthesis.power.calculate import Power
from dbp.synthesis.timing import clock_tree, opensta_timing
from dbp.synthesis.timing.clock_tree import ClockTree
from dbp.synthesis.timing.opensta_timing import Timing

CLOCK_MHZ = 416.7
# How long after the latest path a simulated clock comes, where the real one would be too early.
MARGIN_S = 20e-12
VERILOG, NETLIST, SDF = "step.v", "netlist.v", "delays.sdf"


@dataclass(frozen=True, eq=False)
class Cells:
    """A kit, its Liberty files, and the library that they hold."""

    kit: Kit
    liberty: Sequence[Path]
    library: Library

    @classmethod
    def read(cls, kit: Kit, liberty: Sequence[Path]) -> Cells:
        """Read the Liberty files, which takes seconds; `InputError` for other files."""
        return cls(kit, liberty, liberty_reader.read(*liberty))


@dataclass(frozen=True, eq=False)
class Mapped:
    """A netlist of a kit's cells, and its static timing."""

    netlist: Netlist
    timing: Timing
    library: Library

    @property
    def cell_areas_um2(self) -> NDArray[np.float64]:
        """The area of every instance, in the order of the netlist."""
        cells = self.library.cells
        return np.array([cells[instance.cell].area_um2 for instance in self.netlist.instances])


@dataclass(frozen=True, eq=False)
class SimulatedStep:
    """A simulated step: how its gates toggled, and in how many samples they differ from golden.

    ``period_s``: the simulated period, see `simulate`.
    """

    gates: GateSimulation
    period_s: float
    samples: int
    mismatches: int


@dataclass(frozen=True, eq=False)
class Costed:
    """Power of a netlist, with and without glitches, and an estimate of its clock tree.

    ``wire_factor``: what the capacitance of its wires was multiplied by.
    """

    power: Power
    settled: Power
    clock_tree: ClockTree | None
    wire_factor: float


def check_clock(clock_mhz: float) -> None:
    """Raise `InputError` where ``clock_mhz`` is no clock."""
    if not 0 < clock_mhz <= MAX_CLOCK_MHZ:
        raise InputError(f"clock_mhz = {clock_mhz!r}: must be above 0 and at most {MAX_CLOCK_MHZ}")


def programs() -> dict[str, str]:
    """Return the versions of all that figures depend on; `MissingError` without OpenSTA."""
    processes.require("sta")
    opensta = processes.version(["sta", "-version"])
    return package_versions("amaranth", "pyosys", "numba") | {"opensta": opensta}


def fresh_folder(folder: Path) -> None:
    """Make ``folder``, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def emit(design: Design, target: Target, work: Path) -> Ports:
    """Write the Verilog of a step to ``work``, which is emptied first, and return its ports."""
    fresh_folder(work)
    return emit_step(design, work / VERILOG, target)


def map_and_time(
    work: Path, cells: Cells, top: str, clock_mhz: float, *, late_below_ns: float = 0.0
) -> Mapped:
    """Map the module ``top`` of the Verilog in ``work`` and time it.

    For ``late_below_ns`` and the files written see `dbp.synthesis.timing.opensta_timing.analyze`.
    """
    libraries = [kits.unpack(file, work) for file in cells.liberty]
    library = cells.library
    netlist = yosys_map.synthesize(work, libraries, VERILOG, top, library, cells.kit.dont_use)
    timing = opensta_timing.analyze(
        work,
        libraries,
        NETLIST,
        top,
        [p for p, bits in netlist.ports.items() if bits[0] in netlist.inputs and p != CLOCK],
        [p for p, bits in netlist.ports.items() if bits[0] in netlist.outputs],
        1e3 / clock_mhz,
        library.default_wire_load,
        late_below_ns,
    )
    return Mapped(netlist, timing, library)


def simulate(
    work: Path,
    mapped: Mapped,
    words: NDArray[np.uint8],
    warm_up_clocks: int,
    clock_mhz: float,
) -> tuple[GateSimulation, float]:
    """Play words through the gates, with the delays that `map_and_time` left in ``work``.

    ``words``, ``warm_up_clocks``: see `dbp.synthesis.gates.simulation.simulate`. Also returns the
    simulated period in s: where the clock is missed, a longer one that the gates can follow.
    `ToolError` where the delays are not those of every cell: without delays there are no glitches,
    and the watts are others.
    """
    period_s = 1e-6 / clock_mhz
    period_s = max(period_s, period_s - mapped.timing.slack_ns * 1e-9 + MARGIN_S)
    delays = opensta_timing.read_sdf(work / SDF)
    netlist, library = mapped.netlist, mapped.library
    gates = simulation.simulate(netlist, library, delays, words, period_s, warm_up_clocks)
    if lacking := gates.unannotated:
        raise ToolError(
            f"{work / SDF}: no delay of {len(lacking)} outputs of the netlist's cells, "
            f"{lacking[0]} the first{processes.full(work)}; log: {work / 'timing.log'}"
        )
    return gates, period_s


def simulate_step(work: Path, mapped: Mapped, bench: Bench, clock_mhz: float) -> SimulatedStep:
    """Play the bench of a step through its gates and compare every output sample with golden."""
    words = bench.words(mapped.netlist.inputs)
    gates, period_s = simulate(work, mapped, words, len(words) - bench.clocks, clock_mhz)
    samples, mismatches = bench.compare(gates, tuple(mapped.netlist.outputs))
    return SimulatedStep(gates, period_s, samples, mismatches)


def power(mapped: Mapped, activity: Activity, period_s: float, wire_factor: float = 1.0) -> Power:
    """Return the power of every instance, with the library's default wire load times a factor."""
    library = mapped.library
    wire_load = library.default_wire_load
    return calculate.calculate(
        mapped.netlist, library, activity, period_s, wire_load, wire_factor=wire_factor
    )


def cost(mapped: Mapped, gates: GateSimulation, kit: Kit, clock_mhz: float) -> Costed:
    """Return the power with and without glitches, and the clock tree that the kit would need."""
    period_s, factor = 1e-6 / clock_mhz, layout_rules.of(kit.name).wire_factor
    with_glitches, settled = (
        power(mapped, activity, period_s, factor) for activity in (gates.activity, gates.settled)
    )
    tree = clock_tree.estimate(mapped.netlist, mapped.library, period_s, kit.name)
    return Costed(with_glitches, settled, tree, factor)
