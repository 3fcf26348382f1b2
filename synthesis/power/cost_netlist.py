"""``dbp power``: the power of any mapped netlist, from its activity and its cell library."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from dbp.datapath.limits import MAX_CLOCK_MHZ
from dbp.errors import InputError
from dbp.records.provenance import Stopwatch, package_versions, provenance, write_metrics
from dbp.records.schemas import PowerMetrics
from dbp.synthesis import netlist
from dbp.synthesis.activity import formats
from dbp.synthesis.activity.activity import Activity, Part
from dbp.synthesis.cells import layout_rules, liberty_reader
from dbp.synthesis.cells.library import Library
from dbp.synthesis.netlist import Netlist, spef
from dbp.synthesis.netlist.binding import bound
from dbp.synthesis.netlist.spef import Wires
from dbp.synthesis.power import _notes, calculate, opensta
from dbp.synthesis.power._graph import without_supplies
from dbp.synthesis.power.calculate import Power
from dbp.synthesis.timing import clock_tree

# Ideal inputs, like those that OpenSTA has without a set_input_transition.
INPUT_SLEW_NS = 0.0
MAX_INPUT_SLEW_NS = 1000.0
ENGINES = ("dbp", "opensta")
RESULTS = ("metrics.json", "power.csv.gz")


@dataclass(frozen=True)
class _Inputs:
    """The inputs of a calculation of power; ``netlist`` without its supplies."""

    netlist: Netlist
    library: Library
    activity: Activity
    wire_load: str | None
    wires: Wires | None
    clock_period_s: float
    input_slew_ns: float
    part: Part
    kit: str | None = None
    wire_factor: float = 1.0


def cost_power(
    netlist_file: str | Path,
    activity_file: str | Path,
    liberty_files: Sequence[str | Path],
    clock_mhz: float,
    out: str | Path,
    *,
    wire_load: str | None = None,
    spef_file: str | Path | None = None,
    engine: str = "dbp",
    input_slew_ns: float = INPUT_SLEW_NS,
    part: Part = formats.EVERYTHING,
    kit: str | None = None,
) -> PowerMetrics:
    """Cost a mapped netlist in watts; writes ``metrics.json`` and ``power.csv.gz`` to ``out``.

    ``activity_file``: ``.csv``, ``.saif`` or ``.vcd``, also compressed (``.gz``). ``wire_load``:
    one of the library's, "none" for no wires, by default the library's default. ``spef_file``: the
    wires of the netlist's own layout, ``.spef`` or ``.spef.gz``, in its place. ``engine``: "dbp"
    or "opensta". ``input_slew_ns``: the transition time of every input port but the clocks, as the
    library measures it (``set_input_transition``). ``part``: which scope and time of the activity
    count. ``kit``: the kit of the library, whose layouts say what the library's default wire load
    is multiplied by and what a clock tree takes; None for a library of one's own. Returns the
    metrics (keys: ``docs/reference/netlists.md``). `InputError` for what does
    not fit, `MissingError` and `ToolError` of the other engine. Where it fails, ``out`` holds no
    figures, not even those of an earlier call.
    """
    stopwatch, out = Stopwatch(), Path(out)
    if not 0 < clock_mhz <= MAX_CLOCK_MHZ:
        raise InputError(f"clock_mhz = {clock_mhz!r}: must be above 0 and at most {MAX_CLOCK_MHZ}")
    if not 0 <= input_slew_ns <= MAX_INPUT_SLEW_NS:
        raise InputError(
            f"input_slew_ns = {input_slew_ns!r}: must be 0 to {MAX_INPUT_SLEW_NS:g} ns"
        )
    if engine not in ENGINES:
        raise InputError(f"power engine {engine!r}: must be one of {', '.join(ENGINES)}")
    if spef_file is not None and (wire_load is not None or engine != "dbp"):
        other = f"wire_load = {wire_load!r}" if wire_load is not None else f"engine {engine!r}"
        raise InputError(f"spef = {spef_file}: must be without {other}: it has the wires itself")
    _clear(out)
    # Asked for first, so that a missing program is reported before large files are read.
    engine_version = "dbp" if engine == "dbp" else opensta.find()[1]
    inputs = _read_inputs(
        netlist_file, activity_file, liberty_files, clock_mhz,
        wire_load, spef_file, input_slew_ns, part,
    )  # fmt: skip
    # Another engine, and a wire load that was asked for, take the library's wires as they are.
    scaled = kit is not None and engine == "dbp" and (wire_load, spef_file) == (None, None)
    factor = layout_rules.of(kit).wire_factor if scaled else 1.0
    inputs = replace(inputs, kit=kit, wire_factor=factor)
    with _concerning(netlist_file):
        watts = _watts(inputs)
    if engine == "opensta":
        watts = _by_opensta(inputs, watts, netlist_file, liberty_files, out / "opensta")
    watts.write(out / "power.csv.gz")
    metrics = _metrics(inputs, watts, clock_mhz, engine_version, stopwatch)
    return write_metrics(out / "metrics.json", metrics)


def _watts(inputs: _Inputs) -> Power:
    return calculate.calculate(
        inputs.netlist,
        inputs.library,
        inputs.activity,
        inputs.clock_period_s,
        inputs.wire_load,
        inputs.input_slew_ns * 1e-9,
        inputs.wires,
        inputs.wire_factor,
    )


def _by_opensta(
    inputs: _Inputs,
    own: Power,
    netlist_file: str | Path,
    liberty_files: Sequence[str | Path],
    work: Path,
) -> Power:
    shutil.rmtree(work, ignore_errors=True)
    return opensta.calculate(
        own,
        inputs.netlist,
        inputs.library,
        inputs.activity,
        inputs.clock_period_s,
        inputs.wire_load,
        inputs.input_slew_ns,
        netlist_file,
        liberty_files,
        work,
    )


def _read_inputs(
    netlist_file: str | Path,
    activity_file: str | Path,
    liberty_files: Sequence[str | Path],
    clock_mhz: float,
    wire_load: str | None,
    spef_file: str | Path | None,
    input_slew_ns: float,
    part: Part,
) -> _Inputs:
    library = liberty_reader.read(*liberty_files)
    design = netlist.read(netlist_file, library.cells.keys())
    load = library.default_wire_load if wire_load is None else wire_load
    load = None if load == "none" or spef_file is not None else load
    library.wire_load(load)  # refuses a name that the library does not have
    period_s = 1e-6 / clock_mhz
    with _concerning(netlist_file):
        design = without_supplies(bound(design, library), library)
    wires = None if spef_file is None else spef.read(spef_file)
    if wires is not None and not any(wires.has(net) for net in design.nets):
        raise InputError(
            f"{spef_file}: has none of the {len(design.nets)} nets of {netlist_file}: must be the "
            f"SPEF of the same layout; it is of the design {wires.design!r}"
        )
    rates = formats.read(activity_file, design, period_s, part)
    return _Inputs(design, library, rates, load, wires, period_s, input_slew_ns, part)


def _metrics(
    inputs: _Inputs, watts: Power, clock_mhz: float, engine_version: str, stopwatch: Stopwatch
) -> PowerMetrics:
    design, library = inputs.netlist, inputs.library
    toggles, nets = inputs.activity.toggles_per_clock, design.nets
    tree = clock_tree.estimate(design, library, inputs.clock_period_s, inputs.kit)
    groups = {
        group: clock_tree.with_tree(watts.totals(group), tree if group == "clock" else None)
        for group in calculate.GROUPS
    }
    return PowerMetrics(
        module=design.module,
        cells=len(design.instances),
        cell_area_um2=sum(library.cells[i.cell].area_um2 for i in design.instances),
        library=library.name,
        clock_mhz=clock_mhz,
        **clock_tree.as_metrics(watts.totals(), tree),
        groups=groups,
        power_engine=engine_version,
        wire_load=inputs.wire_load,
        wire_factor=inputs.wire_factor,
        nets_with_wires_fraction=None if inputs.wires is None else inputs.wires.share(design),
        input_slew_ns=inputs.input_slew_ns,
        voltage_v=library.voltage_v,
        supplies_v=_notes.supplies_v(design, library),
        internal_left_out_w=float(watts.left_out_w.sum()),
        activity=inputs.activity.source,
        activity_scope=inputs.activity.scope or None,
        activity_from_ns=inputs.part.from_ns,
        activity_to_ns=inputs.part.to_ns,
        nets_annotated_fraction=sum(net in toggles for net in nets) / max(len(nets), 1),
        clock_toggles_per_clock={clock: toggles[clock] for clock in watts.clocks},
        loops_cut=watts.loops_cut,
        notes=(*design.notes, *watts.notes, *_notes.notes(design, library, watts)),
        **provenance(
            design_hash=None,
            config_hash=None,
            seed=None,
            versions=package_versions("numpy"),
            stopwatch=stopwatch,
        ),
    )


@contextmanager
def _concerning(path: str | Path) -> Iterator[None]:
    """Put the file's name before the errors that arise here."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _clear(out: Path) -> None:
    """Remove the results of an earlier call, so that a failure does not leave them as its own."""
    nearest = next((path for path in (out, *out.parents) if path.exists()), None)
    if nearest is not None and not nearest.is_dir():
        raise InputError(f"--out {out}: must be a folder, or none yet: {nearest} is a file")
    for name in RESULTS:
        (out / name).unlink(missing_ok=True)
