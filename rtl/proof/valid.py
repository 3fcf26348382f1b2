"""The valid of an emitted block: its latency, and how many words after reset it holds back."""

from __future__ import annotations

from typing import NamedTuple

from dbp.rtl.proof.cells import LOGIC, Symbols, evaluate
from dbp.rtl.proof.netlist import CONSTANTS, Bit, Cell
from dbp.rtl.proof.words import ARITHMETIC, MAX_CLOCKS, ExactValues

MAX_WORDS = 1 << 16


class WarmUp(NamedTuple):
    """``out_valid`` is ``in_valid`` of ``latency_cycles`` ago, the first ``words`` words aside."""

    latency_cycles: int
    words: int


def prove_valid(values: ExactValues) -> WarmUp:
    """What ``out_valid`` of a block is, by playing its counter from reset until it stands still.

    Behind the counter and before it the valid passes registers that reset clears. The counter must
    not move without a word. `ProofError` where it is not of that form.
    """
    netlist = values.netlist
    (bit,) = netlist.outputs["out_valid"]
    after = 0
    while values.valid_age(bit) is None and netlist.is_register(bit):
        register = netlist.register(bit)
        if register.enable is not None or register.reset != 0 or after > MAX_CLOCKS:
            raise values.fail("a valid that reset does not clear, or that can be held", [bit])
        bit, after = register.taken, after + 1
    if (age := values.valid_age(bit)) is not None:
        return WarmUp(after + age, 0)
    counter = _Counter(values, bit)
    state = counter.after_reset()
    for words in range(MAX_WORDS):
        if counter.step(state, 0) != (state, 0):
            raise values.fail(f"counts or puts out words that are none, after {words}", [bit])
        following, valid = counter.step(state, 1)
        if valid and following == state:
            return WarmUp(after + counter.age, words)
        if valid or following == state:
            raise values.fail(f"after {words} words it does not go on holding back", [bit])
        state = following
    raise values.fail(f"holds back more than {MAX_WORDS} words", [bit])


class _Counter:
    """The logic of one bit over registers of its own and the valid of one age."""

    def __init__(self, values: ExactValues, bit: Bit) -> None:
        self.values, self.netlist, self.bit = values, values.netlist, bit
        self.registers: dict[Bit, Bit] = {}
        self.resets: dict[Bit, int] = {}
        self.valids: set[Bit] = set()
        ages: set[int] = set()
        seen: set[Bit] = set()
        todo = [bit]
        while todo:
            bit = todo.pop()
            if bit in seen or bit in CONSTANTS:
                continue
            seen.add(bit)
            if (age := values.valid_age(bit)) is not None:
                ages.add(age)
                self.valids.add(bit)
                continue
            cell, k = self.netlist.driver(bit)
            if not isinstance(cell, Cell):
                raise values.fail(f"the valid depends on {cell}", [self.bit])
            if cell.type == "$dff":
                todo.append(self._add_register(bit, cell.inputs["D"][k]))
            elif cell.type in LOGIC | ARITHMETIC:
                todo += [b for port in cell.inputs.values() for b in port]
            else:
                raise values.fail(f"the valid depends on a {cell.type}", [self.bit])
        if len(ages) != 1:
            raise values.fail(f"counts valids {sorted(ages)} clocks old", [self.bit])
        (self.age,) = ages

    def _add_register(self, bit: Bit, taken: Bit) -> Bit:
        """Its next state but for the reset, which must give it a value."""
        reset = self.netlist.register(bit).reset
        mux, k = self.netlist.drivers.get(taken, ("", 0))
        if reset is None or mux.inputs["S"] != self.netlist.inputs["rst"]:
            raise self.values.fail("a counter that reset does not set", [bit])
        self.registers[bit] = mux.inputs["A"][k]
        self.resets[bit] = reset
        return self.registers[bit]

    def after_reset(self) -> dict[Bit, int]:
        return dict(self.resets)

    def step(self, state: dict[Bit, int], valid: int) -> tuple[dict[Bit, int], int]:
        """The next state and the bit itself, with or without a word."""
        known = dict(state) | CONSTANTS | dict.fromkeys(self.valids, valid)
        following = {bit: self._bit(taken, known) for bit, taken in self.registers.items()}
        return following, self._bit(self.bit, known)

    def _bit(self, bit: Bit, known: dict[Bit, int]) -> int:
        if bit not in known:
            cell, _ = self.netlist.drivers[bit]
            inputs = {
                port: [self._bit(b, known) for b in bits] for port, bits in cell.inputs.items()
            }
            out = _arithmetic(cell, inputs) if cell.type in ARITHMETIC else None
            out = evaluate(cell, inputs, Symbols()) if out is None else out
            known.update(zip(cell.outputs["Y"], out, strict=True))
        return known[bit]


def _arithmetic(cell: Cell, inputs: dict[str, list[int]]) -> list[int]:
    a, b = (_number(inputs.get(port, [0]), cell, port) for port in "AB")
    result = {"$add": a + b, "$sub": a - b, "$mul": a * b, "$neg": -a, "$pos": a}[cell.type]
    return [result >> k & 1 for k in range(len(cell.outputs["Y"]))]


def _number(bits: list[int], cell: Cell, port: str) -> int:
    number = sum(bit << k for k, bit in enumerate(bits))
    return number - (cell.parameters.get(f"{port}_SIGNED", 0) and bits[-1] << len(bits))
