"""Find the sent symbols in a stream that others recorded: rate, delay, phase, conjugation.

With two polarisations each row of a stream may hold any mixture of both that were sent. Those of
one are looked for in both rows, and their sum that is most like them is what was received of it.

A stream is received as one circular block (`dbp.evaluation.receivers`): filters wrap around at its
ends, and the symbols that they spoil there are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from dbp.errors import InputError
from dbp.link import modulation
from dbp.link.modulation import Waveform
from dbp.link.resampling import resized

# From a waveform of shape (1, samples) or (1, 2, samples) to the same shape.
Equalize = Callable[[Waveform], Waveform]

# Symbols of the search: enough that no wrong place resembles the right one, and few enough that
# a laser's phase hardly turns meanwhile.
WINDOW_SYMBOLS = 8192
MIN_COHERENCE = 0.1
# As a fraction of the largest sample: less power comes from the arithmetic.
_LEAST_POWER = 1e-20
# A mean this many times as strong as that of random symbols is no chance: one file in 3 million.
_CHANCE = 15.0
# What the difference of both rows of a stream must have of their power, to hold anything.
_LEAST_OF_BOTH = 1e-9
# Samples beside the window that take the ends of its interpolation.
_MARGIN = 64


@dataclass(frozen=True)
class Synchronization:
    """The place of the sent symbols of a polarisation in a stream, and what was received there.

    The first symbol sent comes ``delay_symbols`` after the waveform's first sample, in the period
    nearest to it. ``phase_rad`` and ``gain``: of the equalised symbols over those sent, in the
    middle of the stream. ``coherence``: |<x, y>|^2 / (|x|^2 |y|^2) there, SNR / (1 + SNR) for white
    noise. ``conjugated``: the waveform and the sent symbols are both conjugated against the
    convention of `dbp.link.fiber`. ``equalized``: the whole stream, in the convention of the
    waveform, at its samples per symbol. ``received``: its symbols, complex, shape ``(symbols,)``,
    in their own order; ``index`` of the sent symbol of each.

    With two polarisations ``equalized`` and ``received`` are of both rows of the stream, shape
    ``(2, ...)``; ``row`` is that in which the symbols are strongest, and phase and gain are those
    in it.
    """

    delay_symbols: float
    phase_rad: float
    gain: float
    coherence: float
    conjugated: bool
    equalized: NDArray[np.complexfloating]
    received: NDArray[np.complex128]
    index: NDArray[np.int64]
    row: int = 0


def resample(
    waveform: Waveform, samples_per_symbol: Fraction | int, wanted: Fraction = Fraction(2)
) -> NDArray[np.complex128]:
    """Resample to ``wanted`` samples per symbol and mean power 1: cut the spectrum, or pad it.

    ``waveform``: shape ``(samples,)``, any unit; samples beyond the last whole symbol are left out,
    and symbols beyond the last number of them that has whole samples at both ratios. Exact for a
    circular waveform, as simulators make them; else the step from its end to its start rings at
    both ends. The ideal receiver of `dbp.link.transmission` does the same. `InputError` where
    nothing is left.
    """
    given = Fraction(samples_per_symbol)
    multiple = math.lcm(given.denominator, wanted.denominator)
    symbols = int(waveform.size / given) // multiple * multiple
    waveform = waveform[: int(symbols * given)].astype(np.complex128)
    # So that no square is too large or too small.
    waveform /= max(np.abs(waveform).max(initial=0), np.finfo(np.float64).tiny)
    if symbols and given != wanted:
        waveform = np.fft.ifft(resized(np.fft.fft(waveform), int(symbols * wanted)))
    power = np.mean(np.abs(waveform) ** 2) if symbols else 0.0
    if power < _LEAST_POWER:
        raise InputError("waveform: holds no whole symbol, or nothing within the symbol rate")
    return waveform / np.sqrt(power)


def constant_offset(waveform: Waveform, symbols: int) -> complex:
    """Return the mean of a waveform where it is none of the signal, else 0.

    Of a signal of ``symbols`` random symbols the mean has 1 / ``symbols`` of the power; by chance
    it exceeds c times that with probability exp(-c). Converters and leaking lasers add constants,
    which a nonlinear receiver mixes with the signal. ``waveform``: shape ``(samples,)``, any unit.
    """
    largest = np.abs(waveform).max(initial=0)
    if not largest:
        return 0.0
    scaled = waveform.astype(np.complex128) / largest
    mean, power = np.mean(scaled), np.mean(np.abs(scaled) ** 2)
    is_offset = abs(mean) ** 2 > _CHANCE * power / symbols
    return complex(mean * largest) if is_offset else 0.0


def synchronize(
    equalize: Equalize,
    waveform: Waveform,
    sent: Waveform,
    roll_off: float,
    samples_per_symbol: Fraction = Fraction(2),
) -> Synchronization:
    """Equalise a stream, filter it with the matched filter, and find the sent symbols in it.

    ``waveform``: shape ``(samples,)``, whole symbols, mean power 1, of any delay and phase;
    ``sent``: shape ``(n,)``, taken to repeat without end. Raises `InputError` where the symbols are
    not found, or only after one of the two is conjugated.
    """
    (found,) = synchronize_all(equalize, waveform, sent, roll_off, samples_per_symbol)
    return found


def synchronize_all(
    equalize: Equalize,
    waveform: Waveform,
    sent: Waveform,
    roll_off: float,
    samples_per_symbol: Fraction = Fraction(2),
) -> tuple[Synchronization, ...]:
    """Do the same with one polarisation, or with two, ``(2, samples)`` and ``(2, n)``.

    Returns what was found of each that was sent.
    """

    def searching(equalized: Waveform) -> Callable[[Waveform], _Search]:
        spectrum = at_two_per_symbol(equalized, roll_off, samples_per_symbol)
        return lambda symbols: _Search(spectrum, symbols)

    found = find_convention(equalize, waveform, np.atleast_2d(sent), searching)
    return tuple(each.synchronization(found.equalized, found.conjugated) for each in found.searches)


class Search(Protocol):
    """What looked for the symbols of a polarisation in an equalised stream."""

    @property
    def is_found(self) -> bool: ...

    @property
    def coherence(self) -> float: ...

    @property
    def threshold(self) -> float: ...


AnySearch = TypeVar("AnySearch", bound=Search)


@dataclass(frozen=True)
class Convention(Generic[AnySearch]):
    """An equalised stream, whether by its conjugate, and a search for each polarisation sent."""

    equalized: NDArray[np.complexfloating]
    conjugated: bool
    searches: tuple[AnySearch, ...]


def find_convention(
    equalize: Equalize,
    waveform: Waveform,
    sent: Waveform,
    searching: Callable[[Waveform], Callable[[Waveform], AnySearch]],
    beside: str = ", without frequency offset",
) -> Convention[AnySearch]:
    """Equalise a stream, or its conjugate, so that the symbols of all polarisations are found.

    ``sent``: shape ``(polarizations, n)``. ``searching``: makes of an equalised stream what looks
    for symbols in it; ``beside``: what else it needs to find them. Raises one `InputError` that
    says what must be conjugated, or which symbols are not there.
    """
    # For each polarisation what fits it, as a part of a sentence; and the best coherence.
    fits: list[list[str]] = [[] for _ in sent]
    best = np.zeros(len(sent))
    threshold = 0.0
    for conjugated in (False, True):
        equalized = _equalized(equalize, waveform, conjugated)
        search = searching(equalized)
        searches = tuple(search(symbols) for symbols in sent)
        if all(each.is_found for each in searches):
            return Convention(equalized, conjugated, searches)
        mirrored = tuple(search(np.conj(symbols)) for symbols in sent)
        which = "waveform" if conjugated else "symbols"
        if all(each.is_found for each in mirrored):
            raise InputError(
                f"{which}: conjugated: conj({which}) fits, with coherence "
                f"{min(each.coherence for each in mirrored):.2f}: write it so, or swap I and Q"
            )
        best = np.maximum(best, [each.coherence for each in searches])
        threshold = searches[0].threshold
        for k, (plain, turned) in enumerate(zip(searches, mirrored, strict=True)):
            if plain.is_found:
                fits[k].append("conj of both" if conjugated else "as they are")
            if turned.is_found:
                fits[k].append(f"conj({which})")
    raise InputError(_not_found(fits, best, threshold, beside))


def _not_found(
    fits: list[list[str]], best: NDArray[np.float64], threshold: float, beside: str
) -> str:
    """Say what keeps the symbols of all polarisations from being found alike."""
    if all(fits):
        both = ", ".join(f"symbols[{k}] fit {ways[0]}" for k, ways in enumerate(fits))
        return (
            f"symbols, waveform: conjugated in one polarisation only: {both}: write both alike, or "
            "swap I and Q of one"
        )
    for k, ways in enumerate(fits):
        if ways:
            return (
                f"symbols[{1 - k}]: not found in the equalised waveform (coherence "
                f"{best[1 - k]:.3f}, must be {threshold:.3f}), as symbols[{k}] are: is a "
                "polarisation missing or twice in waveform, and are they what was sent?"
            )
    return (
        f"symbols: not found in the equalised waveform, nor conjugated (coherence {best.max():.3f},"
        f" must be {threshold:.3f}): is it the design's link, symbol rate and launch power"
        f"{beside}, and are they the symbols of this waveform?"
    )


def _equalized(equalize: Equalize, waveform: Waveform, conjugated: bool) -> Waveform:
    """Equalise, as a receiver for the conjugate of the fibre's equation would if ``conjugated``."""
    if conjugated:
        return np.conj(equalize(np.conj(waveform)[np.newaxis])[0])
    return equalize(waveform[np.newaxis])[0]


def at_two_per_symbol(
    equalized: Waveform, roll_off: float, samples_per_symbol: Fraction
) -> NDArray[np.complex128]:
    """The spectrum behind the matched filter at 2 samples per symbol, shape ``(rows, samples)``.

    The search is at these whatever the receiver's are: the pulse has no more.
    """
    rows = np.atleast_2d(equalized)
    samples = rows.shape[-1]
    pulse = modulation.root_raised_cosine(roll_off, float(samples_per_symbol), samples)
    filtered = np.fft.fft(rows.astype(np.complex128)) * pulse
    two = 2 * int(samples / samples_per_symbol)
    return resized(filtered, two).astype(np.complex128) * (two / samples)


class _Search:
    """The search for the symbols of a polarisation in a stream of 2 samples per symbol.

    ``spectrum``: of all rows of the stream, shape ``(rows, samples)``.
    """

    def __init__(self, spectrum: NDArray[np.complex128], sent: Waveform) -> None:
        self._spectrum, self._sent = spectrum, sent
        stream = np.fft.ifft(spectrum)
        samples = stream.shape[-1]
        symbols = samples // 2
        window = min(sent.size, symbols, WINDOW_SYMBOLS)
        # In the middle, where no end is near.
        start = 2 * ((symbols - window) // 2)
        sent_spectrum = np.fft.fft(sent)
        places = []
        for parity in (0, 1):
            part = stream[:, start + parity :: 2][:, :window]
            match = np.abs(np.fft.ifft(sent_spectrum * np.conj(np.fft.fft(part, sent.size))))
            total = match[0] if len(match) == 1 else np.hypot(*match)
            lag = int(np.argmax(total))
            places.append((total[lag], parity, lag))
        _, parity, lag = max(places)
        self._reference = sent[(np.arange(window) + lag) % sent.size]
        first = start + parity
        around = np.arange(first - _MARGIN, first + 2 * window + _MARGIN) % samples
        segment = np.fft.fft(stream[:, around])
        frequency = np.fft.fftfreq(around.size)

        def received(shift: float) -> NDArray[np.complex128]:
            shifted = np.fft.ifft(segment * np.exp(2j * np.pi * frequency * shift))
            return shifted[:, _MARGIN : _MARGIN + 2 * window : 2]

        def mismatch(shift: float) -> float:
            return -coherence(self._reference, received(shift))

        fit = minimize_scalar(mismatch, bounds=(-0.75, 0.75), options={"xatol": 1e-5})
        self._in_window = received(fit.x)
        self.coherence = coherence(self._reference, self._in_window)
        self._delay_samples = first - 2 * lag + float(fit.x)
        # A wrong place exceeds c with probability exp(-c window), or with two rows 1 + c window
        # times that: hardly ever does any of them.
        most = (2 + len(spectrum)) * math.log(2 * sent.size) / window
        self.threshold = max(MIN_COHERENCE, most)

    @property
    def is_found(self) -> bool:
        return self.coherence >= self.threshold

    def synchronization(self, equalized: Waveform, conjugated: bool) -> Synchronization:
        symbols, period = self._spectrum.shape[-1] // 2, self._sent.size
        delay = self._delay_samples / 2
        whole = round(delay)
        shift = np.exp(2j * np.pi * np.fft.fftfreq(2 * symbols) * 2 * (delay - whole))
        shifted = self._spectrum * shift
        received = np.fft.ifft((shifted[:, :symbols] + shifted[:, symbols:]) / 2)
        energy = np.vdot(self._reference, self._reference).real
        gains = [np.vdot(self._reference, row) / energy for row in self._in_window]
        row = int(np.argmax(np.abs(gains)))
        return Synchronization(
            delay_symbols=float((delay + period / 2) % period - period / 2),
            phase_rad=float(np.angle(gains[row])),
            gain=float(abs(gains[row])),
            coherence=self.coherence,
            conjugated=conjugated,
            equalized=equalized,
            received=received if equalized.ndim == 2 else received[0],
            index=(np.arange(symbols) - whole) % period,
            row=row,
        )


def combined(sent: Waveform, rows: Waveform) -> NDArray[np.complexfloating]:
    """Return the sum of both rows, each times a constant, that comes nearest to the symbols sent.

    It undoes a mixture that stands still. ``rows``: shape ``(2, n)``; one row is returned as it is.
    """
    if rows.ndim == 1 or len(rows) == 1:
        return rows.reshape(-1)
    powers = rows.conj() @ rows.T
    # Where both rows are one signal, their difference is no signal.
    inverse = np.linalg.pinv(powers, rcond=_LEAST_OF_BOTH, hermitian=True)
    return inverse @ (rows.conj() @ sent) @ rows


def coherence(sent: Waveform, received: Waveform) -> float:
    """Return |<x, y>|^2 / (|x|^2 |y|^2) in 0..1; 0 for a dead receiver.

    ``received``: of shape ``(n,)``, or ``(rows, n)``, of which the `combined` is compared.
    """
    received = combined(sent, received)
    energies = np.vdot(sent, sent).real * np.vdot(received, received).real
    return float(abs(np.vdot(sent, received)) ** 2 / energies) if energies > 0 else 0.0
