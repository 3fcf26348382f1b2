"""The built pages take nothing from the network: scripts, styles and pictures are their own."""

import re
from pathlib import Path

# What a browser fetches by itself; a link that somebody follows may lead anywhere.
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|embed)\b[^>]*\bsrc=["'](?:https?:)?//[^"']+"""
    r"""|<link\b(?=[^>]*\brel=["'](?:stylesheet|icon|preload))[^>]*\bhref=["'](?:https?:)?//[^"']+"""
)


def fetched(html: str) -> list[str]:
    """Return what a page would fetch from elsewhere."""
    return FETCHED.findall(html)


def check(app, exception) -> None:
    """Warn of each page that would fetch something from elsewhere."""
    from sphinx.util import logging

    logger = logging.getLogger(__name__)
    if exception is None:
        for path in sorted(Path(app.outdir).rglob("*.html")):
            for tag in fetched(path.read_text()):
                logger.warning(
                    "%s: fetches from the network: %s", path.relative_to(app.outdir), tag
                )


def setup(app) -> dict[str, object]:
    app.connect("build-finished", check)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
