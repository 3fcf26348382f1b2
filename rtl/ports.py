"""``ports.json`` of an emission: read and checked before anything relies on it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from dbp.datapath.design import Design
from dbp.errors import InputError

FORMAT = "dbp-ports"
VERSION = 3
MAX_LANES = 1024
# Far above any pipeline: a filter has at most 7 levels of adders.
MAX_STEP_LATENCY_CYCLES = 100
MAX_ADDRESS_BITS = 16
MAX_DATA_BITS = 64
TOPS = ("chain", "step", "filter")
FILTER_KINDS = ("reconfigurable", "hardwired")


def read_ports(rtl_dir: Path, design: Design) -> dict[str, Any]:
    """``ports.json`` of an emission of ``design``; `InputError` where it is stale or does not fit.

    What `dbp.sim` uses of it is checked: ``top``, ``kind``, ``filters``, ``blocks``, ``lanes``,
    ``input_bits``, ``output_bits``, the latencies, the widths of ``in_i``, ``cfg_data`` and
    ``cfg_address``, and the addresses of each step.
    """
    path = rtl_dir / "ports.json"
    try:
        ports = json.loads(path.read_text(encoding="utf-8"))
        metrics = json.loads((rtl_dir / "metrics.json").read_text(encoding="utf-8"))
        found = {ports["design_hash"], metrics["design_hash"]}
        known = (ports["format"], ports["version"]) == (FORMAT, VERSION)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{rtl_dir}: no complete emission: {error}: run `dbp rtl` first") from None
    if not known:
        raise InputError(f"{path}: not of a format that this dbp reads")
    if found != {design.hash}:
        raise InputError(
            f"{rtl_dir}: generated from another design than {design.hash[:12]}: run `dbp rtl` again"
        )
    try:
        _check(ports, design)
    except InputError as error:
        raise InputError(f"{path}: {error}: run `dbp rtl` again") from None
    return ports


def _require(fits: bool, field: str, value: Any, allowed: str) -> None:
    if not fits:
        raise InputError(f"{field} = {value!r:.40}: must be {allowed}")


def _require_int(field: str, value: Any, low: int, high: int) -> None:
    fits = type(value) is int and low <= value <= high
    _require(fits, field, value, f"an integer in {low}..{high}")


def _check(ports: dict[str, Any], design: Design) -> None:
    """Refuse a description that the bench could not play."""
    get = ports.get
    named = isinstance(get("top"), str) and re.fullmatch(r"[A-Za-z_]\w*", get("top"), re.ASCII)
    _require(bool(named), "top", get("top"), "a module name")
    for field, allowed in (("kind", TOPS), ("filters", FILTER_KINDS)):
        _require(get(field) in allowed, field, get(field), " or ".join(allowed))
    _require_int("lanes", get("lanes"), 1, MAX_LANES)
    numbers = _steps(ports, design)
    blocks = [b for k in numbers for b in (2 * k, 2 * k + 1)]
    if ports["kind"] == "filter" or numbers[-1] == len(design.rotations):
        blocks = blocks[:-1]
    _require(get("blocks") == blocks, "blocks", get("blocks"), f"{blocks!r:.40}")

    bits = design.filter_input_bits(numbers[0])
    _require_int("input_bits", get("input_bits"), bits, bits)
    last, rotated = divmod(blocks[-1], 2)
    bits = (design.rotations if rotated else design.filters)[last].output_bits
    _require_int("output_bits", get("output_bits"), bits, bits)
    latest = MAX_STEP_LATENCY_CYCLES * len(numbers)
    _require_int("latency_cycles", get("latency_cycles"), 1, latest)
    _require_int("read_latency_cycles", get("read_latency_cycles"), 1, MAX_STEP_LATENCY_CYCLES)

    rows = get("ports")
    fits = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    _require(fits, "ports", rows, "a list of objects")
    widths = {row.get("name"): row.get("width") for row in rows}
    word = ports["lanes"] * ports["input_bits"]
    _require_int("width of port in_i", widths.get("in_i"), word, word)
    for name, most in (("cfg_data", MAX_DATA_BITS), ("cfg_address", MAX_ADDRESS_BITS)):
        # Tops without a register have no such port.
        if name in widths:
            _require_int(f"width of port {name}", widths[name], 1, most)
    last_address = 2 ** widths.get("cfg_address", 0) - 1
    for step in ports["steps"]:
        _check_addresses(step, ports, design, last_address)


def _steps(ports: dict[str, Any], design: Design) -> list[int]:
    """The numbers of the steps: all of them in a chain, else one."""
    steps, count = ports.get("steps"), len(design.filters)
    wanted = count if ports["kind"] == "chain" else 1
    fits = isinstance(steps, list) and len(steps) == wanted
    _require(fits, "steps", steps, f"a list of {wanted}")
    for n, step in enumerate(steps):
        _require(isinstance(step, dict), f"steps[{n}]", step, "an object with addresses")
        low, high = (n, n) if wanted > 1 else (0, count - 1)
        _require_int(f"steps[{n}].step", step.get("step"), low, high)
    return [step["step"] for step in steps]


def _check_addresses(
    step: dict[str, Any], ports: dict[str, Any], design: Design, last_address: int
) -> None:
    k, addresses = step["step"], step.get("addresses")
    _require(isinstance(addresses, dict), f"steps[{k}]", step, "an object with addresses")
    taps = 0 if ports["filters"] == "hardwired" else len(design.filters[k].half_taps_i)
    rotated = 2 * k + 1 in ports["blocks"]
    kerr = len(design.rotations[k].kerr_gains) if rotated else 0
    counts = {name: (count,) for name, count in
              (("half_taps_i", taps), ("half_taps_q", taps), ("kerr", kerr))}  # fmt: skip
    # A requantiser that clips nothing has no counter.
    counts |= {"filter_clipped": (0, 1)}
    counts |= {name: (0, 1) if rotated else (0,) for name in ("phi_clipped", "rotation_clipped")}
    for name, allowed in counts.items():
        row = addresses.get(name)
        fits = isinstance(row, list) and len(row) in allowed
        words = " or ".join(map(str, allowed))
        _require(fits, f"steps[{k}].{name}", row, f"a list of {words}")
        for address in row:
            _require_int(f"an address of steps[{k}]", address, 0, last_address)
