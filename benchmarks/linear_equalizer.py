"""A static equaliser of the paper's link: how many bits it needs, and what it costs in watts.

    DBP_PDK_ROOT=... OMP_NUM_THREADS=1 python benchmarks/linear_equalizer.py --out DIR \\
        [--pdk NAME...] [--size N...] [--launch-power-dbm P]

For each size of the transform the fewest bits of data, then of twiddles, whose effective SNR is
within 0.1 dB of ideal compensation in floating point, with the best of some levels at the
converter; then an estimate in watts (`dbp.synthesis.linear_equalizer`), in each kit. Writes
``DIR/metrics.json``, and netlists and logs of the blocks. Without a kit only the bits. The default
launch power is the best one of ideal linear compensation.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from dbp import config
from dbp.datapath import overlap_save
from dbp.datapath.overlap_save import Equalizer
from dbp.evaluation import measures
from dbp.evaluation.receivers import Reference
from dbp.link import modulation, transmission
from dbp.records.provenance import (
    Metrics,
    Stopwatch,
    package_versions,
    provenance,
    write_metrics,
)
from dbp.synthesis import linear_equalizer

LOSS_DB = 0.1
LEVELS = (0.15, 0.2, 0.25, 0.3)
BITS = range(5, 15)
# Long blocks, so that their spectrum has no lines at the transform's resolution.
LINK = config.Link(block_symbols=8192)
BLOCKS, SEED = 4, 1


class BenchmarkMetrics(Metrics):
    """The ideal receiver, and a row for each size of the FFT and kit."""

    launch_power_dbm: float
    ideal: dict[str, float]
    rows: list[dict[str, Any]]


class Judge:
    """Effective SNR and BER of equalisers on one received waveform."""

    def __init__(self, launch_power_dbm: float) -> None:
        self.received = transmission.simulate(
            LINK, launch_power_dbm, BLOCKS, seed=SEED, purpose="evaluate"
        )
        ideal = Reference("linear", LINK)(self.received.waveform, launch_power_dbm)
        self.ideal = self.snr_and_ber(ideal)

    def snr_and_ber(self, equalized: np.ndarray) -> dict[str, float]:
        """Return SNR and BER of an equalised waveform."""
        sent = self.received.symbols
        symbols = measures.matched_filter(equalized, LINK.roll_off)
        aligned = measures.align(sent, symbols)
        summary = measures.summarize(
            [measures.measure(LINK.modulation, sent, self.received.labels, aligned)]
        )
        return {
            "snr_db": summary.snr_db,
            "ber": summary.ber,
            "ber_low": summary.ber_low,
            "ber_high": summary.ber_high,
        }

    def fixed(self, equalizer: Equalizer, adc_rms: float) -> dict[str, float]:
        """Return the same for a fixed-point equaliser, with a level at the converter."""
        codes = overlap_save.convert(self.received.waveform, equalizer.data_bits, adc_rms)
        i, q = equalizer(codes)
        return self.snr_and_ber(i + 1j * q)

    def best(self, size: int, data_bits: int, twiddle_bits: int) -> dict[str, float]:
        """Return the same at the best of `LEVELS`."""
        equalizer = overlap_save.of_link(LINK, size, data_bits, twiddle_bits)
        rows = [self.fixed(equalizer, level) | {"adc_rms": level} for level in LEVELS]
        return max(rows, key=lambda row: row["snr_db"])

    def fewest_bits(self, size: int) -> dict[str, float]:
        """Return the fewest bits of data, with almost exact twiddles, then those of twiddles."""

        def enough(data_bits: int, twiddle_bits: int) -> bool:
            snr_db = self.best(size, data_bits, twiddle_bits)["snr_db"]
            return snr_db >= self.ideal["snr_db"] - LOSS_DB

        data_bits = next(bits for bits in BITS if enough(bits, BITS[-1]))
        twiddle_bits = next(bits for bits in BITS if enough(data_bits, bits))
        bits = {"data_bits": data_bits, "twiddle_bits": twiddle_bits}
        return bits | self.best(size, data_bits, twiddle_bits)


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pdk", nargs="*", default=[])
    parser.add_argument("--size", nargs="*", type=int, default=[1024, 2048, 4096])
    parser.add_argument("--launch-power-dbm", type=float, default=-3.5)
    options = parser.parse_args()
    stopwatch = Stopwatch()
    judge = Judge(options.launch_power_dbm)
    print(f"ideal: {judge.ideal['snr_db']:.2f} dB, BER {judge.ideal['ber']:.2e}")
    rows = []
    for size in options.size:
        bits = {"size": size} | judge.fewest_bits(size)
        print(
            f"{size}: {bits['data_bits']}-bit data, {bits['twiddle_bits']}-bit twiddles, level "
            f"{bits['adc_rms']}: {bits['snr_db']:.2f} dB, BER {bits['ber']:.2e}",
            flush=True,
        )
        equalizer = overlap_save.of_link(LINK, size, bits["data_bits"], bits["twiddle_bits"])
        stream = overlap_save.convert(judge.received.waveform, equalizer.data_bits, bits["adc_rms"])
        for pdk in options.pdk:
            estimate = linear_equalizer.estimate(
                pdk, equalizer, stream, options.out / f"{pdk}-{size}"
            )
            row = bits | asdict(estimate)
            bits_per_sample = modulation.bits_per_symbol(LINK.modulation) / 2
            row["pj_per_bit"] = row["pj_per_sample"] / bits_per_sample
            rows.append(row)
            print(
                f"{size}, {pdk}: {row['power_w']:.3g} W, {row['area_mm2']:.3g} mm2, "
                f"{row['pj_per_bit']:.3g} pJ/bit, slack {row['slack_ns']:+.2f} ns",
                flush=True,
            )
    metrics = BenchmarkMetrics(
        launch_power_dbm=options.launch_power_dbm,
        ideal=judge.ideal,
        rows=rows,
        **provenance(
            design_hash=None,
            config_hash=config.Config(link=LINK).hash,
            seed=SEED,
            versions=package_versions("numpy", "torch", "amaranth", "pyosys"),
            stopwatch=stopwatch,
        ),
    )
    write_metrics(options.out / "metrics.json", metrics)


if __name__ == "__main__":
    main()
