"""``dbp rtl``: a Design becomes a folder of Verilog, with a description of its ports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from amaranth.lib import wiring

from dbp.design import Design
from dbp.errors import InputError
from dbp.files import write_json, write_text
from dbp.metrics import Stopwatch, package_versions, write_metrics
from dbp.rtl.chain import Chain, Step
from dbp.rtl.pipeline import Pipeline
from dbp.rtl.verilog import to_verilog

MAX_LANES = 1024
FORMAT = "dbp-ports"
VERSION = 2


def emit(
    design: Design,
    out_dir: str | Path,
    lanes: int,
    *,
    pipeline: Pipeline | None = None,
    config_hash: str | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Write the whole chain: ``*.v``, one module a file, ``ports.json`` and ``metrics.json``.

    Verilog files that an earlier emission left in ``out_dir`` are removed. Returns the metrics:
    ``lanes``, ``steps``, ``latency_cycles``, ``modules``, ``lines``. `InputError` for lanes
    outside 1..1024.
    """
    _check_lanes(lanes)
    stopwatch, out_dir = Stopwatch(), Path(out_dir)
    chain = Chain(design, lanes, pipeline or Pipeline())
    modules = to_verilog(chain)
    for stale in out_dir.glob("*.v"):
        stale.unlink()
    for name, text in modules.items():
        write_text(out_dir / f"{name}.v", text)
    write_json(
        out_dir / "ports.json",
        describe(chain, design)
        | {"steps": [_describe_step(step, k) for k, step in enumerate(chain.steps)]},
    )
    return write_metrics(
        out_dir / "metrics.json",
        {
            "lanes": lanes,
            "steps": len(chain.steps),
            "latency_cycles": chain.latency,
            "modules": len(modules),
            "lines": sum(text.count("\n") for text in modules.values()),
        },
        design_hash=design.hash,
        config_hash=config_hash,
        seed=seed,
        versions=package_versions("amaranth", "pyosys"),
        stopwatch=stopwatch,
    )


def emit_step(
    design: Design, step: int, lanes: int, path: str | Path, *, pipeline: Pipeline | None = None
) -> dict[str, Any]:
    """Write ``filters[step]`` and, but for the last step, ``rotations[step]`` as one Verilog file.

    Returns what ``ports.json`` says of a chain, for this step: ``top``, ``latency_cycles``,
    ``ports``, and ``addresses`` of its registers. `InputError` for a step or lanes out of range.
    """
    _check_lanes(lanes)
    if type(step) is not int or not 0 <= step < len(design.filters):
        raise InputError(f"step = {step!r}: must be an integer in 0..{len(design.filters) - 1}")
    block = Step(design, step, lanes, pipeline or Pipeline())
    write_text(path, "\n".join(to_verilog(block).values()))
    return describe(block, design) | _describe_step(block, step)


def describe(block: Chain | Step, design: Design) -> dict[str, Any]:
    """What a bench must know of a top: its ports with direction and width, lanes and latency."""
    ports = [
        {
            "name": name,
            "direction": "input" if flow == wiring.In else "output",
            "width": len(getattr(block, name)),
        }
        for name, flow in block.ports()
    ]
    return {
        "format": FORMAT,
        "version": VERSION,
        "design_hash": design.hash,
        "top": block.module_name,
        "clock": "clk",
        "reset": "rst",
        "lanes": block.lanes,
        "input_bits": block.input_bits,
        "output_bits": block.output_bits,
        "latency_cycles": block.latency,
        "ports": ports,
    }


def _describe_step(step: Step, k: int) -> dict[str, Any]:
    return {
        "step": k,
        "instance": f"step_{k}",
        "module": step.module_name,
        "latency_cycles": step.latency,
        "addresses": step.address_map(),
    }


def _check_lanes(lanes: int) -> None:
    if type(lanes) is not int or not 1 <= lanes <= MAX_LANES:
        raise InputError(f"lanes = {lanes!r}: must be an integer in 1..{MAX_LANES}")
