"""Checks that tie several keys of a configuration together, and the messages where they fail."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dbp.config import axes
from dbp.config._models import MIXING_KEYS, Config, Evaluation, Explore, Filters, Link
from dbp.config._rotations import as_tuple, period
from dbp.config.limits import LAUNCH_POWERS_DBM, MAX_ROTATIONS
from dbp.datapath.limits import MAX_BITS, MAX_TAPS
from dbp.errors import InputError, shown
from dbp.support.text import did_you_mean

# Beyond it, single precision holds neither the fading field nor the amplifier's gain.
MAX_SPAN_LOSS_DB = 100.0
# The most wrong keys that one message names.
_MOST_PROBLEMS = 8


def checked(content: Mapping[str, Any]) -> Config:
    """The configuration with these values, all checked.

    Raises `InputError` that names every wrong key, its value and what is allowed.
    """
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        raise InputError(_explain(error)) from None
    _check_together(config)
    return config


def with_sweep(config: Config, sweep: Mapping[str, Any]) -> Config:
    """The configuration with another sweep; checked like a file, `InputError` as in `load`."""
    return checked(config.given() | {"sweep": dict(sweep)})


def flat_link(link: Link) -> dict[str, Any]:
    """The values of a link by key, those of its impairments beside its own, as for a sweep."""
    content = link.model_dump()
    impairments = content.pop("impairments")
    return {**content, **impairments}


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
            raise InputError(_unknown(f"link.{key}", (*content, *impairments)))
    try:
        changed = Link.model_validate(content | {"impairments": impairments})
    except ValidationError as error:
        raise InputError(_explain(error, "link.")) from None
    _check_link(changed)
    return changed


def require_one_polarization(link: Link, purpose: str) -> None:
    """Refuse a link of two polarisations for what knows only one, with `InputError`."""
    if link.impairments.dual_polarisation:
        raise InputError(
            f"link.impairments.dual_polarisation = true: must be false for {purpose}, which knows "
            "one polarisation only"
        )


def _explain(error: ValidationError, table: str = "") -> str:
    """Name the first wrong keys of a ``table``, their values and what is allowed."""
    # A list whose values are all refused counts as empty: that it is too short is no news.
    problems = [p for p in error.errors() if not (p["type"] == "too_short" and p["input"])]
    # A value of a union has one problem for each of its types: the same line several times.
    lines = list(dict.fromkeys(table + _explain_one(problem) for problem in problems))
    more = len(lines) - _MOST_PROBLEMS
    return "; ".join(lines[:_MOST_PROBLEMS] + ([f"and {more} more"] if more > 0 else []))


def _unknown(key: str, known: Sequence[str]) -> str:
    """Refuse a key, the last part of a path, and name those that are known there."""
    hint = did_you_mean(key.rpartition(".")[2], known)
    return f"{key}: unknown key; the keys here are {', '.join(known)}{hint}"


def _explain_one(problem: ErrorDetails) -> str:
    if problem["loc"][0] == "sweep" and len(problem["loc"]) > 2:
        _, key, number, *_ = problem["loc"]
        return (
            f"sweep.{key}[{number}] = {shown(problem['input'])}: must be a finite number, true, "
            "false or a text"
        )
    key = ".".join(str(part)[:100] for part in problem["loc"][:8])
    if problem["type"] == "extra_forbidden":
        keys = Config.model_fields
        for part in problem["loc"][:-1]:
            table = keys[str(part)].annotation
            assert isinstance(table, type) and issubclass(table, BaseModel)
            keys = table.model_fields
        return _unknown(key, tuple(keys))
    hint = ""
    if problem["type"] == "literal_error":
        expected = re.findall("'([^']*)'", problem["ctx"]["expected"])
        hint = did_you_mean(shown(problem["input"]), expected)
    said = problem["msg"].removeprefix("Value error, ")
    return f"{key} = {shown(problem['input'])}: {said}{hint}"


def _check_sweep(config: Config) -> None:
    """Check each value of a sweep as if it stood in its own table."""
    for key, values in config.sweep.items():
        if key == "design":
            if not all(isinstance(value, str) for value in values):
                raise InputError(f"sweep.design = {shown(list(values))}: must be names")
        elif key == "launch_power_dbm":
            try:
                Evaluation.model_validate({"launch_power_dbm": values})
            except ValidationError:
                raise InputError(
                    f"sweep.launch_power_dbm = {shown(list(values))}: must be numbers in "
                    f"{LAUNCH_POWERS_DBM[0]:g}..{LAUNCH_POWERS_DBM[1]:g}"
                ) from None
        else:
            for value in values:
                try:
                    link_with(config.link, {key: value})
                except InputError as error:
                    raise InputError(f"sweep: {error}") from None


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """The configuration with other values of some keys, such as ``learned.taps``; checked."""
    return checked(_replaced(config, values))


def _replaced(config: Config, values: Mapping[str, Any]) -> dict[str, Any]:
    content = config.given()
    for path, value in values.items():
        table, _, key = path.partition(".")
        content[table] = content[table] | {key: value}
    return content


def _check_explore(config: Config) -> None:
    """Check each value of each axis by itself: what it may stand beside shows in the search."""
    if not config.explore.axes:
        return
    training, cheap = config.training, config.explore.cheap
    if cheap.curvature_symbols > cheap.symbols:
        raise InputError(
            f"explore.cheap.curvature_symbols = {cheap.curvature_symbols}: must be at most "
            f"explore.cheap.symbols = {cheap.symbols}"
        )
    if min(cheap.symbols, cheap.validation_symbols) < training.block_symbols:
        raise InputError(
            f"explore.cheap: symbols and validation_symbols must be at least "
            f"training.block_symbols = {training.block_symbols}"
        )
    plain = config.model_copy(update={"explore": Explore()})
    for axis in axes.parse(config.explore.axes):
        for changes in axis.values:
            try:
                Config.model_validate(_replaced(plain, changes))
            except ValidationError as error:
                raise InputError(f"explore.axes: {_explain(error)}") from None


def _check_link(link: Link) -> None:
    loss_db = link.span_km * link.attenuation_db_per_km
    if loss_db > MAX_SPAN_LOSS_DB:
        raise InputError(
            f"link.span_km * link.attenuation_db_per_km = {loss_db:g} dB of loss a span: must be "
            f"at most {MAX_SPAN_LOSS_DB:g} dB"
        )
    _check_rate(link)
    _check_bands(link)
    _check_polarizations(link)


def for_design(link: Link, samples_per_symbol: Fraction, polarizations: int = 1) -> Link:
    """The link whose converter takes what a design does; checked like a file.

    Blocks that would not have whole samples get a few more symbols. With 2 ``polarizations`` both
    are sent, whatever ``link`` says; with 1 as many as it says.
    """
    changes: dict[str, object] = {"adc_samples_per_symbol": str(samples_per_symbol)}
    if polarizations == 2:
        changes["dual_polarisation"] = True
    if link.block_symbols % samples_per_symbol.denominator:
        changes["block_symbols"] = _filled(link.block_symbols, samples_per_symbol.denominator)
    return link_with(link, changes)


def _filled(symbols: int, multiple_of: int) -> int:
    """The least even multiple from ``symbols`` on whose own factor has a fast Fourier transform."""
    count = -(-symbols // (2 * multiple_of))
    while True:
        rest = count
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return 2 * multiple_of * count
        count += 1


def _check_rate(link: Link) -> None:
    """Check that the converter's samples fill blocks, and that its filter stays off the signal."""
    rate, roll_off = link.adc_rate, link.adc_filter_roll_off
    given = f"link.adc_samples_per_symbol = {link.adc_samples_per_symbol}"
    if link.block_symbols % rate.denominator:
        raise InputError(
            f"link.block_symbols = {link.block_symbols}: must be a multiple of {rate.denominator}, "
            f"so that a block has whole samples with {given}"
        )
    if rate * (1 + roll_off) > link.samples_per_symbol:
        raise InputError(
            f"{given}: must be at most link.samples_per_symbol / (1 + adc_filter_roll_off) = "
            f"{link.samples_per_symbol / (1 + roll_off):g}, or more is received than is simulated"
        )
    if rate * (1 - roll_off) < 1 + link.roll_off:
        raise InputError(
            f"{given}: must be at least (1 + roll_off) / (1 - adc_filter_roll_off) = "
            f"{(1 + link.roll_off) / (1 - roll_off) if roll_off < 1 else math.inf:g}, or the "
            "anti-alias filter takes a part of the signal"
        )


def _check_bands(link: Link) -> None:
    """Check that our signal fits the receiver's band, and all channels the simulated one."""
    impairments, rate_ghz = link.impairments, link.symbol_rate_gbd
    signal_ghz = (1 + link.roll_off) * rate_ghz
    flat_ghz = float(link.adc_rate) * (1 - link.adc_filter_roll_off) * rate_ghz
    spare_mhz = 1e3 * (flat_ghz / 2 - signal_ghz / 2)
    if abs(impairments.frequency_offset_mhz) > spare_mhz:
        raise InputError(
            f"link.impairments.frequency_offset_mhz = {impairments.frequency_offset_mhz:g}: must "
            f"be at most {spare_mhz:g} MHz, or the signal leaves {link.adc_samples_per_symbol} "
            "samples per symbol"
        )
    if not impairments.wdm_neighbours:
        return
    spacing_ghz = impairments.wdm_spacing_ghz
    if spacing_ghz < signal_ghz:
        raise InputError(
            f"link.impairments.wdm_spacing_ghz = {spacing_ghz:g}: must be at least a channel's "
            f"width, (1 + roll_off) symbol_rate_gbd = {signal_ghz:g} GHz"
        )
    band_ghz = 2 * impairments.wdm_neighbours * spacing_ghz + signal_ghz
    simulated_ghz = link.samples_per_symbol * rate_ghz
    if band_ghz > simulated_ghz:
        raise InputError(
            f"link.impairments: {2 * impairments.wdm_neighbours + 1} channels take "
            f"{band_ghz:g} GHz: must be at most samples_per_symbol * symbol_rate_gbd = "
            f"{simulated_ghz:g} GHz"
        )


def _check_polarizations(link: Link) -> None:
    """Check that what mixes two polarisations has both."""
    impairments = link.impairments
    if impairments.dual_polarisation:
        return
    for key in MIXING_KEYS:
        if value := getattr(impairments, key):
            raise InputError(
                f"link.impairments.{key} = {_written(value)}: needs dual_polarisation = true, "
                "since one polarisation has no other to mix with"
            )


def _written(value: object) -> str:
    """A value as it stands in a file."""
    return shown(list(value) if isinstance(value, tuple) else value)


def _check_rotations(name: str, filters: Filters, config: Config) -> None:
    """Check that rotations fill the link, and that lists have a value for each of a period."""
    link, rate = config.link, filters.rotation_rate
    count, spans = rate.numerator, rate.denominator
    given = f"{name}.rotations_per_span = {filters.rotations_per_span}"
    if link.spans % spans:
        raise InputError(
            f"link.spans = {link.spans}: must be a multiple of {spans} with {given}, so that the "
            "link has whole periods"
        )
    if link.spans * rate > MAX_ROTATIONS:
        raise InputError(
            f"{given}: must be at most {MAX_ROTATIONS} rotations in all, has {link.spans * rate} "
            f"with link.spans = {link.spans}"
        )
    places = as_tuple(filters.rotation_offset_km)
    for key, values in (("rotation_offset_km", places), ("taps", as_tuple(filters.taps))):
        if len(values) != count and not (key == "taps" and isinstance(filters.taps, int)):
            raise InputError(
                f"{name}.{key} = {_written(getattr(filters, key))}: must be "
                f"{'one number' if count == 1 else f'a list of {count} numbers'} with {given}"
            )
    end = f"link.span_km = {link.span_km}"
    if spans > 1:
        end = f"{spans * link.span_km:g}, the length of the {spans} spans of a period"
    if places[-1] > spans * link.span_km:
        raise InputError(
            f"{name}.rotation_offset_km = {_written(filters.rotation_offset_km)}: must be at most "
            f"{end}"
        )
    if count > 1 and places[-1] - places[0] >= spans * link.span_km:
        raise InputError(
            f"{name}.rotation_offset_km = {_written(filters.rotation_offset_km)}: the last must be "
            "less than a period behind the first, or two rotations sit at one place"
        )
    if (longest := max(period(filters, link).taps)) > MAX_TAPS:
        raise InputError(
            f"{name}.taps = {filters.taps}: {longest} of them over the longest fibre between two "
            f"rotations with {given}: must be at most {MAX_TAPS}"
        )


def _check_together(config: Config) -> None:
    """Check the limits that tie several keys together."""
    _check_link(config.link)
    _check_sweep(config)
    _check_explore(config)
    for name in ("baseline", "learned"):
        filters: Filters = getattr(config, name)
        _check_rotations(name, filters, config)
        if filters.signal_bits + config.datapath.rotation_guard_bits > MAX_BITS:
            raise InputError(
                f"datapath.rotation_guard_bits = {config.datapath.rotation_guard_bits}: with "
                f"{name}.signal_bits = {filters.signal_bits} at most {MAX_BITS}"
            )
    training = config.training
    if training.curvature_symbols > training.symbols:
        raise InputError(
            f"training.curvature_symbols = {training.curvature_symbols}: must be at most "
            f"training.symbols = {training.symbols}"
        )
    for name in ("digit_price_mdb", "half_tap_price_mdb"):
        price_mdb = getattr(training, name)
        if price_mdb and training.digit_budget:
            raise InputError(
                f"training.digit_budget = {training.digit_budget}: must be 0 where "
                f"training.{name} = {price_mdb:g} says what taps cost"
            )
    longest = max(
        n for table in (config.baseline, config.learned) for n in period(table, config.link).taps
    )
    if training.block_symbols < longest:
        raise InputError(
            f"training.block_symbols = {training.block_symbols}: must be at least the longest "
            f"filter, {longest} taps"
        )
    if training.block_symbols % config.link.adc_rate.denominator:
        raise InputError(
            f"training.block_symbols = {training.block_symbols}: must be a multiple of "
            f"{config.link.adc_rate.denominator}, so that a block has whole samples with "
            f"link.adc_samples_per_symbol = {config.link.adc_samples_per_symbol}"
        )
