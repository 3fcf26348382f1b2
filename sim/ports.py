"""``ports.json`` of an emission: read and checked before anything relies on it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from dbp.design import Design
from dbp.errors import InputError

MAX_LANES = 1024
# Far above any pipeline: a filter has at most 7 levels of adders.
MAX_STEP_LATENCY_CYCLES = 100
MAX_ADDRESS_BITS = 16
MAX_DATA_BITS = 64


def read_ports(rtl_dir: Path, design: Design) -> dict[str, Any]:
    """``ports.json`` of an emission of ``design``; `InputError` where it is stale or does not fit.

    What `dbp.sim` uses of it is checked: ``top``, ``lanes``, ``input_bits``, ``latency_cycles``,
    the widths of ``in_i``, ``cfg_data`` and ``cfg_address``, and the addresses of each step.
    """
    path = rtl_dir / "ports.json"
    try:
        ports = json.loads(path.read_text(encoding="utf-8"))
        metrics = json.loads((rtl_dir / "metrics.json").read_text(encoding="utf-8"))
        found = {ports["design_hash"], metrics["design_hash"]}
        known = (ports["format"], ports["version"]) == ("dbp-ports", 2)
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
    get, filters = ports.get, design.filters
    named = isinstance(get("top"), str) and re.fullmatch(r"[A-Za-z_]\w*", get("top"), re.ASCII)
    _require(bool(named), "top", get("top"), "a module name")
    _require_int("lanes", get("lanes"), 1, MAX_LANES)
    _require_int("input_bits", get("input_bits"), design.signal_bits, design.signal_bits)
    latest = MAX_STEP_LATENCY_CYCLES * len(filters)
    _require_int("latency_cycles", get("latency_cycles"), 1, latest)

    rows = get("ports")
    fits = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    _require(fits, "ports", rows, "a list of objects")
    word = ports["lanes"] * ports["input_bits"]
    ranges = {
        "in_i": (word, word),
        "cfg_data": (1, MAX_DATA_BITS),
        "cfg_address": (1, MAX_ADDRESS_BITS),
    }
    width = {}
    for name, (low, high) in ranges.items():
        width[name] = next((row.get("width") for row in rows if row.get("name") == name), None)
        _require_int(f"width of port {name}", width[name], low, high)

    steps = get("steps")
    fits = isinstance(steps, list) and len(steps) == len(filters)
    _require(fits, "steps", steps, f"a list of {len(filters)}")
    for k, (step, filter_) in enumerate(zip(steps, filters, strict=True)):
        addresses = step.get("addresses") if isinstance(step, dict) else None
        _require(isinstance(addresses, dict), f"steps[{k}]", step, "an object with addresses")
        _require_int(f"steps[{k}].step", step.get("step"), k, k)
        half = len(filter_.half_taps_i)
        kerr_half = len(design.rotations[k].kerr_gains) if k < len(design.rotations) else 0
        for name, count in (("half_taps_i", half), ("half_taps_q", half), ("kerr", kerr_half)):
            row = addresses.get(name)
            fits = isinstance(row, list) and len(row) == count
            _require(fits, f"steps[{k}].{name}", row, f"a list of {count}")
            for address in row:
                _require_int(f"an address of steps[{k}]", address, 0, 2 ** width["cfg_address"] - 1)
