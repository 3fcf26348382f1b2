"""`dbp.learn`: from a link to a design."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dbp import config
from dbp.api import _checks
from dbp.api.design import Design
from dbp.config import Config
from dbp.datapath.design import Design as BareDesign
from dbp.errors import InputError, shown

if TYPE_CHECKING:
    from dbp.learning.float_filters import FloatFilters
    from dbp.learning.training import Row

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
    checkpoint: str | Path | None = None,
    device: str = "cpu",
    **keys: Any,
) -> LearnedDesign:
    """Learn and quantize the filters of a receiver for ``link``, and return its design.

    ``settings``: where values come from that are not named here (default: the paper's
    configuration). ``keys``: keys of ``[learned]``, ``[datapath]`` and ``[training]``, such as
    ``taps=13, coefficient_bits=6, symbols=32_768`` (`dbp.config` lists them). ``checkpoint``: a
    file from which a killed call goes on. ``device``: where torch computes. The same arguments
    give the same design on the same machine.

    Method: Fougstedt et al., ECOC 2018, with damped Gauss-Newton steps
    (`dbp.learning.training`). Raises `InputError` for what does not fit.
    """
    from dbp.learning import training

    base = config.load("paper") if settings is None else settings
    if not isinstance(base, Config):
        raise InputError(f"settings = {shown(settings)}: must be a dbp.Config")
    made_for = base.link if link is None else _checks.link(link)
    start = base.seed if seed is None else _checks.integer("seed", seed, 0)
    settings = _settings(base, made_for, start, keys)
    path = None if checkpoint is None else Path(checkpoint)
    result = training.train(settings, path, training.find_device(device))
    return LearnedDesign(
        **{field.name: getattr(result.design, field.name) for field in fields(BareDesign)},
        float_filters=result.filters,
        history=result.history,
        launch_power_dbm=result.launch_power_dbm,
        snr_db_float=result.snr_db_float,
        snr_db_quantized=result.snr_db_quantized,
    )


def _settings(base: Config, link: config.Link, seed: int, keys: Mapping[str, Any]) -> Config:
    """Return the configuration with this link, this seed and other values of some keys; checked."""
    content = base.given() | {"link": link.model_dump(), "seed": seed}
    for key, value in keys.items():
        tables = [table for table in TABLES if key in content[table]]
        if not tables:
            known = ", ".join(sorted({key for table in TABLES for key in content[table]}))
            raise InputError(f"{key}: unknown key; the keys here are {known}")
        content[tables[0]][key] = value.item() if isinstance(value, np.generic) else value
    return config.checked(content)
