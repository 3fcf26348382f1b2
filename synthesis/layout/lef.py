"""Sizes and outputs of the cells of a kit, from its LEF files (LEF 5.8)."""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dbp.errors import InputError
from dbp.support.files import open_gzip_or_plain


@dataclass(frozen=True)
class Macro:
    """A cell: its size in um, and the names of its outputs."""

    width_um: float
    height_um: float
    outputs: frozenset[str]


def read(paths: Iterable[str | Path]) -> Mapping[str, Macro]:
    """Read the cells of ``.lef`` files, packed or not; files of the technology alone add none.

    `InputError` names the line that cannot be read, or says that no file has a cell.
    """
    macros: dict[str, Macro] = {}
    names = [str(path) for path in paths]
    for path in names:
        macros |= _read(path)
    if not macros:
        raise InputError(f"{', '.join(names)}: no LEF of cells: no MACRO in it")
    return macros


def _read(path: str) -> dict[str, Macro]:
    macros: dict[str, Macro] = {}
    macro, pin, size, outputs = "", "", (0.0, 0.0), set[str]()
    number = 0
    try:
        with open_gzip_or_plain(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", errors="replace")
            for number, line in enumerate(text, 1):  # noqa: B007  (told in the error)
                words = line.split("#")[0].split()
                match words[:2]:
                    case ["MACRO", name]:
                        macro, pin, size, outputs = name, "", (0.0, 0.0), set()
                    case ["PIN", name] if macro:
                        pin = name
                    case ["SIZE", _] if macro:
                        size = _size(words)
                    case ["DIRECTION", "OUTPUT"] if pin:
                        outputs.add(pin)
                    case ["END", name] if pin and name == pin:
                        pin = ""
                    case ["END", name] if macro and name == macro:
                        if not all(size):
                            raise ValueError
                        macros[macro] = Macro(*size, frozenset(outputs))
                        macro = ""
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except (ValueError, IndexError):
        raise InputError(
            f"{path}: line {number}: MACRO {macro}: must have SIZE width BY height, in um, above 0"
        ) from None
    if macro:
        raise InputError(f"{path}: only part of a LEF file: MACRO {macro} has no END")
    return macros


def _size(words: list[str]) -> tuple[float, float]:
    """Return the two numbers of "SIZE width BY height"."""
    width, height = float(words[1]), float(words[3])
    if words[2] != "BY" or not (0 < width < math.inf and 0 < height < math.inf):
        raise ValueError
    return width, height
