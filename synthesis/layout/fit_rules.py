"""``python -m dbp.synthesis.layout.fit_rules``: the rules of `layout_rules`, from layouts.

``layouts.csv`` holds what each layout took before and after. From it come, for each kit,

- the factor on the capacitance of wires that makes the watts before layout, without a clock tree,
  those after: ``before (1 + (factor - 1) wires_share) = after``, the mean over the layouts;
- the sinks of a clock buffer that make the estimated tree take what the built ones took: least
  squares of the relative errors. The buffer is the one of four times the smallest drive
  (``BUF_X4`` in nangate45, the one that OpenROAD took there).

"After" is with routed wires. A layout with global routes alone counts with its figures times those
of detailed over global routes in the layouts that have both. At 130 nm the wires are not fitted:
these steps miss their clock, and repair has enlarged their cells.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dbp.support.files import write_csv
from dbp.synthesis.cells import kits, layout_rules, liberty_reader
from dbp.synthesis.cells.layout_rules import LayoutRule
from dbp.synthesis.cells.library import Library
from dbp.synthesis.timing import clock_tree

FILE = Path(__file__).parent / "layouts.csv"
BUFFERS = {
    "nangate45": "BUF_X4",
    "asap7": "BUFx8_ASAP7_75t_R",
    "sky130hd": "sky130_fd_sc_hd__clkbuf_4",
    "ihp-sg13g2": "sg13g2_buf_4",
}
# The kits whose layouts say what wires take; what they agree on is the rule of other libraries.
FITTED = ("nangate45", "asap7")
SINKS = (3.0, 40.0)


@dataclass(frozen=True)
class Row:
    """A layout: watts before and after, in mW, without the clock tree, and of the tree.

    ``wires_share``: the part of ``before_mw`` that the wire load takes.
    """

    design: str
    filters: str
    kit: str
    clock_mhz: float
    before_mw: float
    global_mw: float
    global_tree_mw: float
    routed_mw: float | None
    routed_tree_mw: float | None
    wires_share: float
    sinks: clock_tree.Sinks


@dataclass(frozen=True)
class After:
    """What a step takes after layout, in mW."""

    cells_mw: float
    tree_mw: float

    @property
    def total_mw(self) -> float:
        return self.cells_mw + self.tree_mw


def rows() -> list[Row]:
    """Return the layouts."""
    return [_row(row) for row in csv.DictReader(FILE.read_text(encoding="utf-8").splitlines())]


def _row(row: Mapping[str, str]) -> Row:
    def number(name: str) -> float | None:
        return float(row[name]) if row[name] else None

    return Row(
        row["design"],
        row["filters"],
        row["kit"],
        float(row["clock_mhz"]),
        float(row["before_mw"]),
        float(row["global_mw"]),
        float(row["global_tree_mw"]),
        number("routed_mw"),
        number("routed_tree_mw"),
        float(row["wires_share"]),
        clock_tree.Sinks(
            int(row["registers"]),
            1e-15 * int(row["registers"]) * float(row["clock_pin_ff"]),
            float(row["cell_um2"]),
        ),
    )


def after(row: Row, among: Sequence[Row]) -> After:
    """Return what a layout takes with routed wires; ``among``: layouts that say what these save."""
    if row.routed_mw is not None and row.routed_tree_mw is not None:
        return After(row.routed_mw, row.routed_tree_mw)
    both = [r for r in among if r.routed_mw and r.routed_tree_mw]
    cells = statistics.mean((r.routed_mw or 0) / r.global_mw for r in both)
    tree = statistics.mean((r.routed_tree_mw or 0) / r.global_tree_mw for r in both)
    return After(row.global_mw * cells, row.global_tree_mw * tree)


def predicted(row: Row, rule: LayoutRule, library: Library) -> After:
    """Return what is said of a layout before it exists."""
    return After(
        row.before_mw * (1 + (rule.wire_factor - 1) * row.wires_share),
        _tree_mw(row, library, rule.tree_fanout),
    )


def _tree_mw(row: Row, library: Library, fanout: float) -> float:
    tree = clock_tree.of_sinks(
        library.cells[BUFFERS[row.kit]],
        row.sinks,
        fanout,
        clock_tree.WIRE_F_PER_UM[row.kit],
        library.voltage_v,
        1e-6 / row.clock_mhz,
    )
    return 1e3 * tree.power_w.total


def fitted(
    seen: Sequence[Row], among: Sequence[Row], library_of: Callable[[str], Library]
) -> LayoutRule:
    """Fit a rule to layouts; ``among``: see `after`."""
    factors = [
        1 + (after(row, among).cells_mw / row.before_mw - 1) / row.wires_share for row in seen
    ]

    def error(fanout: float) -> float:
        return sum(
            (_tree_mw(row, library_of(row.kit), fanout) / after(row, among).tree_mw - 1) ** 2
            for row in seen
        )

    # A count of buffers jumps: the least of a coarse grid, then of a fine one around it.
    low, high = SINKS
    _, near = min((error(float(x)), float(x)) for x in np.arange(low, high, 0.5))
    fine = (max(near + 0.1 * k, low) for k in range(-5, 6))
    _, best = min((error(fanout), fanout) for fanout in fine)
    return LayoutRule(statistics.mean(factors), round(best, 1))


def left_out(library_of: Callable[[str], Library]) -> list[tuple[Row, After, After]]:
    """Return each layout of `FITTED` kits, what it takes, and what the others say of it.

    The others are those of its kit, or, where it has none, those of the other kit. What detailed
    routes save is known from both routed layouts.
    """
    known = [row for row in rows() if row.kit in FITTED]
    found = []
    for row in known:
        others = [other for other in known if other is not row]
        rule = fitted(
            [other for other in others if other.kit == row.kit] or others, known, library_of
        )
        found.append((row, after(row, known), predicted(row, rule, library_of(row.kit))))
    return found


def rules(library_of: Callable[[str], Library]) -> dict[str, tuple[LayoutRule, int]]:
    """Return the rule of each kit, and to how many layouts it was fitted."""
    known = rows()
    found = {}
    for kit in BUFFERS:
        seen = [row for row in known if row.kit == kit]
        rule = replace(fitted(seen, known, library_of), tree_buffer=BUFFERS[kit])
        if kit in FITTED:
            share = statistics.mean(row.wires_share for row in seen)
            register_w, wire_w = _prices(seen[0], rule, library_of(kit))
            rule = replace(rule, wires_share=share, register_w=register_w, wire_w=wire_w)
        else:
            rule = replace(rule, wire_factor=1.0)
        found[kit] = rule, len(seen)
    both = [found[kit][0] for kit in FITTED]
    fanout = math.sqrt(math.prod(rule.tree_fanout for rule in both))
    # Their wires are not known: watts of other libraries take the wire load as it is.
    found["other"] = LayoutRule(1.0, round(fanout, 1)), 0
    return found


def _prices(row: Row, rule: LayoutRule, library: Library) -> tuple[float, float]:
    """Fit `LayoutRule.tree_w` to estimated trees of many sizes: least squares, relative errors."""
    farads = row.sinks.pins_f / row.sinks.registers
    per_register_um2 = row.sinks.cell_area_um2 / row.sinks.registers
    lines = []
    for registers in (500, 1000, 2000, 5000, 10_000, 20_000):
        for share in (0.7, 1.0, 1.5, 2.0):
            area_um2 = share * per_register_um2 * registers
            sinks = clock_tree.Sinks(registers, farads * registers, area_um2)
            watts = 1e-3 * _tree_mw(replace(row, sinks=sinks), library, rule.tree_fanout)
            lines.append((registers / watts, math.sqrt(registers * area_um2) / watts))
    (register_w, wire_w), *_ = np.linalg.lstsq(np.array(lines), np.ones(len(lines)), rcond=None)
    return float(register_w), float(wire_w)


def _library(kit: str, known: dict[str, Library]) -> Library:
    if kit not in known:
        known[kit] = liberty_reader.read(*kits.find(kit)[1])
    return known[kit]


def main() -> None:
    """Write the rules, and print what each layout takes beside what the others say of it."""
    known: dict[str, Library] = {}

    def library_of(kit: str) -> Library:
        return _library(kit, known)

    write_csv(
        layout_rules.FILE,
        [
            {
                "kit": kit,
                "wire_factor": f"{rule.wire_factor:.3f}",
                "tree_fanout": f"{rule.tree_fanout:g}",
                "tree_buffer": rule.tree_buffer or "",
                "wires_share": f"{rule.wires_share:.4f}" if rule.wires_share else "",
                "register_w": f"{rule.register_w:.5g}" if rule.register_w else "",
                "wire_w": f"{rule.wire_w:.5g}" if rule.wire_w else "",
                "layouts": count,
            }
            for kit, (rule, count) in rules(library_of).items()
        ],
    )
    print(layout_rules.FILE.read_text(encoding="utf-8"))
    for row, real, said in left_out(library_of):
        print(
            f"{row.design} {row.filters} {row.kit}: {real.cells_mw:.2f} + {real.tree_mw:.2f} mW, "
            f"left out {said.cells_mw:.2f} + {said.tree_mw:.2f}: "
            f"{100 * (said.total_mw / real.total_mw - 1):+.1f} %"
        )


if __name__ == "__main__":
    main()
