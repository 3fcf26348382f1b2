"""Synthesise steps of many formats: the data that the watt model is fitted to and checked on.

``python benchmarks/watt_steps.py --out FILE.csv`` goes through the cases of a seed, in each kit and
with both kinds of filters, and adds a row to the file after each; a killed call goes on where it
was. Some 20 s of processor time for a row. ``docs/concepts/watt_model.md`` says what is made of it.
"""

from __future__ import annotations

import argparse
import csv
import functools
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

import dbp
from dbp.api.hardware import source
from dbp.datapath.design import Design
from dbp.datapath.stimulus import Stimulus
from dbp.rtl import Target
from dbp.rtl.pipeline import Pipeline, text
from dbp.support import sources
from dbp.support.files import write_csv
from dbp.synthesis import fit_clock, stages
from dbp.synthesis.cells import kits
from dbp.synthesis.gates.step_bench import Bench
from dbp.synthesis.pipeline_cuts import Cuts
from dbp.synthesis.power._graph import GROUPS
from dbp.synthesis.synthesize_step import SOURCES

SEED = 18
LAUNCH_POWER_DBM = 0.5
CLOCKS = 400
SYMBOLS = 4096
# The fit does not see every second case.
HELD_OUT_EVERY = 2
KITS = ("nangate45", "asap7")
KINDS = ("hardwired", "reconfigurable")
# In an order in which any first part has short and long filters. All other formats are drawn.
TAPS = (11, 7, 15, 13, 3, 17, 9, 15, 5, 11, 25, 13, 1, 15, 7, 19, 11, 13, 9, 17, 3, 15, 21, 11)
# One more step, of 8 lanes: it tells what grows with the lanes from what does not.
WIDE, WIDE_LANES = 100, 8
SHIPPED = ("learned-c6-s9", "lsco-tuned-c9-s9", "enhanced-c5-s9")
# Which bank of registers is of which part: the beginning of its name.
PARTS = ("filter", "rotation", "registers")


@dataclass(frozen=True)
class Case:
    """A step to synthesise: of a shipped design, or of one drawn from the seed."""

    number: int
    name: str
    lanes: int
    step: int
    formats: dict[str, Any]

    @property
    def held_out(self) -> bool:
        return self.number % HELD_OUT_EVERY == 1


def cases(count: int) -> Iterator[Case]:
    """The cases of the seed, each the same whatever ``count``, and the wide one."""
    yield Case(WIDE, SHIPPED[0], WIDE_LANES, 16, {})
    shipped = list(SHIPPED)
    for number in range(count):
        if number % 8 == 2 and shipped:
            yield Case(number, shipped.pop(0), 2, 16, {})
            continue
        rng = np.random.default_rng([SEED, number])
        taps = TAPS[number % len(TAPS)]
        formats = {
            "taps": taps,
            "coefficient_bits": int(rng.integers(4, 10 if taps < 17 else 8)),
            "signal_bits": int(rng.choice([7, 8, 8, 9, 9, 10])),
            "kerr_taps": int(rng.choice([1, 1, 3, 3, 5, 7, 9])),
            "branch_bits": int(rng.integers(4, 8)),
            "kerr_bits": int(rng.choice([6, 8, 10])),
            "rotation_guard_bits": int(rng.choice([0, 0, 1, 2])),
            "taylor_order": int(rng.choice([1, 1, 1, 2])),
            "centre_power": bool(rng.integers(2)),
            "rate": str(rng.choice(["2", "2", "3/2", "5/4"])),
        }
        # The last step has no rotation.
        step = 2 if rng.random() < 0.2 else 1
        yield Case(number, f"drawn-{number}", 3 if taps < 8 else 2, step, formats)


@functools.lru_cache(maxsize=4)
def waveform(rate: str, span_km: float) -> Any:
    link = dbp.Link(spans=2, span_km=span_km, adc_samples_per_symbol=rate)
    return link, link.transmit(launch_power_dbm=LAUNCH_POWER_DBM, symbols=SYMBOLS, seed=SEED)


def design_of(case: Case) -> tuple[Design, Stimulus]:
    """The design of a case, and converter samples for it."""
    if not case.formats:
        design: Design = dbp.Design.load(case.name)
        _, received = waveform("2", 100.0)
        return design, source(received, design)(0)
    formats = dict(case.formats)
    rate, taps, kerr_taps = formats.pop("rate"), formats["taps"], formats["kerr_taps"]
    # Taps are for a length of fibre: 15 of them for 100 km at 2 samples per symbol.
    share = float(np.clip(round(taps / 15 * 2 / float(Fraction(rate)), 1), 0.2, 1.6))
    link, received = waveform(rate, 100.0 * share)
    offset = min(14.8, link.span_km / 4)
    keys = {"taps": taps, "kerr_taps": kerr_taps, "rotation_offset_km": offset}
    filters = dbp.start_filters(link, joint=False, **keys)
    formats["adc_rms_permille"] = 235
    design = dbp.quantize(filters, **{**formats, **keys})
    rotations = tuple(replace(r, kerr_gains=_spread(r.kerr_gains, case)) for r in design.rotations)
    design = replace(design, rotations=rotations)
    return design, source(received, design)(0)


def _spread(gains: tuple[int, ...], case: Case) -> tuple[int, ...]:
    """Weights that fall from the centre, as learning finds them; the start has the centre alone."""
    rng = np.random.default_rng([SEED, case.number, 1])
    far = np.arange(len(gains))[::-1]
    weights = np.exp(-far / 2) * rng.uniform(0.5, 1.0, len(gains))
    weights[-1] = 1.0
    return tuple(round(gains[-1] * float(w)) for w in weights)


@functools.lru_cache(maxsize=2)
def cells(kit: str) -> stages.Cells:
    found, liberty = kits.find(kit)
    return stages.Cells.read(found, liberty)


def first_pipeline(kit: str, kind: str, coefficient_bits: int) -> Pipeline:
    pipeline = Pipeline()
    if kit == "nangate45" and kind == "reconfigurable" and coefficient_bits >= 8:
        pipeline = replace(pipeline, filter=replace(pipeline.filter, adder_levels=2))
    return pipeline


def row_of(case: Case, kit: str, kind: str, work: Path) -> dict[str, Any]:
    """Map, time, simulate and cost one step; cuts are added until its clock is met."""
    begun = time.perf_counter()
    design, stimulus = design_of(case)
    filter_ = design.filters[case.step]
    rotation = design.rotations[case.step] if case.step < len(design.rotations) else None
    pipeline = first_pipeline(kit, kind, filter_.coefficient_bits)
    period_ns = 1e3 / stages.CLOCK_MHZ
    for _ in range(3):
        target = Target(case.lanes, kind, pipeline, top="step", step=case.step)
        ports = stages.emit(design, target, work)
        margin = max(fit_clock.MARGIN * period_ns, kits.KITS[kit].layout_margin_ns)
        mapped = stages.map_and_time(
            work, cells(kit), ports.top, stages.CLOCK_MHZ, late_below_ns=margin
        )
        banks = fit_clock._banks(mapped)
        late: dict[str, float] = {}
        for end, slack in mapped.timing.late_ns.items():
            bank = banks.get(end, end)
            late[bank] = min(slack, late.get(bank, slack))
        finer = fit_clock.with_cuts(pipeline, Cuts(design, target), late, period_ns)
        if finer == pipeline:
            break
        pipeline = finer
    mapping_s = time.perf_counter() - begun
    simulated = stages.simulate_step(
        work, mapped, Bench(design, stimulus, ports, CLOCKS), stages.CLOCK_MHZ
    )
    assert not simulated.mismatches, (case, kit, kind)
    power = stages.power(mapped, simulated.gates.activity, 1e-9 * period_ns)
    return {
        "case": case.number,
        "design": case.name,
        "held_out": int(case.held_out),
        "kit": kit,
        "filters": kind,
        "lanes": case.lanes,
        "pipeline": text(target.pipeline),
        "slack_ns": round(mapped.timing.slack_ns, 4),
        **_figures(mapped, banks, power),
        "samples_per_symbol": str(design.samples_per_symbol),
        "input_bits": design.filter_input_bits(case.step),
        "filter": json.dumps(asdict(filter_), separators=(",", ":")),
        "rotation": json.dumps(asdict(rotation), separators=(",", ":")) if rotation else "",
        "design_hash": design.hash,
        "step": case.step,
        "seed": SEED,
        "launch_power_dbm": LAUNCH_POWER_DBM,
        "clocks": CLOCKS,
        **versions(),
        "seconds": f"{mapping_s:.1f}+{time.perf_counter() - begun - mapping_s:.1f}",
    }


@functools.cache
def versions() -> dict[str, str]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    tools = " ".join(f"{name} {version}" for name, version in stages.programs().items())
    return {"tools": tools, "commit": commit, "sources": sources.hash_of(*SOURCES)[:12]}


def _figures(mapped: Any, banks: dict[str, str], power: Any) -> dict[str, Any]:
    """Watts and areas of the combinational gates, and of the registers of each part."""
    areas = mapped.cell_areas_um2
    part = np.array(
        [
            "logic"
            if name not in banks
            else next((p for p in PARTS if banks[name].startswith(p)), "ports")
            for name in power.instances
        ]
    )
    assert np.array_equal(part != "logic", power.group == GROUPS.index("sequential"))
    figures: dict[str, Any] = {}
    for name in ("logic", *PARTS, "ports"):
        mine = part == name
        if name != "logic":
            figures[f"{name}_bits"] = int(mine.sum())
        figures[f"{name}_um2"] = round(float(areas[mine].sum()), 4)
        figures[f"{name}_dynamic_mw"] = round(
            1e3 * float((power.switching_w + power.internal_w)[mine].sum()), 7
        )
        figures[f"{name}_leakage_mw"] = round(1e3 * float(power.leakage_w[mine].sum()), 9)
    figures["total_mw"] = round(1e3 * power.totals()["total"], 7)
    figures["total_um2"] = round(float(areas.sum()), 4)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=36)
    parser.add_argument("--first", type=int, default=0, help="pass over the cases before it")
    parser.add_argument("--pdk", nargs="+", default=KITS)
    options = parser.parse_args()
    rows = []
    if options.out.exists():
        rows = list(csv.DictReader(options.out.read_text().splitlines()))
    done = {(int(row["case"]), row["kit"], row["filters"]) for row in rows}
    for case in cases(options.cases):
        if case.number < options.first:
            continue
        for kit in options.pdk:
            for kind in KINDS:
                if (case.number, kit, kind) in done:
                    continue
                with tempfile.TemporaryDirectory() as work:
                    rows.append(row_of(case, kit, kind, Path(work)))
                write_csv(options.out, rows)
                row = rows[-1]
                print(
                    *(row[k] for k in list(row)[:10]), row["total_mw"], row["seconds"], flush=True
                )


if __name__ == "__main__":
    main()
