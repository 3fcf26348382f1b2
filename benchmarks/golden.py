"""Speed of the golden model's fast form beside the golden model.

    python benchmarks/golden.py

Whole chains of shipped designs on one core, samples in and out; both take turns, the best of all
rounds counts, in CPU time. The first call of a process is longer: it loads what numba compiled, or
compiles it.
"""

import time

import numpy as np

from dbp.datapath import golden, golden_fast, shipped
from dbp.datapath.golden import Samples

DESIGNS = ("learned-c6-s9", "lsco-paper-c9-s9", "enhanced-c5-s9", "learned-c5-s8")
SAMPLES, FEW, ROUNDS = 1 << 20, 1 << 14, 5
LAUNCH_POWER_UW = 1000


def cpu_s(function, *arguments):
    start = time.process_time()
    result = function(*arguments)
    return time.process_time() - start, result


def main():
    rng = np.random.default_rng(1)
    waveform = rng.normal(size=SAMPLES) + 1j * rng.normal(size=SAMPLES)
    print("design            filters  golden      fast  ratio   (1e6 samples per CPU-second)")
    for name in DESIGNS:
        design = shipped.designs()[name]
        x = golden.convert(waveform, design)
        few = Samples(*(part[:FEW] for part in x))
        first_s, found = cpu_s(golden_fast.receive, design, few, LAUNCH_POWER_UW)
        if name == DESIGNS[0]:
            loading_s = first_s
        slow, fast = [], []
        for _ in range(ROUNDS):
            seconds, expected = cpu_s(golden.receive, design, few, LAUNCH_POWER_UW)
            slow.append(seconds / FEW)
            fast.append(cpu_s(golden_fast.receive, design, x, LAUNCH_POWER_UW)[0] / SAMPLES)
        assert all(map(np.array_equal, found, expected))
        slow_per_s, fast_per_s = 1e-6 / min(slow), 1e-6 / min(fast)
        print(
            f"{name:18}{len(design.filters):6}{slow_per_s:9.2f}{fast_per_s:10.1f}"
            f"{fast_per_s / slow_per_s:7.0f}"
        )
    print(f"the first call: {loading_s:.1f} s")


if __name__ == "__main__":
    main()
