# amaranth: UnusedElaboratable=no
"""The registers of a step: taps and K in two sets, and counters of what was clipped."""

from __future__ import annotations

from collections.abc import Container
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from dbp.rtl.blocks.arithmetic import Exact, adder_tree
from dbp.rtl.blocks.component import Block, element, lanes_name

READ_BITS = 32
# In the order of their addresses, behind taps and K.
SATURATORS = ("filter", "phi", "rotation")


class Registers(Block):
    """The registers of a step behind a memory-mapped port.

    Taps and K have two sets of registers. A write goes to the waiting set; ``load_taps`` and
    ``load_kerr`` copy it to the set in use, at the next clock edge. Neither has a reset value.
    Address ``2 k`` is the I part of half tap ``k`` (the outermost is 0), ``2 k + 1`` its Q part;
    then come the K, the outermost first, then a counter for each of `SATURATORS`. Hardwired taps
    leave their addresses empty.

    A register takes the low bits of ``cfg_data`` at the clock edge where ``cfg_write`` is high.
    ``cfg_read_data`` follows ``cfg_address`` by one clock: the waiting set, sign-extended, or a
    counter; zero for an empty address. A counter adds, some clocks later, the samples whose bit of
    ``NAME_clipped`` is set while ``NAME_valid`` is; it stops at its largest value. Any write to it,
    and reset, make it zero.
    """

    latency = 1

    def __init__(
        self,
        half_taps: int,
        coefficient_bits: int,
        half_kerr: int,
        kerr_bits: int,
        lanes: int,
        saturators: Container[str],
        *,
        hardwired: bool,
        polarizations: int = 1,
    ) -> None:
        self.half_taps, self.half_kerr = half_taps, half_kerr
        self.coefficient_bits, self.kerr_bits = coefficient_bits, kerr_bits
        self.lanes, self.hardwired = lanes, hardwired
        self.counted = [name for name in SATURATORS if name in saturators]
        self.has_reset = bool(self.counted)
        taps = 0 if hardwired else half_taps
        self.data_bits = max(coefficient_bits if taps else 0, kerr_bits if half_kerr else 0)
        self.address_bits = bits_for(2 * half_taps + half_kerr + len(SATURATORS) - 1)
        kind = "f" if hardwired else f"c{coefficient_bits}_"
        name = lanes_name(lanes, polarizations)
        self.module_name = f"registers_{name}_{kind}t{half_taps}_k{kerr_bits}_n{half_kerr}"
        self.module_name += "".join(f"_{name}" for name in self.counted)
        self.summary = (
            f"{taps} complex taps of {coefficient_bits} bits, {half_kerr} K of {kerr_bits} bits, "
            f"{len(self.counted)} counters"
        )
        ports = {
            "cfg_write": In(1),
            "cfg_address": In(self.address_bits),
            "cfg_read_data": Out(READ_BITS),
        }
        if self.data_bits:
            ports["cfg_data"] = In(self.data_bits)
        if taps:
            width = half_taps * coefficient_bits
            ports |= {"load_taps": In(1), "taps_i": Out(width), "taps_q": Out(width)}
        if half_kerr:
            ports |= {"load_kerr": In(1), "kerr": Out(half_kerr * kerr_bits)}
        for name in self.counted:
            # Both polarisations have one phi.
            samples = lanes if name == "phi" else lanes * polarizations
            ports |= {f"{name}_valid": In(1), f"{name}_clipped": In(samples)}
        super().__init__(ports)

    @property
    def empty(self) -> bool:
        """Tell whether there is no register to write or to read."""
        return not self.data_bits and not self.counted

    def address_map(self) -> dict[str, list[int]]:
        """Return the addresses of half taps, of half of K and of counters; empty without them."""
        taps = range(0 if self.hardwired else self.half_taps)
        first_kerr = 2 * self.half_taps
        addresses = {
            "half_taps_i": [2 * k for k in taps],
            "half_taps_q": [2 * k + 1 for k in taps],
            "kerr": [first_kerr + k for k in range(self.half_kerr)],
        }
        for k, name in enumerate(SATURATORS):
            address = first_kerr + self.half_kerr + k
            addresses[f"{name}_clipped"] = [address] if name in self.counted else []
        return addresses

    def elaborate(self, platform: object) -> Module:
        m = Module()
        addresses = self.address_map()
        values: list[Value] = []
        totals: list[Value] = []

        def reachable(address: int, x: Value, bits: int, among: list[Value]) -> Value:
            """Return whether the port addresses ``x``; let it be read then, sign-extended."""
            here = Signal(name=f"at_{address}")
            m.d.comb += here.eq(self.cfg_address == address)
            word = Cat(x, x[-1].replicate(bits - len(x)))
            among.append(word & here.replicate(bits))
            return here

        for port, name, bits in (
            ("taps_i", "tap_i", self.coefficient_bits),
            ("taps_q", "tap_q", self.coefficient_bits),
            ("kerr", "kerr", self.kerr_bits),
        ):
            for k, address in enumerate(addresses[f"half_{port}" if port != "kerr" else port]):
                waiting = Signal(bits, name=f"next_{name}_{k}", reset_less=True)
                used = Signal(bits, name=f"{name}_{k}", reset_less=True)
                with m.If(self.cfg_write & reachable(address, waiting, self.data_bits, values)):
                    m.d.sync += waiting.eq(self.cfg_data[:bits])
                with m.If(self.load_kerr if port == "kerr" else self.load_taps):
                    m.d.sync += used.eq(waiting)
                m.d.comb += element(getattr(self, port), k, bits).eq(used)
        for name in self.counted:
            (address,) = addresses[f"{name}_clipped"]
            total = Signal(READ_BITS, name=f"{name}_clipped_total")
            here = reachable(address, total, READ_BITS, totals)
            self._count(m, name, total, clear=self.cfg_write & here)
        answer = Signal(READ_BITS, name="answer", reset_less=True)
        if values:
            value = Signal(self.data_bits, name="value")
            m.d.comb += value.eq(reduce(or_, values))
            totals.append(Cat(value, value[-1].replicate(READ_BITS - len(value))))
        m.d.sync += answer.eq(reduce(or_, totals))
        m.d.comb += self.cfg_read_data.eq(answer)
        return m

    def _count(self, m: Module, name: str, total: Signal, clear: Value) -> None:
        valid, bits = getattr(self, f"{name}_valid"), getattr(self, f"{name}_clipped")
        levels = (len(bits) - 1).bit_length()
        ones = adder_tree(m, f"{name}_ones", [Exact(bit, 0, 1) for bit in bits], levels * (False,))
        now = Signal(ones.shape, name=f"{name}_clipped_now")
        m.d.sync += now.eq(ones.value & valid.replicate(len(now)))
        after = Signal(READ_BITS + 1, name=f"{name}_clipped_after")
        m.d.comb += after.eq(total + now)
        with m.If(clear):
            # The samples clipped in this very clock begin the new count.
            m.d.sync += total.eq(now)
        with m.Else():
            m.d.sync += total.eq(after[:-1] | after[-1].replicate(READ_BITS))
