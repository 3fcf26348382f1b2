"""The errors that a user of dbp can cause or meet; the command line prints them as one line."""


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
