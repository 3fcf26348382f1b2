"""Configuration of a run: a TOML file or a shipped preset, checked before anything starts.

Every table of the file is one frozen model below; a key that is missing takes the value of the
paper's experiment, a key that is unknown is refused. "The paper" is Fougstedt et al., "ASIC
Implementation of Time-Domain Digital Backpropagation with Deep-Learned Chromatic Dispersion
Filters", ECOC 2018.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from dbp.errors import InputError, shown
from dbp.support.files import is_file

Kit = Literal["nangate45", "asap7", "sky130hd", "ihp-sg13g2", "predictive28"]
Modulation = Literal["qpsk", "16qam", "64qam", "gaussian"]
LaunchPowers = Annotated[tuple[Annotated[float, Field(ge=-30, le=20)], ...], Field(min_length=1)]

# Beyond it, single precision holds neither the fading field nor the amplifier's gain.
MAX_SPAN_LOSS_DB = 100.0


class _Table(BaseModel):
    # A value of another type is refused, not converted: "16" is no number of taps.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class Impairments(_Table):
    """What a real transmission adds to the ideal link; everything off by default.

    Lasers: Lorentzian linewidths and a constant offset of the receiver's laser. Converter:
    ``adc_bits`` (0: ideal) with its full scale at ``adc_full_scale_rms`` times the rms of a
    quadrature. Hybrid: ``iq_gain_db`` and ``iq_phase_deg`` by which Q is wrong against I. Fibre:
    ``wdm_neighbors`` channels on each side, ``wdm_spacing_ghz`` apart, launched at the same power;
    ``dispersion_error_percent`` more dispersion than the receiver takes it to have; with
    ``dual_polarization`` the launch power is that of both polarisations.
    """

    transmitter_linewidth_khz: float = Field(0.0, ge=0, le=10_000)
    receiver_linewidth_khz: float = Field(0.0, ge=0, le=10_000)
    frequency_offset_mhz: float = Field(0.0, ge=-5000, le=5000)
    adc_bits: int = Field(0, ge=0, le=16)
    adc_full_scale_rms: float = Field(4.0, ge=0.5, le=20)
    iq_gain_db: float = Field(0.0, ge=-6, le=6)
    iq_phase_deg: float = Field(0.0, ge=-30, le=30)
    wdm_neighbors: int = Field(0, ge=0, le=10)
    wdm_spacing_ghz: float = Field(25.0, gt=0, le=1000)
    dispersion_error_percent: float = Field(0.0, ge=-10, le=10)
    dual_polarization: bool = False

    @property
    def polarizations(self) -> int:
        return 2 if self.dual_polarization else 1


class Link(_Table):
    """The fibre link, and how it is simulated; single channel and polarisation by default.

    Equal spans of fibre, each followed by an amplifier that restores the launch power and adds its
    own noise. Simulated circularly in blocks of ``block_symbols`` with ``samples_per_symbol``
    samples and ``steps_per_span`` split steps of equal nonlinear phase ("logarithmic" steps). Up to
    +2 dBm on the paper's link, effective SNRs of the default 6 samples and 16 steps are within
    0.03 dB of those of 16 samples and 100 steps (``benchmarks/link_convergence.py``).
    Blocks should be some times longer than the memory of the link, 192 symbols for the paper's;
    short ones are simulated faster.
    """

    spans: int = Field(32, ge=1, le=1000)
    span_km: float = Field(100.0, gt=0, le=1000)
    attenuation_db_per_km: float = Field(0.2, ge=0, le=10)
    dispersion_ps_per_nm_km: float = Field(17.0, ge=-200, le=200)
    nonlinearity_per_w_km: float = Field(1.3, ge=0, le=100)
    noise_figure_db: float = Field(5.0, ge=-100, le=20)
    wavelength_nm: float = Field(1550.0, ge=1000, le=2000)
    symbol_rate_gbd: float = Field(20.0, gt=0, le=1000)
    modulation: Modulation = "16qam"
    roll_off: float = Field(0.1, gt=0, le=1)
    samples_per_symbol: int = Field(6, ge=6, le=64)
    steps_per_span: int = Field(16, ge=1, le=10000)
    block_symbols: int = Field(1024, ge=64, le=1 << 20)
    precision: Literal["complex64", "complex128"] = "complex64"
    impairments: Impairments = Impairments()

    @field_validator("samples_per_symbol", "block_symbols")
    @classmethod
    def _even(cls, value: int) -> int:
        # The receiver decimates to 2 samples per symbol, and spectra are cut in halves.
        if value % 2:
            raise ValueError("must be even")
        return value


class Filters(_Table):
    """How one design's filters come about: their length, their formats and their start.

    The least-squares filters with constrained out-of-band gain (LS-CO) minimise the error over the
    fraction ``bandwidth`` of the sampling band and keep the mean power gain outside it, that of
    \\|H\\|^2, at ``out_of_band_gain``. Rotations sit ``rotation_offset_km`` after an amplifier.
    """

    taps: int = Field(ge=1, le=255)
    coefficient_bits: int = Field(ge=2, le=16)
    signal_bits: int = Field(ge=2, le=16)
    rotation_offset_km: float = Field(0.0, ge=0)
    bandwidth: float = Field(gt=0, le=1)
    out_of_band_gain: float = Field(ge=1e-3, le=10)
    kerr_scale: float = Field(1.0, ge=0, le=2)

    @field_validator("taps")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd: the filters are symmetric about a centre tap")
        return value


class Baseline(Filters):
    """The design to beat: LS-CO filters, not learned. The paper's has 25 taps."""

    taps: int = Field(25, ge=1, le=255)
    coefficient_bits: int = Field(9, ge=2, le=16)
    signal_bits: int = Field(9, ge=2, le=16)
    bandwidth: float = Field(0.525, gt=0, le=1)
    out_of_band_gain: float = Field(0.3, ge=1e-3, le=10)


class Learned(Filters):
    """The learned design; learning starts from its LS-CO filters, designed jointly.

    Every rotation turns by the power around a sample, weighted by ``kerr_taps`` constants.
    """

    taps: int = Field(15, ge=1, le=255)
    coefficient_bits: int = Field(6, ge=2, le=16)
    signal_bits: int = Field(9, ge=2, le=16)
    rotation_offset_km: float = Field(14.8, ge=0)
    bandwidth: float = Field(0.55, gt=0, le=1)
    out_of_band_gain: float = Field(0.8, ge=1e-3, le=10)
    kerr_taps: int = Field(1, ge=1, le=127)

    @field_validator("kerr_taps")
    @classmethod
    def _odd_kerr(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd: the filters over the power are symmetric")
        return value


class Datapath(_Table):
    """Formats that both designs share; ``docs/datapath.md`` says where each stands.

    ``rotation_guard_bits`` more than the signal's leave every filter that a rotation follows.
    ``center_power`` takes the mean of \\|x\\|^2 out of the phase. K does not saturate up to
    ``max_launch_power_dbm``; each 3 dB less are one bit more for it.
    """

    adc_rms_permille: int = Field(250, ge=1, le=1000)
    branch_bits: int = Field(5, ge=2, le=16)
    kerr_bits: int = Field(10, ge=2, le=16)
    phase_bits: int = Field(8, ge=2, le=16)
    phase_fraction_bits: int = Field(9, ge=0, le=20)
    taylor_order: int = Field(1, ge=1, le=2)
    rotation_guard_bits: int = Field(0, ge=0, le=4)
    center_power: bool = False
    max_launch_power_dbm: float = Field(6.0, ge=-30, le=20)


class Training(_Table):
    """Learning on circular blocks of the link: a joint start without data, then damped Gauss-Newton
    steps in floating point, on rounded signals, and on rounded taps. The curvature of each step is
    that of ``curvature_symbols`` of the data."""

    launch_power_dbm: float = Field(0.5, ge=-30, le=20)
    symbols: int = Field(131072, ge=1024, le=1 << 26)
    validation_symbols: int = Field(65536, ge=1024, le=1 << 26)
    block_symbols: int = Field(512, ge=64, le=1 << 16, multiple_of=4)
    curvature_symbols: int = Field(32768, ge=1024, le=1 << 26)
    start_iterations: int = Field(3000, ge=0, le=10_000_000)
    float_iterations: int = Field(5, ge=0, le=10_000)
    signal_iterations: int = Field(5, ge=0, le=10_000)
    tap_iterations: int = Field(8, ge=1, le=10_000)


class Evaluation(_Table):
    """Where and how long the bit error ratio is counted."""

    launch_power_dbm: LaunchPowers = (-1.0, -0.5, 0.0, 0.5, 1.0)
    min_errors: int = Field(400, ge=1, lt=1 << 63)
    max_bits: int = Field(1_500_000, ge=1, lt=1 << 63)

    @field_validator("launch_power_dbm", mode="before")
    @classmethod
    def _tuple(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value


# Keys of a sweep that are none of the link.
SWEPT_BESIDE_LINK = ("design", "launch_power_dbm")
SweepValues = Annotated[tuple[bool | int | float | str, ...], Field(min_length=1)]


class Hardware(_Table):
    """What is generated, simulated and synthesised."""

    lanes: int = Field(4, ge=1, le=1024)
    synthesis_lanes: int = Field(2, ge=1, le=1024)
    clock_mhz: float = Field(416.7, gt=0, le=10_000)
    pdk: Kit = "nangate45"
    # Enough for 1,000 clocks of 30 lanes.
    stimulus_symbols: int = Field(16384, ge=64, le=1 << 20)


class Config(_Table):
    """A whole run: the root of the TOML file."""

    seed: int = Field(1, ge=0, lt=1 << 63)
    link: Link = Link()
    baseline: Baseline = Baseline()
    learned: Learned = Learned()
    datapath: Datapath = Datapath()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    hardware: Hardware = Hardware()
    # What `dbp ber` goes through: "design", "launch_power_dbm", keys of link and its impairments.
    sweep: dict[str, SweepValues] = {}

    @field_validator("sweep", mode="before")
    @classmethod
    def _tuples(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}

    @property
    def hash(self) -> str:
        """SHA-256 of all values, defaults included, as 64 hexadecimal digits."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_toml(self) -> str:
        """All values, defaults included, as the text of a configuration file."""
        return "\n".join(_toml_lines("", self.model_dump(mode="json"))) + "\n"


def _toml_lines(name: str, table: Mapping[str, Any]) -> Iterator[str]:
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    yield from (f"{k} = {_toml_value(v)}" for k, v in table.items() if k not in inner)
    for key, value in inner.items():
        path = f"{name}.{key}" if name else key
        yield from ("", f"[{path}]", *_toml_lines(path, value))


def _toml_value(value: Any) -> str:
    # Numbers, texts, truth values and flat lists read alike in JSON and TOML, but for this one
    # character and escaped pairs of surrogates.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def presets() -> dict[str, str]:
    """Names and TOML texts of the shipped presets."""
    folder = resources.files("dbp.config") / "presets"
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return {f.name.removesuffix(".toml"): f.read_text() for f in files if f.name.endswith(".toml")}


def load(name_or_path: str) -> Config:
    """Read a TOML file, or a shipped preset by its name.

    Raises `InputError` that names every wrong key, its value and what is allowed.
    """
    shipped = presets()
    path = Path(name_or_path)
    if name_or_path in shipped:
        text = shipped[name_or_path]
    elif is_file(path):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{name_or_path}: cannot be read: {error}") from None
    else:
        raise InputError(
            f"configuration {shown(name_or_path)}: neither a file nor a preset; "
            f"the presets are {', '.join(shipped)}"
        )
    try:
        return parse(text)
    except InputError as error:
        raise InputError(f"{name_or_path}: {error}") from None


def parse(text: str) -> Config:
    """Check the text of a TOML configuration; `InputError` as in `load`."""
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not TOML: {error}") from None
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        raise InputError(_explain(error)) from None
    _check_together(config)
    return config


def _explain(error: ValidationError, table: str = "") -> str:
    """What is wrong with which keys, the first few of them."""
    # A list whose values are all refused counts as empty: that it is too short is no news.
    problems = [p for p in error.errors() if not (p["type"] == "too_short" and p["input"])]
    found = list(dict.fromkeys(table + _explain_one(problem) for problem in problems))
    more = [f"and {len(found) - 8} more"] if len(found) > 8 else []
    return "; ".join(found[:8] + more)


def _explain_one(problem) -> str:
    if problem["loc"][0] == "sweep" and len(problem["loc"]) > 2:  # of any type that is allowed
        _, key, number, *_ = problem["loc"]
        return (
            f"sweep.{key}[{number}] = {shown(problem['input'])}: must be a finite number, true, "
            "false or a text"
        )
    key = ".".join(str(part)[:100] for part in problem["loc"][:8])
    if problem["type"] == "extra_forbidden":
        table: type[BaseModel] = Config
        for part in problem["loc"][:-1]:
            table = table.model_fields[part].annotation
        return f"{key}: unknown key; the keys here are {', '.join(table.model_fields)}"
    return f"{key} = {shown(problem['input'])}: {problem['msg'].removeprefix('Value error, ')}"


def link_with(link: Link, changes: Mapping[str, Any]) -> Link:
    """The link with other values of some keys, its own or of its impairments; checked like a file.

    Raises `InputError` as `load` does.
    """
    content = link.model_dump()
    impairments = content.pop("impairments")
    for key, value in changes.items():
        if key in impairments:
            impairments[key] = value
        elif key in content:
            content[key] = value
        else:
            known = ", ".join((*content, *impairments))
            raise InputError(f"link.{key}: unknown key; the keys here are {known}")
    try:
        changed = Link.model_validate(content | {"impairments": impairments})
    except ValidationError as error:
        raise InputError(_explain(error, "link.")) from None
    _check_link(changed)
    return changed


def require_one_polarization(link: Link, purpose: str) -> None:
    """Refuse a link of two polarisations for what knows only one, with `InputError`."""
    if link.impairments.dual_polarization:
        raise InputError(
            f"link.impairments.dual_polarization = true: must be false for {purpose}: both "
            "polarisations are received in floating point only"
        )


def with_sweep(config: Config, sweep: Mapping[str, Any]) -> Config:
    """The configuration with another sweep; checked like a file, `InputError` as in `load`."""
    content = config.model_dump() | {"sweep": dict(sweep)}
    try:
        changed = Config.model_validate(content)
    except ValidationError as error:
        raise InputError(_explain(error)) from None
    _check_together(changed)
    return changed


def _check_sweep(config: Config) -> None:
    for key, values in config.sweep.items():
        if key == "design":
            if not all(isinstance(value, str) for value in values):
                raise InputError(f"sweep.design = {shown(list(values))}: must be names")
        elif key == "launch_power_dbm":
            try:
                Evaluation(launch_power_dbm=values)
            except ValidationError:
                raise InputError(
                    f"sweep.launch_power_dbm = {shown(list(values))}: must be numbers in -30..20"
                ) from None
        else:
            for value in values:
                try:
                    link_with(config.link, {key: value})
                except InputError as error:
                    raise InputError(f"sweep: {error}") from None


def _check_link(link: Link) -> None:
    loss_db = link.span_km * link.attenuation_db_per_km
    if loss_db > MAX_SPAN_LOSS_DB:
        raise InputError(
            f"link.span_km * link.attenuation_db_per_km = {loss_db:g} dB of loss a span: must be "
            f"at most {MAX_SPAN_LOSS_DB:g} dB"
        )
    _check_bands(link)


def _check_bands(link: Link) -> None:
    """What of the spectrum must fit where: the receiver's band, and that of the simulation."""
    impairments, rate_ghz = link.impairments, link.symbol_rate_gbd
    signal_ghz = (1 + link.roll_off) * rate_ghz
    spare_mhz = 1e3 * (rate_ghz - signal_ghz / 2)
    if abs(impairments.frequency_offset_mhz) > spare_mhz:
        raise InputError(
            f"link.impairments.frequency_offset_mhz = {impairments.frequency_offset_mhz:g}: must "
            f"be at most {spare_mhz:g} MHz, or the signal leaves 2 samples per symbol"
        )
    if not impairments.wdm_neighbors:
        return
    spacing_ghz = impairments.wdm_spacing_ghz
    if spacing_ghz < signal_ghz:
        raise InputError(
            f"link.impairments.wdm_spacing_ghz = {spacing_ghz:g}: must be at least a channel's "
            f"width, (1 + roll_off) symbol_rate_gbd = {signal_ghz:g} GHz"
        )
    band_ghz = 2 * impairments.wdm_neighbors * spacing_ghz + signal_ghz
    simulated_ghz = link.samples_per_symbol * rate_ghz
    if band_ghz > simulated_ghz:
        raise InputError(
            f"link.impairments: {2 * impairments.wdm_neighbors + 1} channels take "
            f"{band_ghz:g} GHz: must be at most samples_per_symbol * symbol_rate_gbd = "
            f"{simulated_ghz:g} GHz"
        )


def _check_together(config: Config) -> None:
    """Limits that tie several keys together."""
    _check_link(config.link)
    _check_sweep(config)
    for name in ("baseline", "learned"):
        filters: Filters = getattr(config, name)
        if filters.rotation_offset_km > config.link.span_km:
            raise InputError(
                f"{name}.rotation_offset_km = {filters.rotation_offset_km}: must be at most "
                f"link.span_km = {config.link.span_km}"
            )
        if filters.signal_bits + config.datapath.rotation_guard_bits > 16:
            raise InputError(
                f"datapath.rotation_guard_bits = {config.datapath.rotation_guard_bits}: with "
                f"{name}.signal_bits = {filters.signal_bits} at most 16"
            )
    training = config.training
    if training.curvature_symbols > training.symbols:
        raise InputError(
            f"training.curvature_symbols = {training.curvature_symbols}: must be at most "
            f"training.symbols = {training.symbols}"
        )
    longest = max(config.baseline.taps, config.learned.taps)
    if training.block_symbols < longest:
        raise InputError(
            f"training.block_symbols = {training.block_symbols}: must be at least the longest "
            f"filter, {longest} taps"
        )
