"""Predict the watts and the area of a whole receiver from its design."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dbp.datapath.design import Design
from dbp.datapath.limits import MAX_LANES
from dbp.errors import InputError
from dbp.rtl.blocks.filter import THREE_PRODUCTS_BITS
from dbp.rtl.pipeline import Pipeline
from dbp.rtl.target import FILTER_KINDS, FilterKind
from dbp.synthesis.watt_model import fit
from dbp.synthesis.watt_model.counts import Step, count
from dbp.synthesis.whole_receiver import receiver_lanes

# Bits of the quadratures in |x|^2 from which on fewer K need a cut.
WIDE_BRANCH_BITS = 6


@dataclass(frozen=True)
class Prediction:
    """The predicted cost of a receiver at 416.7 MHz, all steps together.

    ``kit``, ``filters``: as they were asked for; ``lanes``: samples a clock. ``power_w``,
    ``area_mm2``: of the receiver; ``leakage_w`` and ``clock_tree_w`` are parts of the power.
    ``gates_w``: of the gates alone, with the wires of the library's wire load, which is what the
    synthesised steps state. ``extrapolates``: each
    number of the design that lies outside those of the synthesised steps, such as
    "taps = 31, fitted 1..25"; empty where the model holds.
    """

    kit: str
    filters: FilterKind
    lanes: int
    power_w: float
    leakage_w: float
    clock_tree_w: float
    gates_w: float
    area_mm2: float
    extrapolates: tuple[str, ...] = ()

    def __repr__(self) -> str:
        doubt = f", extrapolates: {'; '.join(self.extrapolates)}" if self.extrapolates else ""
        return (
            f"Prediction({self.kit}, {self.filters}, {self.lanes} lanes: {self.power_w:.3g} W, "
            f"{self.area_mm2:.3g} mm2{doubt})"
        )


def predict(
    design: Design, kit: str = "nangate45", filters: FilterKind = "reconfigurable",
    lanes: int | None = None,
) -> Prediction:  # fmt: skip
    """Predict what `dbp.synthesis.whole_receiver.estimate` would say of a design.

    ``lanes``: by default those of `dbp.synthesis.whole_receiver.receiver_lanes` at the paper's 20
    GBd; with two polarisations so many of each, and watts are of both. Takes about a
    millisecond a step; hardwired filters ten more, once. `InputError` for a kit without fitted
    steps.
    """
    if filters not in FILTER_KINDS:
        raise InputError(f"filters = {filters!r}: must be {' or '.join(FILTER_KINDS)}")
    prices = fit.prices(kit)
    if lanes is not None and (type(lanes) is not int or not 1 <= lanes <= MAX_LANES):
        raise InputError(f"lanes = {lanes!r}: must be an integer in 1..{MAX_LANES}")
    lanes = receiver_lanes(design.samples_per_symbol) if lanes is None else lanes
    steps = [step_of(design, k, kit, filters) for k in range(len(design.filters))]
    costs = [prices.cost(count(step, lanes)) for step in steps]
    return Prediction(
        kit,
        filters,
        lanes,
        1e-3 * sum(cost.power_mw for cost in costs),
        1e-3 * sum(cost.leakage_mw for cost in costs),
        1e-3 * sum(cost.tree_mw for cost in costs),
        1e-3 * sum(cost.gates_mw for cost in costs),
        1e-6 * sum(cost.area_um2 for cost in costs),
        _outside(kit, steps),
    )


def step_of(design: Design, k: int, kit: str, filters: FilterKind) -> Step:
    """Return step ``k`` of a design, with the cuts that `usual_pipeline` says."""
    step = Step(
        design.filters[k],
        design.rotations[k] if k < len(design.rotations) else None,
        design.filter_input_bits(k),
        filters,
        Pipeline(),
        design.polarizations,
    )
    return replace(step, pipeline=usual_pipeline(kit, step))


def usual_pipeline(kit: str, step: Step) -> Pipeline:
    """Return the cuts that the clock is taken to need: mostly those of `dbp.synthesis.fit_clock`.

    Gates of asap7 are quick enough for the usual ones. In nangate45 taps of 8 bits and more need
    finer adder trees, and wide products with K a register behind them.
    """
    usual = Pipeline()
    if kit != "nangate45":
        return usual
    tree, rotation = usual.filter, usual.rotation
    if step.filters != "hardwired" and step.filter.coefficient_bits >= THREE_PRODUCTS_BITS:
        tree = replace(tree, adder_levels=2)
    if step.rotation is not None:
        rows = len(step.rotation.kerr_gains) * ((step.rotation.kerr_bits + 1) // 2)
        wide = step.rotation.branch_width(step.filter.output_bits) >= WIDE_BRANCH_BITS
        rotation = replace(rotation, after_kerr=rows >= (8 if wide else 10))
    return replace(usual, filter=tree, rotation=rotation)


def _outside(kit: str, steps: list[Step]) -> tuple[str, ...]:
    allowed = fit.ranges(kit)
    doubts: dict[str, None] = {}
    for step in steps:
        for name, value in fit.descriptors(step).items():
            low, high = allowed.get(name, (0, -1))
            if not low <= value <= high:
                doubts[f"{name} = {value}, fitted {low}..{high}"] = None
    return tuple(doubts)
