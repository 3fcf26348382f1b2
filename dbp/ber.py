"""Bit error ratio and effective SNR of receivers against launch power.

Outside the chip, in floating point and with the sent symbols as genie: matched filter, symbol
timing, and one complex gain (one constant phase rotation and one gain control) per group of at
least 8,192 symbols, since a genie rotation of shorter blocks would track phase noise and flatter
the result. The effective SNR is E|x|^2 / E|x - c y|^2 with the gain c that makes it largest, as in
the literature on digital backpropagation; decisions are taken on y without bias towards zero.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from dbp import config, link, modulation, workers
from dbp.detection import align, matched_filter
from dbp.errors import InputError
from dbp.intervals import interval
from dbp.receivers import Receiver

GROUP_SYMBOLS = 8192
COLUMNS = (
    *("design", "arithmetic", "launch_power_dbm", "bits", "errors"),
    *("ber", "ber_low", "ber_high", "snr_db"),
)


def evaluate(
    receivers: Sequence[Receiver],
    link_: config.Link,
    launch_powers_dbm: Sequence[float],
    *,
    min_errors: int,
    max_bits: int,
    seed: int,
) -> list[dict[str, Any]]:
    """One point per launch power and receiver, a dict with the keys `COLUMNS`.

    Each receiver counts whole groups in the order of the seed until it has ``min_errors`` errors
    or another group would exceed ``max_bits`` (one group it always counts), so its figures do not
    depend on what other receivers are evaluated with it. All receivers of a launch power hear the
    same waveforms, each simulated once. Launch powers run in parallel. Shows progress.
    """
    names = [(receiver.name, receiver.arithmetic) for receiver in receivers]
    if len(set(names)) < len(names):
        raise InputError(f"designs {sorted(name for name, _ in names)}: names must differ")
    if not modulation.bits_per_symbol(link_.modulation):
        raise InputError(f"link.modulation = {link_.modulation!r}: has no bits to count")
    with tqdm(
        total=len(launch_powers_dbm) * len(receivers),
        desc="BER",
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
        disable=None,
    ) as bar:

        def point(launch_power_dbm: float) -> list[dict[str, Any]]:
            counts = [_Count(receiver) for receiver in receivers]
            for group in _groups(link_, launch_power_dbm, seed):
                for count in counts:
                    if not count.done:
                        bar.update(count.add(group, link_, min_errors, max_bits))
                if all(count.done for count in counts):
                    break
            bar.set_postfix_str(f"{launch_power_dbm:+g} dBm done")
            return [count.point(launch_power_dbm) for count in counts]

        with workers.pool(len(launch_powers_dbm)) as pool:
            rows = list(pool.map(point, launch_powers_dbm))
    return [row for row_of_power in rows for row in row_of_power]


def _groups(link_: config.Link, launch_power_dbm: float, seed: int) -> Iterator[link.Received]:
    """Groups of at least `GROUP_SYMBOLS` symbols, without end."""
    blocks = math.ceil(GROUP_SYMBOLS / link_.block_symbols)
    # Whole chunks of the simulation, which are whole groups.
    together = math.lcm(blocks, link.chunk_blocks(link_))
    for first in itertools.count(0, together):
        received = link.simulate(
            link_,
            launch_power_dbm,
            together,
            seed=seed,
            purpose="evaluate",
            first_block=first,
            progress=False,
        )
        for start in range(0, together, blocks):
            yield received.blocks(slice(start, start + blocks))


@dataclass
class _Count:
    """What one receiver has made of the groups so far at one launch power."""

    receiver: Receiver
    bits: int = 0
    errors: int = 0
    signal: float = 0.0
    noise: float = 0.0
    progress: float = 0.0

    @property
    def done(self) -> bool:
        return self.progress >= 1

    def add(
        self, group: link.Received, link_: config.Link, min_errors: int, max_bits: int
    ) -> float:
        """Receive and count a group; returns by how much that furthers the progress to 1."""
        equalised = self.receiver(group.waveform, group.launch_power_dbm)
        y = matched_filter(equalised, link_.roll_off).astype(np.complex128)
        x = group.symbols.astype(np.complex128)
        energy, sent = np.vdot(y, y).real, np.vdot(x, x).real
        projection = np.vdot(x, y)
        decided = modulation.decide(link_.modulation, align(x, y))
        group_bits = x.size * modulation.bits_per_symbol(link_.modulation)
        self.bits += group_bits
        self.errors += modulation.bit_errors(group.labels, decided)
        self.signal += sent
        self.noise += sent - (abs(projection) ** 2 / energy if energy > 0 else 0.0)
        before, self.progress = self.progress, max(self.errors / min_errors, self.bits / max_bits)
        if self.bits + group_bits > max_bits:
            self.progress = 1.0
        self.progress = min(self.progress, 1.0)
        return self.progress - before

    def point(self, launch_power_dbm: float) -> dict[str, Any]:
        """The finished point, with the keys `COLUMNS`."""
        low, high = interval(self.errors, self.bits)
        # The difference of energies knows no less; of a link without noise it may be 0.
        noise = max(self.noise, np.finfo(np.float64).eps * self.signal)
        snr_db = 10 * math.log10(self.signal / noise)
        values = (
            *(self.receiver.name, self.receiver.arithmetic, float(launch_power_dbm)),
            *(self.bits, self.errors, self.errors / self.bits, low, high, snr_db),
        )
        return dict(zip(COLUMNS, values, strict=True))


def draw(points: Sequence[Mapping[str, Any]]) -> str:
    """The points as the text of an SVG, bars for the intervals; no errors: upper bound only."""
    from matplotlib.figure import Figure

    from dbp.figures import to_svg

    figure = Figure(figsize=(11, 4), layout="constrained")
    ber_axis, snr_axis = figure.subplots(1, 2)
    designs = list(dict.fromkeys(point["design"] for point in points))
    for name, arithmetic in dict.fromkeys((p["design"], p["arithmetic"]) for p in points):
        rows = [p for p in points if (p["design"], p["arithmetic"]) == (name, arithmetic)]
        rows.sort(key=lambda row: row["launch_power_dbm"])
        style = {
            "color": f"C{designs.index(name)}",
            "linestyle": "-" if arithmetic == "fixed" else "--",
            "label": f"{name}, {arithmetic}",
        }
        power = np.array([row["launch_power_dbm"] for row in rows])
        ber, low, high = (
            np.array([row[key] for row in rows]) for key in ("ber", "ber_low", "ber_high")
        )
        seen = ber > 0
        bars = np.stack((ber - low, high - ber))[:, seen]
        ber_axis.errorbar(
            power[seen], ber[seen], bars, marker="o", markersize=3, capsize=2, **style
        )
        ber_axis.plot(power[~seen], high[~seen], "v", color=style["color"])
        snr_axis.plot(power, [row["snr_db"] for row in rows], marker="o", markersize=3, **style)
    ber_axis.set(yscale="log", ylabel="bit error ratio (95 % interval)")
    snr_axis.set(ylabel="effective SNR (dB)")
    for axis in (ber_axis, snr_axis):
        axis.set(xlabel="launch power (dBm)")
        axis.grid(alpha=0.3, which="both")
    ber_axis.legend(fontsize=8)
    return to_svg(figure)
