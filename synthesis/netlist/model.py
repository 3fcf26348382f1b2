"""What a netlist is: one module, its instances, and the names of its single-bit nets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

CONSTANTS = {"1'b0": 0, "1'b1": 1}
# The clock port of every module that we generate.
CLOCK = "clk"
# Reserved in Verilog 2005: a net of such a name is written escaped.
_RESERVED = """
    always and assign automatic begin buf bufif0 bufif1 case casex casez cell cmos config
    deassign default defparam design disable edge else end endcase endconfig endfunction
    endgenerate endmodule endprimitive endspecify endtable endtask event for force forever
    fork function generate genvar highz0 highz1 if ifnone incdir include initial inout input
    instance integer join large liblist library localparam macromodule medium module nand
    negedge nmos nor noshowcancelled not notif0 notif1 or output parameter pmos posedge
    primitive pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent rcmos real
    realtime reg release repeat rnmos rpmos rtran rtranif0 rtranif1 scalared showcancelled
    signed small specify specparam strong0 strong1 supply0 supply1 table task time tran
    tranif0 tranif1 tri tri0 tri1 triand trior trireg unsigned use uwire vectored wait wand
    weak0 weak1 while wire wor xnor xor
"""
_KEYWORDS = frozenset(_RESERVED.split())
_BIT = re.compile(r".+\[-?\d+\]", re.DOTALL)
NOTHING: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Instance:
    """A cell with the net at each connected pin.

    ``vectors``: the nets, most significant first, of pins that are connected to several bits.
    ``open``: the pins that are named and left open. A pin that is given by its place in the list
    alone is called ``$1``, ``$2`` ... `dbp.synthesis.netlist.binding` makes single named pins of
    both.
    """

    name: str
    cell: str
    nets: Mapping[str, str]
    vectors: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: NOTHING)
    open: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Netlist:
    r"""One flat module.

    Nets are named as in Verilog, bits of vectors as ``name[3]``; the nets ``1'b0`` and ``1'b1`` are
    the constants. An escaped identifier goes without its backslash, but where it would be taken for
    a bit of a vector that the module has: then ``\d[1]`` is the identifier and ``d[1]`` the bit.
    ``ports``: the bit names of each port, most significant first. ``outputs``: the
    net that drives each bit of the output ports. ``inouts``: as a rule supplies.
    ``spelled``: how files may call a net, where `spellings` could not tell from its name alone.
    ``notes``: what was assumed in reading, a sentence each. ``port_order``: the ports of the cells
    of which the file has a model, in order.
    """

    module: str
    ports: Mapping[str, tuple[str, ...]]
    inputs: tuple[str, ...]
    outputs: Mapping[str, str]
    instances: tuple[Instance, ...]
    inouts: tuple[str, ...] = ()
    spelled: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: NOTHING, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)
    port_order: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: NOTHING, compare=False
    )

    @property
    def nets(self) -> list[str]:
        """All nets but the constants: inputs, then nets at pins, then those behind outputs."""
        names = dict.fromkeys(self.inputs)
        for instance in self.instances:
            names |= dict.fromkeys(instance.nets.values())
            for nets in instance.vectors.values():
                names |= dict.fromkeys(nets)
        names |= dict.fromkeys(self.outputs.values())
        return [name for name in names if name not in CONSTANTS]

    def spellings(self, net: str) -> tuple[str, ...]:
        r"""Return the names by which files may know a net, as `plain_name` leaves them.

        The likeliest is the first: ``d[1]`` before ``\d[1]`` for a bit, ``a[0]`` before ``a`` for
        the vector ``[0:0] a``, other nets that are assigned from this one last.
        """
        known = self.spelled.get(net)
        if known is not None:
            return known
        return (net, "\\" + net) if net.endswith("]") and _BIT.fullmatch(net) else (net,)


def plain_name(identifier: str) -> str:
    r"""Return an identifier of Verilog without its backslash, which ``\d[1]`` and ``\1'b0`` keep.

    These two would be taken for a bit and a constant.
    """
    if not identifier.startswith("\\"):
        return identifier
    bare = identifier[1:]
    if bare.startswith("\\") or bare in CONSTANTS or is_bit(bare):
        return identifier
    return bare


def is_bit(name: str) -> bool:
    """Tell whether a name looks like a bit of a vector."""
    return name.endswith("]") and _BIT.fullmatch(name) is not None


def identifier(name: str) -> str:
    """Return a name as Verilog has it, escaped where it has to be."""
    if re.fullmatch(r"[A-Za-z_][\w$]*", name, re.ASCII) and name not in _KEYWORDS:
        return name
    return f"{name} " if name.startswith("\\") else f"\\{name} "
