"""Measure the operations of FFT filters in each kit, for estimates of `linear`, `dbpN`, `essfmN`.

    DBP_PDK_ROOT=... OMP_NUM_THREADS=1 python benchmarks/fft_operations.py --out FILE.csv

Words of 9 bits and twiddles of 7, in the transform of 1,024 points that compensates the paper's
link (docs/results/linear_equalizer.md), at its best launch power. A minute for a kit.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path

from dbp import config
from dbp.datapath import overlap_save
from dbp.link import transmission
from dbp.support import sources
from dbp.support.files import write_csv
from dbp.synthesis import linear_equalizer, stages
from dbp.synthesis.synthesize_step import SOURCES
from dbp.synthesis.whole_receiver import RECEIVER_LANES

LINK = config.Link(block_symbols=8192)
BLOCKS, SEED, LAUNCH_POWER_DBM, CLOCKS = 4, 1, -3.5, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pdk", nargs="+", default=["nangate45", "asap7"])
    options = parser.parse_args()
    received = transmission.simulate(LINK, LAUNCH_POWER_DBM, BLOCKS, seed=SEED, purpose="evaluate")
    equalizer = overlap_save.of_link(LINK)
    stream = overlap_save.convert(received.waveform, equalizer.data_bits)
    lanes = linear_equalizer.transform_lanes(equalizer, RECEIVER_LANES)
    units = linear_equalizer.units(equalizer, stream, lanes, CLOCKS)
    commit = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    rows = []
    for kit in options.pdk:
        with tempfile.TemporaryDirectory() as folder:
            measured = linear_equalizer.measure(kit, units, folder, stages.CLOCK_MHZ)
        for name, cost in asdict(linear_equalizer.costs(equalizer, measured)).items():
            rows.append(
                {
                    "kit": kit,
                    "operation": name,
                    **{key: f"{value:.6g}" for key, value in cost.items()},
                    "data_bits": equalizer.data_bits,
                    "twiddle_bits": equalizer.twiddle_bits,
                    "size": equalizer.size,
                    "clock_mhz": stages.CLOCK_MHZ,
                    "clocks": CLOCKS,
                    "launch_power_dbm": LAUNCH_POWER_DBM,
                    "seed": SEED,
                    "tools": " ".join(f"{k} {v}" for k, v in stages.programs().items()),
                    "commit": commit,
                    "sources": sources.hash_of(*SOURCES)[:12],
                }
            )
        print(
            linear_equalizer.total(
                equalizer, linear_equalizer.costs(equalizer, measured), 96, stages.CLOCK_MHZ
            ),
            flush=True,
        )
    write_csv(options.out, rows)


if __name__ == "__main__":
    main()
