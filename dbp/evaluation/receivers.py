"""Receivers to evaluate: designs, their filters in floating point, references, and yours.

Any object that fits `Receiver` can be evaluated beside ours; `check_receiver` says whether it does.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from dbp import config
from dbp.datapath import golden, golden_fast
from dbp.datapath.design import REFERENCE, REFERENCES, Design, launch_power_uw
from dbp.errors import InputError, one_line, shown
from dbp.learning.float_filters import FloatFilters
from dbp.link import closed_forms, fiber
from dbp.link.modulation import Waveform

if TYPE_CHECKING:
    import torch

# Modules that load torch are imported where they are needed: fixed point does without it.


def is_reference(name: str) -> bool:
    """Tell whether `Reference` has a receiver of this name; no design may have it."""
    return REFERENCE.fullmatch(name) is not None


class Receiver(Protocol):
    """The protocol of everything that can be evaluated: a named equaliser of circular blocks.

    ``name``: text, how its points are called; different for all receivers of one arithmetic.
    ``arithmetic``: "float" or "fixed", as its points state it. Blocks of "fixed" may share one gain
    control, so that they depend on each other a little.
    ``key``: text; receivers of the same key do the same with every waveform of one link. Counted
    errors are kept under it and found again by it: state in it all parameters that matter.

    Called with the blocks of one group, a complex array of shape ``(blocks, link.adc_samples)``,
    and the launch power in dBm. Each block is circular, has r = ``link.adc_rate`` samples per
    symbol (2 by default) with symbol n at sample r n, and mean power 1
    (`dbp.link.transmission.Received`). It returns finite complex numbers of the same shape, in any
    unit, with the symbols still where they were: no group delay. The same blocks give the same
    numbers at every call, in any process. On links of two polarisations the shape is ``(blocks, 2,
    samples)``, x and y, launched with that power together.

    A receiver in twelve lines, which undoes the dispersion of a link::

        @dataclass(frozen=True)
        class Mine:
            link: dbp.Link
            name: str = "mine"
            arithmetic: str = "float"
            key: str = "mine, version 1"

            def __call__(self, waveform, launch_power_dbm):
                samples_per_s = 1e9 * self.link.symbol_rate_gbd * float(self.link.adc_rate)
                hertz = np.fft.fftfreq(waveform.shape[-1], 1 / samples_per_s)
                slope = np.pi * (1e-9 * self.link.wavelength_nm) ** 2 / 299_792_458
                slope *= 1e-3 * self.link.dispersion_ps_per_nm_km * self.link.span_km
                undo = np.exp(1j * slope * self.link.spans * hertz**2)
                return np.fft.ifft(np.fft.fft(waveform) * undo)

    Work that is spread over processes (``dbp ber``) sends receivers to them; there their class must
    be found by its module and name.
    """

    @property
    def name(self) -> str: ...

    @property
    def arithmetic(self) -> str: ...

    @property
    def key(self) -> str: ...

    def __call__(self, waveform: Waveform, launch_power_dbm: float) -> Waveform: ...


@dataclass(frozen=True)
class FixedReceiver:
    """A `Design` as the hardware computes it, by the golden model's fast form.

    The blocks pass as one stream under one gain control, a design of two polarisations with both
    beside each other. The hardware starts each block with the
    history of whatever came before, so every block is sent with the end of itself before it, as
    long as the receiver's memory; what the receiver puts out meanwhile is dropped.
    """

    name: str
    design: Design
    arithmetic: ClassVar[str] = "fixed"

    @property
    def samples_per_symbol(self) -> Fraction:
        """At which the design works."""
        return self.design.samples_per_symbol

    @property
    def polarizations(self) -> int:
        """Which the design takes."""
        return self.design.polarizations

    @property
    def key(self) -> str:
        return f"fixed {self.design.hash}"

    def __call__(self, waveform: Waveform, launch_power_dbm: float) -> Waveform:
        given = waveform.shape[1] if waveform.ndim == 3 else 1
        if given != self.polarizations:
            raise InputError(
                f"receiver {self.name}: polarizations = {self.polarizations}: must be {given}, as "
                f"the waveform has"
            )
        delay, samples = self.design.delay, waveform.shape[-1]
        memory = 2 * delay
        wrapped = waveform[..., np.arange(-memory, samples) % samples]
        stream = golden.convert(golden.one_stream(wrapped), self.design)
        i, q = golden_fast.receive(self.design, stream, launch_power_uw(launch_power_dbm))
        received = golden.as_blocks(i + 1j * q, len(wrapped))[..., memory:]
        return np.roll(received, -delay, axis=-1)


@dataclass(frozen=True)
class FloatReceiver:
    """Symmetric FIR filters and Kerr rotations in floating point, circular on each block.

    Both polarisations pass the same filters and are rotated together by the power of both, with
    8/9 of the constants, which are those of one polarisation alone (`dbp.link.fiber`).
    """

    name: str
    filters: FloatFilters
    arithmetic: ClassVar[str] = "float"

    @property
    def samples_per_symbol(self) -> Fraction:
        """At which the filters work."""
        return self.filters.samples_per_symbol

    @property
    def key(self) -> str:
        return f"float {self.filters.hash}"

    def __call__(self, waveform: Waveform, launch_power_dbm: float) -> Waveform:
        import torch

        spectrum = torch.fft.fft(torch.from_numpy(waveform))
        power_mw = 1e3 * closed_forms.watts(launch_power_dbm)
        if waveform.ndim == 3:  # each polarisation in units of its own half of the power
            power_mw *= fiber.MANAKOV / 2
        for k, taps in enumerate(self.filters.taps):
            if k:
                field = torch.fft.ifft(spectrum)
                half_kerr = self.filters.kerr_rad_per_mw[k - 1] * power_mw
                spectrum = torch.fft.fft(field.mul_(torch.exp(1j * _phase(field, half_kerr))))
            response = frequency_response(taps, waveform.shape[-1])
            spectrum = spectrum.mul_(torch.from_numpy(response).to(spectrum.dtype))
        return torch.fft.ifft(spectrum).numpy()


def _phase(field: torch.Tensor, half_kerr: NDArray[np.float64]) -> torch.Tensor:
    """sum_m K[m] \\|x[n - m]\\|^2, circular; ``half_kerr`` outermost first.

    The result has the shape ``(blocks, samples)``, or ``(blocks, 1, samples)`` where ``field``
    has both polarisations.
    """
    power = field.real.square() + field.imag.square()
    if field.ndim == 3:
        power = power.sum(1, keepdim=True)
    *outer, center = half_kerr.tolist()
    phase = center * power
    for distance, constant in enumerate(reversed(outer), 1):
        phase += constant * (power.roll(distance, -1) + power.roll(-distance, -1))
    return phase


def frequency_response(taps: NDArray[np.complex128], samples: int) -> NDArray[np.complex128]:
    """Response of taps about their centre, in FFT order, on circular blocks of any length."""
    impulse = np.zeros(samples, np.complex128)
    np.add.at(impulse, (np.arange(taps.size) - taps.size // 2) % samples, taps)
    return np.fft.fft(impulse)


@dataclass(frozen=True)
class Reference:
    """An ideal receiver in the frequency domain: what filters of any length would reach.

    "linear" compensates dispersion only; "dbp1" backpropagates with one Kerr rotation per span,
    at the amplifier; "dbp2" and on are the split-step method with so many logarithmic steps per
    span; "essfm1" and on have so many steps over the whole link, with fitted filters over the power
    (`dbp.evaluation.essfm`). All over the full sampling band of the link's converter, in floating
    point: with fewer samples per symbol a rotation has less band before its products are aliased.
    Raises `InputError` for another name.
    """

    name: str
    link: config.Link
    arithmetic: ClassVar[str] = "float"

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and is_reference(self.name)):
            raise InputError(
                f"reference = {shown(self.name)}: must be one of {REFERENCES}, N from 1 to 9999"
            )

    @property
    def key(self) -> str:
        fitted = ""
        if self.name.startswith("essfm"):
            from dbp.evaluation import essfm

            fitted = f" {essfm.identity()}"
        return f"reference {self.name}{fitted}"

    def __call__(self, waveform: Waveform, launch_power_dbm: float) -> Waveform:
        """Equalise circular blocks; complex, shape ``(..., samples)``, ``link.adc_rate`` a symbol.

        ``waveform`` as `dbp.link.transmission.Received` has it, of mean power 1; same shape and
        unit back. The dispersion is the link's without its ``dispersion_error_percent``.
        """
        if self.name.startswith("essfm"):
            from dbp.evaluation import essfm

            count = int(self.name.removeprefix("essfm"))
            return essfm.equalize(self.link, count, waveform, launch_power_dbm)
        import torch

        from dbp.link.split_step import SplitStep, rotate_

        spans, samples = self.link.spans, waveform.shape[-1]
        rate_ghz = float(self.link.adc_rate) * self.link.symbol_rate_gbd
        inverse = closed_forms.span(self.link).inverse()
        manakov = self.link.impairments.dual_polarisation
        root_w = float(np.sqrt(closed_forms.received_power_w(self.link, launch_power_dbm)))
        field = torch.from_numpy(waveform * root_w)
        spectrum = torch.fft.fft(field)
        if self.name not in ("linear", "dbp1"):
            steps = int(self.name.removeprefix("dbp"))
            step = SplitStep(inverse, steps, samples, rate_ghz, field.dtype, manakov=manakov)
            for _ in range(spans):
                spectrum = step(spectrum.mul_(np.sqrt(inverse.gain)))
        else:
            omega = fiber.angular_frequency(samples, rate_ghz)
            dispersion = 0.5j * inverse.beta2_ps2_per_km * inverse.length_km * omega**2
            if self.name == "linear":
                spectrum = spectrum.mul_(torch.from_numpy(np.exp(dispersion * spans)))
            else:
                operator = torch.from_numpy(np.exp(dispersion)).to(field.dtype)
                kerr_per_w = -closed_forms.kerr_rad_per_w(self.link)
                for _ in range(spans):
                    field = torch.fft.ifft(spectrum.mul_(operator))
                    spectrum = torch.fft.fft(rotate_(field, kerr_per_w, manakov))
        return torch.fft.ifft(spectrum).numpy() / root_w


def rate_of(receiver: Receiver, link: config.Link) -> Fraction:
    """The samples per symbol that a receiver takes: its own if it states any, else the link's.

    Designs and their filters work at one ratio, which is their attribute ``samples_per_symbol``.
    """
    return getattr(receiver, "samples_per_symbol", link.adc_rate)


def link_of(receiver: Receiver, link: config.Link) -> config.Link:
    """The link as a receiver takes it: at its samples per symbol, and with its polarisations.

    `InputError` where the link cannot have them.
    """
    rate, polarizations = rate_of(receiver, link), getattr(receiver, "polarizations", 1)
    if rate == link.adc_rate and polarizations <= link.impairments.polarizations:
        return link
    return config.for_design(link, rate, polarizations)


def check_receiver(receiver: Receiver, link: config.Link) -> None:
    """Raise one `InputError` that lists what keeps a receiver from being evaluated on a link.

    Its attributes are looked at, and two random blocks of the link's block length pass through it:
    together, again, and in floating point also one by one, to the same numbers but for rounding
    (1e-3 of the rms, for arithmetic in single precision). Blocks of "fixed" arithmetic share one
    gain control, as a stream does, so they are not tried one by one. Whether other processes find
    the receiver's class by name is looked at, but nothing is pickled.
    """
    problems = _attribute_problems(receiver)
    if not problems:
        problems = _call_problems(receiver, link)
    if problems:
        kind = type(receiver).__qualname__
        raise InputError(f"receiver {one_line(kind, 100)}: {'; '.join(problems)}")


def _attribute_problems(receiver: Receiver) -> list[str]:
    problems = []
    for attribute in ("name", "key"):
        value = getattr(receiver, attribute, None)
        if not (isinstance(value, str) and value):
            problems.append(f"{attribute} = {shown(value)}: must be a text, not empty")
    arithmetic = getattr(receiver, "arithmetic", None)
    if arithmetic not in ("float", "fixed"):
        problems.append(f"arithmetic = {shown(arithmetic)}: must be 'float' or 'fixed'")
    if not callable(receiver):
        problems.append("must be callable with a waveform and a launch power in dBm")
    kind = type(receiver)
    if "<locals>" in kind.__qualname__ or not _is_found(kind):
        problems.append(
            f"class {one_line(kind.__qualname__, 100)}: must be defined at the top of its module, "
            "where other processes find it by name"
        )
    return problems


def _is_found(kind: type) -> bool:
    """Tell whether the class is what its module has under its name."""
    try:
        target: object = importlib.import_module(kind.__module__)
        for part in kind.__qualname__.split("."):
            target = getattr(target, part)
    except (ImportError, AttributeError):
        return False
    return target is kind


# As a fraction of the output's rms: how far single precision may set two calls apart.
_ROUNDING = 1e-3
_CHECKED_POWER_DBM = 0.0


def _call_problems(receiver: Receiver, link: config.Link) -> list[str]:
    shape: tuple[int, ...] = (2, link.adc_samples)
    if link.impairments.dual_polarisation:
        shape = (2, 2, link.adc_samples)
    normal = np.random.default_rng(1).normal(scale=np.sqrt(0.5), size=(*shape, 2))
    waveform = normal.view(np.complex128)[..., 0].astype(link.precision)
    original = waveform.copy()
    try:
        together, again = (receiver(waveform, _CHECKED_POWER_DBM) for _ in range(2))
        alone = [receiver(waveform[k : k + 1], _CHECKED_POWER_DBM) for k in range(2)]
    except Exception as error:  # a stranger's code may raise anything
        text = one_line(f"{type(error).__name__}: {error}", 300)
        return [f"called with a waveform of shape {shape} it raises {text}"]
    for output, expected in ((together, shape), *((x, (1, *shape[1:])) for x in alone)):
        if problem := _array_problem(output, expected):
            return [problem]
    problems = []
    if not np.array_equal(waveform, original):
        problems.append("must not change the waveform that it is given: others receive it, too")
    elif not np.array_equal(together, again):
        problems.append("the same blocks at the same launch power must give the same numbers")
    if receiver.arithmetic == "float" and _differ(together, np.concatenate(alone)):
        problems.append(
            "a block must not depend on the blocks that are passed with it (two blocks together "
            "differ from one by one)"
        )
    return problems


def _array_problem(output: object, shape: Sequence[int]) -> str | None:
    if not isinstance(output, np.ndarray):
        return f"returns {type(output).__name__}: must return a numpy array"
    if output.shape != tuple(shape):
        return f"returns shape {output.shape} for {tuple(shape)}: must be the same shape"
    if output.dtype.kind != "c":
        return f"returns {output.dtype}: must be complex"
    if not np.isfinite(output).all():
        return "returns NaN or infinite numbers: must be finite"
    return None


def _differ(one: Waveform, other: Waveform) -> bool:
    rms = np.sqrt(np.mean(np.abs(one) ** 2))
    return bool(np.abs(one - other).max() > _ROUNDING * rms)
