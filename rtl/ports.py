"""``ports.json``: what a bench and a proof must know of an emission, written, read and checked."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from dbp.datapath.design import Design
from dbp.datapath.limits import MAX_LANES
from dbp.errors import InputError
from dbp.rtl.target import FILTER_KINDS, TOPS, FilterKind, Top
from dbp.support.files import read_text

FORMAT = "dbp-ports"
VERSION = 3
# Far above any pipeline: a filter has at most 7 levels of adders.
MAX_STEP_LATENCY_CYCLES = 100
MAX_ADDRESS_BITS = 16
MAX_DATA_BITS = 64
MAX_PORT_BITS = 2 * 16 * MAX_LANES
MAX_WORDS = 1 << 31

Direction = Literal["input", "output"]


@dataclass(frozen=True)
class Port:
    """A port of the top, ``width`` bits wide."""

    name: str
    direction: Direction
    width: int


@dataclass(frozen=True)
class Addresses:
    """The addresses of a step's registers: empty where it has no such register.

    Half of the taps and of K, the outermost first, and the counters of what each requantiser
    clipped; see `dbp.rtl.blocks.configuration_registers`.
    """

    half_taps_i: tuple[int, ...]
    half_taps_q: tuple[int, ...]
    kerr: tuple[int, ...]
    filter_clipped: tuple[int, ...]
    phi_clipped: tuple[int, ...]
    rotation_clipped: tuple[int, ...]

    def all(self) -> set[int]:
        """Every address that has a register."""
        return {address for field in fields(self) for address in getattr(self, field.name)}


@dataclass(frozen=True)
class StepPorts:
    """One step of the top: number ``step`` of the design."""

    step: int
    module: str
    latency_cycles: int
    warm_up_words: int
    addresses: Addresses

    def registers(self, design: Design, launch_power_uw: int) -> dict[int, int]:
        """Return the value of every writable register, by its address."""
        values: dict[int, int] = {}
        filter_, addresses = design.filters[self.step], self.addresses
        # Hardwired taps have no addresses, nor has K where the top has no rotation.
        if addresses.half_taps_i:
            values |= zip(addresses.half_taps_i, filter_.half_taps_i, strict=True)
            values |= zip(addresses.half_taps_q, filter_.half_taps_q, strict=True)
        if addresses.kerr:
            kerr = design.rotations[self.step].kerr(launch_power_uw)
            values |= zip(addresses.kerr, kerr, strict=True)
        return values


@dataclass(frozen=True)
class Ports:
    """The contents of an emission's ``ports.json``, except for its format and version.

    ``kind``: what the top is, see `dbp.rtl.target.Target`; ``top``: the name of its module.
    ``blocks``: the blocks that samples pass, numbered as in `dbp.datapath.golden.trace_retuned`:
    ``2 k`` is filter k, ``2 k + 1`` rotation k. ``lanes``: samples a clock of each polarisation;
    with two ``polarizations`` those of y lie above those of x in a word. ``warm_up_words``: the
    words after reset that fill histories and do not come out. ``read_latency_cycles``: from an
    address to what it reads.
    """

    design_hash: str
    filters: FilterKind
    kind: Top
    blocks: tuple[int, ...]
    top: str
    clock: str
    reset: str
    lanes: int
    input_bits: int
    output_bits: int
    latency_cycles: int
    warm_up_words: int
    read_latency_cycles: int
    ports: tuple[Port, ...]
    steps: tuple[StepPorts, ...]
    polarizations: int = 1

    @property
    def widths(self) -> dict[str, int]:
        """The width of every port, by its name."""
        return {port.name: port.width for port in self.ports}

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``ports.json``."""
        content = {"format": FORMAT, "version": VERSION} | asdict(self)
        if self.polarizations == 1:
            del content["polarizations"]
        return content

    @classmethod
    def read(cls, rtl_dir: Path, design: Design) -> Ports:
        """Read ``ports.json`` of an emission of ``design``.

        `InputError` where the emission is not whole, is of another design, or where a field does
        not fit the design and the other fields.
        """
        path = rtl_dir / "ports.json"
        try:
            content = json.loads(read_text(path))
            metrics = json.loads(read_text(rtl_dir / "metrics.json"))
            hashes = {content["design_hash"], metrics["design_hash"]}
            known = (content["format"], content["version"]) == (FORMAT, VERSION)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            problem = f"{rtl_dir}: no complete emission: {error}: run `dbp rtl` first"
            raise InputError(problem) from None
        if not known:
            raise InputError(f"{path}: not of a format that this dbp reads")
        if hashes != {design.hash}:
            raise InputError(
                f"{rtl_dir}: generated from another design than {design.hash[:12]}: "
                "run `dbp rtl` again"
            )
        try:
            return _checked(content, design)
        except InputError as error:
            raise InputError(f"{path}: {error}: run `dbp rtl` again") from None


def _require(fits: bool, field: str, value: Any, allowed: str) -> None:
    if not fits:
        raise InputError(f"{field} = {value!r:.40}: must be {allowed}")


def _require_int(field: str, value: Any, low: int, high: int) -> None:
    fits = type(value) is int and low <= value <= high
    _require(fits, field, value, f"an integer in {low}..{high}")


def _require_name(field: str, value: Any, kind: str) -> None:
    fits = isinstance(value, str) and re.fullmatch(r"[A-Za-z_]\w*", value, re.ASCII) is not None
    _require(fits, field, value, kind)


def _checked(content: dict[str, Any], design: Design) -> Ports:
    """Return the description; `InputError` for one that no bench could play."""
    get = content.get
    _require_name("top", get("top"), "a module name")
    kinds: tuple[tuple[str, tuple[str, ...]], ...] = (("kind", TOPS), ("filters", FILTER_KINDS))
    for field, allowed in kinds:
        _require(get(field) in allowed, field, get(field), " or ".join(allowed))
    _require_int("lanes", get("lanes"), 1, MAX_LANES)
    numbers = _step_numbers(content, design)
    blocks = [b for k in numbers for b in (2 * k, 2 * k + 1)]
    if content["kind"] == "filter" or numbers[-1] == len(design.rotations):
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

    given = content.setdefault("polarizations", 1)
    _require_int("polarizations", given, design.polarizations, design.polarizations)
    ports = _ports(content)
    address_bits = next((port.width for port in ports if port.name == "cfg_address"), 0)
    steps = tuple(_step(row, content, design, 2**address_bits - 1) for row in content["steps"])
    _require_int("warm_up_words", get("warm_up_words"), 0, MAX_WORDS)
    for field, name in (("clock", "clk"), ("reset", "rst")):
        _require(get(field) == name, field, get(field), name)
    known = {field.name: content[field.name] for field in fields(Ports)}
    return Ports(**known | {"blocks": tuple(blocks), "ports": ports, "steps": steps})


def _ports(content: dict[str, Any]) -> tuple[Port, ...]:
    """The ports of the top; those that a bench drives have the widths that it expects."""
    rows: Any = content.get("ports")
    fits = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    _require(fits, "ports", rows, "a list of objects")
    for n, row in enumerate(rows):
        _require_name(f"ports[{n}].name", row.get("name"), "a port name")
        direction = row.get("direction")
        fits = direction in get_args(Direction)
        _require(fits, f"ports[{n}].direction", direction, "input or output")
    widths = {row["name"]: row.get("width") for row in rows}
    word = content["lanes"] * content["polarizations"] * content["input_bits"]
    _require_int("width of port in_i", widths.get("in_i"), word, word)
    for name, most in (("cfg_data", MAX_DATA_BITS), ("cfg_address", MAX_ADDRESS_BITS)):
        # Tops without a register have no such port.
        if name in widths:
            _require_int(f"width of port {name}", widths[name], 1, most)
    for row in rows:
        _require_int(f"width of port {row['name']}", row.get("width"), 1, MAX_PORT_BITS)
    return tuple(Port(row["name"], row["direction"], row["width"]) for row in rows)


def _step_numbers(content: dict[str, Any], design: Design) -> list[int]:
    """The numbers of the steps: all of them in a chain, else one."""
    filters = len(design.filters)
    steps: Any = content.get("steps")
    count = filters if content["kind"] == "chain" else 1
    fits = isinstance(steps, list) and len(steps) == count
    _require(fits, "steps", steps, f"a list of {count}")
    for n, step in enumerate(steps):
        _require(isinstance(step, dict), f"steps[{n}]", step, "an object with addresses")
        low, high = (n, n) if count > 1 else (0, filters - 1)
        _require_int(f"steps[{n}].step", step.get("step"), low, high)
    return [step["step"] for step in steps]


def _step(
    row: dict[str, Any], content: dict[str, Any], design: Design, last_address: int
) -> StepPorts:
    k = row["step"]
    addresses: Any = row.get("addresses")
    _require(isinstance(addresses, dict), f"steps[{k}]", row, "an object with addresses")
    taps = 0 if content["filters"] == "hardwired" else len(design.filters[k].half_taps_i)
    rotated = 2 * k + 1 in content["blocks"]
    kerr = len(design.rotations[k].kerr_gains) if rotated else 0
    counts: dict[str, tuple[int, ...]] = {
        "half_taps_i": (taps,),
        "half_taps_q": (taps,),
        "kerr": (kerr,),
        # A requantiser that clips nothing has no counter.
        "filter_clipped": (0, 1),
        "phi_clipped": (0, 1) if rotated else (0,),
        "rotation_clipped": (0, 1) if rotated else (0,),
    }
    for name, allowed in counts.items():
        values: Any = addresses.get(name)
        fits = isinstance(values, list) and len(values) in allowed
        _require(fits, f"steps[{k}].{name}", values, f"a list of {' or '.join(map(str, allowed))}")
        for address in values:
            _require_int(f"an address of steps[{k}]", address, 0, last_address)
    _require_name(f"steps[{k}].module", row.get("module"), "a module name")
    # Whether these two are right is for the proof to say.
    for field in ("latency_cycles", "warm_up_words"):
        _require_int(f"steps[{k}].{field}", row.get(field), 0, MAX_WORDS)
    return StepPorts(
        k,
        row["module"],
        row["latency_cycles"],
        row["warm_up_words"],
        Addresses(**{name: tuple(addresses[name]) for name in counts}),
    )
