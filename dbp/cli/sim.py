"""``dbp sim``: simulate the Verilog with cocotb and compare it with the golden model."""

from __future__ import annotations

from pathlib import Path

from dbp.api import hardware as api
from dbp.datapath.design import Design
from dbp.runs import config_of, stimulus_source


def sim(
    run: Path, simulator: api.Simulator | None, waves: bool, code_coverage: bool = False
) -> None:
    """Simulate a run's Verilog against the golden model, and print what that covered."""
    settings = config_of(run)
    print(f"Simulating {run / 'rtl'} against the golden model", flush=True)
    metrics = api.simulate(
        run / "rtl",
        Design.load(run / "design.json"),
        stimulus=stimulus_source(run),
        folder=run / "sim",
        simulator=simulator,
        waves=waves,
        code_coverage=code_coverage,
        config_hash=settings.hash,
    )
    print(
        f"{metrics.simulator}: {metrics.samples_compared} samples compared, "
        f"{metrics.mismatches} mismatches; {metrics.registers_read} registers read; "
        f"{metrics.wall_time_s:.0f} s -> {run / 'sim'}"
    )
    for kind, counts in metrics.coverage.items():
        (_, total), *used = counts.items()
        words = ", ".join(f"{n} {how}" for how, n in used)
        print(f"covered: {total} {kind.replace('_', ' ')}: {words}", flush=True)
