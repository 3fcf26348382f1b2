"""The parsers of the command line, one file a command, and what ``dbp`` alone shows.

Each file has ``add_to``, which adds the command's parser with its help and its example, and a
function that hands the options to the action in the file of the same name in `dbp.cli`. The action
loads what it needs (numpy, torch, the hardware tools, plots); a parser loads nothing of that.
"""

from __future__ import annotations

import importlib

from dbp.cli.parsers.options import Parser

# Each is a module of this package. In the order of the help: what people come for, then the rest.
COMMANDS = (
    *("designs", "presets", "ber", "train", "rtl", "prove", "sim", "synth", "power", "watts"),
    *("signoff", "compare", "explore", "run", "report", "link", "equalize", "pdk", "completion"),
)

# `dbp` alone prints this; the command lines are the examples of their help.
FIRST = {
    "designs": "what is shipped",
    "ber": "bit error ratio",
    "train": "learn a design",
    "rtl": "write Verilog",
    "synth": "area and watts",
}

DESCRIPTION = (
    "Time-domain digital backpropagation: learn and quantize its filters, generate RTL, prove it "
    "bit-exact, and cost it in watts."
)


def build() -> Parser:
    """Return the parser of ``dbp`` with those of all commands."""
    from dbp import __version__

    parser = Parser(prog="dbp", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"dbp {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for command in COMMANDS:
        importlib.import_module(f"dbp.cli.parsers.{command}").add_to(commands)
    parser.example = "\n".join(_example(parser, name) for name in FIRST)
    return parser


def command_parsers(parser: Parser) -> dict[str, Parser]:
    """Return the parsers of the commands by name, those of ``dbp`` or of one of its commands."""
    return {
        name: command
        for action in parser._actions
        if isinstance(action.choices, dict)
        for name, command in action.choices.items()
    }


def first_contact(parser: Parser) -> str:
    """Return what ``dbp`` alone shows: a command line for each of `FIRST`, and where to read on."""
    width = max(map(len, FIRST.values()))
    lines = [f"  {text:{width}}   {_example(parser, name)}" for name, text in FIRST.items()]
    return "\n".join(
        (
            "dbp: digital backpropagation for optical receivers, from learning to watts",
            "",
            *lines,
            "",
            "All commands: dbp --help. One of them, with an example: dbp COMMAND --help",
            "Tutorials: docs/tutorials in the sources, from 01_ten_minutes on; `make docs`",
            "makes a web site of them and of the reference, docs/_build/html/index.html.",
        )
    )


def _example(parser: Parser, name: str) -> str:
    """Return the last line of a command's example, which is the command itself."""
    return command_parsers(parser)[name].example.splitlines()[-1]
