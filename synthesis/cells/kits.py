"""Process design kits: where their Liberty files are, and which of their cells logic may use."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dbp.errors import InputError, MissingError
from dbp.support import cache
from dbp.support.files import write_bytes
from dbp.support.text import did_you_mean
from dbp.synthesis.cells import wire_load

ROOT = "DBP_PDK_ROOT"
# Comes with the package; its figures demonstrate and are no evidence.
SHIPPED = "predictive28"


@dataclass(frozen=True)
class Kit:
    """``dont_use``: name patterns of cells that are not for logic (filler, clock gates, delays),
    beside those that the Liberty files mark. ``layout_margin_ns``: the slack that layout takes
    (``docs/reference/kits.md``); 0 for a kit without a layout."""

    name: str
    node_nm: int
    dont_use: tuple[str, ...]
    layout_margin_ns: float = 0.0


# The patterns are those of the kits' own OpenROAD set-ups, as far as their Liberty files need them.
KITS = {
    kit.name: kit
    for kit in (
        Kit(
            "nangate45",
            45,
            ("CLKGATE*", "CLKBUF*", "ANTENNA*", "FILLCELL*", "LOGIC*", "TBUF*", "TINV*"),
            layout_margin_ns=0.1,
        ),
        Kit(
            "asap7",
            7,
            ("*x1p*", "*xp*", "SDF*", "ICG*", "DLL*", "DHL*", "DLL*", "TIE*", "*DC_*"),
            layout_margin_ns=0.1,
        ),
        Kit(
            "sky130hd",
            130,
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
            layout_margin_ns=0.6,
        ),
        Kit(
            "ihp-sg13g2",
            130,
            (
                "sg13g2_lgcp_1",
                "sg13g2_sighold",
                "sg13g2_slgcp_1",
                "sg13g2_dlygate*",
                "sg13g2_ebufn*",
                "sg13g2_einvn*",
                "sg13g2_sdf*",
            ),
            layout_margin_ns=0.6,
        ),
        Kit("gt2n", 2, ("*_filler_*", "*_tap*", "*_decapcc_*", "*_tiehigh_*", "*_tielow_*")),
        Kit(SHIPPED, 28, ()),
    )
}


def find(name: str) -> tuple[Kit, list[Path]]:
    """Return a kit and its Liberty files, by name, from the first place that has it.

    The places: ``$DBP_PDK_ROOT/NAME``, what ``dbp pdk install`` has put into the cache, and the
    package itself. A kit without wires of its own also gets the file of
    `dbp.synthesis.cells.wire_load`.

    `InputError` for a name that is not a kit's, `MissingError` where no place has the kit.
    """
    if name not in KITS:
        hint = did_you_mean(name, KITS)
        raise InputError(f"pdk = {name!r}: must be one of {', '.join(KITS)}{hint}")
    for folder in places(name):
        files = sorted(f for f in folder.glob("*") if f.name.endswith((".lib", ".lib.gz")))
        if files:
            wires = wire_load.file_for(name)
            return KITS[name], files if wires is None else [*files, wires]
    if name == SHIPPED:
        return KITS[name], [wire_load.DATA / f"{SHIPPED}.lib"]
    raise MissingError(
        f"no kit {name} in {' or '.join(str(folder) for folder in places(name))}: run "
        f"`dbp pdk install {name}`, or set {ROOT} to the folder that holds {name}/*.lib.gz"
    )


def places(name: str) -> Iterator[Path]:
    """Yield the folders where a kit is looked for, in order."""
    if root := os.environ.get(ROOT):
        yield Path(root) / name
    yield installed(name)


def installed(name: str) -> Path:
    """Return the folder into which ``dbp pdk install`` puts a kit."""
    return cache.folder() / "pdk" / name


def unpack(file: Path, folder: Path) -> str:
    """Write a kit's file, uncompressed, into ``folder``; return its name there.

    OpenSTA does not read gzip.
    """
    name = file.name.removesuffix(".gz")
    content = file.read_bytes()
    write_bytes(folder / name, gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    return name
