"""Where the datapath is cut by registers: the one place to change for another clock or node.

The defaults are the cheapest of those tried that meet 2.4 ns in nangate45 with room to spare:
docs/results/diary.md has the measurements. Registers at the inputs and outputs of the multipliers
pay for themselves, since they keep glitches from spreading; further ones cost more than they save.
"""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass, fields, replace

from dbp.datapath.design import Rotation
from dbp.errors import InputError
from dbp.support.text import did_you_mean

MAX_COUNT = 1000


@dataclass(frozen=True)
class FilterPipeline:
    """Cuts of a filter, in the order in which samples pass them; its output is always a register.

    ``after_pre_add`` cuts behind the folded samples. Without it, and with it where the filter
    registers sums of its taps, a step with taps in registers also registers its input words, since
    a word must not come before the taps that it is to meet.
    ``after_multiplier`` cuts a complex product between the real products and their sums,
    ``after_product`` behind those sums. ``adder_levels``: how many levels of two-input adders of
    the tree lie between two registers. ``after_sum`` cuts between the tree and the requantiser.
    """

    after_pre_add: bool = True
    after_multiplier: bool = False
    after_product: bool = True
    adder_levels: int = 4
    after_sum: bool = False

    def tree_cuts(self, terms: int) -> tuple[bool, ...]:
        """Return whether a register follows each level of an adder tree over ``terms`` terms."""
        levels = (terms - 1).bit_length()
        inner = [level % self.adder_levels == 0 for level in range(1, levels)]
        return (*inner, self.after_sum) if levels else ()

    def latency(self, terms: int) -> int:
        """Return the clock cycles from the input to the output register."""
        before = self.after_pre_add + self.after_multiplier + self.after_product
        return before + sum(self.tree_cuts(terms)) + 1


@dataclass(frozen=True)
class HardwiredPipeline:
    """Cuts of a hardwired filter, in order; its output is always a register.

    ``after_fold`` cuts between the folded and shared sums and the sums of digits. At most
    ``sum_terms`` terms are added between two registers. ``after_sum`` cuts before the saturation.
    The latency depends on the taps: `dbp.rtl.blocks.hardwired.HardwiredLane.latency`.
    """

    after_fold: bool = True
    sum_terms: int = 48
    after_sum: bool = False


@dataclass(frozen=True)
class RotationPipeline:
    """Cuts of a rotation, in order; its output is always a register.

    ``after_power`` cuts behind |x|^2, ``after_fold`` behind the sums of two powers that share a K,
    ``after_kerr`` behind the products with K, ``after_phase`` behind phi, ``after_versine`` behind
    phi^2 / 2, ``after_multiplier`` behind the real products of sample and phi, ``after_product``
    behind their sums. Not every rotation has all of these: see `for_rotation`.
    """

    after_power: bool = True
    after_fold: bool = True
    after_kerr: bool = False
    after_phase: bool = True
    after_versine: bool = True
    after_multiplier: bool = False
    after_product: bool = False

    def for_rotation(self, rotation: Rotation) -> RotationPipeline:
        """Return the cuts that ``rotation`` has: a fold needs several K, a versine order 2."""
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
    """Read a pipeline from text such as ``filter.after_multiplier=1,filter.adder_levels=2``.

    Fields that are not named keep their defaults, so empty text is the default pipeline. Cuts are 0
    or 1. `InputError` for an unknown field and for a value that it cannot have.
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
            hint = did_you_mean(key, allowed)
            raise InputError(f"pipeline: {key!r}: must be one of {', '.join(allowed)}{hint}")
        part, name = allowed[key]
        block = getattr(pipeline, part)
        is_cut = isinstance(getattr(block, name), bool)
        low, high = (0, 1) if is_cut else (1 if name == "adder_levels" else 2, MAX_COUNT)
        if not value.isascii() or not value.isdigit() or not low <= int(value[:9]) <= high:
            raise InputError(f"pipeline: {key} = {value!r}: must be an integer in {low}..{high}")
        block = replace(block, **{name: bool(int(value)) if is_cut else int(value)})
        pipeline = replace(pipeline, **{part: block})
    return pipeline


def text(pipeline: Pipeline, usual: Pipeline = Pipeline()) -> str:
    """Return what `parse` reads: the fields that differ from ``usual``, empty if none does."""
    return ",".join(
        f"{part.name}.{field.name}={int(getattr(block, field.name))}"
        for part in fields(pipeline)
        for block, other in [(getattr(pipeline, part.name), getattr(usual, part.name))]
        for field in fields(block)
        if getattr(block, field.name) != getattr(other, field.name)
    )


def name_suffix(pipeline: object, usual: object) -> str:
    """Return the end of a module's name: empty for the usual cuts, else a digest of the cuts."""
    if pipeline == usual:
        return ""
    return f"_p{hashlib.sha256(repr(pipeline).encode()).hexdigest()[:6]}"
