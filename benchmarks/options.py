"""State the gain of each option of the datapath: BER against multiplier and adder bits.

Learns the paper's link with each option at the same small effort (about half a minute each) and
counts bit errors of the golden model at three launch powers; the best counts.

    OMP_NUM_THREADS=1 python benchmarks/options.py [FILE.csv]
"""

from __future__ import annotations

import sys

from dbp import config
from dbp.datapath.complexity import complexity
from dbp.evaluation import counting
from dbp.evaluation.receivers import FixedReceiver
from dbp.learning import training
from dbp.support.files import write_csv

# Label, [learned], [datapath] on top of the preset demo; K with headroom up to +3 dBm only.
OFFSET = "centre_power = true\n"
GUARD = "rotation_guard_bits = 2\n"
OPTIONS = (
    ("as the paper", "", ""),
    ("second order", "", "taylor_order = 2\n"),
    ("offset", "", OFFSET),
    ("offset, second order", "", OFFSET + "taylor_order = 2\n"),
    ("offset, 2 guard bits", "", OFFSET + GUARD),
    ("offset, 3 K", "kerr_taps = 3\n", OFFSET),
    ("offset, 9 K", "kerr_taps = 9\n", OFFSET),
    ("offset, 2 guard bits, 3 K", "kerr_taps = 3\n", OFFSET + GUARD),
    (
        "offset, 2 guard bits, 3 K, 6 branch bits",
        "kerr_taps = 3\n",
        OFFSET + GUARD + "branch_bits = 6\n",
    ),
    (
        "the same, 17 taps of 5 bits, K of 6 bits",
        "kerr_taps = 3\ntaps = 17\ncoefficient_bits = 5\n",
        OFFSET + GUARD + "branch_bits = 6\nkerr_bits = 6\n",
    ),
)
POWERS_DBM = 0.5, 1.0, 1.5
POINT_KEYS = "ber", "ber_low", "ber_high", "launch_power_dbm", "errors"


def main() -> None:
    rows = []
    for label, learned, datapath in OPTIONS:
        kerr_bits = "" if "kerr_bits" in datapath else "kerr_bits = 8\n"
        settings = config.parse(
            f"[learned]\n{learned}\n"
            "[datapath]\nadc_rms_permille = 235\nmax_launch_power_dbm = 3.0\n"
            f"{kerr_bits}{datapath}\n"
            "[training]\nlaunch_power_dbm = 1.0\nfloat_iterations = 4\nsignal_iterations = 4\n"
            "tap_iterations = 4\n"
        )
        design = training.train(settings).design
        points = counting.evaluate(
            [FixedReceiver("design", design)],
            settings.link,
            POWERS_DBM,
            min_errors=400,
            max_bits=6_000_000,
            seed=settings.seed,
        )
        best = min(points, key=lambda point: point.ber)
        cost = complexity(design)
        row = {
            "option": label,
            **{key: getattr(best, key) for key in POINT_KEYS},
            "multiplier_bits": cost.multiplier_bits,
            "adder_bits": cost.adder_bits,
        }
        rows.append(row)
        print(
            f"{label:42} {row['ber']:.2e} ({row['ber_low']:.2e} .. {row['ber_high']:.2e}) at "
            f"{row['launch_power_dbm']:+g} dBm, {row['multiplier_bits']:,} multiplier and "
            f"{row['adder_bits']:,} adder bits",
            flush=True,
        )
    if len(sys.argv) > 1:
        write_csv(sys.argv[1], rows)


if __name__ == "__main__":
    main()
