"""``dbp sim``: the emitted Verilog of a run against the golden model, every sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from dbp import fixed, golden
from dbp.design import Design
from dbp.errors import DbpError
from dbp.golden import Samples
from dbp.metrics import Stopwatch, package_versions, write_metrics
from dbp.sim.ports import read_ports
from dbp.sim.simulators import choose, run_job
from dbp.sim.vectors import Vector, vectors
from dbp.sim.words import pack_words, unpack_words
from dbp.stimulus import Stimulus

DEFAULT_SAMPLES = 4096


class MismatchError(DbpError):
    """The RTL and the golden model differ: the metrics of the simulation say where."""


def simulate(
    run_dir: str | Path,
    *,
    simulator: str | None = None,
    samples: int = DEFAULT_SAMPLES,
    waves: bool = False,
    config_hash: str | None = None,
) -> dict[str, Any]:
    """Stream a run's stimulus and corner cases through ``RUN/rtl`` and compare with golden.

    Reads ``design.json``, ``rtl/`` and ``stimulus.npz``, of which the first ``samples`` samples
    are used; writes ``sim/metrics.json`` and with ``waves`` also ``sim/waves.vcd``, and returns
    the metrics. ``simulator``: ``verilator``, ``icarus`` or the first of them that is installed.
    `InputError` for files that do not belong together, `ToolError` for a simulator
    that is missing or fails, `MismatchError` (after the metrics are written) where a sample or a
    latency differs.
    """
    stopwatch, run_dir = Stopwatch(), Path(run_dir)
    design = Design.load(run_dir / "design.json")
    ports = read_ports(run_dir / "rtl", design)
    stimulus = Stimulus.load(run_dir / "stimulus.npz", design)
    simulator, version = choose(simulator)
    todo = vectors(design, stimulus, ports["lanes"], samples)

    folder = run_dir / "sim"
    (folder / "metrics.json").unlink(missing_ok=True)
    sources = sorted((run_dir / "rtl").glob("*.v"))
    job = _job(design, ports, todo)
    results = _play(simulator, sources, ports["top"], job, folder, waves=waves)

    figures = [_compare(design, ports, *pair) for pair in zip(todo, results, strict=True)]
    first = next((f["first_mismatch"] for f in figures if f["first_mismatch"]), None)
    latencies = sorted({cycles for f in figures for cycles in f["latencies_cycles"]})
    metrics = write_metrics(
        folder / "metrics.json",
        {
            "simulator": simulator,
            "samples_compared": sum(f["samples"] for f in figures),
            "mismatches": sum(f["mismatches"] for f in figures),
            "first_mismatch": first,
            "latency_cycles": latencies[0] if len(latencies) == 1 else None,
            "lanes": ports["lanes"],
            "steps": len(design.filters),
            "launch_power_uw": stimulus.launch_power_uw,
            "vectors": figures,
        },
        design_hash=design.hash,
        config_hash=config_hash,
        seed=stimulus.seed,
        versions=package_versions("cocotb") | {simulator: version},
        stopwatch=stopwatch,
    )
    if first:
        raise MismatchError(
            f"the RTL differs from golden in {metrics['mismatches']} of "
            f"{metrics['samples_compared']} samples, first in {first['vector']} at sample "
            f"{first['sample']}: {first['got']} instead of {first['expected']}"
        )
    if latencies != [ports["latency_cycles"]]:
        raise MismatchError(
            f"the latency is {latencies} clock cycles instead of {ports['latency_cycles']}"
        )
    return metrics


def _job(design: Design, ports: dict[str, Any], todo: list[Vector]) -> dict[str, Any]:
    """What the bench plays: register writes and words, as integers; see `dbp.sim.bench`."""
    lanes, bits = ports["lanes"], ports["input_bits"]
    data_bits = next(port["width"] for port in ports["ports"] if port["name"] == "cfg_data")
    played, loaded = [], {}
    for vector in todo:
        wanted = _registers(design, ports, vector.launch_power_uw)
        writes = [
            (step, address, data & ((1 << data_bits) - 1))
            for (step, address), data in wanted.items()
            if loaded.get((step, address)) != data
        ]
        loaded = wanted
        played.append(
            {
                "name": vector.name,
                "writes": writes,
                "valid": "".join("01"[int(valid)] for valid in vector.valid),
                "in_i": [hex(word) for word in pack_words(vector.samples.i, bits, lanes)],
                "in_q": [hex(word) for word in pack_words(vector.samples.q, bits, lanes)],
            }
        )
    return {"latency_cycles": ports["latency_cycles"], "vectors": played}


def _registers(
    design: Design, ports: dict[str, Any], launch_power_uw: int
) -> dict[tuple[int, int], int]:
    """The value of every register, by step and address, at a launch power."""
    values = {}
    for step in ports["steps"]:
        k, addresses = step["step"], step["addresses"]
        filter_ = design.filters[k]
        for name in ("half_taps_i", "half_taps_q"):
            taps = getattr(filter_, name)
            values |= {(k, a): tap for a, tap in zip(addresses[name], taps, strict=True)}
        kerr = design.rotations[k].kerr(launch_power_uw) if k < len(design.rotations) else ()
        values |= {(k, a): gain for a, gain in zip(addresses["kerr"], kerr, strict=True)}
    return values


def _play(
    simulator: str,
    sources: list[Path],
    top: str,
    job: dict[str, Any],
    folder: Path,
    *,
    waves: bool,
) -> list[dict[str, Any]]:
    """`run_job` with a progress bar over the clocks that the bench is going to take."""
    clocks = sum(
        len(vector["valid"]) + len(vector["writes"]) + job["latency_cycles"]
        for vector in job["vectors"]
    )
    with tqdm(desc=simulator, total=clocks, unit=" clocks", disable=None, leave=False) as bar:

        def progress(done: int) -> None:
            bar.update(min(done, clocks) - bar.n)

        return run_job(simulator, sources, top, job, folder, waves=waves, progress=progress)


def _compare(
    design: Design, ports: dict[str, Any], vector: Vector, result: dict[str, Any]
) -> dict[str, Any]:
    """The figures of one vector; samples that are missing, unknown or too many are mismatches."""
    wires = golden.trace(design, vector.samples, vector.launch_power_uw)
    expected, lanes = wires[-1], ports["lanes"]
    unknown = np.repeat(
        [None in pair for pair in zip(result["out_i"], result["out_q"], strict=True)], lanes
    )
    got = Samples(
        *(
            unpack_words([int(w or "0", 16) for w in result[name]], design.output_bits, lanes)
            for name in ("out_i", "out_q")
        )
    )
    length = min(len(got.i), len(expected.i))
    differs = np.ones(max(len(got.i), len(expected.i)), np.bool_)
    differs[:length] = (
        (got.i[:length] != expected.i[:length])
        | (got.q[:length] != expected.q[:length])
        | unknown[:length]
    )
    first = None
    if differs.any():
        n = int(differs.argmax())
        first = {"vector": vector.name, "sample": n, "expected": None, "got": None}
        if n < len(expected.i):
            first["expected"] = [int(expected.i[n]), int(expected.q[n])]
        if n < len(got.i) and not unknown[n]:
            first["got"] = [int(got.i[n]), int(got.q[n])]
    return {
        "name": vector.name,
        "samples": len(differs),
        "mismatches": int(differs.sum()),
        "first_mismatch": first,
        "launch_power_uw": vector.launch_power_uw,
        "pauses": int((~vector.valid).sum()),
        "latencies_cycles": sorted({cycles for cycles in result["latencies"] if cycles}),
        "saturated_samples": _at_full_scale(design, wires),
    }


def _at_full_scale(design: Design, wires: list[Samples]) -> int:
    """How many samples between the blocks, the input aside, are the largest or smallest code."""
    bits = []
    for k, filter_ in enumerate(design.filters):
        bits.append(filter_.output_bits)
        if k < len(design.rotations):
            bits.append(design.rotations[k].output_bits)
    return sum(
        int((np.isin(wire.i, ends) | np.isin(wire.q, ends)).sum())
        for wire, ends in zip(wires[1:], map(fixed.code_range, bits), strict=True)
    )
