"""The errors that a user of dbp can cause or meet; the command line prints them as one line."""

from __future__ import annotations

from typing import Any


class DbpError(Exception):
    """Base of every error that dbp raises on purpose."""


class InputError(DbpError, ValueError):
    """An input from outside (file, option, configuration) that does not fit.

    The message names the field, the value found and what is allowed.
    """


class ToolError(DbpError, RuntimeError):
    """An external tool is missing or failed; says what to install, or the tool's last words."""


class MissingError(ToolError):
    """An external tool or a design kit is not there; the message says what to install."""


def shown(value: Any, most: int = 100) -> str:
    """Return a value from outside as a message shows it: its repr, cut to ``most`` characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, lists in lists
        return f"({type(value).__name__}, too large to show)"
    return text if len(text) <= most else text[:most] + "..."


def one_line(message: object, most: int = 1000) -> str:
    """A message as one line that a terminal shows as it is: no control characters, no novel."""
    words = " ".join(str(message).split())
    line = words if len(words) <= most else words[: most - 3] + "..."
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
