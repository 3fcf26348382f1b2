"""A picture of a layout as SVG: every cell in the colour of its lane, straps of power, ports."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from dbp.errors import InputError
from dbp.synthesis.layout import def_file, lef, owners
from dbp.synthesis.layout.def_file import DefLayout
from dbp.synthesis.layout.lef import Macro
from dbp.synthesis.layout.owners import CLOCK, CONTROL, HISTORY, ROTATION, SHARED, Owner
from dbp.synthesis.netlist import CLOCK as CLOCK_PORT

# Pixels of the drawing's longer side, of its margin, and of the legend beside it.
SIDE, MARGIN, LEGEND, LINE = 560, 12, 250, 22
# The colours of ``dbp/style.mplstyle``; after the last lane's the first again.
LANES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9")
PARTS = {HISTORY: "#59636e", CONTROL: "#aab2bb", SHARED: "#1f2328", CLOCK: "#e3b505"}
# A rotation is its lane's colour with this share of white: paler on a light and on a dark page.
PALE = 0.5
# The style has other colours of these parts for a dark page, on which theirs would sink.
CLASSES = {HISTORY: "history", SHARED: "shared"}
# Above this many cells those of one owner that touch are drawn as one.
SINGLE_CELLS = 30_000
STYLE = """<style>
text{font:13px system-ui,sans-serif;fill:#1f2328} .die{fill:#f3f5f7;stroke:#59636e}
.strap{stroke:#1f2328;stroke-opacity:.22} .port{fill:#59636e} .scale{stroke:#1f2328}
@media (prefers-color-scheme:dark){text{fill:#e6edf3} .die{fill:#20242a;stroke:#9aa4af}
.strap{stroke:#e6edf3} .port{fill:#9aa4af} .scale{stroke:#e6edf3}
.history{fill:#7d8894} .shared{fill:#e6edf3}}
</style>"""


@dataclass(frozen=True)
class Box:
    """A placed cell, in um."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, eq=False)
class Placed:
    """A layout, the cells that its LEF files know, and the name of its DEF file for errors."""

    path: str
    layout: DefLayout
    macros: Mapping[str, Macro]

    @classmethod
    def read(cls, def_path: str | Path, lef_paths: Sequence[str | Path]) -> Placed:
        """Read the files; `InputError` where one cannot be read."""
        return cls(str(def_path), def_file.read(def_path), lef.read(lef_paths))

    def draw(self, module: str, clocks: Collection[str] = (CLOCK_PORT,)) -> str:
        """Return the picture as SVG; ``clocks``: the ports of its clock.

        `InputError` where it is no layout of ``module``, or the files do not fit each other.
        """
        try:
            if self.layout.design != module:
                raise InputError(f"DESIGN {self.layout.design}: must be {module}, as the netlist")
            return draw(self.layout, self.macros, clocks)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None


def draw(
    layout: DefLayout, macros: Mapping[str, Macro], clocks: Collection[str] = (CLOCK_PORT,)
) -> str:
    """Return the picture; `InputError` for a cell of unknown size, or where none is placed."""
    of_cell = owners.of_cells(layout, macros, clocks)
    boxes: dict[Owner, list[Box]] = defaultdict(list)
    for name, component in layout.components.items():
        macro = macros.get(component.cell)
        if macro is None:
            raise InputError(f"component {name}: cell {component.cell}: has no MACRO in the LEF")
        if component.at_um is not None and name in of_cell:
            size = macro.width_um, macro.height_um
            boxes[of_cell[name]].append(
                Box(*component.at_um, *(size[::-1] if component.turned else size))
            )
    if not boxes:
        raise InputError("no component is placed and has a pin: nothing to draw")
    (x0, y0), (x1, y1) = layout.die_um
    if not (x1 > x0 and y1 > y0):
        raise InputError(f"DIEAREA {x1 - x0:g} by {y1 - y0:g} um: must be above 0")
    scale = SIDE / max(x1 - x0, y1 - y0)
    width, height = (x1 - x0) * scale, (y1 - y0) * scale
    legend = _legend(boxes)
    whole = 2 * MARGIN + width + LEGEND, max(2 * MARGIN + height, LINE * (len(legend) + 4))
    merge = sum(map(len, boxes.values())) > SINGLE_CELLS
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole[0]:.0f}" '
            f'height="{whole[1]:.0f}" viewBox="0 0 {whole[0]:.0f} {whole[1]:.0f}">',
            STYLE,
            # DEF counts y upwards, in um; the drawing's numbers are nm.
            f'<g transform="translate({MARGIN} {MARGIN + height:.1f}) '
            f'scale({scale / 1e3:.6g} {-scale / 1e3:.6g}) translate({-_nm(x0)} {-_nm(y0)})">',
            f'<path class="die" stroke-width="{1e3 / scale:.0f}" d="{_path(_die(layout))}"/>',
            *(_cells(owner, boxes[owner], merge) for owner in sorted(boxes)),
            *(
                f'<path class="strap" stroke-width="{_nm(strap.width_um)}" '
                f'd="M{_pair(strap.start_um)}L{_pair(strap.end_um)}"/>'
                for strap in layout.straps
            ),
            f'<path class="port" d="{_path(_ports(layout, 4 / scale))}"/>',
            "</g>",
            *_words(legend, (x1 - x0, y1 - y0), scale),
            "</svg>\n",
        ]
    )


def _nm(um: float) -> int:
    return round(1e3 * um)


def _pair(point: tuple[float, float]) -> str:
    return f"{_nm(point[0])} {_nm(point[1])}"


def _path(boxes: Sequence[Box]) -> str:
    return "".join(
        f"M{_nm(b.x)} {_nm(b.y)}h{_nm(b.width)}v{_nm(b.height)}h{-_nm(b.width)}z" for b in boxes
    )


def _die(layout: DefLayout) -> list[Box]:
    (x0, y0), (x1, y1) = layout.die_um
    return [Box(x0, y0, x1 - x0, y1 - y0)]


def _ports(layout: DefLayout, side_um: float) -> list[Box]:
    half = side_um / 2
    return [Box(x - half, y - half, side_um, side_um) for x, y in layout.ports.values()]


def _cells(owner: Owner, boxes: Sequence[Box], merge: bool) -> str:
    """Draw the cells of one owner as one path, each with a gap around it."""
    shown = _merged(boxes) if merge else boxes
    gaps = [
        Box(b.x + gap, b.y + gap, b.width - 2 * gap, b.height - 2 * gap)
        for b in shown
        for gap in (min(b.width, b.height) / 14,)
    ]
    return f'<path {_fill(owner)} d="{_path(gaps)}"/>'


def _merged(boxes: Sequence[Box]) -> list[Box]:
    """Join the boxes of a row that touch."""
    joined: list[Box] = []
    for box in sorted(boxes, key=lambda b: (b.y, b.height, b.x)):
        last = joined[-1] if joined else None
        if (
            last is not None
            and (last.y, last.height) == (box.y, box.height)
            and math.isclose(last.x + last.width, box.x, abs_tol=1e-6)
        ):
            joined[-1] = Box(last.x, last.y, last.width + box.width, last.height)
        else:
            joined.append(box)
    return joined


def _colour(owner: Owner) -> str:
    """Return the colour of an owner on a light page."""
    if owner.lane is None:
        return PARTS[owner.part]
    colour = LANES[owner.lane % len(LANES)]
    if owner.part != ROTATION:
        return colour
    return "#" + "".join(f"{round(c + PALE * (255 - c)):02x}" for c in bytes.fromhex(colour[1:]))


def _fill(owner: Owner) -> str:
    """Return the attributes that say an owner's colour."""
    kind = f'class="{CLASSES[owner.part]}" ' if owner.part in CLASSES else ""
    return f'{kind}fill="{_colour(owner)}"'


def _legend(boxes: Mapping[Owner, Sequence[Box]]) -> list[tuple[Owner, str]]:
    """Return a line for each colour: what has it, and its share of the area that is drawn."""
    area = {owner: sum(b.width * b.height for b in each) for owner, each in boxes.items()}
    alike: dict[tuple[str, str], list[Owner]] = defaultdict(list)
    for owner in sorted(boxes, key=lambda o: (o.lane is None, o.lane or 0, o.part)):
        part = "" if owner.lane is not None else owner.part
        alike[part, _colour(owner)].append(owner)
    lines = []
    for same in alike.values():
        first = same[0]
        share = 100 * sum(area[owner] for owner in same) / sum(area.values())
        if first.lane is None:
            name = first.part
        elif len(same) == 1:
            name = f"lane {first.lane}, {first.part}"
        else:
            name = f"lanes {first.lane}, {same[1].lane}{', …' * (len(same) > 2)}: {first.part}s"
        lines.append((first, f"{name}  {share:.0f} %" if share >= 1 else f"{name}  < 1 %"))
    return lines


def _words(
    legend: Sequence[tuple[Owner, str]], size_um: tuple[float, float], scale: float
) -> list[str]:
    """Return the legend, the size of the die, and a bar of a round length."""
    x = MARGIN + size_um[0] * scale + 2 * MARGIN
    lines = []
    for k, (owner, words) in enumerate(legend):
        y = MARGIN + LINE * k
        lines += [
            f'<rect {_fill(owner)} x="{x:.0f}" y="{y}" width="14" height="14"/>',
            f'<text x="{x + 22:.0f}" y="{y + 12}">{escape(words)}</text>',
        ]
    y = MARGIN + LINE * len(legend) + LINE
    exponent = math.floor(math.log10(size_um[0] / 3))
    length_um = max(step for step in (1, 2, 5) if step * 10**exponent <= size_um[0] / 3)
    length_um *= 10**exponent
    return [
        *lines,
        f'<text x="{x:.0f}" y="{y}">{size_um[0]:.4g} µm by {size_um[1]:.4g} µm</text>',
        f'<path class="scale" stroke-width="2" d="M{x:.1f} {y + 14}h{length_um * scale:.1f}"/>',
        f'<text x="{x:.0f}" y="{y + 32}">{length_um:g} µm</text>',
    ]
