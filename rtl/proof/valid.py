"""Prove when ``out_valid`` rises: the latency of a block, and the words that only warm it up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dbp.rtl.proof.cells import ARITHMETIC, LOGIC, Symbols, evaluate
from dbp.rtl.proof.netlist import CONSTANTS, Bit, Cell
from dbp.rtl.proof.origins import MAX_CLOCKS, Origins

MAX_WORDS = 1 << 16

State = dict[Bit, int]


class WarmUp(NamedTuple):
    """``out_valid`` is ``in_valid`` of ``latency_cycles`` ago, except for the first ``words``."""

    latency_cycles: int
    words: int


def prove_valid(origins: Origins) -> WarmUp:
    """Prove that ``out_valid`` delays ``in_valid`` and leaves out a number of words after reset.

    A counter may hold the first words back; it is played from reset until its state no longer
    changes, with and without a word in each state. Before and behind it the valid passes registers
    that reset clears. The counter must not move without a word. `ProofError` for any other form.
    """
    netlist = origins.netlist
    (bit,) = netlist.outputs["out_valid"]
    behind = 0
    while origins.valid_age(bit) is None and netlist.is_register(bit):
        register = netlist.register(bit)
        if register.enable is not None or register.reset != 0 or behind > MAX_CLOCKS:
            raise origins.fail("a valid that reset does not clear, or that can be held", [bit])
        bit, behind = register.data, behind + 1
    if (age := origins.valid_age(bit)) is not None:
        return WarmUp(behind + age, 0)
    # The state after reset is known and only words change it: so it can be played.
    counter = _Counter(origins, bit)
    state = counter.after_reset()
    for words in range(MAX_WORDS):
        if counter.step(state, 0) != (state, 0):
            raise origins.fail(f"counts or puts out words that never came in, after {words}", [bit])
        following, valid = counter.step(state, 1)
        if valid and following == state:
            return WarmUp(behind + counter.age, words)
        if valid or following == state:
            raise origins.fail(f"after {words} words it does not go on holding back", [bit])
        state = following
    raise origins.fail(f"holds back more than {MAX_WORDS} words", [bit])


class _Counter:
    """The logic of one bit over registers of its own and the valid of one age."""

    def __init__(self, origins: Origins, bit: Bit) -> None:
        self.origins, self.netlist, self.bit = origins, origins.netlist, bit
        self.next_bits: dict[Bit, Bit] = {}
        self.resets: State = {}
        self.valids: set[Bit] = set()
        ages: set[int] = set()
        seen: set[Bit] = set()
        todo = [bit]
        while todo:
            bit = todo.pop()
            if bit in seen or bit in CONSTANTS:
                continue
            seen.add(bit)
            if (age := origins.valid_age(bit)) is not None:
                ages.add(age)
                self.valids.add(bit)
                continue
            cell, k = self.netlist.driver(bit)
            if not isinstance(cell, Cell):
                raise origins.fail(f"the valid depends on {cell}", [self.bit])
            if cell.type == "$dff":
                todo.append(self._add_register(bit, cell.inputs["D"][k]))
            elif cell.type in LOGIC | ARITHMETIC:
                todo += [b for port in cell.inputs.values() for b in port]
            else:
                raise origins.fail(f"the valid depends on a {cell.type}", [self.bit])
        if len(ages) != 1:
            raise origins.fail(f"counts valids {sorted(ages)} clocks old", [self.bit])
        (self.age,) = ages

    def _add_register(self, bit: Bit, data: Bit) -> Bit:
        """The next state of a register without its reset, which must give it a value."""
        reset = self.netlist.register(bit).reset
        mux, k = self.netlist.drivers.get(data, ("", 0))
        if (
            reset is None
            or not isinstance(mux, Cell)
            or mux.inputs["S"] != self.netlist.inputs["rst"]
        ):
            raise self.origins.fail("a counter that reset does not set", [bit])
        self.next_bits[bit] = mux.inputs["A"][k]
        self.resets[bit] = reset
        return self.next_bits[bit]

    def after_reset(self) -> State:
        return dict(self.resets)

    def step(self, state: State, valid: int) -> tuple[State, int]:
        """The next state and the value of the bit itself, with or without a word."""
        known = state | CONSTANTS | dict.fromkeys(self.valids, valid)
        following = {bit: self._value(data, known) for bit, data in self.next_bits.items()}
        return following, self._value(self.bit, known)

    def _value(self, bit: Bit, known: State) -> int:
        if bit not in known:
            cell, _ = self.netlist.cell(bit)
            inputs = {
                port: [self._value(b, known) for b in bits] for port, bits in cell.inputs.items()
            }
            arithmetic = cell.type in ARITHMETIC
            out = _arithmetic(cell, inputs) if arithmetic else evaluate(cell, inputs, Symbols())
            known.update(zip(cell.outputs["Y"], out, strict=True))
        return known[bit]


def _arithmetic(cell: Cell, inputs: Mapping[str, Sequence[int]]) -> list[int]:
    a, b = (_number(inputs.get(port, [0]), cell, port) for port in "AB")
    result = {"$add": a + b, "$sub": a - b, "$mul": a * b, "$neg": -a, "$pos": a}[cell.type]
    return [result >> k & 1 for k in range(len(cell.outputs["Y"]))]


def _number(bits: Sequence[int], cell: Cell, port: str) -> int:
    number = sum(bit << k for k, bit in enumerate(bits))
    signed = cell.parameters.get(f"{port}_SIGNED", 0)
    return number - (bits[-1] << len(bits)) if signed else number
