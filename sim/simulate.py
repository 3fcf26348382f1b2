"""``dbp sim``: the emitted Verilog of a run against the golden model, every sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tqdm import tqdm

from dbp.datapath.design import Design
from dbp.datapath.stimulus import Stimulus
from dbp.errors import DbpError, InputError
from dbp.records.provenance import Stopwatch, package_versions, write_metrics
from dbp.rtl.ports import Ports
from dbp.sim.compare import compare, expect
from dbp.sim.coverage import coverage, verilog_coverage
from dbp.sim.schedule import make_job
from dbp.sim.simulators import choose, run_job
from dbp.sim.vectors import vectors

DEFAULT_SAMPLES = 4096


class MismatchError(DbpError):
    """The RTL and the golden model differ: the metrics of the simulation say where."""


def simulate(
    run_dir: str | Path,
    *,
    simulator: str | None = None,
    samples: int = DEFAULT_SAMPLES,
    waves: bool = False,
    code_coverage: bool = False,
    config_hash: str | None = None,
) -> dict[str, Any]:
    """Stream a run's stimulus and corner cases through ``RUN/rtl`` and compare with golden.

    Reads ``design.json``, ``rtl/`` and ``stimulus.npz``, of which the first ``samples`` samples
    are used; writes ``sim/metrics.json`` and with ``waves`` also ``sim/waves.vcd``, and returns
    the metrics. ``simulator``: ``verilator``, ``icarus`` or the first of them that is installed.
    ``code_coverage``: lines and toggles of the Verilog too, which Verilator alone can count.
    `InputError` for files that do not belong together, `ToolError` for a simulator
    that is missing or fails, `MismatchError` (after the metrics are written) where a sample or a
    latency differs.
    """
    stopwatch, run_dir = Stopwatch(), Path(run_dir)
    design = Design.load(run_dir / "design.json")
    ports = Ports.read(run_dir / "rtl", design)
    stimulus = Stimulus.load(run_dir / "stimulus.npz", design)
    if code_coverage and simulator is None:
        simulator = "verilator"
    simulator, version = choose(simulator)
    if code_coverage and simulator != "verilator":
        raise InputError(f"simulator = {simulator!r}: must be verilator to count lines and toggles")
    hardwired = ports.filters == "hardwired"
    blocks, lanes = ports.blocks, ports.lanes
    todo = vectors(
        design,
        stimulus,
        blocks,
        lanes,
        samples,
        latency_cycles=ports.latency_cycles,
        hardwired=hardwired,
    )

    folder = run_dir / "sim"
    (folder / "metrics.json").unlink(missing_ok=True)
    sources = sorted((run_dir / "rtl").glob("*.v"))
    job = make_job(ports, todo)
    results, times = _play(simulator, sources, ports.top, job, folder, waves, code_coverage)

    played = job["vectors"]
    expected = [expect(ports, *pair) for pair in zip(todo, played, strict=True)]
    rows = zip(todo, played, expected, results, strict=True)
    figures = [compare(ports, *row) for row in rows]
    first = next((f["first_mismatch"] for f in figures if f["first_mismatch"]), None)
    wrong = [{"vector": f["name"]} | row for f in figures for row in f["wrong_registers"]]
    latencies = sorted({cycles for f in figures for cycles in f["latencies_cycles"]})
    used = coverage(ports, todo, played, expected)
    if code_coverage:
        used |= verilog_coverage(folder / "coverage.dat")
    metrics = write_metrics(
        folder / "metrics.json",
        {
            "simulator": simulator,
            **times,
            "samples_compared": sum(f["samples"] for f in figures),
            "mismatches": sum(f["mismatches"] for f in figures),
            "first_mismatch": first,
            "registers_read": sum(f["registers_read"] for f in figures),
            "wrong_registers": wrong,
            "latency_cycles": latencies[0] if len(latencies) == 1 else None,
            "lanes": lanes,
            "steps": len(ports.steps),
            "filters": ports.filters,
            "top": ports.top,
            "launch_power_uw": stimulus.launch_power_uw,
            "coverage": used,
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
    if wrong:
        raise MismatchError(
            f"{len(wrong)} registers read back wrong, first in {wrong[0]['vector']} address "
            f"{wrong[0]['address']} of step {wrong[0]['step']}: {wrong[0]['got']} instead of "
            f"{wrong[0]['expected']:#x}"
        )
    if latencies != [ports.latency_cycles]:
        raise MismatchError(
            f"the latency is {latencies} clock cycles instead of {ports['latency_cycles']}"
        )
    if odd := [f["name"] for f in figures if f["odd_commits"] or f["stray_words"]]:
        raise MismatchError(
            f"commits got lost, or something left that should not, in {', '.join(odd)}"
        )
    return metrics


def _play(
    simulator: str,
    sources: list[Path],
    top: str,
    job: dict[str, Any],
    folder: Path,
    waves: bool,
    code_coverage: bool,
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """`run_job` with a progress bar over the clocks that the bench is going to take."""
    clocks = sum(
        len(vector["valid"])
        + len(vector["first_writes"])
        + job["latency_cycles"]
        + len(vector["cleared"])
        + job["read_latency_cycles"] * len(vector["reads"])
        for vector in job["vectors"]
    )
    with tqdm(desc=simulator, total=clocks, unit=" clocks", disable=None, leave=False) as bar:

        def progress(done: int) -> None:
            bar.update(min(done, clocks) - bar.n)

        return run_job(
            simulator,
            sources,
            top,
            job,
            folder,
            waves=waves,
            coverage=code_coverage,
            progress=progress,
        )
