"""From a netlist to Verilog."""

from __future__ import annotations

from pathlib import Path

from dbp.support.files import write_text
from dbp.synthesis.netlist.model import CONSTANTS, Netlist, identifier


def write(netlist: Netlist, path: str | Path) -> None:
    """Write a netlist as Verilog that `read`, Yosys and OpenSTA read; atomically."""
    # Bits of port vectors are selects; every other bit is a net whose name includes its brackets.
    selects = {bit for port, bits in netlist.ports.items() if bits != (port,) for bit in bits}
    driven = dict.fromkeys(
        net
        for i in netlist.instances
        for net in (*i.nets.values(), *(bit for bus in i.vectors.values() for bit in bus))
    )
    known = {bit for bits in netlist.ports.values() for bit in bits} | set(CONSTANTS)
    outputs = netlist.outputs
    # But where an escaped name looks like it: then the bit is one of a vector again.
    everywhere = driven.keys() | known | set(outputs.values())
    twins = sorted(n[1:] for n in everywhere if n.startswith("\\") and n[1:] in everywhere)
    selects |= set(twins)

    def reference(net: str) -> str:
        if net in CONSTANTS:
            return net
        if net not in selects:
            return identifier(net)
        stem, _, index = net.rpartition("[")
        return f"{identifier(stem)}[{index}"

    lines = [f"module {identifier(netlist.module)}({', '.join(map(identifier, netlist.ports))});"]
    for port, bits in netlist.ports.items():
        span = ""
        if bits != (port,):
            left, right = (int(bit[len(port) + 1 : -1]) for bit in (bits[0], bits[-1]))
            span = f"[{left}:{right}] "
        direction = "output" if bits[0] in outputs else "input"
        direction = "inout" if bits[0] in netlist.inouts else direction
        lines.append(f"  {direction} {span}{identifier(port)};")
    lines += [
        f"  wire {identifier(net)};" for net in driven if net not in known and net not in selects
    ]
    lines += _vectors([net for net in twins if net not in known])
    escaped = {i.name for i in netlist.instances if i.name.startswith("\\")}
    for instance in netlist.instances:
        pins = [f".{identifier(pin)}({reference(net)})" for pin, net in instance.nets.items()]
        for pin, bits in instance.vectors.items():
            pins.append(f".{identifier(pin)}({{{', '.join(map(reference, bits))}}})")
        name = identifier(instance.name)
        if "\\" + instance.name in escaped:  # an element of an array, beside one that looks like it
            stem, _, index = instance.name.removesuffix("]").rpartition("[")
            name = f"{identifier(stem)}[{index}:{index}]"
        lines.append(f"  {identifier(instance.cell)} {name} ({', '.join(pins)});")
    lines += [
        f"  assign {reference(bit)} = {reference(net)};"
        for bit, net in outputs.items()
        if bit != net
    ]
    write_text(path, "\n".join([*lines, "endmodule\n"]))


def _vectors(bits: list[str]) -> list[str]:
    """Declare the vectors of single bits, from the least to the most that is there."""
    places: dict[str, list[int]] = {}
    for bit in bits:
        stem, _, index = bit.removesuffix("]").rpartition("[")
        places.setdefault(stem, []).append(int(index))
    return [
        f"  wire [{max(found)}:{min(found)}] {identifier(stem)};" for stem, found in places.items()
    ]
