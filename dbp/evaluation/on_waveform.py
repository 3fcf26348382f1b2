"""Counting on a waveform that others recorded: one stream, whose symbols are found in it first.

With two polarisations the stream has two rows, which may hold any mixture of both that were sent;
the symbols sent say which (`dbp.waveforms.synchronization`), for each group of blocks anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from dbp import config
from dbp.datapath.design import Design, launch_power_uw
from dbp.errors import InputError
from dbp.evaluation import blind
from dbp.evaluation.counting import design_figures
from dbp.evaluation.measures import Measures, align, measure, summarize
from dbp.evaluation.receivers import Receiver
from dbp.link import modulation
from dbp.link.modulation import Waveform
from dbp.records.schemas import Point
from dbp.waveforms.recording import Recording
from dbp.waveforms.synchronization import (
    Synchronization,
    coherence,
    combined,
    constant_offset,
    resample,
    synchronize_all,
)

# A stream is counted in blocks, as `dbp.link.transmission` has them; in fewer where it is short.
BLOCK_SYMBOLS, GROUP_BLOCKS = 1024, 8
MIN_COUNTED = 1024
# Symbols that the matched filter takes from beyond an end, in addition to the design's memory.
FILTER_SYMBOLS = 64
# As a fraction of the coherence in mid-stream: blocks with less do not hold the symbols.
_LEAST_COHERENCE = 0.3


@dataclass(frozen=True)
class Equalized:
    """A stream as a receiver leaves it, and the symbols in it.

    ``synchronizations``: for each polarisation that was sent, where its symbols were found.
    ``sent``, ``received``: complex, shape ``(n,)``, or ``(2, n)`` of two polarisations, without
    the ``edge_symbols`` at each end, which the filters there spoil. ``reception``: what a blind
    receiver found, if it was one.
    """

    synchronizations: tuple[Synchronization, ...]
    sent: NDArray[np.complexfloating]
    received: NDArray[np.complexfloating]
    edge_symbols: int
    reception: blind.Reception | None = None

    @property
    def synchronization(self) -> Synchronization:
        """Where the symbols were found; of two polarisations those of the first."""
        return self.synchronizations[0]

    @property
    def aligned(self) -> NDArray[np.complexfloating]:
        """The received symbols after one complex gain for each polarisation."""
        if self.sent.ndim == 1:
            return align(self.sent, self.received)
        return np.stack([align(x, y) for x, y in zip(self.sent, self.received, strict=True)])


def link_as_recorded(link: config.Link, recording: Recording) -> config.Link:
    """Return a link with what a recording says: symbol rate, roll-off, polarisations, and more."""
    if recording.polarizations == 1:
        impairments = link.impairments.unmixed()
        link = link.model_copy(update={"impairments": impairments})
    return config.link_with(
        link,
        {
            "symbol_rate_gbd": recording.symbol_rate_baud / 1e9,
            "roll_off": recording.roll_off,
            "dual_polarisation": recording.polarizations == 2,
            **(recording.link or {}),
        },
    )


def stream(recording: Recording, samples_per_symbol: Fraction) -> NDArray[np.complex128]:
    """Return the waveform at a receiver's samples per symbol, mean power 1, shape ``(samples,)``.

    Behind an ideal low-pass, and without a `constant_offset`, where the symbols are known. Of two
    polarisations, ``(2, samples)``, each is scaled by itself: both were launched with one power.
    """
    offset = _offset(recording)
    waveform = recording.waveform - offset if offset.any() else recording.waveform
    if waveform.ndim == 1:
        return resample(waveform, recording.samples_per_symbol, samples_per_symbol)
    rows = [resample(row, recording.samples_per_symbol, samples_per_symbol) for row in waveform]
    return np.stack(rows)


def _offset(recording: Recording) -> NDArray[np.complex128]:
    """The constant to take out of a waveform, or out of each row; 0 where no symbols are known.

    A short sequence that repeats has a mean of its own, which no other waveform of as many symbols
    would have: the length of the sequence decides what is too much. Shape ``(1,)`` or ``(2, 1)``.
    """
    rows = np.atleast_2d(recording.waveform)
    symbols = int(rows.shape[-1] / recording.samples_per_symbol)
    found = np.zeros((len(rows), 1), np.complex128)
    if recording.symbols is not None:
        symbols = max(min(symbols, recording.symbols.shape[-1]), 1)
        found[:, 0] = [constant_offset(row, symbols) for row in rows]
    return found if recording.waveform.ndim == 2 else found[0]


def memory_symbols(design: Design) -> int:
    """Return how many symbols before and after one the filters of a design take in."""
    return math.ceil(design.delay / design.samples_per_symbol)


def memory_symbols_of_link(link: config.Link) -> int:
    """Return how many symbols to each side dispersion spreads one over the sampling band.

    The walk-off of the edges of the converter's band: ``|D| L lambda^2 / c`` times its width.
    """
    spread_ps_per_nm = abs(link.dispersion_ps_per_nm_km) * link.spans * link.span_km
    # nm^2 times GHz over m/s is nm; ps times GHz is 1e-3.
    band_ghz = float(link.adc_rate) * link.symbol_rate_gbd
    band_nm = link.wavelength_nm**2 * band_ghz / speed_of_light
    return math.ceil(1e-3 * spread_ps_per_nm * band_nm * link.symbol_rate_gbd / 2)


def edge_symbols(memory: int, symbols: int) -> int:
    """Return how many symbols of each end are not counted: the filters there wrap around.

    ``memory``: of the receiver, to each side, in symbols.
    """
    edge = memory + FILTER_SYMBOLS
    if symbols - 2 * edge < MIN_COUNTED:
        raise InputError(
            f"waveform: {symbols} symbols: must be at least {MIN_COUNTED + 2 * edge}, since "
            f"{edge} of each end are not counted"
        )
    return edge


def equalize(
    receiver: Receiver,
    memory: int,
    waveform: Waveform,
    recording: Recording,
    samples_per_symbol: Fraction = Fraction(2),
) -> Equalized:
    """Equalise a `stream` and find the symbols sent in it; `InputError` where they are not there.

    ``waveform``: at ``samples_per_symbol``, the receiver's.
    ``memory``: that of the receiver, in symbols to each side. The recording must have its symbols.
    """
    if recording.symbols is None:
        raise InputError("symbols or bits: must be there to be found in the waveform")
    edge = edge_symbols(memory, int(waveform.shape[-1] / samples_per_symbol))
    synchronizations = synchronize_all(
        lambda blocks: receiver(blocks, recording.launch_power_dbm),
        waveform,
        recording.symbols,
        recording.roll_off,
        samples_per_symbol,
    )
    each = zip(
        synchronizations, np.atleast_2d(recording.symbols), symbol_names(recording), strict=True
    )
    of_each = [_inside(found, symbols, edge, name) for found, symbols, name in each]
    sent, received = (np.stack(part) for part in zip(*of_each, strict=True))
    if waveform.ndim == 1:
        sent, received = sent[0], received[0]
    return Equalized(synchronizations, sent, received, edge)


def symbol_names(recording: Recording) -> tuple[str, ...]:
    """How messages call the symbols of each polarisation."""
    return ("symbols",) if recording.polarizations == 1 else ("symbols[0]", "symbols[1]")


def _inside(
    synchronization: Synchronization, symbols: Waveform, edge: int, name: str
) -> tuple[Waveform, Waveform]:
    """Return the sent and the received symbols of a polarisation that are not at the ends.

    Each group of what both rows hold is combined anew. `InputError` where they are not throughout
    the waveform; ``name`` is that of the symbols.
    """
    inside = slice(edge, synchronization.index.size - edge)
    sent = symbols[synchronization.index[inside]]
    rows = synchronization.received[..., inside]
    received = rows
    if rows.ndim == 2:
        received = np.concatenate([combined(sent[g], rows[:, g]) for g in _groups(sent.size)])
    check_throughout(
        sent, received, synchronization.coherence, edge, f"{name}: found in the middle"
    )
    return sent, received


def check_throughout(
    sent: Waveform, received: Waveform, usual: float, first: int, found: str
) -> None:
    """Refuse symbols that are not in all blocks of a waveform.

    ``usual``: their coherence; ``first``: the number in the waveform of the first of them;
    ``found``: where they are, the start of the message.
    """
    block = _block_symbols(sent.size)
    for start in range(0, sent.size - block + 1, block):
        part = slice(start, start + block)
        if coherence(sent[part], received[part]) < _LEAST_COHERENCE * usual:
            raise InputError(
                f"{found} of the waveform, but not in its symbols {first + start}.."
                f"{first + start + block - 1}: must be those of the whole waveform, or one period "
                "of what repeats without gaps, at a steady symbol rate"
            )


def point(
    receiver: Receiver, design: Design | None, recording: Recording, equalized: Equalized
) -> Point:
    """Return the point of a receiver on a recording, of which the modulation is known.

    ``design``: that of the receiver, if it has one.
    """
    if recording.modulation is None:
        raise InputError("modulation: must be there to count errors")
    groups = _measure(recording.modulation, equalized.sent, equalized.received)
    return Point(
        design=receiver.name,
        arithmetic=receiver.arithmetic,
        launch_power_dbm=recording.launch_power_dbm,
        **asdict(summarize(groups)),
        **design_figures(design, receiver.arithmetic),
        **_figures_of_place(recording, equalized),
    )


def _figures_of_place(recording: Recording, equalized: Equalized) -> dict[str, Any]:
    """Where the symbols were found, as a `Point` states it."""
    found, *of_y = equalized.synchronizations
    per_symbol = float(recording.samples_per_symbol)
    figures: dict[str, Any] = {"delay_samples": found.delay_symbols * per_symbol}
    if equalized.reception is None:
        figures |= {"phase_rad": found.phase_rad, "gain": found.gain}
    figures |= {
        "coherence": found.coherence,
        "conjugated": found.conjugated,
        "edge_symbols": equalized.edge_symbols,
    }
    for y in of_y:
        figures["delay_samples_y"] = y.delay_symbols * per_symbol
        figures["coherence_y"] = y.coherence
    if equalized.reception is not None:
        figures["carrier_offset_mhz"] = carrier_offset_mhz(recording, equalized.reception)
        figures["clock_offset_ppm"] = 1e6 * equalized.reception.clock.drift
    elif of_y:
        figures["swapped"] = are_swapped(equalized.synchronizations)
    return figures


def carrier_offset_mhz(recording: Recording, reception: blind.Reception) -> float:
    """How far the carrier lies above the receiver's laser."""
    return 1e-6 * recording.symbol_rate_baud * reception.frequency


def are_swapped(synchronizations: Sequence[Synchronization]) -> bool:
    """Tell whether most of x was received in the second row, and most of y in the first."""
    return [each.row for each in synchronizations] == [1, 0]


def _block_symbols(counted: int) -> int:
    return min(BLOCK_SYMBOLS, counted // GROUP_BLOCKS)


def _groups(counted: int) -> list[slice]:
    """The symbols of each group of blocks, the last with all that are left."""
    size = GROUP_BLOCKS * _block_symbols(counted)
    starts = range(0, counted - size + 1, size)
    return [slice(k, None if k == starts[-1] else k + size) for k in starts]


def _measure(modulation_: str, sent: Waveform, received: Waveform) -> list[Measures]:
    """Groups of blocks, the last with all blocks that are left; what fills none is not counted.

    Both polarisations of a block are one block of it, with a gain for each of them.
    """
    if sent.ndim == 2:
        of_groups = [(sent[:, g], received[:, g]) for g in _groups(sent.shape[-1])]
        both = [np.stack([align(x, y) for x, y in zip(*g, strict=True)]) for g in of_groups]
        received = np.concatenate(both, axis=-1)
    block = _block_symbols(sent.shape[-1])
    blocks = sent.shape[-1] // block
    sent, received = (_by_block(part[..., : blocks * block], block) for part in (sent, received))
    labels = modulation.decide(modulation_, sent)
    starts = range(0, blocks - GROUP_BLOCKS + 1, GROUP_BLOCKS)
    groups = [slice(k, None if k == starts[-1] else k + GROUP_BLOCKS) for k in starts]
    return [measure(modulation_, sent[g], labels[g], received[g]) for g in groups]


def _by_block(symbols: Waveform, block: int) -> Waveform:
    """Shape ``(n,)`` as ``(blocks, block)``; ``(2, n)`` as ``(blocks, 2 * block)``."""
    if symbols.ndim == 1:
        return symbols.reshape(-1, block)
    blocks = np.moveaxis(symbols.reshape(2, -1, block), 0, 1)
    return blocks.reshape(len(blocks), -1)


def _offset_notes(label: str, recording: Recording) -> list[str]:
    rows = np.atleast_2d(recording.waveform)
    symbols = max(int(rows.shape[-1] / recording.samples_per_symbol), 1)
    lines = []
    for k, (row, (taken,)) in enumerate(zip(rows, np.atleast_2d(_offset(recording)), strict=True)):
        offset = taken or (recording.symbols is None and constant_offset(row, symbols))
        if not offset:
            continue
        with np.errstate(over="ignore", under="ignore"):
            share = abs(offset) / np.std(row)
        what = "was taken out" if taken else "stays, since the symbols are not known: take it out"
        name = "waveform" if len(rows) == 1 else f"waveform[{k}]"
        lines.append(f"{label}: {name}: a constant offset of {share:.2g} times its rms {what}")
    return lines


def notes(label: str, design: Design, link: config.Link, recording: Recording) -> list[str]:
    """Return a sentence for each way in which a recording is not what a design is for.

    ``link``: that of the design.
    """
    lines = _offset_notes(label, recording)
    uw = launch_power_uw(recording.launch_power_dbm)
    if any(rotation.kerr_saturates(uw) for rotation in design.rotations):
        power = f"{recording.launch_power_dbm:+g} dBm"
        lines.append(f"{label}: K is at the end of its range at {power}")
    stated = recording.link or {}
    of_link = [(key, value, getattr(link, key), 0.01) for key, value in stated.items()]
    for name, theirs, ours, tolerance in (
        ("symbol_rate_baud", recording.symbol_rate_baud, 1e9 * link.symbol_rate_gbd, 1e-3),
        ("roll_off", recording.roll_off, link.roll_off, 1e-3),
        *of_link,
    ):
        if abs(theirs - ours) > tolerance * abs(ours):
            lines.append(f"{label}: {name} = {theirs:g}, for a link of {ours:g}")
    return lines
