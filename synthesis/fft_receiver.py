"""Watts of receivers in the frequency domain: FFT filters of dispersion, and rotations in between.

Linear compensation is one filter; backpropagation in N steps cuts the fibre into pieces, each with
a filter of its own, and rotates every sample by a weighted sum of the powers around it. This is an
estimate: operations are counted, and each kind costs what a block of it took in the kit
(``fft_operations.csv``, measured as in `dbp.synthesis.linear_equalizer`); sums over powers cost
what they do in the steps of designs (`dbp.synthesis.watt_model`). No such receiver is built, and
words are as wide as linear compensation needs them. ``docs/results/few_steps.md`` says what is left
out.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from dbp.datapath import overlap_save
from dbp.datapath.overlap_save import Equalizer
from dbp.errors import InputError
from dbp.synthesis.linear_equalizer import Cost, Costs, EqualizerEstimate, total
from dbp.synthesis.stages import CLOCK_MHZ
from dbp.synthesis.watt_model import counts, fit

# Words of the operations that were measured.
DATA_BITS, TWIDDLE_BITS = 9, 7
# Formats of the phase: those of shipped designs with several K.
BRANCH_BITS, WEIGHT_BITS = 6, 8
# A filter of a piece overlaps by so many samples more than its fibre's memory, for the edge of the
# signal's band: beside a long memory they do not matter.
EDGE_SAMPLES = 32
SIZES = tuple(2**k for k in range(7, 14))


@dataclass(frozen=True)
class Fibre:
    """What dispersion does to the signal.

    ``dispersion_ps_per_nm``: of the whole link. ``band_ghz``: of the signal; ``rate_ghz``: samples.
    """

    dispersion_ps_per_nm: float
    wavelength_nm: float
    band_ghz: float
    rate_ghz: float


@dataclass(frozen=True)
class FftReceiverEstimate:
    """The estimated cost of a receiver of FFT filters and rotations at 416.7 MHz.

    ``filters``: each filter of a piece of fibre; ``rotations_w``, ``rotations_mm2``: all rotations
    together. ``power_w`` and ``area_mm2`` are all of it; ``leakage_w`` is a part of the power.
    """

    kit: str
    lanes: int
    power_w: float
    leakage_w: float
    area_mm2: float
    filters: tuple[EqualizerEstimate, ...]
    rotations_w: float
    rotations_mm2: float


def estimate(
    fibre: Fibre, pieces: Sequence[float], weights: Sequence[int], kit: str, lanes: int
) -> FftReceiverEstimate:
    """Estimate a receiver from the pieces that it cuts the fibre into.

    ``pieces``: the share of the dispersion that each filter undoes, in order; their sum is 1.
    ``weights``: for each rotation the taps of its filter over \\|x\\|^2, odd. ``lanes``: new
    samples a clock. `InputError` for a kit whose operations are not in the package.
    """
    operations = operation_costs(kit)
    margin = EDGE_SAMPLES if len(pieces) > 1 else 0
    of_piece = {share: _filter(fibre, share, margin, operations, kit, lanes) for share in {*pieces}}
    filters = tuple(of_piece[share] for share in pieces)
    rotations = {taps: _rotation(taps, operations, kit, lanes) for taps in {*weights}}
    rotations_w = sum(rotations[taps].dynamic_w + rotations[taps].leakage_w for taps in weights)
    rotations_mm2 = 1e-6 * sum(rotations[taps].area_um2 for taps in weights)
    leaks = sum(part.leakage_w for each in filters for part in each.parts.values())
    return FftReceiverEstimate(
        kit,
        lanes,
        power_w=sum(each.power_w for each in filters) + rotations_w,
        leakage_w=leaks + sum(rotations[taps].leakage_w for taps in weights),
        area_mm2=sum(each.area_mm2 for each in filters) + rotations_mm2,
        filters=filters,
        rotations_w=rotations_w,
        rotations_mm2=rotations_mm2,
    )


@functools.cache
def operation_costs(kit: str) -> Costs:
    """Return what the operations of FFT filters cost in a kit, as ``fft_operations.csv`` has it."""
    file = resources.files("dbp.synthesis.watt_model") / "fft_operations.csv"
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    mine = {
        row["operation"]: Cost(
            float(row["dynamic_w"]), float(row["leakage_w"]), float(row["area_um2"]),
            float(row["slack_ns"]),
        )
        for row in rows
        if row["kit"] == kit
    }  # fmt: skip
    if not mine:
        known = sorted({row["kit"] for row in rows})
        raise InputError(
            f"kit = {kit!r}: no operations of FFT filters were measured: must be "
            f"{' or '.join(known)}"
        )
    return Costs(**mine)


def _filter(
    fibre: Fibre, share: float, margin: int, operations: Costs, kit: str, lanes: int
) -> EqualizerEstimate:
    """The filter of a piece, with the transform that takes the least power."""
    dispersion = share * fibre.dispersion_ps_per_nm
    overlap = margin + overlap_save.memory_samples(
        dispersion, fibre.wavelength_nm, fibre.band_ghz, fibre.rate_ghz
    )
    found = []
    for size in SIZES:
        if size - overlap >= 1 and lanes * size / (size - overlap) <= size:
            # Only the number of operations counts here, not the response.
            equalizer = Equalizer(np.ones(size, complex), overlap, DATA_BITS, TWIDDLE_BITS)
            try:
                found.append(total(equalizer, operations, lanes, CLOCK_MHZ, kit))
            except InputError:
                continue
    if not found:
        raise InputError(f"{dispersion:.0f} ps/nm: no transform of {SIZES[-1]} points or fewer")
    return min(found, key=lambda each: each.power_w)


def _rotation(taps: int, operations: Costs, kit: str, lanes: int) -> Cost:
    """A rotation: the powers, their weighted sum, and one complex product for each sample."""
    priced = fit.prices(kit).cost(counts.phases(taps, DATA_BITS, BRANCH_BITS, WEIGHT_BITS, lanes))
    product = operations.changing_twiddle
    return Cost(
        1e-3 * (priced.power_mw - priced.leakage_mw) + lanes * product.dynamic_w,
        1e-3 * priced.leakage_mw + lanes * product.leakage_w,
        priced.area_um2 + lanes * product.area_um2,
    )
