"""The adaptive equaliser: a filter from each polarisation received to each one sent.

For two polarisations these are four filters, the butterfly (Savory, Opt. Express 16(2), 2008). Each
has `TAPS` taps of half a symbol and stands behind a matched filter, so that it undoes what is left:
rotation, polarisation-mode dispersion, the clock's phase, residual dispersion.

Three rules adapt it by the gradient, symbol by symbol (`_kernels.adapt`):

- **constant modulus**: an output y towards |y|^2 = E|a|^4 / E|a|^2 (Godard, IEEE Trans. Commun.
  28(11), 1980). It needs neither symbols nor a carrier.
- **radius-directed**: towards the nearest of the radii of the constellation (Ready and Gooch,
  ICASSP 1990), more exact than the first where that has opened the eye.
- **directed**: least mean squares (Widrow and Hoff, 1960) against symbols, known or decided, turned
  by the phase of the carrier, which a first-order loop takes from the last symbols.

**Singularity.** Nothing keeps the blind rules from finding one polarisation twice. So the second
output starts when the first has converged, from the filters that are orthogonal to its own in any
fibre without loss (Liu et al., OFC 2009, OMT2): h_yx = -conj(reversed h_xy), h_yy = conj(reversed
h_xx). If both outputs are one signal nevertheless, it starts anew from there, once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dbp.evaluation.blind import _kernels
from dbp.link import modulation
from dbp.link.modulation import Waveform

TAPS = 15
# Steps of the gradient for inputs of mean power 1.
BLIND_STEP, PREAMBLE_STEP, STEP = 1e-3, 2e-3, 3e-4
# How often the preamble, or the start of a blind reception, is gone through.
PREAMBLE_PASSES, BLIND_PASSES = 4, 2
BLIND_SYMBOLS = 6144
# The share of the carrier's phase that stays from one symbol to the next.
MEMORY = 15 / 16
# Two outputs whose likeness is more than this are one signal.
_SINGULAR = 0.5


@dataclass
class Butterfly:
    """The filters, for one modulation; taps of shape ``(outputs, inputs, TAPS)`` change."""

    modulation: str
    taps: NDArray[np.complex128]

    @classmethod
    def started(cls, modulation_: str, matrix: Waveform) -> Butterfly:
        """Return filters of one tap: a matrix from inputs to outputs."""
        taps = np.zeros((*matrix.shape, TAPS), np.complex128)
        taps[..., TAPS // 2] = matrix
        return cls(modulation_, taps)

    def learn(self, stream: Waveform, known: Waveform) -> None:
        """Adapt to the start of a stream, whose symbols are known, going through it a few times."""
        for number in range(PREAMBLE_PASSES):
            step = PREAMBLE_STEP / (1 + number)
            self._adapt(stream, known.shape[-1], _kernels.DIRECTED, step, known=known)

    def follow(
        self, stream: Waveform, known: Waveform | None = None, step: float = STEP
    ) -> Waveform:
        """Equalise a stream, directed by the known symbols at its start, then by decisions.

        ``stream``: circular, shape ``(inputs, 2 * symbols)``, with a symbol at sample 0. Returns
        the symbols, shape ``(outputs, symbols)``, with the carrier's phase as it was.
        """
        count = stream.shape[-1] // 2
        return self._adapt(stream, count, _kernels.DIRECTED, step, known=known)

    def start_blind(self, stream: Waveform) -> None:
        """Adapt to the start of a stream of which nothing is known but the modulation."""
        count = min(BLIND_SYMBOLS, stream.shape[-1] // 2)
        first = self._only(slice(0, 1))
        for _ in range(BLIND_PASSES):
            first._adapt(stream, count, _kernels.CONSTANT_MODULUS, BLIND_STEP)
        if len(self.taps) == 2:
            self._start_second()
            self._adapt(stream, count, _kernels.CONSTANT_MODULUS, BLIND_STEP)
        for number in range(BLIND_PASSES):
            rule, step = _kernels.RADIUS_DIRECTED, BLIND_STEP / (2 + 2 * number)
            out = self._adapt(stream, count, rule, step)
            if len(out) == 2 and likeness(*out) > _SINGULAR:
                self._start_second()

    def _only(self, outputs: slice) -> Butterfly:
        """The same filters, of some outputs."""
        return Butterfly(self.modulation, self.taps[outputs])

    def _start_second(self) -> None:
        to_x, to_y = self.taps[0]
        self.taps[1] = -to_y[::-1].conj(), to_x[::-1].conj()

    def _adapt(
        self,
        stream: Waveform,
        count: int,
        rule: int,
        step: float,
        known: Waveform | None = None,
    ) -> Waveform:
        """Adapt over the first ``count`` symbols; returns them."""
        before = TAPS // 2
        around = np.arange(-before, 2 * count + before) % stream.shape[-1]
        x = np.ascontiguousarray(stream[:, around], np.complex128)
        outputs = len(self.taps)
        out = np.empty((outputs, count), np.complex128)
        if known is None:
            known = np.empty((outputs, 0), np.complex128)
        points = modulation.constellation(self.modulation)
        levels = np.unique(points.real)
        squares = np.abs(points) ** 2
        radii = np.unique(np.round(squares, 9))
        if rule == _kernels.CONSTANT_MODULUS:
            radii = np.array([np.mean(squares**2) / np.mean(squares)])
        _kernels.adapt(
            *(x, self.taps, out, np.ones(outputs, np.complex128)),
            *(np.ascontiguousarray(known, np.complex128), rule, step, MEMORY, levels, radii),
        )
        return out


def likeness(one: Waveform, other: Waveform, reach: int = 16) -> float:
    """Return how much of one signal is the other, a few symbols earlier or later: 0..1."""
    symbols = one.size
    spectrum = np.fft.fft(one).conj() * np.fft.fft(other)
    matches = np.abs(np.fft.ifft(spectrum))
    near = np.concatenate([matches[: reach + 1], matches[symbols - reach :]])
    energies = np.sum(np.abs(one) ** 2) * np.sum(np.abs(other) ** 2)
    return float(near.max() / np.sqrt(max(float(energies), 1e-300)))
