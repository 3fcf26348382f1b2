"""The bench inside the simulator: it plays the vectors of a job and records the outputs.

It knows ports and integers only, no design; `dbp.sim.compare` compares with golden afterwards.
The file is copied into the folder of the job and imported from there, without this package, which
would take a second to import. So jobs and results are plain dictionaries here; `dbp.sim.job` has
their types.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

PERIOD_PS = 2400
PROGRESS_CLOCKS = 32


@cocotb.test()
async def play(dut: Any) -> None:
    """Play ``job.json`` of this folder and write ``results.json`` there."""
    folder = Path(__file__).parent
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    player = _Player(dut, job, folder / "progress")
    for name in ("in_valid", "in_commit", "rst"):
        getattr(dut, name).value = 0
    if player.configured:
        dut.cfg_write.value = 0
    Clock(dut.clk, PERIOD_PS, unit="ps").start()
    await FallingEdge(dut.clk)
    results = [await player.play(vector) for vector in job["vectors"]]
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")


class _Player:
    """Drives inputs and samples outputs at falling edges, when no register changes."""

    def __init__(self, dut: Any, job: dict[str, Any], progress: Path) -> None:
        self.dut, self.progress = dut, progress
        self.latency, self.read_latency = job["latency_cycles"], job["read_latency_cycles"]
        self.ports = job["config_ports"]
        self.configured = bool(self.ports)
        self.clocks = 0
        self.stray = 0
        self.garbage = random.Random(1)

    async def clock(self) -> None:
        await FallingEdge(self.dut.clk)
        self.clocks += 1
        if self.clocks % PROGRESS_CLOCKS == 0:
            self.progress.write_text(str(self.clocks), encoding="utf-8")

    async def quiet_clock(self) -> None:
        """Wait for the end of a clock in which no word and no commit is due."""
        await self.clock()
        self.stray += self.dut.out_valid.value != 0 or self.dut.out_commit.value != 0

    def address(self, step: int, address: int, data: int | None = None) -> None:
        """Point the port at a register; with ``data`` the next clock edge writes it."""
        self.dut.cfg_address.value = address
        self.dut.cfg_write.value = int(data is not None)
        if "cfg_step" in self.ports:
            self.dut.cfg_step.value = step
        if "cfg_data" in self.ports:
            # Without a write the data must not matter.
            garbage = self.garbage.getrandbits(len(self.dut.cfg_data))
            self.dut.cfg_data.value = garbage if data is None else data

    async def play(self, vector: dict[str, Any]) -> dict[str, Any]:
        """Reset, write registers, stream, read registers back, and clear counters."""
        dut = self.dut
        self.stray = 0
        dut.rst.value = 1
        await self.clock()
        dut.rst.value = 0
        for row in vector["first_writes"]:
            self.address(*row)
            await self.quiet_clock()
        if self.configured:
            dut.cfg_write.value = 0
        out = await self.stream(vector)
        out["reads"] = [await self.read(*register) for register in vector["reads"]]
        out["cleared"] = []
        for step, address, others in vector["cleared"]:
            self.address(step, address, 0)
            await self.quiet_clock()
            out["cleared"].append([await self.read(step, other) for other in others])
        out["stray"] = self.stray
        return out

    async def read(self, step: int, address: int) -> str | None:
        """Return the value of a register in hexadecimal, None where a bit is unknown."""
        self.address(step, address)
        for _ in range(self.read_latency):
            await self.quiet_clock()
        return _hex(self.dut.cfg_read_data)

    async def stream(self, vector: dict[str, Any]) -> dict[str, Any]:
        """Play all clocks of a vector; return the words that left and the clocks at which."""
        dut, width = self.dut, len(self.dut.in_i)
        words_i, words_q = (iter(vector[name]) for name in ("in_i", "in_q"))
        writes = {clock: row for clock, *row in vector["writes"]}
        commits = set(vector["commits"])
        probed: dict[int, list[int]] = {}
        out: dict[str, Any] = {"out_i": [], "out_q": [], "clocks": [], "commits": [], "probes": []}
        # A few clocks more than needed, to notice words that should not come.
        more = self.latency + 8 if vector["drain"] else 0
        for n in range(len(vector["valid"]) + more):
            valid = vector["valid"][n : n + 1] == "1"
            dut.in_valid.value = int(valid)
            dut.in_commit.value = int(n in commits)
            # The samples between valid words must not matter.
            dut.in_i.value = int(next(words_i), 16) if valid else self.garbage.getrandbits(width)
            dut.in_q.value = int(next(words_q), 16) if valid else self.garbage.getrandbits(width)
            if n in writes:
                self.address(*writes[n])
            elif vector["probes"]:
                # Another address every clock: a read must answer that of ``read_latency`` ago.
                probed[n] = self.garbage.choice(vector["probes"])
                self.address(*probed[n])
            elif self.configured:
                dut.cfg_write.value = 0
            await self.clock()
            if (k := n + 1 - self.read_latency) in probed:
                out["probes"].append([k, *probed[k], _hex(dut.cfg_read_data)])
            if dut.out_commit.value != 0:
                out["commits"].append(n + 1)
            if dut.out_valid.value != 0:
                out["clocks"].append(n + 1)
                for name in ("out_i", "out_q"):
                    out[name].append(_hex(getattr(dut, name)))
        dut.in_valid.value = 0
        dut.in_commit.value = 0
        if self.configured:
            dut.cfg_write.value = 0
        return out


def _hex(signal: Any) -> str | None:
    value = signal.value
    return hex(int(value)) if value.is_resolvable else None
