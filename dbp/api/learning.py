"""`dbp.learn`, `dbp.start_filters`, `dbp.quantize`: from a link to a design."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dbp import config
from dbp.api import _checks
from dbp.api.design import Design
from dbp.config import Config
from dbp.config.limits import USUALLY_HELD_OUT
from dbp.datapath.design import Design as BareDesign
from dbp.errors import InputError, shown
from dbp.support.text import did_you_mean

if TYPE_CHECKING:
    from dbp.evaluation.recorded_examples import Prepared
    from dbp.learning.float_filters import FloatFilters
    from dbp.learning.training import Result, Row
    from dbp.waveforms.recording import Recording

# The tables of a configuration whose keys `learn` takes as keywords.
TABLES = ("learned", "datapath", "training")


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class LearnedDesign(Design):
    """A `dbp.Design` that remembers how it was learned.

    ``float_filters``: the filters in floating point that were rounded to it. ``history``: what each
    step of learning led to. ``snr_db_float``, ``snr_db_quantized``: effective SNR on unseen data at
    ``launch_power_dbm``, of the filters and of the design. None of these is part of the design's
    hash, of its file or of what makes two designs equal.
    """

    float_filters: FloatFilters
    history: tuple[Row, ...]
    launch_power_dbm: float
    snr_db_float: float
    snr_db_quantized: float


def learn(
    link: config.Link | None = None,
    *,
    settings: Config | None = None,
    seed: int | None = None,
    filters: FloatFilters | None = None,
    checkpoint: str | Path | None = None,
    device: str = "cpu",
    memory_gib: float | None = None,
    recording: Recording | None = None,
    held_out: float = USUALLY_HELD_OUT,
    **keys: Any,
) -> LearnedDesign:
    """Learn and quantize the filters of a receiver for ``link``, and return its design.

    ``settings``: where values come from that are not named here (default: the paper's
    configuration). ``keys``: keys of ``[learned]``, ``[datapath]`` and ``[training]``, such as
    ``taps=13, coefficient_bits=6, symbols=32_768`` (`dbp.config` lists them). ``filters``: quantize
    these, such as ``float_filters`` of an earlier call, in place of ones learned in floating
    point. ``checkpoint``: a file from which a killed call goes on. ``device``: where torch
    computes. ``memory_gib``: the most that derivatives keep there, another device than the CPU;
    with less they take longer. The same arguments give the same design on the same machine.
    ``recording``: what `dbp.load_waveform` returned, with its symbols; learn on it in place of
    simulated data (`dbp.evaluation.recorded_state` says what is done to it first). The last share
    ``held_out`` of it validates and is not learned on: ``recording.parts(held_out)[1]``.

    Method: Fougstedt et al., ECOC 2018, with damped Gauss-Newton steps
    (`dbp.learning.training`). Raises `InputError` for what does not fit.
    """
    from dbp.learning import training

    if filters is not None:
        keys = {**_keys_of(_float_filters(filters), link, settings), **keys}
    settings = _settings(settings, link, seed, keys)
    path = None if checkpoint is None else Path(checkpoint)
    on = training.find_device(device)
    most = memory(memory_gib, on.type)
    examples = None
    if recording is not None:
        examples = _prepared(recording, settings, held_out).examples
    return of_result(
        training.train(settings, path, on, filters, memory_gib=most, examples=examples)
    )


def _prepared(recording: Any, settings: Config, held_out: float) -> Prepared:
    from dbp.evaluation import recorded_examples
    from dbp.waveforms.recording import Recording

    if not isinstance(recording, Recording):
        raise InputError(f"recording = {shown(recording)}: must be what dbp.load_waveform returned")
    return recorded_examples.prepare(recording, settings, held_out)


def of_result(result: Result) -> LearnedDesign:
    """Return the design that learning ended with."""
    return LearnedDesign(
        **{field.name: getattr(result.design, field.name) for field in fields(BareDesign)},
        float_filters=result.filters,
        history=result.history,
        launch_power_dbm=result.launch_power_dbm,
        snr_db_float=result.snr_db_float,
        snr_db_quantized=result.snr_db_quantized,
    )


def start_filters(
    link: config.Link | None = None,
    *,
    joint: bool = True,
    settings: Config | None = None,
    seed: int | None = None,
    **keys: Any,
) -> FloatFilters:
    """Return the filters, in floating point, that learning starts from; they need no data.

    ``joint``: all filters are designed together, so that each compensates the errors of the others
    (`dbp.learning.joint_start`); else each is the least-squares filter of its piece of fibre
    (`dbp.learning.least_squares`). ``link``, ``settings``, ``seed``, ``keys``: as for `dbp.learn`,
    which takes of the two the one that does better on its data. Raises `InputError` for what does
    not fit.
    """
    from dbp.learning import training

    return training.start_filters(_settings(settings, link, seed, keys), joint=joint)


def quantize(filters: FloatFilters, *, settings: Config | None = None, **keys: Any) -> Design:
    """Round filters to a design, each tap and each Kerr constant by itself; needs no data.

    ``filters``: such as ``float_filters`` of a `LearnedDesign`. ``keys``: the formats, keys of
    ``[learned]`` and ``[datapath]``, such as ``coefficient_bits=6, signal_bits=9``; ``settings``:
    where values come from that are not named (default: the paper's configuration); where its link
    has two polarisations, so has the design. `dbp.learn`
    rounds all taps together, which costs far less SNR. Raises `InputError` for what does not fit.
    """
    from dbp.learning.export import export

    settings = _settings(settings, None, None, keys)
    polarizations = settings.link.impairments.polarizations
    return Design.of(
        export(_float_filters(filters), settings.learned, settings.datapath, polarizations)
    )


def _keys_of(
    filters: FloatFilters, link: config.Link | None, settings: Config | None
) -> dict[str, Any]:
    """Return the keys of ``[learned]`` that say how many filters there are and how long."""
    spans = (link or (settings or Config()).link).spans
    rate = Fraction(max(len(filters.taps) - 1, 1), spans)
    if rate.numerator > 1 and rate.denominator > 1:
        rate = Fraction(1)  # filters of another link, which learning refuses
    # From the end on filters go with the light; the last one has the length of the first gap's end.
    *_, last = lengths = [taps.size for taps in filters.taps[::-1]]
    inner = lengths[1 : 1 + rate.numerator]
    taps = inner[0] if len(inner) == 1 else inner
    return {
        "rotations_per_span": str(rate),
        "taps": taps if inner else last,
        "kerr_taps": 2 * filters.kerr_rad_per_mw.shape[1] - 1,
    }


def _float_filters(filters: Any) -> FloatFilters:
    from dbp.learning.float_filters import FloatFilters

    if not isinstance(filters, FloatFilters):
        raise InputError(f"filters = {shown(filters)}: must be dbp.FloatFilters")
    return filters


def memory(memory_gib: Any, device: str) -> float | None:
    """The memory of derivatives on a type of device, which must not be the CPU."""
    if memory_gib is None:
        return None
    if isinstance(memory_gib, bool) or not isinstance(memory_gib, int | float):
        raise InputError(f"memory_gib = {shown(memory_gib)}: must be a number of GiB")
    if not 0 < memory_gib < math.inf:
        raise InputError(f"memory_gib = {shown(memory_gib)}: must be greater than 0 and finite")
    if device == "cpu":
        raise InputError(
            f"memory_gib = {shown(memory_gib)}: is for another device than the CPU, whose "
            "derivatives keep some 0.01 GiB a core; leave it out"
        )
    return float(memory_gib)


def _settings(
    settings: Config | None, link: config.Link | None, seed: int | None, keys: Mapping[str, Any]
) -> Config:
    """Return the configuration with this link, this seed and other values of some keys; checked."""
    base = config.load("paper") if settings is None else settings
    if not isinstance(base, Config):
        raise InputError(f"settings = {shown(settings)}: must be a dbp.Config")
    made_for = base.link if link is None else _checks.link(link)
    start = base.seed if seed is None else _checks.integer("seed", seed, 0)
    content = base.given() | {"link": made_for.model_dump(), "seed": start}
    known_keys = {table: type(getattr(base, table)).model_fields for table in TABLES}
    for key, value in keys.items():
        tables = [table for table in TABLES if key in known_keys[table]]
        if not tables:
            known = sorted({key for table in TABLES for key in known_keys[table]})
            hint = did_you_mean(key, known)
            raise InputError(f"{key}: unknown key; the keys here are {', '.join(known)}{hint}")
        content[tables[0]][key] = value.item() if isinstance(value, np.generic) else value
    return config.checked(content)
