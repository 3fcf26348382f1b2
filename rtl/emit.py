"""``dbp rtl``: a Design becomes a folder of Verilog, with a description of its ports."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from amaranth.lib import wiring

from dbp.datapath.design import Design
from dbp.errors import InputError
from dbp.records.provenance import Stopwatch, package_versions, provenance, write_metrics
from dbp.records.schemas import AdderGraphs, RtlMetrics
from dbp.rtl.blocks.chain import Chain
from dbp.rtl.blocks.hardwired import graph_sizes
from dbp.rtl.blocks.step import Step
from dbp.rtl.ports import Addresses, Port, Ports, StepPorts
from dbp.rtl.target import Target
from dbp.rtl.verilog import HEADER_LINES, MARK, to_verilog
from dbp.support.files import write_json, write_text


def emit(
    design: Design,
    out_dir: str | Path,
    target: Target,
    *,
    config_hash: str | None = None,
    seed: int | None = None,
) -> RtlMetrics:
    """Write ``*.v``, one module a file, ``ports.json`` and ``metrics.json``.

    Verilog files that an earlier emission left in ``out_dir`` are removed. Returns the metrics.
    `InputError` as from `Target.check`, and where ``out_dir`` holds Verilog that dbp did not write.
    """
    stopwatch, out_dir = Stopwatch(), Path(out_dir)
    block, steps = _build(design, target)
    modules = to_verilog(block)
    _remove_earlier(out_dir)
    for name, text in modules.items():
        write_text(out_dir / f"{name}.v", text)
    write_json(out_dir / "ports.json", _describe(design, target, block, steps).to_json())
    origin = provenance(
        design_hash=design.hash,
        config_hash=config_hash,
        seed=seed,
        versions=package_versions("amaranth", "pyosys"),
        stopwatch=stopwatch,
    )
    metrics = RtlMetrics(
        lanes=target.lanes,
        filters=target.filters,
        top=target.top,
        pipeline=asdict(target.pipeline),
        steps=len(steps),
        latency_cycles=block.latency,
        modules=len(modules),
        lines=sum(text.count("\n") for text in modules.values()),
        **_adder_graphs(design, target, steps),
        **origin,
    )
    return write_metrics(out_dir / "metrics.json", metrics)


def _remove_earlier(folder: Path) -> None:
    """Remove the modules of an earlier emission, and refuse a folder with anybody else's."""
    earlier = sorted(folder.glob("*.v"))
    for path in earlier:
        with path.open(encoding="utf-8", errors="replace") as file:
            if not any(MARK in line for line in islice(file, HEADER_LINES)):
                raise InputError(
                    f"{path}: Verilog that dbp did not write: choose a folder without any"
                )
    for path in earlier:
        path.unlink()


def emit_step(design: Design, path: str | Path, target: Target) -> Ports:
    """Write one step, or its filter alone, as one Verilog file, and return its ports.

    `InputError` as from `Target.check`, and for a whole chain.
    """
    if target.top == "chain":
        raise InputError("top = 'chain': must be step or filter")
    block, steps = _build(design, target)
    write_text(path, "\n".join(to_verilog(block).values()))
    return _describe(design, target, block, steps)


def _adder_graphs(
    design: Design, target: Target, steps: Iterable[int]
) -> dict[str, tuple[AdderGraphs, ...]]:
    """Return the sizes of hardwired lanes as a field of the metrics, none for taps in registers."""
    if target.filters == "reconfigurable":
        return {}
    graphs = []
    for k in steps:
        input_bits = design.filter_input_bits(k)
        sizes = graph_sizes(design.filters[k], input_bits, target.pipeline.hardwired)
        graphs.append(AdderGraphs(step=k, unshared=sizes.unshared, shared=sizes.shared))
    return {"adder_graphs": tuple(graphs)}


def _build(design: Design, target: Target) -> tuple[Chain | Step, dict[int, Step]]:
    """Return the top, and its steps by their number in the design."""
    target.check(design)
    lanes, hardwired = target.lanes, target.filters == "hardwired"
    if target.top == "chain":
        chain = Chain(design, lanes, target.pipeline, hardwired=hardwired)
        return chain, dict(enumerate(chain.steps))
    block = Step(
        design,
        target.step,
        lanes,
        target.pipeline,
        hardwired=hardwired,
        rotation=target.top == "step",
    )
    return block, {target.step: block}


def _describe(design: Design, target: Target, block: Chain | Step, steps: dict[int, Step]) -> Ports:
    """Return what a bench must know of a top."""
    ports = [
        Port(name, "input" if flow == wiring.In else "output", len(getattr(block, name)))
        for name, flow in block.ports()
    ]
    blocks = [2 * k + b for k, step in steps.items() for b in range(1 + bool(step.rotation))]
    return Ports(
        design_hash=design.hash,
        filters=target.filters,
        kind=target.top,
        blocks=tuple(blocks),
        top=block.module_name,
        clock="clk",
        reset="rst",
        lanes=block.lanes,
        input_bits=block.input_bits,
        output_bits=block.output_bits,
        latency_cycles=block.latency,
        warm_up_words=block.warm_up_words,
        # The chain registers its choice of a step too.
        read_latency_cycles=2 if target.top == "chain" else 1,
        ports=tuple(ports),
        steps=tuple(_describe_step(step, k) for k, step in steps.items()),
        polarizations=design.polarizations,
    )


def _describe_step(step: Step, k: int) -> StepPorts:
    addresses = {name: tuple(row) for name, row in step.registers.address_map().items()}
    return StepPorts(
        step=k,
        module=step.module_name,
        latency_cycles=step.latency,
        warm_up_words=step.warm_up_words,
        addresses=Addresses(**addresses),
    )
