"""Tables of text, for a terminal and for a notebook; the nearest of several names."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return the end of a message that refuses ``name``: a hint at the nearest name, or nothing."""
    import difflib  # slow to load, and seldom needed

    spelt = {other.lower(): other for other in names}
    nearest = difflib.get_close_matches(name[:100].lower(), spelt, n=1)
    return f"; did you mean {spelt[nearest[0]]!r}?" if nearest else ""


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as a table whose columns are as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def html_table(rows: Sequence[Sequence[str]], *, header_row: bool = False) -> str:
    """Return rows of cells as an HTML table, with headers in the first column or first row."""
    lines = []
    for number, row in enumerate(rows):
        places = [number if header_row else place for place in range(len(row))]
        cells = ((cell, "td" if place else "th") for cell, place in zip(row, places, strict=True))
        lines.append("".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell, tag in cells))
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
