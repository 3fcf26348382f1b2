"""What a fibre does to the state of polarisation: birefringence, its dispersion, and loss.

A field of both polarisations, A = (A_x, A_y), obeys the Manakov equation with polarisation-mode
dispersion (Wai and Menyuk, J. Lightw. Technol. 14(2), 1996; Marcuse, Menyuk and Wai, J. Lightw.
Technol. 15(9), 1997, equation 59, without nonlinear polarisation-mode dispersion),

    dA/dz = -alpha/2 A - b'(z) S(z) dA/dt - j beta2/2 d^2A/dt^2 + j 8/9 gamma (A^H A) A,

where 2 b' is the differential group delay of a km, and S, one of Pauli's matrices as it is turned
by the birefringence, points to the slow axis. `dbp.link.split_step` has all but the second term.

**Coarse steps.** A span is made of equal sections. At the start of each the state of polarisation
is turned by a matrix R drawn evenly from all of SU(2); over the section one axis lags,

    A(omega) -> diag(exp(-j omega tau / 2), exp(+j omega tau / 2)) R A(omega).

So the polarisation dispersion vector is a random walk of N steps of length tau, whose mean square
is N tau^2 and whose length, the differential group delay, has Maxwell's distribution with the mean
sqrt(8 N / (3 pi)) tau. It is to be ``pmd_ps_per_root_km`` times the root of the length, hence

    tau = sqrt(3 pi / 8) ``pmd_ps_per_root_km`` sqrt(length of a section).

Kerr rotations may sit anywhere in a section: the fibre is the same whatever the split steps.

**Amplifiers** have the gain sqrt(1 + g) and sqrt(1 - g), in amplitude, on two orthogonal states
drawn evenly; (1 + g) / (1 - g) is ``amplifier_pdl_db``. Light without a state keeps its mean power.
The amplifier's noise is added behind it.

**Ends.** ``polarisation_rotation`` turns the field by one such R before the first fibre and one
behind the last amplifier. At the receiver the state moves on at the speed of
``polarisation_rotation_krad_per_s`` on the Poincare sphere, about the axis of circular states: by
half that angle in A. Block b begins when b blocks have passed. It is circular, so its ends differ
by the turn of a block, 0.26 mrad for 10 krad/s and 1,024 symbols of 20 GBd.

**Randomness.** ``fibre_seed`` alone decides the fibre, span by span: all blocks, launch powers,
seeds and purposes have the same one, in whatever chunks they are simulated.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbp import config
from dbp.link import _jones_kernels

# The first part of the keys of our random numbers, which no block has (`transmission`).
_FIBER = 16
_SECTIONS, _AMPLIFIER, _ENDS = range(3)

# Jones matrices, constant over frequency: shape (2, 2).
Matrix = NDArray[np.complex128]


@dataclass(frozen=True)
class Birefringence:
    """The realisation of a link's fibre that its ``fibre_seed`` draws; the module says how."""

    link: config.Link

    @property
    def _sections(self) -> int:
        """Sections of a span; none without polarisation-mode dispersion."""
        impairments = self.link.impairments
        if not impairments.pmd_ps_per_root_km:
            return 0
        return math.ceil(self.link.span_km / impairments.pmd_section_km)

    @property
    def section_dgd_ps(self) -> float:
        """The differential group delay tau of a section."""
        length_km = self.link.span_km / max(self._sections, 1)
        pmd = self.link.impairments.pmd_ps_per_root_km
        return math.sqrt(3 * math.pi / 8 * length_km) * pmd

    def _rows(self, count: int, *key: int) -> NDArray[np.complex128]:
        """Return first rows of random matrices, evenly from SU(2), shape ``(count, 2)``."""
        seed = self.link.impairments.fibre_seed
        sequence = np.random.SeedSequence(seed, spawn_key=(_FIBER, *key))
        normal = np.random.Generator(np.random.SFC64(sequence)).standard_normal((count, 4))
        rows = normal.view(np.complex128)
        return rows / np.sqrt(np.sum(np.square(normal), axis=1, keepdims=True))

    def pieces(
        self, span: int, lengths_km: NDArray[np.floating], omega: NDArray[np.floating]
    ) -> Iterator[NDArray[np.complex128] | None]:
        """Yield the matrices of the pieces of a span's fibre, one after the other.

        ``lengths_km``: of the pieces, together a span; ``omega``: rad/ps, shape ``(samples,)``.
        Each is the first row of an SU(2) matrix at each frequency, shape ``(2, samples)``; None:
        it has no effect.
        """
        count = self._sections
        if not count:
            yield from [None] * len(lengths_km)
            return
        rotations = self._rows(count, _SECTIONS, span)
        starts = np.linspace(0.0, self.link.span_km, count + 1)
        stops = np.cumsum(lengths_km)
        stops[-1] = starts[-1]
        whole, section, position = self._lag(omega, 1.0), -1, 0.0
        for stop in stops.tolist():
            row = np.zeros((2, omega.size), np.complex128)
            row[0] = 1
            while position < stop:
                if position >= starts[section + 1]:
                    section += 1
                    _jones_kernels.turn(row, *rotations[section])
                end = min(stop, float(starts[section + 1]))
                share = (end - position) / (starts[section + 1] - starts[section])
                _jones_kernels.delay(row, whole if share == 1 else self._lag(omega, share))
                position = end
            yield row

    def _lag(self, omega: NDArray[np.floating], share: float) -> NDArray[np.complex128]:
        return np.exp(-0.5j * share * self.section_dgd_ps * omega)

    def amplifier(self, span: int) -> Matrix | None:
        """The matrix of the amplifier behind a span, without its gain; None: it has no effect."""
        loss_db = self.link.impairments.amplifier_pdl_db
        if not loss_db:
            return None
        ratio = 10 ** (loss_db / 10)
        excess = (ratio - 1) / (ratio + 1)
        more, less = su2(self._rows(1, _AMPLIFIER, span)[0])
        gains = math.sqrt(1 + excess), math.sqrt(1 - excess)
        return gains[0] * _onto(more) + gains[1] * _onto(less)

    @property
    def ends(self) -> tuple[Matrix, Matrix] | None:
        """The matrices before the first fibre and behind the last amplifier; None: no effect."""
        if not self.link.impairments.polarisation_rotation:
            return None
        first, last = self._rows(2, _ENDS)
        return su2(first), su2(last)

    def jones(self, omega: NDArray[np.floating]) -> NDArray[np.complex128]:
        """The linear matrix from the transmitter to behind the last amplifier.

        Without dispersion, attenuation and gain; shape ``(2, 2, samples)``, as `turned` takes it.
        """
        # What becomes of x alone, and of y alone.
        total = np.zeros((2, 2, omega.size), np.complex128)
        total[0, 0] = total[1, 1] = 1
        if ends := self.ends:
            total = turned(ends[0], total)
        for span in range(self.link.spans):
            (row,) = self.pieces(span, np.array([self.link.span_km]), omega)
            if row is not None:
                total = turned(su2(row), total)
            if (loss := self.amplifier(span)) is not None:
                total = turned(loss, total)
        return (turned(ends[1], total) if ends else total).swapaxes(0, 1)


def realization(link: config.Link) -> Birefringence | None:
    """The fibre's birefringence; None where nothing but the slow rotation mixes polarisations."""
    impairments = link.impairments
    still = impairments.model_copy(update={"polarisation_rotation_krad_per_s": 0.0})
    return Birefringence(link) if still.mixed_polarizations else None


def su2(row: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """The matrices with these first rows: shape ``(2, ...)`` to ``(2, 2, ...)``."""
    a, b = row
    return np.array([[a, b], [-b.conj(), a.conj()]])


def turned(matrix: Any, field: Any) -> Any:
    """The matrix times a field, term by term: no library's order of adding is in it.

    ``matrix``: shape ``(2, 2)`` or ``(2, 2, samples)``; ``field``: ``(..., 2, samples)``; both of
    numpy or both of torch.
    """
    if matrix.ndim == 2:
        matrix = matrix[..., None]
    return matrix[:, 0] * field[..., :1, :] + matrix[:, 1] * field[..., 1:, :]


def inverse(matrix: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """The inverse matrices; shape ``(2, 2, ...)``."""
    (a, b), (c, d) = matrix
    return np.array([[d, -b], [-c, a]]) / (a * d - b * c)


def moved_on(
    field: NDArray[np.complexfloating], link: config.Link, first_block: int, sign: int = 1
) -> NDArray[np.complexfloating]:
    """The field at the receiver, whose state turns while time passes; a sign of -1 undoes it.

    ``field``: shape ``(blocks, 2, samples)``, of blocks numbered from ``first_block`` on.
    """
    speed = link.impairments.polarisation_rotation_krad_per_s
    if not speed:
        return field
    samples = field.shape[-1]
    blocks = first_block + np.arange(len(field))[:, None] + np.arange(samples) / samples
    block_s = link.block_symbols / (1e9 * link.symbol_rate_gbd)
    turns = speed * 1e3 * block_s * blocks / (4 * np.pi)  # half of the angle on the sphere
    phasor = np.exp(2j * np.pi * (turns % 1.0))
    cosine, sine = phasor.real, sign * phasor.imag
    x, y = field[:, 0], field[:, 1]
    turned_field = np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=1)
    return turned_field.astype(field.dtype)


def _onto(state: NDArray[np.complex128]) -> Matrix:
    """The matrix that leaves of a field what is in a state, a row of a unitary matrix."""
    return state.conj()[:, None] * state


@functools.lru_cache(maxsize=4)
def linear_inverse(link: config.Link, samples: int, offset_bins: int) -> NDArray[np.complex128]:
    """The matrices that undo the fibre's and the amplifiers', shape ``(2, 2, samples)``.

    ``samples``: of a block at the converter's rate, in FFT order; ``offset_bins``: by which the
    local laser has moved the spectrum down.
    """
    known = realization(link)
    assert known is not None
    bins = np.fft.fftfreq(samples) * samples + offset_bins
    omega = 2e-3 * np.pi * link.symbol_rate_gbd / link.block_symbols * bins
    return inverse(known.jones(omega))
