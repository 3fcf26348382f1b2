"""The parser of ``dbp completion``."""

from __future__ import annotations

import argparse

from dbp.cli.parsers.options import Commands, Parser, add_command

SHELLS = ("bash", "zsh", "fish")


def add_to(commands: Commands[Parser]) -> None:
    """Add ``dbp completion``."""
    text = "print a script for the tab key of a shell"
    example = "dbp completion bash > dbp-completion.bash"
    parser = add_command(commands, "completion", _run, text, example)
    parser.add_argument(
        "shell", choices=SHELLS, metavar="SHELL", help=f"one of {', '.join(SHELLS)}"
    )


def _run(options: argparse.Namespace) -> None:
    from dbp.cli.completion import completion

    completion(options.shell)
