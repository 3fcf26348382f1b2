"""A hash of our own sources: results that are kept on disk are found again by it.

What a stage keeps (simulated waveforms, counted errors, synthesised steps) stays valid as long as
the code that made it. The hash of the text of that code takes the place of version numbers that
somebody must remember to raise. Edits of comments and docstrings change it, too: something is
then computed once more, but no number of older code is ever taken for one of newer code.
"""

from __future__ import annotations

import functools
import hashlib
from importlib.util import find_spec
from pathlib import Path


@functools.cache
def hash_of(*names: str) -> str:
    """SHA-256 of the sources of packages or modules, as 64 hexadecimal digits.

    ``names``: dotted names, such as ``"dbp.link"``. A package means all ``.py`` files in it, those
    of its sub-packages included; nothing but the parents of what is named is imported. The files
    are read once in a process. `ModuleNotFoundError` where there is no such module.
    """
    digest = hashlib.sha256()
    for name in names:
        for relative, path in _files(name):
            text = path.read_text(encoding="utf-8")
            # Lengths keep the boundary between a name and a text apart from their content.
            digest.update(f"{name} {relative} {len(text)}\n{text}".encode())
    return digest.hexdigest()


def _files(name: str) -> list[tuple[str, Path]]:
    """The source files of a package or module, in a fixed order, with names that do not move."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source of {name}", name=name)
    origin = Path(spec.origin)
    if spec.submodule_search_locations is None:
        return [(origin.name, origin)]
    folder = origin.parent
    return sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*.py"))
