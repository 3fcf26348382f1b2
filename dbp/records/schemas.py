"""The figures of each stage, as its ``metrics.json`` holds them: field by field and in their order.

Other tools may rely on these keys. A file that is read may hold more; a stage writes no others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from dbp.records.provenance import Metrics


class TrainMetrics(Metrics):
    """Effective SNR on validation data at one launch power."""

    launch_power_dbm: float
    snr_db_baseline: float
    snr_db_float: float
    snr_db_quantized: float
    design: str


class AdderGraphSize(BaseModel):
    """The size of an adder graph: adders of two inputs, how many in a row, and flip-flops.

    The flip-flops are those between the stages; the output register does not count.
    """

    model_config = ConfigDict(frozen=True)

    adders: int
    depth: int
    register_bits: int


class AdderGraphs(BaseModel):
    """A lane of the hardwired filter of a step: of signed digits alone, and as it is emitted."""

    model_config = ConfigDict(frozen=True)

    step: int
    unshared: AdderGraphSize
    shared: AdderGraphSize


class RtlMetrics(Metrics):
    """The Verilog of a design: see `dbp.rtl.target.Target`; ``lines`` of all files together."""

    lanes: int
    filters: str
    top: str
    pipeline: dict[str, dict[str, bool | int]]
    steps: int
    latency_cycles: int
    modules: int
    lines: int
    adder_graphs: tuple[AdderGraphs, ...] = ()


class SampleMismatch(BaseModel):
    """The first sample of a vector in which RTL and golden differ, as I and Q.

    ``expected`` is None for a sample too many, ``got`` for one that is missing or unknown.
    """

    model_config = ConfigDict(frozen=True)

    vector: str
    sample: int
    expected: tuple[int, int] | None
    got: tuple[int, int] | None


class WrongRegister(BaseModel):
    """A register that does not read as expected; ``got``: hexadecimal, None if it is unknown.

    ``vector`` is left out among the figures of one vector.
    """

    model_config = ConfigDict(frozen=True)

    vector: str | None = None
    step: int
    address: int
    expected: int
    got: str | None


class VectorMetrics(BaseModel):
    """The figures of one vector.

    ``latencies_cycles``: all that occurred. ``odd_commits``: 1 where not as many commits left as
    were due. ``stray_words``: clocks in which something left though nothing was due. ``clipped``:
    samples that each kind of requantiser clipped, in golden.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    samples: int
    mismatches: int
    first_mismatch: SampleMismatch | None
    registers_read: int
    wrong_registers: tuple[WrongRegister, ...]
    odd_commits: int
    stray_words: int
    launch_power_uw: int
    retunings: int
    pauses: int
    latencies_cycles: tuple[int, ...]
    clipped: dict[str, int]


class SimMetrics(Metrics):
    """RTL against golden; the latency is None where it was not the same for all words.

    ``coverage``: what there is to be used of each kind, and how much of it was; see
    `dbp.sim.coverage`.
    """

    simulator: str
    build_time_s: float
    play_time_s: float
    samples_compared: int
    mismatches: int
    first_mismatch: SampleMismatch | None
    registers_read: int
    wrong_registers: tuple[WrongRegister, ...]
    latency_cycles: int | None
    lanes: int
    steps: int
    filters: str
    top: str
    launch_power_uw: int
    coverage: dict[str, dict[str, int]]
    vectors: tuple[VectorMetrics, ...]


class ProvedSums(BaseModel):
    """The sums of products that equal those of golden, term for term."""

    model_config = ConfigDict(frozen=True)

    method: Literal["polynomial"]
    sums: int
    monomials: int


class ProvedRequantizers(BaseModel):
    """The requantisers that were proved: for all ``values`` of their sums, in ``cases``."""

    model_config = ConfigDict(frozen=True)

    method: Literal["case split"]
    functions: int
    values: int
    cases: int


class ProvedTables(BaseModel):
    """The functions of one variable that were compared at all of its values."""

    model_config = ConfigDict(frozen=True)

    method: Literal["exhaustive"]
    functions: int
    values: int


class ProvedModule(BaseModel):
    """One module of the Verilog that equals the golden model for all inputs.

    ``registers_read_after_cycles``: how many clocks after a word came in taps or K are read for it;
    None where the module has none in registers.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    module: str
    latency_cycles: int
    warm_up_words: int
    registers_read_after_cycles: int | None
    sums: ProvedSums
    requantisers: ProvedRequantizers
    tables: ProvedTables
    cpu_seconds: float


class ProofMetrics(Metrics):
    """The Verilog against golden, for all inputs."""

    modules: tuple[ProvedModule, ...]


class NetlistProofMetrics(Metrics):
    """A mapped netlist against its Verilog: see `dbp.synthesis.equivalence.prove_mapping`."""

    pdk: str
    module: str
    method: str
    proved: bool
    registers: int
    registers_inverted: int
    registers_gone: int
    registers_without_counterpart: int
    # An int stays one in the file.
    limit_s: int | float


class PowerMetrics(Metrics):
    """Any mapped netlist in watts: see `dbp.synthesis.power.cost_netlist`.

    ``wire_load``: None for no wires. ``input_slew_ns``: of all input ports but the clocks.
    ``voltage_v``: the library's own supply; ``supplies_v``: those that drive nets, by name.
    ``internal_left_out_w``: stated by the library for no pin that toggles. ``activity``: the file
    it is from; ``activity_scope``: the instance in it, None for a table; ``activity_from_ns`` and
    ``activity_to_ns``: the part of its time that counts, None for its ends. ``loops_cut``: where
    the slews go no further around a combinational loop, as "instance/pin -> output". ``notes``:
    what the reader of the figures should know of these inputs, a sentence each.
    """

    module: str
    cells: int
    cell_area_um2: float
    library: str
    clock_mhz: float
    power_w: PowerW
    groups: dict[str, PowerW]
    power_engine: str
    clock_tree_estimate_w: PowerW | None
    clock_tree_estimate: ClockTreeFigures | None
    wire_load: str | None
    input_slew_ns: float = 0.0
    voltage_v: float
    supplies_v: dict[str, float] = Field(default_factory=dict)
    internal_left_out_w: float = 0.0
    activity: str
    activity_scope: str | None = None
    activity_from_ns: float | None = None
    activity_to_ns: float | None = None
    nets_annotated_fraction: float
    clock_toggles_per_clock: dict[str, float]
    loops_cut: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class StepFigures(BaseModel):
    """The power and the area of one step, as the paper states them."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    power_w: float
    area_mm2: float


class Band(BaseModel):
    """A figure at 28 nm, by published factors."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    low: float
    central: float
    high: float


class PowerW(BaseModel):
    """Watts by kind."""

    model_config = ConfigDict(frozen=True)

    switching: float
    internal: float
    leakage: float
    total: float


class GroupFigures(BaseModel):
    """One group of a netlist's instances: registers, logic or clock."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    cell_area_um2: float
    cells: int
    power_w: PowerW


class ClockTreeFigures(BaseModel):
    """The clock tree that `dbp.synthesis.timing.clock_tree` estimates; ``slew_s``: the worst."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    registers: int
    buffers: int
    levels: int
    buffer_cell: str
    wire_um: float
    wire_f_per_um: float
    slew_s: float
    fanout: int


class Scaling(BaseModel):
    """A published rule that scales a kit to 28 nm; no area where the rule has none."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    kit: str
    method: str
    energy: float
    area: float | None
    delay: float


class Scaled(BaseModel):
    """A step's power and area at 28 nm."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    node_nm: int
    voltage_v: float
    factors: tuple[Scaling, ...]
    power_w: Band
    cell_area_um2: Band


class Recipe(BaseModel):
    """The way in which the RTL is mapped to the kit's cells."""

    model_config = ConfigDict(frozen=True)

    multipliers: str
    sums: str
    full_adder: str | None
    full_adders_of_hardwired_lanes: str
    abc_script: str
    abc_clock_target: float | None


class PathStep(BaseModel):
    """A cell on the critical path, and when its output arrives."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    instance: str
    cell: str
    arrival_ns: float


class ClockTrial(BaseModel):
    """A pipeline that was mapped and timed to fit the clock: see `dbp.synthesis.fit_clock`.

    ``pipeline``: as ``--pipeline`` takes it; ``latest``: the bank of registers at which the latest
    logic ends; ``power_w``: None where it was not simulated; ``kept``: whether the next trials
    began with this pipeline.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    pipeline: str
    slack_ns: float
    latest: str
    cell_area_um2: float
    power_w: float | None
    kept: bool


class ClockFit(BaseModel):
    """The trials of a fit to the clock in their order, each simulated over ``clocks`` clocks."""

    model_config = ConfigDict(frozen=True)

    lanes: int
    clocks: int
    trials: tuple[ClockTrial, ...] = Field(min_length=1)

    @property
    def last_kept(self) -> ClockTrial:
        """The trial whose pipeline is the answer."""
        return [trial for trial in self.trials if trial.kept][-1]


class PlacedGroup(BaseModel):
    """One group of a layout's instances."""

    model_config = ConfigDict(frozen=True)

    power_w: PowerW


class PlacedStep(BaseModel):
    """A step placed and routed by OpenROAD: see ``docs/howto/place_and_route.md``."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    openroad: str
    slack_ns: float
    hold_slack_ns: float
    area_um2: float
    utilisation: float
    wire_length_um: float
    clock_buffers: int
    power_w: PowerW
    groups: dict[str, PlacedGroup]


class SynthMetrics(Metrics):
    """One step, mapped to a kit.

    ``kept``: whether `dbp.synthesis.synthesize` found these metrics with the same inputs; it is not
    in the file.
    """

    pdk: str
    step: int
    lanes: int
    filters: Literal["reconfigurable", "hardwired"]
    pipeline: dict[str, dict[str, bool | int]]
    clock_mhz: float
    cell_area_um2: float
    cells: int
    power_w: PowerW
    groups: dict[str, GroupFigures]
    power_engine: Literal["dbp"]
    power_without_glitches_w: PowerW
    glitch_share: float
    clock_tree_estimate_w: PowerW | None
    clock_tree_estimate: ClockTreeFigures | None
    wire_load: str | None
    input_slew_ns: float = 0.0
    voltage_v: float
    for_demonstration_only: bool
    scaled_28nm: Scaled | None
    recipe: Recipe
    slack_ns: float
    slack_without_wires_ns: float
    highest_clock_mhz: float
    highest_clock_without_wires_mhz: float
    timing_met: bool
    critical_path: tuple[PathStep, ...]
    activity: Literal["simulated"]
    simulated_clocks: int
    simulation_period_ns: float
    toggles_per_net_and_clock: float
    nets_annotated_fraction: float
    gate_level_samples: int
    gate_level_mismatches: int
    inputs_hash: str
    fit_clock: ClockFit | None = None
    place_and_route: PlacedStep | None = None
    kept: bool = Field(default=False, exclude=True)

    @property
    def area_um2(self) -> float:
        """The area of all cells."""
        return self.cell_area_um2


class ReceiverPowerW(BaseModel):
    """Watts of a receiver by kind; the total alone where the kinds were not estimated."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    switching: float | None = None
    internal: float | None = None
    leakage: float | None = None
    total: float = Field(gt=0)


class FitCheck(BaseModel):
    """The ratio of what the line through two widths predicts to a wider synthesis."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    power: float
    area: float


class Calibrated(BaseModel):
    """A step by the fitted factors of its kit, and the errors of those fitted without it."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    power_w: float
    power_w_left_out_error: float
    area_mm2: float
    area_mm2_left_out_error: float


class LineFit(BaseModel):
    """A figure against the number of lanes: ``fixed`` and ``per_lane`` of a straight line."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    fixed: float
    per_lane: float


class ComparisonRow(BaseModel):
    """One design in one kit: see `dbp.synthesis.whole_receiver.estimate`.

    A receiver that is not made of steps has no figures of a step. ``combined_*``: of all scaled
    kits in which the comparison has this design, two at least.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    design: str
    design_hash: str | None = None
    learned: bool = False
    filters: str
    pdk: str
    for_demonstration_only: bool = False
    pipeline: str | None = None
    taps: int | None = None
    coefficient_bits: int | None = None
    signal_bits: int | None = None
    launch_power_dbm: float | None = None
    ber: float
    ber_low: float
    ber_high: float
    lanes: int | None = None
    step: int | None = None
    synthesised_lanes: tuple[int, int] | None = None
    step_power_w: float | None = Field(default=None, gt=0)
    step_area_mm2: float | None = Field(default=None, gt=0)
    power_w: ReceiverPowerW
    area_mm2: float = Field(gt=0)
    clock_tree_estimate_w: float | None = None
    fit_power_w: LineFit | None = None
    fit_area_um2: LineFit | None = None
    fit_check: dict[str, FitCheck] | None = None
    slack_ns: float | None = None
    timing_met: bool | None = None
    glitch_share: float | None = None
    voltage_v: float | None = None
    pj_per_bit: float
    pj_per_sample: float | None = None
    paper_step: StepFigures | None = None
    power_28nm_w: Band | None = None
    step_power_28nm_w: Band | None = None
    area_28nm_mm2: Band | None = None
    step_area_28nm_mm2: Band | None = None
    combined_power_28nm_w: Band | None = None
    combined_step_power_28nm_w: Band | None = None
    combined_area_28nm_mm2: Band | None = None
    combined_step_area_28nm_mm2: Band | None = None
    calibrated: Calibrated | None = None


class FittedFactor(BaseModel):
    """A factor fitted to the paper's values, and relative errors of those it was fitted without."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    factor: float
    worst_left_out_error: float
    rms_left_out_error: float


class Calibration(BaseModel):
    """The fitted factors of one kit, for watts and square millimetres of a step."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    pdk: str
    rows: int
    power_w: FittedFactor
    area_mm2: FittedFactor


class Headline(BaseModel):
    """One design against another at no higher a BER; no ``design`` where none reaches it."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    pdk: str
    filters: str
    kind: Literal["first", "unlearned"]
    against: str
    against_ber: float
    design: str | None
    ber: float | None = None
    better_ber: bool | None = None
    power_saving: float | None = None


class ComparisonMetrics(Metrics):
    """Whole receivers beside each other."""

    rows: tuple[ComparisonRow, ...] = Field(min_length=1)
    calibration: tuple[Calibration, ...] = ()
    headlines: tuple[Headline, ...] = ()


class Point(BaseModel):
    """One receiver at one launch power of one link; the interval is 95 %.

    ``multiplier_bits`` and ``adder_bits`` per complex sample are those of
    `dbp.datapath.complexity`, of fixed point only; the figures after them are of a waveform from a
    file only. Keys that are no fields here are those of the link that a sweep has set, with their
    values, or in which designs have links of their own; they come first in a file.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    design: str
    arithmetic: Literal["float", "fixed"]
    launch_power_dbm: float
    bits: int
    errors: int
    ber: float
    ber_low: float
    ber_high: float
    ser: float | None = None
    snr_db: float
    evm_percent: float | None = None
    q_db: float | None = None
    gmi_bits: float | None = None
    design_hash: str | None = None
    multiplier_bits: int | None = None
    adder_bits: int | None = None
    delay_samples: float | None = None
    phase_rad: float | None = None
    gain: float | None = None
    coherence: float | None = None
    conjugated: bool | None = None
    edge_symbols: int | None = None

    @model_serializer(mode="wrap")
    def _link_first(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = serialize(self)
        link = {name: fields.pop(name) for name in self.model_extra or ()}
        return link | fields

    def row(self) -> dict[str, Any]:
        """Return the given fields in the order of ``ber.csv``."""
        return self.model_dump(exclude_unset=True)

    def __repr__(self) -> str:
        link = "".join(f", {name} {value}" for name, value in (self.model_extra or {}).items())
        return (
            f"Point({self.design!r}, {self.arithmetic}, {self.launch_power_dbm:+g} dBm{link}: "
            f"BER {self.ber:.1e} ({self.ber_low:.1e} .. {self.ber_high:.1e}), "
            f"SNR {self.snr_db:.2f} dB)"
        )

    __str__ = __repr__


def best_points(points: Iterable[Point]) -> dict[tuple[Any, ...], Point]:
    """Return the point of least BER of each design and arithmetic: at its own best launch power.

    Each on each link: where points have keys of the link, their values stand behind design and
    arithmetic in the key.
    """
    best: dict[tuple[Any, ...], Point] = {}
    for point in points:
        key = (point.design, point.arithmetic, *(point.model_extra or {}).values())
        if key not in best or point.ber < best[key].ber:
            best[key] = point
    return best


class BerMetrics(Metrics):
    """All points of an evaluation, and the rule by which it stopped or the waveform's file.

    ``link``: the values of the link's keys that all points share; the others stand in the points.
    """

    points: tuple[Point, ...]
    link: dict[str, Any] | None = None
    min_errors: int | None = None
    max_bits: int | None = None
    waveform: str | None = None
