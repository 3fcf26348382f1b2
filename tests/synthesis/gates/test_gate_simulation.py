"""The gate-level simulator: against delays worked out by hand, and against Icarus Verilog."""

from __future__ import annotations

import heapq
import shutil
import subprocess
from itertools import pairwise

import numpy as np
import pytest
from helpers import TINY_LIB

from dbp.errors import ToolError
from dbp.synthesis import netlist
from dbp.synthesis.cells import liberty_reader
from dbp.synthesis.gates import _event_simulator
from dbp.synthesis.gates._event_simulator import Functions, TimedGates
from dbp.synthesis.gates.simulation import simulate
from dbp.synthesis.timing import opensta_timing
from dbp.synthesis.timing.opensta_timing import PathDelays

LIBRARY = liberty_reader.read(TINY_LIB)
PS = 1e-12
BUFFER, INVERTER, AND, XOR = [0, 1], [1, 0], [0, 0, 0, 1], [0, 1, 1, 0]


def delays(**paths):
    return PathDelays(
        {tuple(key.split("__")): tuple(v * PS for v in d) for key, d in paths.items()}
    )


def bits(*rows):
    return np.array(rows, dtype=np.uint8)


HAZARD = """module m (clk, a, y); input clk, a; output y; wire n;
  INV u (.A(a), .Y(n)); XOR2 v (.A(a), .B(n), .Y(y)); endmodule"""


@pytest.mark.parametrize(("inverter_ps", "toggles"), [(40, 0), (60, 2)])
def test_a_pulse_shows_only_if_it_outlasts_the_delay(inverter_ps, toggles):
    """a ^ !a is always 1; an edge of `a` opens a gap as wide as the inverter's delay, which
    shows where it is wider than the 50 ps of the gate."""
    circuit = netlist.parse(HAZARD)
    annotated = delays(u__A__Y=(inverter_ps, inverter_ps), v__A__Y=(50, 50), v__B__Y=(50, 50))
    stimulus = bits([0], [0], [1], [1], [0], [0])
    result = simulate(circuit, LIBRARY, annotated, stimulus, 1000 * PS, 1)
    rate = result.activity.toggles_per_clock
    assert rate["a"] == rate["n"] == 2 / 5
    assert rate["y"] == 2 * toggles / 5
    gaps = 2 * inverter_ps / 5000 if toggles else 0.0
    assert result.activity.static_probability["y"] == pytest.approx(1 - gaps, abs=1e-12)
    assert result.annotated_fraction == 1.0


def test_the_delay_is_that_of_the_pin_and_edge():
    """y rises 10 ps after b and falls 30 ps after a, 500 ps later."""
    text = """module m (clk, a, b, y); input clk, a, b; output y; wire n;
      NAND2 u (.A(a), .B(b), .Y(n)); INV v (.A(n), .Y(y)); endmodule"""
    annotated = delays(u__A__Y=(30, 99), u__B__Y=(99, 10), v__A__Y=(0, 0))
    stimulus = bits([0, 1], [1, 0], [1, 1], [0, 1], [1, 0], [1, 1], [0, 1])
    result = simulate(netlist.parse(text), LIBRARY, annotated, stimulus, 500 * PS, 1)
    assert result.activity.static_probability["y"] == pytest.approx(2 * 520 / 3000, abs=1e-12)
    assert result.activity.toggles_per_clock["y"] == 4 / 6


@pytest.mark.parametrize(("constant", "fraction"), [("1'b0", 1.0), ("1'b1", 0.5)])
def test_a_missing_delay_counts_unless_constants_mask_its_pin(constant, fraction):
    text = f"""module m (clk, b, y); input clk, b; output y; wire n;
      NAND2 u (.A({constant}), .B(b), .Y(n)); XOR2 v (.A(n), .B(b), .Y(y)); endmodule"""
    annotated = delays(v__A__Y=(10, 10), v__B__Y=(10, 10))
    result = simulate(netlist.parse(text), LIBRARY, annotated, bits([0], [1]), 500 * PS, 1)
    assert result.annotated_fraction == fraction


SHIFT = """module m (clk, d, q); input clk, d; output q; wire r;
  DFF u (.CK(clk), .D(d), .Q(r)); DFF v (.CK(clk), .D(r), .Q(q)); endmodule"""


def test_registers_sample_before_the_edge_moves_anything():
    annotated = delays(u__CK__Q=(5, 5), v__CK__Q=(5, 5))
    d = np.array([[0], [1], [1], [0], [1], [0], [0], [1]], dtype=np.uint8)
    result = simulate(netlist.parse(SHIFT), LIBRARY, annotated, d, 100 * PS, 2)
    assert result.outputs[2:, 0].tolist() == d[:-2, 0].tolist()
    assert result.activity.toggles_per_clock["clk"] == 2
    assert result.activity.static_probability["clk"] == 0.5


RESETTABLE = """
cell (DFFR) { area : 6; cell_leakage_power : 0;
  ff (IQ, IQN) { clocked_on : "CK"; next_state : "D"; clear : "!R"; }
  pin (D, R) { direction : input; capacitance : 1; }
  pin (CK) { direction : input; clock : true; capacitance : 1; }
  pin (Q) { direction : output; function : "IQ"; } }
cell (HIGH) { area : 1; pin (Y) { direction : output; function : "1"; } }
cell (LOW) { area : 1; pin (Y) { direction : output; function : "0"; } }"""


@pytest.mark.parametrize(
    ("tie", "refused"),
    [
        ("HIGH t (.Y(n)); INV i (.A(n), .Y(o)); INV j (.A(o), .Y(r));", False),
        ("LOW t (.Y(n)); INV i (.A(n), .Y(r));", False),
        ("HIGH t (.Y(n)); INV i (.A(n), .Y(r));", True),
        ("LOW t (.Y(r));", True),
        ("INV i (.A(d), .Y(r));", True),
    ],
)
def test_a_reset_that_cells_tie_is_none(tie, refused):
    """OpenROAD ties pins by cells, and may buffer what these drive."""
    text = f"""module m (clk, d, q); input clk, d; output q; wire n, o, r; {tie}
      DFFR u (.CK(clk), .D(d), .R(r), .Q(q)); endmodule"""
    library = liberty_reader.parse(
        TINY_LIB.read_text().rstrip().removesuffix("}") + RESETTABLE + "}"
    )
    d = bits([0], [1], [1], [0], [1])
    arguments = netlist.parse(text), library, delays(u__CK__Q=(5, 5)), d, 100 * PS, 1
    if refused:
        with pytest.raises(ToolError, match="u: DFFR: asynchronous reset is in use"):
            simulate(*arguments)
    else:
        assert simulate(*arguments).outputs[1:, 0].tolist() == d[:-1, 0].tolist()


def test_missing_delays_are_counted_not_assumed():
    result = simulate(
        netlist.parse(HAZARD), LIBRARY, delays(u__A__Y=(1, 1), v__A__Y=(1, 1)), bits([0]), PS, 0
    )
    assert result.annotated_fraction == 0.5 and result.unannotated == ("v/Y",)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (SHIFT.replace(".CK(clk), .D(r)", ".CK(d), .D(r)"), "clock pin is not tied to clk"),
        (SHIFT.replace("DFF u", "DLATCH u"), "DLATCH cannot be simulated"),
        (SHIFT.replace("clk", "clock"), "no input clk"),
    ],
)
def test_what_cannot_be_simulated_is_named(text, complaint):
    with pytest.raises(ToolError, match=complaint):
        simulate(netlist.parse(text), LIBRARY, PathDelays({}), bits([0]), PS, 0)


SDF = """(DELAYFILE (SDFVERSION "3.0")
 (DESIGN "half a (name")
 (TIMESCALE 1ns)
 (CELL (CELLTYPE "m")
  (INSTANCE)
  (DELAY (ABSOLUTE
    (INTERCONNECT a _1_.A (0.001::0.002) (0.001::0.001))
  )))
 (CELL (CELLTYPE "XOR2")
  (INSTANCE _1_)
  (DELAY (ABSOLUTE
    (COND (B == 1'b1)
     (IOPATH A Y (0.010::0.020) (0.030::0.040)))
    (COND (B == 1'b0)
     (IOPATH A Y (0.030::0.040) (0.050::0.060)))
    (IOPATH B Y () (0.5::0.7)))))
 (CELL (CELLTYPE "INV")
  (INSTANCE a\\(b)
  (DELAY (ABSOLUTE
    (IOPATH A Y (0.1) (0.2)))))
)
"""


def test_reading_sdf(tmp_path):
    path = tmp_path / "d.sdf"
    path.write_text(SDF)
    paths = opensta_timing.read_sdf(path).paths
    assert paths["a(b", "A", "Y"] == pytest.approx((0.1e-9, 0.2e-9))
    assert paths["_1_", "A", "Y"] == pytest.approx((32e-12, 52e-12))
    assert paths["_1_", "B", "Y"] == pytest.approx((0, 0.7e-9))


def test_every_part_of_an_sdf_is_refused_and_so_is_more_than_one(tmp_path):
    """OpenSTA's exit status is 0 where a full disk cuts the file off, wherever it does."""
    path = tmp_path / "d.sdf"
    whole = SDF.rstrip()
    for end in range(len(whole)):
        path.write_text(whole[:end])
        with pytest.raises(ToolError, match=r"d\.sdf: only part of a delay file"):
            opensta_timing.read_sdf(path)
    for text in (f"{whole}\n{whole}", whole + ")", whole[:-40] + whole):
        path.write_text(text)
        with pytest.raises(ToolError, match=r"d\.sdf: (not|only part of) a delay file"):
            opensta_timing.read_sdf(path)


def random_circuit(rng, inputs=6, gates=150, registers=8) -> tuple[TimedGates, np.ndarray]:
    """Random gates between random registers. Net 0 is the clock, then inputs and registers."""
    tables = np.array([*BUFFER, *INVERTER, *AND, *XOR], dtype=np.uint8)
    kinds = [(0, 1), (2, 1), (4, 2), (8, 2), (8, 2), (8, 2)]
    first, nets, table, target, rise, fall = [0], [], [], [], [], []
    count = 1 + inputs + registers

    def gate(table_at, sources):
        nonlocal count
        nets.extend(sources)
        first.append(len(nets))
        table.append(table_at)
        target.append(count)
        # The pins of a gate differ, and no sum of delays equals another: no races.
        rise.extend(int(x) for x in rng.integers(200, 3000, len(sources)))
        fall.extend(int(x) for x in rng.integers(200, 3000, len(sources)))
        count += 1

    for k in range(registers):
        gate(0, [1 + inputs + k])
    usable = [*range(1, 1 + inputs), *range(1 + inputs + registers, count)]
    for _ in range(gates):
        table_at, pins = kinds[rng.integers(len(kinds))]
        gate(table_at, [int(n) for n in rng.choice(usable, pins, replace=False)])
        usable.append(count - 1)
    # Registers read inputs and earlier registers only, so that both simulators forget their start.
    data = [int(rng.choice(usable[: inputs + k])) for k in range(registers)]
    arrays = [np.array(column, dtype=np.int64) for column in (first, nets, table, target)]
    initial = np.zeros(count, dtype=np.uint8)
    initial[1 + inputs : 1 + inputs + registers] = rng.integers(0, 2, registers)
    return TimedGates(
        clock=0,
        initial=initial,
        tables=tables,
        gates=Functions(*arrays),
        rise=np.array(rise, dtype=np.int64),
        fall=np.array(fall, dtype=np.int64),
        registers=Functions(
            np.arange(registers + 1),
            np.array(data),
            np.zeros(registers, dtype=np.int64),
            np.arange(1 + inputs, 1 + inputs + registers),
        ),
        on_fall=np.zeros(registers, dtype=bool),
    ), np.arange(1, 1 + inputs)


def icarus(circuit: TimedGates, inputs, stimulus, half, first_counted, folder) -> list[int]:
    """Toggles of every net by Icarus Verilog: gates with specify paths, a counter on each net."""
    g, r, nets = circuit.gates, circuit.registers, len(circuit.initial)
    modules, body = [], []
    for k in range(len(g.target)):
        pins = range(g.first[k], g.first[k + 1])
        names = [f"p{j}" for j in range(len(pins))]
        states = circuit.tables[g.table[k] : g.table[k] + (1 << len(pins))]
        minterms = [
            "(" + " & ".join(n if s >> j & 1 else f"~{n}" for j, n in enumerate(names)) + ")"
            for s, value in enumerate(states)
            if value
        ]
        paths = " ".join(
            f"({n} => z) = ({circuit.rise[p]}, {circuit.fall[p]});"
            for n, p in zip(names, pins, strict=True)
        )
        modules.append(
            f"module g{k} (output z, input {', '.join(names)}); "
            f"assign z = {' | '.join(minterms)}; specify {paths} endspecify endmodule"
        )
        sources = ", ".join(f"n{g.nets[p]}" for p in pins)
        body.append(f"g{k} u{k} (n{g.target[k]}, {sources});")
    states = set(r.target.tolist())
    driven = set(g.target.tolist())
    for net in range(nets):
        kind = "wire" if net in driven else "reg"
        start = f" = {circuit.initial[net]}" if kind == "reg" else ""
        body.append(f"{kind} n{net}{start}; integer c{net} = 0;")
        body.append(f"always @(n{net}) if (counting) c{net} = c{net} + 1;")
    assert states.isdisjoint(driven)
    samples = " ".join(
        f"n{t} <= n{d};" for t, d in zip(r.target, (r.nets[k] for k in r.first[:-1]), strict=True)
    )
    word = ", ".join(f"n{n}" for n in reversed(inputs))
    rows = [int("".join(map(str, row[::-1])), 2) for row in stimulus.tolist()]
    (folder / "words.hex").write_text("\n".join(f"{row:x}" for row in rows))
    print_all = " ".join(f'$display("%0d", c{net});' for net in range(nets))
    (folder / "t.v").write_text(
        f"""`timescale 1ps/1ps
module t;
  reg counting = 0; integer k = 0;
  reg [{len(inputs) - 1}:0] words [0:{len(rows) - 1}];
  {chr(10).join(body)}
  always @(posedge n0) begin {samples} {{{word}}} <= words[k]; end
  initial begin
    $readmemh("words.hex", words);
    for (k = 0; k < {len(rows)}; k = k + 1) begin
      if (k == {first_counted}) counting = 1;
      n0 = 1; #{half} n0 = 0; #{half};
    end
    counting = 0;
    {print_all}
    $finish;
  end
endmodule
"""
        + "\n".join(modules)
    )
    for command in (["iverilog", "-g2009", "-gspecify", "-o", "t.vvp", "t.v"], ["vvp", "t.vvp"]):
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=120, check=True
        )
    return [int(line) for line in done.stdout.split() if line.isdigit()]


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="no Icarus Verilog")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_icarus_counts_the_same_toggles(tmp_path, seed):
    rng = np.random.default_rng(seed)
    circuit, inputs = random_circuit(rng)
    stimulus = rng.integers(0, 2, (120, len(inputs)), dtype=np.uint8)
    half, first_counted = 50_000, 20
    outputs = np.arange(0)
    toggles, _, _, _ = _event_simulator.run(circuit, inputs, outputs, stimulus, half, first_counted)
    expected = icarus(circuit, inputs.tolist(), stimulus, half, first_counted, tmp_path)
    assert toggles.tolist() == expected
    # The case is worth something only where gates glitch: more than one toggle a clock.
    assert toggles[1:].max() > len(stimulus) - first_counted


def test_settled_toggles_are_those_from_the_end_of_one_cycle_to_the_next():
    rng = np.random.default_rng(5)
    circuit, inputs = random_circuit(rng)
    stimulus = rng.integers(0, 2, (60, len(inputs)), dtype=np.uint8)
    every, first_counted = np.arange(len(circuit.initial)), 20
    toggles, _, settled, at_end = _event_simulator.run(
        circuit, inputs, every, stimulus, 50_000, first_counted
    )
    changes = at_end[first_counted:] != at_end[first_counted - 1 : -1]
    assert settled.tolist() == changes.sum(axis=0).tolist()
    # What glitches there and back is no change.
    assert (toggles >= settled).all() and ((toggles - settled) % 2 == 0).all()
    assert toggles[1:].sum() > 1.1 * settled[1:].sum()


def plain_events(circuit, inputs, stimulus, half):
    """All changes ``(time, net)`` of `TimedGates`, by a priority queue in plain Python."""
    g, r, tables = circuit.gates, circuit.registers, circuit.tables.tolist()
    value, queue, changed, events = circuit.initial.tolist(), [], {}, []
    gate_pins, register_pins = ([f.nets[a:b] for a, b in pairwise(f.first)] for f in (g, r))
    shown = [value[net] for net in g.target]  # what each gate shows when its events are due

    def computed(functions, pins, k):
        return tables[functions.table[k] + sum(value[n] << j for j, n in enumerate(pins[k]))]

    def toggle(net, time):
        value[net] ^= 1
        events.append((time, int(net)))
        for gate, pins in enumerate(gate_pins):
            for j in np.flatnonzero(pins == net):
                changed.setdefault(gate, []).append(g.first[gate] + j)

    def schedule(time):
        for gate, pins in changed.items():
            if computed(g, gate_pins, gate) != shown[gate]:
                shown[gate] ^= 1
                delays = circuit.rise if shown[gate] else circuit.fall
                heapq.heappush(queue, (time + min(int(delays[pin]) for pin in pins), gate))
        changed.clear()

    changed |= {k: range(a, b) for k, (a, b) in enumerate(pairwise(g.first))}
    schedule(0)
    for edge in range(2 * len(stimulus) + 1):
        while queue and queue[0][0] < edge * half:
            now = queue[0][0]
            while queue and queue[0][0] == now:
                gate = heapq.heappop(queue)[1]
                if value[g.target[gate]] != shown[gate]:
                    toggle(g.target[gate], now)
            schedule(now)
        if edge == 2 * len(stimulus):
            return events
        rising, now = edge % 2 == 0, edge * half
        sampling = [k for k, falls in enumerate(circuit.on_fall) if falls != rising]
        flips = [k for k in sampling if computed(r, register_pins, k) != value[r.target[k]]]
        clock = [circuit.clock] if value[circuit.clock] != rising else []
        words = zip(inputs, stimulus[edge // 2], strict=True) if rising else ()
        moved = [net for net, bit in words if value[net] != bit]
        for net in (*clock, *(r.target[k] for k in flips), *moved):
            toggle(net, now)
        schedule(now)


@pytest.mark.parametrize("seed", range(6))
def test_the_wheel_has_the_events_of_a_plain_queue(monkeypatch, seed):
    """Event for event where Python runs the same source, and in their sums where it is compiled."""
    rng = np.random.default_rng(seed)
    circuit, inputs = random_circuit(rng, inputs=4, gates=30, registers=4)
    # Delays that are equal, zero and longer than half a cycle.
    longest = (3, 40, 90)[seed % 3]
    for delays_ in (circuit.rise, circuit.fall):
        delays_[:] = rng.integers(0, longest, len(delays_))
    circuit.on_fall[:] = rng.integers(0, 2, len(circuit.on_fall))
    stimulus, half, first_counted = rng.integers(0, 2, (30, 4), dtype=np.uint8), 25, 5
    arguments = (circuit, inputs, np.arange(0), stimulus, half, first_counted)
    # Room for one event, so that the array of events must grow.
    wheel = _event_simulator._wheel
    monkeypatch.setattr(_event_simulator, "_wheel", lambda _, longest: wheel(0, longest))
    counts = _event_simulator.run(*arguments)
    expected = plain_events(circuit, inputs.tolist(), stimulus, half)
    assert len(expected) > 300

    for name, compiled in vars(_event_simulator).copy().items():
        if hasattr(compiled, "py_func"):
            monkeypatch.setattr(_event_simulator, name, compiled.py_func)
    events, toggle = [], _event_simulator._toggle

    def noting(net, now, *others):
        events.append((now, int(net)))
        return toggle(net, now, *others)

    monkeypatch.setattr(_event_simulator, "_toggle", noting)
    interpreted = _event_simulator.run(*arguments)
    assert sorted(events) == sorted(expected)
    for name, column in counts._asdict().items():
        assert (column == getattr(interpreted, name)).all(), name
    start, end = 2 * half * first_counted, 2 * half * len(stimulus)
    for net in range(len(circuit.initial)):
        times = [time for time, other in expected if other == net]
        assert counts.toggles[net] == sum(time >= start for time in times)
        at_one = (circuit.initial[net] + np.searchsorted(times, range(start, end), "right")) % 2
        assert counts.at_one[net] == at_one.sum()
