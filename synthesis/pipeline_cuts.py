"""The cuts that a step can have, and the banks of registers in a mapped netlist that are cuts.

A *cut* is a pipeline register stage: ``PART.FIELD`` of a `dbp.rtl.pipeline.Pipeline`. A *bank* is
the registers of one signal, by the signal's name without the bit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace

from dbp.datapath.design import Design
from dbp.rtl import Target
from dbp.rtl.blocks import filter as filter_block
from dbp.rtl.blocks import hardwired, rotation
from dbp.rtl.blocks.adder_graph import Graph
from dbp.rtl.blocks.component import OUTPUT
from dbp.rtl.pipeline import Pipeline

# Late logic is cut here first: trees of adders are the longest.
_TREES = ("adder_levels", "sum_terms")


class Cuts:
    """The cuts that the step of a target can have, in the order in which samples pass them."""

    def __init__(self, design: Design, target: Target) -> None:
        step = target.step
        self.filter, self.input_bits = design.filters[step], design.filter_input_bits(step)
        self.rotation = design.rotations[step] if step < len(design.rotations) else None
        first = "hardwired" if target.filters == "hardwired" else "filter"
        self.parts = (first, "rotation") if self.rotation else (first,)

    def names(self, pipeline: Pipeline) -> list[str]:
        """Return the cuts of ``pipeline`` that can be taken out."""
        return [
            f"{part}.{field.name}"
            for part in self.parts
            for field in fields(getattr(pipeline, part))
            if self.coarser(pipeline, f"{part}.{field.name}")
        ]

    def finer(self, pipeline: Pipeline, cut: str) -> Pipeline | None:
        """Return ``pipeline`` with that cut, or more of its kind; None where there can be none."""
        part, _, field = cut.partition(".")
        value = getattr(getattr(pipeline, part), field)
        if isinstance(value, bool):
            return None if value else self._changed(pipeline, cut, True)
        # Half of what there is, not of what would be allowed.
        least, most = (1, self._levels) if part == "filter" else (2, self._terms(pipeline))
        return self._changed(pipeline, cut, max((min(value, most) + 1) // 2, least))

    def coarser(self, pipeline: Pipeline, cut: str) -> Pipeline | None:
        """Return ``pipeline`` without that cut, or with fewer of its kind; None without one."""
        part, _, field = cut.partition(".")
        value = getattr(getattr(pipeline, part), field)
        if isinstance(value, bool):
            return self._changed(pipeline, cut, False) if value else None
        return self._changed(pipeline, cut, 2 * value)

    def cut_of(self, pipeline: Pipeline, bank: str) -> str:
        """Return the cut that a bank of registers is; empty for none, as histories and counters.

        ``PART.output`` is the register that every part has behind its last cut.
        """
        part, _, name = bank.partition(".") if "." in bank else ("", "", bank)
        # A port of the step is one of its last block.
        part = part or self.parts[-1]
        part = self.parts[0] if part == "filter" else part
        registers = self._registers(pipeline, part) if part in self.parts else {}
        field = next((cut for cut, names in registers.items() if re.fullmatch(names, name)), "")
        return f"{part}.{field}" if field else ""

    def _registers(self, pipeline: Pipeline, part: str) -> Mapping[str, str]:
        """Return the names of the registers of each cut of a part, as its block states them."""
        if part == "rotation":
            return rotation.CUT_REGISTERS
        if part == "hardwired":
            return hardwired.cut_registers(self.filter, self.input_bits, pipeline.hardwired)
        return filter_block.cut_registers(self.filter)

    def late(self, pipeline: Pipeline, bank: str) -> tuple[str, ...]:
        """Return the cuts that would divide the logic before a bank, the best one first.

        The best are trees of adders, the longest logic; then the cut that samples pass first.
        """
        last = self.cut_of(pipeline, bank)
        if not last:
            return ()
        part, _, field = last.partition(".")
        order = [f"{part}.{field.name}" for field in fields(getattr(pipeline, part))]
        end = len(order) if field == OUTPUT else order.index(last)
        start = max((k for k in range(end) if self.coarser(pipeline, order[k])), default=0)
        cuts = [cut for cut in order[start : end + 1] if self.finer(pipeline, cut)]
        return tuple(sorted(cuts, key=lambda cut: not cut.endswith(_TREES)))

    def _changed(self, pipeline: Pipeline, cut: str, value: int) -> Pipeline | None:
        """Return ``pipeline`` with another value of a cut; None where the hardware is the same."""
        part, _, field = cut.partition(".")
        other = replace(pipeline, **{part: replace(getattr(pipeline, part), **{field: value})})
        return None if self._hardware(pipeline, part) == self._hardware(other, part) else other

    def _hardware(self, pipeline: Pipeline, part: str) -> object:
        """Return what a pipeline makes of a part: equal for pipelines with the same registers."""
        if part == "rotation":
            return self.rotation and pipeline.rotation.for_rotation(self.rotation)
        if part == "hardwired":
            return pipeline.hardwired.after_sum, self._graph(pipeline)
        tree = pipeline.filter.tree_cuts(len(self.filter.half_taps_i))
        return replace(pipeline.filter, adder_levels=1), tree

    def _graph(self, pipeline: Pipeline) -> Graph:
        return hardwired.lane_graph(self.filter, self.input_bits, pipeline.hardwired)

    def _terms(self, pipeline: Pipeline) -> int:
        return max(len(terms) for terms, _ in self._graph(pipeline).sums)

    @property
    def _levels(self) -> int:
        return (len(self.filter.half_taps_i) - 1).bit_length()
