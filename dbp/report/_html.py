"""Pieces of the report's page: its style, and functions that return HTML."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dbp.support.svg import to_svg

# The colours are those of ``dbp/style.mplstyle`` and, on a dark page, of `dbp.support.svg`.
STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1f2328;--muted:#59636e;--line:#d1d9e0;
--soft:#f3f5f7;--blue:#0072b2;--warn:#a33c00}
@media (prefers-color-scheme:dark){:root{--paper:#131416;--ink:#e6edf3;--muted:#9aa4af;
--line:#343941;--soft:#20242a;--blue:#3d9bdc;--warn:#f0975a}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
max-width:64rem;margin:0 auto;padding:1.5rem 1rem 4rem;color:var(--ink);background:var(--paper)}
h1{font-size:clamp(1.3rem,1rem + 1.6vw,1.9rem);line-height:1.25;margin:.3rem 0 .8rem;
text-wrap:balance;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:0} h3{font-size:1rem;margin:1.2rem 0 .3rem}
.muted,.small{color:var(--muted)} .small{font-size:.85rem} .lead{font-size:1.1rem}
.absent{color:var(--warn)} code{font-size:.85em} a{color:var(--blue)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.8rem;
padding:0;margin:1.2rem 0;list-style:none}
.figures li{background:var(--soft);border-radius:.5rem;padding:.7rem .9rem}
.figures b{display:block;font-size:1.5rem;line-height:1.2;color:var(--blue)}
.figures span{font-size:.85rem;color:var(--muted);overflow-wrap:anywhere}
.doubts{border-left:4px solid var(--warn);padding:.1rem 0 .1rem 1rem;margin:1.2rem 0}
.doubts h2{color:var(--warn)} .doubts ul{margin:.3rem 0;padding-left:1.1rem}
.panels{display:flex;flex-wrap:wrap;gap:1rem;margin:1rem 0}
.panels img{flex:1 1 19rem;min-width:0;max-width:34rem;width:100%;height:auto}
.panels.small img{flex:0 1 15rem}
.scroll{overflow-x:auto} .scroll img{max-width:100%} .whole{white-space:nowrap}
@media (max-width:40rem){.scroll img{max-width:none}}
details{border-top:1px solid var(--line);padding:.6rem 0}
details:last-of-type{border-bottom:1px solid var(--line)}
summary{cursor:pointer} summary h2{display:inline} summary .muted{margin-left:.5rem}
table{border-collapse:collapse;margin:.8rem 0;font-variant-numeric:tabular-nums;font-size:.92rem}
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid var(--line)}
td,th:first-child{white-space:nowrap} th{font-weight:600}
th:first-child,td:first-child{text-align:left;padding-left:0}
.small th:last-child,.small td:last-child{white-space:normal;min-width:18rem;text-align:left}
@media print{body{max-width:none;padding:0;font-size:11pt}summary{list-style:none}
details::details-content{content-visibility:visible;block-size:auto}
.scroll{overflow:visible}
.panels,tr,.figures,.doubts{break-inside:avoid}}
"""
# Browsers print what is folded only where a script opens it.
SCRIPT = (
    'addEventListener("beforeprint",()=>document.querySelectorAll("details")'
    ".forEach(each=>{each.open=true}))"
)


def page(title: str, body: Sequence[str]) -> str:
    """Return a whole page, which refers to nothing outside itself."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(body)
        + f"\n<script>{SCRIPT}</script>\n</body></html>\n"
    )


def text(value: object) -> str:
    """Return a value as text that HTML shows as it is."""
    return html.escape(str(value))


def prose(words: str) -> str:
    """Return a sentence as HTML in which no number breaks at its hyphen."""
    return re.sub(r"\d[\d.]*e-\d+", r'<span class="whole">\g<0></span>', text(words))


def fold(title: str, parts: Sequence[str], note: str = "") -> list[str]:
    """Return a part of the page that opens when its title is clicked; nothing without parts."""
    if not parts:
        return []
    beside = f' <span class="muted small">{text(note)}</span>' if note else ""
    return [
        f"<details><summary><h2>{text(title)}</h2>{beside}</summary>",
        *parts,
        "</details>",
    ]


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table, which scrolls where the screen is narrower."""
    head = "".join(f"<th>{text(cell)}</th>" for cell in header)
    lines = ["".join(f"<td>{text(cell)}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def figure(drawing: Figure | Axes, words: str) -> str:
    """Return an image of a figure, or of that of axes, with words for who does not see it."""
    if not isinstance(drawing, Figure):
        whole = drawing.get_figure(root=True)
        assert isinstance(whole, Figure)
        drawing = whole
    return image(to_svg(drawing), words)


def image(svg: str, words: str) -> str:
    """Return an image of the text of an SVG."""
    data = base64.b64encode(svg.encode()).decode()
    return f'<img alt="{text(words)}" src="data:image/svg+xml;base64,{data}">'


def panels(images: Sequence[str], kind: str = "") -> str:
    """Return images side by side, one below the other where the screen is narrow.

    ``kind``: "small" for more of them in a row.
    """
    return f'<div class="{f"panels {kind}".strip()}">{"".join(images)}</div>'


def wide(image_: str) -> str:
    """Return an image that keeps its size and scrolls where the screen is narrower."""
    return f'<div class="scroll">{image_}</div>'
