"""The generated part of the reference: command line, configuration, metrics files, Python.

Each page is made from what the program itself uses (parsers, models, docstrings) when the site is
built, into ``reference/generated``, which is not kept in git.
"""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel

from reference import command_line, configuration, metrics, python

FOLDER = "reference/generated"


def pages() -> dict[str, str]:
    """Return the text of each page by the name of its file."""
    return {
        "command_line.md": command_line.page(),
        "configuration.md": configuration.page(),
        "metrics.md": metrics.page(),
        "python.rst": python.page(),
    }


def write(folder: Path) -> None:
    """Write the pages that are new or have changed, and remove others."""
    texts = pages()
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)


def setup(app) -> dict[str, object]:
    app.connect("builder-inited", lambda app: write(Path(app.srcdir) / FOLDER))
    app.connect("autodoc-process-docstring", process_docstring)
    app.connect("autodoc-process-signature", process_signature)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def process_docstring(app, what, name, thing, options, lines: list[str]) -> None:
    """Give a docstring of ours the markup that Sphinx lays out: see `python.laid_out`."""
    lines[:] = python.laid_out(re.sub(r"\n+\Z", "", "\n".join(lines))).split("\n")


def process_signature(app, what, name, thing, options, arguments, returned):
    """Leave out the signature of a model: its keys, limits and defaults have a page."""
    if what == "class" and issubclass(thing, BaseModel):
        return ("(**keys)" if name in ("dbp.Link", "dbp.Config") else ""), None
    return None
