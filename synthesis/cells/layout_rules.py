"""What layouts say of the wires and the clock tree of a kit, for watts before there is a layout.

``data/layout_rules.csv`` is fitted by ``python -m dbp.synthesis.layout.fit_rules`` to
``dbp/synthesis/layout/layouts.csv``; ``docs/concepts/trust.md`` says how well it holds. The factor
on wires is for watts alone: timing keeps the wire load, since repair makes up for longer wires, and
what is left is `dbp.synthesis.cells.kits.Kit.layout_margin_ns`.
"""

from __future__ import annotations

import csv
import functools
import math
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent / "data" / "layout_rules.csv"


@dataclass(frozen=True)
class LayoutRule:
    """``wire_factor``: capacitance of routed wires over that of the wire load, where toggles count.

    ``tree_fanout``: sinks per clock buffer, the loads that balance a tree counted as sinks;
    ``tree_buffer``: the buffer, None for `dbp.synthesis.timing.clock_tree` to choose.
    ``wires_share``: what part of the watts of gates the wire load takes, the mean over the layouts.
    ``register_w``, ``wire_w``: see `tree_w`.
    """

    wire_factor: float = 1.0
    tree_fanout: float = 16.0
    tree_buffer: str | None = None
    wires_share: float = 0.0
    register_w: float = 0.0
    wire_w: float = 0.0

    @property
    def gates_factor(self) -> float:
        """What the watts of gates with the wire load are multiplied by for the wires of layouts."""
        return 1 + (self.wire_factor - 1) * self.wires_share

    def tree_w(self, registers: float, cell_area_um2: float) -> float:
        """Return about the watts of the estimated tree at 416.7 MHz, without a library."""
        return self.register_w * registers + self.wire_w * math.sqrt(registers * cell_area_um2)


@functools.cache
def _rules() -> dict[str, LayoutRule]:
    rows = csv.DictReader(FILE.read_text(encoding="utf-8").splitlines())
    return {
        row["kit"]: LayoutRule(
            float(row["wire_factor"]),
            float(row["tree_fanout"]),
            row["tree_buffer"] or None,
            *(float(row[name] or 0) for name in ("wires_share", "register_w", "wire_w")),
        )
        for row in rows
    }


def of(kit: str | None) -> LayoutRule:
    """Return the rule of a kit; that of the row "other" where there is none, or no kit is known."""
    rules = _rules()
    return rules.get(kit or "", rules["other"])
