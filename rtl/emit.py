"""``dbp rtl``: a Design becomes a folder of Verilog, with a description of its ports."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from amaranth.lib import wiring

from dbp.datapath.design import Design
from dbp.errors import InputError
from dbp.records.provenance import Stopwatch, package_versions, write_metrics
from dbp.rtl.blocks.chain import Chain
from dbp.rtl.blocks.hardwired import report
from dbp.rtl.blocks.step import Step
from dbp.rtl.pipeline import Pipeline
from dbp.rtl.ports import FILTER_KINDS, FORMAT, MAX_LANES, TOPS, VERSION
from dbp.rtl.verilog import to_verilog
from dbp.support.files import write_json, write_text


def emit(
    design: Design,
    out_dir: str | Path,
    lanes: int,
    *,
    filters: str = "reconfigurable",
    top: str = "chain",
    step: int = 0,
    pipeline: Pipeline | None = None,
    config_hash: str | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Write ``*.v``, one module a file, ``ports.json`` and ``metrics.json``.

    ``filters``: ``reconfigurable``, with taps in registers, or ``hardwired``, with taps in the
    logic. ``top``: the whole ``chain``; the ``step`` of that number, a filter and (but for the
    last one) its rotation; or its ``filter`` alone. Verilog files that an earlier emission left in
    ``out_dir`` are removed. Returns the metrics: ``lanes``, ``filters``, ``top``, ``pipeline``,
    ``steps``, ``latency_cycles``, ``modules``, ``lines``, and of hardwired filters
    ``adder_graphs``: for each step what `dbp.rtl.blocks.hardwired.report` says of a lane.
    `InputError` for lanes outside 1..1024, or a step, a top or a kind of filters that there is not.
    """
    stopwatch, out_dir = Stopwatch(), Path(out_dir)
    block, steps = _build(design, lanes, filters, top, step, pipeline or Pipeline())
    modules = to_verilog(block)
    for stale in out_dir.glob("*.v"):
        stale.unlink()
    for name, text in modules.items():
        write_text(out_dir / f"{name}.v", text)
    write_json(out_dir / "ports.json", _describe(design, block, steps, filters, top))
    graphs = {}
    if filters == "hardwired":
        graphs["adder_graphs"] = [
            {"step": k} | report(step.filter.filter, step.filter.input_bits, step.filter.pipeline)
            for k, step in steps.items()
        ]
    return write_metrics(
        out_dir / "metrics.json",
        {
            "lanes": lanes,
            "filters": filters,
            "top": top,
            "pipeline": asdict(pipeline or Pipeline()),
            "steps": len(steps),
            "latency_cycles": block.latency,
            "modules": len(modules),
            "lines": sum(text.count("\n") for text in modules.values()),
            **graphs,
        },
        design_hash=design.hash,
        config_hash=config_hash,
        seed=seed,
        versions=package_versions("amaranth", "pyosys"),
        stopwatch=stopwatch,
    )


def emit_step(
    design: Design,
    step: int,
    lanes: int,
    path: str | Path,
    *,
    filters: str = "reconfigurable",
    pipeline: Pipeline | None = None,
) -> dict[str, Any]:
    """Write ``filters[step]`` and, but for the last step, ``rotations[step]`` as one Verilog file.

    Returns what ``ports.json`` says of it. `InputError` as in `emit`.
    """
    block, steps = _build(design, lanes, filters, "step", step, pipeline or Pipeline())
    write_text(path, "\n".join(to_verilog(block).values()))
    return _describe(design, block, steps, filters, "step")


def check(design: Design, lanes: int, filters: str, top: str, step: int) -> None:
    """`InputError` for what `emit` cannot emit."""
    if type(lanes) is not int or not 1 <= lanes <= MAX_LANES:
        raise InputError(f"lanes = {lanes!r}: must be an integer in 1..{MAX_LANES}")
    if filters not in FILTER_KINDS:
        raise InputError(f"filters = {filters!r}: must be {' or '.join(FILTER_KINDS)}")
    if top not in TOPS:
        raise InputError(f"top = {top!r}: must be one of {', '.join(TOPS)}")
    if type(step) is not int or not 0 <= step < len(design.filters):
        raise InputError(f"step = {step!r}: must be an integer in 0..{len(design.filters) - 1}")


def _build(
    design: Design, lanes: int, filters: str, top: str, step: int, pipeline: Pipeline
) -> tuple[Chain | Step, dict[int, Step]]:
    """The top, and its steps by their number in the design."""
    check(design, lanes, filters, top, step)
    hardwired = filters == "hardwired"
    if top == "chain":
        chain = Chain(design, lanes, pipeline, hardwired=hardwired)
        return chain, dict(enumerate(chain.steps))
    block = Step(design, step, lanes, pipeline, hardwired=hardwired, rotation=top == "step")
    return block, {step: block}


def _describe(
    design: Design, block: Chain | Step, steps: dict[int, Step], filters: str, top: str
) -> dict[str, Any]:
    """What a bench must know of a top: ports, lanes, latency, and the registers of its steps.

    ``blocks`` are those that samples pass, numbered as in `dbp.datapath.golden.trace_retuned`.
    """
    ports = [
        {
            "name": name,
            "direction": "input" if flow == wiring.In else "output",
            "width": len(getattr(block, name)),
        }
        for name, flow in block.ports()
    ]
    blocks = [2 * k + b for k, step in steps.items() for b in range(1 + bool(step.rotation))]
    return {
        "format": FORMAT,
        "version": VERSION,
        "design_hash": design.hash,
        "filters": filters,
        "kind": top,
        "blocks": blocks,
        "top": block.module_name,
        "clock": "clk",
        "reset": "rst",
        "lanes": block.lanes,
        "input_bits": block.input_bits,
        "output_bits": block.output_bits,
        "latency_cycles": block.latency,
        "warm_up_words": block.warm_up_words,
        "read_latency_cycles": 2 if top == "chain" else 1,
        "ports": ports,
        "steps": [_describe_step(step, k) for k, step in steps.items()],
    }


def _describe_step(step: Step, k: int) -> dict[str, Any]:
    return {
        "step": k,
        "module": step.module_name,
        "latency_cycles": step.latency,
        "warm_up_words": step.warm_up_words,
        "addresses": step.registers.address_map(),
    }
