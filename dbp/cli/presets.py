"""``dbp presets``: the configurations that come with the package."""

from __future__ import annotations

from dbp import config
from dbp.errors import InputError, shown
from dbp.support.text import aligned, did_you_mean


def presets(name: str | None = None) -> None:
    """Print the presets with a line each, or the text of one, as a file holds it."""
    texts = config.presets()
    if name is None:
        print(aligned([[preset, summary(text)] for preset, text in texts.items()]))
        return
    if name not in texts:
        names = ", ".join(texts)
        raise InputError(f"preset {shown(name)}: must be one of {names}{did_you_mean(name, texts)}")
    print(texts[name], end="")


def summary(text: str) -> str:
    """Return what a preset is: the first line of its text, a comment."""
    return text.splitlines()[0].removeprefix("# ")
