"""The golden model: what the hardware computes, bit for bit. This is the specification.

Samples are pairs of `int64` arrays, I and Q codes, of any shape with time along the last axis;
leading axes are independent streams. Of a design with two polarisations, x and y, the last axis but
one has these two. All filters are causal and start from zero history.
``docs/concepts/datapath.md`` states every width; `dbp.datapath.design.Design` has checked that none
overflows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from dbp.datapath import fixed
from dbp.datapath.design import Design, Filter, Rotation
from dbp.datapath.fixed import Codes

Array = TypeVar("Array", Codes, NDArray[np.bool_])


class Clips(NamedTuple):
    """Where a requantiser's rounded input lies below its range, and where above.

    One array for each of its values: I and Q, or phi alone.
    """

    below: tuple[NDArray[np.bool_], ...]
    above: tuple[NDArray[np.bool_], ...]


class Samples(NamedTuple):
    """Complex samples as two integer arrays of equal shape, time along the last axis."""

    i: Codes
    q: Codes


def convert(waveform: NDArray[np.complexfloating], design: Design) -> Samples:
    """Gain control and analogue-to-digital conversion of a received waveform.

    ``waveform``: complex, any unit, shape ``(..., samples)``, or ``(..., 2, samples)`` of a design
    with two polarisations. Each stream is scaled so that the rms of its quadratures is
    ``adc_rms_permille`` thousandths of full scale, then quantised to ``signal_bits``; what lies
    beyond full scale clips. Both polarisations have one gain: their powers must stay comparable.
    """
    waveform = np.asarray(waveform, dtype=np.complex128)
    _check_polarizations(waveform, design)
    of_stream = tuple(range(-design.polarizations, 0))
    if waveform.size == 0 or not np.isfinite(waveform).all():
        raise ValueError("a waveform to convert is empty, zero or not finite")
    if not waveform.any(axis=of_stream).all():
        raise ValueError("a waveform to convert is empty, zero or not finite")
    rms = np.sqrt(np.mean(np.abs(waveform) ** 2, axis=of_stream, keepdims=True) / 2)
    scaled = waveform * (design.adc_rms_permille / 1000 / rms)
    return Samples(
        fixed.quantize(scaled.real, design.signal_bits),
        fixed.quantize(scaled.imag, design.signal_bits),
    )


def _check_polarizations(x: NDArray, design: Design) -> None:
    if design.polarizations == 2 and x.shape[-2:-1] != (2,):
        raise ValueError(f"samples of shape {x.shape}: must be (..., 2, samples), x and y")


def one_stream(blocks: NDArray[Any]) -> NDArray[Any]:
    """Return blocks one behind the other: ``(blocks, samples)`` as ``(n,)``.

    With two polarisations ``(blocks, 2, samples)`` as ``(2, n)``.
    """
    rows = np.moveaxis(blocks, 0, -2)
    return rows.reshape(*rows.shape[:-2], -1)


def as_blocks(stream: NDArray[Any], blocks: int) -> NDArray[Any]:
    """Cut what `one_stream` returned into as many blocks as there were: undo it."""
    return np.moveaxis(stream.reshape(*stream.shape[:-1], blocks, -1), -2, 0)


def filter_samples(filter_: Filter, x: Samples) -> Samples:
    """y[n] = requantise(sum_k h[k] x[n - k]), the sum exact; same shape as ``x``."""
    sums = _filter_sums(filter_, x)
    return Samples(*(fixed.requantize(s, filter_.shift, filter_.output_bits) for s in sums))


def filter_clips(filter_: Filter, x: Samples) -> dict[str, Clips]:
    """``filter``: where `filter_samples` clips I and where Q."""
    sums = _filter_sums(filter_, x)
    return {"filter": _clips(sums, filter_.shift, filter_.output_bits)}


def _filter_sums(filter_: Filter, x: Samples) -> tuple[Codes, Codes]:
    """sum_k h[k] x[n - k], exact: real and imaginary part."""
    sum_i, sum_q = np.zeros_like(x.i), np.zeros_like(x.q)
    pairs = zip(_folded(x.i, filter_.taps), _folded(x.q, filter_.taps), strict=True)
    half_taps = zip(filter_.half_taps_i, filter_.half_taps_q, strict=True)
    for (hi, hq), (pi, pq) in zip(half_taps, pairs, strict=True):
        sum_i += hi * pi - hq * pq
        sum_q += hi * pq + hq * pi
    return sum_i, sum_q


def rotate(
    rotation: Rotation, kerr: Sequence[int], input_bits: int, x: Samples, polarizations: int = 1
) -> Samples:
    """y = requantise(x (1 + j phi)), to second order requantise(x (1 - phi^2 / 2 + j phi)).

    phi = requantise(sum_m K[m] (\\|x[n - m]\\|^2 - offset)), and x waits for the centre of that
    sum. ``kerr``: half of K, as `dbp.datapath.design.Rotation.kerr` gives it. Same shape as ``x``.
    With two ``polarizations`` \\|x\\|^2 is the sum of both, and both are turned by one phi.
    """
    total = _phase_sum(rotation, kerr, input_bits, x, polarizations)
    phi = fixed.requantize(total, rotation.phase_shift, rotation.phase_bits)
    shift, bits = rotation.output_shift(input_bits), rotation.output_bits
    return Samples(*(fixed.requantize(y, shift, bits) for y in _rotated(rotation, phi, x)))


def rotation_clips(
    rotation: Rotation, kerr: Sequence[int], input_bits: int, x: Samples, polarizations: int = 1
) -> dict[str, Clips]:
    """``phi`` and ``rotation``: where `rotate` clips phi, and where I and where Q.

    With two ``polarizations`` they share phi: its last axis but one has length 1.
    """
    total = _phase_sum(rotation, kerr, input_bits, x, polarizations)
    phi = fixed.requantize(total, rotation.phase_shift, rotation.phase_bits)
    products = _rotated(rotation, phi, x)
    return {
        "phi": _clips([total], rotation.phase_shift, rotation.phase_bits),
        "rotation": _clips(products, rotation.output_shift(input_bits), rotation.output_bits),
    }


def _phase_sum(
    rotation: Rotation, kerr: Sequence[int], input_bits: int, x: Samples, polarizations: int
) -> Codes:
    """sum_m K[m] (\\|x[n - m]\\|^2 - offset), exact."""
    # The history is zeros, whose power less the offset counts as that of any other sample.
    i, q = (_padded(part, rotation.kerr_taps) for part in x)
    power = fixed.squared_magnitude(i, q, input_bits, rotation.branch_bits)
    if polarizations == 2:
        power = power.sum(axis=-2, keepdims=True)
    pairs = _folded(power - rotation.power_offset, rotation.kerr_taps, padded=True)
    total = np.zeros_like(power[..., rotation.kerr_taps - 1 :])
    for k, pair in zip(kerr, pairs, strict=True):
        total += k * pair
    return total


def _rotated(rotation: Rotation, phi: Codes, x: Samples) -> tuple[Codes, Codes]:
    """The exact product of the delayed samples and the Taylor series of exp(j phi)."""
    length = x.i.shape[-1]
    i, q = (_padded(part, rotation.delay + 1)[..., :length] for part in x)
    fraction = rotation.phase_fraction_bits
    cosine: int | Codes = 1 << fraction
    if rotation.taylor_order == 2:
        cosine = cosine - fixed.round_shift(phi * phi, fraction + 1)
    return cosine * i - phi * q, cosine * q + phi * i


def _clips(sums: Sequence[Codes], shift: int, bits: int) -> Clips:
    low, high = fixed.code_range(bits)
    rounded = [fixed.round_shift(s, shift) for s in sums]
    return Clips(tuple(r < low for r in rounded), tuple(r > high for r in rounded))


def _padded(x: Codes, taps: int) -> Codes:
    """The stream, preceded by the zero history of a filter of ``taps`` taps."""
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(taps - 1, 0)])


def _folded(x: Codes, taps: int, *, padded: bool = False) -> Iterator[Codes]:
    """x[n - k] + x[n - taps + 1 + k] for each half tap k, the outermost first; the centre alone."""
    x = x if padded else _padded(x, taps)
    length = x.shape[-1] - taps + 1
    for k in range(taps // 2):
        # The padding has moved x[n - k] to n - k + taps - 1.
        yield x[..., taps - 1 - k :][..., :length] + x[..., k : k + length]
    yield x[..., taps // 2 :][..., :length]


class Tuning(NamedTuple):
    """The design and launch power whose taps and K all blocks use from sample ``start`` on."""

    start: int
    design: Design
    launch_power_uw: int


def trace(design: Design, x: Samples, launch_power_uw: int) -> list[Samples]:
    """Every wire between blocks: the input, then what each filter and each rotation puts out.

    Entry ``2 k`` enters ``filters[k]``, entry ``2 k + 1`` enters ``rotations[k]``; the last entry
    is the output of the chain. ``launch_power_uw`` in microwatts, with two polarisations that of
    both together, sets the rotation constants.
    """
    _check_polarizations(x.i, design)
    low, high = fixed.code_range(design.signal_bits)
    for part in x:
        if part.size and (part.min() < low or part.max() > high):
            raise ValueError(f"samples outside {low}..{high} ({design.signal_bits} bits)")
    blocks = range(len(design.filters) + len(design.rotations))
    return trace_retuned([Tuning(0, design, launch_power_uw)], x, blocks)


def trace_retuned(tunings: Sequence[Tuning], x: Samples, blocks: Sequence[int]) -> list[Samples]:
    """`trace` where taps and K change while samples stream: ``x``, then the output of each block.

    ``blocks`` are numbered in the order of the samples: ``2 k`` is ``filters[k]``, ``2 k + 1`` is
    ``rotations[k]``; ``x`` enters the first. From sample ``start`` of a tuning on, each block
    computes with its taps and K, over the history as it is. ``tunings`` in order, the first from 0;
    they differ in taps and gains only. Time along the last axis.
    """
    wires = [x]
    for block in blocks:
        outputs = [_output(tuning, block, wires[-1]) for tuning in tunings]
        i = _spliced(tunings, [output.i for output in outputs])
        q = _spliced(tunings, [output.q for output in outputs])
        wires.append(Samples(i, q))
    return wires


def clips_retuned(
    tunings: Sequence[Tuning], wires: Sequence[Samples], blocks: Sequence[int]
) -> list[dict[str, Clips]]:
    """Where each requantiser of each block clips, given the ``wires`` of `trace_retuned`."""
    clips = []
    for block, x in zip(blocks, wires, strict=False):
        of_tunings = [_block_clips(tuning, block, x) for tuning in tunings]
        of_block = {}
        for name in of_tunings[0]:
            requantizer = [of_tuning[name] for of_tuning in of_tunings]
            below = _each_spliced(tunings, [clips.below for clips in requantizer])
            above = _each_spliced(tunings, [clips.above for clips in requantizer])
            of_block[name] = Clips(below, above)
        clips.append(of_block)
    return clips


def _block_clips(tuning: Tuning, block: int, x: Samples) -> dict[str, Clips]:
    """Where a block clips that computes with one tuning throughout."""
    design, k = tuning.design, block // 2
    if block % 2 == 0:
        return filter_clips(design.filters[k], x)
    rotation, bits = design.rotations[k], design.rotation_input_bits(k)
    kerr = rotation.kerr(tuning.launch_power_uw)
    return rotation_clips(rotation, kerr, bits, x, design.polarizations)


def _output(tuning: Tuning, block: int, x: Samples) -> Samples:
    """The output of a block that computes with one tuning throughout."""
    design, k = tuning.design, block // 2
    if block % 2 == 0:
        return filter_samples(design.filters[k], x)
    rotation, bits = design.rotations[k], design.rotation_input_bits(k)
    return rotate(rotation, rotation.kerr(tuning.launch_power_uw), bits, x, design.polarizations)


def warm_up_words(design: Design, lanes: int, blocks: Sequence[int]) -> int:
    """Words of ``lanes`` samples that fill the histories of ``blocks`` after reset.

    The hardware puts out nothing for them, so its first output is sample ``lanes * warm_up_words``
    of `trace` and depends on no sample before the reset.
    """
    histories = [
        design.rotations[b // 2].kerr_taps - 1 if b % 2 else design.filters[b // 2].taps - 1
        for b in blocks
    ]
    return sum(-(-history // lanes) for history in histories)


def _spliced(tunings: Sequence[Tuning], parts: Sequence[Array]) -> Array:
    """One stream: of each tuning's ``part`` the samples from its start to that of the next."""
    ends = [tuning.start for tuning in tunings[1:]] + [parts[0].shape[-1]]
    pieces = [
        part[..., tuning.start : end]
        for tuning, end, part in zip(tunings, ends, parts, strict=True)
    ]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=-1)


def _each_spliced(
    tunings: Sequence[Tuning], values: Sequence[tuple[NDArray[np.bool_], ...]]
) -> tuple[NDArray[np.bool_], ...]:
    """`_spliced` for each of several values, such as I and Q."""
    return tuple(_spliced(tunings, parts) for parts in zip(*values, strict=True))


def receive(design: Design, x: Samples, launch_power_uw: int) -> Samples:
    """The whole receiver filter: the last wire of `trace`."""
    return trace(design, x, launch_power_uw)[-1]
