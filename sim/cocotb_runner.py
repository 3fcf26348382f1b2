"""``python cocotb_runner.py FOLDER``: build and play the job in a folder with cocotb's runner.

This runs in a process of its own, since cocotb's runner takes its settings from the environment,
and without this package, which would take a second to import.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from cocotb_tools.runner import get_runner

# The bench uses the ports of the top only, so only they are public; cocotb's runner would make all
# signals public. Without the three optimisations equal steps share their C++ code: 1.6 instead of
# 11 MB for 33 filters of 25 taps and 4 lanes, and less than half the time for build and run.
_VERILATOR_ARGUMENTS = [
    "--no-public-flat-rw",
    "--public-depth",
    "1",
    "-fno-inline",
    "-fno-gate",
    "-fno-dfg",
    # Verilator knows 0 and 1 only: registers without reset start at random, so that a reset that is
    # missing shows.
    "--x-initial",
    "unique",
]
_VERILATOR_RANDOM = ["+verilator+rand+reset+2", "+verilator+seed+1"]
_ICARUS_DUMP = """
module dump;
  initial begin
    $dumpfile("waves.vcd");
    $dumpvars(0, {top});
  end
endmodule
"""


def main(folder: Path) -> None:
    """Build all ``*.v`` of the folder and run its module ``cocotb_bench``, as ``run.json`` says."""
    settings = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    simulator, top, waves = settings["simulator"], settings["top"], settings["waves"]
    arguments = list(_VERILATOR_ARGUMENTS) if simulator == "verilator" else []
    if settings["coverage"]:
        arguments += ["--coverage-line", "--coverage-toggle"]
    if waves and simulator == "icarus":
        # The runner's own option writes FST; VCD is what every viewer reads.
        (folder / "dump.v").write_text(_ICARUS_DUMP.format(top=top), encoding="utf-8")
        arguments = ["-s", "dump"]
        os.environ["SIM_CMD_SUFFIX"] = "-vcd"
    # The runner hands its own path on to the simulator.
    sys.path.insert(0, str(folder))
    runner_waves = waves and simulator == "verilator"
    runner = get_runner(simulator)
    start = time.monotonic()
    runner.build(
        sources=sorted(folder.glob("*.v")),
        hdl_toplevel=top,
        build_dir=folder,
        build_args=arguments,
        always=True,
        timescale=("1ps", "1ps"),
        waves=runner_waves,
    )
    built = time.monotonic()
    runner.test(
        test_module="cocotb_bench",
        hdl_toplevel=top,
        build_dir=folder,
        test_dir=folder,
        plusargs=_VERILATOR_RANDOM if simulator == "verilator" else [],
        waves=runner_waves,
    )
    times = {"build_time_s": built - start, "play_time_s": time.monotonic() - built}
    (folder / "times.json").write_text(json.dumps(times), encoding="utf-8")
    if runner_waves:
        (folder / "dump.vcd").replace(folder / "waves.vcd")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
