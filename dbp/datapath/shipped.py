"""The designs that come with the package."""

from __future__ import annotations

from importlib import resources

from dbp.datapath.design import Design

# NAME.json for each, and NAME.npz, its filters in floating point, for some.
FOLDER = resources.files("dbp.datapath") / "designs"


def designs() -> dict[str, Design]:
    """All shipped designs by name, in alphabetical order."""
    files = sorted(FOLDER.iterdir(), key=lambda file: file.name)
    return {
        file.name.removesuffix(".json"): Design.from_json(file.read_text(encoding="utf-8"))
        for file in files
        if file.name.endswith(".json")
    }
