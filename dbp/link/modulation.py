"""Constellations with Gray labels, pulse shaping, decisions and bit errors."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dbp.link.arithmetic import elementwise

_BITS = {"qpsk": 2, "16qam": 4, "64qam": 6}

Labels = NDArray[np.uint8]
# Samples or symbols, complex of either precision.
Waveform = NDArray[np.complexfloating]


def bits_per_symbol(modulation: str) -> int:
    """Bits that one symbol carries; 0 for Gaussian symbols, which carry no labels."""
    return _BITS.get(modulation, 0)


def constellation(modulation: str) -> NDArray[np.complex128]:
    """The points of square QAM in the order of their labels, mean power 1, shape ``(2**bits,)``.

    The upper half of a label's bits selects I and the lower half Q, each by the binary reflected
    Gray code, so that labels of nearest neighbours differ in one bit (Proakis and Salehi, Digital
    Communications, 5th ed., section 4.3).
    """
    side = _side(modulation)
    rank = np.arange(side)
    level = np.empty(side)
    level[rank ^ (rank >> 1)] = 2 * rank - (side - 1)
    label = np.arange(side * side)
    points = np.asarray(level[label // side] + 1j * level[label % side], np.complex128)
    return points / _scale(side)


def draw(
    modulation: str, symbols: int, generator: np.random.Generator
) -> tuple[NDArray[np.complex128], Labels]:
    """Independent equiprobable symbols and their labels, both of shape ``(symbols,)``.

    "gaussian" gives circular complex Gaussian symbols of mean power 1, whose labels are all 0.
    """
    if modulation == "gaussian":
        quadratures = generator.standard_normal((symbols, 2)) / np.sqrt(2)
        return quadratures.view(np.complex128)[:, 0], np.zeros(symbols, np.uint8)
    labels = generator.integers(0, 2 ** _BITS[modulation], symbols, dtype=np.uint8)
    return constellation(modulation)[labels], labels


def decide(modulation: str, received: ArrayLike) -> Labels:
    """Labels of the nearest constellation points; any shape, same shape back."""
    side = _side(modulation)
    received = np.asarray(received)

    def gray(x: NDArray[np.floating]) -> NDArray[np.int64]:
        rank = np.clip(np.floor((x * _scale(side) + side) / 2), 0, side - 1).astype(np.int64)
        return rank ^ (rank >> 1)

    return (gray(received.real) * side + gray(received.imag)).astype(np.uint8)


def bit_errors(sent: Labels, decided: Labels) -> int:
    """Number of bits in which labels of equal shape differ."""
    return int(np.unpackbits(np.bitwise_xor(sent, decided)).sum())


def bit_error_ratio_awgn(modulation: str, snr: ArrayLike) -> NDArray[np.float64]:
    """Exact BER of square Gray QAM with nearest-point decisions over additive Gaussian noise.

    ``snr`` is the linear ratio of symbol energy to noise power, E_s / N_0; any shape. Cho and
    Yoon, "On the general BER expression of one- and two-dimensional amplitude modulations", IEEE
    Trans. Commun. 50(7), 2002, equations 14 and 16.
    """
    from scipy.special import erfc

    side = _side(modulation)
    argument = np.sqrt(np.asarray(snr, dtype=np.float64)) / _scale(side)
    total = np.zeros_like(argument)
    for bit in range(1, side.bit_length()):
        for i in range(side - (side >> bit)):
            fold = (i << (bit - 1)) // side
            weight = (1 << (bit - 1)) - ((i << bit) + side) // (2 * side)
            total = total + (-1) ** fold * weight * erfc((2 * i + 1) * argument)
    return total / side / (side.bit_length() - 1)


def snr_awgn(modulation: str, bit_error_ratio: float) -> float:
    """The linear E_s / N_0 at which `bit_error_ratio_awgn` is that; infinite for a ratio of 0."""
    from scipy.optimize import brentq

    if not 0 < bit_error_ratio < 0.5:
        return 0.0 if bit_error_ratio else math.inf

    def excess(root: float) -> float:
        return float(bit_error_ratio_awgn(modulation, root**2)) - bit_error_ratio

    # Where erfc is below every positive double.
    return brentq(excess, 0.0, 28 * _scale(_side(modulation)), xtol=1e-12) ** 2


def root_raised_cosine(
    roll_off: float, samples_per_symbol: float, samples: int
) -> NDArray[np.float64]:
    """Frequency response of a root-raised-cosine pulse for circular blocks, in FFT order.

    Shape ``(samples,)`` over a sampling band of ``samples_per_symbol`` symbol rates, amplitude 1
    in the flat part; square and sum over aliases of the symbol rate give 1 (zero intersymbol
    interference after the matched filter).
    """
    frequency = np.abs(np.fft.fftfreq(samples)) * samples_per_symbol  # in symbol rates
    edge = np.clip((frequency - (1 - roll_off) / 2) / roll_off, 0, 1)
    return elementwise(math.cos, np.pi / 2 * edge)


def _side(modulation: str) -> int:
    """Levels of one quadrature."""
    return 2 ** (_BITS[modulation] // 2)


def _scale(side: int) -> float:
    """Root mean square of the complex points with odd integer levels."""
    return float(np.sqrt(2 * (side * side - 1) / 3))
