"""Counting on a waveform that others recorded: one stream, whose symbols are found in it first."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from dbp import config
from dbp.datapath.design import Design, launch_power_uw
from dbp.errors import InputError
from dbp.evaluation.counting import design_figures
from dbp.evaluation.measures import Measures, measure, summarize
from dbp.evaluation.receivers import Receiver
from dbp.link import modulation
from dbp.link.modulation import Waveform
from dbp.records.schemas import Point
from dbp.waveforms.recording import Recording
from dbp.waveforms.synchronization import (
    Synchronization,
    coherence,
    constant_offset,
    resample,
    synchronize,
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

    ``synchronization``: where the symbols were found. ``sent``, ``received``: complex, shape
    ``(n,)``, without the ``edge_symbols`` at each end, which the filters there spoil.
    """

    synchronization: Synchronization
    sent: NDArray[np.complexfloating]
    received: NDArray[np.complexfloating]
    edge_symbols: int


def stream(recording: Recording, samples_per_symbol: Fraction) -> NDArray[np.complex128]:
    """Return the waveform at a receiver's samples per symbol, mean power 1, shape ``(samples,)``.

    Behind an ideal low-pass, and without a `constant_offset`, where the symbols are known.
    """
    waveform = recording.waveform - offset if (offset := _offset(recording)) else recording.waveform
    return resample(waveform, recording.samples_per_symbol, samples_per_symbol)


def _offset(recording: Recording) -> complex:
    """The constant to take out of a waveform; 0 where its symbols are not known.

    A short sequence that repeats has a mean of its own, which no other waveform of as many symbols
    would have: the length of the sequence decides what is too much.
    """
    if recording.symbols is None:
        return 0.0
    symbols = int(recording.waveform.size / recording.samples_per_symbol)
    return constant_offset(recording.waveform, max(min(symbols, recording.symbols.size), 1))


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
    edge = edge_symbols(memory, int(waveform.size / samples_per_symbol))
    synchronization = synchronize(
        lambda blocks: receiver(blocks, recording.launch_power_dbm),
        waveform,
        recording.symbols,
        recording.roll_off,
        samples_per_symbol,
    )
    inside = slice(edge, synchronization.received.size - edge)
    sent = recording.symbols[synchronization.index[inside]]
    received = synchronization.received[inside]
    block = _block_symbols(sent.size)
    for start in range(0, sent.size - block + 1, block):
        part = slice(start, start + block)
        least = _LEAST_COHERENCE * synchronization.coherence
        if coherence(sent[part], received[part]) < least:
            raise InputError(
                f"symbols: found in the middle of the waveform, but not in its symbols "
                f"{edge + start}..{edge + start + block - 1}: must be those of the whole waveform, "
                "or one period of what repeats without gaps, at a steady symbol rate"
            )
    return Equalized(synchronization, sent, received, edge)


def point(
    receiver: Receiver, design: Design | None, recording: Recording, equalized: Equalized
) -> Point:
    """Return the point of a receiver on a recording, of which the modulation is known.

    ``design``: that of the receiver, if it has one.
    """
    if recording.modulation is None:
        raise InputError("modulation: must be there to count errors")
    groups = _measure(recording.modulation, equalized.sent, equalized.received)
    synchronization = equalized.synchronization
    return Point(
        design=receiver.name,
        arithmetic=receiver.arithmetic,
        launch_power_dbm=recording.launch_power_dbm,
        **asdict(summarize(groups)),
        **design_figures(design, receiver.arithmetic),
        delay_samples=synchronization.delay_symbols * float(recording.samples_per_symbol),
        phase_rad=synchronization.phase_rad,
        gain=synchronization.gain,
        coherence=synchronization.coherence,
        conjugated=synchronization.conjugated,
        edge_symbols=equalized.edge_symbols,
    )


def _block_symbols(counted: int) -> int:
    return min(BLOCK_SYMBOLS, counted // GROUP_BLOCKS)


def _measure(modulation_: str, sent: Waveform, received: Waveform) -> list[Measures]:
    """Groups of blocks, the last with all blocks that are left; what fills none is not counted."""
    block = _block_symbols(sent.size)
    blocks = sent.size // block
    shape = (blocks, block)
    sent, received = (part[: blocks * block].reshape(shape) for part in (sent, received))
    labels = modulation.decide(modulation_, sent)
    starts = range(0, blocks - GROUP_BLOCKS + 1, GROUP_BLOCKS)
    groups = [slice(k, None if k == starts[-1] else k + GROUP_BLOCKS) for k in starts]
    return [measure(modulation_, sent[g], labels[g], received[g]) for g in groups]


def _offset_notes(label: str, recording: Recording) -> list[str]:
    symbols = max(int(recording.waveform.size / recording.samples_per_symbol), 1)
    taken = _offset(recording)
    offset = taken or (recording.symbols is None and constant_offset(recording.waveform, symbols))
    if not offset:
        return []
    with np.errstate(over="ignore", under="ignore"):
        share = abs(offset) / np.std(recording.waveform)
    what = "was taken out" if taken else "stays, since the symbols are not known: take it out"
    return [f"{label}: waveform: a constant offset of {share:.2g} times its rms {what}"]


def notes(label: str, design: Design, link: config.Link, recording: Recording) -> list[str]:
    """Return a sentence for each way in which a recording is not what a design is for.

    ``link``: that of the design.
    """
    lines = _offset_notes(label, recording)
    uw = launch_power_uw(recording.launch_power_dbm)
    if any(rotation.kerr_saturates(uw) for rotation in design.rotations):
        power = f"{recording.launch_power_dbm:+g} dBm"
        lines.append(f"{label}: K is at the end of its range at {power}")
    for name, theirs, ours in (
        ("symbol_rate_baud", recording.symbol_rate_baud, 1e9 * link.symbol_rate_gbd),
        ("roll_off", recording.roll_off, link.roll_off),
    ):
        if abs(theirs - ours) > 1e-3 * ours:
            lines.append(f"{label}: {name} = {theirs:g}, for a link of {ours:g}")
    return lines
