"""The polarity of full adders: which of them add the complements of their bits.

The sum and the carry of three complemented bits are the complements of sum and carry. So a full
adder may read all its inputs complemented where that makes its outputs complemented too, and a tree
of adders whose cells invert their outputs needs inverters only where two polarities meet. Each
choice moves inverters between the inputs and the outputs of an adder; those that a netlist needs in
all are counted and made few: first along a spanning tree of the adders that feed each other, then
by changing one adder at a time while that saves an inverter (the local search for a maximum cut).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from dbp.synthesis.cells.library import Cell, Library
from dbp.synthesis.netlist import CONSTANTS, Instance, Netlist

# Before the name of a net: of one that carries the complement of that value.
COMPLEMENT = "complement."


class _Literal(NamedTuple):
    """A net that a cell other than an inverter or a buffer drives, or the complement of one."""

    net: str
    inverted: bool


def complement_of(net: str) -> str:
    """Return the name of the net with the complement of another one."""
    return net.removeprefix(COMPLEMENT) if net.startswith(COMPLEMENT) else COMPLEMENT + net


def with_register_names(netlist: Netlist, library: Library) -> Netlist:
    """Name the nets behind registers after these, where Yosys made their names up.

    Registers are called as Yosys' ``rename -wire`` does: ``X$_DFF_P_`` for the one that drove X.
    """
    taken = {*netlist.nets}
    names: dict[str, str] = {}
    for instance in netlist.instances:
        sequential = library.cells[instance.cell].sequential
        register, mark, _ = instance.name.partition("$_")
        if sequential is None or not mark or register.startswith("_"):
            continue
        stores_complement = sequential.next_state.truth.tolist() == [True, False]
        for pin in library.cells[instance.cell].outputs:
            net = instance.nets.get(pin.name, "")
            inverts = pin.function is not None and pin.function.text == sequential.inverted_state
            name = complement_of(register) if inverts ^ stores_complement else register
            if net.startswith("_") and name not in taken:
                names[net] = name
                taken.add(name)
    instances = []
    for k, instance in enumerate(netlist.instances):
        name = f"_register_{k}_" if "$_" in instance.name else instance.name
        nets = {pin: names.get(net, net) for pin, net in instance.nets.items()}
        instances.append(Instance(name, instance.cell, MappingProxyType(nets)))
    outputs = {bit: names.get(net, net) for bit, net in netlist.outputs.items()}
    return replace(netlist, outputs=MappingProxyType(outputs), instances=tuple(instances))


def with_few_inverters(netlist: Netlist, library: Library, unwanted: Collection[str]) -> Netlist:
    """Return a circuit of the same function with fewer inverters beside its full adders.

    Buffers go, too; `dbp.synthesis.mapping.fanout` puts in those that nets need. New instances are
    called ``inverter_N``; a net ``complement.X`` carries the complement of X. The netlist stays as
    it is where the library has no inverter, or where no inverter is saved.
    """
    inverters = [
        cell
        for cell in library.readable_cells()
        if cell.name not in unwanted and _is_inverter(cell)
    ]
    if not inverters:
        return netlist
    return _Polarity(netlist, library, min(inverters, key=lambda c: (c.area_um2, c.name))).result()


def _is_inverter(cell: Cell) -> bool:
    if cell.has_state or len(cell.inputs) != 1 or len(cell.outputs) != 1:
        return False
    function = cell.outputs[0].function
    return function is not None and function.truth.tolist() == [True, False]


def _is_self_dual(cell: Cell) -> bool:
    """Tell whether complementing all inputs complements all outputs, of which there are two."""
    if cell.has_state or len(cell.inputs) != 3 or len(cell.outputs) != 2:
        return False
    functions = [pin.function for pin in cell.outputs]
    return all(
        f is not None and len(f.variables) == 3 and bool((f.truth != f.truth[::-1]).all())
        for f in functions
    )


class _Polarity:
    """The netlist without inverters and buffers; ``flipped``: adders that read complements."""

    def __init__(self, netlist: Netlist, library: Library, inverter: Cell) -> None:
        self._netlist, self._cells, self._inverter = netlist, library.cells, inverter
        used = {instance.cell for instance in netlist.instances}
        cells = {name: library.cells[name] for name in used}
        passing = {n for n, cell in cells.items() if cell.is_buffer or _is_inverter(cell)}
        self._inverting = {name for name in passing if not cells[name].is_buffer}
        dual = {name for name, cell in cells.items() if _is_self_dual(cell)}
        self._kept = [i for i in netlist.instances if i.cell not in passing]
        self._literals = self._resolved(i for i in netlist.instances if i.cell in passing)
        self._adders = {k for k, i in enumerate(self._kept) if i.cell in dual}
        self.flipped: set[int] = set()
        self._driver: dict[str, int] = {}
        # By net: how its pins read it, the adder's number or None for another cell.
        self._readers: dict[str, list[tuple[int | None, bool]]] = defaultdict(list)
        for k, instance in enumerate(self._kept):
            adder = k if k in self._adders else None
            for pin, net in instance.nets.items():
                if self._is_input(instance, pin):
                    if net not in CONSTANTS:
                        literal = self._literal(net)
                        self._readers[literal.net].append((adder, literal.inverted))
                elif adder is not None:
                    self._driver[net] = k
        for net in netlist.outputs.values():
            if net not in CONSTANTS:
                literal = self._literal(net)
                self._readers[literal.net].append((None, literal.inverted))
        self._nets_of = self._nets_by_adder()

    def _resolved(self, passing: Iterable[Instance]) -> dict[str, _Literal]:
        """Return what each net behind inverters and buffers is a literal of."""
        behind = {}
        for instance in passing:
            cell = self._cells[instance.cell]
            source = instance.nets[cell.inputs[0].name]
            behind[instance.nets[cell.outputs[0].name]] = source, instance.cell in self._inverting
        literals: dict[str, _Literal] = {}
        for net in behind:
            path, inverted, at = [], False, net
            while at in behind and at not in CONSTANTS:
                path.append(at)
                at, inverts = behind[at]
                inverted ^= inverts
            literals[net] = _Literal(at, inverted)
        return literals

    def _literal(self, net: str) -> _Literal:
        return self._literals.get(net, _Literal(net, False))

    def _is_input(self, instance: Instance, pin: str) -> bool:
        return self._cells[instance.cell].pins[pin].direction == "input"

    def _nets_by_adder(self) -> dict[int, list[str]]:
        nets: dict[int, dict[str, None]] = {k: {} for k in sorted(self._adders)}
        for net, k in self._driver.items():
            nets[k][net] = None
        for net, readers in self._readers.items():
            for adder, _ in readers:
                if adder is not None:
                    nets[adder][net] = None
        return {k: list(of) for k, of in nets.items()}

    def _needs_inverter(self, net: str) -> bool:
        carried = self._driver.get(net) in self.flipped
        return any(inverted ^ carried ^ (k in self.flipped) for k, inverted in self._readers[net])

    def _gain(self, adder: int) -> int:
        """Inverters that are saved where this adder changes its polarity."""
        before = sum(map(self._needs_inverter, self._nets_of[adder]))
        self.flipped ^= {adder}
        after = sum(map(self._needs_inverter, self._nets_of[adder]))
        self.flipped ^= {adder}
        return before - after

    def _choose(self) -> None:
        """Choose along spanning trees, then one adder at a time."""
        near: dict[int, list[tuple[int, bool]]] = {k: [] for k in self._nets_of}
        for net, readers in self._readers.items():
            source = self._driver.get(net)
            for adder, inverted in readers:
                if source is not None and adder is not None:
                    near[source].append((adder, inverted))
                    near[adder].append((source, inverted))
        unseen = dict.fromkeys(near)
        while unseen:
            first = next(iter(unseen))
            del unseen[first]
            queue = deque([first])
            while queue:
                adder = queue.popleft()
                for other, inverted in near[adder]:
                    if other in unseen:
                        del unseen[other]
                        if inverted ^ (adder in self.flipped):
                            self.flipped.add(other)
                        queue.append(other)
        queue = deque(self._nets_of)
        waiting = set(queue)
        while queue:
            adder = queue.popleft()
            waiting.discard(adder)
            if self._gain(adder) > 0:
                self.flipped ^= {adder}
                for other, _ in near[adder]:
                    if other not in waiting:
                        waiting.add(other)
                        queue.append(other)

    def result(self) -> Netlist:
        """Choose, and write the netlist with the inverters that it then needs."""
        before = sum(i.cell in self._inverting for i in self._netlist.instances)
        self._choose()
        needed = [net for net in self._readers if self._needs_inverter(net)]
        if len(needed) >= before:
            return self._netlist
        names = self._names()
        (source,), (output,) = self._inverter.inputs, self._inverter.outputs
        added = []
        for n, net in enumerate(needed):
            nets = {source.name: names[net, False], output.name: names[net, True]}
            instance = Instance(f"inverter_{n}", self._inverter.name, MappingProxyType(nets))
            added.append(instance)

        def read(net: str, *, flipped: bool) -> str:
            if net in CONSTANTS:
                return f"1'b{CONSTANTS[net] ^ flipped}"
            root, inverted = self._literal(net)
            carried = self._driver.get(root) in self.flipped
            return names[root, inverted ^ carried ^ flipped]

        instances = []
        for k, instance in enumerate(self._kept):
            nets = {
                pin: read(net, flipped=k in self.flipped)
                if self._is_input(instance, pin)
                else names.get((net, False), net)
                for pin, net in instance.nets.items()
            }
            instances.append(Instance(instance.name, instance.cell, MappingProxyType(nets)))
        outputs = {bit: read(net, flipped=False) for bit, net in self._netlist.outputs.items()}
        return replace(
            self._netlist,
            outputs=MappingProxyType(outputs),
            instances=(*instances, *added),
        )

    def _names(self) -> dict[tuple[str, bool], str]:
        """Return the name of each net as it is driven (False), and of its complement (True).

        A name that people gave stays with the value that it had, since registers are found by it;
        those that Yosys made up begin with an underscore.
        """
        copies: dict[_Literal, list[str]] = defaultdict(list)
        for net, literal in self._literals.items():
            copies[literal].append(net)
        names = {}
        for net in self._readers:
            true, false = (
                next((copy for copy in alike if not copy.startswith("_")), "")
                for alike in ([net, *copies[_Literal(net, False)]], copies[_Literal(net, True)])
            )
            if net in self._netlist.inputs or not (true or false):
                true = net
            false = false or complement_of(true)
            true = true or complement_of(false)
            pair = (false, true) if self._driver.get(net) in self.flipped else (true, false)
            names[net, False], names[net, True] = pair
        return names
