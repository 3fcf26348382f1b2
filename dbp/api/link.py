"""`dbp.Link`: the fibre link as an object that transmits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dbp import config
from dbp.api import _checks
from dbp.errors import InputError, shown

if TYPE_CHECKING:
    from dbp.link.transmission import Received


MAX_SYMBOLS = 1 << 28


class Link(config.Link):
    """A fibre link, the paper's by default; keywords are the keys of ``[link]`` in a configuration.

    The paper is Fougstedt et al., ECOC 2018: 32 spans of 100 km, 20 GBd 16-QAM, one channel, one
    polarisation. `dbp.config.Link` lists the keys with units and limits. Raises `InputError` that
    names the key, its value and what is allowed.

        link = dbp.Link(spans=10, modulation="64qam", impairments={"receiver_linewidth_khz": 100})
    """

    def __init__(self, **keys: Any) -> None:
        impairments = keys.pop("impairments", {})
        if isinstance(impairments, config.Impairments):
            impairments = impairments.model_dump()
        known = config.Impairments.model_fields
        if not isinstance(impairments, Mapping) or not set(impairments) <= set(known):
            raise InputError(
                f"link.impairments = {shown(impairments)}: must be a table of {', '.join(known)}"
            )
        changes = {
            key: value.item() if isinstance(value, np.generic) else value
            for key, value in {**keys, **impairments}.items()
        }
        super().__init__(**config.link_with(config.Link(), changes).model_dump())

    def transmit(
        self,
        launch_power_dbm: float,
        symbols: int = 65_536,
        seed: int = 1,
        *,
        progress: bool = True,
    ) -> Received:
        """Transmit random symbols over the link and return what was sent and what arrived.

        ``symbols``: at least this number, in whole blocks of ``block_symbols``. The same ``seed``
        gives the same symbols and noise at every launch power. Returns
        `dbp.link.transmission.Received`: ``symbols`` of shape ``(blocks, block_symbols)`` and
        ``waveform`` of shape ``(blocks, link.adc_samples)``, complex, both of mean power 1.
        """
        from dbp.link import transmission

        symbols = _checks.integer("symbols", symbols, 1, MAX_SYMBOLS)
        return transmission.simulate(
            _checks.link(self),
            _checks.power_dbm("launch_power_dbm", launch_power_dbm),
            -(-symbols // self.block_symbols),
            seed=_checks.integer("seed", seed, 0),
            purpose="evaluate",
            progress=progress,
        )
