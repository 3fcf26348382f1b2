"""Predict the watts and the area of a whole receiver from its design."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dbp.datapath.design import Design
from dbp.errors import InputError
from dbp.rtl.pipeline import Pipeline
from dbp.rtl.target import FILTER_KINDS, FilterKind
from dbp.synthesis.watt_model import fit
from dbp.synthesis.watt_model.counts import Step, count
from dbp.synthesis.whole_receiver import receiver_lanes


@dataclass(frozen=True)
class Prediction:
    """The predicted cost of a receiver at 416.7 MHz, all steps together, the clock tree apart.

    ``lanes``: samples a clock; ``leakage_w`` is a part of ``power_w``. ``extrapolates``: each
    number of the design that lies outside those of the synthesised steps, such as
    "taps = 31, fitted 1..25"; empty where the model holds.
    """

    kit: str
    filters: FilterKind
    lanes: int
    power_w: float
    leakage_w: float
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

    ``lanes``: by default those of `dbp.synthesis.whole_receiver.receiver_lanes`. Takes about a
    millisecond a step; hardwired filters ten more, once. `InputError` for a kit without fitted
    steps.
    """
    if filters not in FILTER_KINDS:
        raise InputError(f"filters = {filters!r}: must be {' or '.join(FILTER_KINDS)}")
    prices = fit.prices(kit)
    lanes = receiver_lanes(design.samples_per_symbol) if lanes is None else lanes
    steps = [step_of(design, k, kit, filters) for k in range(len(design.filters))]
    costs = [prices.cost(count(step, lanes)) for step in steps]
    return Prediction(
        kit,
        filters,
        lanes,
        1e-3 * sum(cost.power_mw for cost in costs),
        1e-3 * sum(cost.leakage_mw for cost in costs),
        1e-6 * sum(cost.area_um2 for cost in costs),
        _outside(kit, steps),
    )


def step_of(design: Design, k: int, kit: str, filters: FilterKind) -> Step:
    """Return step ``k`` of a design, with the cuts that `usual_pipeline` says."""
    return Step(
        design.filters[k],
        design.rotations[k] if k < len(design.rotations) else None,
        design.filter_input_bits(k),
        filters,
        usual_pipeline(kit, filters, design.filters[k].coefficient_bits),
    )


def usual_pipeline(kit: str, filters: FilterKind, coefficient_bits: int) -> Pipeline:
    """Return the cuts that the clock is taken to need, as `dbp.synthesis.fit_clock` mostly finds.

    Taps of 8 bits and more need finer adder trees in nangate45; a missing cut costs little.
    """
    pipeline = Pipeline()
    if kit == "nangate45" and filters == "reconfigurable" and coefficient_bits >= 8:
        return replace(pipeline, filter=replace(pipeline.filter, adder_levels=2))
    return pipeline


def _outside(kit: str, steps: list[Step]) -> tuple[str, ...]:
    allowed = fit.ranges(kit)
    doubts: dict[str, None] = {}
    for step in steps:
        for name, value in fit.descriptors(step).items():
            low, high = allowed.get(name, (0, -1))
            if not low <= value <= high:
                doubts[f"{name} = {value}, fitted {low}..{high}"] = None
    return tuple(doubts)
