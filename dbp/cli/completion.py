"""``dbp completion``: a script that teaches a shell what can stand where on our command line.

The script is complete in itself, so that a press of the tab key starts no Python: it holds the
names of commands, options, designs, presets and kits of this version, and asks the shell for files.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

from dbp.cli import parsers
from dbp.cli.parsers.options import Parser, Proposal

# Kinds of names that come with the package, and the files that may stand in their place.
_FILES: Mapping[Proposal, Sequence[str]] = {
    "design": ("*.json",),
    "receiver": ("*.json",),
    "config": ("*.toml",),
}


def completion(shell: str) -> None:
    """Print the script for a shell."""
    print(script(shell))


def script(shell: str) -> str:
    """Return the script for ``bash``, ``zsh`` or ``fish``."""
    import shtab

    parser = parsers.build()
    known: dict[Proposal, Any] = {
        kind: _proposed(kind, names) for kind, names in shipped_names().items()
    }
    known |= {"file": shtab.FILE, "folder": shtab.DIRECTORY}
    for action in _actions(parser):
        if kind := getattr(action, "proposal", None):
            action.complete = known[kind]  # type: ignore[attr-defined]
    return shtab.complete(parser, shell)


def shipped_names() -> dict[Proposal, list[str]]:
    """Return the names that come with the package, by kind."""
    from dbp.synthesis.cells.kits import KITS

    designs = _stems("dbp.datapath", "designs", ".json")
    presets = _stems("dbp.config", "presets", ".toml")
    return {
        "design": designs,
        "receiver": [*designs, "linear", "dbp1", "dbp50"],
        "config": presets,
        "preset": presets,
        "kit": list(KITS),
    }


def _stems(package: str, folder: str, suffix: str) -> list[str]:
    files = (file.name for file in (resources.files(package) / folder).iterdir())
    return sorted(name.removesuffix(suffix) for name in files if name.endswith(suffix))


def _actions(parser: Parser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of its commands."""
    yield from parser._actions
    for command in parsers.command_parsers(parser).values():
        yield from _actions(command)


def _proposed(kind: Proposal, names: Sequence[str]) -> dict[str, object]:
    """Return how each shell proposes names of a kind, and files that may stand in their place.

    It is the attribute ``complete`` of shtab. In bash a function whose name ends in ``_file`` may
    propose files: bash then escapes them and puts a slash behind folders.
    """
    words, patterns = " ".join(names), _FILES.get(kind, ())
    function = f"_dbp_{kind}" + ("_file" if patterns else "")
    bash = [f'compgen -W "{words}" -- "$1"']
    zsh = [f"'names:{kind}:({words})'"]
    fish = [f"string split ' ' '{words}'"]
    for pattern in patterns:
        bash.append(f'compgen -f -X \'!{pattern}\' -- "$1"; compgen -d -- "$1"')
        zsh.append(f"'files:file:_files -g \"{pattern}\"'")
        fish.append(f"__fish_complete_suffix {pattern.removeprefix('*')}")
    preamble = {
        "bash": f"{function}() {{ {'; '.join(bash)}; }}",
        "zsh": f"{function}() {{ _alternative {' '.join(zsh)} }}",
    }
    return {"bash": function, "zsh": function, "fish": f"({'; '.join(fish)})", "preamble": preamble}
