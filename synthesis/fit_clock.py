"""``dbp synth --fit-clock``: registers are put where a step misses the clock, and taken out again
where it has time to spare and that saves power.

Registers keep their names through mapping. So timing says for each bank of registers whether the
logic before it is late, and every late stretch of logic gets a register in one trial.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dbp.datapath.design import Design
from dbp.datapath.stimulus import Stimulus
from dbp.errors import InputError, ToolError
from dbp.rtl import Target, emit_step
from dbp.rtl.blocks.adder_graph import Graph
from dbp.rtl.blocks.hardwired import lane_graph
from dbp.rtl.pipeline import Pipeline, parse, text
from dbp.rtl.ports import Ports
from dbp.support.files import write_json
from dbp.synthesis import synthesize_step
from dbp.synthesis.cells import kits, liberty_reader
from dbp.synthesis.cells.library import Library
from dbp.synthesis.gates.step_bench import Bench
from dbp.synthesis.netlist import Netlist
from dbp.synthesis.power import calculate
from dbp.synthesis.timing.opensta_timing import Timing

# Of the clock period. More lanes load the taps more, and ABC is noisy.
MARGIN = 0.01
# All lanes are alike and mapped once: one would tell the slack of many, two their power.
LANES = 2
# Of a trial's power; ratios of power settle early.
CLOCKS = 300

# Which cut a bank of registers is, by its name behind that of its block; of the names that a net
# has, mapping may keep the one in the lane or that of a port. `_OUTPUT` is no cut: it is always
# there. Banks that are not here (histories, valid bits, taps, counters) have nothing to cut.
_OUTPUT = "output"
_TREES = ("adder_levels", "sum_terms")
_LANE = r"(?:lane_\d+\.)?"
_BANKS = {
    "filter": {
        "after_pre_add": _LANE + r"folded_(?:i|q|sum)_\d+",
        "after_multiplier": _LANE + r"real_\w+_\d+",
        "after_product": _LANE + r"product_[iq]_\d+",
        "adder_levels": _LANE + r"sum_[iq]_\d+_\d+",
        _OUTPUT: _LANE + r"(?:out_[iq]|y_[iq]|(?:out_)?clipped)",
    },
    "hardwired": {
        "after_fold": _LANE + r"(?:folded|sample)_[iq]_\d+_after_\d+",
        "sum_terms": _LANE + r"sum_\d+_after_\d+",
        "after_sum": _LANE + r"[iq]_before_saturation",
        _OUTPUT: _LANE + r"(?:out_[iq]|y_[iq]|(?:out_)?clipped)",
    },
    "rotation": {
        "after_fold": r"lane_\d+\.(?:power_\d+|[iq]_beside_fold)",
        "after_power": _LANE
        + r"(?:powers|in_[iq])|power_\d+|[iq]_beside_power_\d+|history_(?:power|[iq])",
        "after_kerr": _LANE + r"(?:kerr_times_power_\d+|[iq]_beside_kerr)",
        "after_phase": _LANE + r"(?:phi(?:_digit_\w+)?|[iq]_beside_phi|phi_clipped_after_phase)",
        "after_versine": _LANE
        + r"(?:versine_digit_\w+|\w+_beside_versine\w*|phi_clipped_after_versine)",
        "after_multiplier": _LANE + r"(?:across_[iq]|along_[iq]|phi_clipped_after_multiplier)",
        "after_product": _LANE + r"(?:turned_[iq]|phi_clipped_after_product)",
        _OUTPUT: _LANE + r"(?:out_[iq]|y_[iq]|(?:phi|out)_clipped(?:_beside_y)?)",
    },
}


class Cuts:
    """The cuts that a step can have, ``PART.FIELD`` of a `Pipeline`, as samples pass them."""

    def __init__(self, design: Design, step: int, filters: str) -> None:
        self.filter, self.input_bits = design.filters[step], design.filter_input_bits(step)
        self.rotation = design.rotations[step] if step < len(design.rotations) else None
        first = "hardwired" if filters == "hardwired" else "filter"
        self.parts = (first, "rotation") if self.rotation else (first,)

    def names(self, pipeline: Pipeline) -> list[str]:
        """Those of ``pipeline`` that can be taken out."""
        return [
            f"{part}.{field.name}"
            for part in self.parts
            for field in fields(getattr(pipeline, part))
            if self.coarser(pipeline, f"{part}.{field.name}")
        ]

    def finer(self, pipeline: Pipeline, cut: str) -> Pipeline | None:
        """With that cut, or more of its kind; None where there can be none."""
        part, _, field = cut.partition(".")
        value = getattr(getattr(pipeline, part), field)
        if isinstance(value, bool):
            return None if value else self._changed(pipeline, cut, True)
        # Half of what there is, not of what would be allowed.
        least, most = (1, self._levels) if part == "filter" else (2, self._terms(pipeline))
        return self._changed(pipeline, cut, max((min(value, most) + 1) // 2, least))

    def coarser(self, pipeline: Pipeline, cut: str) -> Pipeline | None:
        """Without that cut, or with fewer of its kind; None where there is none."""
        part, _, field = cut.partition(".")
        value = getattr(getattr(pipeline, part), field)
        if isinstance(value, bool):
            return self._changed(pipeline, cut, False) if value else None
        return self._changed(pipeline, cut, 2 * value)

    def cut_of(self, pipeline: Pipeline, bank: str) -> str:
        """Which cut a bank of registers is; empty for none, as histories and counters are."""
        part, _, name = bank.partition(".") if "." in bank else ("", "", bank)
        # A port of the step is one of its last block.
        part = part or self.parts[-1]
        part = self.parts[0] if part == "filter" else part
        forms = _BANKS[part] if part in self.parts else {}
        found = next((cut for cut, form in forms.items() if re.fullmatch(form, name)), "")
        if found == "sum_terms" and self._is_shared(pipeline, name):
            found = "after_fold"
        if found == "adder_levels" and int(name.split("_")[-2]) == self._levels:
            found = "after_sum"
        return f"{part}.{found}" if found else ""

    def late(self, pipeline: Pipeline, bank: str) -> tuple[str, ...]:
        """The cuts that would divide the logic before a bank of registers, the best one first.

        Trees of adders are the longest, then products, which are behind no other logic.
        """
        at = self.cut_of(pipeline, bank)
        if not at:
            return ()
        part, _, found = at.partition(".")
        order = [f"{part}.{field.name}" for field in fields(getattr(pipeline, part))]
        end = len(order) if found == _OUTPUT else order.index(at)
        start = max((k for k in range(end) if self.coarser(pipeline, order[k])), default=0)
        cuts = [cut for cut in order[start : end + 1] if self.finer(pipeline, cut)]
        return tuple(sorted(cuts, key=lambda cut: not cut.endswith(_TREES)))

    def _changed(self, pipeline: Pipeline, cut: str, value: int) -> Pipeline | None:
        """None where the hardware stays as it is."""
        part, _, field = cut.partition(".")
        other = replace(pipeline, **{part: replace(getattr(pipeline, part), **{field: value})})
        if part == "rotation":
            hardware = [p.rotation.of(self.rotation) for p in (pipeline, other)]
        elif part == "hardwired":
            hardware = [(p.hardwired.after_sum, self._graph(p)) for p in (pipeline, other)]
        else:
            terms = len(self.filter.half_taps_i)
            hardware = [
                replace(p.filter, adder_levels=p.filter.tree_cuts(terms)) for p in (pipeline, other)
            ]
        return None if hardware[0] == hardware[1] else other

    def _graph(self, pipeline: Pipeline) -> Graph:
        return lane_graph(self.filter, self.input_bits, pipeline.hardwired)

    def _terms(self, pipeline: Pipeline) -> int:
        return max(len(terms) for terms, _ in self._graph(pipeline).sums)

    @property
    def _levels(self) -> int:
        return (len(self.filter.half_taps_i) - 1).bit_length()

    def _is_shared(self, pipeline: Pipeline, name: str) -> bool:
        """Of the sums of a hardwired filter: one before the cut at the fold, so no part."""
        index = int(re.search(r"sum_(\d+)", name)[1])
        return self._graph(pipeline).sums[index].stage < pipeline.hardwired.after_fold


@dataclass(frozen=True)
class Trial:
    """A pipeline that was mapped and timed, on `LANES` lanes.

    ``pipeline``: as ``--pipeline`` takes it; ``latest``: the bank of registers that the latest
    logic ends at; ``power_w``: None where it was not simulated; ``kept``: what followed began here.
    """

    pipeline: str
    slack_ns: float
    latest: str
    cell_area_um2: float
    power_w: float | None = None
    kept: bool = True


class _Trials:
    """Pipelines of one step are tried in one kit; files lie in ``work``."""

    def __init__(
        self, run_dir: Path, pdk: str, step: int, filters: str, clock_mhz: float, work: Path
    ) -> None:
        self.run_dir, self.step, self.filters, self.clock_mhz = run_dir, step, filters, clock_mhz
        self.design = Design.load(run_dir / "design.json")
        self.kit, self.files = kits.find(pdk)
        self.period_ns, self.work = 1e3 / clock_mhz, work
        self.margin_ns = MARGIN * self.period_ns

    @cached_property  # takes seconds, and kept trials need no library
    def library(self) -> Library:
        return liberty_reader.read(*self.files)

    def emit(self, pipeline: Pipeline) -> Ports:
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        path = self.work / synthesize_step.VERILOG
        target = Target(LANES, self.filters, pipeline, "step", self.step)
        return emit_step(self.design, path, target)

    def inputs_hash(self, start: Pipeline, take_out: bool) -> str:
        known = [
            synthesize_step.VERSION,
            MARGIN,
            synthesize_step.programs(),
            self.kit.dont_use,
            self.clock_mhz,
        ]
        ports = self.emit(start)
        files = [self.work / synthesize_step.VERILOG, *self.files]
        if take_out:  # and so looked at the power
            known.append(CLOCKS)
            files.append(self.run_dir / "stimulus.npz")
        return synthesize_step.hash_of([known, text(start), ports.to_json()], files)

    def run(self, pipeline: Pipeline, power_where_met: bool) -> tuple[Trial, dict[str, float]]:
        """Also the slack of each bank of registers that is below the margin."""
        ports = self.emit(pipeline)
        mapped, timed = synthesize_step.map_and_time(
            self.work,
            self.kit,
            self.files,
            self.library,
            ports.top,
            self.clock_mhz,
            late_below_ns=self.margin_ns,
        )
        banks = _banks(mapped, self.library)
        late: dict[str, float] = {}
        for endpoint, slack_ns in timed.late_ns.items():
            bank = banks.get(endpoint, endpoint)
            late[bank] = min(slack_ns, late.get(bank, math.inf))
        latest = timed.critical_path[-1][0] if timed.critical_path else ""
        power_w = None
        if power_where_met and timed.slack_ns >= self.margin_ns:
            power_w = self._power_w(ports, mapped, timed)
        area_um2 = sum(self.library.cells[i.cell].area_um2 for i in mapped.instances)
        trial = Trial(text(pipeline), timed.slack_ns, banks.get(latest, latest), area_um2, power_w)
        return trial, late

    def _power_w(self, ports: Ports, mapped: Netlist, timed: Timing) -> float:
        stimulus = Stimulus.load(self.run_dir / "stimulus.npz", self.design)
        bench = Bench(self.design, stimulus, ports, CLOCKS)
        words = bench.words(mapped.inputs)
        gates, _ = synthesize_step.simulate(
            self.work,
            mapped,
            timed,
            self.library,
            words,
            len(words) - CLOCKS,
            self.clock_mhz,
        )
        _, mismatches = bench.compare(gates, tuple(mapped.outputs))
        if mismatches:
            raise ToolError(f"the gates differ from the golden model; netlist: {self.work}")
        watts = calculate.calculate(
            mapped,
            self.library,
            gates.activity,
            1e-9 * self.period_ns,
            self.library.default_wire_load,
        )
        return watts.totals()["total"]


def fit(
    run_dir: str | Path,
    pdk: str,
    folder: Path,
    *,
    step: int | None = None,
    filters: str = "reconfigurable",
    pipeline: Pipeline | None = None,
    clock_mhz: float = synthesize_step.CLOCK_MHZ,
    take_out: bool = False,
    reuse: bool = False,
    progress: bool = True,
) -> list[Trial]:
    """Add cuts to a step of ``RUN/design.json`` until it meets the clock; the trials in order.

    The `last_kept` is the answer. It starts from ``pipeline`` and leaves a slack of `MARGIN`; where
    that cannot be, it has all cuts that late logic can have, and its slack says what is missing.
    With ``take_out``, where the clock is met, every cut is then taken out by itself, and stays out
    where the clock is still met and the power is lower. With ``reuse`` the trials lie in
    ``folder/fit_clock.json``, and are those that lie there already if made of the same Verilog,
    kit, clock and programs.

    Errors as of `dbp.synthesis.synthesize`.
    """
    synthesize_step.check_clock(clock_mhz)
    run_dir, start = Path(run_dir), pipeline or Pipeline()
    if step is None:
        step = len(Design.load(run_dir / "design.json").filters) // 2
    trials = _Trials(run_dir, pdk, step, filters, clock_mhz, folder / "work")
    file = folder / "fit_clock.json"
    kept = _kept(file) if reuse else None
    if kept is None:
        # Before tools are looked for, as in `dbp.synthesis.synthesize`.
        _ = trials.library
    inputs_hash = trials.inputs_hash(start, take_out)
    if kept and kept[0] == inputs_hash:
        found = kept[1]
    else:
        with tqdm(desc="Fitting the clock", disable=None if progress else True, leave=False) as bar:
            cuts, found = Cuts(trials.design, step, filters), []
            for trial in _search(trials, cuts, start, take_out):
                found.append(trial)
                bar.update()
        if reuse:
            write_json(file, {"inputs_hash": inputs_hash, "trials": [asdict(t) for t in found]})
    shutil.rmtree(folder / "work")
    return found


def last_kept(trials: Sequence[Trial]) -> Trial:
    """The one whose pipeline is the answer."""
    return [trial for trial in trials if trial.kept][-1]


def figures(trials: Sequence[Trial]) -> dict[str, Any]:
    """What the metrics say of them."""
    return {"lanes": LANES, "clocks": CLOCKS, "trials": [asdict(trial) for trial in trials]}


def table(trials: Sequence[Trial]) -> list[list[str]]:
    """A header and a line per trial, with what it changed."""
    lines = [["trial", "slack ns", "latest before", "um2", "mW", ""]]
    base = None
    for trial in trials:
        changed = trial.pipeline if base is None else text(parse(trial.pipeline), base)
        lines.append(
            [
                changed or "the usual cuts",
                f"{trial.slack_ns:+.3f}",
                trial.latest,
                f"{trial.cell_area_um2:.0f}",
                "-" if trial.power_w is None else f"{1e3 * trial.power_w:.3f}",
                "" if trial.kept else "not kept",
            ]
        )
        base = parse(trial.pipeline) if trial.kept else base
    return lines


def _search(trials: _Trials, cuts: Cuts, pipeline: Pipeline, take_out: bool) -> Iterator[Trial]:
    while True:
        trial, late = trials.run(pipeline, take_out)
        yield trial
        more = _with_cuts(pipeline, cuts, late, trials.period_ns)
        if more == pipeline:
            break
        pipeline = more
    if not take_out or trial.power_w is None:
        return
    for cut in cuts.names(pipeline):
        fewer = cuts.coarser(pipeline, cut)
        less, _ = trials.run(fewer, True)
        lower = less.power_w is not None and less.power_w < trial.power_w
        yield replace(less, kept=lower)
        if lower:
            pipeline, trial = fewer, less


def _with_cuts(
    pipeline: Pipeline, cuts: Cuts, late: Mapping[str, float], period_ns: float
) -> Pipeline:
    """With as many more cuts in each late stretch of logic as make it periods long."""
    wanted: dict[tuple[str, ...], int] = {}
    for bank, slack_ns in late.items():
        if stretch := cuts.late(pipeline, bank):
            periods = math.ceil((period_ns - slack_ns) / period_ns)
            wanted[stretch] = max(periods - 1, wanted.get(stretch, 1))
    found = pipeline
    for stretch, count in wanted.items():
        for cut in stretch[:count]:
            found = cuts.finer(found, cut) or found
    return found


def _banks(mapped: Netlist, library: Library) -> dict[str, str]:
    """For each register of a netlist the name of the net behind it, without the bit."""
    banks = {}
    for instance in mapped.instances:
        cell = library.cells[instance.cell]
        if cell.has_state:
            nets = [instance.nets.get(pin.name, "") for pin in cell.outputs]
            # Names of Yosys' own begin with a line.
            named = [net for net in nets if net and not net.startswith("_")]
            banks[instance.name] = (named or [instance.name])[0].partition("[")[0]
    return banks


def _kept(path: Path) -> tuple[str, list[Trial]] | None:
    """The hash of the inputs and the trials of an earlier fit, where they are whole."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        inputs_hash = content["inputs_hash"]
        trials = [Trial(**row) for row in content["trials"]]
        parse(last_kept(trials).pipeline)
    except (OSError, ValueError, KeyError, TypeError, IndexError, InputError):
        return None
    return inputs_hash, trials
