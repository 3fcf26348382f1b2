"""How emission grows with lanes and steps, and how fast the simulators are.

    OMP_NUM_THREADS=1 python benchmarks/rtl.py

Emission: seconds and peak memory (of Python and of Yosys, whichever is larger) of chains cut from
`learned-c6-s9`. Simulation: one step at 96 lanes and the whole chain at 8, in each simulator that
is installed: the samples of all vectors over the time to play them, and the time of the build.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from dbp import runs
from dbp.cli.rtl import rtl as emit_run
from dbp.datapath.design import Design
from dbp.errors import MissingError
from dbp.rtl import Target, emit
from dbp.sim import simulate

DESIGN = "learned-c6-s9"
KINDS = "reconfigurable", "hardwired"
# Filters and lanes.
SIZES = (9, 96), (17, 96), (33, 24), (33, 48), (33, 96)


def cut(design: Design, filters: int) -> Design:
    """Return the chain of the first ``filters`` filters."""
    return replace(
        design, filters=design.filters[:filters], rotations=design.rotations[: filters - 1]
    )


def emission(filters: int, lanes: int, kind: str) -> None:
    """Print the figures of an emission.

    It runs in a process of its own, since the peak of memory is that of a process.
    """
    design, _ = runs.find_design(DESIGN)
    with tempfile.TemporaryDirectory() as folder:
        written = emit(cut(design, filters), folder, Target(lanes, kind))
        size = sum(file.stat().st_size for file in Path(folder).glob("*.v"))
    peak = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    figures = written.wall_time_s, peak / 2**20, written.modules, size / 1e6
    print(json.dumps(figures))


def main() -> None:
    print("kind            filters lanes  seconds  GiB  modules  MB of Verilog")
    for kind in KINDS:
        for filters, lanes in SIZES:
            code = f"import rtl; rtl.emission({filters}, {lanes}, {kind!r})"
            answer = subprocess.run(
                [sys.executable, "-c", code],
                cwd=Path(__file__).parent,
                capture_output=True,
                text=True,
                check=True,
            )
            seconds, gib, modules, size = json.loads(answer.stdout.splitlines()[-1])
            row = f"{kind:15} {filters:7} {lanes:5} {seconds:8.1f} {gib:5.2f} {modules:7}"
            print(f"{row} {size:8.1f}", flush=True)
    print("simulator  top             lanes  kilosamples/s  build, s  play, s  mismatches")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        for top, lanes, name in (("step", 96, "step 16"), ("chain", 8, "33 filters")):
            design, place = runs.find_design(DESIGN)
            target = Target(lanes, top=top, step=16 if top == "step" else 0)
            emit_run(design, place, run, target)
            for simulator in ("verilator", "icarus"):
                try:
                    m = simulate(
                        run / "rtl", design, runs.stimulus_source(run), simulator=simulator
                    )
                except MissingError as error:
                    print(error)
                    continue
                rate = m.samples_compared / m.play_time_s / 1e3
                print(
                    f"{simulator:10} {name:15} {lanes:5} {rate:14.2f} {m.build_time_s:9.1f} "
                    f"{m.play_time_s:8.1f} {m.mismatches:11}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
