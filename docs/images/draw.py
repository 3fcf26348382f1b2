# ruff: noqa: RUF001 (minus and times are meant: people read these texts)
"""Drawings of the receiver and of the sources: ``python docs/images/draw.py`` writes the SVGs here.

They are narrow enough to be read on a telephone, follow the reader's light or dark page, use the
fonts that the reader's machine has, and state the formats of a shipped design and the packages of
`tests/architecture/test_ladder.py`, read from there.
"""

from __future__ import annotations

import ast
import html
import itertools
import math
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbp import Design

HERE = Path(__file__).parent
DESIGN = "learned-c6-s9"
LADDER = HERE.parents[1] / "tests" / "architecture" / "test_ladder.py"
WIDTH = 520

Ladder = dict[str, tuple[str, ...]]

COLORS = {
    # name: on a light page, on a dark one
    "paper": ("#ffffff", "#131416"),
    "ink": ("#1f2328", "#e6edf3"),
    "muted": ("#59636e", "#9aa4af"),
    "plain": ("#f3f5f7", "#20242a"),
    "filter": ("#e3eff8", "#0f2f47"),
    "filter-line": ("#0072b2", "#3d9bdc"),
    "rotation": ("#fbe9dd", "#4a2408"),
    "rotation-line": ("#d55e00", "#e8792b"),
    "register": ("#dff3ec", "#0c3a2d"),
    "register-line": ("#009e73", "#1fbd8f"),
}
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
FONT_SIZE = 15


def style() -> str:
    """Return the style sheet of a drawing."""
    light, dark = (
        "".join(f"--{name}:{pair[page]};" for name, pair in COLORS.items()) for page in (0, 1)
    )
    fills = "".join(
        f".{kind}{{fill:var(--{kind});stroke:var(--{kind}-line)}}"
        for kind in ("filter", "rotation", "register")
    )
    return (
        f"svg{{{light}font:{FONT_SIZE}px {FONT}}}"
        f"@media (prefers-color-scheme: dark){{svg{{{dark}}}}}"
        ".paper{fill:var(--paper)}text{fill:var(--ink)}.small{font-size:13px;fill:var(--muted)}"
        ".bold{font-weight:600}rect,path{stroke-width:1.5}"
        f".plain{{fill:var(--plain);stroke:var(--muted)}}{fills}"
        ".wire{fill:none;stroke:var(--muted)}.bar{stroke:var(--ink);stroke-width:3}"
        ".dashed{stroke-dasharray:4 3}.head{fill:var(--muted)}"
    )


@dataclass
class Box:
    """A rectangle with lines of text in its middle; the first line is bold."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def centre(self) -> float:
        return self.y + self.height / 2


@dataclass
class Drawing:
    """An SVG of `WIDTH`, element by element."""

    title: str
    description: str
    height: float
    elements: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, text: str, anchor: str = "middle", kind: str = "") -> None:
        """Write a line of text with its middle at the height ``y``."""
        of_kind = f' class="{kind}"' if kind else ""
        self.elements.append(
            f'<text x="{x:g}" y="{y + 5:g}" text-anchor="{anchor}"{of_kind}>'
            f"{html.escape(text, quote=False)}</text>"
        )

    def box(self, x: float, y: float, width: float, height: float, kind: str, *lines: str) -> Box:
        """Draw a box; its first line is bold, the others are small."""
        self.elements.append(
            f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
            'rx="5"/>'
        )
        first = y + height / 2 - 9 * (len(lines) - 1)
        for k, line in enumerate(lines):
            self.text(x + width / 2, first + 18 * k, line, kind="small" if k else "bold")
        return Box(x, y, width, height)

    def wire(self, *corners: tuple[float, float], head: bool = True, kind: str = "") -> None:
        """Draw a wire through these corners, with the head of an arrow at its end."""
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in corners)
        end = ' marker-end="url(#head)"' if head else ""
        self.elements.append(f'<path class="{f"wire {kind}".strip()}" d="{path}"{end}/>')

    def bar(self, x: float, y: float, length: float = 18) -> None:
        """Draw a register across a wire that goes down."""
        self.elements.append(f'<path class="bar" d="M{x - length / 2:g} {y:g}h{length:g}"/>')

    def svg(self) -> str:
        """Return the text of the file."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height:g}" '
            f'width="{WIDTH}" height="{self.height:g}" role="img" aria-labelledby="title desc">'
        )
        marker = (
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" '
            'markerHeight="6" orient="auto"><path class="head" d="M0 0L8 4L0 8z"/></marker></defs>'
        )
        parts = [
            head,
            f'<title id="title">{html.escape(self.title)}</title>',
            f'<desc id="desc">{html.escape(self.description)}</desc>',
            f"<style>{style()}</style>",
            marker,
            f'<rect class="paper" width="{WIDTH}" height="{self.height:g}"/>',
            *self.elements,
            "</svg>",
        ]
        return "\n".join(parts) + "\n"


def chain(design: Design) -> Drawing:
    """Return the whole receiver: filters and rotations in turn."""
    last = len(design.rotations)
    drawing = Drawing(
        "The datapath of the whole receiver",
        f"A converter, then {last} steps of a dispersion filter and a nonlinear phase rotation, "
        f"then one filter more; {last + 1} filters and {last} rotations. Decisions follow in "
        "floating point.",
        528,
    )
    left, right, size = 92, 306, 168

    def row(y: float, number: int) -> tuple[Box, Box]:
        drawing.text(82, y + 27, f"step {number}", "end", "small")
        one = drawing.box(
            left, y, size, 54, "filter", f"CD filter {number}", "complex FIR, symmetric"
        )
        two = drawing.box(right, y, size, 54, "rotation", f"rotation {number}", "x · exp(jK|x|²)")
        drawing.wire((one.right, one.centre), (two.x, two.centre))
        return one, two

    def turn(source: Box, target: Box, kind: str = "") -> None:
        """Go from the right end of a row to the left end of the next."""
        between = (source.bottom + target.y) / 2
        corners = (source.middle, source.bottom), (source.middle, between)
        drawing.wire(*corners, (target.middle, between), (target.middle, target.y), kind=kind)

    bits = f"{design.signal_bits} bits I, {design.signal_bits} bits Q"
    adc = drawing.box(left, 36, size, 54, "plain", "gain, converter", bits)
    drawing.wire((adc.middle, 8), (adc.middle, adc.y))
    drawing.text(adc.middle + 14, 18, "received waveform, 2 samples a symbol", "start", "small")
    first = row(118, 0)
    drawing.wire((adc.middle, adc.bottom), (adc.middle, first[0].y))
    second = row(200, 1)
    turn(first[1], second[0])
    late = row(318, last - 1)
    turn(second[1], late[0], "dashed")
    drawing.text(283, 271, f"… {last - 3} steps more …", kind="small")
    y = 400
    drawing.text(82, y + 27, f"step {last}", "end", "small")
    end = drawing.box(left, y, size, 54, "filter", f"CD filter {last}", "the last, alone")
    turn(late[1], end)
    after = drawing.box(right, y, size, 54, "plain", "matched filter,", "decision: floating point")
    drawing.wire((end.right, end.centre), (after.x, after.centre))
    drawing.text(
        283,
        484,
        f"{last + 1} filters, {last} rotations: integers from converter to decision,",
        kind="small",
    )
    drawing.text(283, 503, "one span of fibre undone by each step", kind="small")
    return drawing


def step(design: Design) -> Drawing:
    """Return one step in detail, with the widths of a design's middle step."""
    k = len(design.rotations) // 2
    filter_, rotation = design.filters[k], design.rotations[k]
    s, c, taps = design.filter_input_bits(k), filter_.coefficient_bits, filter_.taps
    b, a, p = rotation.branch_bits, rotation.phase_bits, rotation.phase_fraction_bits
    sum_bits = s + c + 1 + math.ceil(math.log2(taps))
    product = filter_.output_bits + max(a, p + 1) + 1
    half = (taps + 1) // 2
    drawing = Drawing(
        "One step of the receiver, with the width of every wire",
        f"A sample of {s} bits passes a history of {taps - 1} samples, is folded, multiplied by "
        f"{half} complex taps of {c} bits, summed in {sum_bits} bits and requantised to "
        f"{filter_.output_bits}. A branch of {b} bits squares it, subtracts the offset and "
        f"multiplies by K; the phase of {a} bits rotates the sample, which leaves with "
        f"{rotation.output_bits} bits.",
        770,
    )
    return _step(drawing, design, k, half, sum_bits, product)


def _step(
    drawing: Drawing, design: Design, k: int, half: int, sum_bits: int, product: int
) -> Drawing:
    filter_, rotation = design.filters[k], design.rotations[k]
    s, o, c = design.filter_input_bits(k), filter_.output_bits, filter_.coefficient_bits
    b, a, p = rotation.branch_bits, rotation.phase_bits, rotation.phase_fraction_bits

    def down(
        x: float, y: float, to: float, bits: str, register: bool = False, right: bool = True
    ) -> None:
        drawing.wire((x, y), (x, to))
        if register:
            drawing.bar(x, y + 7)
        drawing.text(
            x + (14 if right else -14), (y + to) / 2, bits, "start" if right else "end", "small"
        )

    x, wide = 140, 236
    left = x - wide / 2
    down(x, 8, 36, f"x[n]: s = {s} bits, I and Q alike")
    history = drawing.box(left, 36, wide, 44, "filter", f"history: {filter_.taps - 1} samples")
    down(x, history.bottom, 112, f"T = {filter_.taps} samples")
    fold = drawing.box(left, 112, wide, 50, "filter", "fold", "x[n−k] + x[n−T+1+k]")
    down(x, fold.bottom, 196, f"{half} sums, s + 1 = {s + 1}", True)
    multiply = drawing.box(left, 196, wide, 50, "filter", "× h[k]", f"{half} complex products")
    down(x, multiply.bottom, 276, "", True)
    tree = drawing.box(left, 276, wide, 44, "filter", "adder tree, exact")
    down(x, tree.bottom, 354, f"s + c + 1 + ⌈log₂ T⌉ = {sum_bits}")
    one = drawing.box(
        left,
        354,
        wide,
        50,
        "filter",
        f"requantise: >> {filter_.shift}",
        "round to nearest, then saturate",
    )
    down(x, one.bottom, 484, f"s = {o}", True, right=False)
    wait = drawing.box(left + 20, 484, wide - 40, 44, "rotation", "wait for φ")
    down(x, wait.bottom, 628, "", False)
    rotate = drawing.box(left, 628, wide, 44, "rotation", "(2ᵖ + jφ) · x")
    down(x, rotate.bottom, 706, f"s + max(a, p + 1) + 1 = {product}")

    branch, narrow = 404, 204
    edge = branch - narrow / 2
    cut = drawing.box(edge, 414, narrow, 44, "rotation", f"cut to b = {b} bits")
    drawing.wire((x, cut.centre), (edge, cut.centre))
    down(branch, cut.bottom, 484, f"b = {b}")
    power = drawing.box(edge, 484, narrow, 44, "rotation", f"|x|² − {rotation.power_offset}")
    down(branch, power.bottom, 558, f"2b = {2 * b}", True)
    kerr = drawing.box(
        edge, 558, narrow, 56, "rotation", "× K", f"requantise: >> {rotation.phase_shift}"
    )
    drawing.wire((branch, kerr.bottom), (branch, rotate.centre), (rotate.right, rotate.centre))
    drawing.bar(branch, kerr.bottom + 7)
    drawing.text(branch + 14, 646, f"φ: a = {a}", "start", "small")

    registers = drawing.box(
        edge,
        178,
        narrow,
        80,
        "register",
        "registers",
        f"{half} taps, c = {c} bits, I, Q",
        f"K, {rotation.kerr_bits} bits; writable",
    )
    drawing.wire((edge, 218), (multiply.right, 218))
    drawing.wire(
        (registers.right - 14, registers.bottom),
        (registers.right - 14, 400),
        (registers.right + 8, 400),
        (registers.right + 8, kerr.centre),
        (kerr.right, kerr.centre),
    )
    two = drawing.box(
        left,
        706,
        wide,
        50,
        "rotation",
        f"requantise: >> p = {p}",
        f"y[n]: {rotation.output_bits} bits",
    )
    drawing.bar(two.middle, two.bottom + 7)
    drawing.text(edge, 722, "a thick bar is a register", "start", "small")
    drawing.text(edge, 742, f"widths: {design.name}", "start", "small")
    return drawing


def lanes(design: Design) -> Drawing:
    """Return a step with its parallel lanes, its registers and the commit that travels along."""
    drawing = Drawing(
        "A step in hardware: parallel lanes, registers and commit",
        "A word of P samples enters each clock. A history gives each lane its samples; P equal "
        "lanes filter, P equal lanes rotate, and a word leaves. Taps and K lie in two sets of "
        "registers: one is written while the other is used, and a commit that travels with the "
        "words swaps them in all lanes at once.",
        470,
    )
    drawing.text(75, 22, "word of P samples", kind="small")
    drawing.text(75, 40, "every clock", kind="small")
    drawing.text(445, 22, "word of P samples,", kind="small")
    drawing.text(445, 40, "to the next step", kind="small")
    first = drawing.box(
        20, 60, 82, 190, "filter", "history", f"T − 1 = {design.filters[1].taps - 1}", "samples"
    )
    second = drawing.box(254, 60, 82, 190, "rotation", "|x|²", "of each", "sample")
    for k, name in enumerate(("lane 0", "lane 1", "⋮", "lane P − 1")):
        y = 60 + 50 * k
        if name == "⋮":
            drawing.text(178, y + 20, name)
            drawing.text(412, y + 20, name)
            continue
        for x, kind, source in ((130, "filter", first), (364, "rotation", second)):
            lane = drawing.box(x, y, 96, 40, kind, name)
            drawing.wire((source.right, lane.centre), (x, lane.centre))
            if kind == "filter":
                drawing.wire((lane.right, lane.centre), (second.x, lane.centre))
            else:
                drawing.wire((lane.right, lane.centre), (500, lane.centre))
    drawing.wire((4, 155), (20, 155))
    return _registers(drawing)


def _registers(drawing: Drawing) -> Drawing:
    used = drawing.box(130, 296, 330, 40, "register", "taps and K in use")
    drawing.wire((178, used.y), (178, 250))
    drawing.wire((412, used.y), (412, 250))
    drawing.text(188, 274, "taps, to all lanes", "start", "small")
    drawing.text(402, 274, "K, to all lanes", "end", "small")
    written = drawing.box(130, 384, 330, 40, "register", "taps and K written")
    drawing.wire((295, written.y), (295, used.bottom))
    drawing.text(305, 360, "commit: all at once", "start", "small")
    drawing.text(20, 360, "in_commit,", "start", "small")
    drawing.text(20, 378, "beside a word", "start", "small")
    drawing.wire((108, 360), (288, 360), kind="dashed")
    drawing.text(20, 404, "cfg_write", "start", "small")
    drawing.wire((90, 404), (130, 404))
    drawing.text(295, 448, "one register a clock, while words go on", kind="small")
    return drawing


# What each package is for, in the words of a newcomer.
PURPOSES = {
    "errors": "what went wrong, in one line",
    "support": "files, processes, figures",
    "records": "what a run leaves behind",
    "config": "keys, units, limits, presets",
    "datapath": "fixed point, design, golden model",
    "link": "transmitter and fibre",
    "learning": "filters by gradient",
    "waveforms": "recordings of others",
    "evaluation": "BER with intervals",
    "exploration": "BER against pJ/bit",
    "runs": "folders of designs",
    "comparison": "ours beside the paper's",
    "report": "figures and pages",
    "rtl": "Amaranth to Verilog",
    "sim": "cocotb against golden",
    "synthesis": "watts",
    "api": "what import dbp offers",
    "cli": "the command dbp",
}


def ladder_table() -> dict[str, Any]:
    """Return the constants at the head of the file with the ladder, above its first function."""
    body = ast.parse(LADDER.read_text(encoding="utf-8")).body
    head = itertools.takewhile(lambda node: not isinstance(node, ast.FunctionDef), body)
    constants: dict[str, Any] = {"__file__": str(LADDER)}
    exec(compile(ast.Module(list(head), []), str(LADDER), "exec"), constants)
    return constants


def parts(ladder: Ladder) -> dict[str, list[str]]:
    """Return the parts of each package that have a row of their own, from the ground up."""
    found: dict[str, list[str]] = {row: [] for row in ladder if "." not in row}
    for row in ladder:
        package, *part = row.split(".")
        # A part of a part is none, and of the datapath only the limits stand alone.
        if len(part) == 1 and package != "datapath":
            found[package] += part
    return found


def towers(ladder: Ladder, ground: set[str], roof: set[str]) -> list[list[str]]:
    """Return the packages between ground and roof in groups that import nothing of each other."""
    groups: list[list[str]] = []
    for row, allowed in ladder.items():
        name, *others = (other.partition(".")[0] for other in (row, *allowed))
        if name in ground | roof:
            continue
        joined = [group for group in groups if {name, *others} & set(group)]
        together = [member for group in joined for member in group]
        groups = [group for group in groups if group not in joined]
        groups.append(together if name in together else [*together, name])
    return groups


def house(ladder: Ladder, ground_rows: tuple[str, ...], roof: set[str]) -> Drawing:
    """Return the packages as a house: light and silicon on one ground floor, under one roof."""
    of_package = parts(ladder)
    ground = {row.partition(".")[0] for row in ground_rows}
    light, silicon = towers(ladder, ground, roof)
    drawing = Drawing(
        "The packages of dbp as a house with two towers",
        f"On the ground floor: {', '.join(n for n in of_package if n in ground)}. On it two towers "
        f"that import nothing of each other: light, with {', '.join(light)}, and silicon, with "
        f"{', '.join(silicon)}. The roof, {' and '.join(sorted(roof))}, sees both.",
        660,
    )
    drawing.elements.append('<path class="plain" d="M8 74L260 8L512 74z"/>')
    drawing.text(260, 38, " · ".join(sorted(roof)), kind="bold")
    drawing.text(260, 58, "the command line, and what import dbp offers", kind="small")
    drawing.text(132, 94, "light", kind="small")
    drawing.text(388, 94, "silicon: never loads torch", kind="small")
    _tower(drawing, 10, 110, 370, light, of_package, "filter")
    _tower(drawing, 268, 110, 370, silicon, of_package, "rotation")
    contract, *others = [name for name in reversed(of_package) if name in ground]
    drawing.box(10, 492, 500, 50, "register", contract, PURPOSES[contract])
    for k, name in enumerate(others):
        drawing.box(
            10 + 254 * (k % 2), 550 + 52 * (k // 2), 246, 46, "register", name, PURPOSES[name]
        )
    return drawing


def _tower(
    drawing: Drawing,
    x: float,
    y: float,
    height: float,
    rooms: list[str],
    of_package: dict[str, list[str]],
    kind: str,
) -> None:
    """Draw the rooms of a tower, the first at the bottom, each as high as its lines."""
    gap = 6
    lines = {name: [name, PURPOSES[name], *_in_lines(of_package[name])] for name in rooms}
    line = (height - gap * (len(rooms) - 1)) / sum(map(len, lines.values()))
    for name in reversed(rooms):
        box = drawing.box(x, y, 242, line * len(lines[name]), kind, *lines[name])
        y = box.bottom + gap


def _in_lines(names: list[str], longest: int = 34) -> list[str]:
    return textwrap.wrap(", ".join(names), longest)


def main(write: Callable[[str, str], Any]) -> None:
    """Hand the name and the text of each drawing to ``write``."""
    design = Design.load(DESIGN)
    for draw in (chain, step, lanes):
        write(f"{draw.__name__}.svg", draw(design).svg())
    table = ladder_table()
    write("house.svg", house(table["LADDER"], table["GROUND"], table["ROOF"]).svg())


if __name__ == "__main__":
    main(lambda name, text: (HERE / name).write_text(text, encoding="utf-8"))
