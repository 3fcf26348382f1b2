"""The command line: ``dbp train | rtl | prove | sim | synth | power | ber | link | ...``."""

from dbp.cli._main import main

__all__ = ["main"]
