"""Configuration of a run: a TOML file or a shipped preset, checked before anything starts."""

from dbp.config._checks import (
    MAX_SPAN_LOSS_DB,
    at_rate,
    checked,
    flat_link,
    link_with,
    require_one_polarization,
    with_sweep,
)
from dbp.config._models import (
    SWEPT_BESIDE_LINK,
    Baseline,
    Config,
    Datapath,
    Evaluation,
    Filters,
    Hardware,
    Impairments,
    Kit,
    Learned,
    Link,
    Modulation,
    Training,
)
from dbp.config._rotations import Period, period
from dbp.config._toml import load, parse, presets

__all__ = [
    "MAX_SPAN_LOSS_DB",
    "SWEPT_BESIDE_LINK",
    "Baseline",
    "Config",
    "Datapath",
    "Evaluation",
    "Filters",
    "Hardware",
    "Impairments",
    "Kit",
    "Learned",
    "Link",
    "Modulation",
    "Period",
    "Training",
    "at_rate",
    "checked",
    "flat_link",
    "link_with",
    "load",
    "parse",
    "period",
    "presets",
    "require_one_polarization",
    "with_sweep",
]
