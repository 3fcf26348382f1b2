"""Where the datapath is cut by registers: the one place to change for another clock or node.

The defaults are the cheapest tried that leave room at 2.4 ns in nangate45: docs/rtl.md has the
measurements. Registers at the inputs and outputs of the multipliers pay for themselves, since they
keep glitches from spreading; further ones cost more than they save.
"""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass, fields, replace

from dbp.datapath.design import Rotation
from dbp.errors import InputError

MAX_COUNT = 1000


@dataclass(frozen=True)
class FilterPipeline:
    """Cuts of a filter, in the order in which samples pass them; its output is always a register.

    Without ``after_pre_add`` a step whose taps can be written registers its input words instead;
    with it, only where the filter keeps sums of its taps.
    ``after_multiplier`` cuts a complex product between its real ones and their sums.
    ``adder_levels`` levels of two-input adders of the tree lie between two registers, and
    ``after_sum`` puts one between the tree and the requantiser.
    """

    after_pre_add: bool = True
    after_multiplier: bool = False
    after_product: bool = True
    adder_levels: int = 4
    after_sum: bool = False

    def tree_cuts(self, terms: int) -> tuple[bool, ...]:
        """For each level of an adder tree over ``terms`` terms: is there a register after it?"""
        levels = (terms - 1).bit_length()
        inner = [level % self.adder_levels == 0 for level in range(1, levels)]
        return (*inner, self.after_sum) if levels else ()

    def latency(self, terms: int) -> int:
        """Clock cycles from the input to the output register."""
        before = self.after_pre_add + self.after_multiplier + self.after_product
        return before + sum(self.tree_cuts(terms)) + 1


@dataclass(frozen=True)
class HardwiredPipeline:
    """Cuts of a hardwired filter, in order; its output is always a register.

    ``after_fold`` cuts between the folded and shared sums and the sums of digits, of which at most
    ``sum_terms`` are added between two registers; ``after_sum`` cuts before the saturation.
    """

    after_fold: bool = True
    sum_terms: int = 48
    after_sum: bool = False


@dataclass(frozen=True)
class RotationPipeline:
    """Cuts of a rotation, in order; its output is always a register.

    ``after_fold`` counts where there are several K, ``after_versine`` to second order: see `of`.
    """

    after_power: bool = True
    after_fold: bool = True
    after_kerr: bool = False
    after_phase: bool = True
    after_versine: bool = True
    after_multiplier: bool = False
    after_product: bool = False

    def of(self, rotation: Rotation) -> RotationPipeline:
        """The cuts that ``rotation`` has."""
        return replace(
            self,
            after_fold=self.after_fold and rotation.kerr_taps > 1,
            after_versine=self.after_versine and rotation.taylor_order == 2,
        )

    @property
    def latency(self) -> int:
        """Clock cycles from the input to the output register."""
        return sum(astuple(self)) + 1


@dataclass(frozen=True)
class Pipeline:
    """The cuts of every step of a design."""

    filter: FilterPipeline = FilterPipeline()
    rotation: RotationPipeline = RotationPipeline()
    hardwired: HardwiredPipeline = HardwiredPipeline()


def parse(text: str) -> Pipeline:
    """``filter.after_multiplier=1,filter.adder_levels=2``: the default but for these fields.

    Empty is the default itself. Cuts are 0 or 1. `InputError` for a field or a value that there is
    not.
    """
    pipeline = Pipeline()
    allowed = {
        f"{part.name}.{field.name}": (part.name, field.name)
        for part in fields(pipeline)
        for field in fields(getattr(pipeline, part.name))
    }
    for item in text.split(",") if text else ():
        key, _, value = item.partition("=")
        if key not in allowed:
            raise InputError(f"pipeline: {key!r}: must be one of {', '.join(allowed)}")
        part, name = allowed[key]
        block = getattr(pipeline, part)
        cut = isinstance(getattr(block, name), bool)
        low, high = (0, 1) if cut else (1 if name == "adder_levels" else 2, MAX_COUNT)
        if not value.isascii() or not value.isdigit() or not low <= int(value[:9]) <= high:
            raise InputError(f"pipeline: {key} = {value!r}: must be an integer in {low}..{high}")
        block = replace(block, **{name: bool(int(value)) if cut else int(value)})
        pipeline = replace(pipeline, **{part: block})
    return pipeline


def text(pipeline: Pipeline, usual: Pipeline = Pipeline()) -> str:
    """What `parse` takes for it: the fields that are not as usual; empty where all are."""
    return ",".join(
        f"{part.name}.{field.name}={int(getattr(block, field.name))}"
        for part in fields(pipeline)
        for block, other in [(getattr(pipeline, part.name), getattr(usual, part.name))]
        for field in fields(block)
        if getattr(block, field.name) != getattr(other, field.name)
    )


def cuts_name(pipeline: object, usual: object) -> str:
    """The end of a module's name: empty for the usual cuts, else a digest of these."""
    if pipeline == usual:
        return ""
    return f"_p{hashlib.sha256(repr(pipeline).encode()).hexdigest()[:6]}"
