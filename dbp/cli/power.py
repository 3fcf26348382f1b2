"""``dbp power``: power of any mapped netlist from the activity of its nets."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dbp.errors import InputError
from dbp.support.files import write_text

if TYPE_CHECKING:
    from dbp.synthesis.activity.activity import Part
    from dbp.synthesis.layout.picture import Placed

PICTURE = "layout.svg"


def power(
    netlist: Path,
    activity: Path,
    liberty: Sequence[Path],
    clock_mhz: float,
    out: Path,
    wire_load: str | None,
    spef: Path | None,
    engine: str,
    input_slew_ns: float,
    part: Part,
    layout: Path | None = None,
    lef: Sequence[Path] = (),
) -> None:
    """Cost any mapped netlist in watts; ``layout``: a DEF file of it, for a picture."""
    from dbp.synthesis.power.cost_netlist import cost_power

    (out / PICTURE).unlink(missing_ok=True)
    # Before the watts, which take their time.
    placed = None if layout is None and not lef else _read_layout(layout, lef, liberty)
    metrics = cost_power(
        netlist,
        activity,
        _files(liberty),
        clock_mhz,
        out,
        wire_load=wire_load,
        spef_file=spef,
        engine=engine,
        input_slew_ns=input_slew_ns,
        part=part,
        kit=next((str(path) for path in liberty if _is_kit(path)), None),
    )
    if placed is not None:
        clocks = metrics.clock_toggles_per_clock
        write_text(out / PICTURE, placed.draw(metrics.module, clocks))
    watts, tree = metrics.power_w, metrics.clock_tree_estimate_w
    kinds = ", ".join(
        f"{kind} {1e3 * getattr(watts, kind):.4g}" for kind in ("switching", "internal", "leakage")
    )
    for note in metrics.notes:
        print(f"note: {note}", file=sys.stderr, flush=True)
    for clock, toggles in metrics.clock_toggles_per_clock.items():
        if abs(toggles - 2) > 0.02:
            print(f"note: {clock} toggles {toggles:.3g} times a clock of {clock_mhz:g} MHz, not 2")
    print(
        f"{metrics.module}: {1e3 * watts.total:.4g} mW ({kinds}) by "
        f"{metrics.power_engine}; "
        + (
            f"clock tree, estimated: {1e3 * tree.total:.4g} mW of them"
            if tree
            else f"clock cells: {1e3 * metrics.groups['clock'].total:.4g} mW of them"
        )
        + (f"; activity of {metrics.activity_scope}" if metrics.activity_scope else "")
        + f"; {metrics.wall_time_s:.0f} s -> {out}",
        flush=True,
    )


def _read_layout(layout: Path | None, lef: Sequence[Path], liberty: Sequence[Path]) -> Placed:
    """Read a DEF file, and the LEF files of its cells: those of a kit where the library is one."""
    from dbp.synthesis.layout import openroad
    from dbp.synthesis.layout.kit_layouts import LAYOUTS
    from dbp.synthesis.layout.picture import Placed

    if layout is None:
        raise InputError(f"lef = {lef[0]}: must come with a layout, --def FILE")
    named = (str(path) for path in liberty if str(path) in LAYOUTS and _is_kit(path))
    files = [*lef] or [file for kit in named for file in openroad.lef_files(kit)]
    if not files:
        raise InputError(f"def = {layout}: needs the sizes of its cells: add --lef FILE")
    return Placed.read(layout, files)


def _files(liberty: Sequence[Path]) -> list[Path]:
    """Return the files of a library, those of a kit where one is named and is no file here."""
    from dbp.synthesis.cells import kits

    return [
        file for path in liberty for file in (kits.find(str(path))[1] if _is_kit(path) else [path])
    ]


def _is_kit(path: Path) -> bool:
    """Tell whether a library is given by the name of a kit."""
    from dbp.synthesis.cells import kits

    return str(path) in kits.KITS and not path.exists()
