"""Figures as the text of an SVG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The paper, the greys, black and the blue of ``dbp/style.mplstyle`` where the page is dark.
DARK = {
    "#ffffff": "#131416",
    "#1f2328": "#e6edf3",
    "#59636e": "#9aa4af",
    "#d1d9e0": "#343941",
    "#0072b2": "#3d9bdc",
}


def to_svg(figure: Figure) -> str:
    """Return the figure as SVG, the same text for the same figure.

    A page that is dark, or whose reader prefers that, shows it light on dark.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "dbp"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    # Into the definitions that matplotlib begins every figure with.
    return buffer.getvalue().replace("<defs>", f"<defs>\n  {_dark_style()}", 1)


def _dark_style() -> str:
    """Return rules that replace each colour of `DARK`, which matplotlib writes inline."""
    rules = "".join(
        f'[style*="{what}: {light}"]{{{what}:{dark}!important}}'
        for light, dark in DARK.items()
        for what in ("fill", "stroke")
    )
    return f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>"
