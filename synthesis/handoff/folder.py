"""Write the folder that is handed over, and run its bench before anybody else does."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dbp
from dbp.datapath.design import Design
from dbp.datapath.stimulus import Stimulus, StimulusSource
from dbp.errors import DbpError, InputError, ToolError
from dbp.records.provenance import (
    Stopwatch,
    package_versions,
    provenance,
    read_metrics,
    write_metrics,
)
from dbp.records.schemas import HandoffMetrics, HandoffVectors
from dbp.rtl.ports import Ports
from dbp.sim import simulators
from dbp.sim.vectors import SEED, Vector, make_vectors
from dbp.support import family, processes
from dbp.support.files import write_csv, write_text
from dbp.synthesis.activity import saif, vcd
from dbp.synthesis.activity.vcd import Whole
from dbp.synthesis.cells import kits
from dbp.synthesis.handoff import bench, registers, scripts
from dbp.synthesis.handoff.vectors import VectorSet, hexadecimal, layouts, make_set
from dbp.synthesis.stages import Cells

METRICS = "metrics.json"
ACTIVITY, RDL, VALUES = "activity/received.saif", "registers/registers.rdl", "registers/values.csv"
# Samples of the received waveform that leave the top.
SAMPLES = 1024
TIMEOUT_S = 3600
SETS = {
    "received": ("received", "received_with_gaps"),
    "saturating": (
        "alternating_full_scale",
        "all_largest",
        "all_smallest",
        "random_full_scale_with_gaps",
        "extreme_taps",
    ),
}
# Everything that a handoff writes.
_FOLDERS = ("rtl", "bench", "vectors", "yosys", "kit", "activity", "registers")
_FILES = (scripts.SDC, scripts.YOSYS, scripts.OPENROAD, "README.md", "*.core", METRICS)


class HandoffError(DbpError):
    """The bench that was to be handed over does not pass: the folder is as it was."""


@dataclass(frozen=True, eq=False)
class Handoff:
    """What is handed over of an emission: ``rtl`` holds Verilog and ports of ``design``.

    ``kit``: for the scripts. ``config_hash``: for the metrics.
    """

    design: Design
    rtl: Path
    stimulus: StimulusSource
    kit: str
    clock_mhz: float
    config_hash: str | None = None


def hand_off(handoff: Handoff, folder: str | Path) -> HandoffMetrics:
    """Write the folder: see ``docs/howto/handoff.md``. An earlier one is replaced.

    The bench must pass in Icarus Verilog first: `HandoffError` where it does not. `InputError`
    where the folder holds files of others, `MissingError` without Icarus or the kit.
    """
    stopwatch, folder = Stopwatch(), Path(folder)
    _check_folder(folder)
    _, icarus = simulators.choose("icarus")
    kit, liberty = kits.find(handoff.kit)
    ports = Ports.read(handoff.rtl, handoff.design)
    samples = ports.warm_up_words * ports.lanes + SAMPLES
    stimulus = handoff.stimulus(samples)
    vectors = {each.name: each for each in make_vectors(ports, handoff.design, stimulus, samples)}
    sets = [_set(name, names, ports, vectors) for name, names in SETS.items()]
    with family.temporary_folder("dbp-handoff-") as work:
        _write_verilog(work, handoff, ports, sets)
        _write_registers(work, handoff, ports, stimulus)
        passed = _run_bench(work)
        activity = _activity(work, ports.top)
        write_text(work / ACTIVITY, saif.text(ports.top, activity))
        cells = Cells.read(kit, liberty)
        has_layout = _write_scripts(work, handoff, ports, cells)
        write_text(work / "README.md", _readme(handoff, ports, sets[-1], kit.name, has_layout))
        metrics = HandoffMetrics(
            top=ports.top,
            lanes=ports.lanes,
            filters=ports.filters,
            pdk=kit.name,
            clock_mhz=handoff.clock_mhz,
            latency_cycles=ports.latency_cycles,
            bench=passed,
            vector_seed=SEED,
            vectors=tuple(map(_figures, sets)),
            activity_clocks=sets[0].counted_to - sets[0].counted_from,
            activity_nets=sum(map(len, activity.nets.values())),
            **provenance(
                design_hash=handoff.design.hash,
                config_hash=handoff.config_hash,
                seed=stimulus.seed,
                versions=package_versions("amaranth", "pyosys") | {"icarus": icarus},
                stopwatch=stopwatch,
            ),
        )
        write_metrics(work / METRICS, metrics)
        _replace(folder, work)
    return metrics


def _check_folder(folder: Path) -> None:
    """Refuse a folder that holds files of others."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        earlier = read_metrics(folder / METRICS, HandoffMetrics)
    except InputError:
        earlier = None
    if earlier is None:
        raise InputError(f"{folder}: holds files that are no handoff: choose an empty folder")


def _replace(folder: Path, work: Path) -> None:
    for name in _FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    for pattern in _FILES:
        for file in folder.glob(pattern):
            file.unlink()
    # Metrics come last: without them the folder is no whole handoff.
    files = [file for file in work.rglob("*") if file.is_file()]
    for file in sorted(files, key=lambda file: (file.name == METRICS, file)):
        target = folder / file.relative_to(work)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def _set(name: str, names: Sequence[str], ports: Ports, vectors: dict[str, Vector]) -> VectorSet:
    return make_set(name, ports, [vectors[each] for each in names])


def _title(handoff: Handoff, ports: Ports) -> str:
    what = "" if ports.kind == "chain" else f" {ports.steps[0].step}"
    return f"{ports.kind}{what} of {handoff.design.name}, {ports.filters}, {ports.lanes} lanes"


def _core_name(handoff: Handoff, ports: Ports) -> str:
    what = "" if ports.kind == "chain" else str(ports.steps[0].step)
    return re.sub(r"[^\w-]", "_", f"{handoff.design.name}-{ports.kind}{what}")


def _write_verilog(work: Path, handoff: Handoff, ports: Ports, sets: Sequence[VectorSet]) -> None:
    """Write the Verilog, the bench, its vectors, and the core file that lists them."""
    for file in sorted(handoff.rtl.glob("*.v")):
        write_text(work / "rtl" / file.name, file.read_text(encoding="utf-8"))
    title, rows = _title(handoff, ports), layouts(ports)
    for each in sets:
        for kind, content, layout in zip(
            ("stimulus", "answers"), (each.stimulus, each.expected), rows, strict=True
        ):
            fields = " ".join(f"{name}:{width}" for name, width in layout.fields)
            text = hexadecimal(content, layout.bits, f"{title}: {each.name}, {kind}: {fields}")
            write_text(work / "vectors" / f"{each.name}_{kind}.hex", text)
    period_ps = round(1e6 / handoff.clock_mhz)
    write_text(work / "bench" / "bench.v", bench.verilog(ports, sets, period_ps, title))
    files = [file.relative_to(work).as_posix() for file in sorted(work.rglob("*.[vh]*"))]
    name = _core_name(handoff, ports)
    core = scripts.fusesoc_core(name, dbp.__version__, title, ports, files)
    write_text(work / f"{name}.core", core)


def _write_registers(work: Path, handoff: Handoff, ports: Ports, stimulus: Stimulus) -> None:
    """Write register map and values, where the top has registers."""
    text = registers.system_rdl(ports, handoff.design, _title(handoff, ports))
    if text is not None:
        write_text(work / RDL, text)
    if rows := registers.values(ports, handoff.design, stimulus.launch_power_uw):
        write_csv(work / VALUES, rows)


def _run_bench(work: Path) -> str:
    """Run the bench in Icarus Verilog and return its last line; leaves ``received.vcd``."""
    verilog = sorted(file.relative_to(work).as_posix() for file in work.glob("rtl/*.v"))
    compiled = ["iverilog", "-g2005", "-o", "bench.vvp", "bench/bench.v", *verilog]
    processes.run(compiled, work, "iverilog.log", TIMEOUT_S)
    played = ["vvp", "-N", "bench.vvp", "+vcd=received.vcd"]
    status = processes.run_logged(played, work / "vvp.log", TIMEOUT_S, folder=work)
    last = (work / "vvp.log").read_text(encoding="utf-8").strip().rpartition("\n")[2]
    if status != 0 or not last.startswith("PASS: "):
        raise HandoffError(f"the bench that was to be handed over does not pass: {last}")
    for name in ("bench.vvp", "iverilog.log", "vvp.log"):
        (work / name).unlink()
    return last


def _activity(work: Path, top: str) -> Whole:
    """Return the activity of the nets that have a name; nameless ones are other ones elsewhere."""
    whole = vcd.read_all(work / "received.vcd")
    (work / "received.vcd").unlink()
    nets = {
        path: {name: times for name, times in of_scope.items() if not re.match(r"_\d+_", name)}
        for path, of_scope in whole.nets.items()
    }
    if not any(nets.values()):
        raise ToolError(f"Icarus Verilog dumped no net of {top}")
    return Whole(nets, whole.duration, whole.unit_s)


def _write_scripts(work: Path, handoff: Handoff, ports: Ports, cells: Cells) -> bool:
    """Write the scripts, and the files of the kit that they read; tell whether it has a layout."""
    period_s, kit = 1e-6 / handoff.clock_mhz, cells.kit
    (work / scripts.KIT).mkdir()
    files = [*cells.liberty, *(scripts.lef_files(kit.name) or ())]
    names = [f"{scripts.KIT}/{kits.unpack(file, work / scripts.KIT)}" for file in files]
    liberty = names[: len(cells.liberty)]
    verilog = sorted(file.relative_to(work).as_posix() for file in work.glob("rtl/*.v"))
    write_text(work / scripts.SDC, scripts.sdc(ports, period_s))
    for name, text in scripts.yosys(ports, verilog, liberty, cells.library, kit).items():
        write_text(work / name, text)
    layout = scripts.open_road(ports, liberty, cells.library, kit, period_s)
    if layout is not None:
        write_text(work / scripts.OPENROAD, layout)
    return layout is not None


def _figures(each: VectorSet) -> HandoffVectors:
    return HandoffVectors(
        name=each.name,
        vectors=each.vectors,
        clocks=len(each.stimulus),
        samples=each.samples,
        registers_read=each.reads,
        saturators=each.saturators["count"],
        saturators_below=each.saturators["below"],
        saturators_above=each.saturators["above"],
    )


def _readme(
    handoff: Handoff, ports: Ports, saturating: VectorSet, kit: str, has_layout: bool
) -> str:
    """Return ten lines with the exact commands, to be typed in the folder."""
    count, below, above = (saturating.saturators[key] for key in ("count", "below", "above"))
    layout, registers_ = f"{kit} has no layout: no script", "none"
    if has_layout:
        layout = f"`openroad -exit {scripts.OPENROAD}` (LEF files in kit/; after 3 and 4)"
    if "cfg_address" in ports.widths:
        registers_ = f"`{RDL}` (SystemRDL 2.0)"
        registers_ += (
            f"; taps and K of the design: `{VALUES}`" if ports.widths.get("cfg_data") else ""
        )
    lines = (
        f"# {_title(handoff, ports)}: design {handoff.design.hash[:12]}, dbp {dbp.__version__}",
        "1. Bench: `iverilog -g2005 -o bench.vvp bench/bench.v rtl/*.v && vvp -N bench.vvp` says "
        "PASS, or FAIL with exit status 1",
        f"2. Golden vectors: a received waveform, and random and extreme words (seed {SEED}) that "
        f"drive {below} of {count} saturators below and {above} above their range",
        f"3. Synthesis for {kit}: `yosys {scripts.YOSYS}` writes {scripts.NETLIST}, and in "
        f"{scripts.CELLS} the functions of its cells",
        f"4. The netlist on the bench: `iverilog -g2005 -o gates.vvp bench/bench.v "
        f"{scripts.NETLIST} {scripts.CELLS} && vvp -N gates.vvp +vcd={scripts.ACTIVITY}`",
        f"5. Constraints: `{scripts.SDC}`, {handoff.clock_mhz:g} MHz; latency "
        f"{ports.latency_cycles} clocks, {ports.warm_up_words} words of warm-up",
        f"6. Layout: {layout}",
        f"7. Activity: of the Verilog, `{ACTIVITY}`, scope bench/dut; of the netlist, "
        f"{scripts.ACTIVITY} of line 4",
        f"8. Registers: {registers_}",
        "9. FuseSoC: `fusesoc --cores-root . run --target sim "
        f"dbp:receivers:{_core_name(handoff, ports)}`",
    )
    return "\n".join(lines) + "\n"
