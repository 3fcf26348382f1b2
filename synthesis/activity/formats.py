"""Read the activity of a netlist from a file of any format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dbp.errors import InputError
from dbp.synthesis.activity import activity, saif, vcd
from dbp.synthesis.activity.activity import Activity, Part
from dbp.synthesis.activity.sought import Listing, Sought
from dbp.synthesis.netlist import Netlist
from dbp.synthesis.netlist.model import plain_name

EVERYTHING = Part()


def read(
    path: str | Path, design: Netlist, clock_period_s: float, part: Part = EVERYTHING
) -> Activity:
    """Read the activity of the nets of ``design``; the file's name says in which format it is.

    A net that the file knows only by the output port it drives has that port's activity.
    `InputError` where the format has no scopes or times and ``part`` asks for some.
    """
    names = dict.fromkeys([*design.nets, *design.outputs])
    spellings = {name: design.spellings(name) for name in names}
    kind = Path(path).name.removesuffix(".gz").rpartition(".")[2].lower()
    if kind not in ("csv", "saif", "vcd"):
        raise InputError(f"{path}: must end in .csv, .saif or .vcd, with or without .gz")
    if kind == "csv" and part.scope is not None:
        raise InputError(f"{path}: scope {part.scope!r}: a CSV has no scopes, a SAIF or VCD has")
    if kind != "vcd" and part.has_times:
        raise InputError(f"{path}: a part of the time: only a VCD has times")
    if kind == "csv":
        rates = _of_table(activity.read(path), Sought(spellings))
    elif kind == "saif":
        rates = saif.read(path, spellings, clock_period_s, part.scope)
    else:
        rates = vcd.read(path, spellings, clock_period_s, part.scope, part.window)
    toggles, probability = dict(rates.toggles_per_clock), dict(rates.static_probability)
    for port, net in design.outputs.items():
        if net not in toggles and port in toggles:
            toggles[net], probability[net] = toggles[port], probability[port]
    return replace(
        rates, toggles_per_clock=toggles, static_probability=probability, source=str(path)
    )


def _of_table(rates: Activity, sought: Sought) -> Activity:
    """Return the activity by the names of the nets that are sought."""
    listing: Listing[str] = Listing()
    for name in rates.toggles_per_clock:
        listing.add(sought, plain_name(name), name)
    found = dict(listing.found(sought))
    return Activity(
        {net: rates.toggles_per_clock[names[0]] for net, names in found.items()},
        {net: rates.static_probability[names[0]] for net, names in found.items()},
    )
