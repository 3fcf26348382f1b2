"""The bench that runs inside the simulator: plays a job's vectors and records what comes out.

It knows ports and integers only, no design; `dbp.sim.simulate` compares with golden afterwards.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

JOB_VARIABLE = "DBP_SIM_JOB"
PERIOD_PS = 2400
PROGRESS_CLOCKS = 32


@cocotb.test()
async def play(dut: Any) -> None:
    """Play the job named by the environment and write ``results.json`` beside it."""
    job_path = Path(os.environ[JOB_VARIABLE])
    job = json.loads(job_path.read_text(encoding="utf-8"))
    dut.in_valid.value = 0
    dut.cfg_write.value = 0
    dut.rst.value = 0
    Clock(dut.clk, PERIOD_PS, unit="ps").start()
    await FallingEdge(dut.clk)
    player = _Player(dut, job["latency_cycles"], job_path.parent / "progress")
    results = [await player.play(vector) for vector in job["vectors"]]
    (job_path.parent / "results.json").write_text(json.dumps(results), encoding="utf-8")


class _Player:
    """Drives and samples at falling edges, half a clock away from what the registers do."""

    def __init__(self, dut: Any, latency: int, progress: Path) -> None:
        self.dut, self.latency, self.progress = dut, latency, progress
        self.clocks = 0
        self.garbage = random.Random(1)

    async def clock(self) -> None:
        await FallingEdge(self.dut.clk)
        self.clocks += 1
        if self.clocks % PROGRESS_CLOCKS == 0:
            self.progress.write_text(str(self.clocks), encoding="utf-8")

    async def play(self, vector: dict[str, Any]) -> dict[str, Any]:
        """Reset, write registers, stream; the words out and the latency of each."""
        dut = self.dut
        dut.rst.value = 1
        await self.clock()
        dut.rst.value = 0
        dut.cfg_write.value = 1
        for step, address, data in vector["writes"]:
            dut.cfg_step.value, dut.cfg_address.value, dut.cfg_data.value = step, address, data
            await self.clock()
        dut.cfg_write.value = 0

        words_i, words_q = (iter(vector[name]) for name in ("in_i", "in_q"))
        width = len(dut.in_i)
        entered: list[int] = []
        out: dict[str, Any] = {"out_i": [], "out_q": [], "latencies": []}
        # A few clocks more than needed, to see words that should not come.
        for n in range(len(vector["valid"]) + self.latency + 8):
            valid = vector["valid"][n : n + 1] == "1"
            dut.in_valid.value = int(valid)
            # What stands at the port between valid words must not matter.
            dut.in_i.value = int(next(words_i), 16) if valid else self.garbage.getrandbits(width)
            dut.in_q.value = int(next(words_q), 16) if valid else self.garbage.getrandbits(width)
            if valid:
                entered.append(n)
            await self.clock()
            if dut.out_valid.value != 0:
                k = len(out["latencies"])
                out["latencies"].append(n + 1 - entered[k] if k < len(entered) else None)
                for name in ("out_i", "out_q"):
                    value = getattr(dut, name).value
                    out[name].append(hex(int(value)) if value.is_resolvable else None)
        return out
