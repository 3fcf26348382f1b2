"""The page on the command line, from its parsers."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterator

from dbp import cli

HEAD = """# Command line

`dbp COMMAND --help` says the same as this page. `. .venv/bin/activate` puts `dbp` on the path.

A command ends with 0; with 1 where a tool is missing or failed, or where hardware and golden model
differ; with 2 for wrong input; and with 130, 143 or 129 after Ctrl-C, SIGTERM or SIGHUP.

"""


def page() -> str:
    """Return the page, with a section for each command."""
    parsers = dict(commands())
    table = "| command | does |\n| --- | --- |\n" + "".join(
        f"| [`dbp {name}`](#dbp-{name.replace(' ', '-')}) | {helps(parser)} |\n"
        for name, parser in parsers.items()
    )
    return HEAD + table + "".join(_section(name, parser) for name, parser in parsers.items())


def commands(
    parser: argparse.ArgumentParser | None = None, path: str = ""
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield the parser of each command by its name, those of commands of commands after it."""
    parser = parser or cli._parser()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help for choice in action._choices_actions}
            for name, inner in action.choices.items():
                inner.description = inner.description or _sentence(helps.get(name) or "")
                yield f"{path}{name}", inner
                yield from commands(inner, f"{path}{name} ")


def helps(parser: argparse.ArgumentParser) -> str:
    """Return what a command does, in one line."""
    return text(parser.description or "")


def arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the arguments and options of a command but ``--help`` and commands of its own."""
    left_out = (argparse._HelpAction, argparse._SubParsersAction)
    return [action for action in parser._actions if not isinstance(action, left_out)]


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    usage = re.sub(r"\s*\n\s*", "\n    ", parser.format_usage().removeprefix("usage: ").strip())
    parts = [f"\n## dbp {name}\n\n{helps(parser)}\n\n```text\n{usage}\n```\n\n"]
    parts.append(f"```{{program}} dbp {name}\n```\n\n")
    for action in arguments(parser):
        parts.append(f"```{{option}} {_form(action)}\n{meaning(parser, action)}\n```\n\n")
    if example := getattr(parser, "example", ""):
        parts.append(f"Example:\n\n```sh\n{example}\n```\n")
    return "".join(parts)


def _form(action: argparse.Action) -> str:
    """Return an option as it is typed, each of its names with the value that it takes."""
    if not action.option_strings:
        return str(action.metavar or action.dest.upper())
    value = ""
    if action.nargs != 0:
        value = f" {action.metavar or action.dest.upper()}"
    return ", ".join(f"{name}{value}" for name in action.option_strings)


def meaning(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Return what an option is for, what it takes, and what it is without being given."""
    helped = parser._get_formatter()._expand_help(action) if action.help else ""
    sentences = [text(_sentence(helped))]
    if action.choices and not all(str(choice) in helped for choice in action.choices):
        names = ", ".join(f"`{choice}`" for choice in action.choices)
        sentences.append(f"One of {names}.")
    if inspect.isfunction(action.type) and (doc := inspect.getdoc(action.type)):
        sentences.append(doc.split("\n\n")[0].replace("\n", " ").replace("``", "`"))
    if "default" not in helped and action.option_strings and action.nargs != 0:
        if action.required:
            sentences.append("Must be given.")
        elif action.default not in (None, [], argparse.SUPPRESS):
            sentences.append(f"Default: `{action.default}`.")
    elif action.nargs in ("*", "+"):
        sentences.append("May be several.")
    return " ".join(sentences)


def _sentence(helped: str) -> str:
    helped = helped.strip().rstrip(".")
    return f"{helped[:1].upper()}{helped[1:]}." if helped else ""


def text(helped: str) -> str:
    """Mark options, file endings and commands in a help text as code."""
    return re.sub(r"(?<![`\w])(--[a-z][\w-]*)(?![`\w])", r"`\1`", helped)
