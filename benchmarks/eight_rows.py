"""How long the paper's eight rows take in one kit: they must take at most 25 minutes on two cores.

    DBP_PDK_ROOT=... OMP_NUM_THREADS=1 python benchmarks/eight_rows.py --out DIR [--pdk NAME]

`dbp compare` of the eight designs with 4 and 8 lanes, in an empty folder and with an empty cache:
bit errors, links, fits to the clock, syntheses, gate-level simulations, watts. States wall time,
processor time of all processes, and the time that this is on two idle cores.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DESIGNS = [
    f"{name}-c{coefficient_bits}-s{signal_bits}"
    for name, bits in (("lsco-paper", (9, 8)), ("learned", (6, 5)))
    for coefficient_bits in bits
    for signal_bits in (9, 8)
]
REQUIRED_MINUTES = 25


def main() -> int:
    """Time the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="an empty folder, or none yet")
    parser.add_argument("--pdk", default="nangate45")
    options = parser.parse_args()
    if options.out.is_dir() and any(options.out.iterdir()):
        parser.error(f"--out {options.out}: must be empty: figures kept there take no time")
    command = [sys.executable, "-m", "dbp.cli", "compare", *DESIGNS, "--pdk", options.pdk]
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dbp-cache-") as cache:
        subprocess.run(
            [*command, "--lanes", "2", "4", "--out", options.out],
            env={**os.environ, "DBP_CACHE": cache},
            check=True,
        )
    wall = (time.monotonic() - started) / 60
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = (used.ru_utime + used.ru_stime) / 60
    cores = len(os.sched_getaffinity(0))
    print(
        f"{wall:.1f} minutes on {cores} cores, {processor:.1f} of processor time: "
        f"{processor / 2:.1f} on two cores at best (at most {REQUIRED_MINUTES} are allowed)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
