"""From a kit's node to 28 nm: published factors, one by one, and the band that they span.

Each kit has three factors: DeepScaleTool (Sarangi and Baas 2021, between nominal supplies), and the
equations of Stillmaker and Baas (2017) for high-performance (HP) and low-power (LP) transistors at
the kit's supply and 0.9 V at 28 nm, where their two neighbours, 32 and 20 nm, are interpolated in
the logarithm. They differ by more than a factor of two from 7 nm: an absolute figure at 28 nm is a
band, and a ratio of two designs through one flow needs no scaling at all.

At a fixed clock power scales as energy per operation; leakage is taken along with it. The central
value is the geometric mean over the methods of a kit, then over the kits: factors multiply, so
their errors are those of a ratio, and no method is better founded than another. Kits at 130 nm are
not scaled: two generations of wires and supplies lie between.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from dbp.errors import InputError
from dbp.records.schemas import Band, Scaled, Scaling
from dbp.synthesis.cells import kits
from dbp.synthesis.cells.wire_load import DATA

NODE_NM, VOLTAGE_V = 28, 0.9
SCALED = ("nangate45", "asap7")
_NEIGHBORS = (32, 20)
Quantity = Literal["energy", "area", "delay"]


def factors(kit: str, voltage_v: float) -> tuple[Scaling, ...]:
    """Return the factors of every method from ``kit`` at its supply to 28 nm at 0.9 V.

    `InputError` for a kit that is not scaled, or a supply outside 0.5 to 1.2 V.
    """
    if kit not in SCALED:
        raise InputError(f"kit {kit!r}: only {' and '.join(SCALED)} are scaled to 28 nm")
    if not 0.5 <= voltage_v <= 1.2:
        raise InputError(f"voltage_v = {voltage_v!r}: must be in 0.5..1.2")
    node = kits.KITS[kit].node_nm
    tool = {int(row["node_nm"]): row for row in _table("scaling.csv")}
    ratios = {
        key: float(tool[NODE_NM][key]) / float(tool[node][key])
        for key in ("energy", "area", "delay")
    }
    scalings = [Scaling(kit=kit, method="DeepScaleTool", **ratios)]
    for kind in ("HP", "LP"):
        energy, delay = (
            _at_28nm(function, kind) / function(f"{node}{kind}", voltage_v)
            for function in (_energy, _delay)
        )
        method = f"Stillmaker-Baas {kind}"
        scalings.append(Scaling(kit=kit, method=method, energy=energy, area=None, delay=delay))
    return tuple(scalings)


def band(
    figures: Mapping[str, float], voltages_v: Mapping[str, float], quantity: Quantity
) -> Band | None:
    """Scale figures of one thing in one or more kits to a band at 28 nm; None if no kit is scaled.

    ``figures``: power or energy for the quantity ``energy``, else area or delay, by kit, in any
    unit; ``voltages_v``: the kits' supplies. Kits that are not scaled are left out.
    """
    scaled = [
        [
            figure * factor
            for scaling in factors(kit, voltages_v[kit])
            if (factor := getattr(scaling, quantity)) is not None
        ]
        for kit, figure in figures.items()
        if kit in SCALED
    ]
    if not scaled:
        return None
    low, high = min(map(min, scaled)), max(map(max, scaled))
    central = statistics.geometric_mean(map(statistics.geometric_mean, scaled))
    # A single figure's own geometric mean is rounded and may lie beside it.
    return Band(low=low, central=min(max(central, low), high), high=high)


def of_one_kit(kit: str, voltage_v: float, power_w: float, area_um2: float) -> Scaled | None:
    """Return a kit's factors and the bands of power and area; None for a kit that is not scaled."""
    voltages = {kit: voltage_v}
    power, area = band({kit: power_w}, voltages, "energy"), band({kit: area_um2}, voltages, "area")
    if power is None or area is None:
        return None
    return Scaled(
        node_nm=NODE_NM,
        voltage_v=VOLTAGE_V,
        factors=factors(kit, voltage_v),
        power_w=power,
        cell_area_um2=area,
    )


def _table(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _coefficients(node: str, names: Iterable[str]) -> Sequence[float]:
    (row,) = (row for row in _table("stillmaker.csv") if row["node"] == node)
    return [float(row[name]) for name in names]


def _energy(node: str, voltage_v: float) -> float:
    b2, b1, b0 = _coefficients(node, ("b2", "b1", "b0"))
    return b2 * voltage_v**2 + b1 * voltage_v + b0


def _delay(node: str, voltage_v: float) -> float:
    """Return the delay, past its minimum the least: no gate is slower at a higher supply."""
    a3, a2, a1, a0 = _coefficients(node, ("a3", "a2", "a1", "a0"))
    fastest = _minimum(a3, a2, a1)
    v = voltage_v if fastest is None else min(voltage_v, fastest)
    return a3 * v**3 + a2 * v**2 + a1 * v + a0


def _minimum(a3: float, a2: float, a1: float) -> float | None:
    """Return the supply where the cubic is least, None where it falls all the way."""
    if a3 == 0:
        return -a1 / (2 * a2)
    root = a2**2 - 3 * a3 * a1
    return None if root < 0 else (-a2 + math.sqrt(root)) / (3 * a3)


def _at_28nm(function: Callable[[str, float], float], kind: str) -> float:
    upper, lower = _NEIGHBORS
    weight = math.log(upper / NODE_NM) / math.log(upper / lower)
    at_upper, at_lower = (function(f"{node}{kind}", VOLTAGE_V) for node in _NEIGHBORS)
    return at_upper ** (1 - weight) * at_lower**weight
