"""The table of all figures: its rows, and the rules that give a figure at 28 nm."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dbp.errors import InputError
from dbp.support.files import write_csv
from dbp.synthesis.cells.wire_load import DATA

TABLE, LIBERTY = DATA / "predictive28.csv", DATA / "predictive28.lib"
NODE_NM, VOLTAGE_V = 28, 0.9
SOURCES = {"nangate45": (45, 1.1), "asap7": (7, 0.7)}
# Share of asap7: 0.255.
WEIGHT = math.log(45 / NODE_NM) / math.log(45 / 7)
# How far the voltage of a figure's kit divides it before the interpolation.
VOLTAGE_POWER = {"log": 0, "log/V": 1, "log/V2": 2}

# Cell, pin, output and quantity.
Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Figure:
    """One row of the table; ``pin``: the input, ``output``: that of an arc, "" elsewhere."""

    cell: str
    pin: str
    output: str
    quantity: str
    unit: str
    value: float
    nangate45: float
    asap7: float | None
    asap7_cell: str
    rule: str

    @property
    def key(self) -> Key:
        return self.cell, self.pin, self.output, self.quantity


def interpolate(nangate45: float, asap7: float, rule: str) -> float:
    """Return a figure at 28 nm and 0.9 V from those of the kits, by any rule but ``median``.

    `InputError` for a figure that is not positive where a logarithm is taken.
    """
    if rule == "linear":
        return (1 - WEIGHT) * nangate45 + WEIGHT * asap7
    if not (nangate45 > 0 and asap7 > 0):
        raise InputError(f"figures {nangate45}, {asap7}: must be positive for rule {rule!r}")
    power = VOLTAGE_POWER[rule]
    (_, v45), (_, v7) = SOURCES.values()
    line = (1 - WEIGHT) * math.log(nangate45 / v45**power) + WEIGHT * math.log(asap7 / v7**power)
    return math.exp(line) * VOLTAGE_V**power


def valued(figures: Sequence[Figure]) -> list[Figure]:
    """Return the same rows with the value that each one's rule gives."""
    ratios: dict[str, list[float]] = {}
    values: dict[Key, float] = {}
    for figure in figures:
        if figure.asap7 is not None:
            try:
                value = interpolate(figure.nangate45, figure.asap7, figure.rule)
            except InputError as error:
                raise InputError(f"{' '.join(figure.key)}: {error}") from None
            values[figure.key] = value
            if figure.nangate45 > 0:
                ratios.setdefault(figure.quantity, []).append(value / figure.nangate45)
    done = []
    for figure in figures:
        value = values.get(figure.key, math.nan)
        if figure.asap7 is None:
            value = figure.nangate45 * statistics.median(ratios[figure.quantity])
        done.append(replace(figure, value=rounded(value)))
    return done


def rounded(value: float) -> float:
    """Return the value to five digits."""
    return float(f"{value:.5g}")


def write_table(figures: Sequence[Figure]) -> None:
    """Write the table that is committed."""
    write_csv(TABLE, [vars(figure) for figure in figures])


def read_table() -> list[Figure]:
    """Read the committed table."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return [
            Figure(
                cell=row["cell"],
                pin=row["pin"],
                output=row["output"],
                quantity=row["quantity"],
                unit=row["unit"],
                value=float(row["value"]),
                nangate45=float(row["nangate45"]),
                asap7=float(row["asap7"]) if row["asap7"] else None,
                asap7_cell=row["asap7_cell"],
                rule=row["rule"],
            )
            for row in csv.DictReader(file)
        ]
