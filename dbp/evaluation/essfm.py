"""Backpropagation in few steps: FFT filters, and a learned filter over the power at each rotation.

The enhanced split-step Fourier method (Secondini, Rommel, Meloni, Fresi, Forestieri, Poti,
"Single-step digital backpropagation for nonlinearity mitigation", Photonic Netw. Commun. 31, 493
(2016)). Over a step of many kilometres dispersion spreads the power that turns the phase of a
sample, so the phase is a weighted sum of the powers around it. The weights are fitted to
transmissions of the link, by damped Gauss-Newton iterations on the errors of the symbols.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dbp import config
from dbp.evaluation.measures import matched_filter
from dbp.learning.filter_length import spread_samples
from dbp.link import closed_forms, fiber, front_end, transmission
from dbp.link.arithmetic import of_processor
from dbp.link.modulation import Waveform
from dbp.support import cache
from dbp.support.sources import hash_of

# Weights reach this far on each side, as a fraction of the spread of the signal over a step.
REACH = 1 / 3
# The most different filters of a span; further steps share one.
MOST_KINDS = 4
# Transmissions that the weights are fitted to, and how.
SEED = 1
SYMBOLS = 32768
ITERATIONS = 6
# The iterations end where the squared error falls by less than this share.
CONVERGED = 1e-4
DAMPINGS = (1e-5, 1e-3)
# Points of each step, and at least of each span, from which the place of its rotation is averaged.
_POINTS = 64
_SOURCES = ("dbp.evaluation.essfm", "dbp.link", "dbp.config._models")
# Finite differences, relative to the phase of a step and to the length of a span.
_DIFFERENCE = 1e-4


@dataclass(frozen=True)
class Steps:
    """A link cut into steps of equal Kerr phase.

    ``rotations_km``: where each step is rotated, from the receiver's end: the mean place of its
    Kerr phase. ``kinds``: the number of the filter over the power that each uses.
    """

    link: config.Link
    rotations_km: NDArray[np.float64]
    kinds: tuple[int, ...]

    @classmethod
    def of(cls, link: config.Link, count: int) -> Steps:
        """``count`` steps over the whole link.

        Where that is a small multiple of the number of spans, steps at different places of a span
        have filters of their own.
        """
        points = count * -(-_POINTS * max(link.spans, count) // count)
        share = (np.arange(points) + 0.5) / points * link.spans
        span = np.floor(share)
        loss = closed_forms.span(link).attenuation_per_km * link.span_km
        inner = share - span
        place = -np.log1p(inner * np.expm1(-loss)) / loss if loss else inner
        from_start = ((span + place) * link.span_km).reshape(count, -1).mean(1)
        each, rest = divmod(count, link.spans)
        kinds = each if not rest and each <= MOST_KINDS else 1
        return cls(
            link,
            link.spans * link.span_km - from_start[::-1],
            tuple(k % kinds for k in range(count)),
        )

    @property
    def half(self) -> int:
        """Weights on each side of the one in the middle."""
        spread = spread_samples(self.link) * self.link.spans / len(self.kinds)
        return round(REACH * spread)

    def receive(
        self, waveform: torch.Tensor, weights: NDArray[np.float64], shift_km: float
    ) -> torch.Tensor:
        """Equalise circular blocks of mean power 1, the polarisations in the last axis but one.

        ``weights``: the phase in rad for a power of 1, shape ``(kinds, half + 1)``, the middle
        first. ``shift_km``: by how much nearer to the receiver all steps are rotated.
        """
        samples, length_km = waveform.shape[-1], self.link.spans * self.link.span_km
        rate_ghz = float(self.link.adc_rate) * self.link.symbol_rate_gbd
        omega = fiber.angular_frequency(samples, rate_ghz)
        slope = torch.from_numpy(-0.5 * closed_forms.span(self.link).beta2_ps2_per_km * omega**2)
        filters = [_response(row, samples) for row in weights]
        both = self.link.impairments.dual_polarisation
        spectrum, at_km = torch.fft.fft(waveform), 0.0
        for kind, place_km in zip(self.kinds, self.rotations_km - shift_km, strict=True):
            field = torch.fft.ifft(spectrum * _dispersion(slope, place_km - at_km, spectrum))
            power = field.real.square() + field.imag.square()
            if both:
                power = power.sum(-2, keepdim=True)
            phase = torch.fft.irfft(torch.fft.rfft(power) * filters[kind], samples)
            spectrum = torch.fft.fft(field * torch.polar(torch.ones_like(phase), phase))
            at_km = place_km
        return torch.fft.ifft(spectrum * _dispersion(slope, length_km - at_km, spectrum))


def _dispersion(slope: torch.Tensor, length_km: float, like: torch.Tensor) -> torch.Tensor:
    return torch.polar(torch.ones_like(slope), slope * length_km).to(like.dtype)


def _response(weights: NDArray[np.float64], samples: int) -> torch.Tensor:
    """The response of a symmetric filter, its middle weight first, at the frequencies of rfft."""
    omega = 2 * np.pi / samples * np.arange(samples // 2 + 1)
    factors = np.where(np.arange(weights.size), 2, 1) * weights
    return torch.from_numpy(np.cos(np.outer(omega, np.arange(weights.size))) @ factors)


def equalize(
    link: config.Link, count: int, waveform: Waveform, launch_power_dbm: float
) -> Waveform:
    """Equalise circular blocks of mean power 1 in ``count`` steps over the whole link.

    The weights are fitted at this launch power, to a link without lasers, to data that no
    evaluation sees (seed `SEED`, purpose "train"). They are kept in the cache.
    """
    steps = Steps.of(link, count)
    *weights, shift_km = _fitted(link.model_dump_json(), count, launch_power_dbm)
    rows = np.reshape(weights, (-1, steps.half + 1))
    received = steps.receive(torch.from_numpy(waveform), rows, shift_km)
    return received.numpy().astype(waveform.dtype, copy=False)


def identity() -> str:
    """What beside link, steps and launch power decides the weights."""
    return f"seed {SEED} {hash_of(*_SOURCES)}"


@functools.lru_cache(maxsize=64)
def _fitted(link: str, count: int, launch_power_dbm: float) -> tuple[float, ...]:
    """Weights and shift, flat; from the cache if they are kept."""
    ideal = front_end.without_lasers(config.Link.model_validate_json(link))
    key: dict[str, Any] = {
        "what": "essfm",
        "link": ideal.model_dump(mode="json"),
        "steps": count,
        "launch_power_dbm": launch_power_dbm,
        "seed": SEED,
        "symbols": SYMBOLS,
        "sources": f"{hash_of(*_SOURCES)} {of_processor()}",
    }
    steps = Steps.of(ideal, count)
    return tuple(cache.array(key, lambda: fit(steps, launch_power_dbm, SEED, SYMBOLS)).tolist())


def fit(steps: Steps, launch_power_dbm: float, seed: int, symbols: int) -> NDArray[np.float64]:
    """Fit the weights, ``steps.half + 1`` of each kind, and the shift in km, from zero on.

    All in one vector; on a link without Kerr effect zeros. The mean squared error of ``symbols``
    symbols, after one complex gain, is least.
    """
    link = steps.link
    count = (max(steps.kinds) + 1) * (steps.half + 1)
    if not link.nonlinearity_per_w_km:
        return np.zeros(count + 1)
    received = transmission.simulate(
        link,
        launch_power_dbm,
        -(-symbols // link.block_symbols),
        seed=seed,
        purpose="train",
        progress=False,
    )
    waveform = torch.from_numpy(received.waveform.astype(np.complex128))
    sent = received.symbols.astype(np.complex128).ravel()

    def errors(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        *weights, shift = parameters * scales
        rows = np.reshape(weights, (-1, steps.half + 1))
        out = steps.receive(waveform, rows, shift).numpy()
        out = matched_filter(out, link.roll_off, link.adc_rate).ravel()
        gain = np.vdot(sent, out) / np.vdot(sent, sent).real
        return (out / gain - sent).view(np.float64)

    phase = closed_forms.kerr_rad_per_w(link) * received.power_w * link.spans / len(steps.kinds)
    scales = np.append(np.full(count, phase), link.span_km)
    at = np.zeros(count + 1)
    before = errors(at)
    for _ in range(ITERATIONS):
        slopes = np.stack(
            [(errors(at + _DIFFERENCE * unit) - before) / _DIFFERENCE for unit in np.eye(at.size)]
        )
        square, slope = slopes @ slopes.T, slopes @ before
        moved = []
        for damping in DAMPINGS:
            damped = square + damping * np.trace(square) / at.size * np.eye(at.size)
            tried = at - np.linalg.solve(damped, slope)
            moved.append((errors(tried), tried))
        after, to = min(moved, key=lambda pair: float(pair[0] @ pair[0]))
        if not after @ after < before @ before:
            break
        gained = 1 - (after @ after) / (before @ before)
        at, before = to, after
        if gained < CONVERGED:
            break
    return at * scales
