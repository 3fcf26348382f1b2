"""Process design kits: which Liberty files they have, and what the flow must know beside them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from dbp.errors import InputError, MissingError

ROOT = "DBP_PDK_ROOT"


@dataclass(frozen=True)
class Kit:
    """``dont_use``: name patterns of cells that are not for logic (filler, clock gates, delays),
    beside those that the Liberty files mark."""

    name: str
    dont_use: tuple[str, ...]


# The patterns are those of the kits' own OpenROAD set-ups, as far as their Liberty files need them.
KITS = {
    kit.name: kit
    for kit in (
        Kit(
            "nangate45",
            ("CLKGATE*", "CLKBUF*", "ANTENNA*", "FILLCELL*", "LOGIC*", "TBUF*", "TINV*"),
        ),
        Kit("asap7", ("*x1p*", "*xp*", "SDF*", "ICG*", "DLL*", "DHL*", "DLL*", "TIE*", "*DC_*")),
        Kit(
            "sky130hd",
            tuple(
                f"sky130_fd_sc_hd__{pattern}"
                for pattern in (
                    "probe*",
                    "lpflow*",
                    "dly*",
                    "clk*",
                    "ebuf*",
                    "einv*",
                    "macro*",
                    "edf*",
                    "sedf*",
                    "sdf*",
                    "dlc*",
                    "sdlc*",
                )
            ),
        ),
        Kit(
            "ihp-sg13g2",
            (
                "sg13g2_lgcp_1",
                "sg13g2_sighold",
                "sg13g2_slgcp_1",
                "sg13g2_dlygate*",
                "sg13g2_ebufn*",
                "sg13g2_einvn*",
                "sg13g2_sdf*",
            ),
        ),
    )
}


def find(name: str) -> tuple[Kit, list[Path]]:
    """A kit and its Liberty files, from ``$DBP_PDK_ROOT/NAME``, in the order of their names.

    `InputError` for a name that is no kit, `MissingError` where the kit is not there.
    """
    if name not in KITS:
        raise InputError(f"pdk = {name!r}: must be one of {', '.join(KITS)}")
    root = os.environ.get(ROOT)
    if not root:
        raise MissingError(f"no kit {name}: set {ROOT} to the folder that holds {name}/*.lib.gz")
    folder = Path(root) / name
    files = sorted(f for f in folder.glob("*") if f.name.endswith((".lib", ".lib.gz")))
    if not files:
        raise MissingError(f"no kit {name}: {folder} ({ROOT}) holds no *.lib or *.lib.gz")
    return KITS[name], files
