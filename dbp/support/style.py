"""How our figures look: the colours, sizes and lines of ``dbp/style.mplstyle``, for all of them.

Users have the same by ``matplotlib.pyplot.style.use("dbp.style")``. Nothing here touches pyplot.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import matplotlib
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

P = ParamSpec("P")
R = TypeVar("R")

_FILE = Path(__file__).parents[1] / "style.mplstyle"
_STYLE = matplotlib.rc_params_from_file(_FILE, use_default_template=False)

# The last colour is of what is drawn only to compare with.
*COLORS, REFERENCE_COLOR = _STYLE["axes.prop_cycle"].by_key()["color"]
INK, MUTED, GRID = _STYLE["text.color"], _STYLE["axes.edgecolor"], _STYLE["grid.color"]
# The numbers of markers and colours have no common divisor: 66 designs look different.
MARKERS = "os^Dv<>pP*Xhd8H"


def color(number: int) -> str:
    """Return the colour of the design of that number, after the last the first again."""
    return COLORS[number % len(COLORS)]


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Wrap a function that draws so that what it creates has our style; settings stay as they are.

    Axes that a caller hands in keep their own fonts.
    """

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn


@styled
def new_axes(width_in: float, height_in: float) -> Axes:
    """Return the axes of a new figure of that size in inches, which is ``ax.figure``."""
    return Figure(figsize=(width_in, height_in), layout="constrained").subplots()


def grid(ax: Axes) -> None:
    """Draw the grid, also into axes of another style; thinner at minor ticks of logarithms."""
    ax.set_axisbelow(True)
    ax.grid(True, color=GRID, linewidth=_STYLE["grid.linewidth"])
    for axis in (ax.xaxis, ax.yaxis):
        if axis.get_scale() == "log":
            axis.grid(True, which="minor", color=GRID, linewidth=_STYLE["grid.linewidth"] / 2)
