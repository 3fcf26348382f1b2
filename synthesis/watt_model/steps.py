"""The synthesised steps that the model is fitted to, and those that it is checked on."""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from dbp.datapath.design import Filter, Rotation
from dbp.rtl.pipeline import parse
from dbp.synthesis.watt_model.counts import Step

FILE = "steps.csv"
# Gates, and registers, which timing tells apart by part: benchmarks/watt_steps.py.
REGISTERS = ("filter", "rotation", "registers", "ports")


@dataclass(frozen=True, eq=False)
class Synthesised:
    """A synthesised step: its lanes and figures.

    ``logic_*``: of all gates but registers; ``registers_*``: of these. ``held_out``: the fit does
    not see it. ``row``: all columns of the file.
    """

    kit: str
    step: Step
    lanes: int
    held_out: bool
    logic_dynamic_mw: float
    logic_um2: float
    registers_dynamic_mw: float
    registers_um2: float
    logic_leakage_mw: float
    registers_leakage_mw: float
    row: Mapping[str, str]

    @property
    def total_mw(self) -> float:
        """Watts of the whole step."""
        return float(self.row["total_mw"])

    @property
    def total_um2(self) -> float:
        """Area of the whole step."""
        return float(self.row["total_um2"])


@functools.cache
def synthesised() -> tuple[Synthesised, ...]:
    """All rows of the file."""
    text = (resources.files("dbp.synthesis.watt_model") / FILE).read_text(encoding="utf-8")
    return tuple(_synthesised(row) for row in csv.DictReader(text.splitlines()))


def _synthesised(row: Mapping[str, str]) -> Synthesised:
    def registers(figure: str) -> float:
        return sum(float(row[f"{part}_{figure}"]) for part in REGISTERS)

    rotation = Rotation(**_fields(row["rotation"])) if row["rotation"] else None
    return Synthesised(
        kit=row["kit"],
        step=Step(
            Filter(**_fields(row["filter"])),
            rotation,
            int(row["input_bits"]),
            "hardwired" if row["filters"] == "hardwired" else "reconfigurable",
            parse(row["pipeline"]),
        ),
        lanes=int(row["lanes"]),
        held_out=row["held_out"] == "1",
        logic_dynamic_mw=float(row["logic_dynamic_mw"]),
        logic_um2=float(row["logic_um2"]),
        registers_dynamic_mw=registers("dynamic_mw"),
        registers_um2=registers("um2"),
        logic_leakage_mw=float(row["logic_leakage_mw"]),
        registers_leakage_mw=registers("leakage_mw"),
        row=row,
    )


def _fields(text: str) -> dict[str, Any]:
    fields = json.loads(text)
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
