"""``dbp prove``: each block of the emitted Verilog is proved to compute what golden does."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dbp.datapath import fixed
from dbp.datapath.design import Design, Filter, Rotation
from dbp.errors import InputError
from dbp.records.provenance import Stopwatch, package_versions, write_metrics
from dbp.rtl.ports import Ports
from dbp.rtl.proof.golden_polynomials import Expected, Reference
from dbp.rtl.proof.netlist import ProofError, WordNetlist, read_modules
from dbp.rtl.proof.polynomial import Space, Table, Value, Variable
from dbp.rtl.proof.valid import prove_valid
from dbp.rtl.proof.wiring import check_clocks, placed
from dbp.rtl.proof.words import ExactValues


def prove(run_dir: str | Path, *, config_hash: str | None = None) -> dict[str, Any]:
    """`prove_rtl` for a run's folder; writes ``proof/metrics.json`` and returns it.

    `InputError` for files that do not belong together; `ProofError` where the Verilog is not what
    the golden model is, or where that cannot be shown.
    """
    stopwatch, run_dir = Stopwatch(), Path(run_dir)
    design = Design.load(run_dir / "design.json")
    path = run_dir / "proof" / "metrics.json"
    path.unlink(missing_ok=True)
    proved = prove_rtl(run_dir / "rtl", design)
    return write_metrics(
        path,
        {"modules": proved},
        design_hash=design.hash,
        config_hash=config_hash,
        seed=None,
        versions=package_versions("pyosys"),
        stopwatch=stopwatch,
    )


def prove_rtl(rtl_dir: str | Path, design: Design) -> list[dict[str, Any]]:
    """Prove every distinct filter and rotation of an emission, and how chain and steps join them.

    One entry a module, in the order of the chain: what `prove_filter` and `prove_rotation` return.
    Errors as for `prove`.
    """
    rtl_dir = Path(rtl_dir)
    ports = Ports.read(rtl_dir, design)
    modules = read_modules(rtl_dir)
    top = modules.get(ports.top)
    if top is None:
        raise InputError(f"{rtl_dir}: no module {ports.top}: run `dbp rtl` again")
    check_clocks(modules, top)
    numbers = [row.step for row in ports.steps]
    steps = [top]
    if ports.kind == "chain":
        steps, _ = placed(modules, top, [f"step_{k}" for k in numbers])
    todo: dict[tuple[str, Filter | Rotation, int], None] = {}
    inside = []
    for k, step in zip(numbers, steps, strict=True):
        parts = [(design.filters[k], design.filter_input_bits(k), "filter")]
        if 2 * k + 1 in ports.blocks:
            parts.append((design.rotations[k], design.rotation_input_bits(k), "rotation"))
        blocks, clocks = placed(modules, step, [name for _, _, name in parts])
        inside.append(([block.name for block in blocks], clocks))
        for block, (part, bits, _) in zip(blocks, parts, strict=True):
            todo[block.name, _without_registers(block, part), bits] = None
    flat = read_modules(rtl_dir, sorted({name for name, _, _ in todo}))
    proved = []
    for name, part, bits in tqdm(todo, "Proof", unit=" modules", disable=None, leave=False):
        prove_block = prove_filter if isinstance(part, Filter) else prove_rotation
        proved.append(prove_block(flat[name], part, bits, ports.lanes))
    found = {row["module"]: row for row in proved}
    for (blocks, clocks), row in zip(inside, ports.steps, strict=True):
        latency = clocks + sum(found[name]["latency_cycles"] for name in blocks)
        words = sum(found[name]["warm_up_words"] for name in blocks)
        if (latency, words) != (row.latency_cycles, row.warm_up_words):
            raise ProofError(
                f"step {row.step}: latency {latency} clock cycles and warm-up {words} words, "
                f"ports.json says {row.latency_cycles} and {row.warm_up_words}"
            )
    return proved


def _without_registers(block: WordNetlist, part: Filter | Rotation) -> Filter | Rotation:
    """A filter or rotation but for what stands in registers: equal modules, equal obligations."""
    if isinstance(part, Rotation):
        return replace(part, kerr_gains=(0,) * len(part.kerr_gains), kerr_shift=0)
    if "taps_i" in block.inputs:
        zeros = (0,) * len(part.half_taps_i)
        return replace(part, half_taps_i=zeros, half_taps_q=zeros)
    return part


@dataclass(frozen=True)
class _Port:
    """Packed elements of a port: the samples of a word, or values that stand still."""

    name: str
    bits: int
    count: int
    streams: bool

    def variable(self, k: int) -> Variable:
        low, high = fixed.code_range(self.bits)
        if self.streams:
            return Variable(self.name, k, 0, low, high)
        return Variable(f"{self.name}[{k}]", None, 0, low, high)


class _Block:
    """A netlist beside the reference, and the obligations that both share."""

    def __init__(self, netlist: WordNetlist, lanes: int, ports: Sequence[_Port]) -> None:
        self.netlist = netlist
        self.lanes = lanes
        self.space = Space(lanes)
        self.reference = Reference(self.space)
        self.start = time.process_time()
        elements = {}
        for port in ports:
            bits = netlist.inputs.get(port.name, ())
            if len(bits) != port.bits * port.count:
                raise ProofError(
                    f"{netlist.name}: port {port.name}: {len(bits)} bits, must be "
                    f"{port.count} elements of {port.bits}"
                )
            elements[port.name] = (port.bits, [port.variable(k) for k in range(port.count)])
        odd = set(netlist.inputs) - {"clk", "rst", "in_valid", *elements}
        odd |= set(netlist.outputs) - {"out_valid", "out_i", "out_q", "out_clipped", "phi_clipped"}
        if odd:
            raise ProofError(f"{netlist.name}: ports of which nothing is proved: {sorted(odd)}")
        self.values = ExactValues(netlist, self.space, elements, self.reference)
        self.ports = {port.name: port for port in ports}

    def still(self, port: str) -> list[Value]:
        """The values that stand at a port."""
        p = self.ports[port]
        return [self.space.variable(p.variable(k)) for k in range(p.count)]

    def samples(self, n: int, length: int) -> list[list[Value]]:
        """x[n] ... x[n - length + 1], I and Q, that sample being 0 in the word that enters."""
        return [
            [self.space.variable(self.ports[port].variable(n - k)) for k in range(length)]
            for port in ("in_i", "in_q")
        ]

    def prove(self, lanes: Sequence[Expected], output_bits: int, history: int) -> dict[str, Any]:
        """Compare all lanes with what is expected of them, and the valid.

        ``history``: samples before a word that its outputs depend on.
        """
        netlist, space = self.netlist, self.space
        latency, words = prove_valid(self.values)
        if words != -(-history // len(lanes)):
            raise ProofError(f"{netlist.name}: holds back {words} words to fill {history} samples")
        for k, port in enumerate(("out_i", "out_q")):
            word = netlist.outputs[port]
            if len(word) != output_bits * len(lanes):
                raise ProofError(f"{netlist.name}: port {port} is {len(word)} bits wide")
            for p, lane in enumerate(lanes):
                got = self.values.read(word[p * output_bits : (p + 1) * output_bits], signed=True)
                wanted = space.move(lane.outputs[k], 0, latency)
                self._compare(f"{port} of lane {p}", {_frozen(got)}, {_frozen(wanted)})
        for port in lanes[0].flags:
            for p, lane in enumerate(lanes):
                wanted = self._any(space.move(v, 0, latency) for v in lane.flags[port])
                if port in netlist.outputs:
                    got = self._any(self.values.flags(netlist.outputs[port][p]))
                    self._compare(f"{port} of lane {p}", got, wanted)
                elif wanted:
                    raise ProofError(f"{netlist.name}: no port {port}, but samples may be clipped")
        if len(self.values.read_after) > 1:
            raise ProofError(
                f"{netlist.name}: registers are read {sorted(self.values.read_after)} clocks after "
                "the word came in: all must be read at once"
            )
        sums = {q.total.key: q.total for rows in self.reference.quantities.values() for q in rows}
        proved = self.values.proved
        return {
            "module": netlist.name,
            "latency_cycles": latency,
            "warm_up_words": words,
            "registers_read_after_cycles": next(iter(self.values.read_after), None),
            "sums": {
                "method": "polynomial",
                "sums": len(sums),
                "monomials": sum(len(total.terms) for total in sums.values()),
            },
            "requantizers": {
                "method": "case split",
                "functions": len(proved),
                "values": sum(row.words for row in proved),
                "cases": sum(row.cases for row in proved),
            },
            "tables": {
                "method": "exhaustive",
                "functions": len(space.tables),
                "values": sum(len(table) for table in space.tables),
            },
            "cpu_seconds": round(time.process_time() - self.start, 3),
        }

    def _any(self, values: Iterable[Value]) -> set[frozenset]:
        """An "or" as a set: without what is never set, functions of one variable made one."""
        tables: dict[Variable, Table] = {}
        found = set()
        for value in values:
            variable = self.space.only_variable(value)
            if variable is None:
                if value.constant:
                    return {_frozen(value)}
            else:
                table = self.space.evaluate(value, variable)
                tables[variable] = tables.get(variable, 0) | table
        for variable, table in tables.items():
            found.add(_frozen(self.space.table(variable, table)))
        return found

    def _compare(self, what: str, got: set[frozenset], wanted: set[frozenset]) -> None:
        if got != wanted:
            texts = (
                " or ".join(self.space.text(dict(terms)) for terms in side) or "0"
                for side in (got, wanted)
            )
            raise ProofError(f"{self.netlist.name}: {what} is {' instead of '.join(texts)}")


def _frozen(value: Value) -> frozenset:
    return frozenset(value.terms.items())


def prove_filter(
    netlist: WordNetlist, filter_: Filter, input_bits: int, lanes: int
) -> dict[str, Any]:
    """Prove a flattened block of filter lanes; with ports for the taps or with its taps inside."""
    half = len(filter_.half_taps_i)
    ports = [_Port(port, input_bits, lanes, True) for port in ("in_i", "in_q")]
    written = "taps_i" in netlist.inputs
    if written:
        c = filter_.coefficient_bits
        ports += [_Port(port, c, half, False) for port in ("taps_i", "taps_q")]
    block = _Block(netlist, lanes, ports)
    if written:
        taps = [block.still(port) for port in ("taps_i", "taps_q")]
    else:
        rows = (filter_.half_taps_i, filter_.half_taps_q)
        taps = [[block.space.constant(tap) for tap in row] for row in rows]
    outputs = [
        block.reference.filter(filter_, taps, block.samples(p, filter_.taps), p)
        for p in range(lanes)
    ]
    return block.prove(outputs, filter_.output_bits, filter_.taps - 1)


def prove_rotation(
    netlist: WordNetlist, rotation: Rotation, input_bits: int, lanes: int
) -> dict[str, Any]:
    """Prove a flattened block of rotation lanes."""
    half = len(rotation.kerr_gains)
    ports = [_Port(port, input_bits, lanes, True) for port in ("in_i", "in_q")]
    ports.append(_Port("kerr", rotation.kerr_bits, half, False))
    block = _Block(netlist, lanes, ports)
    kerr = block.still("kerr")
    outputs = [
        block.reference.rotate(rotation, kerr, input_bits, block.samples(p, rotation.kerr_taps), p)
        for p in range(lanes)
    ]
    return block.prove(outputs, rotation.output_bits, rotation.kerr_taps - 1)
