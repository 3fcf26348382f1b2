"""``dbp prove``: each block of the emitted Verilog is proved to compute what golden does."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from dbp import fixed
from dbp.design import Design, Filter, Rotation
from dbp.errors import InputError
from dbp.metrics import Stopwatch, package_versions, write_metrics
from dbp.rtl.exact_values import ExactValues, Quantity
from dbp.rtl.polynomial import Space, Table, Value, Variable
from dbp.rtl.ports import read_ports
from dbp.rtl.warm_up import prove_valid
from dbp.rtl.word_logic import Requantiser
from dbp.rtl.word_netlist import Bit, ProofError, WordNetlist, read_modules

STREAM = ("valid", "i", "q")


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
    ports = read_ports(rtl_dir, design)
    modules = read_modules(rtl_dir)
    top = modules.get(ports["top"])
    if top is None:
        raise InputError(f"{rtl_dir}: no module {ports['top']}: run `dbp rtl` again")
    _check_clocks(modules, top)
    numbers = [row["step"] for row in ports["steps"]]
    steps = [top]
    if ports["kind"] == "chain":
        steps, _ = _placed(modules, top, [f"step_{k}" for k in numbers])
    todo: dict[tuple[str, Filter | Rotation, int], None] = {}
    inside = []
    for k, step in zip(numbers, steps, strict=True):
        parts = [(design.filters[k], design.filter_input_bits(k), "filter")]
        if 2 * k + 1 in ports["blocks"]:
            parts.append((design.rotations[k], design.rotation_input_bits(k), "rotation"))
        blocks, clocks = _placed(modules, step, [name for _, _, name in parts])
        inside.append(([block.name for block in blocks], clocks))
        for block, (part, bits, _) in zip(blocks, parts, strict=True):
            todo[block.name, _without_registers(block, part), bits] = None
    flat = read_modules(rtl_dir, sorted({name for name, _, _ in todo}))
    proved = []
    for name, part, bits in tqdm(todo, "Proof", unit=" modules", disable=None, leave=False):
        prove_block = prove_filter if isinstance(part, Filter) else prove_rotation
        proved.append(prove_block(flat[name], part, bits, ports["lanes"]))
    found = {row["module"]: row for row in proved}
    for (blocks, clocks), row in zip(inside, ports["steps"], strict=True):
        latency = clocks + sum(found[name]["latency_cycles"] for name in blocks)
        words = sum(found[name]["warm_up_words"] for name in blocks)
        if (latency, words) != (row.get("latency_cycles"), row.get("warm_up_words")):
            raise ProofError(
                f"step {row['step']}: latency {latency} clock cycles and warm-up {words} words, "
                f"ports.json says {row.get('latency_cycles')!r} and {row.get('warm_up_words')!r}"
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


def _check_clocks(modules: Mapping[str, WordNetlist], top: WordNetlist) -> None:
    """Every instance below ``top`` must have the clock and the reset of ``top``."""
    seen, todo = {top}, [top]
    while todo:
        outer = todo.pop()
        for cell in outer.cells:
            if cell.type not in modules:
                continue
            inner = modules[cell.type]
            for port in ("clk", "rst"):
                given = cell.inputs.get(port)
                if port in inner.inputs and (given is None or given != outer.inputs.get(port)):
                    raise ProofError(f"{cell.name}: {port} is not {port} of {outer.name}")
            if inner not in seen:
                seen.add(inner)
                todo.append(inner)


def _placed(
    modules: Mapping[str, WordNetlist], outer: WordNetlist, names: Sequence[str]
) -> tuple[list[WordNetlist], int]:
    """The modules of the instances ``names`` of ``outer``, which must pass words on in that order.

    The first takes what enters ``outer``, each other one what the one before puts out, and what
    the last puts out leaves ``outer``: bit for bit, with its valid. Also returned: over how many
    registers of ``outer`` itself the words pass, all alike.
    """
    cells = {cell.name: cell for cell in outer.cells}
    found, clocks = [], 0
    word = {port: outer.inputs[f"in_{port}"] for port in STREAM}
    for name in names:
        cell = cells.get(name)
        if cell is None or cell.type not in modules:
            raise ProofError(f"{outer.name}: no block {name}")
        clocks += _clocks_between(outer, word, {p: cell.inputs.get(f"in_{p}", ()) for p in STREAM})
        word = {port: cell.outputs.get(f"out_{port}", ()) for port in STREAM}
        found.append(modules[cell.type])
    clocks += _clocks_between(outer, word, {port: outer.outputs[f"out_{port}"] for port in STREAM})
    return found, clocks


def _clocks_between(
    outer: WordNetlist, word: Mapping[str, Sequence[Bit]], later: Mapping[str, Sequence[Bit]]
) -> int:
    """How many clocks later a word is than another, over plain registers; reset clears valid."""
    found = set()
    for port in STREAM:
        if len(word[port]) != len(later[port]):
            raise ProofError(f"{outer.name}: a word of {len(word[port])} bits is cut: {port}")
        for bit, end in zip(word[port], later[port], strict=True):
            clocks, at = 0, end
            while at != bit and outer.is_register(at) and clocks < len(outer.cells):
                register = outer.register(at)
                if register.enable is not None or register.reset != (None, 0)[port == "valid"]:
                    break
                clocks, at = clocks + 1, register.taken
            if at != bit:
                raise ProofError(
                    f"{outer.name}: {outer.describe(end)} is no later {outer.describe(bit)}"
                )
            found.add(clocks)
    if len(found) != 1:
        raise ProofError(f"{outer.name}: bits of one word {sorted(found)} clocks later")
    return found.pop()


@dataclass(frozen=True)
class Expected:
    """What leaves a lane: I and Q, and for each port of flags what each bit is the "or" of."""

    outputs: tuple[Value, Value]
    flags: Mapping[str, tuple[Value, ...]]


class Reference:
    """The golden model as polynomials: ``quantities`` are its requantised sums, as they arise."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.quantities: dict[frozenset, list[Quantity]] = {}
        self.unchanged = False

    def known(self, total: Value) -> Sequence[Quantity]:
        return self.quantities.get(total.key, ())

    def nearest(self, total: Value) -> str:
        rows = [q for found in self.quantities.values() for q in found if not q.requantiser.flag]
        if not rows:
            return self.space.text(total.terms)
        differences = [self.space.add(total, q.total, -1).terms for q in rows]
        k = min(range(len(rows)), key=lambda k: len(differences[k]))
        of = self.space.text(rows[k].value.terms)
        return f"the sum of {of} and {self.space.text(differences[k])}"

    def requantise(
        self, total: Value, name: str, sample: int, shift: int, bits: int
    ) -> tuple[Value, Value]:
        """`dbp.fixed.requantise`, and whether it clips: tables of one variable, or new variables.

        They are new where ``total`` depends on several variables.
        """
        results = []
        for flag in (False, True):
            wanted = Requantiser(shift, bits, flag)
            value = self.space.apply(total, wanted.of_array)
            if value is None:
                ends = self.space.bounds(total)
                low, high = (wanted(end) for end in ends)
                unchanged = not flag and shift == 0 and (low, high) == ends
                self.unchanged |= unchanged
                if flag:
                    low, high = 0, max(low, high)
                label = f"{name}_clipped" if flag else name
                value = self.space.variable(Variable(label, sample, 0, low, high))
                self.quantities.setdefault(total.key, []).append(
                    Quantity(wanted, total, value, unchanged)
                )
            results.append(value)
        return results[0], results[1]

    def filter(
        self, filter_: Filter, taps: Sequence[Sequence[Value]], x: Sequence[Sequence[Value]], n: int
    ) -> Expected:
        """`dbp.golden.filter_samples`: y[n], I and Q, of half taps and samples.

        ``x[part][k]`` is x[n - k].
        """
        terms: list[list[Value]] = [[], []]
        for k in range(filter_.taps):
            hi, hq = (part[min(k, filter_.taps - 1 - k)] for part in taps)
            xi, xq = (part[k] for part in x)
            mul = self.space.mul
            terms[0] += [mul(hi, xi), self.space.scale(mul(hq, xq), -1)]
            terms[1] += [mul(hi, xq), mul(hq, xi)]
        (y_i, clips_i), (y_q, clips_q) = (
            self.requantise(self.space.sum(row), name, n, filter_.shift, filter_.output_bits)
            for row, name in zip(terms, ("y_i", "y_q"), strict=True)
        )
        return Expected((y_i, y_q), {"out_clipped": (clips_i, clips_q)})

    def rotate(
        self,
        rotation: Rotation,
        kerr: Sequence[Value],
        input_bits: int,
        x: Sequence[Sequence[Value]],
        n: int,
    ) -> Expected:
        """`dbp.golden.rotate`: y[n], I and Q, of half of K and samples, as for `filter`."""
        space, r = self.space, rotation
        terms = []
        for k in range(r.kerr_taps):
            power = space.add(
                space.sum(self._power(part[k], r, input_bits) for part in x),
                space.constant(r.power_offset),
                -1,
            )
            terms.append(space.mul(kerr[min(k, r.kerr_taps - 1 - k)], power))
        total = space.sum(terms)
        phi, phi_clips = self.requantise(total, "phi", n, r.phase_shift, r.phase_bits)
        fraction = r.phase_fraction_bits
        cosine = space.constant(1 << fraction)
        if r.taylor_order == 2:
            versine = space.apply(phi, lambda p: fixed.round_shift(p * p, fraction + 1))
            cosine = space.add(cosine, versine, -1)
        i, q = (part[r.delay] for part in x)
        turned = (
            space.add(space.mul(cosine, i), space.mul(phi, q), -1),
            space.add(space.mul(cosine, q), space.mul(phi, i)),
        )
        shift = r.output_shift(input_bits)
        (y_i, clips_i), (y_q, clips_q) = (
            self.requantise(total, name, n, shift, r.output_bits)
            for total, name in zip(turned, ("y_i", "y_q"), strict=True)
        )
        flags = {"out_clipped": (clips_i, clips_q), "phi_clipped": (phi_clips,)}
        return Expected((y_i, y_q), flags)

    def _power(self, x: Value, rotation: Rotation, input_bits: int) -> Value:
        """The part of one quadrature in `dbp.fixed.squared_magnitude`."""

        def square(codes: Table) -> Table:
            # Of a cut zero the square is zero, so the other quadrature adds nothing.
            zeros = np.zeros_like(codes)
            return fixed.squared_magnitude(codes, zeros, input_bits, rotation.branch_bits)

        value = self.space.apply(x, square)
        assert value is not None, "a sample is one variable"
        return value


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
            "requantisers": {
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
