"""The cuts that a step can have, and the banks of registers in a mapped netlist that are cuts.

A *cut* is a pipeline register stage: ``PART.FIELD`` of a `dbp.rtl.pipeline.Pipeline`. A *bank* is
the registers of one signal, by the signal's name without the bit.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace

from dbp.datapath.design import Design
from dbp.rtl import Target
from dbp.rtl.blocks.adder_graph import Graph
from dbp.rtl.blocks.hardwired import lane_graph
from dbp.rtl.pipeline import Pipeline

# The names of the registers of each cut, without the name of their block. After mapping a net may
# carry either its name inside the lane or that of the port that it drives; both are listed.
# `_OUTPUT` is no cut: it is always there. Banks that are not listed (histories, valid bits, taps,
# counters) have no logic before them that could be cut.
_OUTPUT = "output"
_TREES = ("adder_levels", "sum_terms")
_LANE = r"(?:lane_\d+\.)?"
_BANKS = {
    "filter": {
        "after_pre_add": _LANE + r"folded_(?:i|q|sum)_\d+",
        "after_multiplier": _LANE + r"real_\w+_\d+",
        "after_product": _LANE + r"product_[iq]_\d+",
        "adder_levels": _LANE + r"sum_[iq]_\d+_\d+",
        _OUTPUT: _LANE + r"(?:out_[iq]|y_[iq]|(?:out_)?clipped)",
    },
    "hardwired": {
        "after_fold": _LANE + r"(?:folded|sample)_[iq]_\d+_after_\d+",
        "sum_terms": _LANE + r"sum_\d+_after_\d+",
        "after_sum": _LANE + r"[iq]_before_saturation",
        _OUTPUT: _LANE + r"(?:out_[iq]|y_[iq]|(?:out_)?clipped)",
    },
    "rotation": {
        "after_fold": r"lane_\d+\.(?:power_\d+|[iq]_beside_fold)",
        "after_power": _LANE
        + r"(?:powers|in_[iq])|power_\d+|[iq]_beside_power_\d+|history_(?:power|[iq])",
        "after_kerr": _LANE + r"(?:kerr_times_power_\d+|[iq]_beside_kerr)",
        "after_phase": _LANE + r"(?:phi(?:_digit_\w+)?|[iq]_beside_phi|phi_clipped_after_phase)",
        "after_versine": _LANE
        + r"(?:versine_digit_\w+|\w+_beside_versine\w*|phi_clipped_after_versine)",
        "after_multiplier": _LANE + r"(?:across_[iq]|along_[iq]|phi_clipped_after_multiplier)",
        "after_product": _LANE + r"(?:turned_[iq]|phi_clipped_after_product)",
        _OUTPUT: _LANE + r"(?:out_[iq]|y_[iq]|(?:phi|out)_clipped(?:_beside_y)?)",
    },
}


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
        """Return the cut that a bank of registers is; empty for none, as histories and counters."""
        part, _, name = bank.partition(".") if "." in bank else ("", "", bank)
        # A port of the step is one of its last block.
        part = part or self.parts[-1]
        part = self.parts[0] if part == "filter" else part
        patterns = _BANKS[part] if part in self.parts else {}
        field = next((f for f, pattern in patterns.items() if re.fullmatch(pattern, name)), "")
        if field == "sum_terms" and self._is_shared(pipeline, name):
            field = "after_fold"
        if field == "adder_levels" and int(name.split("_")[-2]) == self._levels:
            field = "after_sum"
        return f"{part}.{field}" if field else ""

    def late(self, pipeline: Pipeline, bank: str) -> tuple[str, ...]:
        """Return the cuts that would divide the logic before a bank, the best one first.

        The best are trees of adders, the longest logic; then the cut that samples pass first.
        """
        last = self.cut_of(pipeline, bank)
        if not last:
            return ()
        part, _, field = last.partition(".")
        order = [f"{part}.{field.name}" for field in fields(getattr(pipeline, part))]
        end = len(order) if field == _OUTPUT else order.index(last)
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
            return self.rotation and pipeline.rotation.of(self.rotation)
        if part == "hardwired":
            return pipeline.hardwired.after_sum, self._graph(pipeline)
        tree = pipeline.filter.tree_cuts(len(self.filter.half_taps_i))
        return replace(pipeline.filter, adder_levels=1), tree

    def _graph(self, pipeline: Pipeline) -> Graph:
        return lane_graph(self.filter, self.input_bits, pipeline.hardwired)

    def _terms(self, pipeline: Pipeline) -> int:
        return max(len(terms) for terms, _ in self._graph(pipeline).sums)

    @property
    def _levels(self) -> int:
        return (len(self.filter.half_taps_i) - 1).bit_length()

    def _is_shared(self, pipeline: Pipeline, name: str) -> bool:
        """Whether a sum of a hardwired filter lies before the cut at the fold.

        Outputs share such sums; the sums behind the cut are parts of outputs.
        """
        index = int(name.split("_")[-3])
        return self._graph(pipeline).sums[index].stage < pipeline.hardwired.after_fold
