"""The units of an evaluation: groups of blocks, each counted by a pure function of its key.

A unit is what one receiver makes of one group: at least `GROUP_SYMBOLS` symbols of a transmission,
over which detection takes one complex gain. Nothing but its key decides what it counts: not the
machine's load, not what was counted before it, not what other receivers hear. So units may be
counted anywhere, in any order and more than once.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

from dbp import config
from dbp.errors import DbpError
from dbp.evaluation import carrier
from dbp.evaluation.measures import Measures, align, measure
from dbp.evaluation.receivers import Receiver
from dbp.link import transmission as link
from dbp.support.sources import hash_of

GROUP_SYMBOLS = 8192

# The code that decides a number of a group; databases hold the numbers of one state of it.
SOURCES = (*link.SOURCES, "dbp.datapath", "dbp.evaluation", "dbp.learning.float_filters")
# Their versions may change a number, too.
LIBRARIES = ("numpy", "scipy", "numba", "torch")


@dataclass(frozen=True)
class Scenario:
    """A transmission without end: the groups of a link at a launch power, numbered from 0."""

    link: config.Link
    launch_power_dbm: float
    seed: int

    @property
    def key(self) -> str:
        """SHA-256 of all that its waveforms and what is made of them depend on."""
        content = {
            "sources": hash_of(*SOURCES),
            "libraries": [metadata.version(name) for name in LIBRARIES],
            "link": self.link.model_dump(mode="json"),
            "launch_power_dbm": float(self.launch_power_dbm),
            "seed": self.seed,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def group_blocks(self) -> int:
        """Blocks of a group."""
        return math.ceil(GROUP_SYMBOLS / self.link.block_symbols)

    @property
    def chunk_groups(self) -> int:
        """Groups that are simulated together: the link takes as long for one as for all."""
        blocks = math.lcm(self.group_blocks, link.chunk_blocks(self.link))
        return blocks // self.group_blocks


def identity(scenario: Scenario) -> dict[str, str]:
    """What must be the same wherever units of the scenario are counted."""
    return {
        "sources": hash_of(*SOURCES)[:12],
        **{name: metadata.version(name) for name in LIBRARIES},
        "scenario": scenario.key,
    }


def count(
    scenario: Scenario, receivers: Sequence[Receiver], chunk: int, expected: Mapping[str, str]
) -> list[list[Measures]]:
    """The units of the groups ``chunk * chunk_groups`` and following: a list for each receiver.

    All receivers hear the same waveforms, simulated once (or found in `dbp.support.cache`).
    ``expected``: the `identity` where the units are wanted. Raises `DbpError` where it is another
    one here, on a worker that would count something else.
    """
    own = identity(scenario)
    if own != expected:
        odd = [f"{k} {v}, not {expected.get(k)}" for k, v in own.items() if v != expected.get(k)]
        raise DbpError(f"a worker would count something else: it has {'; '.join(odd)}")
    blocks, groups = scenario.group_blocks, scenario.chunk_groups
    received = link.simulate(
        scenario.link,
        scenario.launch_power_dbm,
        groups * blocks,
        seed=scenario.seed,
        purpose="evaluate",
        first_block=chunk * groups * blocks,
        progress=False,
    )
    units: list[list[Measures]] = [[] for _ in receivers]
    for start in range(0, groups * blocks, blocks):
        group = received.blocks(slice(start, start + blocks))
        for of_receiver, receiver in zip(units, receivers, strict=True):
            symbols = detect(scenario.link, receiver, group)
            of_receiver.append(_measure(scenario.link.modulation, group, symbols))
    return units


def _measure(
    modulation_: str, group: link.Received, received: NDArray[np.complexfloating]
) -> Measures:
    """`dbp.evaluation.measures.measure` of a group, with one complex gain for each polarisation.

    Both polarisations of a block are one block of it: they meet the same bursts, and only blocks
    are independent.
    """
    sent, labels = group.symbols, group.labels
    if sent.ndim == 3:
        received = np.stack([align(sent[:, p], received[:, p]) for p in range(2)], axis=1)
        sent, labels, received = (x.reshape(len(x), -1) for x in (sent, labels, received))
    return measure(modulation_, sent, labels, received)


def detect(
    link_: config.Link, receiver: Receiver, group: link.Received
) -> NDArray[np.complexfloating]:
    """Received symbols, of the shape of those sent, but for one complex gain over the group.

    Where the link's lasers are not ideal, after carrier recovery (`dbp.evaluation.carrier`). With
    both polarisations, one gain and one recovery for each of them.
    """
    equalized = receiver(group.waveform, group.launch_power_dbm)
    if equalized.ndim == 2:
        return carrier.symbols(equalized, group.symbols, link_)
    of_each = (carrier.symbols(equalized[:, p], group.symbols[:, p], link_) for p in range(2))
    return np.stack(list(of_each), axis=1)
