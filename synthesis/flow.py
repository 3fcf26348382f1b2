"""``dbp synth``: one step of a design, from its RTL to square micrometres and watts."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbp import golden
from dbp.design import Design
from dbp.errors import InputError, ToolError
from dbp.files import write_bytes
from dbp.golden import Samples
from dbp.metrics import Stopwatch, package_versions, write_metrics
from dbp.rtl import emit_step
from dbp.stimulus import Stimulus
from dbp.synthesis import gate_simulation, kits, liberty, mapping, netlist, power, timing, tools
from dbp.synthesis.gate_simulation import CLOCK, GateSimulation

CLOCK_MHZ = 416.7
MAX_CLOCK_MHZ = 10_000.0
WARM_UP_CLOCKS = 64
MARGIN_S = 20e-12
VERILOG, NETLIST, SDF = "step.v", "netlist.v", "delays.sdf"


def synthesize(
    run_dir: str | Path,
    pdk: str,
    *,
    step: int | None = None,
    lanes: int = 1,
    clock_mhz: float = CLOCK_MHZ,
    clocks: int = 1000,
    config_hash: str | None = None,
) -> dict[str, Any]:
    """Map one step of ``RUN/design.json`` to a kit, time it, simulate the gates, cost the power.

    ``step``: the middle one by default. ``clocks``: clock cycles that count, after a warm-up.
    The stimulus is ``RUN/stimulus.npz``, brought to the step's input by the golden model. Writes
    ``metrics.json``, the netlist, SDF, activity, power per instance, scripts and logs to
    ``RUN/synth/PDK`` and returns the metrics (keys: ``docs/power.md``).

    `InputError` for what does not fit; `MissingError` where a tool or the kit is not there;
    `ToolError` where a tool fails or the gates do not do what golden does.
    """
    stopwatch, run_dir = Stopwatch(), Path(run_dir)
    if not 0 < clock_mhz <= MAX_CLOCK_MHZ:
        raise InputError(f"clock_mhz = {clock_mhz!r}: must be above 0 and at most {MAX_CLOCK_MHZ}")
    if type(clocks) is not int or clocks < 1:
        raise InputError(f"clocks = {clocks!r}: must be an integer of at least 1")
    kit, files = kits.find(pdk)
    tools.require("sta")
    design = Design.load(run_dir / "design.json")
    stimulus = Stimulus.load(run_dir / "stimulus.npz", design)
    step = len(design.filters) // 2 if step is None else step
    folder = run_dir / "synth" / pdk
    work = folder / "work"
    shutil.rmtree(folder, ignore_errors=True)
    work.mkdir(parents=True)

    described = emit_step(design, step, lanes, work / VERILOG)
    library = liberty.read(*files)
    libraries = [_unpack(file, work) for file in files]
    top = described["top"]
    mapping.synthesise(work, libraries, VERILOG, top, library, kit.dont_use)
    mapped = netlist.read(work / NETLIST)
    wire_load = library.default_wire_load
    period_s = 1e-6 / clock_mhz
    timed = timing.analyse(
        work,
        libraries,
        NETLIST,
        top,
        [p for p, bits in mapped.ports.items() if bits[0] in mapped.inputs and p != CLOCK],
        [p for p, bits in mapped.ports.items() if bits[0] in mapped.outputs],
        period_s * 1e9,
        wire_load,
    )
    delays = timing.read_sdf(work / SDF)

    # Where the clock is missed, activity is that of a clock which the gates can follow.
    simulated_s = max(period_s, period_s - timed.slack_ns * 1e-9 + MARGIN_S)
    bench = _Bench(design, stimulus, described, clocks)
    words = bench.words(mapped.inputs)
    gates = gate_simulation.simulate(
        mapped, library, delays, words, simulated_s, len(words) - clocks
    )
    compared, mismatches = bench.compare(gates, tuple(mapped.outputs))
    watts = power.calculate(mapped, library, gates.activity, period_s, wire_load)

    area = [library.cells[i.cell].area_um2 for i in mapped.instances]
    groups = {name: watts.group == k for k, name in enumerate(power.GROUPS)}
    figures = {
        "pdk": pdk,
        "step": step,
        "lanes": lanes,
        "clock_mhz": clock_mhz,
        "cell_area_um2": float(np.sum(area)),
        "cells": len(mapped.instances),
        "slack_ns": timed.slack_ns,
        "critical_path": [
            {"instance": name, "cell": cell, "arrival_ns": at}
            for name, cell, at in timed.critical_path
        ],
        "power_w": watts.totals(),
        "groups": {
            name: {
                "cells": int(chosen.sum()),
                "cell_area_um2": float(np.sum(np.array(area)[chosen])),
                "power_w": watts.totals(name),
            }
            for name, chosen in groups.items()
        },
        "wire_load": wire_load,
        "voltage_v": library.voltage_v,
        "activity": "simulated",
        "simulated_clocks": clocks,
        "simulation_period_ns": simulated_s * 1e9,
        "toggles_per_net_and_clock": float(
            np.mean([t for n, t in gates.activity.toggles_per_clock.items() if n != CLOCK])
        ),
        "nets_annotated_fraction": gates.annotated_fraction,
        "gate_level_samples": compared,
        "gate_level_mismatches": mismatches,
    }
    gates.activity.write(folder / "activity.csv.gz")
    watts.write(folder / "power.csv.gz")
    _keep(work, folder)
    if mismatches:
        raise ToolError(
            f"the gates differ from the golden model in {mismatches} of {compared} samples; "
            f"netlist: {folder / NETLIST}.gz"
        )
    return write_metrics(
        folder / "metrics.json",
        figures,
        design_hash=design.hash,
        config_hash=config_hash,
        seed=stimulus.seed,
        versions=package_versions("amaranth", "pyosys", "numba")
        | {"opensta": tools.version(["sta", "-version"])},
        stopwatch=stopwatch,
    )


def _unpack(file: Path, folder: Path) -> str:
    """Lay a Liberty file, unpacked, under its own name into ``folder``: OpenSTA takes no gzip."""
    name = file.name.removesuffix(".gz")
    content = file.read_bytes()
    write_bytes(folder / name, gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    return name


def _keep(work: Path, folder: Path) -> None:
    """Keep netlist, SDF and Verilog (packed), scripts and logs; the bulky rest goes."""
    for name in (VERILOG, NETLIST, SDF):
        write_bytes(folder / f"{name}.gz", gzip.compress((work / name).read_bytes(), 6, mtime=0))
    for file in sorted(work.iterdir()):
        if file.suffix in (".log", ".ys", ".tcl"):
            file.replace(folder / file.name)
    shutil.rmtree(work)


class _Bench:
    """The words that the ports see clock by clock, and what golden expects to come out."""

    def __init__(
        self, design: Design, stimulus: Stimulus, described: dict[str, Any], clocks: int
    ) -> None:
        self.described, step = described, described["step"]
        lanes, filter_ = described["lanes"], design.filters[step]
        # Fill the filter's history and the pipeline, and let the first transients die out.
        warm_up = WARM_UP_CLOCKS + described["latency_cycles"] + filter_.taps // lanes
        needed = lanes * (warm_up + clocks)
        samples = stimulus.samples
        if len(samples.i) < needed:
            raise InputError(
                f"stimulus.npz holds {len(samples.i)} samples: must be at least {needed} for "
                f"{clocks} clocks of {lanes} lanes"
            )
        trace = golden.trace(
            design, Samples(samples.i[:needed], samples.q[:needed]), stimulus.launch_power_uw
        )
        after = 2 * step + (2 if step < len(design.rotations) else 1)
        self.input, self.expected = trace[2 * step], trace[after]
        addresses = described["addresses"]
        self.registers: dict[int, int] = {}
        for name in ("half_taps_i", "half_taps_q"):
            taps = getattr(filter_, name)
            self.registers |= dict(zip(addresses[name], taps, strict=True))
        if "kerr" in addresses:
            kerr = design.rotations[step].kerr(stimulus.launch_power_uw)
            self.registers[addresses["kerr"]] = kerr

    def words(self, inputs: Sequence[str]) -> NDArray[np.uint8]:
        """Reset and write the registers, then a word of samples with every clock."""
        widths = {p["name"]: p["width"] for p in self.described["ports"]}
        lanes, bits = self.described["lanes"], self.described["input_bits"]
        idle = {name: 0 for name in widths} | {"rst": 1}
        steps = [idle, idle]
        for address, value in self.registers.items():
            data = value & ((1 << widths["cfg_data"]) - 1)
            steps.append(idle | {"cfg_write": 1, "cfg_address": address, "cfg_data": data})
        run = idle | {"rst": 0, "in_valid": 1}
        for in_i, in_q in zip(
            _pack(self.input.i, lanes, bits), _pack(self.input.q, lanes, bits), strict=True
        ):
            steps.append(run | {"in_i": in_i, "in_q": in_q})
        places = [_bit(name) for name in inputs if name != CLOCK]
        return np.array([[ports[port] >> k & 1 for port, k in places] for ports in steps], np.uint8)

    def compare(self, gates: GateSimulation, outputs: Sequence[str]) -> tuple[int, int]:
        """Samples compared and samples that differ, over all words that should come out.

        A word without ``out_valid`` in its place counts as different, and one too many is an error.
        """
        lanes, bits = self.described["lanes"], self.described["output_bits"]
        places = {_bit(name): k for k, name in enumerate(outputs)}
        valid = gates.outputs[:, places["out_valid", 0]]
        first = len(valid) - len(self.input.i) // lanes + self.described["latency_cycles"]
        if np.any(valid[:first] == 1):
            raise ToolError("the gates put out a word before the first one is due")
        same = np.repeat(valid[first:, None] == 1, lanes, axis=1)
        for port, samples in (("out_i", self.expected.i), ("out_q", self.expected.q)):
            words = samples.reshape(-1, lanes)[: len(same)]
            for lane in range(lanes):
                for k in range(bits):
                    bit = gates.outputs[first:, places[port, lane * bits + k]]
                    same[:, lane] &= bit == (words[:, lane] >> k & 1)
        return same.size, int(np.count_nonzero(~same))


def _bit(name: str) -> tuple[str, int]:
    """ "in_i[3]" -> ("in_i", 3); a scalar is its bit 0."""
    port, _, index = name.partition("[")
    return port, int(index[:-1]) if index else 0


def _pack(samples: np.ndarray, lanes: int, bits: int) -> list[int]:
    """Words of ``lanes`` samples, the oldest in the least significant bits."""
    mask = (1 << bits) - 1
    rows = samples.reshape(-1, lanes).tolist()
    return [sum((x & mask) << (k * bits) for k, x in enumerate(row)) for row in rows]
