"""``dbp power``: power of any mapped netlist from the activity of its nets."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbp.synthesis.activity.activity import Part


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
) -> None:
    """Cost any mapped netlist in watts."""
    from dbp.synthesis.power.cost_netlist import cost_power

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
    )
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
            f"clock tree, estimated, not included: {1e3 * tree.total:.4g} mW"
            if tree
            else f"clock cells, included: {1e3 * metrics.groups['clock'].total:.4g} mW"
        )
        + (f"; activity of {metrics.activity_scope}" if metrics.activity_scope else "")
        + f"; {metrics.wall_time_s:.0f} s -> {out}",
        flush=True,
    )


def _files(liberty: Sequence[Path]) -> list[Path]:
    """Return the files of a library, those of a kit where one is named and is no file here."""
    from dbp.synthesis.cells import kits

    return [
        file
        for path in liberty
        for file in (
            kits.find(str(path))[1] if str(path) in kits.KITS and not path.exists() else [path]
        )
    ]
