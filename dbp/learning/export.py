"""From floating-point filters to the integers of a `dbp.datapath.design.Design`; needs no torch."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dbp import config
from dbp.datapath import fixed
from dbp.datapath.design import Design, Filter, Rotation, launch_power_uw
from dbp.datapath.limits import MAX_BITS, MIN_BITS
from dbp.errors import InputError
from dbp.learning.float_filters import FloatFilters
from dbp.link.fiber import MANAKOV

# K is kerr_gain * launch power / 2**KERR_SHIFT.
KERR_SHIFT = 20
# Rotations beyond a power of two of the phase of a span by less than this, in bits, get no more
# bits for it: the range of phi is several times its mean.
TOLERATED_LOG2 = 0.25
# The largest shift that a Rotation may hold.
_MAX_PHASE_SHIFT = 40


def export(
    filters: FloatFilters,
    formats: config.Filters,
    datapath: config.Datapath,
    polarizations: int = 1,
) -> Design:
    """Round floating-point filters to a Design, named after its formats.

    Every filter has the power-of-two coefficient scale at which its largest half tap just fits, and
    taps are rounded half up. Rotations at the same place of their periods
    (``formats.rotations_per_span``) are of a kind and have one format: the finest ``phase_shift``
    at which no K of theirs saturates up to ``datapath.max_launch_power_dbm``, and
    ``datapath.phase_bits`` where they undo the Kerr phase of a span, a bit less for each halving
    and a bit more for each doubling of it. The unit mean power of ``filters`` becomes the loading
    of the converter. With two ``polarizations`` the power is that of both, and K 8/9 of what one
    would have at the same total power (`dbp.link.fiber`). Raises `InputError` where a tap or a Kerr
    constant is beyond what formats hold.
    """
    c, s = formats.coefficient_bits, formats.signal_bits
    last = len(filters.taps) - 1
    rounded = [
        _rounded_filter(taps, formats, datapath.rotation_guard_bits if k < last else 0)
        for k, taps in enumerate(filters.taps)
    ]
    input_bits = s + datapath.rotation_guard_bits
    width = min(datapath.branch_bits, input_bits)
    per_uw = filters.kerr_rad_per_mw * kerr_unit(
        datapath.adc_rms_permille, width, datapath.phase_fraction_bits, polarizations
    )
    kinds = _kinds(formats, len(per_uw))
    phase_bits = _phase_bits(filters, formats, kinds, datapath)
    phase_shifts = [_phase_shift(per_uw[kinds == kind], filters, datapath) for kind in kinds]
    rotations = tuple(
        Rotation(
            branch_bits=datapath.branch_bits,
            power_offset=_power_offset(datapath, width, input_bits, polarizations),
            kerr_bits=datapath.kerr_bits,
            kerr_gains=_round(gains * 2.0 ** (phase_shift + KERR_SHIFT)),
            kerr_shift=KERR_SHIFT,
            phase_shift=phase_shift,
            phase_bits=bits,
            phase_fraction_bits=datapath.phase_fraction_bits,
            taylor_order=datapath.taylor_order,
            output_bits=s,
        )
        for gains, phase_shift, bits in zip(per_uw, phase_shifts, phase_bits, strict=True)
    )
    return Design(
        f"c{c}-s{s}" if polarizations == 1 else f"dual-c{c}-s{s}",
        s,
        datapath.adc_rms_permille,
        tuple(rounded),
        rotations,
        filters.samples_per_symbol,
        polarizations,
    )


def _rounded_filter(taps: NDArray[np.complex128], formats: config.Filters, guard: int) -> Filter:
    """A filter whose output has ``guard`` bits more than the signal."""
    c = formats.coefficient_bits
    half = taps[: taps.size // 2 + 1]
    largest = max(np.abs(half.real).max(), np.abs(half.imag).max())
    scale = coefficient_shift(largest, c)
    if scale < guard:
        raise InputError(
            f"datapath.rotation_guard_bits = {guard}: a tap of {largest:.3g} in {c} bits "
            f"has only {scale} bits below one to give"
        )
    i, q = (_round(part * 2.0**scale) for part in (half.real, half.imag))
    return Filter(c, scale - guard, formats.signal_bits + guard, i, q)


def _kinds(formats: config.Filters, rotations: int) -> NDArray[np.int64]:
    """The number of each rotation in its period."""
    count = formats.rotation_rate.numerator
    if rotations % count:
        raise InputError(
            f"rotations_per_span = {formats.rotations_per_span}: must be such that the filters' "
            f"{rotations} rotations are whole periods of {count}"
        )
    return np.arange(rotations) % count


def _phase_bits(
    filters: FloatFilters,
    formats: config.Filters,
    kinds: NDArray[np.int64],
    datapath: config.Datapath,
) -> list[int]:
    """The width of phi of each rotation, by the Kerr phase that its kind undoes."""
    *outer, centre = np.abs(filters.kerr_rad_per_mw.T)
    phases = centre + 2 * sum(outer)
    of_span = phases.mean() * float(formats.rotation_rate) if phases.any() else 1.0
    bits = []
    for kind in kinds:
        share = float(phases[kinds == kind].mean() / of_span)
        more = math.ceil(math.log2(share) - TOLERATED_LOG2) if share else 0
        bits.append(min(max(datapath.phase_bits + more, MIN_BITS), MAX_BITS))
    return bits


def _phase_shift(
    per_uw: NDArray[np.float64], filters: FloatFilters, datapath: config.Datapath
) -> int:
    """The finest ``phase_shift`` at which no K, ``per_uw`` of launch power, saturates."""
    largest = launch_power_uw(datapath.max_launch_power_dbm) * np.abs(per_uw).max(initial=0)
    high = fixed.code_range(datapath.kerr_bits)[1]
    shift = math.floor(math.log2(high / largest)) if largest else 0
    if shift < 0:
        raise InputError(
            f"datapath.kerr_bits = {datapath.kerr_bits}: too few for a rotation of "
            f"{np.abs(filters.kerr_rad_per_mw).max():.3g} rad per mW"
        )
    return min(shift, _MAX_PHASE_SHIFT)


def _power_offset(
    datapath: config.Datapath, width: int, input_bits: int, polarizations: int
) -> int:
    """The mean of \\|x\\|^2 in codes of a branch of ``width`` bits, if it is to be taken out."""
    if not datapath.centre_power:
        return 0
    # |x|^2 of a cut code leaves a constant out: a quarter of each quadrature's square.
    left_out = 0.5 if width < input_bits else 0.0
    mean = polarizations * (_mean_power(datapath.adc_rms_permille, width) - left_out)
    return max(math.floor(mean + 0.5), 0)


def _mean_power(adc_rms_permille: int, branch_bits: int) -> float:
    """Mean \\|x\\|^2 in codes of the branch, of a signal of mean power 1."""
    return 2 * (adc_rms_permille / 1000 * 2.0 ** (branch_bits - 1)) ** 2


def kerr_share(polarizations: int) -> float:
    """What a Kerr constant of one polarisation is multiplied by, for signals of mean power 1 each.

    With two, each of mean power 1 has half of the launch power, and the Kerr effect is 8/9 of that
    of their sum (Manakov: `dbp.link.fiber`).
    """
    return 1.0 if polarizations == 1 else MANAKOV / 2


def kerr_unit(
    adc_rms_permille: int, branch_bits: int, phase_fraction_bits: int, polarizations: int
) -> float:
    """K / 2**phase_shift per microwatt for a rotation of 1 rad per mW."""
    unit = 1e-3 * 2.0**phase_fraction_bits / _mean_power(adc_rms_permille, branch_bits)
    return unit * kerr_share(polarizations)


def coefficient_shift(largest: float, bits: int) -> int:
    """The largest shift at which a half tap of this magnitude, rounded, fits ``bits`` bits."""
    high = fixed.code_range(bits)[1]
    for shift in range(bits + 8, -1, -1):
        if math.floor(largest * 2.0**shift + 0.5) <= high:
            return shift
    raise InputError(f"a tap of {largest:.3g} does not fit {bits} coefficient bits at any scale")


def _round(x: NDArray[np.float64]) -> tuple[int, ...]:
    return tuple(int(v) for v in np.floor(x + 0.5))
