"""The cells of predictive28, and the cells of nangate45 and asap7 that they come from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gate:
    """A cell: functions by output and nangate45's pin names; ``pins``: asap7's name of each pin.

    ``asap7`` is None where that kit has no such cell.
    """

    name: str
    asap7: str | None
    functions: dict[str, str]
    pins: dict[str, str]

    @property
    def drive(self) -> int:
        return int(self.name.rsplit("_X", 1)[1])

    @property
    def is_register(self) -> bool:
        return self.name.startswith("DFF")


def _pins(text: str) -> dict[str, str]:
    return dict(pair.split(":") for pair in text.split())


_ONE, _TWO = "A:A ZN:Y", "A1:A A2:B ZN:Y"
_AO21, _AO22 = "A:B B1:A1 B2:A2 ZN:Y", "A1:A1 A2:A2 B1:B1 B2:B2 ZN:Y"
_AO211 = "A:B B:C C1:A1 C2:A2 ZN:Y"
_XOR, _DFF = "A:A B:B Z:Y", "CK:CLK D:D Q:QN"
_ROWS = (
    *((f"INV_X{k}", f"INVx{k}", "ZN=!A", _ONE) for k in (1, 2, 4, 8)),
    *((f"BUF_X{k}", f"BUFx{k}", "Z=A", "A:A Z:Y") for k in (2, 4, 8)),
    ("NAND2_X1", "NAND2xp5", "ZN=!(A1 & A2)", _TWO),
    ("NAND2_X2", "NAND2x1", "ZN=!(A1 & A2)", _TWO),
    ("NAND2_X4", "NAND2x2", "ZN=!(A1 & A2)", _TWO),
    ("NAND3_X1", "NAND3xp33", "ZN=!(A1 & A2 & A3)", "A1:A A2:B A3:C ZN:Y"),
    ("NAND4_X1", "NAND4xp25", "ZN=!(A1 & A2 & A3 & A4)", "A1:A A2:B A3:C A4:D ZN:Y"),
    ("NOR2_X1", "NOR2xp67", "ZN=!(A1 | A2)", _TWO),
    ("NOR2_X2", "NOR2x1", "ZN=!(A1 | A2)", _TWO),
    ("NOR3_X1", "NOR3xp33", "ZN=!(A1 | A2 | A3)", "A1:A A2:B A3:C ZN:Y"),
    ("AND2_X2", "AND2x2", "ZN=(A1 & A2)", _TWO),
    ("OR2_X2", "OR2x2", "ZN=(A1 | A2)", _TWO),
    ("AOI21_X1", "AOI21xp5", "ZN=!(A | (B1 & B2))", _AO21),
    ("AOI22_X1", "AOI22xp5", "ZN=!((A1 & A2) | (B1 & B2))", _AO22),
    ("AOI211_X1", "AOI211xp5", "ZN=!((C1 & C2) | B | A)", _AO211),
    ("OAI21_X1", "OAI21xp5", "ZN=!(A & (B1 | B2))", _AO21),
    ("OAI22_X1", "OAI22xp5", "ZN=!((A1 | A2) & (B1 | B2))", _AO22),
    ("OAI211_X1", "OAI211xp5", "ZN=!((C1 | C2) & A & B)", _AO211),
    ("XOR2_X1", "XOR2xp5", "Z=(A ^ B)", _XOR),
    ("XNOR2_X1", "XNOR2xp5", "ZN=!(A ^ B)", "A:A B:B ZN:Y"),
    ("MUX2_X1", None, "Z=((S & B) | (A & !S))", ""),
    ("HA_X1", None, "CO=(A & B) S=(A ^ B)", ""),
    ("FA_X1", None, "CO=((A & B) | (CI & (A | B))) S=(CI ^ (A ^ B))", ""),
    # asap7's has the inverted output only; its figures stand for those of the other.
    ("DFF_X1", "DFFHQNx1", "Q=IQ", _DFF),
    ("DFF_X2", "DFFHQNx2", "Q=IQ", _DFF),
)


def _functions(text: str) -> dict[str, str]:
    parts = text.replace(" S=", ";S=").split(";")
    return dict(part.split("=", 1) for part in parts)


GATES = tuple(Gate(n, a, _functions(f), _pins(p)) for n, a, f, p in _ROWS)
