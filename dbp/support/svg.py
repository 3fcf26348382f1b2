"""Figures as the text of an SVG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def to_svg(figure: Figure) -> str:
    """Return the figure as SVG, the same text for the same figure."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "dbp"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
