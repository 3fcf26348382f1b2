"""A receiver without a genie: it finds polarisation, clock, frequency, phase and frame by itself.

Behind an equaliser (a design, ``dbpN``, ``linear``), in floating point, for evaluation. Each block
is a stream of its own that begins with a known preamble. The stages, in their order:

1. **Frequency**, coarse: where the band lies (`acquisition.band_offset`).
2. **Matched filter**, at two samples a symbol.
3. **Clock** (`acquisition.clock`, `acquisition.on_clock`).
4. **Butterfly**. With a preamble start: the preamble is found (`acquisition.find_preamble`), which
   gives frequency and channel; the filters learn on it, then follow decisions. With a blind start:
   constant modulus and radii; the frequency is that of the fourth power
   (`acquisition.line_offset`).
5. **Carrier**: blind phase search; one symbol in 32 is a pilot, which tells the quadrant and so
   undoes cycle slips (`dbp.evaluation.carrier`).
6. **Frame**: where each output holds which preamble says which stream is which, and the delay of
   each.

Stages 1 to 3 are gone through twice: the second time with the frequency that stage 4 has found, so
that the matched filter stands on the band.

The preamble, `PREAMBLE_SYMBOLS`, and the last `END_SYMBOLS` of a block, where the stream ends, are
not counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dbp import config
from dbp.errors import InputError
from dbp.evaluation import carrier
from dbp.evaluation.blind import acquisition
from dbp.evaluation.blind.butterfly import Butterfly
from dbp.evaluation.blind.location import Location, locate
from dbp.link import modulation
from dbp.link.modulation import Waveform
from dbp.link.resampling import resized

PREAMBLE_SYMBOLS = 1024
END_SYMBOLS = 64
MIN_BLOCK_SYMBOLS = 8192
# Over so many the carrier's phase at the start is found, where no preamble is known.
UPRIGHT_SYMBOLS = 512

Start = Literal["preamble", "blind"]


@dataclass(frozen=True)
class Reception:
    """What was received of a stream.

    ``symbols``: complex, shape ``(polarizations, symbols)``, in the order and at the places of
    those sent. ``frequency``: cycles a symbol. ``clock``: of the first pass. ``streams``: for each
    polarisation that was sent the output that held it. ``likeness``: of each preamble, 0..1.
    """

    symbols: Waveform
    frequency: float
    clock: acquisition.Clock
    streams: tuple[int, ...]
    likeness: tuple[float, ...]


def check(link: config.Link) -> None:
    """Refuse a link whose blocks are too short to be received as streams."""
    if link.block_symbols < MIN_BLOCK_SYMBOLS:
        raise InputError(
            f"link.block_symbols = {link.block_symbols}: must be at least {MIN_BLOCK_SYMBOLS} for "
            "a blind receiver: each block is a stream of its own, on whose start it adapts"
        )


def symbols(
    equalized: Waveform, sent: Waveform, link: config.Link, start: Start = "preamble"
) -> Waveform:
    """Return the symbols of a group of blocks as they are received without a genie.

    ``equalized``: complex, shape ``(blocks, [2,] link.adc_samples)``, any unit and delay; ``sent``:
    ``(blocks, [2,] block_symbols)``, of which preamble and pilots are known; same shape back.
    """
    check(link)
    both = equalized.ndim == 3
    streams, known = (x if both else x[:, None] for x in (equalized, sent))
    rate = float(link.adc_rate)
    received = [
        receive(x, s, link.modulation, link.roll_off, rate, start).symbols
        for x, s in zip(streams, known, strict=True)
    ]
    return np.stack(received if both else [of_block[0] for of_block in received])


def counted(link: config.Link) -> slice:
    """Return the symbols of a block that are counted: neither preamble nor end."""
    return slice(PREAMBLE_SYMBOLS, link.block_symbols - END_SYMBOLS)


def receive(
    stream: Waveform,
    sent: Waveform,
    modulation_: str,
    roll_off: float,
    samples_per_symbol: float = 2.0,
    start: Start = "preamble",
    head_symbols: int | None = None,
) -> Reception:
    """Receive one stream, shape ``(polarizations, samples)``, any unit, circular.

    ``sent``: shape ``(polarizations, symbols)``; the first `PREAMBLE_SYMBOLS` and every pilot are
    known to the receiver, nothing else. ``head_symbols``: the preamble is within so many at the
    start of the stream; None: anywhere.
    """
    preamble = sent[:, :PREAMBLE_SYMBOLS]
    head = None if head_symbols is None else 2 * head_symbols
    power = np.mean(np.abs(stream) ** 2)
    if not power > 0:  # a dead receiver
        nothing = np.zeros(sent.shape, np.complex128)
        return Reception(nothing, 0.0, acquisition.Clock(0, 0), tuple(range(len(sent))), (0.0,))
    stream = stream.astype(np.complex128) / np.sqrt(power)
    offset = acquisition.band_offset(np.fft.fft(stream), roll_off, samples_per_symbol)
    prepared, _ = prepare(stream, offset, roll_off, samples_per_symbol)
    if start == "preamble":
        offset += acquisition.find_preamble(prepared[:, :head], preamble, 2).offset
        prepared, clock = prepare(stream, offset, roll_off, samples_per_symbol)
        frame = acquisition.find_preamble(prepared[:, :head], preamble, 2)
        prepared = np.roll(prepared, -frame.start, axis=-1)
        butterfly = Butterfly.started(modulation_, _inverse(frame.channel))
        butterfly.learn(prepared, preamble)
        out = butterfly.follow(prepared, preamble)
    else:
        butterfly = Butterfly.started(modulation_, np.eye(len(stream), dtype=np.complex128))
        butterfly.start_blind(prepared)
        offset += acquisition.line_offset(butterfly.follow(prepared, step=0.0))
        prepared, clock = prepare(stream, offset, roll_off, samples_per_symbol)
        butterfly = Butterfly.started(modulation_, np.eye(len(stream), dtype=np.complex128))
        butterfly.start_blind(prepared)
        _turn_upright(butterfly, prepared)
        out = butterfly.follow(prepared)
    aligned, streams, likeness = put_in_order(out, preamble, head_symbols)
    return Reception(carried(aligned, sent, modulation_), offset, clock, streams, likeness)


def searching(
    stream: Waveform, roll_off: float, samples_per_symbol: float, first: int
) -> Callable[[Waveform], Location]:
    """Return what finds symbol ``first`` of a recorded stream in the symbols sent.

    ``stream``: the start of it, shape ``(polarizations, samples)``.
    """
    if not np.any(stream):  # a dead receiver
        return lambda sent: Location(0, 0.0)
    offset = acquisition.band_offset(np.fft.fft(stream), roll_off, samples_per_symbol)
    prepared, _ = prepare(stream, offset, roll_off, samples_per_symbol)
    return lambda sent: locate(prepared[:, 2 * first :], sent)


def prepare(
    stream: Waveform, offset: float, roll_off: float, samples_per_symbol: float
) -> tuple[Waveform, acquisition.Clock]:
    """Take out the frequency, apply the matched filter, go to 2 samples a symbol on the clock.

    Returns a stream of mean power 1, with symbols on even samples, and its clock.
    """
    spectrum = np.fft.fft(acquisition.shifted(stream, offset, samples_per_symbol))
    samples = spectrum.shape[-1]
    spectrum = spectrum * modulation.root_raised_cosine(roll_off, samples_per_symbol, samples)
    at_two = np.fft.ifft(resized(spectrum, round(samples * 2 / samples_per_symbol)))
    at_two /= np.sqrt(np.mean(np.abs(at_two) ** 2))
    found = acquisition.clock(at_two, roll_off)
    return acquisition.on_symbols(acquisition.on_clock(at_two, found)), found


def put_in_order(
    out: Waveform, preamble: Waveform, head_symbols: int | None = None
) -> tuple[Waveform, tuple[int, ...], tuple[float, ...]]:
    """Find which output holds which preamble, and where; returns streams in the order sent."""
    heads = out[:, None, :head_symbols]
    frames = [[acquisition.find_preamble(y, s[None], 1) for s in preamble] for y in heads]
    orders = [(0,)] if len(out) == 1 else [(0, 1), (1, 0)]
    found = max(orders, key=lambda o: sum(frames[i][p].likeness for p, i in enumerate(o)))
    chosen = [frames[i][p] for p, i in enumerate(found)]
    aligned = np.stack([np.roll(out[i], -f.start) for i, f in zip(found, chosen, strict=True)])
    return aligned, found, tuple(f.likeness for f in chosen)


def carried(aligned: Waveform, sent: Waveform, modulation_: str) -> Waveform:
    """Undo the carrier's phase: blind phase search, then quadrants and slips by pilots."""
    scaled = aligned / np.sqrt(np.mean(np.abs(aligned) ** 2, axis=-1, keepdims=True))
    phase = carrier.blind_phase(scaled, modulation_)
    return scaled * np.exp(-1j * (phase + carrier.quadrant(scaled, phase, sent)))


def _turn_upright(butterfly: Butterfly, prepared: Waveform) -> None:
    """Turn the outputs of blind filters so that decisions can be taken on them."""
    out = butterfly.follow(prepared[:, : 2 * UPRIGHT_SYMBOLS], step=0.0)
    scaled = out / np.sqrt(np.mean(np.abs(out) ** 2, axis=-1, keepdims=True))
    phase = carrier.blind_phase(scaled, butterfly.modulation)[:, 0]
    butterfly.taps *= np.exp(-1j * phase)[:, None, None]


def _inverse(channel: Waveform) -> Waveform:
    """The inverse of a matrix of one or two rows, of one that can be inverted."""
    if channel.shape == (1, 1):
        return 1 / channel
    (a, b), (c, d) = channel
    return np.array([[d, -b], [-c, a]]) / (a * d - b * c)
