"""Where the datapath is cut by registers: the one place to change for another clock or node."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FilterPipeline:
    """Cuts of a filter, in the order in which samples pass them; its output is always a register.

    ``adder_levels`` levels of two-input adders of the tree lie between two registers.
    """

    after_pre_add: bool = True
    after_product: bool = True
    adder_levels: int = 2
    after_sum: bool = True

    def tree_cuts(self, terms: int) -> tuple[bool, ...]:
        """For each level of an adder tree over ``terms`` terms: is there a register after it?"""
        levels = (terms - 1).bit_length()
        inner = [level % self.adder_levels == 0 for level in range(1, levels)]
        return (*inner, self.after_sum) if levels else ()

    def latency(self, terms: int) -> int:
        """Clock cycles from the input to the output register."""
        return self.after_pre_add + self.after_product + sum(self.tree_cuts(terms)) + 1


@dataclass(frozen=True)
class RotationPipeline:
    """Cuts of a rotation, in order; its output is always a register."""

    after_power: bool = True
    after_kerr: bool = True
    after_phase: bool = True
    after_product: bool = True

    @property
    def latency(self) -> int:
        """Clock cycles from the input to the output register."""
        return self.after_power + self.after_kerr + self.after_phase + self.after_product + 1


@dataclass(frozen=True)
class Pipeline:
    """The cuts of every step of a design."""

    filter: FilterPipeline = FilterPipeline()
    rotation: RotationPipeline = RotationPipeline()
