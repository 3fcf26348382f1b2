"""Speed of `measures.measure` in one run, and its figures beside those of OptiCommPy.

    pip install opticommpy
    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/detection.py

Both count errors and estimate SNR, EVM and GMI of the same symbols. OptiCommPy sets the
received power to 1 where we fit a gain, which costs its figures some noise of the decisions.
"""

import time
from importlib.metadata import version

import numpy as np
from optic.comm.metrics import calcEVM, fastBERcalc, monteCarloGMI

from dbp.evaluation.measures import measure, summarize
from dbp.link import modulation

BLOCKS, SYMBOLS, SNR_DB, ROUNDS = 128, 1024, 14.0, 3


def ours(name, sent, labels, received):
    groups = [slice(first, first + 8) for first in range(0, BLOCKS, 8)]
    return summarize([measure(name, sent[g], labels[g], received[g]) for g in groups])


def theirs(name, sent, labels, received):
    order, x, y = 2 ** modulation.bits_per_symbol(name), sent.ravel(), received.ravel()
    ber, ser, snr_db = fastBERcalc(y, x, order, "qam")
    gmi, _ = monteCarloGMI(y, x, order, "qam")
    return {
        "ber": ber[0],
        "ser": ser[0],
        "snr_db": snr_db[0],
        "gmi_bits": gmi[0],
        "evm_percent": 100 * np.sqrt(calcEVM(y, order, "qam", x)[0]),
    }


def per_s(function, *arguments):
    """Symbols per CPU-second, the best of some rounds after one that compiles."""
    function(*arguments)
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        result = function(*arguments)
        times.append(time.process_time() - start)
    return BLOCKS * SYMBOLS / min(times), result


def main():
    generator = np.random.default_rng(1)
    for name in ("qpsk", "16qam", "64qam"):
        sent, labels = modulation.draw(name, BLOCKS * SYMBOLS, generator)
        noise = generator.normal(scale=np.sqrt(0.5), size=(sent.size, 2)).view(np.complex128)[:, 0]
        received = sent + 10 ** (-SNR_DB / 20) * noise
        group = name, *(part.reshape(BLOCKS, SYMBOLS) for part in (sent, labels, received))
        own, point = per_s(ours, *group)
        other, figures = per_s(theirs, *group)
        print(
            f"{name} at {SNR_DB:g} dB: {own:,.0f} symbols per CPU-second,"
            f" {own / other:.1f} times OptiCommPy {version('opticommpy')}"
        )
        for key, value in figures.items():
            print(f"  {key:12} {getattr(point, key):.6g} and {value:.6g}")


if __name__ == "__main__":
    main()
