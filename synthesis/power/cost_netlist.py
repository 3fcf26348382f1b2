"""``dbp power``: the power of any mapped netlist, from its activity and its cell library."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dbp.errors import InputError
from dbp.records.provenance import Stopwatch, package_versions, write_metrics
from dbp.synthesis import netlist
from dbp.synthesis.activity import activity, saif, vcd
from dbp.synthesis.activity.activity import Activity
from dbp.synthesis.cells import liberty_reader
from dbp.synthesis.netlist import Netlist
from dbp.synthesis.power import calculate, opensta
from dbp.synthesis.timing import clock_tree

MAX_CLOCK_MHZ = 100_000.0
ENGINES = ("dbp", "opensta")
RESULTS = ("metrics.json", "power.csv.gz")


def cost_power(
    netlist_file: str | Path,
    activity_file: str | Path,
    liberty_files: Sequence[str | Path],
    clock_mhz: float,
    out: str | Path,
    *,
    wire_load: str | None = None,
    engine: str = "dbp",
) -> dict[str, Any]:
    """Cost a mapped netlist; writes ``metrics.json`` and ``power.csv.gz`` to ``out``.

    ``activity_file``: ``.csv``, ``.saif`` or ``.vcd``, also packed (``.gz``). ``wire_load``: one
    of the library's, "none" for no wires, by default the library's default. ``engine``: "dbp" or
    "opensta". Returns the metrics (keys: ``docs/power.md``). `InputError` for what does not fit,
    `MissingError` and `ToolError` of the other engine. Where it fails, ``out`` holds no figures, of
    an earlier call neither.
    """
    stopwatch, out = Stopwatch(), Path(out)
    if not 0 < clock_mhz <= MAX_CLOCK_MHZ:
        raise InputError(f"clock_mhz = {clock_mhz!r}: must be above 0 and at most {MAX_CLOCK_MHZ}")
    if engine not in ENGINES:
        raise InputError(f"power engine {engine!r}: must be one of {', '.join(ENGINES)}")
    _clear(out)
    spoke = "dbp" if engine == "dbp" else opensta.find()[1]
    design = netlist.read(netlist_file)
    library = liberty_reader.read(*liberty_files)
    load = library.default_wire_load if wire_load is None else wire_load
    load = None if load == "none" else load
    library.wire_load(load)
    period_s = 1e-6 / clock_mhz
    with _concerning(netlist_file):
        design = calculate.link(design, library)
    rates = read_activity(activity_file, design, period_s)
    with _concerning(netlist_file):
        watts = calculate.calculate(design, library, rates, period_s, load)
    nets = calculate.nets(design)
    if engine == "opensta":
        work = out / "opensta"
        shutil.rmtree(work, ignore_errors=True)
        watts = opensta.calculate(
            watts, design, library, rates, period_s, load, netlist_file, liberty_files, work
        )
    watts.write(out / "power.csv.gz")
    return write_metrics(
        out / "metrics.json",
        {
            "module": design.module,
            "cells": len(design.instances),
            "cell_area_um2": sum(library.cells[i.cell].area_um2 for i in design.instances),
            "library": library.name,
            "clock_mhz": clock_mhz,
            "power_w": watts.totals(),
            "groups": {group: watts.totals(group) for group in calculate.GROUPS},
            "power_engine": spoke,
            **clock_tree.as_metrics(clock_tree.estimate(design, library, period_s)),
            "wire_load": load,
            "voltage_v": library.voltage_v,
            "activity": str(activity_file),
            "nets_annotated_fraction": sum(n in rates.toggles_per_clock for n in nets)
            / max(len(nets), 1),
            "clock_toggles_per_clock": {c: rates.toggles_per_clock[c] for c in watts.clocks},
        },
        design_hash=None,
        config_hash=None,
        seed=None,
        versions=package_versions("numpy"),
        stopwatch=stopwatch,
    )


@contextmanager
def _concerning(path: str | Path) -> Iterator[None]:
    """Errors that arise here name the file."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _clear(out: Path) -> None:
    """Take away what an earlier call left, so that no failure leaves it for the answer."""
    there = next((folder for folder in (out, *out.parents) if folder.exists()), None)
    if there is not None and not there.is_dir():
        raise InputError(f"--out {out}: must be a folder, or none yet: {there} is a file")
    for name in RESULTS:
        (out / name).unlink(missing_ok=True)


def read_activity(path: str | Path, design: Netlist, clock_period_s: float) -> Activity:
    """Activity of the nets of ``design``, in whatever format the file's name says.

    A net that the file knows only by the output port it drives has that port's.
    """
    nets = calculate.nets(design)
    names = dict.fromkeys([*nets, *design.outputs])
    kind = Path(path).name.removesuffix(".gz").rpartition(".")[2].lower()
    if kind == "csv":
        rates = activity.read(path)
    elif kind == "saif":
        rates = saif.read(path, names, clock_period_s)
    elif kind == "vcd":
        rates = vcd.read(path, names, clock_period_s)
    else:
        raise InputError(f"{path}: must end in .csv, .saif or .vcd, with or without .gz")
    toggles, probability = dict(rates.toggles_per_clock), dict(rates.static_probability)
    for port, net in design.outputs.items():
        if net not in toggles and port in toggles:
            toggles[net], probability[net] = toggles[port], probability[port]
    return Activity(toggles, probability, str(path))
