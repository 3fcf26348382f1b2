"""The bench of a mapped step: the bits of its ports clock by clock, and what golden expects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dbp.datapath import golden
from dbp.datapath.design import Design
from dbp.datapath.golden import Samples
from dbp.datapath.lane_packing import pack_words
from dbp.datapath.stimulus import Stimulus
from dbp.errors import InputError, ToolError
from dbp.rtl.ports import Ports
from dbp.synthesis.gates.simulation import GateSimulation
from dbp.synthesis.netlist import CLOCK

# Clock cycles that count, unless the caller asks for others.
CLOCKS = 1000
WARM_UP_CLOCKS = 64
# More than any step has, whatever its cuts.
MAX_LATENCY_CYCLES = 64


def samples_needed(design: Design, lanes: int, clocks: int = CLOCKS) -> int:
    """Return a number of samples that is enough for the bench of any step of the design."""
    history = sum(filter_.taps for filter_ in design.filters)
    history += sum(rotation.kerr_taps for rotation in design.rotations)
    return lanes * (WARM_UP_CLOCKS + MAX_LATENCY_CYCLES + clocks) + history


class Bench:
    """One step: its registers are written once, then a word of samples comes with every clock.

    ``ports`` are those that `dbp.rtl.emit_step` returned; the last ``clocks`` clocks of the
    bench are the ones to count. `InputError` where the stimulus is too short.
    """

    def __init__(self, design: Design, stimulus: Stimulus, ports: Ports, clocks: int) -> None:
        self.ports, self.clocks, (step_ports,) = ports, clocks, ports.steps
        step, lanes = step_ports.step, ports.lanes
        # Until the histories of all blocks so far are full and the pipeline with them.
        history = sum(filter_.taps for filter_ in design.filters[: step + 1])
        history += sum(rotation.kerr_taps for rotation in design.rotations[: step + 1])
        warm_up = WARM_UP_CLOCKS + ports.latency_cycles + history // lanes
        needed = lanes * (warm_up + clocks)
        if stimulus.length < needed:
            raise InputError(
                f"the stimulus holds {stimulus.length} samples: must be at least {needed} for "
                f"{clocks} clocks of {lanes} lanes"
            )
        samples = Samples(*(part[..., :needed] for part in stimulus.samples))
        trace = golden.trace(design, samples, stimulus.launch_power_uw)
        after = 2 * step + (2 if step < len(design.rotations) else 1)
        self.input, self.expected = trace[2 * step], trace[after]
        self.registers = step_ports.registers(design, stimulus.launch_power_uw)

    def words(self, inputs: Sequence[str]) -> NDArray[np.uint8]:
        """Return the bits of ``inputs``, a row per clock.

        Reset, a write to every register, a commit, and then a word of samples with every clock.
        """
        widths, lanes, bits = self.ports.widths, self.ports.lanes, self.ports.input_bits
        idle = {name: 0 for name in widths} | {"rst": 1}
        clocks = [idle, idle]
        for address, value in self.registers.items():
            data = value & ((1 << widths["cfg_data"]) - 1)
            clocks.append(idle | {"cfg_write": 1, "cfg_address": address, "cfg_data": data})
        clocks.append(idle | {"rst": 0, "in_commit": 1})
        run = idle | {"rst": 0, "in_valid": 1}
        words = (pack_words(part, bits, lanes) for part in self.input)
        clocks += [run | {"in_i": in_i, "in_q": in_q} for in_i, in_q in zip(*words, strict=True)]
        places = [port_bit(name) for name in inputs if name != CLOCK]
        rows = [[values[port] >> k & 1 for port, k in places] for values in clocks]
        return np.array(rows, np.uint8)

    def compare(self, gates: GateSimulation, outputs: Sequence[str]) -> tuple[int, int]:
        """Return the number of samples compared and of those that differ from golden.

        Those of both polarisations, where there are two. All words are compared that should come
        out. A word without ``out_valid`` in its place counts as different, and one too many is an
        error.
        """
        lanes, bits = self.ports.lanes, self.ports.output_bits
        places = {port_bit(name): k for k, name in enumerate(outputs)}
        valid = gates.outputs[:, places["out_valid", 0]]
        dropped = self.ports.warm_up_words
        words = self.input.i.shape[-1] // lanes
        first = len(valid) - words + self.ports.latency_cycles + dropped
        if np.any(valid[:first] == 1):
            raise ToolError("the gates put out a word before the first one is due")
        # As words have them: the samples of x, then those of y.
        same = np.repeat(valid[first:, None] == 1, lanes * self.ports.polarizations, axis=1)
        for port, samples in (("out_i", self.expected.i), ("out_q", self.expected.q)):
            rows = samples.reshape(-1, words, lanes).swapaxes(0, 1).reshape(words, -1)
            rows = rows[dropped:][: len(same)]
            for lane in range(rows.shape[1]):
                for k in range(bits):
                    bit = gates.outputs[first:, places[port, lane * bits + k]]
                    same[:, lane] &= bit == (rows[:, lane] >> k & 1)
        return same.size, int(np.count_nonzero(~same))


def port_bit(name: str) -> tuple[str, int]:
    """Split the name of a bit: "in_i[3]" -> ("in_i", 3); a scalar is its bit 0."""
    port, _, index = name.partition("[")
    return port, int(index[:-1]) if index else 0
