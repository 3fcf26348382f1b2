"""From an equalised waveform to symbols and to what is measured on them, with the sent as genie.

Outside the chip, in floating point: matched filter, symbol timing, and one complex gain (one
constant phase rotation and one gain control) over many symbols, since a genie rotation of short
blocks would track phase noise and flatter the result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy import special

from dbp.errors import InputError
from dbp.evaluation.intervals import block_interval
from dbp.link import modulation
from dbp.link._simd import cached_njit, fused
from dbp.link.modulation import Waveform
from dbp.link.resampling import folded
from dbp.support.compiled import njit
from dbp.support.text import html_table

# As a fraction of the energy sent: less noise than this comes from the arithmetic.
_LEAST_NOISE = float(np.finfo(np.float64).eps)
TWO = Fraction(2)


def matched_filter(
    waveform: Waveform, roll_off: float, samples_per_symbol: Fraction = TWO
) -> Waveform:
    """Apply root-raised-cosine filter and symbol timing: from ``samples_per_symbol`` to 1.

    The last axis is circular and holds whole symbols. Exact at any ratio above 1 + ``roll_off``. A
    waveform of mean power 1 without distortion gives the symbols, of mean power 1.
    """
    return matched_symbols(np.fft.fft(waveform), roll_off, samples_per_symbol)


def matched_symbols(
    spectrum: Waveform, roll_off: float, samples_per_symbol: Fraction = TWO
) -> Waveform:
    """Do the same as `matched_filter`, given the waveform's transform."""
    samples, rate = spectrum.shape[-1], float(samples_per_symbol)
    filtered = spectrum * modulation.root_raised_cosine(roll_off, rate, samples)
    return np.fft.ifft(folded(filtered, int(samples / samples_per_symbol)) / rate)


def align(sent: Waveform, received: Waveform) -> Waveform:
    """Multiply by one complex gain, so that the sent symbols are received without bias."""
    projection = product(sent, received)
    if projection == 0:  # a dead receiver
        return received
    return received * (product(sent, sent).real / projection)


def product(x: Waveform, y: Waveform) -> np.complex128:
    """Return the sum of conj(x) y, as `numpy.vdot`, but the same on every machine.

    BLAS adds in an order that depends on the processor, and from 10,000 numbers on upon the cores.
    """
    if x.shape != y.shape:
        raise ValueError(f"shapes {x.shape} and {y.shape}: must be one")
    parts = (np.ascontiguousarray(a, np.complex128).ravel() for a in (x, y))
    return np.complex128(complex(*_product(*parts)))


def effective_snr_db(sent: Waveform, received: Waveform) -> float:
    """Return E\\|x\\|^2 / E\\|x - c y\\|^2 of all symbols with the best complex gain c, in dB."""
    x, y = sent.astype(np.complex128), received.astype(np.complex128)
    coherence = abs(product(x, y)) ** 2 / (product(x, x).real * product(y, y).real)
    return float(-10 * np.log10(1 - coherence))


@dataclass(frozen=True)
class Measures:
    """Sums over a group of blocks of equal length; those of several groups add up.

    ``squared_bit_errors``: over blocks, of the squared number of bit errors of a block.
    ``sent_energy``: |x|^2. ``noise_energy``: |x - c y|^2 with the complex gain c of the group that
    makes it least. ``error_energy``: |x - c y|^2 with that of `align`. ``information_bits``: bits
    less what is lost of each, log2(1 + exp(-l)), where l is the log-likelihood ratio of the sent
    value of the bit to the other one.
    """

    blocks: int
    symbols: int
    bits: int
    bit_errors: int
    squared_bit_errors: int
    symbol_errors: int
    sent_energy: float
    noise_energy: float
    error_energy: float
    information_bits: float


def measure(
    modulation_: str, sent: Waveform, labels: modulation.Labels, received: Waveform
) -> Measures:
    """Compare a group of received blocks with the sent ones, after one gain for all (`align`).

    ``sent``, ``received``: complex, shape ``(blocks, symbols)``, the constellation of mean power 1
    and any multiple of it; ``labels``: uint8, same shape. Log-likelihood ratios are exact for white
    circular Gaussian noise of the variance measured on the group; a receiver in whose output the
    sent symbols have no share conveys no information.
    """
    bits = modulation.bits_per_symbol(modulation_)
    if not bits:
        raise InputError(f"modulation = {modulation_!r}: has no bits to count")
    if not (sent.ndim == 2 and sent.size and sent.shape == labels.shape == received.shape):
        shapes = f"sent {sent.shape}, labels {labels.shape}, received {received.shape}"
        raise InputError(f"shapes of {shapes}: must be one (blocks, symbols) of at least 1 symbol")
    if labels.dtype != np.uint8 or labels.max() >= 2**bits:
        actual = f"{labels.dtype} up to {labels.max()}"
        raise InputError(f"labels = {actual}: must be uint8 below {2**bits} for {modulation_}")
    x, y = (np.ascontiguousarray(part, np.complex128) for part in (sent, received))
    with np.errstate(all="ignore"):  # of numbers so large or small that the check below refuses
        aligned = align(x, y)
        error = x - aligned
        sent_energy, error_energy = product(x, x).real, product(error, error).real
    if not (sent_energy > 0 and np.isfinite(error_energy)):
        energies = f"{sent_energy:g} sent, {error_energy:g} in error"
        raise InputError(f"energy of symbols = {energies}: must be finite, and more than 0 sent")
    dead = product(x, y) == 0
    wrong = np.bitwise_count(labels ^ modulation.decide(modulation_, aligned))
    errors_of_blocks = [int(errors) for errors in wrong.sum(axis=1, dtype=np.int64)]
    variance = np.inf if dead else max(error_energy, _LEAST_NOISE * sent_energy) / x.size
    levels = modulation.constellation(modulation_)[: 2 ** (bits // 2)].imag.copy()
    lost = _lost_bits(aligned.ravel(), labels.ravel(), levels, variance)
    return Measures(
        blocks=len(sent),
        symbols=sent.size,
        bits=sent.size * bits,
        bit_errors=sum(errors_of_blocks),
        squared_bit_errors=sum(errors**2 for errors in errors_of_blocks),
        symbol_errors=int(np.count_nonzero(wrong)),
        sent_energy=float(sent_energy),
        # The error of the best gain follows from that of the gain without bias, |x|^2 / <x, y>.
        noise_energy=float(
            sent_energy if dead else sent_energy * error_energy / (sent_energy + error_energy)
        ),
        error_energy=float(error_energy),
        information_bits=sent.size * bits - lost,
    )


@dataclass(frozen=True)
class Measurement:
    """The figures of a receiver at one launch power; none of them NaN or infinite."""

    bits: int
    """Bits compared."""
    errors: int
    """Bits wrong."""
    ber: float
    """Errors over bits."""
    ber_low: float
    """Low end of the 95 % interval (`dbp.evaluation.intervals.block_interval`)."""
    ber_high: float
    """High end of that interval."""
    ser: float
    """Symbols wrong over symbols."""
    snr_db: float
    """Effective SNR: E|x|^2 / E|x - c y|^2 with the gain c that makes it largest."""
    evm_percent: float
    """The error vector's rms over that of the sent symbols, known and not decided, after the gain
    of `align`; normalised to the mean power (Schmogrow et al., IEEE Photon. Technol. Lett. 24(1),
    2012)."""
    q_db: float | None
    """20 log10 of the Q that has this BER, erfc(Q / sqrt 2) / 2; None where that is 0 or from 1/2
    up."""
    gmi_bits: float
    """Generalised mutual information per symbol of the bit-wise decoder: a rate that it achieves
    (Alvarado, Fehenberger, Chen, Willems, J. Lightw. Technol. 36(2), 2018, equation 34, with s = 1
    since the ratios are not rescaled)."""

    def __repr__(self) -> str:
        return (
            f"BER {self.ber:.1e} ({self.ber_low:.1e} .. {self.ber_high:.1e}), "
            f"SNR {self.snr_db:.2f} dB, GMI {self.gmi_bits:.2f} bits"
        )

    def _repr_html_(self) -> str:
        figures = ((name, getattr(self, name)) for name in self.__dataclass_fields__)
        return html_table([(name, "" if x is None else f"{x:.5g}") for name, x in figures])


def summarize(groups: Sequence[Measures]) -> Measurement:
    """Return the figures of a point from the sums over its groups, of which there is at least one.

    The order of the groups does not matter.
    """
    total = _sum(groups)
    ber = total.bit_errors / total.bits
    low, high = block_interval(
        total.bit_errors, total.bits, blocks=total.blocks, squared_errors=total.squared_bit_errors
    )
    noise = max(total.noise_energy, _LEAST_NOISE * total.sent_energy)
    return Measurement(
        bits=total.bits,
        errors=total.bit_errors,
        ber=ber,
        ber_low=low,
        ber_high=high,
        ser=total.symbol_errors / total.symbols,
        snr_db=10 * math.log10(total.sent_energy / noise),
        evm_percent=100 * math.sqrt(total.error_energy / total.sent_energy),
        q_db=20 * math.log10(-special.ndtri(ber)) if 0 < ber < 0.5 else None,
        gmi_bits=max(0.0, total.information_bits / total.symbols),
    )


def _sum(groups: Sequence[Measures]) -> Measures:
    # The sum of floats is exactly rounded, so that it does not depend on their order.
    return Measures(
        blocks=sum(group.blocks for group in groups),
        symbols=sum(group.symbols for group in groups),
        bits=sum(group.bits for group in groups),
        bit_errors=sum(group.bit_errors for group in groups),
        squared_bit_errors=sum(group.squared_bit_errors for group in groups),
        symbol_errors=sum(group.symbol_errors for group in groups),
        sent_energy=math.fsum(group.sent_energy for group in groups),
        noise_energy=math.fsum(group.noise_energy for group in groups),
        error_energy=math.fsum(group.error_energy for group in groups),
        information_bits=math.fsum(group.information_bits for group in groups),
    )


_compile = njit(nogil=True, error_model="numpy")
# Partial sums, so many that vectors of the processor hold some of them each: those of OpenBLAS for
# processors with AVX2, whose sums these are.
_SUMS = 8


@cached_njit(nogil=True, error_model="numpy")
def _product(x, y):
    """Return real and imaginary part of the sum of conj(x) y."""
    direct, crossed = np.zeros((_SUMS, 2)), np.zeros((_SUMS, 2))
    for n in range(x.size):
        k = n % _SUMS
        direct[k, 0] = fused(x[n].real, y[n].real, direct[k, 0])
        direct[k, 1] = fused(x[n].imag, y[n].imag, direct[k, 1])
        crossed[k, 0] = fused(x[n].real, y[n].imag, crossed[k, 0])
        crossed[k, 1] = fused(x[n].imag, y[n].real, crossed[k, 1])
    for sums in (direct, crossed):
        for k in (0, 1):
            for part in (0, 1):
                first = sums[k, part] + sums[k + 2, part]
                sums[k, part] = first + (sums[k + 4, part] + sums[k + 6, part])
        sums[0] += sums[1]
    return direct[0, 0] + direct[0, 1], crossed[0, 0] - crossed[0, 1]


@_compile
def _log_sum(exponent, label, mask):
    """Return log sum exp over the levels whose label agrees with ``label`` in ``mask``."""
    largest = -np.inf
    for level in range(exponent.size):
        if (level ^ label) & mask == 0:
            largest = max(largest, exponent[level])
    total = 0.0
    for level in range(exponent.size):
        if (level ^ label) & mask == 0:
            total += np.exp(exponent[level] - largest)
    return largest + np.log(total)


@_compile
def _lost_bits(received, labels, levels, variance):
    """Return the sum over symbols and bits of log2(1 + exp(-l)); for l see `Measures`.

    Both quadratures of Gray QAM are alike and independent: a bit's ratio is that of the sums of the
    likelihoods of the ``levels`` of its quadrature, in the order of their half of the label.
    """
    lost = 0.0
    side = levels.size
    exponent = np.empty(side)
    for n in range(received.size):
        label = int(labels[n])
        for coordinate, half in (
            (received[n].real, label // side),
            (received[n].imag, label % side),
        ):
            for level in range(side):
                exponent[level] = -((coordinate - levels[level]) ** 2) / variance
            every = _log_sum(exponent, 0, 0)
            mask = 1
            while mask < side:
                lost += every - _log_sum(exponent, half, mask)
                mask *= 2
    return lost / np.log(2)
