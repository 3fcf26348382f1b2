"""Every step of a receiver on its own: each with its own taps and the words that reach it.

`dbp.synthesis.whole_receiver` lets one step stand for all that are alike. Here each is mapped,
timed, simulated and costed, so that nothing is left to the choice of that step. Steps that are the
same hardware (taps in registers) are mapped once: the others take that netlist, and are simulated
with taps and words of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dbp.datapath.design import Design
from dbp.datapath.stimulus import Stimulus
from dbp.errors import ToolError
from dbp.records.schemas import (
    PowerW,
    SignedOffStep,
    SignoffEstimate,
    SynthMetrics,
)
from dbp.rtl import Target
from dbp.rtl.pipeline import Pipeline
from dbp.rtl.target import FilterKind
from dbp.support import family
from dbp.support.files import write_bytes
from dbp.synthesis import whole_receiver
from dbp.synthesis.gates.step_bench import CLOCKS
from dbp.synthesis.power import calculate
from dbp.synthesis.synthesize_step import (
    METRICS,
    check_target,
    inputs_hash,
    kept,
    synthesize,
    without_files,
)

# The files of a synthesis, by their names.
Files = Mapping[str, bytes]


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a receiver to be signed off.

    ``like``: the first step that is the same hardware, whose netlist this one takes; itself where
    there is none before it.
    """

    design: Design
    stimulus: Stimulus
    kit: str
    target: Target
    clock_mhz: float
    config_hash: str | None
    like: int

    @property
    def number(self) -> int:
        return self.target.step

    @property
    def is_first(self) -> bool:
        """Whether it is the first step of its hardware."""
        return self.like == self.number


def plan(
    design: Design,
    stimulus: Stimulus,
    kit: str,
    filters: FilterKind,
    pipeline: Pipeline,
    lanes: int,
    clock_mhz: float,
    config_hash: str | None = None,
) -> list[Step]:
    """Return all steps of a design in their order; `InputError` for lanes that do not fit."""
    firsts: dict[object, int] = {}
    steps = []
    for k in range(len(design.filters)):
        target = Target(lanes, filters, pipeline, "step", k)
        check_target(design, target)
        like = firsts.setdefault(whole_receiver.hardware(design, filters, k), k)
        steps.append(Step(design, stimulus, kit, target, clock_mhz, config_hash, like))
    return steps


def sign_off(step: Step, earlier_hash: str | None, first: Files) -> Files:
    """Synthesise a step and return its files; none where ``earlier_hash`` is that of its inputs.

    For worker processes, which may be on other machines. ``first``: the files of the step that it
    is like, none for that step itself. `ToolError` where a tool fails or gates differ from golden.
    """
    words = step.design, step.stimulus, step.kit, step.target, step.clock_mhz
    if earlier_hash is not None and earlier_hash == inputs_hash(*words, CLOCKS):
        return {}
    with family.temporary_folder("dbp-signoff-") as place:
        folder, mapped_in = place / "step", place / "first"
        for name, content in first.items():
            write_bytes(mapped_in / name, content)
        try:
            synthesize(
                step.design,
                lambda samples: step.stimulus,
                step.kit,
                step.target,
                clock_mhz=step.clock_mhz,
                folder=folder,
                progress=False,
                config_hash=step.config_hash,
                mapped_in=mapped_in if first else None,
            )
        except ToolError as error:
            message = without_files(str(error), str(folder))
            raise type(error)(f"step {step.number}: {message}") from None
        return read(folder)


def read(folder: Path) -> Files:
    """Return the files that a synthesis has left in a folder."""
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}


def write(folder: Path, files: Files) -> SynthMetrics:
    """Write the files of a step, its metrics last, and return these."""
    (folder / METRICS).unlink(missing_ok=True)
    for name in sorted(files, key=lambda name: name == METRICS):
        write_bytes(folder / name, files[name])
    metrics = kept(folder)
    if metrics is None:
        raise ToolError(f"{folder}: not all files of the step are there")
    return metrics


def rows(steps: Sequence[Step], measured: Mapping[int, SynthMetrics]) -> list[SignedOffStep]:
    """Return the figures of each step, in their order; ``measured``: by number."""
    found = []
    for step in steps:
        metrics = measured[step.number]
        tree = metrics.clock_tree_estimate_w
        found.append(
            SignedOffStep(
                step=step.number,
                taps=step.design.filters[step.number].taps,
                mapped_with=step.like,
                cells=metrics.cells,
                cell_area_um2=metrics.cell_area_um2,
                slack_ns=metrics.slack_ns,
                timing_met=metrics.timing_met,
                power_w=metrics.power_w,
                clock_tree_estimate_w=None if tree is None else tree.total,
                glitch_share=metrics.glitch_share,
                toggles_per_net_and_clock=metrics.toggles_per_net_and_clock,
                gate_level_samples=metrics.gate_level_samples,
                gate_level_mismatches=metrics.gate_level_mismatches,
                inputs_hash=metrics.inputs_hash,
            )
        )
    return found


def total_power(found: Sequence[SignedOffStep]) -> PowerW:
    """Return the watts of all steps, by kind."""
    return PowerW(
        **{kind: sum(getattr(row.power_w, kind) for row in found) for kind in calculate.KINDS}
    )


def estimated(
    design: Design, filters: FilterKind, found: Sequence[SignedOffStep]
) -> SignoffEstimate:
    """Return what the same receiver costs where one step stands for all that are alike."""
    kinds = whole_receiver.kinds(design, filters)
    by_number = {row.step: row for row in found}
    power_w = sum(kind.count * by_number[kind.step].power_w.total for kind in kinds)
    area_um2 = sum(kind.count * by_number[kind.step].cell_area_um2 for kind in kinds)
    return SignoffEstimate(
        steps={str(kind.step): kind.count for kind in kinds},
        power_w=power_w,
        cell_area_um2=area_um2,
        power_ratio=sum(row.power_w.total for row in found) / power_w,
        area_ratio=sum(row.cell_area_um2 for row in found) / area_um2,
    )


def cuts(pipeline: Pipeline) -> dict[str, dict[str, bool | int]]:
    """Return the registers of each block, as the metrics of all stages name them."""
    return asdict(pipeline)
