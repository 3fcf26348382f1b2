"""A netlist of what was read of its module: final names, and the nets behind assignments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from dbp.errors import InputError
from dbp.synthesis.netlist.model import CONSTANTS, NOTHING, Instance, Netlist, is_bit
from dbp.synthesis.netlist.operands import UNDEFINED, Names

DIRECTIONS = ("input", "output", "inout")


class Assembly:
    """Make a netlist of what was read: final names, and the nets behind assignments."""

    def __init__(self, names: Names, assigned: Mapping[str, str], elements: set[str]) -> None:
        self._names, self._assigned, self._elements = names, assigned, elements
        self._final: dict[str, str] = {UNDEFINED: "1'b0"}
        self._spelled: dict[str, tuple[str, ...]] = {}

    def netlist(
        self,
        module: str,
        directions: Mapping[str, str],
        instances: Iterable[Instance],
        undefined: list[str],
        order: Mapping[str, tuple[str, ...]],
    ) -> Netlist:
        self._name()
        final, behind = self._final, self._behind()
        loose = {net for net, target in behind.items() if target == UNDEFINED}
        instances = list(instances)
        undefined = undefined + [
            f"{instance.name}/{pin}"
            for instance in (instances if loose else ())
            for pin, net in instance.nets.items()
            if net in loose
        ]
        undefined += [
            bit
            for port, kind in directions.items()
            if kind == "output"
            for bit in self._names.bits(port)
            if bit in loose
        ]
        resolved = {net: final.get(target, target) for net, target in behind.items()}
        resolved |= {net: name for net, name in final.items() if net not in resolved}
        self._other_names(resolved)
        ports = {
            final.get(port, port): tuple(final.get(b, b) for b in self._names.bits(port))
            for port in directions
        }
        by_kind = {kind: [p for p, its in directions.items() if its == kind] for kind in DIRECTIONS}
        bits = {kind: [b for p in by_kind[kind] for b in self._names.bits(p)] for kind in by_kind}
        return Netlist(
            module=module,
            ports=MappingProxyType(ports),
            inputs=tuple(final.get(b, b) for b in bits["input"]),
            inouts=tuple(final.get(b, b) for b in bits["inout"]),
            outputs=MappingProxyType({final.get(b, b): resolved.get(b, b) for b in bits["output"]}),
            instances=tuple(self._instance(instance, resolved) for instance in instances),
            spelled=MappingProxyType(self._spelled),
            notes=_notes(undefined),
            port_order=order,
        )

    def _name(self) -> None:
        """Find the final names of escaped identifiers that look like bits, and who else has two."""
        names = self._names
        for escaped in names.escaped:
            bare = escaped[1:]
            is_plain = is_bit(bare) and bare[:1] != "\\" and not names.has_bit(bare)
            if not is_plain:
                self._spelled |= {escaped: (escaped,), bare: (bare,)}
                continue
            self._final[escaped] = bare
            self._spelled[bare] = (escaped, bare)
            for k in names.ranges.get(escaped) or ():
                self._final[f"{escaped}[{k}]"] = f"{bare}[{k}]"
                self._spelled[f"{bare}[{k}]"] = (f"{escaped}[{k}]", f"{bare}[{k}]")
        for name, indices in names.ranges.items():
            if indices is not None and len(indices) == 1:
                bit = f"{name}[{indices[0]}]"
                self._spelled.setdefault(self._final.get(bit, bit), (bit, name))

    def _behind(self) -> dict[str, str]:
        """Return, for every net that is assigned, the net at the end of its assignments."""
        behind: dict[str, str] = {}
        for net in self._assigned:
            chain: dict[str, None] = {}
            target = net
            while target in self._assigned and target not in behind:
                if target in chain:
                    raise InputError(f"net {net}: assigned in a circle")
                chain[target] = None
                target = self._assigned[target]
            target = behind.get(target, target)
            behind |= dict.fromkeys(chain, target)
        return behind

    def _other_names(self, resolved: Mapping[str, str]) -> None:
        """Let files know a net also by the names that are assigned from it."""
        others: dict[str, list[str]] = {}
        for name in self._assigned:
            net = resolved[name]
            if net not in CONSTANTS:
                others.setdefault(net, []).append(name)
        for net, names in others.items():
            own = self._spelled.get(net, (net,))
            further = [s for name in names for s in self._spelled.get(name, (name,))]
            self._spelled[net] = (*own, *further)

    def _instance(self, instance: Instance, resolved: Mapping[str, str]) -> Instance:
        name = instance.name
        if name[0] == "\\" and is_bit(name[1:]) and name[1:] not in self._elements:
            name = name[1:]
        nets = {pin: resolved.get(net, net) for pin, net in instance.nets.items()}
        vectors = {
            pin: tuple(resolved.get(net, net) for net in bits)
            for pin, bits in instance.vectors.items()
        }
        return Instance(
            name,
            instance.cell,
            MappingProxyType(nets),
            MappingProxyType(vectors) if vectors else NOTHING,
            instance.open,
        )


def _notes(undefined: list[str]) -> tuple[str, ...]:
    """Say what undefined constants count as."""
    if not undefined:
        return ()
    listed = ", ".join(undefined[:5]) + (" ..." if len(undefined) > 5 else "")
    return (f"undefined constants (x, z) count as 0, {len(undefined)} of them: at {listed}",)
