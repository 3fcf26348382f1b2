"""A layout that a real OpenROAD made: our watts and our gates, against its own and golden's."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from dbp import Design
from dbp.datapath.golden import Samples
from dbp.datapath.stimulus import Stimulus
from dbp.rtl import Target, emit_step
from dbp.rtl.pipeline import parse
from dbp.synthesis import netlist
from dbp.synthesis.activity import formats
from dbp.synthesis.activity.activity import Activity
from dbp.synthesis.cells import kits, liberty_reader
from dbp.synthesis.cells.library import Library
from dbp.synthesis.gates import simulation
from dbp.synthesis.gates.step_bench import Bench, samples_needed
from dbp.synthesis.netlist import Netlist, spef
from dbp.synthesis.power import calculate
from dbp.synthesis.power._graph import without_supplies
from dbp.synthesis.timing import opensta_timing

KITS = os.environ.get("DBP_PDK_ROOT")
REFERENCE = os.environ.get("DBP_REFERENCE_ROOT") or (KITS and str(Path(KITS).parent / "reference"))
FOLDER = Path(REFERENCE or "") / "layout" / "nangate45_hardwired_2_lanes"
PERIOD_S = 2.399808e-9

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (REFERENCE and FOLDER.is_dir() and KITS and (Path(KITS) / "nangate45").is_dir()),
        reason="needs nangate45 and a layout by OpenROAD in layout/ of DBP_REFERENCE_ROOT",
    ),
]


@pytest.fixture(scope="module")
def library() -> Library:
    return liberty_reader.read(*kits.find("nangate45")[1])


@pytest.fixture(scope="module")
def routed(library) -> Netlist:
    return without_supplies(netlist.read(FOLDER / "routed.v.gz", library.cells.keys()), library)


@pytest.fixture(scope="module")
def wires() -> spef.Wires:
    return spef.read(FOLDER / "routed.spef.gz")


def through_buffers(routed: Netlist, library: Library, known: Mapping[str, tuple[float, float]]):
    """The activity of nets that the layout has added: that of the net which they repeat."""
    known = dict(known)
    for _ in range(10):
        for instance in routed.instances:
            for pin in library.cells[instance.cell].outputs:
                read = pin.function.variables if pin.function else ()
                net = instance.nets.get(pin.name)
                if net in known or net is None or len(read) != 1:
                    continue
                if (source := known.get(instance.nets[read[0]])) is not None:
                    at_one = source[1] if pin.function.truth[1] else 1 - source[1]
                    known[net] = source[0], at_one
    return Activity({n: a[0] for n, a in known.items()}, {n: a[1] for n, a in known.items()})


def test_power_is_that_of_openroad_on_the_same_wires_and_activity(library, routed, wires):
    mapped = netlist.read(FOLDER / "mapped.v.gz", library.cells.keys())
    before = formats.read(FOLDER / "activity_before_layout.csv.gz", mapped, PERIOD_S)
    rates, shares = before.toggles_per_clock, before.static_probability
    known = {net: (rates.get(net, 2.0), shares.get(net, 0.5)) for net in routed.inputs}
    names = {i.name: i for i in mapped.instances} | {f"u_{i.name}": i for i in mapped.instances}
    for instance in routed.instances:
        original = names.get(instance.name)
        for pin, net in instance.nets.items():
            if original is not None and library.cells[instance.cell].pins[pin].direction != "input":
                source = original.nets.get(pin, "")
                if source in rates:
                    known[net] = rates[source], shares[source]
    activity = through_buffers(routed, library, known)
    ours = calculate.calculate(routed, library, activity, PERIOD_S, wires=wires)
    for group in (*calculate.GROUPS, None):
        row = (group or "total").capitalize()
        pattern = rf"^{row}" + r"\s+(\S+)" * 4
        theirs = re.search(pattern, (FOLDER / "figures.rpt").read_text(), re.MULTILINE)
        assert theirs is not None
        watts = ours.totals(group)
        for kind, figure in zip(
            ("internal", "switching", "leakage", "total"), theirs.groups(), strict=True
        ):
            assert watts[kind] == pytest.approx(float(figure), rel=0.003), (row, kind)


def test_the_routed_gates_put_out_what_golden_does(tmp_path, library, routed, wires):
    design = Design.load("learned-c6-s9")
    target = Target(2, "hardwired", parse(""), "step", len(design.filters) // 2)
    ports = emit_step(design, tmp_path / "design.v", target)
    assert routed.module in (tmp_path / "design.v").read_text()
    count, limit = samples_needed(design, 2, 200), 1 << design.signal_bits - 2
    words = np.random.default_rng(0).integers(-limit, limit, (2, count))
    bench = Bench(design, Stimulus(Samples(*words), 1000, design.hash, "", 0), ports, 200)
    delays = opensta_timing.read_sdf(tmp_path / kits.unpack(FOLDER / "routed.sdf.gz", tmp_path))
    bits = bench.words(routed.inputs)
    gates = simulation.simulate(routed, library, delays, bits, PERIOD_S, len(bits) - 200)
    samples, different = bench.compare(gates, tuple(routed.outputs))
    assert samples > 400
    assert different == 0
    assert gates.annotated_fraction == 1
    assert 0 < gates.clock_skew_s < 20e-12
    assert set(routed.nets) <= gates.activity.toggles_per_clock.keys() | {"1'b0", "1'b1"}
    shaken, settled = (
        calculate.calculate(routed, library, activity, PERIOD_S, wires=wires)
        for activity in (gates.activity, gates.settled)
    )
    # The clock tree has no glitches; the logic has some.
    assert settled.totals("clock") == pytest.approx(shaken.totals("clock"))
    assert 0.1 < 1 - settled.totals()["total"] / shaken.totals()["total"] < 0.25
