"""Find the sent symbols in a stream that others recorded: rate, delay, phase, conjugation.

A stream is received as one circular block (`dbp.evaluation.receivers`): filters wrap around at its
ends, and the symbols that they spoil there are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from dbp.errors import InputError
from dbp.link import modulation
from dbp.link.modulation import Waveform
from dbp.link.resampling import resized

# From a waveform of shape (1, samples) to the same shape.
Equalize = Callable[[Waveform], Waveform]

# Symbols of the search: enough that no wrong place resembles the right one, and few enough that
# a laser's phase hardly turns meanwhile.
WINDOW_SYMBOLS = 8192
MIN_COHERENCE = 0.1
# As a fraction of the largest sample: less power comes from the arithmetic.
_LEAST_POWER = 1e-20
# A mean this many times as strong as that of random symbols is no chance: one file in 3 million.
_CHANCE = 15.0
# Samples beside the window that take the ends of its interpolation.
_MARGIN = 64


@dataclass(frozen=True)
class Synchronization:
    """The place of the sent symbols in a stream, and the received symbols at these places.

    The first symbol sent comes ``delay_symbols`` after the waveform's first sample, in the period
    nearest to it. ``phase_rad`` and ``gain``: of the equalised symbols over those sent, in the
    middle of the stream. ``coherence``: |<x, y>|^2 / (|x|^2 |y|^2) there, SNR / (1 + SNR) for white
    noise. ``conjugated``: the waveform and the sent symbols are both conjugated against the
    convention of `dbp.link.fiber`. ``equalized``: the whole stream, in the convention of the
    waveform, at its samples per symbol. ``received``: its symbols, complex, shape ``(symbols,)``,
    in their own order; ``index`` of the sent symbol of each.
    """

    delay_symbols: float
    phase_rad: float
    gain: float
    coherence: float
    conjugated: bool
    equalized: NDArray[np.complexfloating]
    received: NDArray[np.complex128]
    index: NDArray[np.int64]


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
    best = 0.0
    for conjugated in (False, True):
        equalized = _equalized(equalize, waveform, conjugated)
        pulse = modulation.root_raised_cosine(roll_off, float(samples_per_symbol), equalized.size)
        filtered = np.fft.fft(equalized.astype(np.complex128)) * pulse
        # The search is at 2 samples per symbol, whatever the receiver's: the pulse has no more.
        two = 2 * int(equalized.size / samples_per_symbol)
        spectrum = resized(filtered, two).astype(np.complex128) * (two / equalized.size)
        search = _Search(spectrum, sent)
        if search.is_found:
            return search.synchronization(equalized, conjugated)
        other = _Search(spectrum, np.conj(sent))
        if other.is_found:
            which = "waveform" if conjugated else "symbols"
            raise InputError(
                f"{which}: conjugated: conj({which}) fits, with coherence {other.coherence:.2f}: "
                "write it so, or swap I and Q"
            )
        best = max(best, search.coherence)
    raise InputError(
        f"symbols: not found in the equalised waveform, nor conjugated (coherence {best:.3f}, must "
        f"be {search.threshold:.3f}): is it the design's link, symbol rate and launch power, "
        "without frequency offset, and are they the symbols of this waveform?"
    )


def _equalized(equalize: Equalize, waveform: Waveform, conjugated: bool) -> Waveform:
    """Equalise, as a receiver for the conjugate of the fibre's equation would if ``conjugated``."""
    if conjugated:
        return np.conj(equalize(np.conj(waveform)[np.newaxis])[0])
    return equalize(waveform[np.newaxis])[0]


class _Search:
    """The search for the sent symbols in a stream of 2 samples per symbol, given its spectrum."""

    def __init__(self, spectrum: NDArray[np.complex128], sent: Waveform) -> None:
        self._spectrum, self._sent = spectrum, sent
        stream = np.fft.ifft(spectrum)
        symbols = stream.size // 2
        window = min(sent.size, symbols, WINDOW_SYMBOLS)
        # In the middle, where no end is near.
        start = 2 * ((symbols - window) // 2)
        sent_spectrum = np.fft.fft(sent)
        places = []
        for parity in (0, 1):
            part = stream[start + parity :: 2][:window]
            match = np.abs(np.fft.ifft(sent_spectrum * np.conj(np.fft.fft(part, sent.size))))
            lag = int(np.argmax(match))
            places.append((match[lag], parity, lag))
        _, parity, lag = max(places)
        self._reference = sent[(np.arange(window) + lag) % sent.size]
        first = start + parity
        around = np.arange(first - _MARGIN, first + 2 * window + _MARGIN) % stream.size
        segment = np.fft.fft(stream[around])
        frequency = np.fft.fftfreq(around.size)

        def received(shift: float) -> NDArray[np.complex128]:
            shifted = np.fft.ifft(segment * np.exp(2j * np.pi * frequency * shift))
            return shifted[_MARGIN : _MARGIN + 2 * window : 2]

        def mismatch(shift: float) -> float:
            return -coherence(self._reference, received(shift))

        fit = minimize_scalar(mismatch, bounds=(-0.75, 0.75), options={"xatol": 1e-5})
        self._in_window = received(fit.x)
        self.coherence = coherence(self._reference, self._in_window)
        self._delay_samples = first - 2 * lag + float(fit.x)
        # A wrong place exceeds c with probability exp(-c window): hardly ever does any of them.
        self.threshold = max(MIN_COHERENCE, 3 * math.log(2 * sent.size) / window)

    @property
    def is_found(self) -> bool:
        return self.coherence >= self.threshold

    def synchronization(self, equalized: Waveform, conjugated: bool) -> Synchronization:
        symbols, period = self._spectrum.size // 2, self._sent.size
        delay = self._delay_samples / 2
        whole = round(delay)
        shift = np.exp(2j * np.pi * np.fft.fftfreq(2 * symbols) * 2 * (delay - whole))
        shifted = self._spectrum * shift
        received = np.fft.ifft((shifted[:symbols] + shifted[symbols:]) / 2)
        energy = np.vdot(self._reference, self._reference).real
        gain = np.vdot(self._reference, self._in_window) / energy
        return Synchronization(
            delay_symbols=float((delay + period / 2) % period - period / 2),
            phase_rad=float(np.angle(gain)),
            gain=float(abs(gain)),
            coherence=self.coherence,
            conjugated=conjugated,
            equalized=equalized,
            received=received,
            index=(np.arange(symbols) - whole) % period,
        )


def coherence(sent: Waveform, received: Waveform) -> float:
    """Return |<x, y>|^2 / (|x|^2 |y|^2) in 0..1; 0 for a dead receiver."""
    energies = np.vdot(sent, sent).real * np.vdot(received, received).real
    return float(abs(np.vdot(sent, received)) ** 2 / energies) if energies > 0 else 0.0
