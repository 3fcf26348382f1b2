"""The figures of each stage, as its ``metrics.json`` holds them: field by field and in their order.

The text under a field says what it is; the reference of the site is made of it.

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
    """Launch power of the data."""
    snr_db_baseline: float
    """Effective SNR of the unlearned design."""
    snr_db_float: float
    """Effective SNR of the learned filters in floating point."""
    snr_db_quantized: float
    """Effective SNR of the learned design."""
    design: str
    """Name of the learned design."""
    signed_digits: int | None = None
    """Signed digits of all its half taps, other than zero; of older runs none."""
    hardwired_adders: int | None = None
    """Adders of two inputs per sample in all its filters, where taps are hardwired."""
    waveform: str | None = None
    """The waveform file that was learned on; left out where data were simulated, and with it the
    next four."""
    waveform_hash: str | None = None
    """SHA-256 of what it holds, the same in every kind of file."""
    held_out: float | None = None
    """The share of it, at its end, that was not learned on and validates."""
    learned_symbols: int | None = None
    """Its symbols that were learned on, of both polarisations together."""
    validated_symbols: int | None = None
    """Its symbols that validate."""


class AdderGraphSize(BaseModel):
    """The size of an adder graph."""

    model_config = ConfigDict(frozen=True)

    adders: int
    """Adders of two inputs."""
    depth: int
    """Adders in a row on the longest way."""
    register_bits: int
    """Flip-flops between the stages; the output register does not count."""


class AdderGraphs(BaseModel):
    """A lane of the hardwired filter of a step."""

    model_config = ConfigDict(frozen=True)

    step: int
    """Number of the step."""
    unshared: AdderGraphSize
    """Of signed digits alone."""
    shared: AdderGraphSize
    """As it is emitted: sums that recur are shared where that pays."""


class RtlMetrics(Metrics):
    """The Verilog of a design: see `dbp.rtl.target.Target`."""

    lanes: int
    """Samples per clock."""
    filters: str
    """``reconfigurable`` or ``hardwired``."""
    top: str
    """``chain``, ``step`` or ``filter``."""
    pipeline: dict[str, dict[str, bool | int]]
    """Registers of each block, as ``--pipeline`` names them."""
    steps: int
    """Steps in the Verilog."""
    latency_cycles: int
    """Clocks from a word to its result."""
    modules: int
    """Verilog modules, a file each."""
    lines: int
    """Lines of all files together."""
    adder_graphs: tuple[AdderGraphs, ...] = ()
    """Hardwired lanes by step; left out for taps in registers."""


class HandoffVectors(BaseModel):
    """A set of golden vectors, as a plain bench plays it."""

    model_config = ConfigDict(frozen=True)

    name: str
    """Name of the set, and of its files."""
    vectors: tuple[str, ...]
    """Names of its vectors, as ``dbp sim`` has them."""
    clocks: int
    """Clocks, which are the rows of its files."""
    samples: int
    """Samples compared."""
    registers_read: int
    """Registers read and compared."""
    saturators: int
    """Saturators: one for each requantiser that can clip, quadrature and lane."""
    saturators_below: int
    """Those that clip at the lower end."""
    saturators_above: int
    """Those that clip at the upper end."""


class HandoffMetrics(Metrics):
    """A folder for a team with a flow of its own: see ``docs/howto/handoff.md``."""

    top: str
    """Name of the top module."""
    lanes: int
    """Samples per clock."""
    filters: str
    """``reconfigurable`` or ``hardwired``."""
    pdk: str
    """Kit of the scripts."""
    clock_mhz: float
    """Clock of the constraints."""
    latency_cycles: int
    """Clocks from a word to its result."""
    bench: str
    """What the bench said in Icarus Verilog before the folder was written."""
    vector_seed: int
    """Seed of the random vectors; ``seed`` is that of the received waveform."""
    vectors: tuple[HandoffVectors, ...]
    """The sets of vectors."""
    activity_clocks: int
    """Clocks of the received waveform over which toggles were counted."""
    activity_nets: int
    """Bits of named nets of the Verilog with their activity."""


class SampleMismatch(BaseModel):
    """The first sample of a vector in which RTL and golden differ, as I and Q."""

    model_config = ConfigDict(frozen=True)

    vector: str
    """Name of the vector."""
    sample: int
    """Number of the sample in the vector."""
    expected: tuple[int, int] | None
    """I and Q of golden; null for a sample too many."""
    got: tuple[int, int] | None
    """I and Q of the RTL; null for one that is missing or unknown."""
    polarization: Literal["x", "y"] | None = None
    """Of a design with two polarisations: whose sample it is."""


class WrongRegister(BaseModel):
    """A register that does not read as expected."""

    model_config = ConfigDict(frozen=True)

    vector: str | None = None
    """Name of the vector; left out among the figures of one vector."""
    step: int
    """Number of the step."""
    address: int
    """Address of the register in the step."""
    expected: int
    """Value that was expected."""
    got: str | None
    """Value that was read, hexadecimal; null if it is unknown."""


class VectorMetrics(BaseModel):
    """The figures of one vector."""

    model_config = ConfigDict(frozen=True)

    name: str
    """Name of the vector."""
    samples: int
    """Samples compared."""
    mismatches: int
    """Samples that differ."""
    first_mismatch: SampleMismatch | None
    """The first of them."""
    registers_read: int
    """Registers read."""
    wrong_registers: tuple[WrongRegister, ...]
    """Those that do not read as expected."""
    odd_commits: int
    """1 where not as many commits left as were due."""
    stray_words: int
    """Clocks in which something left though nothing was due."""
    launch_power_uw: int
    """Launch power that K is for at first."""
    retunings: int
    """Changes of taps and K."""
    pauses: int
    """Clocks without a word."""
    latencies_cycles: tuple[int, ...]
    """All latencies that occurred."""
    clipped: dict[str, int]
    """Samples clipped in golden, by kind of requantiser: ``filter``, ``phi``, ``rotation``."""


class SimMetrics(Metrics):
    """RTL against golden, in simulation."""

    simulator: str
    """``verilator`` or ``icarus``."""
    build_time_s: float
    """Time to compile the Verilog."""
    play_time_s: float
    """Time to simulate all vectors."""
    samples_compared: int
    """Samples compared with golden."""
    mismatches: int
    """Samples that differ."""
    first_mismatch: SampleMismatch | None
    """The first of them."""
    registers_read: int
    """Registers read."""
    wrong_registers: tuple[WrongRegister, ...]
    """Those that do not read as expected."""
    latency_cycles: int | None
    """Clocks from a word to its result; null where it was not the same for all words."""
    lanes: int
    """Samples per clock."""
    steps: int
    """Steps in the Verilog."""
    filters: str
    """``reconfigurable`` or ``hardwired``."""
    top: str
    """``chain``, ``step`` or ``filter``."""
    launch_power_uw: int
    """Launch power of the received waveform."""
    coverage: dict[str, dict[str, int]]
    """What there is to be used of each kind, and how much of it was: `dbp.sim.coverage`."""
    vectors: tuple[VectorMetrics, ...]
    """Figures of each vector."""


class ProvedSums(BaseModel):
    """The sums of products that equal those of golden, term for term."""

    model_config = ConfigDict(frozen=True)

    method: Literal["polynomial"]
    """Sums are compared as exact polynomials."""
    sums: int
    """Sums proved."""
    monomials: int
    """Terms of all sums together."""


class ProvedRequantizers(BaseModel):
    """The requantisers that were proved, for all values of their sums."""

    model_config = ConfigDict(frozen=True)

    method: Literal["case split"]
    """Ranges of the sum are proved one by one."""
    functions: int
    """Requantisers proved."""
    values: int
    """Values of all their sums together."""
    cases: int
    """Ranges into which these were split."""


class ProvedTables(BaseModel):
    """The functions of one variable that were compared at all of its values."""

    model_config = ConfigDict(frozen=True)

    method: Literal["exhaustive"]
    """All values are tried."""
    functions: int
    """Functions compared."""
    values: int
    """Values of all their variables together."""


class ProvedModule(BaseModel):
    """One module of the Verilog that equals the golden model for all inputs."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    module: str
    """Name of the module."""
    latency_cycles: int
    """Clocks from a word to its result."""
    warm_up_words: int
    """Words after a reset that fill histories and do not come out."""
    registers_read_after_cycles: int | None
    """Clocks after a word came in until taps or K are read for it; null where the module has none
    in registers."""
    sums: ProvedSums
    """Its sums."""
    requantisers: ProvedRequantizers
    """Its requantisers."""
    tables: ProvedTables
    """Its functions of one variable."""
    cpu_seconds: float
    """Processor time of the proof."""


class ProofMetrics(Metrics):
    """The Verilog against golden, for all inputs."""

    modules: tuple[ProvedModule, ...]
    """The modules that were proved."""

    def __repr__(self) -> str:
        sums = sum(module.sums.sums for module in self.modules)
        return f"ProofMetrics({len(self.modules)} modules with {sums} sums: proved for all inputs)"

    __str__ = __repr__


class NetlistProofMetrics(Metrics):
    """A mapped netlist against its Verilog: see `dbp.synthesis.equivalence.prove_mapping`."""

    pdk: str
    """Kit of the netlist."""
    module: str
    """Name of its top."""
    method: str
    """How the circuits were compared."""
    proved: bool
    """False where the time did not suffice, or a register of the netlist has no counterpart."""
    registers: int
    """Registers paired by name."""
    registers_inverted: int
    """Those of them that hold the inverse."""
    registers_gone: int
    """Registers of the Verilog without a counterpart, merged with others or without use."""
    registers_without_counterpart: int
    """Registers of the netlist without one."""
    # An int stays one in the file.
    limit_s: int | float
    """Time that the comparison had."""


class PowerMetrics(Metrics):
    """Any mapped netlist in watts: see `dbp.synthesis.power.cost_netlist`."""

    module: str
    """Name of the netlist's top."""
    cells: int
    """Cells of the netlist."""
    cell_area_um2: float
    """Area of all cells."""
    library: str
    """Name of the cell library."""
    clock_mhz: float
    """Frequency of the clock."""
    power_w: PowerW
    """Watts of the netlist, clock tree included: its own, or the estimated one."""
    cells_power_w: PowerW
    """The part of ``power_w`` that its cells take, without an estimated clock tree."""
    groups: dict[str, PowerW]
    """Watts of registers, logic and clock cells; an estimated tree counts as clock cells."""
    power_engine: str
    """``dbp``, or the version of OpenSTA."""
    clock_tree_estimate_w: PowerW | None
    """The part of ``power_w`` that an estimated clock tree takes; null where the netlist has a
    tree, or the library no buffer."""
    clock_tree_estimate: ClockTreeFigures | None
    """That tree."""
    wire_load: str | None
    """The library's wire load; null for no wires."""
    wire_factor: float = 1.0
    """What its capacitance is multiplied by in the watts, from layouts of the kit."""
    nets_with_wires_fraction: float | None = None
    """Part of the nets of two or more pins that have a wire in the SPEF; null without one."""
    input_slew_ns: float = 0.0
    """Transition time of all input ports but the clocks."""
    voltage_v: float
    """The library's own supply."""
    supplies_v: dict[str, float] = Field(default_factory=dict)
    """Supplies that drive nets, by name."""
    internal_left_out_w: float = 0.0
    """Internal power that the library states for no pin that toggles."""
    activity: str
    """The file of toggles."""
    activity_scope: str | None = None
    """The instance in it; null for a table."""
    activity_from_ns: float | None = None
    """Start of the time that counts; null for its beginning."""
    activity_to_ns: float | None = None
    """End of the time that counts; null for its end."""
    nets_annotated_fraction: float
    """Part of the nets whose toggles the activity states."""
    clock_toggles_per_clock: dict[str, float]
    """Toggles of each clock a period; 2 is right."""
    loops_cut: tuple[str, ...] = ()
    """Where slews go no further around a combinational loop, as ``instance/pin -> output``."""
    notes: tuple[str, ...] = ()
    """What the reader of the figures should know of these inputs, a sentence each."""


class StepFigures(BaseModel):
    """The power and the area of one step, as the paper states them."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    power_w: float
    """Power of the step."""
    area_mm2: float
    """Area of the step."""


class Band(BaseModel):
    """A figure at 28 nm, by published factors."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    low: float
    """Least of the factors' figures."""
    central: float
    """Geometric mean of them."""
    high: float
    """Largest of them."""


class PowerW(BaseModel):
    """Watts by kind."""

    model_config = ConfigDict(frozen=True)

    switching: float
    """To charge nets."""
    internal: float
    """Inside cells, when their pins toggle."""
    leakage: float
    """Without any toggle."""
    total: float
    """All three."""


class GroupFigures(BaseModel):
    """One group of a netlist's instances: registers, logic or clock."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    cell_area_um2: float
    """Area of its cells."""
    cells: int
    """Cells."""
    power_w: PowerW
    """Watts of its cells."""


class ClockTreeFigures(BaseModel):
    """The clock tree that `dbp.synthesis.timing.clock_tree` estimates."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    registers: int
    """Clock pins at its leaves."""
    buffers: int
    """Buffers, all alike."""
    levels: int
    """Buffers in a row."""
    buffer_cell: str
    """Name of their cell."""
    wire_um: float
    """Length of all wires."""
    wire_f_per_um: float
    """Capacitance of a wire by length (F/um)."""
    slew_s: float
    """Worst transition time."""
    fanout: float
    """Sinks of a buffer."""


class Scaling(BaseModel):
    """A published rule that scales a kit to 28 nm."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    kit: str
    """Kit that is scaled."""
    method: str
    """Who published the rule."""
    energy: float
    """Energy at 28 nm over that of the kit."""
    area: float | None
    """Area at 28 nm over that of the kit; null where the rule has none."""
    delay: float
    """Delay at 28 nm over that of the kit."""


class Scaled(BaseModel):
    """A step's power and area at 28 nm."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    node_nm: int
    """The node scaled to."""
    voltage_v: float
    """The supply scaled to."""
    factors: tuple[Scaling, ...]
    """The rules."""
    power_w: Band
    """Power of the step."""
    cell_area_um2: Band
    """Area of the step's cells."""


class Recipe(BaseModel):
    """The way in which the RTL is mapped to the kit's cells."""

    model_config = ConfigDict(frozen=True)

    multipliers: str
    """How products are built."""
    sums: str
    """How sums are built."""
    full_adder: str | None
    """The kit's full-adder cell; null without any."""
    full_adders_of_hardwired_lanes: str
    """The order of their inputs."""
    abc_script: str
    """What ABC does."""
    abc_clock_target: float | None
    """Period that ABC aims at; null: the fastest it finds."""


class PathStep(BaseModel):
    """A cell on the critical path, and when its output arrives."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    instance: str
    """Name of the cell's instance."""
    cell: str
    """Name of the cell."""
    arrival_ns: float
    """When its output arrives after the clock edge."""


class ClockTrial(BaseModel):
    """A pipeline that was mapped and timed to fit the clock: see `dbp.synthesis.fit_clock`."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    pipeline: str
    """Registers of the trial, as ``--pipeline`` takes them."""
    slack_ns: float
    """Slack of the step."""
    latest: str
    """The bank of registers at which the latest logic ends."""
    cell_area_um2: float
    """Area of all cells."""
    power_w: float | None
    """Power of the step, clock tree included; null where it was not simulated."""
    kept: bool
    """Whether the next trials began with this pipeline."""


class ClockFit(BaseModel):
    """The trials of a fit to the clock."""

    model_config = ConfigDict(frozen=True)

    lanes: int
    """Samples per clock of the trials."""
    clocks: int
    """Clocks over which each was simulated."""
    trials: tuple[ClockTrial, ...] = Field(min_length=1)
    """The trials in their order."""

    @property
    def last_kept(self) -> ClockTrial:
        """The trial whose pipeline is the answer."""
        return [trial for trial in self.trials if trial.kept][-1]


class PlacedGroup(BaseModel):
    """One group of a layout's instances."""

    model_config = ConfigDict(frozen=True)

    power_w: PowerW
    """Watts of its instances."""


class RoutedFigures(BaseModel):
    """A routed step by our own simulation and power method, with the wires of its layout."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    power_w: PowerW
    """Watts of the routed netlist, clock tree included."""
    groups: dict[str, PlacedGroup]
    """Watts of registers, logic and clock cells: the clock tree on its own."""
    power_without_glitches_w: PowerW
    """Watts if each net but the clock's changed once a clock at most."""
    glitch_share: float
    """Part of the power that glitches take."""
    gate_level_samples: int
    """Output samples of the routed gates compared with golden."""
    gate_level_mismatches: int
    """Those that differ."""
    simulation_period_ns: float
    """Period at which the gates were simulated."""
    nets_annotated_fraction: float
    """Part of the nets that have delays."""
    nets_with_wires_fraction: float
    """Part of the nets of two or more pins that have a wire in the SPEF."""
    clock_skew_ns: float
    """From the earliest register that the clock reaches to the latest."""


class PlacedStep(BaseModel):
    """A step placed and routed by OpenROAD: see ``docs/howto/place_and_route.md``."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    openroad: str
    """Version of OpenROAD."""
    slack_ns: float
    """Setup slack after routing."""
    hold_slack_ns: float
    """Hold slack after routing."""
    area_um2: float
    """Area of all cells, buffers included."""
    utilisation: float
    """Cells over the core's area."""
    route: Literal["global", "detailed"] = "global"
    """How far the wires were routed."""
    routing_violations: int | None = None
    """Violations of the routing rules; null for global routes."""
    antenna_violations: int | None = None
    """Nets that break the antenna rules; null for global routes."""
    wire_length_um: float
    """Length of all wires, of the routes of this kind."""
    clock_buffers: int
    """Buffers of the clock tree."""
    power_w: PowerW
    """OpenROAD's watts with these wires, with the activity before layout."""
    groups: dict[str, PlacedGroup]
    """The same of registers, logic and clock cells."""
    pins_without_activity: int = 0
    """Driven pins of the mapped netlist that the layout has removed, with their activity."""
    routed: RoutedFigures | None = None
    """Watts and glitches by our own simulation of the routed gates."""


class SynthMetrics(Metrics):
    """One step, mapped to a kit: see `dbp.synthesis.synthesize`."""

    pdk: str
    """Kit that the step was mapped to."""
    step: int
    """Number of the step."""
    lanes: int
    """Samples per clock, of each polarisation."""
    polarizations: int = 1
    """Polarisations of the design; left out for one."""
    filters: Literal["reconfigurable", "hardwired"]
    """Taps in registers, or in the logic."""
    pipeline: dict[str, dict[str, bool | int]]
    """Registers of each block, as ``--pipeline`` names them."""
    clock_mhz: float
    """Clock that figures are stated for."""
    cell_area_um2: float
    """Area of all cells."""
    cells: int
    """Cells of the netlist."""
    power_w: PowerW
    """Watts of the step, clock tree included."""
    cells_power_w: PowerW
    """The part of ``power_w`` that the cells take, without the clock tree."""
    groups: dict[str, GroupFigures]
    """Area and watts of registers, logic and clock cells; the estimated tree counts in the watts of
    these, not in their area."""
    power_engine: Literal["dbp"]
    """What calculated the power."""
    power_without_glitches_w: PowerW
    """Watts if each net changed once a clock at most, from one settled value to the next."""
    glitch_share: float
    """Part of the power that glitches take."""
    clock_tree_estimate_w: PowerW | None
    """The part of ``power_w`` that an estimated clock tree takes; null without a buffer in the
    kit."""
    clock_tree_estimate: ClockTreeFigures | None
    """That tree."""
    wire_load: str | None
    """The library's wire load; null for no wires."""
    wire_factor: float = 1.0
    """What its capacitance is multiplied by in the watts, from layouts of the kit."""
    input_slew_ns: float = 0.0
    """Transition time of all input ports but the clock."""
    voltage_v: float
    """Supply of the kit."""
    for_demonstration_only: bool
    """Whether the kit is no evidence, as ``predictive28``."""
    scaled_28nm: Scaled | None
    """Power and area by published factors; null for kits without any."""
    recipe: Recipe
    """How the RTL was mapped."""
    slack_ns: float
    """Worst setup slack, with the wires of the wire load."""
    slack_without_wires_ns: float
    """The same without wires."""
    highest_clock_mhz: float
    """Clock at which the slack is zero."""
    highest_clock_without_wires_mhz: float
    """The same without wires."""
    timing_met: bool
    """Whether the slack is not negative."""
    critical_path: tuple[PathStep, ...]
    """The cells of the latest path, from its register on."""
    activity: Literal["simulated"]
    """Toggles are those of the gates, simulated with delays."""
    simulated_clocks: int
    """Clocks over which toggles were counted."""
    simulation_period_ns: float
    """Period at which the gates were simulated: longer than the clock's where they miss it."""
    toggles_per_net_and_clock: float
    """Mean over all nets but the clock."""
    nets_annotated_fraction: float
    """Part of the nets that have delays."""
    gate_level_samples: int
    """Output samples compared with golden."""
    gate_level_mismatches: int
    """Those that differ."""
    inputs_hash: str
    """SHA-256 of everything that the figures depend on."""
    fit_clock: ClockFit | None = None
    """Trials of ``--fit-clock``."""
    place_and_route: PlacedStep | None = None
    """Figures of ``--place-and-route``."""
    kept: bool = Field(default=False, exclude=True)
    """Whether these metrics were found with the same inputs; it is not in the file."""

    @property
    def area_um2(self) -> float:
        """The area of all cells."""
        return self.cell_area_um2


class SignedOffStep(BaseModel):
    """One step of a receiver, with its own taps and stimulus."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    step: int
    """Number of the step."""
    taps: int
    """Taps of its filter."""
    mapped_with: int
    """The step whose netlist it has: itself, or an earlier one that is the same hardware."""
    cells: int
    """Cells of the netlist."""
    cell_area_um2: float
    """Area of all cells."""
    slack_ns: float
    """Worst setup slack."""
    timing_met: bool
    """Whether the slack is not negative."""
    power_w: PowerW
    """Watts of the step, clock tree included, as in ``synth/KIT/metrics.json``."""
    clock_tree_estimate_w: float | None
    """The part of them that an estimated clock tree takes; null without a buffer in the kit."""
    glitch_share: float
    """Part of the power that glitches take."""
    toggles_per_net_and_clock: float
    """Mean over all nets but the clock."""
    gate_level_samples: int
    """Output samples compared with golden."""
    gate_level_mismatches: int
    """Those that differ."""
    inputs_hash: str
    """SHA-256 of everything that the figures of the step depend on."""

    def row(self) -> dict[str, Any]:
        """Return a line of ``steps.csv``: the kinds of power are columns of their own."""
        fields = self.model_dump()
        power = fields.pop("power_w")
        watts = {f"{kind}_w": power[kind] for kind in power if kind != "total"}
        return {"step": self.step, "power_w": power["total"]} | fields | watts


class SignoffEstimate(BaseModel):
    """The same receiver where one step stands for all that are alike, as in ``dbp compare``."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    steps: dict[str, int]
    """For how many steps each of these stands, by its number."""
    power_w: float
    """Watts of the receiver by them."""
    cell_area_um2: float
    """Area of the receiver by them."""
    power_ratio: float
    """Watts of all steps over these."""
    area_ratio: float
    """Area of all steps over this."""


class SignoffMetrics(Metrics):
    """All steps of a receiver: see `dbp.synthesis.signoff`."""

    pdk: str
    """Kit."""
    filters: Literal["reconfigurable", "hardwired"]
    """Taps in registers, or in the logic."""
    lanes: int
    """Samples per clock of each step."""
    clock_mhz: float
    """Clock that figures are stated for."""
    pipeline: dict[str, dict[str, bool | int]]
    """Registers of each block, as ``--pipeline`` names them."""
    for_demonstration_only: bool
    """Whether the kit is no evidence, as ``predictive28``."""
    power_w: PowerW
    """Watts of all steps together, clock trees included."""
    clock_tree_estimate_w: float | None
    """The part of them that estimated clock trees take; null without a buffer in the kit."""
    cell_area_um2: float
    """Area of all steps together."""
    slack_ns: float
    """Worst slack of all steps."""
    timing_met: bool
    """Whether no step misses the clock."""
    missed: tuple[int, ...]
    """Numbers of the steps that miss it, the latest first."""
    netlists: int
    """Netlists that were mapped: one for the steps that are the same hardware."""
    gate_level_samples: int
    """Output samples of all steps that were compared with golden."""
    gate_level_mismatches: int
    """Those that differ."""
    estimate: SignoffEstimate
    """What one step that stands for all says."""
    steps: tuple[SignedOffStep, ...] = Field(min_length=1)
    """The steps, in their order."""


# The kind of filters of a receiver that is no design.
REFERENCE_FILTERS = "estimate"


class ReceiverPowerW(BaseModel):
    """Watts of a receiver by kind; the total alone where the kinds were not estimated."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    switching: float | None = None
    """To charge nets."""
    internal: float | None = None
    """Inside cells, when their pins toggle."""
    leakage: float | None = None
    """Without any toggle."""
    total: float = Field(gt=0)
    """All three."""


class FitCheck(BaseModel):
    """The ratio of what the line through two widths predicts to a wider synthesis."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    power: float
    """Predicted over measured power."""
    area: float
    """Predicted over measured area."""


class Calibrated(BaseModel):
    """A step by the fitted factors of its kit, and the errors of those fitted without it."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    power_w: float
    """Power of the step."""
    power_w_left_out_error: float
    """Relative error of the power by a factor fitted without this step."""
    area_mm2: float
    """Area of the step."""
    area_mm2_left_out_error: float
    """Relative error of the area by a factor fitted without this step."""


class LineFit(BaseModel):
    """A figure against the number of lanes: a straight line."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    fixed: float
    """At no lane."""
    per_lane: float
    """For each lane."""


class ComparisonRow(BaseModel):
    """One design in one kit: see `dbp.synthesis.whole_receiver.estimate`.

    A receiver that is not made of steps has no figures of a step. ``combined_*``: of all scaled
    kits in which the comparison has this design, two at least.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    design: str
    """Name of the design or receiver."""
    design_hash: str | None = None
    """SHA-256 of the design."""
    learned: bool = False
    """Whether its filters were learned, judged by its name."""
    filters: str
    """``reconfigurable``, ``hardwired``, or ``estimate`` of a reference receiver, whose operations
    were counted and not synthesised together."""
    pdk: str
    """Kit."""
    for_demonstration_only: bool = False
    """Whether the kit is no evidence, as ``predictive28``."""
    pipeline: str | None = None
    """Registers, as ``--pipeline`` takes them."""
    samples_per_symbol: str | None = None
    """Samples per symbol of the design, as a ratio."""
    polarizations: int = 1
    """Polarisations of the design: what is stated is of both together. Left out for one."""
    taps: int | None = None
    """Taps of the middle filter."""
    coefficient_bits: int | None = None
    """Width of its taps."""
    signal_bits: int | None = None
    """Width of a quadrature between blocks."""
    launch_power_dbm: float | None = None
    """Launch power of least BER."""
    ber: float
    """BER there."""
    ber_low: float
    """Low end of its 95 % interval."""
    ber_high: float
    """High end of its 95 % interval."""
    snr_db: float | None = None
    """Effective SNR there."""
    lanes: int | None = None
    """Samples per clock of the receiver, of each polarisation."""
    step: int | None = None
    """Number of the step that stands for most."""
    synthesised_lanes: tuple[int, int] | None = None
    """The two widths that the estimate is from."""
    synthesised_steps: int | None = Field(default=None, ge=1)
    """Steps that were synthesised: one stands for those that are alike, with ``--every-step`` only
    for those that are the same hardware."""
    step_power_w: float | None = Field(default=None, gt=0)
    """Power of one step."""
    step_area_mm2: float | None = Field(default=None, gt=0)
    """Area of one step."""
    power_w: ReceiverPowerW
    """Watts of the receiver, clock tree included."""
    area_mm2: float = Field(gt=0)
    """Area of the receiver."""
    clock_tree_estimate_w: float | None = None
    """The part of ``power_w`` that an estimated clock tree takes."""
    fit_power_w: LineFit | None = None
    """Power of a step against lanes."""
    fit_area_um2: LineFit | None = None
    """Area of a step against lanes."""
    fit_check: dict[str, FitCheck] | None = None
    """What these lines predict over what was measured, by further width."""
    slack_ns: float | None = None
    """Worst slack of all syntheses."""
    timing_met: bool | None = None
    """Whether none is negative."""
    glitch_share: float | None = None
    """Part of the power that glitches take."""
    voltage_v: float | None = None
    """Supply of the kit."""
    pj_per_bit: float
    """Energy per bit of the link."""
    pj_per_sample: float | None = None
    """Energy per complex sample."""
    paper_step: StepFigures | None = None
    """What the paper states for a step of these formats."""
    power_28nm_w: Band | None = None
    """Power of the receiver at 28 nm."""
    step_power_28nm_w: Band | None = None
    """Power of a step at 28 nm."""
    area_28nm_mm2: Band | None = None
    """Area of the receiver at 28 nm."""
    step_area_28nm_mm2: Band | None = None
    """Area of a step at 28 nm."""
    combined_power_28nm_w: Band | None = None
    """Power of the receiver at 28 nm, from several kits."""
    combined_step_power_28nm_w: Band | None = None
    """Power of a step at 28 nm, from several kits."""
    combined_area_28nm_mm2: Band | None = None
    """Area of the receiver at 28 nm, from several kits."""
    combined_step_area_28nm_mm2: Band | None = None
    """Area of a step at 28 nm, from several kits."""
    calibrated: Calibrated | None = None
    """A step by factors fitted to the paper's steps."""


class FittedFactor(BaseModel):
    """A factor fitted to the paper's values, and relative errors of those it was fitted without."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    factor: float
    """The paper's value over ours."""
    worst_left_out_error: float
    """Largest relative error of a step left out of the fit."""
    rms_left_out_error: float
    """Rms of these errors."""


class Calibration(BaseModel):
    """The fitted factors of one kit, for watts and square millimetres of a step."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    pdk: str
    """Kit."""
    rows: int
    """Steps of the fit."""
    power_w: FittedFactor
    """Factor for watts."""
    area_mm2: FittedFactor
    """Factor for square millimetres."""


class Headline(BaseModel):
    """One design against another at no higher a BER."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    pdk: str
    """Kit."""
    filters: str
    """``reconfigurable`` or ``hardwired``."""
    kind: Literal["first", "unlearned"]
    """Against the comparison's first design, or against the best unlearned one."""
    against: str
    """Name of the design compared with."""
    against_ber: float
    """Its BER."""
    design: str | None
    """Name of the design of least power at no higher a BER; null where none reaches it."""
    ber: float | None = None
    """Its BER."""
    better_ber: bool | None = None
    """Whether its BER is lower beyond both intervals."""
    power_saving: float | None = None
    """Part of the other design's power that it saves."""


class ComparisonMetrics(Metrics):
    """Whole receivers beside each other."""

    rows: tuple[ComparisonRow, ...] = Field(min_length=1)
    """One for each design, kind of filters and kit."""
    calibration: tuple[Calibration, ...] = ()
    """Factors fitted to the paper's steps, by kit."""
    headlines: tuple[Headline, ...] = ()
    """Comparisons worth a sentence."""


class Point(BaseModel):
    """One receiver at one launch power of one link.

    The figures after ``adder_bits`` are of a waveform from a file only. Keys that are no fields
    here are those of the link that a sweep has set, with their values, or in which designs have
    links of their own; they come first in a file.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    design: str
    """Name of the receiver."""
    arithmetic: Literal["float", "fixed"]
    """``fixed``: as the hardware computes it, bit for bit."""
    launch_power_dbm: float
    """Launch power."""
    bits: int
    """Bits compared."""
    errors: int
    """Bits wrong."""
    ber: float
    """Errors over bits."""
    ber_low: float
    """Low end of the 95 % interval."""
    ber_high: float
    """High end of the 95 % interval."""
    ser: float | None = None
    """Symbols wrong over symbols."""
    snr_db: float
    """Effective SNR."""
    evm_percent: float | None = None
    """Error vector magnitude, rms, over the rms of the symbols."""
    q_db: float | None = None
    """The BER as a Q factor; null without errors."""
    gmi_bits: float | None = None
    """Generalised mutual information per symbol."""
    design_hash: str | None = None
    """SHA-256 of the design."""
    multiplier_bits: int | None = None
    """Width times width of all multipliers, per complex sample; null in floating point."""
    adder_bits: int | None = None
    """Width of all adders, per complex sample; null in floating point."""
    delay_samples: float | None = None
    """Where the first of the sent symbols lies in the waveform."""
    phase_rad: float | None = None
    """Phase of the waveform against the symbols."""
    gain: float | None = None
    """Amplitude of the waveform over that of the symbols."""
    coherence: float | None = None
    """Likeness of waveform and symbols, at most 1."""
    conjugated: bool | None = None
    """Whether waveform and symbols are those of the conjugate fibre equation."""
    edge_symbols: int | None = None
    """Symbols at each end that are not counted."""
    delay_samples_y: float | None = None
    """Of two polarisations: where the first of the second's symbols lies."""
    coherence_y: float | None = None
    """Of two polarisations: likeness of the second's symbols and what holds them."""
    swapped: bool | None = None
    """Of two polarisations: whether each arrives mostly in the other's row of the waveform."""
    carrier_offset_mhz: float | None = None
    """Of a blind receiver: how far the carrier lies above its laser."""
    clock_offset_ppm: float | None = None
    """Of a blind receiver: how much longer the transmitter's symbols are than stated."""

    @model_serializer(mode="wrap")
    def _link_first(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = serialize(self)
        # A caller may have left some of them out.
        link = {name: fields.pop(name) for name in self.model_extra or () if name in fields}
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

    Of points of equal BER, such as those without an error, the one of highest effective SNR. Each
    on each link: where points have keys of the link, their values stand behind design and
    arithmetic in the key.
    """
    best: dict[tuple[Any, ...], Point] = {}
    for point in points:
        key = (point.design, point.arithmetic, *(point.model_extra or {}).values())
        if key not in best or (point.ber, -point.snr_db) < (best[key].ber, -best[key].snr_db):
            best[key] = point
    return best


class BerMetrics(Metrics):
    """All points of an evaluation, and the rule by which it stopped or the waveform's file."""

    points: tuple[Point, ...]
    """One for each receiver, launch power and link."""
    link: dict[str, Any] | None = None
    """Keys of the link that all points share; the others stand in the points."""
    min_errors: int | None = None
    """A point was finished after this many errors."""
    max_bits: int | None = None
    """Or before the group of blocks that would exceed this many bits."""
    waveform: str | None = None
    """The file that was counted on."""
    first_sample: int | None = None
    """Of that file, the first that was counted, and from which delays are; left out where it is the
    first of all: a design that was learned on the file is counted on what was held out."""
    receiver: Literal["genie", "blind"] = "genie"
    """Who found the symbols behind the equalisers."""


class ExploredPoint(BaseModel):
    """One candidate of a search, as far as it came."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    name: str
    """Name of the candidate, and of its folder where it was confirmed."""
    stage: Literal["cheap", "full", "confirmed"]
    """``cheap``: learned cheaply only. ``full``: learned as ``[training]`` says. ``confirmed``: its
    bit errors were counted, too."""
    on_front: bool
    """Whether no other confirmed point has both a BER and an energy that are lower or the same."""
    values: dict[str, Any]
    """The keys of the configuration in which candidates differ."""
    failed: str | None = None
    """Why learning led to no design."""
    cheap_snr_db: float | None = None
    """Effective SNR on validation data, learned cheaply."""
    snr_db: float | None = None
    """The same, learned fully."""
    design_hash: str | None = None
    """SHA-256 of the design of the last learning."""
    power_w: float | None = None
    """Predicted watts of the whole receiver of that design."""
    area_mm2: float | None = None
    """Predicted area."""
    pj_per_bit: float | None = None
    """Predicted energy per bit of the link."""
    extrapolates: bool | None = None
    """Whether the design is outside of what the prediction was made from."""
    launch_power_dbm: float | None = None
    """Launch power of least BER."""
    errors: int | None = None
    """Bits wrong there."""
    ber: float | None = None
    """BER there."""
    ber_low: float | None = None
    """Low end of its 95 % interval."""
    ber_high: float | None = None
    """High end of its 95 % interval."""
    synthesized_power_w: float | None = None
    """Watts of the whole receiver, estimated from syntheses as ``dbp compare`` does."""
    synthesized_area_mm2: float | None = None
    """Area from the same syntheses."""
    synthesized_pj_per_bit: float | None = None
    """Energy per bit from the same syntheses."""
    timing_met: bool | None = None
    """Whether all syntheses meet the clock."""

    @property
    def best_pj_per_bit(self) -> float | None:
        """The energy from synthesis, or predicted where there is none."""
        measured = self.synthesized_pj_per_bit
        return self.pj_per_bit if measured is None else measured

    def row(self) -> dict[str, Any]:
        """Return a line of ``explore.csv``: a column for each key of ``values``."""
        fields = self.model_dump(exclude={"values"})
        first = {name: fields.pop(name) for name in ("name", "stage", "on_front")}
        return first | self.values | fields


class ExploreMetrics(Metrics):
    """A search for the front of BER against energy per bit."""

    pdk: str
    """Kit."""
    filters: str
    """``reconfigurable`` or ``hardwired``."""
    finished: bool
    """Whether the search has ended; the file is also written after each of its steps."""
    places: int
    """Combinations of all values of all axes."""
    tried: int
    """Candidates that were learned cheaply."""
    learned_fully: int
    """Candidates that were learned fully."""
    rank_correlation: float | None = None
    """Spearman's rank correlation of the effective SNRs of those, cheap against full."""
    points: tuple[ExploredPoint, ...]
    """All candidates: the confirmed ones first, then by effort and predicted energy."""
