"""The designs that come with the package, and the figures that were found for them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from dbp.datapath.design import Design

# NAME.json for each, and NAME.npz, its filters in floating point, for some. README.md says how all
# were made.
FOLDER = resources.files("dbp.datapath") / "designs"
# The presets that state the links of those that are not for the paper's.
_PRESETS = {
    "dual-c6-s9": "dual-c6-s9",
    "labptptm1-c6-s9": "labptptm1",
    "labptptm2-c6-s9": "labptptm2",
}


@dataclass(frozen=True)
class Figures:
    """The figures of a shipped design on the link of its `preset`, at the best launch power.

    ``ber_low``, ``ber_high``: the 95 % interval. ``receiver_power_w``, ``receiver_area_mm2``: of a
    whole receiver in nangate45, reconfigurable, of its link's symbol rate at 416.7 MHz, both
    polarisations if it has two; None where nobody has synthesised it.
    """

    design_hash: str
    launch_power_dbm: float
    bits: int
    errors: int
    ber: float
    ber_low: float
    ber_high: float
    snr_db: float
    receiver_power_w: float | None
    receiver_area_mm2: float | None


def designs() -> dict[str, Design]:
    """All shipped designs by name, in alphabetical order."""
    files = sorted(FOLDER.iterdir(), key=lambda file: file.name)
    return {
        file.name.removesuffix(".json"): Design.from_json(file.read_text(encoding="utf-8"))
        for file in files
        if file.name.endswith(".json")
    }


def preset(name: str) -> str:
    """Return the name of the preset that states a shipped design's link and launch powers."""
    return _PRESETS.get(name, "paper")


def figures() -> dict[str, Figures]:
    """The figures of the shipped designs by name, from ``figures.csv`` beside them."""
    lines = (FOLDER / "figures.csv").read_text(encoding="utf-8").splitlines()
    return {row["design"]: _figures(row) for row in csv.DictReader(lines)}


def _figures(row: Mapping[str, str]) -> Figures:
    def measured(key: str) -> float | None:
        return float(row[key]) if row[key] else None

    return Figures(
        design_hash=row["design_hash"],
        launch_power_dbm=float(row["launch_power_dbm"]),
        bits=int(row["bits"]),
        errors=int(row["errors"]),
        ber=float(row["ber"]),
        ber_low=float(row["ber_low"]),
        ber_high=float(row["ber_high"]),
        snr_db=float(row["snr_db"]),
        receiver_power_w=measured("receiver_power_w"),
        receiver_area_mm2=measured("receiver_area_mm2"),
    )
