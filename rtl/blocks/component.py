"""The base of all blocks: a stable module name, a latency, and one Verilog module per kind."""

from __future__ import annotations

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Value, ValueLike
from amaranth.lib import wiring

# The key, in tables of registers by cut, of the registers that every block has at its outputs.
OUTPUT = "output"


def in_lane(names: str) -> str:
    """Return a regular expression for registers ``names`` of a lane, seen from its lanes' block.

    Tables of registers by cut are made of such expressions, so that timing can tell which cut of
    `dbp.rtl.pipeline.Pipeline` a late register is. After mapping a net may have the name of the
    register in the lane or that of a port which it drives: the tables list both.
    """
    return rf"(?:lane_\d+\.)?(?:{names})"


class Block(wiring.Component):
    """A component with parameters: equal ``module_name`` means equal hardware.

    ``summary`` heads its Verilog file. ``latency`` is the number of clock cycles from an input to
    the output that depends on it. ``has_reset`` is false where no register of the block is reset.
    """

    module_name: str
    summary: str
    latency: int
    has_reset: bool = True

    def ports(self) -> list[tuple[str, wiring.Flow]]:
        """Return name and direction of every port except the clock and the reset."""
        return [(name, member.flow) for name, member in self.signature.members.items()]


class StreamBlock(Block):
    """A block that takes and puts out words of ``lanes`` samples of each polarisation.

    Its ports are those of `dbp.rtl.blocks.streams.stream_ports`. After reset its first
    ``warm_up_words`` words fill its histories and put nothing out.
    """

    lanes: int
    polarizations: int
    input_bits: int
    output_bits: int
    warm_up_words: int


class Emission:
    """The "platform" of an emission to Verilog: `add_block` then instantiates modules by name.

    ``blocks`` collects every distinct block, so that each is emitted once, as one module.
    """

    def __init__(self) -> None:
        self.blocks: dict[str, Block] = {}


def add_block(m: Module, name: str, block: Block, platform: object) -> None:
    """Add ``block`` to ``m`` as its sub-block ``name``.

    The Amaranth simulator gets a real submodule; an `Emission` gets an instance of the module
    ``block.module_name``. Only the first of equal blocks becomes Verilog, but each has signals of
    its own, which the instance connects.
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
        # In the Verilog of ``m`` the wires of all its sub-blocks lie side by side.
        signal.name = f"{name}_{port}"
        ports[f"{'i' if flow == wiring.In else 'o'}_{port}"] = signal
    m.submodules[name] = Instance(block.module_name, **ports)


def lanes_name(lanes: int, polarizations: int) -> str:
    """Return how the names of modules state the samples of a word: ``x4``, or ``x4y4`` of two."""
    return f"x{lanes}" if polarizations == 1 else f"x{lanes}y{lanes}"


def element(word: Value, k: int, bits: int) -> Value:
    """Return element ``k`` of a packed word, element 0 in the least significant bits."""
    return word[k * bits : (k + 1) * bits]
