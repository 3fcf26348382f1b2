"""Mapped netlists: flat structural Verilog as Yosys writes it, down to single-bit nets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from dbp.errors import InputError
from dbp.support.files import read_gzip_or_plain, write_text

_TOKEN = re.compile(
    r"(?:\s++|//[^\n]*+|/\*.*?\*/|\(\*.*?\*\))*+"
    r"(\\\S++|[A-Za-z_][\w$]*+|\d++'[sS]?[bhdBHD][0-9a-fA-FxXzZ_]++|\d++|[][(){}.,;:=#?]|$)",
    re.DOTALL,
)
CONSTANTS = {"1'b0": 0, "1'b1": 1}
# The clock port of every module that we generate.
CLOCK = "clk"
MAX_BITS = 1 << 20
MAX_BYTES = 1 << 30
MAX_NESTING = 64


@dataclass(frozen=True, slots=True)
class Instance:
    """A cell with the net at each connected pin.

    ``vectors``: the nets at pins that got several bits, most significant first; the library knows
    which bits of a bus these are (`dbp.synthesis.power._graph.without_supplies`).
    """

    name: str
    cell: str
    nets: Mapping[str, str]
    vectors: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Netlist:
    """One flat module.

    Nets are named as in Verilog, bits of vectors as ``name[3]``; the nets ``1'b0`` and ``1'b1`` are
    the constants. ``ports``: the bit names of each port, most significant first. ``outputs``: the
    net that drives each bit of the output ports. ``inouts``: as a rule supplies.
    """

    module: str
    ports: Mapping[str, tuple[str, ...]]
    inputs: tuple[str, ...]
    outputs: Mapping[str, str]
    instances: tuple[Instance, ...]
    inouts: tuple[str, ...] = ()

    @property
    def nets(self) -> list[str]:
        """All nets but the constants: inputs, then nets at pins, then those behind outputs."""
        names = dict.fromkeys(self.inputs)
        for instance in self.instances:
            names |= dict.fromkeys(instance.nets.values())
            for bits in instance.vectors.values():
                names |= dict.fromkeys(bits)
        names |= dict.fromkeys(self.outputs.values())
        return [name for name in names if name not in CONSTANTS]


def read(path: str | Path) -> Netlist:
    """Read ``.v`` or ``.v.gz``; `InputError` where it is not flat structural Verilog."""
    content = read_gzip_or_plain(path, MAX_BYTES, "Verilog")
    try:
        return parse(content.decode())
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def parse(text: str) -> Netlist:
    """Parse the text of one flat module."""
    return _Parser(text).module()


def write(netlist: Netlist, path: str | Path) -> None:
    """Write a netlist as Verilog that `read`, Yosys and OpenSTA read; atomically."""
    # Bits of port vectors are selects; every other bit is a net whose name includes its brackets.
    selects = {bit for port, bits in netlist.ports.items() if bits != (port,) for bit in bits}
    driven = dict.fromkeys(net for i in netlist.instances for net in i.nets.values())
    vectors = (bits for i in netlist.instances for bits in i.vectors.values())
    driven |= dict.fromkeys(net for bits in vectors for net in bits)
    known = {bit for bits in netlist.ports.values() for bit in bits} | set(CONSTANTS)
    outputs = netlist.outputs

    def reference(net: str) -> str:
        return net if net in selects or net in CONSTANTS else _identifier(net)

    lines = [f"module {_identifier(netlist.module)}({', '.join(map(_identifier, netlist.ports))});"]
    for port, bits in netlist.ports.items():
        span = ""
        if bits != (port,):
            left, right = (int(bit[len(port) + 1 : -1]) for bit in (bits[0], bits[-1]))
            span = f"[{left}:{right}] "
        direction = "output" if bits[0] in outputs else "input"
        direction = "inout" if bits[0] in netlist.inouts else direction
        lines.append(f"  {direction} {span}{_identifier(port)};")
    lines += [f"  wire {_identifier(net)};" for net in driven if net not in known]
    for instance in netlist.instances:
        pins = [f".{_identifier(pin)}({reference(net)})" for pin, net in instance.nets.items()]
        for pin, bits in instance.vectors.items():
            pins.append(f".{_identifier(pin)}({{{', '.join(map(reference, bits))}}})")
        name = f"{_identifier(instance.cell)} {_identifier(instance.name)}"
        lines.append(f"  {name} ({', '.join(pins)});")
    lines += [
        f"  assign {reference(bit)} = {reference(net)};"
        for bit, net in outputs.items()
        if bit != net
    ]
    write_text(path, "\n".join([*lines, "endmodule\n"]))


def _identifier(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][\w$]*", name) else f"\\{name} "


class _Parser:
    """Recursive descent over the tokens; ``token`` is the next one."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.token = ""
        self.ranges: dict[str, range | None] = {}
        self.aliases: dict[str, str] = {}
        self.named: set[str] = set()
        self._next()

    def _next(self) -> str:
        token = self.token
        match = _TOKEN.match(self.text, self.position)
        if match is None:
            raise self._error(self.text[self.position :].lstrip()[:20])
        self.token, self.position = match[1], match.end()
        return token

    def _refused(self, problem: str) -> InputError:
        return InputError(f"line {self.text.count(chr(10), 0, self.position) + 1}: {problem}")

    def _error(self, text: str) -> InputError:
        return self._refused(f"{text!r}: not flat structural Verilog")

    def _expect(self, token: str) -> None:
        if self._next() != token:
            raise self._error(self.token)

    def _name(self) -> str:
        token = self._next()
        if not (token[:1] == "\\" or token[:1].isalpha() or token[:1] == "_"):
            raise self._error(token)
        return token.removeprefix("\\")

    def module(self) -> Netlist:
        self._expect("module")
        name = self._name()
        directions = self._header()
        instances: list[tuple[str, str, dict[str, list[str]]]] = []
        while (word := self._next()) != "endmodule":
            if word in ("input", "output", "inout", "wire"):
                for net in self._declaration():
                    if word != "wire":
                        directions[net] = word
            elif word == "assign":
                self._assign()
            elif word in ("", "module", "reg", "always", "initial", "parameter"):
                raise self._error(word or "end of file")
            else:
                instances.append(self._instance(word.removeprefix("\\")))
        if self.token != "":
            raise InputError("more than one module: flatten the netlist first (Yosys: flatten)")
        ports = {port: tuple(self._bits(port)) for port in directions}
        return Netlist(
            module=name,
            ports=MappingProxyType(ports),
            inputs=tuple(b for p, kind in directions.items() if kind == "input" for b in ports[p]),
            inouts=tuple(b for p, kind in directions.items() if kind == "inout" for b in ports[p]),
            outputs=MappingProxyType(
                {
                    b: self._resolve(b)
                    for p, kind in directions.items()
                    if kind == "output"
                    for b in ports[p]
                }
            ),
            instances=tuple(self._resolved(*instance) for instance in instances),
        )

    def _resolved(self, name: str, cell: str, pins: Mapping[str, list[str]]) -> Instance:
        bits = {pin: tuple(map(self._resolve, nets)) for pin, nets in pins.items()}
        return Instance(
            name,
            cell,
            MappingProxyType({pin: nets[0] for pin, nets in bits.items() if len(nets) == 1}),
            MappingProxyType({pin: nets for pin, nets in bits.items() if len(nets) > 1}),
        )

    def _header(self) -> dict[str, str]:
        """Return the directions of the ports where the list of ports declares them."""
        directions: dict[str, str] = {}
        direction, indices = "", None
        while (word := self._next()) != ";":
            if word == "":
                raise self._error("end of file")
            if word in ("input", "output", "inout"):
                direction = word
                if self.token == "wire":
                    self._next()
                indices = self._range()
            elif direction and word not in ("(", ")", ","):
                directions[word.removeprefix("\\")] = direction
                self.ranges[word.removeprefix("\\")] = indices
        return directions

    def _resolve(self, net: str) -> str:
        for _ in range(len(self.aliases) + 1):
            if net not in self.aliases:
                return net
            net = self.aliases[net]
        raise InputError(f"net {net}: assigned in a circle")

    def _declaration(self) -> list[str]:
        indices = self._range()
        names = [self._name()]
        while self.token == ",":
            self._next()
            names.append(self._name())
        self._expect(";")
        for name in names:
            if indices is not None or name not in self.ranges:
                self.ranges[name] = indices
        return names

    def _range(self) -> range | None:
        if self.token != "[":
            return None
        self._next()
        left = self._integer()
        self._expect(":")
        right = self._integer()
        self._expect("]")
        step = -1 if left >= right else 1
        return range(left, right + step, step)

    def _integer(self) -> int:
        token = self._next()
        # The length first: Python refuses to convert thousands of digits.
        if not token.isdigit() or len(token) > 9 or int(token) > MAX_BITS:
            raise self._error(token[:20])
        return int(token)

    def _bits(self, name: str) -> list[str]:
        indices = self.ranges.get(name)
        return [name] if indices is None else [f"{name}[{k}]" for k in indices]

    def _operand(self, depth: int = 0) -> list[str]:
        """Return the single-bit nets of a name, a bit, a range, a constant or a concatenation."""
        if self.token == "{":
            if depth > MAX_NESTING:
                raise self._error("{")
            self._next()
            bits = self._operand(depth + 1)
            while self.token == ",":
                self._next()
                bits += self._operand(depth + 1)
            self._expect("}")
            return bits
        if self.token[:1].isdigit():
            return self._constant(self._next())
        name = self._name()
        if self.token != "[":
            return self._bits(name)
        self._next()
        left = self._integer()
        if self.token == ":":
            self._next()
            right = self._integer()
            self._check(name, left, right)
            step = -1 if left >= right else 1
            bits = [f"{name}[{k}]" for k in range(left, right + step, step)]
        else:
            self._check(name, left)
            bits = [f"{name}[{left}]"]
        self._expect("]")
        return bits

    def _check(self, name: str, *bits: int) -> None:
        """Refuse bits that a declared name does not have."""
        if name not in self.ranges:
            return
        declared = self.ranges[name]
        for bit in bits:
            if declared is None:
                raise self._refused(f"{name}[{bit}]: {name} is a single bit")
            if bit not in declared:
                span = f"[{declared[0]}:{declared[-1]}]"
                raise self._refused(f"{name}[{bit}]: must be within the declared {span}")

    def _constant(self, token: str) -> list[str]:
        match = re.fullmatch(r"(\d{1,9})'[sS]?([bhdBHD])([0-9a-fA-F_]+)", token)
        if match is None or int(match[1]) > MAX_BITS:
            raise self._error(token[:20])
        try:
            value = int(match[3], {"b": 2, "h": 16, "d": 10}[match[2].lower()])
        except ValueError:  # a digit that the base does not have, or none at all
            raise self._error(token[:20]) from None
        return [f"1'b{value >> k & 1}" for k in reversed(range(int(match[1])))]

    def _assign(self) -> None:
        left = self._operand()
        self._expect("=")
        right = self._operand()
        self._expect(";")
        if len(left) != len(right):
            raise self._error(left[0])
        for a, b in zip(left, right, strict=True):
            if a != b:
                self.aliases[a] = b

    def _instance(self, cell: str) -> tuple[str, str, dict[str, list[str]]]:
        name = self._name()
        if name in self.named:
            raise self._refused(f"instance {name}: the name of two instances")
        self.named.add(name)
        self._expect("(")
        nets: dict[str, list[str]] = {}
        while self.token == ".":
            self._next()
            pin = self._name()
            if pin in nets:
                raise self._refused(f"instance {name}: pin {pin} is connected twice")
            self._expect("(")
            if self.token != ")":
                nets[pin] = self._operand()
            self._expect(")")
            if self.token == ",":
                self._next()
        self._expect(")")
        self._expect(";")
        return name, cell, nets
