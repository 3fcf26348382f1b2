"""Fake quantization: the fixed-point datapath of a Design inside torch.

`QuantizedModel` computes on the codes of `dbp.datapath.golden` carried as floating-point integers,
in float32 where every exact intermediate stays below 2**24 and in float64 elsewhere: its output is
golden's, sample by sample. Gradients pass every rounding and saturation as if it were not there
(straight-through; Bengio et al., "Estimating or propagating gradients through stochastic neurons",
arXiv:1308.3432), so backward it is the Taylor form x (1 + j phi) or x (1 - phi^2 / 2 + j phi) of
the floating-point model.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from dbp.datapath import fixed, golden
from dbp.datapath.design import Design, Rotation
from dbp.learning._chain_kernels import FORMAT, Arithmetic, format_type
from dbp.learning.export import kerr_unit
from dbp.learning.float_filters import FloatFilters
from dbp.learning.float_model import (
    Chain,
    Tangents,
    convolve,
    float_filters,
    from_signal,
    half_taps,
    receive,
    rotate,
    shared,
    to_signal,
)


def _format(rotation: Rotation, input_bits: int, polarizations: int) -> tuple[float, ...]:
    """`dbp.learning._chain_kernels.FORMAT` of a rotation.

    Each polarisation has its share of the offset, exactly: their sum is what counts.
    """
    width = rotation.branch_width(input_bits)
    return (
        *(2.0 ** (width - input_bits), float(width < input_bits)),
        rotation.power_offset / polarizations,
        *map(float, fixed.code_range(rotation.phase_bits)),
        *(2.0**-rotation.phase_fraction_bits, float(rotation.taylor_order)),
        2.0 ** (rotation.output_bits - input_bits),
        *map(float, fixed.code_range(rotation.output_bits)),
    )


class _Straight(torch.autograd.Function):
    """``apply(x, exact)``: forward the exact value, backward the gradient of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, exact: Tensor) -> Tensor:
        return exact

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def requantize(x: Tensor, low: float, high: float) -> Tensor:
    """Round ties towards +infinity, then saturate; straight-through."""
    return _Straight.apply(x, torch.floor(x.detach() + 0.5).clamp_(low, high))


def _rotate(x: Tensor, half_kerr: Tensor, fmt: dict[str, float], polarizations: int) -> Tensor:
    """`dbp.datapath.golden.rotate` on codes, circular; ``half_kerr`` holds K / 2**phase_shift."""
    branch = torch.floor(x.detach() * fmt["branch_scale"])
    squares = branch * (branch + fmt["branch_middle"])
    power = _Straight.apply(
        (x * fmt["branch_scale"]).square().sum(1, keepdim=True),
        squares.sum(1, keepdim=True) - fmt["power_offset"],
    )
    phase = convolve(shared(power, polarizations), half_kerr[:, None])
    unit = fmt["phase_unit"]
    phase = requantize(phase, fmt["phase_low"], fmt["phase_high"]) * unit
    cosine = torch.ones_like(phase)
    if fmt["taylor_order"] == 2:
        square = phase.square() / 2
        cosine = cosine - unit * requantize(square / unit, -math.inf, math.inf)
    y = rotate(x, cosine, phase) * fmt["output_scale"]
    return requantize(y, fmt["output_low"], fmt["output_high"])


class QuantizedModel(Chain):
    """The fixed-point form of a receiver filter, with the formats of ``design``.

    Learns ``half_taps`` (shape ``(filters, half, 2)``: gain in units of full scale) and ``kerr``
    (K per microwatt, shape ``(rotations, half)``). They start at the values of the design; the
    taps start before their rounding where ``filters``, from which `export` made the design, are
    given. While ``rounded`` is false the taps pass unrounded, and only the signals and Kerr
    constants are rounded. ``steps``, ``lowest`` and ``highest`` (in steps) are those of the
    coefficients of each filter, shape ``(filters, 1, 1)``.
    """

    steps: Tensor
    lowest: Tensor
    highest: Tensor
    _tap_scales: Tensor

    def __init__(self, design: Design, filters: FloatFilters | None = None) -> None:
        dtype = torch.float32 if _fits_float32(design) else torch.float64
        rows = [np.stack((f.half_taps_i, f.half_taps_q), axis=-1) for f in design.filters]
        gains_per_uw = [np.array(r.kerr_gains) / 2.0**r.kerr_shift for r in design.rotations]
        none = torch.zeros(0, 1, dtype=torch.float64)
        codes = _stacked(rows).to(dtype)
        super().__init__(
            codes,
            _stacked(gains_per_uw) if gains_per_uw else none,
            [len(row) for row in rows],
            [len(row) for row in gains_per_uw],
            design.polarizations,
        )
        self._template, self._dtype = design, dtype
        # From codes that enter a filter to codes that leave it.
        bits = [f.output_bits - design.filter_input_bits(k) for k, f in enumerate(design.filters)]
        gains = 2.0 ** torch.tensor(bits, dtype=self._dtype)[:, None, None]
        steps = torch.tensor([2.0**-f.shift for f in design.filters], dtype=self._dtype)
        limits = [fixed.code_range(f.coefficient_bits) for f in design.filters]
        lowest, highest = torch.tensor(limits, dtype=self._dtype).T[:, :, None, None]
        for name, constant in (
            ("steps", steps[:, None, None] / gains),
            ("lowest", lowest),
            ("highest", highest),
            ("_tap_scales", (self.own_taps[:, :, None] * gains).repeat(1, 1, 2)),
        ):
            self.register_buffer(name, constant, persistent=False)
        start = codes * self.steps if filters is None else half_taps(filters)
        self.half_taps.data = start.to(dtype)
        self.rounded = True
        numbers = codes.numpy().dtype
        formats = [
            _format(r, design.rotation_input_bits(k), design.polarizations)
            for k, r in enumerate(design.rotations)
        ]
        self._arithmetic = Arithmetic(
            True,
            np.array([fixed.code_range(f.output_bits) for f in design.filters], numbers),
            np.array(formats, format_type(numbers)),
            self.halves,
            self.kerr_halves,
            design.polarizations,
        )

    def forward(self, x: Tensor, launch_power_uw: int) -> Tensor:
        """Receive codes, a signal as `convert` makes it; codes of the same shape, no delay."""
        if x.device.type != "cpu":
            return self.plain(x, launch_power_uw)
        return receive(x, self._taps(), self._kerr(launch_power_uw), self._arithmetic)

    def plain(self, x: Tensor, launch_power_uw: int) -> Tensor:
        """`forward` in torch's own operations, on any device."""
        kerr, arithmetic = self._kerr(launch_power_uw), self._arithmetic
        taps = self._taps()

        def layer(k: int, x: Tensor) -> Tensor:
            if k:
                fmt = dict(zip(FORMAT, arithmetic.formats[k - 1].item(), strict=True))
                x = _rotate(x, kerr[k - 1], fmt, self.polarizations)
            return requantize(convolve(x, taps[k]), *arithmetic.limits[k].tolist())

        return self._through(layer, x, (taps, kerr))

    def tangents(self, x: Tensor, launch_power_uw: int) -> Tangents:
        """The straight-through derivative of `forward` by ``half_taps`` and ``kerr``."""
        return Tangents(
            x,
            self._taps(),
            self._kerr(launch_power_uw),
            self._arithmetic,
            (self._tap_scales, self._kerr_scales(launch_power_uw).to(self._dtype)),
        )

    def stream(self, x: golden.Samples, launch_power_uw: int) -> golden.Samples:
        """`golden.receive` by this model: one causal stream, zero history.

        Of shape ``(n,)``, or ``(2, n)`` of two polarisations.
        """
        delay, length = self._template.delay, x.i.shape[-1]
        # Enough zeros behind the stream that the circle is a line, and longer than every filter.
        behind = 2 * delay + 2 * max(self.half_taps.shape[1], self.kerr.shape[1])
        with torch.no_grad():
            padded = np.pad(np.atleast_2d(x.i + 1j * x.q), ((0, 0), (0, behind)))
            columns = from_signal(self(to_signal(padded, self._dtype), launch_power_uw))
        received = np.roll(columns, delay, -1)[:, :length].reshape(x.i.shape)
        return golden.Samples(received.real.astype(np.int64), received.imag.astype(np.int64))

    def convert(self, waveform: NDArray[np.complexfloating]) -> Tensor:
        """Gain control, over all blocks alike, and conversion of ``(blocks, samples)`` to codes.

        Or of ``(blocks, 2, samples)``, two polarisations.
        """
        i, q = golden.convert(golden.one_stream(waveform), self._template)
        return to_signal(golden.as_blocks(i + 1j * q, len(waveform)), self._dtype)

    def design(self, name: str | None = None) -> Design:
        """The design with the taps and rotation constants as they are now, rounded."""
        rows = self._codes().detach().mT.to(torch.int64).tolist()
        filters = tuple(
            replace(f, half_taps_i=tuple(i[-own:]), half_taps_q=tuple(q[-own:]))
            for f, (i, q) in zip(self._template.filters, rows, strict=True)
            for own in [len(f.half_taps_i)]
        )
        name = name or self._template.name
        return replace(self._template, name=name, filters=filters, rotations=self._rotations())

    def floats(self) -> FloatFilters:
        """The taps before rounding and the Kerr constants, for `dbp.learning.float_model.Model`."""
        design = self._template
        units = [
            kerr_unit(
                design.adc_rms_permille,
                r.branch_width(design.rotation_input_bits(k)),
                r.phase_fraction_bits,
                design.polarizations,
            )
            * 2.0**r.phase_shift
            for k, r in enumerate(design.rotations)
        ]
        kerr = self.kerr.detach() * self.own_kerr
        return float_filters(
            self.half_taps,
            self.halves.tolist(),
            kerr / torch.tensor(units).to(kerr)[:, None],
            design.samples_per_symbol,
        )

    def codes(self) -> NDArray[np.int64]:
        """The codes of the half taps, flat."""
        return self.taps_of(self._codes()).astype(np.int64)

    def digit_weights(self) -> NDArray[np.float64]:
        """What a signed digit of each half tap costs in the logic, flat; 1 beside the centre tap.

        It adds a word to the sum of a lane: that of two samples, which are added first, or that of
        the one sample in the middle, which is a bit narrower.
        """
        weights = torch.ones(self.half_taps.shape, dtype=torch.float64)
        for k, row in enumerate(weights):
            bits = self._template.filter_input_bits(k)
            row[-1] = bits / (bits + 1)
        return self.taps_of(weights)

    def last_filter(self) -> tuple[NDArray[np.bool_], float]:
        """Which of the half taps, flat, are those of the last filter, and their Euclidean norm."""
        mask = torch.zeros(self.half_taps.shape, dtype=torch.float64)
        mask[-1] = 1.0
        last = self.taps_of(mask) > 0
        return last, float(np.linalg.norm(self.taps_of(self.half_taps.detach())[last]))

    def _codes(self) -> Tensor:
        return torch.floor(self.half_taps / self.steps + 0.5).clamp(self.lowest, self.highest)

    def _taps(self) -> Tensor:
        """Gain of every half tap from input code to output code."""
        taps = self.half_taps
        if self.rounded:
            taps = _Straight.apply(taps, (self._codes() * self.steps).detach())
        return taps * self._tap_scales

    def _rotations(self) -> tuple[Rotation, ...]:
        return tuple(
            replace(r, kerr_gains=tuple(row[-len(r.kerr_gains) :]))
            for r, row in zip(self._template.rotations, self._kerr_gains().tolist(), strict=True)
        )

    def _kerr_gains(self) -> NDArray[np.int64]:
        shifts = np.array([r.kerr_shift for r in self._template.rotations])
        exact = np.floor(self.kerr.detach().cpu().numpy() * 2.0 ** shifts[:, None] + 0.5)
        return np.clip(exact, *fixed.code_range(32)).astype(np.int64)

    def _kerr(self, launch_power_uw: int) -> Tensor:
        """K / 2**phase_shift of every rotation, half of them, by the rule of `Rotation.kerr`."""
        rounded = np.zeros(self.kerr.shape)
        gains = self._kerr_gains() * launch_power_uw
        for row, products, r in zip(rounded, gains, self._template.rotations, strict=True):
            k = fixed.requantize(products, r.kerr_shift, r.kerr_bits)
            row[:] = k * 2.0**-r.phase_shift
        scaled = self.kerr * self._kerr_scales(launch_power_uw)
        exact = torch.from_numpy(rounded).to(scaled) * self.own_kerr
        return _Straight.apply(scaled, exact).to(self._dtype)

    def _kerr_scales(self, launch_power_uw: int) -> Tensor:
        units = [launch_power_uw * 2.0**-r.phase_shift for r in self._template.rotations]
        return self.own_kerr * torch.tensor(units).to(self.kerr)[:, None]


def _stacked(rows: list[NDArray]) -> Tensor:
    """Half filters of several lengths with zeros outside."""
    longest = max(len(row) for row in rows)
    outside = [[(longest - len(row), 0)] + [(0, 0)] * (row.ndim - 1) for row in rows]
    padded = [np.pad(row, pad) for row, pad in zip(rows, outside, strict=True)]
    return torch.from_numpy(np.stack(padded))


def _fits_float32(design: Design) -> bool:
    """Tell whether the 24 bits of float32 hold every exact intermediate.

    Each is a sum of integers to which half of its rounding step is added; scaling by a power of two
    costs no bit.
    """

    def fits(largest: int, shift: int) -> bool:
        half = 1 << max(shift - 1, 0)
        return (largest if shift else 2 * largest) + half <= 1 << 24

    exact = [
        fits(f.taps << (design.filter_input_bits(k) + f.coefficient_bits - 1), f.shift)
        for k, f in enumerate(design.filters)
    ]
    for k, r in enumerate(design.rotations):
        s = design.rotation_input_bits(k)
        one, phase = 1 << r.phase_fraction_bits, 1 << (r.phase_bits - 1)
        sums = design.polarizations * r.kerr_taps << (r.kerr_bits - 1 + 2 * r.branch_width(s) - 1)
        exact.append(fits(sums, r.phase_shift))
        cosine = one
        if r.taylor_order == 2:
            exact.append(fits(phase**2, r.phase_fraction_bits + 1))
            cosine = max(one, (phase**2 >> (r.phase_fraction_bits + 1)) + 1)
        exact.append(fits((cosine + phase) << (s - 1), r.output_shift(s)))
    return all(exact)
