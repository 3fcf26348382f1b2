"""A transmission over the link: random symbols, fibre and amplifiers, received waveform.

Each block draws its symbols and its noise from a generator of its own, `block_generator`, so that
it is the same in whatever call it is asked for.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dbp import config
from dbp.link import (
    _split_step_kernels,
    closed_forms,
    fiber,
    front_end,
    modulation,
    polarization,
)
from dbp.link.arithmetic import hash_of_numbers, of_numpy, on_one_thread
from dbp.link.resampling import kept_rate, resized
from dbp.support import cache, threads
from dbp.support.sources import hash_of

if TYPE_CHECKING:
    import torch

Purpose = Literal["train", "validate", "evaluate", "stimulus"]
_PURPOSES = ("train", "validate", "evaluate", "stimulus")

# The code that decides a number of a transmission; the cache holds the numbers of one state of it.
SOURCES = ("dbp.link", "dbp.config._models")

# Blocks are always simulated, and kept, in the same chunks of at least this many symbols.
_CHUNK_SYMBOLS = 8192
# Blocks up to this length are propagated side by side, one in each element of a SIMD vector. A
# chunk holds whole vectors of the widest machine, so that its blocks are the same on any machine.
_SHORT_SYMBOLS = 4096
_SIMD_BLOCKS = 16


@dataclass(frozen=True, repr=False, eq=False)
class Received:
    """The symbols sent and the waveform received, in independent circular blocks.

    ``symbols``: complex, shape ``(blocks, block_symbols)``, constellation of mean power 1.
    ``labels``: uint8, same shape, their bits (all 0 for Gaussian symbols).
    ``waveform``: complex, shape ``(blocks, link.adc_samples)``: with r = ``link.adc_rate`` samples
    per symbol, symbol n is at sample r n. After `dbp.link.front_end` with its anti-alias filter, no
    dispersion compensated. Its unit is the root of ``power_w``, the closed-form mean power (signal
    and in-band noise), so its mean power is 1 in expectation; times ``sqrt(power_w)`` it is the
    field in sqrt(W).

    With both polarisations, x and y, all three have the shape ``(blocks, 2, ...)``, and ``power_w``
    is that of each of them; ``launch_power_dbm`` is that of both together.

    ``link``, ``seed``: what `simulate` was called with; ``first_block``: the first one's number.
    """

    symbols: NDArray[np.complexfloating]
    labels: modulation.Labels
    waveform: NDArray[np.complexfloating]
    launch_power_dbm: float
    power_w: float
    link: config.Link
    seed: int
    first_block: int = 0

    def __repr__(self) -> str:
        count, link = len(self.symbols), self.link
        blocks = "1 block" if count == 1 else f"{count} blocks"
        return (
            f"Received({blocks} of {link.block_symbols} symbols, {link.modulation}, "
            f"{self.launch_power_dbm:+g} dBm)"
        )

    def blocks(self, chosen: slice) -> Received:
        """Some of the blocks."""
        return replace(
            self,
            symbols=self.symbols[chosen],
            labels=self.labels[chosen],
            waveform=self.waveform[chosen],
            first_block=self.first_block + range(len(self.symbols))[chosen].start,
        )


def block_generator(
    seed: int, purpose: Purpose, block: int, polarization: int = 0, channel: int = 0
) -> np.random.Generator:
    """The random numbers of one block, independent of those of all other purposes and blocks.

    The block's second polarisation (1) has numbers of its own, and so has each channel beside ours
    (0): 1, 3, ... lie above it, 2, 4, ... below it.
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
    Chunks of blocks run in parallel and are kept in `dbp.support.cache`, under a key that holds
    the `arithmetic`. ``progress`` shows a bar on a terminal.
    """
    size = chunk_blocks(link)
    source = _Source(link, launch_power_dbm, seed, purpose, device)
    load_torch(link, device)
    chunks = range(first_block // size, -(-(first_block + blocks) // size))
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
        for part in pool.map(source.chunk, chunks):
            parts.append(part)
            bar.update(size * link.block_symbols)
    start = first_block - chunks.start * size
    symbols, labels = _draw(link, source.generators(range(first_block, first_block + blocks)))
    rows, each = np.concatenate(parts), link.impairments.polarizations
    return Received(
        _by_polarization(link, symbols.astype(link.precision)),
        _by_polarization(link, labels),
        _by_polarization(link, rows[start * each : (start + blocks) * each]),
        launch_power_dbm,
        closed_forms.received_power_w(link, launch_power_dbm),
        link,
        seed,
        first_block,
    )


def arithmetic(link: config.Link, device: torch.device | str = "cpu") -> str:
    """Return a hash of the arithmetic that a link is simulated with here.

    Where it is the same, on whatever machine, the waveforms are, to the last bit: it is that of a
    block of the link's form over one span, and of the functions of numpy.
    """
    given = link.impairments
    impairments = config.Impairments(
        dual_polarisation=given.dual_polarisation,
        pmd_ps_per_root_km=1.0 if given.pmd_ps_per_root_km else 0.0,
    )
    form = config.Link(impairments=impairments).model_copy(
        update={
            "spans": 1,
            "steps_per_span": 2,
            **{key: getattr(link, key) for key in _FORM},
        }
    )
    return _arithmetic_of_form(form, device)


# These keys decide the code that simulates a link, and the lengths of its transforms.
_FORM = ("block_symbols", "samples_per_symbol", "precision")


@functools.lru_cache
def _arithmetic_of_form(form: config.Link, device: torch.device | str) -> str:
    source = _Source(form, 0.0, 0, "evaluate", device)
    channel, generators = _Channel(form, device), source.generators(range(1))
    probe = on_one_thread(channel.transmit, 0.0, generators)
    return hash_of_numbers([of_numpy(), probe])


@dataclass(frozen=True)
class _Source:
    """All that decides the numbers of a transmission, whose blocks are numbered without end."""

    link: config.Link
    launch_power_dbm: float
    seed: int
    purpose: Purpose
    device: torch.device | str

    def generators(self, blocks: range, channel: int = 0) -> list[np.random.Generator]:
        """One for each row of a channel's fields: each polarisation of a block is a row."""
        return [
            block_generator(self.seed, self.purpose, block, polarization, channel)
            for block in blocks
            for polarization in range(self.link.impairments.polarizations)
        ]

    def chunk(self, number: int) -> NDArray[np.complexfloating]:
        """The received waveform of the rows of a chunk, its fibre's part from the cache if kept."""
        size = chunk_blocks(self.link)
        blocks = range(number * size, (number + 1) * size)
        # Links that differ in the receiver's front end alone share the fibre's waveforms.
        before = front_end.without_receiver(self.link)

        def transmit() -> NDArray[np.complexfloating]:
            neighbors = range(1, 1 + 2 * self.link.impairments.wdm_neighbours)
            return _channel(before, self.device).transmit(
                self.launch_power_dbm,
                self.generators(blocks),
                [self.generators(blocks, channel) for channel in neighbors],
            )

        waveform = cache.array(self._key(before, blocks), transmit)
        lasers = _of_lasers(self.generators(blocks), self.link)
        return front_end.receive(
            waveform, self.link, self.launch_power_dbm, lasers, first_block=blocks.start
        )

    def _key(self, before: config.Link, blocks: range) -> dict[str, Any]:
        return {
            "sources": hash_of(*SOURCES),
            "libraries": [np.__version__, numba.__version__, metadata.version("torch")],
            "arithmetic": arithmetic(self.link, self.device),
            "device": _kind(self.device),
            "link": before.model_dump(mode="json"),
            "launch_power_dbm": float(self.launch_power_dbm),
            "seed": self.seed,
            "purpose": self.purpose,
            "blocks": [blocks.start, blocks.stop],
        }


def chunk_blocks(link: config.Link) -> int:
    """Blocks of a chunk: `simulate` takes as long for one of them as for all of them."""
    group = -(-_CHUNK_SYMBOLS // link.block_symbols)
    # Whole groups that fill whole SIMD vectors with short blocks.
    return group * -(-_SIMD_BLOCKS // group) if _is_short(link) else group


def _is_short(link: config.Link) -> bool:
    return link.block_symbols <= _SHORT_SYMBOLS


def load_torch(link: config.Link, device: torch.device | str = "cpu") -> None:
    """Load torch where a link is simulated with it: to be called before a pool of threads is made.

    `dbp.support.threads.pool` sees to it that torch, if it is loaded, starts no other threads.
    """
    if not _is_fast(link, device):
        importlib.import_module("torch")


def _is_fast(link: config.Link, device: torch.device | str) -> bool:
    """Tell whether `_split_step_kernels` propagates the link, without torch."""
    return (
        link.precision == "complex64"
        and _kind(device) == "cpu"
        and _is_short(link)
        and not link.impairments.dual_polarisation
        and _split_step_kernels.fits(link.block_symbols * link.samples_per_symbol)
    )


def _kind(device: torch.device | str) -> str:
    """A device without its number: cpu, cuda."""
    return str(device).partition(":")[0]


def _of_lasers(
    generators: list[np.random.Generator], link: config.Link
) -> list[np.random.Generator]:
    """For each row the generator of its block's lasers, one for both polarisations."""
    each = link.impairments.polarizations
    return [generator for generator in generators[::each] for _ in range(each)]


def _by_polarization(link: config.Link, rows: NDArray) -> NDArray:
    """Shape ``(blocks, 2, ...)`` where there are two polarisations, else as it is."""
    if not link.impairments.dual_polarisation:
        return rows
    return rows.reshape(-1, 2, rows.shape[-1])


def _draw(
    link: config.Link, generators: list[np.random.Generator]
) -> tuple[NDArray[np.complex128], modulation.Labels]:
    """Symbols and labels of one row per generator: the first numbers that each gives."""
    drawn = [modulation.draw(link.modulation, link.block_symbols, g) for g in generators]
    symbols, labels = (np.stack(part) for part in zip(*drawn, strict=True))
    return symbols, labels


# Spectrum at the transmitter and noise of each amplifier to the field behind the last one.
Propagate = Callable[
    [NDArray[np.complexfloating], Iterator[NDArray[np.complexfloating]]],
    NDArray[np.complexfloating],
]


@functools.lru_cache(maxsize=2)
def _channel(link: config.Link, device: torch.device | str) -> _Channel:
    return _Channel(link, device)


class _Channel:
    """A link `front_end.without_receiver`, with its precomputed operators.

    Short blocks of one polarisation in single precision on a CPU go through
    `dbp.link._split_step_kernels`, which is three times as fast; all others through
    `dbp.link.split_step` on torch.
    """

    def __init__(self, link: config.Link, device: torch.device | str) -> None:
        self._link = link
        self._device = device
        self._real = np.float32 if link.precision == "complex64" else np.float64
        self._samples = link.block_symbols * link.samples_per_symbol
        rate_ghz = link.symbol_rate_gbd * link.samples_per_symbol
        span, impairments = closed_forms.true_span(link), link.impairments
        self._gain = float(np.sqrt(span.gain))
        steps = link.steps_per_span, self._samples, rate_ghz
        self._propagate: Propagate
        if _is_fast(link, device):
            linear, kerr_per_w = fiber.operators(span, *steps)
            self._propagate = _split_step_kernels.Propagation(linear, kerr_per_w, self._gain)
        else:
            import torch

            from dbp.link.split_step import SplitStep

            dtype = getattr(torch, link.precision)
            self._fiber = SplitStep(
                span, *steps, dtype, device, manakov=impairments.dual_polarisation
            )
            self._propagate = self._on_torch
            self._birefringence = polarization.realization(link)
            self._pieces_km = fiber.pieces_km(span, link.steps_per_span)
            self._omega = fiber.angular_frequency(self._samples, rate_ghz)
        # Each bin of an unnormalised transform holds the noise power of the whole band, times N.
        self._noise = self._real(
            np.sqrt(closed_forms.ase_w_per_ghz(link) * rate_ghz * self._samples / 2)
        )
        self._pulse = modulation.root_raised_cosine(
            link.roll_off, link.samples_per_symbol, self._samples
        )
        kept = kept_rate(link)
        self._kept = kept * link.block_symbols
        band = np.abs(np.fft.fftfreq(self._kept)) * kept * link.symbol_rate_gbd
        self._outside = band > closed_forms.received_band_ghz(link) / 2

    def transmit(
        self,
        launch_power_dbm: float,
        generators: list[np.random.Generator],
        neighbors: Sequence[list[np.random.Generator]] = (),
    ) -> NDArray[np.complexfloating]:
        """Waveform of one row per generator.

        ``neighbors``: for each channel beside ours, the generators of its rows.
        """
        link = self._link
        symbols, _ = _draw(link, generators)
        # A train of symbols at one of samples_per_symbol samples has a periodic spectrum; the
        # factor makes the mean power of the waveform that of the symbols.
        power_w = closed_forms.watts(launch_power_dbm) / link.impairments.polarizations
        amplitude = np.sqrt(power_w) * link.samples_per_symbol
        spectrum = np.tile(np.fft.fft(symbols), link.samples_per_symbol) * self._pulse * amplitude
        spectrum = front_end.launch(
            spectrum.astype(link.precision), link, _of_lasers(generators, link)
        )
        for channel, of_neighbor in enumerate(neighbors, 1):
            spectrum += (self._neighbor(channel, of_neighbor) * amplitude).astype(link.precision)
        field = self._propagate(spectrum, self._amplifier_noise(generators))
        waveform = self._receive(field) / np.sqrt(
            closed_forms.received_power_w(link, launch_power_dbm)
        )
        return waveform.astype(link.precision)

    def _neighbor(
        self, channel: int, generators: list[np.random.Generator]
    ) -> NDArray[np.complex128]:
        """Spectrum of a channel beside ours, of our amplitude, shifted by whole bins of a block.

        Its clock is not ours: all its symbols are delayed by the same random part of a symbol.
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
        """Do as `_split_step_kernels.Propagation`, at any precision and length, on any device."""
        import torch

        def tensor(rows: NDArray[np.complexfloating]) -> torch.Tensor:
            return torch.from_numpy(_by_polarization(self._link, rows)).to(self._device)

        field, birefringence = tensor(spectrum), self._birefringence
        first, last = (birefringence and birefringence.ends) or (None, None)
        field = self._turned(first, field)
        for span, of_amplifier in enumerate(noise):
            added = tensor(of_amplifier)
            if birefringence is None:
                field = self._fiber(field)
            else:
                rows = birefringence.pieces(span, self._pieces_km, self._omega)
                field = self._turned(birefringence.amplifier(span), self._fiber(field, rows))
            field = field.mul_(self._gain).add_(added)
        field = self._turned(last, field)
        return torch.fft.ifft(field).cpu().numpy().reshape(spectrum.shape)

    def _turned(self, matrix: polarization.Matrix | None, field: torch.Tensor) -> torch.Tensor:
        """Multiply a field by a Jones matrix, if there is one."""
        import torch

        if matrix is None:
            return field
        of_type = torch.from_numpy(matrix).to(field)
        return polarization.turned(of_type, field)

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
        """Low-pass the field to `kept_rate`, and to our channel: cut its spectrum."""
        spectrum = resized(np.fft.fft(field), self._kept)
        spectrum[:, self._outside] = 0
        return np.fft.ifft(spectrum) * (kept_rate(self._link) / self._link.samples_per_symbol)
