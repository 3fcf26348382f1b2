"""The tables of a configuration, each a frozen model: keys, units, limits and defaults.

The text under a key says what it means; the reference of the site is made of it.

A key that is missing takes the value of the paper's experiment, a key that is unknown is refused.
"The paper" is Fougstedt et al., "ASIC Implementation of Time-Domain Digital Backpropagation with
Deep-Learned Chromatic Dispersion Filters", ECOC 2018.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from dbp.config._rotations import default_places_km
from dbp.config.limits import (
    LAUNCH_POWERS_DBM,
    MAX_ROTATIONS_PER_PERIOD,
    ROLL_OFFS,
    SAMPLES_PER_SYMBOL,
    SYMBOL_RATES_GBD,
)
from dbp.datapath.limits import (
    MAX_BITS,
    MAX_CLOCK_MHZ,
    MAX_KERR_TAPS,
    MAX_LANES,
    MAX_RATE_NUMERATOR,
    MAX_TAPS,
    MIN_BITS,
)
from dbp.support.ratios import ratio

Kit = Literal["nangate45", "asap7", "sky130hd", "ihp-sg13g2", "gt2n", "predictive28"]
Modulation = Literal["qpsk", "16qam", "64qam", "gaussian"]
LaunchPower = Annotated[float, Field(ge=LAUNCH_POWERS_DBM[0], le=LAUNCH_POWERS_DBM[1])]
LaunchPowers = Annotated[tuple[LaunchPower, ...], Field(min_length=1)]
# A ratio p/q as a text in lowest terms.
Rate = Annotated[
    str,
    BeforeValidator(lambda value: str(ratio(value, MAX_RATE_NUMERATOR))),
    Field(examples=["2", "3/2", "5/4"]),
]
RotationRate = Annotated[
    str,
    BeforeValidator(lambda value: str(ratio(value, MAX_ROTATIONS_PER_PERIOD, above=0))),
    Field(examples=["1", "2", "1/2"]),
]


def _several(value: object) -> tuple[Any, ...]:
    """The values of a list, or the one value."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _odd_lengths(value: object) -> object:
    lengths = _several(value)
    if not lengths or not all(type(n) is int and 1 <= n <= MAX_TAPS for n in lengths):
        raise ValueError(f"must be an integer in 1..{MAX_TAPS}, or a list of them")
    if any(n % 2 == 0 for n in lengths):
        raise ValueError("must be odd: the filters are symmetric about a centre tap")
    return lengths if isinstance(value, list) else value


def _ascending_places(value: object) -> object:
    places = _several(value)
    numbers = bool(places) and all(
        type(z) in (int, float) and 0 <= z <= sys.float_info.max for z in places
    )
    if not numbers or any(b <= a for a, b in itertools.pairwise(places)):
        raise ValueError("must be a finite number of at least 0, or a list of such, ascending")
    places = tuple(map(float, places))
    return places if isinstance(value, list | tuple) else places[0]


# One value, or a list with one for each rotation of a period.
Lengths = Annotated[
    Annotated[int, Field(ge=1, le=MAX_TAPS)] | tuple[int, ...],
    BeforeValidator(_odd_lengths),
    Field(examples=[[13, 7]]),
]
Places = Annotated[
    Annotated[float, Field(ge=0)] | tuple[float, ...],
    BeforeValidator(_ascending_places),
    Field(examples=[[8.0, 35.0]]),
]


class _Table(BaseModel):
    # A value of another type is refused, not converted: the text "16" is not a number of taps.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class Impairments(_Table):
    """The imperfections of a real transmission; all are off by default."""

    transmitter_linewidth_khz: float = Field(0.0, ge=0, le=10_000)
    """Lorentzian linewidth of the transmitter's laser."""
    receiver_linewidth_khz: float = Field(0.0, ge=0, le=10_000)
    """Lorentzian linewidth of the receiver's laser."""
    frequency_offset_mhz: float = Field(0.0, ge=-5000, le=5000)
    """Constant offset of the receiver's laser from the carrier. The signal must stay within 2
    samples per symbol."""
    adc_bits: int = Field(0, ge=0, le=16)
    """Width of the converter; 0: ideal."""
    adc_full_scale_rms: float = Field(4.0, ge=0.5, le=20)
    """Full scale of the converter over the rms of a quadrature."""
    iq_gain_db: float = Field(0.0, ge=-6, le=6)
    """Gain of Q over I in the hybrid."""
    iq_phase_deg: float = Field(0.0, ge=-30, le=30)
    """Phase by which Q is off its right angle to I."""
    wdm_neighbours: int = Field(0, ge=0, le=10)
    """Channels on each side, launched at the same power."""
    wdm_spacing_ghz: float = Field(25.0, gt=0, le=1000)
    """Distance of the channels; at least one's width, (1 + ``roll_off``) ``symbol_rate_gbd``."""
    dispersion_error_percent: float = Field(0.0, ge=-10, le=10)
    """Dispersion of the fibre above what the receiver assumes."""
    dual_polarisation: bool = False
    """Send both polarisations; the launch power is that of both together."""
    pmd_ps_per_root_km: float = Field(0.0, ge=0, le=10)
    """Polarisation-mode dispersion of the fibre: over L km its mean differential group delay is
    this times the root of L. This key and those below need ``dual_polarisation``."""
    pmd_section_km: float = Field(1.0, ge=0.1, le=1000)
    """Length of fibre of constant birefringence, at most; a span has whole sections."""
    polarisation_rotation: bool = False
    """Turn the state of polarisation at both ends of the fibre, by random matrices."""
    polarisation_rotation_krad_per_s: float = Field(0.0, ge=0, le=10_000)
    """Speed at which the received state turns on the Poincare sphere."""
    amplifier_pdl_db: float = Field(0.0, ge=0, le=10)
    """Polarisation-dependent loss of each amplifier, along an axis of its own."""
    fibre_seed: int = Field(1, ge=0, lt=1 << 63)
    """Seed of what is random in the fibre itself: the same fibre for all blocks and seeds."""

    @property
    def polarizations(self) -> int:
        return 2 if self.dual_polarisation else 1

    @property
    def mixed_polarizations(self) -> bool:
        """Whether what arrives in each polarisation holds parts of both that were sent."""
        return any(getattr(self, key) for key in MIXING_KEYS)

    def unmixed(self) -> Impairments:
        """Return these without what mixes both polarisations."""
        ideal = Impairments()
        return self.model_copy(update={key: getattr(ideal, key) for key in MIXING_KEYS})


class Link(_Table):
    """The fibre link, and how it is simulated; single channel and polarisation by default.

    Equal spans of fibre, each followed by an amplifier that restores the launch power and adds its
    own noise; simulated circularly, block by block. Up to +2 dBm on the paper's link, effective
    SNRs of the default 6 samples and 16 steps are within 0.03 dB of those of 16 samples and 100
    steps (``benchmarks/link_convergence.py``). Blocks should be several times longer than the
    memory of the link, 192 symbols for the paper's; short ones are simulated faster.

    The receiver's converter samples behind an anti-alias filter with a root-raised-cosine edge
    about half its rate. What lies beyond half the rate and passes the edge is aliased. The edge
    stays off the signal, so it takes nothing from it.
    """

    spans: int = Field(32, ge=1, le=1000)
    """Spans of fibre, each with an amplifier behind it."""
    span_km: float = Field(100.0, gt=0, le=1000)
    """Length of a span; its loss, with ``attenuation_db_per_km``, is at most 100 dB."""
    attenuation_db_per_km: float = Field(0.2, ge=0, le=10)
    """Attenuation of the fibre."""
    dispersion_ps_per_nm_km: float = Field(17.0, ge=-200, le=200)
    """Dispersion parameter D of the fibre."""
    nonlinearity_per_w_km: float = Field(1.3, ge=0, le=100)
    """Kerr coefficient gamma of the fibre."""
    noise_figure_db: float = Field(5.0, ge=-100, le=20)
    """Noise figure of the amplifiers, which restore the launch power."""
    wavelength_nm: float = Field(1550.0, ge=1000, le=2000)
    """Wavelength of the carrier."""
    symbol_rate_gbd: float = Field(20.0, ge=SYMBOL_RATES_GBD[0], le=SYMBOL_RATES_GBD[1])
    """Symbol rate of a channel."""
    modulation: Modulation = "16qam"
    """What a symbol is; ``gaussian`` has no bits to count."""
    roll_off: float = Field(0.1, ge=ROLL_OFFS[0], le=ROLL_OFFS[1])
    """Roll-off of the root-raised-cosine pulse."""
    samples_per_symbol: int = Field(6, ge=6, le=SAMPLES_PER_SYMBOL)
    """Samples per symbol of the simulation; even."""
    steps_per_span: int = Field(16, ge=1, le=10000)
    """Split steps per span, of equal nonlinear phase ("logarithmic" steps)."""
    block_symbols: int = Field(1024, ge=64, le=1 << 20)
    """Length of a circular block; even."""
    adc_samples_per_symbol: Rate = "2"
    """Samples per symbol of the receiver's converter: an integer or a text such as "3/2", a ratio
    above 1 with a numerator of at most 16; ``block_symbols`` is a multiple of its denominator."""
    adc_filter_roll_off: float = Field(0.0, ge=0, le=1)
    """Roll-off of the anti-alias filter's edge about half that rate; 0: an ideal low-pass."""
    precision: Literal["complex64", "complex128"] = "complex64"
    """Arithmetic of the simulation."""
    impairments: Impairments = Impairments()
    """The table ``[link.impairments]``."""

    # Equal keys are equal links, also for the class of `dbp.Link`.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Link) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    @property
    def adc_rate(self) -> Fraction:
        """The samples per symbol of the receiver's converter."""
        return Fraction(self.adc_samples_per_symbol)

    @property
    def adc_samples(self) -> int:
        """Samples of a received block."""
        return int(self.block_symbols * self.adc_rate)

    @field_validator("samples_per_symbol", "block_symbols")
    @classmethod
    def _even(cls, value: int) -> int:
        # Spectra are cut in halves.
        if value % 2:
            raise ValueError("must be even")
        return value


class Filters(_Table):
    """The filters of one design: their length, their formats and how they are calculated.

    The least-squares filters with constrained out-of-band gain (LS-CO) minimise the error over a
    band and keep the gain outside it low. Learning starts from such filters.
    """

    taps: Lengths
    """Length of a filter over a span; odd."""
    coefficient_bits: int = Field(ge=MIN_BITS, le=MAX_BITS)
    """Width of a tap, sign included."""
    signal_bits: int = Field(ge=MIN_BITS, le=MAX_BITS)
    """Width of a quadrature between blocks, sign included."""
    rotations_per_span: RotationRate = "1"
    """Kerr rotations for each span of fibre."""
    rotation_offset_km: Places = 0.0
    """Where rotations sit, from the start of their period."""
    bandwidth: float = Field(gt=0, le=1)
    """Fraction of the sampling band over which the start's filters minimise the error. Where it is
    not given, and ``link.adc_samples_per_symbol`` is not 2, it is the same band of the signal."""
    out_of_band_gain: float = Field(ge=1e-3, le=10)
    """Mean power gain, that of \\|H\\|^2, of the start's filters outside that band, at most."""
    kerr_scale: float = Field(1.0, ge=0, le=2)
    """Factor on the Kerr constants, over those of the fibre."""

    @property
    def rotation_rate(self) -> Fraction:
        """The rotations for each span."""
        return Fraction(self.rotations_per_span)


class Baseline(Filters):
    """The design to beat: LS-CO filters, not learned. The paper's has 25 taps."""

    taps: Lengths = 25
    """Length of a filter over a span; odd. Over g spans of fibre, from one rotation to the next, it
    is the least odd number of at least 3 + (``taps`` - 3) g: the spread of the signal grows with
    the fibre, the edges of its band do not. Or a list: the length from each rotation of a period to
    the next, in the direction of the light."""
    coefficient_bits: int = Field(9, ge=MIN_BITS, le=MAX_BITS)
    """Width of a tap, sign included."""
    signal_bits: int = Field(9, ge=MIN_BITS, le=MAX_BITS)
    """Width of a quadrature between blocks, sign included."""
    rotations_per_span: RotationRate = "1"
    """Kerr rotations for each span of fibre: an integer or a text p/q, p rotations for a period of
    q spans. ``link.spans`` is a multiple of q."""
    rotation_offset_km: Places = 0.0
    """Where rotations sit, from the start of their period, behind its first amplifier: a list of p
    places, ascending, within its fibre. Where it is not given, and ``rotations_per_span`` is not
    1, the places from which the fibre's Kerr phase is the least way off
    (``docs/concepts/rotations.md``): 8.6 and 37.5 km for 2 on the paper's link."""
    bandwidth: float = Field(0.525, gt=0, le=1)
    """Fraction of the sampling band over which the filters minimise the error. Where it is not
    given it is (1 + ``link.roll_off`` / 2) / ``link.adc_samples_per_symbol``."""
    out_of_band_gain: float = Field(0.3, ge=1e-3, le=10)
    """Mean power gain, that of \\|H\\|^2, of the filters outside that band, at most."""


class Learned(Filters):
    """The learned design; learning starts from its LS-CO filters, designed jointly."""

    taps: Lengths = 15
    """Length of a filter over a span; odd. Over g spans of fibre, from one rotation to the next, it
    is the least odd number of at least 3 + (``taps`` - 3) g: the spread of the signal grows with
    the fibre, the edges of its band do not. Or a list: the length from each rotation of a period to
    the next, in the direction of the light."""
    coefficient_bits: int = Field(6, ge=MIN_BITS, le=MAX_BITS)
    """Width of a tap, sign included."""
    signal_bits: int = Field(9, ge=MIN_BITS, le=MAX_BITS)
    """Width of a quadrature between blocks, sign included."""
    rotations_per_span: RotationRate = "1"
    """Kerr rotations for each span of fibre: an integer or a text p/q, p rotations for a period of
    q spans. ``link.spans`` is a multiple of q."""
    rotation_offset_km: Places = 14.8
    """Where rotations sit, from the start of their period, behind its first amplifier: a list of p
    places, ascending, within its fibre. Where it is not given, and ``rotations_per_span`` is not
    1, the places from which the fibre's Kerr phase is the least way off
    (``docs/concepts/rotations.md``): 8.6 and 37.5 km for 2 on the paper's link."""
    bandwidth: float = Field(0.55, gt=0, le=1)
    """Fraction of the sampling band over which the start's filters minimise the error. Where it is
    not given, and ``link.adc_samples_per_symbol`` is not 2, it is the same band of the signal."""
    out_of_band_gain: float = Field(0.8, ge=1e-3, le=10)
    """Mean power gain, that of \\|H\\|^2, of the start's filters outside that band, at most."""
    kerr_taps: int = Field(1, ge=1, le=MAX_KERR_TAPS)
    """Samples of \\|x\\|^2 that one rotation weighs; odd."""

    @field_validator("kerr_taps")
    @classmethod
    def _odd_kerr(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd: the filters over the power are symmetric")
        return value


class Datapath(_Table):
    """Formats that both designs share; ``docs/concepts/datapath.md`` says where each applies."""

    adc_rms_permille: int = Field(250, ge=1, le=1000)
    """Rms of a quadrature behind the gain control, over full scale."""
    branch_bits: int = Field(5, ge=MIN_BITS, le=MAX_BITS)
    """Width to which a quadrature is cut before it is squared."""
    kerr_bits: int = Field(10, ge=MIN_BITS, le=MAX_BITS)
    """Width of a Kerr constant K, sign included."""
    phase_bits: int = Field(8, ge=MIN_BITS, le=MAX_BITS)
    """Width of the phase phi, sign included."""
    phase_fraction_bits: int = Field(9, ge=0, le=20)
    """Bits of phi below 1 rad: its unit is 2^-this."""
    taylor_order: int = Field(1, ge=1, le=2)
    """Order of the series for exp(j phi)."""
    rotation_guard_bits: int = Field(0, ge=0, le=4)
    """Bits that a filter before a rotation puts out beyond ``signal_bits``; both together at most
    16."""
    centre_power: bool = False
    """Take the mean of \\|x\\|^2 out of the phase."""
    max_launch_power_dbm: LaunchPower = 6.0
    """Launch power up to which K does not saturate; each 3 dB less gives K one more significant
    bit."""


class Training(_Table):
    """Learning on circular blocks of the link.

    A joint start without data, then damped Gauss-Newton iterations in floating point, on rounded
    signals, and on rounded taps.
    """

    launch_power_dbm: LaunchPower = 0.5
    """Launch power of all data."""
    symbols: int = Field(131072, ge=1024, le=1 << 26)
    """Symbols to learn on."""
    validation_symbols: int = Field(65536, ge=1024, le=1 << 26)
    """Symbols that the best iteration is chosen on; never those learned on."""
    block_symbols: int = Field(512, ge=64, le=1 << 16, multiple_of=4)
    """Length of a circular block of these data; at least the longest filter."""
    curvature_symbols: int = Field(32768, ge=1024, le=1 << 26)
    """Symbols that the curvature of each iteration is taken from; at most ``symbols``."""
    start_iterations: int = Field(3000, ge=0, le=10_000_000)
    """Iterations of the joint start, which needs no data."""
    float_iterations: int = Field(5, ge=0, le=10_000)
    """Gauss-Newton iterations in floating point."""
    descent_steps: int = Field(0, ge=0, le=10_000_000)
    """Then steps of Adam in floating point; some thousands where few symbols are learned on."""
    signal_iterations: int = Field(5, ge=0, le=10_000)
    """Then iterations on rounded signals."""
    tap_iterations: int = Field(8, ge=1, le=10_000)
    """Then iterations on rounded taps too."""
    fill_codes: bool = False
    """Turn and scale the filters before rounding so that their taps fill their codes; for taps of 5
    bits or fewer."""
    wide_search: bool = False
    """Search codes of all taps more widely, as where digits have a price; for taps of 4 bits or
    fewer."""
    digit_price_mdb: float = Field(0.0, ge=0, le=1000)
    """Millidecibels of effective SNR that a signed digit of a tap may cost; taps are rounded to
    fewer digits, which are adders where taps are hardwired. 0: digits cost nothing."""
    half_tap_price_mdb: float = Field(0.0, ge=0, le=1000)
    """Millidecibels that a half tap which is not zero may cost beside its digits: its samples are
    folded and registered in each lane. Those that bring less become zero. 0: they cost nothing."""
    coefficient_bit_price_mdb: float = Field(0.0, ge=0, le=1000)
    """Millidecibels that a bit of all taps of a filter must bring; ``coefficient_bits`` is the most
    that a filter gets. 0: all filters get it."""
    signal_bit_price_mdb: float = Field(0.0, ge=0, le=1000)
    """Millidecibels that a bit of the samples between two filters must bring; ``signal_bits`` is
    the most, and what converter and receiver put out have. 0: all have it."""
    digit_budget: int = Field(0, ge=0, le=1 << 30)
    """The most signed digits of all half taps together, in place of a price; 0: no limit."""


class Evaluation(_Table):
    """Where and how long the bit error ratio is counted."""

    launch_power_dbm: LaunchPowers = (-1.0, -0.5, 0.0, 0.5, 1.0)
    """Launch powers to count at."""
    min_errors: int = Field(400, ge=1, lt=1 << 63)
    """A point is finished after this many bit errors."""
    max_bits: int = Field(1_500_000, ge=1, lt=1 << 63)
    """Or before the group of blocks that would exceed this many bits."""

    @field_validator("launch_power_dbm", mode="before")
    @classmethod
    def _tuple(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value


# Keys of a sweep that are not the link's.
SWEPT_BESIDE_LINK = ("design", "launch_power_dbm")
SweepValues = Annotated[tuple[bool | int | float | str, ...], Field(min_length=1)]


class Hardware(_Table):
    """What is generated, simulated and synthesised."""

    lanes: int = Field(4, ge=1, le=MAX_LANES)
    """Samples per clock of the generated Verilog."""
    synthesis_lanes: int = Field(2, ge=1, le=MAX_LANES)
    """Samples per clock of the step that is synthesised."""
    clock_mhz: float = Field(416.7, gt=0, le=MAX_CLOCK_MHZ)
    """Clock that the synthesis aims at."""
    pdk: Kit = "nangate45"
    """Kit that the step is mapped to."""
    stimulus_symbols: int = Field(16384, ge=64, le=1 << 20)
    """Symbols of the received waveform that simulations run on; enough for 1,000 clocks of 30
    lanes."""


class CheapTraining(_Table):
    """How ``dbp explore`` first learns a candidate: keys in place of those of ``[training]``."""

    symbols: int = Field(16384, ge=1024, le=1 << 26)
    """Symbols to learn on."""
    validation_symbols: int = Field(16384, ge=1024, le=1 << 26)
    """Symbols that the best iteration is chosen on."""
    curvature_symbols: int = Field(8192, ge=1024, le=1 << 26)
    """Symbols that the curvature of each iteration is taken from; at most ``symbols``."""
    start_iterations: int = Field(1000, ge=0, le=10_000_000)
    """Iterations of the joint start."""
    float_iterations: int = Field(3, ge=0, le=10_000)
    """Iterations in floating point."""
    signal_iterations: int = Field(2, ge=0, le=10_000)
    """Then on rounded signals."""
    tap_iterations: int = Field(3, ge=1, le=10_000)
    """Then on rounded taps too."""


class Explore(_Table):
    """The search of ``dbp explore``: what it varies, how long, and what it confirms.

    Each generation learns candidates cheaply, around the best so far; the best of all are learned
    as ``[training]`` says; the best of these are counted, and some of them synthesised, in the kit
    ``hardware.pdk`` at ``hardware.clock_mhz``.
    """

    filters: Literal["reconfigurable", "hardwired"] = "hardwired"
    """Taps in registers, or in the logic."""
    population: int = Field(16, ge=2, le=100_000)
    """Candidates of a generation."""
    generations: int = Field(4, ge=1, le=10_000)
    """Generations that are learned cheaply."""
    survivors: int = Field(12, ge=1, le=100_000)
    """Candidates that are learned fully."""
    confirmed: int = Field(8, ge=1, le=10_000)
    """Candidates whose bit errors are counted, with ``[evaluation]``."""
    synthesized: int = Field(4, ge=0, le=10_000)
    """Candidates of these that are synthesised too; 0: watts are predicted only."""
    synthesis_lanes: tuple[Annotated[int, Field(ge=1, le=MAX_LANES)], ...] = (8, 16)
    """Widths to synthesise, two or more from narrow to wide, as ``dbp compare --lanes``."""
    cheap: CheapTraining = CheapTraining()
    """The table ``[explore.cheap]``."""
    axes: dict[str, Any] = {}
    """The table ``[explore.axes]``: lists of values, in order, for keys of ``[learned]``,
    ``[datapath]``, ``[training]`` and the converter's of ``[link]``, such as
    ``learned.taps = [11, 13, 15]``. ``NAME = [{learned.taps = 13, link.adc_samples_per_symbol =
    "3/2"}, ...]`` is an axis whose values set several keys together."""

    @field_validator("synthesis_lanes", mode="before")
    @classmethod
    def _tuple(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("synthesis_lanes")
    @classmethod
    def _widths(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(value) < 2 or list(value) != sorted(set(value)) or not value[0] >= 1:
            raise ValueError("must be two widths or more, from narrow to wide")
        return value


# Keys that were added when runs had hashes: at their defaults a configuration keeps its hash.
LATER_LINK_KEYS = ("adc_samples_per_symbol", "adc_filter_roll_off")
LATER_IMPAIRMENTS_KEYS = (
    *("pmd_ps_per_root_km", "pmd_section_km", "polarisation_rotation"),
    *("polarisation_rotation_krad_per_s", "amplifier_pdl_db", "fibre_seed"),
)
LATER_FILTERS_KEYS = ("rotations_per_span",)
LATER_TRAINING_KEYS = (
    "descent_steps",
    "fill_codes",
    "wide_search",
    "digit_price_mdb",
    "digit_budget",
    "half_tap_price_mdb",
    "coefficient_bit_price_mdb",
    "signal_bit_price_mdb",
)
# Keys of the impairments that mix both polarisations, where they are not 0 or false.
MIXING_KEYS = (
    *("pmd_ps_per_root_km", "polarisation_rotation"),
    *("polarisation_rotation_krad_per_s", "amplifier_pdl_db"),
)
# A value of these that is not given follows from others.
FOLLOWING_KEYS = "bandwidth", "rotation_offset_km"


class Config(_Table):
    """A whole run: the root of the TOML file."""

    seed: int = Field(1, ge=0, lt=1 << 63)
    """Seed of all random numbers."""
    link: Link = Link()
    """The table ``[link]``."""
    baseline: Baseline = Baseline()
    """The table ``[baseline]``."""
    learned: Learned = Learned()
    """The table ``[learned]``."""
    datapath: Datapath = Datapath()
    """The table ``[datapath]``."""
    training: Training = Training()
    """The table ``[training]``."""
    evaluation: Evaluation = Evaluation()
    """The table ``[evaluation]``."""
    hardware: Hardware = Hardware()
    """The table ``[hardware]``."""
    explore: Explore = Explore()
    """The table ``[explore]``."""
    sweep: dict[str, SweepValues] = {}
    """Values that ``dbp ber`` goes through, a list for each key: ``design``, ``launch_power_dbm``,
    or a key of ``[link]`` or ``[link.impairments]``."""

    @field_validator("sweep", mode="before")
    @classmethod
    def _tuples(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}

    @model_validator(mode="after")
    def _follow_link(self) -> Config:
        # From the edge of the flat part to that of the pulse is a band of roll_off / 2: half of it
        # counts. Within 1.5 dB of the best for roll-offs of 0.1 to 1 (docs/results/learning.md).
        rate = float(self.link.adc_rate)
        following = {"baseline": round((1 + self.link.roll_off / 2) / rate, 6)}
        if rate != 2:
            # The same band of the signal as at 2 samples per symbol.
            at_two = Learned.model_fields["bandwidth"].default
            following["learned"] = min(round(at_two * 2 / rate, 6), 1.0)
        for name, bandwidth in following.items():
            self._follow(name, "bandwidth", bandwidth)
        for name in ("baseline", "learned"):
            table: Filters = getattr(self, name)
            if table.rotation_rate != 1:
                places = default_places_km(table.rotation_rate, self.link)
                self._follow(name, "rotation_offset_km", places)
        return self

    def _follow(self, name: str, key: str, value: object) -> None:
        """Give a key of a table its value, unless it was given one."""
        table: Filters = getattr(self, name)
        if key not in table.model_fields_set:
            table = table.model_copy(update={key: value})
            # Still not given: another link may follow.
            table.__pydantic_fields_set__.discard(key)
            self.__dict__[name] = table

    def given(self) -> dict[str, Any]:
        """The content of a file for this configuration, less what follows from other values."""
        content = self.model_dump()
        for name in ("baseline", "learned"):
            for key in FOLLOWING_KEYS:
                if key not in getattr(self, name).model_fields_set:
                    del content[name][key]
        return content

    @property
    def hash(self) -> str:
        """SHA-256 of all values, defaults included, as 64 hexadecimal digits.

        Keys that were added later count only where they are not at their defaults, as does the
        table ``[explore]``.
        """
        content = self.model_dump(mode="json")
        if self.explore == Explore():
            del content["explore"]
        for table, model, keys in (
            (content["link"], Link, LATER_LINK_KEYS),
            (content["link"]["impairments"], Impairments, LATER_IMPAIRMENTS_KEYS),
            (content["baseline"], Baseline, LATER_FILTERS_KEYS),
            (content["learned"], Learned, LATER_FILTERS_KEYS),
            (content["training"], Training, LATER_TRAINING_KEYS),
        ):
            for key in keys:
                if table[key] == model.model_fields[key].default:
                    del table[key]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_toml(self) -> str:
        """All values, defaults included, as the text of a configuration file."""
        from dbp.config import _toml

        return _toml.to_toml(self)
