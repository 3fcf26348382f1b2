"""Fake quantization: the fixed-point datapath of a Design inside torch, and export to a Design.

`QuantizedModel` computes on the codes of `dbp.golden` carried as floating-point integers, in
float32 where every exact intermediate stays below 2**24 and in float64 elsewhere: its output is
golden's, sample by sample. Gradients pass every rounding and saturation as if it were not there
(straight-through; Bengio et al., "Estimating or propagating gradients through stochastic neurons",
arXiv:1308.3432), so backward it is the Taylor form x (1 + j phi) of the floating-point model.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from dbp import config, fixed, golden
from dbp.design import Design, Filter, Rotation
from dbp.errors import InputError
from dbp.filters import FloatFilters
from dbp.model import (
    FRAME,
    Convolve,
    Limits,
    from_frames,
    half_taps,
    requantise_,
    to_frames,
    toeplitz,
)

# K is kerr_gain * launch power / 2**KERR_SHIFT, and must not saturate up to this launch power.
KERR_SHIFT = 20
MAX_POWER_UW = 3981  # +6 dBm


def export(filters: FloatFilters, formats: config.Filters, datapath: config.Datapath) -> Design:
    """Round floating-point filters to a Design, named after its formats.

    Every filter has the power-of-two coefficient scale at which its largest half tap just fits,
    taps are rounded half up, and all rotations share the finest ``phase_shift`` at which no K
    saturates up to `MAX_POWER_UW`. The unit mean power of ``filters`` becomes the loading of the
    converter. Raises `InputError` where a tap or a Kerr constant is beyond what formats hold.
    """
    c, s = formats.coefficient_bits, formats.signal_bits
    rows = []
    for taps in filters.taps:
        half = taps[: taps.size // 2 + 1]
        shift = coefficient_shift(max(np.abs(half.real).max(), np.abs(half.imag).max()), c)
        i, q = (_round(part * 2.0**shift) for part in (half.real, half.imag))
        rows.append(Filter(c, shift, s, i, q))
    unit = _kerr_unit(
        datapath.adc_rms_permille, min(datapath.branch_bits, s), datapath.phase_fraction_bits
    )
    per_uw = filters.kerr_rad_per_mw * unit
    largest = MAX_POWER_UW * np.abs(per_uw).max(initial=0)
    high = fixed.code_range(datapath.kerr_bits)[1]
    phase_shift = math.floor(math.log2(high / largest)) if largest else 0
    if phase_shift < 0:
        raise InputError(
            f"datapath.kerr_bits = {datapath.kerr_bits}: too few for a rotation of "
            f"{np.abs(filters.kerr_rad_per_mw).max():.3g} rad per mW"
        )
    phase_shift = min(phase_shift, 40)
    gains = _round(per_uw * 2.0 ** (phase_shift + KERR_SHIFT))
    rotations = tuple(
        Rotation(
            branch_bits=datapath.branch_bits,
            kerr_bits=datapath.kerr_bits,
            kerr_gain=gain,
            kerr_shift=KERR_SHIFT,
            phase_shift=phase_shift,
            phase_bits=datapath.phase_bits,
            phase_fraction_bits=datapath.phase_fraction_bits,
            output_bits=s,
        )
        for gain in gains
    )
    return Design(f"c{c}-s{s}", s, datapath.adc_rms_permille, tuple(rows), rotations)


def _kerr_unit(adc_rms_permille: int, branch_bits: int, phase_fraction_bits: int) -> float:
    """K / 2**phase_shift per microwatt for a rotation of 1 rad per mW.

    A signal of mean power 1 has ``2 * loading**2`` in units of full scale, and |x|^2 is that of
    codes of the branch.
    """
    loading = adc_rms_permille / 1000
    return 1e-3 / (2 * loading**2) * 2.0 ** (phase_fraction_bits - 2 * (branch_bits - 1))


def coefficient_shift(largest: float, bits: int) -> int:
    """The largest shift at which a half tap of this magnitude, rounded, fits ``bits`` bits."""
    high = fixed.code_range(bits)[1]
    for shift in range(bits + 8, -1, -1):
        if math.floor(largest * 2.0**shift + 0.5) <= high:
            return shift
    raise InputError(f"a tap of {largest:.3g} does not fit {bits} coefficient bits at any scale")


def _round(x: np.ndarray) -> tuple[int, ...]:
    return tuple(int(v) for v in np.floor(x + 0.5))


class RotationFormat(NamedTuple):
    """The arithmetic of a `dbp.design.Rotation` as factors, all of them powers of two."""

    branch_scale: float
    branch_middle: float
    phase_limits: Limits
    phase_unit: float
    output_scale: float
    output_limits: Limits

    @classmethod
    def of(cls, rotation: Rotation, input_bits: int) -> RotationFormat:
        width = rotation.branch_width(input_bits)
        return cls(
            2.0 ** (width - input_bits),
            float(width < input_bits),
            Limits(*fixed.code_range(rotation.phase_bits)),
            2.0**-rotation.phase_fraction_bits,
            2.0 ** (rotation.output_bits - input_bits),
            Limits(*fixed.code_range(rotation.output_bits)),
        )


class _Rotate(torch.autograd.Function):
    """`dbp.golden.rotate` on codes; ``kerr`` is K / 2**phase_shift."""

    @staticmethod
    def forward(ctx, x, kerr, fmt):
        i, q = x[:, 0], x[:, 1]
        branch = (x * fmt.branch_scale).floor_()
        squares = torch.addcmul(branch * fmt.branch_middle, branch, branch)
        power = squares[:, 0] + squares[:, 1]
        phase = requantise_(power * kerr, fmt.phase_limits).mul_(fmt.phase_unit)
        y = torch.empty_like(x)
        torch.addcmul(i, q, phase, value=-1, out=y[:, 0])
        torch.addcmul(q, i, phase, out=y[:, 1])
        ctx.save_for_backward(x, phase, power, kerr)
        ctx.fmt = fmt
        return requantise_(y.mul_(fmt.output_scale), fmt.output_limits)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, phase, power, kerr = ctx.saved_tensors
        fmt = ctx.fmt
        i, q = x[:, 0], x[:, 1]
        gradient = gradient * fmt.output_scale
        gi, gq = gradient[:, 0], gradient[:, 1]
        gradient_phase = torch.addcmul(gq * i, gi, q, value=-1).mul_(fmt.phase_unit)
        gradient_kerr = torch.sum(gradient_phase * power)
        gradient_x = torch.empty_like(x)
        torch.addcmul(gi, gq, phase, out=gradient_x[:, 0])
        torch.addcmul(gq, gi, phase, value=-1, out=gradient_x[:, 1])
        gradient_phase.mul_(2 * kerr * fmt.branch_scale**2)
        gradient_x.addcmul_(x, gradient_phase.unsqueeze(1))
        return gradient_x, gradient_kerr, None


class _Straight(torch.autograd.Function):
    """``apply(x, exact)``: forward the exact value, backward the gradient of x."""

    @staticmethod
    def forward(ctx, x, exact):
        return exact

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        return gradient, None


class QuantizedModel(nn.Module):
    """The fixed-point form of a receiver filter, with the formats of ``design``.

    Learns ``half_taps`` (shape ``(filters, half, 2)``: gain from input code to output code) and
    ``kerr`` (K per microwatt). They start at the values of the design; the taps start before their
    rounding where ``filters``, from which `export` made the design, are given. While ``rounded`` is
    false the taps pass unrounded, and only the signals and Kerr constants are rounded. ``steps``
    and ``limits`` (in steps): of the coefficients of each filter, shape ``(filters, 1, 1)``.
    """

    def __init__(self, design: Design, filters: FloatFilters | None = None) -> None:
        super().__init__()
        self._template = design
        self._dtype = torch.float32 if _exact_bits(design) <= 24 else torch.float64
        rows = [torch.tensor((f.half_taps_i, f.half_taps_q)) for f in design.filters]
        half = max(row.shape[1] for row in rows)
        codes = torch.stack([functional.pad(row, (half - row.shape[1], 0)) for row in rows])
        # Filters shorter than the longest stay so.
        self._mask = torch.stack(
            [functional.pad(torch.ones_like(row), (half - row.shape[1], 0)) for row in rows]
        ).mT.to(self._dtype)
        steps = torch.tensor([2.0**-f.shift for f in design.filters], dtype=self._dtype)
        self.steps = steps[:, None, None]
        limits = [fixed.code_range(f.coefficient_bits) for f in design.filters]
        self.limits = tuple(torch.tensor(limits, dtype=self._dtype).T[:, :, None, None])
        start = codes.mT * self.steps if filters is None else half_taps(filters)
        self.half_taps = nn.Parameter(start.to(self._dtype))
        kerr = [r.kerr_gain / 2.0**r.kerr_shift for r in design.rotations]
        self.kerr = nn.Parameter(torch.tensor(kerr, dtype=torch.float64))
        self.rounded = True
        self._outputs = [Limits(*fixed.code_range(f.output_bits)) for f in design.filters]
        self._formats = [
            RotationFormat.of(r, design.rotation_input_bits(k))
            for k, r in enumerate(design.rotations)
        ]

    def forward(self, x: Tensor, launch_power_uw: int) -> Tensor:
        """Receive codes, a signal as `to_frames` makes it; codes of the same shape, no delay."""
        taps = self.half_taps
        if self.rounded:
            taps = _Straight.apply(taps, (self._codes() * self.steps).detach())
        taps = taps * self._mask
        kerr = self._kerr(launch_power_uw).to(self._dtype).unbind()
        for k, matrix in enumerate(toeplitz(taps).unbind()):
            if k:
                x = _Rotate.apply(x, kerr[k - 1], self._formats[k - 1])
            x = Convolve.apply(x, matrix, taps.shape[1], self._outputs[k])
        return x

    def stream(self, x: golden.Samples, launch_power_uw: int) -> golden.Samples:
        """`dbp.golden.receive` by this model: one causal stream, shape ``(n,)``, zero history."""
        delay, length = self._template.delay, x.i.size
        # So many zeros behind the stream that the circle is a line, and holds a window of frames.
        behind = 2 * delay + 3 * FRAME
        behind += -(length + behind) % FRAME
        with torch.no_grad():
            frames = to_frames(np.pad(x.i + 1j * x.q, (0, behind))[None], self._dtype)
            received = np.roll(from_frames(self(frames, launch_power_uw))[0], delay)[:length]
        return golden.Samples(received.real.astype(np.int64), received.imag.astype(np.int64))

    def frames(self, waveform: NDArray[np.complexfloating]) -> Tensor:
        """Gain control, over all blocks alike, and conversion of ``(blocks, samples)`` to codes."""
        i, q = golden.convert(waveform.reshape(-1), self._template)
        return to_frames((i + 1j * q).reshape(waveform.shape), self._dtype)

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
        """The taps before rounding and the Kerr constants, for `dbp.model.Model`."""
        design = self._template
        units = [
            _kerr_unit(
                design.adc_rms_permille,
                r.branch_width(design.rotation_input_bits(k)),
                r.phase_fraction_bits,
            )
            * 2.0**r.phase_shift
            for k, r in enumerate(design.rotations)
        ]
        halves = torch.view_as_complex(self.half_taps.detach().double()).numpy()
        return FloatFilters(
            tuple(np.concatenate((half, half[-2::-1])) for half in halves),
            self.kerr.detach().numpy() / np.array(units),
        )

    def _codes(self) -> Tensor:
        return torch.floor(self.half_taps / self.steps + 0.5).clamp(*self.limits)

    def _rotations(self) -> tuple[Rotation, ...]:
        return tuple(
            replace(
                r, kerr_gain=int(fixed.saturate(math.floor(kerr * 2.0**r.kerr_shift + 0.5), 32))
            )
            for r, kerr in zip(self._template.rotations, self.kerr.tolist(), strict=True)
        )

    def _kerr(self, launch_power_uw: int) -> Tensor:
        """K / 2**phase_shift of every rotation."""
        rotations = self._rotations()
        exact = [r.kerr(launch_power_uw) * 2.0**-r.phase_shift for r in rotations]
        units = torch.tensor([launch_power_uw * 2.0**-r.phase_shift for r in rotations])
        return _Straight.apply(self.kerr * units, torch.tensor(exact, dtype=torch.float64))


def _exact_bits(design: Design) -> int:
    """Bits that hold every exact intermediate, halves for rounding included."""
    widths = [0]
    for k, f in enumerate(design.filters):
        widths.append(max(f.accumulator_bits(design.filter_input_bits(k)), f.shift) + 1)
    for k, r in enumerate(design.rotations):
        s = design.rotation_input_bits(k)
        widths.append(max(r.kerr_bits + 2 * r.branch_width(s), r.phase_shift) + 1)
        widths.append(max(r.phase_bits, r.phase_fraction_bits + 1) + s + 2)
    return max(widths)
