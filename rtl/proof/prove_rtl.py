"""Prove an emission: each of its blocks, and how its steps and its chain join them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from dbp.datapath.design import Design, Filter, Rotation
from dbp.errors import InputError
from dbp.records.provenance import Stopwatch, package_versions, provenance, write_metrics
from dbp.records.schemas import ProofMetrics, ProvedModule
from dbp.rtl.ports import Ports, StepPorts
from dbp.rtl.proof.netlist import ProofError, WordNetlist, read_modules
from dbp.rtl.proof.prove_block import prove_filter, prove_rotation
from dbp.rtl.proof.wiring import cascade, check_clocks


def prove(
    rtl_dir: str | Path,
    design: Design,
    *,
    folder: str | Path | None = None,
    config_hash: str | None = None,
) -> ProofMetrics:
    """Prove that the Verilog in ``rtl_dir``, emitted of ``design``, computes what golden does.

    Each distinct filter and rotation is proved once; ``modules`` has them in the order of the
    chain. With ``folder`` the metrics are also written there, as ``metrics.json``. `InputError` for
    files that do not belong together; `ProofError` where the Verilog is not what golden is, or
    where that cannot be shown.
    """
    stopwatch = Stopwatch()
    path = None if folder is None else Path(folder) / "metrics.json"
    if path is not None:
        # No metrics of an earlier proof may stay where this one fails.
        path.unlink(missing_ok=True)
    modules = _prove_modules(Path(rtl_dir), design)
    metrics = ProofMetrics(
        modules=tuple(modules),
        **provenance(
            design_hash=design.hash,
            config_hash=config_hash,
            seed=None,
            versions=package_versions("pyosys"),
            stopwatch=stopwatch,
        ),
    )
    return metrics if path is None else write_metrics(path, metrics)


class _Task(NamedTuple):
    """To prove: module ``name`` is a filter or a rotation of the design."""

    name: str
    part: Filter | Rotation
    input_bits: int


class _Step(NamedTuple):
    """The blocks of a step, and the clocks that words wait between them."""

    tasks: list[_Task]
    clocks: int


def _prove_modules(rtl_dir: Path, design: Design) -> list[ProvedModule]:
    ports = Ports.read(rtl_dir, design)
    modules = read_modules(rtl_dir)
    top = modules.get(ports.top)
    if top is None:
        raise InputError(f"{rtl_dir}: no module {ports.top}: run `dbp rtl` again")
    check_clocks(modules, top)
    numbers = [step.step for step in ports.steps]
    netlists = [top]
    if ports.kind == "chain":
        netlists = cascade(modules, top, [f"step_{k}" for k in numbers]).modules
    steps = [
        _step(modules, netlist, design, k, rotates=2 * k + 1 in ports.blocks)
        for k, netlist in zip(numbers, netlists, strict=True)
    ]
    # Equal tasks are one, in the order of the chain.
    tasks = list(dict.fromkeys(task for step in steps for task in step.tasks))
    flat = read_modules(rtl_dir, sorted({task.name for task in tasks}))
    proved = [
        _prove_task(flat[task.name], task, ports)
        for task in tqdm(tasks, "Proof", unit=" modules", disable=None, leave=False)
    ]
    by_name = {row.module: row for row in proved}
    for step, described in zip(steps, ports.steps, strict=True):
        _check_latency(described, step.clocks, [by_name[task.name] for task in step.tasks])
    return proved


def _step(
    modules: dict[str, WordNetlist], netlist: WordNetlist, design: Design, k: int, *, rotates: bool
) -> _Step:
    """Find the blocks of step k in its netlist; not every top has a rotation."""
    parts: list[tuple[str, Filter | Rotation, int]] = [
        ("filter", design.filters[k], design.filter_input_bits(k))
    ]
    if rotates:
        parts.append(("rotation", design.rotations[k], design.rotation_input_bits(k)))
    blocks, clocks = cascade(modules, netlist, [instance for instance, _, _ in parts])
    tasks = [
        _Task(block.name, _without_registers(block, part), bits)
        for block, (_, part, bits) in zip(blocks, parts, strict=True)
    ]
    return _Step(tasks, clocks)


def _without_registers(block: WordNetlist, part: Filter | Rotation) -> Filter | Rotation:
    """A part with zeros for what its block reads from registers.

    Parts that differ only there share a module, and are proved once.
    """
    if isinstance(part, Rotation):
        return replace(part, kerr_gains=(0,) * len(part.kerr_gains), kerr_shift=0)
    if "taps_i" in block.inputs:
        zeros = (0,) * len(part.half_taps_i)
        return replace(part, half_taps_i=zeros, half_taps_q=zeros)
    return part


def _prove_task(netlist: WordNetlist, task: _Task, ports: Ports) -> ProvedModule:
    word = task.input_bits, ports.lanes, ports.polarizations
    if isinstance(task.part, Filter):
        return prove_filter(netlist, task.part, *word)
    return prove_rotation(netlist, task.part, *word)


def _check_latency(step: StepPorts, clocks: int, blocks: list[ProvedModule]) -> None:
    """Compare latency and warm-up of a step, as ``ports.json`` states them, with those proved."""
    latency = clocks + sum(block.latency_cycles for block in blocks)
    words = sum(block.warm_up_words for block in blocks)
    if (latency, words) != (step.latency_cycles, step.warm_up_words):
        raise ProofError(
            f"step {step.step}: latency {latency} clock cycles and warm-up {words} words, "
            f"ports.json says {step.latency_cycles} and {step.warm_up_words}"
        )
