"""What each count of a step costs in a kit: energies and areas, fitted to synthesised steps."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from dbp.errors import InputError
from dbp.synthesis.cells import layout_rules
from dbp.synthesis.cells.layout_rules import LayoutRule
from dbp.synthesis.watt_model.counts import Counts, Step, count
from dbp.synthesis.watt_model.steps import Synthesised, synthesised

Vector = NDArray[np.float64]

# What each figure is a sum of.
LOGIC_DYNAMIC = (
    "busy_rows", "busy_products", "busy_adders", "full_adders", "waiting_carries", "squares",
    "busy_kerr_rows", "phase_rows", "turns", "history",
)  # fmt: skip
LOGIC_AREA = (
    "rows", "products", "adders", "full_adders", "carries", "squares", "kerr_rows", "phase_rows",
    "turns", "history", "settings",
)  # fmt: skip
REGISTERS_DYNAMIC = ("toggling", "history", "read", "lanes", "alone")
REGISTERS_AREA = ("registers", "lanes", "alone")

# Energy or area of a bit beside that of a full adder, where the data do not say: ones elsewhere.
PRIOR = {
    "rows": 0.5,
    "busy_rows": 1.3,
    "products": 2.0,
    "busy_products": 0.5,
    "busy_adders": 0.7,
    "full_adders": 0.5,
    "squares": 2.0,
    "kerr_rows": 1.2,
    "busy_kerr_rows": 2.0,
    "history": 0.3,
    "read": 0.1,
    "settings": 0.5,
    "lanes": 4.0,
    "alone": 15.0,
}
# How many rows this prior weighs.
WEIGHT = 0.3


@dataclass(frozen=True)
class Cost:
    """What a step takes.

    ``gates_mw``: with the wires of the library's wire load, as the synthesised steps state it.
    ``power_mw``: with wires and clock tree as layouts have them; ``tree_mw`` is the tree.
    """

    gates_mw: float
    power_mw: float
    tree_mw: float
    leakage_mw: float
    area_um2: float


@dataclass(frozen=True)
class Prices:
    """Milliwatts and um2 of each count, and leakage in mW of a um2 of gates and of registers.

    ``layout``: what layouts of the kit say of wires and clock tree.
    """

    logic_dynamic_mw: dict[str, float]
    logic_um2: dict[str, float]
    registers_dynamic_mw: dict[str, float]
    registers_um2: dict[str, float]
    logic_leakage_mw: float
    registers_leakage_mw: float
    layout: LayoutRule

    def cost(self, counts: Counts) -> Cost:
        """Return the cost of a step."""
        logic_um2 = _dot(self.logic_um2, counts)
        registers_um2 = _dot(self.registers_um2, counts)
        leakage_mw = self.logic_leakage_mw * logic_um2 + self.registers_leakage_mw * registers_um2
        dynamic_mw = _dot(self.logic_dynamic_mw, counts) + _dot(self.registers_dynamic_mw, counts)
        gates_mw, area_um2 = dynamic_mw + leakage_mw, logic_um2 + registers_um2
        tree_mw = 1e3 * self.layout.tree_w(counts.registers, area_um2)
        power_mw = self.layout.gates_factor * gates_mw + tree_mw
        return Cost(gates_mw, power_mw, tree_mw, leakage_mw, area_um2)


def _dot(prices: dict[str, float], counts: Counts) -> float:
    return float(sum(price * getattr(counts, name) for name, price in prices.items()))


@functools.cache
def prices(kit: str) -> Prices:
    """Return the prices of a kit, fitted to the steps in the package that are not held out."""
    steps = [each for each in synthesised() if each.kit == kit and not each.held_out]
    if not steps:
        known = sorted({each.kit for each in synthesised()})
        raise InputError(f"kit = {kit!r}: the watt model has no steps: must be {', '.join(known)}")
    return fitted(steps)


def fitted(steps: Sequence[Synthesised]) -> Prices:
    """Fit the prices to steps of one kit: none is negative, and relative errors are least."""
    counts = [count(each.step, each.lanes) for each in steps]
    mw = np.array([each.total_mw for each in steps])
    # A register whose bit stands still takes the clock's energy alone: those of the settings do.
    still_mw = sum(float(each.row["registers_dynamic_mw"]) for each in steps)
    still_mw /= sum(float(each.row["registers_bits"]) for each in steps)
    um2 = np.array([each.total_um2 for each in steps])

    def of(figure: str, names: Sequence[str], whole: Vector, less: float = 0.0) -> dict[str, float]:
        target = np.array([getattr(each, figure) for each in steps])
        target -= less * np.array([each.registers for each in counts])
        return _nnls(names, counts, target, whole)

    def leakage(part: str) -> float:
        leaks = sum(getattr(each, f"{part}_leakage_mw") for each in steps)
        return float(leaks / sum(getattr(each, f"{part}_um2") for each in steps))

    return Prices(
        of("logic_dynamic_mw", LOGIC_DYNAMIC, mw),
        of("logic_um2", LOGIC_AREA, um2),
        {"registers": still_mw} | of("registers_dynamic_mw", REGISTERS_DYNAMIC, mw, less=still_mw),
        of("registers_um2", REGISTERS_AREA, um2),
        leakage("logic"),
        leakage("registers"),
        layout_rules.of(steps[0].kit),
    )


def _nnls(
    names: Sequence[str], counts: Sequence[Counts], target: Vector, whole: Vector
) -> dict[str, float]:
    """Fit relative to the whole step's figure, and lightly to one price for all bits.

    ``PRIOR`` says what a bit of each kind costs beside one of the others, before any data.
    """
    rows = np.array([[getattr(each, name) for name in names] for each in counts]) / whole[:, None]
    aim = target / whole
    usual = np.array([PRIOR.get(name, 1.0) for name in names])
    alike = rows @ usual
    usual *= (alike @ aim) / (alike @ alike)
    # A count by as much as all of its part of the usual step: the prior is as good as WEIGHT rows.
    pull = np.diag(np.sqrt((rows**2).mean(0) + 1e-30)) * np.sqrt(WEIGHT)
    solution, _ = nnls(np.vstack((rows, pull)), np.concatenate((aim, pull @ usual)))
    return dict(zip(names, solution.tolist(), strict=True))


# What a design must be within, so that the prices are known to hold.
def descriptors(step: Step) -> dict[str, int]:
    """Return the numbers of a step by which `dbp.synthesis.watt_model.predict` tells whether the
    fit has seen the like."""
    filter_, rotation = step.filter, step.rotation
    numbers = {
        "taps": filter_.taps,
        "coefficient_bits": filter_.coefficient_bits,
        "signal bits": step.input_bits,
        "output bits of a filter": filter_.output_bits,
        "polarizations": step.polarizations,
    }
    if rotation is not None:
        numbers |= {
            "kerr_taps": rotation.kerr_taps,
            "branch_bits": rotation.branch_width(filter_.output_bits),
            "kerr_bits": rotation.kerr_bits,
            "phase_bits": rotation.phase_bits,
            "taylor_order": rotation.taylor_order,
        }
    return numbers


@functools.cache
def ranges(kit: str) -> dict[str, tuple[int, int]]:
    """Return the smallest and the largest of each of `descriptors` among the fitted steps."""
    found: dict[str, list[int]] = {}
    for each in synthesised():
        if each.kit == kit and not each.held_out:
            for name, value in descriptors(each.step).items():
                found.setdefault(name, []).append(value)
    return {name: (min(values), max(values)) for name, values in found.items()}
