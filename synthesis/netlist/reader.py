"""From Verilog to a netlist: what synthesis and layout tools write, and nothing else.

Words and modules come from `source`; `operands` reads what may stand at a pin.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from dbp.errors import InputError
from dbp.support.files import read_gzip_or_plain
from dbp.synthesis.netlist import source
from dbp.synthesis.netlist.assembly import DIRECTIONS, Assembly
from dbp.synthesis.netlist.connections import Connections
from dbp.synthesis.netlist.model import CONSTANTS, Instance, Netlist
from dbp.synthesis.netlist.operands import UNDEFINED, Names, Operand, Words
from dbp.synthesis.netlist.source import Module

MAX_BYTES = 1 << 30
_NET_TYPES = {"wire", "tri", "tri0", "tri1", "wand", "wor", "triand", "trior", "trireg", "uwire"}
_NET_TYPES |= {"logic", "var"}
_SUPPLIES = {"supply0": "1'b0", "supply1": "1'b1"}
_DECLARATIONS = {*DIRECTIONS, *_NET_TYPES, *_SUPPLIES}
_ADJECTIVES = {*_NET_TYPES, *_SUPPLIES, "signed", "unsigned", "vectored", "scalared"}
_STRENGTHS = {
    f"{drive}{value}" for drive in ("supply", "strong", "pull", "weak", "highz") for value in "01"
}
_STRENGTHS |= {"small", "medium", "large"}
# Of these nothing reaches the nets.
_SKIPPED = {
    "defparam",
    "specparam",
    "genvar",
    "generate",
    "endgenerate",
    "timeunit",
    "timeprecision",
}
_PARAMETERS = {"parameter", "localparam"}
_GATES = (
    "and nand or nor xor xnor buf not bufif0 bufif1 notif0 notif1 pullup pulldown tran tranif0 "
    "tranif1 rtran rtranif0 rtranif1 nmos pmos cmos rnmos rpmos rcmos"
)
_PRIMITIVES = set(_GATES.split())
_PROCEDURAL = (
    "reg integer real realtime time event always always_comb always_ff initial function task for "
    "if case begin end"
)
_BEHAVIOR = set(_PROCEDURAL.split())


def read(path: str | Path, cells: Collection[str] = ()) -> Netlist:
    """Read ``.v`` or ``.v.gz``; `InputError` where it is not flat structural Verilog.

    ``cells``: the names of modules that are models of library cells where the file has them.
    """
    content = read_gzip_or_plain(path, MAX_BYTES, "Verilog")
    try:
        # Comments are in the encoding of who wrote them; every byte is a letter of Latin 1.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    try:
        return parse(text, cells, str(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def parse(text: str, cells: Collection[str] = (), name: str = "FILE.v") -> Netlist:
    """Parse the text of one flat module; ``name``: the file's, for what to do about others."""
    text = source.without_directives(text)
    found = source.modules(text)
    chosen, models = _top(text, found, cells, name)
    order = {model.name: _Reader(text, model).port_names() for model in models}
    return _Reader(text, chosen).netlist(order)


def _top(
    text: str, modules: list[Module], cells: Collection[str], name: str
) -> tuple[Module, list[Module]]:
    """Return the module that is the netlist, and the models of cells beside it.

    A module is a model where it says so (`` `celldefine ``), has a cell's name or is empty.
    `InputError` for a hierarchy, with the command that makes it flat.
    """
    if len(modules) == 1:
        return modules[0], []
    parts = [m for m in modules if not m.is_cell and m.name not in cells]
    names = {module.name for module in parts}
    inside = {module.name: _first_words(text, module) for module in parts}
    full = [module for module in parts if inside[module.name]] or parts
    contained = {m.name: sorted(inside[m.name] & {o.name for o in full}) for m in full}
    tops = [m.name for m in full if not any(m.name in others for others in contained.values())]
    if len(full) == 1:
        return full[0], [module for module in modules if module is not full[0]]
    parents = [top for top in tops if contained[top]]
    if parents:
        top = parents[0]
        raise InputError(
            f"a hierarchical netlist: {top}, its top, contains {contained[top][0]}: flatten it "
            f'first, by yosys -p "read_verilog {name}; hierarchy -top {top}; flatten; '
            f'write_verilog -noattr flat.v"'
        )
    listed = ", ".join(sorted(names)[:4]) or "models of cells only"
    raise InputError(f"{len(full)} modules, none of which contains the others ({listed}): keep one")


def _first_words(text: str, module: Module) -> set[str]:
    """Return the words that begin the statements of a module, but of declarations."""
    found = iter(source.statements(text, module.start, module.end))
    next(found, None)
    ignored = _DECLARATIONS | _SKIPPED | _PARAMETERS
    return {
        words[0].removeprefix("\\")
        for words in (statement.words for statement in found)
        if words[0] not in ignored
    }


class _Reader:
    """Read one module, statement by statement."""

    def __init__(self, text: str, module: Module) -> None:
        self._text, self._module = text, module
        self._names = Names()
        self._directions: dict[str, str] = {}
        self._listed: list[str] = []
        self._instances: list[Instance] = []
        self._instance_names: set[str] = set()
        self._elements: set[str] = set()
        self._assigned: dict[str, str] = {}
        self._undefined: list[str] = []

    def netlist(self, order: Mapping[str, tuple[str, ...]]) -> Netlist:
        """Read the module; ``order``: the ports of the models of cells."""
        found = iter(self._statements())
        self._header(next(found))
        for words in found:
            self._statement(words)
        for port in self._listed:
            if port not in self._directions:
                raise InputError(f"port {port}: must be an input, output or inout, is none")
        return Assembly(self._names, self._assigned, self._elements).netlist(
            self._module.name, self._directions, self._instances, self._undefined, order
        )

    def port_names(self) -> tuple[str, ...]:
        """Return the names in the list of ports, in order."""
        self._header(next(iter(self._statements())))
        return tuple(self._listed)

    def _statements(self) -> Iterator[Words]:
        empty = True
        for statement in source.statements(self._text, self._module.start, self._module.end):
            empty = False
            yield Words(self._text, statement, self._names)
        if empty:
            raise InputError("an empty module")

    def _header(self, words: Words) -> None:
        """Read the name, the parameters and the list of ports."""
        words.name()
        if words.skip("#"):
            self._parameters_in_header(words)
        if words.skip("(") and not words.skip(")"):
            self._ports(words)
        words.expect(";")

    def _parameters_in_header(self, words: Words) -> None:
        words.expect("(")
        while not words.skip(")"):
            if words.word == ";" or not words.word:
                raise words.unexpected()
            if words.word not in ("=", ",") and words.peek(1) == "=":
                self._parameter(words)
            else:
                words.next()

    def _parameter(self, words: Words) -> None:
        """Read ``name = value``; only whole numbers are kept."""
        name = words.name()
        words.expect("=")
        place = words.place
        try:
            self._names.parameters[name] = words.integer()
        except InputError:
            words.place = place
        while words.word not in (",", ";", ")", ""):
            if words.word == "(":
                words.skip_parentheses()
            else:
                words.next()

    def _ports(self, words: Words) -> None:
        """Read the ports up to the closing parenthesis, with their directions if they are there."""
        direction, indices = "", None
        while True:
            if words.word in DIRECTIONS:
                direction = words.next()
                self._skip_types(words)
                indices = words.indices()
            if words.skip("."):
                # The port's name outside; what it is connected to has the directions.
                self._listed_of_operand(words, words.name())
            elif words.word == "{":
                words.operand()
            elif words.word not in (",", ")"):
                name = words.name()
                self._listed.append(name)
                if direction:
                    self._directions[name] = direction
                    self._names.ranges[name] = indices
                elif words.word == "[":  # the port is a part of what is declared
                    words.skip_select()
            if words.skip(")"):
                return
            words.expect(",")

    def _listed_of_operand(self, words: Words, name: str) -> None:
        words.expect("(")
        if words.word != ")":
            words.operand()
        words.expect(")")

    def _statement(self, words: Words) -> None:
        word = words.word
        if word in _DECLARATIONS:
            self._declaration(words)
        elif word == "assign":
            self._assign(words)
        elif word in _PARAMETERS:
            self._parameter_statement(words)
        elif word in _PRIMITIVES:
            raise words.refused(f"{word}: a gate of Verilog's own: map it to a cell of the library")
        elif word in _BEHAVIOR:
            raise words.unexpected()
        elif word not in _SKIPPED:
            self._instance_statement(words)

    def _parameter_statement(self, words: Words) -> None:
        words.next()
        while words.word not in (";", ""):
            if words.peek(1) == "=":
                self._parameter(words)
            else:
                words.next()

    def _declaration(self, words: Words) -> None:
        """Read a declaration of ports or nets, with the values that it may give to nets."""
        kind = words.next()
        constant = _SUPPLIES.get(kind)
        for word in self._skip_types(words):
            constant = _SUPPLIES.get(word, constant)
        if words.word == "(" and words.peek(1) in _STRENGTHS:
            words.skip_parentheses()
        self._skip_types(words)
        indices = words.indices()
        words.skip_delay()
        while True:
            name = words.name()
            if indices is not None or name not in self._names.ranges:
                self._names.ranges[name] = indices
            if kind in DIRECTIONS:
                self._directions[name] = kind
            if words.skip("="):
                self._connect(words, self._names.bits(name), words.operand())
            elif constant is not None:
                self._connect(words, self._names.bits(name), Operand([constant], constant))
            if not words.skip(","):
                break
        words.expect(";")

    def _skip_types(self, words: Words) -> list[str]:
        """Step over the types before a range or a name; return them.

        Some were no keywords when a netlist's names were chosen: ``logic`` before a comma is one.
        """
        found = []
        while words.word in _ADJECTIVES and words.peek(1) not in (",", ";", ")", "="):
            found.append(words.next())
        return found

    def _assign(self, words: Words) -> None:
        words.next()
        if words.word == "(" and words.peek(1) in _STRENGTHS:
            words.skip_parentheses()
        words.skip_delay()
        while True:
            left = words.operand().bits
            words.expect("=")
            self._connect(words, left, words.operand())
            if not words.skip(","):
                break
        words.expect(";")

    def _connect(self, words: Words, left: list[str], right: Operand) -> None:
        """Let the nets on the left be those on the right."""
        bits = right.resized(len(left))
        if len(left) != len(bits):
            raise words.refused(f"{left[0]}: {len(left)} bits are assigned {len(bits)}")
        for a, b in zip(left, bits, strict=True):
            if a in CONSTANTS or a == UNDEFINED:
                raise words.refused(f"{a}: a constant is assigned a value")
            if self._assigned.get(a, b) != b:
                raise words.refused(f"net {a}: assigned twice")
            if a != b:
                self._assigned[a] = b

    def _instance_statement(self, words: Words) -> None:
        """Read one or several instances of a cell."""
        cell = words.name().removeprefix("\\")
        words.skip_delay()
        while True:
            place = words.place
            # An instance may be without a name.
            name = f"{cell}${len(self._instances)}" if words.word == "(" else words.name()
            indices = words.indices()
            words.expect("(")
            connections = Connections(words, name, self._names)
            elements = [name] if indices is None else [f"{name}[{k}]" for k in indices]
            if indices is not None:
                self._elements.update(elements)
            for k, element in enumerate(elements):
                if element in self._instance_names:
                    words.place = place
                    raise words.refused(f"instance {element}: the name of two instances")
                self._instance_names.add(element)
                instance = connections.instance(element, cell, k, len(elements))
                self._instances.append(instance)
            self._undefined += [f"{name}/{pin}" for pin in connections.undefined()]
            if not words.skip(","):
                break
        words.expect(";")
