"""``dbp sim``: emitted Verilog against the golden model, every sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from dbp.datapath.design import Design
from dbp.datapath.stimulus import StimulusSource
from dbp.errors import DbpError, InputError
from dbp.records.provenance import (
    Provenance,
    Stopwatch,
    package_versions,
    provenance,
    write_metrics,
)
from dbp.records.schemas import SimMetrics
from dbp.rtl.ports import Ports
from dbp.sim.compare import compare, expect
from dbp.sim.coverage import coverage, verilog_coverage
from dbp.sim.job import Job
from dbp.sim.schedule import make_job
from dbp.sim.simulators import SimulationRecord, choose, run_job
from dbp.sim.vectors import Vector, make_vectors

DEFAULT_SAMPLES = 4096


class MismatchError(DbpError):
    """The RTL and the golden model differ: the metrics of the simulation say where."""


def simulate(
    rtl_dir: str | Path,
    design: Design,
    stimulus: StimulusSource,
    *,
    folder: str | Path | None = None,
    simulator: str | None = None,
    samples: int = DEFAULT_SAMPLES,
    waves: bool = False,
    code_coverage: bool = False,
    config_hash: str | None = None,
) -> SimMetrics:
    """Stream a stimulus and corner cases through a design's Verilog and compare with golden.

    ``rtl_dir``: what `dbp.rtl.emit` has filled. At most ``samples`` samples of the stimulus are
    used. ``folder``: where ``metrics.json`` and the simulator's log are written, and with ``waves``
    also ``waves.vcd``; without it no file stays. ``simulator``: ``verilator``, ``icarus`` or the
    first of them that is installed. ``code_coverage``: count lines and toggles of the Verilog too,
    which Verilator alone can do.

    `InputError` for files that do not belong together, `ToolError` for a simulator that is missing
    or fails, `MismatchError` (after the metrics are written) where a sample, a register or a
    latency differs.
    """
    stopwatch, rtl_dir = Stopwatch(), Path(rtl_dir)
    ports = Ports.read(rtl_dir, design)
    simulator, version = _choose(simulator, code_coverage)
    # However few samples there are: where the waveform is too short it begins again.
    received = stimulus(0)
    if received.design_hash != design.hash:
        raise InputError(f"the stimulus belongs to another design than {design.hash[:12]}")
    vectors = make_vectors(ports, design, received, samples)
    job = make_job(ports, vectors)
    if folder is not None:
        folder = Path(folder)
        (folder / "metrics.json").unlink(missing_ok=True)
    record = _play(simulator, rtl_dir, job, folder, waves, code_coverage)
    origin = provenance(
        design_hash=design.hash,
        config_hash=config_hash,
        seed=received.seed,
        versions=package_versions("cocotb") | {simulator: version},
        stopwatch=stopwatch,
    )
    metrics = _compared(ports, vectors, job, record, origin)
    if folder is not None:
        write_metrics(folder / "metrics.json", metrics)
    _require_equal(metrics, ports.latency_cycles)
    return metrics


def _choose(simulator: str | None, code_coverage: bool) -> tuple[str, str]:
    """The simulator to use and its version."""
    if code_coverage and simulator is None:
        simulator = "verilator"
    simulator, version = choose(simulator)
    if code_coverage and simulator != "verilator":
        raise InputError(f"simulator = {simulator!r}: must be verilator to count lines and toggles")
    return simulator, version


def _play(
    simulator: str,
    rtl_dir: Path,
    job: Job,
    folder: Path | None,
    waves: bool,
    code_coverage: bool,
) -> SimulationRecord:
    """`run_job` with a progress bar over the clocks that the bench is going to take."""
    with tqdm(desc=simulator, total=job.clocks, unit=" clocks", disable=None, leave=False) as bar:

        def progress(done: int) -> None:
            bar.update(min(done, job.clocks) - bar.n)

        return run_job(
            simulator,
            sorted(rtl_dir.glob("*.v")),
            job,
            folder,
            waves=waves,
            coverage=code_coverage,
            progress=progress,
        )


def _compared(
    ports: Ports, vectors: Sequence[Vector], job: Job, record: SimulationRecord, origin: Provenance
) -> SimMetrics:
    """Compare the record of all vectors with golden."""
    played = job.vectors
    expected = [expect(ports, *pair) for pair in zip(vectors, played, strict=True)]
    rows = tuple(
        compare(ports, *row) for row in zip(vectors, played, expected, record.results, strict=True)
    )
    latencies = {cycles for row in rows for cycles in row.latencies_cycles}
    used = coverage(ports, vectors, played, expected)
    if record.verilog_coverage is not None:
        used |= verilog_coverage(record.verilog_coverage)
    return SimMetrics(
        simulator=record.simulator,
        build_time_s=record.build_time_s,
        play_time_s=record.play_time_s,
        samples_compared=sum(row.samples for row in rows),
        mismatches=sum(row.mismatches for row in rows),
        first_mismatch=next((row.first_mismatch for row in rows if row.first_mismatch), None),
        registers_read=sum(row.registers_read for row in rows),
        wrong_registers=tuple(
            register.model_copy(update={"vector": row.name})
            for row in rows
            for register in row.wrong_registers
        ),
        latency_cycles=latencies.pop() if len(latencies) == 1 else None,
        lanes=ports.lanes,
        steps=len(ports.steps),
        filters=ports.filters,
        top=ports.top,
        launch_power_uw=vectors[0].tunings[0].launch_power_uw,
        coverage=used,
        vectors=rows,
        **origin,
    )


def _require_equal(metrics: SimMetrics, latency_cycles: int) -> None:
    """Raise `MismatchError` where anything was not as golden and ``ports.json`` say."""
    if first := metrics.first_mismatch:
        raise MismatchError(
            f"the RTL differs from golden in {metrics.mismatches} of "
            f"{metrics.samples_compared} samples, first in {first.vector} at sample "
            f"{first.sample}: {_shown(first.got)} instead of {_shown(first.expected)}"
        )
    if metrics.wrong_registers:
        wrong = metrics.wrong_registers[0]
        raise MismatchError(
            f"{len(metrics.wrong_registers)} registers read back wrong, first in {wrong.vector} "
            f"address {wrong.address} of step {wrong.step}: {wrong.got} instead of "
            f"{wrong.expected:#x}"
        )
    latencies = sorted({cycles for row in metrics.vectors for cycles in row.latencies_cycles})
    if latencies != [latency_cycles]:
        raise MismatchError(f"the latency is {latencies} clock cycles instead of {latency_cycles}")
    if names := [row.name for row in metrics.vectors if row.odd_commits or row.stray_words]:
        raise MismatchError(
            f"commits got lost, or something left that should not, in {', '.join(names)}"
        )


def _shown(sample: tuple[int, int] | None) -> list[int] | None:
    return None if sample is None else list(sample)
