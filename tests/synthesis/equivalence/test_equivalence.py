"""The mapped netlist against its Verilog: equal ones pass, a planted bug is named."""

import gzip
import json
from dataclasses import replace

import pytest
from helpers import TINY_LIB
from helpers.designs import small_synthesis_design
from helpers.hardware import small_design

from dbp.errors import InputError, MissingError, ToolError
from dbp.rtl import Target, emit_step
from dbp.synthesis import netlist
from dbp.synthesis.cells import kits, liberty_reader
from dbp.synthesis.equivalence.prove_mapping import NotEquivalentError, prove_mapping, prove_netlist
from dbp.synthesis.mapping import yosys_map

TINY = liberty_reader.read(TINY_LIB)

VERILOG = """
module top(clk, rst, a, b, y);
  input clk, rst, a, b;
  output [1:0] y;
  reg [1:0] state;
  always @(posedge clk) state <= {a ^ b, rst ? 1'b0 : state[0] ^ a};
  assign y = {~(state[0] & b), state[1]};
endmodule
"""
NETLIST = """
module top(clk, rst, a, b, y);
  input clk; input rst; input a; input b; output [1:0] y;
  wire [1:0] state; wire n1; wire n2; wire n3; wire n4;
  XOR2 _1_ (.A(state[0]), .B(a), .Y(n1));
  INV _2_ (.A(rst), .Y(n2));
  NAND2 _3_ (.A(n1), .B(n2), .Y(n3));
  XOR2 _4_ (.A(a), .B(b), .Y(n4));
  INV _5_ (.A(n3), .Y(n5));
  DFF _6_ (.D(n5), .CK(clk), .Q(state[0]));
  DFF _7_ (.D(n4), .CK(clk), .Q(y[0]));
  NAND2 _8_ (.A(state[0]), .B(b), .Y(y[1]));
endmodule
"""


def test_registers_are_cut_by_name_also_that_of_a_port():
    row = prove_mapping(VERILOG, netlist.parse(NETLIST), TINY)
    assert row.proved is True
    assert (row.registers, row.registers_inverted, row.registers_gone) == (2, 0, 0)


def test_a_register_may_hold_the_inverse():
    text = NETLIST.replace(
        "DFF _6_ (.D(n5), .CK(clk), .Q(state[0]));",
        "DFF _6_ (.D(n3), .CK(clk), .Q(n6)); INV _9_ (.A(n6), .Y(state[0]));",
    )
    row = prove_mapping(VERILOG, netlist.parse(text), TINY)
    assert (row.proved, row.registers, row.registers_inverted) == (True, 2, 1)


@pytest.mark.parametrize(
    ("find", "put", "where"),
    [
        ("NAND2 _8_", "XOR2 _8_", r"y\[1\]"),
        ("XOR2 _4_", "NAND2 _4_", r"next state of y\[0\]"),
        (".D(n5)", ".D(n3)", r"next state of state\[0\]"),
        (".B(n2)", ".B(1'b1)", r"next state of state\[0\]"),
        (".Q(y[0])", ".Q(n7)); INV _9_ (.A(n7), .Y(y[0])", r"next state of y\[0\]"),
    ],
)
def test_a_wrong_gate_or_wire_is_named(find, put, where):
    text = NETLIST.replace(find, put)
    assert text != NETLIST
    with pytest.raises(NotEquivalentError, match=f"differs from its Verilog: {where}"):
        prove_mapping(VERILOG, netlist.parse(text), TINY)


def test_a_register_without_a_counterpart_proves_nothing():
    mapped = netlist.parse(NETLIST.replace("state[0]", "other"))
    row = prove_mapping(VERILOG, mapped, TINY)
    assert row.proved is False
    assert (row.registers_gone, row.registers_without_counterpart) == (1, 1)


def test_what_cannot_be_cut_is_refused():
    with pytest.raises(ToolError, match="_6_: DFF is no flip-flop of the rising clk"):
        mapped = netlist.parse(NETLIST.replace(".D(n5), .CK(clk)", ".D(n5), .CK(a)"))
        prove_mapping(VERILOG, mapped, TINY)
    with pytest.raises(ToolError, match="other ports"):
        prove_mapping(VERILOG, netlist.parse(NETLIST.replace("rst", "reset")), TINY)


@pytest.mark.parametrize("pdk", kits.KITS)
def test_a_step_in_each_kit(tmp_path, pdk):
    try:
        kit, files = kits.find(pdk)
    except MissingError as error:
        pytest.skip(str(error))
    library = liberty_reader.read(*files)
    design = small_synthesis_design()
    design.save(tmp_path / "design.json")
    ports = emit_step(design, tmp_path / "step.v", Target(1, top="step"))
    texts = [
        gzip.decompress(f.read_bytes()) if f.suffix == ".gz" else f.read_bytes() for f in files
    ]
    names = [f.name.removesuffix(".gz") for f in files]
    for name, text in zip(names, texts, strict=True):
        (tmp_path / name).write_bytes(text)
    yosys_map.synthesize(tmp_path, names, "step.v", ports.top, library, kit.dont_use)

    folder = tmp_path / "synth" / pdk
    folder.mkdir(parents=True)
    for name in ("step.v", "netlist.v"):
        (folder / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    row = prove_netlist(folder, pdk, design)
    assert row.content() == json.loads((folder / "proof.json").read_text())
    assert row.proved is True
    assert row.registers > 100 and row.registers_without_counterpart == 0

    mapped = netlist.read(tmp_path / "netlist.v")
    instances = list(mapped.instances)
    for k, instance in enumerate(instances):
        other = instance.cell.replace("NAND2", "NOR2").replace("nand2", "nor2")
        alike = other in library.cells and library.cells[other].pins.keys() == instance.nets.keys()
        if other != instance.cell and alike:
            instances[k] = replace(instance, cell=other)
            break
    with pytest.raises(NotEquivalentError, match="differs from its Verilog"):
        prove_mapping(
            (tmp_path / "step.v").read_text(), replace(mapped, instances=tuple(instances)), library
        )


def test_a_run_without_synthesis_is_refused(tmp_path, monkeypatch):
    (tmp_path / "kits" / "nangate45").mkdir(parents=True)
    (tmp_path / "kits" / "nangate45" / "x.lib").write_text("")
    monkeypatch.setenv("DBP_PDK_ROOT", str(tmp_path / "kits"))
    with pytest.raises(InputError, match=r"step\.v\.gz: cannot be read"):
        prove_netlist(tmp_path / "synth" / "nangate45", "nangate45", small_design())
