"""A blind receiver on a waveform that others recorded (`dbp.evaluation.blind`).

Of the symbols sent it knows where the stream begins in them, a preamble there, and pilots.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from dbp.errors import InputError
from dbp.evaluation import blind
from dbp.evaluation.on_waveform import (
    FILTER_SYMBOLS,
    MIN_COUNTED,
    Equalized,
    check_throughout,
    equalize,
    symbol_names,
)
from dbp.evaluation.receivers import Receiver
from dbp.link import modulation
from dbp.link.modulation import Waveform
from dbp.waveforms.recording import Recording
from dbp.waveforms.synchronization import (
    Convention,
    Synchronization,
    coherence,
    find_convention,
)

# Where the carrier is looked for at first, and the symbols before and behind the preamble among
# which that is looked for: further on it may come again.
HEAD_SYMBOLS, GUARD_SYMBOLS = 8192, 64


def receive(
    receiver: Receiver,
    memory: int,
    waveform: Waveform,
    recording: Recording,
    samples_per_symbol: Fraction = Fraction(2),
) -> Equalized:
    """Equalise a `dbp.evaluation.on_waveform.stream` and receive it without a genie.

    As `dbp.evaluation.on_waveform.equalize`, whose arguments these are. Neither the preamble nor
    the ends are in what it returns.
    """
    if recording.symbols is None or not modulation.bits_per_symbol(recording.modulation or ""):
        raise InputError(
            "symbols or bits, and modulation qpsk, 16qam or 64qam: must be there for a blind "
            "receiver, which finds a preamble and pilots by them"
        )
    rate, sent = samples_per_symbol, np.atleast_2d(recording.symbols)
    edge, count = _edge(memory, int(waveform.shape[-1] / rate), rate)
    inside = slice(int(edge * rate), int((edge + count) * rate))

    def searching(equalized: Waveform) -> Callable[[Waveform], blind.Location]:
        head = np.atleast_2d(equalized)[:, inside][:, : int(HEAD_SYMBOLS * rate)]
        return blind.searching(head, recording.roll_off, float(rate), GUARD_SYMBOLS)

    found = find_convention(
        lambda blocks: receiver(blocks, recording.launch_power_dbm),
        *(waveform, sent, searching, ""),
    )
    places = zip(found.searches, sent, strict=True)
    index = np.stack([(at.index + np.arange(count)) % row.size for at, row in places])
    expected = np.take_along_axis(sent, index, axis=-1)
    reception = blind.receive(
        *(np.atleast_2d(found.equalized)[:, inside], expected, str(recording.modulation)),
        *(recording.roll_off, float(rate)),
        head_symbols=blind.PREAMBLE_SYMBOLS + 2 * GUARD_SYMBOLS,
    )
    return _counted(recording, edge, found, index, reception)


def _counted(
    recording: Recording,
    edge: int,
    found: Convention[blind.Location],
    index: NDArray[np.int64],
    reception: blind.Reception,
) -> Equalized:
    """Return what is counted of a reception; `InputError` where it has lost the symbols.

    ``index``: of the symbol sent for each that was received.
    """
    assert recording.symbols is not None
    of_each = np.atleast_2d(recording.symbols)
    period, expected = of_each.shape[-1], np.take_along_axis(of_each, index, axis=-1)
    first, count = edge + GUARD_SYMBOLS, index.shape[-1]
    counted = slice(blind.PREAMBLE_SYMBOLS, count - blind.END_SYMBOLS - GUARD_SYMBOLS)
    sent, received = expected[:, counted], reception.symbols[:, counted]
    synchronizations = []
    for k, name in enumerate(symbol_names(recording)):
        start = f"{name}: found at the start"
        check_throughout(sent[k], received[k], 1.0, first + counted.start, start)
        delay = first - found.searches[k].index
        synchronizations.append(
            Synchronization(
                delay_symbols=float((delay + period / 2) % period - period / 2),
                phase_rad=0.0,
                gain=1.0,
                coherence=coherence(sent[k], received[k]),
                conjugated=found.conjugated,
                equalized=found.equalized,
                received=reception.symbols[k],
                index=index[k],
            )
        )
    if recording.polarizations == 1:
        sent, received = sent[0], received[0]
    return Equalized(tuple(synchronizations), sent, received, edge, reception)


def _edge(memory: int, symbols: int, rate: Fraction) -> tuple[int, int]:
    """Return the symbols of each end that are left out, and how many there are between."""
    edge = -(-(memory + FILTER_SYMBOLS) // rate.denominator) * rate.denominator
    count = symbols - 2 * edge
    least = blind.PREAMBLE_SYMBOLS + blind.END_SYMBOLS + GUARD_SYMBOLS + MIN_COUNTED
    if count < least:
        raise InputError(
            f"waveform: {symbols} symbols: must be at least {least + 2 * edge} for a blind "
            f"receiver, since {edge} of each end and a preamble are not counted"
        )
    return edge, count


# What finds the symbols behind a receiver, by the name of who does.
DETECTIONS = {"genie": equalize, "blind": receive}
