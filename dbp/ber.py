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
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from tqdm import tqdm

from dbp import config, golden, link, modulation, workers
from dbp.design import Design, launch_power_uw
from dbp.errors import InputError
from dbp.filters import FloatFilters

GROUP_SYMBOLS = 8192
COLUMNS = (
    *("design", "arithmetic", "launch_power_dbm", "bits", "errors"),
    *("ber", "ber_low", "ber_high", "snr_db"),
)

Waveform = NDArray[np.complexfloating]


class Receiver(Protocol):
    """Equalises a group of circular blocks; ``arithmetic`` is "float" or "fixed".

    Called with a waveform of mean power 1 as `dbp.link.Received` has it, complex of shape
    ``(blocks, samples)``, and the launch power in dBm. Returns the same shape, in any unit, with
    the symbols still at the even samples: no group delay.
    """

    name: str
    arithmetic: str

    def __call__(self, waveform: Waveform, launch_power_dbm: float) -> Waveform: ...


class FixedReceiver:
    """A `Design` as the hardware computes it, by the golden model.

    The blocks pass as one stream under one gain control. The hardware starts each block with the
    history of whatever came before, so every block is sent with the end of itself before it, as
    long as the receiver's memory; what the receiver puts out meanwhile is dropped.
    """

    arithmetic = "fixed"

    def __init__(self, name: str, design: Design) -> None:
        self.name = name
        self.design = design

    def __call__(self, waveform: Waveform, launch_power_dbm: float) -> Waveform:
        delay, samples = self.design.delay, waveform.shape[-1]
        memory = 2 * delay
        wrapped = waveform[:, np.arange(-memory, samples) % samples]
        stream = golden.convert(wrapped.reshape(-1), self.design)
        i, q = golden.receive(self.design, stream, launch_power_uw(launch_power_dbm))
        received = (i + 1j * q).reshape(wrapped.shape)[:, memory:]
        return np.roll(received, -delay, axis=-1)


class FloatReceiver:
    """Symmetric FIR filters and Kerr rotations in floating point, circular on each block."""

    arithmetic = "float"

    def __init__(self, name: str, filters: FloatFilters) -> None:
        self.name = name
        self.filters = filters

    def __call__(self, waveform: Waveform, launch_power_dbm: float) -> Waveform:
        spectrum = torch.fft.fft(torch.from_numpy(waveform))
        power_mw = 1e3 * link.watts(launch_power_dbm)
        for k, taps in enumerate(self.filters.taps):
            if k:
                field = torch.fft.ifft(spectrum)
                half_kerr = self.filters.kerr_rad_per_mw[k - 1] * power_mw
                spectrum = torch.fft.fft(field.mul_(torch.exp(1j * _phase(field, half_kerr))))
            response = frequency_response(taps, waveform.shape[-1])
            spectrum = spectrum.mul_(torch.from_numpy(response).to(spectrum.dtype))
        return torch.fft.ifft(spectrum).numpy()


def _phase(field: torch.Tensor, half_kerr: NDArray[np.float64]) -> torch.Tensor:
    """sum_m K[m] \\|x[n - m]\\|^2, circular; ``half_kerr`` outermost first."""
    power = field.real.square() + field.imag.square()
    *outer, centre = half_kerr.tolist()
    phase = centre * power
    for distance, constant in enumerate(reversed(outer), 1):
        phase += constant * (power.roll(distance, -1) + power.roll(-distance, -1))
    return phase


def frequency_response(taps: NDArray[np.complex128], samples: int) -> NDArray[np.complex128]:
    """Response of taps about their centre, in FFT order, on circular blocks of any length."""
    impulse = np.zeros(samples, np.complex128)
    np.add.at(impulse, (np.arange(taps.size) - taps.size // 2) % samples, taps)
    return np.fft.fft(impulse)


def matched_filter(waveform: Waveform, roll_off: float) -> Waveform:
    """Root-raised-cosine filter and symbol timing: 2 samples per symbol to 1, last axis circular.

    Of a waveform of mean power 1 without distortion it returns the symbols, of mean power 1.
    """
    samples = waveform.shape[-1]
    pulse = modulation.root_raised_cosine(roll_off, 2, samples)
    spectrum = np.fft.fft(waveform) * pulse
    half = samples // 2
    return np.fft.ifft((spectrum[..., :half] + spectrum[..., half:]) / 2)


def align(sent: Waveform, received: Waveform) -> Waveform:
    """One complex gain over all symbols, so that the sent ones stand in them without bias."""
    projection = np.vdot(sent, received)
    if projection == 0:  # a dead receiver
        return received
    return received * (np.vdot(sent, sent).real / projection)


def effective_snr_db(sent: Waveform, received: Waveform) -> float:
    """E\\|x\\|^2 / E\\|x - c y\\|^2 of all symbols, with the best complex gain c, in dB."""
    x, y = sent.astype(np.complex128), received.astype(np.complex128)
    coherence = abs(np.vdot(x, y)) ** 2 / (np.vdot(x, x).real * np.vdot(y, y).real)
    return float(-10 * np.log10(1 - coherence))


def interval(errors: int, bits: int) -> tuple[float, float]:
    """95 % Clopper-Pearson interval of the bit error ratio; no errors give (0, upper bound).

    Exact for independent errors: covers the true ratio with a probability of at least 95 %.
    """
    low = special.betaincinv(errors, bits - errors + 1, 0.025) if errors else 0.0
    high = special.betaincinv(errors + 1, bits - errors, 0.975) if errors < bits else 1.0
    return float(low), float(high)


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
