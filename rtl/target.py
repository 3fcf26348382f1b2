"""The target of an emission: which hardware is wanted of a design."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from dbp.datapath.design import Design
from dbp.datapath.limits import MAX_LANES
from dbp.errors import InputError
from dbp.rtl.pipeline import Pipeline

FilterKind = Literal["reconfigurable", "hardwired"]
Top = Literal["chain", "step", "filter"]

FILTER_KINDS: tuple[FilterKind, ...] = get_args(FilterKind)
TOPS: tuple[Top, ...] = get_args(Top)


@dataclass(frozen=True)
class Target:
    """The hardware wanted of a design.

    ``lanes``: samples per clock. ``filters``: ``reconfigurable``, with taps in registers, or
    ``hardwired``, with taps in the logic. ``top``: the whole ``chain``; one ``step``, a filter and
    (except for the last one) its rotation; or the ``filter`` of a step alone. ``step``: the number
    of that step; a chain has all of them.
    """

    lanes: int
    filters: FilterKind = "reconfigurable"
    pipeline: Pipeline = field(default_factory=Pipeline)
    top: Top = "chain"
    step: int = 0

    def check(self, design: Design) -> None:
        """Raise `InputError` where ``design`` cannot be emitted so."""
        if type(self.lanes) is not int or not 1 <= self.lanes <= MAX_LANES:
            raise InputError(f"lanes = {self.lanes!r}: must be an integer in 1..{MAX_LANES}")
        if self.filters not in FILTER_KINDS:
            raise InputError(f"filters = {self.filters!r}: must be {' or '.join(FILTER_KINDS)}")
        if self.top not in TOPS:
            raise InputError(f"top = {self.top!r}: must be one of {', '.join(TOPS)}")
        last = len(design.filters) - 1
        if type(self.step) is not int or not 0 <= self.step <= last:
            raise InputError(f"step = {self.step!r}: must be an integer in 0..{last}")
