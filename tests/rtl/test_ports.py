# amaranth: UnusedElaboratable=no
"""``ports.json`` is read as it was written, or refused with the field that does not fit."""

import json

import pytest
from helpers.hardware import small_design

from dbp.errors import InputError
from dbp.rtl import Target, emit, emit_step
from dbp.rtl.ports import Ports

LAUNCH_POWER_UW = 700


@pytest.fixture(scope="module")
def emitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rtl")
    emit(small_design(), folder, Target(2))
    return folder


def test_what_is_read_is_what_was_written(emitted):
    ports = Ports.read(emitted, small_design())
    assert json.loads(json.dumps(ports.to_json())) == json.loads(
        (emitted / "ports.json").read_text()
    )
    assert ports.widths["in_i"] == 2 * ports.input_bits
    assert [step.step for step in ports.steps] == [0, 1, 2]


@pytest.mark.parametrize(
    ("way", "value", "message"),
    [
        (["warm_up_words"], -1, r"warm_up_words = -1: must be an integer in 0\.\."),
        (["clock"], "clock", "clock = 'clock': must be clk"),
        (["ports", 0, "name"], "a b", r"ports\[0\]\.name = 'a b': must be a port name"),
        (["ports", 0, "name"], ["clk"], r"ports\[0\]\.name = .*must be a port name"),
        (["ports", 0, "direction"], "in", r"ports\[0\]\.direction = 'in': must be input or output"),
        (["ports", 0, "width"], None, r"width of port \w+ = None: must be an integer in 1\.\."),
        (["steps", 0, "module"], None, r"steps\[0\]\.module = None: must be a module name"),
        (["steps", 1, "latency_cycles"], "4", r"steps\[1\]\.latency_cycles = '4'"),
        (["steps", 1, "warm_up_words"], None, r"steps\[1\]\.warm_up_words = None"),
    ],
)
def test_fields_of_other_types_are_refused_by_name(emitted, tmp_path, way, value, message):
    content = json.loads((emitted / "ports.json").read_text())
    part = content
    for key in way[:-1]:
        part = part[key]
    part[way[-1]] = value
    (tmp_path / "ports.json").write_text(json.dumps(content))
    (tmp_path / "metrics.json").write_bytes((emitted / "metrics.json").read_bytes())
    with pytest.raises(InputError, match=message):
        Ports.read(tmp_path, small_design())


@pytest.mark.parametrize("filters", ["reconfigurable", "hardwired"])
def test_registers_have_a_value_at_each_writable_address(tmp_path, filters):
    design = small_design()
    (step,) = emit_step(design, tmp_path / "step.v", Target(2, filters, top="step")).steps
    addresses, values = step.addresses, step.registers(design, LAUNCH_POWER_UW)
    taps = [*addresses.half_taps_i, *addresses.half_taps_q]
    assert [*values] == [*taps, *addresses.kerr]
    assert [values[a] for a in addresses.kerr] == list(design.rotations[0].kerr(LAUNCH_POWER_UW))
    if filters == "hardwired":
        assert taps == []
    else:
        assert [values[a] for a in addresses.half_taps_i] == list(design.filters[0].half_taps_i)
        assert [values[a] for a in addresses.half_taps_q] == list(design.filters[0].half_taps_q)
    assert addresses.all() > set(values)


def test_a_chain_is_no_single_file(tmp_path):
    with pytest.raises(InputError, match="top = 'chain': must be step or filter"):
        emit_step(small_design(), tmp_path / "step.v", Target(2))
