"""The state of a recorded stream, found once, so that filters can be learned on pieces of it.

A recording has a clock, a frequency offset, phases of lasers and a mixture of both polarisations,
all of which a receiver behind the learned filters would find. Here they are found by the symbols
sent, behind an equaliser that is not learned: backpropagation by one step a span (`dbp1` of
`dbp.evaluation.receivers.Reference`) over the link of the configuration. What is done with each:

- **Frequency and clock** are taken out of the waveform, where they came into it: the local laser
  and the converter are the last that a signal meets, so this is exact. Symbols then lie on samples.
- **Phase and polarisation** stay in the waveform. The symbols to compare with are those sent,
  turned and mixed as they were received: a matrix for each `SEGMENT_SYMBOLS`, and a phase that both
  polarisations share, over `PHASE_SYMBOLS`. So does carrier recovery behind the filters, in the
  place where a receiver has it.

It is fair. A matrix and a phase have about 1 / `PHASE_SYMBOLS` as many numbers as there are
symbols, and explain no more than that share of the noise; they are fitted to another equaliser, and
stay as they are while filters are learned, so that no filter can hide an error in them. The average
over a phase's window is longer than most of what the Kerr effect does, which is left to be learned.
Polarisation-mode dispersion is not undone: no filter that both polarisations share could, and what
it costs is the same for all.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.optimize import minimize_scalar

from dbp import config
from dbp.evaluation import blind, carrier
from dbp.evaluation.blind import acquisition
from dbp.evaluation.blind_on_waveform import GUARD_SYMBOLS, HEAD_SYMBOLS
from dbp.evaluation.on_waveform import check_throughout
from dbp.evaluation.receivers import Reference
from dbp.link.modulation import Waveform
from dbp.waveforms.synchronization import at_two_per_symbol, coherence, find_convention

EQUALIZER = "dbp1"
SEGMENT_SYMBOLS, PHASE_SYMBOLS = 8192, carrier.WINDOW
# Behind the ends, what finding the symbols takes at least.
LEAST_SYMBOLS = blind.PREAMBLE_SYMBOLS + 2 * GUARD_SYMBOLS
# Symbols of the search for the delay, in parts over which phases are taken to stand still, and
# those beside it that take the ends of its interpolation.
_WINDOW_SYMBOLS, _STILL_SYMBOLS, _MARGIN_SYMBOLS = 8192, 128, 64
# Symbols of a segment from which its matrix is found first, while the phase is not known.
_FIRST_SYMBOLS = 512
# By so many symbols a clock may move over a stream and not be undone: 40 dB below the symbols.
_LEAST_DRIFT = 0.005


@dataclass(frozen=True, repr=False, eq=False)
class Tracked:
    """A recorded stream with symbol n at sample r n, and what an equaliser should make of it.

    ``waveform``: complex, shape ``(polarizations, samples)``; ``expected``: the symbols sent as
    they were received, shape ``(polarizations, symbols)``, zeros where they are not known. Both are
    in the convention of `dbp.link.fiber`. ``usable``: the symbols that are neither at the ends nor
    beyond them. ``frequency``: of the carrier, cycles a symbol; ``drift``: by how much symbols are
    longer than stated; ``coherence``: of both polarisations together, behind the equaliser;
    ``conjugated``: whether the recording was in the other convention.
    """

    waveform: NDArray[np.complex128]
    expected: NDArray[np.complex128]
    usable: slice
    frequency: float
    drift: float
    coherence: float
    conjugated: bool


@dataclass(frozen=True)
class _Place:
    """Where symbols lie: symbol n at sample 2 (n + delay) of a stream of 2 samples a symbol.

    ``index``: of the sent symbol that is symbol 0, for each polarisation.
    """

    delay: float
    index: tuple[int, ...]


def track(
    waveform: Waveform, sent: Waveform, link: config.Link, launch_power_dbm: float, edge: int
) -> Tracked:
    """Find the state of a stream, take frequency and clock out of it, and say what is expected.

    ``waveform``: shape ``(polarizations, samples)``, ``link.adc_rate`` a symbol, mean power 1;
    ``sent``: shape ``(polarizations, n)``, taken to repeat. ``edge``: symbols at each end that
    equalisers spoil. Raises `InputError` where the symbols are not there, throughout.
    """
    reference, rate = Reference(EQUALIZER, link), float(link.adc_rate)

    def equalize(blocks: Waveform) -> Waveform:
        return reference(blocks, launch_power_dbm)

    symbols = round(waveform.shape[-1] / rate)
    inside = slice(round(edge * rate), round((symbols - edge) * rate))

    def searching(equalized: Waveform) -> Callable[[Waveform], blind.Location]:
        head = equalized[:, inside][:, : int(HEAD_SYMBOLS * rate)]
        return blind.searching(head, link.roll_off, rate, GUARD_SYMBOLS)

    found = find_convention(equalize, waveform, sent, searching, "")
    equalized = found.equalized
    if found.conjugated:
        waveform, sent, equalized = waveform.conj(), sent.conj(), equalized.conj()
    starts = [each.index for each in found.searches]
    preambles = np.stack([_repeated(s, at) for s, at in zip(sent, starts, strict=True)])
    frequency = _frequency(equalized[:, inside], preambles[:1], link.roll_off, rate)
    waveform = acquisition.shifted(waveform, frequency, rate)
    stream = _at_two(equalize(waveform[np.newaxis])[0], link)
    # Blind at first, since of a long stream the ends may be symbols away from their places.
    drift = acquisition.clock(stream[:, 2 * edge : 2 * (symbols - edge)], link.roll_off).drift
    for is_last in (False, False, True):
        on_clock = waveform
        if drift:
            on_clock = acquisition.on_clock(waveform, acquisition.Clock(0.0, drift))
        stream = _at_two(equalize(on_clock[np.newaxis])[0], link)
        # Of a clock that is too slow, the stream ends before all samples of it are there.
        usable = slice(edge, int(symbols / (1 + max(drift, 0.0))) - edge)
        place = _place(stream, sent, preambles, starts, usable)
        more = _drift(stream, sent, place, usable)
        if is_last or abs(more) * symbols < _LEAST_DRIFT:
            break
        drift = (1 + drift) * (1 + more) - 1
    index = [(np.arange(symbols) + first) % sent.shape[-1] for first in place.index]
    aligned = np.take_along_axis(sent, np.stack(index), axis=-1)
    received = _later(stream, 2 * place.delay)[:, ::2]
    expected, likeness = _expected(aligned, received, usable)
    waveform = _later(on_clock, rate * place.delay)
    return Tracked(waveform, expected, usable, frequency, drift, likeness, found.conjugated)


def _repeated(sent: Waveform, start: int) -> Waveform:
    return sent[(start + np.arange(blind.PREAMBLE_SYMBOLS)) % sent.size]


def _at_two(equalized: Waveform, link: config.Link) -> NDArray[np.complex128]:
    """The stream behind the matched filter, at 2 samples per symbol."""
    return np.fft.ifft(at_two_per_symbol(equalized, link.roll_off, link.adc_rate))


def _later(stream: Waveform, samples: float) -> NDArray[np.complex128]:
    """A circular stream read this many samples later."""
    turn = np.exp(2j * np.pi * np.fft.fftfreq(stream.shape[-1]) * samples)
    return np.fft.ifft(np.fft.fft(stream) * turn)


def _frequency(stream: Waveform, preamble: Waveform, roll_off: float, rate: float) -> float:
    """Of the carrier of a stream that begins with a preamble, in cycles a symbol."""
    offset = acquisition.band_offset(np.fft.fft(stream), roll_off, rate)
    prepared, _ = blind.prepare(stream, offset, roll_off, rate)
    head = prepared[:, : 2 * LEAST_SYMBOLS]
    return offset + acquisition.find_preamble(head, preamble, 2).offset


def _place(
    stream: Waveform, sent: Waveform, preambles: Waveform, starts: list[int], usable: slice
) -> _Place:
    """Find the symbols in a stream of 2 samples a symbol.

    ``preambles``: symbols sent from ``starts`` on, which lie at the start of what is usable, to
    within `GUARD_SYMBOLS`. The delay is the one with which symbols in the middle are most like
    those sent.
    """
    head = stream[:, 2 * usable.start :][:, : 2 * LEAST_SYMBOLS]
    at = [acquisition.find_preamble(head, each[np.newaxis], 2).start for each in preambles]
    parity = at[0] % 2
    half = parity / 2
    # The sent symbol that is symbol 0, if both lie on the grid of the first.
    index = [s - usable.start - round((p - parity) / 2) for s, p in zip(starts, at, strict=True)]
    count = min(_WINDOW_SYMBOLS, usable.stop - usable.start) // _STILL_SYMBOLS * _STILL_SYMBOLS
    middle = _Window.of(stream, (usable.start + usable.stop - count) // 2, count)
    for p in range(1, len(index)):
        near = range(index[p] - 1, index[p] + 2)
        index[p] = near[int(np.argmax([middle.likeness(sent[p], k, half) for k in near]))]
    return _Place(middle.delay(sent, index, half), tuple(index))


def _drift(stream: Waveform, sent: Waveform, place: _Place, usable: slice) -> float:
    """By how much symbols are longer than they should be: from their delays at both ends."""
    most = min(_WINDOW_SYMBOLS, (usable.stop - usable.start) // 2)
    count = most // _STILL_SYMBOLS * _STILL_SYMBOLS
    firsts = usable.start, usable.stop - count
    windows = (_Window.of(stream, first, count) for first in firsts)
    early, late = (each.delay(sent, place.index, place.delay) for each in windows)
    return (late - early) / (firsts[1] - firsts[0])


@dataclass(frozen=True, repr=False, eq=False)
class _Window:
    """Some symbols of a stream of 2 samples a symbol, to be compared with those sent.

    ``around``: the samples of symbols ``first`` to ``first + count``, with others on both sides.
    """

    around: NDArray[np.complexfloating]
    first: int
    count: int

    @classmethod
    def of(cls, stream: Waveform, first: int, count: int) -> _Window:
        low, high = first - _MARGIN_SYMBOLS, first + count + _MARGIN_SYMBOLS
        return cls(stream[:, np.arange(2 * low, 2 * high) % stream.shape[-1]], first, count)

    def likeness(self, sent: Waveform, index: int, delay: float) -> float:
        """How much of the power is that of the symbols of a polarisation, in any unit."""
        rows = _later(self.around, 2 * delay)[:, 2 * _MARGIN_SYMBOLS :: 2][:, : self.count]
        known = sent[(self.first + index + np.arange(self.count)) % sent.size]
        parts = rows.reshape(len(rows), -1, _STILL_SYMBOLS)
        of_parts = np.einsum("rsn,sn->rs", parts, known.conj().reshape(-1, _STILL_SYMBOLS))
        return float(np.sum(np.abs(of_parts) ** 2))

    def delay(self, sent: Waveform, index: Sequence[int], near: float) -> float:
        """The delay, in symbols, with which all polarisations are most like those sent."""

        def mismatch(delay: float) -> float:
            return -sum(self.likeness(s, k, delay) for s, k in zip(sent, index, strict=True))

        bounds = (near - 0.4, near + 0.4)
        return float(minimize_scalar(mismatch, bounds=bounds, options={"xatol": 1e-5}).x)


def _expected(
    sent: Waveform, received: Waveform, usable: slice
) -> tuple[NDArray[np.complex128], float]:
    """Return the symbols sent, turned and mixed as they were received, and how alike both are.

    Both of shape ``(polarizations, symbols)``. `InputError` where they are unlike anywhere.
    """
    expected = np.zeros(sent.shape, np.complex128)
    alike = np.zeros(sent.shape, np.complex128)
    starts = range(usable.start, usable.stop - SEGMENT_SYMBOLS + 1, SEGMENT_SYMBOLS)
    edges = [usable.start, *starts[1:], usable.stop]
    for start, stop in itertools.pairwise(edges):
        part = slice(start, stop)
        matrix, turn = _state(sent[:, part], received[:, part])
        expected[:, part] = matrix @ sent[:, part] * turn
        alike[:, part] = np.linalg.pinv(matrix) @ received[:, part] / turn
    usual = coherence(sent[:, usable].ravel(), alike[:, usable].ravel())
    for k, (row, like) in enumerate(zip(sent[:, usable], alike[:, usable], strict=True)):
        name = f"symbols[{k}]" if len(sent) == 2 else "symbols"
        check_throughout(row, like, usual, usable.start, f"{name}: found at the start")
    return expected, usual


def _state(
    sent: Waveform, received: Waveform
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Return the matrix from sent to received symbols, and their common turn, of a segment."""
    matrix = _mixture(sent[:, :_FIRST_SYMBOLS], received[:, :_FIRST_SYMBOLS])
    turn = np.ones(sent.shape[-1], np.complex128)
    for _ in range(2):
        likeness = np.sum((matrix @ sent).conj() * received, axis=0)
        mean = uniform_filter1d(likeness.real, PHASE_SYMBOLS) + 1j * uniform_filter1d(
            likeness.imag, PHASE_SYMBOLS
        )
        turn = np.exp(1j * np.angle(mean))
        matrix = _mixture(sent * turn, received)
    return matrix, turn


def _mixture(sent: Waveform, received: Waveform) -> NDArray[np.complex128]:
    """The matrix that makes of the sent symbols what comes nearest to those received."""
    matrix = np.linalg.lstsq(sent.T, received.T, rcond=None)[0].T
    return matrix.astype(np.complex128)
