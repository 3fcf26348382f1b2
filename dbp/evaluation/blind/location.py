"""Where in the sent symbols a recorded stream begins.

A recording begins anywhere in a sequence that repeats, and its receiver knows that sequence. A
window of the stream is matched with all places of it: in segments, without their phases, since the
carrier's frequency is known but roughly, and over both rows, since polarisations are mixed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import oaconvolve

from dbp.link.modulation import Waveform

WINDOW_SYMBOLS = 1024
SEGMENT_SYMBOLS = 128
# By chance it is some 0.02, and of all places of all files hardly ever more than 0.1.
MIN_LIKENESS = 0.1


@dataclass(frozen=True)
class Location:
    """Which of the sent symbols of a polarisation the first of a window is, and how alike they are.

    ``coherence``: the share of the power of a polarisation that these symbols have there, 0..1.
    """

    index: int
    coherence: float
    threshold: float = MIN_LIKENESS

    @property
    def is_found(self) -> bool:
        return self.coherence >= self.threshold


def locate(stream: Waveform, sent: Waveform) -> Location:
    """Find the start of a stream in the symbols of a polarisation.

    ``stream``: shape ``(rows, samples)``, two samples a symbol, symbols on the even or on the odd
    ones, at least `WINDOW_SYMBOLS` of them. ``sent``: shape ``(n,)``, mean power 1, repeats
    without end.
    """
    count = sent.size
    repeated = sent[np.arange(count + WINDOW_SYMBOLS) % count].astype(np.complex64)
    best = Location(0, 0.0)
    for parity in (0, 1):
        window = stream[:, parity::2][:, :WINDOW_SYMBOLS].astype(np.complex64)
        power = float(np.sum(np.abs(window) ** 2)) / len(window)
        if not power > 0:
            continue
        total = np.zeros(count)
        for row in window:
            for first in range(0, WINDOW_SYMBOLS, SEGMENT_SYMBOLS):
                segment = row[first : first + SEGMENT_SYMBOLS]
                match = oaconvolve(repeated, segment[::-1].conj(), mode="valid")
                total += np.abs(match[first : first + count]) ** 2
        index = int(np.argmax(total))
        found = Location(index, float(total[index]) / (SEGMENT_SYMBOLS * power))
        best = max(best, found, key=lambda location: location.coherence)
    return best
