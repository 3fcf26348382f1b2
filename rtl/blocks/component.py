"""What all components share: a stable module name, a latency, and one Verilog module per kind."""

from __future__ import annotations

from amaranth.hdl import Cat, ClockSignal, Instance, Module, ResetSignal, Signal, Value, ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Block(wiring.Component):
    """A component with parameters: equal ``module_name`` means equal hardware.

    ``latency`` is the number of clock cycles from an input to the output that depends on it.
    ``has_reset`` is false where no register of the block is ever reset.
    """

    module_name: str
    summary: str
    latency: int
    has_reset: bool = True

    def ports(self) -> list[tuple[str, wiring.Flow]]:
        """Name and direction of every port but the clock and the reset."""
        return [(name, member.flow) for name, member in self.signature.members.items()]


class StreamBlock(Block):
    """A block that takes and puts out words of ``lanes`` samples: see `stream_ports`.

    After reset its first ``warm_up_words`` words fill its histories and put nothing out.
    """

    lanes: int
    input_bits: int
    output_bits: int
    warm_up_words: int


class Emission:
    """The "platform" of an emission to Verilog: `place` then instantiates modules by name.

    ``blocks`` collects every distinct block, so that each is emitted once, as one module.
    """

    def __init__(self) -> None:
        self.blocks: dict[str, Block] = {}


def element(word: Value, k: int, bits: int) -> Value:
    """Element ``k`` of a packed word, element 0 in the least significant bits."""
    return word[k * bits : (k + 1) * bits]


def stream_ports(lanes: int, input_bits: int, output_bits: int) -> dict[str, wiring.Member]:
    """Words of ``lanes`` complex samples in and out, each with its valid, lane 0 the oldest."""
    return {
        "in_valid": In(1),
        "in_i": In(lanes * input_bits),
        "in_q": In(lanes * input_bits),
        "out_valid": Out(1),
        "out_i": Out(lanes * output_bits),
        "out_q": Out(lanes * output_bits),
    }


def place(m: Module, name: str, block: Block, platform: object) -> None:
    """Make ``block`` the sub-block ``name`` of ``m``: a submodule, or in an `Emission` an instance.

    The Amaranth simulator sees real submodules; emission sees named instances.
    """
    if not isinstance(platform, Emission):
        m.submodules[name] = block
        return
    platform.blocks.setdefault(block.module_name, block)
    ports: dict[str, ValueLike] = {"i_clk": ClockSignal()}
    if block.has_reset:
        ports["i_rst"] = ResetSignal()
    for port, flow in block.ports():
        signal = getattr(block, port)
        signal.name = f"{name}_{port}"
        ports[f"{'i' if flow == wiring.In else 'o'}_{port}"] = signal
    m.submodules[name] = Instance(block.module_name, **ports)


def delayed_valid(m: Module, name: str, valid: Value, cycles: int) -> Value:
    """``valid`` after ``cycles`` clocks; reset clears it on the way, so that no old word leaves."""
    if cycles == 0:
        return valid
    stages = Signal(cycles, name=name)
    m.d.sync += stages.eq(Cat(valid, stages)[:cycles])
    return stages[-1]


def stream(m: Module, name: str, word: Value, valid: Value, length: int) -> Value:
    """The last ``length`` bits before this word, then the word: oldest first.

    That history advances with every valid word. Nothing resets it: see `warmed_up`.
    """
    if length == 0:
        return word
    history = Signal(length, name=name, reset_less=True)
    whole = Cat(history, word)
    with m.If(valid):
        m.d.sync += history.eq(whole[-length:])
    return whole


def words_to_fill(samples: int, lanes: int) -> int:
    """Words of ``lanes`` samples that fill a history of ``samples`` samples."""
    return -(-samples // lanes)


def warmed_up(m: Module, valid: Value, words: int) -> Value:
    """``valid`` but for the first ``words`` valid words after reset, which fill a history."""
    if words == 0:
        return valid
    missing = Signal(range(words + 1), name="words_missing", init=words)
    filling = missing.any()
    one_less = Signal.like(missing, name="words_missing_next")
    m.d.comb += one_less.eq(missing - 1)
    with m.If(valid & filling):
        m.d.sync += missing.eq(one_less)
    return valid & ~filling
