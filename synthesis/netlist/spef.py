"""Wires of a routed netlist from SPEF (IEEE 1481): the capacitance of every net.

A coupling capacitor counts in full on each net that it joins, as it does in OpenSTA: the neighbour
is taken as still. Names lose their backslashes, so that they are those of the netlist's instances
and nets whichever tool has escaped them.
"""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dbp.errors import InputError
from dbp.support.files import open_gzip_or_plain
from dbp.synthesis.netlist.model import CONSTANTS, Netlist

_UNITS = {
    "T_UNIT": {"FS": 1e-15, "PS": 1e-12, "NS": 1e-9, "US": 1e-6, "MS": 1e-3, "S": 1.0},
    "C_UNIT": {"FF": 1e-15, "PF": 1e-12, "NF": 1e-9, "UF": 1e-6, "F": 1.0},
    "R_UNIT": {"OHM": 1.0, "KOHM": 1e3, "MOHM": 1e6},
}
_COMMENT = re.compile(r"//.*$")
_INDEX = re.compile(r"\*(\d+)")
_KEYWORD = re.compile(r"\*[A-Z]\w*$")


@dataclass(frozen=True)
class Wires:
    """The farads of the wire of every net. ``pins_included``: whether those of its pins are in it.

    Resistances do not take part: in blocks of this size the slews at both ends of a wire are alike
    (``docs/results/power_method.md``). The delays with them are in the SDF of the layout.
    """

    farads: Mapping[str, float]
    pins_included: bool
    design: str

    def has(self, net: str) -> bool:
        """Tell whether a net of the netlist has a wire."""
        return plain(net) in self.farads

    def share(self, netlist: Netlist) -> float:
        """Return the part of the nets with two pins or more that have a wire."""
        pins = Counter(net for i in netlist.instances for net in i.nets.values())
        pins.update((*netlist.inputs, *netlist.outputs.values()))
        nets = [net for net, count in pins.items() if count > 1 and net not in CONSTANTS]
        return sum(map(self.has, nets)) / max(len(nets), 1)

    def capacitance_f(self, net: str) -> float:
        """Return the farads of a net of the netlist; 0 for a net without a wire."""
        return self.farads.get(plain(net), 0.0)


def plain(name: str) -> str:
    """Return a name without its backslashes."""
    return name.replace("\\", "")


def read(path: str | Path) -> Wires:
    """Read a ``.spef`` or ``.spef.gz``; `InputError` names the line that cannot be read."""
    try:
        with open_gzip_or_plain(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace")
            return _Reader(str(path)).read(text)
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


@dataclass
class _Reader:
    """The state of reading: units, names, and the net that is being read."""

    path: str
    scale: dict[str, float] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    farads: dict[str, float] = field(default_factory=dict)
    design: str = ""
    pins_included: bool = False
    section: str = ""
    net: str | None = None
    number: int = 0
    sum_f: float = 0.0

    def read(self, text: io.TextIOWrapper) -> Wires:
        for words in self._lines(text):
            try:
                self._line(words)
            except InputError:
                raise
            except (ValueError, IndexError, KeyError):
                raise self._error(f"cannot be read: {' '.join(words)[:60]!r}") from None
        if self.net is not None:
            raise self._error(f"only part of a SPEF file: *D_NET {self.net} has no *END")
        if not self.farads:
            raise InputError(f"{self.path}: no SPEF file: it has no *D_NET")
        return Wires(self.farads, self.pins_included, self.design)

    def _lines(self, text: io.TextIOWrapper) -> Iterator[list[str]]:
        """Yield the words of every line, without comments."""
        inside = False
        for self.number, line in enumerate(text, 1):
            if "/" in line:
                line = _COMMENT.sub("", line)
                # A comment over several lines is as rare as it is legal.
                if inside or "/*" in line:
                    before, _, after = line.partition("/*") if not inside else ("", "", line)
                    inside = "*/" not in after
                    line = before + after.partition("*/")[2]
            elif inside:
                continue
            if words := line.split():
                yield words

    def _error(self, what: str) -> InputError:
        return InputError(f"{self.path}: line {self.number}: {what}")

    def _line(self, words: list[str]) -> None:
        keyword = words[0][1:].upper() if _KEYWORD.match(words[0].upper()) else ""
        if self.net is not None:
            self._of_net(keyword, words)
        elif keyword in ("D_NET", "R_NET"):
            self._begin(keyword, words)
        elif keyword in _UNITS:
            factor, unit = float(words[1]), words[2].upper()
            if unit not in _UNITS[keyword] or not factor > 0:
                raise self._error(
                    f"*{keyword} {' '.join(words[1:])}: must be a number above 0 and one of "
                    f"{', '.join(_UNITS[keyword])}"
                )
            self.scale[keyword] = factor * _UNITS[keyword][unit]
        elif keyword == "DESIGN":
            self.design = " ".join(words[1:]).strip('"')
        elif keyword == "DESIGN_FLOW":
            flow = " ".join(words).upper()
            self.pins_included = "PIN_CAP" in flow and "PIN_CAP NONE" not in flow
        elif keyword:
            self.section = keyword
        elif self.section == "NAME_MAP":
            self.names[words[0]] = plain(words[1])

    def _begin(self, keyword: str, words: list[str]) -> None:
        if keyword == "R_NET":
            raise self._error(
                "*R_NET: reduced wires are not read: must be *D_NET, with *CAP and *RES"
            )
        for unit in ("C_UNIT", "R_UNIT"):
            if unit not in self.scale:
                raise self._error(f"no *{unit} before the first *D_NET")
        self.net, self.section = self._name(words[1]), ""
        float(words[2])
        if self.net in self.farads:
            raise self._error(f"*D_NET {self.net}: it is there twice")
        self.sum_f = 0.0

    def _of_net(self, keyword: str, words: list[str]) -> None:
        if keyword == "END":
            assert self.net is not None
            self.farads[self.net], self.net = self.sum_f, None
        elif keyword in ("D_NET", "R_NET"):
            raise self._error(f"*D_NET {self.net} has no *END before the next")
        elif keyword in ("CONN", "CAP", "RES", "INDUC"):
            self.section = keyword
        elif self.section == "CAP":
            # "number node farads", or "number node neighbour farads".
            if "*SC" in words:
                words = words[: words.index("*SC")]
            value = _value(words[-1]) * self.scale["C_UNIT"]
            if len(words) not in (3, 4) or not 0 <= value < math.inf:
                raise ValueError
            for node in words[1:-1]:
                self._name(node)
            self.sum_f += value

    def _name(self, name: str) -> str:
        """Return a name by the map, where it begins with an index of it."""
        index = _INDEX.match(name)
        if index is None:
            return plain(name)
        known = self.names.get(index[0])
        if known is None:
            raise self._error(f"{index[0]}: not in *NAME_MAP")
        return known + plain(name[index.end() :])


def _value(text: str) -> float:
    """Return a number, or the middle one of ``minimum:typical:maximum``."""
    parts = text.split(":")
    if len(parts) not in (1, 3):
        raise ValueError
    return float(parts[len(parts) // 2])
