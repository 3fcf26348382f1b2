"""Prove one flattened block, a filter or a rotation: its lanes, its flags and its valid."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dbp.datapath import fixed
from dbp.datapath.design import Filter, Rotation
from dbp.records.schemas import ProvedModule, ProvedRequantizers, ProvedSums, ProvedTables
from dbp.rtl.proof.golden_polynomials import ENDS, GoldenPolynomials, LaneOutputs
from dbp.rtl.proof.netlist import ProofError, WordNetlist
from dbp.rtl.proof.origins import PackedInput
from dbp.rtl.proof.polynomial import Monomial, Polynomial, Space, Table, Variable
from dbp.rtl.proof.valid import prove_valid
from dbp.rtl.proof.words import Words

CONTROLS = {"clk", "rst", "in_valid"}
OUTPUTS = {"out_valid", "out_i", "out_q", "out_clipped", "phi_clipped"}

# The terms of a polynomial: equal for equal ones.
Terms = frozenset[tuple[Monomial, int]]


def prove_filter(
    netlist: WordNetlist, filter_: Filter, input_bits: int, lanes: int, polarizations: int = 1
) -> ProvedModule:
    """Prove a flattened block of filter lanes, with ports for the taps or with its taps inside."""
    half = len(filter_.half_taps_i)
    ports = [_Port(port, input_bits, lanes, polarizations) for port in ("in_i", "in_q")]
    has_tap_ports = "taps_i" in netlist.inputs
    if has_tap_ports:
        bits = filter_.coefficient_bits
        ports += [_Port(port, bits, half, 0) for port in ("taps_i", "taps_q")]
    block = _Block(netlist, lanes, ports)
    if has_tap_ports:
        taps = [block.static(port) for port in ("taps_i", "taps_q")]
    else:
        rows = (filter_.half_taps_i, filter_.half_taps_q)
        taps = [[block.space.constant(tap) for tap in row] for row in rows]
    outputs = [
        block.golden.filter(filter_, taps, block.samples(p, filter_.taps, end), p, end)
        for end in ENDS[:polarizations]
        for p in range(lanes)
    ]
    return block.prove(outputs, filter_.output_bits, filter_.taps - 1)


def prove_rotation(
    netlist: WordNetlist, rotation: Rotation, input_bits: int, lanes: int, polarizations: int = 1
) -> ProvedModule:
    """Prove a flattened block of rotation lanes."""
    half = len(rotation.kerr_gains)
    ports = [_Port(port, input_bits, lanes, polarizations) for port in ("in_i", "in_q")]
    ports.append(_Port("kerr", rotation.kerr_bits, half, 0))
    block = _Block(netlist, lanes, ports)
    kerr, ends = block.static("kerr"), ENDS[:polarizations]
    pairs = []
    for p in range(lanes):
        x = {end: block.samples(p, rotation.kerr_taps, end) for end in ends}
        pairs.append(block.golden.rotate(rotation, kerr, input_bits, x, p))
    # All lanes of x, then all of y.
    outputs = [lane for of_one in zip(*pairs, strict=True) for lane in of_one]
    return block.prove(outputs, rotation.output_bits, rotation.kerr_taps - 1)


@dataclass(frozen=True)
class _Port:
    """An input of ``count`` packed elements of ``bits`` bits.

    ``polarizations``: these are the samples of a word, so many of each polarisation, x first; with
    0 they are taps or K, which are static.
    """

    name: str
    bits: int
    count: int
    polarizations: int

    def variable(self, k: int, end: str = "") -> Variable:
        """Element k; of a stream also those before the word, with negative k; ``end``: of ENDS."""
        low, high = fixed.code_range(self.bits)
        if self.polarizations:
            return Variable(f"{self.name}{end}", k, 0, low, high)
        return Variable(f"{self.name}[{k}]", None, 0, low, high)

    @property
    def elements(self) -> list[Variable]:
        ends = ENDS[: max(self.polarizations, 1)]
        return [self.variable(k, end) for end in ends for k in range(self.count)]


class _Block:
    """A netlist with the golden polynomials that it must equal, and the proof that both share."""

    def __init__(self, netlist: WordNetlist, lanes: int, ports: Sequence[_Port]) -> None:
        self.netlist = netlist
        self.space = Space(lanes)
        self.golden = GoldenPolynomials(self.space)
        self.start = time.process_time()
        for port in ports:
            bits = netlist.inputs.get(port.name, ())
            if len(bits) != port.bits * len(port.elements):
                raise ProofError(
                    f"{netlist.name}: port {port.name}: {len(bits)} bits, must be "
                    f"{len(port.elements)} elements of {port.bits}"
                )
        self.ports = {port.name: port for port in ports}
        unproved = set(netlist.inputs) - CONTROLS - set(self.ports)
        unproved |= set(netlist.outputs) - OUTPUTS
        if unproved:
            raise ProofError(
                f"{netlist.name}: ports of which nothing is proved: {sorted(unproved)}"
            )
        inputs = {port.name: PackedInput(port.bits, port.elements) for port in ports}
        self.words = Words(netlist, self.space, inputs, self.golden)

    def static(self, port: str) -> list[Polynomial]:
        """The taps or gains K that enter at a port."""
        return [self.space.variable(variable) for variable in self.ports[port].elements]

    def samples(self, n: int, length: int, end: str) -> list[list[Polynomial]]:
        """x[n] ... x[n - length + 1], I and Q; x[0] is lane 0 of the word that enters."""
        return [
            [self.space.variable(self.ports[port].variable(n - k, end)) for k in range(length)]
            for port in ("in_i", "in_q")
        ]

    def prove(self, lanes: Sequence[LaneOutputs], output_bits: int, history: int) -> ProvedModule:
        """Prove the valid, and each lane equal to its golden outputs in ``lanes``.

        With two polarisations all of x, then all of y; a flag of both is among those of x.
        ``history``: the samples before a word that its outputs depend on.
        """
        latency, words = prove_valid(self.words.origins)
        # The words left out are those that the histories need before they are full.
        if words != -(-history // self.space.lanes):
            raise ProofError(
                f"{self.netlist.name}: holds back {words} words to fill {history} samples"
            )
        for k, port in enumerate(("out_i", "out_q")):
            self._prove_samples(port, [lane.outputs[k] for lane in lanes], output_bits, latency)
        for port in lanes[0].flags:
            flags = [lane.flags[port] for lane in lanes if port in lane.flags]
            self._prove_flags(port, flags, latency)
        reads = sorted(self.words.delays.read_after)
        if len(reads) > 1:
            raise ProofError(
                f"{self.netlist.name}: registers are read {reads} clocks after "
                "the word came in: all must be read at once"
            )
        return self._metrics(latency, words, reads[0] if reads else None)

    def _prove_samples(
        self, port: str, golden: Sequence[Polynomial], output_bits: int, latency: int
    ) -> None:
        """Prove that the packed samples at ``port`` are ``golden``, ``latency`` clocks later."""
        bits = self.netlist.outputs[port]
        if len(bits) != output_bits * len(golden):
            raise ProofError(f"{self.netlist.name}: port {port} is {len(bits)} bits wide")
        for p, sample in enumerate(golden):
            built = self.words.read(bits[p * output_bits : (p + 1) * output_bits], signed=True)
            expected = self.space.move(sample, 0, latency)
            self._compare(f"{port} of lane {p}", {_terms(built)}, {_terms(expected)})

    def _prove_flags(self, port: str, golden: Sequence[Iterable[Polynomial]], latency: int) -> None:
        """Prove that bit p of ``port`` is the "or" of ``golden[p]``, ``latency`` clocks later.

        A block has no port for a flag that is never set.
        """
        if len(self.netlist.outputs.get(port, golden)) != len(golden):
            raise ProofError(f"{self.netlist.name}: port {port} is not {len(golden)} bits wide")
        for p, flags in enumerate(golden):
            expected = self._any(self.space.move(flag, 0, latency) for flag in flags)
            if port in self.netlist.outputs:
                built = self._any(self.words.flags(self.netlist.outputs[port][p]))
                self._compare(f"{port} of lane {p}", built, expected)
            elif expected:
                raise ProofError(f"{self.netlist.name}: no port {port}, but samples may be clipped")

    def _any(self, flags: Iterable[Polynomial]) -> set[Terms]:
        """An "or" as a set: without flags never set, functions of one variable joined to one."""
        tables: dict[Variable, Table] = {}
        terms: set[Terms] = set()
        for flag in flags:
            variable = self.space.only_variable(flag)
            if variable is None:
                if flag.constant:
                    return {_terms(flag)}
            else:
                table = self.space.evaluate(flag, variable)
                tables[variable] = tables[variable] | table if variable in tables else table
        for variable, table in tables.items():
            terms.add(_terms(self.space.table(variable, table)))
        return terms

    def _compare(self, name: str, built: set[Terms], expected: set[Terms]) -> None:
        if built != expected:
            texts = (
                " or ".join(self.space.text(dict(terms)) for terms in side) or "0"
                for side in (built, expected)
            )
            raise ProofError(f"{self.netlist.name}: {name} is {' instead of '.join(texts)}")

    def _metrics(self, latency: int, words: int, registers_read_after: int | None) -> ProvedModule:
        sums = {row.total.key: row.total for rows in self.golden.sums.values() for row in rows}
        proved = self.words.recognizer.proved
        return ProvedModule(
            module=self.netlist.name,
            latency_cycles=latency,
            warm_up_words=words,
            registers_read_after_cycles=registers_read_after,
            sums=ProvedSums(
                method="polynomial",
                sums=len(sums),
                monomials=sum(len(total.terms) for total in sums.values()),
            ),
            requantisers=ProvedRequantizers(
                method="case split",
                functions=len(proved),
                values=sum(row.words for row in proved),
                cases=sum(row.cases for row in proved),
            ),
            tables=ProvedTables(
                method="exhaustive",
                functions=len(self.space.tables),
                values=sum(len(table) for table in self.space.tables),
            ),
            cpu_seconds=round(time.process_time() - self.start, 3),
        )


def _terms(polynomial: Polynomial) -> Terms:
    return frozenset(polynomial.terms.items())
