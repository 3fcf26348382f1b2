"""The registers of a top in SystemRDL 2.0, and the values of its design's taps and K."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dbp.datapath.design import Design
from dbp.rtl.ports import Ports, StepPorts
from dbp.sim.compare import READ_BITS

WORD_BYTES = READ_BITS // 8
COUNTERS = {
    "filter_clipped": "samples that the filter has clipped in I or Q",
    "phi_clipped": "samples whose phi was clipped",
    "rotation_clipped": "samples that the rotation has clipped in I or Q",
}
_HEAD = """\
// Registers of {top}, in SystemRDL 2.0.
// A byte address here is {word} x {address}.
// Taps and K have two sets: a write goes to the waiting set, which is read back, sign-extended, and
// in_commit beside a word makes it the one in use from that word on. They have no reset value. A
// counter stops at its largest value; reset and any write make it zero.
// Reading takes {read} clock(s) from the address.
addrmap {top} {{
  name = "{title}";
  default regwidth = {width};
  default accesswidth = {width};
  default sw = rw;
  default hw = r;
  addressing = regalign;
  lsb0;
"""


@dataclass(frozen=True)
class _Register:
    name: str
    address: int
    text: str
    bits: int
    counts: bool = False


def system_rdl(ports: Ports, design: Design, title: str) -> str | None:
    """Return the register map of a top, None where it has no register."""
    if "cfg_address" not in ports.widths:
        return None
    bits = ports.widths["cfg_address"]
    is_chain = "cfg_step" in ports.widths
    lines = [
        _HEAD.format(
            top=ports.top,
            title=title,
            word=WORD_BYTES,
            width=READ_BITS,
            read=ports.read_latency_cycles,
            address=f"(2^{bits} x cfg_step + cfg_address)" if is_chain else "cfg_address",
        ).rstrip("\n")
    ]
    # Steps with the same registers share a type.
    kinds: dict[tuple[_Register, ...], list[int]] = {}
    for step in ports.steps:
        if registers := tuple(_registers(step, design)):
            kinds.setdefault(registers, []).append(step.step)
    if not is_chain:
        ((registers, _),) = kinds.items()
        return "\n".join([*lines, *_declared(registers, "  "), "};", ""])
    for registers, numbers in kinds.items():
        lines += [f"  regfile step_like_{numbers[0]} {{", *_declared(registers, "    "), "  };"]
    stride = WORD_BYTES << bits
    for numbers in kinds.values():
        for number in numbers:
            lines.append(f"  step_like_{numbers[0]} step_{number} @ {number * stride:#x};")
    return "\n".join([*lines, "};", ""])


def _registers(step: StepPorts, design: Design) -> Iterator[_Register]:
    """The registers of a step, by their addresses."""
    addresses, filter_ = step.addresses, design.filters[step.step]
    for part, row in (("i", addresses.half_taps_i), ("q", addresses.half_taps_q)):
        for k, address in enumerate(row):
            where = ", the outermost" if k == 0 else ", the middle" if k == len(row) - 1 else ""
            text = f"half tap {k}{where}, part {part.upper()}"
            yield _Register(f"tap_{part}_{k}", address, text, filter_.coefficient_bits)
    for k, address in enumerate(addresses.kerr):
        text = f"K number {k}" + (", the outermost" if len(addresses.kerr) > 1 and k == 0 else "")
        yield _Register(f"kerr_{k}", address, text, design.rotations[step.step].kerr_bits)
    for name, text in COUNTERS.items():
        for address in getattr(addresses, name):
            yield _Register(name, address, text, READ_BITS, counts=True)


def _declared(registers: Sequence[_Register], indent: str) -> Iterator[str]:
    for register in sorted(registers, key=lambda register: register.address):
        last = register.bits - 1
        if register.counts:
            field = f"field {{ hw = w; onwrite = wclr; }} count[{last}:0] = 0;"
        else:
            field = f"field {{}} value[{last}:0];"
        place = f"{register.name} @ {WORD_BYTES * register.address:#x}"
        yield f'{indent}reg {{ desc = "{register.text}"; {field} }} {place};'


def values(ports: Ports, design: Design, launch_power_uw: int) -> list[dict[str, int | str]]:
    """Return a row for each register that is written: its place, name and the design's value."""
    rows: list[dict[str, int | str]] = []
    for step in ports.steps:
        names = {register.address: register.name for register in _registers(step, design)}
        for address, value in step.registers(design, launch_power_uw).items():
            rows.append(
                {"step": step.step, "address": address, "name": names[address], "value": value}
            )
    return rows
