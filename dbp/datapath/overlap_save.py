"""Overlap-save in fixed point: a static equaliser in the frequency domain, bit for bit.

Blocks of ``size`` samples that overlap by ``overlap`` go through a fast Fourier transform, a
multiplication of every bin by the response, and the inverse transform; half of the overlap is
dropped at either end. The transform has radix 4 (one stage of radix 2 where the size asks for it),
with decimation in frequency; the inverse is its mirror, with decimation in time, so that the bins
need no reordering in between (Oppenheim and Schafer, Discrete-Time Signal Processing, chapters 8
and 9).

All words are of ``data_bits``. A butterfly of radix 4 halves its exact sums: a sum of four is twice
as large in the rms, so the level of a noise-like signal stays. One of radix 2 halves them in the
transform and does not in the inverse. Behind it, and behind each multiplication, is the one
requantiser of `dbp.datapath.fixed`. Multiplications by 1, -1, j and -j cost nothing. The gain is 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from dbp import config
from dbp.datapath import fixed
from dbp.datapath.golden import Samples
from dbp.errors import InputError

_LIGHT_NM_PER_PS = speed_of_light / 1000
# The rms of a quadrature as a fraction of full scale: the best for linear compensation in 9 bits.
ADC_RMS = 0.2
SIZES = tuple(2**k for k in range(2, 17))


@dataclass(frozen=True)
class Stage:
    """Butterflies of ``radix`` over sub-transforms of ``points``, then their twiddles."""

    radix: int
    points: int

    @property
    def exponents(self) -> NDArray[np.int64]:
        """e of the twiddles exp(-2 pi j e / points), shape ``(radix, points / radix)``."""
        return np.outer(np.arange(self.radix), np.arange(self.points // self.radix))

    @property
    def multiplied(self) -> NDArray[np.bool_]:
        """Where a twiddle is neither 1, -1, j nor -j; same shape."""
        return 4 * self.exponents % self.points != 0


def stages(size: int) -> tuple[Stage, ...]:
    """The stages of a transform, radix 4 as long as four points are left."""
    if size not in SIZES:
        raise InputError(f"size = {size!r}: must be a power of two in {SIZES[0]}..{SIZES[-1]}")
    chain = []
    while size > 1:
        chain.append(Stage(4 if size >= 4 else 2, size))
        size //= chain[-1].radix
    return tuple(chain)


@dataclass(frozen=True)
class Operations:
    """Complex operations per block; divided by its new samples, per sample.

    ``butterflies_4``, ``butterflies_2``: of 8 and of 2 additions. ``fixed_twiddles``,
    ``changing_twiddles``: multiplications by a twiddle that its place in the hardware never changes
    or changes with every clock. ``responses``: multiplications by the equaliser's response.
    """

    butterflies_4: float
    butterflies_2: float
    fixed_twiddles: float
    changing_twiddles: float
    responses: float


@dataclass(frozen=True)
class Equalizer:
    """An overlap-save equaliser; ``response``: complex, of modulus 1 at most, in FFT order.

    ``data_bits``, ``twiddle_bits``: of every word of data, and of twiddles and response; 2 to 24.
    """

    response: NDArray[np.complex128]
    overlap: int
    data_bits: int
    twiddle_bits: int

    def __post_init__(self) -> None:
        stages(self.size)
        if not 0 <= self.overlap < self.size or self.overlap % 2:
            raise InputError(f"overlap = {self.overlap}: must be even, and in 0..{self.size - 1}")
        for name in ("data_bits", "twiddle_bits"):
            if not 2 <= getattr(self, name) <= 24:
                raise InputError(f"{name} = {getattr(self, name)!r}: must be in 2..24")
        if not np.abs(self.response).max() <= 1 + 1e-9:
            raise InputError("response: must be finite and at most 1")

    @property
    def size(self) -> int:
        """Points of the transform."""
        return self.response.size

    @property
    def new_samples(self) -> int:
        """Samples that a block puts out."""
        return self.size - self.overlap

    def operations(self, lanes: int) -> Operations:
        """The operations of one block: transform, response and inverse.

        ``lanes``: samples of a transform that the hardware takes in a clock. The twiddles of a
        stage of no more points are fixed, since a whole sub-transform lies within a clock.
        """
        twiddles, butterflies = {True: 0, False: 0}, {4: 0, 2: 0}
        for stage in stages(self.size):
            butterflies[stage.radix] += self.size // stage.radix
            count = self.size // stage.points * int(stage.multiplied.sum())
            twiddles[stage.points <= lanes] += count
        return Operations(
            2 * butterflies[4], 2 * butterflies[2], 2 * twiddles[True], 2 * twiddles[False],
            self.size,
        )  # fmt: skip

    def coefficients(self, stage: Stage) -> Samples:
        """The codes of a stage's twiddles, shape of `Stage.exponents`."""
        twiddles = np.exp(-2j * np.pi * stage.exponents / stage.points)
        return self._codes(twiddles)

    def response_codes(self) -> Samples:
        """The codes of the response in the order in which the transform has the bins."""
        order: NDArray[np.int64] = np.arange(self.size)
        for stage in stages(self.size):
            order = order.reshape(-1, stage.points // stage.radix, stage.radix)
            order = order.swapaxes(1, 2)
        return self._codes(self.response[order.ravel()])

    def _codes(self, values: NDArray[np.complex128]) -> Samples:
        return Samples(
            *(fixed.quantize(part, self.twiddle_bits) for part in (values.real, values.imag))
        )

    def multiply(self, x: Samples, coefficients: Samples) -> Samples:
        """The product, rounded and clipped to a word."""
        products = (
            x.i * coefficients.i - x.q * coefficients.q,
            x.i * coefficients.q + x.q * coefficients.i,
        )
        shift = self.twiddle_bits - 1
        return Samples(*(fixed.requantize(p, shift, self.data_bits) for p in products))

    def _twiddled(self, x: Samples, stage: Stage, sign: int) -> Samples:
        """``x``, shape ``(..., radix, points / radix)``, times the twiddles or their conjugates."""
        w, multiplied = self.coefficients(stage), stage.multiplied
        product = self.multiply(x, Samples(w.i, sign * w.q))
        quarters = 4 * stage.exponents // stage.points
        plain = times_power_of_j(x, -sign * quarters, self.data_bits)
        return Samples(*(np.where(multiplied, p, o) for p, o in zip(product, plain, strict=True)))

    def trace(self, blocks: Samples) -> Iterator[tuple[str, Stage | None, Samples]]:
        """The samples that enter each operation on ``blocks``, and at last the output.

        ``blocks``: shape ``(blocks, size)``. Yields kind, stage and samples. Butterflies and
        twiddles, ``inverse`` ones too, have samples of shape ``(..., radix, points / radix)``,
        ``response`` and ``output`` the shape of the blocks.
        """
        shape, x = blocks.i.shape, blocks
        for stage in stages(self.size):
            x = _reshaped(x, (shape[0], -1, stage.radix, stage.points // stage.radix))
            yield "butterfly", stage, x
            x = butterfly(x, self.data_bits, 1, 1)
            yield "twiddle", stage, x
            x = self._twiddled(x, stage, 1)
        x = _reshaped(x, shape)
        yield "response", None, x
        x = self.multiply(x, self.response_codes())
        for stage in reversed(stages(self.size)):
            x = _reshaped(x, (shape[0], -1, stage.radix, stage.points // stage.radix))
            yield "inverse twiddle", stage, x
            x = self._twiddled(x, stage, -1)
            yield "inverse butterfly", stage, x
            x = butterfly(x, self.data_bits, -1, 1 if stage.radix == 4 else 0)
        yield "output", None, _reshaped(x, shape)

    def blocks(self, stream: Samples) -> Samples:
        """The overlapping blocks of circular streams ``(streams, samples)``, each to its end."""
        samples = stream.i.shape[-1]
        starts = np.arange(0, samples, self.new_samples)[:, None] - self.overlap // 2
        places = (starts + np.arange(self.size)) % samples
        return Samples(*(part[:, places].reshape(-1, self.size) for part in stream))

    def __call__(self, stream: Samples) -> Samples:
        """Equalise circular streams, shape ``(streams, samples)``; without delay, same shape."""
        streams, samples = stream.i.shape
        *_, (_, _, x) = self.trace(self.blocks(stream))
        half = self.overlap // 2
        kept = (part[:, half : half + self.new_samples].reshape(streams, -1) for part in x)
        return Samples(*(part[:, :samples] for part in kept))


def butterfly(x: Samples, bits: int, sign: int, shift: int) -> Samples:
    """Transforms of 2 or 4 points over the last axis but one, divided by ``2**shift``.

    ``sign``: 1 for the transform, -1 for the inverse. Rounded and clipped to ``bits``.
    """
    if x.i.shape[-2] == 2:
        (ai, bi), (aq, bq) = (np.moveaxis(part, -2, 0) for part in x)
        y = [(ai + bi, aq + bq), (ai - bi, aq - bq)]
    else:
        (ai, bi, ci, di), (aq, bq, cq, dq) = (np.moveaxis(part, -2, 0) for part in x)
        # -j (b - d) in the transform, j (b - d) in the inverse.
        ti, tq = sign * (bq - dq), -sign * (bi - di)
        y = [
            (ai + ci + bi + di, aq + cq + bq + dq),
            (ai - ci + ti, aq - cq + tq),
            (ai + ci - bi - di, aq + cq - bq - dq),
            (ai - ci - ti, aq - cq - tq),
        ]
    parts = (np.stack(part, axis=-2) for part in zip(*y, strict=True))
    return Samples(*(fixed.requantize(part, shift, bits) for part in parts))


def times_power_of_j(x: Samples, quarters: NDArray[np.int64], bits: int) -> Samples:
    """``x`` times j to the ``quarters``; the lowest code, negated, clips."""
    i, q = np.broadcast_arrays(*x)
    choices = ([i, -q, -i, q], [q, i, -q, -i])
    return Samples(*(fixed.saturate(np.choose(quarters % 4, c), bits) for c in choices))


def _reshaped(x: Samples, shape: tuple[int, ...]) -> Samples:
    return Samples(*(part.reshape(shape) for part in x))


def convert(waveform: NDArray[np.complexfloating], bits: int, adc_rms: float = ADC_RMS) -> Samples:
    """Gain control and converter: quadratures with an rms of ``adc_rms`` of full scale."""
    scaled = waveform * (adc_rms / np.sqrt(np.mean(np.abs(waveform) ** 2) / 2))
    return Samples(fixed.quantize(scaled.real, bits), fixed.quantize(scaled.imag, bits))


def memory_samples(
    dispersion_ps_per_nm: float, wavelength_nm: float, band_ghz: float, sample_rate_ghz: float
) -> int:
    """Even number of samples that cover the delays of a band of the fibre's chromatic dispersion.

    The group delay over a band B differs by \\|D\\| L lambda^2 B / c. For the whole sampling band
    that is the length of the time-domain filter of Savory (Opt. Express 16(2), 2008).
    """
    spread_ps = abs(dispersion_ps_per_nm) * wavelength_nm**2 / _LIGHT_NM_PER_PS * band_ghz * 1e-3
    return 2 * math.ceil(spread_ps * sample_rate_ghz * 1e-3 / 2)


def dispersion_response(
    size: int, dispersion_ps_per_nm: float, wavelength_nm: float, sample_rate_ghz: float
) -> NDArray[np.complex128]:
    """The response that undoes dispersion, exp(-j beta2 L omega^2 / 2), in FFT order, ``(size,)``.

    beta2 L = -D L lambda^2 / (2 pi c); signs as in `dbp.link.fiber`.
    """
    beta2_ps2 = -dispersion_ps_per_nm * wavelength_nm**2 / (2 * np.pi * _LIGHT_NM_PER_PS)
    omega = 2e-3 * np.pi * np.fft.fftfreq(size, 1 / sample_rate_ghz)
    return np.exp(-0.5j * beta2_ps2 * omega**2)


def of_link(
    link: config.Link, size: int = 1024, data_bits: int = 9, twiddle_bits: int = 7
) -> Equalizer:
    """The equaliser of a link's whole dispersion, at 2 samples per symbol.

    It overlaps by the memory of the signal's band. ``benchmarks/linear_equalizer.py`` finds the
    word lengths: the fewest bits within 0.1 dB of ideal compensation on the paper's link.
    """
    dispersion = link.dispersion_ps_per_nm_km * link.span_km * link.spans
    rate_ghz, band_ghz = 2 * link.symbol_rate_gbd, (1 + link.roll_off) * link.symbol_rate_gbd
    overlap = memory_samples(dispersion, link.wavelength_nm, band_ghz, rate_ghz)
    response = dispersion_response(size, dispersion, link.wavelength_nm, rate_ghz)
    return Equalizer(response, overlap, data_bits, twiddle_bits)
