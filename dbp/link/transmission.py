"""A transmission over the link: random symbols, fibre and amplifiers, received waveform."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from dbp import config
from dbp.link import _split_step, fiber, front_end, modulation
from dbp.support import cache, threads
from dbp.support.sources import hash_of

Purpose = Literal["train", "validate", "evaluate", "stimulus"]
_PURPOSES = ("train", "validate", "evaluate", "stimulus")

# The code that decides a number of a transmission; the cache holds the numbers of one state of it.
SOURCES = ("dbp.link", "dbp.config._models")

# Blocks are always simulated, and kept, in the same chunks of at least so many symbols.
_CHUNK_SYMBOLS = 8192
# Blocks up to this length are propagated side by side, so many at a time on any machine.
_SHORT_SYMBOLS = 4096
_LANES = 16


@dataclass(frozen=True)
class Received:
    """What was sent and what arrived, in independent circular blocks.

    ``symbols``: complex, shape ``(blocks, block_symbols)``, constellation of mean power 1.
    ``labels``: uint8, same shape, their bits (all 0 for Gaussian symbols).
    ``waveform``: complex, shape ``(blocks, 2 * block_symbols)``, 2 samples per symbol, symbol n
    at sample 2 n, after an ideal low-pass over that sampling band and `dbp.link.front_end`, no
    dispersion compensated. Its unit is the root of ``power_w``, the closed-form mean power (signal
    and in-band noise), so its mean power is 1 in expectation; times ``sqrt(power_w)`` it is the
    field in sqrt(W).

    With both polarisations, x and y, all three have the shape ``(blocks, 2, ...)``, and ``power_w``
    is that of each of them; ``launch_power_dbm`` is that of both together.
    """

    symbols: NDArray[np.complexfloating]
    labels: modulation.Labels
    waveform: NDArray[np.complexfloating]
    launch_power_dbm: float
    power_w: float

    def blocks(self, chosen: slice) -> Received:
        """Some of the blocks."""
        return replace(
            self,
            symbols=self.symbols[chosen],
            labels=self.labels[chosen],
            waveform=self.waveform[chosen],
        )


def span(link: config.Link) -> fiber.Fiber:
    """The fibre of one span as receivers take it to be: see `true_span`."""
    return fiber.Fiber(
        link.span_km,
        fiber.attenuation_per_km(link.attenuation_db_per_km),
        fiber.beta2_ps2_per_km(link.dispersion_ps_per_nm_km, link.wavelength_nm),
        link.nonlinearity_per_w_km,
    )


def true_span(link: config.Link) -> fiber.Fiber:
    """The fibre of one span, with the error of its dispersion."""
    nominal = span(link)
    true = 1 + link.impairments.dispersion_error_percent / 100
    return replace(nominal, beta2_ps2_per_km=nominal.beta2_ps2_per_km * true)


def ase_w_per_ghz(link: config.Link) -> float:
    """Noise power density that each amplifier adds, in one polarisation."""
    return fiber.ase_w_per_ghz(span(link).gain, link.noise_figure_db, link.wavelength_nm)


def watts(power_dbm: float) -> float:
    """dBm to W."""
    return 1e-3 * 10 ** (power_dbm / 10)


def received_power_w(link: config.Link, launch_power_dbm: float) -> float:
    """Mean power of signal and noise that the receiver lets through, in each polarisation."""
    noise_w = link.spans * ase_w_per_ghz(link) * received_band_ghz(link)
    return watts(launch_power_dbm) / link.impairments.polarizations + noise_w


def received_band_ghz(link: config.Link) -> float:
    """Optical bandwidth of the receiver: 2 symbol rates, and of several channels its own slot."""
    band_ghz = 2 * link.symbol_rate_gbd
    impairments = link.impairments
    return min(band_ghz, impairments.wdm_spacing_ghz) if impairments.wdm_neighbors else band_ghz


def kerr_rad_per_w(link: config.Link) -> float:
    """Phase that the Kerr effect of one span adds, per watt of launch power: gamma L_eff."""
    fibre = span(link)
    return fibre.gamma_per_w_km * fibre.effective_length_km


def block_generator(
    seed: int, purpose: Purpose, block: int, polarization: int = 0, channel: int = 0
) -> np.random.Generator:
    """The random numbers of one block: independent of those of all other purposes and blocks.

    And of its other polarisation (1), and of its neighbours: channels 1, 3, ... lie above its own,
    2, 4, ... below it.
    """
    other = (1, polarization, channel) if polarization or channel else ()
    sequence = np.random.SeedSequence(seed, spawn_key=(_PURPOSES.index(purpose), block, *other))
    return np.random.Generator(np.random.SFC64(sequence))


def simulate(
    link: config.Link,
    launch_power_dbm: float,
    blocks: int,
    *,
    seed: int,
    purpose: Purpose,
    first_block: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> Received:
    """Transmit ``blocks`` blocks of ``link.block_symbols`` symbols.

    Block b of a seed and purpose has its own data and noise, whatever the launch power, and is the
    same to the last bit whatever blocks are asked for with it; ``first_block`` continues an earlier
    call. Training, evaluation and stimulus of one seed never share random numbers, by ``purpose``.
    Chunks of blocks run in parallel and are kept in `dbp.support.cache`: the numbers are those of
    the machine that simulated them. ``progress`` shows a bar on a terminal.
    """
    size = chunk_blocks(link)
    # What differs in the receiver's front end only shares the fibre's waveforms.
    before = front_end.without_receiver(link)
    chunks = range(first_block // size, -(-(first_block + blocks) // size))

    def waveform(chunk: int) -> NDArray[np.complexfloating]:
        numbers = range(chunk * size, (chunk + 1) * size)
        key = {
            "sources": hash_of(*SOURCES),
            "libraries": [np.__version__, numba.__version__, torch.__version__],
            "device": torch.device(device).type,
            "link": before.model_dump(mode="json"),
            "launch_power_dbm": float(launch_power_dbm),
            "seed": seed,
            "purpose": purpose,
            "blocks": [numbers.start, numbers.stop],
        }

        def rows(channel: int) -> list[np.random.Generator]:
            return _row_generators(link, seed, purpose, numbers, channel)

        def transmit() -> NDArray[np.complexfloating]:
            neighbors = range(1, 1 + 2 * link.impairments.wdm_neighbors)
            return _channel(before, device).transmit(
                launch_power_dbm, rows(0), [rows(channel) for channel in neighbors]
            )

        return front_end.receive(cache.array(key, transmit), link, _of_lasers(rows(0), link))

    with (
        threads.pool(len(chunks)) as pool,
        tqdm(
            total=len(chunks) * size * link.block_symbols,
            desc=f"link {launch_power_dbm:+g} dBm",
            unit="sym",
            unit_scale=True,
            disable=None if progress else True,
            leave=False,
        ) as bar,
    ):
        parts = []
        for part in pool.map(waveform, chunks):
            parts.append(part)
            bar.update(size * link.block_symbols)
    start = first_block - chunks.start * size
    wanted = range(first_block, first_block + blocks)
    symbols, labels = _draw(link, _row_generators(link, seed, purpose, wanted))
    rows, each = np.concatenate(parts), link.impairments.polarizations
    return Received(
        _by_polarization(link, symbols.astype(link.precision)),
        _by_polarization(link, labels),
        _by_polarization(link, rows[start * each : (start + blocks) * each]),
        launch_power_dbm,
        received_power_w(link, launch_power_dbm),
    )


def chunk_blocks(link: config.Link) -> int:
    """Blocks of a chunk: `simulate` takes as long for one of them as for all."""
    group = -(-_CHUNK_SYMBOLS // link.block_symbols)
    # Short blocks fill all lanes, in whole groups.
    return group * -(-_LANES // group) if _is_short(link) else group


def _is_short(link: config.Link) -> bool:
    return link.block_symbols <= _SHORT_SYMBOLS


def _row_generators(
    link: config.Link, seed: int, purpose: Purpose, blocks: range, channel: int = 0
) -> list[np.random.Generator]:
    """One for each row of a channel's fields: each polarisation of a block is a row."""
    return [
        block_generator(seed, purpose, block, polarization, channel)
        for block in blocks
        for polarization in range(link.impairments.polarizations)
    ]


def _of_lasers(
    generators: list[np.random.Generator], link: config.Link
) -> list[np.random.Generator]:
    """For each row those of its block's lasers: both polarisations have the same."""
    each = link.impairments.polarizations
    return [generator for generator in generators[::each] for _ in range(each)]


def _by_polarization(link: config.Link, rows: NDArray) -> NDArray:
    """Shape ``(blocks, 2, ...)`` where there are two polarisations, else as it is."""
    if not link.impairments.dual_polarization:
        return rows
    return rows.reshape(-1, 2, rows.shape[-1])


def _draw(
    link: config.Link, generators: list[np.random.Generator]
) -> tuple[NDArray[np.complex128], modulation.Labels]:
    """Symbols and labels of one row per generator: the first thing that is drawn of it."""
    drawn = [modulation.draw(link.modulation, link.block_symbols, g) for g in generators]
    symbols, labels = (np.stack(part) for part in zip(*drawn, strict=True))
    return symbols, labels


@functools.lru_cache(maxsize=2)
def _channel(link: config.Link, device: torch.device | str) -> _Channel:
    return _Channel(link, device)


class _Channel:
    """The link with its precomputed operators.

    Short blocks in single precision on a CPU take `dbp.link._split_step`, three times as fast; all
    others, other devices and two polarisations the split-step method on torch.
    """

    def __init__(self, link: config.Link, device: torch.device | str) -> None:
        self._link = link
        self._device = device
        self._real = np.float32 if link.precision == "complex64" else np.float64
        self._samples = link.block_symbols * link.samples_per_symbol
        rate_ghz = link.symbol_rate_gbd * link.samples_per_symbol
        fibre, impairments = true_span(link), link.impairments
        self._gain = float(np.sqrt(fibre.gain))
        in_lanes = (
            link.precision == "complex64"
            and torch.device(device).type == "cpu"
            and _is_short(link)
            and not impairments.dual_polarization
            and _split_step.fits(self._samples)
        )
        steps = link.steps_per_span, self._samples, rate_ghz
        if in_lanes:
            linear, kerr_per_w = fiber.operators(fibre, *steps)
            self._propagate = _split_step.Propagation(linear, kerr_per_w, self._gain)
        else:
            dtype = getattr(torch, link.precision)
            self._fiber = fiber.SplitStep(
                fibre, *steps, dtype, device, manakov=impairments.dual_polarization
            )
            self._propagate = self._on_torch
        # Each bin of an unnormalised transform holds the noise power of the whole band, times N.
        self._noise = self._real(np.sqrt(ase_w_per_ghz(link) * rate_ghz * self._samples / 2))
        self._pulse = modulation.root_raised_cosine(
            link.roll_off, link.samples_per_symbol, self._samples
        )
        band = np.abs(np.fft.fftfreq(2 * link.block_symbols)) * 2 * link.symbol_rate_gbd
        self._outside = band > received_band_ghz(link) / 2

    def transmit(
        self,
        launch_power_dbm: float,
        generators: list[np.random.Generator],
        neighbors: Sequence[list[np.random.Generator]] = (),
    ) -> NDArray[np.complexfloating]:
        """Waveform of one row per generator, beside ``neighbors``: generators of each channel."""
        link = self._link
        symbols, _ = _draw(link, generators)
        # A train of symbols at one of samples_per_symbol samples has a periodic spectrum; the
        # factor makes the mean power of the waveform that of the symbols.
        power_w = watts(launch_power_dbm) / link.impairments.polarizations
        amplitude = np.sqrt(power_w) * link.samples_per_symbol
        spectrum = np.tile(np.fft.fft(symbols), link.samples_per_symbol) * self._pulse * amplitude
        spectrum = front_end.launch(
            spectrum.astype(link.precision), link, _of_lasers(generators, link)
        )
        for channel, of_neighbor in enumerate(neighbors, 1):
            spectrum += (self._neighbor(channel, of_neighbor) * amplitude).astype(link.precision)
        field = self._propagate(spectrum, self._amplifier_noise(generators))
        waveform = self._receive(field) / np.sqrt(received_power_w(link, launch_power_dbm))
        return waveform.astype(link.precision)

    def _neighbor(
        self, channel: int, generators: list[np.random.Generator]
    ) -> NDArray[np.complex128]:
        """Spectrum of a channel beside ours, of our amplitude, at the nearest of its frequencies.

        Its clock is not ours: all its symbols come later by the same random part of a symbol.
        """
        link = self._link
        symbols, _ = _draw(link, generators)
        each = link.impairments.polarizations
        delay = np.repeat([generator.random() for generator in generators[::each]], each)
        frequency = np.fft.fftfreq(self._samples) * link.samples_per_symbol
        pulse = self._pulse * np.exp(-2j * np.pi * frequency * delay[:, None])
        spectrum = np.tile(np.fft.fft(symbols), link.samples_per_symbol) * pulse
        offset_ghz = (channel + 1) // 2 * link.impairments.wdm_spacing_ghz
        bins = round(offset_ghz / link.symbol_rate_gbd * link.block_symbols)
        return np.roll(spectrum, bins if channel % 2 else -bins, axis=-1)

    def _on_torch(
        self,
        spectrum: NDArray[np.complexfloating],
        noise: Iterator[NDArray[np.complexfloating]],
    ) -> NDArray[np.complexfloating]:
        """As `dbp.link._split_step.Propagation`, at any precision and length, on any device."""

        def tensor(rows: NDArray[np.complexfloating]) -> torch.Tensor:
            return torch.from_numpy(_by_polarization(self._link, rows)).to(self._device)

        field = tensor(spectrum)
        for of_amplifier in noise:
            added = tensor(of_amplifier)
            field = self._fiber(field).mul_(self._gain).add_(added)
        return torch.fft.ifft(field).cpu().numpy().reshape(spectrum.shape)

    def _amplifier_noise(
        self, generators: list[np.random.Generator]
    ) -> Iterator[NDArray[np.complexfloating]]:
        """Spectrum of the noise of each amplifier in turn, one advancing generator per row."""
        for _ in range(self._link.spans):
            noise = np.empty((len(generators), self._samples, 2), self._real)
            for generator, block in zip(generators, noise, strict=True):
                generator.standard_normal(out=block, dtype=self._real)
            noise *= self._noise
            yield noise.view(self._link.precision)[..., 0]

    def _receive(self, field: NDArray[np.complexfloating]) -> NDArray[np.complexfloating]:
        """Low-pass to 2 samples per symbol, and to our channel, by cutting the spectrum."""
        half, spectrum = self._link.block_symbols, np.fft.fft(field)
        spectrum = np.concatenate((spectrum[:, :half], spectrum[:, -half:]), axis=1)
        spectrum[:, self._outside] = 0
        return np.fft.ifft(spectrum) * (2 / self._link.samples_per_symbol)
